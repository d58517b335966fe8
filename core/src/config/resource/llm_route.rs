//! `istio.alibabacloud.com` LLMRoute: which requests go to which provider; and what `lockgate.dev` adds to it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{
    HeaderOperations, HttpMatch, HttpRewrite, Meta, RouteSettings, SaysNothing as _, Seldom, Spanned, StringMatch,
};
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
    pub name: Option<Spanned<Box<str>>>,
    /// `matches`, any of them; none means every request.
    pub matches: Vec<LlmMatch>,
    /// `backendRefs`, at least one.
    pub backend_refs: Vec<BackendRef>,
    /// `rewrite`
    pub rewrite: Seldom<HttpRewrite>,
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
    /// What matches of VirtualServices have too; of `headers`, those that name claims.
    pub more: HttpMatch,
    /// `model` of the body, any of these; none is every request.
    pub models: Vec<Spanned<StringMatch>>,
    /// `stream` of the body, which is `false` when it is absent.
    pub stream: Option<bool>,
}

impl LlmMatch {
    /// Whether it lets every request through, whichever gateway or port it came by.
    #[must_use]
    pub fn is_catch_all(&self) -> bool {
        self.more.uri.is_none() && self.asks_at_most_for_a_path()
    }

    /// Whether it lets every request through that has its path, whichever gateway or port it came by.
    pub(crate) fn asks_at_most_for_a_path(&self) -> bool {
        let asks_of_body = !self.models.is_empty() || self.stream.is_some();
        self.headers.is_empty() && self.more.also.says_nothing() && !asks_of_body
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
    pub host_rewrite: Option<Box<Spanned<String>>>,
}
