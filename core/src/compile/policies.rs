//! AuthorizationPolicies that select this gateway to policy rows, DENY first.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Settings;
use super::rows::{RowWriter, append};
use crate::cidr::Cidr;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{AuthorizationPolicy, PolicyOperation, PolicyRule, PolicySource, Resources, Spanned};
use crate::tables::{Action, OperationRow, PatternRow, PolicyRow, PolicyRuleRow, Rows, SourceRow};

pub(super) fn compile(
    resources: &Resources,
    settings: &Settings,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) {
    for action in [Action::Deny, Action::Allow] {
        for policy in selected(resources, settings).filter(|policy| policy.action == action) {
            compile_policy(policy, rows);
        }
    }
    for policy in selected(resources, settings) {
        warn_about_unknown_ports(policy, rows, diagnostics);
    }
}

/// The policies that apply to this gateway.
pub(super) fn selected<'c>(
    resources: &'c Resources,
    settings: &Settings,
) -> impl Iterator<Item = &'c AuthorizationPolicy> {
    resources.authorization_policies.iter().filter(|policy| {
        settings.in_scope(&policy.meta.namespace)
            && policy
                .selector
                .as_ref()
                .is_none_or(|labels| settings.has_labels(labels))
    })
}

fn compile_policy(policy: &AuthorizationPolicy, rows: &mut RowWriter<'_>) {
    let rules: Vec<PolicyRuleRow> = policy
        .rules
        .iter()
        .enumerate()
        .map(|(index, rule)| compile_rule(policy, index, rule, rows))
        .collect();
    let row = PolicyRow {
        action: policy.action,
        rules: append(&mut rows.rows.policy_rules, rules),
        label: rows.text(&format!("{}/{}", policy.meta.namespace, *policy.meta.name)),
        origin: rows.origin(&policy.meta, "", policy.meta.name.at),
    };
    rows.rows.policies.push(row);
}

fn compile_rule(
    policy: &AuthorizationPolicy,
    index: usize,
    rule: &PolicyRule,
    rows: &mut RowWriter<'_>,
) -> PolicyRuleRow {
    let from: Vec<SourceRow> = rule.from.iter().map(|source| compile_source(source, rows)).collect();
    let to: Vec<OperationRow> = rule
        .to
        .iter()
        .map(|operation| compile_operation(operation, rows))
        .collect();
    PolicyRuleRow {
        from: append(&mut rows.rows.sources, from),
        to: append(&mut rows.rows.operations, to),
        origin: rows.origin(&policy.meta, &format!("spec.rules[{index}]"), rule.at),
    }
}

fn compile_source(source: &PolicySource, rows: &mut RowWriter<'_>) -> SourceRow {
    let mut blocks = |list: &[Spanned<Cidr>]| append(&mut rows.rows.cidrs, list.iter().map(|block| **block));
    SourceRow {
        ip_blocks: blocks(&source.ip_blocks),
        not_ip_blocks: blocks(&source.not_ip_blocks),
    }
}

fn compile_operation(operation: &PolicyOperation, rows: &mut RowWriter<'_>) -> OperationRow {
    OperationRow {
        hosts: patterns(&operation.hosts, str::to_ascii_lowercase, rows),
        not_hosts: patterns(&operation.not_hosts, str::to_ascii_lowercase, rows),
        ports: append(&mut rows.rows.ports, operation.ports.iter().map(|port| **port)),
        not_ports: append(&mut rows.rows.ports, operation.not_ports.iter().map(|port| **port)),
        methods: patterns(&operation.methods, str::to_owned, rows),
        not_methods: patterns(&operation.not_methods, str::to_owned, rows),
        paths: patterns(&operation.paths, str::to_owned, rows),
        not_paths: patterns(&operation.not_paths, str::to_owned, rows),
    }
}

fn patterns(list: &[Spanned<String>], fold: fn(&str) -> String, rows: &mut RowWriter<'_>) -> Rows {
    let patterns: Vec<PatternRow> = list.iter().map(|value| pattern(&fold(value), rows)).collect();
    append(&mut rows.rows.patterns, patterns)
}

/// Istio's four forms. A leading star wins: `*v1*` is the suffix `v1*` with a literal star.
fn pattern(value: &str, rows: &mut RowWriter<'_>) -> PatternRow {
    if value == "*" {
        PatternRow::Any
    } else if let Some(suffix) = value.strip_prefix('*') {
        PatternRow::Suffix(rows.text(suffix))
    } else if let Some(prefix) = value.strip_suffix('*') {
        PatternRow::Prefix(rows.text(prefix))
    } else {
        PatternRow::Exact(rows.text(value))
    }
}

/// A policy that names a port nobody listens on never does what it says (ISTIO-SECURITY-2021-002).
fn warn_about_unknown_ports(policy: &AuthorizationPolicy, rows: &RowWriter<'_>, diagnostics: &mut Diagnostics) {
    let operations = policy.rules.iter().flat_map(|rule| &rule.to);
    for port in operations.flat_map(|operation| operation.ports.iter().chain(&operation.not_ports)) {
        if !rows.rows.listeners.iter().any(|listener| listener.port == **port) {
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
