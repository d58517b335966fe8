//! What policies, routes, redirects and authorizers are shown of fields that are not the client's to write: what the
//! upstream gets.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::{Client, Question, Target, Verdict};
use lockgate_core::limits::REQUEST_ID_BYTES_MAX;
use lockgate_core::rewrite;
use lockgate_core::shown::is_request_id;

const HOST: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: plain, namespace: istio-system}
spec: {hosts: [plain.test], ports: [{number: 8080, name: http, protocol: HTTP}], resolution: DNS}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [edge]
  http:
";

const TO_PLAIN: &str = "  - {name: all, route: [{destination: {host: plain.test}}]}\n";

fn compiled(trusted: u32, rules: &str, policy: &str) -> Compiled {
    let mesh = format!(
        "---
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: mesh, namespace: istio-system}}
spec:
  defaultConfig: {{gatewayTopology: {{numTrustedProxies: {trusted}}}}}
  extensionProviders: [{{name: asked, envoyExtAuthzGrpc: {{service: plain.test, port: 8080}}}}]
"
    );
    let source = Source::new("a.yaml".to_owned(), format!("{HOST}{rules}{TO_PLAIN}{mesh}{policy}"));
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let diagnostics = built.diagnostics;
    built.compiled.unwrap_or_else(|| panic!("{diagnostics:#?}"))
}

fn policy(action: &str, condition: &str) -> String {
    format!(
        "---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: it, namespace: istio-system}}
spec: {{action: {action}, rules: [{{when: [{condition}]}}]}}
"
    )
}

fn question(path: &str, sent: &[(&str, &str)]) -> Question {
    Question {
        target: Target::parse(&format!("http://a.test{path}")).unwrap(),
        headers: sent
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).into()))
            .collect(),
        client: Client {
            peer: Some([192, 0, 2, 1].into()),
            ..Client::default()
        },
        ..Question::default()
    }
}

fn verdict(compiled: &Compiled, path: &str, sent: &[(&str, &str)]) -> Verdict {
    question(path, sent).verdict(&compiled.snapshot).unwrap()
}

fn passes(trusted: u32, action: &str, condition: &str, sent: &[(&str, &str)]) -> bool {
    let compiled = compiled(trusted, "", &policy(action, condition));
    match verdict(&compiled, "/", sent) {
        Verdict::Forward(_) => true,
        Verdict::Refuse(refused) => {
            assert_eq!(refused.status, 403, "{condition} {sent:?}");
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn policies_are_shown_what_goes_on_and_not_what_the_client_says_of_itself() {
    let is = |name: &str, value: &str| format!("{{key: 'request.headers[{name}]', values: ['{value}']}}");
    for (trusted, condition, sent, holds) in [
        (0, is("x-forwarded-proto", "http"), &[][..], true),
        (
            0,
            is("x-forwarded-proto", "https"),
            &[("x-forwarded-proto", "https")],
            false,
        ),
        (1, is("x-forwarded-proto", "http"), &[], true),
        (
            1,
            is("x-forwarded-proto", "https"),
            &[("x-forwarded-proto", "https")],
            true,
        ),
        (
            1,
            is("x-forwarded-proto", "https"),
            &[("x-forwarded-proto", "HTTPS")],
            true,
        ),
        (
            1,
            is("x-forwarded-proto", "http"),
            &[("x-forwarded-proto", "gopher")],
            true,
        ),
        (
            1,
            is("x-forwarded-proto", "https"),
            &[("x-forwarded-proto", "http"), ("x-forwarded-proto", "https")],
            false,
        ),
        (0, is(":scheme", "https"), &[("x-forwarded-proto", "https")], false),
        (1, is(":scheme", "https"), &[("x-forwarded-proto", "https")], true),
        (1, is(":scheme", "http"), &[("x-forwarded-proto", "https")], false),
        (0, is("x-forwarded-for", "192.0.2.1"), &[], true),
        (
            0,
            is("x-forwarded-for", "*,192.0.2.1"),
            &[("x-forwarded-for", "9.9.9.9")],
            true,
        ),
        (
            0,
            is("x-forwarded-for", "9.9.9.9"),
            &[("x-forwarded-for", "9.9.9.9")],
            false,
        ),
        (
            0,
            is("x-forwarded-for", "*,127.0.0.1"),
            &[("x-forwarded-for", "9.9.9.9,127.0.0.1")],
            false,
        ),
        (
            0,
            is("x-forwarded-for", "1.1.1.1,2.2.2.2, 3.3.3.3,192.0.2.1"),
            &[
                ("X-Forwarded-For", "1.1.1.1"),
                ("x-forwarded-for", ""),
                ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
            ],
            true,
        ),
        (
            0,
            is("x-envoy-external-address", "9.9.9.9"),
            &[("x-envoy-external-address", "9.9.9.9")],
            false,
        ),
        (0, is("x-envoy-external-address", "192.0.2.1"), &[], true),
        (
            1,
            is("x-envoy-external-address", "9.9.9.9"),
            &[("x-forwarded-for", "8.8.8.8, 9.9.9.9")],
            true,
        ),
        (
            0,
            is("x-envoy-internal", "true"),
            &[("x-envoy-internal", "true")],
            false,
        ),
        (
            0,
            is("X-Envoy-Original-Path", "*"),
            &[("x-envoy-original-path", "/public")],
            false,
        ),
        (0, is("te", "*"), &[("te", "gzip")], false),
        (0, is("te", "trailers"), &[("te", "gzip, trailers")], true),
        (0, is("connection", "*"), &[("connection", "close")], false),
        (0, is("keep-alive", "*"), &[("keep-alive", "timeout=5")], false),
        (0, is("proxy-connection", "*"), &[("proxy-connection", "close")], false),
        (
            0,
            is("transfer-encoding", "*"),
            &[("transfer-encoding", "chunked")],
            false,
        ),
        (0, is("upgrade", "*"), &[("upgrade", "websocket")], false),
        (
            0,
            is("upgrade", "foo"),
            &[("connection", "upgrade"), ("upgrade", "foo")],
            false,
        ),
        (
            0,
            is("upgrade", "websocket"),
            &[("connection", "upgrade"), ("upgrade", "websocket")],
            true,
        ),
        (0, is("x-own", "1"), &[("x-own", "1")], true),
        (0, is("x-real-ip", "*"), &[("x-real-ip", "10.0.0.1")], false),
        (1, is("x-real-ip", "10.0.0.1"), &[("x-real-ip", "10.0.0.1")], true),
        (0, is("x_real_ip", "*"), &[("x_real_ip", "10.0.0.1")], false),
        (0, is("forwarded", "*"), &[("forwarded", "for=10.0.0.1")], false),
        (0, is("x-forwarded-host", "*"), &[("x-forwarded-host", "a.test")], false),
        (
            1,
            is("x-forwarded-host", "a.test"),
            &[("x-forwarded-host", "a.test")],
            true,
        ),
        (
            0,
            is("x-request-id", "req-1"),
            &[("x-request-id", "req-1"), ("x-request-id", "2")],
            true,
        ),
        (
            0,
            is("x-request-id", "2"),
            &[("x-request-id", "req-1"), ("x-request-id", "2")],
            false,
        ),
        (
            0,
            is("x-request-id", "*"),
            &[("x-request-id", "a b"), ("x-request-id", "2")],
            false,
        ),
    ] {
        let case = || format!("{trusted} {condition} {sent:?}");
        assert_eq!(passes(trusted, "ALLOW", &condition, sent), holds, "ALLOW {}", case());
        assert_eq!(passes(trusted, "DENY", &condition, sent), !holds, "DENY {}", case());
        let negated = condition.replace("values", "notValues");
        assert_eq!(passes(trusted, "DENY", &negated, sent), holds, "DENY not {}", case());
    }
}

#[test]
fn an_authorizer_is_asked_by_the_same_values() {
    let asks = "{key: 'request.headers[x-forwarded-proto]', values: [http]}";
    let custom = policy("CUSTOM, provider: {name: asked}", asks);
    let compiled = compiled(1, "", &custom);
    for (sent, is_asked) in [(&[][..], true), (&[("x-forwarded-proto", "https")], false)] {
        let verdict = verdict(&compiled, "/", sent);
        assert_eq!(matches!(verdict, Verdict::Check(_)), is_asked, "{verdict:?}");
    }
}

#[test]
fn routes_are_shown_what_goes_on() {
    const RULES: &str = "
  - {name: plain-text, match: [{headers: {x-forwarded-proto: {exact: http}}}], redirect: {scheme: https}}
  - {name: inside, match: [{headers: {x-envoy-internal: {exact: 'true'}}}], directResponse: {status: 200}}
  - {name: retried, match: [{headers: {x-envoy-retry-on: {}}}], directResponse: {status: 200}}
";
    let https = ("x-forwarded-proto", "https");
    for (trusted, sent, location) in [
        (0, &[][..], Some("https://a.test/x")),
        (0, &[https], Some("https://a.test/x")),
        (1, &[], Some("https://a.test/x")),
        (
            1,
            &[https, ("x-envoy-internal", "true"), ("x-envoy-retry-on", "5xx")],
            None,
        ),
    ] {
        match verdict(&compiled(trusted, RULES, ""), "/x", sent) {
            Verdict::Redirect(redirect) => assert_eq!(Some(&*redirect.location), location, "{trusted} {sent:?}"),
            Verdict::Forward(_) => assert_eq!(location, None, "{trusted} {sent:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn behind_a_proxy_that_ends_tls_a_redirect_keeps_https_and_comes_to_an_end() {
    const RULES: &str = "
  - {name: up, match: [{scheme: {exact: http}}], redirect: {scheme: https}}
  - {name: moved, match: [{uri: {prefix: /old}}], redirect: {uri: /new}}
";
    for (trusted, path, sent, location) in [
        (
            1,
            "/old",
            &[("x-forwarded-proto", "https")][..],
            Some("https://a.test/new"),
        ),
        (1, "/old", &[], Some("https://a.test/old")),
        (1, "/x", &[("x-forwarded-proto", "https")], None),
        (0, "/x", &[("x-forwarded-proto", "https")], Some("https://a.test/x")),
    ] {
        match verdict(&compiled(trusted, RULES, ""), path, sent) {
            Verdict::Redirect(redirect) => assert_eq!(Some(&*redirect.location), location, "{path} {sent:?}"),
            Verdict::Forward(_) => assert_eq!(location, None, "{path} {sent:?}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lines_of_a_field_that_has_one_value_are_one() {
    let is = |name: &str, value: &str| format!("{{key: 'request.headers[{name}]', values: ['{value}']}}");
    for (condition, sent, holds) in [
        (is("user-agent", "https"), &[("user-agent", "z"), ("user-agent", "https")][..], false),
        (is("user-agent", "z,https"), &[("user-agent", "z"), ("User-Agent", "https")], true),
        (is("user-agent", "z*"), &[("user-agent", "z"), ("user-agent", "https")], true),
        (is("user-agent", "https"), &[("user-agent", "https"), ("user-agent", "")], true),
        (is("user-agent", "https"), &[("user-agent", "https")], true),
        (is("x-own", "b"), &[("x-own", "a"), ("x-own", "b")], true),
        (
            "{key: 'request.headers[accept]', values: ['1,2']}, {key: 'request.headers[cache-control]', values: ['a,b']}, \
             {key: 'request.headers[via]', values: ['x']}"
                .to_owned(),
            &[
                ("accept", "1"),
                ("cache-control", "a"),
                ("via", "x"),
                ("accept", "2"),
                ("cache-control", "b"),
            ],
            true,
        ),
    ] {
        assert_eq!(passes(0, "ALLOW", &condition, sent), holds, "ALLOW {condition} {sent:?}");
        assert_eq!(passes(0, "DENY", &condition, sent), !holds, "DENY {condition} {sent:?}");
    }
    const RULES: &str = "
  - {name: by-agent, match: [{headers: {user-agent: {exact: bot}}}], directResponse: {status: 200}}
";
    let compiled = compiled(0, RULES, "");
    let twice = verdict(&compiled, "/", &[("user-agent", "x"), ("user-agent", "bot")]);
    assert!(matches!(twice, Verdict::Forward(_)), "{twice:?}");
    let once = verdict(&compiled, "/", &[("user-agent", "bot")]);
    assert!(matches!(once, Verdict::Respond(_)), "{once:?}");
}

#[test]
fn credentials_in_several_lines_are_not_shown() {
    let compiled = compiled(0, "", "");
    let sent = [
        ("authorization", "Bearer hunter2"),
        ("via", "1.1 a"),
        ("Authorization", "Basic hunter2"),
        ("via", "1.1 b"),
    ];
    let explained = question("/", &sent).explain(&compiled.snapshot).unwrap();
    let text = explained.to_string();
    assert!(
        text.contains("authorization: «not shown»\n") && text.contains("via: 1.1 a,1.1 b\n"),
        "{text}"
    );
    let json = serde_json::to_string(&explained).unwrap();
    assert!(!text.contains("hunter2") && !json.contains("hunter2"), "{text}\n{json}");
}

#[test]
fn credentials_that_authorizers_set_are_not_shown() {
    let custom = policy("CUSTOM", "").replace("action:", "provider: {name: asked}, action:");
    let compiled = compiled(1, "", &custom.replace("{when: []}", "{}"));
    let checks = r#"{"asked": {"decision": "allow", "setHeaders": [
        ["authorization", "Bearer hunter2"], ["cookie", "session=hunter2"], ["x-forwarded-user", "ann"]]}}"#;
    let explained = Question {
        checks: serde_json::from_str(checks).unwrap(),
        ..question("/", &[])
    }
    .explain(&compiled.snapshot)
    .unwrap()
    .to_string();
    for told in [
        "authorization: «not shown»",
        "cookie: «not shown»",
        "x-forwarded-user: ann",
    ] {
        assert!(explained.contains(told), "{told}\n{explained}");
    }
    assert!(!explained.contains("hunter2"), "{explained}");
}

#[test]
fn explain_shows_what_policy_saw() {
    let condition = "{key: 'request.headers[x-forwarded-for]', values: ['9.9.9.9']}";
    let compiled = compiled(0, "", &policy("DENY", condition));
    let explained = question("/", &[("x-forwarded-for", "9.9.9.9")])
        .explain(&compiled.snapshot)
        .unwrap();
    let failed = explained.policies[0].rules[0].failed.as_ref().unwrap();
    assert_eq!(failed.seen.as_deref(), Some("9.9.9.9,192.0.2.1"));
    let Verdict::Forward(forward) = explained.verdict else {
        panic!()
    };
    for (name, value) in [
        ("x-forwarded-for", "9.9.9.9,192.0.2.1"),
        ("x-forwarded-proto", "http"),
        ("x-envoy-external-address", "192.0.2.1"),
    ] {
        let told = forward.set_headers.iter().find(|(told, _)| told == name);
        assert_eq!(told.map(|(_, value)| &**value), Some(value), "{name}");
    }
}

#[test]
fn a_list_too_long_to_be_judged_is_refused_only_where_it_is() {
    let long = "2001:db8::1,".repeat(400);
    let condition = "{key: 'request.headers[x-forwarded-for]', values: ['1.1.1.1*']}";
    for (policies, is_refused) in [(policy("DENY", condition), true), (String::new(), false)] {
        let verdict = verdict(&compiled(0, "", &policies), "/", &[("x-forwarded-for", &long)]);
        match verdict {
            Verdict::Refuse(refused) => assert_eq!((refused.status, is_refused), (431, true)),
            Verdict::Forward(_) => assert!(!is_refused),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_route_writes_or_takes_away_has_no_twin() {
    const RULES: &str = "
  - name: changed
    match: [{uri: {prefix: /changed}}]
    route: [{destination: {host: plain.test}}]
    headers:
      request: {set: {x-tenant: gold}, add: {x-more: '1', own_name: '1'}, remove: [x-admin]}
      response: {set: {x-answer: '1'}}
";
    let compiled = compiled(0, RULES, "");
    let tables = compiled.snapshot.tables();
    for (name, goes) in [
        ("x_tenant", false),
        ("x_admin", false),
        ("x_more", false),
        ("x_answer", true),
        ("own_name", true),
        ("x_other", true),
        ("x-tenant", true),
    ] {
        assert_eq!(!rewrite::drops_header_to_host(tables, name), goes, "{name}");
        assert_eq!(!rewrite::drops_header_to_provider(tables, name), goes, "{name}");
    }
    // What routes change decides nothing.
    let verdict = verdict(&compiled, "/changed", &[("connection", "x-admin"), ("x-admin", "1")]);
    assert!(matches!(verdict, Verdict::Forward(_)), "{verdict:?}");
}

#[test]
fn what_is_sent_of_a_request_id_is_what_logs_can_carry() {
    for (id, is_one) in [
        (&b"req_8f3a-42.b:c/d+e="[..], true),
        (&[b'a'; REQUEST_ID_BYTES_MAX], true),
        (&[b'a'; REQUEST_ID_BYTES_MAX + 1], false),
        (b"", false),
        (b"a b", false),
        (b"\"}{", false),
        (&[0xff], false),
    ] {
        assert_eq!(is_request_id(id), is_one, "{id:?}");
    }
}
