//! Policies through a real socket: what is let through, and what the log says of it.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use support::bed::{Bed, Transport};
use support::gateway::Setup;

const LLM_POLICY: &str = "apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: models, namespace: istio-system}
spec:
  rules:
  - when:
    - {key: 'request.headers[x-team]', values: [red]}
    - {key: 'request.llm[model]', values: ['qwen-*']}
";

#[tokio::test]
async fn a_team_may_use_its_models_and_no_others() {
    let setup = Setup::seed().file("models.yaml", LLM_POLICY);
    let bed = Bed::start(Transport::Plain, setup).await;
    let ask = async |team: &str, body: &str| {
        let mut client = support::client::Client::connect(bed.http()).await;
        client
            .send(support::client::post("test.com", &[("x-team", team)], body))
            .await;
        client.response().await
    };
    bed.assert_denied(&ask("blue", r#"{"model":"qwen-turbo"}"#).await);
    bed.assert_denied(&ask("red", r#"{"model":"gpt-5"}"#).await);
    bed.assert_denied(&ask("red", "{}").await);
    let twice = ask("red", r#"{"model":"qwen-turbo","model":"gpt-5"}"#).await;
    assert_eq!(twice.status, 400, "{}", twice.text());
    bed.assert_no_contact();
    assert_eq!(ask("red", r#"{"model":"qwen-turbo","messages":[]}"#).await.status, 200);
    assert_eq!(bed.upstream.request_count(), 1);
}

const DENY_QWEN: &str = "apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: models, namespace: istio-system}
spec: {action: DENY, rules: [{when: [{key: 'request.llm[model]', values: ['qwen-*']}]}]}
";

/// A server behind the provider's name may look at content whatever the method.
#[tokio::test]
async fn content_is_judged_whatever_the_method() {
    let path = "  path: /compatible-mode/v1/chat/completions\n";
    let setup = Setup::seed()
        .edit("llm-provider.yaml", path, "")
        .file("models.yaml", DENY_QWEN);
    let bed = Bed::start(Transport::Plain, setup).await;
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "POST"] {
        let ask = async |framing: &str, content: &str| {
            let mut client = support::client::Client::connect(bed.http()).await;
            let fields = "content-type: application/json\r\nconnection: close";
            let head = format!("{method} /v1 HTTP/1.1\r\nhost: test.com\r\n{fields}\r\n{framing}\r\n\r\n");
            client.send(head + content).await;
            client.head().await.status
        };
        let length = |content: &str| format!("content-length: {}", content.len());
        for (content, status) in [
            (r#"{"model":"qwen-x"}"#, 403),
            (r#"{"model":"gpt-5"}"#, 200),
            ("x", 400),
        ] {
            assert_eq!(ask(&length(content), content).await, status, "{method} {content}");
            let chunk = format!("{:x}\r\n{content}\r\n0\r\n\r\n", content.len());
            assert_eq!(
                ask("transfer-encoding: chunked", &chunk).await,
                status,
                "{method} {content}"
            );
        }
        let without = if method == "POST" { 400 } else { 200 };
        assert_eq!(
            ask("transfer-encoding: chunked", "0\r\n\r\n").await,
            without,
            "{method}"
        );
    }
    // What passed was made the same of as of a POST.
    for _ in 0..2 {
        assert_eq!(
            bed.upstream.request().await.text(),
            r#"{"stream":false,"model":"gpt-5"}"#
        );
    }
}

const OBSERVERS: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audit, namespace: istio-system}
spec: {action: AUDIT, rules: [{to: [{operation: {methods: [POST]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{}]}
";

#[tokio::test]
async fn audit_and_dry_runs_are_in_the_log_and_change_nothing() {
    let setup = Setup::seed().file("observers.yaml", OBSERVERS);
    let bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let lines = bed.gateway.log_of(1).await;
    let line = lines.first().unwrap_or_else(|| panic!("no line"));
    let field = |name: &str| line.get(name).and_then(|value| value.as_str()).map(str::to_owned);
    assert_eq!(field("audited_by").as_deref(), Some("istio-system/audit"), "{line}");
    assert_eq!(
        field("dry_run").as_deref(),
        Some("denied by istio-system/trial rules[0]"),
        "{line}"
    );
}

const TLS_POLICY: &str = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: mesh, namespace: istio-system}
spec:
  rules:
  - from: [{source: {principals: [cluster.local/ns/team/sa/bot]}}]
    when: [{key: connection.sni, values: [test.com]}]
";

#[tokio::test]
async fn explain_takes_what_only_tls_has() {
    let setup = Setup::seed().file("mesh.yaml", TLS_POLICY);
    for (args, decision) in [
        (
            &[
                "--sni",
                "Test.com",
                "--peer-uri",
                "spiffe://cluster.local/ns/team/sa/bot",
            ][..],
            "readBody",
        ),
        (&["--sni", "test.com"], "refuse"),
        (&["--peer-uri", "spiffe://cluster.local/ns/team/sa/bot"], "refuse"),
        (&[], "refuse"),
    ] {
        let rest = ["-o", "json", "-X", "POST", "http://test.com/"];
        let said = setup.run("explain", &[args, &rest].concat()).await;
        assert_eq!(said.json()["verdict"]["decision"], decision, "{args:?} {}", said.all());
    }
}
