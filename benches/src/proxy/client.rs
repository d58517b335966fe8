//! One client of the load: how it carries an exchange, again and again.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use super::chat::{CLIENT_HOST, CLIENT_PATH};
use super::load::Exchange;
use super::wire::Wire;

/// A client.
#[derive(Debug)]
pub(super) enum Client {
    /// HTTP/1.1 over a connection that is kept.
    Plain(Wire<TcpStream>),
    /// The same over TLS.
    Secure(Box<Wire<TlsStream<TcpStream>>>),
    /// A stream at a time of an HTTP/2 connection that it may share.
    Http2(Http2),
    /// HTTP/1.1 over TLS, with a new connection for each exchange.
    Fresh(Fresh),
}

/// A connection of HTTP/2; it ends with the last who can send on it.
#[derive(Debug, Clone)]
pub(super) struct Http2 {
    sender: SendRequest<Bytes>,
    scheme: &'static str,
}

/// Makes connections that carry one exchange.
#[derive(Debug)]
pub(super) struct Fresh {
    dialer: Dialer,
    /// How the next handshake must be made.
    expected: HandshakeKind,
    /// How those after it must be.
    then: HandshakeKind,
}

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Dialer {
    pub(super) address: SocketAddr,
    pub(super) config: Arc<ClientConfig>,
}

impl Client {
    /// Carries out `exchange` once.
    pub(super) async fn once(&mut self, exchange: &Exchange) -> Result<(), String> {
        match self {
            Self::Plain(wire) => exchange.once(wire).await,
            Self::Secure(wire) => exchange.once(wire).await,
            Self::Http2(connection) => connection.once(exchange).await,
            Self::Fresh(fresh) => fresh.once(exchange).await,
        }
    }
}

impl Fresh {
    /// Every handshake is a full one, or, if `resumes`, every one after the first resumes a session.
    pub(super) fn new(dialer: Dialer, resumes: bool) -> Self {
        Self {
            dialer,
            expected: HandshakeKind::Full,
            then: if resumes {
                HandshakeKind::Resumed
            } else {
                HandshakeKind::Full
            },
        }
    }

    async fn once(&mut self, exchange: &Exchange) -> Result<(), String> {
        let stream = self.dialer.connect().await?;
        let kind = stream.get_ref().1.handshake_kind();
        if kind != Some(self.expected) {
            return Err(format!("the handshake was {kind:?}, not {:?}", self.expected));
        }
        self.expected = self.then;
        let mut wire = Wire::over(stream);
        exchange.once(&mut wire).await?;
        wire.close().await.map_err(|error| format!("close: {error}"))
    }
}

impl Dialer {
    /// A connection with the handshake done, on which the protocol that was asked for is spoken.
    pub(super) async fn connect(&self) -> Result<TlsStream<TcpStream>, String> {
        let failed = |error| format!("{}: {error}", self.address);
        let stream = TcpStream::connect(self.address).await.map_err(failed)?;
        stream.set_nodelay(true).map_err(failed)?;
        let name = ServerName::try_from(CLIENT_HOST).map_err(|error| error.to_string())?;
        let stream = TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
            .map_err(failed)?;
        let spoken = stream.get_ref().1.alpn_protocol();
        if spoken != self.config.alpn_protocols.first().map(Vec::as_slice) {
            return Err(format!("{} agreed to speak {spoken:?}", self.address));
        }
        Ok(stream)
    }

    /// One on which HTTP/2 is spoken.
    pub(super) async fn connect_http2(&self) -> Result<Http2, String> {
        Http2::over(self.connect().await?, "https").await
    }
}

impl Http2 {
    /// Connects to `address` in plain text, without having asked whether HTTP/2 is spoken there.
    pub(super) async fn connect(address: SocketAddr) -> Result<Self, String> {
        let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        stream.set_nodelay(true).map_err(|error| error.to_string())?;
        Self::over(stream, "http").await
    }

    async fn over<S>(stream: S, scheme: &'static str) -> Result<Self, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let handshake = h2::client::handshake(stream).await;
        let (sender, connection) = handshake.map_err(|error| error.to_string())?;
        tokio::spawn(async move {
            // Its streams learn how it ended.
            let _ = connection.await;
        });
        Ok(Self { sender, scheme })
    }

    async fn once(&self, exchange: &Exchange) -> Result<(), String> {
        let request = as_http2(&exchange.request, self.scheme);
        let (request, body) = request.ok_or("the request cannot be sent over HTTP/2")?;
        let carried = async {
            let mut sender = self.sender.clone().ready().await?;
            let (response, mut stream) = sender.send_request(request, false)?;
            stream.send_data(body, true)?;
            whole(response.await?).await
        };
        match carried.await {
            Ok((StatusCode::OK, body)) if body == exchange.answer.as_bytes() => Ok(()),
            Ok((status, body)) => Err(format!(
                "not the answer expected: {status} {}",
                String::from_utf8_lossy(&body)
            )),
            Err(error) => Err(error.to_string()),
        }
    }
}

async fn whole(response: Response<h2::RecvStream>) -> Result<(StatusCode, Vec<u8>), h2::Error> {
    let status = response.status();
    let (mut body, mut bytes) = (response.into_body(), Vec::new());
    while let Some(chunk) = body.data().await {
        let chunk = chunk?;
        bytes.extend_from_slice(&chunk);
        body.flow_control().release_capacity(chunk.len())?;
    }
    Ok((status, bytes))
}

/// A request of HTTP/1.1 as HTTP/2 has it.
fn as_http2(request: &[u8], scheme: &str) -> Option<(Request<()>, Bytes)> {
    let head = request.windows(4).position(|end| end == b"\r\n\r\n")?;
    let (head, body) = request.split_at_checked(head + 4)?;
    let mut converted = Request::new(());
    *converted.method_mut() = Method::POST;
    *converted.uri_mut() = format!("{scheme}://{CLIENT_HOST}{CLIENT_PATH}").parse::<Uri>().ok()?;
    for line in str::from_utf8(head).ok()?.lines().skip(1) {
        let Some((name, value)) = line.split_once(": ") else {
            continue;
        };
        if !name.eq_ignore_ascii_case("host") {
            let name = HeaderName::try_from(name).ok()?;
            converted.headers_mut().insert(name, HeaderValue::try_from(value).ok()?);
        }
    }
    Some((converted, Bytes::copy_from_slice(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http2_carries_the_same_fields_but_the_host() {
        let exchange = Exchange::chat(true);
        let (request, body) = as_http2(&exchange.request, "https").unwrap();
        assert_eq!(request.uri(), "https://test.com/v1/chat/completions");
        assert_eq!(request.headers()["content-length"], body.len().to_string());
        assert_eq!(request.headers()["authorization"], "Bearer client-key");
        assert!(!request.headers().contains_key("host"));
        assert!(exchange.request.ends_with(&body));
    }
}
