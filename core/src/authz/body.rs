//! What policies and routes see of the body.

use crate::attributes::Attributes;
use crate::decide::{Body, Known};
use crate::llm::body::{BodyError, BodyFacts};

/// The body's facts, as far as they can be known.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Facts<'k> {
    /// These; `None` when the request has no body that an LLM API would read, so that every fact is absent.
    Known(Option<&'k BodyFacts>),
    /// The body is not read yet, or cannot be read: a DENY on it must count as matching, an ALLOW must not, and no route
    /// may be taken or passed over for it.
    Unknown,
}

pub(crate) fn facts<'k>(seen: &Attributes<'_>, known: &Known<'k>) -> Facts<'k> {
    match known.body {
        body if is_absent(seen.method, body) => Facts::Known(None),
        Body::Unread | Body::Stray | Body::Read(Err(_)) => Facts::Unknown,
        Body::Read(Ok(facts)) => Facts::Known(Some(facts)),
    }
}

/// Whether there is no body, and need not be one.
pub(crate) fn is_absent(method: &str, body: Body<'_>) -> bool {
    matches!(body, Body::Unread | Body::Read(Err(BodyError::Empty))) && is_bodiless(method)
}

/// Methods that give a body no meaning (RFC 9110 §9.3), so that there seldom is one.
pub(crate) fn is_bodiless(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT")
}
