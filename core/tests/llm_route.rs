//! What `lockgate.dev/v1` adds to LLMRoute: each row is one sentence of `docs/routing.md`.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::{HeaderChanged, Verdict};
use support::{GET, Sent, compiled};

const WORLD: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: free, namespace: istio-system}
spec: {host: free.test}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: fixed, namespace: istio-system}
spec: {host: fixed.test, path: /v1/chat/completions, configs: {defaultConfig: {openAIConfig: {model: qwen-max}}}}
---
";

fn text_of(api_version: &str, rules: &str) -> String {
    format!(
        "{WORLD}apiVersion: {api_version}
kind: LLMRoute
metadata: {{name: route, namespace: istio-system}}
spec: {{host: '*', gateways: [edge], rules: {rules}}}
"
    )
}

fn route(rules: &str) -> Compiled {
    compiled(&text_of("lockgate.dev/v1", rules), &Settings::default())
}

fn findings(api_version: &str, rules: &str) -> Vec<(String, String)> {
    let source = Source::new("route.yaml".to_owned(), text_of(api_version, rules));
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let found = built.diagnostics.as_slice().iter();
    found
        .map(|finding| (finding.code.to_string(), finding.message.clone()))
        .collect()
}

const POST: Sent<'static> = Sent {
    method: "POST",
    target: "/v1/chat",
    ..GET
};

/// What comes of a request: the rule that takes it, or the status.
fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => upstream.rule.rsplit('/').next().unwrap().to_owned(),
        Verdict::Refuse(refused) => refused.status.to_string(),
        Verdict::ReadBody { rule } => format!("body for {}", rule.unwrap().rsplit('/').next().unwrap()),
        other => panic!("{other:?}"),
    }
}

const BY_MODEL: &str = "[
  {name: listed, matches: [{model: {in: [gpt-4o, gpt-4o-mini]}}], backendRefs: [{providerHost: free.test}]},
  {name: prefix, matches: [{model: {prefix: claude-}}], backendRefs: [{providerHost: free.test}]},
  {name: regex, matches: [{model: {regex: 'llama-[0-9]+b'}}], backendRefs: [{providerHost: free.test}]},
  {name: stream, matches: [{model: {exact: o3}, stream: true}], backendRefs: [{providerHost: free.test}]},
  {name: whole, matches: [{model: {exact: o3}, stream: false}], backendRefs: [{providerHost: free.test}]},
  {name: rest, backendRefs: [{providerHost: free.test}]}]";

#[test]
fn the_body_chooses_the_rule() {
    let compiled = route(BY_MODEL);
    for (body, rule) in [
        (r#"{"model":"gpt-4o"}"#, "listed"),
        (r#"{"model":"gpt-4o-mini","stream":true}"#, "listed"),
        (r#"{"model":"gpt-4o-minus"}"#, "rest"),
        (r#"{"model":"claude-x"}"#, "prefix"),
        (r#"{"model":"llama-70b"}"#, "regex"),
        (r#"{"model":"llama-70b-x"}"#, "rest"),
        (r#"{"model":"o3","stream":true}"#, "stream"),
        (r#"{"model":"o3","stream":false}"#, "whole"),
        (r#"{"model":"o3"}"#, "whole"),
        (r#"{"model":"\u006f3"}"#, "whole"),
        (r#"{"messages":[]}"#, "rest"),
        // Which of them is meant nobody can say.
        (r#"{"model":"o3","model":"gpt-4o"}"#, "400"),
        ("no JSON", "400"),
    ] {
        let sent = Sent {
            body: Some(body),
            ..POST
        };
        assert_eq!(came(&compiled, &sent), rule, "{body}");
    }
    assert_eq!(came(&compiled, &POST), "body for listed");
    // It has no body that says anything.
    assert_eq!(came(&compiled, &GET), "rest");
}

#[test]
fn a_body_is_asked_for_only_where_it_decides() {
    let compiled = route(
        "[{name: by-path, matches: [{uri: {prefix: /direct}}], backendRefs: [{providerHost: fixed.test}]},
          {name: by-model, matches: [{headers: {x-team: {exact: red}}, model: {exact: a}}], backendRefs: [{providerHost: free.test}]},
          {name: rest, backendRefs: [{providerHost: free.test}]}]",
    );
    let red: &[(&str, &str)] = &[("x-team", "red")];
    let of = |target, headers, body| Sent {
        target,
        headers,
        body,
        ..POST
    };
    // Every JSON body is read before it goes to a provider, so the verdict asks, but not on behalf of `by-model`.
    assert_eq!(came(&compiled, &of("/direct", red, None)), "body for by-path");
    assert_eq!(came(&compiled, &of("/v1", &[], None)), "body for rest");
    assert_eq!(came(&compiled, &of("/v1", red, None)), "body for by-model");
    assert_eq!(came(&compiled, &of("/v1", red, Some(r#"{"model":"a"}"#))), "by-model");
    assert_eq!(came(&compiled, &of("/v1", red, Some(r#"{"model":"b"}"#))), "rest");
}

#[test]
fn the_head_is_matched_as_virtual_services_match_it() {
    let compiled = route(
        "[{name: uri, matches: [{uri: {exact: /A}, ignoreUriCase: true}], backendRefs: [{providerHost: free.test}]},
          {name: method, matches: [{method: {exact: PUT}}], backendRefs: [{providerHost: free.test}]},
          {name: query, matches: [{queryParams: {q: {exact: '1'}}}], backendRefs: [{providerHost: free.test}]},
          {name: absent, matches: [{withoutHeaders: {x-a: {}}, authority: {prefix: 'www.'}}], backendRefs: [{providerHost: free.test}]},
          {name: claim, matches: [{headers: {'@request.auth.claims[groups]': {exact: Red}}}], backendRefs: [{providerHost: free.test}]},
          {name: port, matches: [{port: 8080}], backendRefs: [{providerHost: free.test}]},
          {name: host, matches: [{headers: {host: {exact: Test.com}}, sourceNamespace: istio-system}], backendRefs: [{providerHost: free.test}]},
          {name: free, matches: [{headers: {host: {exact: free.test}}}], backendRefs: [{providerHost: free.test}]}]",
    );
    let get = |target| Sent { target, ..GET };
    let token = Some(r#"{"iss":"i","sub":"s","groups":["Red"]}"#);
    for (sent, rule) in [
        (get("/a"), "uri"),
        (get("/x?q=1"), "query"),
        (
            Sent {
                host: "www.x",
                ..get("/")
            },
            "absent",
        ),
        (Sent { token, ..get("/") }, "claim"),
        (get("/"), "host"),
        (
            Sent {
                host: "other",
                ..get("/")
            },
            "404",
        ),
    ] {
        assert_eq!(came(&compiled, &sent), rule, "{sent:?}");
    }
}

#[test]
fn a_provider_gets_what_the_rule_makes_of_the_head() {
    let compiled = route(
        "[{name: r, matches: [{uri: {prefix: /team/}}],
           rewrite: {uri: /, authority: other.test},
           headers: {request: {set: {api-version: '2024', authorization: Bearer x}, remove: [x-a]}, response: {set: {x-served-by: edge}}},
           timeout: 30s, retries: {attempts: 1, retryOn: '503'},
           backendRefs: [{providerHost: free.test}]},
          {name: all, matches: [{headers: {host: {exact: free.test}}}], backendRefs: [{providerHost: free.test}]}]",
    );
    let sent = Sent {
        target: "/team/v1/models?x=1",
        ..GET
    };
    let Verdict::Forward(upstream) = sent.explained_by(&compiled).verdict else {
        panic!("it is sent on");
    };
    assert_eq!(upstream.path, "/v1/models?x=1");
    assert_eq!(upstream.provider.as_deref(), Some("free.test"));
    assert!(
        upstream
            .set_headers
            .contains(&("host".to_owned(), "other.test".to_owned()))
    );
    assert_eq!(upstream.timeout_ms, Some(30_000));
    assert_eq!(upstream.retries.map(|retries| retries.attempts), Some(1));
    let set = |name: &str, value: &str| HeaderChanged::Set {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    assert_eq!(
        upstream.change_headers,
        [
            HeaderChanged::Remove { name: "x-a".to_owned() },
            set("api-version", "2024"),
            set("authorization", "«not shown»"),
        ]
    );
    assert_eq!(upstream.change_response_headers, [set("x-served-by", "edge")]);
}

/// A plain host that a copy may go to.
const ENTRY: &str = "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: log, namespace: istio-system}
spec: {hosts: [log.test, Free.test], resolution: DNS, ports: [{number: 8000, name: http}]}
";

fn with_entry(rules: &str) -> Compiled {
    let text = text_of("lockgate.dev/v1", rules);
    compiled(&format!("{text}{ENTRY}"), &Settings::default())
}

#[test]
fn copies_of_what_a_provider_gets_go_to_plain_hosts() {
    let compiled = with_entry(
        "[{name: r, backendRefs: [{providerHost: fixed.test}], mirrors: [{destination: {host: log.test}}, {destination: {host: log.test}, percentage: {value: 0}}]}]",
    );
    let sent = Sent {
        body: Some("{}"),
        ..POST
    };
    let Verdict::Forward(upstream) = sent.explained_by(&compiled).verdict else {
        panic!("it is sent on");
    };
    assert_eq!(upstream.provider.as_deref(), Some("fixed.test"));
    assert_eq!(upstream.mirrors, ["log.test"]);
}

#[test]
fn no_copy_goes_to_a_provider() {
    for (mirror, code) in [
        ("mirror: {host: fixed.test}", "mirror-to-provider"),
        // It has a ServiceEntry too, in another case.
        ("mirrors: [{destination: {host: free.test}}]", "mirror-to-provider"),
        ("mirror: {host: nowhere.test}", "unknown-destination"),
    ] {
        let source = Source::new(
            "route.yaml".to_owned(),
            text_of(
                "lockgate.dev/v1",
                &format!("[{{{mirror}, backendRefs: [{{providerHost: free.test}}]}}]"),
            ) + ENTRY,
        );
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = build(&[source], &options, &Settings::default());
        assert!(built.compiled.is_none(), "{mirror}");
        let found = built.diagnostics.as_slice().iter();
        let codes: Vec<_> = found.map(|finding| finding.code.to_string()).collect();
        assert!(codes.iter().any(|found| found == code), "{mirror}: {codes:?}");
    }
}

#[test]
fn a_fault_speaks_the_clients_api() {
    let always = "percentage: {value: 100}";
    let compiled = route(&format!(
        "[{{name: r, fault: {{delay: {{fixedDelay: 2s, {always}}}, abort: {{httpStatus: 429, {always}}}}},
           headers: {{response: {{set: {{retry-after: '1'}}}}}}, backendRefs: [{{providerHost: fixed.test}}]}}]"
    ));
    let set = |name: &str, value: &str| HeaderChanged::Set {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    for (target, body) in [
        (
            "/v1/chat/completions",
            r#"{"error":{"message":"fault filter abort","type":"invalid_request_error","param":null,"code":"fault_injected"}}"#,
        ),
        (
            "/v1/messages",
            r#"{"type":"error","error":{"type":"rate_limit_error","message":"fault filter abort"}}"#,
        ),
    ] {
        // Before the body is read, and before the method is looked at.
        for method in ["POST", "GET"] {
            let sent = Sent { method, target, ..GET };
            let Verdict::Respond(answer) = sent.explained_by(&compiled).verdict else {
                panic!("it is answered");
            };
            assert_eq!((answer.status, answer.aborted, answer.delay_ms), (429, true, 2000));
            assert_eq!(answer.body, body);
            assert_eq!(
                answer.change_headers,
                [set("content-type", "application/json"), set("retry-after", "1")]
            );
        }
    }
    let delayed = route(&format!(
        "[{{name: r, fault: {{delay: {{fixedDelay: 2s, {always}}}}}, backendRefs: [{{providerHost: free.test}}]}}]"
    ));
    let Verdict::Forward(upstream) = GET.explained_by(&delayed).verdict else {
        panic!("it is sent on");
    };
    assert_eq!(upstream.delay_ms, 2000);
}

#[test]
fn pages_of_other_origins_may_ask_a_provider() {
    let compiled = route(
        "[{name: r, corsPolicy: {allowOrigins: [{exact: 'https://page.test'}], allowMethods: [POST], allowHeaders: ['*']},
           backendRefs: [{providerHost: fixed.test}]}]",
    );
    let of = |method, origin, body| Sent {
        method,
        headers: if origin {
            &[
                ("origin", "https://page.test"),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", "authorization"),
            ]
        } else {
            &[]
        },
        body,
        ..POST
    };
    let set = |name: &str, value: &str| HeaderChanged::Set {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let Verdict::Respond(answer) = of("OPTIONS", true, None).explained_by(&compiled).verdict else {
        panic!("a preflight is answered");
    };
    assert_eq!((answer.status, answer.body.as_str()), (200, ""));
    assert_eq!(
        answer.change_headers,
        [
            set("access-control-allow-origin", "https://page.test"),
            set("access-control-allow-methods", "POST"),
            set("access-control-allow-headers", "authorization"),
        ]
    );
    let Verdict::Forward(upstream) = of("POST", true, Some("{}")).explained_by(&compiled).verdict else {
        panic!("it is sent on");
    };
    assert_eq!(upstream.origin_allowed, Some(true));
    assert_eq!(
        upstream.change_response_headers,
        [set("access-control-allow-origin", "https://page.test")]
    );
    assert_eq!(came(&compiled, &of("OPTIONS", false, None)), "405");
}

#[test]
fn nothing_is_tried_again_at_a_provider_unless_the_rule_says_so() {
    let rules = |more: &str| format!("[{{name: r{more}, backendRefs: [{{providerHost: free.test}}]}}]");
    for (more, timeout, retries) in [
        ("", None, None),
        (", timeout: 5s", Some(5000), None),
        (", retries: {attempts: 2}", None, Some(2)),
    ] {
        let Verdict::Forward(upstream) = GET.explained_by(&route(&rules(more))).verdict else {
            panic!("it is sent on");
        };
        assert_eq!(upstream.timeout_ms, timeout, "{more}");
        assert_eq!(upstream.retries.map(|retries| retries.attempts), retries, "{more}");
    }
}

#[test]
fn asms_own_form_stays_asms() {
    const ASM: &str = "istio.alibabacloud.com/v1beta1";
    let backend = "backendRefs: [{providerHost: free.test}]";
    for field in [
        "model: {exact: a}",
        "stream: true",
        "uri: {prefix: /a}",
        "method: {exact: GET}",
        "headers: {'@request.auth.claims[a]': {exact: b}}",
    ] {
        let found = findings(ASM, &format!("[{{matches: [{{{field}}}], {backend}}}]"));
        assert!(
            found.iter().any(|(code, _)| code == "lockgate-field"),
            "{field}: {found:?}"
        );
    }
    for field in [
        "rewrite: {uri: /a}",
        "timeout: 1s",
        "retries: {attempts: 1}",
        "headers: {request: {remove: [a]}}",
        "corsPolicy: {allowOrigins: [{exact: '*'}]}",
        "fault: {abort: {httpStatus: 503, percentage: {value: 1}}}",
        "mirror: {host: log.test}",
        "mirrorPercentage: {value: 1}",
        "mirrors: [{destination: {host: log.test}}]",
    ] {
        let found = findings(ASM, &format!("[{{{field}, {backend}}}]"));
        assert!(
            found.iter().any(|(code, _)| code == "lockgate-field"),
            "{field}: {found:?}"
        );
    }
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let of = |rule: &str| {
        findings(
            "lockgate.dev/v1",
            &format!("[{{{rule}, backendRefs: [{{providerHost: fixed.test}}]}}]"),
        )
    };
    for (rule, code) in [
        ("rewrite: {uri: /a}", "conflicting-fields"),
        ("matches: [{model: {exact: a, prefix: b}}]", "conflicting-fields"),
        ("matches: [{model: {}}]", "empty-object"),
        ("matches: [{model: {in: []}}]", "empty-list"),
        ("matches: [{model: {regex: '('}}]", "invalid-regex"),
        ("matches: [{modle: {exact: a}}]", "unknown-field"),
        (
            "rewrite: {authority: a.test}, headers: {request: {set: {host: b.test}}}",
            "conflicting-fields",
        ),
    ] {
        let found = of(rule);
        assert!(found.iter().any(|(found, _)| found == code), "{rule}: {found:?}");
    }
}
