//! The rows of authorization policies.
//!
//! What Istio spells in three places, `source`, `operation` and `when`, is one
//! thing here: a [`PredicateRow`], an attribute of the request and the values it
//! is compared with. `ipBlocks` and `source.ip` are the same predicate under two
//! names.

use core::fmt;

use super::{AuthorizerId, OriginId, Rows, Span};

/// What a matching rule of a policy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(clippy::exhaustive_enums, reason = "Istio's four actions")]
pub enum Action {
    /// Asks the policy's provider, before anything else is looked at.
    Custom,
    /// Refuses the request, before any ALLOW is looked at.
    Deny,
    /// Lets the request pass.
    Allow,
    /// Marks the request in the access log and decides nothing.
    Audit,
}

impl Action {
    /// The word of `spec.action`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Custom => "CUSTOM",
            Self::Deny => "DENY",
            Self::Allow => "ALLOW",
            Self::Audit => "AUDIT",
        }
    }
}

/// One authorization policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyRow {
    pub(crate) action: Action,
    /// `istio.io/dry-run`: what it would do is reported and never done.
    pub(crate) dry_run: bool,
    /// Whom a CUSTOM policy asks.
    pub(crate) authorizer: Option<AuthorizerId>,
    pub(crate) rules: Rows,
    /// `namespace/name`.
    pub(crate) label: Span,
    pub(crate) origin: OriginId,
}

impl PolicyRow {
    /// Whether it decides nothing: AUDIT, or a dry run.
    pub(crate) fn only_observes(&self) -> bool {
        self.dry_run || self.action == Action::Audit
    }
}

/// An external authorizer, as far as decisions depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AuthorizerRow {
    pub(crate) name: Span,
    /// `failOpen`: a request passes when it says nothing that counts.
    pub(crate) fail_open: bool,
    /// `statusOnError`
    pub(crate) status_on_error: u16,
    /// `clearRouteCache`: what it changes may choose the route.
    pub(crate) reroutes: bool,
}

/// One rule of a policy: any clause of `from`, any clause of `to` and every predicate of `when`. Empty rows mean "any".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PolicyRuleRow {
    /// In `clauses`: the sources.
    pub(crate) from: Rows,
    /// In `clauses`: the operations.
    pub(crate) to: Rows,
    /// In `predicates`.
    pub(crate) when: Rows,
    pub(crate) origin: OriginId,
}

/// One `source` or `operation`: all its predicates must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClauseRow {
    /// In `predicates`.
    pub(crate) predicates: Rows,
}

/// One field of a `source` or `operation`, or the `values` or `notValues` of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PredicateRow {
    pub(crate) attribute: Attribute,
    /// A `not` field: it holds when none of the values matches, so also when the attribute is absent.
    pub(crate) negated: bool,
    /// Never empty.
    pub(crate) values: Values,
    /// The field as people write it: `notIpBlocks`, `request.headers[x-team]`.
    pub(crate) field: Span,
}

/// What a predicate looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Attribute {
    /// The TCP peer.
    PeerAddress,
    /// The client's address as trusted proxies name it.
    RemoteAddress,
    /// The address the client connected to.
    LocalAddress,
    /// The port the client connected to.
    Port,
    /// The authority with its port, lower-cased.
    Host,
    /// The authority as sent: `request.headers[host]` and `[:authority]`.
    RawAuthority,
    Method,
    /// The normalised path.
    Path,
    /// The normalised path with its query: `request.headers[:path]`.
    PathAndQuery,
    /// `http` or `https`: `request.headers[:scheme]`.
    Scheme,
    /// A header field, by its lower-cased name.
    Header(Span),
    /// The TLS server name.
    Sni,
    /// The peer's SPIFFE id without `spiffe://`.
    Principal,
    /// `NS` of the peer's id `TD/ns/NS/sa/SA`.
    Namespace {
        /// Any that is named so in an id of another form counts too, as in Istio: what narrows must not be walked around.
        anywhere: bool,
    },
    /// `NS/sa/SA` of the peer's id.
    ServiceAccount {
        /// As of namespaces.
        anywhere: bool,
    },
    /// `TD` of the peer's id.
    TrustDomain,
    /// `iss` and `sub` of the verified token.
    RequestPrincipal,
    /// `aud` of the verified token.
    Audience,
    /// `azp` of the verified token.
    Presenter,
    /// A claim of the verified token, by the path that [`crate::claims::Claims`] knows.
    Claim(Span),
    /// `model` of the body.
    LlmModel,
    /// `stream` of the body.
    LlmStream,
    /// `max_tokens` of the body, or a newer name of it.
    LlmMaxTokens,
    /// The names of the tools that the body offers.
    LlmTools {
        /// All of them must match, not just one: an ALLOW lists what may be used.
        every: bool,
    },
}

/// The values of a predicate, in the table that fits its attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Values {
    /// In `cidrs`.
    Cidrs(Rows),
    /// In `ranges`.
    Ranges(Rows),
    /// In `patterns`.
    Patterns(Rows),
    /// In `request_principals`.
    RequestPrincipals(Rows),
}

impl Values {
    /// Where they are, whatever the table.
    pub(crate) fn rows(self) -> Rows {
        let (Self::Cidrs(rows) | Self::Ranges(rows) | Self::Patterns(rows) | Self::RequestPrincipals(rows)) = self;
        rows
    }
}

/// A text to match, in Istio's forms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum PatternRow {
    /// `value`
    Exact(Span),
    /// `value*`
    Prefix(Span),
    /// `*value`
    Suffix(Span),
    /// `*`
    Any,
    /// A path template: `/v1/{*}/chat/{**}`.
    Template(Span),
    /// A namespace with stars anywhere: each stands for any number of characters.
    Glob(Span),
}

/// One value of `requestPrincipals`: both parts must match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestPrincipalRow {
    pub(crate) issuer: PatternRow,
    pub(crate) subject: PatternRow,
    /// The value as written.
    pub(crate) text: Span,
}

/// Numbers from `min` to `max`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RangeRow {
    pub(crate) min: u64,
    pub(crate) max: u64,
}

impl RangeRow {
    pub(crate) fn contains(self, number: u64) -> bool {
        (self.min..=self.max).contains(&number)
    }
}

#[cfg(feature = "alloc")]
impl RangeRow {
    /// `4096`, `<=4096`, `<4096`, `>=4096`, `>4096`, or `*` for any number.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |digits: &str| -> Option<u64> {
            let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
            plain.then(|| digits.parse().ok()).flatten()
        };
        let (min, max) = if text == "*" {
            (0, u64::MAX)
        } else if let Some(digits) = text.strip_prefix("<=") {
            (0, number(digits)?)
        } else if let Some(digits) = text.strip_prefix(">=") {
            (number(digits)?, u64::MAX)
        } else if let Some(digits) = text.strip_prefix('<') {
            (0, number(digits)?.checked_sub(1)?)
        } else if let Some(digits) = text.strip_prefix('>') {
            (number(digits)?.checked_add(1)?, u64::MAX)
        } else {
            (number(text)?, number(text)?)
        };
        Some(Self { min, max })
    }
}

impl fmt::Display for RangeRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.min, self.max) {
            (0, u64::MAX) => f.write_str("*"),
            (min, u64::MAX) => write!(f, ">={min}"),
            (min, max) if min == max => write!(f, "{min}"),
            (_, max) => write!(f, "<={max}"),
        }
    }
}
