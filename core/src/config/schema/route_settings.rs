//! The shape of a rule's `retries` and `corsPolicy`.

use super::{Enumeration, Object, STRING_MATCH, Shape, field, list, text};
use crate::config::format::Format;
use crate::limits::RETRIES_MAX;

/// `corsPolicy`
pub(super) static CORS: Object = Object::new(&[
    field(
        "allowOrigins",
        list(&Shape::Object(&STRING_MATCH)),
        "The origins of pages that may read answers: any of them. `exact: '*'` is every origin.",
    ),
    field(
        "allowOrigin",
        list(&Shape::Text(Format::NonEmpty)),
        "The same as texts; not read beside `allowOrigins`.",
    ),
    field(
        "allowMethods",
        list(&Shape::Enum(&CORS_METHOD)),
        "The methods that a preflight is told of; `*` is the one it asks for.",
    ),
    field(
        "allowHeaders",
        list(&Shape::Text(Format::FieldName)),
        "The header fields that a preflight is told of; `*` is those it asks for.",
    ),
    field(
        "exposeHeaders",
        list(&Shape::Text(Format::FieldName)),
        "The fields of answers that pages may read.",
    ),
    field(
        "maxAge",
        text(Format::Seconds),
        "How long a browser may remember the answer to a preflight, in whole seconds.",
    ),
    field("allowCredentials", Shape::Bool, "Pages may send cookies and the like."),
    field(
        "unmatchedPreflights",
        Shape::Enum(&UNMATCHED_PREFLIGHTS),
        "Preflights of other origins: `FORWARD` sends them upstream, `IGNORE` answers them.",
    ),
]);

static CORS_METHOD: Enumeration = Enumeration {
    values: &[
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE", "*",
    ],
    not_yet: &[],
    ignore_case: false,
};

static UNMATCHED_PREFLIGHTS: Enumeration = Enumeration {
    values: &["UNSPECIFIED", "FORWARD", "IGNORE"],
    not_yet: &[],
    ignore_case: false,
};

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
