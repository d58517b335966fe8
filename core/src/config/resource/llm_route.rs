//! `istio.alibabacloud.com` LLMRoute: which requests go to which provider.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned, StringMatch};
use crate::config::diagnostic::Location;

/// An LLMRoute.
#[derive(Debug, Clone)]
pub struct LlmRoute {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.host`: one host, `*` or `*.suffix`.
    pub host: Spanned<String>,
    /// `spec.gateways`: `namespace/name`, or `name` in the route's own namespace, or `mesh`.
    pub gateways: Vec<Spanned<String>>,
    /// `spec.rules`: the first that matches decides.
    pub rules: Vec<LlmRule>,
}

/// One entry of `spec.rules`.
#[derive(Debug, Clone)]
pub struct LlmRule {
    /// The entry.
    pub at: Location,
    /// `name`: the key into `routeSpecificConfigs`; unique within the route.
    pub name: Option<Spanned<String>>,
    /// `matches`, any of them; none means every request.
    pub matches: Vec<LlmMatch>,
    /// `backendRefs`, at least one.
    pub backend_refs: Vec<BackendRef>,
}

/// One entry of `matches`: all that is given must hold.
#[derive(Debug, Clone)]
pub struct LlmMatch {
    /// The entry.
    pub at: Location,
    /// `headers`: by field name, lower-cased by the loader.
    pub headers: Vec<(Spanned<String>, Spanned<StringMatch>)>,
    /// `gateways`: narrows the route's own list.
    pub gateways: Vec<Spanned<String>>,
    /// `sourceLabels`: compared with the gateway's own labels.
    pub source_labels: Option<Labels>,
}

/// One entry of `backendRefs`.
#[derive(Debug, Clone)]
pub struct BackendRef {
    /// The entry.
    pub at: Location,
    /// `providerHost`: the host of an LLMProvider.
    pub provider_host: Spanned<String>,
    /// `weight`: share of the traffic, relative to the rule's others.
    pub weight: Option<Spanned<u32>>,
    /// `hostRewrite`: the Host that is sent instead of the provider's.
    pub host_rewrite: Option<Spanned<String>>,
}
