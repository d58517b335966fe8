//! The rounds of route matching: every alternative up to the one that matched, and what the others failed.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Failed, NOT_SHOWN, PassTrace, Reader, RuleTrace, is_hidden, text};
use crate::attributes::Attributes;
use crate::authz::body;
use crate::decide::Known;
use crate::decision::{Decision, Refusal};
use crate::path::Target;
use crate::rewrite;
use crate::route::{self, Evidence, Judged};
use crate::tables::{BackendTarget, ConditionRow, EntryRow, Subject, Test};

impl<'d> Reader<'d> {
    /// `routed` is the request as pass 1 sees it, `seen` as everything after it does.
    pub(super) fn passes(
        self,
        routed: &Attributes<'d>,
        seen: &Attributes<'d>,
        known: &Known<'_>,
        decision: Decision<'_>,
        entropy: u64,
    ) -> Vec<PassTrace> {
        let evidence = Evidence {
            claims: known.identity.claims(),
            body: body::facts(seen, known),
        };
        let mut passes = Vec::from([self.pass(1, routed, evidence)]);
        // The second pass runs on the provider's host, unless the decision ended before.
        let reached = !matches!(
            decision,
            Decision::ReadBody
                | Decision::Refuse(
                    Refusal::NoRoute | Refusal::NoUpgrade(_) | Refusal::MethodNotAllowed(_) | Refusal::Body(..)
                )
        );
        if let Some((host, path)) = self.chosen_provider(routed, evidence, entropy).filter(|_| reached) {
            passes.push(self.pass(2, &seen.rewritten_to(host.as_bytes(), path, seen.headers), evidence));
        }
        passes
    }

    /// Host and fixed path of the provider that pass 1 chose, if it chose one.
    fn chosen_provider(
        self,
        seen: &Attributes<'d>,
        evidence: Evidence<'_>,
        entropy: u64,
    ) -> Option<(&'d str, Option<Target<'d>>)> {
        let rule = self.tables.rule(route::find(self.tables, seen, evidence)?.entry.rule)?;
        match route::choose(self.tables, rule.split(), entropy)?.to {
            BackendTarget::Upstream(_) => None,
            BackendTarget::Provider(target) => {
                let provider = self.tables.provider(target.provider)?;
                let path = provider.path.map(|path| path.parts(self.tables));
                Some((self.tables.text(provider.host), path))
            }
        }
    }

    fn pass(self, pass: u8, seen: &Attributes<'d>, evidence: Evidence<'_>) -> PassTrace {
        let found = seen
            .listener
            .and_then(|listener| route::virtual_host(self.tables, listener, seen.authority.host));
        // As `route::find` has it: nothing takes the `*` of OPTIONS.
        let host = found.map(|(_, row)| row).filter(|_| seen.path != "*");
        let mut rules = Vec::new();
        for entry in host.map_or(&[][..], |row| row.entries.of(&self.tables.entries)) {
            let trace = self.entry(entry, seen, evidence);
            let is_last = trace.matched || trace.failed.as_ref().is_some_and(|failed| failed.needs_body);
            rules.push(trace);
            if is_last {
                break;
            }
        }
        PassTrace {
            pass,
            host: text(seen.authority.host),
            virtual_host: host.map(|row| self.tables.text(row.name).to_owned()),
            rules,
        }
    }

    fn entry(self, entry: &EntryRow, seen: &Attributes<'d>, evidence: Evidence<'_>) -> RuleTrace {
        let (failed, needs_body) = match route::judge(self.tables, entry, seen, evidence) {
            Judged::Matches => (None, false),
            Judged::DependsOnBody(condition) => (Some(condition), true),
            Judged::Fails(condition) => (Some(condition), false),
        };
        RuleTrace {
            name: self.tables.rule_label(entry.rule).to_owned(),
            at: self.place(entry.origin),
            matched: failed.is_none(),
            failed: failed.map(|condition| Failed {
                needs_body,
                ..self.failed(entry, condition, seen, evidence)
            }),
        }
    }

    fn failed(
        self,
        entry: &EntryRow,
        condition: &ConditionRow,
        seen: &Attributes<'_>,
        evidence: Evidence<'_>,
    ) -> Failed {
        let mut values = Vec::new();
        route::each_value(self.tables, condition.subject, seen, evidence, &mut |value| {
            values.push(text(value));
        });
        Failed {
            field: self.field(entry, condition),
            negated: condition.negated,
            needs_body: false,
            seen: (!values.is_empty()).then(|| {
                if self.is_hidden(condition.subject) {
                    NOT_SHOWN.to_owned()
                } else {
                    values.join(" | ")
                }
            }),
            wanted: Vec::from([self.wanted_by(condition.test)]),
        }
    }

    /// The field of a match, as the resource writes it.
    fn field(self, entry: &EntryRow, condition: &ConditionRow) -> String {
        let origin = self.tables.origin(entry.origin);
        let path = match origin.is_some_and(|origin| origin.kind == "HTTPRoute") {
            true => "path",
            false => "uri",
        };
        let headers = if condition.negated { "withoutHeaders" } else { "headers" };
        match condition.subject {
            Subject::Host | Subject::Authority => "headers[host]".to_owned(),
            Subject::RawAuthority => "authority".to_owned(),
            Subject::Path => path.to_owned(),
            Subject::Method => "method".to_owned(),
            Subject::Model => "model".to_owned(),
            Subject::Stream => "stream".to_owned(),
            Subject::Scheme => "scheme".to_owned(),
            Subject::Header(name) => format!("{headers}[{}]", self.tables.text(name)),
            Subject::QueryParam(name) => format!("queryParams[{}]", self.tables.text(name)),
            Subject::Claim(path) => {
                let names = self.tables.text(path).replace(crate::claims::PATH_SEPARATOR, "][");
                format!("{headers}[@request.auth.claims[{names}]]")
            }
        }
    }

    fn wanted_by(self, test: Test) -> String {
        match test {
            Test::Exact(text) => format!("exact: {}", self.tables.text(text)),
            Test::Prefix(text) => format!("prefix: {}", self.tables.text(text)),
            Test::Segments(text) => format!("PathPrefix: {}", self.tables.text(text)),
            Test::ExactAnyCase(text) => format!("exact: {} (any case)", self.tables.text(text)),
            Test::PrefixAnyCase(text) => format!("prefix: {} (any case)", self.tables.text(text)),
            Test::Regex(_, text) => format!("regex: {}", self.tables.text(text)),
            Test::Present => "present".to_owned(),
        }
    }

    /// Credentials are not shown.
    fn is_hidden(self, subject: Subject) -> bool {
        match subject {
            Subject::Header(name) => is_hidden(self.tables, self.tables.text(name)),
            Subject::QueryParam(name) => rewrite::sent_query(self.tables, self.tables.text(name)).is_empty(),
            _ => false,
        }
    }
}
