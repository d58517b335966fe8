//! The body that goes to the client: an answer of ours, or the upstream's,
//! passed on frame by frame as it comes and observed on the way.
//!
//! An upstream that breaks off, or stands still for too long, ends the body with
//! an error, upon which hyper cuts the client's connection (HTTP/1.1) or resets
//! the stream (HTTP/2): half an answer never looks like a whole one. Where it is
//! an LLM's event stream, the client is told first, in an event as the engine has
//! it ([`lockgate_core::llm::cut`]). Dropping the body, as hyper does when the
//! client goes away, closes the upstream's connection at once.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::Method;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use lockgate_core::llm::cut::{CutEvent, StreamCut};
use tokio::sync::oneshot;
use tokio::time::Sleep;

use crate::access::{Flag, Record};
use crate::head;
use crate::idle::IdleLimit;
use crate::meter::Meter;
use crate::pace::{self, Broken};
use crate::upstream::{Connection, Pool};
use crate::worker::Counted;

/// The body of an answer, with the record that ends with it.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// An answer of ours.
    Own(Bytes, Box<Record>),
    /// An upstream's.
    Upstream(Box<Passing>),
    /// None: HTTP ends with the head.
    Switched,
}

/// Why a body ends early.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The upstream broke off.
    Upstream(hyper::Error),
    /// The upstream reset the stream, without an error.
    Reset,
    /// The upstream closed in the middle of an answer that goes on until it closes.
    Closed,
    /// The upstream stood still.
    StandsStill,
    /// It took longer than the route grants it.
    Late,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the upstream broke off: {error}"),
            Self::Reset => f.write_str("the upstream reset the stream"),
            Self::Closed => f.write_str("the upstream closed in the middle of its answer"),
            Self::StandsStill => f.write_str("the upstream stood still"),
            Self::Late => f.write_str("the upstream took too long"),
        }
    }
}

impl core::error::Error for Cut {}

impl Cut {
    fn cause(&self) -> StreamCut {
        match self {
            Self::Upstream(_) | Self::Reset | Self::Closed => StreamCut::Broken,
            Self::StandsStill => StreamCut::Idle,
            Self::Late => StreamCut::Late,
        }
    }

    /// As Envoy's access log has it.
    fn logged(&self) -> (Flag, &'static str) {
        match self {
            Self::Upstream(_) | Self::Reset | Self::Closed => {
                (Flag::UpstreamTermination, "upstream_reset_after_response_started")
            }
            Self::StandsStill => (Flag::StreamIdle, UNREAD),
            Self::Late => (Flag::UpstreamTimeout, "upstream_response_timeout"),
        }
    }
}

/// A cut that waits for the client to be told of it.
///
/// At a body's error hyper drops what it has not written yet over HTTP/1.1, and what h2 has not sent yet over HTTP/2. So
/// the error comes when the event is gone from both, which is when its bytes are dropped.
#[derive(Debug)]
struct Parting {
    cut: Option<Cut>,
    sent: oneshot::Receiver<()>,
}

/// The bytes of the last event. Dropping them ends the wait for it.
struct LastEvent {
    event: CutEvent,
    _sent: oneshot::Sender<()>,
}

impl AsRef<[u8]> for LastEvent {
    fn as_ref(&self) -> &[u8] {
        &self.event
    }
}

impl Parting {
    fn new(cut: Cut, event: CutEvent) -> (Self, Bytes) {
        let (sender, sent) = oneshot::channel();
        let event = Bytes::from_owner(LastEvent { event, _sent: sender });
        (Self { cut: Some(cut), sent }, event)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if Pin::new(&mut self.sent).poll(cx).is_pending() {
            return Poll::Pending;
        }
        Poll::Ready(self.cut.take().map(Err))
    }
}

/// An upstream's answer on its way through.
#[derive(Debug)]
pub(crate) struct Passing {
    incoming: Incoming,
    connection: Option<Connection>,
    pool: Rc<Pool>,
    meter: Meter,
    idle: IdleLimit,
    /// When all of it must have come.
    deadline: Option<Pin<Box<Sleep>>>,
    /// It was cut, and the client is being told.
    parting: Option<Box<Parting>>,
    /// `None` once the body has ended.
    record: Option<Box<Record>>,
    /// It has been waited for.
    has_waited: bool,
    extent: Extent,
}

/// How far an answer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// To the end of its head, whatever more its upstream sends.
    Head,
    /// To where its upstream says that it ends.
    Framed,
    /// Until its upstream closes, be that its end or not.
    UntilClosed,
}

impl Passing {
    /// The answer `incoming` that comes over `connection`, as far as it goes.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: &Rc<Pool>,
        deadline: Option<Instant>,
        meter: Meter,
        extent: Extent,
        record: Box<Record>,
    ) -> Self {
        let idle = IdleLimit::new(record.worker.shared.times.stream_idle);
        let mut passing = Self {
            incoming,
            connection: Some(connection),
            pool: Rc::clone(pool),
            meter,
            idle,
            deadline: deadline.map(|at| Box::pin(tokio::time::sleep_until(at.into()))),
            parting: None,
            record: Some(record),
            has_waited: false,
            extent,
        };
        if passing.incoming.is_end_stream() {
            passing.end();
        } else if extent == Extent::Head {
            // HTTP/1.1 has no more of it. What comes in HTTP/2 is not read, as little as its end, if that comes by itself.
            passing.connection = None;
            passing.finish(Flag::None, VIA_UPSTREAM);
        }
        passing
    }

    fn data(&mut self, data: &Bytes) {
        self.idle.active();
        if let Some(record) = &mut self.record {
            self.meter.feed(data, &record.worker);
            record.bytes_sent = record.bytes_sent.saturating_add(data.len() as u64);
            record.first_byte.get_or_insert_with(Instant::now);
        }
        if self.incoming.is_end_stream() {
            self.end();
        }
    }

    /// The answer is whole: its connection can serve the next request.
    fn end(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.put(connection);
        }
        self.finish(Flag::None, VIA_UPSTREAM);
    }

    /// The answer ends here: for an LLM's event stream with an event that says so, where one may still be sent.
    fn cut(&mut self, cut: Cut) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        self.connection = None;
        let (flag, details) = self.logged(&cut);
        // Where a length was promised, one more byte would be a lie.
        let may_add = self.meter.is_between_events() && self.incoming.size_hint().exact().is_none();
        let Some(record) = self.record.as_mut().filter(|_| may_add) else {
            self.finish(flag, details);
            return Poll::Ready(Some(Err(cut)));
        };
        let event = cut.cause().event(record.uri.path());
        record.bytes_sent = record.bytes_sent.saturating_add(event.len() as u64);
        count_usage(&mut self.meter, record);
        record.end(flag, details);
        let (parting, event) = Parting::new(cut, event);
        self.parting = Some(Box::new(parting));
        Poll::Ready(Some(Ok(Frame::data(event))))
    }

    /// An upstream that does not get the rest of a request gives none of its answer either: the fault is the client's.
    fn logged(&self, cut: &Cut) -> (Flag, &'static str) {
        let broken = self
            .record
            .as_ref()
            .and_then(|record| record.body_broken.as_ref()?.get());
        match broken.filter(|_| cut.cause() == StreamCut::Broken) {
            Some(Broken::Left) => (Flag::DownstreamTermination, "downstream_remote_disconnect"),
            Some(Broken::Framing) => (Flag::DownstreamProtocol, "bad_body_framing"),
            Some(Broken::TooSlow) => (Flag::StreamIdle, "body_timeout"),
            None => cut.logged(),
        }
    }

    fn finish(&mut self, flag: Flag, details: &'static str) {
        if let Some(mut record) = self.record.take() {
            count_usage(&mut self.meter, &mut record);
            record.end(flag, details);
        }
    }
}

/// What the answer used, unless it is one that was made, and counted, before: only POST asks a model for something.
fn count_usage(meter: &mut Meter, record: &mut Record) {
    let reported = meter.finish(&record.worker);
    record.usage = reported.filter(|_| record.method == Method::POST);
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Left by the client: what was used until then still counts.
        if let Some(record) = self.record.as_mut().filter(|_| self.parting.is_none()) {
            count_usage(&mut self.meter, record);
            if record.peer.does_not_read() {
                record.end(Flag::StreamIdle, UNREAD);
            }
        }
    }
}

/// As Envoy's access log has it.
const VIA_UPSTREAM: &str = "via_upstream";

/// As Envoy's access log has it, also of a client that takes nothing.
const UNREAD: &str = "stream_idle_timeout";

impl ClientBody {
    /// Whether it waits for the client to take what it was sent.
    pub(crate) fn waits_for_client(&self) -> bool {
        matches!(self, Self::Upstream(passing) if passing.parting.is_some())
    }

    /// What counts its request, for who keeps it until all of it is sent.
    pub(crate) fn counted(&mut self) -> Option<Counted> {
        match self {
            Self::Own(_, record) => record.counted.take(),
            Self::Upstream(passing) => passing.record.as_mut()?.counted.take(),
            Self::Switched => None,
        }
    }

    /// The client has not taken any of it for too long.
    pub(crate) fn unread(&mut self) {
        match self {
            Self::Own(_, record) => record.end(Flag::StreamIdle, UNREAD),
            Self::Upstream(passing) if passing.parting.is_none() => passing.finish(Flag::StreamIdle, UNREAD),
            Self::Upstream(_) | Self::Switched => {}
        }
    }
}

impl Body for ClientBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Own(bytes, record) => Poll::Ready((!bytes.is_empty()).then(|| {
                record.bytes_sent = bytes.len() as u64;
                Ok(Frame::data(core::mem::take(bytes)))
            })),
            Self::Upstream(passing) => passing.poll(cx),
            Self::Switched => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes, _) => bytes.is_empty(),
            Self::Upstream(passing) => {
                passing.extent == Extent::Head || passing.parting.is_none() && passing.incoming.is_end_stream()
            }
            Self::Switched => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(passing) => passing.incoming.size_hint(),
            Self::Switched => SizeHint::with_exact(0),
        }
    }
}

impl Passing {
    /// Whether a body without more to come lacks its end.
    fn is_torn(&self) -> bool {
        matches!(self.connection, Some(Connection::Http2(_))) && pace::is_torn(&self.incoming)
    }

    /// Whether a body that ends with its connection ends in the middle, which only what is read of it can tell.
    fn is_half(&self) -> bool {
        self.extent == Extent::UntilClosed && self.meter.is_unfinished()
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(parting) = &mut self.parting {
            return parting.poll(cx);
        }
        if let Some(deadline) = &mut self.deadline
            && self.record.is_some()
            && deadline.as_mut().poll(cx).is_ready()
        {
            return self.cut(Cut::Late);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.data(data);
                }
                Poll::Ready(Some(Ok(match frame.into_trailers() {
                    Ok(mut trailers) => {
                        head::clean_trailers(&mut trailers);
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                })))
            }
            Poll::Ready(Some(Err(error))) => self.cut(Cut::Upstream(error)),
            // A stream that is reset without an error ends so in hyper, too.
            Poll::Ready(None) if self.is_torn() => self.cut(Cut::Reset),
            Poll::Ready(None) if self.is_half() => self.cut(Cut::Closed),
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending if self.idle.poll(cx).is_ready() => self.cut(Cut::StandsStill),
            Poll::Pending => {
                self.wait();
                Poll::Pending
            }
        }
    }

    fn wait(&mut self) {
        if let Some(record) = self.record.as_mut().filter(|_| !self.has_waited) {
            record.settle();
        }
        self.has_waited = true;
    }
}
