//! VirtualServices through real sockets: the real binary between a client and plain HTTP hosts.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::bed::EDGE;
use support::client::{Client, Response, get, post, request};
use support::gateway::{Gateway, Setup};
use support::outputs::total;
use support::upstream::{Answer, Gate, Upstream};
use support::wire::{Framing, Part, values};

/// The Gateway, two hosts at ports of this machine, and one VirtualService with these rules.
fn config(a: u16, b: u16, http: &str) -> String {
    let entry = |name: &str, port: u16| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: istio-system}}
spec:
  hosts: [{name}.test]
  ports: [{{number: 80, name: http, protocol: HTTP, targetPort: {port}}}]
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1}}]
---
"
        )
    };
    format!(
        "{EDGE}{}{}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
{http}",
        entry("a", a),
        entry("b", b)
    )
}

/// Two hosts and a gateway in front of them.
struct Web {
    a: Upstream,
    b: Upstream,
    gateway: Gateway,
}

async fn web(http: &str) -> Web {
    web_with(http, |setup| setup).await
}

async fn web_with(http: &str, more: impl FnOnce(Setup) -> Setup) -> Web {
    let (a, b) = (Upstream::plain().await, Upstream::plain().await);
    let text = config(a.addr.port(), b.addr.port(), http);
    let gateway = more(Setup::empty().file("web.yaml", &text)).start().await;
    Web { a, b, gateway }
}

impl Web {
    async fn send(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = Client::connect(self.gateway.http).await;
        client.send(bytes).await;
        client.response().await
    }

    async fn get(&self, target: &str, fields: &[(&str, &str)]) -> Response {
        self.send(request("GET", target, "web.test", fields, "")).await
    }
}

const TO_A: &str = "  - route: [{destination: {host: a.test}}]\n";

#[tokio::test]
async fn a_plain_request_passes_as_it_is_but_for_what_a_gateway_adds() {
    let web = web(TO_A).await;
    web.a.answer(Answer::whole(
        "201 Created",
        &[
            ("content-type", "text/html"),
            ("set-cookie", "a=b"),
            ("connection", "x-hop"),
            ("x-hop", "1"),
        ],
        "<p>made</p>",
    ));
    let fields = [
        ("authorization", "Basic dTpw"),
        ("cookie", "session=1"),
        ("accept-encoding", "gzip"),
        ("x-forwarded-for", "9.9.9.9"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-client-cert", "By=me"),
        ("x-envoy-original-path", "/forged"),
        ("connection", "x-once"),
        ("x-once", "1"),
        ("content-type", "text/plain"),
    ];
    let answer = web
        .send(request("PUT", "/x/../a%2Fb?q=%20", "web.test:80", &fields, "not json"))
        .await;
    assert_eq!((answer.status, answer.text().as_str()), (201, "<p>made</p>"));
    assert_eq!(
        (answer.header("set-cookie"), answer.header("x-hop")),
        (Some("a=b"), None)
    );

    let seen = web.a.request().await;
    assert_eq!(seen.request_line, "PUT /a%2Fb?q=%20 HTTP/1.1");
    assert_eq!(seen.header("host"), Some("web.test:80"));
    assert_eq!((seen.text().as_str(), seen.framing), ("not json", Framing::Length(8)));
    for (name, value) in [
        ("authorization", "Basic dTpw"),
        ("cookie", "session=1"),
        ("accept-encoding", "gzip"),
        ("content-type", "text/plain"),
        ("x-forwarded-for", "9.9.9.9,127.0.0.1"),
        ("x-forwarded-proto", "http"),
    ] {
        assert_eq!(values(&seen.fields, name), [value], "{name}");
    }
    for name in [
        "x-forwarded-client-cert",
        "x-envoy-original-path",
        "connection",
        "x-once",
    ] {
        assert!(values(&seen.fields, name).is_empty(), "{name}");
    }
    assert!(seen.header("x-request-id").is_some());
}

#[tokio::test]
async fn paths_hosts_and_headers_are_rewritten() {
    let web = web_with(
        "  - name: api
    match: [{uri: {prefix: /api/}}]
    rewrite: {uri: /v1/, authority: api.internal}
    headers:
      request: {set: {x-set: mine, authorization: 'Bearer ${UPSTREAM_KEY}'}, add: {x-add: two}, remove: [x-gone]}
      response: {set: {x-by: lockgate}, remove: [server]}
    route:
    - destination: {host: b.test}
      headers: {request: {add: {x-add: three}}, response: {add: {x-by: b}}}
  - match: [{uri: {prefix: /users}}]
    rewrite: {uriRegexRewrite: {match: '^/users/([0-9]+)$', rewrite: '/u/\\1/profile'}}
    route: [{destination: {host: a.test}}]
",
        |setup| setup.env("UPSTREAM_KEY", "of-the-upstream"),
    )
    .await;
    web.b
        .answer(Answer::whole("200 OK", &[("server", "b/1"), ("x-by", "upstream")], "b"));
    let fields = [
        ("x-set", "theirs"),
        ("x-set", "again"),
        ("x-add", "one"),
        ("x-gone", "1"),
        ("authorization", "x"),
    ];
    let answer = web.get("/api/orders?page=2", &fields).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "b"));
    assert_eq!(values(&answer.fields, "x-by"), ["lockgate", "b"]);
    assert_eq!(answer.header("server"), None);
    let seen = web.b.request().await;
    assert_eq!(seen.request_line, "GET /v1/orders?page=2 HTTP/1.1");
    assert_eq!(seen.header("host"), Some("api.internal"));
    assert_eq!(seen.header("x-envoy-original-path"), Some("/api/orders?page=2"));
    assert_eq!(values(&seen.fields, "x-set"), ["mine"]);
    assert_eq!(values(&seen.fields, "x-add"), ["one", "two", "three"]);
    assert_eq!(values(&seen.fields, "authorization"), ["Bearer of-the-upstream"]);
    assert!(values(&seen.fields, "x-gone").is_empty());

    web.a.answer(Answer::whole("200 OK", &[], "a"));
    assert_eq!(web.get("/users/42?x", &[]).await.status, 200);
    assert_eq!(web.a.request().await.request_line, "GET /u/42/profile?x HTTP/1.1");
    let dump = get(web.gateway.admin, "/config_dump").await.text();
    assert!(
        dump.contains("uriRegexRewrite") && !dump.contains("of-the-upstream"),
        "{dump}"
    );
}

#[tokio::test]
async fn redirects_and_direct_responses_reach_no_host() {
    let web = web("  - name: away
    match: [{uri: {prefix: /old}}]
    redirect: {uri: /new, authority: other.test, redirectCode: 308}
    headers: {response: {set: {x-why: moved}}}
  - name: health
    match: [{uri: {exact: /healthz}}]
    directResponse: {status: 200, body: {string: \"ok\\n\"}}
  - name: json
    match: [{uri: {exact: /json}}]
    directResponse: {status: 418, body: {bytes: e30=}}
    headers: {response: {set: {content-type: application/json}}}
  - directResponse: {status: 204}
")
    .await;
    let away = web.get("/old/x?y=1", &[]).await;
    assert_eq!((away.status, away.text().as_str()), (308, ""));
    assert_eq!(away.header("location"), Some("http://other.test/new?y=1"));
    assert_eq!(
        (away.header("x-why"), away.header("content-type")),
        (Some("moved"), None)
    );
    let health = web.get("/healthz", &[]).await;
    assert_eq!((health.status, health.text().as_str()), (200, "ok\n"));
    assert_eq!(health.header("content-type"), Some("text/plain"));
    let json = web.get("/json", &[]).await;
    assert_eq!((json.status, json.text().as_str()), (418, "{}"));
    assert_eq!(json.header("content-type"), Some("application/json"));
    assert_eq!(web.get("/x", &[]).await.status, 204);
    assert_eq!(web.a.request_count() + web.b.request_count(), 0);

    let lines = web.gateway.log_of(4).await;
    let logged: Vec<(&str, &str, &str)> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line.get(name).and_then(|value| value.as_str()).unwrap_or("");
            (text("rule"), text("provider"), text("response_code_details"))
        })
        .collect();
    assert!(
        logged.contains(&("istio-system/web/away", "-", "direct_response")),
        "{logged:?}"
    );
    assert!(
        logged.contains(&("istio-system/web/http[3]", "-", "direct_response")),
        "{logged:?}"
    );
}

#[tokio::test]
async fn bodies_stream_through_in_both_directions_and_are_not_metered() {
    let web = web(TO_A).await;
    let gate = Gate::new();
    web.a.answer(Answer::gated_stream(
        &[
            "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
            "data: [DONE]\n\n",
        ],
        &gate,
    ));
    let mut client = Client::connect(web.gateway.http).await;
    client
        .send("POST /upload HTTP/1.1\r\nhost: web.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    // The host has the head while the client still sends.
    client.send("6\r\nsecond\r\n0\r\n\r\n").await;
    let seen = web.a.request().await;
    assert_eq!((seen.text().as_str(), seen.framing), ("firstsecond", Framing::Chunked));
    gate.open();
    gate.open();
    let answer = client.response().await;
    assert_eq!((answer.status, answer.end), (200, Part::End));
    let lines = web.gateway.log_of(1).await;
    assert_eq!(lines[0]["request_prompt_tokens"], "-");
    assert_eq!(lines[0]["bytes_received"], 11);
    assert_eq!(lines[0]["upstream_cluster"], "a.test");
}

#[tokio::test]
async fn bodies_reach_the_host_whatever_the_method() {
    let web = web(TO_A).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"] {
        for (framing, sent, seen_as) in [
            (
                "transfer-encoding: chunked",
                "5\r\nhello\r\n0\r\n\r\n",
                Framing::Chunked,
            ),
            ("content-length: 5", "hello", Framing::Length(5)),
        ] {
            let mut client = Client::connect(web.gateway.http).await;
            let head = format!("{method} / HTTP/1.1\r\nhost: web.test\r\n{framing}\r\n\r\n");
            client.send(head + sent).await;
            assert_eq!(client.head().await.status, 200, "{method}, {framing}");
            let seen = web.a.request().await;
            assert_eq!(
                (seen.text().as_str(), seen.framing),
                ("hello", seen_as),
                "{method}, {framing}"
            );
        }
    }
    web.get("/", &[]).await;
    let seen = web.a.request().await;
    assert_eq!(
        (seen.header("transfer-encoding"), seen.header("content-length")),
        (None, None)
    );
}

#[tokio::test]
async fn what_goes_wrong_is_said_in_text() {
    let web = web("  - match: [{uri: {prefix: /v1}}]
    rewrite: {uri: /}
    route: [{destination: {host: a.test}}]
  - match: [{uri: {prefix: /b}}]
    route: [{destination: {host: b.test}}]
")
    .await;
    let climbing = web.get("/v1../admin", &[]).await;
    assert_eq!(climbing.status, 400);
    assert_eq!(climbing.header("content-type"), Some("text/plain"));
    assert_eq!(climbing.text(), "the request's path is not valid after its rewrite");
    web.b.answer(Answer::raw(b"not http at all\r\n\r\n"));
    let garbage = web.get("/b", &[]).await;
    assert_eq!(
        (garbage.status, garbage.header("content-type")),
        (502, Some("text/plain"))
    );
    assert_eq!(garbage.text(), "the upstream's answer is not valid HTTP");
    assert!(garbage.header("x-request-id").is_some());
    let nowhere = web.get("/nowhere", &[]).await;
    assert_eq!((nowhere.status, nowhere.text().as_str()), (404, ""));
    let other = web.send(request("GET", "/b", "other.test", &[], "")).await;
    assert_eq!(other.status, 404);
    assert_eq!(web.a.request_count(), 0);
}

const POLICIES: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: closed, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: models, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/judged]}}], when: [{key: 'request.llm[model]', values: [bad]}]}]}
";

#[tokio::test]
async fn policies_judge_plain_requests_too() {
    let web = web_with(TO_A, |setup| setup.file("policies.yaml", POLICIES)).await;
    let denied = web.get("/x/../%61dmin/keys", &[]).await;
    assert_eq!((denied.status, denied.text().as_str()), (403, "RBAC: access denied"));
    let bad = web
        .send(request("POST", "/judged", "web.test", &[], r#"{"model":"bad"}"#))
        .await;
    assert_eq!(bad.status, 403);
    let unreadable = web.send(request("POST", "/judged", "web.test", &[], "no json")).await;
    assert_eq!(unreadable.status, 400);
    assert_eq!(web.a.request_count(), 0);
    web.a.answer(Answer::whole("200 OK", &[], "fine"));
    let good = web
        .send(request("POST", "/judged", "web.test", &[], r#"{ "model": "good" }"#))
        .await;
    assert_eq!((good.status, good.text().as_str()), (200, "fine"));
    assert_eq!(web.a.request().await.text(), r#"{ "model": "good" }"#);
}

#[tokio::test]
async fn llm_routes_and_virtual_services_share_a_gateway() {
    let (host, provider) = (Upstream::plain().await, Upstream::plain().await);
    let service = config(
        host.addr.port(),
        1,
        "  - match: [{uri: {prefix: /web}}]\n    route: [{destination: {host: a.test}}]\n",
    );
    let service = service.split_once("---\n").map_or("", |(_, rest)| rest);
    let service = service.replace(
        "hosts: [web.test]\n  gateways: [edge]",
        "hosts: ['*']\n  gateways: [istio-system/ingress-gw]",
    );
    let setup = Setup::seed().provider_at(&provider).file("web.yaml", &service);
    let gateway = setup.start().await;
    let ask = async |bytes: Vec<u8>| {
        let mut client = Client::connect(gateway.http).await;
        client.send(bytes).await;
        client.response().await
    };
    host.answer(Answer::whole(
        "200 OK",
        &[("content-type", "application/json")],
        "{\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":9}}",
    ));
    assert_eq!(
        ask(request("GET", "/web/x", "test.com", &[("cookie", "a=b")], ""))
            .await
            .status,
        405,
        "the LLMRoute is loaded first, and its provider takes POST only"
    );
    assert_eq!(
        ask(request("GET", "/web/x", "any.test", &[("cookie", "a=b")], ""))
            .await
            .status,
        200
    );
    assert_eq!(host.request().await.header("cookie"), Some("a=b"));
    assert_eq!(ask(post("test.com", &[], support::QUESTION)).await.status, 200);
    assert_eq!(provider.request().await.header("cookie"), None);
    let metrics = gateway.metrics().await;
    let of_host = [("destination_service", "a.test"), ("route", "istio-system/web/http[0]")];
    let counted = total(&metrics, "istio_requests_total", &of_host);
    let metered = total(&metrics, "lockgate_prompt_tokens_total", &of_host[1..]);
    assert!(counted > 0.5 && metered < 0.5, "{counted} {metered}");
}

/// A team's rules stand under its prefix, and each goes to the endpoints of its subset.
#[tokio::test]
async fn delegated_rules_go_to_the_endpoints_of_their_subsets() {
    let (stable, canary) = (Upstream::plain().await, Upstream::plain().await);
    let text = format!(
        "{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec:
  hosts: [a.test]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  resolution: STATIC
  endpoints:
  - {{address: 127.0.0.1, ports: {{http: {}}}, labels: {{version: v1}}}}
  - {{address: 127.0.0.1, ports: {{http: {}}}, labels: {{version: v2}}}}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: a, namespace: istio-system}}
spec: {{host: a.test, subsets: [{{name: stable, labels: {{version: v1}}}}, {{name: canary, labels: {{version: v2}}}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http: [{{match: [{{uri: {{prefix: /team/}}}}], rewrite: {{uri: /}}, delegate: {{name: team, namespace: team}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: team, namespace: team}}
spec:
  http:
  - match: [{{headers: {{x-canary: {{exact: 'yes'}}}}}}]
    route: [{{destination: {{host: a.test, subset: canary}}}}]
  - route: [{{destination: {{host: a.test, subset: stable}}}}]
",
        stable.addr.port(),
        canary.addr.port()
    );
    let gateway = Setup::empty().file("web.yaml", &text).start().await;
    let ask = async |fields: &[(&str, &str)]| {
        let mut client = Client::connect(gateway.http).await;
        client.send(request("GET", "/team/x", "web.test", fields, "")).await;
        client.response().await.text()
    };
    for _ in 0..8 {
        stable.answer(Answer::whole("200 OK", &[], "stable"));
        canary.answer(Answer::whole("200 OK", &[], "canary"));
        assert_eq!(ask(&[]).await, "stable");
        assert_eq!(ask(&[("x-canary", "yes")]).await, "canary");
    }
    for upstream in [&stable, &canary] {
        assert_eq!(upstream.request().await.request_line, "GET /x HTTP/1.1");
    }
}
