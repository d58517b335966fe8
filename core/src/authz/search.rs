//! Finds the rules that a request may match without looking at the others, so that a decision costs the same
//! whatever the number of policies.
//!
//! To hold, a rule needs one of its hosts, one of its paths, one of its address
//! blocks: of each such list *one* value must match. For every rule the compiler
//! chose one such list, that of its rarest values, and wrote the rule down under
//! each of them (`compile::rule_index`). Here the request's own values are
//! looked up; only what is written down under them, and the rules that have no
//! such list, are judged, by the same evaluator that judges a rule anywhere else.
//! Every other rule fails whatever the rest of it says.
//!
//! The work is a lookup for each feature that any rule was written down under,
//! plus the rules found. It grows with the number of rules only where many of
//! them have the same rarest value, or have none (`not` fields alone, conditions
//! on nothing but `stream` or `max_tokens`), and with the number of *different*
//! headers and claims that rules are found by, as each is a feature.

use core::ops::ControlFlow::{self, Break, Continue};

use super::predicate::{self, BodyNeeded};
use super::{Truth, rule_truth};
use crate::attributes::Attributes;
use crate::decide::Known;
use crate::lookup;
use crate::tables::{Action, Attribute, AuthorizerId, Feature, FeatureRow, LookupRow, Rows, SectionRow, Tables};

/// Which of the rules that hold is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// The first one.
    First,
    /// Any of them.
    Any,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    /// The greatest truth of any rule.
    pub(super) truth: Truth,
    /// The number of the rule that is wanted; it means something where one holds.
    pub(super) rule: u32,
}

/// The policies of one kind; `None` when there are none.
pub(super) fn section(tables: &Tables, action: Action, dry_run: bool) -> Option<&SectionRow> {
    let mut sections = tables.derived.rule_index.sections.iter();
    sections.find(|section| section.action == action && section.dry_run == dry_run)
}

/// The CUSTOM policies that ask one authorizer.
pub(super) fn custom(tables: &Tables, authorizer: AuthorizerId) -> Option<&SectionRow> {
    let mut sections = tables.derived.rule_index.sections.iter();
    sections.find(|section| section.authorizer == Some(authorizer))
}

/// Judges the rules of a section, as far as the request may match them.
pub(super) fn search(
    tables: &Tables,
    section: &SectionRow,
    wanted: Wanted,
    seen: &Attributes<'_>,
    known: &Known<'_>,
) -> Found {
    let mut search = Search {
        tables,
        seen,
        known,
        wanted,
        found: Found {
            truth: Truth::Fails,
            rule: 0,
        },
    };
    // It breaks when nothing else can change what was found.
    let _ = search.all(section.rules);
    search.found
}

struct Search<'s> {
    tables: &'s Tables,
    seen: &'s Attributes<'s>,
    known: &'s Known<'s>,
    wanted: Wanted,
    found: Found,
}

impl Search<'_> {
    fn all(&mut self, rules: LookupRow) -> ControlFlow<()> {
        self.judge(rules.always)?;
        let features = rules.features.of(&self.tables.derived.rule_index.features);
        features.iter().try_for_each(|feature| self.feature(feature))
    }

    fn feature(&mut self, feature: &FeatureRow) -> ControlFlow<()> {
        let (tables, seen, known) = (self.tables, self.seen, self.known);
        let index = &tables.derived.rule_index;
        match feature.feature {
            Feature::Attribute(Attribute::Port) => {
                let port = seen.connection.destination_port.into();
                lookup::number(index, feature, port, &mut |rules| self.judge(rules))
            }
            Feature::Attribute(
                attribute @ (Attribute::PeerAddress | Attribute::RemoteAddress | Attribute::LocalAddress),
            ) => match predicate::address(attribute, seen) {
                Some(address) => lookup::address(index, feature, address, &mut |rules| self.judge(rules)),
                None => Continue(()),
            },
            Feature::Attribute(attribute) => {
                let mut flow = Continue(());
                let visited = predicate::each_text(tables, attribute, seen, known, &mut |value| {
                    if flow.is_continue() {
                        flow = lookup::text(tables, feature, value, &mut |rules| self.judge(rules));
                    }
                });
                match visited {
                    Ok(()) => flow,
                    Err(BodyNeeded) => self.judge_unknown(feature.all),
                }
            }
            Feature::TokenIssuer => self.text(feature, known.identity.claims().and_then(|claims| claims.issuer())),
            Feature::TokenSubject => self.text(feature, known.identity.claims().and_then(|claims| claims.subject())),
            // Routes alone are found by it.
            Feature::Route(_) => Continue(()),
        }
    }

    fn text(&mut self, feature: &FeatureRow, value: Option<&str>) -> ControlFlow<()> {
        let tables = self.tables;
        match value {
            Some(value) => lookup::text(tables, feature, value.as_bytes(), &mut |rules| self.judge(rules)),
            None => Continue(()),
        }
    }

    /// Judges rules, in their order. Breaks when one holds and the first is not asked for.
    fn judge(&mut self, rules: Rows) -> ControlFlow<()> {
        for &number in rules.of(&self.tables.derived.rule_index.listed) {
            if self.found.truth == Truth::Holds && self.found.rule <= number {
                break;
            }
            let Some(rule) = self.tables.policy_rules.get(number as usize) else {
                continue;
            };
            let truth = rule_truth(self.tables, rule, self.seen, self.known);
            if truth == Truth::Holds && self.wanted == Wanted::Any {
                self.found = Found { truth, rule: number };
                return Break(());
            }
            if truth > self.found.truth || truth == Truth::Holds {
                self.found = Found { truth, rule: number };
            }
        }
        Continue(())
    }

    /// Judges rules that need something of the body that is not known: none of them holds, so one that may is enough.
    fn judge_unknown(&mut self, rules: Rows) -> ControlFlow<()> {
        for &number in rules.of(&self.tables.derived.rule_index.listed) {
            if self.found.truth >= Truth::Unknown {
                break;
            }
            if let Some(rule) = self.tables.policy_rules.get(number as usize) {
                let truth = rule_truth(self.tables, rule, self.seen, self.known);
                self.found = Found { truth, rule: number };
            }
        }
        Continue(())
    }
}
