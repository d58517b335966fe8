//! Part C: header fields and addresses that a client writes.

use serde_json::json;

use crate::case::Is::{Denied, Refused, Sent};
use crate::case::{check, deny, get, head, mesh, open};
use crate::support::KEY;
use crate::support::bed::{Bed, OPEN, assert_none};
use crate::support::client::{Client, send_raw};
use crate::support::frames::{self as h2, Connection, END_HEADERS, END_STREAM, HEADERS};
use crate::support::gateway::Setup;
use crate::support::tokens::{ISSUER, SigningKey, claims, key_set};
use crate::support::wire::values;

const PLAIN: &str = "GET / HTTP/1.1";

#[tokio::test]
async fn each_line_of_a_repeated_header_is_tested() {
    let bed = open(&[&deny("{when: [{key: 'request.headers[x-role]', values: [admin]}]}")]).await;
    for (row, lines, is) in [
        ("27", &["x-role: user", "x-role: admin"][..], Denied),
        ("27", &["x-role: admin", "X-Role: user"], Denied),
        ("27", &["x-role: user,admin"], Sent(PLAIN)),
        ("30", &["x-role: admin "], Denied),
        ("30", &["x-role:\t admin\t "], Denied),
        ("30", &["x-role:admin"], Denied),
        ("31", &["x-role: adm\0in"], Refused(400)),
        ("31", &["x-role: admin\0"], Refused(400)),
        ("31", &["x-other: a\u{1}b"], Refused(400)),
        ("31", &["x-other: a\u{7f}b"], Refused(400)),
        ("77", &[": admin"], Refused(400)),
        ("77", &["x(role: admin"], Refused(400)),
        ("77", &["x-r\u{f6}le: admin"], Refused(400)),
        ("77", &["x-role : admin"], Refused(400)),
    ] {
        check(&bed, &format!("row {row}: {lines:?}"), get("/", lines), is).await;
    }
}

/// Of a field of one value another line makes another value, also for the upstream, which could read one line alone.
#[tokio::test]
async fn no_line_of_a_field_of_one_value_goes_on_by_itself() {
    let bed = open(&[&deny(
        "{when: [{key: 'request.headers[origin]', values: ['https://a.test']}]}",
    )])
    .await;
    let denied = "origin: https://a.test";
    check(&bed, "row 27: one line", get("/", &[denied]), Denied).await;
    for lines in [[denied, "origin: null"], ["origin: null", denied]] {
        let what = format!("row 27: {lines:?}");
        check(&bed, &what, get("/", &lines), Sent(PLAIN)).await;
        let answer = send_raw(bed.http(), get("/", &lines)).await;
        assert_eq!(answer.expect("an answer").status, 200, "{what}");
        let joined = lines.map(|line| line.trim_start_matches("origin: ")).join(",");
        assert_eq!(
            values(&bed.upstream.request().await.fields, "origin"),
            [joined],
            "{what}"
        );
    }
}

#[tokio::test]
async fn all_lines_of_a_dropped_header_are_dropped() {
    let lines = [
        "authorization: Bearer one",
        "authorization: Bearer two",
        "x-api-key: one",
        "X-Api-Key: two",
        "cookie: a=1",
        "cookie: b=2",
        "x-envoy-expected-rq-timeout-ms: 1",
        "x-envoy-retry-on: 5xx",
        "x-envoy-max-retries: 9",
        "x-forwarded-client-cert: By=x",
        "x-forwarded-for: 10.0.0.9",
    ];
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    let start = ["POST / HTTP/1.1", "host: test.com", "content-length: 15"];
    let mut bytes = head(&[&start[..], &lines].concat());
    bytes.extend_from_slice(br#"{"messages":[]}"#);
    client.send(bytes).await;
    assert_eq!(client.response().await.status, 200);
    let seen = bed.upstream.request().await;
    assert_eq!(
        values(&seen.fields, "authorization"),
        [format!("Bearer {KEY}")],
        "row 28"
    );
    assert_none(
        &seen,
        &["x-api-key", "cookie", "x-forwarded-for", "x-forwarded-client-cert"],
    );
    let internal = [
        "x-envoy-expected-rq-timeout-ms",
        "x-envoy-retry-on",
        "x-envoy-max-retries",
    ];
    // Row 34: 127.0.0.1 is as private as an address can be.
    assert_none(&seen, &internal);
}

#[tokio::test]
async fn a_claim_never_breaks_out_of_its_header() {
    let key = SigningKey::ed25519();
    let jwt = format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
         istio-system}}\nspec:\n  jwtRules:\n  - issuer: {ISSUER}\n    jwks: '{}'\n    outputClaimToHeaders: [{{header: \
         x-user, claim: name}}]\n",
        key_set(&[key.jwk("k")])
    );
    let bed = open(&[&jwt]).await;
    for name in ["a\r\nx-evil: 1", "a\nb", "a\0b", "a\u{7f}"] {
        let mut payload = claims();
        payload["name"] = name.into();
        let token = key.sign(&json!({"alg": "EdDSA", "kid": "k"}), &payload);
        let lines = [&*format!("authorization: Bearer {token}"), "x-user: root"];
        let answer = send_raw(bed.http(), get("/", &lines)).await.expect("an answer");
        if answer.status == 200 {
            let seen = bed.upstream.request().await;
            assert_none(&seen, &["x-evil", "x-user"]);
        } else {
            assert_eq!(answer.status, 401, "row 32: {name:?}");
        }
    }
}

#[tokio::test]
async fn http2_heads_that_http1_could_not_carry_are_refused() {
    let bed = open(&[]).await;
    for (row, name, value) in [
        ("33", "x role", &b"a"[..]),
        ("33", "x-role", b"a\nb"),
        ("33", "x-role", b"a\r\nx: 1"),
        ("33", "x-role", b"a\0b"),
        ("33", "X-Role", b"a"),
        ("33", "", b"a"),
        ("33", "x:role", b"a"),
        ("33", "connection", b"close"),
        ("33", "connection", b"x-role"),
        ("33", "transfer-encoding", b"chunked"),
        ("33", "upgrade", b"h2c"),
        ("33", "keep-alive", b"timeout=5"),
        ("33", "proxy-connection", b"close"),
        ("33", "te", b"gzip"),
        ("33", ":path", b"/twice"),
        ("33", ":unknown", b"a"),
        ("33", "content-length", b"5"),
    ] {
        let mut connection = Connection::open(bed.http()).await;
        let block = h2::get(&[(name, value)]);
        connection
            .send(&h2::frame(HEADERS, END_HEADERS | END_STREAM, 1, &block))
            .await;
        let end = connection.end(1).await;
        assert!(end.is_refusal(), "row {row}: {name}: {value:?}: {end:?}");
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn the_clients_address_is_the_peers_unless_a_proxy_is_trusted() {
    let block = deny("{from: [{source: {remoteIpBlocks: [10.0.0.0/8, 'fe80::/10']}}]}");
    let none = open(&[&block]).await;
    let one = open(&[
        &block,
        &mesh("{defaultConfig: {gatewayTopology: {numTrustedProxies: 1}}}"),
    ])
    .await;
    for (row, lines, with_none, with_one) in [
        ("36", &["x-forwarded-for: 10.1.1.1"][..], Sent(PLAIN), Denied),
        (
            "36",
            &["x-forwarded-for: 10.1.1.1, 203.0.113.9"],
            Sent(PLAIN),
            Sent(PLAIN),
        ),
        (
            "36",
            &["x-forwarded-for: 203.0.113.9", "x-forwarded-for: 10.1.1.1"],
            Sent(PLAIN),
            Denied,
        ),
        (
            "36",
            &["x-real-ip: 10.1.1.1", "forwarded: for=10.1.1.1"],
            Sent(PLAIN),
            Sent(PLAIN),
        ),
        ("41", &["x-forwarded-for: fe80::1%eth0"], Sent(PLAIN), Denied),
        ("41", &["x-forwarded-for: fe80::1%"], Sent(PLAIN), Sent(PLAIN)),
        (
            "41",
            &["x-forwarded-for: \u{ff}, %, ::%%, [fe80::1]:80"],
            Sent(PLAIN),
            Sent(PLAIN),
        ),
    ] {
        let what = format!("row {row}: {lines:?}");
        check(&none, &what, get("/", lines), with_none).await;
        check(&one, &what, get("/", lines), with_one).await;
    }
}

#[tokio::test]
async fn connection_must_not_name_what_the_configuration_reads() {
    let policy = deny("{when: [{key: 'request.headers[X-Team]', values: [red]}]}");
    let key = SigningKey::ed25519();
    let jwt = format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
         istio-system}}\nspec:\n  jwtRules:\n  - {{issuer: {ISSUER}, jwks: '{}', fromHeaders: [{{name: x-token}}]}}\n",
        key_set(&[key.jwk("k")])
    );
    let bed = open(&[&policy, &jwt]).await;
    for (row, lines, is) in [
        ("42", &["connection: x-team", "x-team: red"][..], Refused(400)),
        ("42", &["Connection: close, X-TEAM", "x-team: red"], Refused(400)),
        (
            "42",
            &["connection: close", "connection: x-team", "x-team: blue"],
            Refused(400),
        ),
        ("42", &["connection: x-token", "x-token: bad"], Refused(400)),
        (
            "42",
            &["connection: authorization", "authorization: Bearer bad"],
            Refused(400),
        ),
        ("42", &["connection: host"], Refused(400)),
        ("42", &["connection: x-forwarded-for"], Refused(400)),
        ("42", &["x-team: red"], Denied),
        ("42", &["connection: x-hop", "x-hop: 1"], Sent(PLAIN)),
        ("42", &["connection: keep-alive, te", "te: trailers"], Sent(PLAIN)),
    ] {
        check(&bed, &format!("row {row}: {lines:?}"), get("/", lines), is).await;
    }
    // `explain` asks the same engine.
    let setup = Setup::empty().file("open.yaml", OPEN).file("deny.yaml", &policy);
    for (named, decision) in [("X-Team", "refuse"), ("x-hop", "forward")] {
        let field = format!("connection: {named}");
        let said = setup
            .run("explain", &["-o", "json", "-H", &field, "http://test.com/"])
            .await;
        assert_eq!(said.json()["verdict"]["decision"], decision, "row 42: {}", said.all());
    }
    // Nobody reads `x-team` here, so it may go, and does.
    let bed = open(&[]).await;
    let lines = ["connection: x-team", "x-team: red"];
    assert_eq!(
        send_raw(bed.http(), get("/", &lines)).await.expect("an answer").status,
        200
    );
    assert_none(&bed.upstream.request().await, &["x-team"]);
}

#[tokio::test]
async fn whatever_a_client_writes_is_logged_as_one_line_of_json() {
    let bed = open(&[]).await;
    let lines = ["user-agent: \"}\u{ff}\u{c3}\u{28}\\\t{\"", "x-request-id: \u{fe}\"\\"];
    let target = "/%22%0d%0a?\u{5c}{\"";
    let _ = send_raw(bed.http(), get(target, &lines)).await;
    let _ = send_raw(bed.http(), head(&[PLAIN, "host: \"\\\u{ff}"])).await;
    // Reading the log parses every line of it.
    let logged = bed.gateway.log_of(2).await;
    assert_eq!(logged.len(), 2, "rows 35 and 95");
}
