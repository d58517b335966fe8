//! Who may send what: certificates, tokens and server names in policies, fact by fact.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

mod support;

use lockgate_core::compile::Settings;
use support::Outcome::Denied;
use support::{GET, Sent, compiled, condition, istio, rule_matches};

fn as_peer<'s>(uri_names: &'s [&'s str]) -> Sent<'s> {
    Sent { uri_names, ..GET }
}

fn bearing(token: &str) -> Sent<'_> {
    Sent {
        token: Some(token),
        ..GET
    }
}

const BOT: &str = "spiffe://cluster.local/ns/team/sa/bot";

#[test]
fn principals_are_the_spiffe_id_of_the_certificate() {
    for (value, hits, misses) in [
        (
            "cluster.local/ns/team/sa/bot",
            &[BOT][..],
            &[
                "spiffe://cluster.local/ns/team/sa/bot2",
                "spiffe://Cluster.local/ns/team/sa/bot",
            ][..],
        ),
        ("*", &[BOT, "spiffe://a"], &["https://cluster.local"]),
        (
            "cluster.local/ns/team/*",
            &[BOT],
            &["spiffe://cluster.local/ns/team2/sa/bot"],
        ),
        (
            "*/ns/team/sa/bot",
            &[BOT, "spiffe://other/ns/team/sa/bot"],
            &["spiffe://cluster.local/ns/team/sa/x"],
        ),
    ] {
        let values = format!("['{value}']");
        for uri in hits {
            condition(
                "source.principal",
                &values,
                &[as_peer(&[uri]), as_peer(&["https://x", uri])],
                &[],
            );
        }
        for uri in misses {
            condition("source.principal", &values, &[], &[as_peer(&[uri]), GET]);
        }
        let rule = format!("{{from: [{{source: {{principals: ['{value}']}}}}]}}");
        assert!(rule_matches(&rule, &as_peer(&[hits[0]])) && !rule_matches(&rule, &as_peer(&[misses[0]])));
    }
}

/// CVE-2026-39350: a dot is a dot, and nothing beyond the namespace or account is looked at.
#[test]
fn namespaces_and_accounts_are_compared_literally() {
    let id = |id: &'static str| -> &'static [&'static str] { Vec::leak(vec![id]) };
    let bot = as_peer(&[BOT]);
    condition(
        "source.namespace",
        "[team]",
        &[bot],
        &[GET, as_peer(id("spiffe://cluster.local/ns/teams/sa/bot"))],
    );
    condition(
        "source.namespace",
        "['te*', 'x*y*z']",
        &[bot, as_peer(id("spiffe://c/ns/xayaz/sa/b"))],
        &[as_peer(id("spiffe://c/ns/xz/sa/b"))],
    );
    condition(
        "source.namespace",
        "['*ea*']",
        &[bot],
        &[as_peer(id("spiffe://c/ns/other/sa/b"))],
    );
    let dotted = as_peer(id("spiffe://cluster.local/ns/team/sa/b.t"));
    condition("source.serviceAccount", "[team/b.t]", &[dotted], &[bot]);
    // Without a namespace it is the policy's own.
    let own = as_peer(id("spiffe://cluster.local/ns/istio-system/sa/bot"));
    condition("source.serviceAccount", "[bot]", &[own], &[bot]);
    condition("source.serviceAccount", "[team/bot, x]", &[bot], &[own]);
    condition(
        "source.trustDomain",
        "[cluster.local]",
        &[bot],
        &[GET, as_peer(id("spiffe://cluster-local/ns/team/sa/bot"))],
    );
    condition(
        "source.trustDomain",
        "['cluster*']",
        &[bot],
        &[as_peer(id("spiffe://other/ns/team/sa/bot"))],
    );
    let rule =
        "{from: [{source: {namespaces: [team], trustDomains: [cluster.local]}}, {source: {serviceAccounts: [a/b]}}]}";
    assert!(rule_matches(rule, &as_peer(&[BOT])) && !rule_matches(rule, &GET));
}

/// Whoever is kept out by namespace or account is kept out under any id that Istio knows it by, and no such id opens.
#[test]
fn an_id_with_more_segments_closes_as_in_istio_and_opens_nothing() {
    let only =
        "{action: ALLOW, rules: [{from: [{source: {namespaces: [team]}}, {source: {serviceAccounts: [team/bot]}}]}]}";
    for (closing, is_by_namespace) in [
        (
            "{action: DENY, rules: [{from: [{source: {namespaces: [team]}}]}]}",
            true,
        ),
        (
            "{action: DENY, rules: [{from: [{source: {namespaces: ['te*m']}}]}]}",
            true,
        ),
        (
            "{action: DENY, rules: [{from: [{source: {serviceAccounts: [team/bot]}}]}]}",
            false,
        ),
        (
            "{action: ALLOW, rules: [{from: [{source: {notNamespaces: [team]}}]}]}",
            true,
        ),
        (
            "{action: ALLOW, rules: [{from: [{source: {notServiceAccounts: [team/bot]}}]}]}",
            false,
        ),
        (
            "{action: DENY, rules: [{when: [{key: source.namespace, values: [x, team]}]}]}",
            true,
        ),
        (
            "{action: DENY, rules: [{when: [{key: source.serviceAccount, values: [x/y, team/bot]}]}]}",
            false,
        ),
        (
            "{action: DENY, rules: [{from: [{source: {notNamespaces: [other]}}]}]}",
            true,
        ),
    ] {
        for (id, is_bot) in [
            ("td/ns/team/sa/bot", true),
            ("td/ns/team/sa/bot/pod/x", true),
            ("td/region/eu/ns/team/sa/bot", true),
            ("td/ns/team/cluster/c1/sa/bot", true),
            ("td/ns/other/sa/x/ns/team/sa/bot", true),
            ("td/ns/team/sa/evil/v2", false),
        ] {
            let uri = format!("spiffe://{id}");
            let denied = is_by_namespace || is_bot;
            // Beside a thousand others it is found in an index.
            let many = (0..1000).map(|at| {
                format!("{{from: [{{source: {{serviceAccounts: [n{at}/x]}}}}, {{source: {{namespaces: [n{at}]}}}}]}}")
            });
            let many = closing.replace(
                "rules: [",
                &format!("rules: [{}, ", many.collect::<Vec<_>>().join(", ")),
            );
            for policy in [closing, &many] {
                let is_denied = as_peer(&[&uri]).to(&istio(&[policy])) == Denied;
                assert_eq!(is_denied, denied, "{id} {closing}");
            }
            assert_eq!(
                as_peer(&[&uri]).to(&istio(&[only])) == Denied,
                id != "td/ns/team/sa/bot",
                "{id}"
            );
        }
        let stranger = as_peer(&["spiffe://td/ns/other/sa/bot/ns/x"]);
        assert_ne!(
            stranger.to(&istio(&[closing])) == Denied,
            !closing.contains("notNamespaces: [other]"),
            "{closing}"
        );
    }
}

const ANN: &str = r#"{"iss":"https://i.test/x","sub":"ann","aud":["a","b"],"azp":"app","groups":["dev","ops"],"scope":"read admin","role":"read admin","n":7,"t":true,"z":null,"o":{"p":"deep","q":[{"r":"no"}]},"e":"","g.h":"dot","l":[["in"],"out"]}"#;

/// [run] Split at the last slash; both parts are matched by themselves; both must be there.
#[test]
fn request_principals_are_issuer_and_subject() {
    for (value, hits) in [
        ("*", true),
        ("https://i.test/x/ann", true),
        ("https://i.test/x/*", true),
        ("https://i.test/x/a*", true),
        ("https://i.test/x/b*", false),
        ("https://i.test/*", false),
        ("https://i.test/x", false),
        ("*/ann", true),
        ("*x/ann", true),
        // Of two stars the value's first wins, and the other is a letter.
        ("*/*", false),
        ("*/an*", false),
        ("*/*nn", false),
        ("https://i.test/x/*nn", false),
        ("https://i.test*/ann", false),
        ("*nn", true),
        ("*ops", false),
        ("https*", true),
        ("https://i*", false),
        ("*/x/ann", true),
    ] {
        let (hit, miss): (&[Sent<'_>], &[Sent<'_>]) = if hits {
            (&[bearing(ANN)], &[GET])
        } else {
            (&[], &[bearing(ANN), GET])
        };
        condition("request.auth.principal", &format!("['{value}']"), hit, miss);
        let rule = format!("{{from: [{{source: {{requestPrincipals: ['{value}']}}}}]}}");
        assert_eq!(rule_matches(&rule, &bearing(ANN)), hits, "{value}");
    }
    for token in [
        r#"{"iss":"i"}"#,
        r#"{"sub":"s"}"#,
        r#"{"iss":"i","sub":""}"#,
        r#"{"iss":1,"sub":"s"}"#,
    ] {
        condition("request.auth.principal", "['*']", &[], &[bearing(token)]);
    }
    // A subject with a slash cannot be named exactly.
    condition(
        "request.auth.principal",
        "['i/a/b']",
        &[],
        &[bearing(r#"{"iss":"i","sub":"a/b"}"#)],
    );
}

/// [run] A claim matches as a string or in a list; numbers, booleans, null and objects never do, not even `*`.
#[test]
fn claims_match_strings_and_lists_of_strings() {
    for (key, values, expected) in [
        ("request.auth.claims[groups]", "[ops]", true),
        ("request.auth.claims[groups]", "['*']", true),
        ("request.auth.claims[groups]", "['d*']", true),
        ("request.auth.claims[groups]", "['dev,ops']", false),
        ("request.auth.claims[scope]", "[read]", true),
        ("request.auth.claims[role]", "[read]", false),
        ("request.auth.claims[role]", "['read admin']", true),
        ("request.auth.claims[n]", "['7', '*']", false),
        ("request.auth.claims[t]", "['true', '*']", false),
        ("request.auth.claims[z]", "['*']", false),
        ("request.auth.claims[e]", "['*']", false),
        ("request.auth.claims[o]", "['*']", false),
        ("request.auth.claims[o][p]", "[deep]", true),
        ("request.auth.claims[o][q][r]", "['*']", false),
        ("request.auth.claims[g.h]", "[dot]", true),
        ("request.auth.claims[g][h]", "['*']", false),
        ("request.auth.claims[l]", "[in]", false),
        ("request.auth.claims[l]", "[out]", true),
        ("request.auth.claims[iss]", "['https://i.test/x']", true),
        ("request.auth.audiences", "[b]", true),
        ("request.auth.audiences", "[c]", false),
        ("request.auth.presenter", "[app]", true),
        ("request.auth.presenter", "['*p']", true),
    ] {
        if expected {
            condition(key, values, &[bearing(ANN)], &[GET]);
        } else {
            condition(key, values, &[], &[bearing(ANN), GET]);
        }
    }
}

#[test]
fn the_server_name_is_the_one_of_tls() {
    let named = |sni| Sent { sni: Some(sni), ..GET };
    condition(
        "connection.sni",
        "[a.test]",
        &[named("a.test")],
        &[GET, named("b.test")],
    );
    condition(
        "connection.sni",
        "['*.test']",
        &[named("a.test")],
        &[GET, Sent { host: "a.test", ..GET }],
    );
    condition("connection.sni", "['*']", &[named("a.test")], &[GET]);
}

#[test]
fn explain_shows_what_was_seen_and_wanted_of_every_kind_and_never_a_token() {
    let rules = "{rules: [{from: [{source: {principals: [a/ns/b/sa/c]}}]}, {from: [{source: {serviceAccounts: [x/y]}}]}, {from: [{source: {notRequestPrincipals: ['*']}}]}, {to: [{operation: {paths: ['/v1/{*}']}}]}, {when: [{key: 'request.auth.claims[groups]', values: [admin]}]}, {when: [{key: remote.ip, notValues: [198.51.100.0/24]}]}, {when: [{key: 'request.headers[authorization]', values: [x]}]}, {when: [{key: 'request.headers[:path]', values: ['/b?c']}]}]}";
    let sent = Sent {
        uri_names: &[BOT],
        headers: &[("authorization", "Bearer of-the-client")],
        target: "/a?q",
        ..bearing(ANN)
    };
    let explained = sent.explained_by(&istio(&[rules]));
    let failed: Vec<_> = explained.policies[0]
        .rules
        .iter()
        .map(|rule| {
            let failed = rule.failed.as_ref().unwrap();
            (failed.field.as_str(), failed.seen.as_deref(), failed.wanted.join(" "))
        })
        .collect();
    assert_eq!(
        failed,
        [
            (
                "principals",
                Some("cluster.local/ns/team/sa/bot"),
                "a/ns/b/sa/c".to_owned()
            ),
            ("serviceAccounts", Some("team/bot"), "x/y".to_owned()),
            ("notRequestPrincipals", Some("https://i.test/x/ann"), "*".to_owned()),
            ("paths", Some("/a"), "/v1/{*}".to_owned()),
            ("request.auth.claims[groups]", Some("dev | ops"), "admin".to_owned()),
            ("remote.ip", Some("198.51.100.1"), "198.51.100.0/24".to_owned()),
            ("request.headers[authorization]", Some("«not shown»"), "x".to_owned()),
            ("request.headers[:path]", Some("/a?q"), "/b?c".to_owned()),
        ]
    );
    assert!(!explained.to_string().contains("of-the-client"));
    assert_eq!(sent.to(&istio(&[rules])), Denied);
}

/// `cluster.local` stands for the mesh's own trust domain, and an identity of an alias counts as the mesh's.
#[test]
fn a_principal_of_the_mesh_matches_under_every_alias() {
    let outcome = |mesh: &str, principal: &str, uri: &str| {
        let text = format!(
            "apiVersion: lockgate.dev/v1\nkind: MeshConfig\nmetadata: {{name: mesh, namespace: istio-system}}\nspec: {mesh}\n---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: istio-system}}\nspec: {{action: DENY, rules: [{{from: [{{source: {{principals: ['{principal}']}}}}]}}]}}\n"
        );
        as_peer(&[uri]).to(&compiled(&text, &Settings::default())) == Denied
    };
    const MESH: &str = "{trustDomain: new, trustDomainAliases: [old, older]}";
    for (mesh, principal, uri, expected) in [
        (
            "{}",
            "cluster.local/ns/a/sa/b",
            "spiffe://cluster.local/ns/a/sa/b",
            true,
        ),
        (MESH, "cluster.local/ns/a/sa/b", "spiffe://new/ns/a/sa/b", true),
        (MESH, "cluster.local/ns/a/sa/b", "spiffe://older/ns/a/sa/b", true),
        (MESH, "old/ns/a/sa/b", "spiffe://new/ns/a/sa/b", true),
        (MESH, "new/ns/a/sa/b", "spiffe://old/ns/a/sa/b", true),
        (MESH, "new/ns/a/sa/b", "spiffe://old/ns/a/sa/c", false),
        (MESH, "other/ns/a/sa/b", "spiffe://new/ns/a/sa/b", false),
        (MESH, "*/ns/a/sa/b", "spiffe://other/ns/a/sa/b", true),
        // Not a whole identity, so not rewritten.
        (MESH, "new/*", "spiffe://old/ns/a/sa/b", false),
        (MESH, "new/*", "spiffe://new/ns/a/sa/b", true),
    ] {
        assert_eq!(outcome(mesh, principal, uri), expected, "{mesh} {principal} {uri}");
    }
}
