//! `Upgrade: websocket`: which routes allow it, and that it is explained.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{Question, Target, UpstreamRequest, Verdict};
use support::{EDGE, GET, Sent, compiled};

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

/// What comes of an extended CONNECT.
fn connected(compiled: &Compiled, host: &str, port: u16, protocol: &str) -> Result<Verdict, String> {
    let question = Question {
        target: Target::parse(&format!("http://{host}:{port}/x/../a"))?,
        protocol: Some(protocol.to_owned()),
        ..Question::default()
    };
    question.verdict(&compiled.snapshot)
}

#[test]
fn an_extended_connect_leads_to_a_tunnel_or_is_refused() {
    let compiled = routes();
    for (host, port, is_allowed) in [
        ("istio.test", 80, true),
        ("kube.test", 81, true),
        ("http2.test", 80, false),
        ("llm.test", 80, false),
    ] {
        match connected(&compiled, host, port, "WebSocket").unwrap() {
            Verdict::Forward(forward) if is_allowed => {
                assert_eq!((&*forward.method, &*forward.path), ("GET", "/a"), "{host}");
                assert_eq!(forward.upgrade.as_deref(), Some("websocket"), "{host}");
                let key = ("sec-websocket-key".to_owned(), "«random»".to_owned());
                assert!(forward.set_headers.contains(&key), "{:?}", forward.set_headers);
            }
            Verdict::Refuse(refusal) if !is_allowed => {
                assert_eq!((refusal.status, &*refusal.code), (403, "upgrade_not_allowed"), "{host}");
            }
            other => panic!("{host}: {other:?}"),
        }
    }
    assert!(connected(&compiled, "istio.test", 80, "connect-udp").is_err());
}

#[test]
fn no_answer_of_ours_looks_like_an_agreement() {
    let rules = [
        ("directResponse: {status: 200}", Some("refuse")),
        ("directResponse: {status: 299}", Some("refuse")),
        ("directResponse: {status: 503}", None),
        ("redirect: {uri: /there}", None),
        (
            "fault: {abort: {httpStatus: 204, percentage: {value: 100}}}, route: [{destination: {host: a.test}}]",
            Some("refuse"),
        ),
        (
            "fault: {abort: {grpcStatus: ABORTED, percentage: {value: 100}}}, route: [{destination: {host: a.test}}]",
            Some("refuse"),
        ),
        (
            "fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, route: [{destination: {host: a.test}}]",
            None,
        ),
    ];
    for (rule, refused) in rules {
        let compiled = compiled(&web(rule), &Settings::default());
        let verdict = connected(&compiled, "istio.test", 80, "websocket").unwrap();
        let is_refused = matches!(&verdict, Verdict::Refuse(refusal) if refusal.code == "upgrade_not_allowed");
        assert_eq!(is_refused, refused.is_some(), "{rule}: {verdict:?}");
    }
}

/// A VirtualService of `istio.test` with one rule, and a host that it may lead to.
fn web(rule: &str) -> String {
    format!(
        "{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec: {{hosts: [a.test], resolution: DNS, ports: [{{number: 80, name: http}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec: {{hosts: [istio.test], gateways: [edge], http: [{{{rule}}}]}}
"
    )
}

#[test]
fn no_denial_looks_like_an_agreement() {
    let compiled = compiled(
        &format!(
            "{}---
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: mesh, namespace: istio-system}}
spec: {{extensionProviders: [{{name: authz, envoyExtAuthzGrpc: {{service: b.test, port: 9000, statusOnError: '204'}}}}]}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: ask, namespace: istio-system}}
spec: {{action: CUSTOM, provider: {{name: authz}}, rules: [{{}}]}}
",
            web("route: [{destination: {host: a.test}}]")
        ),
        &Settings::default(),
    );
    for (said, protocol, status) in [
        (r#"{"decision": "deny", "status": 204}"#, Some("websocket"), 403),
        (r#"{"decision": "deny", "status": 299}"#, Some("websocket"), 403),
        (r#"{"decision": "deny", "status": 302}"#, Some("websocket"), 302),
        (r#"{"decision": "deny", "status": 204}"#, None, 204),
        (r#"{"decision": "error"}"#, Some("websocket"), 403),
        (r#"{"decision": "error"}"#, None, 204),
    ] {
        let question = Question {
            target: Target::parse("http://istio.test/").unwrap(),
            protocol: protocol.map(str::to_owned),
            checks: serde_json::from_str(&format!(r#"{{"authz": {said}}}"#)).unwrap(),
            ..Question::default()
        };
        let verdict = question.verdict(&compiled.snapshot).unwrap();
        let Verdict::Refuse(refusal) = verdict else {
            panic!("{said}: {verdict:?}");
        };
        assert_eq!(refusal.status, status, "{said} {protocol:?}");
        assert!(refusal.code.starts_with("ext_authz_"), "{}", refusal.code);
    }
}
