//! The resources Lockgate understands, typed, with the place of every value.
//!
//! These are what the loader hands to [`crate::compile`]: well-formed one by
//! one (types, formats, required fields), but not yet checked against each
//! other. Values that other resources refer to, or that the compiler can find
//! fault with, are [`Spanned`].

mod authorization_policy;
mod destination_rule;
mod gateway;
pub mod gateway_api;
pub mod http_route;
mod kubernetes_secret;
mod llm_provider;
mod llm_route;
mod mesh_config;
mod request_authentication;
mod route_settings;
mod scenario;
mod seldom;
mod service_entry;
mod virtual_service;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Deref;

pub use authorization_policy::*;
pub use destination_rule::*;
pub use gateway::*;
pub use kubernetes_secret::*;
pub use llm_provider::*;
pub use llm_route::*;
pub use mesh_config::*;
pub use request_authentication::*;
pub use route_settings::*;
pub use scenario::*;
pub use seldom::*;
pub use service_entry::*;
pub use virtual_service::*;

use super::diagnostic::Location;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Its place in the source.
    pub at: Location,
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Which resource a thing came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// `kind`, e.g. `LLMRoute`.
    pub kind: &'static str,
    /// `metadata.namespace`, `default` when absent.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Spanned<Box<str>>,
    /// `metadata.creationTimestamp` in seconds since 1970; resources that have one come first, oldest first.
    pub created: Option<i64>,
    /// The whole document.
    pub at: Location,
}

/// `key: value` labels.
pub type Labels = Vec<(Box<str>, Box<str>)>;

/// Istio's `StringMatch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole value.
    Exact(Box<str>),
    /// Its beginning.
    Prefix(Box<str>),
    /// RE2, the whole value.
    Regex(Box<str>),
    /// `{}`: there is a value.
    Present,
}

/// Everything that was loaded, by kind, in load order.
#[derive(Debug, Clone, Default)]
pub struct Resources {
    /// `networking.istio.io` Gateway.
    pub gateways: Vec<Gateway>,
    /// `security.istio.io` AuthorizationPolicy.
    pub authorization_policies: Vec<AuthorizationPolicy>,
    /// `security.istio.io` RequestAuthentication.
    pub request_authentications: Vec<RequestAuthentication>,
    /// `istio.alibabacloud.com` LLMProvider.
    pub llm_providers: Vec<LlmProvider>,
    /// `istio.alibabacloud.com` LLMRoute.
    pub llm_routes: Vec<LlmRoute>,
    /// `networking.istio.io` VirtualService.
    pub virtual_services: Vec<VirtualService>,
    /// `networking.istio.io` ServiceEntry.
    pub service_entries: Vec<ServiceEntry>,
    /// `networking.istio.io` DestinationRule.
    pub destination_rules: Vec<DestinationRule>,
    /// Kubernetes' Secret.
    pub secrets: Vec<KubernetesSecret>,
    /// `gateway.networking.k8s.io` Gateway.
    pub kube_gateways: Vec<gateway_api::Gateway>,
    /// `gateway.networking.k8s.io` GatewayClass.
    pub gateway_classes: Vec<gateway_api::GatewayClass>,
    /// `gateway.networking.k8s.io` HTTPRoute.
    pub http_routes: Vec<http_route::HttpRoute>,
    /// `gateway.networking.k8s.io` ReferenceGrant.
    pub reference_grants: Vec<gateway_api::ReferenceGrant>,
    /// `inference.networking.k8s.io` InferencePool.
    pub inference_pools: Vec<gateway_api::InferencePool>,
    /// Istio's MeshConfig, of whatever origin; at most one is allowed.
    pub mesh_configs: Vec<MeshConfig>,
    /// Lockgate's own Scenario.
    pub scenarios: Vec<Scenario>,
    /// Kinds of which a document was refused, so that a reference to one that is missing says nothing new.
    pub refused: Vec<&'static str>,
}

impl Resources {
    /// In [`Resources::refused`]: a document whose kind could not be read.
    pub const ANY_KIND: &'static str = "*";

    /// Whether every document of `kind` was understood.
    #[must_use]
    pub fn has_all(&self, kind: &str) -> bool {
        !self
            .refused
            .iter()
            .any(|refused| [kind, Self::ANY_KIND].contains(refused))
    }

    /// Notes that a document of `kind` was refused.
    #[cfg(feature = "yaml")]
    pub(crate) fn refuse(&mut self, kind: &'static str) {
        if !self.refused.contains(&kind) {
            self.refused.push(kind);
        }
    }
}
