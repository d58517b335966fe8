//! Answers that do not come from an upstream.
//!
//! Refusals are the engine's, byte for byte ([`lockgate_core::answer`]). What
//! can go wrong only here (the upstream, the clock, the protocol) is the API's
//! own error object too, or a line of text where a plain host was asked.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER, UPGRADE, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Response, StatusCode, Version};
use lockgate_core::answer::{Answer, ErrorDetail, ErrorShape};
use lockgate_core::decision::{self, External, Refusal};
use lockgate_core::shown;

use crate::access::{Flag, Record};
use crate::changes;
use crate::client_body::ClientBody;
use crate::ext_authz::Denial;
use crate::limits;
use crate::plan::Configured;
use crate::upstream::SendError;

/// The request's id, kept or made, on every answer.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static(shown::REQUEST_ID);

/// What the gateway itself has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// 426: HTTP/1.0.
    OldProtocol,
    /// 431: over HTTP/2; over HTTP/1.1 it is hyper that says so.
    TooManyFields,
    /// 408: the body did not come in time.
    BodyTimeout,
    /// 503: there are as many requests as may be.
    TooManyRequests,
    /// 503: bodies take as much memory as they may.
    NoRoomForBody,
    /// 400: the body's framing is broken, or the client left in the middle of it.
    BodyBroken,
    /// 503: no connection to the provider.
    Unavailable,
    /// 502: the connection broke before an answer.
    Broken,
    /// 502: the provider did not speak HTTP.
    Garbage,
    /// 504: the provider did not answer in time.
    Timeout,
    /// 504: nor within the time that the route grants an attempt.
    PerTryTimeout,
    /// 504: nor within the time that it grants all of them.
    ResponseTimeout,
    /// 500: the decision cannot be carried out; it never should happen.
    Internal,
}

impl Fault {
    /// A plain host is no model provider.
    fn detail(self, shape: ErrorShape) -> ErrorDetail {
        let by = |provider, host| if shape == ErrorShape::Text { host } else { provider };
        let (status, code, message) = match self {
            Self::OldProtocol => (426, "http_1_1_required", "HTTP/1.1 or HTTP/2 is required"),
            Self::TooManyFields => (
                431,
                "too_many_header_fields",
                "the request has more than 100 header fields",
            ),
            Self::BodyTimeout => (408, "body_timeout", "the request body did not arrive in time"),
            Self::TooManyRequests => (
                503,
                "max_requests_reached",
                "the gateway has as many requests as it takes at once; try again in a moment",
            ),
            Self::NoRoomForBody => (
                503,
                "max_buffered_bytes_reached",
                "the gateway holds as many bytes of request bodies as it may; try again in a moment",
            ),
            Self::BodyBroken => (
                400,
                "bad_body_framing",
                "the request body is broken off or wrongly framed",
            ),
            Self::Unavailable => (
                503,
                "upstream_unavailable",
                by("the model provider cannot be reached", "the upstream cannot be reached"),
            ),
            Self::Broken => (
                502,
                "upstream_closed",
                by(
                    "the model provider closed the connection without an answer",
                    "the upstream closed the connection without an answer",
                ),
            ),
            Self::Garbage => (
                502,
                "upstream_protocol_error",
                by(
                    "the model provider's answer is not valid HTTP",
                    "the upstream's answer is not valid HTTP",
                ),
            ),
            Self::Timeout => (
                504,
                "upstream_timeout",
                by(
                    "the model provider did not answer in time",
                    "the upstream did not answer in time",
                ),
            ),
            // Envoy's words.
            Self::PerTryTimeout => (504, "upstream_per_try_timeout", "upstream request timeout"),
            Self::ResponseTimeout => (504, "upstream_response_timeout", "upstream request timeout"),
            Self::Internal => (500, "internal_error", "the gateway could not carry out its decision"),
        };
        ErrorDetail {
            status,
            message,
            code,
            param: None,
        }
    }

    /// The fault that a failed exchange with an upstream is to the client, and its flag.
    pub(crate) fn of_send(error: &SendError) -> (Self, Flag) {
        match error {
            SendError::Connect(_) => (Self::Unavailable, Flag::UpstreamFailure),
            SendError::Timeout => (Self::Timeout, Flag::UpstreamTimeout),
            SendError::PerTryTimeout => (Self::PerTryTimeout, Flag::UpstreamTimeout),
            SendError::ResponseTimeout => (Self::ResponseTimeout, Flag::UpstreamTimeout),
            SendError::Closed(_) => (Self::Broken, Flag::UpstreamTermination),
            SendError::Garbage(_) | SendError::BadStatus => (Self::Garbage, Flag::UpstreamProtocol),
            SendError::ClientBody(_) => (Self::BodyBroken, Flag::DownstreamProtocol),
            SendError::ClientTooSlow => (Self::BodyTimeout, Flag::None),
        }
    }
}

/// The answer for a refusal of the engine's.
pub(crate) fn refusal(
    refusal: Refusal,
    challenge: Option<HeaderValue>,
    mut record: Box<Record>,
) -> Response<ClientBody> {
    let flag = match refusal {
        Refusal::NoRoute | Refusal::NoRouteAfterRewrite(_) => Flag::NoRoute,
        _ => Flag::None,
    };
    record.rule = refusal.rule();
    if let Refusal::NotAdmitted { second, provider, .. } = refusal {
        record.provider = Some(provider);
        let details = record.tables().map(|tables| {
            format!(
                "provider_not_admitted[{} does not list {}]",
                tables.rule_label(second),
                tables.provider_host(provider)
            )
        });
        record.end(flag, details.map_or(Cow::Borrowed(refusal.code()), Cow::Owned));
    } else if let Refusal::Denied(denial) = refusal {
        let details = denial_details(&record, denial);
        record.end(flag, details);
    } else if let Refusal::Token(error) = refusal {
        // As Envoy's JWT filter writes it.
        let words = error.message().replace(' ', "_");
        record.end(flag, format!("jwt_authn_access_denied{{{words}}}"));
    } else {
        record.end(flag, refusal.code());
    }
    let content = refusal.answer(shape(&record));
    let mut response = answer(&content, record);
    if let Some(challenge) = challenge.filter(|_| content.challenges) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// The answer when an external authorizer does not let a request pass: its own where it has one.
pub(crate) fn external(refusal: Refusal, denial: Option<Denial>, mut record: Box<Record>) -> Response<ClientBody> {
    record.end(Flag::ExternalAuthorization, refusal.code());
    let content = refusal.answer(ErrorShape::of_path(record.uri.path()));
    let Some(denial) = denial.filter(|_| matches!(refusal, Refusal::External(_, External::Denied(_)))) else {
        return answer(&content, record);
    };
    let mut response = answer_with(&content, denial.body, record);
    let own = core::mem::replace(response.headers_mut(), denial.headers);
    // Ours win: they are about this connection and this request.
    for (name, value) in &own {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// As Envoy's RBAC filter writes it.
fn denial_details(record: &Record, denial: decision::Denial) -> String {
    match denial {
        decision::Denial::Rule(policy, rule) => {
            let label = record.tables().map_or("-", |tables| tables.policy_label(policy));
            format!("rbac_access_denied_matched_policy[{label}-rule[{rule}]]")
        }
        decision::Denial::NoAllowMatched => "rbac_access_denied_matched_policy[none]".to_owned(),
    }
}

/// The answer that the configuration gives: a redirect, a direct response, a fault's, or what a preflight
/// asks for.
pub(crate) fn configured(configured: Configured, mut record: Box<Record>) -> Response<ClientBody> {
    record.rule = configured.rule;
    record.end(configured.flag, configured.details);
    let content = Answer {
        status: configured.status,
        content_type: (!configured.body.is_empty()).then_some("text/plain"),
        allow: None,
        challenges: false,
        body: heapless::Vec::new(),
    };
    let mut response = answer_with(&content, configured.body, record);
    let headers = response.headers_mut();
    if let Some(location) = configured.location {
        headers.insert(LOCATION, location);
    }
    changes::make(headers, configured.changes);
    response
}

/// The shape of an answer to a request, as far as it has come.
fn shape(record: &Record) -> ErrorShape {
    let path = record.uri.path();
    record.tables().map_or_else(
        || ErrorShape::of_path(path),
        |tables| ErrorShape::of(tables, record.rule, path),
    )
}

/// The answer for a fault, logged with `flag`.
pub(crate) fn fault(fault: Fault, flag: Flag, mut record: Box<Record>) -> Response<ClientBody> {
    let shape = shape(&record);
    let detail = fault.detail(shape);
    record.end(flag, detail.code);
    let mut response = answer(&detail.answer(shape), record);
    if matches!(fault, Fault::TooManyRequests | Fault::NoRoomForBody) {
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static(limits::RETRY_AFTER));
    }
    if fault == Fault::OldProtocol {
        response
            .headers_mut()
            .insert(UPGRADE, HeaderValue::from_static("HTTP/1.1"));
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("upgrade, close"));
    }
    response
}

/// Whether the connection ends with this answer: the client should go elsewhere, or asked for a tunnel and takes what it
/// sends from then on for bytes of that, which must not be read as requests. HTTP/2 has GOAWAY, and streams.
pub(crate) fn closes(record: &Record) -> bool {
    (record.peer.is_leaving() || record.method == Method::CONNECT) && record.version != Version::HTTP_2
}

fn answer(answer: &Answer, record: Box<Record>) -> Response<ClientBody> {
    answer_with(answer, Bytes::copy_from_slice(&answer.body), record)
}

fn answer_with(answer: &Answer, body: Bytes, mut record: Box<Record>) -> Response<ClientBody> {
    record.status = answer.status;
    record.first_byte = Some(std::time::Instant::now());
    let id = record.request_id.clone();
    let close = closes(&record);
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // hyper sees to this over HTTP/1.1 only (RFC 9110 §6.4.1).
    let is_bare = record.version == Version::HTTP_2 && has_no_content(&record.method, status);
    let length = body.len();
    let body = if is_bare { Bytes::new() } else { body };
    let mut response = Response::new(ClientBody::Own(body, record));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if is_bare && length > 0 && status != StatusCode::NO_CONTENT {
        headers.insert(CONTENT_LENGTH, length.into());
    }
    headers.insert(X_REQUEST_ID, id);
    if let Some(content_type) = answer.content_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    if let Some(allow) = answer.allow {
        headers.insert(ALLOW, HeaderValue::from_static(allow));
    }
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Whether an answer ends with its head, whatever that says of a length.
pub(crate) fn has_no_content(method: &Method, status: StatusCode) -> bool {
    method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}
