//! Random authorization policies: few fields at a time, of values that requests have.

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    Action, AuthorizationPolicy, Clause, Gateway, NETWORKING_GROUP, PolicyKey, PolicyRule, PolicyTarget, Predicate,
    TargetReference,
};

use crate::bytes::Bytes;
use crate::world::{list, meta, selector, spanned, text};

/// Makes a policy.
pub fn policy(bytes: &mut Bytes<'_>, index: usize, gateways: &[Gateway]) -> AuthorizationPolicy {
    let mut meta = meta(bytes, "AuthorizationPolicy", "policy", index);
    if !bytes.one_in(4) {
        meta.namespace = "istio-system".into();
    }
    let action = bytes.pick(&[Action::Deny, Action::Allow, Action::Deny, Action::Allow, Action::Audit]);
    let fewest = usize::from(action == Action::Deny || !bytes.one_in(8));
    AuthorizationPolicy {
        meta,
        target: target(bytes, gateways),
        action,
        dry_run: action != Action::Audit && bytes.one_in(10),
        provider: None,
        rules: bytes.some(fewest, 3, |bytes, _| PolicyRule {
            at: Location::default(),
            from: list(bytes, &[0, 1, 0, 2, 0], |bytes| clause(bytes, &SOURCE)),
            to: list(bytes, &[1, 1, 2, 0], |bytes| clause(bytes, &OPERATION)),
            when: list(bytes, &[0, 0, 1, 0, 2], condition),
        }),
    }
}

/// A policy beside each of `policies`, of the same kind and with so many rules that they are not judged one after
/// the other.
pub fn crowd(policies: &[AuthorizationPolicy]) -> Vec<AuthorizationPolicy> {
    const RULES: usize = 24;
    let beside = policies.iter().zip(0..).map(|(policy, number)| {
        let rules = (0..RULES).map(|index| {
            let one = vec![crowded(index + number * RULES)];
            // Hosts and paths are no conditions of `when`.
            let is_operation = one[0].key.condition_name().is_empty();
            let (to, when) = if is_operation {
                (one, Vec::new())
            } else {
                (Vec::new(), one)
            };
            let clauses = to.into_iter().map(|predicate| Clause {
                at: Location::default(),
                predicates: vec![predicate],
            });
            PolicyRule {
                at: Location::default(),
                from: Vec::new(),
                to: clauses.collect(),
                when,
            }
        });
        let mut meta = policy.meta.clone();
        meta.name = spanned(format!("crowd-{number}").into());
        AuthorizationPolicy {
            meta,
            rules: rules.collect(),
            ..policy.clone()
        }
    });
    beside.collect()
}

/// A condition on what few requests have.
fn crowded(index: usize) -> Predicate {
    let fields = [
        (PolicyKey::Header("x-c".to_owned()), format!("value-{index}")),
        (PolicyKey::Path, format!("/crowd-{index}/*")),
        (PolicyKey::Host, format!("*.crowd-{index}.test")),
        (PolicyKey::PeerAddress, format!("172.16.{index}.0/24")),
        (PolicyKey::Namespace, format!("crowd-{index}")),
        (PolicyKey::RequestPrincipal, format!("crowd/{index}")),
    ];
    let (key, value) = fields[index % fields.len()].clone();
    let field = match key {
        PolicyKey::Path => "paths".into(),
        PolicyKey::Host => "hosts".into(),
        _ => key.condition_name().into(),
    };
    Predicate {
        at: Location::default(),
        field,
        key,
        negated: false,
        values: vec![text(&value)],
    }
}

fn target(bytes: &mut Bytes<'_>, gateways: &[Gateway]) -> PolicyTarget {
    match bytes.below(16) {
        12..=14 => PolicyTarget::Labels(selector(bytes)),
        15 if !gateways.is_empty() => PolicyTarget::References(bytes.some(1, 2, |bytes, _| {
            let kind = bytes.pick(&["Gateway", "Gateway", "Gateway", "Service"]);
            TargetReference {
                at: Location::default(),
                kind: kind.into(),
                group: (kind == "Gateway").then(|| NETWORKING_GROUP.into()),
                name: gateways[bytes.below(gateways.len())].meta.name.clone(),
            }
        })),
        _ => PolicyTarget::Namespace,
    }
}

/// A field of a source or operation and values for it.
type Field = (&'static str, PolicyKey, &'static [&'static str]);

const SOURCE: [Field; 7] = [
    ("ipBlocks", PolicyKey::PeerAddress, &BLOCKS),
    ("remoteIpBlocks", PolicyKey::RemoteAddress, &BLOCKS),
    ("principals", PolicyKey::Principal, &PRINCIPALS),
    ("namespaces", PolicyKey::Namespace, &NAMESPACES),
    (
        "serviceAccounts",
        PolicyKey::ServiceAccount,
        &["bot", "team/bot", "default/app", "app"],
    ),
    (
        "trustDomains",
        PolicyKey::TrustDomain,
        &["cluster.local", "cluster*", "*", "other"],
    ),
    ("requestPrincipals", PolicyKey::RequestPrincipal, &REQUEST_PRINCIPALS),
];

const OPERATION: [Field; 4] = [
    ("hosts", PolicyKey::Host, &HOSTS),
    ("methods", PolicyKey::Method, &METHODS),
    ("paths", PolicyKey::Path, &PATHS),
    ("ports", PolicyKey::Port, &PORTS),
];

const BLOCKS: [&str; 10] = [
    "10.0.0.0/8",
    "10.0.0.1",
    "10.0.0.2/31",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/32",
    "::1",
    "::ffff:10.0.0.1",
    "192.168.0.0/17",
    "2001:db8::2/127",
];
const HOSTS: [&str; 14] = [
    "a.test",
    "p.test",
    "*",
    "*.test",
    "a.*",
    "A.TEST",
    "a.test:80",
    "a.test:*",
    "*:80",
    "*test",
    "x.b.test",
    "*a*",
    "B*",
    "**",
];
const METHODS: [&str; 8] = ["POST", "GET", "P*", "*T", "*", "post", "OPTIONS", "G*T"];
const PATHS: [&str; 26] = [
    "/a",
    "/admin",
    "/",
    "/a/*",
    "*/b",
    "*",
    "/admin*",
    "/A",
    "/a%2fb",
    "*v1*",
    "/admin/",
    "//a",
    "/*",
    "/%7C",
    "*]",
    "/v%31",
    "/{*}",
    "/{**}",
    "/a/{*}",
    "/a/{**}",
    "/{*}/b",
    "/{**}/b",
    "/{*}/{**}",
    "/{*}/",
    "/a/{*}/{**}/",
    "/a/{**}/b",
];
const PORTS: [&str; 3] = ["80", "8080", "81"];
const PRINCIPALS: [&str; 8] = [
    "cluster.local/ns/team/sa/bot",
    "*",
    "cluster.local/*",
    "*/sa/bot",
    "*/ns/team/*",
    "other/ns/default/sa/app",
    "spiffe://*",
    "cluster.local/ns/tea.*",
];
const NAMESPACES: [&str; 8] = ["team", "default", "*", "te*", "*am", "t*m", "*e*a*", "tea."];
const REQUEST_PRINCIPALS: [&str; 15] = [
    "*/*",
    "*j/bob",
    "j/*b",
    "*",
    "https://i.test/ann",
    "https://i.test/*",
    "https://i.test/a*",
    "*/ann",
    "*nn",
    "https*",
    "https://i*",
    "https://i.test",
    "j/bob",
    "*j/b*",
    "j/ann",
];
const VALUES: [&str; 10] = ["red", "blue", "r*", "*e", "*", "Red", "red,blue", "*r*", "green", "re"];

/// At least one field, as the loader asks for.
fn clause(bytes: &mut Bytes<'_>, fields: &[Field]) -> Clause {
    let mut predicates = Vec::new();
    let first = bytes.below(fields.len() * 2);
    for (index, (name, key, values)) in fields.iter().enumerate() {
        for negated in [false, true] {
            let is_first = first == index * 2 + usize::from(negated);
            if is_first || bytes.one_in(12) {
                predicates.push(predicate(bytes, (name, key.clone()), values, negated));
            }
        }
    }
    Clause {
        at: Location::default(),
        predicates,
    }
}

fn predicate(bytes: &mut Bytes<'_>, (field, key): (&str, PolicyKey), values: &[&str], negated: bool) -> Predicate {
    Predicate {
        at: Location::default(),
        key,
        negated,
        values: bytes.some(1, 2, |bytes, _| text(bytes.pick(values))),
        field: field.into(),
    }
}

/// A field that is not the client's to write, or about the connection.
fn not_the_clients(bytes: &mut Bytes<'_>) -> (PolicyKey, &'static [&'static str]) {
    let (name, values): (_, &[&str]) = match bytes.below(16) {
        0..=3 => ("x-forwarded-proto", &["http", "https", "*", "h*"]),
        4..=6 => (
            "x-envoy-external-address",
            &["127.0.0.1", "10.0.0.1", "127.*", "*", "*:3"],
        ),
        // How it ends depends on what Envoy takes for its own address.
        7..=9 => ("x-forwarded-for", &["127.0.0.1,*", "10.0.0.1*", "*", "unknown*"]),
        10 => ("x-envoy-internal", &["true", "*"]),
        11 => ("x-envoy-original-path", &["/public", "*"]),
        12 => ("x-envoy-retry-on", &["*"]),
        13 => ("te", &["trailers", "gzip", "*"]),
        14 => ("user-agent", &["red", "red,blue", "*blue", "blue*", "*"]),
        _ => (bytes.pick(&["upgrade", "proxy-connection", "keep-alive"]), &["*"]),
    };
    (PolicyKey::Header(name.to_owned()), values)
}

fn condition(bytes: &mut Bytes<'_>) -> Predicate {
    const CLAIMS: [&[&str]; 4] = [&["groups"], &["scope"], &["nested", "team"], &["number"]];
    let header = |name: &str| PolicyKey::Header(name.to_owned());
    let (key, values): (PolicyKey, &[&str]) = match bytes.below(32) {
        0..=4 => (header("x-a"), &VALUES),
        5 => (
            header("x-forwarded-client-cert"),
            &["red", "URI=*", "*", "URI=https://a.test/", "*bot"],
        ),
        6 => (header("x-b"), &VALUES),
        7 => not_the_clients(bytes),
        8 => (header("host"), &HOSTS),
        9 => (header(":authority"), &HOSTS),
        10 => (header(":path"), &["/a", "/a*", "*x=1", "*?", "*", "/a?x=1", "*1"]),
        11 => (header(":method"), &METHODS),
        12 => (header(":scheme"), &["http", "https", "*", "h*"]),
        13..=16 => (
            PolicyKey::Claim(bytes.pick(&CLAIMS).iter().map(|name| (*name).to_owned()).collect()),
            &VALUES,
        ),
        17 => (PolicyKey::Audience, &VALUES),
        18 => (PolicyKey::Presenter, &VALUES),
        19 => (PolicyKey::RequestPrincipal, &REQUEST_PRINCIPALS),
        20 => (PolicyKey::LocalAddress, &BLOCKS),
        21 => (PolicyKey::Port, &PORTS),
        22 => (PolicyKey::Sni, &["a.test", "*.test", "*", "A.test"]),
        23..=26 => (PolicyKey::LlmModel, &["mine", "m*", "*", "other", "*e"]),
        27..=28 => (PolicyKey::LlmStream, &["true", "false", "*"]),
        29 => (PolicyKey::LlmTools, &["mine", "search", "*", "m*"]),
        _ => (PolicyKey::LlmMaxTokens, &["10", "<=10", ">10", "<1000", ">=1000", "*"]),
    };
    let name = key.condition_name();
    let negated = bytes.one_in(3);
    predicate(bytes, (&name, key), values, negated)
}
