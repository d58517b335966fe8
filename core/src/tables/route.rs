//! The rows of routes: which requests a rule takes, and what it does with them.
//!
//! Rules of LLMRoutes, VirtualServices and HTTPRoutes stand in the same tables. What only
//! one of them can say is a variant of its own, so that no row says what its
//! resource cannot.

use super::{AttemptsId, OriginId, ProviderId, Rows, RuleId, SecretId, Span, SubstitutionId, UpstreamId};
use crate::request::Scheme;

/// The rules of one host on one listener, first match first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct VirtualHostRow {
    pub(crate) listener: u32,
    /// `*`, `*.suffix` or a name.
    pub(crate) name: Span,
    /// All of its entries.
    pub(crate) entries: Rows,
    /// Requests in plain text are sent away to `https` (`tls.httpsRedirect`).
    pub(crate) tls_only: bool,
}

/// One alternative of a rule: all its conditions must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct EntryRow {
    pub(crate) rule: RuleId,
    pub(crate) conditions: Rows,
    /// What of the path a `rewrite.uri` takes the place of.
    pub(crate) matched: MatchedPath,
    pub(crate) origin: OriginId,
}

/// What of a path an alternative matches: Envoy's `matched_path`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum MatchedPath {
    /// Its first bytes: a prefix, which without a condition on the path is `/`.
    Prefix(u32),
    /// All of it: an exact path or a regular expression.
    Whole,
}

impl MatchedPath {
    /// What of `path` is behind it.
    pub(crate) fn rest(self, path: &str) -> &str {
        match self {
            Self::Prefix(bytes) => path.get(bytes as usize..).unwrap_or_default(),
            Self::Whole => "",
        }
    }
}

/// One test of one attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ConditionRow {
    pub(crate) subject: Subject,
    pub(crate) test: Test,
    /// `withoutHeaders`: no value may pass the test.
    pub(crate) negated: bool,
}

/// What a condition looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Subject {
    /// The authority's name: lower-cased, without port. LLMRoute's `host`.
    Host,
    /// The authority with its port, lower-cased; for values of an LLMRoute's `host` that name a port.
    Authority,
    /// The authority as sent, case and port included: what VirtualServices compare.
    RawAuthority,
    /// The path in normal form, without the query.
    Path,
    /// The method.
    Method,
    /// What the client speaks to the gateway.
    Scheme,
    /// A header field, by its lower-cased name.
    Header(Span),
    /// The first parameter of the query by that name, not decoded.
    QueryParam(Span),
    /// `model` of the body.
    Model,
    /// `stream` of the body: `true`, or `false` when it is absent too.
    Stream,
    /// A claim of the verified token, by a path as [`crate::claims`] has it.
    Claim(Span),
}

/// How it is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Test {
    /// The whole value.
    Exact(Span),
    /// Its beginning.
    Prefix(Span),
    /// Its first segments: the whole of it, or its beginning up to a slash. HTTPRoute's `PathPrefix`.
    Segments(Span),
    /// The whole value, case aside (`ignoreUriCase`).
    ExactAnyCase(Span),
    /// Its beginning, case aside.
    PrefixAnyCase(Span),
    /// The whole value, by `regexes[.0]`; `.1` is the pattern's text.
    Regex(u32, Span),
    /// There is a value.
    Present,
}

/// One rule of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RuleRow {
    /// `namespace/route/rule`, for logs and metrics.
    pub(crate) label: Span,
    pub(crate) action: RuleAction,
    pub(crate) attempts: AttemptsId,
    /// Of a rule that sends requests on, as the next: an index into `cors`.
    pub(crate) cors: Option<u32>,
    /// An index into `faults`.
    pub(crate) fault: Option<u32>,
    /// In `mirrors`.
    pub(crate) mirrors: Rows,
    pub(crate) origin: OriginId,
}

/// What a rule does with the requests it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum RuleAction {
    /// Sends them to one of several backends.
    Forward(Split),
    /// Answers with another place; an index into `redirects`.
    Redirect(u32),
    /// Answers them here; an index into `direct_responses`.
    Respond(u32),
}

/// Backends that share a rule's traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Split {
    pub(crate) backends: Rows,
    /// Sum of their weights.
    pub(crate) weight: u32,
}

impl RuleRow {
    /// The backends that share its traffic; of a rule that answers by itself there are none.
    pub(crate) fn split(&self) -> Split {
        match self.action {
            RuleAction::Forward(split) => split,
            RuleAction::Redirect(_) | RuleAction::Respond(_) => Split::default(),
        }
    }
}

/// One backend of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct BackendRow {
    pub(crate) weight: u32,
    pub(crate) to: BackendTarget,
}

/// Where a backend's traffic goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum BackendTarget {
    /// LLMRoute: to an LLM provider.
    Provider(ProviderTarget),
    /// VirtualService and HTTPRoute: to a host as plain HTTP.
    Upstream(PlainTarget),
}

impl BackendTarget {
    /// What becomes of the header fields of answers to the client.
    pub(crate) fn response_changes(&self) -> Rows {
        match self {
            Self::Provider(target) => target.response_changes,
            Self::Upstream(target) => target.response_changes,
        }
    }
}

/// An LLM provider as the target of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProviderTarget {
    pub(crate) provider: ProviderId,
    /// What the provider's configuration says for this rule.
    pub(crate) config: u32,
    /// The Host to send instead of the provider's.
    pub(crate) host_rewrite: Option<Span>,
    /// What becomes of the client's path, where the provider's is not fixed.
    pub(crate) path: PathRewrite,
    /// In `header_changes`.
    pub(crate) request_changes: Rows,
    pub(crate) response_changes: Rows,
}

/// A host as the target of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PlainTarget {
    pub(crate) upstream: UpstreamId,
    /// Whether a client may use its connection to it for something else than HTTP ([`crate::upgrade`]).
    pub(crate) allows_upgrade: bool,
    /// The Host to send instead of the client's.
    pub(crate) authority: Option<Span>,
    pub(crate) path: PathRewrite,
    /// In `header_changes`, in the order in which Envoy makes them.
    pub(crate) request_changes: Rows,
    pub(crate) response_changes: Rows,
}

/// What becomes of the client's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum PathRewrite {
    /// It stays.
    Keep,
    /// `rewrite.uri`: stands for what was matched of it.
    Matched(Span),
    /// Stands for all of it. HTTPRoute's `ReplaceFullPath`.
    Whole(Span),
    /// `rewrite.uriRegexRewrite`.
    Regex {
        by: SubstitutionId,
        pattern: Span,
        substitution: Span,
    },
}

/// A provider to which every request of a listener is admitted by one rule in the second pass. It follows from the other
/// rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AdmissionRow {
    pub(crate) listener: u32,
    pub(crate) provider: ProviderId,
    pub(crate) by: RuleId,
}

/// One `redirect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RedirectRow {
    pub(crate) status: u16,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) authority: Option<Span>,
    pub(crate) port: RedirectPort,
    /// Whether the client's port stays where no other is written, as in Envoy; not so in Gateway API.
    pub(crate) keeps_port: bool,
    pub(crate) path: RedirectPath,
    pub(crate) response_changes: Rows,
}

/// The path that a redirect names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum RedirectPath {
    /// The client's.
    Sent,
    /// This one, maybe with a query that stands for the client's.
    Whole(Span),
    /// The client's with this in place of what was matched.
    Matched(Span),
}

/// The port that a redirect names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum RedirectPort {
    /// The one in the client's authority, unless it was the default of another scheme.
    Sent,
    /// This one.
    Number(u16),
    /// The listener's (`derivePort: FROM_REQUEST_PORT`).
    Listener,
}

/// One `directResponse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DirectResponseRow {
    pub(crate) status: u16,
    /// In `bodies`.
    pub(crate) body: Rows,
    pub(crate) response_changes: Rows,
}

/// One change of one header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeaderChangeRow {
    /// The field, lower case.
    pub name: Span,
    /// What becomes of it.
    pub change: HeaderChange,
}

/// What becomes of a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every shell must carry out each")]
pub enum HeaderChange {
    /// All of its values go.
    Remove,
    /// This is its one value.
    Set(HeaderText),
    /// This is one more value.
    Add(HeaderText),
}

/// A value that the configuration gives a header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every shell must send each")]
pub enum HeaderText {
    /// This one.
    Text(Span),
    /// One that may be a credential, so that only the shell has it.
    Secret(SecretId),
}
