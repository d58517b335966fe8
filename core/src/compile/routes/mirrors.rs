//! `mirror` and `mirrors`: hosts that get copies of what is sent on.

use crate::compile::destinations::Destinations;
use crate::compile::rows::{FieldText, RowWriter, append};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::HttpMirror;
use crate::tables::{MirrorRow, Rows};

/// Those of the rule at `field` of a resource of `namespace`. One that never gets a copy has only to be there.
pub(super) fn compile<'m>(
    mirrors: impl IntoIterator<Item = &'m HttpMirror>,
    (namespace, field): (&str, FieldText<'_>),
    destinations: Option<&mut Destinations<'_>>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Rows {
    let Some(destinations) = destinations else {
        return Rows::default();
    };
    let known = mirrors.into_iter().filter_map(|mirror| {
        let field: FieldText<'_> = &format_args!("{field}.{}", mirror.field);
        let upstream = destinations.upstream(&mirror.destination, namespace, field, diagnostics)?;
        Some(MirrorRow {
            upstream,
            chance: mirror.chance,
        })
    });
    append(&mut rows.rows.mirrors, known.filter(|row| row.chance.0 > 0))
}
