//! AuthorizationPolicy as Envoy under Istio has it, fact by fact. What departs from it is in `docs/policy.md`.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod support;

use lockgate_core::compile::Settings;
use lockgate_core::decide::Scratch;
use lockgate_core::observe::observe;
use lockgate_core::request::Scheme;
use support::Outcome::{Allowed, Denied};
use support::{GET, Sent, compiled, condition, istio, rule_matches};

fn at(target: &str) -> Sent<'_> {
    Sent { target, ..GET }
}

fn on(host: &str) -> Sent<'_> {
    Sent { host, ..GET }
}

fn with<'s>(headers: &'s [(&'s str, &'s str)]) -> Sent<'s> {
    Sent { headers, ..GET }
}

#[test]
fn deny_goes_before_allow_and_allow_policies_switch_default_deny_on() {
    const DENY_A: &str = "{action: DENY, rules: [{to: [{operation: {paths: [/a]}}]}]}";
    const ALLOW_A: &str = "{rules: [{to: [{operation: {paths: [/a]}}]}]}";
    for (specs, at_a, at_b) in [
        (&[][..], Allowed, Allowed),
        (&[DENY_A], Denied, Allowed),
        (&[ALLOW_A], Allowed, Denied),
        (&[ALLOW_A, DENY_A], Denied, Denied),
        (&[ALLOW_A, "{rules: [{}]}"], Allowed, Allowed),
        // ALLOW with no rules denies everything; `rules: [{}]` matches everything.
        (&["{}"], Denied, Denied),
        (&["{rules: []}"], Denied, Denied),
        (&["{}", ALLOW_A], Allowed, Denied),
        (&["{action: DENY, rules: [{}]}", "{rules: [{}]}"], Denied, Denied),
        // AUDIT never changes the outcome, not even as the only policy.
        (&["{action: AUDIT, rules: [{}]}"], Allowed, Allowed),
        (&["{action: AUDIT}", DENY_A], Denied, Allowed),
    ] {
        let policies = istio(specs);
        assert_eq!(
            (at("/a").to(&policies), at("/b").to(&policies)),
            (at_a, at_b),
            "{specs:?}"
        );
    }
}

#[test]
fn policies_apply_by_namespace_labels_and_references() {
    let outcome = |namespace: &str, spec: &str, gateway_namespace: &str| {
        let text = format!(
            "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: gw, namespace: team}}\nspec: {{selector: {{istio: ingressgateway}}, servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]}}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: other, namespace: team}}\nspec: {{selector: {{istio: egress}}, servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]}}\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {{action: DENY, rules: [{{}}]{spec}}}\n"
        );
        let settings = Settings {
            namespace: gateway_namespace.to_owned(),
            ..Settings::default()
        };
        GET.to(&compiled(&text, &settings))
    };
    for (namespace, spec, own, expected) in [
        ("istio-system", "", "team", Denied),
        ("team", "", "team", Denied),
        ("team", "", "istio-system", Allowed),
        (
            "istio-system",
            ", selector: {matchLabels: {istio: ingressgateway}}",
            "team",
            Denied,
        ),
        (
            "istio-system",
            ", selector: {matchLabels: {istio: egress}}",
            "team",
            Allowed,
        ),
        (
            "istio-system",
            ", selector: {matchLabels: {istio: ingressgateway, app: x}}",
            "team",
            Allowed,
        ),
        (
            "team",
            ", targetRef: {group: networking.istio.io, kind: Gateway, name: gw}",
            "team",
            Denied,
        ),
        (
            "team",
            ", targetRefs: [{kind: Gateway, name: other}, {kind: Gateway, name: gw}]",
            "team",
            Denied,
        ),
        ("team", ", targetRef: {kind: Gateway, name: other}", "team", Allowed),
        ("team", ", targetRef: {kind: Gateway, name: absent}", "team", Allowed),
        ("team", ", targetRef: {kind: Service, name: gw}", "team", Allowed),
        // A reference never leaves the policy's namespace, nor lets it reach further than a selector would.
        (
            "istio-system",
            ", targetRef: {kind: Gateway, name: gw}",
            "team",
            Allowed,
        ),
        (
            "team",
            ", targetRef: {kind: Gateway, name: gw}",
            "istio-system",
            Allowed,
        ),
    ] {
        assert_eq!(outcome(namespace, spec, own), expected, "{namespace} {spec} {own}");
    }
}

#[test]
fn a_dry_run_is_never_enforced_and_does_not_switch_default_deny_on() {
    let with_annotation = |value: &str, spec: &str| {
        let text = format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: istio-system, annotations: {{istio.io/dry-run: '{value}'}}}}\nspec: {spec}\n"
        );
        let policies = compiled(&text, &Settings::default());
        (GET.to(&policies), GET.explained_by(&policies))
    };
    for word in ["1", "t", "T", "TRUE", "true", "True"] {
        let (outcome, explained) = with_annotation(word, "{action: DENY, rules: [{}]}");
        assert_eq!(outcome, Allowed, "{word}");
        assert!(explained.policies[0].dry_run && explained.policies[0].matched, "{word}");
        assert_eq!(with_annotation(word, "{}").0, Allowed, "{word}");
    }
    for word in ["0", "f", "F", "FALSE", "false", "False"] {
        assert_eq!(with_annotation(word, "{action: DENY, rules: [{}]}").0, Denied, "{word}");
    }
}

#[test]
fn fields_of_a_clause_are_anded_and_values_ored() {
    let rule = "{from: [{source: {ipBlocks: [10.0.0.0/8], notIpBlocks: [10.1.0.0/16]}}, {source: {ipBlocks: [::1]}}], to: [{operation: {methods: [POST, PUT], paths: [/a]}}, {operation: {paths: [/b]}}], when: [{key: 'request.headers[x]', values: [red, blue]}, {key: 'request.headers[y]', notValues: [nay]}]}";
    let sent = |peer, method, target, x| Sent {
        peer,
        method,
        target,
        headers: x,
        ..GET
    };
    for (peer, method, target, headers, expected) in [
        ("10.2.0.1", "POST", "/a", &[("x", "red")][..], true),
        ("10.1.0.1", "POST", "/a", &[("x", "red")], false),
        ("::1", "PUT", "/a", &[("x", "blue")], true),
        ("10.2.0.1", "GET", "/a", &[("x", "red")], false),
        ("10.2.0.1", "GET", "/b", &[("x", "red")], true),
        ("10.2.0.1", "GET", "/b", &[("x", "green")], false),
        ("10.2.0.1", "GET", "/b", &[("x", "red"), ("y", "nay")], false),
        ("10.2.0.1", "GET", "/b", &[("x", "red"), ("y", "yes")], true),
    ] {
        assert_eq!(
            rule_matches(rule, &sent(peer, method, target, headers)),
            expected,
            "{peer} {method} {target} {headers:?}"
        );
    }
}

/// [run] Negatives on a thing that is absent are true.
#[test]
fn negatives_hold_on_what_is_absent() {
    for rule in [
        "{from: [{source: {notPrincipals: ['*']}}]}",
        "{from: [{source: {notNamespaces: [team]}}]}",
        "{from: [{source: {notServiceAccounts: [team/bot]}}]}",
        "{from: [{source: {notTrustDomains: ['*']}}]}",
        "{from: [{source: {notRequestPrincipals: ['*']}}]}",
        "{when: [{key: 'request.headers[x]', notValues: ['*']}]}",
        "{when: [{key: 'request.auth.claims[a]', notValues: ['*']}]}",
        "{when: [{key: request.auth.audiences, notValues: ['*']}]}",
        "{when: [{key: connection.sni, notValues: ['*']}]}",
    ] {
        assert!(rule_matches(rule, &GET), "{rule}");
        let positive = rule
            .replace("notP", "p")
            .replace("notN", "n")
            .replace("notS", "s")
            .replace("notT", "t")
            .replace("notR", "r")
            .replace("notV", "v");
        assert!(!rule_matches(&positive, &GET), "{positive}");
    }
}

/// [run] `test.com` does not match `test.com:80`; case is ignored; a star is a plain prefix or suffix.
#[test]
fn hosts_are_compared_with_their_port_and_without_case() {
    for (values, hits, misses) in [
        (
            "[test.com]",
            &["test.com", "TEST.com"][..],
            &["test.com:80", "test.com.", "a.test.com"][..],
        ),
        ("[Test.COM]", &["test.com"], &["test.org"]),
        (
            "[test.com, 'test.com:*']",
            &["test.com", "test.com:80", "Test.com:8443"],
            &["test.com."],
        ),
        (
            "['*.test.com']",
            &["a.test.com", "x.y.test.com", ".test.com"],
            &["test.com", "a.test.com:80"],
        ),
        ("['*test.com']", &["evil-test.com", "test.com"], &["test.com:80"]),
        ("['test.*']", &["test.com", "test.org:1"], &["atest.com"]),
        ("['*']", &["a", "a:1"], &[]),
    ] {
        for (host, expected) in hits
            .iter()
            .map(|host| (host, true))
            .chain(misses.iter().map(|host| (host, false)))
        {
            let rule = format!("{{to: [{{operation: {{hosts: {values}}}}}]}}");
            assert_eq!(rule_matches(&rule, &on(host)), expected, "{values} {host}");
            let rule = format!("{{to: [{{operation: {{notHosts: {values}}}}}]}}");
            assert_eq!(rule_matches(&rule, &on(host)), !expected, "not {values} {host}");
        }
    }
}

/// [run] Only a star at the very start or end is special, and the leading one wins; values are not decoded.
#[test]
fn paths_are_compared_in_their_normal_form() {
    for (value, hits, misses) in [
        (
            "/a",
            &["/a", "/a?x=1", "/a#f", "/%61", "/x/../a", "/./a"][..],
            &["/A", "/a/", "//a", "/a%2f", "/a;x"][..],
        ),
        ("/a/*", &["/a/", "/a/b", "/a//"], &["/a", "/ab"]),
        ("*/b", &["/b", "/a/b"], &["/ab", "/b/"]),
        ("*v1*", &["/v1*"], &["/v1", "/v1/a"]),
        ("/v1/*/chat", &["/v1/*/chat"], &["/v1/a/chat"]),
        ("/v%31", &[], &["/v1", "/v%31"]),
        ("*", &["/"], &[]),
    ] {
        let rule = format!("{{to: [{{operation: {{paths: ['{value}']}}}}]}}");
        for (target, expected) in hits
            .iter()
            .map(|at| (at, true))
            .chain(misses.iter().map(|at| (at, false)))
        {
            assert_eq!(rule_matches(&rule, &at(target)), expected, "{value} {target}");
        }
    }
}

/// [run] `{*}` is one segment, `{**}` any number; both take every byte here, so `[` is no way past a DENY.
#[test]
fn path_templates_take_whole_segments() {
    for (value, hits, misses) in [
        (
            "/v1/{*}",
            &["/v1/a", "/v1/a%2fb", "/v1/a[b", "/v1/a|b"][..],
            &["/v1/", "/v1", "/v1/a/"][..],
        ),
        ("/v1/{**}", &["/v1/", "/v1//", "/v1/a/b"], &["/v1"]),
        ("/v1/{**}/chat", &["/v1//chat", "/v1/a/b/chat"], &["/v1/chat"]),
        ("/{*}/x/{**}", &["/a/x/", "/a/x/b"], &["/a/x"]),
        ("/admin/{**}", &["/admin/a[b", "/admin/a]b", "/admin/"], &["/admin"]),
    ] {
        let rule = format!("{{to: [{{operation: {{paths: ['{value}']}}}}]}}");
        for (target, expected) in hits
            .iter()
            .map(|at| (at, true))
            .chain(misses.iter().map(|at| (at, false)))
        {
            assert_eq!(rule_matches(&rule, &at(target)), expected, "{value} {target}");
        }
    }
}

#[test]
fn methods_keep_their_case_and_ports_are_the_listeners() {
    let by = |method| Sent { method, ..GET };
    let rule = "{to: [{operation: {methods: [GET, 'P*', delete]}}]}";
    for (method, expected) in [("GET", true), ("PUT", true), ("DELETE", false)] {
        assert_eq!(rule_matches(rule, &by(method)), expected, "{method}");
    }
    let rule = "{to: [{operation: {ports: ['80', '8080']}}]}";
    for (port, expected) in [(80, true), (8080, true), (443, false)] {
        assert_eq!(rule_matches(rule, &Sent { port, ..GET }), expected, "{port}");
        let condition = "{when: [{key: destination.port, values: ['80', '8080']}]}";
        assert_eq!(rule_matches(condition, &Sent { port, ..GET }), expected, "{port}");
    }
}

/// [run] CVE-2026-26308: each value of a repeated header is tested on its own, and lines are never split or joined.
#[test]
fn repeated_headers_are_tested_one_by_one() {
    let key = "request.headers[X-Team]";
    condition(
        key,
        "[red]",
        &[
            with(&[("x-team", "red")]),
            with(&[("X-TEAM", "red"), ("x-team", "blue")]),
            with(&[("x-team", " red ")]),
        ],
        &[
            GET,
            with(&[("x-team", "red,blue")]),
            with(&[("x-team", "Red")]),
            with(&[("x-teams", "red")]),
        ],
    );
    // A header needs only to be there for `*`, empty value included.
    condition(
        key,
        "['*']",
        &[with(&[("x-team", "")]), with(&[("x-team", "a")])],
        &[GET],
    );
    condition(
        key,
        "['re*']",
        &[with(&[("x-team", "red")])],
        &[with(&[("x-team", "are")])],
    );
    condition(
        key,
        "['*ed']",
        &[with(&[("x-team", "red")])],
        &[with(&[("x-team", "edge")])],
    );
}

/// [run] The authority by header is compared with its case and port: weaker than `hosts`, so `check` warns.
#[test]
fn pseudo_headers_and_host_are_read_as_sent() {
    for key in ["request.headers[host]", "request.headers[:authority]"] {
        condition(
            key,
            "[test.com]",
            &[on("test.com")],
            &[on("Test.com"), on("test.com:80")],
        );
        condition(key, "[Test.com]", &[on("Test.com")], &[on("test.com")]);
    }
    condition(
        "request.headers[:path]",
        "['/a?x=1', '*y']",
        &[at("/a?x=1"), at("/b?y"), at("/z/../y"), at("/y#f")],
        &[at("/a"), at("/a?x=1&z"), at("/y?")],
    );
    condition(
        "request.headers[:path]",
        "['/a?*']",
        &[at("/a?x"), at("/a?")],
        &[at("/a"), at("/ab")],
    );
    condition(
        "request.headers[:method]",
        "[GET]",
        &[GET],
        &[Sent { method: "PUT", ..GET }],
    );
    let tls = Sent {
        scheme: Scheme::Https,
        ..GET
    };
    condition("request.headers[:scheme]", "[https]", &[tls], &[GET]);
}

#[test]
fn addresses_are_those_of_the_connection() {
    let from = |peer| Sent { peer, ..GET };
    for key in ["source.ip", "remote.ip"] {
        condition(
            key,
            "[10.0.0.0/8, '2001:db8::/32', 127.0.0.3/30]",
            &[from("10.1.2.3"), from("2001:db8::1"), from("127.0.0.1")],
            &[
                from("11.0.0.1"),
                from("::1"),
                from("127.0.0.4"),
                from("::ffff:10.0.0.1"),
            ],
        );
        condition(key, "['::/0']", &[from("::1")], &[from("10.0.0.1")]);
    }
    // Nothing a client writes is an address, not without a trusted proxy.
    let forged = Sent {
        headers: &[
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
        ],
        ..GET
    };
    condition("remote.ip", "[10.0.0.1]", &[], &[forged]);
    condition("source.ip", "[10.0.0.1]", &[], &[forged]);
}

#[test]
fn audit_and_dry_runs_are_observed_and_decide_nothing() {
    let policy = |name: &str, dry_run: bool, spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: istio-system, annotations: {{istio.io/dry-run: '{dry_run}'}}}}\nspec: {spec}\n---\n"
        )
    };
    let at_a = "rules: [{to: [{operation: {paths: [/a]}}]}]";
    let audit = policy("audit", false, &format!("{{action: AUDIT, {at_a}}}"));
    let deny = policy("deny", true, &format!("{{action: DENY, {at_a}}}"));
    let allow = policy("allow", true, &format!("{{{at_a}}}"));
    let observed = |text: &str, target| {
        let policies = compiled(text, &Settings::default());
        assert_eq!(at(target).to(&policies), Allowed, "{text}");
        let tables = policies.snapshot.tables();
        let observation = at(target).ask(|request, known| observe(tables, request, &known, &mut Scratch::new()));
        (
            observation.audited.map(|policy| tables.policy_label(policy).to_owned()),
            observation.dry_run.map(|dry_run| tables.dry_run_in_words(dry_run)),
        )
    };
    let some = |text: &str| Some(text.to_owned());
    for (text, at_a, at_b) in [
        (audit.clone(), (some("istio-system/audit"), None), (None, None)),
        (
            deny.clone(),
            (None, some("denied by istio-system/deny rules[0]")),
            (None, some("allowed")),
        ),
        (
            allow.clone(),
            (None, some("allowed")),
            (None, some("denied, as no ALLOW matched")),
        ),
        (
            format!("{audit}{allow}{deny}"),
            (some("istio-system/audit"), some("denied by istio-system/deny rules[0]")),
            (None, some("denied, as no ALLOW matched")),
        ),
        (policy("enforced", false, "{rules: [{}]}"), (None, None), (None, None)),
    ] {
        assert_eq!((observed(&text, "/a"), observed(&text, "/b")), (at_a, at_b), "{text}");
    }
}
