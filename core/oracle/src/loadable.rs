//! Resources of the generators, changed as little as the loader asks for.
//!
//! The generators make typed resources, some of which no text stands for, since
//! the loader refuses a text that means nothing. What it refuses is tested where
//! it is; here the rest of such a resource is kept for what is asked about it.

use lockgate_core::config::resource::{
    Clause, HeaderOperations, HttpAction, HttpMatch, HttpRewrite, HttpRoute, LlmRoute, PolicyKey, PolicyRule,
    Predicate, Resources, StringMatch, UriRewrite,
};
use lockgate_core::path::{Normalization, PathParameters};

use crate::world::text;

/// All of them.
pub fn resources(resources: &mut Resources) {
    for policy in &mut resources.authorization_policies {
        policy.rules.iter_mut().for_each(policy_rule);
    }
    for service in &mut resources.virtual_services {
        service.http.iter_mut().for_each(rule);
    }
    resources.llm_routes.iter_mut().for_each(llm_route);
    for gateway in &mut resources.kube_gateways {
        let mut seen = Vec::new();
        gateway.listeners.retain(|listener| {
            let place = (
                listener.port.value,
                listener.hostname.as_ref().map(|name| name.value.clone()),
            );
            let is_first = !seen.contains(&place);
            seen.push(place);
            is_first
        });
    }
    for mesh in &mut resources.mesh_configs {
        if mesh.normalization == Normalization::None && mesh.path_parameters == PathParameters::Strip {
            mesh.path_parameters = PathParameters::Keep;
        }
    }
}

/// A policy's rule.
pub fn policy_rule(rule: &mut PolicyRule) {
    rule.from.iter_mut().for_each(as_istio_allows);
    let clauses = rule.from.iter_mut().chain(&mut rule.to);
    let predicates = clauses.flat_map(|clause| &mut clause.predicates).chain(&mut rule.when);
    predicates.for_each(predicate);
}

/// `serviceAccounts` beside `principals` or `namespaces` is refused.
fn as_istio_allows(source: &mut Clause) {
    let is_account = |predicate: &Predicate| predicate.key == PolicyKey::ServiceAccount;
    if source.predicates.len() > 1 && source.predicates.iter().any(|predicate| !is_account(predicate)) {
        source.predicates.retain(|predicate| !is_account(predicate));
    }
}

/// Values that cannot match are refused.
fn predicate(predicate: &mut Predicate) {
    match predicate.key {
        PolicyKey::Method => predicate.values.retain(|value| **value != "post" && **value != "G*T"),
        PolicyKey::Namespace => predicate.values.retain(|value| **value != "tea."),
        _ => {}
    }
    if predicate.values.is_empty() {
        predicate.values.push(text("*"));
    }
}

/// A VirtualService's rule.
pub fn rule(rule: &mut HttpRoute) {
    rule.matches.iter_mut().for_each(http_match);
    operations(&mut rule.headers);
    match &mut rule.action {
        HttpAction::DirectResponse(_) => {}
        HttpAction::Delegate { rewrite, .. } => self::rewrite(rewrite, &mut rule.headers),
        // One that says nothing does not load.
        HttpAction::Redirect(redirect) => {
            if (&redirect.authority, redirect.port, redirect.scheme) == (&None, None, None) {
                redirect.uri.get_or_insert_with(|| "/".to_owned());
            }
            // Nor does one that says two ports.
            if redirect
                .authority
                .as_ref()
                .is_some_and(|authority| authority.contains(':'))
            {
                redirect.port = None;
            }
        }
        HttpAction::Route { destinations, rewrite } => {
            for destination in destinations {
                operations(&mut destination.headers);
            }
            self::rewrite(rewrite, &mut rule.headers);
        }
    }
}

fn llm_route(route: &mut LlmRoute) {
    for rule in &mut route.rules {
        for entry in &mut rule.matches {
            http_match(&mut entry.more);
            entry
                .headers
                .iter_mut()
                .for_each(|(_, wanted)| string_match(&mut wanted.value));
            entry.models.iter_mut().for_each(|model| string_match(&mut model.value));
            // Of several, each is a name.
            if entry
                .models
                .iter()
                .any(|model| !matches!(model.value, StringMatch::Exact(_)))
            {
                entry.models.truncate(1);
            }
        }
        operations(&mut rule.headers);
    }
}

fn http_match(entry: &mut HttpMatch) {
    let also = &mut *entry.also;
    let one = [&mut entry.uri, &mut also.scheme, &mut also.method, &mut also.authority];
    let keyed = also.headers.iter_mut().chain(&mut also.without_headers);
    let all = one.into_iter().flatten().chain(keyed.map(|(_, wanted)| wanted));
    all.chain(also.query_params.iter_mut().map(|(_, wanted)| wanted))
        .for_each(|wanted| string_match(&mut wanted.value));
}

/// An empty prefix says nothing, and what is no regular expression is none of any text.
fn string_match(wanted: &mut StringMatch) {
    match wanted {
        StringMatch::Prefix(prefix) if prefix.is_empty() => *prefix = "r".into(),
        StringMatch::Regex(regex) if regex::Regex::new(regex).is_err() => *regex = ".*".into(),
        _ => {}
    }
}

/// One that takes things away only, and one Host at most, beside `headers`.
fn rewrite(rewrite: &mut HttpRewrite, headers: &mut HeaderOperations) {
    if let Some(UriRewrite::Regex { pattern, substitution }) = &mut rewrite.uri
        && (substitution.is_empty() || pattern.is_empty() || **pattern == "(")
    {
        rewrite.uri = None;
    }
    if rewrite.authority.is_some() {
        headers.request.authority = None;
    }
}

/// Each field once in each list; none of them is one where tokens are.
fn operations(operations: &mut HeaderOperations) {
    for changes in [&mut *operations.request, &mut *operations.response] {
        for list in [&mut changes.set, &mut changes.add] {
            list.retain(|(name, _)| name != "authorization");
            list.sort_by(|one, other| one.0.cmp(&other.0));
            list.dedup_by(|one, other| one.0 == other.0);
        }
        changes.remove.retain(|name| name != "authorization");
    }
}
