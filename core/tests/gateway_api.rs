//! HTTPRoutes and Gateway API's Gateways: the cases of its conformance suite that need no cluster, by their names there,
//! over inputs of our own. <https://github.com/kubernetes-sigs/gateway-api/tree/main/conformance/tests>

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{HeaderChanged, UpstreamRequest, Verdict, explain};
use lockgate_core::request::Scheme;
use support::{GET, Sent, compiled};

/// Where the backends are, in two namespaces.
const BACKENDS: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: backends, namespace: infra}
spec:
  hosts: [v1.infra.svc.cluster.local, v2.infra.svc.cluster.local, v3.infra.svc.cluster.local, web.apps.svc.cluster.local, api.example.net]
  resolution: DNS
  ports: [{number: 8080, name: http}]
---
";

/// One listener for every host.
const SAME_NAMESPACE: &str = "{gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP}]}";

fn resource(kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap_or(("infra", name));
    format!(
        "apiVersion: gateway.networking.k8s.io/v1
kind: {kind}
metadata: {{name: {name}, namespace: {namespace}}}
spec: {spec}
---
"
    )
}

/// A Gateway `gw` of this `spec`, and HTTPRoutes by name and `spec`.
fn with_gateway(gateway: &str, routes: &[(&str, &str)]) -> Compiled {
    let routes = routes.iter().map(|(name, spec)| resource("HTTPRoute", name, spec));
    let text = format!(
        "{BACKENDS}{}{}",
        resource("Gateway", "gw", gateway),
        routes.collect::<String>()
    );
    compiled(&text, &Settings::default())
}

/// HTTPRoutes of the one listener, each with these `rules`.
fn routes(rules: &[&str]) -> Compiled {
    let named: Vec<(String, String)> = rules
        .iter()
        .enumerate()
        .map(|(index, rules)| {
            (
                format!("route{index}"),
                format!("{{parentRefs: [{{name: gw}}], rules: {rules}}}"),
            )
        })
        .collect();
    let named: Vec<(&str, &str)> = named.iter().map(|(name, spec)| (&**name, &**spec)).collect();
    with_gateway(SAME_NAMESPACE, &named)
}

/// The backend and the path, the status and the location, or the status.
fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => {
            format!(
                "{} {}",
                upstream.upstream.replace(".infra.svc.cluster.local", ""),
                upstream.path
            )
        }
        Verdict::Redirect(redirect) => format!("{} {}", redirect.status, redirect.location),
        Verdict::Respond(answer) => answer.status.to_string(),
        Verdict::Refuse(refused) => refused.status.to_string(),
        other => panic!("{other:?}"),
    }
}

fn forwarded(compiled: &Compiled, sent: &Sent<'_>) -> UpstreamRequest {
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => *upstream,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn expect(compiled: &Compiled, cases: &[(Sent<'_>, &str)]) {
    for (sent, expected) in cases {
        assert_eq!(came(compiled, sent), *expected, "{sent:?}");
    }
}

fn path(target: &str) -> Sent<'_> {
    Sent { target, ..GET }
}

fn at<'s>(host: &'s str, target: &'s str) -> Sent<'s> {
    Sent { host, target, ..GET }
}

fn with<'s>(target: &'s str, headers: &'s [(&'s str, &'s str)]) -> Sent<'s> {
    Sent { target, headers, ..GET }
}

fn sends(method: &'static str, target: &'static str) -> Sent<'static> {
    Sent { method, target, ..GET }
}

#[test]
fn http_route_simple_same_namespace() {
    let compiled = routes(&["[{backendRefs: [{name: v1, port: 8080}]}]"]);
    expect(&compiled, &[(path("/"), "v1 /"), (path("/any?q"), "v1 /any?q")]);
    let other_port = Sent { port: 81, ..GET };
    assert_eq!(came(&compiled, &other_port), "404");
    let sent = forwarded(&compiled, &at("Any.Test:80", "/"));
    assert_eq!(sent.rule, "infra/route0/rules[0]");
    assert!(
        sent.set_headers.contains(&("host".into(), "Any.Test:80".into())),
        "the Host stays as sent"
    );
}

#[test]
fn http_route_named_rule() {
    let compiled = routes(&["[{name: first, backendRefs: [{name: v1, port: 8080}]}]"]);
    assert_eq!(forwarded(&compiled, &GET).rule, "infra/route0/first");
}

#[test]
fn http_route_matching() {
    let compiled = routes(&["[
        {matches: [{path: {value: /}}, {headers: [{name: version, value: one}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {type: PathPrefix, value: /v2}}, {headers: [{name: version, value: two}]}], backendRefs: [{name: v2, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (path("/"), "v1 /"),
            (path("/example"), "v1 /example"),
            (with("/", &[("version", "one")]), "v1 /"),
            (path("/v2"), "v2 /v2"),
            (path("/v2/"), "v2 /v2/"),
            (path("/v2/example"), "v2 /v2/example"),
            (path("/v2example"), "v1 /v2example"),
            (with("/", &[("Version", "two")]), "v2 /"),
            (with("/v2/", &[("version", "one")]), "v2 /v2/"),
        ],
    );
}

#[test]
fn http_route_exact_path_matching() {
    let compiled = routes(&["[
        {matches: [{path: {type: Exact, value: /one}}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {type: Exact, value: /two}}], backendRefs: [{name: v2, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (path("/one"), "v1 /one"),
            (path("/one?x=1"), "v1 /one?x=1"),
            (path("/two"), "v2 /two"),
            (path("/"), "404"),
            (path("/one/example"), "404"),
            (path("/two/"), "404"),
            (path("/Two"), "404"),
        ],
    );
}

#[test]
fn http_route_path_match_order() {
    let compiled = routes(&["[
        {matches: [{path: {type: PathPrefix, value: /match/prefix/one}}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{path: {type: PathPrefix, value: /match/}}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {type: PathPrefix, value: /match/prefix/}}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{path: {type: Exact, value: /match/exact/one}}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{path: {type: Exact, value: /match/exact}}], backendRefs: [{name: v2, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (path("/match/exact/one"), "v3 /match/exact/one"),
            (path("/match/exact"), "v2 /match/exact"),
            (path("/match"), "v1 /match"),
            (path("/match/prefix/one/any"), "v2 /match/prefix/one/any"),
            (path("/match/prefix/any"), "v3 /match/prefix/any"),
            (path("/match/any"), "v1 /match/any"),
            (path("/matching"), "404"),
        ],
    );
}

#[test]
fn http_route_header_matching() {
    let compiled = routes(&["[
        {matches: [{headers: [{name: version, value: one}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{headers: [{name: version, value: two}]}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{headers: [{name: version, value: two}, {name: color, value: orange}]}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{headers: [{name: color, type: RegularExpression, value: 'blue|gr.*'}]}], backendRefs: [{name: v1, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (with("/", &[("version", "one")]), "v1 /"),
            (with("/", &[("VERSION", "two")]), "v2 /"),
            (with("/", &[("version", "two"), ("color", "orange")]), "v3 /"),
            (with("/", &[("color", "green")]), "v1 /"),
            (with("/", &[("color", "light blue")]), "404"),
            (with("/", &[("color", "orange")]), "404"),
            (with("/", &[("version", "One")]), "404"),
            (path("/"), "404"),
        ],
    );
}

#[test]
fn http_route_query_param_matching() {
    let compiled = routes(&["[
        {matches: [{queryParams: [{name: animal, value: whale}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{queryParams: [{name: animal, value: dolphin}]}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{queryParams: [{name: animal, value: dolphin}, {name: color, value: blue}]}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{queryParams: [{name: number, type: RegularExpression, value: '[0-9]+'}]}], backendRefs: [{name: v1, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (path("/?animal=whale"), "v1 /?animal=whale"),
            (path("/?animal=dolphin"), "v2 /?animal=dolphin"),
            (path("/?color=blue&animal=dolphin"), "v3 /?color=blue&animal=dolphin"),
            (path("/?number=42"), "v1 /?number=42"),
            (path("/?number=4x"), "404"),
            (path("/?color=blue"), "404"),
            (path("/?animal=Dolphin"), "404"),
            (path("/?Animal=whale"), "404"),
            (path("/"), "404"),
        ],
    );
}

#[test]
fn http_route_method_matching() {
    let compiled = routes(&["[
        {matches: [{method: POST}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{method: GET}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{path: {value: /path1}, method: GET}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{path: {value: /path2}}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {value: /path2}, method: PUT}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{path: {value: /path3}, headers: [{name: version, value: two}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {value: /path3}, method: PATCH}], backendRefs: [{name: v3, port: 8080}]}]"]);
    let patch = Sent {
        method: "PATCH",
        target: "/path3",
        headers: &[("version", "two")],
        ..GET
    };
    expect(
        &compiled,
        &[
            (sends("POST", "/"), "v1 /"),
            (sends("GET", "/"), "v2 /"),
            (sends("HEAD", "/"), "404"),
            (sends("GET", "/path1"), "v3 /path1"),
            (sends("PUT", "/path2"), "v2 /path2"),
            (sends("GET", "/path2"), "v1 /path2"),
            (patch, "v3 /path3"),
        ],
    );
}

#[test]
fn http_route_matching_across_routes() {
    let compiled = with_gateway(
        SAME_NAMESPACE,
        &[
            (
                "part1",
                "{parentRefs: [{name: gw}], hostnames: [example.com, example.net], rules: [{matches: [{path: {value: /}}, {headers: [{name: version, value: one}]}], backendRefs: [{name: v1, port: 8080}]}]}",
            ),
            (
                "part2",
                "{parentRefs: [{name: gw}], hostnames: [example.com], rules: [{matches: [{path: {value: /v2}}, {headers: [{name: version, value: two}]}], backendRefs: [{name: v2, port: 8080}]}]}",
            ),
        ],
    );
    let header = |host, version| Sent {
        host,
        headers: version,
        ..GET
    };
    expect(
        &compiled,
        &[
            (at("example.com", "/"), "v1 /"),
            (at("example.com", "/example"), "v1 /example"),
            (at("example.net", "/example"), "v1 /example"),
            (header("example.com", &[("version", "one")]), "v1 /"),
            (at("example.com", "/v2"), "v2 /v2"),
            (at("example.net", "/v2"), "v1 /v2"),
            (at("example.com", "/v2example"), "v1 /v2example"),
            (header("example.com", &[("version", "two")]), "v2 /"),
            (header("example.net", &[("version", "two")]), "v1 /"),
            (at("example.org", "/"), "404"),
        ],
    );
}

/// The rest of the order: most headers before most parameters, regular expressions after prefixes, the first rule last.
#[test]
fn more_specific_matches_come_first_whatever_their_order() {
    let compiled = routes(&["[
        {matches: [{path: {value: /a}, queryParams: [{name: q, value: '1'}, {name: r, value: '1'}]}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {value: /a}, headers: [{name: h, value: '1'}]}], backendRefs: [{name: v2, port: 8080}]},
        {matches: [{path: {value: /a}}], backendRefs: [{name: v3, port: 8080}]},
        {matches: [{path: {value: /a}}], backendRefs: [{name: v1, port: 8080}]},
        {matches: [{path: {type: RegularExpression, value: '/a.*'}}], backendRefs: [{name: v2, port: 8080}]},
        {backendRefs: [{name: v1, port: 8080}]}]"]);
    expect(
        &compiled,
        &[
            (with("/a?q=1&r=1", &[("h", "1")]), "v2 /a?q=1&r=1"),
            (path("/a?q=1&r=1"), "v1 /a?q=1&r=1"),
            (path("/a"), "v3 /a"),
            (path("/ab"), "v2 /ab"),
            (path("/b"), "v1 /b"),
        ],
    );
}

#[test]
fn of_equal_matches_the_older_route_wins_then_the_name() {
    let route = |name: &str, created: &str, backend: &str| {
        format!(
            "apiVersion: gateway.networking.k8s.io/v1beta1
kind: HTTPRoute
metadata: {{name: {name}, namespace: infra{created}}}
spec: {{parentRefs: [{{name: gw}}], rules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]}}
---
"
        )
    };
    let created = |time: &str| format!(", creationTimestamp: '{time}'");
    let (old, new) = (created("2024-01-01T00:00:00Z"), created("2025-01-01T00:00:00Z"));
    for (routes, first) in [
        ([route("a", &new, "v1"), route("b", &old, "v2")], "v2 /"),
        ([route("b", &old, "v1"), route("a", &old, "v2")], "v2 /"),
        ([route("b", "", "v1"), route("a", "", "v2")], "v2 /"),
        ([route("a", "", "v1"), route("b", &new, "v2")], "v2 /"),
    ] {
        let text = format!(
            "{BACKENDS}{}{}",
            resource("Gateway", "gw", SAME_NAMESPACE),
            routes.concat()
        );
        assert_eq!(came(&compiled(&text, &Settings::default()), &GET), first, "{text}");
    }
}

#[test]
fn http_route_listener_hostname_matching() {
    let route = |name: &'static str, section: &str, backend: &str| {
        let spec = format!(
            "{{parentRefs: [{{name: gw, sectionName: {section}}}], rules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]}}"
        );
        (name, spec)
    };
    let specs = [
        route("backend-v1", "listener-1", "v1"),
        route("backend-v2", "listener-2", "v2"),
        route("backend-v3", "listener-3", "v3"),
    ];
    let specs: Vec<(&str, &str)> = specs.iter().map(|(name, spec)| (*name, &**spec)).collect();
    let compiled = with_gateway(
        "{gatewayClassName: istio, listeners: [
            {name: listener-1, port: 80, protocol: HTTP, hostname: bar.com},
            {name: listener-2, port: 80, protocol: HTTP, hostname: foo.bar.com},
            {name: listener-3, port: 80, protocol: HTTP, hostname: '*.bar.com'},
            {name: listener-4, port: 80, protocol: HTTP, hostname: '*.foo.com'}]}",
        &specs,
    );
    expect(
        &compiled,
        &[
            (at("bar.com", "/"), "v1 /"),
            (at("foo.bar.com", "/"), "v2 /"),
            (at("foo.bar.com:80", "/"), "v2 /"),
            (at("baz.bar.com", "/"), "v3 /"),
            (at("multiple.prefixes.bar.com", "/"), "v3 /"),
            (at("foo.com", "/"), "404"),
            (at("no.matching.host", "/"), "404"),
            (at("a.foo.com", "/"), "404"),
        ],
    );
}

#[test]
fn http_route_hostname_intersection() {
    let route = |hostnames: &str, path: &str, backend: &str| {
        format!(
            "{{parentRefs: [{{name: gw, namespace: infra}}], hostnames: {hostnames}, rules: [{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{{name: {backend}, port: 8080}}]}}]}}"
        )
    };
    let specs = [
        (
            "specific-specific",
            route(
                "[non.matching.com, '*.nonmatchingwildcard.io', very.specific.com]",
                "/s1",
                "v1",
            ),
        ),
        (
            "specific-wildcard",
            route(
                "[non.matching.com, wildcard.io, foo.wildcard.io, foo.bar.wildcard.io]",
                "/s2",
                "v2",
            ),
        ),
        (
            "wildcard-specific",
            route("[non.matching.com, '*.specific.com']", "/s3", "v3"),
        ),
        ("wildcard-wildcard", route("['*.anotherwildcard.io']", "/s4", "v1")),
        ("none", route("[specific.but.wrong.com, wildcard.io]", "/s5", "v2")),
    ];
    let specs: Vec<(&str, &str)> = specs.iter().map(|(name, spec)| (*name, &**spec)).collect();
    let compiled = with_gateway(
        "{gatewayClassName: istio, listeners: [
            {name: listener-1, port: 80, protocol: HTTP, hostname: very.specific.com, allowedRoutes: {namespaces: {from: Same}}},
            {name: listener-2, port: 80, protocol: HTTP, hostname: '*.wildcard.io'},
            {name: listener-3, port: 80, protocol: HTTP, hostname: '*.anotherwildcard.io'}]}",
        &specs,
    );
    expect(
        &compiled,
        &[
            (at("very.specific.com", "/s1"), "v1 /s1"),
            (at("very.specific.com:1234", "/s3"), "v3 /s3"),
            (at("non.matching.com", "/s1"), "404"),
            (at("foo.nonmatchingwildcard.io", "/s1"), "404"),
            (at("foo.wildcard.io", "/s2"), "v2 /s2"),
            (at("foo.bar.wildcard.io", "/s2"), "v2 /s2"),
            (at("wildcard.io", "/s2"), "404"),
            (at("bar.wildcard.io", "/s2"), "404"),
            (at("other.specific.com", "/s3"), "404"),
            (at("a.b.anotherwildcard.io", "/s4"), "v1 /s4"),
            (at("anotherwildcard.io", "/s4"), "404"),
            (at("specific.but.wrong.com", "/s5"), "404"),
            (at("wildcard.io", "/s5"), "404"),
        ],
    );
}

const ISOLATED: &str = "{gatewayClassName: istio, listeners: [
    {name: empty-hostname, port: 80, protocol: HTTP},
    {name: wildcard-example-com, port: 80, protocol: HTTP, hostname: '*.example.com'},
    {name: wildcard-foo-example-com, port: 80, protocol: HTTP, hostname: '*.foo.example.com'},
    {name: abc-foo-example-com, port: 80, protocol: HTTP, hostname: abc.foo.example.com}]}";

const SECTIONS: [&str; 4] = [
    "empty-hostname",
    "wildcard-example-com",
    "wildcard-foo-example-com",
    "abc-foo-example-com",
];

/// One route for each listener, for the path of the listener's name.
fn isolated(hostnames: &str) -> Compiled {
    let specs = SECTIONS.map(|section| {
        format!(
            "{{parentRefs: [{{name: gw, sectionName: {section}}}], {hostnames}rules: [{{matches: [{{path: {{value: /{section}}}}}], backendRefs: [{{name: v1, port: 8080}}]}}]}}"
        )
    });
    let specs: Vec<(&str, &str)> = SECTIONS
        .iter()
        .zip(&specs)
        .map(|(name, spec)| (*name, &**spec))
        .collect();
    with_gateway(ISOLATED, &specs)
}

#[test]
fn gateway_http_listener_isolation() {
    let plain = isolated("");
    let narrowed = isolated("hostnames: [bar.com, '*.example.com', '*.foo.example.com', abc.foo.example.com], ");
    for (host, section) in [
        ("bar.com", "empty-hostname"),
        ("bar.example.com", "wildcard-example-com"),
        ("bar.foo.example.com", "wildcard-foo-example-com"),
        ("abc.foo.example.com", "abc-foo-example-com"),
    ] {
        for compiled in [&plain, &narrowed] {
            for path in SECTIONS {
                let target = format!("/{path}");
                let expected = if path == section {
                    format!("v1 {target}")
                } else {
                    "404".to_owned()
                };
                assert_eq!(came(compiled, &at(host, &target)), expected, "{host} {path}");
            }
        }
    }
}

/// A listener without routes keeps its hosts from wider ones, too.
#[test]
fn a_listener_without_routes_takes_its_requests() {
    let compiled = with_gateway(
        ISOLATED,
        &[(
            "wide",
            "{parentRefs: [{name: gw, sectionName: empty-hostname}], rules: [{backendRefs: [{name: v1, port: 8080}]}]}",
        )],
    );
    expect(
        &compiled,
        &[
            (at("bar.com", "/"), "v1 /"),
            (at("bar.example.com", "/"), "404"),
            (at("abc.foo.example.com", "/"), "404"),
        ],
    );
}

#[test]
fn http_route_listener_port_matching() {
    let route = |parent: &str, backend: &str| {
        format!("{{parentRefs: [{parent}], rules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]}}")
    };
    let compiled = with_gateway(
        "{gatewayClassName: istio, listeners: [
            {name: one, port: 80, protocol: HTTP}, {name: two, port: 8080, protocol: HTTP}, {name: three, port: 8090, protocol: HTTP}]}",
        &[
            ("by-section", &route("{name: gw, sectionName: one}", "v1")),
            ("by-port", &route("{name: gw, port: 8080}", "v2")),
            ("by-both", &route("{name: gw, sectionName: three, port: 8090}", "v3")),
        ],
    );
    let on = |port| Sent { port, ..GET };
    expect(&compiled, &[(on(80), "v1 /"), (on(8080), "v2 /"), (on(8090), "v3 /")]);
}

#[test]
fn http_route_cross_namespace() {
    let route = "{parentRefs: [{name: gw, namespace: infra}], rules: [{backendRefs: [{name: web, port: 8080}]}]}";
    for (allowed, expected) in [
        ("", "404"),
        (", allowedRoutes: {namespaces: {from: Same}}", "404"),
        (", allowedRoutes: {namespaces: {from: None}}", "404"),
        (
            ", allowedRoutes: {namespaces: {from: All}}",
            "web.apps.svc.cluster.local /",
        ),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: apps}}}}",
            "web.apps.svc.cluster.local /",
        ),
        (
            ", allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}}",
            "404",
        ),
        (
            ", allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}",
            "404",
        ),
        (
            ", allowedRoutes: {namespaces: {from: All}, kinds: [{kind: GRPCRoute}, {kind: HTTPRoute}]}",
            "web.apps.svc.cluster.local /",
        ),
    ] {
        let gateway =
            format!("{{gatewayClassName: istio, listeners: [{{name: http, port: 80, protocol: HTTP{allowed}}}]}}");
        assert_eq!(
            came(&with_gateway(&gateway, &[("apps/web", route)]), &GET),
            expected,
            "{allowed}"
        );
    }
}

#[test]
fn http_route_reference_grant() {
    let grant = resource(
        "ReferenceGrant",
        "apps/from-infra",
        "{from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: infra}], to: [{group: '', kind: Service, name: web}]}",
    );
    let route = resource(
        "HTTPRoute",
        "route",
        "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: web, namespace: apps, port: 8080}]}]}",
    );
    let text = format!("{BACKENDS}{grant}{}{route}", resource("Gateway", "gw", SAME_NAMESPACE));
    let compiled = compiled(&text, &Settings::default());
    assert_eq!(came(&compiled, &GET), "web.apps.svc.cluster.local /");
}

#[test]
fn a_backend_may_be_a_hostname_of_istio() {
    let compiled =
        routes(&["[{backendRefs: [{group: networking.istio.io, kind: Hostname, name: api.example.net, port: 8080}]}]"]);
    assert_eq!(came(&compiled, &GET), "api.example.net /");
}

#[test]
fn an_inference_pool_is_where_its_service_entry_says() {
    let pool = "
apiVersion: inference.networking.k8s.io/v1
kind: InferencePool
metadata: {name: llama, namespace: models}
spec: {selector: {matchLabels: {app: vllm}}, targetPorts: [{number: 8000}], endpointPickerRef: {name: epp, port: {number: 9002}}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: llama, namespace: models}
spec:
  hosts: [llama.models.inference.cluster.local]
  resolution: STATIC
  ports: [{number: 8000, name: http}, {number: 9090, name: metrics}]
  endpoints: [{address: 10.0.0.1}, {address: 10.0.0.2, weight: 3}]
---
";
    let route = resource(
        "HTTPRoute",
        "models/chat",
        "{parentRefs: [{name: gw}], rules: [{backendRefs: [{group: inference.networking.k8s.io, kind: InferencePool, name: llama}]}]}",
    );
    let text = format!("{pool}{}{route}", resource("Gateway", "models/gw", SAME_NAMESPACE));
    let compiled = compiled(&text, &Settings::default());
    let sent = forwarded(&compiled, &path("/v1/chat/completions"));
    assert_eq!(sent.path, "/v1/chat/completions");
    assert_eq!(sent.upstream, "llama.models.inference.cluster.local");
    assert_eq!(sent.connect, ["http://10.0.0.1:8000", "http://10.0.0.2:8000"]);
}

/// What becomes of header fields, in order.
fn words(changes: &[HeaderChanged]) -> Vec<String> {
    let word = |change: &HeaderChanged| match change {
        HeaderChanged::Remove { name } => format!("-{name}"),
        HeaderChanged::Set { name, value } => format!("{name}={value}"),
        HeaderChanged::Add { name, value } => format!("{name}+{value}"),
    };
    changes.iter().map(word).collect()
}

#[test]
fn http_route_request_header_modifier() {
    let compiled = routes(&["[{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {
        set: [{name: X-Header-Set, value: set-overwrites}], add: [{name: X-Header-Add, value: '100%'}], remove: [X-Header-Remove]}}],
        backendRefs: [{name: v1, port: 8080}]}]"]);
    let sent = forwarded(&compiled, &GET);
    let expected = ["-x-header-remove", "x-header-set=set-overwrites", "x-header-add+100%"];
    assert_eq!(words(&sent.change_headers), expected);
    assert!(sent.change_response_headers.is_empty());
}

#[test]
fn http_route_response_header_modifier() {
    let compiled = routes(&["[{filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {
        set: [{name: x-set, value: a}], add: [{name: x-add, value: b}], remove: [x-remove]}}],
        backendRefs: [{name: v1, port: 8080}]}]"]);
    let sent = forwarded(&compiled, &GET);
    assert_eq!(
        words(&sent.change_response_headers),
        ["-x-remove", "x-set=a", "x-add+b"]
    );
    assert!(sent.change_headers.is_empty());
}

#[test]
fn http_route_backend_request_header_modifier() {
    let compiled = routes(&["[{
        filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: rule}]}}],
        backendRefs: [{name: v1, port: 8080, filters: [
            {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-a, value: backend}]}},
            {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [server]}}]}]}]"]);
    let sent = forwarded(&compiled, &GET);
    assert_eq!(words(&sent.change_headers), ["x-a=rule", "x-a=backend"]);
    assert_eq!(words(&sent.change_response_headers), ["-server"]);
}

/// Rules that redirect, by path and `requestRedirect`.
fn redirects(rules: &[(&str, &str)]) -> Compiled {
    let rules = rules.iter().map(|(path, redirect)| {
        format!("{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]}}, ")
    });
    routes(&[&format!("[{}]", rules.collect::<String>())])
}

#[test]
fn http_route_redirect_host_and_status() {
    let compiled = redirects(&[
        ("/hostname-redirect", "{hostname: example.org}"),
        ("/status", "{hostname: example.org, statusCode: 301}"),
        ("/see", "{hostname: example.org, statusCode: 303}"),
        ("/keep", "{hostname: example.org, statusCode: 307}"),
        ("/for-good", "{hostname: example.org, statusCode: 308}"),
    ]);
    expect(
        &compiled,
        &[
            (path("/hostname-redirect"), "302 http://example.org/hostname-redirect"),
            (path("/status?a=b"), "301 http://example.org/status?a=b"),
            (path("/see"), "303 http://example.org/see"),
            (path("/keep"), "307 http://example.org/keep"),
            (path("/for-good"), "308 http://example.org/for-good"),
        ],
    );
}

#[test]
fn http_route_redirect_path() {
    let prefix = |with: &str| format!("{{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {with}}}}}");
    let compiled = redirects(&[
        ("/original-prefix", &prefix("/replacement-prefix")),
        (
            "/full",
            "{path: {type: ReplaceFullPath, replaceFullPath: /full-path-replacement}}",
        ),
        (
            "/path-and-host",
            "{hostname: example.org, path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}}",
        ),
        (
            "/path-and-status",
            "{statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /replacement-prefix}}",
        ),
        (
            "/full-path-and-host",
            "{hostname: example.org, path: {type: ReplaceFullPath, replaceFullPath: /replacement-full}}",
        ),
        ("/gone", &prefix("/")),
    ]);
    expect(
        &compiled,
        &[
            (
                path("/original-prefix/lemon"),
                "302 http://test.com/replacement-prefix/lemon",
            ),
            (path("/original-prefix"), "302 http://test.com/replacement-prefix"),
            (path("/original-prefixed"), "404"),
            (
                path("/full/path/original?q"),
                "302 http://test.com/full-path-replacement?q",
            ),
            (
                path("/path-and-host/lemon"),
                "302 http://example.org/replacement-prefix/lemon",
            ),
            (
                path("/path-and-status/lemon"),
                "301 http://test.com/replacement-prefix/lemon",
            ),
            (
                path("/full-path-and-host/lemon"),
                "302 http://example.org/replacement-full",
            ),
            (path("/gone"), "302 http://test.com/"),
            (path("/gone/"), "302 http://test.com/"),
            (path("/gone/a"), "302 http://test.com/a"),
        ],
    );
}

#[test]
fn http_route_redirect_scheme() {
    let compiled = redirects(&[
        ("/scheme", "{scheme: https}"),
        ("/scheme-and-host", "{scheme: https, hostname: example.org}"),
        ("/scheme-and-status", "{scheme: https, statusCode: 301}"),
    ]);
    expect(
        &compiled,
        &[
            (path("/scheme"), "302 https://test.com/scheme"),
            (at("test.com:8080", "/scheme"), "302 https://test.com/scheme"),
            (path("/scheme-and-host"), "302 https://example.org/scheme-and-host"),
            (path("/scheme-and-status"), "301 https://test.com/scheme-and-status"),
        ],
    );
}

#[test]
fn http_route_redirect_port() {
    let compiled = redirects(&[
        ("/port", "{port: 8083}"),
        ("/port-and-host", "{port: 8083, hostname: example.org}"),
        ("/port-and-status", "{port: 8083, statusCode: 301}"),
    ]);
    expect(
        &compiled,
        &[
            (path("/port"), "302 http://test.com:8083/port"),
            (at("test.com:80", "/port"), "302 http://test.com:8083/port"),
            (path("/port-and-host"), "302 http://example.org:8083/port-and-host"),
            (path("/port-and-status"), "301 http://test.com:8083/port-and-status"),
        ],
    );
}

#[test]
fn http_route_redirect_port_and_scheme() {
    let cases = [
        ("/nil-nil", "{hostname: example.org}"),
        ("/nil-80", "{hostname: example.org, port: 80}"),
        ("/nil-8080", "{hostname: example.org, port: 8080}"),
        ("/https-nil", "{hostname: example.org, scheme: https}"),
        ("/https-443", "{hostname: example.org, scheme: https, port: 443}"),
        ("/https-8443", "{hostname: example.org, scheme: https, port: 8443}"),
        ("/own-host", "{port: 443, scheme: https}"),
    ];
    let rules = cases.iter().map(|(path, redirect)| {
        format!("{{matches: [{{path: {{value: {path}}}}}], filters: [{{type: RequestRedirect, requestRedirect: {redirect}}}]}}, ")
    });
    let route = format!("{{parentRefs: [{{name: gw}}], rules: [{}]}}", rules.collect::<String>());
    let compiled = with_gateway(
        "{gatewayClassName: istio, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 8080, protocol: HTTP}]}",
        &[("route", &route)],
    );
    for (target, on_80, on_8080) in [
        (
            "/nil-nil",
            "302 http://example.org/nil-nil",
            "302 http://example.org:8080/nil-nil",
        ),
        (
            "/nil-80",
            "302 http://example.org/nil-80",
            "302 http://example.org/nil-80",
        ),
        (
            "/nil-8080",
            "302 http://example.org:8080/nil-8080",
            "302 http://example.org:8080/nil-8080",
        ),
        (
            "/https-nil",
            "302 https://example.org/https-nil",
            "302 https://example.org/https-nil",
        ),
        (
            "/https-443",
            "302 https://example.org/https-443",
            "302 https://example.org/https-443",
        ),
        (
            "/https-8443",
            "302 https://example.org:8443/https-8443",
            "302 https://example.org:8443/https-8443",
        ),
        (
            "/own-host",
            "302 https://test.com/own-host",
            "302 https://test.com/own-host",
        ),
    ] {
        let sent = Sent {
            host: "test.com:8080",
            target,
            ..GET
        };
        assert_eq!(came(&compiled, &sent), on_80);
        assert_eq!(came(&compiled, &Sent { port: 8080, ..sent }), on_8080);
    }
}

#[test]
fn http_route_rewrite_host() {
    let compiled = routes(&["[
        {matches: [{path: {value: /one}}], filters: [{type: URLRewrite, urlRewrite: {hostname: one.example.org}}], backendRefs: [{name: v1, port: 8080}]},
        {filters: [{type: URLRewrite, urlRewrite: {hostname: rule.example.org}}],
         backendRefs: [{name: v2, port: 8080, filters: [{type: URLRewrite, urlRewrite: {hostname: backend.example.org}}]}]}]"]);
    let host = |target| {
        let sent = forwarded(&compiled, &path(target));
        sent.set_headers.into_iter().find(|(name, _)| name == "host").unwrap().1
    };
    assert_eq!(host("/one"), "one.example.org");
    assert_eq!(host("/"), "backend.example.org");
}

#[test]
fn http_route_rewrite_path() {
    let rule = |matched: &str, modifier: &str| {
        format!(
            "{{matches: [{{path: {{value: {matched}}}}}], filters: [{{type: URLRewrite, urlRewrite: {{path: {modifier}}}}}], backendRefs: [{{name: v1, port: 8080}}]}}"
        )
    };
    let prefix = |matched, with| {
        rule(
            matched,
            &format!("{{type: ReplacePrefixMatch, replacePrefixMatch: {with}}}"),
        )
    };
    let full = |matched, with| rule(matched, &format!("{{type: ReplaceFullPath, replaceFullPath: {with}}}"));
    // Prefix, its replacement, and what becomes of paths: the table of the specification, and its suite.
    for (matched, with, cases) in [
        (
            "/foo",
            "/xyz",
            &[
                ("/foo/bar", "/xyz/bar"),
                ("/foo", "/xyz"),
                ("/foo/", "/xyz/"),
                ("/foo?q", "/xyz?q"),
            ][..],
        ),
        ("/foo", "/xyz/", &[("/foo/bar", "/xyz/bar"), ("/foo", "/xyz")]),
        ("/foo/", "/xyz", &[("/foo/bar", "/xyz/bar"), ("/foo", "/xyz")]),
        ("/foo/", "/xyz/", &[("/foo/bar", "/xyz/bar")]),
        (
            "/foo",
            "''",
            &[("/foo/bar", "/bar"), ("/foo/", "/"), ("/foo", "/"), ("/foo?q", "/?q")],
        ),
        ("/foo", "/", &[("/foo/bar", "/bar"), ("/foo/", "/"), ("/foo", "/")]),
        ("/", "/xyz", &[("/bar", "/xyz/bar"), ("/", "/xyz/")]),
    ] {
        let compiled = routes(&[&format!("[{}]", prefix(matched, with))]);
        for (sent, expected) in cases {
            assert_eq!(
                came(&compiled, &path(sent)),
                format!("v1 {expected}"),
                "{matched} by {with}"
            );
        }
    }
    let compiled = routes(&[&format!(
        "[{}, {}]",
        full("/full/one", "/one"),
        full("/full/rest", "''")
    )]);
    expect(
        &compiled,
        &[
            (path("/full/one"), "v1 /one"),
            (path("/full/one/two?q"), "v1 /one?q"),
            (path("/full/rest/two"), "v1 /"),
        ],
    );
}

#[test]
fn http_route_backend_url_rewrite() {
    let compiled = routes(&["[{matches: [{path: {value: /a}}], backendRefs: [{name: v1, port: 8080, filters: [
        {type: URLRewrite, urlRewrite: {hostname: b.test, path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}}}]}]}]"]);
    assert_eq!(came(&compiled, &path("/a/x")), "v1 /b/x");
}

/// The share of a backend, over all of the entropy.
fn shares(compiled: &Compiled, backend: &str) -> usize {
    const STEPS: u64 = 1000;
    let falls = (0..STEPS).filter(|step| {
        let entropy = u64::MAX / STEPS * step;
        let explained = GET.ask(|request, known| explain(&compiled.snapshot, request, known, entropy));
        matches!(explained.verdict, Verdict::Forward(to) if to.upstream.starts_with(backend))
    });
    falls.count()
}

#[test]
fn http_route_weight() {
    let compiled = routes(&["[{backendRefs: [
        {name: v1, port: 8080, weight: 70}, {name: v2, port: 8080, weight: 30}, {name: v3, port: 8080, weight: 0}]}]"]);
    for (backend, share) in [("v1", 700), ("v2", 300), ("v3", 0)] {
        assert!(shares(&compiled, backend).abs_diff(share) <= 1, "{backend}");
    }
    // Without weights, equal shares.
    let compiled = routes(&["[{backendRefs: [{name: v1, port: 8080}, {name: v2, port: 8080}]}]"]);
    assert!(shares(&compiled, "v1").abs_diff(500) <= 1);
}

#[test]
fn http_route_all_backends_weight_zero() {
    let compiled = routes(&["[{backendRefs: [{name: v1, port: 8080, weight: 0}]}]"]);
    assert_eq!(came(&compiled, &GET), "500");
}

#[test]
fn a_rule_without_backends_is_500() {
    for rules in ["[{}]", "[{backendRefs: []}]", "[{matches: [{path: {value: /}}]}]"] {
        assert_eq!(came(&routes(&[rules]), &GET), "500", "{rules}");
    }
    let compiled = with_gateway(SAME_NAMESPACE, &[("route", "{parentRefs: [{name: gw}]}")]);
    assert_eq!(came(&compiled, &GET), "500");
}

/// `HTTPRouteRequestTimeout` and `HTTPRouteBackendTimeout`: of a rule without `retry` both are a limit over all tries.
#[test]
fn http_route_timeouts() {
    for (timeouts, expected) in [
        ("{}", None),
        ("{request: 500ms}", Some(500)),
        ("{request: 1h30m}", Some(5_400_000)),
        ("{backendRequest: 1m2s3ms}", Some(62_003)),
        ("{request: 10s, backendRequest: 2s}", Some(2_000)),
        ("{request: 10s, backendRequest: 10000ms}", Some(10_000)),
        ("{request: 10s, backendRequest: 0s}", Some(10_000)),
        ("{request: 0s, backendRequest: 2s}", Some(2_000)),
        ("{request: 0s}", None),
        ("{request: 0h0m, backendRequest: 0ms}", None),
    ] {
        let compiled = routes(&[&format!(
            "[{{backendRefs: [{{name: v1, port: 8080}}], timeouts: {timeouts}}}]"
        )]);
        let upstream = forwarded(&compiled, &GET);
        assert_eq!(upstream.timeout_ms, expected, "{timeouts}");
        let retries = upstream.retries.map(|retries| retries.per_try_timeout_ms);
        assert_eq!(retries, Some(None), "{timeouts}");
    }
}

/// `HTTPRouteRequestMirror` and `HTTPRouteRequestMultipleMirrors`.
#[test]
fn http_route_request_mirror() {
    let mirrored = |filters: &str| {
        let compiled = routes(&[&format!(
            "[{{backendRefs: [{{name: v1, port: 8080}}], filters: [{filters}]}}]"
        )]);
        forwarded(&compiled, &GET).mirrors
    };
    let mirror = |name: &str, share: &str| {
        format!("{{type: RequestMirror, requestMirror: {{backendRef: {{name: {name}, port: 8080}}{share}}}}}")
    };
    let (v2, v3) = ("v2.infra.svc.cluster.local", "v3.infra.svc.cluster.local");
    for share in [
        "",
        ", percent: 100",
        ", fraction: {numerator: 100}",
        ", fraction: {numerator: 7, denominator: 7}",
    ] {
        assert_eq!(mirrored(&mirror("v2", share)), [v2], "{share}");
    }
    for share in [
        ", percent: 0",
        ", fraction: {numerator: 0}",
        ", fraction: {numerator: 0, denominator: 1}",
    ] {
        assert_eq!(mirrored(&mirror("v2", share)), [""; 0], "{share}");
    }
    assert_eq!(
        mirrored(&format!("{}, {}", mirror("v3", ""), mirror("v2", ""))),
        [v3, v2]
    );
    assert_eq!(
        mirrored(
            "{type: RequestMirror, requestMirror: {backendRef: {group: networking.istio.io, kind: Hostname, name: api.example.net, port: 8080}}}"
        ),
        ["api.example.net"]
    );
}

/// `HTTPRouteRequestPercentageMirror`
#[test]
fn http_route_request_percentage_mirror() {
    const STEPS: u64 = 2000;
    for (share, expected) in [
        ("percent: 20", 0.2),
        ("fraction: {numerator: 20}", 0.2),
        ("fraction: {numerator: 3, denominator: 4}", 0.75),
        ("fraction: {numerator: 1500000000, denominator: 2000000000}", 0.75),
    ] {
        let compiled = routes(&[&format!(
            "[{{backendRefs: [{{name: v1, port: 8080}}], filters: [{{type: RequestMirror, requestMirror: {{backendRef: {{name: v2, port: 8080}}, {share}}}}}]}}]"
        )]);
        let copied = (0..STEPS).filter(|entropy| {
            let explained = GET.ask(|request, known| explain(&compiled.snapshot, request, known, *entropy));
            matches!(explained.verdict, Verdict::Forward(to) if !to.mirrors.is_empty())
        });
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let copied = copied.count() as f64 / STEPS as f64;
        assert!((copied - expected).abs() < 0.04, "{share}: {copied}");
    }
}

/// Over TLS to the server name of the host, on port 443.
fn over_tls<'s>(sni: Option<&'s str>, host: &'s str) -> Sent<'s> {
    Sent {
        sni,
        host,
        port: 443,
        scheme: Scheme::Https,
        ..GET
    }
}

/// `GatewayWithTLS` and `HTTPRouteHTTPSListener`: a section is reached by its own name, and requests for another's are 421.
#[test]
fn https_listeners() {
    let secrets = ["infra/a", "apps/b"].map(|name| {
        let (namespace, name) = name.split_once('/').unwrap();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\nstringData: {{tls.crt: c, tls.key: k}}\n---\n"
        )
    });
    let grant = resource(
        "ReferenceGrant",
        "apps/from-infra",
        "{from: [{group: gateway.networking.k8s.io, kind: Gateway, namespace: infra}], to: [{group: '', kind: Secret, name: b}]}",
    );
    let gateway = resource(
        "Gateway",
        "gw",
        "{gatewayClassName: istio, listeners: [
          {name: http, port: 80, protocol: HTTP},
          {name: a, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: a}]}},
          {name: b, port: 443, protocol: HTTPS, hostname: '*.b.test', tls: {mode: Terminate, certificateRefs: [{kind: Secret, group: '', name: b, namespace: apps}]}}]}",
    );
    let route = |name: &str, parent: &str, backend: &str| {
        resource(
            "HTTPRoute",
            name,
            &format!(
                "{{parentRefs: [{{name: gw{parent}}}], rules: [{{backendRefs: [{{name: {backend}, port: 8080}}]}}]}}"
            ),
        )
    };
    let text = [
        BACKENDS,
        &secrets.concat(),
        &grant,
        &gateway,
        &route("a", ", sectionName: a", "v1"),
        &route("b", ", sectionName: b", "v2"),
        &route("plain", ", port: 80", "v3"),
    ]
    .concat();
    let compiled = compiled(&text, &Settings::default());
    expect(
        &compiled,
        &[
            (over_tls(Some("a.test"), "a.test"), "v1 /"),
            (over_tls(Some("x.b.test"), "x.b.test"), "v2 /"),
            (over_tls(Some("x.b.test"), "y.b.test"), "v2 /"),
            (over_tls(Some("a.test"), "x.b.test"), "421"),
            (over_tls(Some("x.b.test"), "a.test"), "421"),
            (over_tls(Some("b.test"), "b.test"), "421"),
            (over_tls(None, "a.test"), "421"),
            (at("a.test", "/"), "v3 /"),
        ],
    );
    let servers = compiled.snapshot.tls_servers();
    let labels: Vec<(&str, usize)> = servers
        .iter()
        .map(|server| (&*server.label, server.certificates.len()))
        .collect();
    assert_eq!(labels, [("infra/gw listeners[1]", 1), ("infra/gw listeners[2]", 1)]);
}

#[test]
fn classes_and_labels_say_which_gateways_are_served() {
    let served = |before: &str, class: &str, settings: &Settings| {
        let gateway = format!("{{gatewayClassName: {class}, listeners: [{{name: http, port: 80, protocol: HTTP}}]}}");
        let route = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: v1, port: 8080}]}]}";
        let text = format!(
            "{BACKENDS}{before}{}{}",
            resource("Gateway", "gw", &gateway),
            resource("HTTPRoute", "route", route)
        );
        came(&compiled(&text, settings), &GET) == "v1 /"
    };
    let plain = Settings::default();
    let class = |controller: &str| resource("GatewayClass", "mine", &format!("{{controllerName: {controller}}}"));
    assert!(served("", "istio", &plain) && served("", "lockgate", &plain));
    assert!(!served("", "nginx", &plain));
    assert!(served(&class("istio.io/gateway-controller"), "mine", &plain));
    assert!(!served(&class("example.com/other"), "mine", &plain));
    let made_for = |name: &str, namespace: &str| Settings {
        namespace: namespace.into(),
        labels: vec![("gateway.networking.k8s.io/gateway-name".into(), name.into())],
        ..Settings::default()
    };
    assert!(served("", "istio", &made_for("gw", "infra")));
    assert!(!served("", "istio", &made_for("other", "infra")));
    assert!(!served("", "istio", &made_for("gw", "apps")));
}

/// Policies refer to Gateways of both kinds.
#[test]
fn a_policy_applies_by_its_target_ref() {
    let policy = |target: &str| {
        format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: deny, namespace: istio-system}}
spec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {target}}}], action: DENY, rules: [{{}}]}}
---
"
        )
    };
    let route = "{parentRefs: [{name: gw}], rules: [{backendRefs: [{name: v1.infra.svc.cluster.local, kind: Hostname, group: networking.istio.io, port: 8080}]}]}";
    let base = format!(
        "{BACKENDS}{}{}",
        resource("Gateway", "istio-system/gw", SAME_NAMESPACE),
        resource("HTTPRoute", "istio-system/route", route)
    );
    for (target, expected) in [("gw", "403"), ("other", "v1 /")] {
        let compiled = compiled(&format!("{base}{}", policy(target)), &Settings::default());
        assert_eq!(came(&compiled, &GET), expected, "{target}");
    }
}

/// In a cluster each Gateway has a gateway of its own, and a policy for one is no other's. `core/tests/diagnostics` has
/// what is said of one here that names some of them; a gateway that was made for one takes it.
#[test]
fn a_policy_for_one_gateway_is_for_no_other() {
    let gateway = |name: &str, port: u16| {
        let spec = format!("{{gatewayClassName: istio, listeners: [{{name: web, port: {port}, protocol: HTTP}}]}}");
        resource("Gateway", &format!("istio-system/{name}"), &spec)
    };
    let policy = |name: &str, action: &str| {
        format!(
            "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: istio-system}}
spec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {name}}}], action: {action}, rules: [{{}}]}}
---
"
        )
    };
    let route = "{parentRefs: [{name: public}, {name: internal}], rules: [{backendRefs: [{name: v1.infra.svc.cluster.local, kind: Hostname, group: networking.istio.io, port: 8080}]}]}";
    let text = format!(
        "{BACKENDS}{}{}{}{}{}",
        gateway("public", 80),
        gateway("internal", 80),
        resource("HTTPRoute", "istio-system/route", route),
        policy("public", "DENY"),
        policy("internal", "ALLOW")
    );
    for (name, expected) in [("public", "403"), ("internal", "v1 /")] {
        let settings = Settings {
            labels: vec![("gateway.networking.k8s.io/gateway-name".into(), name.into())],
            ..Settings::default()
        };
        assert_eq!(came(&compiled(&text, &settings), &GET), expected, "{name}");
    }
}

/// The two worlds share a port, each with hosts of its own.
#[test]
fn istio_and_gateway_api_share_a_port() {
    let istio = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: infra}
spec: {servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: old, namespace: infra}
spec: {hosts: ['*'], gateways: [gw], http: [{directResponse: {status: 204}}]}
---
";
    let route = "{parentRefs: [{name: gw}], hostnames: [new.test], rules: [{backendRefs: [{name: v1, port: 8080}]}]}";
    let text = format!(
        "{BACKENDS}{istio}{}{}",
        resource("Gateway", "gw", SAME_NAMESPACE),
        resource("HTTPRoute", "route", route)
    );
    let compiled = compiled(&text, &Settings::default());
    expect(
        &compiled,
        &[(at("new.test", "/"), "v1 /"), (at("old.test", "/"), "204")],
    );
}

#[test]
fn explanations_name_the_fields_of_an_http_route() {
    let compiled = routes(&["[{matches: [{path: {value: /a}}], backendRefs: [{name: v1, port: 8080}]}]"]);
    let explained = path("/b").explained_by(&compiled).to_string();
    for part in ["infra/route0/rules[0]", "path", "PathPrefix: /a"] {
        assert!(explained.contains(part), "{part}\n{explained}");
    }
}
