//! MeshConfig.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::Spanned;
use crate::config::diagnostic::Location;
use crate::path::{Normalization, PathParameters};

/// The trust domain that Istio writes for a mesh's own, whatever it is called.
pub const LOCAL_TRUST_DOMAIN: &str = "cluster.local";

/// What of Istio's MeshConfig shapes an ingress gateway.
#[derive(Debug, Clone)]
pub struct MeshConfig {
    /// Where it stands.
    pub at: Location,
    /// `pathNormalization.normalization`
    pub normalization: Normalization,
    /// `pathNormalization.pathParameters`, Lockgate's own.
    pub path_parameters: PathParameters,
    /// `pathNormalization.escapedSlashes` is `REFUSE`, Lockgate's own.
    pub refuse_escaped_slashes: bool,
    /// `defaultConfig.gatewayTopology.numTrustedProxies`
    pub trusted_proxies: u32,
    /// `defaultConfig.gatewayTopology.proxyProtocol` is there.
    pub proxy_protocol: bool,
    /// `trustDomain` and `trustDomainAliases`: a policy's principal of one of them is one of each of them.
    pub trust_domains: Vec<Box<str>>,
    /// `rootNamespace`
    pub root_namespace: Option<Spanned<Box<str>>>,
}
