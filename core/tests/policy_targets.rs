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
                "partial-target: AuthorizationPolicy `istio-system/open` is not for the Gateway `istio-system/gw` of `{other}`, whose requests are judged here"
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
                "invalid-target: the `group` of the Gateway `gw` that {kind} `istio-system/p` names is missing or wrong"
            );
            assert!(found.contains(&wanted), "{found:#?}\n{text}");
        }
    }
}

/// Such a policy applied until the group counted, and is not left out without a word.
#[test]
fn a_reference_by_the_group_of_the_other_api_is_refused() {
    let settings = Settings::default();
    for (gateway, group) in [
        (istio("gw"), "gateway.networking.k8s.io"),
        (kube("istio-system/gw", "istio"), "networking.istio.io"),
    ] {
        for action in ["ALLOW", "DENY", "AUDIT"] {
            let spec = format!(
                "{{action: {action}, targetRefs: [{{group: {group}, kind: Gateway, name: gw}}], rules: [{{}}]}}"
            );
            let text = format!("{gateway}{}", policy("istio-system/p", &spec));
            assert_eq!(
                refusal(&text, &settings),
                "invalid-target: the `group` of the Gateway `gw` that AuthorizationPolicy `istio-system/p` names is missing or wrong"
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
    const NAMESPACE: &str = "a policy refers to its own namespace only: leave `namespace` out";
    for kind in ["AuthorizationPolicy", "RequestAuthentication"] {
        let group = format!("the `group` of the Gateway `gw` that {kind} `istio-system/p` names is missing or wrong");
        for (reference, message) in [
            (
                "{group: networking.istio.io, kind: Gateway, name: gw, namespace: other}",
                NAMESPACE,
            ),
            ("{kind: Service, name: gw, namespace: other}", NAMESPACE),
            ("{group: core, kind: Gateway, name: gw}", &*group),
            ("{group: '', kind: Gateway, name: gw}", &*group),
            (
                "{group: core, kind: Gateway, name: absent}",
                &*group.replace("`gw`", "`absent`"),
            ),
        ] {
            let text = resource(kind, "istio-system/p", &format!("{{targetRefs: [{reference}]}}"));
            assert_eq!(
                refusal(&format!("{}{text}", istio("gw")), &Settings::default()),
                format!("invalid-target: {message}"),
                "{text}"
            );
        }
    }
    let own = "{action: DENY, targetRef: {group: networking.istio.io, kind: Gateway, name: gw, namespace: istio-system}, rules: [{}]}";
    let text = format!("{}{}", istio("gw"), policy("istio-system/p", own));
    assert_eq!(outcome(&text, &Settings::default()), (Denied, Vec::new()));
}

fn process(namespace: &str, labels: &[(&str, &str)]) -> Settings {
    let labels = labels
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    Settings {
        namespace: namespace.to_owned(),
        labels: labels.collect(),
        ..Settings::default()
    }
}

const INGRESS: (&str, &str) = ("istio", "ingressgateway");
const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// What can be for the Gateway `infra/edge` alone: namespace and target of a policy.
fn targets_of_edge() -> [(&'static str, String); 5] {
    let named = format!("selector: {{matchLabels: {{{GATEWAY_NAME}: edge}}}}, ");
    [
        ("infra", String::new()),
        ("infra", "selector: {matchLabels: {istio: ingressgateway}}, ".to_owned()),
        ("infra", named.clone()),
        (
            "infra",
            "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}], ".to_owned(),
        ),
        ("istio-system", named),
    ]
}

/// What a policy may be, with the rest of its spec; the first two deny everything.
const KINDS: [(&str, &str, bool); 6] = [
    ("AuthorizationPolicy", "action: DENY, rules: [{}]", false),
    ("AuthorizationPolicy", "", false),
    ("AuthorizationPolicy", "action: DENY, rules: [{}]", true),
    ("AuthorizationPolicy", "action: AUDIT, rules: [{}]", false),
    (
        "AuthorizationPolicy",
        "action: CUSTOM, provider: {name: a}, rules: [{to: [{operation: {methods: [PUT]}}]}]",
        false,
    ),
    ("RequestAuthentication", "jwtRules: []", false),
];

const MESH: &str = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {extensionProviders: [{name: a, envoyExtAuthzHttp: {service: a.test, port: 8000}}]}
---
";

fn of_kind((kind, rest, dry_run): (&str, &str, bool), namespace: &str, target: &str) -> String {
    let text = resource(kind, &format!("{namespace}/p"), &format!("{{{target}{rest}}}"));
    match dry_run {
        true => text.replace("name: p,", "name: p, annotations: {istio.io/dry-run: 'true'},"),
        false => format!("{MESH}{text}"),
    }
}

/// In Istio all of them are enforced at `infra/edge`; left out here, that Gateway would stand open.
#[test]
fn a_policy_of_a_served_gateway_of_another_namespace_is_not_left_out() {
    let settings = Settings::default();
    for (namespace, target) in targets_of_edge() {
        for kind in KINDS {
            let text = format!("{}{}", kube("infra/edge", "istio"), of_kind(kind, namespace, &target));
            if namespace == "infra" {
                assert_eq!(
                    refusal(&text, &settings),
                    format!(
                        "partial-target: {} `infra/p` is of another namespace than this process, and for the Gateway `infra/edge` of `gateway.networking.k8s.io`, whose requests are judged here",
                        kind.0
                    )
                );
            }
            // Where all that is served is that Gateway, it applies.
            let own = process("infra", &[INGRESS]);
            let denies = matches!(kind, ("AuthorizationPolicy", "" | "action: DENY, rules: [{}]", false));
            let expected = if denies { Denied } else { Allowed };
            assert_eq!(outcome(&text, &own), (expected, Vec::new()), "{text}");
        }
    }
}

#[test]
fn a_policy_for_one_of_the_served_gateways_is_refused() {
    for (namespace, target) in targets_of_edge() {
        for kind in KINDS {
            for (other, named) in [
                (kube("apps/int", "istio"), "`apps/int` of `gateway.networking.k8s.io`"),
                (istio("gw"), "`istio-system/gw` of `networking.istio.io`"),
            ] {
                let text = format!(
                    "{}{other}{}",
                    kube("infra/edge", "istio"),
                    of_kind(kind, namespace, &target)
                );
                assert_eq!(
                    refusal(&text, &Settings::default()),
                    format!(
                        "partial-target: {} `{namespace}/p` is not for the Gateway {named}, whose requests are judged here",
                        kind.0
                    )
                );
            }
            // The other one is somebody else's.
            let text = format!(
                "{}{}{}",
                kube("infra/edge", "istio"),
                kube("apps/int", "istio"),
                of_kind(kind, namespace, &target)
            );
            let alone = process("infra", &[INGRESS, (GATEWAY_NAME, "edge")]);
            assert_eq!(outcome(&text, &alone).1, Vec::<String>::new(), "{text}");
            let without = process("apps", &[INGRESS, (GATEWAY_NAME, "int")]);
            assert_eq!(
                outcome(&text, &without),
                (Allowed, vec![NOT_APPLIED.to_owned()]),
                "{text}"
            );
        }
    }
}

/// An ALLOW of the process's namespace would open the Gateways of others.
#[test]
fn a_policy_of_the_process_is_for_no_gateway_of_another_namespace() {
    let open = |namespace: &str, spec: &str| {
        format!(
            "{}{}{}{}",
            kube("edge/pub", "istio"),
            kube("apps/int", "istio"),
            policy(
                "istio-system/base",
                "{rules: [{to: [{operation: {paths: [/public]}}]}]}"
            ),
            policy(&format!("{namespace}/open"), spec)
        )
    };
    let edge = process("edge", &[INGRESS]);
    for target in ["", "selector: {matchLabels: {istio: ingressgateway}}, "] {
        for action in ["ALLOW", "DENY", "AUDIT"] {
            let spec = format!("{{{target}action: {action}, rules: [{{}}]}}");
            assert_eq!(
                refusal(&open("edge", &spec), &edge),
                "partial-target: AuthorizationPolicy `edge/open` is not for the Gateway `apps/int` of `gateway.networking.k8s.io`, whose requests are judged here"
            );
            // Also where none of its own namespace is served.
            let text = format!("{}{}", kube("apps/int", "istio"), policy("edge/open", &spec));
            assert!(refusal(&text, &edge).contains("is not for the Gateway `apps/int`"));
        }
    }
    // The root namespace's are for all, and those of other workloads for none.
    assert_eq!(
        outcome(&open("istio-system", "{rules: [{}]}"), &edge),
        (Allowed, Vec::new())
    );
    let other = "{selector: {matchLabels: {app: shop}}, rules: [{}]}";
    for namespace in ["edge", "apps", "istio-system"] {
        let text = open(namespace, other);
        assert_eq!(outcome(&text, &edge), (Denied, vec![NOT_APPLIED.to_owned()]), "{text}");
    }
}
