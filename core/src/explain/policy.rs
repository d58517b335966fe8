//! The policies and each of their rules: what was wanted, what was seen.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Failed, PolicyTrace, Reader, RuleTrace, header, text};
use crate::attributes::Attributes;
use crate::authz::{self, Truth};
use crate::decide::Known;
use crate::tables::{Action, Attribute, PatternRow, PolicyRow, PolicyRuleRow, PredicateRow, Values};

impl Reader<'_> {
    /// `asked` is the request as CUSTOM policies see it, `seen` as all others do.
    pub(super) fn policies(self, seen: &Attributes<'_>, asked: &Attributes<'_>, known: &Known<'_>) -> Vec<PolicyTrace> {
        let policies = self.tables.policies.iter();
        let trace = |policy: &PolicyRow| match policy.action {
            Action::Custom => self.policy(policy, asked, known),
            _ => self.policy(policy, seen, known),
        };
        policies.map(trace).collect()
    }

    pub(super) fn policy(self, policy: &PolicyRow, seen: &Attributes<'_>, known: &Known<'_>) -> PolicyTrace {
        let rules = policy.rules.of(&self.tables.policy_rules).iter().zip(0_u32..);
        let rules: Vec<RuleTrace> = rules
            .map(|(rule, index)| self.policy_rule(rule, index, seen, known))
            .collect();
        PolicyTrace {
            policy: self.tables.text(policy.label).to_owned(),
            action: policy.action,
            dry_run: policy.dry_run,
            asks: policy.authorizer.map(|id| self.tables.authorizer_name(id).to_owned()),
            matched: rules.iter().any(|rule| rule.matched),
            rules,
        }
    }

    fn policy_rule(self, rule: &PolicyRuleRow, index: u32, seen: &Attributes<'_>, known: &Known<'_>) -> RuleTrace {
        let judged = authz::judge(self.tables, rule, seen, known);
        RuleTrace {
            name: format!("rules[{index}]"),
            at: self.place(rule.origin),
            matched: judged.truth == Truth::Holds,
            failed: judged.because.map(|predicate| Failed {
                field: self.tables.text(predicate.field).to_owned(),
                negated: predicate.negated,
                needs_body: judged.truth == Truth::Unknown,
                seen: self.seen_by(predicate, seen, known),
                wanted: self.wanted(predicate),
            }),
        }
    }

    /// What the predicate looked at; `None` when it is absent or not known yet.
    fn seen_by(self, predicate: &PredicateRow, seen: &Attributes<'_>, known: &Known<'_>) -> Option<String> {
        let attribute = predicate.attribute;
        match (predicate.values, attribute) {
            (Values::Cidrs(_), _) => authz::address(attribute, seen).map(|address| address.to_string()),
            (Values::Ranges(_), _) => {
                let number = authz::number(attribute, seen, known).ok().flatten();
                number.map(|number| number.to_string())
            }
            (Values::RequestPrincipals(_), _) => {
                let claims = known.identity.claims()?;
                Some(format!("{}/{}", claims.issuer()?, claims.subject()?))
            }
            (_, Attribute::PathAndQuery) => Some(text(&authz::path_and_query(seen).concat())),
            (_, Attribute::Header(name)) => header(self.tables, seen, self.tables.text(name)),
            (Values::Patterns(_), attribute) => {
                let mut values = Vec::new();
                let mut add = |value: &[u8]| values.push(as_written(attribute, text(value)));
                authz::each_text(self.tables, attribute, seen, known, &mut add).ok()?;
                (!values.is_empty()).then(|| values.join(" | "))
            }
        }
    }

    fn wanted(self, predicate: &PredicateRow) -> Vec<String> {
        let tables = self.tables;
        match predicate.values {
            Values::Cidrs(rows) => rows.of(&tables.cidrs).iter().map(ToString::to_string).collect(),
            Values::Ranges(rows) => rows.of(&tables.ranges).iter().map(ToString::to_string).collect(),
            Values::RequestPrincipals(rows) => {
                let principals = rows.of(&tables.request_principals).iter();
                principals.map(|row| tables.text(row.text).to_owned()).collect()
            }
            Values::Patterns(rows) => {
                let patterns = rows.of(&tables.patterns).iter();
                patterns
                    .map(|row| as_written(predicate.attribute, self.pattern(*row)))
                    .collect()
            }
        }
    }

    fn pattern(self, pattern: PatternRow) -> String {
        match pattern {
            PatternRow::Exact(text) | PatternRow::Template(text) | PatternRow::Glob(text) => {
                self.tables.text(text).to_owned()
            }
            PatternRow::Prefix(text) => format!("{}*", self.tables.text(text)),
            PatternRow::Suffix(text) => format!("*{}", self.tables.text(text)),
            PatternRow::Any => "*".to_owned(),
        }
    }
}

/// A service account is compared as it stands in an identity, and written without the `sa`.
fn as_written(attribute: Attribute, value: String) -> String {
    match attribute {
        Attribute::ServiceAccount { .. } => value.replacen("/sa/", "/", 1),
        _ => value,
    }
}
