//! TLS with a client: which server it gets is the engine's to say, by the name it asks for; the handshake is rustls's.
//!
//! A client that asks for a name that no server takes, or does not finish in
//! time, is turned away without HTTP. One that never sends a byte, as a balancer
//! that only asks whether the port is open, is not counted among those.

mod client;
mod server;

use core::pin::pin;
use core::time::Duration;

use bytes::Bytes;
use rustls::server::Acceptor;
use rustls::{ProtocolVersion, ServerConnection};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

pub(crate) use self::server::{ServerError, Servers};
use super::stream::Begun;
use super::{Peer, arrived, wait};
use crate::metrics::HandshakeFailure;
use crate::worker::Worker;

/// What a handshake told of the client.
#[derive(Debug)]
pub(crate) struct Secured {
    /// The server name that it asked for, lower-cased.
    pub(crate) server_name: Option<Box<str>>,
    /// Of its certificate, when it has shown one.
    pub(crate) spiffe_id: Option<Box<str>>,
    /// What upstreams are told of it.
    pub(crate) client_cert: Option<Box<str>>,
    version: Option<ProtocolVersion>,
}

impl Secured {
    /// What became of a handshake by a server whose own certificate has the URI names `by`.
    fn new(
        server_name: Option<Box<str>>,
        connection: &ServerConnection,
        by: &[Box<str>],
    ) -> Result<Self, HandshakeFailure> {
        let certificate = connection.peer_certificates().and_then(<[_]>::first);
        let told = certificate.map(|certificate| client::told(certificate, by)).transpose();
        let (spiffe_id, client_cert) = told.map_err(|_| HandshakeFailure::ClientCertificate)?.unzip();
        Ok(Self {
            server_name,
            spiffe_id: spiffe_id.flatten(),
            client_cert,
            version: connection.protocol_version(),
        })
    }

    /// `TLSv1.3`, as Envoy logs it.
    pub(crate) fn version(&self) -> &'static str {
        match self.version {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "-",
        }
    }
}

/// Speaks TLS on `socket`, of which `first` was read already. `None` when the client is turned away.
pub(super) async fn handshake(
    worker: &Worker,
    socket: TcpStream,
    first: Bytes,
    peer: &Peer,
    limit: Duration,
) -> Option<Box<TlsStream<Begun>>> {
    let end = Instant::now() + limit;
    if first.is_empty() {
        wait(peer, pin!(arrived(&socket)), limit).await?;
    }
    let done = timeout_at(end, accept(worker, Begun { first, socket }, peer)).await;
    match done.unwrap_or(Err(HandshakeFailure::Timeout)) {
        Ok(stream) => Some(stream),
        Err(why) => {
            worker.shard.handshake_failed(why);
            None
        }
    }
}

async fn accept(worker: &Worker, begun: Begun, peer: &Peer) -> Result<Box<TlsStream<Begun>>, HandshakeFailure> {
    let started = LazyConfigAcceptor::new(Acceptor::default(), begun);
    let started = started.await.map_err(|error| why(&error))?;
    let name: Option<Box<str>> = started
        .client_hello()
        .server_name()
        .map(|name| name.to_ascii_lowercase().into());
    let live = worker.view().live.clone();
    let server = live.compiled.snapshot.tables().tls_server(peer.port, name.as_deref());
    let server = server.and_then(|server| live.servers.get(server));
    let server = server.ok_or(HandshakeFailure::ServerName)?;
    let own = server.certificate(&started.client_hello());
    let stream = started
        .into_stream(server.config())
        .await
        .map_err(|error| why(&error))?;
    let secured = Secured::new(name, stream.get_ref().1, own.map_or(&[], |own| &own.uri_names))?;
    // There is one handshake for a connection.
    let _ = peer.secured.set(Box::new(secured));
    Ok(Box::new(stream))
}

fn why(error: &std::io::Error) -> HandshakeFailure {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    match error {
        Some(
            rustls::Error::NoCertificatesPresented
            | rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_),
        ) => HandshakeFailure::ClientCertificate,
        _ => HandshakeFailure::Protocol,
    }
}
