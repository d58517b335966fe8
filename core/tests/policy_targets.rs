//! What policies are for: the Gateways that `targetRefs` name, and those of other namespaces than the process's.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod support;

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use support::Outcome::{self, Allowed, Denied};
use support::{GET, compiled};

/// A Gateway of Istio that this gateway serves, on port 80.
fn istio(name: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: istio-system}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]}}\n---\n"
    )
}

/// A Gateway of Gateway API, `namespace/name`; of the class `other` it is somebody else's.
fn kube(name: &str, class: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {{gatewayClassName: {class}, listeners: [{{name: web, port: 80, protocol: HTTP}}]}}\n---\n"
    )
}

/// A policy or RequestAuthentication, `namespace/name`.
fn resource(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn policy(name: &str, spec: &str) -> String {
    resource("AuthorizationPolicy", name, spec)
}

/// `code: message` of each finding of a configuration, and whether it loads.
fn findings(text: &str, settings: &Settings) -> (bool, Vec<String>) {
    let source = Source::new("policies.yaml".to_owned(), text.to_owned());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, settings);
    let found = built.diagnostics.as_slice().iter();
    let found = found.map(|finding| format!("{}: {}", finding.code, finding.message));
    (built.compiled.is_some(), found.collect())
}

/// What a configuration that loads without an error decides, and the codes of what it is warned of.
fn outcome(text: &str, settings: &Settings) -> (Outcome, Vec<String>) {
    let (_, found) = findings(text, settings);
    let codes = found
        .iter()
        .map(|finding| finding.split(':').next().unwrap().to_owned());
    (GET.to(&compiled(text, settings)), codes.collect())
}

/// The one error of a configuration that does not load.
fn refusal(text: &str, settings: &Settings) -> String {
    let (loads, mut found) = findings(text, settings);
    assert!(!loads && found.len() == 1, "{found:#?}\n{text}");
    found.remove(0)
}

const NOT_APPLIED: &str = "policy-without-effect";

/// Istio compares group and kind: a policy for a Gateway of Gateway API is none for Istio's Gateway of the same name.
#[test]
fn a_policy_for_a_gateway_of_one_api_is_for_no_namesake_of_the_other() {
    let of = |group: &str, class: &str| {
        let spec = format!("{{targetRefs: [{{group: {group}, kind: Gateway, name: gw}}], rules: [{{}}]}}");
        let base = policy(
            "istio-system/login",
            "{rules: [{to: [{operation: {paths: [/public]}}]}]}",
        );
        let open = policy("istio-system/open", &spec);
        format!("{}{}{base}{open}", istio("gw"), kube("istio-system/gw", class))
    };
    let settings = Settings::default();
    let (outcome, warned) = outcome(&of("gateway.networking.k8s.io", "other"), &settings);
    assert_eq!((outcome, warned), (Denied, vec![NOT_APPLIED.to_owned()]));
    let groups = ["gateway.networking.k8s.io", "networking.istio.io"];
    for (group, other) in [(groups[0], groups[1]), (groups[1], groups[0])] {
        assert_eq!(
            refusal(&of(group, "istio"), &settings),
            format!(
                "partial-target: AuthorizationPolicy `istio-system/open` does not name the Gateway `istio-system/gw` of `{other}`, whose requests are judged here too"
            )
        );
    }
    let (_, found) = findings(&of("networking.istio.io", "other"), &settings);
    assert_eq!(found, [""; 0]);
}

#[test]
fn both_namesakes_can_be_named() {
    let spec = "{action: DENY, targetRefs: [{group: networking.istio.io, kind: Gateway, name: gw}, {group: gateway.networking.k8s.io, kind: Gateway, name: gw}], rules: [{}]}";
    let text = format!(
        "{}{}{}",
        istio("gw"),
        kube("istio-system/gw", "istio"),
        policy("istio-system/both", spec)
    );
    assert_eq!(outcome(&text, &Settings::default()), (Denied, Vec::new()));
}

#[test]
fn a_reference_without_group_means_the_one_gateway_of_its_name() {
    let settings = Settings::default();
    let refers = |kind: &str| {
        let spec = match kind {
            "AuthorizationPolicy" => "{action: DENY, targetRef: {kind: Gateway, name: gw}, rules: [{}]}",
            _ => "{targetRef: {kind: Gateway, name: gw}, jwtRules: []}",
        };
        resource(kind, "istio-system/p", spec)
    };
    for gateway in [istio("gw"), kube("istio-system/gw", "istio")] {
        let text = format!(
            "{gateway}{}{}",
            kube("infra/gw", "other"),
            refers("AuthorizationPolicy")
        );
        assert_eq!(outcome(&text, &settings), (Denied, Vec::new()), "{text}");
    }
    for kind in ["AuthorizationPolicy", "RequestAuthentication"] {
        for class in ["istio", "other"] {
            let text = format!("{}{}{}", istio("gw"), kube("istio-system/gw", class), refers(kind));
            let (_, found) = findings(&text, &settings);
            let wanted = format!(
                "invalid-target: the Gateway `gw` that {kind} `istio-system/p` names may be Istio's or Gateway API's"
            );
            assert!(found.contains(&wanted), "{found:#?}\n{text}");
        }
    }
}

/// Such a policy applied until the group counted, and is not left out without a word.
#[test]
fn a_reference_by_the_group_of_the_other_api_is_refused() {
    let settings = Settings::default();
    for (gateway, written, right) in [
        (istio("gw"), "gateway.networking.k8s.io", "networking.istio.io"),
        (
            kube("istio-system/gw", "istio"),
            "networking.istio.io",
            "gateway.networking.k8s.io",
        ),
    ] {
        for action in ["ALLOW", "DENY", "AUDIT"] {
            let spec = format!(
                "{{action: {action}, targetRefs: [{{group: {written}, kind: Gateway, name: gw}}], rules: [{{}}]}}"
            );
            let text = format!("{gateway}{}", policy("istio-system/p", &spec));
            assert_eq!(
                refusal(&text, &settings),
                format!(
                    "invalid-target: the Gateway `gw` that AuthorizationPolicy `istio-system/p` names is of the group `{right}`"
                )
            );
        }
    }
    // One that is not served here may be anything.
    let spec = "{action: DENY, targetRefs: [{group: networking.istio.io, kind: Gateway, name: gw}], rules: [{}]}";
    let text = format!(
        "{}{}{}",
        istio("other"),
        kube("istio-system/gw", "other"),
        policy("istio-system/p", spec)
    );
    assert_eq!(outcome(&text, &settings), (Allowed, vec![NOT_APPLIED.to_owned()]));
}

#[test]
fn other_namespaces_and_groups_of_no_gateway_are_refused() {
    for (reference, message) in [
        (
            "{group: networking.istio.io, kind: Gateway, name: gw, namespace: other}",
            "invalid-target: a policy refers to its own namespace and no other",
        ),
        (
            "{kind: Service, name: gw, namespace: other}",
            "invalid-target: a policy refers to its own namespace and no other",
        ),
        (
            "{group: core, kind: Gateway, name: gw}",
            "invalid-target: no Gateway is of this `group`",
        ),
        (
            "{group: '', kind: Gateway, name: gw}",
            "invalid-target: no Gateway is of this `group`",
        ),
    ] {
        for kind in ["AuthorizationPolicy", "RequestAuthentication"] {
            let text = resource(kind, "istio-system/p", &format!("{{targetRefs: [{reference}]}}"));
            assert_eq!(
                refusal(&format!("{}{text}", istio("gw")), &Settings::default()),
                message,
                "{text}"
            );
        }
    }
    let own = "{action: DENY, targetRef: {group: networking.istio.io, kind: Gateway, name: gw, namespace: istio-system}, rules: [{}]}";
    let text = format!("{}{}", istio("gw"), policy("istio-system/p", own));
    assert_eq!(outcome(&text, &Settings::default()), (Denied, Vec::new()));
}
