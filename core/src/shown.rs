//! Header fields that policies, routes and authorizers are not shown as the client wrote them.
//!
//! Who the client is and what it spoke is the gateway's to say, `x-envoy-*` is
//! what Envoys tell each other, and some fields are about one connection only. As
//! in Envoy, whose connection manager rewrites the head before any filter reads
//! it, a client's own words there choose no rule: what is judged is what goes on.
//!
//! Which of the names that a configuration reads these are is settled when it is
//! compiled ([`ShownRow`]), so that all other names cost nothing.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/header_sanitizing>

use core::fmt::Write as _;
use core::net::IpAddr;

use crate::attributes::Attributes;
use crate::decision::BadRequest;
use crate::limits::SHOWN_BYTES_MAX;
use crate::remote;
use crate::request::{Connection, Headers, Scheme};
use crate::tables::{Span, Tables};
use crate::upgrade::Upgrade;

/// The client's addresses, the last of them its own.
pub const FORWARDED_FOR: &str = "x-forwarded-for";

/// The scheme that the client speaks.
pub const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// The client's address as far as it can be trusted.
pub const EXTERNAL_ADDRESS: &str = "x-envoy-external-address";

/// Of the families that begin so, no field of a client's is shown.
const INTERNAL: &str = "x-envoy-";

/// How a field is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

impl Showing {
    /// How the field `name`, lower case, is shown; `None` as sent.
    pub(crate) fn of(name: &str) -> Option<Self> {
        match name {
            FORWARDED_FOR => Some(Self::ForwardedFor),
            FORWARDED_PROTO => Some(Self::ForwardedProto),
            EXTERNAL_ADDRESS => Some(Self::ExternalAddress),
            "te" => Some(Self::Trailers),
            "connection" | "upgrade" => Some(Self::OfUpgrade),
            "keep-alive" | "proxy-connection" | "transfer-encoding" => Some(Self::Nothing),
            _ => name.starts_with(INTERNAL).then_some(Self::Nothing),
        }
    }

    /// Whether its value is the gateway's own, and no secret of the client's.
    #[cfg(feature = "alloc")]
    pub(crate) fn is_of_gateway(self) -> bool {
        matches!(self, Self::ForwardedFor | Self::ForwardedProto | Self::ExternalAddress)
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
    /// Where `x-forwarded-for` ends; behind it stands the external address.
    forwarded_for: usize,
}

impl Written {
    pub(crate) const fn new() -> Self {
        Self {
            bytes: heapless::Vec::new(),
            forwarded_for: 0,
        }
    }

    /// Writes what the configuration reads.
    ///
    /// # Errors
    /// [`BadRequest::FieldTooLong`]
    pub(crate) fn write(
        &mut self,
        tables: &Tables<'_>,
        headers: &dyn Headers,
        connection: &Connection<'_>,
        remote: IpAddr,
    ) -> Result<(), BadRequest> {
        let reads = |showing| tables.shown.iter().any(|row| row.showing == showing);
        if tables.shown.is_empty() {
            return Ok(());
        }
        self.bytes.clear();
        let mut fits = true;
        if reads(Showing::ForwardedFor) {
            forwarded_for(headers, connection, &mut |piece| {
                fits = fits && self.bytes.extend_from_slice(piece).is_ok();
            });
        }
        self.forwarded_for = self.bytes.len();
        if reads(Showing::ExternalAddress) {
            fits = fits && write!(self.bytes, "{remote}").is_ok();
        }
        if fits { Ok(()) } else { Err(BadRequest::FieldTooLong) }
    }
}

/// Calls `visit` with each value that a field of the client's has as `row` has it shown.
pub(crate) fn each<'s>(tables: &Tables<'_>, row: &ShownRow, seen: &Attributes<'s>, visit: &mut dyn FnMut(&'s [u8])) {
    let written = seen.written.bytes.split_at_checked(seen.written.forwarded_for);
    let (forwarded_for, external_address) = written.unwrap_or_default();
    let name = tables.text(row.name);
    match row.showing {
        Showing::Nothing => {}
        Showing::ForwardedFor => visit(forwarded_for),
        Showing::ForwardedProto => visit(seen.scheme.as_str().as_bytes()),
        Showing::ExternalAddress => visit(external_address),
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
    }
}

const TRAILERS: &[u8] = b"trailers";

/// How the field `name`, lower case, is shown, if it is one that the configuration reads and not shown as sent.
pub(crate) fn row<'t>(tables: &Tables<'t>, name: &str) -> Option<&'t ShownRow> {
    let found = tables
        .shown
        .binary_search_by(|row| tables.text(row.name).cmp(name))
        .ok()?;
    tables.shown.get(found)
}

/// The pieces of `x-forwarded-for` as it goes on: what the client's lines say, and after that the client's own address,
/// of the connection or a PROXY header.
pub fn forwarded_for(headers: &dyn Headers, connection: &Connection<'_>, write: &mut dyn FnMut(&[u8])) {
    headers.each(FORWARDED_FOR, &mut |line| {
        // As in Envoy, a line with nothing in it adds nothing.
        if !line.is_empty() {
            write(line);
            write(b",");
        }
    });
    let mut text: heapless::String<ADDRESS_BYTES_MAX> = heapless::String::new();
    // The longest fits.
    let _ = write!(text, "{}", connection.client());
    write(text.as_bytes());
}

/// `x-envoy-external-address` as it goes on: the client's address as far as it can be trusted.
#[must_use]
pub fn external_address(tables: &Tables<'_>, headers: &dyn Headers, connection: &Connection<'_>) -> IpAddr {
    remote::address(headers, tables.edge.trusted_proxies, connection)
}

/// `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255`
const ADDRESS_BYTES_MAX: usize = 45;

/// The scheme that the client speaks: as in Envoy, what a trusted proxy in front says, if that is one, and what is spoken
/// here otherwise.
#[must_use]
pub fn forwarded_scheme(tables: &Tables<'_>, headers: &dyn Headers, spoken: Scheme) -> Scheme {
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
