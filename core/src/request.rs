//! What a decision reads of a request: borrowed, as the client sent it.
//!
//! Shells build a [`Request`] from whatever they hold (hyper's parts, a JSON
//! object in the browser, a fuzzer's bytes). Nothing here is normalised:
//! [`crate::authority`] and [`crate::path`] do that, once, inside
//! [`crate::decide::decide`].

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::proxy_header::Proxied;
use crate::upgrade::Upgrade;

/// Access to header fields by name, as the client sent them.
pub trait Headers {
    /// Calls `visit` with every value of the field `name`, in the order received.
    ///
    /// `name` is lower case; implementations compare without regard to ASCII
    /// case. Values come without leading and trailing blanks. Several lines of
    /// one name are several values and are never joined.
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8]));

    /// Whether the field `name` has several lines.
    fn is_repeated(&self, name: &str) -> bool {
        let mut lines = 0_u32;
        self.each(name, &mut |_| lines = lines.saturating_add(1));
        lines > 1
    }
}

/// Plain pairs, for tests, fuzzers and the simulator.
impl Headers for [(&str, &[u8])] {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for (key, value) in self {
            if key.eq_ignore_ascii_case(name) {
                visit(value.trim_ascii());
            }
        }
    }
}

/// A borrowed slice of pairs.
impl Headers for &[(&str, &[u8])] {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        (**self).each(name, visit);
    }
}

/// No header fields at all.
impl Headers for () {
    fn each<'h>(&'h self, _: &str, _: &mut dyn FnMut(&'h [u8])) {}
}

/// One request, as far as a decision may depend on it.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The method, case as sent.
    pub method: &'r str,
    /// The authority that stands beside or instead of the `Host` field.
    ///
    /// `None` when only the `Host` field names the authority (the usual case in HTTP/1.1).
    pub authority: Option<SentAuthority<'r>>,
    /// Path and query in origin form, as sent (`/v1/chat/completions?x=1`).
    pub target: &'r str,
    /// The header fields, `host` included when the client sent one.
    pub headers: &'r dyn Headers,
    /// The connection it came on.
    pub connection: Connection<'r>,
}

/// An authority outside of the header fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentAuthority<'r> {
    /// `host[:port]`.
    pub text: &'r str,
    /// The scheme before it, in any case; an authority by itself, as of CONNECT, has none.
    pub scheme: Option<&'r str>,
    /// Where it stands.
    pub form: AuthorityForm,
    /// What an extended CONNECT asks for in the `:protocol` beside it (RFC 8441). The request is then, as in Envoy, the
    /// GET that asks for the same in HTTP/1.1, but for this: no other answer may look like an agreement.
    pub upgrade: Option<Upgrade>,
}

/// Where an authority stands that is not in a `Host` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "HTTP has these two")]
pub enum AuthorityForm {
    /// In the target of HTTP/1.1. A `Host` beside it means nothing (RFC 9112 §3.2.2).
    Target,
    /// In `:authority` of HTTP/2. A `Host` beside it must say the same (RFC 9113 §8.3.1).
    Pseudo,
}

impl<'r> SentAuthority<'r> {
    /// The authority of a target `http://text/…`.
    #[must_use]
    pub const fn target(text: &'r str) -> Self {
        Self {
            text,
            scheme: Some("http"),
            form: AuthorityForm::Target,
            upgrade: None,
        }
    }

    /// An `:authority`.
    #[must_use]
    pub const fn pseudo(text: &'r str) -> Self {
        Self {
            text,
            scheme: Some("http"),
            form: AuthorityForm::Pseudo,
            upgrade: None,
        }
    }
}

/// What the shell knows of the connection that a request came on. Nothing a client writes into a head changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection<'r> {
    /// Whether the client speaks TLS to this gateway.
    pub scheme: Scheme,
    /// The address of the TCP peer (Istio's `source.ip`, `ipBlocks`).
    pub peer: IpAddr,
    /// The client's address as a PROXY protocol header named it. It takes the peer's place as `remote.ip`, never as
    /// `source.ip`.
    pub proxied: Option<IpAddr>,
    /// The address the client connected to, a PROXY protocol header's when there was one (Istio's `destination.ip`).
    pub local: IpAddr,
    /// The *logical* port of the listener: the number of the Gateway server, not the socket's.
    pub port: u16,
    /// The port that policies compare (Istio's `destination.port`): `port`, or a PROXY protocol header's.
    pub destination_port: u16,
    /// The TLS server name that the client asked for, lower-cased.
    pub sni: Option<&'r str>,
    /// The SPIFFE id of the client's verified certificate, as [`spiffe_id`] has it: `cluster.local/ns/a/sa/b`.
    pub spiffe_id: Option<&'r str>,
    /// What [`crate::client_cert`] says of that certificate; `None` when there is none.
    pub client_cert: Option<&'r str>,
}

impl<'r> Connection<'r> {
    /// A plain-text connection from `peer` to the listener `port`, without PROXY protocol.
    ///
    /// The address it came to is the unspecified one: no block of one address holds it.
    #[must_use]
    pub const fn plain(peer: IpAddr, port: u16) -> Self {
        Self {
            scheme: Scheme::Http,
            peer,
            proxied: None,
            local: match peer {
                IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            },
            port,
            destination_port: port,
            sni: None,
            spiffe_id: None,
            client_cert: None,
        }
    }
}

impl Connection<'_> {
    /// The client's address as far as the connection tells it.
    pub(crate) fn client(&self) -> IpAddr {
        self.proxied.unwrap_or(self.peer)
    }

    /// The same connection with what a PROXY protocol header tells of it. The TCP peer and the listener stay.
    #[must_use]
    pub const fn behind(self, proxied: Proxied) -> Self {
        Self {
            proxied: Some(proxied.source().ip()),
            local: proxied.destination().ip(),
            destination_port: proxied.destination().port(),
            ..self
        }
    }
}

/// A certificate names more than one SPIFFE id. Whose it is, is not defined (SPIFFE X509-SVID §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeveralIds;

/// The id among the URI names of a certificate: the one that is `spiffe://…`, without that.
///
/// # Errors
/// [`SeveralIds`]
pub fn spiffe_id<'n>(uri_names: impl IntoIterator<Item = &'n str>) -> Result<Option<&'n str>, SeveralIds> {
    let mut ids = uri_names.into_iter().filter_map(|name| name.strip_prefix("spiffe://"));
    let id = ids.next();
    match ids.next() {
        Some(_) => Err(SeveralIds),
        None => Ok(id),
    }
}

impl fmt::Display for SeveralIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a certificate with more than one `spiffe://` name is refused in the handshake")
    }
}

impl core::error::Error for SeveralIds {}

/// The scheme a client speaks to this gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain text.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    /// As URLs write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values may carry credentials, so they never appear here.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("authority", &self.authority)
            .field("target", &self.target)
            .field("connection", &self.connection)
            .finish_non_exhaustive()
    }
}
