//! `gateway.networking.k8s.io` HTTPRoute: which requests of a Gateway go to which backend, or are sent elsewhere.
//!
//! An entry of a VirtualService's `http` is Istio's `HTTPRoute`, so what is here
//! is not re-exported. <https://gateway-api.sigs.k8s.io/reference/spec/#httproute>

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{HeaderChanges, Meta, SaysNothing, Seldom, Spanned, StringMatch};
use crate::config::diagnostic::Location;
use crate::request::Scheme;
use crate::tables::Chance;

/// An HTTPRoute.
#[derive(Debug, Clone)]
pub struct HttpRoute {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.parentRefs`
    pub parents: Vec<ParentRef>,
    /// `spec.hostnames`: names or `*.suffix`, lower case; empty is every host.
    pub hostnames: Vec<Spanned<String>>,
    /// `spec.rules`, at least one.
    pub rules: Vec<Rule>,
}

/// One entry of `spec.parentRefs`: a Gateway, or some of its listeners.
#[derive(Debug, Clone)]
pub struct ParentRef {
    /// The entry.
    pub at: Location,
    /// `group`
    pub group: Box<str>,
    /// `kind`
    pub kind: Box<str>,
    /// `namespace`; the route's own when absent.
    pub namespace: Box<str>,
    /// `name`
    pub name: Spanned<Box<str>>,
    /// `sectionName`: one listener.
    pub section: Option<Spanned<Box<str>>>,
    /// `port`: the listeners on it.
    pub port: Option<Spanned<u16>>,
}

/// One entry of `spec.rules`.
#[derive(Debug, Clone)]
pub struct Rule {
    /// The entry.
    pub at: Location,
    /// `name`
    pub name: Option<Spanned<Box<str>>>,
    /// `matches`, any of them; at least one.
    pub matches: Vec<Match>,
    /// `filters`
    pub filters: Seldom<Filters>,
    /// `backendRefs`
    pub backends: Vec<BackendRef>,
    /// `timeouts`
    pub timeouts: Timeouts,
}

/// `timeouts`, in milliseconds: `None` and 0 are none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Timeouts {
    /// `request`
    pub request_ms: Option<u32>,
    /// `backendRequest`, no longer than `request`.
    pub backend_request_ms: Option<u32>,
}

/// One entry of `matches`: all that is given must hold.
#[derive(Debug, Clone)]
pub struct Match {
    /// The entry.
    pub at: Location,
    /// `path`
    pub path: Spanned<PathMatch>,
    /// `headers`, by lower-cased name: exact or a regular expression.
    pub headers: Vec<(Spanned<String>, Spanned<StringMatch>)>,
    /// `queryParams`, by name: exact or a regular expression.
    pub query_params: Vec<(Spanned<String>, Spanned<StringMatch>)>,
    /// `method`
    pub method: Option<Box<str>>,
}

/// `path`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathMatch {
    /// `Exact`
    Exact(String),
    /// `PathPrefix`: the first segments, without a slash at the end; empty is every path.
    Prefix(String),
    /// `RegularExpression`: RE2, the whole path.
    Regex(String),
}

/// `filters` of a rule or of a backend: at most one of each, but for mirrors.
#[derive(Debug, Clone, Default)]
pub struct Filters {
    /// `RequestHeaderModifier`
    pub request: HeaderChanges,
    /// `ResponseHeaderModifier`
    pub response: HeaderChanges,
    /// `URLRewrite`
    pub rewrite: Rewrite,
    /// `RequestRedirect`, of a rule only.
    pub redirect: Option<Redirect>,
    /// Each `RequestMirror`, of a rule only.
    pub mirrors: Vec<Mirror>,
}

impl SaysNothing for Filters {
    const NOTHING: &'static Self = &Self {
        request: HeaderChanges::NONE,
        response: HeaderChanges::NONE,
        rewrite: Rewrite {
            hostname: None,
            path: None,
        },
        redirect: None,
        mirrors: Vec::new(),
    };

    fn says_nothing(&self) -> bool {
        let changes_nothing = self.request.is_empty() && self.response.is_empty();
        let rewrites_nothing = self.rewrite.hostname.is_none() && self.rewrite.path.is_none();
        changes_nothing && rewrites_nothing && self.redirect.is_none() && self.mirrors.is_empty()
    }
}

/// `requestMirror`
#[derive(Debug, Clone)]
pub struct Mirror {
    /// `backendRef`, which has neither weight nor filters.
    pub backend: BackendRef,
    /// `percent` or `fraction`: how many requests are copied.
    pub chance: Chance,
    /// The `backendRef`, for findings: `filters[0].requestMirror.backendRef`.
    pub field: String,
}

/// `urlRewrite`
#[derive(Debug, Clone, Default)]
pub struct Rewrite {
    /// `hostname`: the Host that is sent.
    pub hostname: Option<String>,
    /// `path`
    pub path: Option<PathModifier>,
}

/// `path` of a URLRewrite or a RequestRedirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PathModifier {
    /// `ReplaceFullPath`
    Full(String),
    /// `ReplacePrefixMatch`, without a slash at the end.
    Prefix(String),
}

/// `requestRedirect`: what is not given stays the client's.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// `scheme`
    pub scheme: Option<Scheme>,
    /// `hostname`
    pub hostname: Option<String>,
    /// `path`
    pub path: Option<PathModifier>,
    /// `port`
    pub port: Option<u16>,
    /// `statusCode`: 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// One entry of `backendRefs`.
#[derive(Debug, Clone)]
pub struct BackendRef {
    /// The entry.
    pub at: Location,
    /// `group` and `kind`
    pub kind: BackendKind,
    /// `namespace`; the route's own when absent.
    pub namespace: Box<str>,
    /// `name`
    pub name: Spanned<String>,
    /// `port`
    pub port: Option<Spanned<u16>>,
    /// `weight`: share of the traffic, relative to the rule's others.
    pub weight: u32,
    /// `filters`
    pub filters: Seldom<Filters>,
}

/// What a `backendRef` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackendKind {
    /// A Service: the host `name.namespace.svc.cluster.local`.
    Service,
    /// Istio's `Hostname`: the host of that name.
    Hostname,
    /// An InferencePool: the host `name.namespace.inference.cluster.local`, at the pool's own port.
    InferencePool,
}
