//! One request to an upstream, up to the head of its answer.

use core::cell::Cell;
use core::pin::{Pin, pin};
use core::time::Duration;
use std::fmt;
use std::rc::Rc;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use lockgate_core::upgrade::Upgrade;

use super::connect::{ConnectError, connect};
use super::pool::{Connection, Http1, Pool};
use super::switched::{Asked, switched_by};
use super::{Target, UpstreamBody, http2};
use crate::alarm::Alarm;
use crate::head::HeadFields;
use crate::pace::BodyFailure;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum SendError {
    /// No connection: nothing was sent.
    Connect(ConnectError),
    /// No answer in time.
    Timeout,
    /// No answer within the time that the route grants an attempt.
    PerTryTimeout,
    /// No answer within the time that the route grants all of them.
    ResponseTimeout,
    /// The connection broke before the answer's head was whole.
    Closed(hyper::Error),
    /// What came back is not an HTTP answer to this request.
    Garbage(String),
    /// It has a status of no class (RFC 9110 §15).
    BadStatus,
    /// The client's body broke off while it was passed on.
    ClientBody(hyper::Error),
    /// The client's body came too slowly.
    ClientTooSlow,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Timeout => f.write_str("no answer in time"),
            Self::PerTryTimeout => f.write_str("no answer within `perTryTimeout`"),
            Self::ResponseTimeout => f.write_str("no answer within `timeout`"),
            Self::Closed(error) => {
                write!(f, "connection closed before an answer: {error}")?;
                // Of HTTP/2 the error itself says no more than that it is one.
                let source = core::error::Error::source(error);
                source.map_or(Ok(()), |source| write!(f, ": {source}"))
            }
            Self::Garbage(what) => f.write_str(what),
            Self::BadStatus => f.write_str("the upstream's answer has a status beyond 599"),
            Self::ClientBody(error) => write!(f, "client's body: {error}"),
            Self::ClientTooSlow => BodyFailure::TooSlow.fmt(f),
        }
    }
}

/// Why there is no answer, and the request when nothing of it was sent.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: SendError,
    pub(crate) unsent: Option<Box<Request<UpstreamBody>>>,
}

impl From<SendError> for Failed {
    fn from(error: SendError) -> Self {
        Self { error, unsent: None }
    }
}

/// Which of an upstream's endpoints a request goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Towards {
    pub(crate) endpoint: usize,
    /// While no connection can be made, the others are tried in turn.
    pub(crate) all_endpoints: bool,
}

impl Towards {
    /// Whichever accepts a connection.
    pub(crate) fn any(target: &Target, entropy: u64) -> Self {
        Self {
            endpoint: target.choose(entropy),
            all_endpoints: true,
        }
    }
}

/// Sends `request`, in the protocol of its version, and waits at most `first_byte` for the head of the answer, from
/// when the last of a body was passed on.
///
/// A kept connection may turn out to be dead. If nothing was written to it, the request goes out once more, on a
/// fresh one; if anything was, it does not: the upstream may have acted on it.
pub(crate) async fn send(
    pool: &Rc<Pool>,
    mut request: Box<Request<UpstreamBody>>,
    to: Towards,
    first_byte: Duration,
    alarm: &Alarm,
) -> Result<(Response<Incoming>, Connection), Failed> {
    if request.version() == Version::HTTP_2 {
        // Apart, since it holds more.
        return Box::pin(http2::send(pool, request, to, first_byte)).await;
    }
    announce_body(&mut request);
    let mut kept = pool.take(to.endpoint);
    loop {
        let is_kept = kept.is_some();
        let connection = match kept.take() {
            Some(connection) => connection,
            // Apart, since it is seldom needed: the state of a TLS handshake is ten times that of all the rest.
            None => match Box::pin(connect(pool, to)).await {
                Ok(connection) => connection,
                Err(error) => {
                    return Err(Failed {
                        error: SendError::Connect(error),
                        unsent: Some(request),
                    });
                }
            },
        };
        match send_on(connection, request, first_byte, alarm).await {
            Ok(answer) => return Ok(answer),
            Err(Unsent::Failed(error)) => return Err(error.into()),
            Err(Unsent::Untouched(again)) if is_kept => request = again,
            Err(Unsent::Untouched(unsent)) => {
                let what = "the upstream closed a connection as soon as it was open";
                return Err(Failed {
                    error: SendError::Garbage(what.into()),
                    unsent: Some(unsent),
                });
            }
        }
    }
}

/// hyper takes a body of unknown length for none where a method seldom has one, unless it is told otherwise.
fn announce_body(request: &mut Request<UpstreamBody>) {
    let seldom_has_one = matches!(*request.method(), Method::GET | Method::HEAD);
    if seldom_has_one && request.body().size_hint().exact().is_none() {
        let chunked = HeaderValue::from_static("chunked");
        request.headers_mut().insert(TRANSFER_ENCODING, chunked);
    }
}

enum Unsent {
    /// Nothing was written; here is the request back.
    Untouched(Box<Request<UpstreamBody>>),
    Failed(SendError),
}

async fn send_on(
    mut connection: Http1,
    request: Box<Request<UpstreamBody>>,
    first_byte: Duration,
    alarm: &Alarm,
) -> Result<(Response<Incoming>, Connection), Unsent> {
    let asked = Upgrade::asked(request.method().as_str(), &HeadFields(request.headers())).map(|upgrade| Asked {
        upgrade,
        switched: connection.awaited.may_switch(),
    });
    connection.awaited.begin();
    let passed_on = request.body().passed_on();
    let answer = pin!(connection.sender.try_send_request(*request));
    let answer = unless_silent(alarm, first_byte, passed_on.as_deref(), answer).await;
    let mut switched = None;
    if let Some(Ok(answer)) = &answer
        && answer.status() == StatusCode::SWITCHING_PROTOCOLS
    {
        // Apart, since it is seldom needed.
        switched = match Box::pin(switched_by(asked, answer)).await {
            Ok(switched) => Some(Box::new(switched)),
            Err(why) => return Err(Unsent::Failed(SendError::Garbage(why.into()))),
        };
    }
    connection.awaited.end();
    match answer {
        None => Err(Unsent::Failed(SendError::Timeout)),
        Some(Ok(answer)) => match distrusted(&answer) {
            Some(why) => Err(Unsent::Failed(why)),
            None => {
                let switched = switched.map(Connection::Switched);
                Ok((answer, switched.unwrap_or(Connection::Http1(connection))))
            }
        },
        Some(Err(mut error)) => Err(match error.take_message() {
            Some(request) => Unsent::Untouched(Box::new(request)),
            None => Unsent::Failed(classify(error.into_error())),
        }),
    }
}

/// What `answer` comes to, unless for as long as `limit` neither it nor more of the request's body comes.
pub(super) async fn unless_silent<F: Future>(
    alarm: &Alarm,
    limit: Duration,
    passed_on: Option<&Cell<u64>>,
    mut answer: Pin<&mut F>,
) -> Option<F::Output> {
    loop {
        let before = passed_on.map(Cell::get);
        let answer = alarm.within(limit, answer.as_mut()).await;
        if answer.is_some() || passed_on.map(Cell::get) == before {
            return answer;
        }
    }
}

/// What hyper reads and must not go on: a status of no class, and what another reader of this head of
/// HTTP/1 could take for another end of the body (RFC 9112 §6.1, §6.3). Codings other than `chunked` would go on without
/// their name.
pub(super) fn distrusted<B>(answer: &Response<B>) -> Option<SendError> {
    if answer.status().as_u16() > 599 {
        return Some(SendError::BadStatus);
    }
    let (mut codings, mut chunked, mut lengths) = (0_usize, 0_usize, 0_usize);
    // Once over all, which for the few fields of an answer costs less than to look for either.
    for (name, value) in answer.headers() {
        if *name == TRANSFER_ENCODING {
            codings += 1;
            chunked += usize::from(value.as_bytes().eq_ignore_ascii_case(b"chunked"));
        } else if *name == CONTENT_LENGTH {
            // A list of lengths is one line (RFC 9110 §8.6).
            lengths += value.as_bytes().split(|byte| *byte == b',').count();
        }
    }
    let why = match (codings, lengths) {
        (0, 0 | 1) => return None,
        (0, _) => "the upstream gave its answer's length twice",
        (1, 0) if chunked == 1 && answer.version() == Version::HTTP_11 => return None,
        (_, 0) => "the upstream's answer has another transfer coding than `chunked`",
        (..) => "the upstream gave its answer a length beside a transfer coding",
    };
    Some(SendError::Garbage(why.into()))
}

fn classify(error: hyper::Error) -> SendError {
    if error.is_user() {
        let failure = core::error::Error::source(&error).and_then(|source| source.downcast_ref());
        if let Some(BodyFailure::TooSlow) = failure {
            return SendError::ClientTooSlow;
        }
        return SendError::ClientBody(error);
    }
    if error.is_parse() {
        return SendError::Garbage(error.to_string());
    }
    SendError::Closed(error)
}
