//! Header fields that policies, routes and authorizers are not shown as the client wrote them.
//!
//! Who the client is and what it spoke is the gateway's to say, `x-envoy-*` is
//! what Envoys tell each other, and some fields are about one connection only. As
//! in Envoy, whose connection manager rewrites the head before any filter reads
//! it, a client's own words there choose no rule: what is judged is what goes on.
//! And as there, several lines of a field that has one value are one, in what is
//! judged and in what goes on, so that none of them is read by itself.
//!
//! Which of the names that a configuration reads these are is settled when it is
//! compiled ([`ShownRow`]), so that all other names cost nothing.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/header_sanitizing>

use core::fmt::Write as _;
use core::net::IpAddr;

use crate::attributes::Attributes;
use crate::decision::BadRequest;
use crate::limits::{REQUEST_ID_BYTES_MAX, SHOWN_BYTES_MAX};
use crate::remote;
use crate::request::{Connection, Headers, Scheme};
#[cfg(feature = "alloc")]
use crate::rewrite;
use crate::tables::{Span, Tables};
use crate::upgrade::Upgrade;

/// The client's addresses, the last of them its own.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The scheme that the client speaks.
pub const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The client's address as far as it can be trusted.
pub const EXTERNAL_ADDRESS: &str = "x-envoy-external-address";

/// What the gateway writes or adds to.
pub(crate) const OF_GATEWAY: [&str; 3] = [FORWARDED_FOR, FORWARDED_PROTO, EXTERNAL_ADDRESS];

/// What one request is called in all logs.
pub const REQUEST_ID: &str = "x-request-id";

/// How a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Showing {
    /// As if it were not there.
    Nothing,
    /// The client's lines as one value, and its address after them.
    ForwardedFor,
    /// The scheme alone.
    ForwardedProto,
    /// The client's address.
    ExternalAddress,
    /// `te` tells the next hop nothing but `trailers`.
    Trailers,
    /// As sent where it asks for an upgrade.
    OfUpgrade,
    /// The first line if it goes on. One that the gateway makes cannot be known.
    RequestId,
    /// Several lines as one value.
    Joined,
}

/// Fields of which Envoy keeps one value, and joins another line to it by a comma. Of any other field each line is a value
/// of its own.
pub(crate) const JOINED: [&str; 27] = [
    "accept",
    "accept-encoding",
    "access-control-request-headers",
    "access-control-request-method",
    "access-control-request-private-network",
    "authorization",
    "cache-control",
    "cdn-loop",
    "content-encoding",
    "content-type",
    "expect",
    "grpc-accept-encoding",
    "grpc-timeout",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "origin",
    "pragma",
    "proxy-status",
    "referer",
    "user-agent",
    "via",
    "x-client-trace-id",
    "x-forwarded-host",
    "x-forwarded-port",
];

/// Of each of them, of `x-forwarded-for` and the address a value may be written.
const WRITTEN_MAX: usize = JOINED.len() + 2;

#[cfg(feature = "alloc")]
impl Showing {
    /// How the field `name`, lower case, is shown; `None` as sent. What other proxies say of the client counts where the
    /// mesh trusts some.
    pub(crate) fn of(name: &str, trusted_proxies: u32) -> Option<Self> {
        match name {
            FORWARDED_FOR => Some(Self::ForwardedFor),
            FORWARDED_PROTO => Some(Self::ForwardedProto),
            EXTERNAL_ADDRESS => Some(Self::ExternalAddress),
            "te" => Some(Self::Trailers),
            "connection" | "upgrade" => Some(Self::OfUpgrade),
            "keep-alive" | "proxy-connection" | "transfer-encoding" => Some(Self::Nothing),
            REQUEST_ID => Some(Self::RequestId),
            _ if rewrite::is_internal(name) => Some(Self::Nothing),
            _ if rewrite::is_hearsay(trusted_proxies, name) => Some(Self::Nothing),
            _ => is_joined(name).then_some(Self::Joined),
        }
    }
}

/// A name that the configuration reads and that is not shown as sent. Sorted by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ShownRow {
    pub(crate) name: Span,
    pub(crate) showing: Showing,
}

/// Values that stand nowhere in the head: each is written once, when the head is read.
#[derive(Debug, Default)]
pub(crate) struct Written {
    bytes: heapless::Vec<u8, SHOWN_BYTES_MAX>,
    /// The index in `shown`, and where its value ends, which begins where the one before ends.
    ends: heapless::Vec<(usize, usize), WRITTEN_MAX>,
}

impl Written {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: heapless::Vec::new(),
            ends: heapless::Vec::new(),
        }
    }

    /// Writes what the configuration reads.
    ///
    /// # Errors
    /// [`BadRequest::FieldTooLong`]
    pub(crate) fn write(
        &mut self,
        tables: &Tables,
        headers: &dyn Headers,
        connection: &Connection<'_>,
        remote: IpAddr,
    ) -> Result<(), BadRequest> {
        if tables.derived.shown.is_empty() {
            return Ok(());
        }
        self.bytes.clear();
        self.ends.clear();
        for (index, row) in tables.derived.shown.iter().enumerate() {
            let mut fits = true;
            let mut add = |piece: &[u8]| fits = fits && self.bytes.extend_from_slice(piece).is_ok();
            match row.showing {
                Showing::ForwardedFor => forwarded_for(headers, connection, &mut add),
                Showing::ExternalAddress => fits = write!(self.bytes, "{remote}").is_ok(),
                Showing::Joined if headers.is_repeated(tables.text(row.name)) => {
                    join(headers, tables.text(row.name), &mut add);
                }
                _ => continue,
            }
            if !fits || self.ends.push((index, self.bytes.len())).is_err() {
                return Err(BadRequest::FieldTooLong);
            }
        }
        Ok(())
    }

    /// What was written for `shown[index]`.
    fn of(&self, index: usize) -> Option<&[u8]> {
        let at = self.ends.iter().position(|(of, _)| *of == index)?;
        let start = at.checked_sub(1).and_then(|before| self.ends.get(before));
        let (_, end) = self.ends.get(at)?;
        self.bytes.get(start.map_or(0, |(_, start)| *start)..*end)
    }
}

/// Whether several lines of the field `name`, lower case, are one value: they are judged so, and go on as one line.
#[must_use]
pub fn is_joined(name: &str) -> bool {
    JOINED.contains(&name)
}

/// The pieces of all lines as one value. As in Envoy, a line with nothing in it adds nothing.
pub fn join(headers: &dyn Headers, name: &str, write: &mut dyn FnMut(&[u8])) {
    let mut is_first = true;
    headers.each(name, &mut |line| {
        if !line.is_empty() {
            if !is_first {
                write(b",");
            }
            write(line);
            is_first = false;
        }
    });
}

/// Calls `visit` with each value that a field of the client's has as `shown[index]` has it shown.
pub(crate) fn each<'s>(tables: &Tables, index: usize, seen: &Attributes<'s>, visit: &mut dyn FnMut(&'s [u8])) {
    let Some(row) = tables.derived.shown.get(index) else {
        return;
    };
    let name = tables.text(row.name);
    match row.showing {
        Showing::Nothing => {}
        Showing::ForwardedProto => visit(seen.scheme.as_str().as_bytes()),
        Showing::ForwardedFor | Showing::ExternalAddress | Showing::Joined => match seen.written.of(index) {
            Some(value) => visit(value),
            None => seen.headers.each(name, visit),
        },
        Showing::Trailers => {
            let mut has = false;
            seen.headers.each(name, &mut |value| {
                let mut codings = value.split(|byte| *byte == b',');
                has = has || codings.any(|coding| coding.trim_ascii() == TRAILERS);
            });
            if has {
                visit(TRAILERS);
            }
        }
        Showing::OfUpgrade => {
            if Upgrade::asked(seen.method, seen.headers).is_some() {
                seen.headers.each(name, visit);
            }
        }
        Showing::RequestId => {
            let mut first = None;
            seen.headers.each(name, &mut |value| first = first.or(Some(value)));
            first.filter(|id| is_request_id(id)).into_iter().for_each(visit);
        }
    }
}

/// Whether a client's `x-request-id` goes on: one that every log can carry. Another is made in place of any other.
#[must_use]
pub fn is_request_id(value: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=@".contains(byte);
    (1..=REQUEST_ID_BYTES_MAX).contains(&value.len()) && value.iter().all(is_plain)
}

const TRAILERS: &[u8] = b"trailers";

/// Where in `shown` the field `name`, lower case, is, if it is one that the configuration reads and not shown as sent.
pub(crate) fn index(tables: &Tables, name: &str) -> Option<usize> {
    tables
        .derived
        .shown
        .binary_search_by(|row| tables.text(row.name).cmp(name))
        .ok()
}

/// The pieces of `x-forwarded-for` as it goes on: what the client's lines say, and after that the client's own address,
/// of the connection or a PROXY header.
pub fn forwarded_for(headers: &dyn Headers, connection: &Connection<'_>, write: &mut dyn FnMut(&[u8])) {
    let mut has_lines = false;
    join(headers, FORWARDED_FOR, &mut |piece| {
        write(piece);
        has_lines = true;
    });
    if has_lines {
        write(b",");
    }
    let mut text: heapless::String<ADDRESS_BYTES_MAX> = heapless::String::new();
    // The longest fits.
    let _ = write!(text, "{}", connection.client());
    write(text.as_bytes());
}

/// `x-envoy-external-address` as it goes on: the client's address as far as it can be trusted.
#[must_use]
pub fn external_address(tables: &Tables, headers: &dyn Headers, connection: &Connection<'_>) -> IpAddr {
    remote::address(headers, tables.edge.trusted_proxies, connection)
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const ADDRESS_BYTES_MAX: usize = 45;

/// The scheme that the client speaks: as in Envoy, what a trusted proxy in front says, if that is one, and what is spoken
/// here otherwise.
#[must_use]
pub fn forwarded_scheme(tables: &Tables, headers: &dyn Headers, spoken: Scheme) -> Scheme {
    let (mut lines, mut told) = (0_u32, None);
    if tables.edge.trusted_proxies > 0 {
        headers.each(FORWARDED_PROTO, &mut |value| {
            lines = lines.saturating_add(1);
            let is = |scheme: &Scheme| value.eq_ignore_ascii_case(scheme.as_str().as_bytes());
            told = [Scheme::Http, Scheme::Https].into_iter().find(is);
        });
    }
    // Two lines are a list, and that is no scheme.
    told.filter(|_| lines == 1).unwrap_or(spoken)
}
