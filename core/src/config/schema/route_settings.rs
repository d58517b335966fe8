//! The shape of a rule's `timeout` and `retries`.

use super::{Object, Shape, field, text};
use crate::config::format::Format;
use crate::limits::RETRIES_MAX;

/// `retries`, and MeshConfig's `defaultHttpRetryPolicy`.
pub(super) static RETRIES: Object = Object::new(&[
    field(
        "attempts",
        Shape::Integer {
            min: 0,
            max: RETRIES_MAX as i64,
        },
        "Attempts after the first; 0 turns retries off.",
    ),
    field(
        "perTryTimeout",
        text(Format::Duration),
        "Longest time until an answer to one attempt begins, such as `2s`.",
    ),
    field(
        "retryOn",
        text(Format::RetryOn),
        "When to try again: Envoy's names and status codes, with commas between them.",
    ),
    field(
        "retryRemoteLocalities",
        Shape::Bool,
        "Accepted; endpoints have no localities here, so each of them may be tried.",
    ),
    field(
        "retryIgnorePreviousHosts",
        Shape::Bool,
        "Pass over endpoints that were tried while there are others; true when absent.",
    ),
    field(
        "backoff",
        text(Format::Duration),
        "Longest pause before the first retry; it doubles with each. 25 ms when absent.",
    ),
]);
