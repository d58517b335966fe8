//! Gateway API through real sockets: the example's Gateway and HTTPRoutes in the real binary, between a client and two
//! plain HTTP hosts.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::client::{Client, Response, request};
use support::gateway::{Gateway, Setup};
use support::upstream::{Answer, Upstream};
use support::wire::values;

const EXAMPLE: &str = include_str!("../../examples/gateway-api/gateway-api.yaml");

/// The example with its two Services at ports of this machine.
struct Shop {
    now: Upstream,
    next: Upstream,
    gateway: Gateway,
}

async fn shop() -> Shop {
    let (now, next) = (Upstream::plain().await, Upstream::plain().await);
    let text = EXAMPLE
        .replace("targetPort: 8081", &format!("targetPort: {}", now.addr.port()))
        .replace("targetPort: 8082", &format!("targetPort: {}", next.addr.port()));
    let gateway = Setup::empty().file("shop.yaml", &text).start().await;
    Shop { now, next, gateway }
}

impl Shop {
    async fn get(&self, host: &str, target: &str, fields: &[(&str, &str)]) -> Response {
        let mut client = Client::connect(self.gateway.http).await;
        client.send(request("GET", target, host, fields, "")).await;
        client.response().await
    }
}

#[tokio::test]
async fn the_most_specific_rule_takes_a_request_and_its_filters_change_it() {
    let shop = shop().await;
    shop.now.answer(Answer::whole("200 OK", &[], "now"));
    let answer = shop.get("shop.example.com", "/api/orders?page=2", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "now".to_owned()));
    let seen = shop.now.request().await;
    assert_eq!(seen.request_line, "GET /orders?page=2 HTTP/1.1");
    assert_eq!(values(&seen.fields, "x-route"), ["api"]);
    assert_eq!(values(&seen.fields, "host"), ["shop.example.com"]);

    shop.next.answer(Answer::whole("200 OK", &[], "next"));
    let answer = shop
        .get("shop.example.com", "/api/orders", &[("x-preview", "true")])
        .await;
    assert_eq!((answer.status, answer.text()), (200, "next".to_owned()));
    assert_eq!(shop.next.request().await.request_line, "GET /api/orders HTTP/1.1");
}

#[tokio::test]
async fn redirects_and_what_nobody_takes_are_answered_here() {
    let shop = shop().await;
    let answer = shop.get("shop.example.com", "/cart?item=1", &[]).await;
    assert_eq!(answer.status, 301);
    assert_eq!(
        values(&answer.fields, "location"),
        ["https://shop.example.com/basket?item=1"]
    );
    for host in ["other.example.com", "example.com", "shop.test"] {
        assert_eq!(shop.get(host, "/", &[]).await.status, 404, "{host}");
    }
}

#[tokio::test]
async fn a_grant_lets_a_route_use_the_service_of_another_namespace() {
    let shop = shop().await;
    shop.now.answer(Answer::whole("200 OK", &[], "now"));
    let answer = shop.get("accounts.example.com", "/a/b", &[]).await;
    assert_eq!((answer.status, answer.text()), (200, "now".to_owned()));
    assert_eq!(shop.now.request().await.request_line, "GET /a/b HTTP/1.1");
}
