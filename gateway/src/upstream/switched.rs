//! A connection that its upstream has agreed to use for something else than HTTP (RFC 9110 §7.8).
//!
//! What was asked for, and whether that is what the upstream has agreed to, is the
//! engine's to say ([`Upgrade`]). hyper lets go of the connection with the 101 that
//! says so; until then nothing but the request is sent on it.

use core::net::SocketAddr;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::Result;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Response};
use lockgate_core::upgrade::Upgrade;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

use super::connect::{Http1Io, Open};
use crate::head::HeadFields;

/// The connection, as bytes.
#[derive(Debug)]
pub(crate) struct Switched {
    pub(super) io: Http1Io,
    /// What the upstream sent behind its 101.
    pub(super) first: Bytes,
    /// The address that it leads to.
    pub(super) remote: SocketAddr,
    pub(super) _open: Open,
}

/// A request for an upgrade, while it is under way.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) upgrade: Upgrade,
    pub(super) switched: oneshot::Receiver<Switched>,
}

/// What an upstream has switched to, if it may.
///
/// # Errors
/// Why it must not.
pub(super) async fn switched_by<B>(
    asked: Option<Asked>,
    answer: &Response<B>,
) -> core::result::Result<Switched, &'static str> {
    let Some(Asked { upgrade, switched }) = asked else {
        return Err("the upstream switched protocols unasked");
    };
    if !upgrade.is_named(&HeadFields(answer.headers())) {
        return Err("the upstream switched to another protocol than it was asked for");
    }
    if has_length(answer.headers()) {
        return Err("the upstream switched protocols with a body");
    }
    switched
        .await
        .map_err(|_| "the upstream closed the connection that it had agreed to use")
}

/// Whether another reader could look for a body (RFC 9110 §8.6, RFC 9112 §6.1).
fn has_length(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
}

impl AsyncRead for Switched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, out);
        }
        let taken = self.first.len().min(out.remaining());
        out.put_slice(&self.first.split_to(taken));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
