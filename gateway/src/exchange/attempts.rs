//! A request upstream: sent, sent again, and given up in time.
//!
//! Whether what came of an attempt is tried again, and after which pause, is the
//! engine's to say ([`lockgate_core::retry`]). Here it is carried out, within
//! three bounds: nothing is sent again once the client has got a byte, a body
//! only when all of it is at hand, and all attempts share one time limit. A
//! request of a rule that asks for nothing is sent as it always was, without a
//! copy or a timer of its own.

use core::future::pending;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use lockgate_core::retry::{self, Outcome};
use lockgate_core::tables::{Attempts, RetryPolicy};

use crate::access::Record;
use crate::alarm::Alarm;
use crate::overload::Held;
use crate::pace::Paced;
use crate::upstream::{self, Connection, Failed, Pool, SendError, Towards, UpstreamBody, Watch};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const X_ENVOY_RATELIMITED: HeaderName = HeaderName::from_static("x-envoy-ratelimited");

/// An upstream's answer, and the connection that its body comes on.
type Answer = (Response<Incoming>, Connection);

/// What is needed to send a request until there is an answer.
pub(super) struct Trying {
    attempts: Attempts,
    entropy: u64,
    /// Retries made so far.
    retries: u32,
    /// Endpoints tried so far.
    tried: Vec<usize>,
    /// What is sent again; `None` when nothing is that was sent.
    copy: Option<Box<Copy>>,
    /// The client's body, while it is passed on.
    watch: Option<Rc<Watch>>,
    began: Instant,
}

/// A request as it was sent first.
struct Copy {
    method: Method,
    version: Version,
    uri: Uri,
    headers: HeaderMap,
    /// `None` when the body is watched.
    body: Option<VecDeque<Bytes>>,
}

/// The body that goes out, and the eye that is kept on it.
pub(super) fn body(
    pieces: Option<VecDeque<Bytes>>,
    incoming: Incoming,
    (attempts, headers): (&Attempts, &HeaderMap),
    is_mirrored: bool,
    record: &mut Record,
) -> (UpstreamBody, Option<Rc<Watch>>) {
    if let Some(pieces) = pieces {
        return (UpstreamBody::of_pieces(pieces), None);
    }
    let bytes = record.bytes_streamed.insert(Rc::default());
    record.body_broken = (!incoming.is_end_stream()).then(Rc::default);
    let broken = record.body_broken.clone();
    let keeps_copy = is_mirrored || repeats(attempts, headers);
    if incoming.is_end_stream() || !keeps_copy && !has_limits(attempts) {
        return (
            UpstreamBody::Stream(
                Box::new(Paced::new(incoming, record.version, headers, &record.peer, broken)),
                Rc::clone(bytes),
            ),
            None,
        );
    }
    let held = keeps_copy.then(|| Held::none(&record.worker.shared.load));
    let watch = Watch::new(Rc::clone(bytes), held);
    let paced = Paced::new(incoming, record.version, headers, &record.peer, broken);
    (UpstreamBody::Watched(Box::new(watch.over(paced))), Some(watch))
}

fn repeats(attempts: &Attempts, headers: &HeaderMap) -> bool {
    attempts.retries.is_some_and(|policy| {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        policy.may_repeat(content_type.starts_with(b"application/grpc"))
    })
}

fn has_limits(attempts: &Attempts) -> bool {
    let per_try = attempts.retries.and_then(|policy| policy.per_try_timeout_ms);
    attempts.timeout_ms.is_some() || per_try.is_some()
}

impl Trying {
    pub(super) fn new(
        attempts: Attempts,
        entropy: u64,
        request: &Request<UpstreamBody>,
        watch: Option<Rc<Watch>>,
        began: Instant,
    ) -> Self {
        let keeps_copy = repeats(&attempts, request.headers()) && !request.body().is_too_large_to_copy();
        let copy = keeps_copy.then(|| {
            Box::new(Copy {
                method: request.method().clone(),
                version: request.version(),
                uri: request.uri().clone(),
                headers: request.headers().clone(),
                body: match request.body() {
                    UpstreamBody::Pieces(pieces, _) => Some(pieces.clone()),
                    UpstreamBody::Watched(_) => None,
                    // Only a body that is none is not watched.
                    UpstreamBody::Stream(..) => Some(VecDeque::new()),
                },
            })
        });
        Self {
            attempts,
            entropy,
            retries: 0,
            tried: Vec::new(),
            copy,
            watch,
            began,
        }
    }

    /// Whether the first attempt is like any other request.
    pub(super) fn is_plain(&self) -> bool {
        self.copy.is_none() && !has_limits(&self.attempts)
    }

    /// Where the first attempt goes.
    pub(super) fn first(&self, pool: &Pool) -> Towards {
        Towards {
            endpoint: pool.target().choose(self.entropy),
            all_endpoints: self.attempts.all_endpoints,
        }
    }

    /// Sends the request as often as it takes.
    pub(super) async fn carry_out(
        &mut self,
        request: Box<Request<UpstreamBody>>,
        pool: &Rc<Pool>,
        record: &Record,
    ) -> Result<Answer, SendError> {
        let limit = self.limit(self.attempts.timeout_ms);
        tokio::select! {
            biased;
            answer = self.all(request, pool, record) => answer,
            () = limit => Err(SendError::ResponseTimeout),
        }
    }

    /// The same, when a plain first attempt at `endpoint` failed.
    pub(super) async fn carry_on(
        &mut self,
        failed: Failed,
        endpoint: usize,
        pool: &Rc<Pool>,
        record: &Record,
    ) -> Result<Answer, SendError> {
        self.tried.push(endpoint);
        match self.after(Err(failed), pool, record).await {
            Ok(request) => self.all(request, pool, record).await,
            Err(answer) => answer,
        }
    }

    /// When the rest of the answer must have come.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let timeout = Duration::from_millis(u64::from(self.attempts.timeout_ms?));
        // An answer may be there before the request has ended.
        let ended = self.watch.as_ref().map_or(Some(self.began), |watch| watch.ended());
        ended.unwrap_or_else(Instant::now).checked_add(timeout)
    }

    async fn all(
        &mut self,
        mut request: Box<Request<UpstreamBody>>,
        pool: &Rc<Pool>,
        record: &Record,
    ) -> Result<Answer, SendError> {
        loop {
            let came = self.attempt(request, pool, record).await;
            match self.after(came, pool, record).await {
                Ok(again) => request = again,
                Err(answer) => return answer,
            }
        }
    }

    async fn attempt(
        &mut self,
        request: Box<Request<UpstreamBody>>,
        pool: &Rc<Pool>,
        record: &Record,
    ) -> Result<Answer, Failed> {
        let to = self.next(pool);
        self.tried.push(to.endpoint);
        let first_byte = record.worker.shared.times.first_byte;
        let first_byte = first_byte.saturating_sub(self.began.elapsed());
        let per_try = self.attempts.retries.and_then(|policy| policy.per_try_timeout_ms);
        let limit = self.limit(per_try);
        let alarm = Alarm::default();
        tokio::select! {
            biased;
            answer = upstream::send(pool, request, to, first_byte, &alarm) => answer,
            () = limit => Err(SendError::PerTryTimeout.into()),
        }
    }

    /// Where the next attempt goes.
    fn next(&self, pool: &Pool) -> Towards {
        let first = self.first(pool);
        let Some(before) = self.retries.checked_sub(1) else {
            return first;
        };
        let avoids_tried = self.attempts.retries.is_some_and(|policy| policy.avoids_tried);
        let tried = if avoids_tried { &self.tried[..] } else { &[] };
        Towards {
            endpoint: pool
                .target()
                .choose_other(retry::endpoint_entropy(self.entropy, before), tried),
            ..first
        }
    }

    /// The request to send next, after its pause, or else what the client gets.
    async fn after(
        &mut self,
        came: Result<Answer, Failed>,
        pool: &Rc<Pool>,
        record: &Record,
    ) -> Result<Box<Request<UpstreamBody>>, Result<Answer, SendError>> {
        let pause = self
            .attempts
            .retries
            .and_then(|policy| self.pause(&policy, &came, record));
        let (pause, request) = match (pause, came) {
            (None, came) => return Err(came.map_err(|failed| failed.error)),
            (Some(pause), Ok(answer)) => match self.repeated() {
                Some(request) => {
                    let (response, connection) = answer;
                    // The rest of an answer that nobody gets is not worth reading.
                    if response.body().is_end_stream() {
                        pool.put(connection);
                    }
                    (pause, request)
                }
                None => return Err(Ok(answer)),
            },
            (Some(pause), Err(Failed { error, unsent })) => match unsent.or_else(|| self.repeated()) {
                Some(request) => (pause, request),
                None => return Err(Err(error)),
            },
        };
        self.retries = self.retries.saturating_add(1);
        record
            .worker
            .shard
            .upstream_retries_total
            .fetch_add(1, Ordering::Relaxed);
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        Ok(request)
    }

    /// The pause before the next attempt, if there is one.
    fn pause(&self, policy: &RetryPolicy, came: &Result<Answer, Failed>, record: &Record) -> Option<Duration> {
        let outcome = match came {
            Ok((answer, _)) => Outcome::Answer {
                status: answer.status().as_u16(),
                grpc_status: answer
                    .headers()
                    .get(GRPC_STATUS)
                    .and_then(|value| value.to_str().ok()?.parse().ok()),
                rate_limited: answer.headers().contains_key(X_ENVOY_RATELIMITED),
            },
            Err(Failed { error, unsent }) => match error {
                SendError::Connect(_) => Outcome::ConnectFailure,
                SendError::Closed(_) | SendError::Garbage(_) | SendError::BadStatus => Outcome::Reset {
                    begun: unsent.is_none(),
                },
                SendError::PerTryTimeout => Outcome::PerTryTimeout,
                SendError::Timeout
                | SendError::ResponseTimeout
                | SendError::ClientBody(_)
                | SendError::ClientTooSlow => return None,
            },
        };
        let tables = record.tables()?;
        let pause = policy.next(tables, outcome, self.retries, self.entropy)?;
        Some(Duration::from_millis(u64::from(pause)))
    }

    /// The request once more, if all of it is at hand.
    fn repeated(&self) -> Option<Box<Request<UpstreamBody>>> {
        let copy = self.copy.as_ref()?;
        let pieces = match (&copy.body, &self.watch) {
            (Some(pieces), _) => pieces.clone(),
            (None, Some(watch)) => VecDeque::from([watch.whole()?]),
            (None, None) => return None,
        };
        let mut request = Box::new(Request::new(UpstreamBody::of_pieces(pieces)));
        *request.method_mut() = copy.method.clone();
        *request.version_mut() = copy.version;
        *request.uri_mut() = copy.uri.clone();
        *request.headers_mut() = copy.headers.clone();
        Some(request)
    }

    /// Waits until `limit` after the request has ended; for ever without one.
    fn limit(&self, limit: Option<u32>) -> impl Future<Output = ()> + use<> {
        let watch = self.watch.clone();
        async move {
            let Some(limit) = limit else { return pending().await };
            if let Some(watch) = watch {
                watch.end().await;
            }
            tokio::time::sleep(Duration::from_millis(u64::from(limit))).await;
        }
    }
}
