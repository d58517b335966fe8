//! ServiceEntries and DestinationRules that load, and say nothing here or more than was meant.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::compile::Settings;
use crate::compile::destinations::full_name;
use crate::compile::hosts::Hosts;
use crate::compile::listeners::intersect;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{LlmProvider, Resources};
use crate::snapshot::{Snapshot, Upstream};

pub(super) fn check(
    snapshot: &Snapshot,
    resources: &Resources,
    settings: &Settings,
    hosts: &Hosts<'_>,
    diagnostics: &mut Diagnostics,
) {
    let root = &*settings.root_namespace;
    let visible = |provider: &&LlmProvider| settings.in_scope(&provider.meta.namespace);
    let providers: Vec<&LlmProvider> = resources.llm_providers.iter().filter(visible).collect();
    let authorizers = resources.mesh_configs.iter().flat_map(|mesh| &mesh.authorizers);
    // Hosts that are there, and the namespaces of what locates them.
    let mut located: Vec<(String, &str)> = authorizers
        .map(|authorizer| &**authorizer.service)
        .chain(providers.iter().map(|provider| provider.host.as_str()))
        .map(|host| (host.to_ascii_lowercase(), root))
        .collect();
    for entry in &resources.service_entries {
        let namespace = &*entry.meta.namespace;
        for host in &entry.hosts {
            let same = |other: &str| other.eq_ignore_ascii_case(host);
            let is_provider = providers.iter().any(|provider| same(&provider.host));
            let used = hosts
                .entry(host)
                .filter(|used| used.hosts.iter().any(|other| same(other)));
            if !is_provider {
                let namespace = used.map_or(namespace, |used| &used.meta.namespace);
                located.push((host.to_ascii_lowercase(), namespace));
            }
            let reason = match used {
                _ if is_provider && !settings.in_scope(namespace) => {
                    String::from("where a provider is only the gateway's and the root namespace say")
                }
                Some(used) if used.meta.at != entry.meta.at => {
                    format!("`{}/{}` does", used.meta.namespace, *used.meta.name)
                }
                _ => continue,
            };
            let message = format!(
                "ServiceEntry `{namespace}/{}` does not locate `{}`: {reason}",
                *entry.meta.name,
                host.as_str()
            );
            diagnostics
                .warning("unused-service-entry", host.at, message)
                .field("spec.hosts");
        }
    }
    warn_about_unused_rules(resources, hosts, &located, diagnostics);
    for provider in providers {
        warn_about_plain_text(provider, snapshot, hosts, diagnostics);
    }
}

fn warn_about_unused_rules(
    resources: &Resources,
    hosts: &Hosts<'_>,
    located: &[(String, &str)],
    diagnostics: &mut Diagnostics,
) {
    for rule in &resources.destination_rules {
        let namespace = &*rule.meta.namespace;
        let name = full_name(&rule.host, namespace).to_ascii_lowercase();
        let meets = |host: &str| intersect(&full_name(host, namespace), &name).is_some();
        let mut met = located.iter().filter(|(host, _)| meets(host));
        let reason = match met.next() {
            None => format!("nothing here has the host `{name}`"),
            Some(first) => {
                let is_read = |(_, of): &(String, &str)| hosts.namespaces(of).contains(&namespace);
                if is_read(first) || met.any(is_read) {
                    continue;
                }
                format!("`{namespace}` is the namespace neither of the gateway nor of that host")
            }
        };
        let message = format!(
            "DestinationRule `{namespace}/{}` does nothing here: {reason}",
            *rule.meta.name
        );
        diagnostics
            .warning("unused-destination-rule", rule.host.at, message)
            .field("spec.host");
    }
}

/// A key that goes to another machine in plain text.
fn warn_about_plain_text(
    provider: &LlmProvider,
    snapshot: &Snapshot,
    hosts: &Hosts<'_>,
    diagnostics: &mut Diagnostics,
) {
    let configs = provider.route_specific_configs.iter().map(|(_, config)| config);
    let mut configs = provider.default_config.iter().chain(configs);
    if !configs.any(|config| config.api_key.is_some()) {
        return;
    }
    let host = provider.host.to_ascii_lowercase();
    // Those of providers come first.
    let upstream = snapshot.upstreams().iter().find(|upstream| *upstream.host == *host);
    let is_open = |upstream: &&Upstream| upstream.tls.is_none() && !stays_here(upstream);
    if let (Some(_), Some(rule)) = (upstream.filter(is_open), hosts.rule_of_provider(&host)) {
        let message = format!(
            "the key of LLMProvider `{}` goes there in plain text",
            *provider.meta.name
        );
        diagnostics
            .warning("key-in-plain-text", rule.host.at, message)
            .help("use `tls` of mode `SIMPLE`");
    }
}

/// Whether an upstream is reached without a network.
fn stays_here(upstream: &Upstream) -> bool {
    upstream.endpoints.iter().all(|endpoint| {
        let address = endpoint.address.parse::<core::net::IpAddr>();
        address.map_or(*endpoint.address == *"localhost", |address| address.is_loopback())
    })
}
