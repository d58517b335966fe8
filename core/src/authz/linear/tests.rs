//! Random policies and requests, at which both must say the same.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;
use crate::claims::ClaimSet;
use crate::compile::{Compiled, Settings};
use crate::config::LoadOptions;
use crate::config::diagnostic::{Severity, Source};
use crate::decide::{Body, Identity, Scratch};
use crate::llm::body::{BodyError, BodyScan};
use crate::request::{Connection, Request};
use crate::tables::RuleIndex;

/// So few that conditions and requests meet.
const PATHS_WITH_QUERY: [&str; 3] = ["/a?b", "/a/b?c", "/b?"];

/// Seeded: what fails once fails again.
pub(crate) struct Random {
    pub(crate) state: u64,
    /// Letters of the longest words: with few, every request matches something.
    pub(crate) letters: usize,
}

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % bound as u64).unwrap()
    }

    pub(crate) fn of<'t>(&mut self, choices: &[&'t str]) -> &'t str {
        choices[self.below(choices.len())]
    }

    /// A few letters out of few, so that texts nest and meet.
    pub(crate) fn word(&mut self) -> String {
        let len = 1 + self.below(self.letters);
        (0..len).map(|_| self.of(&["a", "b", "c"])).collect()
    }

    /// One of Istio's forms.
    fn pattern(&mut self) -> String {
        match self.below(8) {
            0 => "*".to_string(),
            1 | 2 => format!("{}*", self.word()),
            3 | 4 => format!("*{}", self.word()),
            _ => self.word(),
        }
    }

    fn path(&mut self) -> String {
        match self.below(10) {
            0 => "*".to_string(),
            1 => format!("/{}/{{*}}", self.word()),
            2 => format!("/{}/{{**}}/{}", self.word(), self.word()),
            3 | 4 => format!("/{}*", self.word()),
            5 => format!("*/{}", self.word()),
            _ => self.target(),
        }
    }

    fn target(&mut self) -> String {
        match self.below(3) {
            0 => format!("/{}", self.word()),
            _ => format!("/{}/{}", self.word(), self.word()),
        }
    }

    fn address(&mut self) -> IpAddr {
        let (a, b) = (self.below(4), self.below(3));
        let low = u8::try_from(a * 64 + b).unwrap();
        if self.below(3) > 0 {
            Ipv4Addr::new(10, u8::try_from(self.below(3)).unwrap(), 0, low).into()
        } else {
            Ipv6Addr::new(0x2001, 0xdb8, u16::from(low), 0, 0, 0, 0, u16::from(low)).into()
        }
    }

    fn block(&mut self) -> String {
        let address = self.address();
        let bits = if address.is_ipv4() { 33 } else { 129 };
        match self.below(3) {
            0 => address.to_string(),
            _ => format!("{address}/{}", self.below(bits)),
        }
    }

    /// `['…', '…']`: mostly short, sometimes so long that it is looked up in.
    fn list(&mut self, value: impl Fn(&mut Self) -> String) -> String {
        let len = if self.below(12) == 0 {
            17 + self.below(20)
        } else {
            1 + self.below(3)
        };
        let mut values: Vec<String> = (0..len).map(|_| format!("'{}'", value(self))).collect();
        if len > 3 && self.below(4) > 0 {
            // Nearly every long list would have a star by itself, beside which the others say nothing.
            values.retain(|value| value != "'*'");
        }
        format!("[{}]", values.join(", "))
    }

    fn source(&mut self) -> String {
        let (field, not_field, values) = match self.below(6) {
            0 => ("remoteIpBlocks", "notRemoteIpBlocks", self.list(Self::block)),
            1 => ("namespaces", "notNamespaces", self.list(Self::namespace)),
            2 => ("principals", "notPrincipals", self.list(Self::principal)),
            3 => (
                "requestPrincipals",
                "notRequestPrincipals",
                self.list(|random| format!("{}/{}", random.pattern(), random.pattern())),
            ),
            4 => (
                "trustDomains",
                "notTrustDomains",
                self.list(|random| random.of(&["td", "t*", "other"]).to_string()),
            ),
            _ => ("ipBlocks", "notIpBlocks", self.list(Self::block)),
        };
        let field = if self.below(5) == 0 { not_field } else { field };
        format!("{{source: {{{field}: {values}}}}}")
    }

    fn namespace(&mut self) -> String {
        match self.below(4) {
            0 => format!("{}*{}", self.word(), self.word()),
            1 => format!("*{}*{}", self.word(), self.word()),
            _ => self.pattern(),
        }
    }

    fn principal(&mut self) -> String {
        match self.below(3) {
            0 => format!("td/ns/{}/sa/{}", self.word(), self.word()),
            1 => format!("td/ns/{}*", self.word()),
            _ => format!("*{}", self.word()),
        }
    }

    fn operation(&mut self) -> String {
        let mut fields = Vec::new();
        if self.below(2) == 0 {
            fields.push(format!("hosts: {}", self.list(Self::pattern)));
        }
        if self.below(2) == 0 {
            fields.push(format!("paths: {}", self.list(Self::path)));
        }
        if self.below(4) == 0 {
            let method = |random: &mut Self| random.of(&["GET", "POST", "P*", "*T", "DELETE"]).to_string();
            fields.push(format!("methods: {}", self.list(method)));
        }
        if self.below(5) == 0 {
            fields.push(format!(
                "ports: {}",
                self.list(|random| random.of(&["80", "81", "443"]).to_string())
            ));
        }
        if self.below(5) == 0 || fields.is_empty() {
            fields.push(format!("notPaths: {}", self.list(Self::path)));
        }
        format!("{{operation: {{{}}}}}", fields.join(", "))
    }

    fn condition(&mut self) -> String {
        let (key, values) = match self.below(12) {
            0 => (
                "request.headers[:path]",
                self.list(|random| match random.below(3) {
                    0 => random.of(&PATHS_WITH_QUERY).to_string(),
                    1 => format!("/{}*", random.word()),
                    _ => random.target(),
                }),
            ),
            1 => ("request.headers[host]", self.list(Self::pattern)),
            2 => ("request.auth.audiences", self.list(Self::pattern)),
            3 => ("request.auth.claims[groups]", self.list(Self::pattern)),
            4 => ("connection.sni", self.list(Self::pattern)),
            5 => ("request.llm[model]", self.list(Self::pattern)),
            6 => ("request.llm[tools]", self.list(Self::pattern)),
            7 => (
                "request.llm[stream]",
                self.list(|random| random.of(&["true", "false"]).to_string()),
            ),
            8 => ("destination.ip", self.list(Self::block)),
            9 => ("request.headers[x-b]", self.list(Self::pattern)),
            _ => ("request.headers[x-a]", self.list(Self::pattern)),
        };
        let values_field = if self.below(5) == 0 { "notValues" } else { "values" };
        format!("{{key: '{key}', {values_field}: {values}}}")
    }

    fn some(&mut self, one: impl Fn(&mut Self) -> String) -> String {
        let ones: Vec<String> = (0..=self.below(2)).map(|_| one(self)).collect();
        ones.join(", ")
    }

    fn rule(&mut self) -> String {
        let mut parts = Vec::new();
        if self.below(3) == 0 {
            parts.push(format!("from: [{}]", self.some(Self::source)));
        }
        if self.below(2) == 0 {
            parts.push(format!("to: [{}]", self.some(Self::operation)));
        }
        if self.below(2) == 0 || parts.is_empty() {
            parts.push(format!("when: [{}]", self.some(Self::condition)));
        }
        format!("{{{}}}", parts.join(", "))
    }

    fn policies(&mut self, rules: usize) -> String {
        let mut text = String::new();
        let (mut left, mut number) = (rules, 0);
        while left > 0 {
            number += 1;
            let action = self.of(&["DENY", "DENY", "ALLOW", "AUDIT"]);
            let of_this = self.below(4).max(usize::from(action == "DENY"));
            left = left.saturating_sub(of_this.max(1));
            let dry = action != "AUDIT" && self.below(3) == 0;
            let notes = if dry {
                ", annotations: {istio.io/dry-run: 'true'}"
            } else {
                ""
            };
            let rules: Vec<String> = (0..of_this).map(|_| self.rule()).collect();
            text += &format!(
                "apiVersion: lockgate.dev/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p{number}, namespace: istio-system{notes}}}\nspec: {{action: {action}, rules: [{}]}}\n---\n",
                rules.join(", ")
            );
        }
        text
    }
}

pub(crate) fn compiled(text: &str) -> Compiled {
    let source = Source::new("policies.yaml".into(), text.into());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = crate::build(&[source], &options, &Settings::default());
    let errors = format!(
        "{:?}",
        built
            .diagnostics
            .as_slice()
            .iter()
            .find(|one| one.severity == Severity::Error)
    );
    built.compiled.unwrap_or_else(|| panic!("{errors}"))
}

/// Asks both about one random request. What was said is counted.
fn agree(random: &mut Random, tables: &Tables, walked: &Tables, said: &mut Vec<Permission>) {
    let words: Vec<String> = (0..8).map(|_| random.word()).collect();
    let host = words[0].to_ascii_uppercase();
    let mut headers: Vec<(&str, &[u8])> = alloc::vec![("host", host.as_bytes())];
    for value in &words[1..1 + random.below(3)] {
        headers.push((random.of(&["x-a", "x-b"]), value.as_bytes()));
    }
    let identity = format!("td/ns/{}/sa/{}", words[3], words[4]);
    let target = match random.below(4) {
        3 => random.of(&PATHS_WITH_QUERY).to_string(),
        0 => format!("{}?{}", random.target(), words[5]),
        _ => random.target(),
    };
    let payload = format!(
        r#"{{"iss":"{}","sub":"{}","aud":"{}","groups":["{}","{}"]}}"#,
        words[6], words[7], words[1], words[2], words[5]
    );
    let claims = ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap();
    let body = format!(
        r#"{{"model":"{}","tools":[{{"type":"function","function":{{"name":"{}"}}}},{{"type":"function","function":{{"name":"{}"}}}}]}}"#,
        words[4], words[5], words[6]
    );
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(body.as_bytes()).unwrap();
    let known = Known {
        body: match random.below(3) {
            0 => Body::Unread,
            1 => Body::Read(Err(BodyError::TooLarge)),
            _ => Body::Read(scan.finish()),
        },
        identity: match random.below(3) {
            0 => Identity::Anonymous,
            _ => Identity::Verified(claims.claims()),
        },
        ..Known::NOTHING
    };
    let headers = headers.as_slice();
    let request = Request {
        method: random.of(&["GET", "POST", "PUT"]),
        authority: None,
        target: &target,
        headers: &headers,
        connection: Connection {
            sni: (random.below(2) == 0).then_some(&words[2]),
            spiffe_id: (random.below(2) == 0).then_some(&identity),
            local: random.address(),
            proxied: (random.below(2) == 0).then(|| random.address()),
            ..Connection::plain(random.address(), 80)
        },
    };
    let mut scratch = Scratch::new();
    let seen = Attributes::read(tables, &request, &mut scratch.head).unwrap();
    for dry_run in [false, true] {
        let answer = super::super::permission(tables, &seen, &known, dry_run);
        assert_eq!(
            answer,
            permission(walked, &seen, &known, dry_run),
            "{request:?} {body} {payload}"
        );
        said.push(answer);
    }
    assert_eq!(
        super::super::first_policy(tables, Action::Audit, &seen, &known),
        first_policy(walked, Action::Audit, &seen, &known),
        "{request:?} {body} {payload}"
    );
}

#[test]
fn what_is_not_looked_at_would_not_have_mattered() {
    let mut said = Vec::new();
    for seed in 0..121 {
        let size = if seed == 120 { 4_000 } else { [3, 12, 60, 400][seed % 4] };
        let mut random = Random {
            state: seed as u64,
            letters: [3, 5, 9, 20][seed % 5 % 4],
        };
        let text = random.policies(size);
        let compiled = compiled(&text);
        let tables = compiled.snapshot.tables();
        // Without an index, long lists too are compared value by value.
        let mut walked = tables.clone();
        walked.derived.rule_index = RuleIndex::default();
        for _ in 0..60 {
            agree(&mut random, tables, &walked, &mut said);
        }
    }
    let count = |is: fn(&Permission) -> bool| said.iter().filter(|said| is(said)).count();
    let (granted, named, unmatched, waiting) = (
        count(|said| *said == Permission::Granted),
        count(|said| matches!(said, Permission::Denied(Denial::Rule(..)))),
        count(|said| *said == Permission::Denied(Denial::NoAllowMatched)),
        count(|said| *said == Permission::DependsOnBody),
    );
    assert!(
        granted > 200 && named > 200 && unmatched > 200 && waiting > 200,
        "{granted} {named} {unmatched} {waiting}"
    );
}
