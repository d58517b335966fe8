//! `rewrite` of VirtualServices, which LLMRoutes of `lockgate.dev` have too.

use alloc::format;

use super::conditions;
use crate::compile::rows::{FieldText, RowWriter};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{HttpRewrite, UriRewrite};
use crate::path::Normalization;
use crate::rewrite::is_dot_segment;
use crate::tables::PathRewrite;

/// What becomes of the path; `field` is the rule's.
pub(super) fn path(
    rewrite: &HttpRewrite,
    field: FieldText<'_>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> PathRewrite {
    let written = match &rewrite.uri {
        None => None,
        Some(UriRewrite::Matched(with)) => Some((with, "uri")),
        Some(UriRewrite::Regex { substitution, .. }) => Some((substitution, "uriRegexRewrite.rewrite")),
    };
    if let Some((with, name)) = written
        && rows.rows.edge.paths.normalization != Normalization::None
        && climbs(with)
    {
        diagnostics
            .error(
                "invalid-path",
                with.at,
                format!("`{}` has a segment `.` or `..`, so nothing is sent there", **with),
            )
            .field(format!("{field}.rewrite.{name}"));
    }
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

/// Whether every path that this makes has a dot segment, which is refused, whatever stands before and behind it.
fn climbs(with: &str) -> bool {
    let mut segments = with.split('?').next().unwrap_or_default().split('/');
    // These two are not whole.
    segments.next();
    segments.next_back();
    segments.any(is_dot_segment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_segment_is_one_whatever_is_around_it() {
        for (with, is) in [
            ("/a/../b", true),
            ("/./", true),
            (r"/\1/%2e./\2", true),
            ("/..;x/", true),
            ("/..", false),
            ("/a/..b/", false),
            (r"/..\1/", false),
            ("../a", false),
            ("/a?b=/../", false),
            ("/", false),
        ] {
            assert_eq!(climbs(with), is, "{with}");
        }
    }
}
