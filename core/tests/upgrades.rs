//! `Upgrade: websocket`: which routes allow it, and that it is explained.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{UpstreamRequest, Verdict};
use support::{GET, Sent, compiled};

/// One host for each kind of route.
fn routes() -> Compiled {
    compiled(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 8000, name: http}, {number: 8001, name: shared, protocol: HTTP2}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: istio-system}
spec: {hosts: [istio.test], gateways: [edge], http: [{route: [{destination: {host: a.test, port: {number: 8000}}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shared, namespace: istio-system}
spec: {hosts: [http2.test], gateways: [edge], http: [{route: [{destination: {host: a.test, port: {number: 8001}}}]}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: kube, namespace: istio-system}
spec: {gatewayClassName: istio, listeners: [{name: web, port: 81, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: istio-system}
spec:
  hostnames: [kube.test]
  parentRefs: [{name: kube}]
  rules: [{backendRefs: [{group: networking.istio.io, kind: Hostname, name: a.test, port: 8000}]}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: provider, namespace: istio-system}
spec: {host: llm.test}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: llm, namespace: istio-system}
spec: {host: '*', gateways: [edge], rules: [{backendRefs: [{providerHost: llm.test}]}]}
",
        &Settings::default(),
    )
}

const WANTED: &[(&str, &str)] = &[("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];

fn forwarded(sent: &Sent<'_>) -> (UpstreamRequest, String) {
    let explanation = sent.explained_by(&routes());
    let Verdict::Forward(upstream) = &explanation.verdict else {
        panic!("{explanation:?}")
    };
    (*upstream.clone(), explanation.to_string())
}

#[test]
fn plain_hosts_of_http1_may_be_asked_and_providers_never() {
    for (host, port, upgrade) in [
        ("istio.test", 80, Some("websocket")),
        ("kube.test", 81, Some("websocket")),
        ("http2.test", 80, None),
        ("llm.test", 80, None),
    ] {
        let (upstream, text) = forwarded(&Sent {
            host,
            port,
            headers: WANTED,
            ..GET
        });
        assert_eq!(upstream.upgrade.as_deref(), upgrade, "{host}");
        assert_eq!(
            text.contains("  upgrade    websocket, once the upstream agrees\n"),
            upgrade.is_some(),
            "{text}"
        );
        let asks = |name: &str| {
            let mut set = upstream.set_headers.iter();
            set.find(|(set, _)| set == name).map(|(_, value)| value.as_str())
        };
        assert_eq!(
            (asks("connection"), asks("upgrade")),
            (upgrade.map(|_| "upgrade"), upgrade),
            "{host}"
        );
    }
}

#[test]
fn other_protocols_are_not_offered() {
    for headers in [
        &[][..],
        &[
            ("connection", "upgrade, http2-settings"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
        ],
        &[("connection", "upgrade"), ("upgrade", "TLS/1.0")],
        &[("upgrade", "websocket")],
    ] {
        let (upstream, _) = forwarded(&Sent {
            host: "istio.test",
            headers,
            ..GET
        });
        assert_eq!(upstream.upgrade, None, "{headers:?}");
        assert!(
            !upstream
                .set_headers
                .iter()
                .any(|(name, _)| name == "upgrade" || name == "connection")
        );
    }
}
