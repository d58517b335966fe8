//! What a client's connection, or a stream of HTTP/2, is used for after HTTP has ended on it: bytes to and from an
//! upstream, both ways.
//!
//! Each direction has one buffer and reads only what it can hold, so that a side
//! that does not read holds up the other and nothing else. When one side ends its
//! direction the other is told, and may go on in its own. The tunnel ends when
//! both have, when one breaks off, and when no byte has moved for as long as an
//! upstream may be silent.

use core::cell::Cell;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::Result;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};

use crate::access::{Flag, Record};
use crate::idle::IdleLimit;
use crate::limits::TUNNEL_BYTES;
use crate::upstream::Switched;

/// The upstream's end of it, and the record of the request that asked for it.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) switched: Box<Switched>,
    pub(crate) record: Box<Record>,
}

impl Tunnel {
    /// Carries bytes until the tunnel ends. `first` was read of the client's already.
    pub(super) async fn run(
        self: Box<Self>,
        client: impl AsyncRead + AsyncWrite + Unpin,
        first: Bytes,
        limit: Duration,
    ) {
        let Self { mut switched, record } = *self;
        let carried = Carried {
            record,
            to_client: Way::default(),
            to_upstream: Way::default(),
        };
        let ended = carried.carry(client, first, &mut switched, IdleLimit::new(limit)).await;
        carried.end(ended);
    }
}

/// How a tunnel ended.
enum Ended {
    /// Both sides have ended their direction.
    Whole,
    /// One side broke off.
    Broken,
    /// Nothing moved for too long.
    Idle,
}

/// What a tunnel has carried, and the record of it.
struct Carried {
    record: Box<Record>,
    to_client: Way,
    to_upstream: Way,
}

impl Carried {
    async fn carry(
        &self,
        client: impl AsyncRead + AsyncWrite + Unpin,
        first: Bytes,
        switched: &mut Switched,
        mut idle: IdleLimit,
    ) -> Ended {
        let mut client = Side {
            stream: client,
            first,
            way: &self.to_client,
        };
        let mut upstream = Side {
            stream: switched,
            first: Bytes::new(),
            way: &self.to_upstream,
        };
        let copied = copy_bidirectional_with_sizes(&mut client, &mut upstream, TUNNEL_BYTES, TUNNEL_BYTES);
        let mut copied = pin!(copied);
        poll_fn(|cx| {
            if let Poll::Ready(ended) = copied.as_mut().poll(cx) {
                return Poll::Ready(ended.map_or(Ended::Broken, |_| Ended::Whole));
            }
            if self.to_client.moved.take() | self.to_upstream.moved.take() {
                idle.active();
            }
            idle.poll(cx).map(|()| Ended::Idle)
        })
        .await
    }

    fn end(mut self, ended: Ended) {
        let record = &mut self.record;
        match ended {
            Ended::Whole => record.end(Flag::None, "via_upstream"),
            // After the upstream's last word there is nothing left to be cut. Over TLS few clients say goodbye.
            Ended::Broken if self.to_client.broke.get() && self.to_client.ended.get() => {
                record.end(Flag::None, "via_upstream");
            }
            // As it is without this.
            Ended::Broken if self.to_client.broke.get() => {}
            Ended::Broken => record.end(Flag::UpstreamTermination, "upstream_reset_after_response_started"),
            Ended::Idle => record.end(Flag::StreamIdle, "stream_idle_timeout"),
        }
    }
}

/// Also where the process cuts it off.
impl Drop for Carried {
    fn drop(&mut self) {
        self.record.bytes_sent = self.to_client.bytes.get();
        self.record.bytes_received = self.to_upstream.bytes.get();
    }
}

/// What has come of one direction.
#[derive(Debug, Default)]
struct Way {
    /// Bytes that were delivered.
    bytes: Cell<u64>,
    /// Some were since this was last taken back.
    moved: Cell<bool>,
    /// There is no more to come, and the side that it leads to was told.
    ended: Cell<bool>,
    /// That side broke off.
    broke: Cell<bool>,
}

/// One side, preceded by bytes that were read from it already.
#[derive(Debug)]
struct Side<'w, S> {
    stream: S,
    first: Bytes,
    /// Towards it.
    way: &'w Way,
}

impl<S> Side<'_, S> {
    fn seen<T>(&self, result: Poll<Result<T>>) -> Poll<Result<T>> {
        if matches!(result, Poll::Ready(Err(_))) {
            self.way.broke.set(true);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Side<'_, S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if !self.first.is_empty() {
            let taken = self.first.len().min(out.remaining());
            out.put_slice(&self.first.split_to(taken));
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.stream).poll_read(cx, out);
        self.seen(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Side<'_, S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = result {
            let way = self.way;
            way.bytes.set(way.bytes.get().saturating_add(written as u64));
            way.moved.set(true);
        }
        self.seen(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(cx);
        self.seen(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        let result = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.way.ended.set(matches!(result, Poll::Ready(Ok(()))));
        self.seen(result)
    }
}
