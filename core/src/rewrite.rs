//! What a forwarded request loses and gains on its way upstream.
//!
//! The decision says where it goes; this says which of the client's header
//! fields never leave the gateway, what a rewritten path is, and which body
//! fields are set. Shells carry it out, none of them decides it.

#[cfg(feature = "alloc")]
use alloc::{borrow::ToOwned, format, string::String, vec::Vec};

use crate::claims::Claims;
#[cfg(feature = "alloc")]
use crate::decision::{Path, Redirect};
#[cfg(feature = "alloc")]
use crate::limits::PATH_BYTES_MAX;
use crate::llm::body::BodyFacts;
use crate::llm::splice::{Field, Splice, SpliceError};
#[cfg(feature = "alloc")]
use crate::path::Normalization;
use crate::request::Headers;
use crate::shown::{OF_GATEWAY, REQUEST_ID};
use crate::tables::{FieldRow, FieldWhen, PlaceRow, Span, Tables};
use crate::token::places;
#[cfg(feature = "alloc")]
use crate::token::removed;

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

/// Fields that are about a connection or a message's framing, and the one that says where a request goes.
const MADE_ANEW: [&str; 11] = [
    "host",
    "connection",
    "content-length",
    "transfer-encoding",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "http2-settings",
];

/// Whether a field, lower case, is made anew on every connection, so that a client's goes no further and no configuration
/// and no authorizer changes it.
#[must_use]
pub fn is_made_anew(name: &str) -> bool {
    MADE_ANEW.contains(&name)
}

/// Whether the field `name`, lower case, is never sent to a provider.
///
/// Many servers hand `x_forwarded_for` and `x-forwarded-for` to applications under one name, so an underscore counts as
/// a hyphen.
#[must_use]
pub fn drops_header(name: &str) -> bool {
    is_named(DROPPED_HEADERS, DROPPED_HEADER_PREFIXES, name, has_underscore(name))
}

/// Whether the client's field `name`, lower case, is not sent to a provider as things are: a field that never is, or a
/// twin.
#[must_use]
pub fn drops_header_to_provider(tables: &Tables, name: &str) -> bool {
    // Looked for once: this is asked about every field of every request.
    let has_underscore = has_underscore(name);
    is_named(DROPPED_HEADERS, DROPPED_HEADER_PREFIXES, name, has_underscore) || is_twin(tables, name, has_underscore)
}

/// Whether the client's field `name`, lower case, would be taken for one that decisions rest on, or that the gateway
/// writes or takes away, by a server that takes an underscore for a hyphen: `x_team` beside a policy about `x-team`.
/// What a token writes says who asks, so that beside its `x_team` there is no `x-team` either.
fn is_twin(tables: &Tables, name: &str, has_underscore: bool) -> bool {
    let is = |read: &str| read != name && is_alike(read, name);
    let is_of_config = || {
        is_twin_of_one(tables, &tables.derived.read_headers, name)
            || is_twin_of_one(tables, &tables.derived.changed_headers, name)
    };
    let is_written = tables.token_headers.iter().any(|written| is(tables.text(*written)));
    is_written
        || has_underscore && (is_of_config() || drops_header(name) || token_fields(tables).any(is) || is(REQUEST_ID))
}

/// The same of one of `names`, sorted. A configuration that has the very name with an underscore means that.
fn is_twin_of_one(tables: &Tables, names: &[Span], name: &str) -> bool {
    let compare = |known: &Span| tables.bytes(*known).iter().copied().cmp(hyphenated(name.bytes()));
    names.binary_search_by(compare).is_ok() && !names.iter().any(|known| tables.text(*known) == name)
}

/// Whether two names, lower case, are the same when an underscore counts as a hyphen.
#[must_use]
pub fn is_alike(name: &str, other: &str) -> bool {
    hyphenated(name.bytes()).eq(hyphenated(other.bytes()))
}

fn hyphenated(name: impl Iterator<Item = u8>) -> impl Iterator<Item = u8> {
    name.map(|byte| if byte == b'_' { b'-' } else { byte })
}

fn has_underscore(name: &str) -> bool {
    name.contains('_')
}

/// Whether the name is one of these or begins as one of those; few names have an underscore, and only those are compared
/// letter by letter.
fn is_named(names: &[&str], prefixes: &[&str], name: &str, has_underscore: bool) -> bool {
    if has_underscore {
        let is = |known: &&str| known.bytes().eq(hyphenated(name.bytes()));
        let begins = |prefix: &&str| prefix.bytes().eq(hyphenated(name.bytes()).take(prefix.len()));
        return names.iter().any(is) || prefixes.iter().any(begins);
    }
    names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// Header fields of the client that are never sent to a plain host, which believes them: a certificate that a proxy says
/// it verified.
pub const DROPPED_HEADERS_TO_HOST: &[&str] = &["x-forwarded-client-cert"];

/// Families of such header fields: what Envoy writes for its upstreams.
pub const DROPPED_HEADER_PREFIXES_TO_HOST: &[&str] = &["x-envoy-"];

/// Header fields in which a proxy says who its client is. A plain host gets those of a client only when the mesh trusts
/// proxies in front (`numTrustedProxies`): nobody else knows better than the connection does.
pub const HEARSAY_HEADERS: &[&str] = &["forwarded", "x-real-ip"];

/// Families of such header fields.
pub const HEARSAY_HEADER_PREFIXES: &[&str] = &["x-forwarded-"];

/// Whether `name`, lower case, is one of those that Envoy writes for its upstreams; what the gateway writes itself is not.
#[cfg(feature = "alloc")]
pub(crate) fn is_internal(name: &str) -> bool {
    is_named(&[], DROPPED_HEADER_PREFIXES_TO_HOST, name, has_underscore(name)) && !OF_GATEWAY.contains(&name)
}

/// Whether `name`, lower case, is a field in which a proxy says who its client is, and no proxy is trusted; what the gateway
/// writes itself is none.
pub(crate) fn is_hearsay(trusted_proxies: u32, name: &str) -> bool {
    trusted_proxies == 0
        && is_named(HEARSAY_HEADERS, HEARSAY_HEADER_PREFIXES, name, has_underscore(name))
        && !OF_GATEWAY.contains(&name)
}

/// Whether the client's field `name`, lower case, is never sent to a plain host, nor shown to an authorizer.
#[must_use]
pub fn drops_header_to_host(tables: &Tables, name: &str) -> bool {
    let has_underscore = has_underscore(name);
    let (names, prefixes) = (DROPPED_HEADERS_TO_HOST, DROPPED_HEADER_PREFIXES_TO_HOST);
    is_named(names, prefixes, name, has_underscore) && !OF_GATEWAY.contains(&name)
        || is_twin(tables, name, has_underscore)
        || is_hearsay(tables.edge.trusted_proxies, name)
}

/// The header fields where tokens are or that tokens write, lower case: of the client's, none of either is sent to a
/// provider, and to a plain host what [`drops_token_header_to_host`] says. What a token writes is
/// [`crate::claims::Claims::headers`].
pub fn token_headers<'d>(tables: &'d Tables) -> impl Iterator<Item = &'d str> + use<'d> {
    let text = tables.texts();
    token_fields(tables).chain(tables.token_headers.iter().map(move |name| text.get(*name)))
}

/// Whether a plain host does not get the client's field `name`, lower case, because of tokens: what a token writes, and
/// the field of a verified token, unless the rule that accepted it says `forwardOriginalToken`. `headers` are what the
/// token was looked for in, `claims` those of the verified token.
#[must_use]
pub fn drops_token_header_to_host(
    tables: &Tables,
    headers: &dyn Headers,
    claims: Option<&Claims<'_>>,
    name: &str,
) -> bool {
    is_written(tables, name) || takes_token_field(tables, headers, claims, name)
}

/// Whether the field `name` is taken out of the request with the token in it, as Envoy takes it out.
pub(crate) fn takes_token_field(
    tables: &Tables,
    headers: &dyn Headers,
    claims: Option<&Claims<'_>>,
    name: &str,
) -> bool {
    claims.is_some_and(|claims| !claims.is_token_shown()) && places::is_in_field(tables, headers, name)
}

/// Whether tokens write the field `name`, so that a client must not.
pub(crate) fn is_written(tables: &Tables, name: &str) -> bool {
    tables
        .token_headers
        .iter()
        .any(|written| tables.text(*written).eq_ignore_ascii_case(name))
}

/// Whether tokens are in the header field `name`, lower case, so that its value is never shown.
#[must_use]
pub fn reads_token_from(tables: &Tables, name: &str) -> bool {
    token_fields(tables).any(|field| field == name)
}

fn token_fields<'d>(tables: &'d Tables) -> impl Iterator<Item = &'d str> + use<'d> {
    let text = tables.texts();
    tables.token_places.iter().filter_map(move |place| match *place {
        PlaceRow::Header { name, .. } => Some(text.get(name)),
        PlaceRow::Param(_) | PlaceRow::Cookie(_) => None,
    })
}

/// A path with its query.
#[cfg(feature = "alloc")]
#[must_use]
pub fn with_query(path: &str, query: Option<&str>) -> String {
    let mut target = String::from(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(query);
    }
    target
}

/// The path and query that are sent upstream, without the parameters where tokens are.
///
/// # Errors
/// [`BadPath`]: a rewrite made something of the client's path that must not be sent.
#[cfg(feature = "alloc")]
pub fn target(tables: &Tables, path: Path<'_>) -> Result<String, BadPath> {
    let (mut target, query) = match path {
        Path::Fixed(path) => (path.to_owned(), None),
        Path::Client { path, query } => (path.to_owned(), query),
        Path::Prefixed {
            with: "",
            rest: "",
            query,
            ..
        } => ("/".to_owned(), query),
        Path::Prefixed { with, rest, query, .. } => (sendable(tables, format!("{with}{rest}"))?, query),
        Path::Substituted { by, path, query } => {
            let substitution = tables.derived.substitutions.get(by.0 as usize).ok_or(BadPath)?;
            let substituted = substitution.apply(path).ok_or(BadPath)?;
            (sendable(tables, substituted)?, query)
        }
    };
    append_query(tables, &mut target, query);
    Ok(target)
}

/// The client's path and query when they are sent as something else: what Envoy tells an upstream in
/// `x-envoy-original-path`.
#[cfg(feature = "alloc")]
#[must_use]
pub fn original_target(tables: &Tables, sent: Path<'_>) -> Option<String> {
    match sent {
        Path::Fixed(_) | Path::Client { .. } => None,
        Path::Prefixed {
            original: path, query, ..
        }
        | Path::Substituted { path, query, .. } => {
            let mut target = path.to_owned();
            append_query(tables, &mut target, query);
            Some(target)
        }
    }
}

#[cfg(feature = "alloc")]
pub(crate) fn append_query(tables: &Tables, target: &mut String, query: Option<&str>) {
    let Some(query) = query else { return };
    let sent = sent_query(tables, query);
    if !sent.is_empty() || query.is_empty() {
        target.push('?');
        target.push_str(&sent);
    }
}

/// The value of `location`. As on the way upstream, the parameters where tokens are stay out of it.
#[cfg(feature = "alloc")]
#[must_use]
pub fn location(tables: &Tables, redirect: &Redirect<'_>) -> String {
    let mut location = format!("{}://{}", redirect.scheme.as_str(), redirect.authority);
    if let Some(port) = redirect.port {
        location.push_str(&format!(":{port}"));
    }
    location.push_str(redirect.path);
    location.push_str(redirect.rest);
    append_query(tables, &mut location, redirect.query);
    location
}

/// A rewritten path is none that can be sent on.
#[cfg(feature = "alloc")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadPath;

/// The rewritten path, unless an upstream would read it differently than it was judged: `/v1../admin` under a rewrite
/// of `/v1` to `/` becomes `/../admin`, which Envoy sends on. Where paths are taken as sent (`NONE`) this is too.
#[cfg(feature = "alloc")]
fn sendable(tables: &Tables, target: String) -> Result<String, BadPath> {
    let path = target.split('?').next().unwrap_or_default();
    let is_checked = tables.edge.paths.normalization != Normalization::None;
    let climbs = is_checked && path.split(['/', '\\']).any(is_dot_segment);
    let is_path = path.starts_with('/') && target.len() <= PATH_BYTES_MAX && target.bytes().all(is_sendable);
    if is_path && !climbs { Ok(target) } else { Err(BadPath) }
}

/// Whether a path that is sent on may have this byte.
#[cfg(feature = "alloc")]
pub(crate) const fn is_sendable(byte: u8) -> bool {
    byte.is_ascii_graphic() && byte != b'#'
}

/// `.` or `..`, also escaped or with parameters.
#[cfg(feature = "alloc")]
pub(crate) fn is_dot_segment(segment: &str) -> bool {
    let mut rest = segment.split(';').next().unwrap_or_default();
    let mut dots = 0_u8;
    while let Some(after) = [".", "%2e", "%2E"].iter().find_map(|dot| rest.strip_prefix(dot)) {
        dots = dots.saturating_add(1);
        rest = after;
    }
    rest.is_empty() && matches!(dots, 1 | 2)
}

/// A query without the parameters where tokens are.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sent_query(tables: &Tables, query: &str) -> String {
    let mut sent = String::new();
    for (index, pair) in removed::kept_parameters(tables, query).enumerate() {
        if index > 0 {
            sent.push('&');
        }
        sent.push_str(pair);
    }
    sent
}

/// Whether tokens are in cookies.
#[must_use]
pub fn reads_tokens_from_cookies(tables: &Tables) -> bool {
    tables
        .token_places
        .iter()
        .any(|place| matches!(place, PlaceRow::Cookie(_)))
}

/// A `Cookie` field without the cookies where tokens are.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sent_cookies(tables: &Tables, cookies: &[u8]) -> Vec<u8> {
    let mut sent = Vec::new();
    for cookie in removed::kept_cookies(tables, cookies) {
        if !sent.is_empty() {
            sent.extend_from_slice(b"; ");
        }
        sent.extend_from_slice(cookie);
    }
    sent
}

/// The new body: the client's with `fields` set.
///
/// # Errors
/// [`SpliceError`]: a key of the body that a provider could take for one of the fields.
pub fn splice<'d>(tables: &'d Tables, facts: &BodyFacts, fields: &[FieldRow]) -> Result<Splice<'d>, SpliceError> {
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
pub fn sets_field(tables: &Tables, facts: &BodyFacts, field: &FieldRow) -> bool {
    match field.when {
        FieldWhen::Absent => facts
            .member(tables.text(field.name))
            .is_none_or(|member| member.is_null),
        FieldWhen::Always => true,
    }
}
