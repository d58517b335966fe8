//! RequestAuthentication through the engine: where tokens are, what is wrong with them in Envoy's words, and what a
//! good one lets a request do. Signatures are the shell's; here whoever asks is believed.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lockgate_core::answer::{Challenge, ErrorShape};
use lockgate_core::build;
use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Identity, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Path, Refusal};
use lockgate_core::explain::{Question, Target, Verdict};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request, SentAuthority};
use lockgate_core::rewrite;
use lockgate_core::token::{Token, TokenError, assume};

const NOW: u64 = 1_800_000_000;

const ROUTES: &str = concat!(
    include_str!("../../examples/seed/llm-provider.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/gateway.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/llm-route.yaml"),
);

const KEYS: &str = r#"'{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'"#;

/// Claims before any rule has read them.
fn parsed(payload: &[u8]) -> ClaimSet {
    ClaimSet::parse::<&str>(payload, &[]).unwrap()
}

fn compiled(rules: &str) -> Compiled {
    let text = format!(
        "{ROUTES}\n---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
         istio-system}}\nspec:\n  jwtRules:\n{rules}"
    );
    let sources = [Source::new("all.yaml".into(), text.clone())];
    let env = |_: &str| Some("203.0.113.9".to_owned());
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &[],
    };
    let built = build(&sources, &options, &Settings::default());
    built.compiled.unwrap_or_else(|| {
        let shown: Vec<String> = built
            .diagnostics
            .as_slice()
            .iter()
            .map(|finding| finding.render(&sources, false))
            .collect();
        panic!("{}", shown.join("\n"))
    })
}

fn one_rule(more: &str) -> Compiled {
    compiled(&format!("  - issuer: https://a.test\n    jwks: {KEYS}\n{more}"))
}

fn encode(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn token_of(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
}

fn token(payload: &str) -> String {
    token_of(r#"{"alg":"EdDSA","kid":"k"}"#, payload)
}

const GOOD: &str = r#"{"iss":"https://a.test","sub":"ann","exp":1800000100}"#;

/// What the engine does with a request, playing a shell that takes every signature for good.
struct Asked {
    refused: Option<TokenError>,
    verified: bool,
    /// The status, 0 when it goes on.
    status: u16,
}

fn ask(compiled: &Compiled, method: &str, target: &str, headers: &[(&str, &str)]) -> Asked {
    let tables = compiled.snapshot.tables();
    let mut pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    pairs.push(("host", b"test.com"));
    let pairs = pairs.as_slice();
    let request = Request {
        method,
        authority: None,
        target,
        headers: &pairs,
        connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
    };
    let (mut first, mut second) = (Scratch::new(), Scratch::new());
    let mut verified = false;
    let mut decision = decide(tables, &request, Known::NOTHING, 0, &mut first);
    let claims;
    if let Decision::VerifyToken(sent) = decision {
        let read = Token::read(sent.text())
            .and_then(|token| Ok((token.candidates(tables, &sent, NOW)?, token)))
            .and_then(|(rules, token)| token.accept(tables, rules[0]));
        verified = read.is_ok();
        let identity = match &read {
            Ok(set) => {
                claims = set.clone();
                Identity::Verified(claims.claims())
            }
            Err(error) => Identity::Refused(*error),
        };
        let known = Known {
            identity,
            ..Known::NOTHING
        };
        decision = decide(tables, &request, known, 0, &mut second);
    }
    let refused = match decision {
        Decision::Refuse(Refusal::Token(error)) => Some(error),
        _ => None,
    };
    let status = match decision {
        Decision::Refuse(refusal) => refusal.status(),
        _ => 0,
    };
    Asked {
        refused,
        verified,
        status,
    }
}

fn bearer(compiled: &Compiled, token: &str) -> Result<(), TokenError> {
    let value = format!("Bearer {token}");
    let asked = ask(compiled, "POST", "/", &[("authorization", &value)]);
    assert!(
        asked.verified != asked.refused.is_some(),
        "a token is either good or refused"
    );
    asked.refused.map_or(Ok(()), Err)
}

#[test]
fn no_token_passes_and_a_good_one_too() {
    let compiled = one_rule("");
    let none = ask(&compiled, "POST", "/", &[]);
    assert!(none.refused.is_none() && !none.verified && none.status == 0);
    assert_eq!(bearer(&compiled, &token(GOOD)), Ok(()));
}

#[test]
fn every_flaw_is_answered_in_envoys_words() {
    let compiled = one_rule("    audiences: [api]\n");
    let claims = |more: &str| format!(r#"{{"iss":"https://a.test","sub":"ann","aud":"api"{more}}}"#);
    let (header, ok) = (r#"{"alg":"EdDSA"}"#, claims(""));
    assert_eq!(bearer(&compiled, &token(&ok)), Ok(()));
    let with = |payload: &str| token(payload);
    let table: Vec<(String, u16, &str)> = vec![
        (
            "x".into(),
            401,
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "a.b".into(),
            401,
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            format!("{}.{}.", encode(header), encode(&ok)),
            401,
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            "a.b.c.d".into(),
            401,
            "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
        ),
        (
            format!("*.{}.c", encode(&ok)),
            401,
            "Jwt header is an invalid Base64url encoded",
        ),
        (
            format!("{}.{}.c", encode("x"), encode(&ok)),
            401,
            "Jwt header is an invalid JSON",
        ),
        (token_of("[]", &ok), 401, "Jwt header is an invalid JSON"),
        (
            token_of(r#"{"alg":"EdDSA","alg":"none"}"#, &ok),
            401,
            "Jwt header is an invalid JSON",
        ),
        (
            token_of("{}", &ok),
            401,
            "Jwt header [alg] field is required and must be a string",
        ),
        (
            token_of(r#"{"alg":1}"#, &ok),
            401,
            "Jwt header [alg] field is required and must be a string",
        ),
        (
            token_of(r#"{"alg":"none"}"#, &ok),
            401,
            "Jwt header [alg] is not supported",
        ),
        (
            token_of(r#"{"alg":"NONE"}"#, &ok),
            401,
            "Jwt header [alg] is not supported",
        ),
        (token_of(r#"{"alg":""}"#, &ok), 401, "Jwt header [alg] is not supported"),
        (
            token_of(r#"{"alg":"EdDSA","kid":7}"#, &ok),
            401,
            "Jwt header [kid] field is not a string",
        ),
        (
            token_of(r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#, &ok),
            401,
            "Jwt header [crit] is not supported",
        ),
        (
            format!("{}.*.c", encode(header)),
            401,
            "Jwt payload is an invalid Base64url encoded",
        ),
        (token_of(header, "x"), 401, "Jwt payload is an invalid JSON"),
        (with(&claims(r#","sub":"eve""#)), 401, "Jwt payload is an invalid JSON"),
        (
            format!("{}.{}.*", encode(header), encode(&ok)),
            401,
            "Jwt signature is an invalid Base64url encoded",
        ),
        (with(r#"{"iss":1}"#), 401, "Jwt payload [iss] field is not a string"),
        (
            with(r#"{"iss":"https://a.test","sub":{}}"#),
            401,
            "Jwt payload [sub] field is not a string",
        ),
        (
            with(r#"{"iss":"https://a.test","sub":null}"#),
            401,
            "Jwt payload [sub] field is not a string",
        ),
        (
            with(&claims(r#","iat":"1""#)),
            401,
            "Jwt payload [iat] field is not an integer",
        ),
        (
            with(&claims(r#","nbf":-1"#)),
            401,
            "Jwt payload [nbf] field is not a positive 64 bit integer",
        ),
        (
            with(&claims(r#","exp":1e30"#)),
            401,
            "Jwt payload [exp] field is not a positive 64 bit integer",
        ),
        (
            with(&claims(r#","exp":null"#)),
            401,
            "Jwt payload [exp] field is not an integer",
        ),
        (
            with(&claims(r#","jti":3"#)),
            401,
            "Jwt payload [jti] field is not a string",
        ),
        (
            with(r#"{"iss":"https://a.test","aud":["api",1]}"#),
            401,
            "Jwt payload [aud] field is not a string or string list",
        ),
        (
            with(r#"{"iss":"https://a.test","aud":["api",["x"]]}"#),
            401,
            "Jwt payload [aud] field is not a string or string list",
        ),
        (
            with(r#"{"iss":"https://a.test","aud":{"a":"api"}}"#),
            401,
            "Jwt payload [aud] field is not a string or string list",
        ),
        (
            with(r#"{"iss":"https://b.test","aud":"api"}"#),
            401,
            "Jwt issuer is not configured",
        ),
        (
            with(r#"{"iss":"https://a.test/","aud":"api"}"#),
            401,
            "Jwt issuer is not configured",
        ),
        (with(r#"{"aud":"api"}"#), 401, "Jwt issuer is not configured"),
        (with(&claims(r#","nbf":1800000061"#)), 401, "Jwt not yet valid"),
        (with(&claims(r#","exp":1799999939"#)), 401, "Jwt is expired"),
        (
            with(r#"{"iss":"https://a.test","aud":"other"}"#),
            403,
            "Audiences in Jwt are not allowed",
        ),
        (
            with(r#"{"iss":"https://a.test"}"#),
            403,
            "Audiences in Jwt are not allowed",
        ),
    ];
    for (token, status, body) in table {
        let error = bearer(&compiled, &token).expect_err(body);
        let answer = Refusal::Token(error).answer(ErrorShape::OpenAi);
        assert_eq!(
            (answer.status, core::str::from_utf8(&answer.body)),
            (status, Ok(body)),
            "{token}"
        );
        assert!(answer.challenges && answer.content_type == Some("text/plain"));
    }
}

#[test]
fn clocks_may_be_a_minute_off_and_a_missing_exp_is_accepted() {
    let compiled = one_rule("");
    for (claim, good) in [
        (r#""nbf":1800000060"#, true),
        (r#""nbf":1800000061"#, false),
        (r#""exp":1799999940"#, true),
        (r#""exp":1799999939"#, false),
        (r#""exp":1799999940.9"#, true),
        (r#""exp":0"#, false),
        (r#""exp":18446744073709551615"#, true),
        (r#""iat":1900000000"#, true),
    ] {
        let payload = format!(r#"{{"iss":"https://a.test",{claim}}}"#);
        assert_eq!(bearer(&compiled, &token(&payload)).is_ok(), good, "{claim}");
    }
}

#[test]
fn audiences_are_compared_as_envoy_does() {
    let compiled = one_rule("    audiences: ['https://api.test/', other]\n");
    for (aud, good) in [
        (r#""https://api.test/""#, true),
        (r#""api.test""#, true),
        (r#""http://api.test""#, true),
        (r#"["x","other"]"#, true),
        (r#""api.test//""#, false),
        (r#""ftp://api.test""#, false),
        (r#""API.test""#, false),
        (r#"[]"#, false),
        (r#""""#, false),
    ] {
        let payload = format!(r#"{{"iss":"https://a.test","aud":{aud}}}"#);
        assert_eq!(bearer(&compiled, &token(&payload)).is_ok(), good, "{aud}");
    }
}

#[test]
fn only_the_named_places_are_looked_at() {
    let good = token(GOOD);
    let default = one_rule("");
    let own = one_rule(
        "    fromHeaders: [{name: X-Token, prefix: 'tok '}, {name: x-plain}]\n    fromParams: [t]\n    fromCookies: [sid]\n",
    );
    let (bearer, tok, cookie) = (
        format!("Bearer {good}"),
        format!("tok {good}"),
        format!("a=b; sid={good}; c=d"),
    );
    let query = |name: &str| format!("/?x=1&{name}={good}");
    let (access, t) = (query("access_token"), query("t"));
    let encoded = query("access%5ftoken");
    type Row<'a> = (&'a Compiled, &'a str, &'a [(&'a str, &'a str)], bool);
    let table: &[Row<'_>] = &[
        (&default, "/", &[("authorization", &bearer)], true),
        (&default, "/", &[("Authorization", &bearer)], true),
        (&default, &access, &[], true),
        (&default, &encoded, &[], true),
        (&default, &t, &[], false),
        (&default, "/", &[("x-token", &tok)], false),
        (&default, "/", &[("cookie", &cookie)], false),
        (
            &default,
            "/",
            &[("authorization", &bearer.replace("Bearer", "bearer"))],
            false,
        ),
        (&default, "/", &[("authorization", "Basic eDp5")], false),
        (&default, "/", &[("authorization", "Bearer")], false),
        (&own, "/", &[("authorization", &bearer)], false),
        (&own, &access, &[], false),
        (&own, "/", &[("x-token", &tok)], true),
        (&own, "/", &[("x-token", &good)], false),
        (&own, "/", &[("x-plain", &good)], true),
        (&own, &t, &[], true),
        (&own, "/", &[("cookie", &cookie)], true),
        (&own, "/", &[("cookie", "x=1"), ("cookie", &cookie)], true),
        (&own, "/", &[("cookie", &cookie.replace("sid", "xsid"))], false),
    ];
    for (index, (compiled, target, headers, found)) in table.iter().enumerate() {
        let asked = ask(compiled, "POST", target, headers);
        assert_eq!((asked.verified, asked.refused), (*found, None), "row {index}");
    }
}

#[test]
fn an_empty_parameter_is_a_bad_token() {
    for target in ["/?access_token=", "/?access_token", "/?x&access%5Ftoken&y"] {
        let asked = ask(&one_rule(""), "POST", target, &[]);
        assert_eq!(asked.refused, Some(TokenError::BadFormat), "{target}");
    }
}

#[test]
fn tokens_in_two_places_are_refused() {
    let (good, compiled) = (token(GOOD), one_rule(""));
    let bearer = format!("Bearer {good}");
    let query = format!("/?access_token={good}");
    let twice = format!("/?access_token={good}&access_token={good}");
    let table: &[(&str, &[(&str, &str)])] = &[
        (&query, &[("authorization", &bearer)]),
        ("/?access_token=bad", &[("authorization", &bearer)]),
        (&twice, &[]),
        ("/", &[("authorization", &bearer), ("authorization", &bearer)]),
        ("/", &[("authorization", "Basic x"), ("authorization", &bearer)]),
    ];
    for (target, headers) in table {
        let asked = ask(&compiled, "POST", target, headers);
        assert_eq!(
            asked.refused,
            Some(TokenError::SeveralTokens),
            "{target} {}",
            headers.len()
        );
    }
}

/// One line is one token: that of the longest prefix.
#[test]
fn places_that_overlap_do_not_make_two_of_one_token() {
    let of = |prefix: &str| {
        compiled(&format!(
            "  - issuer: https://a.test\n    jwks: {KEYS}\n  - issuer: https://b.test\n    jwks: {KEYS}\n    fromHeaders: [{{name: \
             Authorization{prefix}}}]\n"
        ))
    };
    let (bare, joined) = (of(""), of(", prefix: Bearer"));
    let (a, b) = (token(GOOD), token(r#"{"iss":"https://b.test"}"#));
    let unknown = Err(TokenError::UnknownIssuer);
    for (compiled, value, expected) in [
        (&bare, format!("Bearer {a}"), Ok(true)),
        // The rule of `b` looks for a token that begins with `Bearer`.
        (&bare, format!("Bearer {b}"), unknown),
        (&bare, b.clone(), Ok(true)),
        (&bare, a.clone(), unknown),
        (&bare, "Bearer x".to_owned(), Err(TokenError::BadFormat)),
        (&joined, format!("Bearer {a}"), Ok(true)),
        (&joined, format!("Bearer {b}"), Ok(true)),
        (&joined, format!("Bearer{b}"), Ok(true)),
        (&joined, format!("Bearer{a}"), unknown),
        (&joined, b, Ok(false)),
    ] {
        let asked = ask(compiled, "POST", "/", &[("authorization", &value)]);
        let said = asked.refused.map_or(Ok(asked.verified), Err);
        assert_eq!(said, expected, "{value}");
    }
    let twice = [("authorization", "Bearer x"), ("authorization", "x")];
    assert_eq!(ask(&bare, "POST", "/", &twice).refused, Some(TokenError::SeveralTokens));
}

#[test]
fn rules_are_pooled_and_the_issuer_chooses() {
    let compiled = compiled(&format!(
        "  - {{issuer: 'https://b.test', jwks: {KEYS}, audiences: [b]}}\n  - {{issuer: 'https://a.test', jwks: {KEYS}}}\n  - \
         {{issuer: 'https://b.test', jwks: {KEYS}, audiences: [c]}}\n"
    ));
    for (payload, expected) in [
        (r#"{"iss":"https://a.test"}"#, Ok(())),
        (r#"{"iss":"https://b.test","aud":"b"}"#, Ok(())),
        (r#"{"iss":"https://b.test","aud":"c"}"#, Ok(())),
        (r#"{"iss":"https://b.test","aud":"d"}"#, Err(TokenError::Audience)),
        (r#"{"iss":"https://c.test"}"#, Err(TokenError::UnknownIssuer)),
    ] {
        assert_eq!(bearer(&compiled, &token(payload)), expected, "{payload}");
    }
}

#[test]
fn a_rule_with_keys_alone_takes_any_issuer() {
    let compiled = compiled(&format!("  - jwks: {KEYS}\n"));
    for payload in [r#"{"iss":"anyone"}"#, "{}"] {
        assert_eq!(bearer(&compiled, &token(payload)), Ok(()), "{payload}");
    }
}

#[test]
fn a_preflight_needs_no_token_and_nothing_else_is_one() {
    let compiled = one_rule("");
    let (origin, method) = (("origin", "https://x.test"), ("access-control-request-method", "POST"));
    let bad = ("authorization", "Bearer bad");
    assert_eq!(ask(&compiled, "OPTIONS", "/", &[origin, method, bad]).refused, None);
    for (verb, headers) in [
        ("OPTIONS", &[origin, bad] as &[_]),
        ("OPTIONS", &[method, bad]),
        ("POST", &[origin, method, bad]),
    ] {
        assert_eq!(ask(&compiled, verb, "/", headers).refused, Some(TokenError::BadFormat));
    }
}

#[test]
fn a_bad_token_is_refused_before_routes_are_looked_at() {
    let compiled = one_rule("");
    let asked = ask(
        &compiled,
        "GET",
        "/nowhere",
        &[("authorization", "Bearer x"), ("x", "y")],
    );
    assert_eq!(asked.status, 401);
}

#[test]
fn the_challenge_names_the_request_without_its_query() {
    let headers: &[(&str, &[u8])] = &[("host", b"test.com:8080")];
    let mut request = Request {
        method: "GET",
        authority: None,
        target: "/v1/\"x\\?access_token=secret",
        headers: &headers,
        connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
    };
    assert_eq!(
        Challenge::new(&request).to_string(),
        r#"Bearer realm="http://test.com:8080/v1/%22x%5C", error="invalid_token""#
    );
    let long = format!("/{}?access_token=secret", "a".repeat(1000));
    request.target = &long;
    request.authority = Some(SentAuthority::target("other"));
    let challenge = Challenge::new(&request).to_string();
    assert!(
        challenge.starts_with(r#"Bearer realm="http://other/aaa"#) && challenge.len() < 320,
        "{challenge}"
    );
}

#[test]
fn headers_written_from_claims_replace_the_clients() {
    let compiled = compiled(&format!(
        "  - issuer: https://a.test\n    jwks: {KEYS}\n    outputPayloadToHeader: X-Payload\n    outputClaimToHeaders:\n    \
         - {{header: X-Sub, claim: sub}}\n    - {{header: x-team, claim: org.team}}\n    - {{header: x-n, claim: num}}\n    - \
         {{header: x-list, claim: list}}\n    - {{header: x-bad, claim: bad}}\n    - {{header: x-none, claim: none}}\n"
    ));
    let payload =
        r#"{"iss":"https://a.test","sub":"ann","org":{"team":"core"},"num":7,"list":["a"],"bad":"a\r\nx-admin: 1"}"#;
    let set = assume(compiled.snapshot.tables(), parsed(payload.as_bytes()), None).unwrap();
    let written: Vec<(&str, &str)> = set.claims().headers().collect();
    let (encoded, list) = (encode(payload), STANDARD.encode(r#"["a"]"#));
    assert_eq!(
        written,
        [
            ("x-payload", &*encoded),
            ("x-sub", "ann"),
            ("x-team", "core"),
            ("x-n", "7"),
            ("x-list", &list)
        ],
        "no control character is ever written (CVE-2023-27493)"
    );
}

#[test]
fn claims_are_written_as_envoy_writes_them() {
    let compiled = compiled(&format!(
        "  - issuer: https://a.test\n    jwks: {KEYS}\n    outputClaimToHeaders: [{{header: x-claim, claim: claim}}]\n"
    ));
    for (claim, expected) in [
        (r#""""#, None),
        ("null", None),
        ("false", Some("false")),
        ("100", Some("100")),
        ("100.0", Some("100")),
        ("-3.000", Some("-3")),
        ("123456789012345678", Some("123456789012345678")),
        // Envoy writes six digits behind the point, whatever there are, and no exponent.
        ("-3", Some("-3")),
        ("1.5", Some("1.5")),
        ("1.50", Some("1.50")),
        ("1e2", Some("1e2")),
        ("1.0e2", Some("1.0e2")),
        (r#"{"a":[1]}"#, Some("eyJhIjpbMV19")),
        ("[1]", Some("WzFd")),
        ("[]", Some("W10=")),
        // What a reader of the field takes for the value is what policies are shown.
        (r#"" root  ""#, Some("root")),
        (r#""a b""#, Some("a b")),
        (r#"" ""#, None),
        (r#""\troot""#, None),
    ] {
        let payload = format!(r#"{{"iss":"https://a.test","claim":{claim}}}"#);
        let set = assume(compiled.snapshot.tables(), parsed(payload.as_bytes()), None).unwrap();
        let written = set.claims().headers().next().map(|(_, value)| value.to_owned());
        assert_eq!(written.as_deref(), expected, "{claim}");
    }
}

#[test]
fn what_a_token_writes_has_no_twin() {
    let written = "outputClaimToHeaders: [{header: x-tenant, claim: sub}, {header: x_team, claim: sub}]";
    let compiled = compiled(&format!("  - {{issuer: 'https://a.test', jwks: {KEYS}, {written}}}\n"));
    let tables = compiled.snapshot.tables();
    for (name, goes) in [
        ("x_tenant", false),
        ("x-team", false),
        ("x-team-b", true),
        ("x_tenants", true),
        ("xteam", true),
    ] {
        assert_eq!(!rewrite::drops_header_to_host(tables, name), goes, "{name}");
        assert_eq!(!rewrite::drops_header_to_provider(tables, name), goes, "{name}");
    }
}

#[test]
fn routes_and_policies_see_what_a_token_writes_and_not_what_a_client_sends() {
    let policy = "\n---\napiVersion: istio.alibabacloud.com/v1beta1\nkind: LLMRoute\nmetadata: {name: by-claim, namespace: \
                  istio-system}\nspec:\n  host: claim.test\n  gateways: [istio-system/ingress-gw]\n  rules:\n  - name: a\n    \
                  matches: [{headers: {x-user: {exact: ann}}}]\n    backendRefs: [{providerHost: dashscope.aliyuncs.com}]\n";
    let compiled = compiled(&format!(
        "  - {{issuer: 'https://a.test', jwks: {KEYS}, outputClaimToHeaders: [{{header: x-user, claim: sub}}]}}\n{policy}"
    ));
    let status = |headers: &[(&str, &str)], sub: Option<&str>| {
        let tables = compiled.snapshot.tables();
        let mut pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        pairs.push(("host", b"claim.test"));
        let pairs = pairs.as_slice();
        let request = Request {
            method: "POST",
            authority: None,
            target: "/",
            headers: &pairs,
            connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
        };
        let set = sub.map(|sub| {
            let payload = format!(r#"{{"iss":"https://a.test","sub":"{sub}"}}"#);
            assume(tables, parsed(payload.as_bytes()), None).unwrap()
        });
        let identity = set
            .as_ref()
            .map_or(Identity::Anonymous, |set| Identity::Verified(set.claims()));
        let known = Known {
            identity,
            ..Known::NOTHING
        };
        match decide(tables, &request, known, 0, &mut Scratch::new()) {
            Decision::Refuse(refusal) => refusal.status(),
            _ => 0,
        }
    };
    assert_eq!(status(&[], Some("ann")), 0);
    assert_eq!(status(&[("x-user", "eve")], Some("ann")), 0);
    assert_eq!(status(&[], Some("bob")), 404);
    assert_eq!(status(&[("x-user", "ann")], Some("bob")), 404);
    assert_eq!(status(&[("x-user", "ann")], None), 404, "not even without a token");
}

/// A host of a VirtualService, policies on path, cookies and a field of tokens, and routes by a cookie and a parameter.
const JUDGED: &str = "\n---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  gateways: [istio-system/ingress-gw]
  http:
  - match: [{queryParams: {t: {regex: '.*'}}}, {queryParams: {'%74': {regex: '.*'}}}, {headers: {cookie: {regex: '.*sid.*'}}}]
    directResponse: {status: 418}
  - match: [{headers: {cookie: {exact: 'b=2; c=3'}}}]
    directResponse: {status: 299}
  - route: [{destination: {host: plain.test, port: {number: 80}}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 10.0.0.1}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: 'request.headers[:path]', values: [/admin, '/admin?x=1', '*secret']}]
  - when: [{key: 'request.headers[cookie]', values: [a=1, 'é=1']}]
  - when: [{key: 'request.headers[x-token]', values: ['*']}]
  - when: [{key: 'request.headers[x-kept]', values: ['*']}]
";

/// 0 when it goes on, with what goes on of the target.
fn judged(compiled: &Compiled, target: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let tables = compiled.snapshot.tables();
    let mut pairs: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    pairs.push(("host", b"plain.test"));
    let pairs = pairs.as_slice();
    let request = Request {
        method: "GET",
        authority: None,
        target,
        headers: &pairs,
        connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
    };
    let (mut first, mut second) = (Scratch::new(), Scratch::new());
    let set;
    let decision = match decide(tables, &request, Known::NOTHING, 0, &mut first) {
        Decision::VerifyToken(sent) => {
            let read = Token::read(sent.text()).and_then(|token| {
                let rules = token.candidates(tables, &sent, NOW)?;
                token.accept(tables, rules[0])
            });
            let identity = match read {
                Ok(read) => {
                    set = read;
                    Identity::Verified(set.claims())
                }
                Err(error) => Identity::Refused(error),
            };
            let known = Known {
                identity,
                ..Known::NOTHING
            };
            decide(tables, &request, known, 0, &mut second)
        }
        decision => decision,
    };
    match decision {
        Decision::Forward(forward) => (0, rewrite::target(tables, forward.path).unwrap()),
        Decision::Respond(answer) => (answer.status, String::new()),
        Decision::Refuse(refusal) => (refusal.status(), String::new()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn policies_and_routes_judge_what_goes_on() {
    let places = "    fromHeaders: [{name: x-token}]\n    fromParams: [t]\n    fromCookies: [sid]\n";
    let compiled = compiled(&format!(
        "  - issuer: https://a.test\n    jwks: {KEYS}\n{places}{JUDGED}"
    ));
    let good = token(GOOD);
    for (target, status, sent) in [
        ("/admin".into(), 403, ""),
        ("/admin?".into(), 0, "/admin?"),
        (format!("/admin?t={good}"), 403, ""),
        (format!("/admin?%74={good}"), 403, ""),
        (format!("/admin?x=1&t={good}"), 403, ""),
        (format!("/admin?t={good}&x=1"), 403, ""),
        (format!("/admin?x=2&t={good}&x=1"), 0, "/admin?x=2&x=1"),
        (format!("/b?z=secret&t={good}"), 403, ""),
        (format!("/b?z=secret&t={good}&"), 0, "/b?z=secret&"),
        (format!("/b?t={good}"), 0, "/b"),
        // As in Envoy, a name alone has an empty value.
        ("/admin?t".into(), 401, ""),
        ("/b?%74".into(), 401, ""),
        ("/b?t&x".into(), 401, ""),
        ("/b?tt&x".into(), 0, "/b?tt&x"),
        (
            format!("/b?{}&t={good}", "x".repeat(8192)),
            0,
            &*format!("/b?{}", "x".repeat(8192)),
        ),
        (format!("/b?{}&t={good}", "x".repeat(8193)), 414, ""),
    ] {
        assert_eq!(judged(&compiled, &target, &[]), (status, sent.to_owned()), "{target}");
    }
    for (cookies, status) in [
        (&["a=1"][..], 403),
        (&["; a=1"], 403),
        (&["a=1 ;"], 403),
        (&["sid; a=1"], 403),
        (&["sid =x; a=1"], 403),
        (&[&format!("sid={good}; a=1")], 403),
        (&[&format!("a=1;sid={good}")], 403),
        (&["x=1", "sid; a=1"], 403),
        (&["sid; é=1"], 403),
        (&[&format!("b=2; sid={good};c=3")], 299),
        (&["sid", ";", ""], 0),
        (&["xsid=1"], 418),
        (&["sid=bad; a=1"], 401),
        (&[&format!("b={}", "x".repeat(8192 - 2))], 0),
        (&[&format!("b={}", "x".repeat(8192 - 1))], 431),
        (&["b=1"; 16], 0),
        (&["b=1"; 17], 431),
    ] {
        let fields: Vec<(&str, &str)> = cookies.iter().map(|line| ("cookie", *line)).collect();
        assert_eq!(judged(&compiled, "/b", &fields).0, status, "{cookies:?}");
    }
    for (name, value, status) in [("x-token", &*good, 0), ("x-token", "bad", 401), ("x-kept", "x", 403)] {
        assert_eq!(judged(&compiled, "/b", &[(name, value)]).0, status, "{name} {value}");
    }
}

#[test]
fn a_field_whose_token_a_rule_would_send_on_is_shown() {
    let kept = "    fromHeaders: [{name: x-kept}]\n    forwardOriginalToken: true\n";
    let compiled = compiled(&format!("  - issuer: https://a.test\n    jwks: {KEYS}\n{kept}{JUDGED}"));
    assert_eq!(judged(&compiled, "/b", &[("x-kept", &*token(GOOD))]).0, 403);
}

#[test]
fn only_the_rule_that_accepts_a_token_has_its_field_shown() {
    let place = "    fromHeaders: [{name: x-kept}]\n";
    let shown = "    forwardOriginalToken: true\n";
    let rule = |issuer: &str, more: &str| format!("  - issuer: {issuer}\n    jwks: {KEYS}\n{place}{more}");
    let (other, good) = (token(r#"{"iss":"https://b.test"}"#), token(GOOD));
    for (a, b) in [("", shown), (shown, "")] {
        let rules = [rule("https://a.test", a), rule("https://b.test", b)].concat();
        let compiled = compiled(&format!("{rules}{JUDGED}"));
        for (token, more) in [(&good, a), (&other, b)] {
            let status = if more.is_empty() { 0 } else { 403 };
            assert_eq!(judged(&compiled, "/b", &[("x-kept", token)]).0, status, "{rules}");
        }
    }
}

#[test]
fn explain_says_whether_a_host_gets_the_field_of_a_token() {
    let place = "    fromHeaders: [{name: x-kept}]\n";
    for (more, is_forwarded) in [("", false), ("    forwardOriginalToken: true\n", true)] {
        let policies = JUDGED
            .split("---")
            .filter(|resource| !resource.contains("AuthorizationPolicy"));
        let rest = policies.collect::<Vec<_>>().join("---");
        let compiled = compiled(&format!(
            "  - issuer: https://a.test\n    jwks: {KEYS}\n{place}{more}{rest}"
        ));
        for claims in [None, Some(r#"{"iss":"https://a.test"}"#.to_owned())] {
            let is_verified = claims.is_some();
            let question = Question {
                target: Target::parse("http://plain.test/").unwrap(),
                headers: is_verified
                    .then(|| ("x-kept".to_owned(), token(GOOD).into()))
                    .into_iter()
                    .collect(),
                claims,
                ..Question::default()
            };
            let Verdict::Forward(forward) = question.verdict(&compiled.snapshot).unwrap() else {
                panic!("{more}");
            };
            let is_dropped = forward.remove_headers.iter().any(|name| name == "x-kept");
            assert_eq!(is_dropped, is_verified && !is_forwarded, "{more}: {is_verified}");
        }
    }
}

#[test]
fn explain_says_what_is_left_of_cookies() {
    let policies = JUDGED
        .split("---")
        .filter(|resource| !resource.contains("AuthorizationPolicy"));
    let rest = policies.collect::<Vec<_>>().join("---");
    let compiled = compiled(&format!(
        "  - issuer: https://a.test\n    jwks: {KEYS}\n    fromCookies: [sid]\n{rest}"
    ));
    for (cookies, changed, is_dropped) in [
        (&["a=1; b=2"][..], 0, false),
        (&["a=1; sid=t; b=2"], 1, false),
        (&["a=1", "sid=t; b=2"], 2, false),
        (&["sid=t", "b=2"], 1, false),
        (&["sid=t"], 0, true),
        (&["sid=t", "sid;"], 0, true),
    ] {
        let question = Question {
            target: Target::parse("http://plain.test/").unwrap(),
            headers: cookies
                .iter()
                .map(|line| ("Cookie".to_owned(), (*line).into()))
                .collect(),
            claims: Some(r#"{"iss":"https://a.test"}"#.to_owned()),
            ..Question::default()
        };
        let Verdict::Forward(forward) = question.verdict(&compiled.snapshot).unwrap() else {
            panic!("{cookies:?}");
        };
        let set: Vec<&str> = forward
            .set_headers
            .iter()
            .filter(|(name, _)| name == "cookie")
            .map(|(_, value)| &**value)
            .collect();
        // They may be credentials of the host's own.
        assert_eq!(set, vec!["«not shown»"; changed], "{cookies:?}");
        let drops = forward.remove_headers.iter().any(|name| name == "cookie");
        assert_eq!(drops, is_dropped, "{cookies:?}");
    }
}

#[test]
fn claims_that_are_assumed_are_read_by_the_rule_that_would_accept_the_token() {
    let rule = |places: &str, audience: &str, header: &str| {
        format!(
            "  - issuer: https://a.test\n    jwks: {KEYS}\n    {places}\n    audiences: [{audience}]\n    \
             outputClaimToHeaders: [{{header: {header}, claim: sub}}]\n"
        )
    };
    let compiled = compiled(&format!(
        "{}{}{}",
        rule("fromHeaders: [{name: x-one}]", "red", "x-first"),
        rule("fromParams: [two]", "red", "x-second"),
        rule("fromCookies: [three]", "blue", "x-third"),
    ));
    let written = |audience: &str, path: &str, headers: &[(&str, &str)]| {
        let question = Question {
            target: Target::path(path).unwrap(),
            method: Some("POST".into()),
            headers: [("host", "test.com")]
                .iter()
                .chain(headers)
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            claims: Some(format!(r#"{{"iss":"https://a.test","sub":"ann","aud":"{audience}"}}"#)),
            body: Some(r#"{"model":"m"}"#.into()),
            ..Question::default()
        };
        let Verdict::Forward(forward) = question.verdict(&compiled.snapshot).unwrap() else {
            panic!("{audience} {path}");
        };
        let written = forward.set_headers.iter().find(|(_, value)| value == "ann");
        written.map(|(name, _)| name.clone()).unwrap()
    };
    assert_eq!(written("red", "/", &[]), "x-first", "wherever it may be");
    assert_eq!(written("blue", "/", &[]), "x-third", "the audience is another rule's");
    assert_eq!(written("red", "/", &[("x-one", "t")]), "x-first");
    assert_eq!(written("red", "/?two=t", &[]), "x-second");
    assert_eq!(written("blue", "/", &[("cookie", "three=t")]), "x-third");
}

#[test]
fn claims_that_are_assumed_are_refused_where_no_rule_would_accept_the_token() {
    let compiled = compiled(&format!(
        "  - issuer: https://a.test\n    jwks: {KEYS}\n    fromHeaders: [{{name: x-one}}, {{name: x-two}}]\n    audiences: [red]\n"
    ));
    let reason = |claims: &str, headers: &[(&str, &str)]| {
        let sent = [("host", "test.com")];
        let sent = sent.iter().chain(headers);
        let question = Question {
            target: Target::path("/").unwrap(),
            headers: sent
                .map(|(name, value)| ((*name).to_owned(), (*value).into()))
                .collect(),
            claims: Some(claims.to_owned()),
            ..Question::default()
        };
        match question.verdict(&compiled.snapshot).unwrap() {
            Verdict::Refuse(refused) => (refused.status, refused.reason),
            other => panic!("{claims}: {other:?}"),
        }
    };
    for (claims, words) in [
        (
            r#"{"iss":"https://b.test","aud":"red"}"#,
            "Jwt issuer is not configured",
        ),
        (r#"{"aud":"red"}"#, "Jwt issuer is not configured"),
        (
            r#"{"iss":"https://a.test","aud":"blue"}"#,
            "Audiences in Jwt are not allowed",
        ),
        (
            r#"{"iss":"https://a.test","aud":"red","sub":5}"#,
            "[sub] field is not a string",
        ),
    ] {
        let (status, reason) = reason(claims, &[]);
        assert!(
            [401, 403].contains(&status) && reason.contains(words),
            "{claims}: {status} {reason}"
        );
    }
    let good = r#"{"iss":"https://a.test","aud":"red"}"#;
    let (status, reason) = reason(good, &[("x-one", "t"), ("x-two", "t")]);
    assert!(status == 401 && reason.contains("multiple"), "{reason}");
}

#[test]
fn cookies_that_nobody_reads_may_be_of_any_length() {
    let rule = format!("  - issuer: https://a.test\n    jwks: {KEYS}\n    fromCookies: [sid]\n");
    let long = format!("a={}", "x".repeat(20_000));
    assert_eq!(ask(&compiled(&rule), "POST", "/", &[("cookie", &long)]).status, 0);
}

#[test]
fn what_is_sent_on_holds_no_token_parameter() {
    let compiled = one_rule("    fromParams: [access_token, t]\n");
    let tables = compiled.snapshot.tables();
    for (query, sent) in [
        (None, "/p"),
        (Some("x=1"), "/p?x=1"),
        (Some("t=a"), "/p"),
        (Some("x=1&t=a&y=2&access%5Ftoken=b"), "/p?x=1&y=2"),
        (Some("tt=1&t"), "/p?tt=1"),
        (Some(""), "/p?"),
    ] {
        assert_eq!(
            rewrite::target(tables, Path::Client { path: "/p", query }).unwrap(),
            sent,
            "{query:?}"
        );
    }
}

#[test]
fn a_header_that_is_known_changes_nothing() {
    let known = Token::read(token_of(r#"{"alg":"RS256","kid":"k"}"#, GOOD).as_bytes()).unwrap();
    let known = known.signed().header();
    for (header, is_known) in [
        (r#"{"alg":"RS256","kid":"k"}"#, true),
        (r#"{"alg":"RS256","kid":"kk"}"#, false),
        (r#"{"alg":"RS256","kid":"k"} "#, false),
        (r#"{"alg":"RS256","kid":"j"}"#, false),
        (r#"{"alg":"none","kid":"k"}"#, false),
        ("", false),
    ] {
        for payload in [GOOD, "{}", "{", "", r#"{"iss":1}"#, r#"{"a":1,"a":1}"#] {
            let text = token_of(header, payload);
            for text in [
                text.clone(),
                text.replacen('.', "", 1),
                format!("{text}."),
                format!("{text}.a"),
            ] {
                let (alone, after) = (
                    Token::read(text.as_bytes()),
                    Token::read_after(text.as_bytes(), Some(known)),
                );
                match (alone, after) {
                    (Ok(alone), Ok(after)) => {
                        assert_eq!(after.signed().algorithm(), alone.signed().algorithm(), "{text}");
                        assert_eq!(after.signed().key_id(), alone.signed().key_id(), "{text}");
                        assert_eq!(after.signed().signature(), alone.signed().signature(), "{text}");
                        assert_eq!(after.claims().payload(), alone.claims().payload(), "{text}");
                        assert_eq!(Arc::ptr_eq(after.signed().header(), known), is_known, "{text}");
                    }
                    (alone, after) => assert_eq!(after.err(), alone.err(), "{text}"),
                }
            }
        }
    }
}

#[test]
fn a_text_of_the_wrong_form_is_told_so_whatever_else_is_wrong() {
    let good = token(GOOD);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    for text in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        header.into(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!("{header}..{signature}"),
        format!(".{payload}.{signature}"),
        format!("{good}."),
        format!(".{good}"),
        format!("{header}.{payload}.{payload}.{signature}"),
        format!("!.{payload}.{signature}.{signature}"),
    ] {
        assert_eq!(
            Token::read(text.as_bytes()).err(),
            Some(TokenError::BadFormat),
            "{text}"
        );
    }
    for at in 0..good.len() {
        let mut text = good.clone().into_bytes();
        text[at] = 0xFF;
        assert_eq!(Token::read(&text).err(), Some(TokenError::BadFormat), "{at}");
    }
    for (text, error) in [
        (format!("é.{payload}.{signature}"), TokenError::HeaderBase64),
        (format!("{header}.é.{signature}"), TokenError::PayloadBase64),
        (format!("{header}.{payload}.é"), TokenError::SignatureBase64),
    ] {
        assert_eq!(Token::read(text.as_bytes()).err(), Some(error), "{text}");
    }
}

#[test]
fn a_token_is_never_printed() {
    let compiled = one_rule("");
    let good = token(GOOD);
    let value = format!("Bearer {good}");
    let pairs: &[(&str, &[u8])] = &[("host", b"test.com"), ("authorization", value.as_bytes())];
    let request = Request {
        method: "POST",
        authority: None,
        target: "/",
        headers: &pairs,
        connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
    };
    let mut scratch = Scratch::new();
    let decision = decide(compiled.snapshot.tables(), &request, Known::NOTHING, 0, &mut scratch);
    let printed = format!("{decision:?} {:?}", Token::read(good.as_bytes()).unwrap());
    assert!(
        printed.contains("SentToken") && !printed.contains(good.split('.').next().unwrap()),
        "{printed}"
    );
}

#[test]
fn the_example_asks_for_a_login_and_for_the_right_group() {
    let text = format!(
        "{ROUTES}\n---\n{}",
        include_str!("../../examples/authentication/request-authentication.yaml")
    );
    let sources = [Source::new("all.yaml".into(), text)];
    let env = |_: &str| Some("203.0.113.9".to_owned());
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &[],
    };
    let built = build(&sources, &options, &Settings::default());
    let compiled = built.compiled.expect("the example loads");
    let ask = |claims: Option<&str>, model: &str| {
        let tables = compiled.snapshot.tables();
        let pairs: &[(&str, &[u8])] = &[("host", b"test.com")];
        let request = Request {
            method: "POST",
            authority: None,
            target: "/",
            headers: &pairs,
            connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
        };
        let mut scan = BodyScan::new(1 << 20);
        scan.feed(format!(r#"{{"model":"{model}"}}"#).as_bytes()).unwrap();
        let set = claims.map(|claims| assume(tables, parsed(claims.as_bytes()), None).unwrap());
        let known = Known {
            body: Body::Read(scan.finish()),
            identity: set
                .as_ref()
                .map_or(Identity::Anonymous, |set| Identity::Verified(set.claims())),
            ..Known::NOTHING
        };
        match decide(tables, &request, known, 0, &mut Scratch::new()) {
            Decision::Refuse(refusal) => refusal.status(),
            _ => 0,
        }
    };
    let staff = r#"{"iss":"https://login.example.com","sub":"ann","aud":"llm-gateway"}"#;
    let research = r#"{"iss":"https://login.example.com","sub":"bob","aud":"llm-gateway","groups":["research"]}"#;
    for (claims, model, status) in [
        (None, "qwen-turbo", 403),
        (Some(staff), "qwen-turbo", 0),
        (Some(staff), "qwen-max", 403),
        (Some(research), "qwen-max", 0),
    ] {
        assert_eq!(ask(claims, model), status, "{claims:?} {model}");
    }
}
