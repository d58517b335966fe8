//! Where each provider, destination and external authorizer is reached: a
//! provider at `https://<host>:443`, an authorizer at its own port in plain text,
//! unless a ServiceEntry moves it; a destination where its ServiceEntry says. A
//! DestinationRule changes how any of them is spoken to.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::destinations::full_name;
use super::hosts::Hosts;
use super::providers::Providers;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    ClientTls, ConnectionPool, DestinationRule, ExtAuthzProtocol, ExtAuthzProvider, PortPolicy, Resolution, Resources,
    ServiceEntry, ServicePort, Subset, TrafficPolicy, WorkloadEntry,
};
use crate::snapshot::{Endpoint, Shown, Trust, Upstream, UpstreamProtocol, UpstreamTls};
use crate::text_map::TextMap;

/// Istio's default for `connectTimeout`.
const CONNECT_TIMEOUT_MS: u32 = 10_000;

/// The port of a provider that no ServiceEntry moves.
const HTTPS_PORT: u16 = 443;

/// One upstream per provider, in the providers' order.
pub(super) fn compile(
    resources: &Resources,
    hosts: &Hosts<'_>,
    providers: &Providers<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Upstream> {
    for entry in &resources.service_entries {
        check_endpoints(entry, diagnostics);
    }
    refuse_two_rules_of_one_host(&resources.destination_rules, diagnostics);
    let providers = providers.iter().map(|provider| provider.host.as_str());
    providers
        .map(|host| {
            let entry = hosts.entry_of_provider(host);
            let port = entry.and_then(|entry| port_or_first(entry, HTTPS_PORT));
            let endpoints = entry.map_or_else(
                || vec![endpoint(host, HTTPS_PORT, 1)],
                |entry| endpoints(entry, host, port, HTTPS_PORT, None),
            );
            let way = Way {
                number: port.map_or(HTTPS_PORT, |port| *port.number),
                is_http2: port.is_some_and(|port| port.is_http2),
                is_tls: true,
                subset: None,
            };
            upstream(hosts, host, hosts.rule_of_provider(host), endpoints, &way)
        })
        .collect()
}

/// Where an external authorizer is reached: in plain text at its host and port, unless a ServiceEntry moves it or a
/// DestinationRule asks for TLS.
pub(super) fn of_authorizer(hosts: &Hosts<'_>, provider: &ExtAuthzProvider, diagnostics: &mut Diagnostics) -> Upstream {
    let (host, number) = (&**provider.service, *provider.port);
    let entry = hosts.entry(host);
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
    let is_grpc = matches!(provider.protocol, ExtAuthzProtocol::Grpc);
    let way = Way {
        number,
        is_http2: is_grpc || port.is_some_and(|port| port.is_http2),
        is_tls: false,
        subset: None,
    };
    // Without a ServiceEntry it is MeshConfig's, which is the root namespace's.
    let rule = match entry {
        Some(entry) => hosts.rule(host, &entry.meta.namespace),
        None => hosts.rule_of_provider(host),
    };
    let upstream = upstream(hosts, host, rule, endpoints, &way);
    match is_grpc {
        // gRPC is spoken in nothing else.
        true => Upstream {
            protocol: UpstreamProtocol::Http2,
            ..upstream
        },
        false => upstream,
    }
}

/// Where a destination is reached: in plain text at the addresses of a port of its ServiceEntry, unless a
/// DestinationRule asks for TLS; of a subset at those that have its labels.
pub(super) fn of_destination(
    hosts: &Hosts<'_>,
    host: &str,
    entry: &ServiceEntry,
    port: &ServicePort,
    subset: Option<&Subset>,
) -> Upstream {
    let endpoints = endpoints(entry, host, Some(port), *port.number, subset);
    let way = Way {
        number: *port.number,
        is_http2: port.is_http2,
        is_tls: false,
        subset,
    };
    let rule = hosts.rule(host, &entry.meta.namespace);
    upstream(hosts, host, rule, endpoints, &way)
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

/// How an upstream is spoken to where no DestinationRule says so, and what decides which part of one is its own.
struct Way<'r> {
    /// The port, as the host has it.
    number: u16,
    is_http2: bool,
    is_tls: bool,
    subset: Option<&'r Subset>,
}

fn upstream(
    hosts: &Hosts<'_>,
    host: &str,
    rule: Option<&DestinationRule>,
    endpoints: Vec<Endpoint>,
    way: &Way<'_>,
) -> Upstream {
    let of_host = rule.map(|rule| &rule.policy);
    let (settings, pool) = merged(of_host, way.subset.map(|subset| &subset.policy), way.number);
    Upstream {
        host: host.into(),
        subset: way.subset.map(|subset| subset.name.as_str().into()),
        endpoints,
        tls: match settings {
            Some(ClientTls::Disable) => None,
            Some(ClientTls::Speak(settings)) => Some(hosts.tls.of(settings, host)),
            None => way.is_tls.then(|| UpstreamTls {
                sni: host.into(),
                subject_alt_names: Vec::new(),
                trust: Trust::System { crl: None },
                credential: Shown::Nothing,
            }),
        },
        // As istiod: what the client speaks before what the rule and the port say.
        protocol: match pool {
            Some(pool) if pool.uses_client_protocol => UpstreamProtocol::AsClient,
            Some(pool) if pool.upgrades_to_h2 => UpstreamProtocol::Http2,
            _ if way.is_http2 => UpstreamProtocol::Http2,
            _ => UpstreamProtocol::Http1,
        },
        streams_max: pool.and_then(|pool| pool.streams_max),
        connect_timeout_ms: pool
            .and_then(|pool| pool.connect_timeout_ms)
            .unwrap_or(CONNECT_TIMEOUT_MS),
    }
}

/// What is said of a port, merged as istiod does: a subset's fields before those of the host, each as a whole; what is
/// said of the port itself in place of all of them.
fn merged<'r>(
    of_host: Option<&'r TrafficPolicy>,
    of_subset: Option<&'r TrafficPolicy>,
    number: u16,
) -> (Option<&'r ClientTls>, Option<&'r ConnectionPool>) {
    let of_port = |policy: &'r TrafficPolicy| {
        let mut ports = policy.ports.iter();
        ports.find(|(port, _)| *port == number).map(|(_, policy)| policy)
    };
    let of_host = of_host.map(|policy| of_port(policy).unwrap_or(&policy.usual));
    let policies: [Option<&PortPolicy>; 2] = match of_subset.map(|policy| (of_port(policy), &policy.usual)) {
        Some((Some(port), _)) => [Some(port), None],
        Some((None, usual)) => [Some(usual), of_host],
        None => [of_host, None],
    };
    let policies = || policies.into_iter().flatten();
    (
        policies().find_map(|policy| policy.tls.as_ref()),
        policies().find_map(|policy| policy.connection_pool.as_ref()),
    )
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

fn check_endpoints(entry: &ServiceEntry, diagnostics: &mut Diagnostics) {
    let is_static = entry.resolution == Resolution::Static;
    let gets_nothing = |workload: &&WorkloadEntry| workload.weight == Some(0);
    if (is_static || !is_at_its_name(entry)) && entry.endpoints.iter().all(|workload| gets_nothing(&workload)) {
        let (what, help) = match is_static {
            true => (
                "resolution STATIC and no endpoints",
                "list at least one IP address, or use resolution `DNS`",
            ),
            false => ("only endpoints of weight 0", "give one a share"),
        };
        diagnostics
            .error(
                "missing-endpoints",
                entry.meta.name.at,
                format!("ServiceEntry `{}` has {what}", *entry.meta.name),
            )
            .field("spec.endpoints")
            .help(help);
    } else if let Some(workload) = entry.endpoints.iter().find(gets_nothing) {
        diagnostics
            .warning(
                "dead-weight",
                workload.at,
                "an endpoint of weight 0 gets nothing, while in Istio it counts as 1",
            )
            .field("spec.endpoints")
            .help("remove it, or give it a share");
    }
    if !is_static {
        return;
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
        let namespace = &*rule.meta.namespace;
        let host = full_name(&rule.host, namespace).to_ascii_lowercase();
        // Those of another namespace are not in the way of these.
        if let Some(first) = seen.insert(&format!("{namespace}/{host}"), &rule.meta) {
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
