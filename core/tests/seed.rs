//! The seed's walk-through, decided by the engine alone: cases A and B of the
//! acceptance table that need no socket.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::net::IpAddr;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Diagnostics, Severity, Source};
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Denial, Destination, Path, Refusal};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request};
use lockgate_core::{Built, build};

const PROVIDER: &str = include_str!("../../examples/seed/llm-provider.yaml");
const GATEWAY: &str = include_str!("../../examples/seed/gateway.yaml");
const ROUTE: &str = include_str!("../../examples/seed/llm-route.yaml");
const POLICY: &str = include_str!("../../examples/seed/authorization-policy.yaml");

const CLIENT: &str = "203.0.113.9";
const KEY: &str = "sk-very-secret";

fn built(texts: &[&str], settings: &Settings) -> Built {
    let sources: Vec<Source> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| Source::new(format!("{index}.yaml"), (*text).into()))
        .collect();
    let env = |name: &str| match name {
        "API_KEY" => Some(KEY.to_owned()),
        "YOUR_LOCAL_IP" => Some(CLIENT.to_owned()),
        _ => None,
    };
    build(
        &sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
        },
        settings,
    )
}

fn compiled(texts: &[&str]) -> Compiled {
    let built = built(texts, &Settings::default());
    built.compiled.unwrap_or_else(|| panic!("{:?}", built.diagnostics))
}

fn codes(diagnostics: &Diagnostics, severity: Severity) -> Vec<&'static str> {
    diagnostics
        .as_slice()
        .iter()
        .filter(|it| it.severity == severity)
        .map(|it| it.code)
        .collect()
}

/// What came of one request, in words that a test can compare.
fn ask(compiled: &Compiled, peer: &str, host: &str, body: &str) -> String {
    let tables = compiled.snapshot.tables();
    let headers: &[(&str, &[u8])] = &[("host", host.as_bytes()), ("x-forwarded-for", CLIENT.as_bytes())];
    let peer: IpAddr = peer.parse().unwrap();
    let request = Request {
        method: "POST",
        authority: None,
        target: "/",
        headers: &headers,
        connection: Connection::plain(peer, 80),
    };
    let mut scan = BodyScan::new(1 << 20);
    let facts = scan.feed(body.as_bytes()).and_then(|()| scan.finish());
    let mut scratch = Scratch::new();
    match decide(tables, &request, Known::of_body(Body::Read(facts)), 0, &mut scratch) {
        Decision::Forward(forward) => {
            let Path::Fixed(path) = forward.path else {
                panic!("the provider's path is fixed")
            };
            let Destination::Provider(provider) = forward.to else {
                panic!("it goes to a provider")
            };
            let fields: Vec<&str> = provider.fields.iter().map(|field| tables.text(field.member)).collect();
            let key = provider
                .credential
                .and_then(|id| compiled.secrets.get(id))
                .map(|secret| secret.expose());
            assert_eq!(key, Some(KEY));
            format!(
                "{} {path} {} by {}",
                forward.authority,
                fields.join(","),
                tables.rule_label(forward.rule)
            )
        }
        Decision::Refuse(refusal) => format!("{} {}", refusal.status(), refusal.code()),
        other => panic!("the body was given, and nothing else is asked for or answers: {other:?}"),
    }
}

const CHAT: &str = r#"{"messages":[{"role":"user","content":"Tell me about yourself"}]}"#;
const FORWARDED: &str = r#"dashscope.aliyuncs.com /compatible-mode/v1/chat/completions "model":"qwen1.5-72b-chat","stream":false by default/dashscope-route/ingress-route"#;

#[test]
fn a1_the_seed_loads_without_a_warning() {
    let built = built(&[PROVIDER, GATEWAY, ROUTE], &Settings::default());
    assert_eq!(built.diagnostics.as_slice(), []);
    assert!(built.compiled.is_some());
}

#[test]
fn a2_a3_a4_both_hosts_reach_the_provider_rewritten() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), FORWARDED);
    assert_eq!(ask(&compiled, CLIENT, "dashscope.aliyuncs.com", CHAT), FORWARDED);
    let upstream = &compiled.snapshot.upstreams()[0];
    assert_eq!(&*upstream.endpoints[0].address, "dashscope.aliyuncs.com");
    assert_eq!(upstream.endpoints[0].port, 443);
    assert_eq!(&*upstream.tls.as_ref().unwrap().sni, "dashscope.aliyuncs.com");
}

#[test]
fn a5_any_other_host_is_404() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE]);
    for host in ["other.com", "xtest.com", "test.com.", "www.test.com"] {
        assert_eq!(ask(&compiled, CLIENT, host, CHAT), "404 route_not_found", "{host}");
    }
}

/// The seed's route with one of its two matches cut out.
fn route_without(host: &str) -> String {
    let lines: Vec<&str> = ROUTE.lines().collect();
    let exact = lines
        .iter()
        .position(|line| line.contains(&format!("exact: {host}")))
        .unwrap();
    let kept = lines
        .iter()
        .enumerate()
        .filter(|(index, _)| !(exact - 2..=exact).contains(index));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn a6_without_a_rule_for_the_provider_host_the_second_pass_is_404_and_warned_of() {
    let route = route_without("dashscope.aliyuncs.com");
    let built = built(&[PROVIDER, GATEWAY, &route], &Settings::default());
    assert_eq!(codes(&built.diagnostics, Severity::Warning), ["rewrite-without-route"]);
    let compiled = built.compiled.unwrap();
    assert_eq!(
        ask(&compiled, CLIENT, "test.com", CHAT),
        "404 route_not_found_after_rewrite"
    );
}

#[test]
fn a7_without_the_alias_only_the_provider_host_passes() {
    let compiled = compiled(&[PROVIDER, GATEWAY, &route_without("test.com")]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), "404 route_not_found");
    assert_eq!(ask(&compiled, CLIENT, "dashscope.aliyuncs.com", CHAT), FORWARDED);
}

#[test]
fn a8_the_second_rule_may_be_another_one_that_lists_the_provider() {
    let route = route_without("dashscope.aliyuncs.com")
        + "  - name: provider-route\n    matches:\n    - headers: {host: {exact: dashscope.aliyuncs.com}}\n    backendRefs:\n    - providerHost: dashscope.aliyuncs.com\n";
    let compiled = compiled(&[PROVIDER, GATEWAY, &route]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), FORWARDED);
}

#[test]
fn a10_what_the_client_says_of_model_and_stream_stays() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE]);
    let tables = compiled.snapshot.tables();
    let body = r#"{"model":"x","stream":true}"#;
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(body.as_bytes()).unwrap();
    let facts = scan.finish().unwrap();
    let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
    let peer: IpAddr = CLIENT.parse().unwrap();
    let request = Request {
        method: "POST",
        authority: None,
        target: "/",
        headers: &headers,
        connection: Connection::plain(peer, 80),
    };
    let mut scratch = Scratch::new();
    let Decision::Forward(forward) = decide(tables, &request, Known::of_body(Body::Read(Ok(facts))), 0, &mut scratch)
    else {
        panic!("forwarded")
    };
    let Destination::Provider(provider) = forward.to else {
        panic!("to a provider")
    };
    let splice = lockgate_core::rewrite::splice(tables, facts, provider.fields).unwrap();
    assert!(!splice.is_edited());
}

#[test]
fn a11_a_provider_that_does_not_select_this_gateway_is_refused_never_forwarded_without_key() {
    let provider = PROVIDER.replace("istio: ingressgateway", "app: sleep");
    let built = built(&[&provider, GATEWAY, ROUTE], &Settings::default());
    assert_eq!(codes(&built.diagnostics, Severity::Error), ["provider-not-visible"]);
    assert!(built.compiled.is_none());
}

#[test]
fn a12_a_gateway_that_does_not_select_this_proxy_opens_no_port() {
    let settings = Settings {
        labels: vec![("istio".into(), "egressgateway".into())],
        ..Settings::default()
    };
    let built = built(&[GATEWAY], &settings);
    assert!(built.compiled.unwrap().snapshot.listeners().is_empty());
}

#[test]
fn a13_bodies_that_are_no_object_are_400() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE]);
    for body in [
        "",
        "[]",
        "1",
        "{",
        "{} x",
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","mod\u0065l":"b"}"#,
    ] {
        let outcome = ask(&compiled, CLIENT, "test.com", body);
        assert!(outcome.starts_with("400 "), "{body}: {outcome}");
    }
}

#[test]
fn a13_a_method_without_a_body_is_405() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE]);
    let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
    let peer: IpAddr = CLIENT.parse().unwrap();
    let request = Request {
        method: "GET",
        authority: None,
        target: "/",
        headers: &headers,
        connection: Connection::plain(peer, 80),
    };
    let mut scratch = Scratch::new();
    let decision = decide(compiled.snapshot.tables(), &request, Known::NOTHING, 0, &mut scratch);
    let Decision::Refuse(refusal @ Refusal::MethodNotAllowed(_)) = decision else {
        panic!("{decision:?}")
    };
    assert_eq!(refusal.status(), 405);
}

#[test]
fn b1_b2_the_policy_denies_the_one_address_on_the_alias() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, POLICY]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), "403 rbac_access_denied");
    assert_eq!(ask(&compiled, "203.0.113.10", "test.com", CHAT), FORWARDED);
}

#[test]
fn b3_the_seeds_own_bypass_is_served_and_warned_of() {
    let built = built(&[PROVIDER, GATEWAY, ROUTE, POLICY], &Settings::default());
    let warnings = codes(&built.diagnostics, Severity::Warning);
    assert_eq!(warnings, ["deny-by-alias", "host-without-port"]);
    assert!(
        built.diagnostics.as_slice()[0]
            .message
            .contains("`dashscope.aliyuncs.com`")
    );
    let compiled = built.compiled.unwrap();
    assert_eq!(ask(&compiled, CLIENT, "dashscope.aliyuncs.com", CHAT), FORWARDED);
}

#[test]
fn b4_ip_blocks_look_at_the_peer_whatever_x_forwarded_for_says() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, POLICY]);
    // `ask` always sends `x-forwarded-for: CLIENT`.
    assert_eq!(ask(&compiled, "198.51.100.1", "test.com", CHAT), FORWARDED);
}

#[test]
fn b5_policy_hosts_ignore_case_but_not_the_port() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, POLICY]);
    assert_eq!(ask(&compiled, CLIENT, "TEST.COM", CHAT), "403 rbac_access_denied");
    assert_eq!(ask(&compiled, CLIENT, "test.com:80", CHAT), FORWARDED);
}

#[test]
fn b7_denied_wins_over_unknown_host() {
    let policy = POLICY.replace("- test.com", "- test.com\n              - other.com");
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, &policy]);
    assert_eq!(ask(&compiled, CLIENT, "other.com", CHAT), "403 rbac_access_denied");
}

#[test]
fn b8_without_a_match_an_allow_policy_denies() {
    let allow = POLICY.replace("DENY", "ALLOW").replace("auth-policy", "allow");
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, &allow]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), FORWARDED);
    assert_eq!(
        ask(&compiled, CLIENT, "dashscope.aliyuncs.com", CHAT),
        "403 rbac_access_denied"
    );
    let both = compiled_both(&allow);
    assert_eq!(ask(&both, CLIENT, "test.com", CHAT), "403 rbac_access_denied");
}

fn compiled_both(allow: &str) -> Compiled {
    compiled(&[PROVIDER, GATEWAY, ROUTE, POLICY, allow])
}

#[test]
fn b9_a_selector_that_does_not_fit_leaves_the_policy_out() {
    let policy = POLICY.replace("      istio: ingressgateway", "      istio: egressgateway");
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, &policy]);
    assert_eq!(ask(&compiled, CLIENT, "test.com", CHAT), FORWARDED);
}

#[test]
fn b10_what_is_not_understood_is_refused() {
    for (from, to, code) in [
        ("${YOUR_LOCAL_IP}", "10.0.0.0/99", "invalid-address-block"),
        ("ipBlocks", "ipBlock", "unknown-field"),
        ("  rules:", "  rules: []\n  x:", "unknown-field"),
    ] {
        let built = built(&[&POLICY.replace(from, to)], &Settings::default());
        assert!(built.compiled.is_none(), "{to}");
        assert!(
            codes(&built.diagnostics, Severity::Error).contains(&code),
            "{to}: {:?}",
            built.diagnostics
        );
    }
}

#[test]
fn the_denying_rule_is_named() {
    let compiled = compiled(&[PROVIDER, GATEWAY, ROUTE, POLICY]);
    let tables = compiled.snapshot.tables();
    let headers: &[(&str, &[u8])] = &[("host", b"test.com")];
    let request = Request {
        method: "POST",
        authority: None,
        target: "/",
        headers: &headers,
        connection: Connection::plain(CLIENT.parse().unwrap(), 80),
    };
    let mut scratch = Scratch::new();
    let Decision::Refuse(Refusal::Denied(Denial::Rule(policy, 0))) =
        decide(tables, &request, Known::NOTHING, 0, &mut scratch)
    else {
        panic!("denied by rule 0")
    };
    assert_eq!(tables.policy_label(policy), "istio-system/auth-policy");
}

#[test]
fn the_snapshot_id_names_the_meaning_not_the_files_or_the_key() {
    let id = |texts: &[&str]| compiled(texts).snapshot.id().to_owned();
    let first = id(&[PROVIDER, GATEWAY, ROUTE]);
    assert_eq!(first.len(), 16);
    assert_eq!(id(&["# a comment", PROVIDER, GATEWAY, ROUTE]), first);
    assert_ne!(id(&[&PROVIDER.replace("qwen1.5", "qwen2"), GATEWAY, ROUTE]), first);
    assert_ne!(id(&[PROVIDER, GATEWAY, ROUTE, POLICY]), first);
}

#[test]
fn no_debug_output_holds_the_key() {
    let built = built(&[PROVIDER, GATEWAY, ROUTE, POLICY], &Settings::default());
    assert!(!format!("{built:?}").contains(KEY));
    assert!(!serde_json::to_string(&built.documents).unwrap().contains(KEY));
}

#[test]
fn a_broken_provider_is_reported_once_not_again_by_those_who_refer_to_it() {
    let broken = PROVIDER.replace("host:", "hots:");
    let built = built(&[&broken, GATEWAY, ROUTE], &Settings::default());
    assert_eq!(codes(&built.diagnostics, Severity::Error), ["unknown-field"]);
}

#[test]
fn references_to_nothing_are_errors_with_the_nearest_name() {
    let route = ROUTE
        .replace("ingress-gw", "ingres-gw")
        .replace("providerHost: dashscope", "providerHost: dashcope");
    let built = built(&[PROVIDER, GATEWAY, &route], &Settings::default());
    let found: Vec<_> = built
        .diagnostics
        .as_slice()
        .iter()
        .map(|it| (it.code, it.help.as_deref()))
        .collect();
    assert_eq!(
        found,
        [
            ("unknown-gateway", Some("did you mean `istio-system/ingress-gw`?")),
            ("unknown-provider", Some("did you mean `dashscope.aliyuncs.com`?")),
        ]
    );
}
