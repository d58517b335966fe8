//! How much an upstream may send before the head of its answer. hyper passes over interim answers (1xx) however many
//! there are, which would keep a worker busy for as long as an answer may take.

use core::cell::{Cell, RefCell};
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::rc::Rc;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::switched::Switched;
use crate::limits::UPSTREAM_INTERIM_BYTES_MAX;

/// The head that a connection waits for.
#[derive(Debug, Default)]
pub(super) struct Awaited {
    /// The bytes that may still come before it is there.
    left: Cell<Option<usize>>,
    /// Who gets the connection if that head ends HTTP on it.
    switch: RefCell<Option<oneshot::Sender<Switched>>>,
}

impl Awaited {
    /// A request is sent.
    pub(super) fn begin(&self) {
        self.left.set(Some(UPSTREAM_INTERIM_BYTES_MAX));
    }

    /// The head is there; what comes now is its body.
    pub(super) fn end(&self) {
        self.left.set(None);
        self.switch.take();
    }

    /// A request is sent that asks to end HTTP on the connection.
    pub(super) fn may_switch(&self) -> oneshot::Receiver<Switched> {
        let (sender, switched) = oneshot::channel();
        self.switch.replace(Some(sender));
        switched
    }

    /// Who gets the connection, now that HTTP has ended on it.
    pub(super) fn switches(&self) -> Option<oneshot::Sender<Switched>> {
        self.switch.take()
    }

    fn read(&self, count: usize) -> io::Result<()> {
        let Some(left) = self.left.get() else { return Ok(()) };
        match left.checked_sub(count) {
            Some(left) => {
                self.left.set(Some(left));
                Ok(())
            }
            None => Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the upstream sends interim answers without end",
            )),
        }
    }
}

/// A connection that is read from so.
#[derive(Debug)]
pub(super) struct Counted<S> {
    pub(super) io: S,
    pub(super) awaited: Rc<Awaited>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, out);
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.awaited.read(out.filled().len().saturating_sub(before))),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
