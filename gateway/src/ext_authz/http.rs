//! `envoyExtAuthzHttp`: the client's request without its body goes to the authorizer, at a path of its own; 200 lets the
//! request pass, 5xx is no answer, anything else goes to the client.
//!
//! What Envoy sends and takes was asked of one; `docs/external-authorization.md` has the list.

use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{HOST, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, Version};
use http_body_util::{BodyExt, Collected, Limited};
use lockgate_core::check::CheckProtocol;

use super::{CheckError, Question, Reply, sent};
use crate::alarm::Alarm;
use crate::changes::{Change, To};
use crate::limits::CHECK_ANSWER_BYTES_MAX;
use crate::pace;
use crate::upstream::{self, Pool, SendError, Towards, UpstreamBody};

const PARTIAL_BODY: HeaderName = HeaderName::from_static("x-envoy-auth-partial-body");

pub(super) async fn ask(pool: &Rc<Pool>, question: &Question<'_>, limit: Duration) -> Result<Reply, CheckError> {
    let mut request = request(question).ok_or(CheckError::Field)?;
    *request.version_mut() = pool.target().version(Version::HTTP_11);
    let to = Towards::any(pool.target(), question.entropy);
    let sent = upstream::send(pool, Box::new(request), to, limit, &Alarm::default()).await;
    let (answer, connection) = match sent.map_err(|failed| failed.error) {
        Ok(answer) => answer,
        // It is no 200, and must not go on.
        Err(SendError::BadStatus) => {
            return Ok(Reply::deny(StatusCode::FORBIDDEN, HeaderMap::new(), Bytes::new()));
        }
        Err(error) => return Err(CheckError::Send(error)),
    };
    let (head, mut incoming) = answer.into_parts();
    let body = Limited::new(&mut incoming, CHECK_ANSWER_BYTES_MAX).collect().await;
    // A stream that is reset without an error ends so in hyper, too.
    let is_torn = head.version == Version::HTTP_2 && pace::is_torn(&incoming);
    let body = body.ok().filter(|_| !is_torn).map(Collected::to_bytes);
    let body = body.ok_or(CheckError::Body);
    if body.is_ok() {
        pool.put(connection);
    }
    let authorizer = question.authorizer;
    if head.status.is_server_error() {
        return Err(CheckError::Status(head.status));
    }
    if head.status != StatusCode::OK {
        // The status alone denies.
        let body = body.unwrap_or_default();
        let fields = head.headers.iter();
        let fields = fields.filter(|(name, _)| authorizer.answers_client(name.as_str()));
        let headers = fields.map(|(name, value)| (name.clone(), value.clone()));
        return Ok(Reply::deny(head.status, headers.collect::<HeaderMap>(), body));
    }
    body?;
    let fields = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()));
    let changes = authorizer.allowed_over_http(fields);
    let added = head.headers.iter();
    let added = added.filter(|(name, _)| authorizer.adds_to_answer(name.as_str()));
    let to_client = added.map(|(name, value)| Change {
        name: name.clone(),
        to: To::OneMore(value.clone()),
    });
    Ok(Reply::allow(changes, to_client.collect()))
}

fn request(question: &Question<'_>) -> Option<Request<UpstreamBody>> {
    let CheckProtocol::Http { path_prefix } = &question.authorizer.protocol else {
        return None;
    };
    let target = PathAndQuery::try_from(format!("{path_prefix}{}", question.target)).ok()?;
    let pieces: VecDeque<Bytes> = question
        .body
        .as_ref()
        .map_or_else(VecDeque::new, |body| body.pieces.clone());
    let mut request = Request::new(UpstreamBody::of_pieces(pieces));
    *request.method_mut() = question.method.clone();
    *request.uri_mut() = Uri::from(target);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_bytes(question.host).ok()?);
    for (name, value) in sent(question) {
        headers.insert(name.clone(), HeaderValue::from_bytes(value.as_bytes()).ok()?);
    }
    if let Some(body) = &question.body {
        let partial = if body.is_partial { "true" } else { "false" };
        headers.insert(PARTIAL_BODY, HeaderValue::from_static(partial));
    }
    // They are the check's own, so a client's of the same names are gone.
    for (name, value) in question.adds {
        headers.insert(name.clone(), value.clone());
    }
    Some(request)
}
