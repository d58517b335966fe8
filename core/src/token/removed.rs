//! A request without its tokens: what policies and routes judge is what goes on.
//!
//! The parameters and cookies where tokens are looked for never go upstream
//! ([`crate::rewrite`]), so no decision rests on them: a DENY of the path
//! `/admin` or of the cookie `a=1` is not walked around by one of them beside it.
//! So it is in Envoy, which takes a token out of a request before its policies
//! read that; only cookies Envoy leaves where they are, and upstream too.

use super::places;
use crate::decision::BadRequest;
use crate::limits::{COOKIE_LINES_MAX, KEPT_BYTES_MAX};
use crate::request::Headers;
use crate::rewrite;
use crate::tables::{PlaceRow, Tables};

pub(crate) const COOKIE: &str = "cookie";

/// The parameters of a query but for those where tokens are.
pub(crate) fn kept_parameters<'q>(tables: &Tables, query: &'q str) -> impl Iterator<Item = &'q str> {
    query.split('&').filter(|pair| !holds_token(tables, pair))
}

/// Whether a parameter of a query is one where tokens are.
fn holds_token(tables: &Tables, pair: &str) -> bool {
    let key = pair.split('=').next().unwrap_or(pair).as_bytes();
    tables.token_places.iter().any(|place| match *place {
        PlaceRow::Param(name) => places::names(key, tables.bytes(name)),
        PlaceRow::Header { .. } | PlaceRow::Cookie(_) => false,
    })
}

/// The cookies of a `Cookie` field but for those where tokens are. Without a value, or with blanks behind its name, one is
/// no token, but some servers take it for the cookie.
pub(crate) fn kept_cookies<'c>(tables: &Tables, line: &'c [u8]) -> impl Iterator<Item = &'c [u8]> {
    let holds_token = |cookie: &[u8]| {
        let name = cookie.split(|byte| *byte == b'=').next().unwrap_or(cookie).trim_ascii();
        let mut places = tables.token_places.iter();
        places.any(|place| matches!(*place, PlaceRow::Cookie(of_token) if tables.bytes(of_token) == name))
    };
    let cookies = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    cookies.filter(move |cookie| !cookie.is_empty() && !holds_token(cookie))
}

/// Where a query is written of which a parameter does not go on.
pub(crate) type QueryBuffer = heapless::String<KEPT_BYTES_MAX>;

/// The query as it goes on.
///
/// # Errors
/// [`BadRequest::PathTooLong`]
pub(crate) fn kept_query<'q>(
    tables: &Tables,
    query: Option<&'q str>,
    buffer: &'q mut QueryBuffer,
) -> Result<Option<&'q str>, BadRequest> {
    let is_looked_in = || {
        let mut places = tables.token_places.iter();
        places.any(|place| matches!(place, PlaceRow::Param(_)))
    };
    let is_changed = |query: &&str| is_looked_in() && query.split('&').any(|pair| holds_token(tables, pair));
    let Some(received) = query.filter(is_changed) else {
        return Ok(query);
    };
    buffer.clear();
    for (index, pair) in kept_parameters(tables, received).enumerate() {
        if index > 0 {
            buffer.push('&').map_err(|_| BadRequest::PathTooLong)?;
        }
        buffer.push_str(pair).map_err(|_| BadRequest::PathTooLong)?;
    }
    Ok(Some(buffer.as_str()).filter(|kept| !kept.is_empty()))
}

/// The `Cookie` fields of a request as they go on.
#[derive(Debug, Default)]
pub(crate) struct KeptCookies {
    bytes: heapless::Vec<u8, KEPT_BYTES_MAX>,
    /// Where each field ends, which begins where the one before ends.
    ends: heapless::Vec<usize, COOKIE_LINES_MAX>,
}

impl KeptCookies {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: heapless::Vec::new(),
            ends: heapless::Vec::new(),
        }
    }

    /// Writes them; `None` where they go on as they came, or nobody reads them.
    ///
    /// # Errors
    /// [`BadRequest::FieldTooLong`]
    pub(crate) fn write(&mut self, tables: &Tables, headers: &dyn Headers) -> Result<Option<&Self>, BadRequest> {
        let compare = |name: &_| tables.text(*name).cmp(COOKIE);
        if !rewrite::reads_tokens_from_cookies(tables) || tables.derived.read_headers.binary_search_by(compare).is_err()
        {
            return Ok(None);
        }
        self.bytes.clear();
        self.ends.clear();
        let mut fits = true;
        headers.each(COOKIE, &mut |line| {
            let start = self.bytes.len();
            for cookie in kept_cookies(tables, line) {
                let separator: &[u8] = if self.bytes.len() > start { b"; " } else { b"" };
                fits = fits
                    && self.bytes.extend_from_slice(separator).is_ok()
                    && self.bytes.extend_from_slice(cookie).is_ok();
            }
            if self.bytes.len() > start {
                fits = fits && self.ends.push(self.bytes.len()).is_ok();
            }
        });
        if fits {
            Ok(Some(self))
        } else {
            Err(BadRequest::FieldTooLong)
        }
    }

    pub(crate) fn each<'s>(&'s self, visit: &mut dyn FnMut(&'s [u8])) {
        let mut start = 0;
        for &end in &self.ends {
            visit(self.bytes.get(start..end).unwrap_or_default());
            start = end;
        }
    }
}
