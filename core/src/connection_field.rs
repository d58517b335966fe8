//! The `Connection` field: what a client may have removed on the way.
//!
//! A name in it asks the next hop to drop that field (RFC 9110 §7.6.1). Envoy
//! drops it before policy, so that `Connection: authorization` turns a bad token
//! into none, and `Connection: x-team` walks around a DENY on `x-team`. Dropping
//! it after policy would be no better: the provider would get another request
//! than the one that was judged. So a request that names a field which a
//! decision reads is refused, whatever the field holds.

use core::cmp::Ordering;

use crate::decision::BadRequest;
use crate::request::Headers;
use crate::rewrite::{DROPPED_HEADER_PREFIXES, DROPPED_HEADERS};
use crate::tables::Tables;

/// Fields that decisions rest on under every configuration.
const ALWAYS_READ: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "transfer-encoding",
    "x-request-id",
    "origin",
    "access-control-request-method",
];

/// The names in one value of the field. `close` and `keep-alive` are about the connection alone and left out.
pub fn named(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.filter(|token| !token.eq_ignore_ascii_case(b"close") && !token.eq_ignore_ascii_case(b"keep-alive"))
}

/// Whether the `Connection` among `headers` names the field `name`, so that it goes no further.
#[cfg(feature = "alloc")]
pub(crate) fn names(headers: &dyn Headers, name: &str) -> bool {
    let mut names_it = false;
    headers.each("connection", &mut |value| {
        names_it = names_it || named(value).any(|named| named.eq_ignore_ascii_case(name.as_bytes()));
    });
    names_it
}

/// What is only about the connection, however a policy reads it: where it goes on, the gateway writes it anew.
const OF_THE_CONNECTION: &str = "upgrade";

/// Refuses a request whose `Connection` names a field that a decision reads.
pub(crate) fn check(tables: &Tables, headers: &dyn Headers) -> Result<(), BadRequest> {
    let mut names_one = false;
    headers.each("connection", &mut |value| {
        let is_other = |name: &&[u8]| !name.eq_ignore_ascii_case(OF_THE_CONNECTION.as_bytes());
        names_one = names_one || named(value).filter(is_other).any(|name| reads(tables, name));
    });
    if names_one { Err(BadRequest::Connection) } else { Ok(()) }
}

/// Whether a decision may depend on the field `name`, in any case: by a policy, a route or a rule for tokens.
fn reads(tables: &Tables, name: &[u8]) -> bool {
    let is = |read: &&str| name.eq_ignore_ascii_case(read.as_bytes());
    let begins = |prefix: &&str| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    };
    ALWAYS_READ.iter().any(is)
        || DROPPED_HEADERS.iter().any(is)
        || DROPPED_HEADER_PREFIXES.iter().any(begins)
        || is_among(tables, name)
}

/// By halving, since a client may name thousands.
fn is_among(tables: &Tables, name: &[u8]) -> bool {
    let compare = |read: &[u8]| -> Ordering { read.iter().copied().cmp(name.iter().map(u8::to_ascii_lowercase)) };
    let found = tables
        .derived
        .read_headers
        .binary_search_by(|read| compare(tables.bytes(*read)));
    found.is_ok()
}

#[cfg(all(test, feature = "yaml"))]
mod tests {
    use super::*;
    use crate::build::build;
    use crate::compile::Settings;
    use crate::config::LoadOptions;
    use crate::config::diagnostic::Source;

    const READERS: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: teams, namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}
spec:
  action: DENY
  rules:
  - when: [{key: 'request.headers[X-Team]', values: [red]}, {key: 'request.headers[a]', values: [b]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec:
  jwtRules:
  - issuer: https://issuer.test
    jwksUri: https://issuer.test/keys
    fromHeaders: [{name: X-Token}]
";

    #[expect(clippy::unwrap_used, reason = "a test may panic")]
    fn refused(readers: &str, connection: &str) -> bool {
        let source = Source::new("c.yaml".into(), readers.into());
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = build(&[source], &options, &Settings::default());
        let snapshot = built.compiled.unwrap().snapshot;
        let headers: &[(&str, &[u8])] = &[("connection", connection.as_bytes())];
        check(snapshot.tables(), &headers) == Err(BadRequest::Connection)
    }

    #[test]
    fn what_a_policy_or_a_token_rule_reads_must_not_be_named() {
        for named in ["x-team", "close, X-TEAM", "x-token", "A", "te,a"] {
            assert!(refused(READERS, named), "{named}");
        }
        for named in [
            "x-tea",
            "x-teams",
            "b",
            "x-other",
            "close",
            "keep-alive, te",
            "",
            ",,",
            "???",
        ] {
            assert!(!refused(READERS, named), "{named}");
        }
        for named in ["x-team", "x-token", "a"] {
            assert!(!refused("", named), "{named}");
        }
    }

    #[test]
    fn a_policy_may_read_what_an_upgrade_has_to_name() {
        let readers = READERS.replace("[X-Team]", "[upgrade]");
        assert!(!refused(&readers, "Upgrade") && !refused(&readers, "keep-alive, upgrade"));
        assert!(refused(&readers, "upgrade, a"));
    }

    #[test]
    fn what_every_decision_rests_on_must_not_be_named() {
        for named in [
            "authorization",
            "Host",
            "cookie",
            "X-Forwarded-For",
            "x-envoy-original-path",
            "close, X-Api-Key",
            "content-length",
            "origin",
        ] {
            assert!(refused("", named), "{named}");
        }
    }
}
