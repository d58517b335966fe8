//! A client's socket as hyper sees it, and its end.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Peer;
use super::intake::{Intake, Refused, Within};
use super::stream::ClientStream;
use crate::frames::{Flood, Frames};
use crate::limits::{HEAD_BYTES_MAX, LINGER, LINGER_BYTES_MAX};

/// What passed through a socket, for the one who watches it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// What has come of the request that is read, over HTTP/1.1.
    pub(super) within: Cell<Within>,
    /// Something was read since this was last taken back.
    pub(super) read: Cell<bool>,
    /// Whether the client has left is to be looked at, since nobody reads what it sends.
    pub(super) looks: Cell<bool>,
    /// The last write did not go through whole: the client is not reading.
    pub(super) write_blocked: Cell<bool>,
    /// Bytes written, ever.
    pub(super) written: Cell<u64>,
    /// Heads that the client has sent whole.
    pub(super) heads: Cell<u64>,
    /// The client is not read any further.
    pub(super) refused: Cell<Option<Refused>>,
    /// Nor is this one.
    pub(super) flood: Cell<Option<Flood>>,
    /// hyper has ended the connection, and not only said so.
    pub(super) ended: Cell<bool>,
}

/// Who reads what a client sends before hyper does.
#[derive(Debug)]
pub(super) enum Strict {
    Http1(Intake, Rc<Peer>),
    Http2(Frames),
}

/// What came of a look at a client's bytes.
struct StrictRead {
    /// How many of them may be handed on.
    taken: usize,
    /// Why the client is read no further.
    stops: Option<Stops>,
}

enum Stops {
    Refused(Refused),
    /// With what the client is told.
    Flood([u8; 17]),
}

impl Strict {
    /// Looks at what came next.
    fn read(&mut self, bytes: &mut [u8], activity: &Activity) -> StrictRead {
        match self {
            Self::Http1(intake, _) => {
                let read = intake.read(bytes);
                activity.heads.set(intake.heads());
                activity.within.set(intake.within());
                let (taken, why) = match read {
                    Ok(taken) => (taken, None),
                    Err((taken, why)) => (taken, Some(why)),
                };
                activity.refused.set(why);
                StrictRead {
                    taken,
                    stops: why.map(Stops::Refused),
                }
            }
            Self::Http2(frames) => {
                let flood = frames.read(bytes).err();
                activity.flood.set(flood.or(activity.flood.get()));
                StrictRead {
                    taken: bytes.len(),
                    stops: flood.map(|_| Stops::Flood(frames.goaway())),
                }
            }
        }
    }
}

/// A socket, preceded by bytes that were read from it already.
#[derive(Debug)]
pub(super) struct ClientIo {
    stream: ClientStream,
    first: Bytes,
    activity: Rc<Activity>,
    strict: Strict,
}

impl ClientIo {
    pub(super) fn new(stream: ClientStream, first: Bytes, activity: &Rc<Activity>, strict: Strict) -> Self {
        Self {
            stream,
            first,
            activity: Rc::clone(activity),
            strict,
        }
    }

    /// The socket, and what was read from it and not handed on.
    pub(super) fn into_parts(self) -> (ClientStream, Bytes) {
        (self.stream, self.first)
    }

    /// Whether what comes next waits for an answer.
    fn is_held_back(&self) -> bool {
        match &self.strict {
            Strict::Http1(intake, peer) => intake.within() == Within::None && peer.is_busy(intake.heads()),
            Strict::Http2(_) => false,
        }
    }

    /// Keeps what comes to itself, up to a bound. So a client that leaves is seen to, whatever it has sent before.
    fn hold_back(&mut self, out: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let before = out.filled().len();
        while self.first.len() < HEAD_BYTES_MAX {
            match Pin::new(&mut self.stream).poll_read(cx, out) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => break,
            }
            let came = out.filled().get(before..).unwrap_or_default();
            if came.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let mut held = BytesMut::from(core::mem::take(&mut self.first));
            held.extend_from_slice(came);
            self.first = held.freeze();
            out.set_filled(before);
        }
        if let Strict::Http1(_, peer) = &self.strict
            && !self.first.is_empty()
        {
            peer.wakes_when_answered(cx.waker());
        }
        Poll::Pending
    }

    /// Hands on what is here already.
    fn read_first(&mut self, out: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let offered = self.first.get(..out.remaining()).unwrap_or(&self.first);
        let before = out.filled().len();
        out.put_slice(offered);
        let offered = out.filled_mut().get_mut(before..).unwrap_or_default();
        let read = self.strict.read(offered, &self.activity);
        out.set_filled(before.saturating_add(read.taken));
        self.first.advance(read.taken);
        // And what came since, since hyper would find the beginning of a head too short, and double its room. How the
        // socket ended, if it did, it says again.
        if read.stops.is_none() && self.first.is_empty() && out.remaining() > 0 && !self.is_held_back() {
            let before = out.filled().len();
            if Pin::new(&mut self.stream).poll_read(cx, out).is_ready() {
                return self.take_in(before, read.taken > 0, out, cx);
            }
        }
        self.stop(&read, read.taken > 0, cx)
    }

    /// Hands on what was read into `out` after `before`, up to where the client is refused, or the next request begins.
    /// `any` is whether more was handed on in the same read.
    fn take_in(
        &mut self,
        before: usize,
        any: bool,
        out: &mut ReadBuf<'_>,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        self.activity.read.set(true);
        let bytes = out.filled_mut().get_mut(before..).unwrap_or_default();
        let read = self.strict.read(bytes, &self.activity);
        let rest = bytes.get(read.taken..).unwrap_or_default();
        if read.stops.is_none() && !rest.is_empty() {
            self.first = Bytes::copy_from_slice(rest);
        }
        let is_end = bytes.is_empty();
        out.set_filled(before.saturating_add(read.taken));
        self.stop(&read, any || read.taken > 0 || is_end, cx)
    }

    /// Ends a read, of which something is `handed_on`.
    fn stop(&mut self, read: &StrictRead, handed_on: bool, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &read.stops {
            None => Poll::Ready(Ok(())),
            Some(Stops::Refused(_)) if handed_on => Poll::Ready(Ok(())),
            Some(Stops::Refused(why)) => refuse(*why),
            Some(Stops::Flood(goaway)) => self.calm_down(goaway, cx),
        }
    }

    /// Ends an HTTP/2 connection: what h2 had to say, it has said, or else it is in the middle of it.
    fn calm_down(&mut self, goaway: &[u8], cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if !self.activity.write_blocked.get() {
            // One attempt: who does not read is not waited for.
            let _ = Pin::new(&mut self.stream).poll_write(cx, goaway);
            let _ = Pin::new(&mut self.stream).poll_flush(cx);
        }
        Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "a flood of frames")))
    }

    fn wrote(&self, wanted: usize, result: &Poll<std::io::Result<usize>>) {
        let written = match result {
            Poll::Ready(Ok(written)) => *written,
            Poll::Ready(Err(_)) | Poll::Pending => 0,
        };
        self.activity.write_blocked.set(written < wanted);
        self.activity
            .written
            .set(self.activity.written.get().wrapping_add(written as u64));
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        if let Some(why) = self.activity.refused.get() {
            return refuse(why);
        }
        if self.is_held_back() {
            return self.hold_back(out, cx);
        }
        if !self.first.is_empty() {
            return self.read_first(out, cx);
        }
        let before = out.filled().len();
        core::task::ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        self.take_in(before, false, out, cx)
    }
}

/// A head is waited for until who watches the connection ends it; a body breaks off.
fn refuse(why: Refused) -> Poll<std::io::Result<()>> {
    match why {
        Refused::Body => Poll::Ready(Err(Error::new(ErrorKind::InvalidData, "a body that is wrongly framed"))),
        _ => Poll::Pending,
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(bytes.len(), &result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[std::io::IoSlice<'_>],
    ) -> Poll<std::io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(slices.iter().map(|slice| slice.len()).sum(), &result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper comes here whenever it has been woken.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.activity.looks.take() && !self.activity.read.get() && self.stream.has_ended(cx) {
            return Poll::Ready(Err(ErrorKind::ConnectionAborted.into()));
        }
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        // What TLS has taken and the socket has not. hyper flushes when nothing is left to be written.
        self.activity.write_blocked.set(result.is_pending());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        self.activity.ended.set(true);
        match &mut self.stream {
            // Left to `linger`, or to closing.
            ClientStream::Plain(_) => Poll::Ready(Ok(())),
            // Without TLS's own goodbye an end would look like a cut.
            tls @ ClientStream::Tls(_) => Pin::new(tls).poll_shutdown(cx),
        }
    }
}

/// Ends a connection so that the last answer arrives.
///
/// Closing a socket while the client still sends makes the kernel reset the connection, and a reset makes the client's
/// kernel throw away what it has not read yet: a 413 would be lost. So the writing side is closed first and the rest is
/// read for a while.
pub(super) async fn linger(mut stream: ClientStream) {
    // A client that does not read cannot be told by TLS that this is the end.
    if !matches!(tokio::time::timeout(LINGER, stream.shutdown()).await, Ok(Ok(()))) {
        return;
    }
    let mut waste = Vec::with_capacity(8 * 1024);
    let mut seen = 0;
    let drain = async {
        while seen < LINGER_BYTES_MAX {
            waste.clear();
            match stream.read_buf(&mut waste).await {
                Ok(bytes) if bytes > 0 => seen += bytes,
                _ => break,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// Lets go a connection whose last answer was cut, once what TLS still holds of it is written.
pub(super) async fn flush(mut stream: ClientStream) {
    let _ = tokio::time::timeout(LINGER, stream.flush()).await;
}

/// The answer to a client that began a head and did not end it.
pub(super) const HEAD_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Writes the last answer of a connection.
pub(super) async fn answer(mut stream: ClientStream, answer: &[u8]) -> ClientStream {
    let written = async {
        stream.write_all(answer).await?;
        stream.flush().await
    };
    // One attempt: who does not read is not waited for.
    let _ = tokio::time::timeout(Duration::ZERO, written).await;
    stream
}
