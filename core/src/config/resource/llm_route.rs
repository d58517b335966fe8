//! `istio.alibabacloud.com` LLMRoute: which requests go to which provider; and what `lockgate.dev` adds to it.

use alloc::string::String;
use alloc::vec::Vec;

use super::{HeaderOperations, HttpMatch, HttpRewrite, Labels, Meta, RouteSettings, Spanned, StringMatch};
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
    /// `rewrite`
    pub rewrite: HttpRewrite,
    /// `headers`
    pub headers: HeaderOperations,
    /// `timeout` and `retries`
    pub settings: RouteSettings,
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
    /// What matches of VirtualServices have besides; of `headers`, those that name claims.
    pub more: HttpMatch,
    /// `model` of the body, any of these; none is every request.
    pub models: Vec<Spanned<StringMatch>>,
    /// `stream` of the body, which is `false` when it is absent.
    pub stream: Option<bool>,
}

impl LlmMatch {
    /// Whether it asks nothing of a request.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        let HttpMatch {
            at: _,
            uri,
            ignore_uri_case: _,
            scheme,
            method,
            authority,
            port,
            headers,
            without_headers,
            query_params,
            gateways: _,
            source_labels: _,
            source_namespace,
        } = &self.more;
        let asks_of_head = uri.is_some() || scheme.is_some() || method.is_some() || authority.is_some();
        let asks_of_fields = !headers.is_empty() || !without_headers.is_empty() || !query_params.is_empty();
        let asks_of_place = port.is_some() || source_namespace.is_some();
        let asks_of_body = !self.models.is_empty() || self.stream.is_some();
        self.headers.is_empty() && !asks_of_head && !asks_of_fields && !asks_of_place && !asks_of_body
    }
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
