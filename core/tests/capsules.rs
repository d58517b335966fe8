//! What a capsule holds: what the decision read, none of its secrets, and whether that is enough.
#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use lockgate_core::check::{Checked, OwnedAnswer, OwnedField, OwnedSaid, borrow_answers, borrow_fields};
use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Identity, Known};
use lockgate_core::explain::{Capsule, Found, Question, Target, Verdict, verdict};
use lockgate_core::field_value::FieldValue;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request, Scheme, SentAuthority};
use lockgate_core::tables::AuthorizerId;
use lockgate_core::token::TokenError;

const SECRET: &str = "planted-8Kd1";

const CONFIGURATION: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "{extensionProviders: [{name: team, envoyExtAuthzGrpc: {service: authz.example.com, port: 8000, clearRouteCache: true}}]}"}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: all, namespace: istio-system}
spec:
  hosts: [authz.example.com, shop.internal]
  resolution: STATIC
  ports: [{name: http, number: 8000, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-system}
spec:
  hosts: [shop.example.com]
  gateways: [istio-system/gw]
  http:
  - match: [{uri: {exact: /page}}]
    route: [{destination: {host: shop.internal, port: {number: 8000}}}]
    corsPolicy: {allowOrigins: [{exact: "https://page.example"}, {exact: redacted}], allowMethods: ["*"], allowHeaders: ["*"]}
  - match: [{uri: {exact: /moved}}]
    redirect: {uri: /session}
  - match: [{queryParams: {plan: {exact: gold}, page_token: {exact: a}}}]
    directResponse: {status: 299}
  - match: [{headers: {x-api-key: {exact: planted-8Kd1}}}]
    directResponse: {status: 298}
  - match: [{headers: {x-session: {regex: ".+"}}}]
    redirect: {uri: /session}
  - match: [{headers: {x-place: {regex: "caf."}}}]
    directResponse: {status: 297}
  - match: [{headers: {x-colour: {exact: blue}}}]
    directResponse: {status: 296}
  - route: [{destination: {host: shop.internal, port: {number: 8000}}}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: people, namespace: istio-system}
spec:
  jwtRules:
  - issuer: https://issuer.example
    jwksUri: https://issuer.example/keys
    outputClaimToHeaders: [{header: x-person, claim: email}, {header: x-code, claim: secret_code}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: groups, namespace: istio-system}
spec: {action: DENY, rules: [{to: [{operation: {paths: [/staff]}}], when: [{key: "request.auth.claims[groups]", notValues: [staff]}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: team}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
"#;

/// Claims before any rule has read them.
fn parsed(payload: &[u8]) -> ClaimSet {
    ClaimSet::parse::<&str>(payload, &[]).unwrap()
}

fn compiled() -> Compiled {
    built(CONFIGURATION)
}

fn built(text: &str) -> Compiled {
    let source = Source::new("all.yaml".into(), text.into());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = lockgate_core::build(&[source], &options, &Settings::default());
    built.compiled.unwrap_or_else(|| panic!("{:?}", built.diagnostics))
}

const NOTHING: Found<'static> = Found {
    body: Body::Unread,
    identity: Identity::Unverified,
    answers: &[],
};

fn capsule(target: &str, headers: &[(&str, &[u8])], found: Found<'_>, hidden: &[&str]) -> Capsule {
    let mut all: Vec<(&str, &[u8])> = vec![("host", b"shop.example.com")];
    all.extend_from_slice(headers);
    let all = &all[..];
    let request = Request {
        method: "GET",
        authority: None,
        target,
        headers: &all,
        connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
    };
    let hidden: Vec<String> = hidden.iter().map(|name| (*name).to_owned()).collect();
    let compiled = compiled();
    let capsule = Capsule::of(&compiled.snapshot, &request, found, 7, &hidden).unwrap();
    assert_eq!(capsule.snapshot, compiled.snapshot.id());
    assert!(!format!("{capsule:?}").contains(SECRET), "{capsule:?}");
    let again = capsule.question.verdict(&compiled.snapshot).unwrap();
    assert_eq!(capsule.reproduces, again == capsule.verdict);
    capsule
}

fn headers(capsule: &Capsule) -> Vec<(&str, &str)> {
    let headers = capsule.question.headers.iter();
    let text = |value| str::from_utf8(value).unwrap();
    headers
        .map(|(name, value)| (name.as_str(), text(value.as_bytes())))
        .collect()
}

fn set_headers(capsule: &Capsule) -> Vec<(&str, &str)> {
    let Verdict::Forward(forward) = &capsule.verdict else {
        panic!("{:?}", capsule.verdict)
    };
    let set = forward.set_headers.iter();
    set.map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

#[test]
fn what_stands_before_a_host_is_withheld() {
    let compiled = compiled();
    let userinfo = format!("user:{SECRET}@shop.example.com");
    let host: &[(&str, &[u8])] = &[("host", userinfo.as_bytes())];
    let none: &[(&str, &[u8])] = &[];
    for (authority, headers) in [
        (None, host),
        (Some(SentAuthority::pseudo(&userinfo)), none),
        (Some(SentAuthority::target(&userinfo)), host),
    ] {
        let request = Request {
            method: "GET",
            authority,
            target: "/a",
            headers: &headers,
            connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
        };
        let it = Capsule::of(&compiled.snapshot, &request, NOTHING, 7, &[]).unwrap();
        assert!(it.reproduces, "{it:?}");
        assert!(!format!("{it:?}").contains(SECRET), "{it:?}");
        assert_eq!(it.withheld, ["authority"]);
    }
}

#[test]
fn only_what_was_read_is_in_it() {
    let it = capsule(
        "/a?plan=tin",
        &[
            ("x-unread", SECRET.as_bytes()),
            ("cookie", SECRET.as_bytes()),
            ("user-agent", SECRET.as_bytes()),
        ],
        NOTHING,
        &[],
    );
    assert!(it.reproduces && it.withheld.is_empty());
    assert_eq!(headers(&it), [("host", "shop.example.com")]);
    assert_eq!(it.question.target.to_string(), "/a?plan=tin");
    assert_eq!((it.question.entropy, it.question.client.port), (7, Some(80)));

    // Several lines go on as one.
    let it = capsule("/a", &[("user-agent", b"a"), ("user-agent", b"b")], NOTHING, &[]);
    assert!(
        it.reproduces && set_headers(&it).contains(&("user-agent", "a,b")),
        "{it:?}"
    );
}

#[test]
fn what_may_be_a_key_is_withheld_and_it_says_whether_that_matters() {
    let it = capsule(
        &format!("/a?{SECRET}&q={SECRET}&plan=gold&page_token={SECRET}"),
        &[],
        NOTHING,
        &[],
    );
    assert_eq!(
        it.question.target.to_string(),
        "/a?redacted&redacted&plan=gold&page_token=redacted"
    );
    let Verdict::Forward(forward) = &it.verdict else {
        panic!()
    };
    assert_eq!(forward.path, "/a?redacted&redacted&plan=gold&page_token=redacted");
    assert!(it.reproduces);
    assert_eq!(it.withheld, ["page_token", "query"]);

    let it = capsule("/a", &[("x-api-key", SECRET.as_bytes())], NOTHING, &[]);
    assert!(!it.reproduces, "another key would not be answered so");
    assert_eq!(it.withheld, ["x-api-key"]);
    let it = capsule("/a", &[("x-api-key", b"another")], NOTHING, &[]);
    assert!(it.reproduces, "nor is the one that stands for it the right one");
}

#[test]
fn names_that_the_operator_gives_are_withheld() {
    let session = [("x-session", SECRET.as_bytes())];
    let it = capsule("/a", &session, NOTHING, &["x-session"]);
    assert!(
        it.reproduces && it.withheld == ["x-session"],
        "any value is answered so: {it:?}"
    );
    assert_eq!(headers(&it), [("host", "shop.example.com"), ("x-session", "redacted")]);
}

#[test]
fn of_a_token_it_has_the_claims_that_are_read() {
    let payload = format!(
        r#"{{"iss":"https://issuer.example","sub":"{SECRET}","jti":"{SECRET}","email":"ann@example.com","secret_code":"{SECRET}","groups":["staff", "x"]}}"#
    );
    let claims = ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap();
    let compiled = compiled();
    let claims = lockgate_core::token::assume(compiled.snapshot.tables(), claims, None).unwrap();
    let found = Found {
        identity: Identity::Verified(claims.claims()),
        ..NOTHING
    };
    let token = [("authorization", format!("Bearer {SECRET}"))];
    let token = [("authorization", token[0].1.as_bytes())];
    let it = capsule("/staff", &token, found, &[]);
    assert!(it.reproduces, "{it:?}");
    assert_eq!(
        it.question.claims.as_deref().unwrap(),
        r#"{"email":"ann@example.com","groups":["staff", "x"],"iss":"https://issuer.example","secret_code":"redacted"}"#
    );
    assert_eq!(it.withheld, ["authorization", "secret_code"]);
    let sent = ("authorization", "Bearer redacted");
    assert!(
        headers(&it).contains(&sent),
        "whether a host gets it rests on the token in it"
    );
    assert!(set_headers(&it).contains(&("x-code", "redacted")));
    assert!(set_headers(&it).contains(&("x-person", "ann@example.com")));

    let it = capsule("/staff", &token, found, &["email", "groups"]);
    assert!(!it.reproduces && it.withheld == ["authorization", "email", "groups", "secret_code"]);
    assert!(!format!("{it:?}").contains("ann@"), "{it:?}");

    let refused = Found {
        identity: Identity::Refused(TokenError::Expired),
        ..NOTHING
    };
    let it = capsule("/staff", &token, refused, &[]);
    assert!(it.reproduces && it.question.token_error == Some(TokenError::Expired));
}

#[test]
fn of_a_nested_claim_it_has_what_is_read_and_nothing_beside_it() {
    let policy = r#"
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nested, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: "request.auth.claims[realm_access][roles]", values: [banned]}]
  - when: [{key: "request.auth.claims[realm_access][more][level]", values: [none]}]
  - when: [{key: "request.auth.claims[listed][name]", values: [ann]}]
  - when: [{key: "request.auth.claims[app][api_key]", values: [none]}]
  - when: [{key: "request.auth.claims[whole]", values: [none]}, {key: "request.auth.claims[whole][part]", values: [none]}]
"#;
    let compiled = built(&format!("{CONFIGURATION}{policy}"));
    let of = |realm: &str| {
        let payload = format!(
            r#"{{"iss":"https://issuer.example","realm_access":{realm},
                "listed":[{{"name":"ann"}},{{"name":"{SECRET}"}}],"app":{{"api_key":"{SECRET}","id":"{SECRET}"}},
                "whole":{{"part":"a","rest":1}},"other":{{"roles":["{SECRET}"]}}}}"#
        );
        let claims =
            lockgate_core::token::assume(compiled.snapshot.tables(), parsed(payload.as_bytes()), None).unwrap();
        let found = Found {
            identity: Identity::Verified(claims.claims()),
            ..NOTHING
        };
        let request = Request {
            method: "GET",
            authority: None,
            target: "/",
            headers: &&[("host", &b"shop.example.com"[..])][..],
            connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
        };
        let it = Capsule::of(&compiled.snapshot, &request, found, 7, &["level".to_owned()]).unwrap();
        assert!(it.reproduces && !format!("{it:?}").contains(SECRET), "{it:?}");
        let claims = it.question.claims.unwrap();
        let (app, rest) = claims.split_at(claims.find(r#","iss""#).unwrap());
        assert_eq!(app, r#"{"app":{"api_key":"redacted"}"#);
        let rest = rest.strip_suffix(r#","whole":{"part":"a","rest":1}}"#).unwrap();
        let read = rest
            .strip_prefix(r#","iss":"https://issuer.example""#)
            .unwrap()
            .to_owned();
        (read, matches!(it.verdict, Verdict::Refuse(_)), it.withheld)
    };
    for (realm, read, is_denied) in [
        (
            r#"{"roles":["a", "banned"],"groups":["planted-8Kd1"]}"#,
            r#"{"roles":["a", "banned"]}"#,
            true,
        ),
        (
            r#"{"groups":{"roles":["banned"]},"roles":["a"]}"#,
            r#"{"roles":["a"]}"#,
            false,
        ),
        (
            r#"{"roles":[{"name":"banned"}],"more":null}"#,
            r#"{"roles":[{"name":"banned"}]}"#,
            false,
        ),
    ] {
        let read = format!(r#","realm_access":{read}"#);
        assert_eq!(of(realm), (read, is_denied, vec!["api_key".to_owned()]), "{realm}");
    }
    for realm in [r#"["banned"]"#, r#""banned""#, r#"{"more":["planted-8Kd1"]}"#] {
        assert_eq!(of(realm), (String::new(), false, vec!["api_key".to_owned()]), "{realm}");
    }
    assert_eq!(
        of(r#"{"more":{"level":"low","rest":1}}"#),
        (
            r#","realm_access":{"more":{"level":"redacted"}}"#.to_owned(),
            false,
            vec!["api_key".to_owned(), "level".to_owned()]
        )
    );
}

#[test]
fn authorizers_answers_are_in_it_without_their_keys() {
    let field = |name: &str, value: Option<&str>| OwnedField {
        name: name.into(),
        value: value.map(|value| value.as_bytes().to_vec()),
    };
    let fields = vec![
        field("x-user", Some("ann")),
        field("x-user-token", Some(SECRET)),
        field("x-old", None),
    ];
    let answers = |said| {
        [OwnedAnswer {
            authorizer: AuthorizerId(0),
            said,
        }]
    };
    let allowed = answers(OwnedSaid::Allow(fields));
    let it = capsule(
        "/asked",
        &[],
        Found {
            answers: &allowed,
            ..NOTHING
        },
        &[],
    );
    assert!(it.reproduces && it.withheld == ["x-user-token"], "{it:?}");
    assert!(set_headers(&it).contains(&("x-user", "ann")) && set_headers(&it).contains(&("x-user-token", "redacted")));
    for said in [OwnedSaid::Deny(418), OwnedSaid::Nothing, OwnedSaid::BodyTooLarge] {
        assert!(
            capsule(
                "/asked",
                &[],
                Found {
                    answers: &answers(said),
                    ..NOTHING
                },
                &[]
            )
            .reproduces
        );
    }
}

/// As [`CONFIGURATION`], with tokens in a field, a parameter and a cookie, and a DENY of cookies and of a path.
fn with_tokens_everywhere() -> Compiled {
    let more = r#"    fromHeaders: [{name: x-jwt}]
    fromParams: [t]
    fromCookies: [sid]
    outputPayloadToHeader: x-payload
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: judged, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: "request.headers[:path]", values: [/admin]}]
  - when: [{key: "request.headers[cookie]", values: ["a=1; b=2"]}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: groups,"#;
    let (before, after) = CONFIGURATION
        .split_once("---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: groups,")
        .unwrap();
    built(&format!("{before}{more}{after}"))
}

#[test]
fn a_token_that_is_for_an_audience_is_accepted_again() {
    let compiled = built(&CONFIGURATION.replace(
        "    jwksUri: https://issuer.example/keys\n",
        "    jwksUri: https://issuer.example/keys\n    audiences: [us]\n",
    ));
    let claims = br#"{"iss":"https://issuer.example","aud":["us","them"],"email":"ann@example.com"}"#;
    let claims = lockgate_core::token::assume(compiled.snapshot.tables(), parsed(claims), None).unwrap();
    let found = Found {
        identity: Identity::Verified(claims.claims()),
        ..NOTHING
    };
    let headers: &[(&str, &[u8])] = &[("host", b"shop.example.com")];
    let request = Request {
        method: "GET",
        authority: None,
        target: "/",
        headers: &headers,
        connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
    };
    let it = Capsule::of(&compiled.snapshot, &request, found, 7, &[]).unwrap();
    assert!(it.reproduces, "{it:?}");
}

#[test]
fn a_key_in_a_path_is_not_shown() {
    let it = capsule("/v1/sk-abcdefgh1234567890/chat", &[], NOTHING, &[]);
    assert!(!format!("{it:?}").contains("sk-abc"), "{it:?}");
    assert_eq!(it.withheld, ["path"]);
    assert!(format!("{:?}", it.question).contains("/v1/redacted/chat"), "{it:?}");
}

#[test]
fn a_hidden_field_that_a_token_writes_is_not_shown() {
    let claims = br#"{"iss":"https://issuer.example","email":"ann@example.com"}"#;
    let compiled = compiled();
    let claims = lockgate_core::token::assume(compiled.snapshot.tables(), parsed(claims), None).unwrap();
    let found = Found {
        identity: Identity::Verified(claims.claims()),
        ..NOTHING
    };
    let Verdict::Forward(forward) = capsule("/", &[], found, &["x-person"]).verdict else {
        panic!("sent on")
    };
    let person = forward.set_headers.iter().find(|(name, _)| name == "x-person");
    assert_eq!(person.map(|(_, value)| value.as_str()), Some("redacted"));
}

#[test]
fn what_authorizers_set_where_tokens_are_is_not_sent() {
    let compiled = with_tokens_everywhere();
    let claims = r#"{"iss":"https://issuer.example","email":"ann@example.com"}"#;
    let claims = lockgate_core::token::assume(compiled.snapshot.tables(), parsed(claims.as_bytes()), None).unwrap();
    let set = [
        ("cookie", "z=1; sid=token"),
        ("x-jwt", "token"),
        ("x-person", "evil"),
        ("x-payload", "forged"),
        ("x-code", "forged"),
        ("x-user", "ann"),
    ];
    let fields = set.map(|(name, value)| OwnedField {
        name: name.into(),
        value: Some(value.as_bytes().to_vec()),
    });
    let answers = [OwnedAnswer {
        authorizer: AuthorizerId(0),
        said: OwnedSaid::Allow(fields.into()),
    }];
    let found = Found {
        answers: &answers,
        identity: Identity::Verified(claims.claims()),
        ..NOTHING
    };
    let request = Request {
        method: "GET",
        authority: None,
        target: "/asked",
        headers: &&[("host", &b"shop.example.com"[..])][..],
        connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
    };
    let it = Capsule::of(&compiled.snapshot, &request, found, 7, &[]).unwrap();
    assert!(it.reproduces, "{it:?}");
    let set = set_headers(&it);
    let sent: Vec<_> = set
        .iter()
        .filter(|(name, _)| ["x-jwt", "x-person", "x-code", "x-user"].contains(name))
        .collect();
    assert_eq!(sent, [&("x-user", "ann"), &("x-person", "ann@example.com")], "{set:?}");
    assert_eq!(
        set.iter().filter(|(name, _)| *name == "x-payload").count(),
        1,
        "{set:?}"
    );
    let verdict = it.question.verdict(&compiled.snapshot).unwrap();
    assert_eq!(verdict, it.verdict);
    let Verdict::Forward(forward) = explained(&compiled, &request, found) else {
        panic!("it is forwarded")
    };
    assert!(
        forward
            .set_headers
            .contains(&("cookie".to_owned(), "«not shown»".to_owned())),
        "{forward:?}"
    );
    assert!(!format!("{forward:?}").contains("forged"), "{forward:?}");
}

fn explained(compiled: &Compiled, request: &Request<'_>, found: Found<'_>) -> Verdict {
    let fields = borrow_fields(found.answers);
    let answers = borrow_answers(found.answers, &fields);
    let checked = Checked::new(request, &answers);
    let known = Known {
        body: found.body,
        identity: found.identity,
        checked: Some(&checked),
    };
    verdict(&compiled.snapshot, request, known, 7)
}

#[test]
fn a_query_of_nothing_but_tokens_is_none() {
    let compiled = with_tokens_everywhere();
    let claims = br#"{"iss":"https://issuer.example"}"#;
    let claims = lockgate_core::token::assume(compiled.snapshot.tables(), parsed(claims), None).unwrap();
    for (target, shown, is_denied) in [
        ("/admin", "/admin", true),
        ("/admin?t=planted-8Kd1", "/admin", true),
        ("/admin?t=planted-8Kd1&t=", "/admin", true),
        ("/admin?&t=planted-8Kd1", "/admin", true),
        ("/admin?", "/admin?", false),
        ("/admin?a=planted-8Kd1&t=planted-8Kd1", "/admin?redacted", false),
    ] {
        let request = Request {
            method: "GET",
            authority: None,
            target,
            headers: &&[("host", &b"shop.example.com"[..])][..],
            connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
        };
        let found = Found {
            identity: Identity::Verified(claims.claims()),
            ..NOTHING
        };
        let it = Capsule::of(&compiled.snapshot, &request, found, 7, &[]).unwrap();
        assert!(it.reproduces, "{target}: {it:?}");
        assert_eq!(it.question.target.to_string(), shown, "{target}");
        assert_eq!(matches!(it.verdict, Verdict::Refuse(_)), is_denied, "{target}: {it:?}");
        assert!(!format!("{it:?}").contains(SECRET), "{it:?}");
    }
}

#[test]
fn a_query_of_the_configuration_is_shown_and_none_of_the_client() {
    let compiled = built(
        r#"
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: shop, namespace: istio-system}
spec: {hosts: [shop.internal], resolution: STATIC, ports: [{name: http, number: 80, protocol: HTTP}], endpoints: [{address: 127.0.0.1}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-system}
spec:
  hosts: [shop.example.com]
  gateways: [gw]
  http:
  - {match: [{uri: {prefix: /whole}}], rewrite: {uri: "/b?x=1"}, route: [{destination: {host: shop.internal}}]}
  - {match: [{uri: {prefix: /moved}}], redirect: {uri: "/b?x=1"}}
  - {match: [{uri: {prefix: /gone}}], redirect: {uri: /b}}
  - match: [{uri: {prefix: /users/}}]
    rewrite: {uriRegexRewrite: {match: "^/users/(.*)$", rewrite: "/q?u=\\1"}}
    route: [{destination: {host: shop.internal}}]
  - {match: [{queryParams: {plan: {exact: tin}}}], directResponse: {status: 299}}
---
apiVersion: lockgate.dev/v1
kind: LLMProvider
metadata: {name: llm, namespace: istio-system}
spec: {host: llm.example.com, path: "/chat?api-version=1", configs: {defaultConfig: {openAIConfig: {model: small}}}}
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: chat, namespace: istio-system}
spec: {host: '*', gateways: [gw], rules: [{name: all, matches: [{model: {regex: ".*"}}], backendRefs: [{providerHost: llm.example.com}]}]}
"#,
    );
    let mut scan = BodyScan::new(1 << 20);
    let facts = scan.feed(br#"{"model":"small"}"#).and_then(|()| scan.finish());
    for (host, path, sent) in [
        ("shop.example.com", "/whole", "/b?x=1"),
        ("shop.example.com", "/moved", "http://shop.example.com/b?x=1"),
        ("shop.example.com", "/gone", "http://shop.example.com/b"),
        ("shop.example.com", "/users/ann", "/q?u=ann"),
        ("chat.example.com", "/v1/chat/completions", "/chat?api-version=1"),
    ] {
        let takes_none = matches!(path, "/moved" | "/v1/chat/completions");
        for (query, shown) in [
            ("", ""),
            ("?", "?"),
            ("?k=planted-8Kd1", "?redacted"),
            ("?plan=gold&k=planted-8Kd1", "?plan=gold&redacted"),
            ("?api-version=1", "?redacted"),
            ("?x=1", "?redacted"),
        ] {
            let target = format!("{path}{query}");
            let request = Request {
                method: "POST",
                authority: Some(SentAuthority::pseudo(host)),
                target: &target,
                headers: &&[("content-type", &b"application/json"[..])][..],
                connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
            };
            let found = Found {
                body: if host.starts_with("chat") {
                    Body::Read(facts)
                } else {
                    Body::Unread
                },
                ..NOTHING
            };
            let it = Capsule::of(&compiled.snapshot, &request, found, 7, &[]).unwrap();
            assert!(it.reproduces, "{target}: {it:?}");
            assert!(!format!("{it:?}").contains(SECRET), "{target}: {it:?}");
            let wanted = if takes_none {
                sent.to_owned()
            } else {
                format!("{sent}{shown}")
            };
            let said = match &it.verdict {
                Verdict::Forward(forward) => &forward.path,
                Verdict::Redirect(redirect) => &redirect.location,
                other => panic!("{target}: {other:?}"),
            };
            assert_eq!(*said, wanted, "{target}");
        }
    }
}

#[test]
fn a_cookie_that_http2_takes_apart_is_judged_as_one() {
    let compiled = with_tokens_everywhere();
    let asked = |authority: Option<&str>, protocol: Option<&str>, cookies: &[&str]| {
        let mut headers: Vec<(String, FieldValue)> = cookies
            .iter()
            .map(|line| ("Cookie".to_owned(), (*line).into()))
            .collect();
        headers.push(("host".to_owned(), "shop.example.com".into()));
        let question = Question {
            target: Target::path("/a").unwrap(),
            authority: authority.map(str::to_owned),
            protocol: protocol.map(str::to_owned),
            headers,
            claims: Some(r#"{"iss":"https://issuer.example"}"#.to_owned()),
            ..Question::default()
        };
        matches!(question.verdict(&compiled.snapshot).unwrap(), Verdict::Refuse(_))
    };
    let http2 = Some("shop.example.com");
    for (cookies, over_http1, over_http2) in [
        (&["a=1; b=2"][..], true, true),
        (&["a=1", "b=2"], false, true),
        (&["a=1", " sid=x ", "b=2"], false, true),
        (&["b=2", "a=1"], false, false),
        (&["a=1"], false, false),
    ] {
        assert_eq!(asked(None, None, cookies), over_http1, "{cookies:?}");
        assert_eq!(asked(http2, None, cookies), over_http2, "{cookies:?}");
        assert_eq!(asked(None, Some("websocket"), cookies), over_http2, "{cookies:?}");
    }
}

/// What is answered where a rule of these statuses takes a request.
fn status(capsule: &Capsule) -> u16 {
    match &capsule.verdict {
        Verdict::Respond(answer) => answer.status,
        Verdict::Refuse(answer) => answer.status,
        other => panic!("{other:?}"),
    }
}

#[test]
fn values_that_are_no_text_are_in_it() {
    let it = capsule("/a", &[("x-place", b"caf\xe9")], NOTHING, &[]);
    assert!(it.reproduces && it.withheld.is_empty(), "{it:?}");
    assert_eq!(status(&it), 297);
    assert_eq!(
        serde_json::to_string(&it.question.headers).unwrap(),
        r#"[["host","shop.example.com"],["x-place",{"base64":"Y2Fm6Q=="}]]"#
    );

    let secret = [b"\xff", SECRET.as_bytes()].concat();
    let it = capsule(
        "/a",
        &[("x-api-key", &secret), ("x-session", &secret)],
        NOTHING,
        &["x-session"],
    );
    assert!(it.reproduces && it.withheld == ["x-api-key", "x-session"], "{it:?}");
    assert_eq!(
        headers(&it)[1..],
        [("x-api-key", "redacted"), ("x-session", "redacted")]
    );
}

#[test]
fn values_of_an_authorizers_answer_are_in_it_whatever_they_are() {
    let allowed = |fields: &[(&str, &[u8])]| {
        let fields = fields.iter().map(|(name, value)| OwnedField {
            name: (*name).into(),
            value: Some(value.to_vec()),
        });
        let said = OwnedSaid::Allow(fields.collect());
        let answers = [OwnedAnswer {
            authorizer: AuthorizerId(0),
            said,
        }];
        let found = Found {
            answers: &answers,
            ..NOTHING
        };
        let it = capsule("/asked", &[("x-colour", b"green")], found, &[]);
        assert!(it.reproduces, "{it:?}");
        let set = match serde_json::to_value(&it.question.checks).unwrap() {
            serde_json::Value::Object(checks) => checks["team"]["setHeaders"].to_string(),
            other => panic!("{other}"),
        };
        (it, set)
    };
    for (fields, answered, written) in [
        (
            &[("x-place", &b"caf\xe9"[..])][..],
            Some(297),
            r#"[["x-place",{"base64":"Y2Fm6Q=="}]]"#,
        ),
        (
            &[("x-place", "caf\u{fffd}".as_bytes())],
            None,
            "[[\"x-place\",\"caf\u{fffd}\"]]",
        ),
        (
            &[("x-colour", b"blue"), ("x-colour", b"red")],
            Some(296),
            r#"[["x-colour","blue"],["x-colour","red"]]"#,
        ),
        (
            &[("x-colour", b"red"), ("x-place", b"\xff"), ("x-colour", b"grey")],
            None,
            r#"[["x-colour","red"],["x-place",{"base64":"/w=="}],["x-colour","grey"]]"#,
        ),
    ] {
        let (it, set) = allowed(fields);
        assert_eq!(set, written);
        assert_eq!(
            matches!(it.verdict, Verdict::Respond(_)).then(|| status(&it)),
            answered,
            "{it:?}"
        );
    }

    let (it, set) = allowed(&[
        ("x-user-token", b"\xff"),
        ("x-user", b"sk-proj-0123456789abcdefghijklmn"),
        ("x-user", b"ann"),
    ]);
    assert_eq!(
        set,
        r#"[["x-user-token","redacted"],["x-user","redacted"],["x-user","ann"]]"#
    );
    assert_eq!(it.withheld, ["x-user", "x-user-token"]);
    assert!(set_headers(&it).ends_with(&[("x-user-token", "redacted"), ("x-user", "redacted"), ("x-user", "ann")]));
}

#[test]
fn of_a_body_it_has_what_decisions_read() {
    let compiled = {
        let route = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ['*'], tls: {mode: SIMPLE, serverCertificate: a.pem, privateKey: a.pem}}]}
---
apiVersion: lockgate.dev/v1
kind: LLMProvider
metadata: {name: llm, namespace: istio-system}
spec: {host: llm.example.com, configs: {defaultConfig: {openAIConfig: {model: small, stream: false}}}}
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: chat, namespace: istio-system}
spec: {host: '*', gateways: [istio-system/gw], rules: [{name: large, matches: [{model: {prefix: large}}], backendRefs: [{providerHost: llm.example.com}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: tools, namespace: istio-system}
spec: {action: DENY, rules: [{when: [{key: 'request.llm[tools]', values: [shell]}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: sizes, namespace: istio-system}
spec: {action: DENY, rules: [{when: [{key: 'request.llm[model]', values: [huge]}]}, {when: [{key: 'request.llm[max_tokens]', values: ['>100']}]}]}
";
        let source = Source::new("all.yaml".into(), route.into());
        let options = LoadOptions {
            env: &|_| None,
            ignore_kinds: &[],
        };
        let built = lockgate_core::build(&[source], &options, &Settings::default());
        built.compiled.unwrap_or_else(|| panic!("{:?}", built.diagnostics))
    };
    let of = |body: &str| {
        let mut scan = BodyScan::new(1 << 20);
        let read = scan.feed(body.as_bytes()).and_then(|()| scan.finish());
        let headers: &[(&str, &[u8])] = &[];
        let request = Request {
            method: "POST",
            authority: Some(SentAuthority::pseudo("Chat.example.com")),
            target: "/",
            headers: &headers,
            connection: Connection {
                scheme: Scheme::Https,
                ..Connection::plain("192.0.2.1".parse().unwrap(), 443)
            },
        };
        let found = Found {
            body: Body::Read(read),
            ..NOTHING
        };
        let it = Capsule::of(&compiled.snapshot, &request, found, 0, &[]).unwrap();
        assert!(it.reproduces, "{body}: {it:?}");
        assert_eq!(it.question.client.sni.as_deref(), Some(""));
        (
            it.question.body.unwrap_or_default(),
            it.question.body_error.map(|error| error.to_string()),
        )
    };
    for (body, kept) in [
        (
            r#"{"messages":["secret"],"model":"large-\"ü\""}"#,
            r#"{"model":"large-\"ü\"","tools":[]}"#,
        ),
        (
            r#"{"model":"large","stream":true,"stream_options":{"include_usage":true},"max_tokens":3,"max_output_tokens":9}"#,
            r#"{"max_output_tokens":9,"max_tokens":9,"model":"large","stream":true,"stream_options":{"include_usage":true},"tools":[]}"#,
        ),
        (
            r#"{"model":"large","stream":null,"tools":[{"type":"function","function":{"name":"shell"}},{"type":"web_search"}]}"#,
            r#"{"model":"large","tools":[{"type":"custom","name":"shell"},{"type":"custom","name":"web_search"}]}"#,
        ),
        // Of such tools nobody can be sure, for which it is refused.
        (
            r#"{"model":"large","tools":7}"#,
            r#"{"model":"large","tools":[{"type":"custom","name":""}]}"#,
        ),
        // Nor of these.
        (
            r#"{"model":"large","models":["huge"]}"#,
            r#"{"fallbacks":0,"model":"large","tools":[]}"#,
        ),
        (
            r#"{"model":"large","max_tokens":5,"n_predict":500}"#,
            r#"{"max_tokens":-1,"model":"large","tools":[]}"#,
        ),
        (
            r#"{"model":"large","options":{"num_predict":500}}"#,
            r#"{"model":"large","n_predict":-1,"tools":[]}"#,
        ),
    ] {
        assert_eq!(of(body), (kept.to_owned(), None), "{body}");
    }
    for (body, error) in [
        ("", "the request body is empty; a JSON object is expected"),
        (
            r#"{"model":"large","#,
            "the request body ends before its JSON does (byte 17)",
        ),
        (
            r#"{"Model":"large"}"#,
            "a key of the request body differs from 'model' only by letter case (byte 1)",
        ),
    ] {
        assert_eq!(of(body), (String::new(), Some(error.to_owned())));
    }
}

/// Two authorizers, the first of which is asked about one model only, and a policy about tools.
fn asks_by_model() -> Compiled {
    let text = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    extensionProviders:
    - {name: a, envoyExtAuthzHttp: {service: authz.example.com, port: 8000}}
    - {name: b, envoyExtAuthzHttp: {service: authz.example.com, port: 8000}}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: all, namespace: istio-system}
spec:
  hosts: [authz.example.com]
  resolution: STATIC
  ports: [{name: http, number: 8000, protocol: HTTP}]
  endpoints: [{address: 127.0.0.1}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: shop, namespace: istio-system}
spec:
  hosts: [shop.example.com]
  gateways: [istio-system/gw]
  http: [{directResponse: {status: 299}}]
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: large, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: a}, rules: [{when: [{key: "request.llm[model]", values: [large]}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: any, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: b}, rules: [{to: [{operation: {paths: [/asked]}}]}]}
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: tools, namespace: istio-system}
spec: {action: DENY, rules: [{when: [{key: "request.llm[tools]", values: [shell]}]}]}
"#;
    built(text)
}

#[test]
fn a_body_is_in_it_as_it_was_found_whatever_the_request_is_refused_for() {
    let compiled = asks_by_model();
    let said = |authorizer, said| OwnedAnswer {
        authorizer: AuthorizerId(authorizer),
        said,
    };
    for (target, body, answers, answered) in [
        // It cannot be read, so that the first is asked.
        ("/a", r#"{"model":"#, &[said(0, OwnedSaid::Deny(418))][..], 418),
        ("/asked", r#"{"model":"#, &[said(0, OwnedSaid::Nothing)], 403),
        // It can, so that the first is not asked, though it is refused for its tools, or for its size.
        ("/a", r#"{"model":"small","tools":7}"#, &[], 400),
        (
            "/asked",
            r#"{"model":"small"}"#,
            &[said(1, OwnedSaid::BodyTooLarge)],
            413,
        ),
        ("/a", r#"{"model":"small","tools":[]}"#, &[], 299),
    ] {
        let mut scan = BodyScan::new(1 << 20);
        let read = scan.feed(body.as_bytes()).and_then(|()| scan.finish());
        let headers: &[(&str, &[u8])] = &[("host", b"shop.example.com")];
        let request = Request {
            method: "POST",
            authority: None,
            target,
            headers: &headers,
            connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
        };
        let found = Found {
            body: Body::Read(read),
            answers,
            ..NOTHING
        };
        let it = Capsule::of(&compiled.snapshot, &request, found, 0, &[]).unwrap();
        assert!(it.reproduces, "{body}: {it:?}");
        assert_eq!(status(&it), answered, "{body}");
    }
}

#[test]
fn of_several_tokens_it_says_that_there_are_several() {
    let token = format!("Bearer {SECRET}");
    let token = ("authorization", token.as_bytes());
    let it = capsule("/a", &[token, token], NOTHING, &[]);
    assert!(it.reproduces, "{it:?}");
    assert_eq!(it.question.token_error, Some(TokenError::SeveralTokens));
}

#[test]
fn the_authority_of_a_target_hides_no_second_host() {
    let compiled = compiled();
    for (hosts, answered) in [(0, 296), (1, 296), (2, 400)] {
        let mut headers = vec![("host", &b"other.example.com"[..]); hosts];
        headers.push(("x-colour", b"blue"));
        let headers = &headers[..];
        let request = Request {
            method: "GET",
            authority: Some(SentAuthority::target("shop.example.com")),
            target: "/a",
            headers: &headers,
            connection: Connection::plain("192.0.2.1".parse().unwrap(), 80),
        };
        let it = Capsule::of(&compiled.snapshot, &request, NOTHING, 0, &[]).unwrap();
        assert!(it.reproduces, "{it:?}");
        assert_eq!(status(&it), answered, "{hosts}");
    }
}

#[test]
fn what_is_withheld_is_in_the_verdict_neither() {
    let client = [("x-forwarded-for", SECRET.as_bytes())];
    let it = capsule("/a", &client, NOTHING, &["x-forwarded-for"]);
    assert!(it.reproduces, "{it:?}");
    assert!(
        set_headers(&it).contains(&("x-forwarded-for", "redacted,192.0.2.1")),
        "{it:?}"
    );

    let page = [("origin", &b"https://page.example"[..])];
    let it = capsule("/page", &page, NOTHING, &[]);
    assert!(
        it.reproduces && format!("{:?}", it.verdict).contains("page.example"),
        "{it:?}"
    );
    let it = capsule("/page", &page, NOTHING, &["origin"]);
    assert!(
        it.reproduces && it.withheld == ["origin"],
        "one that is called so is allowed too: {it:?}"
    );
    assert!(!format!("{it:?}").contains("page.example"), "{it:?}");

    for target in ["/a", "/moved"] {
        let it = capsule(target, &[], NOTHING, &["host"]);
        assert!(!it.reproduces && it.withheld == ["host"], "{it:?}");
        let shown = format!("{:?} {:?}", it.question, it.verdict);
        assert!(!shown.contains("shop.example.com"), "{shown}");
    }
}
