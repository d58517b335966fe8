//! What a forwarded request loses and gains on its way to a provider.
//!
//! The decision says where it goes; this says which of the client's header
//! fields never leave the gateway and which body fields are set. Shells carry it
//! out, none of them decides it.

use crate::llm::body::BodyFacts;
use crate::llm::splice::{Field, Splice, SpliceError};
use crate::tables::{FieldRow, FieldWhen, PlaceRow, Tables};
#[cfg(feature = "alloc")]
use crate::token::places;

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

/// The header fields where tokens are or that tokens write, lower case: of the client's, none of either is sent to a
/// provider. What a token writes is [`crate::claims::Claims::headers`].
pub fn token_headers<'d>(tables: &Tables<'d>) -> impl Iterator<Item = &'d str> + use<'d> {
    let text = tables.text;
    token_fields(tables).chain(tables.token_headers.iter().map(move |name| text.get(*name)))
}

/// Whether tokens are in the header field `name`, lower case, so that its value is never shown.
#[must_use]
pub fn reads_token_from(tables: &Tables<'_>, name: &str) -> bool {
    token_fields(tables).any(|field| field == name)
}

fn token_fields<'d>(tables: &Tables<'d>) -> impl Iterator<Item = &'d str> + use<'d> {
    let text = tables.text;
    tables.token_places.iter().filter_map(move |place| match *place {
        PlaceRow::Header { name, .. } => Some(text.get(name)),
        PlaceRow::Param(_) | PlaceRow::Cookie(_) => None,
    })
}

/// A path with its query.
#[cfg(feature = "alloc")]
#[must_use]
pub fn with_query(path: &str, query: Option<&str>) -> alloc::string::String {
    let mut target = alloc::string::String::from(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// A client's path and query as a provider gets them: without the parameters where tokens are.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sent_target(tables: &Tables<'_>, path: &str, query: Option<&str>) -> alloc::string::String {
    let mut target = alloc::string::String::from(path);
    let Some(query) = query else { return target };
    let sent = sent_query(tables, query);
    if !sent.is_empty() || query.is_empty() {
        target.push('?');
        target.push_str(&sent);
    }
    target
}

/// A query without the parameters where tokens are.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sent_query(tables: &Tables<'_>, query: &str) -> alloc::string::String {
    let mut sent = alloc::string::String::new();
    for (index, pair) in query.split('&').filter(|pair| !holds_token(tables, pair)).enumerate() {
        if index > 0 {
            sent.push('&');
        }
        sent.push_str(pair);
    }
    sent
}

/// Whether a parameter of a query is one where tokens are.
#[cfg(feature = "alloc")]
fn holds_token(tables: &Tables<'_>, pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or(pair).as_bytes();
    tables.token_places.iter().any(|place| match *place {
        PlaceRow::Param(name) => places::names(key, tables.bytes(name)),
        PlaceRow::Header { .. } | PlaceRow::Cookie(_) => false,
    })
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
