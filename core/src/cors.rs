//! `corsPolicy`: what a browser is told when a page of another origin asks.
//!
//! As Envoy's CORS filter has it, which istiod configures and which stands
//! behind every policy: a preflight is answered here, and any other request of
//! an origin that is allowed is sent on and its answer gets a few fields. The
//! filter keeps nobody out; browsers do.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#CorsPolicy>

use crate::request::Headers;
use crate::route;
use crate::tables::{CorsRow, RuleRow, Span, Tables};

/// What an answer says to a page of another origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrossOrigin<'d> {
    row: &'d CorsRow,
    /// The origin, when it is allowed.
    origin: Option<&'d [u8]>,
    /// The method and the header fields that a preflight asks for.
    asked: Option<(&'d [u8], &'d [u8])>,
}

impl<'d> CrossOrigin<'d> {
    /// Whether the origin is one of those that the policy allows.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.origin.is_some()
    }

    /// Whether it is a preflight that is answered here.
    pub(crate) fn answers(&self) -> bool {
        self.asked.is_some() && (self.is_allowed() || !self.row.forwards_unmatched)
    }

    /// The fields of the answer, each its only value.
    pub fn fields(&self, tables: &'d Tables) -> impl Iterator<Item = (&'static str, &'d [u8])> + use<'d> {
        let Self { row, origin, asked } = *self;
        let text = move |span: Option<Span>| span.map(|span| tables.bytes(span));
        let or_asked = move |span, asked: &'d [u8]| match text(span) {
            Some(b"*") => Some(asked),
            listed => listed,
        };
        let preflight = asked.filter(|_| self.answers());
        let speaks = origin.is_some() || preflight.is_some();
        [
            ("access-control-allow-origin", origin),
            (
                "access-control-allow-credentials",
                (speaks && row.credentials).then_some(&b"true"[..]),
            ),
            (
                "access-control-allow-methods",
                preflight.and_then(|(method, _)| or_asked(row.methods, method)),
            ),
            (
                "access-control-allow-headers",
                preflight.and_then(|(_, headers)| or_asked(row.headers, headers)),
            ),
            ("access-control-max-age", preflight.and_then(|_| text(row.max_age))),
            ("access-control-expose-headers", origin.and_then(|_| text(row.exposed))),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
    }
}

/// What the rule's policy says of a request; `None` when there is none, or the request names no origin.
pub(crate) fn judge<'d>(
    tables: &'d Tables,
    rule: &RuleRow,
    method: &str,
    headers: &'d dyn Headers,
) -> Option<CrossOrigin<'d>> {
    let row = tables.cors.get(rule.cors? as usize)?;
    let origin = only(headers, "origin").filter(|origin| !origin.is_empty())?;
    let mut tests = row.origins.of(&tables.cors_origins).iter();
    // A test that takes a star takes every origin.
    let is_allowed = tests.any(|test| route::passes(tables, *test, b"*") || route::passes(tables, *test, origin));
    let asked = is_preflight(method, headers).then(|| {
        let of = |name| only(headers, name).unwrap_or_default();
        (of(REQUEST_METHOD), of(REQUEST_HEADERS))
    });
    Some(CrossOrigin {
        row,
        origin: is_allowed.then_some(origin),
        asked,
    })
}

/// The fields of a request that count.
#[cfg(feature = "alloc")]
pub(crate) const READ_FIELDS: [&str; 3] = ["origin", REQUEST_METHOD, REQUEST_HEADERS];

const REQUEST_HEADERS: &str = "access-control-request-headers";
const REQUEST_METHOD: &str = "access-control-request-method";

/// A CORS preflight: browsers send it without credentials, so Istio asks for none (`bypassCorsPreflight`).
pub(crate) fn is_preflight(method: &str, headers: &dyn Headers) -> bool {
    let has = |name| {
        let mut found = false;
        headers.each(name, &mut |value| found |= !value.is_empty());
        found
    };
    method == "OPTIONS" && has("origin") && has(REQUEST_METHOD)
}

/// The value of a field; of several none, since they would be another text together.
fn only<'h>(headers: &'h dyn Headers, name: &str) -> Option<&'h [u8]> {
    let (mut values, mut last) = (0_u32, None);
    headers.each(name, &mut |value| {
        values = values.saturating_add(1);
        last = Some(value);
    });
    last.filter(|_| values == 1)
}
