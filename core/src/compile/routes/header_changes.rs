//! Changes of header fields as rows. A value that may be a credential is kept for the shell alone.

use alloc::vec::Vec;

use crate::compile::rows::{RowWriter, append};
use crate::config::mask::sounds_secret;
use crate::config::resource::HeaderChanges;
use crate::config::secret::Secret;
use crate::rewrite::drops_header;
use crate::tables::{HeaderChange, HeaderChangeRow, HeaderText, Rows};

/// Changes that are made together: all that take away, then all that set, then all that add.
pub(super) fn write(changes: &[&HeaderChanges], rows: &mut RowWriter<'_>) -> Rows {
    let removed = changes.iter().flat_map(|changes| &changes.remove);
    let mut made: Vec<HeaderChangeRow> = removed
        .map(|name| HeaderChangeRow {
            name: rows.text(name),
            change: HeaderChange::Remove,
        })
        .collect();
    for changes in changes {
        for (name, value) in &changes.set {
            made.push(written(name, value, HeaderChange::Set, rows));
        }
    }
    for changes in changes {
        for (name, value) in &changes.add {
            made.push(written(name, value, HeaderChange::Add, rows));
        }
    }
    append(&mut rows.rows.header_changes, made)
}

fn written(
    name: &str,
    value: &Secret,
    change: fn(HeaderText) -> HeaderChange,
    rows: &mut RowWriter<'_>,
) -> HeaderChangeRow {
    let may_be_credential = drops_header(name) || sounds_secret(name);
    HeaderChangeRow {
        name: rows.text(name),
        change: change(if may_be_credential {
            HeaderText::Secret(rows.secret(value))
        } else {
            HeaderText::Text(rows.text(value.expose()))
        }),
    }
}
