//! `corsPolicy` of a VirtualService through real sockets: preflights, and the fields of every other answer.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::bed::{EDGE, service_entry};
use support::client::{Client, Response, request};
use support::gateway::{Gateway, Setup};
use support::outputs::field;
use support::ports::Port;
use support::upstream::{Answer, Upstream};

async fn gateway(port: u16) -> Gateway {
    let entry = service_entry("a", port);
    let text = format!(
        "{EDGE}{entry}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec:
  hosts: [web.test]
  gateways: [edge]
  http:
  - route: [{{destination: {{host: a.test}}}}]
    retries: {{attempts: 0}}
    headers: {{request: {{remove: [origin]}}, response: {{set: {{x-by: rule}}}}}}
    corsPolicy:
      allowOrigins: [{{exact: 'https://page.test'}}]
      allowMethods: [GET, PUT]
      allowHeaders: ['*']
      exposeHeaders: [x-request-id]
      maxAge: 10m
      allowCredentials: true
"
    );
    Setup::empty().file("web.yaml", &text).start().await
}

async fn send(gateway: &Gateway, method: &str, fields: &[(&str, &str)]) -> Response {
    let mut client = Client::connect(gateway.http).await;
    client.send(request(method, "/x", "web.test", fields, "")).await;
    client.response().await
}

const PAGE: (&str, &str) = ("origin", "https://page.test");

fn cors(answer: &Response) -> Vec<String> {
    let fields = answer.fields.iter();
    let of_cors = fields.filter_map(|(name, value)| {
        let name = name.to_ascii_lowercase();
        Some(format!("{}: {value}", name.strip_prefix("access-control-")?))
    });
    of_cors.collect()
}

#[tokio::test]
async fn a_preflight_is_answered_here() {
    let upstream = Upstream::plain().await;
    let gateway = gateway(upstream.addr.port()).await;
    let asks = [
        PAGE,
        ("access-control-request-method", "PUT"),
        ("access-control-request-headers", "x-a,x-b"),
    ];
    let answer = send(&gateway, "OPTIONS", &asks).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, ""));
    assert_eq!(
        cors(&answer),
        [
            "allow-origin: https://page.test",
            "allow-credentials: true",
            "allow-methods: GET,PUT",
            "allow-headers: x-a,x-b",
            "max-age: 600",
            "expose-headers: x-request-id"
        ]
    );
    assert_eq!(upstream.request_count(), 0);
    let line = gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_code_details"), "cors_response", "{line}");

    let other = [("origin", "https://other.test"), asks[1]];
    upstream.answer(Answer::whole("204 No Content", &[], ""));
    let answer = send(&gateway, "OPTIONS", &other).await;
    assert_eq!((answer.status, cors(&answer).len()), (204, 0), "sent on as it is");
}

#[tokio::test]
async fn answers_say_who_may_read_them_whatever_the_upstream_says() {
    let upstream = Upstream::plain().await;
    let gateway = gateway(upstream.addr.port()).await;
    let own = [
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "x-own"),
    ];
    let allowed = [
        "allow-origin: https://page.test",
        "expose-headers: x-request-id",
        "allow-credentials: true",
    ];
    for (origin, mut expected) in [
        ("https://page.test", allowed.to_vec()),
        ("https://other.test", vec!["allow-origin: *", "expose-headers: x-own"]),
    ] {
        upstream.answer(Answer::whole("200 OK", &own, "read me"));
        let answer = send(&gateway, "GET", &[("origin", origin)]).await;
        let mut told = cors(&answer);
        told.sort();
        expected.sort_unstable();
        assert_eq!(
            (answer.text().as_str(), told),
            ("read me", expected.iter().map(ToString::to_string).collect())
        );
    }
}

#[tokio::test]
async fn a_route_that_takes_the_origin_away_changes_nothing_of_the_answer() {
    let upstream = Upstream::plain().await;
    let gateway = gateway(upstream.addr.port()).await;
    upstream.answer(Answer::whole("200 OK", &[], ""));
    let answer = send(&gateway, "GET", &[PAGE]).await;
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.test"));
    assert_eq!(upstream.request().await.header("origin"), None);
}

#[tokio::test]
async fn a_page_may_read_that_the_upstream_is_down() {
    let port = Port::lease();
    let gateway = gateway(port.number).await;
    let answer = send(&gateway, "GET", &[PAGE]).await;
    assert_eq!((answer.status, answer.header("x-by")), (503, Some("rule")));
    assert_eq!(answer.header("access-control-allow-origin"), Some("https://page.test"));
    let answer = send(&gateway, "GET", &[("origin", "https://other.test")]).await;
    assert_eq!((answer.status, cors(&answer).len()), (503, 0));
}
