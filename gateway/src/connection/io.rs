//! A client's socket as hyper sees it, and its end.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::{Error, ErrorKind};
use std::rc::Rc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Peer;
use super::intake::{Intake, Refused};
use super::stream::ClientStream;
use crate::frames::{Flood, Frames};
use crate::limits::{LINGER, LINGER_BYTES_MAX};

/// What passed through a socket, for the one who watches it.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Bytes were read since this was last taken back.
    pub(super) read: Cell<bool>,
    /// The client's end is closed.
    pub(super) ended: Cell<bool>,
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
}

/// Who reads what a client sends before hyper does.
#[derive(Debug)]
pub(super) enum Strict {
    Http1(Intake, Rc<Peer>),
    Http2(Frames),
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
        activity.read.set(!first.is_empty());
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
    fn is_held_back(&self, cx: &Context<'_>) -> bool {
        matches!(&self.strict, Strict::Http1(_, peer) if peer.is_held_back(cx.waker()))
    }

    /// Hands on what was read into `out` after `before`, up to where the client is refused, or something else than
    /// requests may begin.
    fn take_in(&mut self, before: usize, out: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let bytes = out.filled().get(before..).unwrap_or_default();
        let (read, heads) = match &mut self.strict {
            Strict::Http1(intake, peer) => {
                let read = intake.read(bytes);
                if intake.asks() {
                    peer.holds_back();
                }
                (read, intake.heads())
            }
            Strict::Http2(frames) => match frames.read(bytes) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(flood) => {
                    let goaway = frames.goaway();
                    self.activity.flood.set(Some(flood));
                    return self.calm_down(&goaway, cx);
                }
            },
        };
        self.activity.heads.set(heads);
        let (good, why) = match read {
            Ok(taken) => {
                let rest = bytes.get(taken..).unwrap_or_default();
                if !rest.is_empty() {
                    self.first = [rest, &self.first].concat().into();
                    out.set_filled(before.saturating_add(taken));
                }
                return Poll::Ready(Ok(()));
            }
            Err(refused) => refused,
        };
        out.set_filled(before.saturating_add(good));
        self.activity.refused.set(Some(why));
        if good > 0 { Poll::Ready(Ok(())) } else { refuse(why) }
    }

    /// Keeps what comes to itself, as much as one read gives. Without any, a client that leaves is still seen to.
    fn hold_back(&mut self, out: &mut ReadBuf<'_>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if !self.first.is_empty() {
            return Poll::Pending;
        }
        let before = out.filled().len();
        core::task::ready!(Pin::new(&mut self.stream).poll_read(cx, out))?;
        let came = out.filled().get(before..).unwrap_or_default();
        if came.is_empty() {
            self.activity.ended.set(true);
            return Poll::Ready(Ok(()));
        }
        self.first = Bytes::copy_from_slice(came);
        out.set_filled(before);
        Poll::Pending
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
        let before = out.filled().len();
        if self.is_held_back(cx) {
            return self.hold_back(out, cx);
        }
        if !self.first.is_empty() {
            let taken = self.first.len().min(out.remaining());
            out.put_slice(&self.first.split_to(taken));
            // And what came since, since hyper would find the beginning of a head too short, and double its room. How the
            // socket ended, if it did, it says again.
            if self.first.is_empty() && out.remaining() > 0 {
                let _ = Pin::new(&mut self.stream).poll_read(cx, out);
                let any = out.filled().len() > before.saturating_add(taken);
                self.activity.read.set(self.activity.read.get() || any);
            }
            return self.take_in(before, out, cx);
        }
        let result = Pin::new(&mut self.stream).poll_read(cx, out);
        if matches!(result, Poll::Ready(Ok(()))) {
            let any = out.filled().len() > before;
            self.activity.read.set(self.activity.read.get() || any);
            self.activity.ended.set(!any);
            if any {
                return self.take_in(before, out, cx);
            }
        }
        result
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

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        // What TLS has taken and the socket has not. hyper flushes when nothing is left to be written.
        self.activity.write_blocked.set(result.is_pending());
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
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
