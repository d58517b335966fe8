//! One request against policies alone: no Gateway is loaded, so what policy lets through is a 404.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests may panic, and each uses a part"
)]

use lockgate_core::build;
use lockgate_core::check::{Checked, OwnedAnswer, borrow_answers, borrow_fields};
use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Identity, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Refusal};
use lockgate_core::explain::{Explanation, explain};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request, Scheme, spiffe_id};

/// A Gateway that takes every host on port 80, before further documents.
pub(crate) const EDGE: &str = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
";

/// What comes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Allowed,
    Denied,
    /// Policy asks for the body.
    NeedsBody,
    /// The body's own refusal, by status.
    BadBody(u16),
}

/// A request, plain until told otherwise.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent<'s> {
    pub(crate) method: &'s str,
    pub(crate) host: &'s str,
    pub(crate) target: &'s str,
    pub(crate) headers: &'s [(&'s str, &'s str)],
    pub(crate) peer: &'s str,
    pub(crate) port: u16,
    pub(crate) scheme: Scheme,
    pub(crate) sni: Option<&'s str>,
    pub(crate) uri_names: &'s [&'s str],
    /// The payload of a verified token.
    pub(crate) token: Option<&'s str>,
    pub(crate) body: Option<&'s str>,
    /// What external authorizers said.
    pub(crate) answers: &'s [OwnedAnswer],
}

pub(crate) const GET: Sent<'static> = Sent {
    method: "GET",
    host: "test.com",
    target: "/",
    headers: &[],
    peer: "198.51.100.1",
    port: 80,
    scheme: Scheme::Http,
    sni: None,
    uri_names: &[],
    token: None,
    body: None,
    answers: &[],
};

/// One policy of `istio-system` for each spec; `api` is its group.
pub(crate) fn compiled_of(api: &str, specs: &[&str]) -> Compiled {
    let policies = specs.iter().enumerate().map(|(index, spec)| {
        format!(
            "apiVersion: {api}\nkind: AuthorizationPolicy\nmetadata: {{name: p{index}, namespace: istio-system}}\nspec: {spec}\n---\n"
        )
    });
    compiled(&policies.collect::<String>(), &Settings::default())
}

/// Istio's policies.
pub(crate) fn istio(specs: &[&str]) -> Compiled {
    compiled_of("security.istio.io/v1", specs)
}

pub(crate) fn compiled(text: &str, settings: &Settings) -> Compiled {
    let source = Source::new("policy.yaml".to_owned(), text.to_owned());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, settings);
    let diagnostics = built.diagnostics;
    built.compiled.unwrap_or_else(|| panic!("{diagnostics:#?}\n{text}"))
}

impl Sent<'_> {
    pub(crate) fn to(&self, compiled: &Compiled) -> Outcome {
        self.ask(
            |request, known| match decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()) {
                Decision::ReadBody => Outcome::NeedsBody,
                Decision::Refuse(Refusal::Denied(_)) => Outcome::Denied,
                Decision::Refuse(Refusal::NoRoute) => Outcome::Allowed,
                Decision::Refuse(refusal @ Refusal::Body(..)) => Outcome::BadBody(refusal.status()),
                other => panic!("{other:?}"),
            },
        )
    }

    pub(crate) fn explained_by(&self, compiled: &Compiled) -> Explanation {
        self.ask(|request, known| explain(&compiled.snapshot, request, known, 0))
    }

    pub(crate) fn ask<T>(&self, answer: impl FnOnce(&Request<'_>, Known<'_>) -> T) -> T {
        let mut headers: Vec<(&str, &[u8])> = vec![("host", self.host.as_bytes())];
        headers.extend(self.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
        let request = Request {
            method: self.method,
            authority: None,
            target: self.target,
            headers: &headers.as_slice(),
            connection: Connection {
                scheme: self.scheme,
                sni: self.sni,
                spiffe_id: spiffe_id(self.uri_names.iter().copied()).unwrap(),
                ..Connection::plain(self.peer.parse().unwrap(), self.port)
            },
        };
        let claims = self
            .token
            .map(|payload| ClaimSet::parse::<&str>(payload.as_bytes(), &[]).unwrap());
        let mut scan = BodyScan::new(1 << 20);
        let body = match self.body {
            None => Body::Unread,
            Some(body) => Body::Read(scan.feed(body.as_bytes()).and_then(|()| scan.finish())),
        };
        let identity = claims
            .as_ref()
            .map_or(Identity::Anonymous, |claims| Identity::Verified(claims.claims()));
        let fields = borrow_fields(self.answers);
        let answers = borrow_answers(self.answers, &fields);
        let checked = Checked::new(&request, &answers);
        let known = Known {
            body,
            identity,
            checked: (!answers.is_empty()).then_some(&checked),
        };
        answer(&request, known)
    }
}

/// Whether a DENY policy with the one rule `rule` matches the request.
#[track_caller]
pub(crate) fn rule_matches(rule: &str, sent: &Sent<'_>) -> bool {
    let spec = format!("{{action: DENY, rules: [{rule}]}}");
    match sent.to(&istio(&[&spec])) {
        Outcome::Denied => true,
        Outcome::Allowed => false,
        other => panic!("{rule}: {other:?}"),
    }
}

/// A condition on `key` and what it holds for.
#[track_caller]
pub(crate) fn condition(key: &str, values: &str, hits: &[Sent<'_>], misses: &[Sent<'_>]) {
    let positive = format!("{{when: [{{key: '{key}', values: {values}}}]}}");
    let negative = format!("{{when: [{{key: '{key}', notValues: {values}}}]}}");
    for (sent, expected) in hits
        .iter()
        .map(|sent| (sent, true))
        .chain(misses.iter().map(|sent| (sent, false)))
    {
        assert_eq!(rule_matches(&positive, sent), expected, "{positive} {sent:?}");
        assert_eq!(rule_matches(&negative, sent), !expected, "{negative} {sent:?}");
    }
}
