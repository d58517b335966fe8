//! AuthorizationPolicies that select this gateway to policy rows, in the order they are judged.

mod predicates;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::authorizers;
use super::rows::{RowWriter, append};
use super::targets::Targets;
use crate::check::Authorizer;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{AuthorizationPolicy, Clause, PolicyKey, PolicyRule, Predicate, Resources};
use crate::tables::{Action, ClauseRow, PolicyRow, PolicyRuleRow, PredicateRow, Rows};

/// Those that are enforced come first, each kind where Istio judges it.
const ORDER: [(bool, Action); 6] = [
    (false, Action::Custom),
    (false, Action::Deny),
    (false, Action::Allow),
    (false, Action::Audit),
    (true, Action::Deny),
    (true, Action::Allow),
];

pub(super) fn compile(
    resources: &Resources,
    targets: &Targets<'_>,
    authorizers: &[Authorizer],
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) {
    let trust_domains = resources
        .mesh_configs
        .first()
        .map_or(&[][..], |mesh| &mesh.trust_domains);
    for order in ORDER {
        for policy in selected(resources, targets).filter(|policy| (policy.dry_run, policy.action) == order) {
            compile_policy(policy, trust_domains, authorizers, rows);
        }
    }
    for policy in selected(resources, targets) {
        warn_about_unknown_ports(policy, rows, diagnostics);
    }
}

/// The policies that apply to this gateway.
pub(super) fn selected<'c>(
    resources: &'c Resources,
    targets: &Targets<'_>,
) -> impl Iterator<Item = &'c AuthorizationPolicy> {
    let policies = resources.authorization_policies.iter();
    policies.filter(|policy| targets.applies(&policy.meta, &policy.target))
}

fn compile_policy(
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    authorizers: &[Authorizer],
    rows: &mut RowWriter<'_>,
) {
    let rules: Vec<PolicyRuleRow> = policy
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| compile_rule(policy, trust_domains, index, rule, rows))
        .collect();
    let row = PolicyRow {
        action: policy.action,
        dry_run: policy.dry_run,
        // One that is not known has been reported, and nothing is served.
        authorizer: policy
            .provider
            .as_ref()
            .and_then(|name| authorizers::find(authorizers, name)),
        rules: append(&mut rows.rows.policy_rules, rules),
        label: rows.text(&format!("{}/{}", policy.meta.namespace, *policy.meta.name)),
        origin: rows.origin(&policy.meta, &"", policy.meta.name.at),
    };
    rows.rows.policies.push(row);
}

fn compile_rule(
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    index: usize,
    rule: &PolicyRule,
    rows: &mut RowWriter<'_>,
) -> PolicyRuleRow {
    PolicyRuleRow {
        from: clauses(policy, trust_domains, &rule.from, rows),
        to: clauses(policy, trust_domains, &rule.to, rows),
        when: predicates(policy, trust_domains, &rule.when, rows),
        origin: rows.origin(&policy.meta, &format_args!("spec.rules[{index}]"), rule.at),
    }
}

fn clauses(
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    clauses: &[Clause],
    rows: &mut RowWriter<'_>,
) -> Rows {
    let clauses: Vec<ClauseRow> = clauses
        .iter()
        .map(|clause| ClauseRow {
            predicates: predicates(policy, trust_domains, &clause.predicates, rows),
        })
        .collect();
    append(&mut rows.rows.clauses, clauses)
}

fn predicates(
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    list: &[Predicate],
    rows: &mut RowWriter<'_>,
) -> Rows {
    let predicates: Vec<PredicateRow> = list
        .iter()
        .map(|predicate| predicates::compile(predicate, policy, trust_domains, rows))
        .collect();
    append(&mut rows.rows.predicates, predicates)
}

/// A policy that names a port nobody listens on never does what it says (ISTIO-SECURITY-2021-002).
fn warn_about_unknown_ports(policy: &AuthorizationPolicy, rows: &RowWriter<'_>, diagnostics: &mut Diagnostics) {
    let is_open = |port: u16| rows.rows.listeners.iter().any(|listener| listener.port == port);
    for rule in &policy.rules {
        for predicate in rule.predicates() {
            if predicate.key != PolicyKey::Port {
                continue;
            }
            for port in &predicate.values {
                if !port.parse().is_ok_and(is_open) {
                    diagnostics
                        .warning(
                            "port-without-listener",
                            port.at,
                            format!("no Gateway listens on port {}", **port),
                        )
                        .help("policies see the number of the Gateway server, whatever `--listen` maps it to");
                }
            }
        }
    }
}
