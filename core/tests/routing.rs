//! What VirtualServices do with requests: each row is one sentence of `docs/routing.md`.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::path::Path;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::explain::{HeaderChanged, Verdict};
use lockgate_core::request::Scheme;
use support::{GET, Sent, compiled};

const EXAMPLE: &str = include_str!("../../examples/routing/routing.yaml");

const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}
  - {port: {number: 8080, name: other, protocol: HTTP}, hosts: ['*']}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test, b.test, c.default.svc.cluster.local], resolution: DNS, ports: [{number: 8000, name: http}]}
---
";

/// Each `http` list becomes a VirtualService for every host, in this order.
fn services(lists: &[&str]) -> Compiled {
    let services = lists.iter().enumerate().map(|(index, http)| {
        format!(
            "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs{index}, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: {http}}}
---
"
        )
    });
    compiled(&format!("{EDGE}{}", services.collect::<String>()), &Settings::default())
}

/// What comes of a request, in a few words.
fn came(compiled: &Compiled, sent: &Sent<'_>) -> String {
    match sent.explained_by(compiled).verdict {
        Verdict::Forward(upstream) => {
            let host = upstream.set_headers.iter().find(|(name, _)| name == "host").unwrap();
            format!("{} {}{}", upstream.upstream, host.1, upstream.path)
        }
        Verdict::Redirect(redirect) => format!("{} {}", redirect.status, redirect.location),
        Verdict::Respond(answer) => format!("{} `{}`", answer.status, answer.body),
        Verdict::Refuse(refused) => refused.status.to_string(),
        other => panic!("{other:?}"),
    }
}

/// A rule that answers `yes` to what `matches` takes; everything else is 404.
#[track_caller]
fn takes(matches: &str, hits: &[Sent<'_>], misses: &[Sent<'_>]) {
    let http = format!("[{{match: [{matches}], directResponse: {{status: 200, body: {{string: 'yes'}}}}}}]");
    let compiled = services(&[&http]);
    for (sent, expected) in hits
        .iter()
        .map(|sent| (sent, "200 `yes`"))
        .chain(misses.iter().map(|sent| (sent, "404")))
    {
        assert_eq!(came(&compiled, sent), expected, "{matches} {sent:?}");
    }
}

fn target(target: &str) -> Sent<'_> {
    Sent { target, ..GET }
}

fn with<'s>(headers: &'s [(&'s str, &'s str)]) -> Sent<'s> {
    Sent { headers, ..GET }
}

#[test]
fn paths_are_matched_in_their_normal_form_and_without_the_query() {
    takes(
        "{uri: {exact: /a}}",
        &[target("/a"), target("/a?x"), target("/x/../%61")],
        &[target("/a/"), target("/A"), target("/ab")],
    );
    takes(
        "{uri: {prefix: /a}}",
        &[target("/a"), target("/ab"), target("/a/b")],
        &[target("/A"), target("/b?/a"), target("/")],
    );
    takes(
        "{uri: {regex: '/a|/b.*'}}",
        &[target("/a"), target("/bcd")],
        &[target("/ab"), target("/x/a")],
    );
    takes(
        "{uri: {exact: /aB}, ignoreUriCase: true}",
        &[target("/ab"), target("/AB")],
        &[target("/abc")],
    );
    takes(
        "{uri: {prefix: /aB}, ignoreUriCase: true}",
        &[target("/Abc")],
        &[target("/a")],
    );
    takes(
        "{uri: {regex: '/a'}, ignoreUriCase: true}",
        &[target("/a")],
        &[target("/A")],
    );
    takes("{uri: {}}", &[target("/"), target("/x")], &[]);
}

#[test]
fn authorities_are_compared_as_sent() {
    let host = |host| Sent { host, ..GET };
    for field in [
        "authority: {exact: test.com}",
        "headers: {Host: {exact: test.com}}",
        "headers: {':authority': {exact: test.com}}",
    ] {
        takes(
            &format!("{{{field}}}"),
            &[host("test.com")],
            &[host("test.com:80"), host("Test.com"), host("a.test")],
        );
    }
    takes(
        "{authority: {exact: 'test.com:80'}}",
        &[host("test.com:80")],
        &[host("test.com")],
    );
    takes("{authority: {prefix: T}}", &[host("Test.com")], &[host("test.com")]);
    takes(
        "{authority: {regex: '.*:8080'}}",
        &[host("test.com:8080")],
        &[host("test.com")],
    );
}

#[test]
fn methods_and_schemes_are_compared_with_case() {
    let post = Sent { method: "POST", ..GET };
    takes("{method: {exact: POST}}", &[post], &[GET]);
    takes("{method: {regex: 'P.*'}}", &[post], &[GET]);
    takes("{method: {exact: post}}", &[], &[post]);
    let secure = Sent {
        scheme: Scheme::Https,
        ..GET
    };
    takes("{scheme: {exact: https}}", &[secure], &[GET]);
    takes(
        "{headers: {':scheme': {prefix: http}, ':method': {exact: GET}}}",
        &[GET, secure],
        &[post],
    );
}

#[test]
fn any_value_of_a_repeated_header_makes_the_match() {
    takes(
        "{headers: {X-A: {exact: red}}}",
        &[with(&[("x-a", "red")]), with(&[("x-a", "blue"), ("X-A", " red ")])],
        &[
            GET,
            with(&[("x-a", "Red")]),
            with(&[("x-a", "red,blue")]),
            with(&[("x-b", "red")]),
        ],
    );
    takes("{headers: {x-a: {}}}", &[with(&[("x-a", "")])], &[GET]);
    takes("{headers: {x-a: {regex: '*'}}}", &[with(&[("x-a", "")])], &[GET]);
    takes(
        "{headers: {x-a: {regex: 'r.d'}}}",
        &[with(&[("x-a", "red")])],
        &[with(&[("x-a", "redd")])],
    );
    takes(
        "{headers: {x-a: {exact: red}, x-b: {prefix: b}}}",
        &[with(&[("x-a", "red"), ("x-b", "bc")])],
        &[with(&[("x-a", "red")])],
    );
}

#[test]
fn an_absent_header_counts_as_an_empty_one_where_it_must_not_match() {
    takes(
        "{withoutHeaders: {x-a: {exact: red}}}",
        &[GET, with(&[("x-a", "blue")])],
        &[with(&[("x-a", "blue"), ("x-a", "red")])],
    );
    takes("{withoutHeaders: {x-a: {}}}", &[GET], &[with(&[("x-a", "")])]);
    takes(
        "{withoutHeaders: {x-a: {regex: '.*'}}}",
        &[],
        &[GET, with(&[("x-a", "b")])],
    );
}

#[test]
fn the_first_parameter_of_a_name_counts_as_it_is_written() {
    takes(
        "{queryParams: {x: {exact: '1'}}}",
        &[target("/?x=1"), target("/?y&x=1&x=2")],
        &[
            GET,
            target("/?x=2&x=1"),
            target("/?X=1"),
            target("/?%78=1"),
            target("/?x=%31"),
            target("/?x"),
        ],
    );
    takes(
        "{queryParams: {x: {}}}",
        &[target("/?x"), target("/?x=")],
        &[target("/?y"), GET],
    );
    takes(
        "{queryParams: {x: {exact: ''}}}",
        &[target("/?x"), target("/?x=")],
        &[GET],
    );
}

#[test]
fn claims_are_those_of_a_verified_token() {
    let token = |token| Sent {
        token: Some(token),
        ..GET
    };
    let ann = token(r#"{"groups":["dev","ops"],"nested":{"team":"red"},"number":5}"#);
    takes(
        "{headers: {'@request.auth.claims.groups': {exact: ops}}}",
        &[ann],
        &[GET, token("{}")],
    );
    takes(
        "{headers: {'@request.auth.claims[nested][team]': {prefix: r}}}",
        &[ann],
        &[GET],
    );
    takes("{headers: {'@request.auth.claims.number': {exact: '5'}}}", &[], &[ann]);
    takes(
        "{withoutHeaders: {'@request.auth.claims.groups': {exact: ops}}}",
        &[GET, token("{}")],
        &[ann],
    );
    takes(
        "{withoutHeaders: {'@request.auth.claims.groups': {exact: ''}}}",
        &[GET],
        &[],
    );
}

#[test]
fn what_cannot_change_between_requests_takes_a_match_out() {
    let other = Sent { port: 8080, ..GET };
    takes("{port: 80}", &[GET], &[other]);
    takes("{sourceLabels: {istio: ingressgateway}}", &[GET, other], &[]);
    takes("{sourceLabels: {app: web}}", &[], &[GET]);
    takes("{sourceNamespace: istio-system}", &[GET], &[]);
    takes("{sourceNamespace: team}", &[], &[GET]);
    takes("{gateways: [edge], sourceLabels: {app: web}}", &[GET], &[]);
    takes("{gateways: [mesh]}", &[], &[GET]);
}

#[test]
fn the_first_rule_that_matches_decides_and_catch_alls_come_last() {
    let answer = |status: u16| format!("directResponse: {{status: {status}}}");
    let compiled = services(&[
        &format!(
            "[{{match: [{{uri: {{prefix: /a}}}}], {}}}, {{{}}}, {{match: [{{uri: {{exact: /c}}}}], {}}}]",
            answer(201),
            answer(202),
            answer(203)
        ),
        &format!(
            "[{{match: [{{uri: {{prefix: /a}}}}, {{uri: {{prefix: /b}}}}], {}}}, {{match: [{{uri: {{prefix: /}}}}], {}}}]",
            answer(204),
            answer(205)
        ),
    ]);
    for (path, expected) in [("/a", "201 ``"), ("/b", "204 ``"), ("/c", "202 ``"), ("/x", "202 ``")] {
        assert_eq!(came(&compiled, &target(path)), expected, "{path}");
    }
}

#[test]
fn the_older_resource_comes_first_whatever_its_kind() {
    let service = |name: &str, created: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: istio-system, creationTimestamp: {created}}}\nspec: {{hosts: [llm.test], gateways: [edge], http: [{{match: [{{headers: {{x-a: {{}}}}}}], directResponse: {{status: 200, body: {{string: {name}}}}}}}]}}\n---\n"
        )
    };
    let llm = "apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: llm, namespace: istio-system}
spec: {host: llm.test, path: /v1/chat/completions}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: chat, namespace: istio-system, creationTimestamp: '2026-01-02T00:00:00Z'}
spec: {host: llm.test, gateways: [edge], rules: [{matches: [{headers: {x-a: {}}}], backendRefs: [{providerHost: llm.test}]}]}
---
";
    let sent = Sent {
        host: "llm.test",
        method: "POST",
        body: Some("{}"),
        ..with(&[("x-a", "1")])
    };
    let younger = compiled(
        &format!("{EDGE}{}{llm}", service("web", "'2026-01-03T00:00:00Z'")),
        &Settings::default(),
    );
    assert_eq!(came(&younger, &sent), "llm.test llm.test/v1/chat/completions");
    let older = compiled(
        &format!("{EDGE}{llm}{}", service("web", "'2026-01-01T00:00:00Z'")),
        &Settings::default(),
    );
    assert_eq!(came(&older, &sent), "200 `web`");
}

#[test]
fn of_one_age_the_first_by_name_comes_first() {
    let service = |name: &str, namespace: &str, created: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}{created}}}\nspec: {{hosts: ['*'], gateways: [istio-system/edge], http: [{{match: [{{uri: {{prefix: /}}}}], directResponse: {{status: 200, body: {{string: {name}.{namespace}}}}}}}]}}\n---\n"
        )
    };
    let old = ", creationTimestamp: '2026-01-01T00:00:00Z'";
    for (first, second, expected) in [
        (("b", "a", old), ("a", "b", old), "200 `a.b`"),
        (("a", "b", old), ("a", "a", old), "200 `a.a`"),
        (("b", "a", ""), ("a", "a", ""), "200 `b.a`"),
        (("a", "a", ""), ("b", "a", old), "200 `b.a`"),
    ] {
        let text = |(name, namespace, created): (&str, &str, &str)| service(name, namespace, created);
        let compiled = compiled(&format!("{EDGE}{}{}", text(first), text(second)), &Settings::default());
        assert_eq!(came(&compiled, &target("/x")), expected, "{first:?} {second:?}");
    }
}

#[test]
fn the_second_pass_sees_the_providers_path_and_admits_no_plain_host() {
    let text = |prefix: &str| {
        format!("{EDGE}apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {{name: llm, namespace: istio-system}}
spec: {{host: llm.test, path: /v1/chat/completions}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec: {{hosts: [llm.test], gateways: [edge], http: [{{match: [{{uri: {{prefix: {prefix}}}}}], route: [{{destination: {{host: a.test}}}}]}}]}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {{name: chat, namespace: istio-system}}
spec: {{host: llm.test, gateways: [edge], rules: [{{backendRefs: [{{providerHost: llm.test}}]}}]}}
")
    };
    let sent = Sent {
        host: "llm.test",
        method: "POST",
        body: Some("{}"),
        ..GET
    };
    assert_eq!(
        came(&compiled(&text("/web"), &Settings::default()), &sent),
        "llm.test llm.test/v1/chat/completions"
    );
    assert_eq!(came(&compiled(&text("/v1"), &Settings::default()), &sent), "500");
}

/// A rule with `fields` beside a route to a.test.
fn routed(fields: &str) -> Compiled {
    services(&[&format!("[{{{fields}, route: [{{destination: {{host: a.test}}}}]}}]")])
}

#[test]
fn a_prefix_is_replaced_as_text() {
    for (matches, uri, path, sent) in [
        ("[{uri: {prefix: /v1}}]", "/v2", "/v1/chat?x=1", "/v2/chat?x=1"),
        ("[{uri: {prefix: /v1}}]", "/", "/v1/chat", "//chat"),
        ("[{uri: {prefix: /v1}}]", "/", "/v1", "/"),
        ("[{uri: {prefix: /v1/}}]", "/", "/v1/chat", "/chat"),
        ("[{uri: {prefix: /v1/}}]", "/v2", "/v1/chat", "/v2chat"),
        ("[{uri: {prefix: /V1}, ignoreUriCase: true}]", "/v2", "/v1x", "/v2x"),
        ("[{uri: {exact: /v1/chat}}]", "/v2", "/v1/chat?x", "/v2?x"),
        ("[{uri: {regex: '/v1.*'}}]", "/v2", "/v1/chat", "/v2"),
        ("[{method: {exact: GET}}]", "/v2/", "/chat", "/v2/chat"),
        ("[{uri: {prefix: /a}}, {uri: {prefix: /ab}}]", "/x", "/abc", "/xbc"),
        ("[{uri: {exact: /v1}}]", "'/v2?y=1'", "/v1", "/v2?y=1"),
    ] {
        let compiled = routed(&format!("match: {matches}, rewrite: {{uri: {uri}}}"));
        assert_eq!(
            came(&compiled, &target(path)),
            format!("a.test test.com{sent}"),
            "{matches} {uri}"
        );
    }
}

#[test]
fn every_match_of_an_expression_is_replaced() {
    for (pattern, with, path, sent) in [
        ("^/users/([0-9]+)$", r"/u/\1", "/users/7?x=1", "/u/7?x=1"),
        ("o", "0", "/foo/boo", "/f00/b00"),
        ("(.)(.*)", r"\1x\2", "/a", "/xa"),
        ("/nothing", "/x", "/a", "/a"),
        (r"^/(\w+)$", r"/get?id=\1", "/7", "/get?id=7"),
    ] {
        let compiled = routed(&format!(
            "rewrite: {{uriRegexRewrite: {{match: '{pattern}', rewrite: '{with}'}}}}"
        ));
        assert_eq!(
            came(&compiled, &target(path)),
            format!("a.test test.com{sent}"),
            "{pattern} {with}"
        );
    }
}

#[test]
fn a_rewrite_makes_no_path_that_was_not_judged() {
    for (fields, path) in [
        ("match: [{uri: {prefix: /v1}}], rewrite: {uri: /}", "/v1../admin"),
        ("match: [{uri: {prefix: /v1}}], rewrite: {uri: /}", "/v1.;x/admin"),
        (
            "rewrite: {uriRegexRewrite: {match: 'x(.)', rewrite: '\\1'}}",
            "/.x./admin",
        ),
        (
            "rewrite: {uriRegexRewrite: {match: '^/(.*)', rewrite: '\\1'}}",
            "/admin",
        ),
        (
            "rewrite: {uriRegexRewrite: {match: a, rewrite: b}}",
            "/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ),
    ] {
        assert_eq!(came(&routed(fields), &target(path)), "400", "{fields}");
    }
    assert_eq!(
        came(
            &routed("match: [{uri: {prefix: /v1}}], rewrite: {uri: /}"),
            &target("/v1../..a")
        ),
        "400"
    );
    assert_eq!(
        came(
            &routed("match: [{uri: {prefix: /v1}}], rewrite: {uri: /}"),
            &target("/v1...")
        ),
        "a.test test.com/..."
    );
}

#[test]
fn a_rewrite_may_climb_where_paths_are_taken_as_sent() {
    let mesh = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: mesh, namespace: istio-system}
spec: {pathNormalization: {normalization: NONE}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: vs, namespace: istio-system}
spec: {hosts: ['*'], gateways: [edge], http: [{rewrite: {uri: /a/../b/}, route: [{destination: {host: a.test}}]}]}
";
    let compiled = compiled(&format!("{EDGE}{mesh}"), &Settings::default());
    assert_eq!(came(&compiled, &target("/c")), "a.test test.com/a/../b/c");
}

#[test]
fn the_host_sent_is_the_clients_unless_the_configuration_says_another() {
    let host = Sent {
        host: "Test.com:80",
        ..GET
    };
    for (fields, sent) in [
        ("name: a", "Test.com:80"),
        ("rewrite: {authority: 'x.test:81'}", "x.test:81"),
        ("headers: {request: {set: {Host: y.test}}}", "y.test"),
        ("headers: {request: {add: {':authority': z.test}}}", "z.test"),
    ] {
        assert_eq!(came(&routed(fields), &host), format!("a.test {sent}/"), "{fields}");
    }
    let own = "[{name: a, headers: {request: {set: {host: rule.test}}}, route: [{destination: {host: a.test}, headers: {request: {set: {host: own.test}}}}]}]";
    assert_eq!(came(&services(&[own]), &host), "a.test rule.test/");
    let own = "[{route: [{destination: {host: a.test}, headers: {request: {set: {host: own.test}}}}]}]";
    assert_eq!(came(&services(&[own]), &host), "a.test own.test/");
}

/// The changes of a request, written `-name`, `name=value` and `name+=value`.
fn changes(compiled: &Compiled) -> Vec<String> {
    let Verdict::Forward(upstream) = GET.explained_by(compiled).verdict else {
        panic!("forwarded")
    };
    let changes = upstream.change_headers.iter().map(|change| match change {
        HeaderChanged::Remove { name } => format!("-{name}"),
        HeaderChanged::Set { name, value } => format!("{name}={value}"),
        HeaderChanged::Add { name, value } => format!("{name}+={value}"),
    });
    changes.collect()
}

#[test]
fn headers_change_in_the_order_that_envoy_makes_the_changes_in() {
    let rule = "headers: {request: {set: {X-B: b, x-a: a}, add: {x-c: c}, remove: [x-r]}}";
    let own = "headers: {request: {set: {x-a: own}, remove: [X-Own]}}";
    let lone = format!("[{{{rule}, route: [{{destination: {{host: a.test}}, {own}}}]}}]");
    assert_eq!(
        changes(&services(&[&lone])),
        ["-x-r", "-x-own", "x-a=a", "x-b=b", "x-a=own", "x-c+=c"]
    );
    let two = format!(
        "[{{{rule}, route: [{{destination: {{host: a.test}}, weight: 1, {own}}}, {{destination: {{host: b.test}}, weight: 0}}]}}]"
    );
    assert_eq!(
        changes(&services(&[&two])),
        ["-x-own", "x-a=own", "-x-r", "x-a=a", "x-b=b", "x-c+=c"]
    );
    let percent = "[{headers: {request: {set: {x-a: '100%%', authorization: Bearer s3cret}}}, route: [{destination: {host: a.test}}]}]";
    assert_eq!(
        changes(&services(&[percent])),
        ["authorization=«not shown»", "x-a=100%"]
    );
}

#[test]
fn redirects_keep_of_the_client_what_they_do_not_name() {
    let secure = Sent {
        scheme: Scheme::Https,
        ..GET
    };
    let host = |host| Sent {
        host,
        target: "/p?q=1",
        ..GET
    };
    for (redirect, sent, location) in [
        ("{uri: /to}", host("Test.com:80"), "301 http://Test.com:80/to?q=1"),
        ("{uri: '/to?own'}", host("test.com"), "301 http://test.com/to?own"),
        (
            "{authority: to.test}",
            host("test.com:8080"),
            "301 http://to.test/p?q=1",
        ),
        (
            "{authority: 'to.test:81', redirectCode: 307}",
            host("test.com"),
            "307 http://to.test:81/p?q=1",
        ),
        ("{scheme: https}", host("test.com:80"), "301 https://test.com/p?q=1"),
        (
            "{scheme: https}",
            host("test.com:8080"),
            "301 https://test.com:8080/p?q=1",
        ),
        (
            "{scheme: http}",
            Sent {
                host: "test.com:443",
                ..secure
            },
            "301 http://test.com/",
        ),
        ("{port: 81}", host("test.com:80"), "301 http://test.com:81/p?q=1"),
        ("{port: 80}", host("test.com:8080"), "301 http://test.com:8080/p?q=1"),
        (
            "{port: 443, scheme: https}",
            host("test.com:80"),
            "301 https://test.com/p?q=1",
        ),
        (
            "{derivePort: FROM_REQUEST_PORT, scheme: https}",
            host("[::1]:9"),
            "301 https://[::1]:80/p?q=1",
        ),
        (
            "{derivePort: FROM_PROTOCOL_DEFAULT, uri: /}",
            host("test.com:9"),
            "301 http://test.com:9/?q=1",
        ),
    ] {
        let compiled = services(&[&format!("[{{redirect: {redirect}}}]")]);
        assert_eq!(came(&compiled, &sent), location, "{redirect}");
    }
}

#[test]
fn a_port_is_left_out_by_the_scheme_of_its_listener() {
    for (redirect, location) in [
        ("{authority: to.test, port: 80}", "https://to.test/"),
        ("{authority: to.test, port: 443}", "https://to.test:443/"),
        ("{authority: to.test, port: 443, scheme: https}", "https://to.test/"),
        ("{authority: to.test, port: 80, scheme: https}", "https://to.test:80/"),
        (
            "{authority: to.test, derivePort: FROM_REQUEST_PORT}",
            "https://to.test/",
        ),
    ] {
        let text = format!(
            "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: mesh}}
spec: {{defaultConfig: {{gatewayTopology: {{numTrustedProxies: 1}}}}}}
---
{EDGE}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{redirect: {redirect}}}]}}
"
        );
        let compiled = compiled(&text, &Settings::default());
        let told = Sent {
            headers: &[("x-forwarded-proto", "https")],
            ..GET
        };
        assert_eq!(came(&compiled, &told), format!("301 {location}"), "{redirect}");
    }
}

#[test]
fn a_token_in_the_query_goes_nowhere() {
    let text = format!(
        "{EDGE}apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {{name: jwt, namespace: istio-system}}
spec: {{jwtRules: [{{issuer: i, jwks: '{{\"keys\":[{{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}}]}}', fromParams: [t]}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{match: [{{uri: {{prefix: /r}}}}], redirect: {{authority: other.test}}}}, {{rewrite: {{uri: /}}, route: [{{destination: {{host: a.test}}}}]}}]}}
"
    );
    let compiled = compiled(&text, &Settings::default());
    let sent = |target| Sent {
        token: Some("{}"),
        target,
        ..GET
    };
    assert_eq!(came(&compiled, &sent("/r?t=s3cret&x=1")), "301 http://other.test/r?x=1");
    assert_eq!(came(&compiled, &sent("/r?t=s3cret")), "301 http://other.test/r");
    assert_eq!(came(&compiled, &sent("/p?x=1&t=s3cret")), "a.test test.com/p?x=1");
    let shown = sent("/p?x=1&t=s3cret").explained_by(&compiled);
    assert!(!shown.to_string().contains("s3cret"), "{shown}");
}

#[test]
fn a_short_name_is_a_service_of_the_resources_namespace() {
    let text = format!(
        "{EDGE}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: default}}
spec: {{hosts: ['*'], gateways: [istio-system/edge], http: [{{route: [{{destination: {{host: c}}}}]}}]}}
"
    );
    let compiled = compiled(&text, &Settings::default());
    assert_eq!(came(&compiled, &GET), "c.default.svc.cluster.local test.com/");
}

#[test]
fn weights_share_the_traffic_and_a_lone_destination_takes_all() {
    let split = services(&[
        "[{route: [{destination: {host: a.test}, weight: 1}, {destination: {host: b.test}, weight: 3}, {destination: {host: a.test}, weight: 0}]}]",
    ]);
    let tables = split.snapshot.tables();
    let mut counts = std::collections::BTreeMap::new();
    for step in 0..64_u64 {
        GET.ask(|request, known| {
            let mut scratch = lockgate_core::decide::Scratch::new();
            let decision = lockgate_core::decide::decide(tables, request, known, step << 58, &mut scratch);
            let lockgate_core::decision::Decision::Forward(forward) = decision else {
                panic!("{decision:?}")
            };
            *counts.entry(forward.upstream.0).or_insert(0) += 1;
        });
    }
    assert_eq!(counts.into_values().collect::<Vec<_>>(), [16, 48]);
    let lone = services(&["[{route: [{destination: {host: a.test}, weight: 0}]}]"]);
    assert_eq!(came(&lone, &GET), "a.test test.com/");
}

#[test]
fn policy_judges_before_a_redirect_or_an_answer() {
    let policy = "apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}
---
";
    let text = format!("{policy}{EDGE}apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: vs, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{match: [{{uri: {{prefix: /admin}}}}], redirect: {{uri: /}}}}, {{match: [{{uri: {{prefix: /x}}}}], rewrite: {{uri: /admin}}, route: [{{destination: {{host: a.test}}}}]}}]}}
");
    let compiled = compiled(&text, &Settings::default());
    assert_eq!(came(&compiled, &target("/x/../admin")), "403");
    assert_eq!(came(&compiled, &target("/nowhere")), "404");
    // What the upstream is sent is the operator's rewrite of a path that was judged.
    assert_eq!(came(&compiled, &target("/x")), "a.test test.com/admin");
}

/// What `explain` says of the example, word for word; `LOCKGATE_UPDATE=1` rewrites it.
#[test]
fn the_example_is_explained() {
    let compiled = compiled(EXAMPLE, &Settings::default());
    let shop = |target| Sent {
        host: "shop.example.com",
        target,
        ..GET
    };
    let beta: &[(&str, &str)] = &[("x-beta", "true")];
    for (name, sent) in [
        ("routing-health.txt", shop("/healthz")),
        ("routing-redirect.txt", shop("/catalogue/shoes?size=40")),
        (
            "routing-beta.txt",
            Sent {
                headers: beta,
                ..shop("/api/orders")
            },
        ),
        ("routing-api.txt", shop("/api/orders?page=2")),
        ("routing-users.txt", shop("/users/42")),
        (
            "routing-moved.txt",
            Sent {
                host: "old.example.com",
                ..shop("/x")
            },
        ),
    ] {
        let actual = sent.explained_by(&compiled).to_string();
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain").join(name);
        if std::env::var_os("LOCKGATE_UPDATE").is_some() {
            std::fs::write(&path, &actual).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(actual, expected, "{name}: run with LOCKGATE_UPDATE=1 and read the diff");
    }
}
