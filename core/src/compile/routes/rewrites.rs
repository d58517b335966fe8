//! `rewrite` of VirtualServices, which LLMRoutes of `lockgate.dev` have too.

use alloc::format;

use super::conditions;
use crate::compile::rows::{FieldText, RowWriter};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{HttpRewrite, UriRewrite};
use crate::tables::PathRewrite;

/// What becomes of the path; `field` is the rule's.
pub(super) fn path(
    rewrite: &HttpRewrite,
    field: FieldText<'_>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> PathRewrite {
    match &rewrite.uri {
        None => PathRewrite::Keep,
        Some(UriRewrite::Matched(with)) => PathRewrite::Matched(rows.text(with)),
        Some(UriRewrite::Regex { pattern, substitution }) => match rows.substitution(pattern, substitution) {
            Ok(by) => PathRewrite::Regex {
                by,
                pattern: rows.text(pattern),
                substitution: rows.text(substitution),
            },
            Err(why) => {
                conditions::refuse_regex(pattern, &why, pattern.at, diagnostics)
                    .field(format!("{field}.rewrite.uriRegexRewrite"))
                    .help("RE2 syntax; `\\1` in `rewrite` is the first group of `match`");
                PathRewrite::Keep
            }
        },
    }
}
