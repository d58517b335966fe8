//! ServiceEntries and DestinationRules that load, and say nothing here or more than was meant.

use alloc::format;
use alloc::string::String;

use crate::compile::Settings;
use crate::compile::destinations::full_name;
use crate::compile::hosts::Hosts;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{LlmProvider, Resources};
use crate::snapshot::{Snapshot, Upstream};
use crate::text_map::TextSet;

pub(super) fn check(
    snapshot: &Snapshot,
    resources: &Resources,
    settings: &Settings,
    hosts: &Hosts<'_>,
    diagnostics: &mut Diagnostics,
) {
    let providers = || {
        let providers = resources.llm_providers.iter();
        providers.filter(|provider| settings.in_scope(&provider.meta.namespace))
    };
    let mut provider_hosts = TextSet::default();
    for provider in providers() {
        provider_hosts.insert(&provider.host.to_ascii_lowercase());
    }
    let is_provider = |host: &str| provider_hosts.contains(&host.to_ascii_lowercase());
    warn_about_unused_entries(resources, settings, hosts, &is_provider, diagnostics);
    if !resources.destination_rules.is_empty() {
        let told = Told::new(resources, settings, hosts, &is_provider);
        warn_about_unused_rules(resources, &told, diagnostics);
        for provider in providers().filter(|provider| has_key(provider)) {
            warn_about_plain_text(provider, snapshot, hosts, diagnostics);
        }
    }
}

/// An entry of a host that another one locates, and one of a provider's host that a stranger wrote.
fn warn_about_unused_entries(
    resources: &Resources,
    settings: &Settings,
    hosts: &Hosts<'_>,
    is_provider: &dyn Fn(&str) -> bool,
    diagnostics: &mut Diagnostics,
) {
    for entry in &resources.service_entries {
        for host in &entry.hosts {
            let (reason, help) = if is_provider(host) && !settings.in_scope(&entry.meta.namespace) {
                (
                    String::from("where a provider is only its own namespace and the gateway's say"),
                    "move it there, if the provider's key is meant to go where it says",
                )
            } else {
                let used = hosts.entry(host).filter(|used| used.meta.at != entry.meta.at);
                let Some(used) = used.filter(|used| used.hosts.iter().any(|other| other.eq_ignore_ascii_case(host)))
                else {
                    continue;
                };
                (
                    format!("`{}/{}` does that", used.meta.namespace, *used.meta.name),
                    "write the endpoints of a host into one ServiceEntry",
                )
            };
            diagnostics
                .warning(
                    "unused-service-entry",
                    host.at,
                    format!(
                        "ServiceEntry `{}/{}` does not locate `{}`: {reason}",
                        entry.meta.namespace,
                        *entry.meta.name,
                        host.as_str()
                    ),
                )
                .field("spec.hosts")
                .help(help);
        }
    }
}

/// Hosts that are there, and the wildcards that have one of them, each also as `namespace/host` for the namespaces
/// whose DestinationRules are read.
#[derive(Default)]
struct Told {
    hosts: TextSet,
    /// Wildcards that are hosts of ServiceEntries.
    wide: TextSet,
}

impl Told {
    fn new(resources: &Resources, settings: &Settings, hosts: &Hosts<'_>, is_provider: &dyn Fn(&str) -> bool) -> Self {
        let mut told = Self::default();
        let root = &*settings.root_namespace;
        for host in resources.service_entries.iter().flat_map(|entry| &entry.hosts) {
            let entry = hosts.entry(host).filter(|_| !is_provider(host));
            told.add(
                host,
                &hosts.namespaces(entry.map_or(root, |entry| &entry.meta.namespace)),
            );
        }
        let authorizers = resources.mesh_configs.iter().flat_map(|mesh| &mesh.authorizers);
        let authorizers = authorizers.map(|authorizer| &**authorizer.service);
        let providers = resources.llm_providers.iter().map(|provider| provider.host.as_str());
        for host in authorizers.chain(providers) {
            told.add(host, &hosts.namespaces(root));
        }
        told
    }

    fn add(&mut self, host: &str, namespaces: &[&str]) {
        let host = host.to_ascii_lowercase();
        if host.starts_with('*') {
            insert(&mut self.wide, &host, namespaces);
        }
        insert(&mut self.hosts, &host, namespaces);
        for namespace in namespaces {
            insert(&mut self.hosts, &full_name(&host, namespace), &[namespace]);
        }
        for wildcard in wildcards(&host) {
            insert(&mut self.hosts, &wildcard, namespaces);
        }
    }

    /// Whether a rule of `host` speaks of any host: of `namespace`'s, or of whoever's.
    fn has(&self, host: &str, namespace: Option<&str>) -> bool {
        let key = |host: &str| match namespace {
            Some(namespace) => format!("{namespace}/{host}"),
            None => host.into(),
        };
        self.hosts.contains(&key(host)) || wildcards(host).any(|wildcard| self.wide.contains(&key(&wildcard)))
    }
}

fn insert(set: &mut TextSet, host: &str, namespaces: &[&str]) {
    set.insert(host);
    for namespace in namespaces {
        set.insert(&format!("{namespace}/{host}"));
    }
}

/// Those that have `host`, itself no longer.
fn wildcards(host: &str) -> impl Iterator<Item = String> {
    let bare = host.strip_prefix("*.").unwrap_or(host);
    let suffixes = bare.match_indices('.').filter_map(move |(at, _)| bare.get(at..));
    suffixes.map(|suffix| format!("*{suffix}")).chain([String::from("*")])
}

fn warn_about_unused_rules(resources: &Resources, told: &Told, diagnostics: &mut Diagnostics) {
    for rule in &resources.destination_rules {
        let namespace = &*rule.meta.namespace;
        let host = full_name(&rule.host, namespace).to_ascii_lowercase();
        if told.has(&host, Some(namespace)) {
            continue;
        }
        let (reason, help) = match told.has(&host, None) {
            true => (
                format!("namespace `{namespace}` is neither the gateway's nor the root nor that of the host"),
                "a rule is read in the gateway's namespace, in its host's ServiceEntry's, and in the root namespace",
            ),
            false => (
                format!("there is no host `{host}`"),
                "take a host of a ServiceEntry or an LLMProvider; without a dot it is a service of the rule's namespace",
            ),
        };
        diagnostics
            .warning(
                "unused-destination-rule",
                rule.host.at,
                format!(
                    "DestinationRule `{namespace}/{}` does nothing here: {reason}",
                    *rule.meta.name
                ),
            )
            .field("spec.host")
            .help(help);
    }
}

fn has_key(provider: &LlmProvider) -> bool {
    let configs = provider.route_specific_configs.iter().map(|(_, config)| config);
    let mut configs = provider.default_config.iter().chain(configs);
    configs.any(|config| config.api_key.is_some())
}

/// A key that goes to another machine in plain text.
fn warn_about_plain_text(
    provider: &LlmProvider,
    snapshot: &Snapshot,
    hosts: &Hosts<'_>,
    diagnostics: &mut Diagnostics,
) {
    let host = provider.host.to_ascii_lowercase();
    let tables = snapshot.tables();
    let mut rows = tables.providers.iter().filter(|row| *tables.text(row.host) == *host);
    let upstream = rows
        .next()
        .and_then(|row| snapshot.upstreams().get(row.upstream.0 as usize));
    let is_open = |upstream: &&Upstream| upstream.tls.is_none() && !stays_here(upstream);
    let (Some(upstream), Some(rule)) = (upstream.filter(is_open), hosts.rule_of_provider(&host)) else {
        return;
    };
    diagnostics
        .warning(
            "key-in-plain-text",
            rule.host.at,
            format!(
                "the key of LLMProvider `{}/{}` is sent to `{}` in plain text",
                provider.meta.namespace, *provider.meta.name, upstream.host
            ),
        )
        .help("let the DestinationRule have `tls` of mode `SIMPLE`");
}

/// Whether an upstream is reached without a network.
fn stays_here(upstream: &Upstream) -> bool {
    upstream.endpoints.iter().all(|endpoint| {
        let address = endpoint.address.parse::<core::net::IpAddr>();
        address.map_or(*endpoint.address == *"localhost", |address| address.is_loopback())
    })
}
