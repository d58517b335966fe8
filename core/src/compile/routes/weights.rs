//! Weights that can be shared out.

use alloc::format;

use crate::compile::rows::FieldText;
use crate::config::diagnostic::{Diagnostics, Location};

/// Refuses weights of several backends, those of the rule at `at`, whose sum nothing falls on, or is beyond Envoy's
/// own bound.
pub(super) fn check_sum(weights: &[u32], at: Location, field: FieldText<'_>, diagnostics: &mut Diagnostics) {
    let sum: u64 = weights.iter().copied().map(u64::from).sum();
    if sum == 0 || sum > u32::MAX.into() {
        let message = if sum == 0 {
            "no backend of this rule has a weight above 0"
        } else {
            "the weights of this rule's backends add up to more than 4294967295"
        };
        diagnostics
            .error("invalid-weights", at, message)
            .field(format!("{field}"));
    }
}
