//! A client that speaks TLS, as exactly as a test wants it.

use core::net::SocketAddr;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::ServerName;
use rustls::{CipherSuite, ClientConfig, RootCertStore, SupportedProtocolVersion, version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::client::{Client, Response};
use super::pki::{Authority, Issued};
use super::within_patience;

/// Both versions.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// How a client speaks TLS.
#[derive(Debug, Clone)]
pub struct Tls(ClientConfig);

/// Of an authority that a client trusts.
fn roots(authority: &Authority) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).expect("an authority");
    roots
}

impl Tls {
    /// Both versions, HTTP/1.1, no certificate.
    pub fn new(authority: &Authority) -> Self {
        Self::with(authority, &VERSIONS, None)
    }

    /// Only some versions, and maybe a certificate.
    pub fn with(authority: &Authority, versions: &[&'static SupportedProtocolVersion], own: Option<&Issued>) -> Self {
        Self::of(aws_lc_rs::default_provider(), authority, versions, own)
    }

    /// Only one cipher suite.
    pub fn with_suite(authority: &Authority, suite: CipherSuite, version: &'static SupportedProtocolVersion) -> Self {
        let mut provider = aws_lc_rs::default_provider();
        provider.cipher_suites.retain(|known| known.suite() == suite);
        Self::of(provider, authority, &[version], None)
    }

    fn of(
        provider: CryptoProvider,
        authority: &Authority,
        versions: &[&'static SupportedProtocolVersion],
        own: Option<&Issued>,
    ) -> Self {
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots(authority));
        let mut config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_auth_cert(own.chain.clone(), own.key_der())
                .expect("a certificate"),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Self(config)
    }

    /// Asks for these protocols.
    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.0.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        self
    }

    /// Does not say which server it wants.
    pub fn without_name(mut self) -> Self {
        self.0.enable_sni = false;
        self
    }

    /// Resumes sessions.
    pub fn resuming(mut self, store: Resumption) -> Self {
        self.0.resumption = store;
        self
    }

    /// The configuration itself.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::new(self.0.clone())
    }

    /// Speaks TLS over what is there.
    pub async fn over<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: S, name: &str) -> io::Result<TlsStream<S>> {
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        let connector = TlsConnector::from(self.config());
        within_patience("a handshake", connector.connect(name, stream)).await
    }

    /// Connects, and shakes hands with the server called `name`.
    pub async fn connect(&self, to: SocketAddr, name: &str) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(to).await?;
        stream.set_nodelay(true)?;
        self.over(stream, name).await
    }

    /// The same for HTTP/1.1.
    pub async fn client(&self, to: SocketAddr, name: &str) -> Client<TlsStream<TcpStream>> {
        Client::over(self.connect(to, name).await.expect("a handshake"))
    }

    /// One request for the host `name`; `None` when the server lets the client not come to it.
    pub async fn ask(&self, to: SocketAddr, name: &str, request: &[u8]) -> Option<Response> {
        // With TLS 1.3 a client is turned away after its own part of the handshake is over.
        let mut client = Client::over(self.connect(to, name).await.ok()?);
        client.try_send(request).await.ok()?;
        client.try_response().await
    }

    /// The same for HTTP/2.
    pub async fn http2(&self, to: SocketAddr, name: &str) -> Http2 {
        let stream = self.clone().alpn(&["h2"]).connect(to, name).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (sender, connection) = within_patience("HTTP/2", handshake).await.expect("HTTP/2");
        Http2 {
            sender,
            connection: tokio::spawn(connection),
        }
    }
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub struct Http2 {
    /// To send requests by.
    pub sender: SendRequest<Full<Bytes>>,
    /// Ends with the connection.
    pub connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    /// Posts a body to a host.
    pub async fn post(
        &mut self,
        host: &str,
        body: impl Into<Bytes>,
    ) -> hyper::Result<http::Response<hyper::body::Incoming>> {
        let request = http::Request::post(format!("https://{host}/v1/chat/completions"))
            .header("content-type", "application/json")
            .body(Full::new(body.into()))
            .expect("a request");
        within_patience("an answer", self.sender.send_request(request)).await
    }
}
