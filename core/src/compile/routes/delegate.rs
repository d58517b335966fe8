//! `delegate`: rules of one VirtualService that stand in another.
//!
//! As istiod merges them, before anything else is made of either
//! (`pilot/pkg/model/virtualservice.go`): each rule of the other one is taken for
//! the requests that both match, and says itself what it does; what it leaves open
//! the delegating rule says. One that could take nothing of what is delegated is
//! left out. <https://istio.io/latest/docs/reference/config/networking/virtual-service/#Delegate>

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::compile::rows::RowWriter;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    Delegate, FurtherConditions, HeaderKey, HeaderOperations, HttpAction, HttpMatch, HttpRewrite, HttpRoute, Meta,
    Resources, SaysNothing as _, Seldom, Spanned, StringMatch, VirtualService,
};
use crate::config::suggest::did_you_mean;
use crate::text_map::TextMap;

/// A rule as it counts.
pub(super) struct Rule<'c> {
    pub(super) rule: Cow<'c, HttpRoute>,
    /// The resource that it is written in, and where.
    pub(super) meta: &'c Meta,
    pub(super) field: RuleField,
    /// The rule that delegates to it.
    delegating: Option<usize>,
}

/// What logs and metrics call it within the resource: by its name, or by its position.
impl fmt::Display for Rule<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let RuleField(index) = self.field;
        match (&self.rule.name, self.delegating) {
            (Some(name), _) => f.write_str(name),
            (None, None) => write!(f, "http[{index}]"),
            (None, Some(root)) => write!(f, "http[{root}].delegate.http[{index}]"),
        }
    }
}

/// The path of a rule in the resource that it is written in.
#[derive(Clone, Copy)]
pub(super) struct RuleField(usize);

impl fmt::Display for RuleField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "spec.http[{}]", self.0)
    }
}

/// The VirtualServices that others delegate to.
pub(super) struct Delegates<'c> {
    resources: &'c Resources,
    /// By `namespace/name`.
    by_name: TextMap<&'c VirtualService>,
}

impl<'c> Delegates<'c> {
    pub(super) fn new(resources: &'c Resources) -> Self {
        let mut by_name = TextMap::default();
        for service in resources.virtual_services.iter().filter(|it| it.hosts.is_empty()) {
            let meta = &service.meta;
            by_name.insert(&format!("{}/{}", meta.namespace, *meta.name), service);
        }
        Self { resources, by_name }
    }

    /// The rules of `service`, which is bound here if `is_bound`: else what it delegates to need not be loaded.
    pub(super) fn rules(
        &self,
        service: &'c VirtualService,
        is_bound: bool,
        rows: &RowWriter<'_>,
        diagnostics: &mut Diagnostics,
    ) -> Vec<Rule<'c>> {
        let mut rules = Vec::new();
        for (index, rule) in service.http.iter().enumerate() {
            let field = RuleField(index);
            let HttpAction::Delegate { to, rewrite } = &rule.action else {
                rules.push(Rule {
                    rule: Cow::Borrowed(rule),
                    meta: &service.meta,
                    field,
                    delegating: None,
                });
                continue;
            };
            if !is_bound {
                continue;
            }
            let Some(other) = self.find(to, service, field, diagnostics) else {
                continue;
            };
            for (place, leaf) in other.http.iter().enumerate() {
                let field = RuleField(place);
                match merged((rule, rewrite), leaf) {
                    Some(one) => rules.push(Rule {
                        rule: Cow::Owned(one),
                        meta: &other.meta,
                        field,
                        delegating: Some(index),
                    }),
                    None => {
                        diagnostics
                            .warning(
                                "delegate-conflict",
                                leaf.at,
                                format!(
                                    "this rule takes nothing of what {} delegates: its matches are not within those of that rule",
                                    rows.place(rule.at)
                                ),
                            )
                            .field(format!("{field}"))
                            .help("as in Istio it is left out; a match here must be narrower, and expressions cannot be compared");
                    }
                }
            }
        }
        rules
    }

    fn find(
        &self,
        to: &Delegate,
        root: &VirtualService,
        field: RuleField,
        diagnostics: &mut Diagnostics,
    ) -> Option<&'c VirtualService> {
        let namespace = to.namespace.as_deref().unwrap_or(&root.meta.namespace);
        let name = format!("{namespace}/{}", *to.name);
        let Some(other) = self.by_name.get(&name) else {
            if self.resources.has_all("VirtualService") {
                let finding = diagnostics
                    .error(
                        "unknown-delegate",
                        to.name.at,
                        format!("there is no VirtualService `{name}` without `hosts`"),
                    )
                    .field(format!("{field}.delegate"));
                if let Some(help) = did_you_mean(&name, self.by_name.keys()) {
                    finding.help(help);
                }
            }
            return None;
        };
        let sees = |export_to: &Spanned<String>| match export_to.as_str() {
            "*" => true,
            "." => other.meta.namespace == root.meta.namespace,
            namespace => *namespace == *root.meta.namespace,
        };
        if !other.export_to.is_empty() && !other.export_to.iter().any(sees) {
            diagnostics
                .error(
                    "unknown-delegate",
                    to.name.at,
                    format!(
                        "VirtualService `{name}` is not exported to namespace `{}`",
                        root.meta.namespace
                    ),
                )
                .field(format!("{field}.delegate"))
                .help("let its `exportTo` list that namespace, or `*`");
            return None;
        }
        Some(*other)
    }
}

/// The rule `leaf` for what `root` matches; `None` when one of its matches is not within any of those.
fn merged((root, rewrite): (&HttpRoute, &Seldom<HttpRewrite>), leaf: &HttpRoute) -> Option<HttpRoute> {
    let mut one = leaf.clone();
    one.matches = merged_matches(&root.matches, &leaf.matches)?;
    one.name = match (&root.name, one.name) {
        (Some(root), Some(leaf)) => Some(Spanned {
            value: format!("{}-{}", root.value, leaf.value).into(),
            at: leaf.at,
        }),
        (root, leaf) => leaf.or_else(|| root.clone()),
    };
    if let HttpAction::Route { rewrite: own, .. } = &mut one.action
        && own.says_nothing()
    {
        *own = rewrite.clone();
    }
    if is_empty(&one.headers) {
        one.headers = root.headers.clone();
    }
    let (own, roots) = (&mut one.settings, &root.settings);
    own.timeout_ms = own.timeout_ms.or(roots.timeout_ms);
    own.retries = own.retries.take().or_else(|| roots.retries.clone());
    own.cors = own.cors.take().or_else(|| roots.cors.clone());
    own.fault = own.fault.take().or_else(|| roots.fault.clone());
    if own.mirrors.is_empty() {
        own.mirrors = roots.mirrors.clone();
    }
    Some(one)
}

fn is_empty(operations: &HeaderOperations) -> bool {
    operations.request.is_empty() && operations.response.is_empty()
}

fn merged_matches(roots: &[HttpMatch], leaves: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if roots.is_empty() || leaves.is_empty() {
        return Some(roots.iter().chain(leaves).cloned().collect());
    }
    let mut merged = Vec::new();
    for leaf in leaves {
        let before = merged.len();
        let within = roots.iter().filter(|root| !conflict(root, leaf));
        merged.extend(within.map(|root| both(root, leaf)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

/// The conditions of both; where both have one that of `leaf`, which is the narrower.
fn both(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let one = |leaf: &Option<Spanned<StringMatch>>, root: &Option<Spanned<StringMatch>>| leaf.clone().or(root.clone());
    let (own, roots) = (&leaf.also, &root.also);
    let mut source_labels = own.source_labels.clone();
    for (key, value) in roots.source_labels.iter().flatten() {
        let labels = source_labels.get_or_insert_default();
        if labels.iter().all(|(known, _)| known != key) {
            labels.push((key.clone(), value.clone()));
        }
    }
    let also = FurtherConditions {
        scheme: one(&own.scheme, &roots.scheme),
        method: one(&own.method, &roots.method),
        authority: one(&own.authority, &roots.authority),
        port: own.port.or(roots.port),
        headers: both_keyed(&roots.headers, &own.headers),
        without_headers: both_without(&roots.without_headers, &own.without_headers),
        query_params: both_keyed(&roots.query_params, &own.query_params),
        gateways: match own.gateways.is_empty() {
            true => roots.gateways.clone(),
            false => own.gateways.clone(),
        },
        source_labels,
        source_namespace: own.source_namespace.clone().or_else(|| roots.source_namespace.clone()),
    };
    HttpMatch {
        at: leaf.at,
        uri: one(&leaf.uri, &root.uri),
        ignore_uri_case: leaf.ignore_uri_case,
        also: also.into(),
    }
}

type Keyed<K> = [(Spanned<K>, Spanned<StringMatch>)];

fn both_keyed<K: Clone + PartialEq>(roots: &Keyed<K>, leaves: &Keyed<K>) -> Vec<(Spanned<K>, Spanned<StringMatch>)> {
    let of_root_only = roots.iter().filter(|(key, _)| of_key(leaves, &key.value).is_none());
    of_root_only.chain(leaves).cloned().collect()
}

/// All of both: what the root keeps out the leaf does not let in.
fn both_without(
    roots: &Keyed<HeaderKey>,
    leaves: &Keyed<HeaderKey>,
) -> Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)> {
    let of_root = roots.iter().filter(|(key, wanted)| {
        let mut leaves = leaves.iter();
        !leaves.any(|(other, unwanted)| other.value == key.value && unwanted.value == wanted.value)
    });
    of_root.chain(leaves).cloned().collect()
}

fn of_key<'k, K: PartialEq>(keyed: &'k Keyed<K>, wanted: &K) -> Option<&'k Spanned<StringMatch>> {
    let mut keyed = keyed.iter();
    keyed.find(|(key, _)| key.value == *wanted).map(|(_, wanted)| wanted)
}

/// Whether something that `leaf` asks is not within what `root` asks.
fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let (roots, own) = (&root.also, &leaf.also);
    let ones = [
        (&root.uri, &leaf.uri),
        (&roots.scheme, &own.scheme),
        (&roots.method, &own.method),
        (&roots.authority, &own.authority),
    ];
    let labels = own.source_labels.iter().flatten();
    let roots_labels = || roots.source_labels.iter().flatten();
    ones.into_iter()
        .any(|(root, leaf)| !is_within(root.as_ref(), leaf.as_ref()))
        || keyed_conflict::<HeaderKey>(&roots.headers, &own.headers)
        || keyed_conflict::<String>(&roots.query_params, &own.query_params)
        || root.ignore_uri_case != leaf.ignore_uri_case
        || roots
            .port
            .is_some_and(|port| own.port.is_some_and(|other| other != port))
        || roots.source_namespace.is_some() && own.source_namespace != roots.source_namespace
        || labels
            .into_iter()
            .any(|(key, value)| roots_labels().any(|(other, wanted)| other == key && wanted != value))
        || !roots.gateways.is_empty()
            && own
                .gateways
                .iter()
                .any(|gateway| roots.gateways.iter().all(|other| other.value != gateway.value))
}

fn keyed_conflict<K: PartialEq>(roots: &Keyed<K>, leaves: &Keyed<K>) -> bool {
    let mut leaves = leaves.iter();
    leaves.any(|(key, wanted)| !is_within(of_key(roots, &key.value), Some(wanted)))
}

/// Whether all that `leaf` takes is taken by `root`, as far as istiod can tell: expressions it does not compare.
fn is_within(root: Option<&Spanned<StringMatch>>, leaf: Option<&Spanned<StringMatch>>) -> bool {
    let (Some(root), Some(leaf)) = (root, leaf) else {
        return true;
    };
    match (&root.value, &leaf.value) {
        (StringMatch::Exact(root), StringMatch::Exact(leaf)) => root == leaf,
        (StringMatch::Prefix(root), StringMatch::Prefix(leaf) | StringMatch::Exact(leaf)) => leaf.starts_with(&**root),
        _ => false,
    }
}
