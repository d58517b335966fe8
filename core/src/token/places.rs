//! Where a request's token is: the places that the rules name, and no other.
//!
//! A place is a header field with a prefix, a query parameter or a cookie.
//! Tokens in two places, or twice in one, would make it a matter of taste whose
//! request it is, so such a request is refused (a deliberate, safer departure
//! from Envoy, which takes any one that is good).

use core::fmt;

use super::TokenError;
use crate::request::Headers;
use crate::tables::{PlaceRow, Span, Tables, TokenPlaceId, TokenRuleId};

/// A token as it was sent, not yet looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SentToken<'d> {
    text: &'d [u8],
    place: TokenPlaceId,
}

impl<'d> SentToken<'d> {
    /// The token itself: a credential, so never shown.
    #[must_use]
    pub const fn text(&self) -> &'d [u8] {
        self.text
    }

    /// Where it is.
    #[must_use]
    pub const fn place(&self) -> TokenPlaceId {
        self.place
    }

    /// The rules that look for tokens where this one is.
    pub fn rules(&self, tables: &'d Tables) -> impl Iterator<Item = TokenRuleId> + use<'d> {
        self.place.rules(tables)
    }
}

impl TokenPlaceId {
    /// The rules that look for tokens there, ordered by issuer.
    pub fn rules<'d>(self, tables: &'d Tables) -> impl Iterator<Item = TokenRuleId> + use<'d> {
        let place_ids = &tables.token_place_ids;
        let rules = tables.token_rules.iter().zip(0..);
        rules
            .filter(move |(rule, _)| rule.places.of(place_ids).contains(&self.0))
            .map(|(_, id)| TokenRuleId(id))
    }
}

impl fmt::Debug for SentToken<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentToken")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

/// The one token of a request; `None` when it has none.
///
/// # Errors
/// [`TokenError::SeveralTokens`]
pub(crate) fn find<'d>(
    tables: &'d Tables,
    headers: &'d dyn Headers,
    query: Option<&'d str>,
) -> Result<Option<SentToken<'d>>, TokenError> {
    let mut found = Found::default();
    for (row, place) in tables.token_places.iter().zip((0..).map(TokenPlaceId)) {
        let mut add = |text: &'d [u8]| found.add(SentToken { text, place });
        match *row {
            PlaceRow::Header { name, prefix } => in_header(tables, headers, (name, prefix), &mut add),
            PlaceRow::Param(name) => in_query(query.unwrap_or(""), tables.bytes(name), &mut add),
            PlaceRow::Cookie(name) => in_cookies(headers, tables.bytes(name), &mut add),
        }
    }
    found.token
}

/// Whether the token of a request with these `headers` is in the field `name`.
pub(crate) fn is_in_field(tables: &Tables, headers: &dyn Headers, name: &str) -> bool {
    tables.token_places.iter().any(|row| match *row {
        PlaceRow::Header { name: own, prefix } if tables.text(own) == name => {
            let mut is_there = false;
            in_header(tables, headers, (own, prefix), &mut |_| is_there = true);
            is_there
        }
        _ => false,
    })
}

struct Found<'d> {
    token: Result<Option<SentToken<'d>>, TokenError>,
}

impl Default for Found<'_> {
    fn default() -> Self {
        Self { token: Ok(None) }
    }
}

impl<'d> Found<'d> {
    fn add(&mut self, token: SentToken<'d>) {
        self.token = match self.token {
            Ok(None) => Ok(Some(token)),
            Ok(Some(_)) | Err(_) => Err(TokenError::SeveralTokens),
        };
    }
}

/// The prefix is compared as it is: `bearer x` and `Basic x` are no tokens, nor is `Bearer` with nothing after it.
/// A second line of the field makes two of one token.
fn in_header<'d>(
    tables: &'d Tables,
    headers: &'d dyn Headers,
    (name, prefix): (Span, Span),
    add: &mut dyn FnMut(&'d [u8]),
) {
    let mut token = None;
    let mut lines = 0_usize;
    headers.each(tables.text(name), &mut |line| {
        lines = lines.saturating_add(1);
        // Where a rule looks for a longer one, the token is there, and the shorter one does not make a second of it.
        let is_longest = |_: &&[u8]| prefix_of(tables, tables.text(name), line) == Some(tables.text(prefix));
        token = token.or(line.strip_prefix(tables.bytes(prefix)).filter(is_longest));
    });
    let Some(token) = token else { return };
    for _ in 0..lines.min(2) {
        add(token.trim_ascii());
    }
}

/// What stands before the token in a line of the field `name`, lower case: the longest of the prefixes that rules look
/// for there.
pub(crate) fn prefix_of<'d>(tables: &'d Tables, name: &str, line: &[u8]) -> Option<&'d str> {
    let prefixes = tables.token_places.iter().filter_map(|place| match *place {
        PlaceRow::Header { name: own, prefix } if tables.text(own) == name => Some(tables.text(prefix)),
        _ => None,
    });
    prefixes
        .filter(|prefix| line.starts_with(prefix.as_bytes()))
        .max_by_key(|prefix| prefix.len())
}

fn in_query<'d>(query: &'d str, name: &[u8], add: &mut dyn FnMut(&'d [u8])) {
    for pair in query.split('&').map(str::as_bytes) {
        let equals = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let (key, value) = pair.split_at_checked(equals).unwrap_or((pair, b""));
        // As in Envoy, a name alone has an empty value, which is a bad token.
        if names(key, name) {
            add(value.strip_prefix(b"=").unwrap_or(value));
        }
    }
}

/// Whether the key of a query parameter is `name`, percent-decoded.
pub(crate) fn names(key: &[u8], name: &[u8]) -> bool {
    Decoded(key).eq(name.iter().copied())
}

struct Decoded<'k>(&'k [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        let digit = |index: usize| char::from(*rest.get(index)?).to_digit(16);
        if first == b'%'
            && let (Some(high), Some(low)) = (digit(0), digit(1))
        {
            self.0 = rest.get(2..).unwrap_or_default();
            return u8::try_from(high << 4 | low).ok();
        }
        self.0 = rest;
        Some(first)
    }
}

fn in_cookies<'d>(headers: &'d dyn Headers, name: &[u8], add: &mut dyn FnMut(&'d [u8])) {
    headers.each("cookie", &mut |line| {
        for pair in line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii) {
            if let Some(value) = pair.strip_prefix(name).and_then(|rest| rest.strip_prefix(b"=")) {
                add(unquoted(value));
            }
        }
    });
}

fn unquoted(value: &[u8]) -> &[u8] {
    let inner = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    inner.unwrap_or(value)
}
