//! Tokens, through the program itself: every algorithm with keys made for the test, keys in the configuration and
//! fetched, down, slow and rotating, and what people try with tokens that are not theirs.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use serde_json::{Value, json};
use support::bed::{Bed, EDGE, Transport, join, plain_host};
use support::client::{Client, Response, get, post, request};
use support::gateway::{Gateway, Setup};
use support::outputs::total;
use support::pki::Authority;
use support::tokens::{ISSUER, SigningKey, claims, encode, good, key_set, now};
use support::upstream::{Answer, Gate, Step, Upstream};
use support::{QUESTION, eventually};

/// A RequestAuthentication with one rule for [`ISSUER`] and these further fields.
fn authentication(fields: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
         istio-system}}\nspec:\n  jwtRules:\n  - issuer: {ISSUER}\n{fields}\n"
    )
}

fn inline(keys: &[Value], more: &str) -> String {
    authentication(&format!("    jwks: '{}'\n{more}", key_set(keys)))
}

fn by_url(keys: &Upstream, more: &str) -> String {
    authentication(&format!(
        "    jwksUri: http://{}/keys?tenant=t-secret\n{more}",
        keys.addr
    ))
}

fn keys_answer(keys: &[Value]) -> Answer {
    Answer::whole("200 OK", &[("content-type", "application/json")], &key_set(keys))
}

async fn bed(authentication: &str) -> Bed {
    Bed::start(
        Transport::Plain,
        Setup::seed()
            .file("jwt.yaml", authentication)
            .args(&["--allow-private-jwks"]),
    )
    .await
}

async fn ask_with(gateway: &Gateway, fields: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(post("test.com", fields, QUESTION)).await;
    client.response().await
}

async fn bearer(gateway: &Gateway, token: &str) -> Response {
    ask_with(gateway, &[("authorization", &format!("Bearer {token}"))]).await
}

#[track_caller]
fn assert_refused(answer: &Response, status: u16, body: &str) {
    assert_eq!((answer.status, &*answer.text()), (status, body));
    assert_eq!(answer.header("content-type"), Some("text/plain"));
    assert_eq!(
        answer.header("www-authenticate"),
        Some("Bearer realm=\"http://test.com/\", error=\"invalid_token\"")
    );
}

const NO_KEY: &str = "Jwks doesn't have key to match kid or alg from Jwt";
const BAD_FORMAT: &str = "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections";
const BAD_SIGNATURE: &str = "Jwt verification fails";

#[tokio::test]
async fn every_algorithm_verifies_and_a_changed_token_does_not() {
    let keys = [
        ("rsa", SigningKey::rsa()),
        ("p256", SigningKey::ec("ES256")),
        ("p384", SigningKey::ec("ES384")),
        ("p521", SigningKey::ec("ES512")),
        ("ed", SigningKey::ed25519()),
        ("oct", SigningKey::Secret(b"0123456789abcdef0123456789abcdef".to_vec())),
    ];
    let set: Vec<Value> = keys.iter().map(|(kid, key)| key.jwk(kid)).collect();
    let bed = bed(&inline(&set, "")).await;
    let mut tried = 0;
    for (kid, key) in &keys {
        for algorithm in key.algorithms() {
            let token = good(key, algorithm, kid);
            let answer = bearer(&bed.gateway, &token).await;
            assert_eq!(answer.status, 200, "{algorithm}: {}", answer.text());
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let other = encode(json!({"iss": ISSUER, "sub": "eve"}).to_string());
            let header = signed.split('.').next().unwrap();
            let forged = format!("{header}.{other}.{signature}");
            assert_refused(&bearer(&bed.gateway, &forged).await, 401, BAD_SIGNATURE);
            let empty = format!("{signed}.");
            assert_refused(&bearer(&bed.gateway, &empty).await, 401, BAD_FORMAT);
            tried += 1;
        }
    }
    assert_eq!(tried, 13, "RS, PS, ES and HS thrice, EdDSA once");
}

#[tokio::test]
async fn no_token_passes_and_a_bad_one_never_reaches_the_provider() {
    let key = SigningKey::ec("ES256");
    let bed = bed(&inline(&[key.jwk("k")], "")).await;
    assert_eq!(ask_with(&bed.gateway, &[]).await.status, 200);
    assert_eq!(
        bed.upstream.request().await.header("authorization"),
        Some(format!("Bearer {}", support::KEY).as_str())
    );
    // CVE-2022-29226: a value that is merely there proves nothing.
    for token in ["x", "a.b.c", "null", &"A".repeat(40_000)] {
        assert_eq!(bearer(&bed.gateway, token).await.status, 401);
    }
    assert_eq!(bed.upstream.request_count(), 1);
}

#[tokio::test]
async fn a_token_of_an_issuer_nobody_lists_is_refused() {
    // ISTIO-SECURITY-2021-001 (advisory row 44).
    let key = SigningKey::ed25519();
    let bed = bed(&inline(&[key.jwk("k")], "")).await;
    let mut payload = claims();
    payload["iss"] = "https://other.test".into();
    let token = key.sign(&json!({"alg": "EdDSA", "kid": "k"}), &payload);
    assert_refused(&bearer(&bed.gateway, &token).await, 401, "Jwt issuer is not configured");
    bed.assert_no_contact();
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_none_is_no_algorithm() {
    let rsa = SigningKey::rsa();
    let jwk = rsa.jwk("k");
    let bed = bed(&inline(core::slice::from_ref(&jwk), "")).await;
    let pieces = [jwk["n"].as_str().unwrap().to_owned(), jwk.to_string(), key_set(&[jwk])];
    for secret in pieces {
        // Algorithm confusion: an HMAC whose secret is the public key.
        let forger = SigningKey::Secret(secret.into_bytes());
        assert_refused(
            &bearer(&bed.gateway, &good(&forger, "HS256", "k")).await,
            401,
            BAD_SIGNATURE,
        );
    }
    let unsigned = format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(claims().to_string()));
    assert_refused(&bearer(&bed.gateway, &unsigned).await, 401, BAD_FORMAT);
    assert_refused(
        &bearer(&bed.gateway, &format!("{unsigned}c2ln")).await,
        401,
        "Jwt header [alg] is not supported",
    );
    // Keys that a token brings along are not looked at.
    let own = SigningKey::rsa();
    let header =
        json!({"alg": "RS256", "jwk": own.jwk("k"), "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"});
    assert_refused(
        &bearer(&bed.gateway, &own.sign(&header, &claims())).await,
        401,
        BAD_SIGNATURE,
    );
    bed.assert_no_contact();
}

#[tokio::test]
async fn the_key_of_one_issuer_is_not_that_of_another() {
    let (a, b) = (SigningKey::ec("ES256"), SigningKey::ec("ES256"));
    let two = format!(
        "{}  - issuer: https://b.test\n    jwks: '{}'\n",
        inline(&[a.jwk("a")], ""),
        key_set(&[b.jwk("b")])
    );
    let bed = bed(&two).await;
    assert_eq!(bearer(&bed.gateway, &good(&a, "ES256", "a")).await.status, 200);
    assert_refused(&bearer(&bed.gateway, &good(&b, "ES256", "b")).await, 401, NO_KEY);
    assert_refused(&bearer(&bed.gateway, &good(&b, "ES256", "a")).await, 401, BAD_SIGNATURE);
    let without_kid = b.sign(&json!({"alg": "ES256"}), &claims());
    assert_refused(&bearer(&bed.gateway, &without_kid).await, 401, BAD_SIGNATURE);
}

#[tokio::test]
async fn a_key_verifies_what_its_alg_says_and_nothing_else() {
    let key = SigningKey::rsa();
    let mut jwk = key.jwk("k");
    jwk["alg"] = "PS256".into();
    let mut encryption = SigningKey::rsa().jwk("e");
    encryption["use"] = "enc".into();
    let with_operations = |kid: &str, operations: Value| {
        let mut jwk = key.jwk(kid);
        jwk["key_ops"] = operations;
        jwk
    };
    let keys = [
        encryption,
        jwk,
        with_operations("seals", json!(["encrypt", "wrapKey"])),
        with_operations("odd", json!("verify")),
        with_operations("verifies", json!(["sign", "verify"])),
    ];
    let bed = bed(&inline(&keys, "")).await;
    for (kid, is_good) in [("seals", false), ("odd", false), ("verifies", true)] {
        let answer = bearer(&bed.gateway, &good(&key, "RS256", kid)).await;
        match is_good {
            true => assert_eq!(answer.status, 200),
            false => assert_refused(&answer, 401, NO_KEY),
        }
    }
    assert_eq!(bearer(&bed.gateway, &good(&key, "PS256", "k")).await.status, 200);
    let without_kid = key.sign(&json!({"alg": "PS256"}), &claims());
    assert_eq!(bearer(&bed.gateway, &without_kid).await.status, 200);
    assert_refused(&bearer(&bed.gateway, &good(&key, "RS256", "k")).await, 401, NO_KEY);
    assert_refused(&bearer(&bed.gateway, &good(&key, "PS256", "e")).await, 401, NO_KEY);
}

#[tokio::test]
async fn times_and_audiences_are_checked_on_cached_tokens_too() {
    let key = SigningKey::ed25519();
    let bed = bed(&inline(&[key.jwk("k")], "    audiences: [api]\n")).await;
    let token = |more: Value| {
        let mut payload = json!({"iss": ISSUER, "aud": "api"});
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        key.sign(&json!({"alg": "EdDSA", "kid": "k"}), &payload)
    };
    let soon = token(json!({"exp": now() - 58}));
    assert_eq!(bearer(&bed.gateway, &soon).await.status, 200, "within the slack");
    eventually("a verified token expires", || async {
        let answer = bearer(&bed.gateway, &soon).await;
        (answer.status == 401).then(|| assert_refused(&answer, 401, "Jwt is expired"))
    })
    .await;
    for (more, status, body) in [
        (json!({"exp": now() - 120}), 401, "Jwt is expired"),
        (json!({"nbf": now() + 120}), 401, "Jwt not yet valid"),
        (json!({"aud": "other"}), 403, "Audiences in Jwt are not allowed"),
        (json!({"sub": 7}), 401, "Jwt payload [sub] field is not a string"),
    ] {
        assert_refused(&bearer(&bed.gateway, &token(more)).await, status, body);
    }
}

#[tokio::test]
async fn the_clients_token_stays_here_and_its_claims_go_on() {
    let key = SigningKey::ed25519();
    let more = "    fromHeaders: [{name: x-token}]\n    fromParams: [t]\n    forwardOriginalToken: true\n    \
                outputPayloadToHeader: x-payload\n    outputClaimToHeaders:\n    - {header: x-user, claim: sub}\n";
    let bed = bed(&inline(&[key.jwk("k")], more)).await;
    let token = good(&key, "EdDSA", "k");
    let answer = ask_with(
        &bed.gateway,
        &[("x-token", &token), ("x-user", "admin"), ("x-payload", "forged")],
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = bed.upstream.request().await;
    assert_eq!(seen.header("x-user"), Some("ann"));
    assert_eq!(seen.header("x-payload"), token.split('.').nth(1));
    assert!(
        !seen.raw_head.contains(&token) && seen.header("x-token").is_none(),
        "{}",
        seen.raw_head
    );
    assert_eq!(
        seen.header("authorization"),
        Some(format!("Bearer {}", support::KEY).as_str())
    );
    // Without a token the client does not get to write them either.
    assert_eq!(
        ask_with(&bed.gateway, &[("x-user", "admin"), ("x-payload", "forged")])
            .await
            .status,
        200
    );
    let seen = bed.upstream.request().await;
    assert!(seen.header("x-user").is_none() && seen.header("x-payload").is_none());
    // Nor does a token in the query go anywhere.
    let mut client = Client::connect(bed.gateway.http).await;
    let target = format!("/?a=1&t={token}");
    client.send(request("POST", &target, "test.com", &[], QUESTION)).await;
    assert_eq!(client.response().await.status, 200);
    let seen = bed.upstream.request().await;
    assert!(!seen.raw_head.contains(&token), "{}", seen.raw_head);
}

#[tokio::test]
async fn the_log_names_the_principal_and_the_reason_and_never_the_token() {
    let key = SigningKey::ed25519();
    let mut bed = bed(&inline(&[key.jwk("k")], "")).await;
    let token = good(&key, "EdDSA", "k");
    assert_eq!(bearer(&bed.gateway, &token).await.status, 200);
    let forged = good(&SigningKey::ed25519(), "EdDSA", "k");
    assert_eq!(bearer(&bed.gateway, &forged).await.status, 401);
    let query = format!("/?access_token={forged}");
    let mut client = Client::connect(bed.gateway.http).await;
    client.send(request("POST", &query, "test.com", &[], QUESTION)).await;
    assert_refused(&client.response().await, 401, BAD_SIGNATURE);
    let lines = bed.gateway.log_of(3).await;
    assert_eq!(lines[0]["request_auth_principal"], format!("{ISSUER}/ann"));
    assert_eq!(lines[1]["request_auth_principal"], "-");
    let details = lines[1]["response_code_details"].as_str().unwrap();
    assert!(details.starts_with("jwt_authn_access_denied{Jwt_"), "{details}");
    let metrics = get(bed.gateway.admin, "/metrics").await.text();
    let dump = get(bed.gateway.admin, "/config_dump").await.text();
    bed.gateway.signal("TERM");
    bed.gateway.ends().await;
    for part in token.split('.').chain(forged.split('.')) {
        for file in ["stdout", "stderr", "access.log"] {
            assert!(!bed.gateway.read(file).contains(part), "a token in {file}");
        }
        assert!(!metrics.contains(part) && !dump.contains(part));
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_everyone() {
    let (key, keys) = (SigningKey::ec("ES256"), Upstream::plain().await);
    let gate = Gate::new();
    let mut slow = keys_answer(&[key.jwk("k")]);
    slow.0.insert(0, Step::Wait(gate.clone()));
    keys.answer(slow);
    let bed = bed(&by_url(&keys, "")).await;
    let asked = keys.request().await;
    assert_eq!(asked.request_line, "GET /keys?tenant=t-secret HTTP/1.1");
    let token = good(&key, "ES256", "k");
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let (to, token) = (bed.gateway.http, token.clone());
            tokio::spawn(async move {
                let mut client = Client::connect(to).await;
                let bearer = format!("Bearer {token}");
                client
                    .send(post("test.com", &[("authorization", &bearer)], QUESTION))
                    .await;
                client.response().await.status
            })
        })
        .collect();
    tokio::time::sleep(core::time::Duration::from_millis(100)).await;
    gate.open();
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), 200);
    }
    assert_eq!(keys.request_count(), 1, "twenty requests, one fetch");
    let metrics = get(bed.gateway.admin, "/metrics").await.text();
    let source = format!("source=\"http://{}/keys\"", keys.addr);
    for line in [
        format!("lockgate_jwks_fetches_total{{{source},result=\"success\"}} 1"),
        format!("lockgate_jwks_keys{{{source}}} 1"),
    ] {
        assert!(metrics.contains(&line), "{line} in\n{metrics}");
    }
    assert!(!metrics.contains("t-secret"));
}

/// RFC 7517 §5.
#[tokio::test]
async fn a_key_that_is_not_understood_leaves_the_others_as_they_are() {
    let (key, odd) = (SigningKey::ec("ES256"), SigningKey::ec("ES256").jwk("odd"));
    let with = |name: &str, value: Value| {
        let mut jwk = odd.clone();
        jwk[name] = value;
        jwk
    };
    let all = [
        json!({"kid": "z"}),
        with("kid", json!(7)),
        with("x", json!(5)),
        with("x", json!({"y": []})),
        json!({"kty": "RSA", "n": 5}),
        json!({"kty": "AKP", "alg": "ML-DSA-44", "pub": "AA"}),
        with("crv", json!("P-1")),
        with("use", Value::Null),
        json!(null),
        json!("x"),
        json!([1]),
        key.jwk("k"),
    ];
    let keys = Upstream::plain().await;
    keys.answer(keys_answer(&all));
    let bed = bed(&by_url(&keys, "")).await;
    let token = good(&key, "ES256", "k");
    assert_eq!(bearer(&bed.gateway, &token).await.status, 200);

    // What is no member of its type is not looked at.
    let mut with_more = key.jwk("k");
    with_more["n"] = json!([1]);
    let keys = Upstream::plain().await;
    keys.answer(keys_answer(&[with_more]));
    let bed = self::bed(&by_url(&keys, "")).await;
    assert_eq!(bearer(&bed.gateway, &token).await.status, 200);

    let none = Upstream::plain().await;
    none.answer(keys_answer(&all[..5]));
    let bed = self::bed(&by_url(&none, "")).await;
    assert_refused(&bearer(&bed.gateway, &token).await, 401, NO_KEY);
    let said = bed.gateway.read("stderr");
    assert!(said.contains("no key of an issuer can verify a token"), "{said}");
}

#[tokio::test]
async fn keys_in_the_configuration_that_verify_nothing_are_told_of() {
    let keys = [
        json!({"kty": "RSA", "n": "*", "e": "AQAB"}),
        json!({"kty": "EC", "crv": "P-256"}),
    ];
    let bed = bed(&inline(&keys, "")).await;
    let token = good(&SigningKey::rsa(), "RS256", "k");
    assert_refused(&bearer(&bed.gateway, &token).await, 401, NO_KEY);
    let said = bed.gateway.read("stderr");
    assert!(said.contains("no key of a jwks can verify a token"), "{said}");
    assert!(said.contains("istio-system/jwt"), "{said}");
}

#[tokio::test]
async fn without_keys_every_token_is_refused() {
    // CVE-2026-31837 (row 45): no key is ever built in. CVE-2025-64527 (row 53): requests during a failing fetch end.
    let (key, keys) = (SigningKey::rsa(), Upstream::plain().await);
    for _ in 0..20 {
        keys.answer(Answer::whole(
            "500 Internal Server Error",
            &[],
            &key_set(&[key.jwk("k")]),
        ));
    }
    let bed = bed(&by_url(&keys, "")).await;
    let token = good(&key, "RS256", "k");
    let (one, two) = tokio::join!(bearer(&bed.gateway, &token), bearer(&bed.gateway, &token));
    for answer in [one, two] {
        assert_refused(&answer, 401, "Jwks remote fetch is failed");
    }
    // Without a token nothing depends on keys, and the gateway is ready.
    assert_eq!(ask_with(&bed.gateway, &[]).await.status, 200);
    assert_eq!(get(bed.gateway.admin, "/healthz/ready").await.status, 200);
}

#[tokio::test]
async fn keys_that_come_late_are_used() {
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    keys.answer(Answer::whole("503 Service Unavailable", &[], ""));
    keys.answer(Answer::whole("200 OK", &[], "not a key set"));
    keys.answer(keys_answer(&[key.jwk("k")]));
    let bed = bed(&by_url(&keys, "")).await;
    let token = good(&key, "EdDSA", "k");
    eventually("the third fetch succeeds", || async {
        (bearer(&bed.gateway, &token).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(keys.request_count(), 3);
    assert!(!bed.gateway.read("stderr").contains("not a key set"));
}

#[tokio::test]
async fn an_empty_answer_is_no_key_set_and_asked_for_again() {
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    keys.answer(Answer::whole("200 OK", &[], ""));
    keys.answer(keys_answer(&[key.jwk("k")]));
    let bed = bed(&by_url(&keys, "")).await;
    let token = good(&key, "EdDSA", "k");
    eventually("the second fetch succeeds", || async {
        (bearer(&bed.gateway, &token).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_slow_issuer_costs_its_timeout_and_no_more() {
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    keys.answer(Answer(vec![Step::Wait(Gate::new())]));
    let begun = std::time::Instant::now();
    let bed = bed(&by_url(&keys, "    timeout: 300ms\n")).await;
    let answer = bearer(&bed.gateway, &good(&key, "EdDSA", "k")).await;
    assert_refused(&answer, 401, "Jwks remote fetch is failed");
    assert!(begun.elapsed() < support::PATIENCE);
}

#[tokio::test]
async fn who_waits_for_keys_costs_no_more_than_was_sent() {
    const MANY: u64 = 100;
    let (key, keys, gate) = (SigningKey::ed25519(), Upstream::plain().await, Gate::new());
    keys.answer(Answer(vec![Step::Wait(gate.clone())]));
    let bed = bed(&by_url(&keys, "    timeout: 60s\n")).await;
    let mut claims = claims();
    // Read, it takes twelve times the 7 KiB that it is.
    claims["n".repeat(50)] = (0..900).map(|at| (format!("{at:03}"), json!(1))).collect();
    let token = format!("Bearer {}", key.sign(&json!({ "alg": "EdDSA", "kid": "k" }), &claims));
    let ask = async || {
        let mut client = Client::connect(bed.gateway.http).await;
        client
            .send(post("test.com", &[("authorization", &token)], QUESTION))
            .await;
        client
    };
    let mut clients = vec![ask().await];
    let before = bed.gateway.resident();
    for _ in 0..MANY {
        clients.push(ask().await);
    }
    eventually("all wait", || async {
        let active = total(&bed.gateway.metrics().await, "lockgate_requests_active", &[]);
        (active > MANY as f64).then_some(())
    })
    .await;
    let each = bed.gateway.resident().saturating_sub(before) / MANY;
    gate.open();
    assert!(each < 110 * 1024, "{each} bytes");
}

#[tokio::test]
async fn a_rotated_key_is_found_at_once_but_not_for_everyone_who_asks() {
    let (old, new, keys) = (SigningKey::ed25519(), SigningKey::ed25519(), Upstream::plain().await);
    keys.answer(keys_answer(&[old.jwk("old")]));
    keys.answer(keys_answer(&[new.jwk("new")]));
    let bed = bed(&by_url(&keys, "")).await;
    let retired = good(&old, "EdDSA", "old");
    assert_eq!(bearer(&bed.gateway, &retired).await.status, 200);
    assert_eq!(bearer(&bed.gateway, &good(&new, "EdDSA", "new")).await.status, 200);
    assert_eq!(keys.request_count(), 2);
    // The cache forgets what only the old key has verified.
    assert_refused(&bearer(&bed.gateway, &retired).await, 401, NO_KEY);
    for number in 0..10 {
        let unknown = good(&new, "EdDSA", &format!("unknown-{number}"));
        assert_refused(&bearer(&bed.gateway, &unknown).await, 401, NO_KEY);
    }
    assert_eq!(
        keys.request_count(),
        2,
        "unknown keys do not make the gateway hammer the issuer"
    );
}

#[tokio::test]
async fn a_reload_keeps_the_keys_that_were_fetched() {
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    keys.answer(keys_answer(&[key.jwk("k")]));
    let bed = bed(&by_url(&keys, "")).await;
    let token = good(&key, "EdDSA", "k");
    assert_eq!(bearer(&bed.gateway, &token).await.status, 200);
    let file = bed.gateway.config().join("jwt.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text + "    audiences: [api]\n").unwrap();
    eventually("the new rule asks for an audience", || async {
        (bearer(&bed.gateway, &token).await.status == 403).then_some(())
    })
    .await;
    assert_eq!(keys.request_count(), 1);
}

#[tokio::test]
async fn what_an_old_rule_verified_says_nothing_under_a_new_one() {
    let key = SigningKey::ed25519();
    let rule = |claim: &str| {
        inline(
            &[key.jwk("k")],
            &format!("    outputClaimToHeaders:\n    - {{header: x-user, claim: {claim}}}\n"),
        )
    };
    let bed = bed(&rule("sub")).await;
    let token = good(&key, "EdDSA", "k");
    for _ in 0..2 {
        assert_eq!(bearer(&bed.gateway, &token).await.status, 200);
        assert_eq!(bed.upstream.request().await.header("x-user"), Some("ann"));
    }
    std::fs::write(bed.gateway.config().join("jwt.yaml"), rule("iss")).unwrap();
    eventually("the new rule writes another claim", || async {
        assert_eq!(bearer(&bed.gateway, &token).await.status, 200);
        let user = bed.upstream.request().await.header("x-user").map(str::to_owned);
        (user.as_deref() == Some(ISSUER)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_one_rule_verified_says_nothing_where_another_comes_first() {
    let key = SigningKey::ed25519();
    let set = key_set(&[key.jwk("k")]);
    let first = "    fromHeaders: [{name: x-shared}]\n    outputClaimToHeaders:\n    - {header: x-user, claim: sub}\n    \
                 spaceDelimitedClaims: [roles]\n";
    let second =
        format!("  - issuer: {ISSUER}\n    jwks: '{set}'\n    fromHeaders: [{{name: x-b}}, {{name: x-shared}}]\n");
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, namespace: \
                  istio-system}\nspec:\n  action: DENY\n  rules:\n  - when: [{key: 'request.auth.claims[roles]', values: \
                  [banned]}]\n";
    let bed = bed(&format!("{}{second}{policy}", inline(&[key.jwk("k")], first))).await;
    let token = |roles: &str| {
        let payload = json!({"iss": ISSUER, "sub": "ann", "roles": roles});
        key.sign(&json!({"alg": "EdDSA", "kid": "k"}), &payload)
    };
    for (roles, shared) in [("user banned", 403), ("user", 200)] {
        let token = token(roles);
        for (field, status, user) in [
            ("x-shared", shared, Some("ann")),
            ("x-b", 200, None),
            ("x-b", 200, None),
            ("x-shared", shared, Some("ann")),
            ("x-b", 200, None),
        ] {
            assert_eq!(
                ask_with(&bed.gateway, &[(field, &token)]).await.status,
                status,
                "{field}"
            );
            if status == 200 {
                assert_eq!(bed.upstream.request().await.header("x-user"), user, "{field}");
            }
        }
    }
}

#[tokio::test]
async fn private_addresses_are_not_asked_for_keys() {
    // SSRF by `jwksUri` (row 62).
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    for url in [
        format!("http://{}/keys", keys.addr),
        format!("http://localhost:{}/keys", keys.addr.port()),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://[::ffff:127.0.0.1]/keys".to_owned(),
    ] {
        let (_upstream, setup) = join(
            Transport::Plain,
            Setup::seed().file("jwt.yaml", &authentication(&format!("    jwksUri: {url}"))),
        )
        .await;
        let gateway = setup.start().await;
        let answer = bearer(&gateway, &good(&key, "EdDSA", "k")).await;
        assert_refused(&answer, 401, "Jwks remote fetch is failed");
        let said = eventually("the reason is logged", || async {
            Some(gateway.read("stderr")).filter(|said| said.contains("--allow-private-jwks"))
        })
        .await;
        assert!(said.contains("is not a public address"), "{url}: {said}");
    }
    assert_eq!(keys.connection_count(), 0);
}

#[tokio::test]
async fn redirects_to_keys_are_not_followed() {
    let (key, keys, other) = (SigningKey::ed25519(), Upstream::plain().await, Upstream::plain().await);
    let location = format!("http://{}/keys", other.addr);
    for _ in 0..5 {
        keys.answer(Answer::whole(
            "302 Found",
            &[("location", &location)],
            &key_set(&[key.jwk("k")]),
        ));
    }
    let bed = bed(&by_url(&keys, "")).await;
    let answer = bearer(&bed.gateway, &good(&key, "EdDSA", "k")).await;
    assert_refused(&answer, 401, "Jwks remote fetch is failed");
    assert_eq!(other.connection_count(), 0);
}

#[tokio::test]
async fn an_endless_key_set_is_cut() {
    let (key, keys) = (SigningKey::ed25519(), Upstream::plain().await);
    let body = format!("{{\"keys\":[{}]}}", " ".repeat(2 * 1024 * 1024));
    keys.answer(Answer::whole("200 OK", &[], &body));
    let bed = bed(&by_url(&keys, "")).await;
    let answer = bearer(&bed.gateway, &good(&key, "EdDSA", "k")).await;
    assert_refused(&answer, 401, "Jwks remote fetch is failed");
}

#[tokio::test]
async fn an_issuer_alone_is_asked_where_its_keys_are() {
    let (key, keys) = (SigningKey::ec("ES384"), Upstream::plain().await);
    let issuer = format!("http://{}/tenant", keys.addr);
    let discovered = json!({"issuer": issuer, "jwks_uri": format!("http://{}/keys", keys.addr)});
    keys.answer(Answer::whole("200 OK", &[], &discovered.to_string()));
    keys.answer(keys_answer(&[key.jwk("k")]));
    let bed = bed(&authentication("").replace(ISSUER, &issuer)).await;
    let mut payload = claims();
    payload["iss"] = issuer.into();
    let token = key.sign(&json!({"alg": "ES384", "kid": "k"}), &payload);
    let answer = bearer(&bed.gateway, &token).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let lines = [keys.request().await.request_line, keys.request().await.request_line];
    assert_eq!(
        lines,
        [
            "GET /tenant/.well-known/openid-configuration HTTP/1.1",
            "GET /keys HTTP/1.1"
        ]
    );
}

#[tokio::test]
async fn a_hundred_thousand_brackets_in_a_token_are_refused() {
    // CVE-2026-48042 (row 94), as large as a head can be.
    let key = SigningKey::ed25519();
    let bed = bed(&inline(&[key.jwk("k")], "")).await;
    for payload in [
        "[".repeat(20_000),
        format!("{{\"a\":{}", "[".repeat(20_000)),
        "{\"a\":".repeat(4_000),
    ] {
        let token = format!("{}.{}.{}", encode(r#"{"alg":"EdDSA"}"#), encode(payload), encode("x"));
        assert_refused(
            &bearer(&bed.gateway, &token).await,
            401,
            "Jwt payload is an invalid JSON",
        );
    }
}

#[tokio::test]
async fn policies_rest_on_verified_claims() {
    let key = SigningKey::ed25519();
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: devs, namespace: \
                  istio-system}\nspec:\n  rules:\n  - from: [{source: {requestPrincipals: ['https://issuer.test/*']}}]\n    \
                  when: [{key: 'request.auth.claims[groups]', values: [dev]}]\n";
    let bed = bed(&format!("{}{policy}", inline(&[key.jwk("k")], ""))).await;
    assert_eq!(bearer(&bed.gateway, &good(&key, "EdDSA", "k")).await.status, 200);
    let is_denied = |answer: Response| assert_eq!((answer.status, &*answer.text()), (403, "RBAC: access denied"));
    is_denied(ask_with(&bed.gateway, &[]).await);
    let mut payload = claims();
    payload["groups"] = json!(["ops"]);
    let token = key.sign(&json!({"alg": "EdDSA", "kid": "k"}), &payload);
    is_denied(bearer(&bed.gateway, &token).await);
    let explained = |claims: &str| {
        let dir = bed.gateway.config();
        let claims = claims.to_owned();
        async move {
            let args = [
                "explain",
                "-f",
                &dir.display().to_string(),
                "-H",
                "Host: test.com",
                "--claims",
                &claims,
                "/",
            ];
            let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
            support::gateway::run(&[("API_KEY".to_owned(), support::KEY.to_owned())], &args).await
        }
    };
    let said = explained(&claims().to_string()).await;
    assert!(
        said.code == 0 && !said.stdout.contains("REFUSE with 403"),
        "{}",
        said.all()
    );
    let said = explained(r#"{"iss":"https://issuer.test"}"#).await;
    assert!(said.stdout.contains("REFUSE with 403"), "{}", said.all());
    assert_eq!(explained("{").await.code, 2);
}

#[tokio::test]
async fn a_policy_judges_what_the_upstream_gets() {
    let key = SigningKey::ed25519();
    let policy = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny, namespace: \
                  istio-system}\nspec:\n  action: DENY\n  rules:\n  - when: [{key: 'request.headers[:path]', values: [/admin, \
                  '/admin?x=1']}]\n  - when: [{key: 'request.headers[cookie]', values: [a=1]}]\n---\n";
    let places = "    fromHeaders: [{name: x-token}]\n    fromParams: [t]\n    fromCookies: [sid]\n";
    let authentication = inline(&[key.jwk("k")], places);
    let host = Upstream::plain().await;
    let text = format!(
        "{authentication}{policy}{EDGE}{}",
        plain_host(host.addr.port(), "edge", "plain.test")
    );
    let gateway = Setup::empty().file("all.yaml", &text).start().await;
    let token = good(&key, "EdDSA", "k");
    let ask = async |target: String, cookie: String| {
        let mut client = Client::connect(gateway.http).await;
        let fields = [("cookie", cookie.as_str())];
        let is_empty = cookie.is_empty();
        let fields = if is_empty { &[][..] } else { &fields[..] };
        client.send(request("GET", &target, "plain.test", fields, "")).await;
        client.response().await.status
    };
    for (target, status) in [
        ("/admin", 403),
        ("/admin?t", 401),
        ("/admin?t=", 401),
        (&format!("/admin?t={token}"), 403),
        (&format!("/admin?%74={token}"), 403),
        (&format!("/admin?t={token}&x=1"), 403),
    ] {
        assert_eq!(ask(target.into(), String::new()).await, status, "{target}");
    }
    for (cookie, status) in [
        ("a=1", 403),
        ("; a=1", 403),
        ("sid; a=1", 403),
        ("sid=bad; a=1", 401),
        (&format!("sid={token}; a=1"), 403),
    ] {
        assert_eq!(ask("/b".into(), cookie.into()).await, status, "{cookie}");
    }
    assert_eq!(host.request_count(), 0);
    assert_eq!(ask(format!("/admin?x=2&t={token}&y"), "sid; b=2;c=é".into()).await, 200);
    let seen = host.request().await;
    assert_eq!(seen.request_line, "GET /admin?x=2&y HTTP/1.1");
    assert!(seen.raw_head.contains("cookie: b=2; c=é\r\n"), "{}", seen.raw_head);
}

#[tokio::test]
async fn a_plain_host_gets_the_field_of_a_token_where_the_rule_forwards_it() {
    let (key, host) = (SigningKey::ed25519(), Upstream::plain().await);
    let token = good(&key, "EdDSA", "k");
    let bearer = format!("Bearer {token}");
    for (more, is_forwarded) in [
        ("", false),
        ("    forwardOriginalToken: false\n", false),
        ("    forwardOriginalToken: true\n", true),
    ] {
        let places = "    fromHeaders: [{name: authorization, prefix: 'Bearer '}, {name: x-token}]\n    fromParams: [t]\n    \
                      fromCookies: [sid]\n    outputClaimToHeaders: [{header: x-user, claim: sub}]\n";
        let text = format!(
            "{}---\n{EDGE}{}",
            inline(&[key.jwk("k")], &[places, more].concat()),
            plain_host(host.addr.port(), "edge", "plain.test")
        );
        let gateway = Setup::empty().file("all.yaml", &text).start().await;
        let ask = async |target: &str, fields: &[(&str, &str)]| {
            let mut client = Client::connect(gateway.http).await;
            client.send(request("GET", target, "plain.test", fields, "")).await;
            assert_eq!(client.response().await.status, 200, "{more}");
            host.request().await
        };
        let (authorization, x_token) = (("authorization", bearer.as_str()), ("x-token", token.as_str()));
        let (basic, forged) = (("authorization", "Basic dTpw"), ("x-user", "admin"));
        // No token is in the field, so what policies saw of it goes on.
        let seen = ask("/", &[basic, forged]).await;
        assert_eq!(
            (seen.header("authorization"), seen.header("x-user")),
            (Some("Basic dTpw"), None)
        );
        let seen = ask("/", &[authorization, forged]).await;
        assert_eq!(seen.header("x-user"), Some("ann"), "{more}");
        assert_eq!(seen.header("authorization"), is_forwarded.then_some(&*bearer), "{more}");
        let seen = ask("/", &[x_token, basic]).await;
        assert_eq!(seen.header("authorization"), Some("Basic dTpw"), "{more}");
        assert_eq!(seen.header("x-token"), is_forwarded.then_some(&*token), "{more}");
        for (target, fields) in [
            (format!("/?t={token}"), &[][..]),
            ("/".to_owned(), &[("cookie", &*format!("sid={token}"))]),
        ] {
            let seen = ask(&target, fields).await;
            assert!(!seen.raw_head.contains(&token), "{more}: {}", seen.raw_head);
        }
    }
}

#[tokio::test]
async fn keys_come_over_tls_from_the_host_that_the_url_names() {
    let (key, authority) = (SigningKey::ec("ES512"), Authority::new());
    let keys = Upstream::tls(authority.acceptor("localhost")).await;
    let trust = std::env::temp_dir().join(format!("lockgate-jwks-{}.pem", std::process::id()));
    std::fs::write(&trust, authority.pem()).unwrap();
    for (host, status) in [("localhost", 200), ("127.0.0.1", 401)] {
        keys.answer(keys_answer(&[key.jwk("k")]));
        let url = format!("    jwksUri: https://{host}:{}/keys", keys.addr.port());
        let setup = Setup::seed()
            .file("jwt.yaml", &authentication(&url))
            .env("SSL_CERT_FILE", &trust.display().to_string())
            .args(&["--allow-private-jwks"]);
        let (_upstream, setup) = join(Transport::Plain, setup).await;
        let gateway = setup.start().await;
        let answer = bearer(&gateway, &good(&key, "ES512", "k")).await;
        assert_eq!(answer.status, status, "{host}: {}", gateway.read("stderr"));
    }
    std::fs::remove_file(trust).unwrap();
}
