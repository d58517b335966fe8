//! What policies and routes see of the body.

use crate::attributes::Attributes;
use crate::decide::{Body, Known};
use crate::llm::body::BodyFacts;

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
    if is_bodiless(seen.method) {
        return Facts::Known(None);
    }
    match known.body {
        Body::Unread | Body::Read(Err(_)) => Facts::Unknown,
        Body::Read(Ok(facts)) => Facts::Known(Some(facts)),
    }
}

/// Methods whose body no server gives a meaning (RFC 9110 §9.3). Of any other, a provider might read it.
pub(crate) fn is_bodiless(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "DELETE" | "OPTIONS" | "TRACE" | "CONNECT")
}
