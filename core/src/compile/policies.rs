//! AuthorizationPolicies that select this gateway to policy rows, in the order they are judged.

mod predicates;

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use super::rows::{RowWriter, append};
use super::{Settings, authorizers, kube_gateways};
use crate::check::Authorizer;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    AuthorizationPolicy, Clause, Meta, PolicyKey, PolicyRule, PolicyTarget, Predicate, Resources, TargetReference,
};
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
    settings: &Settings,
    authorizers: &[Authorizer],
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) {
    let trust_domains = resources
        .mesh_configs
        .first()
        .map_or(&[][..], |mesh| &mesh.trust_domains);
    for order in ORDER {
        for policy in selected(resources, settings).filter(|policy| (policy.dry_run, policy.action) == order) {
            compile_policy(policy, trust_domains, authorizers, rows);
        }
    }
    for policy in selected(resources, settings) {
        refuse_partial_target(&policy.meta, &policy.target, resources, settings, diagnostics);
        warn_about_unknown_ports(policy, rows, diagnostics);
    }
}

/// The policies that apply to this gateway.
pub(super) fn selected<'c>(
    resources: &'c Resources,
    settings: &Settings,
) -> impl Iterator<Item = &'c AuthorizationPolicy> {
    let policies = resources.authorization_policies.iter();
    policies.filter(|policy| applies(&policy.meta, &policy.target, resources, settings))
}

/// Whether a policy with this target applies to this gateway.
pub(super) fn applies(meta: &Meta, target: &PolicyTarget, resources: &Resources, settings: &Settings) -> bool {
    settings.in_scope(&meta.namespace)
        && match target {
            PolicyTarget::Namespace => true,
            PolicyTarget::Labels(labels) => settings.has_labels(labels),
            PolicyTarget::References(references) => references
                .iter()
                .any(|reference| gateway_of(reference, &meta.namespace, resources, settings) == Some(true)),
        }
}

/// Whether the Gateway that a policy refers to, one of its own namespace, is this gateway's; `None` when there is none.
/// Istio's and Gateway API's Gateways may share a name.
pub(super) fn gateway_of(
    reference: &TargetReference,
    namespace: &str,
    resources: &Resources,
    settings: &Settings,
) -> Option<bool> {
    let istio = resources.gateways.iter();
    let istio = istio.map(|gateway| (&gateway.meta, settings.has_labels(&gateway.selector)));
    let kube = resources.kube_gateways.iter();
    let kube = kube.map(|gateway| (&gateway.meta, kube_gateways::is_selected(gateway, resources, settings)));
    let meant = istio.chain(kube).filter(|(meta, _)| is_of(reference, namespace, meta));
    meant.map(|(_, is_selected)| is_selected).max()
}

/// Whether a reference of a policy of `namespace` means this Gateway.
fn is_of(reference: &TargetReference, namespace: &str, gateway: &Meta) -> bool {
    &*reference.kind == "Gateway" && *gateway.name.value == *reference.name.value && *gateway.namespace == *namespace
}

/// Refuses a policy of this gateway that names only some of the Gateways that it serves. In Istio each of them is a
/// gateway of its own, and a policy is no other's business; here it would be.
pub(super) fn refuse_partial_target(
    meta: &Meta,
    target: &PolicyTarget,
    resources: &Resources,
    settings: &Settings,
    diagnostics: &mut Diagnostics,
) {
    let PolicyTarget::References(references) = target else {
        return;
    };
    let istio = resources.gateways.iter();
    let istio = istio.filter(|gateway| settings.has_labels(&gateway.selector));
    let kube = resources.kube_gateways.iter();
    let kube = kube.filter(|gateway| kube_gateways::is_selected(gateway, resources, settings));
    let mut served = istio
        .map(|gateway| &gateway.meta)
        .chain(kube.map(|gateway| &gateway.meta));
    let is_named = |gateway: &&Meta| {
        references
            .iter()
            .any(|reference| is_of(reference, &meta.namespace, gateway))
    };
    if let (Some(other), Some(first)) = (served.find(|gateway| !is_named(gateway)), references.first()) {
        diagnostics
            .error(
                "partial-target",
                first.at,
                format!(
                    "{} `{}/{}` does not name the Gateway `{}/{}`, whose requests are judged here too",
                    meta.kind, meta.namespace, *meta.name, other.namespace, *other.name
                ),
            )
            .field("spec.targetRefs")
            .help("name every Gateway that is served, or give each a process with `gateway.networking.k8s.io/gateway-name` among its `--workload-labels`");
    }
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
