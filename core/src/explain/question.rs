//! A request in words, read as the gateway reads one from the network.
//!
//! What the command line, the admin port, the simulator and scenarios ask with:
//! they say where its parts come from, and this is the one place that makes a
//! [`Request`] of them.

use alloc::borrow::{Cow, ToOwned};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr};

use serde::Deserialize;

use super::upstream::list_dropped;
use super::{Explanation, Verdict, explanation, head, presumed_server_name};
use crate::check::{AssumedAnswer, AssumedAnswers, Checked, borrow_answers, borrow_fields};
use crate::cidr::canonical;
use crate::claims::ClaimSet;
use crate::client_cert::of_uri_names;
use crate::decide::{Body, Identity, Known, Scratch, decide};
use crate::decision::Decision;
use crate::field_value::FieldValue;
use crate::limits::BODY_BYTES_MAX_DEFAULT;
use crate::llm::body::{BodyError, BodyScan};
use crate::llm::media::media;
use crate::request::{Connection, Headers, Request, Scheme, SentAuthority, spiffe_id};
use crate::snapshot::Snapshot;
use crate::token::places;
use crate::token::removed::COOKIE;
use crate::token::{TokenError, assume};
use crate::upgrade::Upgrade;

/// A request to explain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Question {
    /// GET, or POST when there is a body, unless given.
    pub method: Option<String>,
    /// What the request line says: path and query, or a URL.
    pub target: Target,
    /// `:authority` of HTTP/2; in HTTP/1.1 the `host` header says it.
    pub authority: Option<String>,
    /// `:protocol` of HTTP/2: an extended CONNECT, which needs no method and no `upgrade`.
    pub protocol: Option<String>,
    /// Name and value of each field, in order.
    pub headers: Vec<(String, FieldValue)>,
    /// Who sent it, over which connection.
    pub client: Client,
    /// What the client's token claims, as JSON, taken as verified.
    pub claims: Option<String>,
    /// Why the client's token must not pass; not beside claims.
    pub token_error: Option<TokenError>,
    /// What external authorizers would say, by their names; one that is not here is left open.
    pub checks: AssumedAnswers,
    /// The body; without one its check is left open.
    pub body: Option<String>,
    /// Why the body cannot be sent on; not beside a body.
    pub body_error: Option<BodyError>,
    /// Chooses among weighted backends.
    pub entropy: u64,
}

/// The connection of a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Client {
    /// The client's address; 127.0.0.1 when not given.
    pub peer: Option<IpAddr>,
    /// The client's address as a PROXY protocol header names it.
    pub proxied: Option<IpAddr>,
    /// The address the client connected to, as a PROXY protocol header or the socket has it.
    pub destination_ip: Option<IpAddr>,
    /// The port that policies compare, as a PROXY protocol header names it; the logical port when not given.
    pub destination_port: Option<u16>,
    /// The logical port; by default the URL's, else the first that listens.
    pub port: Option<u16>,
    /// The server name that the client asked for in TLS; the request's host by default, where the port speaks TLS. An
    /// empty one stands for none.
    pub sni: Option<String>,
    /// The URI names of the client's certificate.
    pub peer_uris: Vec<String>,
    /// What `x-forwarded-client-cert` says of that certificate; its URI names when not given.
    pub peer_cert: Option<String>,
}

/// Where a request goes: a path, or a URL, whose authority then stands for a missing `host`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(try_from = "String")]
pub struct Target {
    authority: Option<String>,
    /// The port, when the URL tells one that is not the scheme's own.
    port: Option<u16>,
    is_https: bool,
    path: String,
}

impl Target {
    /// Path and query; `None` where a request says neither, as CONNECT does.
    #[must_use]
    pub fn path(text: &str) -> Option<Self> {
        let is_path = text.starts_with('/') || text == "*";
        is_path.then(|| Self {
            path: text.to_owned(),
            ..Self::default()
        })
    }

    /// Reads a URL (`http://` or `https://`) or a path.
    ///
    /// # Errors
    /// Why it is neither, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = Self::path(text) {
            return Ok(path);
        }
        let (scheme, rest) = text.split_once("://").ok_or_else(|| not_a_target(text))?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return Err(not_a_target(text));
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split('#').next().unwrap_or_default();
        let (_, port) = authority
            .rsplit_once(':')
            .filter(|(_, port)| !port.ends_with(']'))
            .unzip();
        let port = port
            .map(|port| port.parse().map_err(|_| format!("`{text}` has no valid port")))
            .transpose()?;
        if authority.is_empty() {
            return Err(not_a_target(text));
        }
        Ok(Self {
            authority: Some(authority.to_owned()),
            port: port.or(is_https.then_some(443)),
            is_https,
            path: match path.starts_with('/') {
                true => path.to_owned(),
                false => format!("/{path}"),
            },
        })
    }
}

fn not_a_target(text: &str) -> String {
    format!("`{text}` is neither a URL nor a path: begin with http:// or /")
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(authority) = &self.authority {
            let scheme = if self.is_https { "https" } else { "http" };
            write!(f, "{scheme}://{authority}")?;
        }
        f.write_str(&self.path)
    }
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

/// Fields as they arrive: blanks around a value are none of it (RFC 9110 §5.5).
pub(super) struct Fields<'q>(pub(super) &'q [(String, FieldValue)]);

impl Headers for Fields<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for (key, value) in self.0 {
            if key.eq_ignore_ascii_case(name) {
                visit(value.as_bytes().trim_ascii());
            }
        }
    }
}

impl Fields<'_> {
    fn first(&self, name: &str) -> Option<&[u8]> {
        let mut first = None;
        self.each(name, &mut |value| first = first.or(Some(value)));
        first
    }
}

impl Question {
    /// Asks the engine what it decides, and why.
    ///
    /// # Errors
    /// What is wrong with the head, so that a gateway would not come to decide, with the claims, or with what authorizers
    /// would say, in words.
    pub fn explain(&self, snapshot: &Snapshot) -> Result<Explanation, String> {
        self.ask(snapshot, true)
    }

    /// Asks the engine what it decides.
    ///
    /// # Errors
    /// Those of [`Question::explain`].
    pub fn verdict(&self, snapshot: &Snapshot) -> Result<Verdict, String> {
        self.ask(snapshot, false).map(|explanation| explanation.verdict)
    }

    /// Leaves out what a gateway with `snapshot` would not find out about this request, whatever another did: what the
    /// token claims where none is read, and what authorizers say who are not asked or are not heard.
    #[must_use]
    pub fn as_found_by(mut self, snapshot: &Snapshot) -> Self {
        if snapshot.tables().token_rules.is_empty() {
            (self.claims, self.token_error) = (None, None);
        }
        let authorizers = snapshot.authorizers();
        self.checks.retain(|name, answer| {
            let asked = authorizers.iter().find(|authorizer| *authorizer.name == **name);
            asked.map(|authorizer| answer.keep_taken(authorizer)).is_some()
        });
        self
    }

    fn ask(&self, snapshot: &Snapshot, with_reasons: bool) -> Result<Explanation, String> {
        let Self { target, client, .. } = self;
        let upgrade = self.protocol.as_deref().map(upgrade).transpose()?;
        let mut headers = Cow::Borrowed(&self.headers[..]);
        let names_host = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if let (Some(authority), None, false) = (&target.authority, &self.authority, names_host) {
            headers.to_mut().push(("host".to_owned(), authority.as_str().into()));
        }
        if let Some(upgrade) = upgrade {
            for (name, value) in upgrade.fields() {
                if Fields(&headers).first(name).is_none() {
                    headers.to_mut().push((name.to_owned(), value.into()));
                }
            }
        }
        if self.authority.is_some() || upgrade.is_some() {
            join_cookies(&mut headers);
        }
        let fields = Fields(&headers);
        let first_port = snapshot.listeners().first().map_or(80, |listener| listener.port);
        let port = client.port.or(target.port).unwrap_or(first_port);
        let host = fields.first("host").and_then(|host| core::str::from_utf8(host).ok());
        let host = self.authority.as_deref().or(host).unwrap_or_default();
        let sni = match &client.sni {
            Some(name) => Some(name.to_ascii_lowercase()).filter(|name| !name.is_empty()),
            None => presumed_server_name(snapshot, port, host),
        };
        let plain = Connection::plain(canonical(client.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))), port);
        // Only TLS has a server name and certificates.
        let client_cert = match &client.peer_cert {
            Some(told) => Some(Cow::Borrowed(&**told)),
            None => of_uri_names(&client.peer_uris).map(Cow::Owned),
        };
        let is_tls = target.is_https || snapshot.is_tls(port) || sni.is_some() || client_cert.is_some();
        let peer_id = spiffe_id(client.peer_uris.iter().map(String::as_str)).map_err(|error| format!("{error}"))?;
        // An extended CONNECT has an `:authority`.
        let authority = self.authority.as_deref().or(upgrade.map(|_| host));
        let has_body = self.body.is_some() || self.body_error.is_some();
        let default_method = if has_body { "POST" } else { "GET" };
        let request = Request {
            method: match upgrade {
                Some(_) => "GET",
                None => self.method.as_deref().unwrap_or(default_method),
            },
            authority: authority.map(|text| SentAuthority {
                upgrade,
                ..SentAuthority::pseudo(text)
            }),
            target: &target.path,
            headers: &fields,
            connection: Connection {
                scheme: if is_tls { Scheme::Https } else { Scheme::Http },
                sni: sni.as_deref(),
                spiffe_id: peer_id,
                client_cert: client_cert.as_deref(),
                proxied: client.proxied.map(canonical),
                local: client.destination_ip.map_or(plain.local, canonical),
                destination_port: client.destination_port.unwrap_or(plain.destination_port),
                ..plain
            },
        };
        head::check(&request, &headers)?;
        let mut scan = BodyScan::new(BODY_BYTES_MAX_DEFAULT);
        let body = match (&self.body, self.body_error) {
            (None, None) => Body::Unread,
            (None, Some(error)) => Body::Read(Err(error)),
            (Some(_), Some(_)) => return Err("there is a body and a body's error: one of them must go".to_owned()),
            (Some(text), None) => Body::Read(
                media(&fields)
                    .and_then(|()| scan.feed(text.as_bytes()))
                    .and_then(|()| scan.finish()),
            ),
        };
        let claims = self.claims.as_ref();
        let claims = claims.map(|claims| verified(snapshot, &request, claims)).transpose()?;
        let identity = match (&claims, self.token_error) {
            (None, None) => Identity::Unverified,
            (Some(Ok(claims)), None) => Identity::Verified(claims.claims()),
            (Some(Err(error)), None) => Identity::Refused(*error),
            (None, Some(error)) => Identity::Refused(error),
            (Some(_), Some(_)) => return Err("there are claims and a token's error: one of them must go".to_owned()),
        };
        let answers = AssumedAnswer::of_all(&self.checks, snapshot.authorizers())?;
        let changed = borrow_fields(&answers);
        let answers = borrow_answers(&answers, &changed);
        let checked = Checked::new(&request, &answers);
        let unread = Known {
            body: Body::unread(request.method, has_body),
            identity,
            checked: (!answers.is_empty()).then_some(&checked),
        };
        // As in the gateway, a body that the decision does not ask for goes on as it comes, whatever it is.
        let (tables, mut scratch) = (snapshot.tables(), Scratch::new());
        let is_wanted = has_body
            && matches!(
                decide(tables, &request, unread, self.entropy, &mut scratch),
                Decision::ReadBody
            );
        let known = if is_wanted { Known { body, ..unread } } else { unread };
        let mut it = explanation(snapshot, &request, known, self.entropy, with_reasons);
        list_dropped(snapshot, &self.headers, known.checked, &mut it.verdict);
        Ok(it)
    }
}

/// Puts a `cookie` together that HTTP/2 has let the client take apart (RFC 9113 §8.2.3), as the gateway does.
fn join_cookies(headers: &mut Cow<'_, [(String, FieldValue)]>) {
    let fields = Fields(headers);
    if !fields.is_repeated(COOKIE) {
        return;
    }
    let mut joined = Vec::new();
    fields.each(COOKIE, &mut |line| {
        joined.extend_from_slice(line);
        joined.extend_from_slice(b"; ");
    });
    joined.truncate(joined.len().saturating_sub(2));
    let headers = headers.to_mut();
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case(COOKIE));
    headers.push((COOKIE.to_owned(), (&*joined).into()));
}

fn upgrade(protocol: &str) -> Result<Upgrade, String> {
    let only = Upgrade::WebSocket.token();
    Upgrade::by_connect(protocol)
        .ok_or_else(|| format!("the protocol `{protocol}` is refused: only `{only}` is spoken"))
}

/// The claims as if the token of the request had them and had been verified, or why it would not be.
fn verified(snapshot: &Snapshot, request: &Request<'_>, claims: &str) -> Result<Result<ClaimSet, TokenError>, String> {
    let tables = snapshot.tables();
    if tables.token_rules.is_empty() {
        return Err("no RequestAuthentication reads tokens, and there are claims".to_owned());
    }
    let claims = ClaimSet::parse::<&str>(claims.as_bytes(), &[]).map_err(|error| format!("the claims are {error}"))?;
    let query = request.target.split_once('?').map(|(_, query)| query);
    let sent = places::find(tables, request.headers, query);
    Ok(sent.and_then(|sent| assume(tables, claims, sent.map(|token| token.place()))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_or_a_path() {
        let parsed = |url| Target::parse(url).map(|target| (target.authority, target.port, target.path));
        let some = |text: &str| Some(text.to_owned());
        for (text, authority, port, path) in [
            ("/v1?x=1", None, None, "/v1?x=1"),
            ("*", None, None, "*"),
            ("http://test.com", some("test.com"), None, "/"),
            ("http://test.com?a=b#c", some("test.com"), None, "/?a=b"),
            ("http://test.com:8081/a", some("test.com:8081"), Some(8081), "/a"),
            ("http://[::1]/", some("[::1]"), None, "/"),
            ("http://[::1]:81/", some("[::1]:81"), Some(81), "/"),
            ("https://test.com/", some("test.com"), Some(443), "/"),
            ("HTTPS://test.com/", some("test.com"), Some(443), "/"),
        ] {
            assert_eq!(parsed(text), Ok((authority, port, path.to_owned())), "{text}");
        }
        for text in [
            "test.com/a",
            "test.com/http://a",
            "",
            "http://",
            "http:///a",
            "ftp://a/",
            "http://a:x/",
            "http://a:65536/",
        ] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
