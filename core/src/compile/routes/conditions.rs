//! A `StringMatch` as a test, and what can be wrong with one.

use alloc::format;

use crate::authority;
use crate::compile::rows::RowWriter;
use crate::config::diagnostic::{Diagnostic, Diagnostics, Location};
use crate::config::quote::REDACTED;
use crate::config::resource::{Spanned, StringMatch};
use crate::tables::Test;

/// The test of `wanted`. `None` when it is no regular expression.
pub(super) fn test(
    wanted: &Spanned<StringMatch>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Test> {
    Some(match &wanted.value {
        StringMatch::Exact(value) => Test::Exact(rows.text(value)),
        StringMatch::Prefix(value) => Test::Prefix(rows.text(value)),
        StringMatch::Regex(pattern) => Test::Regex(regex(pattern, wanted.at, rows, diagnostics)?, rows.text(pattern)),
        StringMatch::Present => Test::Present,
    })
}

fn regex(pattern: &str, at: Location, rows: &mut RowWriter<'_>, diagnostics: &mut Diagnostics) -> Option<u32> {
    match rows.regex(pattern) {
        Ok(id) => Some(id),
        Err(_) if rows.hides(at) => {
            let message = format!("{REDACTED} is not a regular expression this gateway can use");
            diagnostics.error("invalid-regex", at, message);
            None
        }
        Err(why) => {
            refuse_regex(pattern, &why, at, diagnostics).help("RE2 syntax; it must match the whole value");
            None
        }
    }
}

/// Says that `pattern` cannot be used.
pub(super) fn refuse_regex<'d>(
    pattern: &str,
    why: &str,
    at: Location,
    diagnostics: &'d mut Diagnostics,
) -> &'d mut Diagnostic {
    diagnostics.error(
        "invalid-regex",
        at,
        format!(
            "`{pattern}` is not a regular expression this gateway can use: {}",
            why.trim_end()
        ),
    )
}

/// The name of an exact host, without its port; `None` when no request can have it.
pub(super) fn bare_host(value: &str) -> Option<&str> {
    authority::host_len(value.as_bytes()).and_then(|len| value.get(..len))
}
