//! Whether a request may pass: DENY before ALLOW, as Istio has it.
//!
//! A rule of any DENY policy that matches denies. If there are ALLOW policies,
//! a rule of one of them must match; if there are none, everything passes.
//! Policies judge what the client sent, before any rewrite.
//! <https://istio.io/latest/docs/concepts/security/#implicit-enablement>
//!
//! A rule that looks into the body is neither true nor false until the body is
//! known ([`Truth::Unknown`]). Such a rule holds a request up only if the answer
//! depends on it: a DENY that matches anyway, or an ALLOW that cannot match
//! whatever the body says, decides at once.

mod body;
mod identity;
mod pattern;
mod predicate;

#[cfg(feature = "alloc")]
pub(crate) use predicate::{address, each_text, number, path_and_query};

use crate::attributes::Attributes;
use crate::decide::Known;
use crate::decision::Denial;
use crate::tables::{Action, ClauseRow, PolicyId, PolicyRow, PolicyRuleRow, PredicateRow, Rows, Tables};

/// Whether something holds, as far as is known. Ordered, so that AND is the least and OR the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Truth {
    /// It does not hold.
    Fails,
    /// It depends on a body that is not read yet, or cannot be read.
    Unknown,
    /// It holds.
    Holds,
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::Fails => Self::Holds,
            Self::Unknown => Self::Unknown,
            Self::Holds => Self::Fails,
        }
    }
}

impl From<bool> for Truth {
    fn from(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// What policy says to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It may pass.
    Granted,
    /// It may not.
    Denied(Denial),
    /// The answer depends on the body.
    DependsOnBody,
}

/// Judges a request.
pub(crate) fn authorize(tables: &Tables<'_>, seen: &Attributes<'_>, known: &Known<'_>) -> Permission {
    permission(tables, seen, known, false)
}

/// What the policies that are enforced say, or those that are only tried out.
pub(crate) fn permission(tables: &Tables<'_>, seen: &Attributes<'_>, known: &Known<'_>, dry_run: bool) -> Permission {
    let mut deny = Truth::Fails;
    let mut allow = None;
    for (policy, id) in tables.policies.iter().zip(0..) {
        if policy.dry_run != dry_run {
            continue;
        }
        match policy.action {
            Action::Deny => match first_match(tables, policy, seen, known) {
                (Truth::Holds, rule) => return Permission::Denied(Denial::Rule(PolicyId(id), rule)),
                (truth, _) => deny = deny.max(truth),
            },
            Action::Allow if allow == Some(Truth::Holds) => {}
            Action::Allow => allow = allow.max(Some(first_match(tables, policy, seen, known).0)),
            Action::Audit | Action::Custom => {}
        }
    }
    match (deny, allow.unwrap_or(Truth::Holds)) {
        (_, Truth::Fails) => Permission::Denied(Denial::NoAllowMatched),
        (Truth::Fails, Truth::Holds) => Permission::Granted,
        _ => Permission::DependsOnBody,
    }
}

/// The first enforced policy of `action` that matches.
pub(crate) fn first_policy(
    tables: &Tables<'_>,
    action: Action,
    seen: &Attributes<'_>,
    known: &Known<'_>,
) -> Option<PolicyId> {
    let mut policies = tables.policies.iter().zip(0..);
    let found = policies.find(|(policy, _)| {
        policy.action == action && !policy.dry_run && first_match(tables, policy, seen, known).0 == Truth::Holds
    });
    found.map(|(_, id)| PolicyId(id))
}

/// Whether any rule of `policy` matches, and the first of those that decide it.
fn first_match(tables: &Tables<'_>, policy: &PolicyRow, seen: &Attributes<'_>, known: &Known<'_>) -> (Truth, u32) {
    let mut found = (Truth::Fails, 0);
    for (rule, index) in policy.rules.of(tables.policy_rules).iter().zip(0..) {
        let truth = rule_truth(tables, rule, seen, known);
        if truth > found.0 {
            found = (truth, index);
        }
        if truth == Truth::Holds {
            break;
        }
    }
    found
}

/// Whether one rule matches: one of its sources (if any) AND one of its operations (if any) AND all its conditions.
pub(crate) fn rule_truth(tables: &Tables<'_>, rule: &PolicyRuleRow, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
    judge(tables, rule, seen, known).truth
}

/// Whether a rule matches, and what decided that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judgement<'d> {
    pub(crate) truth: Truth,
    /// The predicate that failed or is unknown: of several sources or operations, the last one's.
    #[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `explain` asks why"))]
    pub(crate) because: Option<&'d PredicateRow>,
}

const MATCHES: Judgement<'static> = Judgement {
    truth: Truth::Holds,
    because: None,
};

/// [`rule_truth`], with the reason.
pub(crate) fn judge<'d>(
    tables: &Tables<'d>,
    rule: &PolicyRuleRow,
    seen: &Attributes<'_>,
    known: &Known<'_>,
) -> Judgement<'d> {
    let mut judged = any(tables, rule.from, seen, known);
    if judged.truth != Truth::Fails {
        judged = least(judged, any(tables, rule.to, seen, known));
    }
    if judged.truth != Truth::Fails {
        judged = least(judged, all(tables, rule.when, seen, known));
    }
    judged
}

fn least<'d>(a: Judgement<'d>, b: Judgement<'d>) -> Judgement<'d> {
    if b.truth < a.truth { b } else { a }
}

/// One of the clauses, or there are none.
fn any<'d>(tables: &Tables<'d>, clauses: Rows, seen: &Attributes<'_>, known: &Known<'_>) -> Judgement<'d> {
    let clauses: &[ClauseRow] = clauses.of(tables.clauses);
    let mut best = None;
    for clause in clauses {
        let judged = all(tables, clause.predicates, seen, known);
        if judged.truth == Truth::Holds {
            return judged;
        }
        if best.is_none_or(|best: Judgement<'_>| judged.truth >= best.truth) {
            best = Some(judged);
        }
    }
    best.unwrap_or(MATCHES)
}

/// Every predicate.
fn all<'d>(tables: &Tables<'d>, predicates: Rows, seen: &Attributes<'_>, known: &Known<'_>) -> Judgement<'d> {
    let mut judged = MATCHES;
    for predicate in predicates.of(tables.predicates) {
        let truth = predicate::truth(tables, predicate, seen, known);
        if truth < judged.truth {
            judged = Judgement {
                truth,
                because: Some(predicate),
            };
        }
        if truth == Truth::Fails {
            break;
        }
    }
    judged
}
