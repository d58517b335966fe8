//! Deciding allocates nothing, whatever the answer: counted by the allocator.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::build;
use lockgate_core::check::{Answer, Checked, Field, Said};
use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Identity, Known, Scratch, decide};
use lockgate_core::decision::{Decision, External, Refusal};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::observe::observe;
use lockgate_core::request::{Connection, Request};
use lockgate_core::tables::AuthorizerId;

const CONFIG: &str = concat!(
    include_str!("../../examples/seed/llm-provider.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/gateway.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/llm-route.yaml"),
    "  - name: by-regex\n    matches:\n    - headers: {host: {regex: '[a-z]+[.]test'}, user-type: {prefix: sub}}\n",
    "    backendRefs:\n    - providerHost: dashscope.aliyuncs.com\n",
    "\n---\n",
    include_str!("../../examples/seed/authorization-policy.yaml"),
);

fn compiled_of(text: &str) -> Compiled {
    let sources = [Source::new("all.yaml".into(), text.into())];
    let env = |name: &str| Some(if name == "API_KEY" { "key" } else { "203.0.113.9" }.to_owned());
    build(
        &sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
        },
        &Settings::default(),
    )
    .compiled
    .unwrap()
}

#[test]
fn a_hundred_thousand_decisions_of_every_kind_allocate_nothing() {
    let compiled = compiled_of(CONFIG);
    let tables = compiled.snapshot.tables();
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(br#"{"messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    let facts = scan.finish().unwrap();
    let mut scratch = Scratch::new();
    let heads: [(&str, &str, &[u8], &str); 8] = [
        ("POST", "/", b"test.com", "198.51.100.1"),
        ("POST", "/", b"test.com", "203.0.113.9"),
        ("POST", "/", b"dashscope.aliyuncs.com:80", "198.51.100.1"),
        ("GET", "/", b"test.com", "198.51.100.1"),
        ("POST", "/x/../%61;y/./z?q=1", b"TEST.com", "::1"),
        ("POST", "/", b"a.test", "198.51.100.1"),
        ("POST", "/", b"unknown.example.com", "198.51.100.1"),
        ("POST", "/%00", b"two hosts", "198.51.100.1"),
    ];
    let (mut forwarded, mut refused, mut asked) = (0, 0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_u64 {
            let (method, target, host, peer) = heads[usize::try_from(round % 8).unwrap()];
            let headers: &[(&str, &[u8])] = &[("host", host), ("user-type", b"subscriber")];
            let peer = peer.parse().unwrap();
            let request = Request {
                method,
                authority: None,
                target,
                headers: &headers,
                connection: Connection::plain(peer, 80),
            };
            let body = if round % 16 < 8 {
                Body::Unread
            } else {
                Body::Read(Ok(facts))
            };
            match decide(
                tables,
                &request,
                Known::of_body(body),
                round.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                &mut scratch,
            ) {
                Decision::Forward(_) => forwarded += 1,
                Decision::Refuse(_) => refused += 1,
                Decision::ReadBody | Decision::VerifyToken(_) | Decision::Check(_) => asked += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(
        forwarded >= 20_000 && refused >= 20_000 && asked >= 20_000,
        "{forwarded} {refused} {asked}"
    );
}

/// Every key of a condition, every form of a value, in rules of which only the last can match.
const POLICIES: &str = "
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec:
  action: DENY
  rules:
  - from: [{source: {ipBlocks: [10.0.0.0/8], notRemoteIpBlocks: ['::/0']}}, {source: {namespaces: ['t*m', '*x*y*']}}]
  - to: [{operation: {paths: ['/{*}/b/{**}', '/nay*', '*nay'], notMethods: [PUT], hosts: ['*.nay'], ports: ['81']}}]
  - when: [{key: 'request.headers[x-team]', values: [nay], notValues: ['*']}, {key: 'request.headers[:path]', values: ['*nay']}]
  - when: [{key: 'request.auth.claims[groups]', values: [nay]}]
  - when: [{key: 'request.auth.principal', values: ['*/nay']}]
---
apiVersion: lockgate.dev/v1
kind: AuthorizationPolicy
metadata: {name: allow, namespace: istio-system}
spec:
  rules:
  - from: [{source: {serviceAccounts: [nay/nay]}}, {source: {trustDomains: [nay]}}, {source: {principals: ['*nay']}}]
  - when: [{key: request.auth.audiences, values: [nay]}, {key: destination.ip, values: [10.0.0.1]}]
  - when: [{key: connection.sni, values: ['nay*']}]
  - when: [{key: 'request.llm[tools]', values: [search]}, {key: 'request.llm[max_tokens]', values: ['<=4096']}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: audit, namespace: istio-system}
spec: {action: AUDIT, rules: [{to: [{operation: {methods: [POST]}}]}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{}]}
";

/// Denials of every kind that is looked up, prefixes of few and of many lengths among them, and lists too long to be
/// walked; the last denies what comes from the last address.
fn many_denials() -> String {
    let mut text = String::from(
        "apiVersion: lockgate.dev/v1\nkind: AuthorizationPolicy\nmetadata: {name: many, namespace: istio-system}\nspec:\n  action: DENY\n  rules:\n",
    );
    for number in 0..200 {
        let long = "x".repeat(number);
        for rule in [
            format!(
                "to: [{{operation: {{hosts: [h{number}.test, 'h{number}.test:*', '*.h{number}.test'], paths: [/nay]}}}}]"
            ),
            format!("to: [{{operation: {{paths: ['/p/{long}*', '/t/{number}/{{*}}']}}}}]"),
            format!("from: [{{source: {{ipBlocks: [10.0.{number}.0/24], requestPrincipals: ['i/user-{number}']}}}}]"),
            format!("when: [{{key: 'request.headers[x-team]', values: [team-{number}]}}]"),
            format!("when: [{{key: 'request.auth.claims[groups]', values: ['{long}y*']}}]"),
            format!("when: [{{key: 'request.llm[model]', values: [model-{number}]}}]"),
        ] {
            text += &format!("  - {rule}\n");
        }
    }
    let list = |value: &dyn Fn(u32) -> String| (0..100).map(value).collect::<Vec<_>>().join(", ");
    text += &format!(
        "  - from: [{{source: {{ipBlocks: [{}], notRequestPrincipals: [{}]}}}}]\n    to: [{{operation: {{notHosts: [{}]}}}}]\n",
        list(&|number| format!("192.0.2.{number}")),
        list(&|number| format!("i/user-{number}")),
        list(&|number| format!("'h{number}*'")),
    );
    text
}

#[test]
fn a_hundred_thousand_lookups_among_many_policies_allocate_nothing() {
    let compiled = compiled_of(&many_denials());
    let tables = compiled.snapshot.tables();
    let claims = ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s","groups":["dev","xxxy"]}"#, &[]).unwrap();
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(br#"{"model":"mine"}"#).unwrap();
    let facts = scan.finish().unwrap();
    let mut scratch = Scratch::new();
    let headers: &[(&str, &[u8])] = &[("host", b"test.com"), ("x-team", b"team-199"), ("x-other", b"team-7")];
    let kept = headers.split_last().unwrap().1;
    let others: &[(&str, &[u8])] = &headers[..1];
    let sent = [
        // Denied by a header, asked for the body, passed, denied by a list.
        (kept, "198.51.100.1", false),
        (others, "198.51.100.1", true),
        (others, "198.51.100.1", true),
        (others, "192.0.2.99", true),
    ];
    let (mut denied, mut passed, mut asked) = (0, 0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_usize {
            let (headers, peer, is_anonymous) = sent[round % 4];
            let request = Request {
                method: "POST",
                authority: None,
                target: "/p?q",
                headers: &headers,
                connection: Connection::plain(peer.parse().unwrap(), 80),
            };
            let known = Known {
                body: if round % 4 == 1 {
                    Body::Unread
                } else {
                    Body::Read(Ok(facts))
                },
                identity: if is_anonymous {
                    Identity::Anonymous
                } else {
                    Identity::Verified(claims.claims())
                },
                ..Known::NOTHING
            };
            match decide(tables, &request, known, 0, &mut scratch) {
                Decision::ReadBody => asked += 1,
                Decision::Refuse(Refusal::Denied(_)) => denied += 1,
                Decision::Refuse(Refusal::NoRoute) => passed += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!((denied, passed, asked), (50_000, 25_000, 25_000));
}

#[test]
fn a_hundred_thousand_judgements_by_every_kind_of_condition_allocate_nothing() {
    let compiled = compiled_of(POLICIES);
    let tables = compiled.snapshot.tables();
    let claims = ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s","aud":["a"],"groups":["dev","ops"]}"#, &[]).unwrap();
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(br#"{"tools":[{"function":{"name":"search"}}],"max_tokens":100}"#)
        .unwrap();
    let facts = scan.finish().unwrap();
    let mut scratch = Scratch::new();
    let headers: &[(&str, &[u8])] = &[("host", b"test.com"), ("x-team", b"red"), ("x-team", b"blue")];
    let request = Request {
        method: "POST",
        authority: None,
        target: "/a/../b?c",
        headers: &headers,
        connection: Connection {
            sni: Some("test.com"),
            spiffe_id: Some("cluster.local/ns/team2/sa/bot"),
            ..Connection::plain("198.51.100.1".parse().unwrap(), 80)
        },
    };
    let (mut denied, mut passed, mut asked) = (0, 0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000 {
            let known = Known {
                body: if round % 2 == 0 {
                    Body::Unread
                } else {
                    Body::Read(Ok(facts))
                },
                identity: Identity::Verified(claims.claims()),
                ..Known::NOTHING
            };
            let request = Request {
                method: if round % 5 == 0 { "GET" } else { "POST" },
                ..request
            };
            let observed = observe(tables, &request, &known, &mut scratch);
            assert!(observed.dry_run.is_some());
            match decide(tables, &request, known, 0, &mut scratch) {
                Decision::ReadBody => asked += 1,
                Decision::Refuse(Refusal::Denied(_)) => denied += 1,
                Decision::Refuse(Refusal::NoRoute) => passed += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!((denied, passed, asked), (10_000, 50_000, 40_000));
}

/// Tokens in each place, and policies that read what is beside them.
const BESIDE_TOKENS: &str = r#"
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: istio-system}
spec:
  jwtRules:
  - issuer: i
    jwks: '{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}'
    fromHeaders: [{name: x-token}]
    fromParams: [t]
    fromCookies: [sid]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: deny, namespace: istio-system}
spec:
  action: DENY
  rules:
  - when: [{key: 'request.headers[:path]', values: ['/p?a&b']}]
  - when: [{key: 'request.headers[cookie]', values: ['a=1; b=2']}]
  - when: [{key: 'request.headers[x-token]', values: ['*']}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: trial, namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{when: [{key: 'request.headers[cookie]', values: ['a=1']}]}]}
"#;

#[test]
fn a_hundred_thousand_judgements_of_what_is_beside_tokens_allocate_nothing() {
    let compiled = compiled_of(BESIDE_TOKENS);
    let tables = compiled.snapshot.tables();
    let claims = ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s"}"#, &[]).unwrap();
    let mut scratch = Scratch::new();
    let heads: [(&str, &[u8], &[u8], bool); 4] = [
        ("/p?a&t=x.y.z&b", b"", b"", true),
        ("/p", b"a=1; sid=x.y.z;b=2", b"", true),
        ("/p?t=x.y.z", b"a=1; sid; sid =2", b"", false),
        ("/p?b", b"a=1", b"x.y.z", false),
    ];
    let (mut denied, mut passed) = (0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_usize {
            let (target, cookies, token, is_denied) = heads[round % heads.len()];
            let all: [(&str, &[u8]); 3] = [("host", b"test.com"), ("cookie", cookies), ("x-token", token)];
            let headers = if token.is_empty() { &all[..2] } else { &all[..] };
            let request = Request {
                method: "GET",
                authority: None,
                target,
                headers: &headers,
                connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
            };
            let known = Known {
                identity: Identity::Verified(claims.claims()),
                ..Known::NOTHING
            };
            let observed = observe(tables, &request, &known, &mut scratch);
            assert!(observed.dry_run.is_some());
            let was_denied = match decide(tables, &request, known, 0, &mut scratch) {
                Decision::Refuse(Refusal::Denied(_)) => true,
                Decision::Refuse(Refusal::NoRoute) => false,
                other => panic!("{other:?}"),
            };
            assert_eq!(was_denied, is_denied, "{target}");
            if was_denied { denied += 1 } else { passed += 1 }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!((denied, passed), (50_000, 50_000));
}

const CHECKED: &str = "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: edge, namespace: istio-system}
spec:
  extensionProviders:
  - {name: a, envoyExtAuthzGrpc: {service: a.test, port: 9000}}
  - {name: b, envoyExtAuthzHttp: {service: b.test, port: 8000}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: first, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: a}, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: second, namespace: istio-system}
spec: {action: CUSTOM, provider: {name: b}, rules: [{when: [{key: 'request.headers[x-user]', values: [ann]}]}]}
";

#[test]
fn a_hundred_thousand_decisions_on_what_authorizers_said_allocate_nothing() {
    let compiled = compiled_of(&format!("{CONFIG}\n---\n{CHECKED}"));
    let tables = compiled.snapshot.tables();
    let headers: &[(&str, &[u8])] = &[("host", b"test.com"), ("x-user", b"eve")];
    let request = Request {
        method: "POST",
        authority: None,
        target: "/p",
        headers: &headers,
        connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
    };
    let fields = [Field {
        name: "x-user",
        value: Some(b"ann"),
    }];
    let answer = |authorizer, said| Answer {
        authorizer: AuthorizerId(authorizer),
        said,
    };
    let answers = [answer(0, Said::Allow(&fields)), answer(1, Said::Deny(401))];
    let mut scratch = Scratch::new();
    let (mut asked, mut denied) = (0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_usize {
            let checked = Checked::new(&request, &answers[..round % 3]);
            let known = Known {
                checked: Some(&checked),
                ..Known::NOTHING
            };
            match decide(tables, &request, known, 0, &mut scratch) {
                Decision::Check(_) => asked += 1,
                Decision::Refuse(Refusal::External(_, External::Denied(401))) => denied += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!((asked, denied), (66_667, 33_333));
}

/// Every kind of condition and of action, each rule taken by one of the requests below.
const SERVICES: &str = "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 8000, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [ingress-gw]
  http:
  - match: [{uri: {regex: '/r[a-z]+'}, method: {exact: GET}, scheme: {prefix: http}, authority: {regex: '.*test'}}]
    rewrite: {uriRegexRewrite: {match: 'r(.*)', rewrite: '\\1'}, authority: b.test}
    route: [{destination: {host: a.test}, weight: 1}, {destination: {host: a.test}, weight: 3}]
  - match: [{uri: {prefix: /P/}, ignoreUriCase: true, withoutHeaders: {x-a: {exact: b}, '@request.auth.claims.x': {}}}]
    rewrite: {uri: /q}
    headers: {request: {set: {x-b: c}, remove: [x-d]}}
    route: [{destination: {host: a.test}}]
  - match: [{queryParams: {to: {exact: elsewhere}}, headers: {x-a: {regex: 'a|c'}}}]
    redirect: {uri: /away, scheme: https, derivePort: FROM_REQUEST_PORT}
  - match: [{headers: {'@request.auth.claims[groups]': {exact: dev}}}]
    directResponse: {status: 200, body: {string: hello}}
";

#[test]
fn a_hundred_thousand_decisions_by_virtual_services_allocate_nothing() {
    let compiled = compiled_of(&format!(
        "{}\n---\n{SERVICES}",
        include_str!("../../examples/seed/gateway.yaml")
    ));
    let tables = compiled.snapshot.tables();
    let claims = ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s","groups":["ops","dev"]}"#, &[]).unwrap();
    let headers: &[(&str, &[u8])] = &[("host", b"web.test"), ("x-a", b"a")];
    let mut scratch = Scratch::new();
    let (mut forwarded, mut redirected, mut answered, mut refused) = (0, 0, 0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_usize {
            let target = ["/rest", "/p/../p/x", "/x?from=here&to=elsewhere", "/x?to&to=elsewhere"][round % 4];
            let request = Request {
                method: "GET",
                authority: None,
                target,
                headers: &headers,
                connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
            };
            let known = Known {
                identity: if round % 8 < 4 {
                    Identity::Verified(claims.claims())
                } else {
                    Identity::Anonymous
                },
                ..Known::NOTHING
            };
            match decide(tables, &request, known, round as u64, &mut scratch) {
                Decision::Forward(_) => forwarded += 1,
                Decision::Redirect(_) => redirected += 1,
                Decision::Respond(_) => answered += 1,
                Decision::Refuse(Refusal::NoRoute) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!(
        (forwarded, redirected, answered, refused),
        (50_000, 25_000, 12_500, 12_500)
    );
}

/// Rules of one host that are found by every kind of condition, prefixes of few and of many lengths among them, and
/// one that is walked; the last of each kind takes one of the requests below.
fn many_routes() -> String {
    let mut text = format!(
        "{}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: many, namespace: istio-system}}\nspec:\n  hosts: ['*']\n  gateways: [ingress-gw]\n  http:\n",
        include_str!("../../examples/seed/gateway.yaml")
    );
    text += "  - match: [{uri: {regex: '.*/tail'}}]\n    directResponse: {status: 200}\n";
    for number in 0..100 {
        let long = "x".repeat(number);
        for one in [
            format!("uri: {{exact: /exact/{number}}}"),
            format!("uri: {{prefix: /p/{long}y}}"),
            format!("uri: {{prefix: /Fold/{long}Y}}, ignoreUriCase: true"),
            format!("uri: {{regex: '/r/{number}/[a-z]+'}}"),
            format!("headers: {{x-team: {{exact: team-{number}}}}}"),
            format!("headers: {{'@request.auth.claims[groups]': {{exact: group-{number}}}}}"),
            format!("queryParams: {{q: {{prefix: value-{number}-}}}}"),
            format!("authority: {{exact: 'h{number}.test'}}"),
        ] {
            text += &format!("  - match: [{{{one}}}]\n    directResponse: {{status: 200}}\n");
        }
    }
    text
}

#[test]
fn a_hundred_thousand_lookups_among_many_routes_allocate_nothing() {
    let compiled = compiled_of(&many_routes());
    let tables = compiled.snapshot.tables();
    let claims = ClaimSet::parse::<&str>(br#"{"iss":"i","sub":"s","groups":["ops","group-99"]}"#, &[]).unwrap();
    let long = "x".repeat(99);
    let (prefix, folded) = (format!("/p/{long}y/z"), format!("/fOLD/{long}y/z"));
    let sent: [(&str, &[u8], &[u8], bool); 10] = [
        ("/exact/99", b"a.test", b"", false),
        (&prefix, b"a.test", b"", false),
        (&folded, b"a.test", b"", false),
        ("/r/99/abc", b"a.test", b"", false),
        ("/x/tail", b"a.test", b"", false),
        ("/", b"a.test", b"team-99", false),
        ("/", b"a.test", b"", true),
        ("/?q=value-99-1", b"a.test", b"", false),
        ("/", b"h99.test", b"", false),
        ("/none", b"a.test", b"team-100", false),
    ];
    let mut scratch = Scratch::new();
    let (mut answered, mut refused) = (0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_usize {
            let (target, host, team, has_token) = sent[round % sent.len()];
            let headers: &[(&str, &[u8])] = &[("host", host), ("x-team", team)];
            let request = Request {
                method: "GET",
                authority: None,
                target,
                headers: &headers,
                connection: Connection::plain("198.51.100.1".parse().unwrap(), 80),
            };
            let known = Known {
                identity: if has_token {
                    Identity::Verified(claims.claims())
                } else {
                    Identity::Anonymous
                },
                ..Known::NOTHING
            };
            match decide(tables, &request, known, 0, &mut scratch) {
                Decision::Respond(_) => answered += 1,
                Decision::Refuse(Refusal::NoRoute) => refused += 1,
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!((answered, refused), (90_000, 10_000));
}
