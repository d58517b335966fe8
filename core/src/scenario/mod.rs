//! Scenarios tried: each case's request explained, the verdict compared with
//! what is expected of it, and which rules of the configuration no case reached.
//!
//! The gateway's command line and the simulator run the same, so a scenario that
//! passes in a browser passes in a pipeline.

mod facts;
mod text;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::config::diagnostic::{Location, Source, line_column};
use crate::config::resource::{Case, Fact, Scenario, Spanned};
pub use crate::config::scenario_env as env;
use crate::explain::{Explanation, Verdict};
use crate::snapshot::Snapshot;
use crate::text_map::TextSet;

/// What came of some scenarios. Serialises to the JSON described in `docs/testing.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Version of this shape.
    pub api_version: &'static str,
    /// The snapshot that decided.
    pub snapshot: String,
    /// The cases, in their order.
    pub cases: Vec<Tried>,
    /// The rules of the configuration: those of policies first, then of routes.
    pub rules: Vec<Covered>,
}

/// One case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tried {
    /// The Scenario: `namespace/name`.
    pub scenario: String,
    /// The case.
    pub name: String,
    /// `file:line:column`.
    pub at: String,
    /// What the engine says; `None` when the question makes no sense to this configuration.
    pub verdict: Option<Verdict>,
    /// Why it failed; empty when it passed.
    pub failures: Vec<Failure>,
}

/// One thing that was expected and did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// The member of `expect`, or `request` when that cannot be asked.
    pub field: String,
    /// Where it stands: `file:line:column`.
    pub at: String,
    /// What was expected, as the scenario writes it; `None` when nothing could come.
    pub expected: Option<String>,
    /// What came instead; `None` when the verdict has no such member.
    pub seen: Option<String>,
}

/// One rule of a policy, or one alternative of a route's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Covered {
    /// What it is called: `namespace/policy rules[0]`, `namespace/route/rule`.
    pub name: String,
    /// `file:line:column`.
    pub at: String,
    /// How many cases it matched in.
    pub cases: usize,
}

impl Tried {
    /// Whether everything came as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl Report {
    /// How many cases failed.
    #[must_use]
    pub fn failed(&self) -> usize {
        self.cases.iter().filter(|case| !case.passed()).count()
    }

    /// The rules that no case reached.
    pub fn uncovered(&self) -> impl Iterator<Item = &Covered> {
        self.rules.iter().filter(|rule| rule.cases == 0)
    }

    /// Takes in what came of further scenarios, maybe over another configuration: a rule of both is covered by either.
    pub fn add(&mut self, other: Self) {
        self.cases.extend(other.cases);
        for rule in other.rules {
            match self
                .rules
                .iter_mut()
                .find(|known| known.at == rule.at && known.name == rule.name)
            {
                Some(known) => known.cases += rule.cases,
                None => self.rules.push(rule),
            }
        }
    }
}

/// Tries every case. `sources` are what the scenarios and the snapshot were made of.
#[must_use]
pub fn run(snapshot: &Snapshot, scenarios: &[Scenario], sources: &[Source]) -> Report {
    let mut coverage = Coverage::of(snapshot);
    let mut cases = Vec::new();
    for scenario in scenarios {
        for case in &scenario.cases {
            let explained = case.question.explain(snapshot);
            if let Ok(explanation) = &explained {
                coverage.count(explanation);
            }
            cases.push(Tried {
                scenario: format!("{}/{}", scenario.meta.namespace, *scenario.meta.name),
                name: case.name.value.clone(),
                at: place(case.name.at, sources),
                failures: failures(case, explained.as_ref(), sources),
                verdict: explained.ok().map(|explanation| explanation.verdict),
            });
        }
    }
    Report {
        api_version: "lockgate.dev/test/v1",
        snapshot: snapshot.id().to_owned(),
        cases,
        rules: coverage.rules,
    }
}

fn failures(case: &Case, explained: Result<&Explanation, &String>, sources: &[Source]) -> Vec<Failure> {
    let verdict = match explained {
        Ok(explanation) => &explanation.verdict,
        Err(why) => {
            return Vec::from([Failure {
                field: "request".to_owned(),
                at: place(case.name.at, sources),
                expected: None,
                seen: Some(why.clone()),
            }]);
        }
    };
    if case.expected.is_empty() {
        return Vec::from([Failure {
            field: "expect".to_owned(),
            at: place(case.at, sources),
            expected: None,
            seen: Some(text::verdict(verdict)),
        }]);
    }
    let facts = facts::of(verdict);
    let failed = case.expected.iter().filter_map(|(field, Spanned { value, at })| {
        let seen = facts.iter().find(|(name, _)| name == field).map(|(_, fact)| fact);
        (!seen.is_some_and(|seen| facts::agrees(value, seen))).then(|| Failure {
            field: (*field).to_owned(),
            at: place(*at, sources),
            expected: Some(text::fact(value)),
            seen: seen.map(text::fact),
        })
    });
    failed.collect()
}

/// A fact as YAML in one line.
#[must_use]
pub fn yaml(fact: &Fact) -> String {
    text::fact(fact)
}

/// The members of a verdict as a scenario names them, for a tool that writes scenarios.
#[must_use]
pub fn facts(verdict: &Verdict) -> Vec<(&'static str, Fact)> {
    facts::of(verdict)
}

fn place(at: Location, sources: &[Source]) -> String {
    at.source(sources).map_or_else(String::new, |source| {
        let (line, column) = line_column(source, at.start);
        format!("{}:{line}:{column}", source.name)
    })
}

/// Which rules matched so far.
struct Coverage {
    rules: Vec<Covered>,
}

impl Coverage {
    fn of(snapshot: &Snapshot) -> Self {
        let tables = snapshot.tables();
        let mut rules = Vec::new();
        let mut places = TextSet::default();
        let mut add = |name: String, origin| {
            let Some(at) = tables.origin(origin) else { return };
            let at = format!("{}:{}:{}", at.file, at.line, at.column);
            // One rule has rows in every virtual host that it is bound to.
            if places.insert(&format!("{name} {at}")) {
                rules.push(Covered { name, at, cases: 0 });
            }
        };
        for policy in &tables.policies {
            let label = tables.text(policy.label);
            for (index, rule) in policy.rules.of(&tables.policy_rules).iter().enumerate() {
                add(policy_rule(label, &format!("rules[{index}]")), rule.origin);
            }
        }
        for entry in &tables.entries {
            add(tables.rule_label(entry.rule).to_owned(), entry.origin);
        }
        Self { rules }
    }

    fn count(&mut self, explanation: &Explanation) {
        let policies = explanation.policies.iter().flat_map(|policy| {
            let matched = policy.rules.iter().filter(|rule| rule.matched);
            matched.map(|rule| (policy_rule(&policy.policy, &rule.name), &rule.at))
        });
        let routes = explanation.passes.iter().flat_map(|pass| {
            let matched = pass.rules.iter().filter(|rule| rule.matched);
            matched.map(|rule| (rule.name.clone(), &rule.at))
        });
        let mut reached: Vec<(String, &String)> = policies.chain(routes).collect();
        // A rule that both passes reach is reached by one case.
        reached.dedup();
        for (name, at) in reached {
            if let Some(rule) = self.rules.iter_mut().find(|rule| rule.at == *at && rule.name == name) {
                rule.cases += 1;
            }
        }
    }
}

fn policy_rule(policy: &str, rule: &str) -> String {
    format!("{policy} {rule}")
}
