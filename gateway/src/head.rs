//! Heads, on their way in and out: what hyper parsed as the engine sees it, and
//! which fields stop here.
//!
//! Fields that are about one connection only (RFC 9110 §7.6.1) never cross the
//! gateway, in either direction. Which of the client's fields an upstream must
//! not see is the engine's to say ([`rewrite::is_made_anew`],
//! [`rewrite::drops_header_to_provider`], [`rewrite::drops_header_to_host`]).

use http::header::{ACCEPT_ENCODING, CONNECTION, COOKIE, HOST, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Version};
use lockgate_core::check::Authorizer;
use lockgate_core::client_cert;
use lockgate_core::connection_field;
use lockgate_core::request::{AuthorityForm, Headers, Request, SentAuthority};
use lockgate_core::rewrite;
use lockgate_core::shown;
use lockgate_core::tables::Tables;
use lockgate_core::upgrade::Upgrade;

use crate::connection::Peer;
use crate::entropy::Entropy;
use crate::respond::X_REQUEST_ID;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static(shown::FORWARDED_FOR);
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static(shown::FORWARDED_PROTO);
const X_ENVOY_EXTERNAL_ADDRESS: HeaderName = HeaderName::from_static(shown::EXTERNAL_ADDRESS);
const X_FORWARDED_CLIENT_CERT: HeaderName = HeaderName::from_static(client_cert::NAME);

/// The fields of a head as decisions read them.
#[derive(Debug)]
pub(crate) struct HeadFields<'h>(pub(crate) &'h HeaderMap);

impl Headers for HeadFields<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        // These two are read for every request; to be looked for by its text, a name is parsed first.
        let values = match name {
            "host" => self.0.get_all(HOST),
            "connection" => self.0.get_all(CONNECTION),
            name => self.0.get_all(name),
        };
        for value in values {
            visit(value.as_bytes().trim_ascii());
        }
    }
}

/// A request as the engine sees it.
pub(crate) fn request<'r>(head: &'r Parts, headers: &'r HeadFields<'_>, peer: &'r Peer) -> Request<'r> {
    let form = if head.version == Version::HTTP_2 {
        AuthorityForm::Pseudo
    } else {
        AuthorityForm::Target
    };
    Request {
        method: head.method.as_str(),
        authority: head.uri.authority().map(|authority| SentAuthority {
            text: authority.as_str(),
            scheme: head.uri.scheme_str(),
            form,
            upgrade: head.extensions.get().copied(),
        }),
        target: head.uri.path_and_query().map_or("", PathAndQuery::as_str),
        headers,
        connection: peer.connection(),
    }
}

/// The client's request id, if it is one that logs can carry; otherwise a new one.
pub(crate) fn request_id(headers: &HeaderMap, entropy: &Entropy) -> HeaderValue {
    headers
        .get(X_REQUEST_ID)
        .filter(|id| shown::is_request_id(id.as_bytes()))
        .cloned()
        .unwrap_or_else(|| entropy.uuid())
}

/// Says who the client is as Envoy does: its address after those that `X-Forwarded-For` came with, the one of them that can
/// be trusted, and what it spoke.
pub(crate) fn add_client(headers: &mut HeaderMap, peer: &Peer, tables: &Tables) {
    let fields = HeadFields(headers);
    let connection = peer.connection();
    let mut addresses = Vec::new();
    shown::forwarded_for(&fields, &connection, &mut |piece| addresses.extend_from_slice(piece));
    let scheme = shown::forwarded_scheme(tables, &fields, connection.scheme);
    let address = shown::external_address(tables, &fields, &connection).to_string();
    for (name, value) in [
        (X_FORWARDED_FOR, HeaderValue::from_bytes(&addresses)),
        (X_ENVOY_EXTERNAL_ADDRESS, HeaderValue::try_from(address)),
    ] {
        if let Ok(value) = value {
            headers.insert(name, value);
        }
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme.as_str()));
}

/// What plain hosts and authorizers are told of the certificate that the sender of a head has shown.
pub(crate) fn client_cert(sent: &HeaderMap, peer: &Peer, tables: &Tables) -> Option<HeaderValue> {
    let fields = HeadFields(sent);
    let told = client_cert::sent(tables, &fields, &peer.connection())?;
    HeaderValue::from_bytes(&told).ok()
}

/// Writes it into a head whose own is gone.
pub(crate) fn tell_client_cert(headers: &mut HeaderMap, told: Option<HeaderValue>) {
    headers.extend(told.map(|told| (X_FORWARDED_CLIENT_CERT, told)));
}

/// Writes it in place of what a head says itself.
pub(crate) fn correct_client_cert(headers: &mut HeaderMap, told: Option<HeaderValue>) {
    remove_alike(headers, client_cert::NAME);
    tell_client_cert(headers, told);
}

/// Takes the blanks around values away that a client of HTTP/2 must not send (RFC 9113 §8.2.1), as a reader of HTTP/1.1 does:
/// what decisions see without them goes on without them.
pub(crate) fn trim_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = value.as_bytes().trim_ascii();
        if trimmed.len() == value.len() {
            continue;
        }
        if let Ok(mut trimmed) = HeaderValue::from_bytes(trimmed) {
            trimmed.set_sensitive(value.is_sensitive());
            *value = trimmed;
        }
    }
}

/// Puts a `Cookie` together that HTTP/2 has let the client take apart (RFC 9113 §8.2.3), so that all who read it read one.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if cookies.by_ref().nth(1).is_none() {
        return;
    }
    let all: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&all.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Makes one line of those of a field that has one value, as it was judged: an upstream that reads the first of them, or the
/// last, would read what no policy saw.
fn join_lines(headers: &mut HeaderMap) {
    if headers.len() == headers.keys_len() {
        return;
    }
    let is_repeated = |name: &&HeaderName| headers.get_all(*name).iter().nth(1).is_some();
    let names = headers.keys().filter(|name| shown::is_joined(name.as_str()));
    let repeated: Vec<HeaderName> = names.filter(is_repeated).cloned().collect();
    for name in repeated {
        let mut value = Vec::new();
        shown::join(&HeadFields(headers), name.as_str(), &mut |piece| {
            value.extend_from_slice(piece);
        });
        headers.remove(&name);
        headers.extend(HeaderValue::from_bytes(&value).ok().map(|value| (name, value)));
    }
}

/// Removes from a client's head what must not reach a provider: what is about the connection, credentials and
/// addresses, and `Host` and framing, which are made anew.
pub(crate) fn clean_request(headers: &mut HeaderMap, tables: &Tables) {
    remove_named(headers);
    remove_where(headers, |name| {
        is_hop_by_hop(name)
            || rewrite::is_made_anew(name.as_str())
            || rewrite::drops_header_to_provider(tables, name.as_str())
    });
    join_lines(headers);
    // Usage is read from answers, so they must come as plain text.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}

/// Removes from a client's head what must not reach a plain host: what is about the connection, what hosts believe
/// because only a gateway writes it, cookies with tokens, and `Host` and framing, which are made anew. Of a head that
/// authorizers have checked the second is gone already, and what has such a name is theirs.
pub(crate) fn clean_request_to_host(headers: &mut HeaderMap, tables: &Tables, is_checked: bool) {
    remove_named(headers);
    remove_where(headers, |name| {
        let is_disbelieved = || !is_checked && rewrite::drops_header_to_host(tables, name.as_str());
        is_hop_by_hop(name) || rewrite::is_made_anew(name.as_str()) || is_disbelieved()
    });
    join_lines(headers);
    if rewrite::reads_tokens_from_cookies(tables) {
        let sent: Vec<HeaderValue> = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|cookies| HeaderValue::try_from(rewrite::sent_cookies(tables, cookies.as_bytes())).ok())
            .filter(|cookies| !cookies.is_empty())
            .collect();
        headers.remove(COOKIE);
        headers.extend(sent.into_iter().map(|cookies| (COOKIE, cookies)));
    }
}

/// Asks the next hop for an upgrade.
pub(crate) fn ask_for(headers: &mut HeaderMap, upgrade: Upgrade) {
    for (name, value) in upgrade.fields() {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
}

/// Removes from an upstream's head what is about its connection.
pub(crate) fn clean_response(headers: &mut HeaderMap) {
    // An upstream that names a field it needs itself only harms its own answer.
    remove_named(headers);
    remove_where(headers, is_hop_by_hop);
}

/// Removes from an upstream's trailers what is no trailer: what is about its connection, and what a reader who takes
/// trailers for header fields would frame, route, trust or read the answer by (RFC 9110 §6.5.1).
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    remove_where(trailers, |name| {
        is_hop_by_hop(name) || rewrite::is_made_anew(name.as_str()) || is_no_trailer(name.as_str())
    });
}

fn is_no_trailer(name: &str) -> bool {
    matches!(
        name,
        "authorization"
            | "cache-control"
            | "content-encoding"
            | "content-range"
            | "content-type"
            | "location"
            | "proxy-authorization"
            | "retry-after"
            | "set-cookie"
            | "vary"
            | "www-authenticate"
    ) || name.starts_with("access-control-")
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

/// Removes a field, and what a server takes for it that takes an underscore for a hyphen.
pub(crate) fn remove_alike(headers: &mut HeaderMap, name: &str) {
    remove_where(headers, |sent| rewrite::is_alike(sent.as_str(), name));
}

/// Removes what one of these authorizers is not sent although a server may take it for a field that it is sent.
pub(crate) fn remove_overlooked(headers: &mut HeaderMap, authorizers: &[Authorizer]) {
    if !authorizers.is_empty() {
        let is_overlooked = |name: &str| authorizers.iter().any(|authorizer| authorizer.overlooks(name));
        remove_where(headers, |name| is_overlooked(name.as_str()));
    }
}

/// Removes what plain hosts believe only when a gateway or an authorizer writes it.
pub(crate) fn remove_disbelieved(headers: &mut HeaderMap, tables: &Tables) {
    remove_where(headers, |name| rewrite::drops_header_to_host(tables, name.as_str()));
}

/// Removes the fields that `Connection` names. Which of the client's it must not name, the decision has said.
pub(crate) fn remove_named(headers: &mut HeaderMap) {
    let mut named = Vec::new();
    for value in headers.get_all(CONNECTION) {
        // What is no field name (an empty element, rubbish) names no field.
        named.extend(connection_field::named(value.as_bytes()).flat_map(HeaderName::from_bytes));
    }
    for name in named {
        headers.remove(name);
    }
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
    use lockgate_core::compile::Settings;
    use lockgate_core::config::LoadOptions;
    use lockgate_core::snapshot::Snapshot;

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

    fn snapshot() -> Snapshot {
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = lockgate_core::build(&[], &options, &Settings::default());
        built.compiled.unwrap().snapshot
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
            ("x_api_key", "k"),
            ("x_forwarded-for", "1.2.3.4"),
            ("x_own_field", "1"),
        ]);
        clean_request(&mut head, snapshot().tables());
        assert_eq!(
            names(&head),
            ["accept-encoding", "content-type", "x-stainless-lang", "x_own_field"]
        );
        assert_eq!(head[ACCEPT_ENCODING], "identity");
    }

    #[test]
    fn cookies_of_http2_are_one_field() {
        let mut head = map(&[("cookie", "a=1"), ("x", "1"), ("cookie", "b=2; c=3"), ("cookie", "d=4")]);
        join_cookies(&mut head);
        let all: Vec<_> = head.get_all(COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3; d=4"]);
        join_cookies(&mut head);
        assert_eq!(head[COOKIE], "a=1; b=2; c=3; d=4");
    }

    #[test]
    fn values_have_no_blanks_around_them() {
        let mut head = map(&[("x-a", " a b\t"), ("x-a", "c"), ("x-b", "  ")]);
        trim_values(&mut head);
        let all: Vec<_> = head
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect();
        assert_eq!(all, [("x-a", &b"a b"[..]), ("x-a", b"c"), ("x-b", b"")]);
    }

    #[test]
    fn any_number_of_unwanted_fields_goes() {
        let many: Vec<String> = (0..90).map(|n| format!("x-envoy-{n}")).collect();
        let pairs: Vec<(&str, &str)> = many.iter().map(|name| (name.as_str(), "1")).collect();
        let mut head = map(&pairs);
        clean_request(&mut head, snapshot().tables());
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
