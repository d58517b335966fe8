//! What happens to a request, in the words of the configuration rather than in row numbers.

use lockgate_core::decision::BadRequest;

use crate::attempts::Attempts;

/// The answer of one of the two evaluators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The head cannot be read one way only: everything that is wrong with it.
    BadHead(Vec<BadRequest>),
    /// A DENY policy matched.
    DeniedByRule {
        /// `namespace/name`.
        policy: String,
        /// Index of the rule.
        rule: u32,
    },
    /// There are ALLOW policies and none matched.
    NotAllowed,
    /// An external authorizer does not let it pass.
    External {
        /// Its name.
        authorizer: String,
        /// The status for the client.
        status: u16,
    },
    /// 404 of the first pass.
    NoRoute,
    /// 405.
    MethodNotAllowed {
        /// The rule of the first pass.
        rule: String,
    },
    /// It depends on the body.
    ReadBody,
    /// The body cannot be sent on.
    Body {
        /// The rule of the first pass; `None` when policy needed the body.
        rule: Option<String>,
    },
    /// 404 of the second pass.
    NoRouteAfterRewrite {
        /// The rule of the first pass.
        rule: String,
    },
    /// 500: the second rule does not list the provider.
    NotAdmitted {
        /// The rule of the first pass.
        rule: String,
        /// The rule of the second pass.
        second: String,
        /// The provider's host.
        provider: String,
    },
    /// 400: no path is left after the rewrite.
    BadRewrite {
        /// The rule.
        rule: String,
    },
    /// 421: for another server.
    Misdirected,
    /// Sent away.
    Redirect {
        /// The rule; none when the server is for TLS only.
        rule: Option<String>,
        /// The status.
        status: u16,
        /// `location`.
        location: String,
        /// Changes of the answer.
        changes: Vec<String>,
    },
    /// Answered with what the configuration says.
    Respond {
        /// The rule.
        rule: String,
        /// The status.
        status: u16,
        /// The body.
        body: Vec<u8>,
        /// Changes of the answer.
        changes: Vec<String>,
    },
    /// Sent on to a provider.
    Forward(Forward),
    /// Sent on to a plain host.
    ToHost(ToHost),
}

/// How a request is sent on to a plain host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToHost {
    /// The rule, `namespace/route/rule`.
    pub rule: String,
    /// The host that the upstream was compiled for, and its first port.
    pub upstream: String,
    /// The Host sent.
    pub authority: String,
    /// The path and query sent.
    pub target: String,
    /// What they were, when they are rewritten.
    pub original: Option<String>,
    /// Changes of the request: `-name`, `name=value`, `name+=value`.
    pub request_changes: Vec<String>,
    /// Changes of the answer.
    pub response_changes: Vec<String>,
    /// The hosts that get a copy.
    pub mirrors: Vec<String>,
    /// How long it is held up.
    pub delay_ms: u32,
    /// How often and how long it is tried.
    pub attempts: Attempts,
}

/// How a request is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The rule of the first pass, `namespace/route/rule`.
    pub rule: String,
    /// The rule of the second pass.
    pub second: String,
    /// The provider's host.
    pub provider: String,
    /// The host that the upstream was compiled for.
    pub upstream: String,
    /// The Host sent.
    pub authority: String,
    /// The path and query sent.
    pub path: String,
    /// The key sent: these are made up, so they may be shown.
    pub credential: Option<String>,
    /// The body fields that are set when absent, as JSON, by name.
    pub fields: Vec<(String, String)>,
    /// Changes of the request: `-name`, `name=value`, `name+=value`.
    pub request_changes: Vec<String>,
    /// Changes of the answer.
    pub response_changes: Vec<String>,
    /// The hosts that get a copy.
    pub mirrors: Vec<String>,
    /// How long it is held up.
    pub delay_ms: u32,
    /// How often and how long it is tried.
    pub attempts: Attempts,
}

impl Verdict {
    /// The kind of outcome, for counting.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::BadHead(faults) if faults.contains(&BadRequest::PathTooLong) => "414",
            Self::BadHead(faults) if faults[..] == [BadRequest::Connection] => "400 for Connection",
            Self::BadHead(_) => "400",
            Self::DeniedByRule { .. } => "403 by a DENY rule",
            Self::NotAllowed => "403 as no ALLOW matched",
            Self::External { .. } => "refused by an external authorizer",
            Self::NoRoute => "404 of pass 1",
            Self::MethodNotAllowed { .. } => "405",
            Self::ReadBody => "read the body",
            Self::Body { rule: None } => "body refused for policy",
            Self::Body { .. } => "body refused",
            Self::NoRouteAfterRewrite { .. } => "404 of pass 2",
            Self::NotAdmitted { .. } => "500 not admitted",
            Self::BadRewrite { .. } => "400 after the rewrite",
            Self::Misdirected => "421",
            Self::Redirect { rule: None, .. } => "redirect to https",
            Self::Redirect { .. } => "redirect",
            Self::Respond { .. } => "direct response",
            Self::Forward(_) => "forward",
            Self::ToHost(_) => "forward to a host",
        }
    }

    /// Whether the engine's answer `self` is what `expected` asks for.
    ///
    /// A head may be wrong in several ways, and nothing says which is told first.
    #[must_use]
    pub fn agrees_with(&self, expected: &Self) -> bool {
        match (self, expected) {
            (Self::BadHead(told), Self::BadHead(faults)) => told.iter().all(|fault| faults.contains(fault)),
            _ => self == expected,
        }
    }
}
