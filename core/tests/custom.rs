//! CUSTOM policies: when an authorizer is asked, and what its answer does.
//!
//! What it is sent and which bytes of its answer count is tested with real ones (`gateway/tests/acceptance_ext_authz.rs`).

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::check::{AssumedAnswer, OwnedAnswer, OwnedField, OwnedSaid};
use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::decide::{Scratch, decide};
use lockgate_core::decision::{Decision, External, Refusal};
use lockgate_core::explain::{Question, Target, Verdict};
use lockgate_core::tables::AuthorizerId;
use support::{GET, Sent, compiled};

const FIRST: AuthorizerId = AuthorizerId(0);
const SECOND: AuthorizerId = AuthorizerId(1);

const ROUTE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: p, namespace: istio-system}
spec: {host: provider.test, path: /v1/chat/completions}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: q, namespace: istio-system}
spec: {host: other.test, path: /v1/chat/completions}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: r, namespace: istio-system}
spec:
  host: '*'
  gateways: [gw]
  rules:
  - name: vip
    matches: [{headers: {x-tier: {exact: vip}}}]
    backendRefs: [{providerHost: other.test}]
  - name: all
    matches: [{gateways: [gw], headers: {host: {exact: test.com}}}, {gateways: [gw], headers: {host: {exact: provider.test}}}]
    backendRefs: [{providerHost: provider.test}]
  - name: claimed
    matches: [{headers: {x-claimed: {exact: 'yes'}}}]
    backendRefs: [{providerHost: provider.test}]
---
";

/// Two authorizers; `clears` is the first one's `clearRouteCache`.
fn setup(policies: &str, clears: bool) -> Compiled {
    let mesh = format!(
        "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: edge, namespace: istio-system}}
spec:
  extensionProviders:
  - name: b-open
    envoyExtAuthzGrpc: {{service: b.test, port: 9000, failOpen: true}}
  - name: a-closed
    envoyExtAuthzHttp:
      service: a.test
      port: 8000
      statusOnError: '503'
      clearRouteCache: {clears}
      headersToUpstreamOnAllow: [X-User, x_user_*]
"
    );
    compiled(&format!("{ROUTE}{mesh}---\n{policies}"), &Settings::default())
}

fn policy(name: &str, action: &str, provider: &str, rules: &str) -> String {
    let provider = match provider {
        "" => String::new(),
        name => format!("provider: {{name: {name}}}, "),
    };
    format!(
        "apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {{name: {name}, namespace: istio-system}}
spec: {{action: {action}, {provider}rules: {rules}}}
---
"
    )
}

const CHAT: Sent<'static> = Sent {
    method: "POST",
    body: Some(r#"{"messages":[]}"#),
    ..GET
};

/// What comes of it, in a word or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Came {
    Check(AuthorizerId),
    ReadBody,
    VerifyToken,
    Refuse(Refusal),
    /// By the rule of that number.
    Forward(u32),
}

fn ask(compiled: &Compiled, sent: &Sent<'_>, answers: &[OwnedAnswer]) -> Came {
    let sent = Sent { answers, ..*sent };
    sent.ask(
        |request, known| match decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()) {
            Decision::Check(check) => Came::Check(check.authorizer),
            Decision::ReadBody => Came::ReadBody,
            Decision::VerifyToken(_) => Came::VerifyToken,
            Decision::Refuse(refusal) => Came::Refuse(refusal),
            Decision::Forward(forward) => Came::Forward(forward.rule.0),
            other => panic!("{other:?}"),
        },
    )
}

fn allow(authorizer: AuthorizerId, fields: &[(&str, Option<&str>)]) -> OwnedAnswer {
    let field = |(name, value): &(&str, Option<&str>)| OwnedField {
        name: (*name).into(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    OwnedAnswer {
        authorizer,
        said: OwnedSaid::Allow(fields.iter().map(field).collect()),
    }
}

fn answer(authorizer: AuthorizerId, said: OwnedSaid) -> OwnedAnswer {
    OwnedAnswer { authorizer, said }
}

const VIP: u32 = 0;
const ALL: u32 = 1;

#[test]
fn an_authorizer_is_asked_when_a_policy_matches_and_not_otherwise() {
    let rules = "[{to: [{operation: {paths: [/secret*]}}]}]";
    let compiled = setup(&policy("p", "CUSTOM", "a-closed", rules), false);
    let secret = Sent {
        target: "/secret/x",
        ..CHAT
    };
    assert_eq!(ask(&compiled, &CHAT, &[]), Came::Forward(ALL));
    assert_eq!(ask(&compiled, &secret, &[]), Came::Check(FIRST));
    assert_eq!(ask(&compiled, &secret, &[allow(FIRST, &[])]), Came::Forward(ALL));
}

#[test]
fn its_denial_and_its_silence_have_their_own_answers() {
    let policies = policy("p", "CUSTOM", "a-closed", "[{}]") + &policy("q", "CUSTOM", "b-open", "[{}]");
    let compiled = setup(&policies, false);
    let refused = |external| Came::Refuse(Refusal::External(FIRST, external));
    let said = |said| ask(&compiled, &CHAT, &[answer(FIRST, said)]);
    assert_eq!(said(OwnedSaid::Deny(401)), refused(External::Denied(401)));
    assert_eq!(said(OwnedSaid::Nothing), refused(External::Failed(503)));
    let Came::Refuse(too_large) = said(OwnedSaid::BodyTooLarge) else {
        panic!("too large a body is refused");
    };
    assert_eq!(too_large.status(), 413);
    // The second one lets pass while it says nothing, but not when it says no.
    let both = |second| ask(&compiled, &CHAT, &[allow(FIRST, &[]), answer(SECOND, second)]);
    assert_eq!(both(OwnedSaid::Nothing), Came::Forward(ALL));
    assert_eq!(
        both(OwnedSaid::Deny(403)),
        Came::Refuse(Refusal::External(SECOND, External::Denied(403)))
    );
}

#[test]
fn authorizers_are_asked_in_the_order_of_their_names_and_all_must_allow() {
    let policies = policy("p", "CUSTOM", "b-open", "[{}]") + &policy("q", "CUSTOM", "a-closed", "[{}]");
    let compiled = setup(&policies, false);
    let names: Vec<&str> = compiled.snapshot.authorizers().iter().map(|one| &*one.name).collect();
    assert_eq!(names, ["a-closed", "b-open"]);
    assert_eq!(ask(&compiled, &CHAT, &[]), Came::Check(FIRST));
    assert_eq!(ask(&compiled, &CHAT, &[allow(FIRST, &[])]), Came::Check(SECOND));
    assert_eq!(
        ask(&compiled, &CHAT, &[allow(FIRST, &[]), allow(SECOND, &[])]),
        Came::Forward(ALL)
    );
}

#[test]
fn what_an_authorizer_changes_is_what_everything_after_it_sees() {
    let policies = policy("p", "CUSTOM", "a-closed", "[{}]")
        + &policy(
            "q",
            "CUSTOM",
            "b-open",
            "[{when: [{key: 'request.headers[x-ask]', values: [both]}]}]",
        )
        + &policy(
            "r",
            "ALLOW",
            "",
            "[{when: [{key: 'request.headers[x-user]', values: [ann]}]}]",
        );
    let compiled = setup(&policies, false);
    let spoofing = Sent {
        headers: &[("x-user", "ann"), ("x-ask", "nobody")],
        ..CHAT
    };
    let denied = |came| matches!(came, Came::Refuse(Refusal::Denied(_)));
    assert!(denied(ask(&compiled, &CHAT, &[allow(FIRST, &[])])));
    assert!(denied(ask(&compiled, &spoofing, &[allow(FIRST, &[("x-user", None)])])));
    let is_ann = [("x-user", Some("ann"))];
    assert_eq!(ask(&compiled, &CHAT, &[allow(FIRST, &is_ann)]), Came::Forward(ALL));
    let asks_both = [("x-ask", Some("both")), ("x-user", Some("ann"))];
    assert_eq!(
        ask(&compiled, &spoofing, &[allow(FIRST, &asks_both)]),
        Came::Check(SECOND)
    );
    let changed_back = [allow(FIRST, &asks_both), allow(SECOND, &[("x-ask", None)])];
    assert_eq!(ask(&compiled, &spoofing, &changed_back), Came::Forward(ALL));
}

#[test]
fn its_changes_choose_the_route_only_when_it_says_so() {
    let changes = [allow(FIRST, &[("x-tier", Some("vip"))])];
    let policies = policy("p", "CUSTOM", "a-closed", "[{}]");
    // Pass 2 sees them in any case: with ASM's plugin between the passes, routes are matched anew.
    let keeps = setup(&policies, false);
    let as_it_was = ask(&keeps, &CHAT, &changes);
    assert!(
        matches!(as_it_was, Came::Refuse(Refusal::NotAdmitted { rule, .. }) if rule.0 == ALL),
        "{as_it_was:?}"
    );
    assert_eq!(ask(&setup(&policies, true), &CHAT, &changes), Came::Forward(VIP));
}

#[test]
fn nobody_is_asked_about_a_request_that_no_route_takes() {
    let policies =
        policy("p", "CUSTOM", "a-closed", "[{}]") + &policy("d", "DENY", "", "[{to: [{operation: {paths: [/deny]}}]}]");
    let compiled = setup(&policies, false);
    let nowhere = Sent {
        host: "nowhere.test",
        ..CHAT
    };
    assert_eq!(ask(&compiled, &nowhere, &[]), Came::Refuse(Refusal::NoRoute));
    let denied = ask(
        &compiled,
        &Sent {
            target: "/deny",
            ..nowhere
        },
        &[],
    );
    assert!(matches!(denied, Came::Refuse(Refusal::Denied(_))), "{denied:?}");
}

#[test]
fn a_route_that_only_a_claim_leads_to_does_not_pass_the_authorizer() {
    let jwt = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: j, namespace: istio-system}
spec:
  jwtRules:
  - issuer: i
    jwksUri: https://keys.test/
    outputClaimToHeaders: [{header: x-claimed, claim: claimed}]
---
";
    let compiled = setup(&(policy("p", "CUSTOM", "a-closed", "[{}]") + jwt), false);
    let claims = lockgate_core::token::assume(
        compiled.snapshot.tables(),
        ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s","claimed":"yes"}"#, &[]).unwrap(),
        None,
    )
    .unwrap();
    let elsewhere = Sent {
        host: "elsewhere.test",
        ..CHAT
    };
    let came = elsewhere.ask(|request, known| {
        let known = lockgate_core::decide::Known {
            identity: lockgate_core::decide::Identity::Verified(claims.claims()),
            ..known
        };
        matches!(
            decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()),
            Decision::Check(check) if check.authorizer == FIRST
        )
    });
    assert!(came, "the claim leads to a route, so the authorizer must be asked");
}

#[test]
fn a_policy_on_the_body_waits_for_it_and_asks_when_it_cannot_be_read() {
    let rules = "[{when: [{key: 'request.llm[model]', values: [gpt-5]}]}]";
    let compiled = setup(&policy("p", "CUSTOM", "a-closed", rules), false);
    let body = |body| Sent { body, ..CHAT };
    assert_eq!(ask(&compiled, &body(None), &[]), Came::ReadBody);
    assert_eq!(
        ask(&compiled, &body(Some(r#"{"model":"gpt-5"}"#)), &[]),
        Came::Check(FIRST)
    );
    assert_eq!(
        ask(&compiled, &body(Some(r#"{"model":"qwen"}"#)), &[]),
        Came::Forward(ALL)
    );
    assert_eq!(
        ask(&compiled, &body(Some(r#"{"model":"a","model":"b"}"#)), &[]),
        Came::Check(FIRST)
    );
}

#[test]
fn authorizers_come_before_tokens_as_in_envoy() {
    let jwt = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: j, namespace: istio-system}
spec: {jwtRules: [{issuer: i, jwksUri: 'https://keys.test/'}]}
---
";
    let compiled = setup(&(policy("p", "CUSTOM", "a-closed", "[{}]") + jwt), false);
    let ask_unverified = |answers: &[OwnedAnswer], headers| {
        let sent = Sent {
            headers,
            answers,
            ..CHAT
        };
        sent.ask(|request, known| {
            let known = lockgate_core::decide::Known {
                identity: lockgate_core::decide::Identity::Unverified,
                ..known
            };
            match decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()) {
                Decision::Check(check) => Came::Check(check.authorizer),
                Decision::VerifyToken(_) => Came::VerifyToken,
                _ => Came::Forward(0),
            }
        })
    };
    let bearer: &[(&str, &str)] = &[("authorization", "Bearer x.y.z")];
    assert_eq!(ask_unverified(&[], bearer), Came::Check(FIRST));
    assert_eq!(ask_unverified(&[allow(FIRST, &[])], bearer), Came::VerifyToken);
    // A token that the authorizer gives the request is verified like one of the client's.
    let given = [allow(FIRST, &[("authorization", Some("Bearer x.y.z"))])];
    assert_eq!(ask_unverified(&given, &[]), Came::VerifyToken);
    let taken = [allow(FIRST, &[("authorization", None)])];
    assert_eq!(ask_unverified(&taken, bearer), Came::Forward(0));
}

#[test]
fn the_parameter_of_a_token_is_no_part_of_the_path_that_is_judged() {
    let jwt = "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: j, namespace: istio-system}
spec: {jwtRules: [{issuer: i, jwksUri: 'https://keys.test/', fromParams: [t], fromCookies: [sid], fromHeaders: [{name: x-t}]}]}
---
";
    let on_path = "[{when: [{key: 'request.headers[:path]', values: ['/admin', '/admin?x']}]}]";
    let on_fields = "[{when: [{key: 'request.headers[x-t]', values: ['*']}]}, {when: [{key: 'request.headers[cookie]', values: ['sid=a']}]}]";
    let policies = policy("p", "CUSTOM", "a-closed", on_path) + &policy("q", "CUSTOM", "b-open", on_fields) + jwt;
    let compiled = setup(&policies, false);
    let tables = compiled.snapshot.tables();
    for (target, told) in [
        ("/admin", Some(None)),
        ("/admin?t=a", Some(None)),
        ("/admin?t=a&x&%74=b", Some(Some("x"))),
        ("/admin?y", None),
    ] {
        let asked = Sent { target, ..CHAT }.ask(|request, known| {
            match decide(tables, request, known, 0, &mut Scratch::new()) {
                Decision::Check(check) => {
                    assert_eq!(check.path, "/admin");
                    Some(check.query.map(str::to_owned))
                }
                _ => None,
            }
        });
        assert_eq!(
            asked,
            told.map(|query: Option<&str>| query.map(str::to_owned)),
            "{target}"
        );
    }
    // Of header fields a CUSTOM policy sees the token, since it comes before tokens.
    for headers in [&[("x-t", "a")][..], &[("cookie", "sid=a")]] {
        let sent = Sent { headers, ..CHAT };
        assert_eq!(ask(&compiled, &sent, &[]), Came::Check(SECOND), "{headers:?}");
        let asked = sent.explained_by(&compiled);
        let traced: Vec<bool> = asked.policies.iter().map(|policy| policy.matched).collect();
        assert_eq!(traced, [false, true], "{asked}");
        let Verdict::Check(check) = &asked.verdict else {
            panic!("{asked:?}");
        };
        assert_eq!(check.policies, ["istio-system/q"]);
    }
}

/// As the gateway sends it: what an authorizer says of the client takes the place of what the gateway would say.
#[test]
fn explain_shows_a_plain_host_what_an_authorizer_says_of_the_client() {
    let host = "---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  ports: [{number: 80, name: http, protocol: HTTP}]
  resolution: STATIC
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  gateways: [gw]
  http: [{route: [{destination: {host: plain.test}}]}]
";
    let compiled = setup(&format!("{}{host}", policy("p", "CUSTOM", "a-closed", "[{}]")), false);
    let fields = [
        ("x-forwarded-user", Some("ann")),
        ("x-forwarded-for", Some("192.0.2.9")),
        ("x-forwarded-proto", None),
        ("x-real-ip", Some("192.0.2.9")),
        ("x-envoy-foo", Some("1")),
        ("x-forwarded-client-cert", Some("By=me")),
    ];
    let explanation = Sent {
        host: "plain.test",
        headers: &[("x-forwarded-user", "root")],
        answers: &[allow(FIRST, &fields)],
        ..CHAT
    }
    .explained_by(&compiled);
    let Verdict::Forward(upstream) = &explanation.verdict else {
        panic!("{explanation:?}");
    };
    let values = |name: &str| {
        let set = upstream.set_headers.iter().filter(|(set, _)| set == name);
        set.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
    };
    let is_removed = |name: &str| upstream.remove_headers.iter().any(|removed| removed == name);
    for (name, value) in fields {
        let goes_on = name != "x-forwarded-client-cert";
        let wanted = value.filter(|_| goes_on);
        assert_eq!(values(name), Vec::from_iter(wanted), "{name}");
        assert_eq!(is_removed(name), wanted.is_none(), "{name}");
    }
    assert_eq!(values("x-envoy-external-address").len(), 1);
    assert!(is_removed("forwarded") && is_removed("x-forwarded-*"));
}

#[test]
fn an_assumed_answer_counts_as_a_real_one_would() {
    let policies = [
        policy("p", "CUSTOM", "a-closed", "[{}]"),
        policy("q", "CUSTOM", "b-open", "[{}]"),
    ];
    let setting = |name: &str| {
        let twice = format!(r#"{{"decision": "allow", "setHeaders": [["{name}", "1"], ["{name}", "2"]]}}"#);
        let assumed = format!(r#"{{"a-closed": {{"decision": "allow"}}, "b-open": {twice}}}"#);
        (twice, assumed)
    };
    let answers = |compiled: &Compiled, json: &str| {
        let assumed = serde_json::from_str(json).unwrap();
        AssumedAnswer::of_all(&assumed, compiled.snapshot.authorizers())
    };
    let compiled = setup(&policies.concat(), false);
    // Over HTTP the last value counts, of fields that are listed.
    let (twice, over_grpc) = setting("x-user");
    let over_http = answers(&compiled, &format!(r#"{{"a-closed": {twice}}}"#)).unwrap();
    let fields: [(&str, &[u8]); 2] = [("x-user", b"1"), ("x-user", b"2")];
    let real = compiled.snapshot.authorizers()[0].allowed_over_http(fields);
    assert_eq!(over_http, [answer(FIRST, OwnedSaid::Allow(real))]);
    // Over gRPC all do, of any field.
    let all = |name| allow(SECOND, &[(name, Some("1")), (name, Some("2"))]);
    assert_eq!(answers(&compiled, &over_grpc).unwrap()[1], all("x-user"));
    assert_eq!(
        answers(&compiled, &setting("x-claimed").1).unwrap()[1],
        all("x-claimed")
    );
    // Without a list none is taken.
    let text = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: edge, namespace: istio-system}
spec: {extensionProviders: [{name: a-closed, envoyExtAuthzHttp: {service: a.test, port: 8000}}]}
---
";
    let compiled = self::compiled(&format!("{ROUTE}{text}{}", policies[0]), &Settings::default());
    let error = answers(&compiled, &format!(r#"{{"a-closed": {twice}}}"#)).unwrap_err();
    assert_eq!(
        error,
        "the authorizer `a-closed` cannot set `x-user`: its `headersToUpstreamOnAllow` has nothing"
    );
}

#[test]
fn explain_says_whom_to_ask_and_takes_what_they_would_say() {
    let policies = policy("p", "CUSTOM", "a-closed", "[{to: [{operation: {methods: [POST]}}]}]");
    let compiled = setup(&policies, false);
    let asked = CHAT.explained_by(&compiled);
    let Verdict::Check(check) = &asked.verdict else {
        panic!("{asked:?}");
    };
    assert_eq!(
        (&*check.authorizer, &*check.call, &check.connect[..]),
        ("a-closed", "POST /", &["http://a.test:8000".to_owned()][..])
    );
    assert_eq!(check.policies, ["istio-system/p"]);
    assert!(asked.to_string().contains("give what it says with --checks"), "{asked}");

    let assumed = |json: &str| {
        let assumed = serde_json::from_str(json).unwrap();
        AssumedAnswer::of_all(&assumed, compiled.snapshot.authorizers())
    };
    let answers = assumed(
        r#"{"a-closed": {"decision": "allow", "setHeaders": [["X-User", "ann"]], "removeHeaders": ["x-debug"]}}"#,
    )
    .unwrap();
    let allowed = Sent {
        answers: &answers,
        ..CHAT
    }
    .explained_by(&compiled);
    let Verdict::Forward(upstream) = &allowed.verdict else {
        panic!("{allowed:?}");
    };
    assert!(upstream.set_headers.contains(&("x-user".to_owned(), "ann".to_owned())));
    assert!(upstream.remove_headers.iter().any(|name| name == "x-debug"));

    // A twin of what an authorizer writes goes, whichever of the two has the underscore.
    let sent = [
        ("host", CHAT.host),
        ("x-user", "eve"),
        ("X_User", "eve"),
        ("x-user-name", "eve"),
        ("x-users", "1"),
    ];
    let question = Question {
        method: Some("POST".to_owned()),
        target: Target::path("/").unwrap(),
        headers: sent.map(|(name, value)| (name.to_owned(), value.into())).into(),
        checks: serde_json::from_str(
            r#"{"a-closed": {"decision": "allow", "setHeaders": [["X-User", "ann"], ["x_user_name", "ann"]]}}"#,
        )
        .unwrap(),
        body: CHAT.body.map(str::to_owned),
        ..Question::default()
    };
    let Verdict::Forward(upstream) = question.verdict(&compiled.snapshot).unwrap() else {
        panic!("it is forwarded")
    };
    assert!(
        upstream
            .remove_headers
            .ends_with(&["x_user".into(), "x-user-name".into()]),
        "{upstream:?}"
    );

    // What was recorded under another configuration is found out as far as this one would.
    let mut recorded = question.clone();
    recorded.claims = Some(r#"{"iss": "https://i.test/", "sub": "ann"}"#.to_owned());
    recorded.checks = serde_json::from_str(
        r#"{"a-closed": {"decision": "allow", "setHeaders": [["X-User", "ann"], ["x_user_name", "ann"], ["x-claimed", "yes"]]},
            "gone": {"decision": "deny"}}"#,
    )
    .unwrap();
    assert!(recorded.explain(&compiled.snapshot).is_err());
    let here = recorded.as_found_by(&compiled.snapshot);
    assert_eq!(here, question);

    let denied = assumed(r#"{"a-closed": {"decision": "deny", "status": 401}}"#).unwrap();
    assert_eq!(denied, [answer(FIRST, OwnedSaid::Deny(401))]);
    let failed = assumed(r#"{"a-closed": {"decision": "error"}}"#).unwrap();
    assert_eq!(failed, [answer(FIRST, OwnedSaid::Nothing)]);
    for (json, wanted) in [
        (r#"{"a-close": {"decision": "deny"}}"#, "did you mean `a-closed`?"),
        (
            r#"{"a-closed": {"decision": "allow", "setHeaders": [["Host", "evil"]]}}"#,
            "must not change `host`",
        ),
        (
            r#"{"a-closed": {"decision": "allow", "setHeaders": [["x-user", "ann"], ["X-Usr", "ann"]]}}"#,
            "the authorizer `a-closed` cannot set `x-usr`: its `headersToUpstreamOnAllow` has `x-user`, `x_user_*`; \
             did you mean `x-user`?",
        ),
        (
            r#"{"a-closed": {"decision": "allow", "setHeaders": [["x-claimed", "yes"]]}}"#,
            "cannot set `x-claimed`: its `headersToUpstreamOnAllow` has `x-user`, `x_user_*`",
        ),
    ] {
        let error = assumed(json).unwrap_err();
        assert!(error.contains(wanted), "{error}");
    }
    for (json, wanted) in [
        (
            r#"{"decision": "error", "setHeaders": []}"#,
            "for the decision `allow` only",
        ),
        (
            r#"{"decision": "allow", "status": 403}"#,
            "for the decision `deny` only",
        ),
        (
            r#"{"decision": "maybe"}"#,
            "unknown variant `maybe`, expected one of `allow`, `deny`, `error`",
        ),
        (r#"{"decision": "deny", "stauts": 403}"#, "unknown field `stauts`"),
        ("{}", "missing field `decision`"),
    ] {
        let error = serde_json::from_str::<AssumedAnswer>(json).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}
