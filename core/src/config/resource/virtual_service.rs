//! `networking.istio.io` VirtualService: which requests go to which host as plain HTTP, or are answered here.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, RouteSettings, SaysNothing, Seldom, Spanned, StringMatch};
use crate::config::diagnostic::Location;
use crate::config::secret::Secret;
use crate::request::Scheme;

/// A VirtualService. <https://istio.io/latest/docs/reference/config/networking/virtual-service/>
#[derive(Debug, Clone)]
pub struct VirtualService {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.hosts`: names, `*.suffix` or `*`; without any it is one that others delegate to.
    pub hosts: Vec<Spanned<String>>,
    /// `spec.gateways`: `namespace/name`, or `name` in its own namespace, or `mesh`.
    pub gateways: Vec<Spanned<String>>,
    /// `spec.exportTo`: namespaces, `.` for its own, `*` for all, `~` for none; empty is `*`.
    pub export_to: Vec<Spanned<String>>,
    /// `spec.http`: the first that matches decides.
    pub http: Vec<HttpRoute>,
}

/// One entry of `spec.http`.
#[derive(Debug, Clone)]
pub struct HttpRoute {
    /// The entry.
    pub at: Location,
    /// `name`: what logs and metrics call it.
    pub name: Option<Spanned<Box<str>>>,
    /// `match`, any of them; none means every request.
    pub matches: Vec<HttpMatch>,
    /// What happens to its requests.
    pub action: HttpAction,
    /// `headers`.
    pub headers: HeaderOperations,
    /// `timeout` and `retries`, which are about `route` only.
    pub settings: RouteSettings,
}

/// `route`, `redirect`, `directResponse` or `delegate`.
#[derive(Debug, Clone)]
pub enum HttpAction {
    /// `delegate`: the rules of another VirtualService, for the requests that this one matches.
    Delegate {
        /// `delegate`
        to: Box<Delegate>,
        /// `rewrite`, where a rule of the other has none.
        rewrite: Seldom<HttpRewrite>,
    },
    /// `route` with `rewrite`.
    Route {
        /// `route`, at least one.
        destinations: Vec<RouteDestination>,
        /// `rewrite`.
        rewrite: Seldom<HttpRewrite>,
    },
    /// `redirect`
    Redirect(Box<HttpRedirect>),
    /// `directResponse`
    DirectResponse(Box<HttpDirectResponse>),
}

/// `delegate`
#[derive(Debug, Clone)]
pub struct Delegate {
    /// `name`
    pub name: Spanned<String>,
    /// `namespace`; when absent, that of the resource.
    pub namespace: Option<String>,
}

/// One entry of `match`: all that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct HttpMatch {
    /// The entry.
    pub at: Location,
    /// `uri`
    pub uri: Option<Spanned<StringMatch>>,
    /// `ignoreUriCase`: of `exact` and `prefix`.
    pub ignore_uri_case: bool,
    /// All else that it asks.
    pub also: Seldom<FurtherConditions>,
}

/// What a match asks beside the path.
#[derive(Debug, Clone, Default)]
pub struct FurtherConditions {
    /// `scheme`
    pub scheme: Option<Spanned<StringMatch>>,
    /// `method`
    pub method: Option<Spanned<StringMatch>>,
    /// `authority`
    pub authority: Option<Spanned<StringMatch>>,
    /// `port`
    pub port: Option<u16>,
    /// `headers`: by field name or claim.
    pub headers: Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)>,
    /// `withoutHeaders`: none of them may match.
    pub without_headers: Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)>,
    /// `queryParams`: by parameter name.
    pub query_params: Vec<(Spanned<String>, Spanned<StringMatch>)>,
    /// `gateways`: narrows the resource's own list.
    pub gateways: Vec<Spanned<String>>,
    /// `sourceLabels`: compared with the gateway's own labels.
    pub source_labels: Option<Labels>,
    /// `sourceNamespace`: compared with the gateway's own.
    pub source_namespace: Option<String>,
}

impl SaysNothing for FurtherConditions {
    const NOTHING: &'static Self = &Self {
        scheme: None,
        method: None,
        authority: None,
        port: None,
        headers: Vec::new(),
        without_headers: Vec::new(),
        query_params: Vec::new(),
        gateways: Vec::new(),
        source_labels: None,
        source_namespace: None,
    };

    fn says_nothing(&self) -> bool {
        let asks_of_head = self.scheme.is_some() || self.method.is_some() || self.authority.is_some();
        let lists_fields = !self.headers.is_empty() || !self.without_headers.is_empty();
        let asks_of_gateway = self.port.is_some() || !self.gateways.is_empty();
        let asks_of_source = self.source_labels.is_some() || self.source_namespace.is_some();
        !asks_of_head && !lists_fields && self.query_params.is_empty() && !asks_of_gateway && !asks_of_source
    }
}

/// What a key of `headers` and `withoutHeaders` means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderKey {
    /// A field, lower case.
    Field(String),
    /// `host` and `:authority`: the authority as sent.
    Authority,
    /// `:method`
    Method,
    /// `:scheme`
    Scheme,
    /// `@request.auth.claims.a.b` and `@request.auth.claims[a][b]`: the names, outermost first.
    Claim(Vec<String>),
}

impl HeaderKey {
    /// What a key means; `None` when it is one of `@request.auth` that names no claim.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        const CLAIMS: &str = "@request.auth.claims";
        let lower = key.to_ascii_lowercase();
        match lower.as_str() {
            "host" | ":authority" => return Some(Self::Authority),
            ":method" => return Some(Self::Method),
            ":scheme" => return Some(Self::Scheme),
            _ => {}
        }
        if !lower.starts_with("@request.auth") {
            return Some(Self::Field(lower));
        }
        // The names of claims keep their case.
        let names = key.get(CLAIMS.len()..).filter(|_| lower.starts_with(CLAIMS))?;
        let bracketed = names.strip_prefix('[').and_then(|names| names.strip_suffix(']'));
        let names: Vec<String> = match (bracketed, names.strip_prefix('.')) {
            (Some(names), _) => names.split("][").map(String::from).collect(),
            (None, Some(names)) => names.split('.').map(String::from).collect(),
            (None, None) => return None,
        };
        let is_name = |name: &String| !name.is_empty() && !name.contains(['[', ']']);
        names.iter().all(is_name).then_some(Self::Claim(names))
    }
}

/// One entry of `route`.
#[derive(Debug, Clone)]
pub struct RouteDestination {
    /// The entry.
    pub at: Location,
    /// `destination.host`
    pub host: Spanned<String>,
    /// `destination.port.number`
    pub port: Option<Spanned<u16>>,
    /// `destination.subset`
    pub subset: Option<Box<Spanned<String>>>,
    /// `weight`: share of the traffic, relative to the rule's others.
    pub weight: Option<Spanned<u32>>,
    /// `headers`
    pub headers: HeaderOperations,
}

/// `headers` of a rule or of a destination.
#[derive(Debug, Clone, Default)]
pub struct HeaderOperations {
    /// `request`
    pub request: Seldom<HeaderChanges>,
    /// `response`
    pub response: Seldom<HeaderChanges>,
}

/// What becomes of header fields; names in lower case.
#[derive(Debug, Clone, Default)]
pub struct HeaderChanges {
    /// `set`: the field's one value.
    pub set: Vec<(String, Secret)>,
    /// `add`: one more value.
    pub add: Vec<(String, Secret)>,
    /// `remove`
    pub remove: Vec<String>,
    /// `Host` or `:authority` of a request's `set` or `add`: the Host that is sent.
    pub authority: Option<Spanned<String>>,
}

impl HeaderChanges {
    /// No changes.
    pub(super) const NONE: Self = Self {
        set: Vec::new(),
        add: Vec::new(),
        remove: Vec::new(),
        authority: None,
    };

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty() && self.authority.is_none()
    }
}

impl SaysNothing for HeaderChanges {
    const NOTHING: &'static Self = &Self::NONE;

    fn says_nothing(&self) -> bool {
        self.is_empty()
    }
}

/// `rewrite`
#[derive(Debug, Clone, Default)]
pub struct HttpRewrite {
    /// `uri` or `uriRegexRewrite`
    pub uri: Option<UriRewrite>,
    /// `authority`: the Host that is sent.
    pub authority: Option<Spanned<String>>,
}

impl SaysNothing for HttpRewrite {
    const NOTHING: &'static Self = &Self {
        uri: None,
        authority: None,
    };

    fn says_nothing(&self) -> bool {
        self.uri.is_none() && self.authority.is_none()
    }
}

/// What becomes of the path.
#[derive(Debug, Clone)]
pub enum UriRewrite {
    /// `uri`: stands for what was matched.
    Matched(Spanned<String>),
    /// `uriRegexRewrite`: replaces each match.
    Regex {
        /// `match`
        pattern: Spanned<String>,
        /// `rewrite`
        substitution: Spanned<String>,
    },
}

/// `redirect`: what is not given stays the client's.
#[derive(Debug, Clone)]
pub struct HttpRedirect {
    /// `uri`: path, and maybe query.
    pub uri: Option<String>,
    /// `authority`
    pub authority: Option<String>,
    /// `port` or `derivePort`
    pub port: Option<RedirectPort>,
    /// `scheme`
    pub scheme: Option<Scheme>,
    /// `redirectCode`: 301, 302, 303, 307 or 308.
    pub code: u16,
}

/// `port` or `derivePort` of a redirect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectPort {
    /// `port`
    Number(u16),
    /// `derivePort: FROM_REQUEST_PORT`
    OfListener,
    /// `derivePort: FROM_PROTOCOL_DEFAULT`, which is what holds without either.
    OfProtocol,
}

/// `directResponse`
#[derive(Debug, Clone)]
pub struct HttpDirectResponse {
    /// `status`
    pub status: u16,
    /// `body`, decoded.
    pub body: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_pointer_width = "64")]
    #[test]
    fn rule_that_asks_for_a_path_takes_little_room() {
        let rule = size_of::<HttpRoute>() + size_of::<HttpMatch>() + size_of::<RouteDestination>();
        assert!(rule <= 352, "{rule} bytes");
    }

    #[test]
    fn keys_of_headers_are_read_as_istio_reads_them() {
        let claim = |names: &[&str]| Some(HeaderKey::Claim(names.iter().map(|name| String::from(*name)).collect()));
        for (key, read) in [
            ("X-Team", Some(HeaderKey::Field("x-team".into()))),
            ("Host", Some(HeaderKey::Authority)),
            (":authority", Some(HeaderKey::Authority)),
            (":method", Some(HeaderKey::Method)),
            ("@request.auth.claims.groups", claim(&["groups"])),
            ("@request.auth.claims.a.B", claim(&["a", "B"])),
            ("@Request.auth.claims[a.b][c]", claim(&["a.b", "c"])),
            ("@request.auth.claims", None),
            ("@request.auth.claims.", None),
            ("@request.auth.claims[a][]", None),
            ("@request.auth.principal", None),
        ] {
            assert_eq!(HeaderKey::of(key), read, "{key}");
        }
    }
}
