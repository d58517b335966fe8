//! Secrets of every kind, planted in a configuration and in requests, and looked for in all that the gateway says.

#![allow(clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use serde_json::json;
use support::bed::{Bed, Transport};
use support::client::{self, Client, Response, post, request};
use support::gateway::{Setup, edit};
use support::pki::{Authority, Issued};
use support::tokens::{ISSUER, SigningKey, claims, good, key_set, now};
use support::upstream::Answer;
use support::{KEY, QUESTION, eventually};

/// What a client has for something else, and sends here.
const CLIENT_KEY: &str = "sk-planted-9sXw3Lk8Qz5Tn2Rv";
const COOKIE: &str = "planted-session-7Hc4Jm1Pd6";
/// The key that tokens are signed with, as a key set has it in base64url.
const SIGNING: &[u8] = b"planted-signing-key-of-thirty-two-and-more-bytes";

/// Tokens for the fields and the parameter of Istio, a server with TLS beside the seed's, and capsules.
fn setup(format: &str, tls: &Issued, signing: &SigningKey) -> Setup {
    let keys = key_set(&[signing.jwk("k")]);
    let lines = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let setup = Setup::seed()
        .file(
            "tokens.yaml",
            &format!(
                "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
                 istio-system}}\nspec:\n  jwtRules:\n  - issuer: {ISSUER}\n    jwks: '{keys}'\n    \
                 fromParams: [token]\n    fromHeaders: [{{name: authorization, prefix: 'Bearer '}}]\n"
            ),
        )
        .file(
            "edge.yaml",
            &format!(
                "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: \
                 istio-system}}\nspec:\n  selector: {{istio: ingressgateway}}\n  servers:\n  - {{hosts: ['*'], \
                 port: {{name: https, number: 443, protocol: HTTPS}}, tls: {{mode: SIMPLE, credentialName: edge}}}}\n\
                 ---\napiVersion: v1\nkind: Secret\nmetadata: {{name: edge, namespace: istio-system}}\nstringData:\n  \
                 tls.crt: |\n{}  tls.key: |\n{}",
                lines(&tls.certificate),
                lines(&tls.key)
            ),
        )
        .args(&["--log-format", format]);
    let capsules = setup.aside("capsules.jsonl", "").display().to_string();
    setup.args(&["--capsule", &capsules])
}

/// Sends one request on a connection of its own.
async fn send(bed: &Bed, bytes: Vec<u8>) -> Response {
    let mut client = Client::connect(bed.http()).await;
    client.send(bytes).await;
    client.response().await
}

/// All that a client and an operator do wrong and right; what clients were answered.
async fn live_through(bed: &Bed, signing: &SigningKey) -> (Vec<String>, Vec<String>) {
    let token = good(signing, "HS256", "k");
    let head = json!({ "alg": "HS256", "kid": "k" });
    let mut old = claims();
    old["exp"] = json!(now() - 3600);
    let expired = signing.sign(&head, &old);
    // One that says what the good one says, signed by somebody else.
    let forged = SigningKey::Secret(b"another key of thirty-two bytes or more".to_vec()).sign(&head, &claims());
    let bearer = |token: &str| format!("Bearer {token}");
    let (good, late, false_one, own) = (bearer(&token), bearer(&expired), bearer(&forged), bearer(CLIENT_KEY));
    let fields = |authorization| {
        [
            ("authorization", authorization),
            ("x-api-key", CLIENT_KEY),
            ("cookie", COOKIE),
            ("content-type", "application/json"),
        ]
    };
    let in_query = format!("/v1/chat/completions?token={token}&api_key={CLIENT_KEY}");
    let mut answers = Vec::new();
    for (bytes, status) in [
        (post("test.com", &fields(&good), QUESTION), 200),
        (post("test.com", &fields(&late), QUESTION), 401),
        (post("test.com", &fields(&false_one), QUESTION), 401),
        (post("test.com", &fields(&own), QUESTION), 401),
        (post("other.com", &fields(&good), QUESTION), 404),
        (post("test.com", &fields(&good), "{\"messages\": ["), 400),
        (
            request("POST", &in_query, "test.com", &fields("Basic QQ=="), QUESTION),
            200,
        ),
        (request("POST", &in_query, "test.com", &fields(&good), QUESTION), 401),
    ] {
        let answer = send(bed, bytes).await;
        assert_eq!(answer.status, status, "{}", answer.text());
        answers.push(answer.text());
    }
    bed.upstream.answer(Answer::raw(b"no HTTP at all"));
    let answer = send(bed, post("test.com", &fields(&good), QUESTION)).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    answers.push(answer.text());
    let question = json!({ "url": "http://test.com/", "method": "POST", "headers": fields(&good), "body": QUESTION });
    let asked = client::send_raw(
        bed.gateway.admin,
        request("POST", "/explain", "localhost", &[], question.to_string()),
    );
    let explained = asked.await.expect("an explanation");
    assert_eq!(explained.status, 200, "{}", explained.text());
    let tokens = [token, expired, forged].map(|token| token.rsplit('.').next().unwrap_or_default().to_owned());
    (answers, tokens.to_vec())
}

#[tokio::test]
async fn planted_secrets_are_said_nowhere() {
    for format in ["json", "text"] {
        let (tls, signing) = (
            Authority::new().issue("test.com", 1),
            SigningKey::Secret(SIGNING.to_vec()),
        );
        let bed = Bed::start(Transport::Plain, setup(format, &tls, &signing)).await;
        let (answers, tokens) = live_through(&bed, &signing).await;

        // What a reload finds wrong stands beside a key, or is one.
        for (file, from, to) in [
            ("edge.yaml", "tls.key: |", "tls.kay: |"),
            ("edge.yaml", "-----BEGIN PRIVATE KEY-----\n", "\n"),
            ("tokens.yaml", "\"kty\":\"oct\"", "\"kty\":oct"),
            ("tokens.yaml", "jwks:", "jwkz:"),
            ("llm-provider.yaml", "apiKey:", "apiKay:"),
        ] {
            let path = bed.gateway.config().join(file);
            let before = std::fs::read_to_string(&path).expect("a file");
            let refused = bed.gateway.read("stderr").matches("configuration refused").count();
            edit(&path, from, to);
            bed.gateway.signal("HUP");
            eventually("the refusal", || async {
                let said = bed.gateway.read("stderr");
                (said.matches("configuration refused").count() > refused).then_some(())
            })
            .await;
            std::fs::write(&path, before).expect("the file as it was");
        }

        let signing = support::tokens::encode(SIGNING);
        let mut secrets = vec![KEY, CLIENT_KEY, COOKIE, &*signing, tls.key_line()];
        secrets.extend(tokens.iter().map(String::as_str));
        bed.gateway.assert_keeps(&secrets).await;
        let capsules = bed.gateway.read("capsules.jsonl");
        assert!(capsules.lines().count() >= 9, "{capsules}");
        for text in answers.iter().chain([&capsules]) {
            for secret in &secrets {
                assert!(!text.contains(secret), "`{secret}` is in {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_crash_leaves_no_memory_behind() {
    let bed = Bed::start(Transport::Plain, Setup::seed()).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", bed.gateway.pid())).expect("limits");
    let of_core = limits.lines().find(|line| line.starts_with("Max core file size"));
    let values: Vec<&str> = of_core
        .unwrap_or_default()
        .split_ascii_whitespace()
        .skip(4)
        .take(2)
        .collect();
    assert_eq!(values, ["0", "0"], "{limits}");
}
