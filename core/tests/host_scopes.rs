//! Whose word counts about a host: across namespaces ServiceEntries and DestinationRules are shared as in Istio, and a
//! provider's key goes where its own namespaces say.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::Verdict;
use lockgate_core::snapshot::Upstream;
use support::{GET, compiled};

const PROVIDER: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: p, namespace: istio-system}
spec: {host: p.llm, configs: {defaultConfig: {openAIConfig: {apiKey: '${KEY}'}}}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: r, namespace: istio-system}
spec: {host: '*', gateways: [gw], rules: [{backendRefs: [{providerHost: p.llm}]}]}
---
";

fn service(host: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [gw], http: [{{route: [{{destination: {{host: {host}}}}}]}}]}}
---
"
    )
}

fn entry(name: &str, host: &str, address: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{hosts: ['{host}'], ports: [{{number: 443, name: https}}], resolution: STATIC, endpoints: [{{address: {address}}}]}}
---
"
    )
}

fn rule(name: &str, host: &str, mode: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}, namespace: {namespace}}}
spec: {{host: '{host}', trafficPolicy: {{tls: {{mode: {mode}}}}}}}
---
"
    )
}

/// The upstreams, and the codes with what they are about.
fn built_in(namespace: &str, text: &str) -> (Option<Vec<Upstream>>, Vec<(String, String)>) {
    let source = Source::new("test.yaml".to_owned(), text.to_owned());
    let options = LoadOptions {
        env: &|_| Some("key".to_owned()),
        ignore_kinds: &[],
    };
    let settings = Settings {
        namespace: namespace.to_owned(),
        ..Settings::default()
    };
    let built = lockgate_core::build(core::slice::from_ref(&source), &options, &settings);
    let found = built.diagnostics.as_slice().iter();
    let found = found.map(|finding| (finding.code.to_string(), finding.message.clone()));
    let upstreams = built.compiled.map(|it| it.snapshot.upstreams().to_vec());
    (upstreams, found.collect())
}

/// The first upstream's address, whether TLS is spoken to it, and the codes of what is said.
fn built(text: &str) -> (String, bool, Vec<String>) {
    let (upstreams, found) = built_in("istio-system", text);
    let upstreams = upstreams.ok_or(&found).unwrap();
    let upstream = upstreams.first().unwrap();
    let address = upstream.endpoints.first().unwrap().address.to_string();
    (
        address,
        upstream.tls.is_some(),
        found.into_iter().map(|(code, _)| code).collect(),
    )
}

#[test]
fn a_stranger_says_nothing_of_a_provider() {
    let entry = entry("team-b/x", "p.llm", "6.6.6.6");
    for host in ["p.llm", "'*.llm'", "'*'"] {
        let rule = rule("team-b/x", host.trim_matches('\''), "DISABLE");
        let (address, is_tls, found) = built(&format!("{PROVIDER}{rule}"));
        assert_eq!((address.as_str(), is_tls), ("p.llm", true), "{host}");
        assert_eq!(found, ["unused-destination-rule"], "{host}");
        let (address, is_tls, found) = built(&format!("{PROVIDER}{entry}{rule}"));
        assert_eq!((address.as_str(), is_tls), ("p.llm", true), "{host}");
        assert!(found.contains(&"unused-service-entry".to_owned()), "{host}: {found:?}");
    }
    let own = rule("istio-system/own", "*.llm", "SIMPLE");
    let strange = rule("team-b/x", "p.llm", "DISABLE");
    assert!(built(&format!("{PROVIDER}{own}{strange}")).1);
}

#[test]
fn a_key_in_plain_text_is_warned_about_where_it_leaves_the_machine() {
    let rule = rule("istio-system/x", "p.llm", "DISABLE");
    for (address, warned) in [("10.0.0.1", true), ("127.0.0.1", false), ("'::1'", false)] {
        let entry = entry("istio-system/x", "p.llm", address);
        let (_, is_tls, found) = built(&format!("{PROVIDER}{entry}{rule}"));
        assert!(!is_tls);
        assert_eq!(found, ["key-in-plain-text"][..usize::from(warned)], "{address}");
    }
    assert_eq!(built(&format!("{PROVIDER}{rule}")).2, ["key-in-plain-text"]);
}

#[test]
fn rules_are_read_where_the_gateway_the_host_and_the_root_are() {
    let entry = entry("team-a/x", "a.test", "10.0.0.1");
    let text = |rules: &[(&str, &str, &str)]| {
        let rules: String = rules.iter().map(|(name, host, mode)| rule(name, host, mode)).collect();
        format!("{}{entry}{rules}", service("a.test"))
    };
    for (namespace, rules, is_tls) in [
        ("istio-system", &[("team-a/x", "a.test", "SIMPLE")][..], true),
        ("istio-system", &[("team-b/x", "a.test", "SIMPLE")], false),
        ("istio-system", &[("istio-system/x", "a.test", "SIMPLE")], true),
        // What the root says of all is not meant for what has its own.
        (
            "istio-system",
            &[
                ("istio-system/x", "*.test", "DISABLE"),
                ("team-a/x", "a.test", "SIMPLE"),
            ],
            true,
        ),
        (
            "edge",
            &[("edge/x", "*", "SIMPLE"), ("team-a/x", "a.test", "DISABLE")],
            true,
        ),
        (
            "edge",
            &[("istio-system/x", "a.test", "DISABLE"), ("team-a/x", "*", "SIMPLE")],
            true,
        ),
        ("edge", &[("istio-system/x", "a.test", "SIMPLE")], true),
    ] {
        let text = text(rules).replace(
            "kind: Gateway\nmetadata: {name: gw, namespace: istio-system}",
            &format!("kind: Gateway\nmetadata: {{name: gw, namespace: {namespace}}}"),
        );
        let text = text.replace("gateways: [gw]", &format!("gateways: [{namespace}/gw]"));
        let (upstreams, found) = built_in(namespace, &text);
        let upstreams = upstreams.ok_or(&found).unwrap();
        assert_eq!(
            upstreams.first().unwrap().tls.is_some(),
            is_tls,
            "{namespace} {rules:?}"
        );
    }
}

#[test]
fn a_short_host_of_a_rule_is_a_service_of_its_namespace() {
    let full = "reviews.istio-system.svc.cluster.local";
    let entry = entry("istio-system/x", full, "10.0.0.1");
    for (namespace, is_tls) in [("istio-system", true), ("team-a", false)] {
        let rule = rule(&format!("{namespace}/x"), "reviews", "SIMPLE");
        let (_, tls, found) = built(&format!("{}{entry}{rule}", service("reviews")));
        assert_eq!(tls, is_tls, "{namespace}");
        assert_eq!(found.is_empty(), is_tls, "{namespace}: {found:?}");
    }
}

#[test]
fn a_rule_of_no_host_is_warned_about() {
    let entries =
        entry("istio-system/x", "a.test", "10.0.0.1") + &entry("istio-system/wide", "*.wide.test", "10.0.0.1");
    for (host, warned) in [
        ("a.test", false),
        ("A.Test", false),
        ("*.test", false),
        ("*", false),
        ("b.wide.test", false),
        ("*.wide.test", false),
        ("b.test", true),
        ("*.a.test", true),
        ("a", true),
    ] {
        let rule = rule("istio-system/x", host, "SIMPLE");
        let (_, found) = built_in("istio-system", &format!("{}{entries}{rule}", service("a.test")));
        let said = found.iter().any(|(code, _)| code == "unused-destination-rule");
        assert_eq!(said, warned, "{host}: {found:?}");
    }
}

#[test]
fn two_rules_of_one_host_are_refused_in_one_namespace_only() {
    let a = entry("istio-system/x", "a.test", "10.0.0.1");
    for (one, other, loads) in [
        (("istio-system/a", "a.test"), ("istio-system/b", "A.test"), false),
        (("istio-system/a", "a.test"), ("team/b", "a.test"), true),
        (("team/a", "a"), ("team/b", "a.team.svc.cluster.local"), false),
    ] {
        let rules = rule(one.0, one.1, "SIMPLE") + &rule(other.0, other.1, "DISABLE");
        let (upstreams, found) = built_in("istio-system", &format!("{}{a}{rules}", service("a.test")));
        assert_eq!(upstreams.is_some(), loads, "{one:?} {other:?}: {found:?}");
        assert!(
            upstreams.is_none_or(|all| all.first().unwrap().tls.is_some()),
            "{one:?}"
        );
    }
}

#[test]
fn of_several_entries_of_a_host_the_nearest_then_the_oldest_locates_it() {
    let old = |entry: String, second: u32| {
        entry.replace(
            "}\nspec",
            &format!(", creationTimestamp: '2026-01-01T00:00:0{second}Z'}}\nspec"),
        )
    };
    let at = |name: &str, address: &str| entry(name, "a.test", address);
    for (entries, address) in [
        (at("team/x", "10.0.0.1") + &at("istio-system/x", "10.0.0.2"), "10.0.0.2"),
        (at("b/x", "10.0.0.1") + &at("a/x", "10.0.0.2"), "10.0.0.1"),
        (
            old(at("b/x", "10.0.0.1"), 2) + &old(at("c/x", "10.0.0.2"), 1),
            "10.0.0.2",
        ),
        (
            old(at("b/x", "10.0.0.1"), 1) + &old(at("a/x", "10.0.0.2"), 1),
            "10.0.0.2",
        ),
        (at("b/x", "10.0.0.1") + &old(at("c/x", "10.0.0.2"), 1), "10.0.0.2"),
    ] {
        let (found_at, _, found) = built(&format!("{}{entries}", service("a.test")));
        assert_eq!(found_at, address, "{entries}");
        assert_eq!(found, ["unused-service-entry"], "{entries}");
    }
}

#[test]
fn an_ipv6_address_is_explained_in_brackets() {
    let text = service("a.test") + &entry("istio-system/x", "a.test", "'::1'");
    let Verdict::Forward(sent) = GET.explained_by(&compiled(&text, &Settings::default())).verdict else {
        panic!("not forwarded");
    };
    assert_eq!(sent.connect, ["http://[::1]:443"]);
}
