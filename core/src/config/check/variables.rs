//! Variables in the tree: what is wrong with one, and where it stands.

use alloc::format;

use crate::config::diagnostic::{Diagnostic, Diagnostics, Location, Source};
use crate::config::quote::quoted;
use crate::config::substitute::Problem;

pub(super) fn report_variable<'d>(
    diagnostics: &'d mut Diagnostics,
    problem: &Problem<'_>,
    written: &str,
    hidden: bool,
    at: Location,
) -> &'d mut Diagnostic {
    match problem {
        Problem::Unset(name) => diagnostics
            .error(
                "unset-variable",
                at,
                format!("the variable {} is not set", quoted(name)),
            )
            .help("set it in the environment, or write `$${` for a literal `${`"),
        Problem::Unclosed(_) => diagnostics
            .error("invalid-variable", at, "`${` is not closed")
            .help("write `${NAME}`, or `$${` for a literal `${`"),
        Problem::NotAName(_) => diagnostics
            .error(
                "invalid-variable",
                at,
                format!(
                    "{} does not name a variable",
                    match hidden {
                        true => "what the braces hold".into(),
                        false => quoted(written),
                    }
                ),
            )
            .help("write `${NAME}` with letters, digits and `_`; defaults are not supported; `$${` is a literal `${`"),
    }
}

/// Where `written` stands in the scalar at `at`; the scalar itself if it is written otherwise (escapes, folding).
pub(super) fn place_within(sources: &[Source], at: Location, written: &str, from: &mut usize) -> Location {
    let find = || {
        let source = at.source(sources)?;
        let range = usize::try_from(at.start).ok()?..usize::try_from(at.end).ok()?;
        let raw = source.text.get(range)?;
        let start = *from + raw.get(*from..)?.find(written)?;
        Some((start, start + written.len()))
    };
    let Some((start, end)) = find() else {
        return at;
    };
    *from = end;
    let offset = |relative: usize| u32::try_from(relative).map_or(at.end, |relative| at.start.saturating_add(relative));
    Location {
        source: at.source,
        start: offset(start),
        end: offset(end),
    }
}
