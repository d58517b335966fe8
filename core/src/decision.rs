//! The answer of the engine: forward like this, answer like this, find out more first, or refuse with this.
//!
//! A [`Refusal`] is an answer, not an error: its status and body are decided
//! here, beside the enum, so that the gateway and the simulator give the client
//! the same bytes.

use core::net::IpAddr;

use crate::cors::CrossOrigin;
use crate::fault::Abort;
use crate::llm::body::BodyError;
use crate::mirror::Mirrors;
use crate::request::Scheme;
use crate::tables::{
    AttemptsId, AuthorizerId, FieldRow, HeaderChangeRow, PolicyId, ProviderId, RuleId, SecretId, SubstitutionId,
    UpstreamId,
};
use crate::token::{SentToken, TokenError};
use crate::upgrade::Upgrade;

/// What to do with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Decision<'d> {
    /// Send it upstream, changed as said.
    Forward(Forward<'d>),
    /// Answer with the place where it is to be sent.
    Redirect(Redirect<'d>),
    /// Answer it in place of its upstream, as a rule's `fault` has it.
    Abort(Abort<'d>),
    /// Answer a browser that asks what a page of another origin may do.
    Preflight(Preflight<'d>),
    /// Answer with what the configuration says.
    Respond(DirectResponse<'d>),
    /// The answer depends on what an external authorizer says: ask it and decide again.
    Check(Check<'d>),
    /// Whose request it is depends on this token: verify it and decide again.
    VerifyToken(SentToken<'d>),
    /// The answer, or what to send, depends on the body: read it and decide again.
    ReadBody,
    /// Answer it here.
    Refuse(Refusal),
}

/// Whom to ask about a request, and where the request goes in the normal form that policy judges. The rest is in
/// `Snapshot::authorizers`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check<'d> {
    /// The authorizer.
    pub authorizer: AuthorizerId,
    /// The normalised path.
    pub path: &'d str,
    /// The query without its `?`, as sent.
    pub query: Option<&'d str>,
    /// The client's address as far as it can be trusted.
    pub remote: IpAddr,
    /// The scheme that it speaks.
    pub scheme: Scheme,
}

/// How to send a request upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Forward<'d> {
    /// The rule that matched what the client sent.
    pub rule: RuleId,
    /// Where it is sent.
    pub upstream: UpstreamId,
    /// The Host to send.
    pub authority: &'d str,
    /// The path and query to send.
    pub path: Path<'d>,
    /// How long it is held up first, in milliseconds (`fault`).
    pub delay_ms: u32,
    /// How often and how long it is tried ([`crate::retry`]).
    pub attempts: AttemptsId,
    /// Where copies of it go.
    pub mirrors: Mirrors<'d>,
    /// What its answer says to the page of another origin that asks.
    pub cors: Option<CrossOrigin<'d>>,
    /// What else becomes of it.
    pub to: Destination<'d>,
}

/// Who is behind an upstream, and so what a request to it loses and gains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "every shell must carry out each")]
pub enum Destination<'d> {
    /// An LLM provider: the client's credentials stay here, the body is JSON, tokens are counted.
    Provider(ToProvider<'d>),
    /// A host that gets the request as plain HTTP, its body as it comes.
    Host(ToHost<'d>),
}

/// How a request goes to an LLM provider, whose key, model and path the rule that matched has chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToProvider<'d> {
    /// The rule that matched the rewritten request and admits the provider.
    pub admitted_by: RuleId,
    /// The provider.
    pub provider: ProviderId,
    /// The key to send as `Authorization: Bearer`, after the client's own credentials are dropped.
    pub credential: Option<SecretId>,
    /// The top-level fields of the body to set.
    pub fields: &'d [FieldRow],
    /// What becomes of the header fields on the way to the provider, before the key is attached.
    pub request_changes: &'d [HeaderChangeRow],
    /// On the way back to the client.
    pub response_changes: &'d [HeaderChangeRow],
}

/// What becomes of the header fields of a request to a plain host and of its answer: in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToHost<'d> {
    /// What the connection may be used for instead of HTTP, once the host agrees.
    pub upgrade: Option<Upgrade>,
    /// Whether the shell asks for that with a [`crate::upgrade::KEY`] of its own, and checks the answer to it.
    pub makes_key: bool,
    /// On the way to the host.
    pub request_changes: &'d [HeaderChangeRow],
    /// On the way back to the client.
    pub response_changes: &'d [HeaderChangeRow],
}

/// The answer of a `redirect`, or of a server's `tls.httpsRedirect`. [`crate::rewrite::location`] puts the place together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redirect<'d> {
    /// The rule that matched; none when the server sends everything away to `https`.
    pub rule: Option<RuleId>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Of the new place.
    pub scheme: Scheme,
    /// Its host, maybe with a port.
    pub authority: &'d str,
    /// Its port, when `authority` has none.
    pub port: Option<u16>,
    /// Its path, which has a query of its own when the configuration gives it one.
    pub path: &'d str,
    /// What of the client's path is behind that.
    pub rest: &'d str,
    /// The client's query, without its `?`.
    pub query: Option<&'d str>,
    /// What becomes of the answer's header fields.
    pub response_changes: &'d [HeaderChangeRow],
}

/// The answer of a `directResponse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectResponse<'d> {
    /// The rule that matched.
    pub rule: RuleId,
    /// The status code.
    pub status: u16,
    /// The body. One that is not empty is `text/plain`, unless the changes say otherwise.
    pub body: &'d [u8],
    /// What becomes of the answer's header fields.
    pub response_changes: &'d [HeaderChangeRow],
}

/// The answer to a CORS preflight: 200 without a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preflight<'d> {
    /// The rule that matched.
    pub rule: RuleId,
    /// How long it is held up first, in milliseconds.
    pub delay_ms: u32,
    /// What it says.
    pub cors: CrossOrigin<'d>,
}

/// The path and query that are sent upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path<'d> {
    /// The provider's own; the client's path and query are dropped.
    Fixed(&'d str),
    /// The client's, the path in the normal form that policy judged.
    Client {
        /// The normalised path.
        path: &'d str,
        /// The query without its `?`, as sent.
        query: Option<&'d str>,
    },
    /// The client's with another beginning: Envoy's `prefix_rewrite`.
    Prefixed {
        /// The new beginning.
        with: &'d str,
        /// What was behind the old one.
        rest: &'d str,
        /// The normalised path as it was.
        original: &'d str,
        /// The query without its `?`, as sent.
        query: Option<&'d str>,
    },
    /// The client's, rewritten by a regular expression: Envoy's `regex_rewrite`.
    Substituted {
        /// What rewrites it.
        by: SubstitutionId,
        /// The normalised path.
        path: &'d str,
        /// The query without its `?`, as sent.
        query: Option<&'d str>,
    },
}

/// Why a request is answered here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a new refusal must be handled by every shell")]
pub enum Refusal {
    /// 400, 405 or 414: the head cannot be read one way only, or its method is never taken.
    BadRequest(BadRequest),
    /// 421: its connection was made for another server (RFC 9110 §15.5.20).
    Misdirected,
    /// 401, or 403 for an audience: its token must not pass.
    Token(TokenError),
    /// 403 `RBAC: access denied`.
    Denied(Denial),
    /// An external authorizer does not let it pass.
    External(AuthorizerId, External),
    /// 404: no rule matches what the client sent.
    NoRoute,
    /// 400: what `rewrite` makes of the path is none that can be sent on (see [`crate::rewrite::target`]).
    BadRewrite(RuleId),
    /// 404: the rule matched, but after the rewrite to the provider's host nothing matches (ASM's second pass).
    NoRouteAfterRewrite(RuleId),
    /// 403: it can only be a tunnel (an extended CONNECT), and the rule that matched leads to none.
    NoUpgrade(RuleId),
    /// 405: the provider's path is fixed and takes POST only.
    MethodNotAllowed(RuleId),
    /// 400, 413 or 415: the body cannot be sent on. Without a rule, a policy could not read it either, and the answer
    /// to the request depends on that policy.
    Body(Option<RuleId>, BodyError),
    /// 500: the rewritten request matches a rule that does not list the provider; sending it would hand the
    /// provider's key to another rule's backends.
    NotAdmitted {
        /// The rule that matched what the client sent.
        rule: RuleId,
        /// The rule that matched the rewritten request.
        second: RuleId,
        /// The provider that `second` does not list.
        provider: ProviderId,
    },
}

/// What denied a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Denial {
    /// A rule of a DENY policy matched.
    Rule(PolicyId, u32),
    /// There are ALLOW policies and none of their rules matched.
    NoAllowMatched,
}

/// Why an external authorizer does not let a request pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "each is answered and logged in its own way")]
pub enum External {
    /// It said so, with this status. The rest of the answer is its own: the shell has it.
    Denied(u16),
    /// It said nothing that counts: `statusOnError`, 403 by default.
    Failed(u16),
}

/// What is wrong with a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BadRequest {
    /// No method that HTTP has; `post` is none.
    Method,
    /// TRACE, whose answer would hold what is added to a request here.
    Trace,
    /// No authority at all.
    MissingHost,
    /// More than one `Host` field, or one that is not `:authority`. Beside an absolute-form target a single one is ignored.
    TwoHosts,
    /// The target is of a scheme that the connection does not speak: `ftp://…`, or `https://…` in plain text.
    Scheme,
    /// The `Connection` field names one that the decision reads.
    Connection,
    /// The authority is no `host[:port]`: userinfo, illegal characters, too long.
    Authority,
    /// The path does not start with `/` or holds `%00`, or path or query hold a blank, a control character or a byte
    /// that is no ASCII. Or there must not be one, as for CONNECT.
    Path,
    /// The path is longer than [`crate::limits::PATH_BYTES_MAX`].
    PathTooLong,
    /// A header field that policies or routes read is longer than [`crate::limits::SHOWN_BYTES_MAX`] in one.
    FieldTooLong,
}

impl Refusal {
    /// The rule that took the request before it was refused.
    #[must_use]
    pub fn rule(self) -> Option<RuleId> {
        match self {
            Self::NoRouteAfterRewrite(rule)
            | Self::NoUpgrade(rule)
            | Self::MethodNotAllowed(rule)
            | Self::BadRewrite(rule)
            | Self::NotAdmitted { rule, .. } => Some(rule),
            Self::Body(rule, _) => rule,
            Self::Misdirected
            | Self::Token(_)
            | Self::BadRequest(_)
            | Self::Denied(_)
            | Self::External(..)
            | Self::NoRoute => None,
        }
    }
}
