//! Policies that load, and probably do not do what was meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{HOW_LABELS_SELECT, absent_headers, paths};
use crate::compile::Settings;
use crate::compile::targets::Targets;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    Action, AuthorizationPolicy, Clause, ExtAuthzProvider, Meta, PolicyKey, PolicyRule, PolicyTarget, Predicate,
    Resources, Spanned,
};
use crate::tables::Tables;

pub(super) fn check(
    tables: &Tables,
    resources: &Resources,
    settings: &Settings,
    targets: &Targets<'_>,
    diagnostics: &mut Diagnostics,
) {
    for policy in &resources.request_authentications {
        if !targets.applies(&policy.meta, &policy.target) {
            warn_about_no_effect(&policy.meta, &policy.target, settings, targets, diagnostics);
        }
    }
    for authorizer in resources.mesh_configs.iter().flat_map(|mesh| &mesh.authorizers) {
        warn_about_failing_open(tables, authorizer, diagnostics);
    }
    for policy in &resources.authorization_policies {
        if !targets.applies(&policy.meta, &policy.target) {
            warn_about_no_effect(&policy.meta, &policy.target, settings, targets, diagnostics);
            continue;
        }
        warn_about_shadowed_rules(policy, diagnostics);
        let mut is_unverified = tables.token_rules.is_empty();
        for rule in &policy.rules {
            warn_about_contradictions(rule, diagnostics);
            for predicate in rule.predicates() {
                warn_about_raw_authority(predicate, diagnostics);
                absent_headers::check_predicate(tables, predicate, diagnostics);
                if is_unverified && is_about_token(predicate) {
                    warn_about_unverified_token(predicate, diagnostics);
                    is_unverified = false;
                }
                if predicate.key == PolicyKey::Path {
                    paths::warn_about_dead_values(predicate, tables.edge.paths, diagnostics);
                }
                if guards(policy, predicate) {
                    warn_about_hosts_without_port(predicate, diagnostics);
                    paths::warn_about_ways_around(predicate, tables.edge.paths, diagnostics);
                }
            }
        }
    }
}

/// Whether a value that misses a request lets it through: in a DENY, in a CUSTOM, whose authorizer is then not asked,
/// or in the `not` field of an ALLOW.
pub(super) fn guards(policy: &AuthorizationPolicy, predicate: &Predicate) -> bool {
    match policy.action {
        Action::Deny | Action::Custom => !predicate.negated,
        Action::Allow => predicate.negated,
        Action::Audit => false,
    }
}

fn is_about_token(predicate: &Predicate) -> bool {
    matches!(
        predicate.key,
        PolicyKey::RequestPrincipal | PolicyKey::Audience | PolicyKey::Presenter | PolicyKey::Claim(_)
    )
}

/// What a policy asks of a token, where nobody verifies any: no request ever has one. Said once for each policy.
fn warn_about_unverified_token(predicate: &Predicate, diagnostics: &mut Diagnostics) {
    let holds = if predicate.negated {
        "always holds"
    } else {
        "never holds"
    };
    diagnostics
        .warning(
            "token-never-verified",
            predicate.at,
            format!(
                "`{}` {holds}: no RequestAuthentication applies here, so no token counts",
                predicate.field
            ),
        )
        .help("add a RequestAuthentication with the issuer's keys, in the root namespace or the gateway's own");
}

/// Whoever can keep an authorizer from answering passes it.
fn warn_about_failing_open(tables: &Tables, authorizer: &ExtAuthzProvider, diagnostics: &mut Diagnostics) {
    let is_asked = tables
        .authorizers
        .iter()
        .any(|row| *tables.text(row.name) == **authorizer.name);
    if let Some(at) = authorizer.fail_open.filter(|_| is_asked) {
        diagnostics
            .warning(
                "fail-open",
                at,
                format!(
                    "every request passes external authorizer `{}` while it does not answer",
                    &**authorizer.name
                ),
            )
            .field(format!("{}.failOpen", authorizer.field))
            .help("leave `failOpen` out, so that such requests are refused");
    }
}

/// A policy that does not apply to this gateway at all. It may well be another workload's.
fn warn_about_no_effect(
    meta: &Meta,
    target: &PolicyTarget,
    settings: &Settings,
    targets: &Targets<'_>,
    diagnostics: &mut Diagnostics,
) {
    let namespace = &*meta.namespace;
    let mut warn = |reason: &str, help: &str| {
        diagnostics
            .warning(
                "policy-without-effect",
                meta.name.at,
                format!("{} `{namespace}/{}` does nothing here: {reason}", meta.kind, *meta.name),
            )
            .help(help);
    };
    if namespace != settings.root_namespace && namespace != settings.namespace {
        return warn(
            &format!("namespace `{namespace}` is neither the root namespace nor the gateway's own"),
            &format!(
                "the root namespace is `{}` (`--root-namespace`), the gateway's own `{}` (`--namespace`)",
                settings.root_namespace, settings.namespace
            ),
        );
    }
    match target {
        PolicyTarget::References(references) => warn(
            if targets.has(references, namespace) {
                "the Gateway it refers to does not select this gateway"
            } else {
                "it refers to no Gateway of its own namespace"
            },
            "a `targetRef` names a Gateway by `kind: Gateway` and its `name`",
        ),
        PolicyTarget::Labels(selector) => {
            if let Some(why) = settings.unlike(selector) {
                warn(&format!("its selector {why}"), HOW_LABELS_SELECT);
            }
        }
        PolicyTarget::Namespace => {}
    }
}

/// Rules that add nothing to one before them: an earlier one matches everything, or says the same.
fn warn_about_shadowed_rules(policy: &AuthorizationPolicy, diagnostics: &mut Diagnostics) {
    let catch_all = policy
        .rules
        .iter()
        .position(|rule| rule.from.is_empty() && rule.to.is_empty() && rule.when.is_empty());
    let alike = first_alike(&policy.rules);
    for ((index, rule), earlier) in policy.rules.iter().enumerate().zip(alike) {
        let reason = match catch_all {
            Some(first) if first != index => format!("rules[{first}] matches every request"),
            _ if earlier < index => format!("it says the same as rules[{earlier}]"),
            _ => continue,
        };
        diagnostics
            .warning(
                "shadowed-rule",
                rule.at,
                format!("this rule of a policy adds nothing: {reason}"),
            )
            .field(format!("spec.rules[{index}]"))
            .help("remove it, or the one that makes it needless");
    }
}

/// For each rule the first that says the same.
fn first_alike(rules: &[PolicyRule]) -> Vec<usize> {
    let mut meanings: Vec<(Meaning<'_>, usize)> = rules.iter().map(meaning).zip(0..).collect();
    meanings.sort_unstable();
    let mut first: Vec<usize> = (0..rules.len()).collect();
    for alike in meanings.chunk_by(|(a, _), (b, _)| a == b) {
        let Some((_, earliest)) = alike.first() else { continue };
        for (_, index) in alike {
            if let Some(first) = first.get_mut(*index) {
                *first = *earliest;
            }
        }
    }
    first
}

/// What a rule says, whatever the order of the values of a field.
type Meaning<'c> = [Vec<Vec<Said<'c>>>; 3];

/// A predicate's part of that.
type Said<'c> = (&'c PolicyKey, bool, Vec<&'c str>);

fn meaning(rule: &PolicyRule) -> Meaning<'_> {
    [clauses(&rule.from), clauses(&rule.to), Vec::from([said(&rule.when)])]
}

fn clauses(clauses: &[Clause]) -> Vec<Vec<Said<'_>>> {
    clauses.iter().map(|clause| said(&clause.predicates)).collect()
}

fn said<'c>(predicates: &'c [Predicate]) -> Vec<Said<'c>> {
    let said = |predicate: &'c Predicate| -> Said<'c> { (&predicate.key, predicate.negated, sorted_values(predicate)) };
    predicates.iter().map(said).collect()
}

/// The values of a predicate, each once.
fn sorted_values(predicate: &Predicate) -> Vec<&str> {
    let mut values: Vec<&str> = predicate.values.iter().map(|value| value.as_str()).collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Values of which each is also among the `not` values beside them: the rule never matches.
fn warn_about_contradictions(rule: &PolicyRule, diagnostics: &mut Diagnostics) {
    let clauses = rule
        .from
        .iter()
        .chain(&rule.to)
        .map(|clause| clause.predicates.as_slice());
    for beside in clauses.chain([rule.when.as_slice()]) {
        let negated = || beside.iter().filter(|one| one.negated);
        for positive in beside.iter().filter(|one| !one.negated) {
            let excluded = |value: &Spanned<String>| {
                let same_key = negated().filter(|other| other.key == positive.key);
                same_key
                    .flat_map(|other| &other.values)
                    .any(|other| match positive.key {
                        PolicyKey::RequestPrincipal => covers_principal(other, value),
                        _ => covers(other, value),
                    })
            };
            if positive.values.iter().all(excluded) {
                diagnostics
                    .warning(
                        "contradictory-rule",
                        positive.at,
                        format!(
                            "`{}` and its opposite exclude each other: this never matches",
                            positive.field
                        ),
                    )
                    .help("take the values out of one of the two");
            }
        }
    }
}

/// Whether whatever `value` matches is also matched by `wider`, as far as the two texts tell.
pub(super) fn covers(wider: &str, value: &str) -> bool {
    wider == value
        || wider == "*"
        || match (wider.strip_prefix('*'), wider.strip_suffix('*')) {
            (Some(suffix), _) => value.ends_with(suffix) && !value.ends_with('*'),
            (None, Some(prefix)) => value.starts_with(prefix) && !value.starts_with('*'),
            (None, None) => false,
        }
}

/// The same of a request principal, of which a value with a slash has the issuer as it stands before the last one.
fn covers_principal(wider: &str, value: &str) -> bool {
    match (wider.rsplit_once('/'), value.rsplit_once('/')) {
        (Some((issuer, wider)), Some((of, subject))) => (issuer == "*" || issuer == of) && covers(wider, subject),
        (Some(_), None) => wider == value,
        (None, _) => covers(wider, value),
    }
}

/// `Host: test.com:80` is not `test.com`, and a client may write any port it likes.
fn warn_about_hosts_without_port(predicate: &Predicate, diagnostics: &mut Diagnostics) {
    if predicate.key != PolicyKey::Host {
        return;
    }
    let listed = sorted_values(predicate);
    let is_open = |host: &Spanned<String>| {
        let with_port = format!("{}:80", **host);
        !host.contains(':')
            && !host.ends_with('*')
            // As most write it; the others are compared one by one, up to the first host that is open.
            && listed.binary_search(&&*format!("{}:*", **host)).is_err()
            && !predicate.values.iter().any(|other| covers(other, &with_port))
    };
    let Some(host) = predicate.values.iter().find(|host| is_open(host)) else {
        return;
    };
    let help = if host.starts_with('*') {
        String::from("a star at the beginning leaves none for the port; list the hosts one by one, each also with `:*`")
    } else {
        format!("add `{}:*`", **host)
    };
    diagnostics
        .warning(
            "host-without-port",
            host.at,
            format!(
                "`{}` can be walked around with a port: `{}:1`",
                **host,
                host.replace('*', "a")
            ),
        )
        .help(help);
}

/// Headers are compared with their case, and the authority as it was sent.
fn warn_about_raw_authority(predicate: &Predicate, diagnostics: &mut Diagnostics) {
    if let PolicyKey::Header(name) = &predicate.key
        && matches!(name.as_str(), "host" | ":authority")
    {
        diagnostics
            .warning(
                "host-by-header",
                predicate.at,
                format!(
                    "`{}` compares the host with its case: `TEST.com` is not `test.com`",
                    predicate.field
                ),
            )
            .help("use `hosts` of an operation");
    }
}
