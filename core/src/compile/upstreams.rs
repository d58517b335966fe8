//! Where each provider, destination and external authorizer is reached: a
//! provider at `https://<host>:443`, an authorizer at its own port in plain text,
//! unless a ServiceEntry moves it; a destination where its ServiceEntry says. A
//! DestinationRule changes how any of them is spoken to.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::providers::Providers;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    ClientTls, ClientTlsMode, DestinationRule, ExtAuthzProvider, Resolution, Resources, ServiceEntry, ServicePort,
    Spanned, Subset, WorkloadEntry,
};
use crate::snapshot::{Endpoint, Upstream, UpstreamTls};
use crate::text_map::TextMap;

/// Istio's default for `connectTimeout`.
const CONNECT_TIMEOUT_MS: u32 = 10_000;

/// The port of a provider that no ServiceEntry moves.
const HTTPS_PORT: u16 = 443;

/// One upstream per provider, in the providers' order.
pub(super) fn compile(
    resources: &Resources,
    providers: &Providers<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Upstream> {
    for entry in &resources.service_entries {
        check_static_addresses(entry, diagnostics);
    }
    refuse_two_rules_of_one_host(&resources.destination_rules, diagnostics);
    let providers = providers.iter().map(|provider| provider.host.as_str());
    providers
        .map(|host| {
            let endpoints = entry_of(resources, host).map_or_else(
                || vec![endpoint(host, HTTPS_PORT, 1)],
                |entry| endpoints(entry, host, port_or_first(entry, HTTPS_PORT), HTTPS_PORT, None),
            );
            upstream(resources, host, endpoints, true, None)
        })
        .collect()
}

/// Where an external authorizer is reached: in plain text at its host and port, unless a ServiceEntry moves it or a
/// DestinationRule asks for TLS.
pub(super) fn of_authorizer(
    resources: &Resources,
    provider: &ExtAuthzProvider,
    diagnostics: &mut Diagnostics,
) -> Upstream {
    let (host, number) = (&**provider.service, *provider.port);
    let entry = entry_of(resources, host);
    let port = entry.and_then(|entry| entry.ports.iter().find(|port| *port.number == number));
    if let (Some(entry), None) = (entry, port) {
        let listed: Vec<String> = entry.ports.iter().map(|port| format!("{}", *port.number)).collect();
        diagnostics
            .error(
                "unknown-port",
                provider.port.at,
                format!("ServiceEntry `{}` of `{host}` has no port {number}", *entry.meta.name),
            )
            .field(format!("{}.port", provider.field))
            .help(format!("its ports are {}", listed.join(", ")));
    }
    let endpoints = entry.map_or_else(
        || vec![endpoint(host, number, 1)],
        |entry| endpoints(entry, host, port, number, None),
    );
    upstream(resources, host, endpoints, false, None)
}

/// Where a destination is reached: in plain text at the addresses of a port of its ServiceEntry, unless a
/// DestinationRule asks for TLS; of a subset at those that have its labels.
pub(super) fn of_destination(
    resources: &Resources,
    host: &str,
    entry: &ServiceEntry,
    port: &ServicePort,
    subset: Option<&Subset>,
) -> Upstream {
    let endpoints = endpoints(entry, host, Some(port), *port.number, subset);
    upstream(resources, host, endpoints, false, subset)
}

/// Whether a subset has any endpoint. A host without a list of them is one without labels.
pub(super) fn has_endpoints(entry: &ServiceEntry, subset: &Subset) -> bool {
    match is_at_its_name(entry) {
        true => subset.labels.is_empty(),
        false => entry.endpoints.iter().any(|workload| takes(workload, Some(subset))),
    }
}

fn is_at_its_name(entry: &ServiceEntry) -> bool {
    entry.endpoints.is_empty() || entry.resolution == Resolution::None
}

/// Whether an endpoint gets traffic of the subset.
fn takes(workload: &WorkloadEntry, subset: Option<&Subset>) -> bool {
    let wanted = subset.map_or(&[][..], |subset| &subset.labels);
    workload.weight != Some(0) && wanted.iter().all(|label| workload.labels.contains(label))
}

/// The DestinationRule of `host`.
pub(super) fn rule_of<'c>(resources: &'c Resources, host: &str) -> Option<&'c DestinationRule> {
    most_specific(&resources.destination_rules, host, |rule| {
        core::slice::from_ref(&rule.host)
    })
}

/// The ServiceEntry that locates `host`.
pub(super) fn entry_of<'c>(resources: &'c Resources, host: &str) -> Option<&'c ServiceEntry> {
    most_specific(&resources.service_entries, host, |entry| &entry.hosts)
}

fn upstream(
    resources: &Resources,
    host: &str,
    endpoints: Vec<Endpoint>,
    is_tls: bool,
    subset: Option<&Subset>,
) -> Upstream {
    let of_host = rule_of(resources, host).map(|rule| &rule.policy);
    let of_subset = subset.map(|subset| &subset.policy);
    // As istiod merges them: field by field, and each as a whole.
    let policies = || of_subset.into_iter().chain(of_host);
    let pool = policies().find_map(|policy| policy.connection_pool.as_ref());
    Upstream {
        host: host.into(),
        subset: subset.map(|subset| subset.name.as_str().into()),
        endpoints,
        tls: match policies().find_map(|policy| policy.tls.as_ref()) {
            Some(settings) => tls(settings, host),
            None => is_tls.then(|| UpstreamTls {
                sni: host.into(),
                subject_alt_names: Vec::new(),
                ca_certificates: None,
            }),
        },
        connect_timeout_ms: pool
            .and_then(|pool| pool.connect_timeout_ms)
            .unwrap_or(CONNECT_TIMEOUT_MS),
    }
}

/// The resource with the host that fits best: the name itself, otherwise the longest wildcard.
fn most_specific<'c, T>(all: &'c [T], host: &str, hosts: impl Fn(&T) -> &[Spanned<String>]) -> Option<&'c T> {
    let fit = |resource: &T| {
        hosts(resource)
            .iter()
            .filter_map(|pattern| match pattern.strip_prefix('*') {
                Some(suffix) => (host.len() > suffix.len() && host.ends_with(suffix)).then_some(suffix.len()),
                None => pattern.eq_ignore_ascii_case(host).then_some(usize::MAX),
            })
            .max()
    };
    let mut best: Option<(usize, &T)> = None;
    for resource in all {
        if let Some(fit) = fit(resource)
            && best.is_none_or(|(best, _)| fit > best)
        {
            best = Some((fit, resource));
        }
    }
    best.map(|(_, resource)| resource)
}

/// The port of that number or, without one, the first.
fn port_or_first(entry: &ServiceEntry, number: u16) -> Option<&ServicePort> {
    let mut ports = entry.ports.iter();
    ports.find(|port| *port.number == number).or(entry.ports.first())
}

/// The addresses of a ServiceEntry for one of its ports, or of a subset of them; without any, `number` is the port.
fn endpoints(
    entry: &ServiceEntry,
    host: &str,
    port: Option<&ServicePort>,
    number: u16,
    subset: Option<&Subset>,
) -> Vec<Endpoint> {
    let number = port.map_or(number, |port| port.target_port.unwrap_or(*port.number));
    if is_at_its_name(entry) {
        return vec![endpoint(host, number, 1)];
    }
    entry
        .endpoints
        .iter()
        .filter(|workload| takes(workload, subset))
        .map(|workload| {
            endpoint(
                &workload.address,
                workload_port(workload, port).unwrap_or(number),
                workload.weight.unwrap_or(1),
            )
        })
        .collect()
}

fn workload_port(workload: &WorkloadEntry, port: Option<&ServicePort>) -> Option<u16> {
    let name = &port?.name;
    workload
        .ports
        .iter()
        .find(|(own, _)| **own == *name)
        .map(|(_, number)| *number)
}

fn endpoint(address: &str, port: u16, weight: u32) -> Endpoint {
    Endpoint {
        address: address.into(),
        port,
        weight,
    }
}

fn tls(settings: &ClientTls, host: &str) -> Option<UpstreamTls> {
    match *settings.mode {
        ClientTlsMode::Disable => None,
        ClientTlsMode::Simple => Some(UpstreamTls {
            sni: settings.sni.as_ref().map_or(host, |sni| sni.as_str()).into(),
            subject_alt_names: settings
                .subject_alt_names
                .iter()
                .map(|name| name.value.clone())
                .collect::<Vec<Box<str>>>(),
            ca_certificates: settings.ca_certificates.as_ref().map(|path| path.value.clone()),
        }),
    }
}

fn check_static_addresses(entry: &ServiceEntry, diagnostics: &mut Diagnostics) {
    if entry.resolution != Resolution::Static {
        return;
    }
    if entry.endpoints.iter().all(|workload| workload.weight == Some(0)) {
        diagnostics
            .error(
                "missing-endpoints",
                entry.meta.name.at,
                format!(
                    "ServiceEntry `{}` has resolution STATIC and no endpoints",
                    *entry.meta.name
                ),
            )
            .field("spec.endpoints")
            .help("list at least one IP address, or use resolution `DNS`");
    }
    for workload in &entry.endpoints {
        if workload.address.parse::<core::net::IpAddr>().is_err() {
            diagnostics
                .error(
                    "invalid-address",
                    workload.address.at,
                    format!(
                        "`{}` is not an IP address, which resolution STATIC needs",
                        *workload.address
                    ),
                )
                .field("spec.endpoints")
                .help("write an IP address, or use resolution `DNS` for a name");
        }
    }
}

fn refuse_two_rules_of_one_host(rules: &[DestinationRule], diagnostics: &mut Diagnostics) {
    let mut seen = TextMap::default();
    for rule in rules {
        let host = rule.host.to_ascii_lowercase();
        if let Some(first) = seen.insert(&host, &rule.meta) {
            diagnostics
                .error(
                    "duplicate-destination-rule",
                    rule.host.at,
                    format!(
                        "host `{}` is already that of DestinationRule `{}/{}`",
                        *rule.host, first.namespace, *first.name
                    ),
                )
                .field("spec.host")
                .help("write one DestinationRule for each host");
        }
    }
}
