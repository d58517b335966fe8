//! One request in words, and the engine's explanation of what happens to it.
//! What `lockgate explain` and `POST /explain` share.

use core::net::{IpAddr, Ipv4Addr};

use http::Uri;
use lockgate_core::check::{AssumedAnswer, AssumedAnswers, Checked, borrow_answers, borrow_fields};
use lockgate_core::cidr::canonical;
use lockgate_core::claims::ClaimSet;
use lockgate_core::decide::{Body, Identity, Known};
use lockgate_core::explain::{Explanation, explain, presumed_server_name};
use lockgate_core::limits::BODY_BYTES_MAX_DEFAULT;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::media::media;
use lockgate_core::request::{Connection, Headers, Request, Scheme, spiffe_id};
use lockgate_core::snapshot::Snapshot;
use lockgate_core::token::assume;
use serde::Deserialize;

/// A request to explain.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Question {
    /// GET, or POST when there is a body.
    pub(crate) method: Option<String>,
    /// A URL, or a path.
    pub(crate) url: String,
    /// Name and value of each field, in order.
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    /// The client's address; 127.0.0.1 when not given.
    pub(crate) peer: Option<IpAddr>,
    /// The client's address as a PROXY protocol header names it.
    pub(crate) proxied: Option<IpAddr>,
    /// The address the client connected to, as a PROXY protocol header or the socket has it.
    pub(crate) destination_ip: Option<IpAddr>,
    /// The port that policies compare, as a PROXY protocol header names it; the logical port when not given.
    pub(crate) destination_port: Option<u16>,
    /// The logical port; by default the URL's, else the first that listens.
    pub(crate) port: Option<u16>,
    /// The server name that the client asked for in TLS; the request's host by default, where the port speaks TLS.
    pub(crate) sni: Option<String>,
    /// The URI names of the client's certificate.
    #[serde(default)]
    pub(crate) peer_uris: Vec<String>,
    /// What the client's token claims, taken as verified.
    pub(crate) claims: Option<serde_json::Value>,
    /// What external authorizers would say, by their names; one that is not here is left open.
    #[serde(default)]
    pub(crate) checks: AssumedAnswers,
    /// The body; without one its check is left open.
    pub(crate) body: Option<String>,
    /// Chooses among weighted backends.
    #[serde(default)]
    pub(crate) entropy: u64,
}

struct Fields<'q>(&'q [(String, String)]);

impl Headers for Fields<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for (key, value) in self.0 {
            if key.eq_ignore_ascii_case(name) {
                visit(value.as_bytes().trim_ascii());
            }
        }
    }
}

impl Question {
    /// Asks the engine; what is wrong with the question otherwise.
    pub(crate) fn explain(mut self, snapshot: &Snapshot) -> Result<Explanation, String> {
        let target = Target::parse(&self.url)?;
        let names_host = self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host"));
        if let Some(authority) = target.authority.filter(|_| !names_host) {
            self.headers.push(("host".to_owned(), authority));
        }
        let first = snapshot.listeners().first().map_or(80, |listener| listener.port);
        let fields = Fields(&self.headers);
        let default_method = if self.body.is_some() { "POST" } else { "GET" };
        let port = self.port.or(target.port).unwrap_or(first);
        let host = first_value(&fields, "host").and_then(|host| core::str::from_utf8(host).ok());
        let sni = match &self.sni {
            Some(name) => Some(name.to_ascii_lowercase()),
            None => presumed_server_name(snapshot, port, host.unwrap_or_default()),
        };
        let plain = Connection::plain(canonical(self.peer.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))), port);
        // Only TLS has a server name and certificates.
        let is_tls = target.is_https || snapshot.is_tls(port) || sni.is_some() || !self.peer_uris.is_empty();
        let request = Request {
            method: self.method.as_deref().unwrap_or(default_method),
            authority: None,
            target: &target.path,
            headers: &fields,
            connection: Connection {
                scheme: if is_tls { Scheme::Https } else { Scheme::Http },
                sni: sni.as_deref(),
                spiffe_id: spiffe_id(self.peer_uris.iter().map(String::as_str)),
                proxied: self.proxied.map(canonical),
                local: self.destination_ip.map_or(plain.local, canonical),
                destination_port: self.destination_port.unwrap_or(plain.destination_port),
                ..plain
            },
        };
        let mut scan = BodyScan::new(BODY_BYTES_MAX_DEFAULT);
        let body = match &self.body {
            None => Body::Unread,
            Some(text) => Body::Read(
                media(
                    first_value(&fields, "content-type"),
                    first_value(&fields, "content-encoding"),
                )
                .and_then(|()| scan.feed(text.as_bytes()))
                .and_then(|()| scan.finish()),
            ),
        };
        let claims = self
            .claims
            .as_ref()
            .map(|claims| verified(snapshot, claims))
            .transpose()?;
        let answers = AssumedAnswer::of_all(&self.checks, snapshot.authorizers())?;
        let fields = borrow_fields(&answers);
        let answers = borrow_answers(&answers, &fields);
        let checked = Checked::new(&request, &answers);
        let known = Known {
            body,
            identity: claims
                .as_ref()
                .map_or(Identity::Unverified, |claims| Identity::Verified(claims.claims())),
            checked: (!answers.is_empty()).then_some(&checked),
        };
        Ok(explain(snapshot, &request, known, self.entropy))
    }
}

/// The claims as if a token with them had been verified.
fn verified(snapshot: &Snapshot, claims: &serde_json::Value) -> Result<ClaimSet, String> {
    assume(&snapshot.tables(), claims.to_string().as_bytes()).map_err(|error| format!("the claims are {error}"))
}

fn first_value<'q>(fields: &'q Fields<'_>, name: &str) -> Option<&'q [u8]> {
    let mut first = None;
    fields.each(name, &mut |value| first = first.or(Some(value)));
    first
}

struct Target {
    authority: Option<String>,
    /// The port, when the URL tells one that is not the scheme's own.
    port: Option<u16>,
    is_https: bool,
    path: String,
}

impl Target {
    fn parse(url: &str) -> Result<Self, String> {
        if url.starts_with('/') {
            return Ok(Self {
                authority: None,
                port: None,
                is_https: false,
                path: url.to_owned(),
            });
        }
        let uri: Uri = url
            .parse()
            .map_err(|error| format!("`{url}` is neither a URL nor a path: {error}"))?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(format!("`{url}` is neither a URL nor a path: begin with http:// or /"));
        };
        let port = authority.port_u16().or((scheme == "https").then_some(443));
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        Ok(Self {
            authority: Some(authority.as_str().to_owned()),
            port,
            is_https: scheme == "https",
            path: path.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_or_a_path() {
        let parsed = |url| Target::parse(url).map(|target| (target.authority, target.port, target.path));
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(parsed("/v1?x=1"), Ok((None, None, "/v1?x=1".to_owned())));
        assert_eq!(parsed("http://test.com"), Ok((some("test.com"), None, "/".to_owned())));
        assert_eq!(
            parsed("http://test.com:8081/a"),
            Ok((some("test.com:8081"), Some(8081), "/a".to_owned()))
        );
        assert_eq!(
            parsed("https://test.com/"),
            Ok((some("test.com"), Some(443), "/".to_owned()))
        );
        assert!(parsed("test.com/a").is_err() && parsed("").is_err());
    }
}
