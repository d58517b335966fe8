//! LLMRoutes of `lockgate.dev/v1` through real sockets: the body chooses the provider, and the rule what it is sent.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::KEY;
use support::bed::{EDGE, open_with, plain_host, service_entry};
use support::client::{Client, Response, post, request};
use support::gateway::{Gateway, Setup};
use support::outputs::field;
use support::upstream::{Answer, Gate, Upstream};
use support::wire::{Framing, Part};

/// Two providers at ports of this machine, and a route with these rules.
fn config(ports: [u16; 2], more: &str, rules: &str) -> String {
    let [a, b] = ports;
    let provider = |name: &str, port: u16| {
        format!(
            "apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {{name: {name}, namespace: istio-system}}
spec: {{host: {name}.test, configs: {{defaultConfig: {{openAIConfig: {{apiKey: '${{API_KEY}}'}}}}}}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: istio-system}}
spec:
  hosts: [{name}.test]
  ports: [{{number: 443, name: https, protocol: HTTPS, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: istio-system}}
spec: {{host: {name}.test, trafficPolicy: {{tls: {{mode: DISABLE}}}}}}
---
"
        )
    };
    format!(
        "{EDGE}{}{}{more}apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {{name: models, namespace: istio-system}}
spec:
  host: '*'
  gateways: [edge]
  rules:
{rules}",
        provider("a", a),
        provider("b", b),
    )
}

struct Bed {
    a: Upstream,
    b: Upstream,
    gateway: Gateway,
}

async fn bed(rules: &str) -> Bed {
    let (a, b) = (Upstream::plain().await, Upstream::plain().await);
    let text = config([a.addr.port(), b.addr.port()], "", rules);
    let gateway = Setup::empty().file("models.yaml", &text).start().await;
    Bed { a, b, gateway }
}

async fn send(gateway: &Gateway, bytes: impl AsRef<[u8]>) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(bytes).await;
    client.response().await
}

const BY_MODEL: &str = "  - name: small
    matches: [{model: {in: [tiny, small]}}]
    backendRefs: [{providerHost: a.test}]
  - name: streams
    matches: [{model: {prefix: big-}, stream: true}]
    backendRefs: [{providerHost: b.test}]
  - name: providers
    matches: [{headers: {host: {exact: a.test}}}, {headers: {host: {exact: b.test}}}]
    backendRefs: [{providerHost: a.test}, {providerHost: b.test}]
";

#[tokio::test]
async fn the_model_of_the_body_chooses_the_provider() {
    let bed = bed(BY_MODEL).await;
    let ask = async |body: &str| send(&bed.gateway, post("llm.test", &[], body)).await;
    bed.a.answer(Answer::completion());
    assert_eq!(ask(r#"{"model":"small","messages":[]}"#).await.status, 200);
    let got = bed.a.request().await;
    assert_eq!(got.text(), r#"{"model":"small","messages":[]}"#);
    assert_eq!(got.header("authorization"), Some(format!("Bearer {KEY}").as_str()));

    let gate = Gate::new();
    let events = ["data: {\"choices\":[]}\n\n", "data: [DONE]\n\n"];
    bed.b.answer(Answer::gated_stream(&events, &gate));
    let mut client = Client::connect(bed.gateway.http).await;
    client
        .send(post("llm.test", &[], r#"{"model":"big-1","stream":true}"#))
        .await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.text(events[0].len()).await, events[0]);
    gate.open();
    gate.open();
    assert_eq!(client.text(events[1].len()).await, events[1]);
    assert_eq!(client.part().await, Part::End);

    for (body, status) in [
        (r#"{"model":"big-1"}"#, 404),
        (r#"{"model":"other"}"#, 404),
        ("{}", 404),
    ] {
        assert_eq!(ask(body).await.status, status, "{body}");
    }
    let twice = ask(r#"{"model":"small","model":"big-1"}"#).await.openai_error(400);
    assert_eq!(twice["code"], "duplicate_key");
    let lines = bed.gateway.log_of(6).await;
    let rules: Vec<String> = lines.iter().take(2).map(|line| field(line, "route_name")).collect();
    assert_eq!(rules, ["small", "streams"]);
}

/// The body comes in pieces, and long after the head.
#[tokio::test]
async fn a_body_is_waited_for_where_it_decides() {
    let bed = bed(BY_MODEL).await;
    bed.a.answer(Answer::completion());
    let mut client = Client::connect(bed.gateway.http).await;
    let whole = post("llm.test", &[], r#"{"messages":[],"model":"tiny"}"#);
    let (first, rest) = whole.split_at(whole.len() - 6);
    client.send(first).await;
    tokio::time::sleep(core::time::Duration::from_millis(50)).await;
    assert_eq!(bed.a.connection_count(), 0);
    client.send(rest).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(bed.a.request().await.framing, Framing::Length(30));
}

#[tokio::test]
async fn the_rule_changes_what_is_sent_and_answered_but_not_the_key() {
    let bed = bed("  - name: all
    matches: [{uri: {prefix: /team/}}, {headers: {host: {exact: a.test}}}]
    rewrite: {uri: /}
    headers:
      request: {set: {authorization: Bearer other, x-version: '2024'}, remove: [x-gone]}
      response: {set: {x-served-by: edge}, remove: [server]}
    backendRefs: [{providerHost: a.test}]
")
    .await;
    bed.a.answer(Answer::whole(
        "200 OK",
        &[("server", "x"), ("content-type", "application/json")],
        "{}",
    ));
    let bytes = String::from_utf8(post(
        "llm.test",
        &[("x-gone", "1"), ("authorization", "Bearer client")],
        "{}",
    ))
    .expect("text")
    .replacen("POST /", "POST /team/", 1);
    let answer = send(&bed.gateway, bytes).await;
    assert_eq!(
        (answer.status, answer.header("x-served-by"), answer.header("server")),
        (200, Some("edge"), None)
    );
    let got = bed.a.request().await;
    assert!(!got.request_line.contains("/team/"), "{}", got.request_line);
    assert_eq!(got.header("x-version"), Some("2024"));
    assert_eq!(got.header("x-gone"), None);
    assert_eq!(got.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    bed.gateway.assert_keeps_the_key().await;
}

#[tokio::test]
async fn what_is_tried_again_goes_with_the_same_key_and_body() {
    let bed = bed("  - name: all
    backendRefs: [{providerHost: a.test}]
    retries: {attempts: 1, retryOn: '503'}
    timeout: 10s
")
    .await;
    bed.a.answer(Answer::whole("503 Service Unavailable", &[], "busy"));
    bed.a.answer(Answer::completion());
    let body = r#"{"model":"m","messages":[]}"#;
    assert_eq!(send(&bed.gateway, post("llm.test", &[], body)).await.status, 200);
    for _ in 0..2 {
        let got = bed.a.request().await;
        assert_eq!(got.text(), body);
        assert_eq!(got.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
    }
    // The answer that counts is metered once.
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "request_completion_tokens"), "72");
    assert_eq!(bed.b.request_count(), 0);
}

#[tokio::test]
async fn without_retries_a_provider_is_asked_once() {
    let bed = bed("  - name: all\n    backendRefs: [{providerHost: a.test}]\n").await;
    bed.a.answer(Answer::whole("503 Service Unavailable", &[], "busy"));
    assert_eq!(send(&bed.gateway, post("llm.test", &[], "{}")).await.status, 503);
    assert_eq!(bed.a.request_count(), 1);
}

#[tokio::test]
async fn a_rule_for_a_provider_leaves_the_fields_by_which_bodies_are_read() {
    for (changes, code) in [
        ("set: {accept-encoding: gzip}", 2),
        ("add: {Content-Encoding: gzip}", 2),
        ("remove: [content_type]", 2),
        ("set: {accept: application/json}", 0),
    ] {
        let rule = open_with(&format!("headers: {{request: {{{changes}}}}}"));
        let said = Setup::empty().file("open.yaml", &rule).run("check", &[]).await;
        assert_eq!(said.code, code, "{changes}: {}", said.all());
        assert_eq!(
            said.all().contains("reserved-header"),
            code == 2,
            "{changes}: {}",
            said.all()
        );
    }
    let plain = plain_host(80, "edge", "web.test").replace(
        "http: [{",
        "http: [{headers: {request: {set: {accept-encoding: gzip}, remove: [content-type]}}, ",
    );
    let said = Setup::empty()
        .file("plain.yaml", &format!("{EDGE}{plain}"))
        .run("check", &[])
        .await;
    assert_eq!(said.code, 0, "{}", said.all());
}

/// Whatever a rule writes for its provider, and wherever a key may stand, a mirror sees none of it.
#[tokio::test]
async fn a_copy_has_what_was_asked_and_no_key() {
    let (a, b, log) = (
        Upstream::plain().await,
        Upstream::plain().await,
        Upstream::plain().await,
    );
    let entry = service_entry("log", log.addr.port());
    let rules = "  - name: all
    mirror: {host: log.test}
    headers:
      request: {set: {api-key: '${API_KEY}', x-innocent: '${API_KEY}', authorization: '${API_KEY}'}, add: {x-more: '${API_KEY}'}}
    backendRefs: [{providerHost: a.test}]
";
    let text = config([a.addr.port(), b.addr.port()], &entry, rules);
    let gateway = Setup::empty().file("models.yaml", &text).start().await;
    a.answer(Answer::completion());
    log.answer(Answer::whole("500 No", &[], "the log's"));
    let fields = [
        ("authorization", "Bearer client"),
        ("cookie", "session=1"),
        ("x-team", "red"),
        ("x-more", "client's"),
    ];
    let body = r#"{"model":"m","messages":[]}"#;
    let asked = String::from_utf8(post("llm.test", &fields, body)).expect("text");
    let target = asked.split(' ').nth(1).expect("a target").to_owned();
    let asked = asked.replacen(&target, &format!("{target}?api-version=1&key=2"), 1);
    assert_eq!(send(&gateway, asked).await.status, 200);
    let (own, copy) = (a.request().await, log.request().await);
    assert!(own.request_line.contains("key=2"), "{}", own.request_line);
    assert_eq!(own.header("x-innocent"), Some(KEY));
    assert_eq!(copy.request_line, format!("POST {target} HTTP/1.1"));
    assert_eq!(
        (own.header("host"), copy.header("host")),
        (Some("a.test"), Some("a.test-shadow"))
    );
    assert_eq!((copy.text(), copy.header("x-team")), (own.text(), Some("red")));
    let everything = format!("{copy:?}");
    assert!(!everything.contains(KEY), "{everything}");
    for name in ["authorization", "api-key", "x-innocent", "x-more", "cookie"] {
        assert_eq!(copy.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn a_fault_and_a_preflight_are_answered_without_the_provider() {
    let bed = bed("  - name: faulty
    matches: [{headers: {x-fault: {exact: 'on'}}}]
    fault: {abort: {httpStatus: 503, percentage: {value: 100}}}
    backendRefs: [{providerHost: a.test}]
  - name: pages
    corsPolicy: {allowOrigins: [{exact: 'https://page.test'}], allowMethods: [POST], exposeHeaders: [x-request-id]}
    backendRefs: [{providerHost: a.test}]
")
    .await;
    let aborted = send(&bed.gateway, post("llm.test", &[("x-fault", "on")], "{}")).await;
    assert_eq!(aborted.openai_error(503)["code"], "fault_injected");
    let page = ("origin", "https://page.test");
    let preflight = request(
        "OPTIONS",
        "/v1/chat/completions",
        "llm.test",
        &[page, ("access-control-request-method", "POST")],
        "",
    );
    let answer = send(&bed.gateway, preflight).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(answer.header("access-control-allow-methods"), Some("POST"));
    assert_eq!(bed.a.request_count(), 0);
    bed.a.answer(Answer::completion());
    let answer = send(&bed.gateway, post("llm.test", &[page], "{}")).await;
    assert_eq!(
        (
            answer.status,
            answer.header("access-control-allow-origin"),
            answer.header("access-control-expose-headers")
        ),
        (200, Some("https://page.test"), Some("x-request-id"))
    );
    let lines = bed.gateway.log_of(3).await;
    assert_eq!(field(&lines[0], "response_flags"), "FI");
}
