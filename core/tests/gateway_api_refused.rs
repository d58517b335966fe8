//! What of Gateway API refuses to load: the CRD's own rules, what is not supported yet, and references that lead nowhere.
//! In a cluster such a resource is not accepted or its requests are answered 500 (`HTTPRouteInvalid…` of the suite).

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Severity, Source};

const BASE: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: backends, namespace: infra}
spec: {hosts: [v1.infra.svc.cluster.local, web.apps.svc.cluster.local], resolution: DNS, ports: [{number: 8080, name: http}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}
---
";

/// Code, field and the text pointed at, of each finding of this severity.
fn found(severity: Severity, text: &str) -> Vec<String> {
    let source = Source::new("test.yaml".to_owned(), text.to_owned());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let findings = built.diagnostics.as_slice().iter();
    let found = findings.filter(|finding| finding.severity == severity).map(|finding| {
        let at = usize::try_from(finding.at.start).unwrap()..usize::try_from(finding.at.end).unwrap();
        format!("{} {} `{}`", finding.code, finding.field, text.get(at).unwrap())
    });
    found.collect()
}

fn document(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: infra}}\nspec: {spec}\n---\n"
    )
}

/// `spec` of an HTTPRoute is refused with exactly this.
#[track_caller]
fn refused(spec: &str, expected: &str) {
    let text = format!("{BASE}{}", document("HTTPRoute", "route", spec));
    assert_eq!(found(Severity::Error, &text), [expected], "{spec}");
}

/// A rule is.
#[track_caller]
fn rule(rule: &str, expected: &str) {
    refused(&format!("{{parentRefs: [{{name: gw}}], rules: [{rule}]}}"), expected);
}

#[test]
fn the_base_is_fine() {
    let route = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: v1, port: 8080}]}]}";
    let text = format!("{BASE}{}", document("HTTPRoute", "route", route));
    assert_eq!(found(Severity::Error, &text), Vec::<String>::new());
    assert_eq!(found(Severity::Warning, &text), Vec::<String>::new());
}

#[test]
fn paths_that_no_request_has() {
    for path in [
        "a", "//a", "/a//b", "/a/./b", "/a/../b", "/a/..", "/a/.", "/a%2fb", "/a%2Fb", "/a#b", "/a?b", "/a b", "/%g1",
    ] {
        for form in ["Exact", "PathPrefix"] {
            rule(
                &format!("{{matches: [{{path: {{type: {form}, value: '{path}'}}}}]}}"),
                &format!("invalid-path spec.rules[0].matches[0].path.value `'{path}'`"),
            );
        }
    }
    rule(
        "{matches: [{path: {type: RegularExpression, value: '/a['}}]}",
        "invalid-regex  `'/a['`",
    );
}

#[test]
fn matches() {
    rule(
        "{matches: [{headers: [{name: x-a, value: '1'}, {name: X-A, value: '2'}]}]}",
        "duplicate-name spec.rules[0].matches[0].headers[1].name `X-A`",
    );
    rule(
        "{matches: [{queryParams: [{name: x, value: '1'}, {name: x, value: '2'}]}]}",
        "duplicate-name spec.rules[0].matches[0].queryParams[1].name `x`",
    );
    rule(
        "{matches: [{headers: [{name: 'a b', value: '1'}]}]}",
        "invalid-header spec.rules[0].matches[0].headers[0].name `'a b'`",
    );
    rule(
        "{matches: [{method: get}]}",
        "unknown-value spec.rules[0].matches[0].method `get`",
    );
    rule(
        "{matches: [{header: []}]}",
        "unknown-field spec.rules[0].matches[0].header `header`",
    );
}

#[test]
fn filters() {
    let modifier = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}}";
    rule(
        &format!("{{filters: [{modifier}, {modifier}]}}"),
        "conflicting-fields spec.rules[0].filters[1] `RequestHeaderModifier`",
    );
    rule(
        "{filters: [{type: RequestRedirect, requestRedirect: {port: 81}}, {type: URLRewrite, urlRewrite: {hostname: a.test}}]}",
        "conflicting-fields spec.rules[0].filters[1] `URLRewrite`",
    );
    rule(
        "{filters: [{type: RequestRedirect, requestRedirect: {port: 81}}], backendRefs: [{name: v1, port: 8080}]}",
        "conflicting-fields spec.rules[0].backendRefs `backendRefs`",
    );
    rule(
        "{backendRefs: [{name: v1, port: 8080, filters: [{type: RequestRedirect, requestRedirect: {port: 81}}]}]}",
        "conflicting-fields spec.rules[0].backendRefs[0].filters[0] `RequestRedirect`",
    );
    rule(
        "{filters: [{type: URLRewrite, requestRedirect: {port: 81}, urlRewrite: {hostname: a.test}}]}",
        "conflicting-fields spec.rules[0].filters[0] `requestRedirect`",
    );
    rule(
        "{filters: [{type: URLRewrite}]}",
        "missing-field spec.rules[0].filters[0].urlRewrite `type`",
    );
    rule(
        "{filters: [{type: RequestRedirect, requestRedirect: {statusCode: 304}}]}",
        "unknown-value spec.rules[0].filters[0].requestRedirect.statusCode `304`",
    );
    for name in ["Host", "connection", "content-length"] {
        rule(
            &format!(
                "{{filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: {name}, value: a}}]}}}}]}}"
            ),
            &format!("reserved-header spec.rules[0].filters[0].requestHeaderModifier.set[0].name `{name}`"),
        );
    }
    rule(
        "{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {add: [{name: a, value: '1'}, {name: A, value: '2'}]}}]}",
        "duplicate-name spec.rules[0].filters[0].responseHeaderModifier.add[1].name `A`",
    );
}

#[test]
fn a_prefix_is_replaced_where_there_is_one() {
    let rewrite = "{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}";
    for matches in [
        "[{path: {type: Exact, value: /a}}]",
        "[{path: {type: RegularExpression, value: /a}}]",
        "[{path: {value: /a}}, {path: {value: /b}}]",
    ] {
        rule(
            &format!("{{matches: {matches}, filters: [{rewrite}]}}"),
            "conflicting-fields spec.rules[0].filters[0].urlRewrite.path `ReplacePrefixMatch`",
        );
    }
    for (modifier, expected) in [
        ("{type: ReplacePrefixMatch, replaceFullPath: /b}", "missing-field"),
        (
            "{type: ReplaceFullPath, replaceFullPath: /b, replacePrefixMatch: /c}",
            "conflicting-fields",
        ),
    ] {
        let form = modifier.split(['{', ',']).nth(1).unwrap().replace("type: ", "");
        rule(
            &format!("{{filters: [{{type: RequestRedirect, requestRedirect: {{path: {modifier}}}}}]}}"),
            &format!("{expected} spec.rules[0].filters[0].requestRedirect.path `{form}`"),
        );
    }
    rule(
        "{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: b}}}]}",
        "invalid-path spec.rules[0].filters[0].urlRewrite.path.replaceFullPath `b`",
    );
    rule(
        "{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: '/b?c'}}}]}",
        "invalid-path spec.rules[0].filters[0].urlRewrite.path.replaceFullPath `'/b?c'`",
    );
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    rule(
        "{retry: {attempts: 3}}",
        "unsupported-field spec.rules[0].retry `retry`",
    );
    rule(
        "{sessionPersistence: {}}",
        "unsupported-field spec.rules[0].sessionPersistence `sessionPersistence`",
    );
    for form in ["CORS", "ExtensionRef", "ExternalAuth"] {
        rule(
            &format!("{{filters: [{{type: {form}}}]}}"),
            &format!("unsupported-value spec.rules[0].filters[0].type `{form}`"),
        );
    }
    let text = format!("{BASE}{}", document("GRPCRoute", "route", "{}"));
    assert_eq!(found(Severity::Error, &text), ["unsupported-kind kind `GRPCRoute`"]);
}

#[test]
fn mirrors() {
    let mirror = |mirror: &str, expected: &str| {
        rule(
            &format!(
                "{{backendRefs: [{{name: v1, port: 8080}}], filters: [{{type: RequestMirror, requestMirror: {mirror}}}]}}"
            ),
            expected,
        );
    };
    mirror(
        "{backendRef: {name: v1, port: 8080}, percent: 1, fraction: {numerator: 1}}",
        "conflicting-fields spec.rules[0].filters[0].requestMirror `fraction`",
    );
    mirror(
        "{backendRef: {name: v1, port: 8080}, fraction: {numerator: 101}}",
        "out-of-range spec.rules[0].filters[0].requestMirror.fraction `{numerator: 101}`",
    );
    mirror(
        "{backendRef: {name: v1, port: 8080}, fraction: {numerator: 0, denominator: 0}}",
        "out-of-range spec.rules[0].filters[0].requestMirror.fraction.denominator `0`",
    );
    mirror(
        "{backendRef: {name: v1, port: 8080}, percent: 101}",
        "out-of-range spec.rules[0].filters[0].requestMirror.percent `101`",
    );
    mirror(
        "{backendRef: {name: v1, port: 8080, weight: 1}}",
        "unknown-field spec.rules[0].filters[0].requestMirror.backendRef.weight `weight`",
    );
    mirror(
        "{percent: 1}",
        "missing-field spec.rules[0].filters[0].requestMirror.backendRef `requestMirror`",
    );
    // One that never goes has to be there, too.
    mirror(
        "{backendRef: {name: nonexistent, port: 8080}, percent: 0}",
        "unknown-destination spec.rules[0].filters[0].requestMirror.backendRef.name `nonexistent`",
    );
    mirror(
        "{backendRef: {name: v1}}",
        "missing-port spec.rules[0].filters[0].requestMirror.backendRef.port `v1`",
    );
    mirror(
        "{backendRef: {name: web, namespace: apps, port: 8080}}",
        "reference-not-granted spec.rules[0].filters[0].requestMirror.backendRef.namespace `web`",
    );
    let one = "{type: RequestMirror, requestMirror: {backendRef: {name: v1, port: 8080}}}";
    rule(
        &format!("{{backendRefs: [{{name: v1, port: 8080, filters: [{one}]}}]}}"),
        "conflicting-fields spec.rules[0].backendRefs[0].filters[0] `RequestMirror`",
    );
    rule(
        &format!(
            "{{backendRefs: [{{name: v1, port: 8080}}], filters: [{}]}}",
            [one; 9].join(", ")
        ),
        "out-of-range spec.rules[0].filters[8] `RequestMirror`",
    );
}

#[test]
fn what_changes_nothing_beside_a_redirect_is_warned_about() {
    let route = "{parentRefs: [{name: gw}], rules: [{timeouts: {request: 1s}, filters: [{type: RequestRedirect, requestRedirect: {port: 81}}, {type: RequestMirror, requestMirror: {backendRef: {name: v1, port: 8080}}}]}]}";
    let text = format!("{BASE}{}", document("HTTPRoute", "route", route));
    assert_eq!(found(Severity::Error, &text), Vec::<String>::new());
    assert_eq!(
        found(Severity::Warning, &text),
        [
            "no-effect spec.rules[0].timeouts `timeouts`",
            "no-effect spec.rules[0].filters[1].requestMirror.backendRef `{name: v1, port: 8080}`",
        ]
    );
}

/// The format of GEP-2257, and the CRD's rule over both.
#[test]
fn timeouts() {
    for text in [
        "'10'",
        "1.5s",
        "-1s",
        "100000s",
        "1us",
        "1d",
        "1h1m1s1ms1h",
        "s",
        "1sm",
        "5 s",
        "99999h",
    ] {
        rule(
            &format!("{{timeouts: {{request: {text}}}}}"),
            &format!("invalid-duration spec.rules[0].timeouts.request `{text}`"),
        );
    }
    rule(
        "{timeouts: {request: 1s, backendRequest: 1001ms}}",
        "out-of-range spec.rules[0].timeouts.backendRequest `1001ms`",
    );
    rule(
        "{timeouts: {idle: 1s}}",
        "unknown-field spec.rules[0].timeouts.idle `idle`",
    );
}

/// A grant for Secrets is one for Gateways: `GatewaySecretReferenceGrantSpecific`, `GatewaySecretMissingReferenceGrant`.
#[test]
fn secrets_of_other_namespaces() {
    let gateway = document(
        "Gateway",
        "secure",
        "{gatewayClassName: istio, listeners: [{name: a, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: a, namespace: apps}]}}]}",
    );
    let granted = |from: &str, to: &str| {
        let grant = format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: grant, namespace: apps}}\nspec: {{from: [{from}], to: [{to}]}}\n---\n"
        );
        found(Severity::Error, &(grant + &gateway)).is_empty()
    };
    let from = "{group: gateway.networking.k8s.io, kind: Gateway, namespace: infra}";
    assert!(granted(from, "{group: '', kind: Secret}"));
    assert!(granted(from, "{group: '', kind: Secret, name: a}"));
    assert!(!granted(from, "{group: '', kind: Secret, name: b}"));
    assert!(!granted(from, "{group: '', kind: Service}"));
    assert!(!granted(
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}",
        "{group: '', kind: Secret}"
    ));
}

/// What cannot be there together with an older one, or with Istio's, is left out.
#[test]
fn listeners_in_each_others_way_are_warned_about() {
    let warned = |name: &str, listener: &str| {
        let https = "{name: a, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: a}]}}";
        let first = document(
            "Gateway",
            "first",
            &format!("{{gatewayClassName: istio, listeners: [{https}]}}"),
        );
        let second = document(
            "Gateway",
            name,
            &format!("{{gatewayClassName: istio, listeners: [{listener}]}}"),
        );
        let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: infra}\nstringData: {tls.crt: a, tls.key: b}\n---\n";
        let istio = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: istio, namespace: infra}\nspec: {servers: [{port: {number: 8443, name: s, protocol: HTTPS}, hosts: [i.test], tls: {mode: SIMPLE, serverCertificate: a, privateKey: b}}]}\n---\n";
        let text = format!("{secret}{first}{second}{istio}");
        assert_eq!(found(Severity::Error, &text), Vec::<String>::new());
        found(Severity::Warning, &text)
    };
    let tls = "protocol: HTTPS, tls: {certificateRefs: [{name: a}]}";
    assert_eq!(
        warned("same-name", &format!("{{name: b, port: 443, hostname: a.test, {tls}}}")),
        ["duplicate-server-name spec.listeners[0].hostname `a.test`"]
    );
    assert_eq!(
        warned("plain", "{name: b, port: 443, hostname: b.test, protocol: HTTP}"),
        ["port-conflict spec.listeners[0].protocol `443`"]
    );
    assert_eq!(
        warned("istios", &format!("{{name: b, port: 8443, hostname: i.test, {tls}}}")),
        ["duplicate-server-name spec.listeners[0].hostname `i.test`"]
    );
    for beside in [
        format!("{{name: b, port: 443, hostname: '*.test', {tls}}}"),
        format!("{{name: b, port: 8443, {tls}}}"),
    ] {
        assert_eq!(warned("beside", &beside), Vec::<String>::new());
    }
    assert_eq!(
        warned(
            "lost",
            "{name: b, port: 444, protocol: HTTPS, tls: {certificateRefs: [{name: lost}]}}"
        ),
        ["unknown-secret spec.listeners[0].tls.certificateRefs[0] `lost`"]
    );
}

/// `HTTPRouteInvalidNonExistentBackendRef`, `…BackendRefUnknownKind`, `…CrossNamespaceBackendRef`.
#[test]
fn http_route_invalid_backends() {
    rule(
        "{backendRefs: [{name: nonexistent, port: 8080}]}",
        "unknown-destination spec.rules[0].backendRefs[0].name `nonexistent`",
    );
    rule(
        "{backendRefs: [{name: v1, port: 81}]}",
        "unknown-port spec.rules[0].backendRefs[0].port `81`",
    );
    rule(
        "{backendRefs: [{name: v1}]}",
        "missing-port spec.rules[0].backendRefs[0].port `v1`",
    );
    rule(
        "{backendRefs: [{group: unknown.example, kind: Nonexistent, name: v1, port: 8080}]}",
        "unsupported-value spec.rules[0].backendRefs[0].kind `Nonexistent`",
    );
    rule(
        "{backendRefs: [{name: web, namespace: apps, port: 8080}]}",
        "reference-not-granted spec.rules[0].backendRefs[0].namespace `web`",
    );
    rule(
        "{backendRefs: [{group: networking.istio.io, kind: Hostname, name: web.apps.svc.cluster.local, namespace: apps, port: 8080}]}",
        "conflicting-fields spec.rules[0].backendRefs[0].namespace `namespace`",
    );
}

#[test]
fn inference_pools() {
    rule(
        "{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llama}]}",
        "unknown-destination spec.rules[0].backendRefs[0].name `llama`",
    );
    let pool = |spec: &str| {
        let text = format!(
            "apiVersion: inference.networking.k8s.io/v1\nkind: InferencePool\nmetadata: {{name: llama}}\nspec: {spec}\n"
        );
        (found(Severity::Error, &text), found(Severity::Warning, &text))
    };
    let (errors, warnings) = pool(
        "{selector: {matchLabels: {a: b}}, targetPorts: [{number: 1}, {number: 2}], endpointPickerRef: {name: epp}}",
    );
    assert_eq!(errors, ["unsupported-value spec.targetPorts[1] `{number: 2}`"]);
    assert_eq!(
        warnings,
        ["endpoint-picker-not-asked spec.endpointPickerRef `endpointPickerRef`"]
    );
    let (errors, _) = pool("{selector: {}, targetPorts: [{number: 1}], targetPort: 2}");
    assert_eq!(errors, ["unknown-field spec.targetPort `targetPort`"]);
}

/// `HTTPRouteInvalidReferenceGrant` and `HTTPRoutePartiallyInvalidViaInvalidReferenceGrant`.
#[test]
fn http_route_invalid_reference_grant() {
    let route = document(
        "HTTPRoute",
        "route",
        "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, namespace: apps, port: 8080}, {name: v1, port: 8080}]}]}",
    );
    let grant = |namespace: &str, from: &str, to: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: {{name: grant, namespace: {namespace}}}\nspec: {{from: [{from}], to: [{to}]}}\n---\n"
        )
    };
    let from = "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}";
    let to = "{group: '', kind: Service}";
    let granted = |grant: &str| found(Severity::Error, &format!("{BASE}{grant}{route}")).is_empty();
    assert!(granted(&grant("apps", from, to)));
    assert!(granted(&grant("apps", from, "{group: '', kind: Service, name: web}")));
    assert!(!granted(""));
    for (namespace, from, to) in [
        ("infra", from, to),
        (
            "apps",
            "{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: other}",
            to,
        ),
        (
            "apps",
            "{group: gateway.networking.k8s.io, kind: Gateway, namespace: infra}",
            to,
        ),
        ("apps", "{group: '', kind: HTTPRoute, namespace: infra}", to),
        ("apps", from, "{group: '', kind: Secret}"),
        ("apps", from, "{group: '', kind: Service, name: other}"),
        ("apps", from, "{group: other.example, kind: Service}"),
    ] {
        assert!(!granted(&grant(namespace, from, to)), "{namespace} {from} {to}");
    }
}

/// `HTTPRouteInvalidParentRefNotMatchingSectionName`, `…ListenerPort`, and parents that are none.
#[test]
fn http_route_invalid_parents() {
    let parent = |parent: &str, expected: &str| {
        refused(
            &format!("{{parentRefs: [{parent}], rules: [{{backendRefs: [{{name: v1, port: 8080}}]}}]}}"),
            expected,
        );
    };
    parent("{name: gv}", "unknown-gateway spec.parentRefs[0] `gv`");
    parent("{name: gw, namespace: apps}", "unknown-gateway spec.parentRefs[0] `gw`");
    parent(
        "{name: gw, sectionName: htp}",
        "unknown-listener spec.parentRefs[0] `htp`",
    );
    parent("{name: gw, port: 81}", "unknown-listener spec.parentRefs[0] `81`");
    parent(
        "{group: networking.istio.io, kind: Gateway, name: gw}",
        "unsupported-value spec.parentRefs[0] `{group: networking.istio.io, kind: Gateway, name: gw}`",
    );
}

#[test]
fn hostnames_and_names() {
    for hostname in ["'*'", "'*a.test'", "a.*.test", "'a.test:80'"] {
        refused(
            &format!("{{parentRefs: [{{name: gw}}], hostnames: [{hostname}], rules: [{{}}]}}"),
            &format!("invalid-host spec.hostnames[0] `{hostname}`"),
        );
    }
    refused(
        "{parentRefs: [{name: gw}], rules: [{name: a}, {name: a, matches: [{path: {value: /b}}]}]}",
        "duplicate-name spec.rules[1].name `a`",
    );
    refused(
        "{parentRef: [], rules: [{}]}",
        "unknown-field spec.parentRef `parentRef`",
    );
}

#[test]
fn gateways() {
    let gateway = |spec: &str, expected: &str| {
        let text = document("Gateway", "other", spec);
        assert_eq!(found(Severity::Error, &text), [expected], "{spec}");
    };
    let listener = |rest: &str| format!("{{gatewayClassName: istio, listeners: [{{name: a, port: 80, {rest}}}]}}");
    for protocol in ["TLS", "TCP", "UDP"] {
        gateway(
            &listener(&format!("protocol: {protocol}")),
            &format!("unsupported-value spec.listeners[0].protocol `{protocol}`"),
        );
    }
    gateway(
        &listener("protocol: HTTP, tls: {mode: Terminate}"),
        "conflicting-fields spec.listeners[0].tls `tls`",
    );
    for (tls, expected) in [
        (
            "",
            "missing-field spec.listeners[0].tls.certificateRefs `{name: a, port: 80, protocol: HTTPS}`",
        ),
        (
            ", tls: {mode: Terminate}",
            "missing-field spec.listeners[0].tls.certificateRefs `{name: a, port: 80, protocol: HTTPS, tls: {mode: Terminate}}`",
        ),
        (
            ", tls: {mode: Passthrough, certificateRefs: [{name: a}]}",
            "unsupported-value spec.listeners[0].tls.mode `Passthrough`",
        ),
        (
            ", tls: {certificateRefs: [{name: a}], options: {}}",
            "unsupported-field spec.listeners[0].tls.options `options`",
        ),
        (
            ", tls: {certificateRefs: [{name: a}], frontendValidation: {}}",
            "unsupported-field spec.listeners[0].tls.frontendValidation `frontendValidation`",
        ),
        (
            ", tls: {certificateRefs: [{kind: ConfigMap, name: a}]}",
            "unsupported-value spec.listeners[0].tls.certificateRefs[0] `{kind: ConfigMap, name: a}`",
        ),
        (
            ", tls: {certificateRefs: [{group: example.net, name: a}]}",
            "unsupported-value spec.listeners[0].tls.certificateRefs[0] `{group: example.net, name: a}`",
        ),
        (
            ", tls: {certificateRefs: [{name: a, namespace: apps}]}",
            "reference-not-granted spec.listeners[0].tls.certificateRefs[0].namespace `a`",
        ),
    ] {
        gateway(&listener(&format!("protocol: HTTPS{tls}")), expected);
    }
    gateway(
        &listener("protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {team: a}}}}"),
        "unsupported-value spec.listeners[0].allowedRoutes.namespaces.selector `team`",
    );
    gateway(
        &listener("protocol: HTTP, allowedRoutes: {namespaces: {from: All, selector: {}}}"),
        "conflicting-fields spec.listeners[0].allowedRoutes.namespaces `selector`",
    );
    gateway(
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]}",
        "duplicate-name spec.listeners[1].name `a`",
    );
    gateway(
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP, hostname: a.test}, {name: b, port: 80, protocol: HTTP, hostname: A.test}]}",
        "duplicate-name spec.listeners[1] `{name: b, port: 80, protocol: HTTP, hostname: A.test}`",
    );
    gateway(
        "{listeners: [{name: a, port: 80, protocol: HTTP}]}",
        "missing-field spec.gatewayClassName `spec`",
    );
    let twice = document(
        "Gateway",
        "gw",
        "{gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}",
    );
    assert_eq!(
        found(Severity::Error, &format!("{BASE}{twice}")),
        ["duplicate-resource metadata.name `gw`"]
    );
}

/// Rules of the two worlds are ordered differently, so no host of a port has both.
#[test]
fn a_host_has_routes_of_one_world() {
    let istio = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: old, namespace: infra}
spec: {hosts: [a.test, b.test], gateways: [gw], http: [{directResponse: {status: 204}}]}
---
";
    let route = |host: &str| {
        document(
            "HTTPRoute",
            "route",
            &format!(
                "{{parentRefs: [{{name: gw}}], hostnames: [{host}], rules: [{{backendRefs: [{{name: v1, port: 8080}}]}}]}}"
            ),
        )
    };
    let both = |host| found(Severity::Error, &format!("{BASE}{istio}{}", route(host)));
    assert_eq!(both("b.test"), ["host-of-two-apis  `route`"]);
    assert_eq!(both("c.test"), Vec::<String>::new());
    assert_eq!(both("'*.test'"), Vec::<String>::new());
}

#[test]
fn what_is_never_served_is_warned_about() {
    let warned = |spec: &str| {
        found(
            Severity::Warning,
            &format!("{BASE}{}", document("HTTPRoute", "route", spec)),
        )
    };
    // Its backends may well be known to another gateway only.
    let rules = "rules: [{backendRefs: [{name: v1, port: 8080}]}]";
    assert_eq!(warned(&format!("{{{rules}}}")), ["route-without-gateway  `route`"]);
    assert_eq!(
        warned(&format!(
            "{{parentRefs: [{{group: '', kind: Service, name: v1}}], {rules}}}"
        )),
        ["route-without-gateway  `route`"]
    );
    let equal = "{parentRefs: [{name: gw}], rules: [
        {matches: [{headers: [{name: a, value: '1'}, {name: b, value: '2'}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {value: /x}}, {headers: [{name: B, value: '2'}, {name: a, value: '1'}]}], backendRefs: [{name: v1, port: 8080}]}]}";
    assert_eq!(
        warned(equal),
        ["unreachable-rule spec.rules[1].matches `{headers: [{name: B, value: '2'}, {name: a, value: '1'}]}`"]
    );
    let other = document(
        "Gateway",
        "other",
        "{gatewayClassName: nginx, listeners: [{name: http, port: 80, protocol: HTTP}]}",
    );
    let text = format!(
        "{BASE}{other}{}",
        document(
            "HTTPRoute",
            "route",
            "{parentRefs: [{name: other}], rules: [{backendRefs: [{name: elsewhere, namespace: apps, port: 1}]}]}"
        )
    );
    assert_eq!(
        found(Severity::Warning, &text),
        ["route-not-bound spec.parentRefs[0] `{name: other}`"]
    );
}
