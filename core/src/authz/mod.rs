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
//!
//! Which rules are judged at all is [`search()`]'s; that it leaves out none that
//! could matter is tested against `linear`, which judges every one.

pub(crate) mod body;
mod identity;
#[cfg(all(test, feature = "yaml"))]
pub(crate) mod linear;
mod list;
mod pattern;
mod predicate;
mod search;

#[cfg(feature = "alloc")]
pub(crate) use predicate::{address, each_text, number, path_and_query};

use crate::attributes::Attributes;
use crate::decide::Known;
use crate::decision::Denial;
use crate::llm::body::{BodyError, BodyFacts};
use crate::tables::{Action, Attribute, AuthorizerId, ClauseRow, PolicyId, PolicyRuleRow, PredicateRow, Rows, Tables};
use search::{Found, Wanted, search, section};

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
pub(crate) fn authorize(tables: &Tables, seen: &Attributes<'_>, known: &Known<'_>) -> Permission {
    permission(tables, seen, known, false)
}

/// What is wrong with a body that was read and yet leaves a policy in doubt.
#[cold]
pub(crate) fn unclear(tables: &Tables, facts: &BodyFacts) -> BodyError {
    let asks_for = |attribute| tables.predicates.iter().any(|row| row.attribute == attribute);
    let unclear = facts.unclear();
    if unclear.model && asks_for(Attribute::LlmModel) {
        BodyError::UnclearModel
    } else if unclear.max_tokens && asks_for(Attribute::LlmMaxTokens) {
        BodyError::UnclearMaxTokens
    } else {
        BodyError::UnclearTools
    }
}

/// What the policies that are enforced say, or those that are only tried out.
pub(crate) fn permission(tables: &Tables, seen: &Attributes<'_>, known: &Known<'_>, dry_run: bool) -> Permission {
    let deny =
        section(tables, Action::Deny, dry_run).map(|section| search(tables, section, Wanted::First, seen, known));
    if let Some(Found {
        truth: Truth::Holds,
        rule,
    }) = deny
    {
        let (policy, rule) = policy_of(tables, rule).unwrap_or((PolicyId(u32::MAX), rule));
        return Permission::Denied(Denial::Rule(policy, rule));
    }
    let allow = section(tables, Action::Allow, dry_run);
    let allow = allow.map_or(Truth::Holds, |section| {
        search(tables, section, Wanted::Any, seen, known).truth
    });
    match (deny.map_or(Truth::Fails, |deny| deny.truth), allow) {
        (_, Truth::Fails) => Permission::Denied(Denial::NoAllowMatched),
        (Truth::Fails, Truth::Holds) => Permission::Granted,
        _ => Permission::DependsOnBody,
    }
}

/// Whether a CUSTOM policy that asks `authorizer` matches.
pub(crate) fn asks(tables: &Tables, authorizer: AuthorizerId, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
    search::custom(tables, authorizer).map_or(Truth::Fails, |section| {
        search(tables, section, Wanted::Any, seen, known).truth
    })
}

/// The first enforced policy of `action` that matches.
pub(crate) fn first_policy(
    tables: &Tables,
    action: Action,
    seen: &Attributes<'_>,
    known: &Known<'_>,
) -> Option<PolicyId> {
    let found = search(tables, section(tables, action, false)?, Wanted::First, seen, known);
    let (policy, _) = policy_of(tables, found.rule)?;
    (found.truth == Truth::Holds).then_some(policy)
}

/// The policy that a rule belongs to, and the rule's place in it.
fn policy_of(tables: &Tables, rule: u32) -> Option<(PolicyId, u32)> {
    let after = tables.policies.partition_point(|policy| policy.rules.start <= rule);
    let policy = after.checked_sub(1)?;
    let first = tables.policies.get(policy)?.rules.start;
    Some((PolicyId(u32::try_from(policy).ok()?), rule.checked_sub(first)?))
}

/// Whether one rule matches: one of its sources (if any) AND one of its operations (if any) AND all its conditions.
pub(crate) fn rule_truth(tables: &Tables, rule: &PolicyRuleRow, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
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
    tables: &'d Tables,
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
fn any<'d>(tables: &'d Tables, clauses: Rows, seen: &Attributes<'_>, known: &Known<'_>) -> Judgement<'d> {
    let clauses: &[ClauseRow] = clauses.of(&tables.clauses);
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
fn all<'d>(tables: &'d Tables, predicates: Rows, seen: &Attributes<'_>, known: &Known<'_>) -> Judgement<'d> {
    let mut judged = MATCHES;
    for predicate in predicates.of(&tables.predicates) {
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
