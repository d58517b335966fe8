//! ServiceEntry.

use alloc::format;
use alloc::vec::Vec;

use super::{each, host, integer, labels, text, unique};
use crate::config::diagnostic::Diagnostics;
use crate::config::quote::quoted;
use crate::config::resource::{Meta, Resolution, ServiceEntry, ServicePort, Spanned, WorkloadEntry};
use crate::config::suggest::did_you_mean;
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<ServiceEntry> {
    let ports = spec.get("ports").map(Node::items).unwrap_or_default();
    let mut names = ports.iter().map(|port| port.get("name"));
    let field = |index| format!("spec.ports[{index}].name");
    unique(&mut names, "ports of this ServiceEntry", &field, diagnostics);
    let entry = ServiceEntry {
        meta,
        hosts: each(Some(spec), "hosts", host),
        ports: each(Some(spec), "ports", port),
        resolution: resolution(spec),
        endpoints: each(Some(spec), "endpoints", endpoint),
    };
    duplicate_numbers(&entry, diagnostics);
    if !is_unsupported_resolution(spec) {
        endpoints_fit_resolution(&entry, spec, diagnostics);
    }
    endpoint_ports_exist(&entry, ports, diagnostics);
    Some(entry)
}

fn resolution(spec: &Node) -> Resolution {
    match spec.get("resolution").and_then(Node::text) {
        Some("STATIC") => Resolution::Static,
        Some("DNS" | "DNS_ROUND_ROBIN") => Resolution::Dns,
        _ => Resolution::None,
    }
}

/// Whether the word is one that the check has refused, so that nothing follows from it.
fn is_unsupported_resolution(spec: &Node) -> bool {
    let word = spec.get("resolution").and_then(Node::text);
    !matches!(word, None | Some("NONE" | "STATIC" | "DNS" | "DNS_ROUND_ROBIN"))
}

fn port(node: &Node) -> Option<ServicePort> {
    Some(ServicePort {
        number: integer(node.get("number")?)?,
        name: node.get("name")?.text()?.into(),
        is_http2: node.get("protocol").and_then(Node::text).is_some_and(is_http2),
        target_port: node.get("targetPort").and_then(integer).map(|port| port.value),
    })
}

/// As Istio's `Protocol.IsHTTP2`.
fn is_http2(protocol: &str) -> bool {
    let names = ["HTTP2", "GRPC", "GRPC-WEB"];
    names.iter().any(|name| protocol.eq_ignore_ascii_case(name))
}

fn endpoint(node: &Node) -> Option<WorkloadEntry> {
    let ports = node.get("ports").map(Node::entries).unwrap_or_default();
    Some(WorkloadEntry {
        at: node.at,
        address: text(node.get("address")?)?,
        ports: ports
            .iter()
            .filter_map(|entry| {
                let name = Spanned {
                    value: entry.key.value.as_str().into(),
                    at: entry.key.at,
                };
                Some((name, integer(&entry.value)?.value))
            })
            .collect(),
        weight: node.get("weight").and_then(integer).map(|weight| weight.value),
        labels: node.get("labels").map(labels).unwrap_or_default(),
    })
}

fn duplicate_numbers(entry: &ServiceEntry, diagnostics: &mut Diagnostics) {
    let mut seen = Vec::new();
    for (index, port) in entry.ports.iter().enumerate() {
        if let Err(place) = seen.binary_search(&port.number.value) {
            seen.insert(place, port.number.value);
        } else {
            diagnostics
                .error(
                    "duplicate-name",
                    port.number.at,
                    format!("two ports of this ServiceEntry have the number {}", port.number.value),
                )
                .field(format!("spec.ports[{index}].number"));
        }
    }
}

fn endpoints_fit_resolution(entry: &ServiceEntry, spec: &Node, diagnostics: &mut Diagnostics) {
    let at = spec.get("resolution").map_or(entry.meta.name.at, |node| node.at);
    match entry.resolution {
        Resolution::None => {
            if !entry.endpoints.is_empty() {
                diagnostics
                    .error(
                        "endpoints-and-resolution",
                        at,
                        "endpoints are given, but resolution `NONE` does not use them",
                    )
                    .field("spec.resolution")
                    .help("use `STATIC` for IP addresses, `DNS` for names");
            }
        }
        // Whether the addresses suit it is the compiler's question, which resolves them.
        Resolution::Static => {}
        Resolution::Dns => {
            let wildcard = entry.hosts.iter().find(|host| host.starts_with('*'));
            if let (Some(host), true) = (wildcard, entry.endpoints.is_empty()) {
                diagnostics
                    .error(
                        "endpoints-and-resolution",
                        host.at,
                        "a wildcard host cannot be looked up by DNS",
                    )
                    .field("spec.hosts")
                    .help("name the host, or give endpoints");
            }
        }
    }
}

fn endpoint_ports_exist(entry: &ServiceEntry, ports: &[Node], diagnostics: &mut Diagnostics) {
    let mut names: Vec<&str> = ports.iter().filter_map(|port| port.get("name")?.text()).collect();
    names.sort_unstable();
    names.dedup();
    for (index, endpoint) in entry.endpoints.iter().enumerate() {
        for (name, _) in &endpoint.ports {
            if names.binary_search(&&*name.value).is_ok() {
                continue;
            }
            let finding = diagnostics
                .error(
                    "unknown-port",
                    name.at,
                    format!("{} is no port of this ServiceEntry", quoted(&name.value)),
                )
                .field(format!("spec.endpoints[{index}].ports"));
            if let Some(help) = did_you_mean(&name.value, names.iter().copied().take(SUGGESTED_FROM_MAX)) {
                finding.help(help);
            }
        }
    }
}

/// Ports to look among for the nearest name; a ServiceEntry has a handful.
const SUGGESTED_FROM_MAX: usize = 16;
