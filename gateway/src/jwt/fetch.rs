//! Fetches key sets: one GET over HTTP or HTTPS, bounded in time and bytes, to an address that may be asked.
//!
//! Redirects are not followed: what the configuration names is where the keys
//! are. The address that is checked is the one that is connected to, so a name
//! that changes its mind between two lookups gains nothing.

use core::fmt;
use core::net::IpAddr;
use core::time::Duration;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::address::is_public;
use crate::limits::{KEY_SET_FETCH_BYTES_MAX, KEY_SET_HEAD_BYTES_MAX};
use crate::upstream::tls::{Roots, TlsError, client_config};

/// Fetches for all sources.
#[derive(Debug)]
pub(crate) struct Fetcher {
    /// Whether addresses that are not public may be asked.
    allow_private: bool,
    /// Made when first needed: reading the system's certificates takes some milliseconds.
    tls: ArcSwapOption<ClientConfig>,
}

/// Why nothing was fetched.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// Not within the time limit.
    Timeout,
    /// Not a URL that can be asked.
    Url,
    /// The name has no address.
    Lookup(io::Error),
    /// The name has only addresses that may not be asked.
    PrivateAddress(IpAddr),
    /// No address accepts connections.
    Connect(io::Error),
    /// TLS cannot be set up.
    Tls(TlsError),
    /// The TLS handshake failed.
    Handshake(io::Error),
    /// The server did not speak HTTP, or left.
    Http(hyper::Error),
    /// An answer other than 200.
    Status(StatusCode),
    /// The answer is too long or broken off.
    Body,
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Url => f.write_str("not a URL that can be fetched"),
            Self::Lookup(error) => write!(f, "name lookup: {error}"),
            Self::PrivateAddress(address) => write!(
                f,
                "{address} is not a public address; --allow-private-jwks lets keys be fetched from such"
            ),
            Self::Connect(error) => write!(f, "connect: {error}"),
            Self::Tls(error) => write!(f, "TLS: {error}"),
            Self::Handshake(error) => write!(f, "TLS handshake: {error}"),
            Self::Http(error) => write!(f, "HTTP: {error}"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Body => write!(
                f,
                "the answer is broken off or longer than {KEY_SET_FETCH_BYTES_MAX} bytes"
            ),
        }
    }
}

impl Fetcher {
    /// A fetcher that asks public addresses only, unless `allow_private`.
    pub(crate) fn new(allow_private: bool) -> Self {
        Self {
            allow_private,
            tls: ArcSwapOption::empty(),
        }
    }

    /// Reads the system's certificates again when they are next needed.
    pub(crate) fn forget_roots(&self) {
        self.tls.store(None);
    }

    /// The body at `url`.
    pub(crate) async fn get(&self, url: &Uri, limit: Duration) -> Result<Bytes, FetchError> {
        let fetched = tokio::time::timeout(limit, self.get_without_limit(url));
        fetched.await.unwrap_or(Err(FetchError::Timeout))
    }

    async fn get_without_limit(&self, url: &Uri) -> Result<Bytes, FetchError> {
        let host = url.host().ok_or(FetchError::Url)?;
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let is_tls = url.scheme() == Some(&Scheme::HTTPS);
        let port = url.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let stream = self.connect(bare, port).await?;
        if !is_tls {
            return exchange(stream, url).await;
        }
        let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchError::Url)?;
        let stream = TlsConnector::from(self.tls()?)
            .connect(name, stream)
            .await
            .map_err(FetchError::Handshake)?;
        exchange(stream, url).await
    }

    async fn connect(&self, host: &str, port: u16) -> Result<TcpStream, FetchError> {
        let addresses = tokio::net::lookup_host((host, port))
            .await
            .map_err(FetchError::Lookup)?;
        let nothing = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        let mut error = FetchError::Lookup(nothing);
        for address in addresses {
            if !self.allow_private && !is_public(address.ip()) {
                error = FetchError::PrivateAddress(address.ip());
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(why) => error = FetchError::Connect(why),
            }
        }
        Err(error)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, FetchError> {
        if let Some(config) = self.tls.load_full() {
            return Ok(config);
        }
        let config = Arc::new(client_config(&mut Roots::default()).map_err(FetchError::Tls)?);
        self.tls.store(Some(Arc::clone(&config)));
        Ok(config)
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    url: &Uri,
) -> Result<Bytes, FetchError> {
    let authority = url.authority().ok_or(FetchError::Url)?;
    let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(target)
        .header(HOST, authority.as_str())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("lockgate/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Url)?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(KEY_SET_HEAD_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Http)?;
    // Its end is the end of the answer; aborted with this future.
    let connection = Abort(tokio::spawn(connection));
    let answer = sender.send_request(request).await.map_err(FetchError::Http)?;
    if answer.status() != StatusCode::OK {
        return Err(FetchError::Status(answer.status()));
    }
    let body = Limited::new(answer.into_body(), KEY_SET_FETCH_BYTES_MAX);
    let body = body.collect().await.map_err(|_| FetchError::Body)?.to_bytes();
    drop(connection);
    Ok(body)
}

/// A task that ends with what waits for it.
struct Abort<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Abort<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
