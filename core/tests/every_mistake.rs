//! One mistake does not hide another.
#![cfg(feature = "yaml")]

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Severity, Source};

/// Codes and fields of the errors, sorted.
fn errors(text: &str) -> Vec<(&'static str, String)> {
    let sources = [Source::new("a.yaml".to_owned(), text.to_owned())];
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&sources, &options, &Settings::default());
    assert!(built.compiled.is_none());
    let errors = built.diagnostics.as_slice().iter();
    let errors = errors.filter(|finding| finding.severity == Severity::Error);
    let mut errors: Vec<_> = errors.map(|finding| (finding.code, finding.field.clone())).collect();
    errors.sort();
    errors
}

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}
";

#[test]
fn a_bad_time_hides_neither_expressions_nor_destinations_nor_gateways() {
    let text = format!(
        "{GATEWAY}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v, namespace: istio-system}}
spec:
  hosts: [v.example.com]
  gateways: [edge, missing]
  http:
  - match: [{{uri: {{regex: '('}}}}]
    timeout: soon
    route:
    - destination: {{host: nowhere.example.com}}
"
    );
    assert_eq!(
        errors(&text),
        [
            ("invalid-duration", "spec.http[0].timeout".to_owned()),
            ("invalid-regex", String::new()),
            (
                "unknown-destination",
                "spec.http[0].route[0].destination.host".to_owned()
            ),
            ("unknown-gateway", "spec.gateways".to_owned()),
        ]
    );
}

#[test]
fn an_unknown_gateway_hides_no_destination() {
    let route = |kind: &str, spec: &str| {
        let codes: Vec<&str> = errors(&format!(
            "{GATEWAY}---\napiVersion: {kind}\nmetadata: {{name: r}}\nspec: {spec}\n"
        ))
        .into_iter()
        .map(|(code, _)| code)
        .collect();
        assert_eq!(codes.len(), 2, "{codes:?}");
        assert!(codes.contains(&"unknown-gateway"), "{codes:?}");
    };
    route(
        "networking.istio.io/v1\nkind: VirtualService",
        "{hosts: [a.test], gateways: [other/edge], http: [{route: [{destination: {host: no.test}}]}]}",
    );
    route(
        "gateway.networking.k8s.io/v1\nkind: HTTPRoute",
        "{parentRefs: [{name: other}], rules: [{backendRefs: [{name: nowhere, port: 80}]}]}",
    );
}

#[test]
fn a_gateway_of_that_name_in_another_namespace_is_suggested() {
    let text = format!(
        "{GATEWAY}---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: v}}
spec: {{hosts: [a.test], gateways: [edge], http: [{{directResponse: {{status: 200}}}}]}}
"
    );
    let sources = [Source::new("a.yaml".to_owned(), text)];
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&sources, &options, &Settings::default());
    let help = built
        .diagnostics
        .as_slice()
        .iter()
        .find_map(|finding| finding.help.as_deref());
    assert!(
        help.is_some_and(|help| help.contains("`istio-system/edge`")),
        "{help:?}"
    );
}
