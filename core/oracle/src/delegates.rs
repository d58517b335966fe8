//! `delegate`: made up, and taken away again by putting the rules that are delegated to where they count.

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    Delegate, HttpAction, HttpMatch, HttpRewrite, HttpRoute, Seldom, Spanned, StringMatch, VirtualService,
};

use crate::binding::Route;
use crate::bytes::Bytes;
use crate::validity::{Reasons, is_served};
use crate::virtual_services::rule;
use crate::world::{World, list, meta, spanned, text};

/// Lets a rule of the last service stand for those of another.
pub fn delegate(services: &mut Vec<VirtualService>, bytes: &mut Bytes<'_>, has_claims: bool) {
    let mut own = meta(bytes, "VirtualService", "delegate", 0);
    own.namespace = "team".into();
    let Some(root) = services.last_mut() else { return };
    let mut standing = rule(bytes, 0, &root.gateways, has_claims);
    let rewrite = match standing.action {
        HttpAction::Route { rewrite, .. } => rewrite,
        _ => Seldom::default(),
    };
    standing.action = HttpAction::Delegate {
        to: Box::new(Delegate {
            name: text(if bytes.byte() >= 250 { "nobody" } else { &own.name }),
            namespace: Some("team".to_owned()),
        }),
        rewrite,
    };
    let place = bytes.below(root.http.len() + 1);
    root.http.insert(place, standing);
    let gateways = root.gateways.clone();
    services.push(VirtualService {
        meta: own,
        hosts: Vec::new(),
        gateways: Vec::new(),
        export_to: list(bytes, &[0, 0, 0, 1], |bytes| {
            text(bytes.pick(&["*", "*", "istio-system", "team", "."]))
        }),
        http: bytes.some(1, 3, |bytes, index| {
            let mut rule = rule(bytes, index, &gateways, has_claims);
            // Mostly within what is delegated.
            for entry in &mut rule.matches {
                if bytes.byte() < 160 {
                    (entry.uri, entry.ignore_uri_case) = (None, false);
                }
            }
            rule
        }),
    });
}

/// The same world without delegates, and what is wrong with them.
#[must_use]
pub fn merged(world: &World) -> (World, Reasons) {
    let (mut plain, mut reasons) = (world.clone(), Reasons::new());
    let all = &world.resources.virtual_services;
    plain.resources.virtual_services.clear();
    for root in all.iter().filter(|service| !service.hosts.is_empty()) {
        let mut service = root.clone();
        service.http.clear();
        for (index, rule) in root.http.iter().enumerate() {
            let HttpAction::Delegate { to, rewrite } = &rule.action else {
                let mut rule = rule.clone();
                rule.name
                    .get_or_insert_with(|| spanned(format!("http[{index}]").into()));
                service.http.push(rule);
                continue;
            };
            if !is_served(world, Route::Virtual(root)) {
                continue;
            }
            let namespace = to.namespace.as_deref().unwrap_or(&root.meta.namespace);
            let named = |other: &&VirtualService| {
                other.hosts.is_empty()
                    && *other.meta.name.value == *to.name.value
                    && *other.meta.namespace == *namespace
            };
            let is_seen = |other: &&VirtualService| {
                let mut to = other.export_to.iter().map(|to| to.value.as_str());
                let own = *other.meta.namespace == *root.meta.namespace;
                other.export_to.is_empty() || to.any(|to| to == "*" || to == &*root.meta.namespace || to == "." && own)
            };
            let Some(other) = all.iter().find(named).filter(is_seen) else {
                reasons.insert("a delegate that is not there");
                continue;
            };
            for (place, leaf) in other.http.iter().enumerate() {
                service.http.extend(both_rules(
                    rule,
                    rewrite,
                    leaf,
                    &format!("http[{index}].delegate.http[{place}]"),
                ));
            }
        }
        plain.resources.virtual_services.push(service);
    }
    (plain, reasons)
}

fn both_rules(root: &HttpRoute, rewrite: &Seldom<HttpRewrite>, leaf: &HttpRoute, place: &str) -> Option<HttpRoute> {
    let mut matches: Vec<HttpMatch> = Vec::new();
    for own in &leaf.matches {
        let found: Vec<HttpMatch> = root.matches.iter().filter_map(|root| both_matches(root, own)).collect();
        if found.is_empty() && !root.matches.is_empty() {
            return None;
        }
        matches.extend(found);
    }
    let mut rule = leaf.clone();
    match (leaf.matches.is_empty(), root.matches.is_empty()) {
        (true, _) => rule.matches = root.matches.clone(),
        (false, true) => {}
        (false, false) => rule.matches = matches,
    }
    let names: Vec<&str> = [&root.name, &leaf.name]
        .into_iter()
        .flatten()
        .map(|name| &*name.value)
        .collect();
    rule.name = Some(spanned(if names.is_empty() {
        place.into()
    } else {
        names.join("-").into()
    }));
    if let HttpAction::Route { rewrite: own, .. } = &mut rule.action
        && (&own.uri.is_none(), &own.authority.is_none()) == (&true, &true)
    {
        *own = rewrite.clone();
    }
    let changes = [&leaf.headers.request, &leaf.headers.response];
    if changes.iter().all(|changes| changes.is_empty()) {
        rule.headers = root.headers.clone();
    }
    let (own, theirs) = (&mut rule.settings, root.settings.clone());
    own.timeout_ms = own.timeout_ms.or(theirs.timeout_ms);
    own.retries = own.retries.clone().or(theirs.retries);
    own.cors = own.cors.clone().or(theirs.cors);
    own.fault = own.fault.clone().or(theirs.fault);
    if own.mirrors.is_empty() {
        own.mirrors = theirs.mirrors;
    }
    Some(rule)
}

/// What both ask; `None` when something is asked that the root's does not hold all of.
fn both_matches(root: &HttpMatch, leaf: &HttpMatch) -> Option<HttpMatch> {
    let mut both = leaf.clone();
    both.uri = narrower(&root.uri, &leaf.uri)?;
    both.also.scheme = narrower(&root.also.scheme, &leaf.also.scheme)?;
    both.also.method = narrower(&root.also.method, &leaf.also.method)?;
    both.also.authority = narrower(&root.also.authority, &leaf.also.authority)?;
    add_rest(&mut both.also.headers, &root.also.headers)?;
    // What the root keeps out stays out, however the other says it.
    both.also
        .without_headers
        .extend(root.also.without_headers.iter().cloned());
    add_rest(&mut both.also.query_params, &root.also.query_params)?;
    if root.ignore_uri_case != leaf.ignore_uri_case {
        return None;
    }
    match (root.also.port, leaf.also.port) {
        (Some(wide), Some(narrow)) if wide != narrow => return None,
        (wide, narrow) => both.also.port = narrow.or(wide),
    }
    // Only what both say must be the same.
    match (&root.also.source_namespace, &leaf.also.source_namespace) {
        (Some(wide), narrow) if narrow.as_ref() != Some(wide) => return None,
        _ => {}
    }
    for (key, value) in root.also.source_labels.iter().flatten() {
        let labels = both.also.source_labels.get_or_insert_default();
        match labels.iter().find(|(own, _)| own == key) {
            Some((_, own)) if own != value => return None,
            Some(_) => {}
            None => labels.push((key.clone(), value.clone())),
        }
    }
    let listed = |name: &Spanned<String>| root.also.gateways.iter().any(|own| own.value == name.value);
    match (root.also.gateways.is_empty(), leaf.also.gateways.is_empty()) {
        (true, _) => {}
        (false, true) => both.also.gateways = root.also.gateways.clone(),
        (false, false) if leaf.also.gateways.iter().all(listed) => {}
        (false, false) => return None,
    }
    both.at = Location::default();
    Some(both)
}

type Asked = Option<Spanned<StringMatch>>;

fn narrower(wide: &Asked, narrow: &Asked) -> Option<Asked> {
    let (Some(wide), Some(narrow)) = (wide, narrow) else {
        return Some(narrow.clone().or(wide.clone()));
    };
    let is_within = match (&wide.value, &narrow.value) {
        (StringMatch::Exact(a), StringMatch::Exact(b)) => a == b,
        (StringMatch::Prefix(a), StringMatch::Exact(b) | StringMatch::Prefix(b)) => b.starts_with(&**a),
        _ => false,
    };
    is_within.then(|| Some(narrow.clone()))
}

fn add_rest<K: PartialEq + Clone>(
    own: &mut Vec<(Spanned<K>, Spanned<StringMatch>)>,
    wide: &[(Spanned<K>, Spanned<StringMatch>)],
) -> Option<()> {
    for (key, wanted) in wide {
        match own.iter().find(|(name, _)| name.value == key.value) {
            None => own.push((key.clone(), wanted.clone())),
            Some((_, narrow)) => drop(narrower(&Some(wanted.clone()), &Some(narrow.clone()))?),
        }
    }
    Some(())
}
