//! The bytes a client gets when it is answered here, in the shape its API speaks.
//!
//! What Istio defines is Istio's, exactly: `RBAC: access denied` and an empty
//! 404. Everything that is ours to define is the API's own error object, so that
//! an SDK raises its usual exception (`semantics`: OpenAI's and Anthropic's error
//! references).

use core::fmt::{self, Write};

use serde::Serialize;

use crate::decision::{BadRequest, External, Refusal};
use crate::request::{Request, Scheme};
use crate::tables::{RuleId, Tables};

/// Room for any answer's body.
pub const ANSWER_BYTES_MAX: usize = 512;

/// Whose error object to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorShape {
    /// `{"error":{"message","type","param","code"}}`
    OpenAi,
    /// `{"type":"error","error":{"type","message"}}`
    Anthropic,
    /// None: a line of text, as Envoy answers where no LLM API is spoken.
    Text,
}

impl ErrorShape {
    /// The shape for a request that `rule` took, if one did: of a rule that sends nothing to an LLM it is text.
    #[must_use]
    pub fn of(tables: &Tables, rule: Option<RuleId>, path: &str) -> Self {
        match rule {
            Some(rule) if !tables.is_llm_rule(rule) => Self::Text,
            _ => Self::of_path(path),
        }
    }

    /// The API that a client speaks on `path`: Anthropic's on `…/v1/messages`, otherwise OpenAI's.
    #[must_use]
    pub fn of_path(path: &str) -> Self {
        let path = path.split(['?', '#']).next().unwrap_or("");
        if path.ends_with("/v1/messages") || path.ends_with("/v1/messages/count_tokens") {
            Self::Anthropic
        } else {
            Self::OpenAi
        }
    }
}

/// A whole answer but for `date`, `content-length` and `x-request-id`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// `content-type`, when there is a body.
    pub content_type: Option<&'static str>,
    /// `allow`, for 405.
    pub allow: Option<&'static str>,
    /// Whether [`Challenge`] belongs into `www-authenticate`.
    pub challenges: bool,
    /// The body.
    pub body: heapless::Vec<u8, ANSWER_BYTES_MAX>,
}

/// What an error object says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorDetail {
    /// The status code.
    pub status: u16,
    /// For the person who reads it.
    pub message: &'static str,
    /// For the program that reads it: OpenAI's `code`.
    pub code: &'static str,
    /// The field of the body that is at fault: OpenAI's `param`.
    pub param: Option<&'static str>,
}

/// Bytes of a path that a challenge repeats, as Envoy bounds it.
const REALM_PATH_BYTES_MAX: usize = 256;

/// The value of `www-authenticate` for a token that must not pass.
///
/// It names scheme, host and path of the request. Envoy repeats the query too, and with it a token in
/// `access_token`; here it is left out, on purpose.
#[derive(Clone, Copy)]
pub struct Challenge<'r> {
    scheme: Scheme,
    host: &'r [u8],
    path: &'r [u8],
}

impl<'r> Challenge<'r> {
    /// The challenge that answers `request`.
    #[must_use]
    pub fn new(request: &Request<'r>) -> Self {
        let mut host: &[u8] = &[];
        request.headers.each("host", &mut |value| host = value);
        let path = request.target.split(['?', '#']).next().unwrap_or("").as_bytes();
        Self {
            scheme: request.connection.scheme,
            host: request.authority.map_or(host, |sent| sent.text.as_bytes()),
            path: path.get(..REALM_PATH_BYTES_MAX).unwrap_or(path),
        }
    }
}

impl fmt::Display for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Bearer realm=\"{}://", self.scheme.as_str())?;
        for &byte in self.host.iter().chain(self.path) {
            // What would end the quoted string, or the field.
            if byte.is_ascii_graphic() && byte != b'"' && byte != b'\\' {
                f.write_char(char::from(byte))?;
            } else {
                write!(f, "%{byte:02X}")?;
            }
        }
        f.write_str("\", error=\"invalid_token\"")
    }
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Istio's answers: a line of text without its end.
fn plain(status: u16, text: &'static str) -> Answer {
    Answer {
        status,
        content_type: Some("text/plain"),
        allow: None,
        challenges: false,
        body: heapless::Vec::from_slice(text.as_bytes()).unwrap_or_default(),
    }
}

/// Istio's answers without a word.
fn empty(status: u16) -> Answer {
    Answer {
        status,
        content_type: None,
        allow: None,
        challenges: false,
        body: heapless::Vec::new(),
    }
}

impl Refusal {
    /// The answer to the client; of an authorizer's denial only the status, as the rest is the authorizer's.
    #[must_use]
    pub fn answer(self, shape: ErrorShape) -> Answer {
        match self {
            Self::Token(error) => Answer {
                challenges: true,
                ..plain(error.status(), error.message())
            },
            Self::Denied(_) => plain(403, "RBAC: access denied"),
            Self::NoRoute | Self::NoRouteAfterRewrite(_) => empty(404),
            Self::External(_, External::Denied(status) | External::Failed(status)) => empty(status),
            Self::MethodNotAllowed(_) => Answer {
                allow: Some("POST"),
                ..self.detail().answer(shape)
            },
            Self::BadRequest(BadRequest::Trace) => Answer {
                allow: Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
                ..self.detail().answer(shape)
            },
            Self::Misdirected
            | Self::BadRequest(_)
            | Self::BadRewrite(_)
            | Self::NoUpgrade(_)
            | Self::Body(..)
            | Self::NotAdmitted { .. } => self.detail().answer(shape),
        }
    }

    /// The status code.
    #[must_use]
    pub fn status(self) -> u16 {
        self.detail().status
    }

    /// A stable name for logs and metrics.
    #[must_use]
    pub fn code(self) -> &'static str {
        self.detail().code
    }

    /// What went wrong, in words for people and programs.
    #[must_use]
    pub fn detail(self) -> ErrorDetail {
        let detail = |status, code, message| ErrorDetail {
            status,
            message,
            code,
            param: None,
        };
        match self {
            Self::BadRequest(bad) => bad.detail(),
            Self::Misdirected => detail(
                421,
                "misdirected_request",
                "the connection was made for another host: open one for this host",
            ),
            Self::Token(error) => detail(error.status(), error.code(), error.message()),
            Self::Denied(_) => detail(403, "rbac_access_denied", "RBAC: access denied"),
            Self::External(_, External::Denied(status)) => {
                detail(status, "ext_authz_denied", "the external authorizer denied the request")
            }
            Self::External(_, External::Failed(status)) => detail(
                status,
                "ext_authz_error",
                "the external authorizer gave no answer that counts",
            ),
            Self::BadRewrite(_) => detail(
                400,
                "bad_rewritten_path",
                "the request's path is not valid after its rewrite",
            ),
            Self::NoRoute => detail(404, "route_not_found", "no route matches the request"),
            Self::NoRouteAfterRewrite(_) => detail(
                404,
                "route_not_found_after_rewrite",
                "no route matches the request after its rewrite",
            ),
            Self::NoUpgrade(_) => detail(403, "upgrade_not_allowed", "no WebSocket is allowed here"),
            Self::MethodNotAllowed(_) => detail(405, "method_not_allowed", "only POST is allowed here"),
            Self::Body(_, error) => ErrorDetail {
                status: error.status(),
                message: error.message(),
                code: error.code(),
                param: error.param(),
            },
            Self::NotAdmitted { .. } => detail(
                500,
                "provider_not_admitted",
                "the gateway's routes disagree about the provider of this request",
            ),
        }
    }
}

impl BadRequest {
    fn detail(self) -> ErrorDetail {
        let (status, code, message) = match self {
            Self::Method => (400, "bad_method", "the request's method is not known"),
            Self::Trace => (405, "trace_not_allowed", "TRACE is not allowed here"),
            Self::MissingHost => (400, "missing_host", "the request names no host"),
            Self::TwoHosts => (400, "two_hosts", "the request names more than one host"),
            Self::Connection => (
                400,
                "bad_connection_header",
                "the Connection header names a field that is not about the connection",
            ),
            Self::Scheme => (
                400,
                "bad_scheme",
                "the request's target is of another scheme than this connection",
            ),
            Self::Authority => (400, "bad_host", "the request's host is not a valid host or host:port"),
            Self::Path => (400, "bad_path", "the request's path is not valid"),
            Self::PathTooLong => (414, "path_too_long", "the request's path is too long"),
            Self::FieldTooLong => (431, "header_too_long", "a header of the request is too long"),
        };
        ErrorDetail {
            status,
            message,
            code,
            param: None,
        }
    }
}

impl ErrorDetail {
    /// The answer that carries this as an error object of `shape`.
    #[must_use]
    pub fn answer(self, shape: ErrorShape) -> Answer {
        let mut buffer = [0; ANSWER_BYTES_MAX];
        let written = match shape {
            ErrorShape::Text => return plain(self.status, self.message),
            ErrorShape::OpenAi => serde_json_core::to_slice(&OpenAiError::from(self), &mut buffer),
            ErrorShape::Anthropic => serde_json_core::to_slice(&AnthropicError::from(self), &mut buffer),
        };
        // Every detail is a constant of this crate, and a test writes them all: they fit.
        let body = written
            .ok()
            .and_then(|len| heapless::Vec::from_slice(buffer.get(..len)?).ok())
            .unwrap_or_default();
        Answer {
            status: self.status,
            content_type: Some("application/json"),
            allow: None,
            challenges: false,
            body,
        }
    }
}

#[derive(Serialize)]
struct OpenAiError {
    error: OpenAiErrorBody,
}

#[derive(Serialize)]
struct OpenAiErrorBody {
    message: &'static str,
    r#type: &'static str,
    param: Option<&'static str>,
    code: &'static str,
}

impl From<ErrorDetail> for OpenAiError {
    fn from(detail: ErrorDetail) -> Self {
        let r#type = if detail.status < 500 {
            "invalid_request_error"
        } else {
            "server_error"
        };
        Self {
            error: OpenAiErrorBody {
                message: detail.message,
                r#type,
                param: detail.param,
                code: detail.code,
            },
        }
    }
}

#[derive(Serialize)]
struct AnthropicError {
    r#type: &'static str,
    error: AnthropicErrorBody,
}

#[derive(Serialize)]
struct AnthropicErrorBody {
    r#type: &'static str,
    message: &'static str,
}

impl From<ErrorDetail> for AnthropicError {
    fn from(detail: ErrorDetail) -> Self {
        let r#type = match detail.status {
            401 => "authentication_error",
            403 => "permission_error",
            404 => "not_found_error",
            413 => "request_too_large",
            429 => "rate_limit_error",
            503 => "overloaded_error",
            504 => "timeout_error",
            status if status < 500 => "invalid_request_error",
            _ => "api_error",
        };
        Self {
            r#type: "error",
            error: AnthropicErrorBody {
                r#type,
                message: detail.message,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Denial;
    use crate::tables::ProviderId;

    #[test]
    fn denied_is_istios_text_exactly() {
        let answer = Refusal::Denied(Denial::NoAllowMatched).answer(ErrorShape::OpenAi);
        assert_eq!((answer.status, answer.content_type), (403, Some("text/plain")));
        assert_eq!(&answer.body[..], b"RBAC: access denied");
        assert_eq!(answer.body.len(), 19);
    }

    #[test]
    fn no_route_is_an_empty_404() {
        for refusal in [Refusal::NoRoute, Refusal::NoRouteAfterRewrite(RuleId(0))] {
            let answer = refusal.answer(ErrorShape::OpenAi);
            assert_eq!((answer.status, answer.content_type, answer.body.len()), (404, None, 0));
        }
    }

    #[test]
    fn ours_are_error_objects_of_the_clients_api() {
        let refusal = Refusal::NotAdmitted {
            rule: RuleId(0),
            second: RuleId(1),
            provider: ProviderId(0),
        };
        let body = refusal.answer(ErrorShape::OpenAi).body;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["error"]["type"], "server_error");
        assert_eq!(json["error"]["code"], "provider_not_admitted");
        assert!(json["error"]["param"].is_null());
        let body = refusal.answer(ErrorShape::Anthropic).body;
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            (&json["type"], &json["error"]["type"]),
            (&"error".into(), &"api_error".into())
        );
    }

    #[test]
    fn every_head_refusal_fits_and_names_its_status() {
        for (bad, status) in [
            (BadRequest::Method, 400),
            (BadRequest::Trace, 405),
            (BadRequest::MissingHost, 400),
            (BadRequest::TwoHosts, 400),
            (BadRequest::Connection, 400),
            (BadRequest::Scheme, 400),
            (BadRequest::Authority, 400),
            (BadRequest::Path, 400),
            (BadRequest::PathTooLong, 414),
            (BadRequest::FieldTooLong, 431),
        ] {
            let answer = Refusal::BadRequest(bad).answer(ErrorShape::OpenAi);
            assert_eq!(answer.status, status);
            assert!(!answer.body.is_empty());
        }
    }

    #[test]
    fn a_405_says_what_is_allowed() {
        let answer = Refusal::MethodNotAllowed(RuleId(0)).answer(ErrorShape::OpenAi);
        assert_eq!((answer.status, answer.allow), (405, Some("POST")));
        let answer = Refusal::BadRequest(BadRequest::Trace).answer(ErrorShape::OpenAi);
        assert_eq!(answer.status, 405);
        assert!(answer.allow.is_some_and(|methods| !methods.contains("TRACE")));
    }

    #[test]
    fn the_path_tells_the_api() {
        for (path, shape) in [
            ("/v1/messages", ErrorShape::Anthropic),
            ("/anthropic/v1/messages?beta=true", ErrorShape::Anthropic),
            ("/v1/chat/completions", ErrorShape::OpenAi),
            ("/", ErrorShape::OpenAi),
        ] {
            assert_eq!(ErrorShape::of_path(path), shape, "{path}");
        }
    }
}
