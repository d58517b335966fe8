//! Sources, operations and conditions to predicates.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::diagnostic::Diagnostics;
use crate::config::field_path::FieldPath;
use crate::config::format::Format;
use crate::config::resource::{Clause, PolicyKey, Predicate, Spanned};
use crate::config::tree::{Node, Scalar};

/// A field and its `not` form.
type Field = (&'static str, &'static str, PolicyKey);

pub(super) const SOURCE: &[Field] = &[
    ("principals", "notPrincipals", PolicyKey::Principal),
    ("requestPrincipals", "notRequestPrincipals", PolicyKey::RequestPrincipal),
    ("namespaces", "notNamespaces", PolicyKey::Namespace),
    ("serviceAccounts", "notServiceAccounts", PolicyKey::ServiceAccount),
    ("trustDomains", "notTrustDomains", PolicyKey::TrustDomain),
    ("ipBlocks", "notIpBlocks", PolicyKey::PeerAddress),
    ("remoteIpBlocks", "notRemoteIpBlocks", PolicyKey::RemoteAddress),
];

pub(super) const OPERATION: &[Field] = &[
    ("hosts", "notHosts", PolicyKey::Host),
    ("ports", "notPorts", PolicyKey::Port),
    ("methods", "notMethods", PolicyKey::Method),
    ("paths", "notPaths", PolicyKey::Path),
];

/// Values that Istio allows one list of service accounts to have.
const SERVICE_ACCOUNTS_MAX: usize = 16;

pub(super) fn decode(node: &Node, fields: &[Field], path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Clause {
    let mut predicates = Vec::new();
    for (name, not_name, key) in fields {
        for (name, negated) in [(*name, false), (*not_name, true)] {
            if let Some(list) = node.get(name) {
                predicates.push(predicate(list, key.clone(), negated, name));
            }
        }
    }
    for predicate in &predicates {
        check_accounts(predicate, path, diagnostics);
    }
    check_accounts_stand_alone(&predicates, path, diagnostics);
    predicates.retain(|predicate| !predicate.values.is_empty());
    Clause {
        at: node.at,
        predicates,
    }
}

fn predicate(list: &Node, key: PolicyKey, negated: bool, field: &str) -> Predicate {
    Predicate {
        at: list.at,
        key,
        negated,
        values: list.items().iter().filter_map(value).collect(),
        field: field.into(),
    }
}

/// Ports may stand there as numbers; the check has seen what is allowed where.
fn value(node: &Node) -> Option<Spanned<String>> {
    Some(Spanned {
        value: node.scalar()?.text.clone(),
        at: node.at,
    })
}

fn check_accounts(predicate: &Predicate, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    if predicate.key == PolicyKey::ServiceAccount && predicate.values.len() > SERVICE_ACCOUNTS_MAX {
        diagnostics
            .error(
                "invalid-service-account",
                predicate.at,
                format!(
                    "`{}` has {} values; Istio allows {SERVICE_ACCOUNTS_MAX}",
                    predicate.field,
                    predicate.values.len()
                ),
            )
            .field(format!("{path}.{}", predicate.field))
            .help("use `namespaces`, or several sources");
    }
}

/// An account says its namespace itself; beside a principal or a namespace the two could disagree.
fn check_accounts_stand_alone(predicates: &[Predicate], path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    let account = predicates.iter().find(|one| one.key == PolicyKey::ServiceAccount);
    let other = predicates
        .iter()
        .find(|one| matches!(one.key, PolicyKey::Principal | PolicyKey::Namespace));
    if let (Some(account), Some(other)) = (account, other) {
        diagnostics
            .error(
                "conflicting-fields",
                account.at,
                format!("`{}` and `{}` exclude each other", account.field, other.field),
            )
            .field(format!("{path}.{}", account.field))
            .help("keep one of them");
    }
}

/// One entry of `when`: up to two predicates.
pub(super) fn condition(
    node: &Node,
    path: &FieldPath<'_>,
    is_lockgate: bool,
    diagnostics: &mut Diagnostics,
) -> Vec<Predicate> {
    let key_node = node.get("key");
    let Some((key, key_node)) = key_node.and_then(|node| Some((PolicyKey::of_condition(node.text()?)?, node))) else {
        return Vec::new();
    };
    if key.is_lockgate() && !is_lockgate {
        diagnostics
            .error(
                "lockgate-field",
                key_node.at,
                format!("`{}` is a condition of Lockgate's own", key.condition_name()),
            )
            .field(format!("{path}.key"))
            .help("it belongs under `apiVersion: lockgate.dev/v1`");
    }
    let lists = [("values", false), ("notValues", true)];
    let given: Vec<_> = lists
        .into_iter()
        .filter_map(|(name, negated)| Some((name, negated, node.get(name)?)))
        .collect();
    if given.is_empty() {
        diagnostics
            .error(
                "condition-without-values",
                key_node.at,
                "a condition needs `values`, `notValues` or both",
            )
            .field(path)
            .help("`values: ['*']` asks that it is there");
    }
    let name = key.condition_name();
    let mut predicates = Vec::new();
    for (list_name, negated, list) in given {
        let predicate = predicate(list, key.clone(), negated, &name);
        check_accounts(&predicate, path, diagnostics);
        check_values(list, &key, &path.field(list_name), diagnostics);
        predicates.push(predicate);
    }
    predicates.retain(|predicate| !predicate.values.is_empty());
    predicates
}

/// The schema knows the values of a condition as text only: what they must look like depends on the key.
fn check_values(list: &Node, key: &PolicyKey, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    let format = value_format(key);
    for (index, node) in list.items().iter().enumerate() {
        let Some(text) = node.text().filter(|text| !text.is_empty()) else {
            continue;
        };
        let shown = || node.scalar().map(Scalar::shown).unwrap_or_default();
        let (finding, help) = match (format.check(text), format.lint(text)) {
            (Err(fault), _) => (
                diagnostics.error(fault.code, node.at, format!("{} {}", shown(), fault.reason)),
                fault.help,
            ),
            (Ok(()), Some(fault)) => (
                diagnostics.warning(fault.code, node.at, format!("{} {}", shown(), fault.reason)),
                fault.help,
            ),
            (Ok(()), None) => continue,
        };
        finding.field(format!("{path}[{index}]"));
        if let Some(help) = help {
            finding.help(help);
        }
    }
}

fn value_format(key: &PolicyKey) -> Format {
    match key {
        PolicyKey::Host => Format::PolicyHost,
        PolicyKey::Method => Format::PolicyMethod,
        PolicyKey::Path => Format::PolicyPath,
        PolicyKey::Port => Format::PortText,
        PolicyKey::PeerAddress | PolicyKey::RemoteAddress | PolicyKey::LocalAddress => Format::Cidr,
        PolicyKey::Principal => Format::Principal,
        PolicyKey::Namespace => Format::PolicyNamespace,
        PolicyKey::ServiceAccount => Format::ServiceAccount,
        PolicyKey::TrustDomain => Format::TrustDomain,
        PolicyKey::RequestPrincipal => Format::RequestPrincipal,
        PolicyKey::Sni => Format::ServerName,
        PolicyKey::Audience
        | PolicyKey::Presenter
        | PolicyKey::Claim(_)
        | PolicyKey::Header(_)
        | PolicyKey::LlmModel
        | PolicyKey::LlmTools => Format::AnyPattern,
        PolicyKey::LlmStream => Format::LlmStream,
        PolicyKey::LlmMaxTokens => Format::LlmNumber,
    }
}
