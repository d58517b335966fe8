//! Chooses for every rule the values it is written down under.
//!
//! A rule holds only if one of its sources, one of its operations and all of its
//! conditions do, and a source only if all its fields do. So one field of each
//! source is enough to find the rule by, or one field of each operation, or one
//! condition. The best are those whose most common value the fewest rules
//! mention: that many rules a request with this value has to be judged by, at
//! most. (Not the fewest values: a thousand hosts that no other rule names cost
//! a request nothing, one method that all name costs everything.)

use alloc::vec::Vec;

use super::entries::{self, Entry, Form, Key};
use super::mentions::Mentions;
use crate::limits::{RULES_JUDGED_MAX, VALUES_COMPARED_MAX};
use crate::tables::Tables;
use crate::tables::{Attribute, ClauseRow, Feature, PolicyRuleRow, PredicateRow, Rows};

/// Where to find each of `rules`: entries, and those that must always be looked at.
pub(super) fn of_rules(rows: &Tables, rules: &[u32]) -> (Vec<Entry>, Vec<u32>) {
    let mut most_values = 0;
    each_predicate(rows, rules, &mut |predicate| {
        most_values = most_values.max(predicate.values.rows().len);
    });
    if rules.len() <= RULES_JUDGED_MAX && most_values <= VALUES_COMPARED_MAX {
        return (Vec::new(), rules.to_vec());
    }
    let chooser = Chooser {
        rows,
        mentions: mentions(rows, rules),
    };
    let (mut found, mut always) = (Vec::new(), Vec::new());
    for &number in rules {
        let rule = rows.policy_rules.get(number as usize);
        match rule.and_then(|rule| chooser.rule(rule)) {
            Some(anchor) => found.extend(anchor.keys.into_iter().map(|key| Entry { key, number })),
            None => always.push(number),
        }
    }
    (found, always)
}

/// The keys that predicates mention.
fn mentions(rows: &Tables, rules: &[u32]) -> Mentions {
    let mut mentions = Vec::new();
    each_predicate(rows, rules, &mut |predicate| {
        mentions.extend(entries::of_predicate(rows, predicate).unwrap_or_default());
    });
    Mentions::new(mentions)
}

/// Calls `visit` with all that rules ask.
fn each_predicate(rows: &Tables, rules: &[u32], visit: &mut dyn FnMut(&PredicateRow)) {
    for &number in rules {
        let Some(rule) = rows.policy_rules.get(number as usize) else {
            continue;
        };
        let clauses = [rule.from, rule.to]
            .into_iter()
            .flat_map(|clauses| clauses.of(&rows.clauses));
        let predicates = clauses.map(|clause| clause.predicates).chain([rule.when]);
        predicates
            .flat_map(|predicates| predicates.of(&rows.predicates))
            .for_each(&mut *visit);
    }
}

struct Chooser<'c> {
    rows: &'c Tables,
    mentions: Mentions,
}

/// Keys of which a request has one, or the rule fails.
struct Anchor {
    cost: Cost,
    keys: Vec<Key>,
}

/// How bad an anchor is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Cost {
    /// It is not known before the body is.
    needs_body: bool,
    /// Predicates that mention its most common key.
    mentions: usize,
    /// How much its forms tend to take.
    breadth: u8,
    keys: usize,
}

impl Chooser<'_> {
    fn rule(&self, rule: &PolicyRuleRow) -> Option<Anchor> {
        let when = rule.when.of(&self.rows.predicates).iter();
        let conditions = when.filter_map(|predicate| self.predicate(predicate));
        let clauses = [rule.from, rule.to]
            .into_iter()
            .filter_map(|clauses| self.clauses(clauses));
        conditions.chain(clauses).min_by_key(|anchor| anchor.cost)
    }

    /// The best predicate of every clause, where every clause has one.
    fn clauses(&self, clauses: Rows) -> Option<Anchor> {
        let clauses: &[ClauseRow] = clauses.of(&self.rows.clauses);
        let mut best: Option<Anchor> = None;
        for clause in clauses {
            let predicates = clause.predicates.of(&self.rows.predicates).iter();
            let anchors = predicates.filter_map(|predicate| self.predicate(predicate));
            let one = anchors.min_by_key(|anchor| anchor.cost)?;
            best = Some(match best {
                None => one,
                Some(best) => best.or(one),
            });
        }
        best
    }

    fn predicate(&self, predicate: &PredicateRow) -> Option<Anchor> {
        let keys = entries::of_predicate(self.rows, predicate)?;
        let mut cost = Cost {
            needs_body: keys.iter().any(|key| entries::needs_body(key.feature)),
            keys: keys.len(),
            ..Cost::default()
        };
        for key in &keys {
            cost.mentions = cost.mentions.max(self.mentions.of(key));
            cost.breadth = cost.breadth.max(breadth(key));
        }
        Some(Anchor { cost, keys })
    }
}

impl Anchor {
    fn or(mut self, other: Self) -> Self {
        self.cost = Cost {
            needs_body: self.cost.needs_body || other.cost.needs_body,
            mentions: self.cost.mentions.max(other.cost.mentions),
            breadth: self.cost.breadth.max(other.cost.breadth),
            keys: self.cost.keys.saturating_add(other.cost.keys),
        };
        self.keys.extend(other.keys);
        self
    }
}

fn breadth(key: &Key) -> u8 {
    match (key.form, key.feature) {
        (Form::Any, _) => 4,
        (Form::Prefix(_) | Form::Suffix(_) | Form::PrefixAnyCase(_), _) => 3,
        // Every client has one method of a few, and comes to one port of a few.
        (_, Feature::Attribute(Attribute::Method | Attribute::Scheme | Attribute::Port)) => 2,
        (Form::Block(_), _) => 1,
        (Form::Exact(_) | Form::Number(_), _) => 0,
    }
}
