//! Rules of VirtualServices that load, and probably do not do what was meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    HttpAction, HttpMatch, HttpRoute, LlmRoute, Resources, SaysNothing as _, Spanned, StringMatch, UriRewrite,
    VirtualService,
};
use crate::text_map::TextSet;

pub(super) fn check(service: &VirtualService, diagnostics: &mut Diagnostics) {
    warn_about_unreachable_rules(service, diagnostics);
    for (index, rule) in service.http.iter().enumerate() {
        let HttpAction::Route { destinations, rewrite } = &rule.action else {
            continue;
        };
        if let Some(UriRewrite::Matched(with)) = &rewrite.uri {
            let mut uris = rule
                .matches
                .iter()
                .map(|one| (one.uri.as_ref(), one.also.says_nothing()));
            warn_about_slashes(&mut uris, with, &format!("spec.http[{index}].rewrite.uri"), diagnostics);
        }
        if destinations.len() > 1 {
            for destination in destinations.iter().filter(|destination| destination.weight.is_none()) {
                diagnostics
                    .warning(
                        "missing-weight",
                        destination.at,
                        "this destination has no `weight`, which is 0 in Istio, so it gets nothing",
                    )
                    .field(format!("spec.http[{index}].route[].weight"))
                    .help("give every destination of the rule a weight");
            }
        }
    }
}

/// One that nobody delegates to takes no request.
pub(super) fn warn_about_unused_delegates(resources: &Resources, diagnostics: &mut Diagnostics) {
    let mut used = TextSet::default();
    for service in &resources.virtual_services {
        for rule in &service.http {
            if let HttpAction::Delegate { to, .. } = &rule.action {
                let namespace = to.namespace.as_deref().unwrap_or(&service.meta.namespace);
                used.insert(&format!("{namespace}/{}", *to.name));
            }
        }
    }
    let delegates = resources
        .virtual_services
        .iter()
        .filter(|service| service.hosts.is_empty());
    for meta in delegates.map(|service| &service.meta) {
        let name = format!("{}/{}", meta.namespace, *meta.name);
        if used.insert(&name) {
            diagnostics
                .warning(
                    "unused-delegate",
                    meta.name.at,
                    format!("VirtualService `{name}` has no `hosts`, and no rule delegates to it"),
                )
                .help("give it `hosts`, or let a rule of another VirtualService have `delegate`");
        }
    }
}

fn warn_about_unreachable_rules(service: &VirtualService, diagnostics: &mut Diagnostics) {
    let takes_all = |rule: &HttpRoute| {
        let delegates = matches!(rule.action, HttpAction::Delegate { .. });
        !delegates && (rule.matches.is_empty() || rule.matches.iter().any(takes_everything))
    };
    let Some(catch_all) = service.http.iter().position(takes_all) else {
        return;
    };
    let name = service.http.get(catch_all).and_then(|rule| rule.name.as_ref());
    let name = name.map_or_else(|| format!("http[{catch_all}]"), |name| String::from(&*name.value));
    for rule in service.http.iter().skip(catch_all.saturating_add(1)) {
        diagnostics
            .warning(
                "unreachable-rule",
                rule.at,
                format!("this rule is never reached: `{name}` takes every request"),
            )
            .help("the first rule that matches decides; put the rule without matches last");
    }
}

/// Whether a match lets every request through, whichever gateway or port it came by.
fn takes_everything(one: &HttpMatch) -> bool {
    let every_path = match one.uri.as_ref().map(|uri| &uri.value) {
        None | Some(StringMatch::Present) => true,
        Some(StringMatch::Prefix(prefix)) => **prefix == *"/",
        Some(StringMatch::Exact(_) | StringMatch::Regex(_)) => false,
    };
    every_path && one.also.says_nothing()
}

/// The same for what LLMRoutes rewrite.
pub(super) fn check_rewrites_of_llm_route(route: &LlmRoute, diagnostics: &mut Diagnostics) {
    for (index, rule) in route.rules.iter().enumerate() {
        if let Some(UriRewrite::Matched(with)) = &rule.rewrite.uri {
            let mut uris = rule
                .matches
                .iter()
                .map(|one| (one.more.uri.as_ref(), one.asks_at_most_for_a_path()));
            warn_about_slashes(
                &mut uris,
                with,
                &format!("spec.rules[{index}].rewrite.uri"),
                diagnostics,
            );
        }
    }
}

/// A prefix is replaced as text, so that `/v1` by `/` makes `//chat` of `/v1/chat`, and `/v1/` by `/v2` makes `/v2chat`.
/// `uris` are those of the rule's matches, with whether one asks for nothing else.
fn warn_about_slashes(
    uris: &mut dyn ExactSizeIterator<Item = (Option<&Spanned<StringMatch>>, bool)>,
    with: &Spanned<String>,
    field: &str,
    diagnostics: &mut Diagnostics,
) {
    // Without a condition every path has the first slash.
    let implied = (uris.len() == 0).then_some(("/", true));
    let prefixes = uris.filter_map(|(uri, alone)| match uri.map(|uri| &uri.value) {
        None => Some(("/", alone)),
        Some(StringMatch::Prefix(prefix)) => Some((&**prefix, alone)),
        Some(_) => None,
    });
    // Those before that take whatever begins with them.
    let mut taken = Vec::new();
    for (prefix, alone) in prefixes.chain(implied) {
        if taken.iter().any(|before| below(prefix).starts_with(before)) {
            continue;
        }
        if alone {
            taken.push(prefix);
        }
        let what = match (prefix.ends_with('/'), with.ends_with('/')) {
            (false, true) => "two slashes",
            (true, false) => "no slash",
            _ => continue,
        };
        diagnostics
            .warning(
                "prefix-rewrite-slash",
                with.at,
                format!(
                    "of `{}` this makes `{}`, with {what} where the prefix `{prefix}` ends",
                    below(prefix),
                    below(prefix).replacen(prefix, with, 1)
                ),
            )
            .field(field)
            .help("a prefix is replaced as text; let both end in `/`, or neither");
        return;
    }
}

/// A path below a prefix.
fn below(prefix: &str) -> String {
    match prefix.ends_with('/') {
        true => format!("{prefix}x"),
        false => format!("{prefix}/x"),
    }
}
