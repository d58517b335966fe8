//! A stream of HTTP/2 that is used as a tunnel (RFC 8441).
//!
//! To the engine the request that asks for one is, as in Envoy, the GET that asks
//! for the same in HTTP/1.1. It is answered with 200 once the upstream has
//! agreed; until then what the client sends waits in the stream's window.

use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;
use std::io::Result;
use std::rc::Rc;

use bytes::Bytes;
use http::{Method, Request};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use lockgate_core::upgrade::Upgrade;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tunnel::Tunnel;
use crate::frames::Budget;
use crate::head;

/// A stream whose client waits for a tunnel.
#[derive(Debug)]
pub(crate) struct StreamTunnel {
    /// The stream, once it is answered so.
    agreed: OnUpgrade,
    budget: Rc<Budget>,
}

impl StreamTunnel {
    /// What `request` asks for, which is written into it as HTTP/1.1 has it; `None` when it is no extended CONNECT, or one
    /// for what nobody speaks here.
    pub(super) fn asked(request: &mut Request<Incoming>, budget: &Rc<Budget>) -> Option<Box<Self>> {
        let protocol = request.extensions().get::<Protocol>()?;
        let upgrade = Upgrade::by_connect(protocol.as_str())?;
        // Where the request says what it asks for.
        request.uri().authority()?;
        *request.method_mut() = Method::GET;
        request.extensions_mut().insert(upgrade);
        head::ask_for(request.headers_mut(), upgrade);
        Some(Box::new(Self {
            agreed: hyper::upgrade::on(request),
            budget: Rc::clone(budget),
        }))
    }

    /// Carries the bytes of `tunnel` once the client has its answer.
    pub(crate) fn carry(self: Box<Self>, tunnel: Box<Tunnel>, limit: Duration) {
        tokio::task::spawn_local(async move {
            let Self { agreed, budget } = *self;
            // A client that is gone leaves the record as it is.
            if let Ok(stream) = agreed.await {
                let client = Client {
                    stream: TokioIo::new(stream),
                    budget,
                    end: End::None,
                };
                tunnel.run(client, Bytes::new(), limit).await;
            }
        });
    }
}

/// The client's side: bytes in DATA frames.
struct Client {
    stream: TokioIo<Upgraded>,
    budget: Rc<Budget>,
    end: End,
}

/// What is known of the end of what the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    None,
    /// It sends no more. That may be all that it has ended, or the whole stream.
    Seen,
    /// It may still read.
    Half,
}

impl AsyncRead for Client {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        loop {
            match self.end {
                End::Half => return Poll::Ready(Ok(())),
                // hyper reads a reset as an end. Whoever sends on the stream has seen it by now.
                End::Seen => {
                    if let Poll::Ready(Err(error)) = Pin::new(&mut self.stream).poll_flush(cx) {
                        return Poll::Ready(Err(error));
                    }
                    self.end = End::Half;
                }
                End::None => {
                    let before = out.filled().len();
                    let result = Pin::new(&mut self.stream).poll_read(cx, out);
                    let is_end = matches!(result, Poll::Ready(Ok(()))) && out.filled().len() == before;
                    if !is_end || out.remaining() == 0 {
                        return result;
                    }
                    self.end = End::Seen;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written)) = result {
            self.budget.sent(written);
        }
        result
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
