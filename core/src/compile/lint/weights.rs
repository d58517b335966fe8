//! Weights that load, and probably do not share as was meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{HttpAction, Resources, Spanned};

pub(super) fn check(resources: &Resources, diagnostics: &mut Diagnostics) {
    for service in &resources.virtual_services {
        for (index, rule) in service.http.iter().enumerate() {
            if let HttpAction::Route { destinations, .. } = &rule.action
                && destinations.len() > 1
            {
                let weights = destinations.iter().map(|destination| destination.weight.as_ref());
                check_rule(weights, rule.at, &format!("spec.http[{index}].route"), diagnostics);
            }
        }
    }
    for route in &resources.llm_routes {
        let rules = route.rules.iter().enumerate();
        for (index, rule) in rules.filter(|(_, rule)| rule.backend_refs.len() > 1) {
            let weights = rule.backend_refs.iter().map(|backend| backend.weight.as_ref());
            let field = format!("spec.rules[{index}].backendRefs");
            check_rule(weights, rule.at, &field, diagnostics);
        }
    }
}

/// Of a rule with several.
fn check_rule<'w>(
    weights: impl Iterator<Item = Option<&'w Spanned<u32>>>,
    at: Location,
    field: &str,
    diagnostics: &mut Diagnostics,
) {
    let all: Vec<Option<&Spanned<u32>>> = weights.collect();
    for (index, weight) in all.iter().enumerate() {
        if let Some(weight) = weight.filter(|weight| weight.value == 0) {
            diagnostics
                .warning("dead-weight", weight.at, "of weight 0 this gets nothing")
                .field(format!("{field}[{index}].weight"))
                .help("remove it, or give it a share");
        }
    }
    let given: Vec<u64> = all
        .iter()
        .map(|weight| weight.map_or(0, |weight| u64::from(weight.value)))
        .collect();
    let sum: u64 = given.iter().sum();
    let mut shared = given.iter().filter(|weight| **weight > 0);
    let first = shared.next();
    // Equal ones are meant as such, whatever they add up to.
    let differ = shared.any(|weight| Some(weight) != first);
    if SLIPS.contains(&sum) && sum != 100 && differ {
        let shares: Vec<String> = given.iter().map(|weight| share(*weight, sum)).collect();
        diagnostics
            .warning(
                "weights-not-a-hundred",
                at,
                format!("the weights of this rule add up to {sum}"),
            )
            .field(field)
            .help(format!(
                "weights are shares of their sum, so these are {}",
                shares.join(", ")
            ));
    }
}

/// Sums that are so near to a hundred that percent were meant.
const SLIPS: core::ops::RangeInclusive<u64> = 90..=110;

/// In percent, with one decimal.
fn share(weight: u64, sum: u64) -> String {
    let tenths = weight.saturating_mul(1000).checked_div(sum).unwrap_or_default();
    format!("{}.{} %", tenths / 10, tenths % 10)
}
