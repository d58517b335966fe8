//! The shape of a rule's `retries`, `corsPolicy` and `fault`.

use super::{Enumeration, Object, STRING_MATCH, Shape, field, list, not_yet, required, text};
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

/// `fault`
pub(super) static FAULT: Object = Object::new(&[
    field("delay", Shape::Object(&DELAY), "Holds up some requests."),
    field(
        "abort",
        Shape::Object(&ABORT),
        "Answers some, in place of the upstream.",
    ),
]);

static DELAY: Object = Object::new(&[
    required("fixedDelay", text(Format::FaultDelay), "For how long, such as `5s`."),
    field(
        "percentage",
        Shape::Object(&PERCENTAGE),
        "How many of a hundred; none when absent.",
    ),
    field(
        "percent",
        Shape::Integer { min: 0, max: 100 },
        "The same as a whole number.",
    ),
    not_yet("exponentialDelay"),
]);

static ABORT: Object = Object::new(&[
    field("httpStatus", Shape::Integer { min: 200, max: 599 }, "The status code."),
    field(
        "grpcStatus",
        Shape::Enum(&GRPC_STATUS),
        "The status of gRPC, by its name.",
    ),
    field(
        "percentage",
        Shape::Object(&PERCENTAGE),
        "How many of a hundred; none when absent.",
    ),
    not_yet("http2Error"),
]);

/// Istio's `Percent`.
pub(super) static PERCENTAGE: Object =
    Object::new(&[field("value", Shape::Percent, "From 0 to 100, to four decimals.")]);

static GRPC_STATUS: Enumeration = Enumeration {
    values: &GRPC_STATUSES,
    not_yet: &[],
    ignore_case: false,
};

/// By number.
pub(crate) static GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

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
