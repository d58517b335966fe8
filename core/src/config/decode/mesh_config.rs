//! MeshConfig.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{boxed, extension_provider, integer, route_settings};
use crate::client_cert::Forwarding;
use crate::config::diagnostic::Diagnostics;
use crate::config::field_path::FieldPath;
use crate::config::resource::{LOCAL_TRUST_DOMAIN, MeshConfig};
use crate::config::tree::Node;
use crate::path::{Normalization, PathParameters};

/// Reads a checked MeshConfig.
pub(in crate::config) fn decode(node: &Node, diagnostics: &mut Diagnostics) -> MeshConfig {
    let paths = node.get("pathNormalization");
    let of_paths = |name: &str| paths.and_then(|paths| paths.get(name)).and_then(Node::text);
    let topology = node.get("defaultConfig").and_then(|proxy| proxy.get("gatewayTopology"));
    let of_topology = |name: &str| topology.and_then(|topology| topology.get(name));
    let trusted_proxies = of_topology("numTrustedProxies").and_then(integer);
    let mesh = MeshConfig {
        at: node.at,
        normalization: match of_paths("normalization") {
            Some("NONE") => Normalization::None,
            Some("MERGE_SLASHES") => Normalization::MergeSlashes,
            Some("DECODE_AND_MERGE_SLASHES") => Normalization::DecodeAndMergeSlashes,
            _ => Normalization::Base,
        },
        path_parameters: match of_paths("pathParameters") {
            Some("STRIP") => PathParameters::Strip,
            Some("REFUSE") => PathParameters::Refuse,
            _ => PathParameters::Keep,
        },
        refuse_escaped_slashes: of_paths("escapedSlashes") == Some("REFUSE"),
        trusted_proxies: trusted_proxies.map_or(0, |count| count.value),
        proxy_protocol: of_topology("proxyProtocol").is_some(),
        client_cert: of_topology("forwardClientCertDetails")
            .and_then(Node::text)
            .map_or_else(Forwarding::default, forwarding),
        trust_domains: trust_domains(node),
        authorizers: extension_provider::decode(node, diagnostics),
        default_retries: node
            .get("defaultHttpRetryPolicy")
            .map(|node| route_settings::retries(node, &FieldPath::Root.field("defaultHttpRetryPolicy"), diagnostics)),
        root_namespace: node.get("rootNamespace").and_then(boxed),
    };
    if mesh.normalization == Normalization::None && mesh.path_parameters == PathParameters::Strip {
        let at = paths.map_or(node.at, |paths| paths.at);
        diagnostics
            .error(
                "conflicting-fields",
                at,
                "`pathParameters: STRIP` changes paths, and `normalization: NONE` does not",
            )
            .field("pathNormalization")
            .help("use another normalization, or `pathParameters: REFUSE`");
    }
    mesh
}

/// As at Istio's gateways, `UNDEFINED` is the default.
fn forwarding(name: &str) -> Forwarding {
    let mut named = Forwarding::NAMED.into_iter();
    named
        .find(|(known, _)| *known == name)
        .map_or_else(Forwarding::default, |(_, forwarding)| forwarding)
}

/// The mesh's own trust domain first.
fn trust_domains(node: &Node) -> Vec<Box<str>> {
    let own = node
        .get("trustDomain")
        .and_then(Node::text)
        .unwrap_or(LOCAL_TRUST_DOMAIN);
    let aliases = node.get("trustDomainAliases").map_or(&[][..], Node::items);
    let aliases = aliases.iter().filter_map(Node::text);
    [own].into_iter().chain(aliases).map(Box::from).collect()
}
