//! `envoyExtAuthzGrpc`: a call of `envoy.service.auth.v3.Authorization/Check` over one HTTP/2 connection of the worker.
//!
//! Where an answer contradicts itself it denies, and where it would change what
//! it must not it does not count, though Envoy lets both pass:
//! `docs/external-authorization.md`.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use lockgate_core::check::{Authorizer, CheckProtocol, OwnedField, as_text};
use tokio::sync::SetOnce;
use tonic::client::{Grpc, GrpcService};
use tonic_prost::ProstCodec;

use super::message::Message;
use super::proto::{
    Address, AttributeContext, AttributeRequest, Behind, CHECK, CheckRequest, CheckResponse, DeniedHttpResponse,
    HeaderValueOption, HttpRequest, HttpResponse, OkHttpResponse, Peer, SocketAddress, Timestamp,
};
use super::{CheckError, Question, Reply, sent};
use crate::changes::{Change, To};
use crate::limits::{CHECK_ANSWER_BYTES_MAX, CHECK_FIELDS_MAX};
use crate::metrics::Shard;
use crate::upstream::{ConnectError, SendError, Signs, Target, connect_http2};

type Sender = (SendRequest<Message>, Rc<Signs>);

/// The connection to one authorizer, made when it is first needed and again when it is gone.
#[derive(Debug)]
pub(crate) struct Channel {
    target: Arc<Target>,
    shard: Arc<Shard>,
    sender: RefCell<Option<Sender>>,
    /// The connection that is being made: all questions wait for one, and what comes of it is theirs.
    attempt: RefCell<Option<Rc<Attempt>>>,
}

type Attempt = SetOnce<Result<Sender, ConnectError>>;

impl Channel {
    /// A channel without a connection.
    pub(crate) fn new(target: Arc<Target>, shard: Arc<Shard>) -> Self {
        Self {
            target,
            shard,
            sender: RefCell::default(),
            attempt: RefCell::default(),
        }
    }

    /// Where its connection leads.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Lets go of the connection; questions under way on it go on.
    pub(super) fn forget(&self) {
        self.sender.take();
    }

    async fn sender(self: &Rc<Self>, entropy: u64) -> Result<Sender, SendError> {
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        self.attempt(entropy).wait().await.clone().map_err(SendError::Connect)
    }

    fn attempt(self: &Rc<Self>, entropy: u64) -> Rc<Attempt> {
        let mut attempt = self.attempt.borrow_mut();
        let new = || {
            let made = Rc::<Attempt>::default();
            let (channel, told) = (Rc::clone(self), Rc::clone(&made));
            // In a task of its own, since it is nobody's alone.
            tokio::task::spawn_local(async move {
                let outcome = connect_http2(&channel.target, &channel.shard, entropy).await;
                *channel.sender.borrow_mut() = outcome.as_ref().ok().cloned();
                channel.attempt.take();
                // It is set here alone.
                let _ = told.set(outcome);
            });
            made
        };
        Rc::clone(attempt.get_or_insert_with(new))
    }

    fn open(&self) -> Option<Sender> {
        self.sender.borrow().clone().filter(|(sender, _)| !sender.is_closed())
    }
}

/// What tonic calls: it sends `message`, whatever tonic has for one.
struct Service {
    sender: SendRequest<Message>,
    message: Message,
}

impl GrpcService<tonic::body::Body> for Service {
    type ResponseBody = Incoming;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<http::Response<Incoming>, hyper::Error>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.sender.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let message = core::mem::take(&mut self.message);
        Box::pin(self.sender.send_request(request.map(|_| message)))
    }
}

pub(super) async fn ask(channel: &Rc<Channel>, question: &Question<'_>) -> Result<Reply, CheckError> {
    let CheckProtocol::Grpc { authority } = &question.authorizer.protocol else {
        return Err(CheckError::Field);
    };
    let origin = Uri::builder()
        .scheme("http")
        .authority(&**authority)
        .path_and_query("/")
        .build()
        .map_err(|_| CheckError::Field)?;
    let request = CheckRequest {
        attributes: Some(attributes(question)),
    };
    let body = question.body.as_ref().map(|body| body.pieces.clone());
    let is_text = !question.authorizer.body.is_some_and(|body| body.as_bytes);
    let message = Message::new(&request, body.unwrap_or_default(), is_text).ok_or(CheckError::Field)?;
    let (sender, signs) = channel.sender(question.entropy).await.map_err(CheckError::Send)?;
    signs.asked();
    let mut client =
        Grpc::with_origin(Service { sender, message }, origin).max_decoding_message_size(CHECK_ANSWER_BYTES_MAX);
    client
        .ready()
        .await
        .map_err(|error| CheckError::Send(SendError::Closed(error)))?;
    let codec: ProstCodec<(), CheckResponse> = ProstCodec::default();
    let path = PathAndQuery::from_static(CHECK);
    let answered = async {
        let answer = client.server_streaming(tonic::Request::new(()), path, codec).await?;
        let mut messages = answer.into_inner();
        let first = messages.message().await?;
        let is_only = first.is_none() || messages.message().await?.is_none();
        Ok((first, is_only))
    };
    match answered.await {
        Ok((Some(answer), true)) => reply(answer, question.headers),
        // Of two one may be a denial.
        Ok((Some(_), false)) => Ok(deny(DeniedHttpResponse::default())),
        Ok((None, _)) => Err(CheckError::NoVerdict),
        // It may be a denial with a long page.
        Err(failed) if is_too_long(&failed) => Ok(deny(DeniedHttpResponse::default())),
        Err(failed) => Err(CheckError::Grpc(tonic::Status::code(&failed))),
    }
}

fn attributes(question: &Question<'_>) -> AttributeContext {
    let mut headers: BTreeMap<String, String> = sent(question)
        .map(|(name, value)| (name.as_str().to_owned(), value))
        .collect();
    let host = as_text(question.host);
    for (name, value) in [
        (":method", question.method.as_str()),
        (":path", &question.target),
        (":authority", &host),
        (":scheme", question.scheme),
    ] {
        headers.insert(name.to_owned(), value.to_owned());
    }
    let mut http = HttpRequest {
        id: as_text(question.request_id.as_bytes()),
        method: question.method.as_str().to_owned(),
        path: question.target.clone(),
        host,
        scheme: question.scheme.to_owned(),
        size: size(question),
        protocol: match question.version {
            Version::HTTP_2 => "HTTP/2",
            _ => "HTTP/1.1",
        }
        .to_owned(),
        ..HttpRequest::default()
    };
    if let Some(body) = &question.body {
        headers.insert("x-envoy-auth-partial-body".to_owned(), body.is_partial.to_string());
        let behind = Some(Behind(body.pieces.iter().map(Bytes::len).sum()));
        if question.authorizer.body.is_some_and(|body| body.as_bytes) {
            http.raw_body = behind;
        } else {
            http.body = behind;
        }
    }
    http.headers = headers;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    AttributeContext {
        source: Some(Peer {
            principal: question
                .principal
                .map_or_else(String::new, |id| format!("spiffe://{id}")),
            ..peer(question.remote)
        }),
        destination: Some(peer(question.local)),
        request: Some(AttributeRequest {
            time: Some(Timestamp {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanos: i32::try_from(since.subsec_nanos()).unwrap_or(0),
            }),
            http: Some(http),
        }),
    }
}

fn peer(address: core::net::SocketAddr) -> Peer {
    Peer {
        address: Some(Address {
            socket_address: Some(SocketAddress {
                address: address.ip().to_string(),
                port_value: address.port().into(),
            }),
        }),
        principal: String::new(),
    }
}

/// Bytes of the client's body as its head tells them, or as many as were read; -1 when neither is known.
fn size(question: &Question<'_>) -> i64 {
    let told = question.headers.get(CONTENT_LENGTH);
    match told.map(|value| value.to_str().ok().and_then(|text| text.parse().ok())) {
        Some(size) => size.unwrap_or(-1),
        None if let Some(body) = &question.body => i64::try_from(body.whole).unwrap_or(-1),
        None if question.headers.contains_key(http::header::TRANSFER_ENCODING) => -1,
        None => 0,
    }
}

fn reply(answer: CheckResponse, headers: &HeaderMap) -> Result<Reply, CheckError> {
    let is_ok = answer.status.as_ref().map(|status| status.code == 0);
    match (is_ok, answer.http_response) {
        // A permission may leave its status out: 0 is what Protocol Buffers do not write.
        (Some(true), None) => Ok(Reply::allow(Vec::new(), Vec::new())),
        (Some(true) | None, Some(HttpResponse::Ok(ok))) => allow(ok, headers),
        (None, None) | (_, Some(HttpResponse::Error(_))) => Err(CheckError::NoVerdict),
        (_, Some(HttpResponse::Denied(denied))) => Ok(deny(denied)),
        (Some(false), None | Some(HttpResponse::Ok(_))) => Ok(deny(DeniedHttpResponse::default())),
    }
}

fn allow(mut ok: OkHttpResponse, headers: &HeaderMap) -> Result<Reply, CheckError> {
    if !ok.query_parameters_to_set.is_empty() || !ok.query_parameters_to_remove.is_empty() {
        return Err(CheckError::Forbidden("the query".into()));
    }
    let lists = [
        ok.headers.len(),
        ok.headers_to_remove.len(),
        ok.response_headers_to_add.len(),
    ];
    if lists.into_iter().any(|length| length > CHECK_FIELDS_MAX) {
        return Err(CheckError::TooManyFields);
    }
    let mut fields = Vec::new();
    // As Envoy does: first it overwrites, then it appends.
    ok.headers.sort_by_key(appends);
    for option in &ok.headers {
        let (name, value) = field(option)?;
        let name = changeable(&name)?;
        if appends(option) {
            append(&mut fields, name, value.as_bytes(), headers);
        } else {
            OwnedField::set(&mut fields, name, value.as_bytes());
        }
    }
    for name in &ok.headers_to_remove {
        // Envoy passes over those that must stay.
        let name = name.to_ascii_lowercase();
        if Authorizer::may_change(&name) {
            OwnedField::remove(&mut fields, &name);
        }
    }
    let mut to_client = Vec::new();
    for option in &ok.response_headers_to_add {
        let (name, value) = field(option)?;
        changeable(&name)?;
        to_client.extend(to(option, value).map(|to| Change { name, to }));
    }
    to_client.sort_by_key(order);
    Ok(Reply::allow(fields, to_client))
}

/// What a field of the upstream's answer becomes: the older `append` is stronger than `append_action`, as in Envoy, which
/// passes over actions that it does not know.
fn to(option: &HeaderValueOption, value: HeaderValue) -> Option<To> {
    match (option.append.as_ref().map(|append| append.value), option.append_action) {
        (Some(true), _) | (None, 0) => Some(To::OneMore(value)),
        (Some(false), _) | (None, 2) => Some(To::Only(value)),
        (None, 1) => Some(To::IfAbsent(value)),
        (None, 3) => Some(To::IfThere(value)),
        (None, _) => None,
    }
}

/// When Envoy makes a change: first it adds, then it overwrites, and last come those that depend on what is there.
fn order(change: &Change) -> u8 {
    match change.to {
        To::OneMore(_) => 0,
        To::Nothing | To::Only(_) => 1,
        To::IfAbsent(_) => 2,
        To::IfThere(_) => 3,
    }
}

fn appends(option: &HeaderValueOption) -> bool {
    option.append.as_ref().is_some_and(|append| append.value)
}

/// Adds `value` to the first value of a field that is there, as Envoy does; one that is not is left alone.
fn append(fields: &mut Vec<OwnedField>, name: &str, value: &[u8], headers: &HeaderMap) {
    let pending = fields.iter_mut().find(|field| *field.name == *name);
    if let Some(first) = pending.and_then(|field| field.value.as_mut()) {
        first.push(b',');
        first.extend_from_slice(value);
        return;
    }
    let mut values = headers.get_all(name).iter().map(HeaderValue::as_bytes);
    let Some(first) = values.next() else { return };
    OwnedField::set(fields, name, &[first, value].join(&b','));
    fields.extend(values.map(|value| OwnedField {
        name: name.into(),
        value: Some(value.to_vec()),
    }));
}

/// A denial stands whatever is wrong with the answer for the client: what cannot go is left out.
fn deny(denied: DeniedHttpResponse) -> Reply {
    let code = denied.status.and_then(|status| u16::try_from(status.code).ok());
    let status = code.and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(|status| matches!(status.as_u16(), 200..=599));
    let mut headers = HeaderMap::new();
    for option in denied.headers.iter().take(CHECK_FIELDS_MAX) {
        if let Ok((name, value)) = field(option)
            && Authorizer::may_change(name.as_str())
        {
            headers.append(name, value);
        }
    }
    Reply::deny(
        status.unwrap_or(StatusCode::FORBIDDEN),
        headers,
        Bytes::from(denied.body),
    )
}

/// Whether tonic gave up on a message because it is over the bound, which it says in words alone.
fn is_too_long(failed: &tonic::Status) -> bool {
    failed.code() == tonic::Code::OutOfRange && failed.message().contains("length too large")
}

fn field(option: &HeaderValueOption) -> Result<(HeaderName, HeaderValue), CheckError> {
    let header = option.header.as_ref().ok_or(CheckError::Field)?;
    if header.key.starts_with(':') {
        return Err(CheckError::Forbidden(header.key.as_str().into()));
    }
    let value = match header.value.is_empty() {
        true => &header.raw_value,
        false => header.value.as_bytes(),
    };
    let name = HeaderName::try_from(&*header.key).map_err(|_| CheckError::Field)?;
    let value = HeaderValue::from_bytes(value).map_err(|_| CheckError::Field)?;
    Ok((name, value))
}

fn changeable(name: &HeaderName) -> Result<&str, CheckError> {
    match Authorizer::may_change(name.as_str()) {
        true => Ok(name.as_str()),
        false => Err(CheckError::Forbidden(name.as_str().into())),
    }
}
