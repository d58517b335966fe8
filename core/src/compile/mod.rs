//! From resources to a snapshot: resolve references, check, put in order, flatten.
//!
//! ```text
//! Resources ─► select what applies to this gateway ─► rows ─► Snapshot
//!              (labels, namespaces)                   lints
//! ```
//!
//! Every step reports into [`Diagnostics`] and goes on. A snapshot exists only
//! when nothing was an error: what cannot be understood is never served.

mod authorizers;
mod destinations;
mod edge;
mod files;
mod grants;
mod hosts;
mod kube_gateways;
mod lint;
mod listeners;
mod openings;
mod policies;
mod providers;
mod read_headers;
mod routes;
mod rows;
mod rule_index;
mod second_pass;
mod targets;
mod tls_servers;
mod tokens;
mod upstream_tls;
mod upstreams;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::config::diagnostic::{Diagnostics, Location, Source};
use crate::config::resource::{Labels, Meta, Resources};
#[cfg(feature = "yaml")]
use crate::regex::Regex;
use crate::snapshot::{Secrets, Snapshot};
use crate::text_map::TextMap;
use destinations::Destinations;
pub use files::PemFile;
use hosts::Hosts;
use rows::RowWriter;
use second_pass::SecondPass;
use targets::Targets;

/// Who this gateway is: what selectors and namespaces are compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The gateway's own namespace.
    pub namespace: String,
    /// Istio's root namespace, whose policies and providers apply everywhere.
    pub root_namespace: String,
    /// The gateway's labels.
    pub labels: Vec<(String, String)>,
}

impl Default for Settings {
    /// `istio-system` twice and `istio=ingressgateway`: Istio's own ingress gateway.
    fn default() -> Self {
        Self {
            namespace: "istio-system".into(),
            root_namespace: "istio-system".into(),
            labels: vec![("istio".into(), "ingressgateway".into())],
        }
    }
}

impl Settings {
    /// Whether every label of `selector` is one of the gateway's.
    fn has_labels(&self, selector: &Labels) -> bool {
        selector.iter().all(|(key, value)| self.has_label(key, value))
    }

    /// How a selector that does not select this gateway differs from its labels.
    fn unlike(&self, selector: &Labels) -> Option<String> {
        let (key, value) = selector.iter().find(|(key, value)| !self.has_label(key, value))?;
        let own = self.labels.iter().find(|(own, _)| **own == **key);
        let own = own.map_or("(none)", |(_, own)| own);
        Some(format!("wants label `{key}` to be `{value}`, which is `{own}` here"))
    }

    fn has_label(&self, key: &str, value: &str) -> bool {
        let mut labels = self.labels.iter();
        labels.any(|(own_key, own_value)| **own_key == *key && **own_value == *value)
    }

    /// The gateway's own namespace, the root's, and the others come in this order.
    fn rank(&self, namespace: &str) -> (bool, bool) {
        (namespace != self.namespace, !self.in_scope(namespace))
    }

    /// Whether a resource of `namespace` reaches this gateway.
    fn in_scope(&self, namespace: &str) -> bool {
        namespace == self.root_namespace || namespace == self.namespace
    }
}

/// What a shell needs to serve: the snapshot, and apart from it the secrets it refers to.
#[derive(Debug, Clone)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Indexed by [`crate::tables::SecretId`].
    pub secrets: Secrets,
    /// Where the configuration names the files that a shell reads: those of the snapshot, and maybe others.
    pub files: Vec<PemFile>,
}

/// Compiles `resources`, which were loaded from `sources`.
///
/// Adds what is wrong, or probably not meant, to `diagnostics`; `None` when anything in there is an error.
#[must_use]
pub fn compile(
    resources: &Resources,
    sources: &[Source],
    settings: &Settings,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let rows = RowWriter::new(sources, None);
    compile_with(rows, resources, settings, diagnostics)
}

/// Regular expressions by pattern.
#[cfg(feature = "yaml")]
pub(crate) type Regexes = TextMap<Regex>;

/// The same, without making the automata again that `known` has. Afterwards it has those of this configuration.
#[cfg(feature = "yaml")]
pub(crate) fn compile_again(
    resources: &Resources,
    sources: &[Source],
    settings: &Settings,
    known: &mut Regexes,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    let rows = RowWriter::new(sources, Some(known));
    compile_with(rows, resources, settings, diagnostics)
}

fn compile_with(
    mut rows: RowWriter<'_>,
    resources: &Resources,
    settings: &Settings,
    diagnostics: &mut Diagnostics,
) -> Option<Compiled> {
    refuse_duplicate_names(resources, &rows, diagnostics);
    let settings = &edge::settings(resources, settings);
    rows.rows.edge = edge::compile(resources, diagnostics);
    let listeners = listeners::compile(resources, settings, &mut rows, diagnostics);
    let mut providers = providers::compile(resources, settings, &mut rows, diagnostics);
    let tls = upstream_tls::compile(resources, settings, &mut rows, diagnostics);
    let hosts = Hosts::new(resources, settings, tls);
    let mut upstreams = upstreams::compile(resources, &hosts, &providers, diagnostics);
    let destinations = Destinations::new(resources, &hosts, &mut upstreams);
    routes::compile(
        resources,
        settings,
        &listeners,
        &mut providers,
        destinations,
        &mut rows,
        diagnostics,
    );
    let targets = Targets::new(resources, settings);
    targets.check(resources, diagnostics);
    let authorizers = authorizers::compile(resources, &targets, &hosts, &mut upstreams, &mut rows, diagnostics);
    policies::compile(resources, &targets, &authorizers, &mut rows, diagnostics);
    let key_sources = tokens::compile(resources, &targets, &mut rows, diagnostics);
    let files = core::mem::take(&mut rows.files);
    let (rows, secrets, places) = rows.finish(diagnostics);
    let (ports, tls_servers) = listeners.finish();
    let mut snapshot = Snapshot::new(rows, ports, tls_servers, upstreams, key_sources, authorizers);
    if diagnostics.has_errors() {
        // Lints would speak of rules that the errors took away.
        return None;
    }
    lint::check(&snapshot, &places, resources, settings, &targets, &hosts, diagnostics);
    let admissions = SecondPass::new(snapshot.tables()).admissions();
    snapshot.admit(admissions);
    Some(Compiled {
        snapshot,
        secrets,
        files,
    })
}

/// The lesser is the older. Of one age are ordered by name, as in istiod, where both say how old they are; those that
/// do not come last, and the order they are loaded in is the caller's.
fn by_age(a: &Meta, b: &Meta) -> Ordering {
    let age = |meta: &Meta| (meta.created.is_none(), meta.created);
    age(a).cmp(&age(b)).then_with(|| match a.created {
        Some(_) => (&*a.name.value, &a.namespace).cmp(&(&*b.name.value, &b.namespace)),
        None => Ordering::Equal,
    })
}

/// Two resources of one kind, namespace and name: the API server would have kept only one of them.
fn refuse_duplicate_names(resources: &Resources, rows: &RowWriter<'_>, diagnostics: &mut Diagnostics) {
    let Resources {
        gateways,
        authorization_policies,
        request_authentications,
        llm_providers,
        llm_routes,
        virtual_services,
        service_entries,
        destination_rules,
        secrets,
        kube_gateways,
        gateway_classes,
        http_routes,
        reference_grants,
        inference_pools,
        mesh_configs: _,
        scenarios: _,
        refused: _,
    } = resources;
    // One kind after the other, since both kinds of Gateways have one name.
    refuse_duplicates(&mut gateways.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut authorization_policies.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(
        &mut request_authentications.iter().map(|it| &it.meta),
        rows,
        diagnostics,
    );
    refuse_duplicates(&mut llm_providers.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut llm_routes.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut virtual_services.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut service_entries.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut destination_rules.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut secrets.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut kube_gateways.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut gateway_classes.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut http_routes.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut reference_grants.iter().map(|it| &it.meta), rows, diagnostics);
    refuse_duplicates(&mut inference_pools.iter().map(|it| &it.meta), rows, diagnostics);
}

fn refuse_duplicates(metas: &mut dyn Iterator<Item = &Meta>, rows: &RowWriter<'_>, diagnostics: &mut Diagnostics) {
    let mut seen: TextMap<Location> = TextMap::default();
    for meta in metas {
        let named = alloc::format!("{} `{}/{}`", meta.kind, meta.namespace, *meta.name);
        if let Some(other) = seen.insert(&named, meta.name.at) {
            diagnostics
                .error(
                    "duplicate-resource",
                    meta.name.at,
                    alloc::format!("{named} is defined twice"),
                )
                .field("metadata.name")
                .help(alloc::format!("the other is at {}", rows.place(other)));
        }
    }
}
