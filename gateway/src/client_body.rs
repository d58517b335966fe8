//! The body that goes to the client: an answer of ours, or the upstream's,
//! passed on frame by frame as it comes and observed on the way.
//!
//! An upstream that breaks off, or stands still for too long, ends the body with
//! an error, upon which hyper cuts the client's connection (HTTP/1.1) or resets
//! the stream (HTTP/2): half an answer never looks like a whole one. Dropping
//! the body, as hyper does when the client goes away, closes the upstream's
//! connection at once.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::fmt;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::access::{Flag, Record};
use crate::idle::IdleLimit;
use crate::meter::Meter;
use crate::upstream::{Connection, Pool};

/// The body of an answer, with the record that ends with it.
#[derive(Debug)]
pub(crate) enum ClientBody {
    /// An answer of ours.
    Own(Bytes, Box<Record>),
    /// An upstream's.
    Upstream(Box<Passing>),
}

/// Why a body ends early.
#[derive(Debug)]
pub(crate) enum Cut {
    /// The upstream broke off.
    Upstream(hyper::Error),
    /// The upstream stood still.
    StandsStill,
    /// It took longer than the route grants it.
    Late,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Upstream(error) => write!(f, "the upstream broke off: {error}"),
            Self::StandsStill => f.write_str("the upstream stood still"),
            Self::Late => f.write_str("the upstream took too long"),
        }
    }
}

impl core::error::Error for Cut {}

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
    /// `None` once the body has ended.
    record: Option<Box<Record>>,
}

impl Passing {
    /// The answer `incoming` that comes over `connection`.
    pub(crate) fn new(
        incoming: Incoming,
        connection: Connection,
        pool: &Rc<Pool>,
        deadline: Option<Instant>,
        meter: Meter,
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
            record: Some(record),
        };
        if passing.incoming.is_end_stream() {
            passing.end();
        }
        passing
    }

    fn data(&mut self, data: &Bytes) {
        self.idle.active();
        self.meter.feed(data);
        if let Some(record) = &mut self.record {
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
        self.finish(Flag::None, "via_upstream");
    }

    fn cut(&mut self, flag: Flag, details: &'static str) {
        self.connection = None;
        self.finish(flag, details);
    }

    fn finish(&mut self, flag: Flag, details: &'static str) {
        if let Some(mut record) = self.record.take() {
            record.usage = self.meter.finish(&record.worker);
            record.end(flag, details);
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        // Left by the client: what was used until then still counts.
        if let Some(record) = &mut self.record {
            record.usage = self.meter.finish(&record.worker);
            if record.peer.does_not_read() {
                record.end(Flag::StreamIdle, UNREAD);
            }
        }
    }
}

/// As Envoy's access log has it, also of a client that takes nothing.
const UNREAD: &str = "stream_idle_timeout";

impl ClientBody {
    /// The client has not taken any of it for too long.
    pub(crate) fn unread(&mut self) {
        match self {
            Self::Own(_, record) => record.end(Flag::StreamIdle, UNREAD),
            Self::Upstream(passing) => passing.cut(Flag::StreamIdle, UNREAD),
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
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(bytes, _) => bytes.is_empty(),
            Self::Upstream(passing) => passing.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
            Self::Upstream(passing) => passing.incoming.size_hint(),
        }
    }
}

impl Passing {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if let Some(deadline) = &mut self.deadline
            && self.record.is_some()
            && deadline.as_mut().poll(cx).is_ready()
        {
            self.cut(Flag::UpstreamTimeout, "upstream_response_timeout");
            return Poll::Ready(Some(Err(Cut::Late)));
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.data(data);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.cut(Flag::UpstreamTermination, "upstream_reset_after_response_started");
                Poll::Ready(Some(Err(Cut::Upstream(error))))
            }
            Poll::Ready(None) => {
                self.end();
                Poll::Ready(None)
            }
            Poll::Pending if self.idle.poll(cx).is_ready() => {
                self.cut(Flag::StreamIdle, UNREAD);
                Poll::Ready(Some(Err(Cut::StandsStill)))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}
