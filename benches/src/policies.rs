//! Policies: what a decision costs by their number, and by the number of addresses they list.

use core::fmt::Write;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::claims::ClaimSet;
use lockgate_core::decide::{Body, Identity, Known, Scratch, decide};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request};
use lockgate_core::snapshot::Snapshot;

use crate::Case;
use crate::compile::build;
use crate::configs::{PORT, host, yaml};

/// Hosts of the routes below the policies.
const HOSTS: usize = 10;

/// The cases of the group `policies`: a request that the last policy allows, and no other looks at.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![case("none", String::new)];
    for (name, policies) in [("10", 10), ("10,000", 10_000), ("100,000", 100_000)] {
        cases.push(case(&format!("{name} of mixed conditions"), move || mixed(policies)));
    }
    for (name, blocks) in [("100", 100), ("100,000", 100_000)] {
        cases.push(case(&format!("{name} CIDRs in one rule"), move || one_list(blocks)));
        cases.push(case(&format!("{name} CIDRs in as many rules"), move || {
            many_lists(blocks)
        }));
    }
    cases
}

fn case(name: &str, policies: impl FnOnce() -> String + 'static) -> Case {
    Case::new("policies", name, move || {
        let snapshot = build(&[yaml(HOSTS, 0), policies()]);
        let host = host(HOSTS - 1);
        let claims = claims();
        let mut scan = BodyScan::new(u64::MAX);
        let _ = scan.feed(br#"{"model":"qwen-plus","messages":[]}"#);
        let mut scratch = Scratch::new();
        move || {
            let headers: &[(&str, &[u8])] = &[
                ("host", host.as_bytes()),
                ("user-agent", b"OpenAI/Python 1.50.0"),
                ("x-team", b"team-of-nobody"),
                ("content-type", b"application/json"),
            ];
            let known = Known {
                body: Body::Read(scan.finish()),
                identity: Identity::Verified(claims.claims()),
                ..Known::NOTHING
            };
            decided(&snapshot, headers, known, &mut scratch);
        }
    })
}

fn decided(snapshot: &Snapshot, headers: &[(&str, &[u8])], known: Known<'_>, scratch: &mut Scratch) -> bool {
    let request = Request {
        method: "POST",
        authority: None,
        target: "/v1/chat/completions",
        headers: &headers,
        connection: Connection {
            spiffe_id: Some("cluster.local/ns/prod/sa/web"),
            ..Connection::plain(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), PORT)
        },
    };
    let tables = snapshot.tables();
    let decision = black_box(decide(black_box(tables), black_box(&request), known, 0, scratch));
    matches!(decision, lockgate_core::decision::Decision::Forward(_))
}

fn claims() -> ClaimSet {
    let payload = br#"{"iss":"https://issuer.example.com","sub":"user","groups":["everyone"]}"#;
    #[expect(clippy::expect_used, reason = "it is written two lines above")]
    ClaimSet::parse::<&str>(payload, &[]).expect("a payload")
}

/// Policies of one rule each with the conditions that people write, the last of which allows the measured request.
#[must_use]
pub fn mixed(policies: usize) -> String {
    let mut text = String::new();
    for number in 1..policies {
        let (action, rule) = condition(number);
        policy(&mut text, number, action, &rule);
    }
    let rule = format!(
        "{{from: [{{source: {{ipBlocks: [203.0.113.0/24]}}}}], to: [{{operation: {{hosts: ['{}'], methods: [POST]}}}}]}}",
        host(HOSTS - 1)
    );
    policy(&mut text, policies, "ALLOW", &rule);
    text
}

fn condition(number: usize) -> (&'static str, String) {
    let block = block(number);
    match number % 9 {
        0 => (
            "DENY",
            format!("{{to: [{{operation: {{hosts: [bad-{number}.example.com, 'bad-{number}.example.com:*']}}}}]}}"),
        ),
        1 => (
            "DENY",
            format!("{{to: [{{operation: {{paths: ['/team-{number}/*']}}}}]}}"),
        ),
        2 => (
            "DENY",
            format!("{{from: [{{source: {{ipBlocks: [{block}]}}}}], to: [{{operation: {{methods: [POST]}}}}]}}"),
        ),
        3 => (
            "DENY",
            format!("{{when: [{{key: 'request.headers[x-team]', values: [team-{number}]}}]}}"),
        ),
        4 => (
            "DENY",
            format!("{{to: [{{operation: {{hosts: ['*.tenant-{number}.example.com']}}}}]}}"),
        ),
        5 => (
            "ALLOW",
            format!("{{from: [{{source: {{principals: [cluster.local/ns/team-{number}/sa/bot]}}}}]}}"),
        ),
        6 => (
            "ALLOW",
            format!(
                "{{from: [{{source: {{requestPrincipals: ['https://issuer.example.com/user-{number}']}}}}], to: [{{operation: {{paths: ['/v1/*'], notMethods: [PUT]}}}}]}}"
            ),
        ),
        7 => (
            "ALLOW",
            format!(
                "{{when: [{{key: 'request.auth.claims[groups]', values: [group-{number}]}}, {{key: 'request.llm[model]', values: ['qwen-*']}}]}}"
            ),
        ),
        _ => (
            "ALLOW",
            format!("{{from: [{{source: {{remoteIpBlocks: [{block}]}}}}]}}"),
        ),
    }
}

/// A block of sixteen addresses of which the measured client's is none.
fn block(number: usize) -> String {
    format!(
        "10.{}.{}.{}/28",
        number >> 12 & 255,
        number >> 4 & 255,
        (number & 15) << 4
    )
}

fn policy(text: &mut String, number: usize, action: &str, rule: &str) {
    begin(text, number, action);
    let _ = writeln!(text, "  - {rule}");
}

fn begin(text: &mut String, number: usize, action: &str) {
    let _ = write!(
        text,
        "---\napiVersion: lockgate.dev/v1\nkind: AuthorizationPolicy\nmetadata: {{name: policy-{number}, namespace: istio-system}}\nspec:\n  action: {action}\n  rules:\n"
    );
}

fn one_list(blocks: usize) -> String {
    let mut text = String::new();
    begin(&mut text, 1, "DENY");
    text.push_str("  - from:\n    - source:\n        ipBlocks:\n");
    for number in 0..blocks {
        let _ = writeln!(text, "        - {}", block(number));
    }
    text
}

fn many_lists(blocks: usize) -> String {
    let mut text = String::new();
    begin(&mut text, 1, "DENY");
    for number in 0..blocks {
        let _ = writeln!(text, "  - from: [{{source: {{ipBlocks: [{}]}}}}]", block(number));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_policies_allow_the_request_by_the_last_one() {
        let claims = claims();
        let mut scan = BodyScan::new(u64::MAX);
        scan.feed(b"{}").unwrap();
        let known = Known {
            body: Body::Read(scan.finish()),
            identity: Identity::Verified(claims.claims()),
            ..Known::NOTHING
        };
        let host = host(HOSTS - 1);
        let headers: &[(&str, &[u8])] = &[("host", host.as_bytes())];
        for policies in [mixed(50), one_list(50), many_lists(50)] {
            let snapshot = build(&[yaml(HOSTS, 0), policies.clone()]);
            assert!(decided(&snapshot, headers, known, &mut Scratch::new()), "{policies}");
        }
        let without_the_last = mixed(50).replace("203.0.113.0/24", "203.0.114.0/24");
        let snapshot = build(&[yaml(HOSTS, 0), without_the_last]);
        assert!(!decided(&snapshot, headers, known, &mut Scratch::new()));
    }
}
