//! Random routes of many rules on few hosts, and requests, at which both must find the same entry.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

use super::*;
use crate::authz::body::facts;
use crate::authz::linear::tests::{Random, compiled};
use crate::claims::ClaimSet;
use crate::compile::Compiled;
use crate::decide::{Body, Identity, Known, Scratch};
use crate::explain::{RuleTrace, explain};
use crate::llm::body::BodyScan;
use crate::request::{Connection, Request};
use crate::token::overlay::Overlay;

const HEADERS: [&str; 4] = ["x-a", "x-b", "x-c", "x-d"];
const HOSTS: [&str; 4] = ["a.test", "b.test", "c.test:80", "A.test"];

impl Random {
    /// Paths that nest and meet, in either case.
    fn path_of_route(&mut self) -> String {
        let mut path = format!("/{}", self.word());
        for _ in 0..self.below(3) {
            path += &format!("/{}", self.word());
        }
        if self.below(6) == 0 {
            path.to_ascii_uppercase()
        } else {
            path
        }
    }

    fn uri(&mut self) -> String {
        let path = self.path_of_route();
        let folded = if self.below(4) == 0 {
            ", ignoreUriCase: true"
        } else {
            ""
        };
        match self.below(8) {
            0..=2 => format!("uri: {{exact: {path}}}{folded}"),
            // Not only whole segments, and at times all paths.
            3..=5 => format!(
                "uri: {{prefix: '{}'}}{folded}",
                path.get(..=self.below(path.len())).unwrap()
            ),
            6 => format!("uri: {{regex: '{path}(/.*)?'}}"),
            _ => format!(
                "uri: {{regex: '{}'}}",
                self.of(&[".*/b", "/(a|b).*", "(?i)/a/b", "/a?b", "/a+", "/[ab]|/c.*", "^/a$"])
            ),
        }
    }

    fn wanted(&mut self) -> String {
        let word = self.word();
        match self.below(8) {
            0..=4 => format!("{{exact: {word}}}"),
            5 => format!("{{prefix: {word}}}"),
            6 => format!("{{regex: '{}'}}", self.of(&["a.*", "(a|b)c?", ".+", "c|a"])),
            _ => "{}".to_string(),
        }
    }

    fn condition_of_route(&mut self) -> String {
        let wanted = self.wanted();
        let header = self.of(&HEADERS);
        match self.below(12) {
            0 | 1 => format!("method: {{exact: {}}}", self.of(&["GET", "POST", "PUT"])),
            2 => format!("authority: {{exact: '{}'}}", self.of(&HOSTS)),
            3 => format!("authority: {{prefix: {}}}", self.of(&["a", "b.", "A"])),
            4 | 5 => format!("queryParams: {{q: {wanted}}}"),
            6 => format!("headers: {{'@request.auth.claims[groups]': {wanted}}}"),
            7 => format!("withoutHeaders: {{{header}: {wanted}}}"),
            8 => "scheme: {exact: http}".to_string(),
            _ => format!("headers: {{{header}: {wanted}}}"),
        }
    }

    fn one_match(&mut self) -> String {
        let mut fields = Vec::new();
        if self.below(5) > 0 {
            fields.push(self.uri());
        }
        for _ in 0..[0, 0, 1, 1, 2][self.below(5)] {
            let field = self.condition_of_route();
            let name = field.split(':').next().unwrap().to_string();
            if !fields.iter().any(|taken| taken.starts_with(&name)) {
                fields.push(field);
            }
        }
        format!("{{{}}}", fields.join(", "))
    }

    /// VirtualServices and LLMRoutes of `rules` rules, on one host and on any.
    fn routes(&mut self, rules: usize) -> String {
        let mut text = GATEWAY.to_string();
        let (mut left, mut number) = (rules, 0);
        while left > 0 {
            number += 1;
            let of_this = 1 + self.below(left.min(60));
            left -= of_this;
            if self.below(6) == 0 {
                text += &self.llm_route(number, of_this);
                continue;
            }
            let host = self
                .of(&["a.test", "a.test", "*", "'*.test'"])
                .replace('*', "'*'")
                .replace("''*'.test'", "'*.test'");
            text += &format!(
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s{number}, namespace: istio-system}}\nspec:\n  hosts: [{host}]\n  gateways: [gw]\n  http:\n"
            );
            for rule in 0..of_this {
                let matches: Vec<String> = (0..=self.below(3) / 2).map(|_| self.one_match()).collect();
                text += &format!(
                    "  - name: r{rule}\n    match: [{}]\n    directResponse: {{status: 200}}\n",
                    matches.join(", ")
                );
            }
        }
        text
    }

    fn llm_route(&mut self, number: usize, rules: usize) -> String {
        let mut text = format!(
            "---\napiVersion: lockgate.dev/v1\nkind: LLMRoute\nmetadata: {{name: l{number}, namespace: istio-system}}\nspec:\n  host: '*'\n  gateways: [istio-system/gw]\n  rules:\n"
        );
        for rule in 0..rules {
            let host = format!("host: {{exact: '{}'}}", self.of(&HOSTS));
            let header = format!("{}: {}", self.of(&HEADERS), self.wanted().replace("{}", "{exact: a}"));
            let headers = match self.below(3) {
                0 => host,
                1 => header,
                _ => format!("{host}, {header}"),
            };
            let body = match self.below(4) {
                0 => format!(", model: {{exact: {}}}", self.word()),
                1 => format!(", model: {{in: [{}, {}]}}, stream: true", self.word(), self.word()),
                2 => ", model: {prefix: a}".to_string(),
                _ => String::new(),
            };
            text += &format!(
                "  - name: r{rule}\n    matches: [{{headers: {{{headers}}}{body}}}]\n    backendRefs: [{{providerHost: p.test}}]\n"
            );
        }
        text
    }
}

const GATEWAY: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: p, namespace: istio-system}
spec: {host: p.test}
";

/// Asks both about one random request, and `explain` at times. The number of the entry is noted.
fn agree(random: &mut Random, compiled: &Compiled, noted: &mut Vec<Option<usize>>) {
    let tables = compiled.snapshot.tables();
    let words: Vec<String> = (0..8).map(|_| random.word()).collect();
    let mut headers: Vec<(&str, &[u8])> = alloc::vec![("host", random.of(&HOSTS).as_bytes())];
    for value in &words[1..1 + random.below(4)] {
        headers.push((random.of(&HEADERS), value.as_bytes()));
    }
    let target = format!(
        "{}{}",
        random.path_of_route(),
        random.of(&["", "?q", "?q=a", "?q=b&q=a"])
    );
    let payload = format!(r#"{{"iss":"i","sub":"s","groups":["{}","{}"]}}"#, words[5], words[6]);
    let claims = ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap();
    let claims = (random.below(2) == 0).then(|| claims.claims());
    let headers = headers.as_slice();
    let request = Request {
        method: random.of(&["GET", "POST", "OPTIONS"]),
        authority: None,
        target: &target,
        headers: &headers,
        connection: Connection::plain(Ipv4Addr::LOCALHOST.into(), 80),
    };
    let mut scratch = Scratch::new();
    let seen = Attributes::read(tables, &request, &mut scratch.head).unwrap();
    let overlay = Overlay::new(tables, &seen, None, claims.as_ref());
    let seen = seen.with_headers(&overlay);
    let text = format!(r#"{{"model":"{}","stream":{}}}"#, words[7], random.below(2) == 0);
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(text.as_bytes()).unwrap();
    let known = Known {
        body: match random.below(3) {
            0 => Body::Unread,
            _ => Body::Read(scan.finish()),
        },
        identity: claims.map_or(Identity::Anonymous, Identity::Verified),
        ..Known::NOTHING
    };
    let evidence = Evidence {
        claims: claims.as_ref(),
        body: facts(&seen, &known),
    };
    let found = super::super::find(tables, &seen, evidence);
    assert_eq!(found, find(tables, &seen, evidence), "{request:?} {payload} {text}");
    let number = |found: Found<'_>| tables.entries.iter().position(|entry| entry == found.entry).unwrap();
    noted.push(found.map(number));
    if noted.len().is_multiple_of(16) {
        let explained = explain(&compiled.snapshot, &request, known, 0);
        let rules = &explained.passes[0].rules;
        let up_to_body = |rule: &RuleTrace| rule.failed.as_ref().is_some_and(|failed| failed.needs_body);
        let matched = rules.iter().filter(|rule| rule.matched || up_to_body(rule));
        let matched: Vec<&str> = matched.map(|rule| rule.name.as_str()).collect();
        let expected: Vec<&str> = found.iter().map(|found| tables.rule_label(found.entry.rule)).collect();
        assert_eq!(matched, expected, "{request:?} {payload}");
        assert!(rules.iter().all(|rule| rule.matched != rule.failed.is_some()));
    }
}

#[test]
fn the_entry_that_is_found_is_the_first_that_matches() {
    let mut noted = Vec::new();
    for seed in 0..150 {
        let size = if seed == 149 {
            5_000
        } else {
            [3, 9, 30, 120, 400][seed % 5]
        };
        let mut random = Random {
            state: seed as u64,
            letters: [1, 2, 3, 9][seed % 4],
        };
        let compiled = compiled(&random.routes(size));
        for _ in 0..100 {
            agree(&mut random, &compiled, &mut noted);
        }
    }
    let missed = noted.iter().filter(|entry| entry.is_none()).count();
    let late = noted.iter().flatten().filter(|entry| **entry > 20).count();
    assert!(missed > 500 && late > 2_000, "{missed} {late} of {}", noted.len());
}
