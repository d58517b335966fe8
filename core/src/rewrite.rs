//! What a forwarded request loses and gains on its way to a provider.
//!
//! The decision says where it goes; this says which of the client's header
//! fields never leave the gateway and which body fields are set. Shells carry it
//! out, none of them decides it.

use crate::llm::body::BodyFacts;
use crate::llm::splice::{Field, Splice, SpliceError};
use crate::tables::{FieldRow, FieldWhen, Tables};

/// Header fields of the client that are never sent to a provider: credentials, which are the gateway's business, and
/// what names the client's address or path through other proxies.
pub const DROPPED_HEADERS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "forwarded",
    "x-real-ip",
    "via",
];

/// Families of such header fields, by the beginning of their names.
pub const DROPPED_HEADER_PREFIXES: &[&str] = &["x-forwarded-", "x-envoy-"];

/// Whether the field `name`, lower case, is never sent to a provider.
#[must_use]
pub fn drops_header(name: &str) -> bool {
    DROPPED_HEADERS.contains(&name) || DROPPED_HEADER_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// The new body: the client's with `fields` set.
///
/// # Errors
/// [`SpliceError`]: a key of the body that a provider could take for one of the fields.
pub fn splice<'d>(tables: &Tables<'d>, facts: &BodyFacts, fields: &[FieldRow]) -> Result<Splice<'d>, SpliceError> {
    let named = fields.iter().map(|field| Field {
        name: tables.text(field.name),
        member: tables.text(field.member),
        value: tables.text(field.value),
        when: field.when,
    });
    Splice::plan(facts, named)
}

/// Whether `field` is set in a body with these `facts`.
#[must_use]
pub fn sets_field(tables: &Tables<'_>, facts: &BodyFacts, field: &FieldRow) -> bool {
    match field.when {
        FieldWhen::Absent => facts
            .member(tables.text(field.name))
            .is_none_or(|member| member.is_null),
        FieldWhen::Always => true,
    }
}
