//! Rules of HTTPRoutes that load, and are never reached.

use alloc::format;
use alloc::string::String;

use crate::config::diagnostic::Diagnostics;
use crate::config::resource::http_route::{HttpRoute, Match};
use crate::config::resource::{Spanned, StringMatch};

/// A name and what its value must be.
type Named = (Spanned<String>, Spanned<StringMatch>);

/// Of equal matches the first decides, so a later one of the same route takes nothing.
pub(super) fn check(route: &HttpRoute, diagnostics: &mut Diagnostics) {
    let matches = || {
        let rules = route.rules.iter().enumerate();
        rules.flat_map(|(index, rule)| rule.matches.iter().map(move |one| (index, one)))
    };
    for (place, (rule, one)) in matches().enumerate() {
        if let Some((first, _)) = matches().take(place).find(|(_, before)| is_equal(before, one)) {
            diagnostics
                .warning(
                    "unreachable-rule",
                    one.at,
                    format!("this match is never reached: one of `rules[{first}]` is equal to it"),
                )
                .field(format!("spec.rules[{rule}].matches"))
                .help("of equal matches the first decides; remove one of them");
        }
    }
}

fn is_equal(a: &Match, b: &Match) -> bool {
    a.path.value == b.path.value
        && a.method == b.method
        && have_same(&a.headers, &b.headers)
        && have_same(&a.query_params, &b.query_params)
}

/// Whether two lists without equal names have the same entries, whatever their order.
fn have_same(a: &[Named], b: &[Named]) -> bool {
    let is_in_b = |(name, wanted): &Named| {
        let mut entries = b.iter();
        entries.any(|(other, value)| other.value == name.value && value.value == wanted.value)
    };
    a.len() == b.len() && a.iter().all(is_in_b)
}
