//! Heads, on their way in and out: what hyper parsed as the engine sees it, and
//! which fields stop here.
//!
//! Fields that are about one connection only (RFC 9110 §7.6.1) never cross the
//! gateway, in either direction. Which of the client's fields a provider must
//! not see is the engine's to say ([`rewrite::drops_header`]).

use http::header::{ACCEPT_ENCODING, CONNECTION, HeaderName, HeaderValue};
use http::{HeaderMap, Uri};
use lockgate_core::request::{Headers, Request};
use lockgate_core::rewrite;

use crate::connection::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The fields of a head as decisions read them.
#[derive(Debug)]
pub(crate) struct HeadFields<'h>(pub(crate) &'h HeaderMap);

impl Headers for HeadFields<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for value in self.0.get_all(name) {
            visit(value.as_bytes().trim_ascii());
        }
    }
}

/// A request as the engine sees it.
pub(crate) fn request<'r>(method: &'r str, uri: &'r Uri, headers: &'r HeadFields<'_>, peer: &Peer) -> Request<'r> {
    Request {
        method,
        authority: uri.authority().map(http::uri::Authority::as_str),
        target: uri.path_and_query().map_or("", http::uri::PathAndQuery::as_str),
        headers,
        connection: peer.connection(),
    }
}

/// Says who the client is as Envoy does: its address after those that `X-Forwarded-For` came with, and what it spoke.
pub(crate) fn add_client(headers: &mut HeaderMap, peer: &Peer) {
    let before = headers.get_all(X_FORWARDED_FOR).iter().map(HeaderValue::as_bytes);
    let address = peer.downstream_remote().ip().to_string();
    let all: Vec<&[u8]> = before.chain([address.as_bytes()]).collect();
    if let Ok(value) = HeaderValue::from_bytes(&all.join(&b',')) {
        headers.insert(X_FORWARDED_FOR, value);
    }
    let scheme = HeaderValue::from_static(peer.connection().scheme.as_str());
    headers.insert(X_FORWARDED_PROTO, scheme);
}

/// The `Connection` field names a field that it must not make disappear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProtectedField;

/// The fields that a client's `Connection` names, besides those that stop here anyway.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> Result<Vec<HeaderName>, ProtectedField> {
    named(headers, is_protected)
}

/// Removes from a client's head what must not reach a provider: the `named` fields, what is about the connection,
/// credentials and addresses, and `Host` and framing, which are made anew.
pub(crate) fn clean_request(headers: &mut HeaderMap, named: Vec<HeaderName>) {
    for name in named {
        headers.remove(name);
    }
    remove_where(headers, |name| {
        is_hop_by_hop(name) || is_made_anew(name) || rewrite::drops_header(name.as_str())
    });
    // Usage is read from answers, so they must come as plain text.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Removes from an upstream's head what is about its connection.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    // An upstream that names a field it needs itself only harms its own answer; nothing is protected here.
    for name in named(headers, |_| false).unwrap_or_default() {
        headers.remove(name);
    }
    remove_where(headers, is_hop_by_hop);
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "proxy-authenticate"
            | "http2-settings"
    )
}

fn is_made_anew(name: &HeaderName) -> bool {
    matches!(name.as_str(), "host" | "content-length" | "expect")
}

/// Fields that policy or framing rests on: a client that has them dropped on the way is hiding something.
fn is_protected(name: &str) -> bool {
    matches!(
        name,
        "host" | "content-length" | "content-type" | "content-encoding" | "transfer-encoding" | "x-request-id"
    ) || rewrite::drops_header(name)
}

fn named(headers: &HeaderMap, is_protected: impl Fn(&str) -> bool) -> Result<Vec<HeaderName>, ProtectedField> {
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        for token in value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            if token.eq_ignore_ascii_case(b"close") || token.eq_ignore_ascii_case(b"keep-alive") {
                continue;
            }
            // What is no field name (an empty element, rubbish) names no field.
            let Ok(name) = HeaderName::from_bytes(token) else {
                continue;
            };
            if is_protected(name.as_str()) {
                return Err(ProtectedField);
            }
            named.push(name);
        }
    }
    Ok(named)
}

/// Names removed per round: more than any client sends, on the stack.
const REMOVED_PER_ROUND: usize = 16;

fn remove_where(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    loop {
        let found: heapless::Vec<HeaderName, REMOVED_PER_ROUND> = headers
            .keys()
            .filter(|name| unwanted(name))
            .take(REMOVED_PER_ROUND)
            .cloned()
            .collect();
        for name in &found {
            headers.remove(name);
        }
        if found.len() < REMOVED_PER_ROUND {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        map
    }

    fn names(map: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = map.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn credentials_addresses_and_hop_by_hop_fields_stop_here() {
        let mut head = map(&[
            ("host", "test.com"),
            ("authorization", "Bearer client"),
            ("x-api-key", "k"),
            ("api-key", "k"),
            ("x-goog-api-key", "k"),
            ("proxy-authorization", "k"),
            ("cookie", "k"),
            ("cookie", "again"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-anything", "1"),
            ("forwarded", "for=1.2.3.4"),
            ("x-envoy-original-path", "/"),
            ("connection", "keep-alive, x-once"),
            ("x-once", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("content-type", "application/json"),
            ("x-stainless-lang", "python"),
        ]);
        let named = named_by_connection(&head).unwrap();
        clean_request(&mut head, named);
        assert_eq!(names(&head), ["accept-encoding", "content-type", "x-stainless-lang"]);
        assert_eq!(head[ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn connection_must_not_name_what_policy_rests_on() {
        for named in [
            "authorization",
            "Host",
            "cookie",
            "x-forwarded-for",
            "close, X-Api-Key",
            "content-length",
        ] {
            assert_eq!(
                named_by_connection(&map(&[("connection", named)])),
                Err(ProtectedField),
                "{named}"
            );
        }
        for named in ["close", "keep-alive, te", "", ",,", "x-mine", "???"] {
            assert!(named_by_connection(&map(&[("connection", named)])).is_ok(), "{named}");
        }
    }

    #[test]
    fn any_number_of_unwanted_fields_goes() {
        let many: Vec<String> = (0..90).map(|n| format!("x-envoy-{n}")).collect();
        let pairs: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
        let mut head = map(&pairs);
        clean_request(&mut head, Vec::new());
        assert_eq!(names(&head), ["accept-encoding"]);
    }

    #[test]
    fn an_answer_keeps_what_is_not_about_the_connection() {
        let mut head = map(&[
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("set-cookie", "a=b"),
            ("retry-after", "1"),
            ("x-ratelimit-remaining-tokens", "9"),
            ("content-length", "2"),
        ]);
        clean_response(&mut head);
        assert_eq!(
            names(&head),
            [
                "content-length",
                "retry-after",
                "set-cookie",
                "x-ratelimit-remaining-tokens"
            ]
        );
    }
}
