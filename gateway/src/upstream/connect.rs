//! One new connection: look up, connect, shake hands, all within one time limit.

use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use std::fmt;
use std::io;
use std::rc::Rc;
use std::sync::Arc;

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_core::snapshot::Endpoint;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::Target;
use super::awaited::{Awaited, Counted};
use super::pool::{Http1, Pool};
use super::send::Towards;
use super::switched::Switched;
use super::tls::Speaks;
use super::weighed::{Signs, Weighed};
use crate::joined::Joined;
use crate::limits::{UPSTREAM_HEAD_BYTES_MAX, UPSTREAM_PING};
use crate::metrics::Shard;
use crate::worker::OnThisThread;

/// Why no connection could be made.
#[derive(Debug, Clone)]
pub(crate) enum ConnectError {
    /// Not within the time limit.
    Timeout,
    /// The name has no address, or the lookup failed.
    Lookup(Arc<io::Error>),
    /// No address accepts connections.
    Refused(Arc<io::Error>),
    /// The TLS handshake failed: wrong certificate, wrong name, no TLS at all.
    Tls(Arc<io::Error>),
    /// hyper could not start.
    Http(Arc<hyper::Error>),
    /// The server does not answer in HTTP/2, or ends its connections at once.
    NoHttp2,
}

impl ConnectError {
    fn lookup(error: io::Error) -> Self {
        Self::Lookup(Arc::new(error))
    }

    fn refused(error: io::Error) -> Self {
        Self::Refused(Arc::new(error))
    }

    pub(super) fn http(error: hyper::Error) -> Self {
        Self::Http(Arc::new(error))
    }
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("connection timeout"),
            Self::Lookup(error) => write!(f, "name lookup: {error}"),
            Self::Refused(error) => write!(f, "connect: {error}"),
            Self::Tls(error) => write!(f, "TLS handshake: {error}"),
            Self::Http(error) => write!(f, "HTTP: {error}"),
            Self::NoHttp2 => f.write_str("the server takes no requests in HTTP/2"),
        }
    }
}

/// A connection on which nothing has been said yet.
pub(super) struct Stream {
    pub(super) io: Io,
    pub(super) remote: SocketAddr,
    /// Which of the target's endpoints it leads to.
    pub(super) endpoint: usize,
}

/// Plain or TLS, whose kilobyte is not part of the other.
pub(super) type Io = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// What HTTP/1.1 is spoken over.
pub(super) type Http1Io = Counted<Joined<Io>>;

/// A connection for HTTP/1.1.
pub(super) async fn connect(pool: &Rc<Pool>, to: Towards) -> Result<Http1, ConnectError> {
    let Stream { io, remote, endpoint } = stream(pool.target(), &pool.shard, to, Speaks::Http1).await?;
    let awaited = Rc::<Awaited>::default();
    let io: Http1Io = Counted {
        io: Joined(io),
        awaited: Rc::clone(&awaited),
    };
    let (sender, mut connection) = http1::Builder::new()
        .max_buf_size(UPSTREAM_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(io))
        .await
        .map_err(ConnectError::http)?;
    let open = Open::new(&pool.shard);
    let awaits = Rc::clone(&awaited);
    let task = tokio::task::spawn_local(async move {
        // How it ended is what the request on it learns; without a request nobody asks.
        let ended = (&mut connection).await;
        if let (Ok(()), Some(switches)) = (ended, awaits.switches()) {
            let parts = connection.into_parts();
            // Whoever asked may have left.
            let _ = switches.send(Switched {
                io: parts.io.into_inner(),
                first: parts.read_buf,
                remote,
                _open: open,
            });
        }
    });
    Ok(Http1 {
        sender,
        task: task.abort_handle(),
        remote,
        awaited,
        endpoint,
    })
}

/// A connection for HTTP/2. It is closed when the last of its senders is gone, and found dead by pings. Who sends on it
/// says so to its signs.
pub(crate) async fn connect_http2<B>(
    target: &Target,
    shard: &Arc<Shard>,
    entropy: u64,
) -> Result<(http2::SendRequest<B>, Rc<Signs>), ConnectError>
where
    B: http_body::Body + Unpin + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn core::error::Error + Send + Sync>>,
{
    let Stream { io, .. } = stream(target, shard, Towards::any(target, entropy), Speaks::Http2).await?;
    let signs = Rc::<Signs>::default();
    let (sender, connection) = http2::Builder::new(OnThisThread)
        .timer(TokioTimer::new())
        .keep_alive_interval(UPSTREAM_PING)
        .max_header_list_size(u32::try_from(UPSTREAM_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .handshake(TokioIo::new(Weighed::new(Joined(io), &signs)))
        .await
        .map_err(ConnectError::http)?;
    let open = Open::new(shard);
    tokio::task::spawn_local(async move {
        let _open = open;
        let _ = connection.await;
    });
    Ok((sender, signs))
}

/// Connects to an endpoint, or, while that fails, to the others in turn where it may: nothing has been sent yet.
pub(super) async fn stream(
    target: &Target,
    shard: &Shard,
    to: Towards,
    speaks: Speaks,
) -> Result<Stream, ConnectError> {
    let endpoints = target.endpoints();
    let tries = if to.all_endpoints { endpoints.len() } else { 1 };
    let mut result = Err(ConnectError::Timeout);
    for (index, endpoint) in endpoints.iter().enumerate().cycle().skip(to.endpoint).take(tries) {
        let attempt = tokio::time::timeout(target.connect_timeout(), attempt(target, index, endpoint, speaks));
        result = attempt.await.unwrap_or(Err(ConnectError::Timeout));
        match &result {
            Ok(_) => break,
            Err(_) => shard.upstream_connect_failures_total.fetch_add(1, Ordering::Relaxed),
        };
    }
    result
}

async fn attempt(target: &Target, index: usize, endpoint: &Endpoint, speaks: Speaks) -> Result<Stream, ConnectError> {
    let (stream, remote) = tcp(endpoint).await?;
    let io = match &target.tls {
        None => Either::Left(stream),
        Some(tls) => {
            let connector = TlsConnector::from(tls.config(speaks));
            let handshake = connector.connect(tls.name.clone(), stream);
            let stream = handshake.await.map_err(|error| ConnectError::Tls(Arc::new(error)))?;
            Either::Right(Box::new(stream))
        }
    };
    Ok(Stream {
        io,
        remote,
        endpoint: index,
    })
}

async fn tcp(endpoint: &Endpoint) -> Result<(TcpStream, SocketAddr), ConnectError> {
    let addresses = tokio::net::lookup_host((&*endpoint.address, endpoint.port))
        .await
        .map_err(ConnectError::lookup)?;
    let mut last = ConnectError::lookup(io::Error::new(io::ErrorKind::NotFound, "the name has no address"));
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Without it a small write may wait 40 ms for the peer's delayed acknowledgement.
                stream.set_nodelay(true).map_err(ConnectError::refused)?;
                return Ok((stream, address));
            }
            Err(error) => last = ConnectError::refused(error),
        }
    }
    Err(last)
}

/// Counts a connection for as long as it is open.
#[derive(Debug)]
pub(super) struct Open(Arc<Shard>);

impl Open {
    pub(super) fn new(shard: &Arc<Shard>) -> Self {
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
