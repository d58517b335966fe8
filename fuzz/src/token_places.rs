//! Where a request's token is, and whether a rule would accept it, against a second reading of the rules below.

use std::sync::OnceLock;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Identity, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Refusal};
use lockgate_core::request::{Connection, Request};
use lockgate_core::tables::Tables;
use lockgate_core::token::{SentToken, TokenError};

/// Rules whose places differ, meet in one, and are the usual ones.
const RULES: &str = r#"
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: istio-system}
spec:
  jwtRules:
  - issuer: https://i.test
    audiences: [a.test, 'https://b.test/']
    jwks: &keys '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    outputClaimToHeaders: [{header: x-user, claim: sub}]
  - issuer: j
    jwks: *keys
    fromHeaders: [{name: X-Token, prefix: 'tok '}, {name: x-plain}]
    fromParams: [t]
    fromCookies: [sid]
  - {issuer: k, jwks: *keys, fromParams: [t]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: judged, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: 'request.headers[:path]', values: [/, /p, '*x=1']}]
  - when: [{key: 'request.headers[cookie]', values: [a=b, '*; c']}]
"#;

/// A token is found where the rules look, and nowhere else; of two nobody chooses. A policy judges what goes on without
/// those places.
///
/// Input: a byte that chooses the method, then lines: the target, and header fields.
pub fn token_places(input: &[u8]) {
    let Some((&method, head)) = input.split_first() else {
        return;
    };
    let mut lines = head.split(|&byte| byte == b'\n');
    let Some(Ok(target)) = lines.next().map(core::str::from_utf8) else {
        return;
    };
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        Some((core::str::from_utf8(&line[..colon]).ok()?, &line[colon + 1..]))
    });
    let fields: Vec<(&str, &[u8])> = fields.chain([("host", &b"a.test"[..])]).collect();
    let method = ["GET", "POST", "OPTIONS"][usize::from(method) % 3];
    let mut places = Vec::new();
    if !is_preflight(method, &fields) {
        in_fields(&fields, "authorization", b"Bearer ", 1, &mut places);
        in_fields(&fields, "x-token", b"tok ", 1, &mut places);
        in_fields(&fields, "x-plain", b"", 1, &mut places);
        in_query(target, b"access_token", 1, &mut places);
        in_query(target, b"t", 2, &mut places);
        in_cookies(&fields, b"sid", 1, &mut places);
    }
    decided(method, target, &fields, Identity::Unverified, |tables, decision| {
        match (decision, &places[..]) {
            // A head that cannot be read has no token.
            (Decision::Refuse(Refusal::BadRequest(_)), _) => {}
            (Decision::VerifyToken(sent), [(token, rules)]) => {
                assert_eq!((sent.text(), sent.rules(tables).count()), (*token, *rules));
            }
            (Decision::Refuse(Refusal::Token(TokenError::SeveralTokens)), [_, _, ..]) => {}
            (Decision::VerifyToken(_) | Decision::Refuse(Refusal::Token(_)), _) | (_, [_, ..]) => {
                panic!("{decision:?} though there are {places:?}")
            }
            (_, []) => {}
        }
    });
    decided(
        method,
        target,
        &fields,
        Identity::Anonymous,
        |_, decision| match decision {
            Decision::Refuse(Refusal::BadRequest(_)) => {}
            decision => {
                let is_denied = matches!(decision, Decision::Refuse(Refusal::Denied(_)));
                let cookies = named(&fields, "cookie").into_iter().map(kept_cookies);
                let is_cookie = cookies.into_iter().any(|line| line == b"a=b" || line.ends_with(b"; c"));
                match kept_target(target) {
                    Some(target) => {
                        let is_path = ["/", "/p"].contains(&&*target) || target.ends_with("x=1");
                        assert_eq!(is_denied, is_path || is_cookie, "{target}");
                    }
                    None => assert!(is_denied || !is_cookie),
                }
            }
        },
    );
}

/// The target without the parameters where tokens are; `None` where its path may be written otherwise.
fn kept_target(target: &str) -> Option<String> {
    let target = target.split('#').next()?;
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'/';
    if !path.bytes().all(is_plain) {
        return None;
    }
    let Some(query) = query else {
        return Some(path.to_owned());
    };
    let is_place = |pair: &&str| {
        let key = unescaped(pair.split('=').next().unwrap_or_default());
        key == b"t" || key == b"access_token"
    };
    let kept: Vec<&str> = query.split('&').filter(|pair| !is_place(pair)).collect();
    let kept = kept.join("&");
    Some(if kept.is_empty() && !query.is_empty() {
        path.to_owned()
    } else {
        format!("{path}?{kept}")
    })
}

/// A line of cookies without those where tokens are.
fn kept_cookies(line: &[u8]) -> Vec<u8> {
    let cookies = line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let kept = cookies.filter(|cookie| {
        let name = cookie.split(|&byte| byte == b'=').next().unwrap_or_default();
        !cookie.is_empty() && name.trim_ascii() != b"sid"
    });
    kept.collect::<Vec<_>>().join(&b"; "[..])
}

/// Hands `check` the token `text` as the usual place holds it.
pub(crate) fn sent(text: &[u8], check: impl FnOnce(&Tables, &SentToken<'_>)) {
    let field = [b"Bearer ", text].concat();
    let fields: [(&str, &[u8]); 2] = [("host", b"a.test"), ("authorization", &field)];
    decided(
        "GET",
        "/",
        &fields,
        Identity::Unverified,
        |tables, decision| match decision {
            Decision::VerifyToken(sent) => {
                assert_eq!(sent.text(), text);
                check(tables, sent);
            }
            other => panic!("{other:?}, and not the token"),
        },
    );
}

fn decided(
    method: &str,
    target: &str,
    fields: &[(&str, &[u8])],
    identity: Identity<'_>,
    check: impl FnOnce(&Tables, &Decision<'_>),
) {
    let request = Request {
        method,
        authority: None,
        target,
        headers: &fields,
        connection: Connection::plain(core::net::Ipv4Addr::LOCALHOST.into(), 80),
    };
    let tables = compiled().snapshot.tables();
    let mut scratch = Scratch::new();
    let known = Known {
        identity,
        ..Known::NOTHING
    };
    check(tables, &decide(tables, &request, known, 0, &mut scratch));
}

fn compiled() -> &'static Compiled {
    static COMPILED: OnceLock<Compiled> = OnceLock::new();
    COMPILED.get_or_init(|| {
        let source = Source::new("rules.yaml".into(), RULES.into());
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = build(&[source], &options, &Settings::default());
        built.compiled.expect("the rules above compile")
    })
}

/// Tokens and how many rules look where they are.
type Places<'i> = Vec<(&'i [u8], usize)>;

fn is_preflight(method: &str, fields: &[(&str, &[u8])]) -> bool {
    let has = |wanted| !named(fields, wanted).iter().all(|value| value.is_empty());
    method == "OPTIONS" && has("origin") && has("access-control-request-method")
}

fn named<'i>(fields: &[(&str, &'i [u8])], wanted: &str) -> Vec<&'i [u8]> {
    let fields = fields.iter().filter(|(name, _)| name.to_ascii_lowercase() == wanted);
    fields.map(|(_, value)| value.trim_ascii()).collect()
}

fn in_fields<'i>(fields: &[(&str, &'i [u8])], name: &str, prefix: &[u8], rules: usize, places: &mut Places<'i>) {
    let values = named(fields, name);
    let Some(token) = values.iter().find(|value| value.starts_with(prefix)) else {
        return;
    };
    let token = (token[prefix.len()..].trim_ascii(), rules);
    places.push(token);
    // Which of two lines counts is a matter of taste.
    if values.len() > 1 {
        places.push(token);
    }
}

fn in_query<'i>(target: &'i str, name: &[u8], rules: usize, places: &mut Places<'i>) {
    let target = target.split('#').next().unwrap_or_default();
    let Some((_, query)) = target.split_once('?') else {
        return;
    };
    for pair in query.split('&') {
        // A name alone has an empty value.
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        if unescaped(key) == name {
            places.push((value.as_bytes(), rules));
        }
    }
}

fn unescaped(key: &str) -> Vec<u8> {
    let mut pieces = key.split('%');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let digits = piece
            .get(..2)
            .filter(|two| two.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match digits.map(|two| u8::from_str_radix(two, 16).expect("two digits")) {
            Some(byte) => {
                bytes.push(byte);
                bytes.extend(&piece.as_bytes()[2..]);
            }
            None => bytes.extend([b"%", piece.as_bytes()].concat()),
        }
    }
    bytes
}

fn in_cookies<'i>(fields: &[(&str, &'i [u8])], name: &[u8], rules: usize, places: &mut Places<'i>) {
    let lines = named(fields, "cookie");
    for pair in lines.into_iter().flat_map(|line| line.split(|&byte| byte == b';')) {
        let pair = pair.trim_ascii();
        let Some(equals) = pair.iter().position(|&byte| byte == b'=') else {
            continue;
        };
        if &pair[..equals] == name {
            let value = &pair[equals + 1..];
            let is_quoted = value.len() > 1 && value.starts_with(b"\"") && value.ends_with(b"\"");
            places.push((if is_quoted { &value[1..value.len() - 1] } else { value }, rules));
        }
    }
}
