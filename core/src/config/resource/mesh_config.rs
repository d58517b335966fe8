//! MeshConfig.

use alloc::boxed::Box;

use super::Spanned;
use crate::config::diagnostic::Location;
use crate::path::{Normalization, PathParameters};

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
    /// `rootNamespace`
    pub root_namespace: Option<Spanned<Box<str>>>,
}
