//! The PROXY protocol header that every connection begins with where MeshConfig says so.
//!
//! A connection without it, or with one that is malformed or late, is closed
//! without a word: whoever it is does not speak HTTP yet.

use core::pin::pin;
use core::sync::atomic::Ordering;

use bytes::{Buf, Bytes, BytesMut};
use lockgate_core::proxy_header::{self, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Peer, arrived, wait};
use crate::worker::Worker;

/// Room for a common header and the head of a request in one read.
const READ_BYTES: usize = 1024;

/// Reads the header and returns what came with it; `None` when the connection should end.
pub(super) async fn read(worker: &Worker, stream: &mut TcpStream, peer: &Peer) -> Option<Bytes> {
    let limit = worker.shared.times.header_read;
    let end = Instant::now() + limit;
    wait(peer, pin!(arrived(stream)), limit).await?;
    let Ok(Some((header, rest))) = timeout_at(end, header(stream)).await else {
        worker.shard.proxy_headers_refused_total.fetch_add(1, Ordering::Relaxed);
        return None;
    };
    if let Some(proxied) = header.proxied {
        // There is one header; what looks like a second is HTTP's.
        let _ = peer.proxied.set(Box::new(proxied));
    }
    Some(rest)
}

async fn header(stream: &mut TcpStream) -> Option<(ProxyHeader, Bytes)> {
    let mut read = BytesMut::with_capacity(READ_BYTES);
    loop {
        if stream.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
        if let Some(header) = proxy_header::read(&read).ok()? {
            read.advance(header.bytes);
            // An empty slice would still hold the whole buffer.
            let rest = if read.is_empty() { Bytes::new() } else { read.freeze() };
            return Some((header, rest));
        }
    }
}
