//! MeshConfig.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Retries, Spanned};
use crate::check::{CheckBody, NamePattern};
use crate::client_cert::Forwarding;
use crate::config::diagnostic::Location;
use crate::config::secret::Secret;
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
    /// `defaultConfig.gatewayTopology.forwardClientCertDetails`
    pub client_cert: Forwarding,
    /// `trustDomain` and `trustDomainAliases`: a policy's principal of one of them is one of each of them.
    pub trust_domains: Vec<Box<str>>,
    /// `extensionProviders` that are external authorizers.
    pub authorizers: Vec<ExtAuthzProvider>,
    /// `defaultHttpRetryPolicy`
    pub default_retries: Option<Retries>,
    /// `rootNamespace`
    pub root_namespace: Option<Spanned<Box<str>>>,
}

/// One of `extensionProviders`: an external authorizer.
#[derive(Debug, Clone)]
pub struct ExtAuthzProvider {
    /// The entry, as a field: `extensionProviders[0].envoyExtAuthzHttp`.
    pub field: Box<str>,
    /// `name`
    pub name: Spanned<Box<str>>,
    /// The host of `service`, lower-cased.
    pub service: Spanned<Box<str>>,
    /// `port`
    pub port: Spanned<u16>,
    /// `timeout`
    pub timeout_ms: u32,
    /// `failOpen`, where it is true.
    pub fail_open: Option<Location>,
    /// `statusOnError`
    pub status_on_error: u16,
    /// `clearRouteCache`
    pub clears_route_cache: bool,
    /// `includeRequestBodyInCheck`
    pub body: Option<CheckBody>,
    /// What it speaks.
    pub protocol: ExtAuthzProtocol,
}

/// `envoyExtAuthzHttp` or `envoyExtAuthzGrpc`.
#[derive(Debug, Clone)]
pub enum ExtAuthzProtocol {
    /// `envoyExtAuthzHttp`
    Http(ExtAuthzHttp),
    /// `envoyExtAuthzGrpc`
    Grpc,
}

/// What only `envoyExtAuthzHttp` has.
#[derive(Debug, Clone)]
pub struct ExtAuthzHttp {
    /// `pathPrefix`
    pub path_prefix: Box<str>,
    /// `includeRequestHeadersInCheck`
    pub sends: Vec<NamePattern>,
    /// `includeAdditionalHeadersInCheck`, by lower-cased name.
    pub adds: Vec<(Box<str>, Secret)>,
    /// `headersToUpstreamOnAllow`
    pub to_upstream: Vec<NamePattern>,
    /// `headersToDownstreamOnDeny`
    pub to_client_on_deny: Vec<NamePattern>,
    /// `headersToDownstreamOnAllow`
    pub to_client_on_allow: Vec<NamePattern>,
}
