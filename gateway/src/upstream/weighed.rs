//! What an upstream sends in HTTP/2, weighed before hyper reads it, and the signs of its connection that hyper keeps to
//! itself: that its settings are there, and that it goes away.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{self, IoSlice};
use std::rc::Rc;
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use crate::frames::{Budget, Frames, GOAWAY, SETTINGS};

/// Bytes sent to an upstream for which it may say one frame more: windows for what it reads. An answer of h2 to a frame
/// is shorter, so that none earns another.
const BYTES_PER_FRAME: usize = 32;

/// What is known of a connection besides what hyper says.
#[derive(Debug)]
pub(crate) struct Signs {
    budget: Rc<Budget>,
    has_ended: Cell<bool>,
    changed: Notify,
}

impl Default for Signs {
    fn default() -> Self {
        Self {
            budget: Rc::new(Budget::of_upstream()),
            has_ended: Cell::new(false),
            changed: Notify::new(),
        }
    }
}

impl Signs {
    /// A request is sent on it.
    pub(crate) fn asked(&self) {
        self.budget.answered();
    }

    /// It is over.
    pub(super) fn ended(&self) {
        self.has_ended.set(true);
        self.changed.notify_waiters();
    }

    /// Whether the upstream takes no more requests on it.
    pub(super) fn goes_away(&self) -> bool {
        self.budget.has_seen(GOAWAY) || self.has_ended.get()
    }

    /// Waits for the upstream's settings; whether they came.
    pub(super) async fn settled(&self) -> bool {
        loop {
            if self.budget.has_seen(SETTINGS) || self.has_ended.get() {
                return !self.goes_away();
            }
            self.changed.notified().await;
        }
    }
}

/// A connection that is read so.
#[derive(Debug)]
pub(super) struct Weighed<S> {
    io: S,
    frames: Frames,
    signs: Rc<Signs>,
    last_read: Instant,
    /// Bytes sent that nothing was earned for yet.
    sent: usize,
}

impl<S> Weighed<S> {
    pub(super) fn new(io: S, signs: &Rc<Signs>) -> Self {
        Self {
            io,
            frames: Frames::of_upstream(&signs.budget),
            signs: Rc::clone(signs),
            last_read: Instant::now(),
            sent: 0,
        }
    }

    fn weigh(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let now = Instant::now();
        let budget = &self.signs.budget;
        budget.passed(now.saturating_duration_since(self.last_read));
        self.last_read = now;
        let was_settled = budget.has_seen(SETTINGS);
        self.frames
            .read(bytes)
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the upstream sends a flood of frames"))?;
        if !was_settled && budget.has_seen(SETTINGS) {
            self.signs.changed.notify_waiters();
        }
        Ok(())
    }

    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(written)) = written {
            let sent = self.sent.saturating_add(*written);
            self.sent = sent % BYTES_PER_FRAME;
            let earned = u32::try_from(sent / BYTES_PER_FRAME).unwrap_or(u32::MAX);
            self.signs.budget.earn(earned);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Weighed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = out.filled().len();
        let read = Pin::new(&mut self.io).poll_read(cx, out);
        match read {
            Poll::Ready(Ok(())) => Poll::Ready(self.weigh(out.filled_mut().get_mut(before..).unwrap_or_default())),
            other => other,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Weighed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(cx, slices);
        self.wrote(&written);
        written
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
