//! How slowly a client's body may come.
//!
//! A limit on the pause between two reads would let a client hold a request with
//! a byte a second, and one on the whole would cut a large body on a slow line.
//! So a body has a while to begin, and more for each byte that has come. Only
//! time that is spent waiting for the client counts: an upstream that does not
//! read makes nobody slow.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Version};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::connection::{PassedOn, Peer};
use crate::limits::{BODY_BEGIN, BODY_BYTES_PER_SECOND_MIN};

/// Why a client's body breaks off.
#[derive(Debug)]
pub(crate) enum BodyFailure {
    /// The client left, or broke the rules of framing.
    Client(hyper::Error),
    /// The client gave its stream of HTTP/2 up and said that nothing was wrong, which hyper takes for the body's end.
    GivenUp,
    /// It came too slowly.
    TooSlow,
}

impl fmt::Display for BodyFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => write!(f, "client's body: {error}"),
            Self::GivenUp => f.write_str("the client gave its body up"),
            Self::TooSlow => f.write_str("the client's body came too slowly"),
        }
    }
}

impl core::error::Error for BodyFailure {}

/// The same, for those who come to know only that something broke off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The client left.
    Left,
    /// It broke the rules of framing.
    Framing,
    /// It came too slowly.
    TooSlow,
}

impl From<&BodyFailure> for Broken {
    fn from(failure: &BodyFailure) -> Self {
        match failure {
            BodyFailure::Client(error) if is_about_framing(error) => Self::Framing,
            BodyFailure::Client(_) | BodyFailure::GivenUp => Self::Left,
            BodyFailure::TooSlow => Self::TooSlow,
        }
    }
}

/// Whether what came cannot be a body. Otherwise no more came.
fn is_about_framing(error: &hyper::Error) -> bool {
    let Some(source) = core::error::Error::source(error) else {
        return false;
    };
    if let Some(error) = source.downcast_ref::<h2::Error>() {
        return error.is_library();
    }
    let kind = source.downcast_ref().map(io::Error::kind);
    matches!(kind, Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput))
}

/// Watches how fast one body comes. A body that is there already costs no look at a clock.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    bytes: u64,
    waited: Duration,
    /// Since when the client is waited for.
    since: Option<Instant>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    /// The next frame of the body.
    pub(crate) fn poll_frame(
        &mut self,
        incoming: &mut Incoming,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.came(
                    frame
                        .as_ref()
                        .and_then(|frame| frame.as_ref().ok()?.data_ref())
                        .map_or(0, Bytes::len),
                );
                Poll::Ready(frame.map(|frame| frame.map_err(BodyFailure::Client)))
            }
            Poll::Pending => self.wait(cx).map(|()| Some(Err(BodyFailure::TooSlow))),
        }
    }

    fn came(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
        if let Some(since) = self.since.take() {
            self.waited = self.waited.saturating_add(since.elapsed());
        }
    }

    /// Ready once the client has been waited for longer than what came is worth.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let sleep = self
            .sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(BODY_BEGIN)));
        while sleep.as_mut().poll(cx).is_ready() {
            let worth = worth(self.bytes).saturating_sub(self.waited);
            let end = since.checked_add(worth).unwrap_or(since);
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(end.into());
        }
        Poll::Pending
    }
}

/// A body that is passed on as it comes.
#[derive(Debug)]
pub(crate) struct Paced {
    pub(crate) incoming: Incoming,
    is_http2: bool,
    /// `None` where silence is no slowness.
    pace: Option<Pace>,
    /// Until it has ended.
    passed_on: Option<PassedOn>,
    /// Where it is noted that it broke off.
    broken: Option<Rc<Cell<Option<Broken>>>>,
}

impl Paced {
    /// The body of a request of this version with these fields. gRPC's streams may be silent for as long as they want.
    pub(crate) fn new(
        incoming: Incoming,
        version: Version,
        headers: &HeaderMap,
        peer: &Rc<Peer>,
        broken: Option<Rc<Cell<Option<Broken>>>>,
    ) -> Self {
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let is_grpc = content_type.starts_with(b"application/grpc");
        Self {
            passed_on: (!incoming.is_end_stream()).then(|| PassedOn::new(peer)),
            incoming,
            is_http2: version == Version::HTTP_2,
            pace: (!is_grpc).then(Pace::default),
            broken,
        }
    }

    /// The next frame of it.
    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let frame = match &mut self.pace {
            Some(pace) => pace.poll_frame(&mut self.incoming, cx),
            None => Pin::new(&mut self.incoming).poll_frame(cx).map_err(BodyFailure::Client),
        };
        let frame = match frame {
            Poll::Ready(None) if self.is_torn() => Poll::Ready(Some(Err(BodyFailure::GivenUp))),
            frame => frame,
        };
        let has_ended = match &frame {
            Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || self.incoming.is_end_stream(),
            Poll::Ready(None) => true,
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        };
        if has_ended && let Some(passed_on) = self.passed_on.take() {
            passed_on.end();
        }
        if let (Poll::Ready(Some(Err(failure))), Some(broken)) = (&frame, &self.broken) {
            broken.set(Some(failure.into()));
        }
        frame
    }

    /// Whether it ended although no end of it has come.
    fn is_torn(&self) -> bool {
        self.is_http2 && is_torn(&self.incoming)
    }
}

/// Whether a body of HTTP/2 without more to come lacks its end, which is a flag of its own. A server that answered early
/// may reset the stream after it, and then what is not read yet has lost the flag; its length tells as well.
pub(crate) fn is_torn(incoming: &Incoming) -> bool {
    !incoming.is_end_stream() && incoming.size_hint().exact() != Some(0)
}

/// The time that a body of so many bytes may take.
fn worth(bytes: u64) -> Duration {
    BODY_BEGIN.saturating_add(Duration::from_millis(
        bytes.saturating_mul(1000) / BODY_BYTES_PER_SECOND_MIN,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_byte_buys_time() {
        assert_eq!(worth(0), BODY_BEGIN);
        assert_eq!(worth(BODY_BYTES_PER_SECOND_MIN), BODY_BEGIN + Duration::from_secs(1));
        // A byte a second never buys its second.
        let drip = (1..600).find(|seconds| worth(*seconds) < Duration::from_secs(*seconds));
        assert_eq!(drip, Some(BODY_BEGIN.as_secs() + 1));
        assert!(worth(u64::MAX) > Duration::from_secs(3600));
    }
}
