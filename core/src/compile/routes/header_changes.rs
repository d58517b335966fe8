//! Changes of header fields as rows. A value that may be a credential is kept for the shell alone.

use alloc::format;
use alloc::vec::Vec;

use crate::compile::rows::{FieldText, RowWriter, append};
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::mask::sounds_secret;
use crate::config::resource::HeaderChanges;
use crate::config::secret::Secret;
use crate::rewrite::{drops_header, is_alike};
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

/// Fields that say how bodies are read. A provider's are read here, its question before any change is made.
const OF_BODIES: [&str; 3] = ["accept-encoding", "content-encoding", "content-type"];

/// Refuses what a rule at `at` changes of them in requests to providers: accounting and the body's checks would be lost
/// without a word.
pub(super) fn refuse_of_bodies(
    changes: &HeaderChanges,
    (at, rule): (Location, FieldText<'_>),
    diagnostics: &mut Diagnostics,
) {
    let HeaderChanges { set, add, remove, .. } = changes;
    let named = set.iter().chain(add).map(|(name, _)| name).chain(remove);
    for name in named.filter(|name| OF_BODIES.iter().any(|field| is_alike(field, name))) {
        diagnostics
            .error(
                "reserved-header",
                at,
                format!("`{name}` says how bodies are read, and those of a provider are read by the gateway"),
            )
            .field(format!("{rule}.headers.request"))
            .help("leave it to the client; providers are asked for `identity`");
    }
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
