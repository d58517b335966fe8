//! Decisions, against the reference evaluator.

use lockgate_oracle::differential::{Coverage, check};

/// The engine and the reference evaluator agree on a configuration and on every request to it.
///
/// Input: the choices of the generators, a byte each.
pub fn decide_vs_oracle(input: &[u8]) {
    if let Err(disagreement) = check(input, &mut Coverage::default()) {
        panic!("{disagreement}");
    }
}
