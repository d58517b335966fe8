//! Every rule of every policy, one after the other: what [`super::search`] must agree with.

use super::{Permission, Truth, rule_truth};
use crate::attributes::Attributes;
use crate::decide::Known;
use crate::decision::Denial;
use crate::tables::{Action, PolicyId, PolicyRow, Tables};

/// As [`super::permission`].
pub(super) fn permission(tables: &Tables, seen: &Attributes<'_>, known: &Known<'_>, dry_run: bool) -> Permission {
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

/// As [`super::first_policy`].
pub(super) fn first_policy(
    tables: &Tables,
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
fn first_match(tables: &Tables, policy: &PolicyRow, seen: &Attributes<'_>, known: &Known<'_>) -> (Truth, u32) {
    let mut found = (Truth::Fails, 0);
    for (rule, index) in policy.rules.of(&tables.policy_rules).iter().zip(0..) {
        let truth = rule_truth(tables, rule, seen, known);
        if truth > found.0 {
            found = (truth, index);
        }
    }
    found
}

#[cfg(test)]
pub(crate) mod tests;
