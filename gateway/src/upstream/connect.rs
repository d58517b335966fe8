//! One new connection: look up, connect, shake hands, all within one time limit.

use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lockgate_core::snapshot::Endpoint;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::pool::{Connection, Pool};
use crate::limits::UPSTREAM_HEAD_BYTES_MAX;
use crate::metrics::Shard;

/// Why no connection could be made.
#[derive(Debug)]
pub(crate) enum ConnectError {
    /// Not within the time limit.
    Timeout,
    /// The name has no address, or the lookup failed.
    Lookup(io::Error),
    /// No address accepts connections.
    Refused(io::Error),
    /// The TLS handshake failed: wrong certificate, wrong name, no TLS at all.
    Tls(io::Error),
    /// hyper could not start.
    Http(hyper::Error),
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("connection timeout"),
            Self::Lookup(error) => write!(f, "name lookup: {error}"),
            Self::Refused(error) => write!(f, "connect: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::Http(error) => write!(f, "HTTP: {error}"),
        }
    }
}

/// Connects to the endpoint `first`, or, while that fails, to the others in turn: nothing has been sent yet.
pub(crate) async fn connect(pool: &Rc<Pool>, first: usize) -> Result<Connection, ConnectError> {
    let endpoints = pool.target().endpoints();
    let mut result = Err(ConnectError::Timeout);
    for (index, endpoint) in endpoints.iter().enumerate().cycle().skip(first).take(endpoints.len()) {
        let attempt = tokio::time::timeout(pool.target().connect_timeout(), attempt(pool, index, endpoint));
        result = attempt.await.unwrap_or(Err(ConnectError::Timeout));
        match &result {
            Ok(_) => break,
            Err(_) => pool
                .shard
                .upstream_connect_failures_total
                .fetch_add(1, Ordering::Relaxed),
        };
    }
    result
}

async fn attempt(pool: &Rc<Pool>, index: usize, endpoint: &Endpoint) -> Result<Connection, ConnectError> {
    let (stream, remote) = tcp(endpoint).await?;
    match &pool.target().tls {
        None => handshake(pool, index, remote, stream).await,
        Some(tls) => {
            let connector = TlsConnector::from(Arc::clone(&tls.config));
            let stream = connector
                .connect(tls.name.clone(), stream)
                .await
                .map_err(ConnectError::Tls)?;
            handshake(pool, index, remote, stream).await
        }
    }
}

async fn tcp(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let addresses = tokio::net::lookup_host((&*endpoint.address, endpoint.port))
        .await
        .map_err(ConnectError::Lookup)?;
    let mut last = ConnectError::Lookup(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it a small write may wait 40 ms for the peer's delayed acknowledgement.
                stream.set_nodelay(true).map_err(ConnectError::Refused)?;
                return Ok((stream, address));
            }
            Err(error) => last = ConnectError::Refused(error),
        }
    }
    Err(last)
}

async fn handshake(
    pool: &Rc<Pool>,
    endpoint: usize,
    remote: SocketAddr,
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> Result<Connection, ConnectError> {
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(UPSTREAM_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(ConnectError::Http)?;
    let open = Open::new(&pool.shard);
    tokio::task::spawn_local(async move {
        let _open = open;
        // How it ended is what the request on it learns; without a request nobody asks.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        remote,
        endpoint,
    })
}

/// Counts a connection for as long as it is open.
struct Open(Arc<Shard>);

impl Open {
    fn new(shard: &Arc<Shard>) -> Self {
        shard.upstream_connections_total.fetch_add(1, Ordering::Relaxed);
        shard.upstream_connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shard))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.upstream_connections.fetch_sub(1, Ordering::Relaxed);
    }
}
