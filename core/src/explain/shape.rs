//! The shape of an explanation: plain data that serialises to the JSON of
//! `docs/explain.md`.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use serde::Serialize;

use crate::tables::Action;

/// The JSON schema of an [`Explanation`].
pub const JSON_SCHEMA: &str = include_str!("schema.json");

/// Why one request is decided as it is. Serialises to the JSON described in `docs/explain.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Version of this shape.
    pub api_version: &'static str,
    /// The snapshot that decided.
    pub snapshot: String,
    /// The request in normal form; `None` when it could not be read.
    pub request: Option<Seen>,
    /// The ports of the Gateways, where nothing listens on that of the request: most often one asks by the port that
    /// clients connect to, which only the shell knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_ports: Option<Vec<u16>>,
    /// The policies that select this gateway, in the order they are judged.
    pub policies: Vec<PolicyTrace>,
    /// The two rounds of route matching, as far as they came.
    pub passes: Vec<PassTrace>,
    /// What was decided.
    pub verdict: Verdict,
    /// Where the provider that it is sent to is written: `file:line:column`. Not in the verdict, which is the same
    /// wherever the files lie.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider_at: Option<String>,
}

/// A request in normal form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// The method.
    pub method: String,
    /// The authority that policies compare, lower-cased.
    pub authority: String,
    /// The name that routes compare: without port.
    pub host: String,
    /// The path that everything compares and that is forwarded.
    pub path: String,
    /// The query, without `?`.
    pub query: Option<String>,
    /// The TCP peer.
    pub peer: String,
    /// The client's address as far as it can be trusted: what `remoteIpBlocks` compares.
    pub remote: String,
    /// The logical port.
    pub port: u16,
    /// The address that `destination.ip` compares; the unspecified one when none was given.
    pub destination_ip: IpAddr,
    /// The port that `ports` and `destination.port` compare.
    pub destination_port: u16,
}

/// One policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyTrace {
    /// `namespace/name`.
    pub policy: String,
    /// What its rules do.
    pub action: Action,
    /// Whether it is only tried out: what it says decides nothing.
    pub dry_run: bool,
    /// Whom a CUSTOM policy asks when it matches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<String>,
    /// Whether one of its rules matches.
    pub matched: bool,
    /// Its rules, in order.
    pub rules: Vec<RuleTrace>,
}

/// One rule of a policy, or one alternative of a route's rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleTrace {
    /// What it is called: `rules[0]` of a policy, `namespace/route/rule` of a route.
    pub name: String,
    /// `file:line:column`.
    pub at: String,
    /// Whether it matches.
    pub matched: bool,
    /// What failed, or is not known without the body, when it does not.
    pub failed: Option<Failed>,
}

/// The condition that a request failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// The field, as the resource writes it: `hosts`, `notIpBlocks`, `request.headers[x-team]`, `headers[user-type]`.
    pub field: String,
    /// Whether the values must not match: a `not` field, or the `notValues` of a condition.
    pub negated: bool,
    /// Whether it is not known to fail: that depends on the body.
    pub needs_body: bool,
    /// The value seen; `None` when the request has none.
    pub seen: Option<String>,
    /// The values that would have passed (or, when `negated`, that must not match).
    pub wanted: Vec<String>,
}

/// One round of route matching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PassTrace {
    /// 1: what the client sent. 2: after the rewrite to the provider's host.
    pub pass: u8,
    /// The host that was matched.
    pub host: String,
    /// The virtual host that took it; `None` when no listener or virtual host does.
    pub virtual_host: Option<String>,
    /// Its alternatives, up to the one that matched.
    pub rules: Vec<RuleTrace>,
}

/// What was decided.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "camelCase")]
pub enum Verdict {
    /// The request is sent upstream.
    Forward(Box<UpstreamRequest>),
    /// What happens depends on what an external authorizer says, which nobody asked here.
    #[serde(rename_all = "camelCase")]
    Check(CheckRequest),
    /// What happens depends on its token, whose signature is not verified here.
    #[serde(rename_all = "camelCase")]
    VerifyToken {
        /// The RequestAuthentications that look where it is: `namespace/name`.
        authentications: Vec<String>,
    },
    /// It would be sent on, depending on its body, which was not given.
    #[serde(rename_all = "camelCase")]
    ReadBody {
        /// The rule that pass 1 chose.
        rule: Option<String>,
    },
    /// It is answered with another place (`redirect`).
    Redirect(RedirectAnswer),
    /// It is answered with what the configuration says (`directResponse`, or `corsPolicy` to a preflight).
    Respond(DirectAnswer),
    /// It is answered by the gateway.
    Refuse(RefusedAnswer),
}

/// What an external authorizer is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckRequest {
    /// Its name.
    pub authorizer: String,
    /// The CUSTOM policies that match and ask it: `namespace/name`.
    pub policies: Vec<String>,
    /// Where it is reached, e.g. `grpc://authz.test:9000`.
    pub connect: Vec<String>,
    /// The method and path of a check by HTTP, the method's full name of one by gRPC.
    pub call: String,
    /// Whether it gets the body: all of it, the beginning, or none.
    pub body: String,
}

/// One of the backends that a rule shares its requests among.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Backend {
    /// The host that its upstream is known by.
    pub upstream: String,
    /// The subset of its endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Its share, out of the sum of all.
    pub weight: u32,
    /// Whether this request is one of its.
    pub chosen: bool,
}

/// The request as it is sent upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamRequest {
    /// The rule that matched what the client sent.
    pub rule: String,
    /// The rule that admitted the rewritten request; `None` when it goes to no LLM provider.
    pub admitted_by: Option<String>,
    /// The provider's host; `None` when it goes to no LLM provider.
    pub provider: Option<String>,
    /// Those among which chance chose, where the rule names several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub backends: Vec<Backend>,
    /// The host that the upstream is known by.
    pub upstream: String,
    /// The subset of its endpoints that the rule names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Where it connects to, e.g. `https://dashscope.aliyuncs.com:443`.
    pub connect: Vec<String>,
    /// The server name of the TLS handshake; `None` for plain text.
    pub sni: Option<String>,
    /// What is spoken over the connection, other than HTTP/1.1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<&'static str>,
    /// The method.
    pub method: String,
    /// The path and query.
    pub path: String,
    /// What the connection may be used for instead of HTTP, once the upstream agrees: `websocket`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<String>,
    /// Header fields that are set; secrets by name only.
    pub set_headers: Vec<(String, String)>,
    /// Header fields of the client that are never sent on. In what a [`Question`](super::Question) is answered, the others
    /// of its own that are not come after them.
    pub remove_headers: Vec<Cow<'static, str>>,
    /// What the configuration changes of the header fields after that, in this order, and what lasts of it: nothing
    /// of fields that the gateway writes later still.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_headers: Vec<HeaderChanged>,
    /// What it changes of the answer's, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_response_headers: Vec<HeaderChanged>,
    /// Top-level fields of the body and how they are set.
    pub body_fields: Vec<BodyField>,
    /// Whether the page of another origin that asks is one that the rule's `corsPolicy` allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin_allowed: Option<bool>,
    /// The hosts that get a copy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mirrors: Vec<String>,
    /// How long it is held up first, in milliseconds (`fault`).
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u32,
    /// Time for the whole of it in milliseconds, retries included (`timeout`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// What is tried again (`retries`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What is tried again when it fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// When: Envoy's names, and status codes.
    pub on: Vec<String>,
    /// Time for the head of the answer to one attempt, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_try_timeout_ms: Option<u32>,
    /// The longest pause before the first retry, in milliseconds; it doubles with each.
    pub backoff_ms: u32,
}

/// One top-level field of the body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BodyField {
    /// Its name.
    pub name: String,
    /// The JSON value.
    pub value: String,
    /// Whether it is set in this request's body: not when the client gave one.
    pub set: bool,
}

/// One change of a header field that the configuration makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "camelCase")]
pub enum HeaderChanged {
    /// All of its values go.
    Remove {
        /// The field.
        name: String,
    },
    /// This is its one value.
    Set {
        /// The field.
        name: String,
        /// The value; one that may be a credential is not shown.
        value: String,
    },
    /// This is one more value.
    Add {
        /// The field.
        name: String,
        /// The value; one that may be a credential is not shown.
        value: String,
    },
}

impl HeaderChanged {
    pub(super) fn name(&self) -> &str {
        let (Self::Remove { name } | Self::Set { name, .. } | Self::Add { name, .. }) = self;
        name
    }
}

/// The answer of a `redirect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RedirectAnswer {
    /// The rule that matched; `null` when the server sends everything away to `https`.
    pub rule: Option<String>,
    /// The status code.
    pub status: u16,
    /// `location`.
    pub location: String,
    /// What the configuration changes of the answer's header fields, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_headers: Vec<HeaderChanged>,
}

/// The answer of a `directResponse`, or to a CORS preflight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DirectAnswer {
    /// The rule that matched.
    pub rule: String,
    /// The status code.
    pub status: u16,
    /// The body; bytes that are no UTF-8 are replaced.
    pub body: String,
    /// Whether it stands in place of an upstream's, as the rule's `fault` has it.
    #[serde(skip_serializing_if = "core::ops::Not::not")]
    pub aborted: bool,
    /// How long it is held up first, in milliseconds.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay_ms: u32,
    /// What the configuration changes of the answer's header fields, in this order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub change_headers: Vec<HeaderChanged>,
}

/// The answer of the gateway itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RefusedAnswer {
    /// The status code.
    pub status: u16,
    /// A stable name of the reason.
    pub code: String,
    /// The reason in words, naming the policy or rules at work.
    pub reason: String,
    /// The body, exactly.
    pub body: String,
    /// Its type.
    pub content_type: Option<String>,
}
