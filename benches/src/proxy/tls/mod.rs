//! What TLS costs: the gateway beside nginx and Envoy, with TLS 1.3 towards clients and a verified upstream.
//!
//! ```text
//! load (this process) ─TLS─► gateway | nginx | Envoy ─TLS─► mock
//!      one core                   the other core          one core
//! ```
//!
//! Measured as [`super`] has it. Each way in which clients come is a comparison of its own.

mod certificates;
mod contenders;
mod table;

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::client::Resumption;

pub(super) use self::certificates::server;
use self::contenders::{Kind, Stage};
use super::client::{Client, Dialer, Fresh};
use super::contenders::GATEWAY_LOG;
use super::cost::{Cost, Runner, Turn, alternate};
use super::load::{CONNECTIONS, Exchange, Load};
use super::wire::Wire;

/// Streams that share an HTTP/2 connection.
const STREAMS: usize = 8;

/// How clients come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// HTTP/1.1, connections kept.
    Http1,
    /// HTTP/2, connections kept.
    Http2,
    /// HTTP/1.1, a connection for each request, all of the handshake.
    Full,
    /// The same, sessions resumed.
    Resumed,
}

impl Way {
    const ALL: [Self; 4] = [Self::Http1, Self::Http2, Self::Full, Self::Resumed];

    fn turn(self) -> Turn {
        let (requests, warm_up) = match self {
            Self::Http1 | Self::Http2 => (10_000, 1_000),
            // Handshakes are dear, above all to the clients.
            Self::Full | Self::Resumed => (2_000, 200),
        };
        Turn { requests, warm_up }
    }
}

/// What one way costs each proxy.
#[derive(Debug)]
struct Figures {
    way: Way,
    costs: Vec<Cost<Kind>>,
}

/// Measures all ways with the gateway's binary `gateway`, prints the table, and writes it into `page` if there is one.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn measure(gateway: &Path, envoy: &Path, examples: &Path, page: Option<&Path>) -> Result<(), String> {
    let report = super::prepare()?.block_on(async {
        let stage = Stage::new(gateway, envoy, examples).await?;
        let mut all = Vec::new();
        for way in Way::ALL {
            eprintln!("{way:?}");
            all.push(one(&stage, way).await?);
        }
        Ok::<_, String>(table::table(&all))
    })?;
    println!("{report}");
    page.map_or(Ok(()), |page| crate::report::write_tls(page, &report))
}

async fn one(stage: &Stage, way: Way) -> Result<Figures, String> {
    let mut runners = Vec::new();
    for kind in Kind::ALL {
        let (address, process) = stage.start(kind).await?;
        let clients = clients(stage, way, address).await;
        let clients = clients.map_err(|error| format!("{kind:?}: {error}"))?;
        let load = Load::of(clients, Exchange::chat(kind.names_model()));
        runners.push(Runner::new(kind, process, load, way.turn()));
    }
    let logged = stage.folder.lines(GATEWAY_LOG)?;
    let costs = alternate(runners).await?;
    way.turn().check_log(stage.folder.lines(GATEWAY_LOG)? - logged)?;
    Ok(Figures { way, costs })
}

async fn clients(stage: &Stage, way: Way, address: std::net::SocketAddr) -> Result<Vec<Client>, String> {
    let dialer = |protocol, resumption| {
        let config = Arc::new(stage.certificates.client(protocol, resumption)?);
        Ok::<_, String>(Dialer { address, config })
    };
    let mut clients = Vec::with_capacity(CONNECTIONS);
    match way {
        Way::Http1 => {
            let dialer = dialer("http/1.1", Resumption::disabled())?;
            for _ in 0..CONNECTIONS {
                clients.push(Client::Secure(Box::new(Wire::over(dialer.connect().await?))));
            }
        }
        Way::Http2 => {
            let dialer = dialer("h2", Resumption::disabled())?;
            for _ in 0..CONNECTIONS / STREAMS {
                let shared = dialer.connect_http2().await?;
                clients.extend((0..STREAMS).map(|_| Client::Http2(shared.clone())));
            }
        }
        Way::Full => {
            let dialer = dialer("http/1.1", Resumption::disabled())?;
            clients.extend((0..CONNECTIONS).map(|_| Client::Fresh(Fresh::new(dialer.clone(), false))));
        }
        Way::Resumed => {
            for _ in 0..CONNECTIONS {
                // Each with tickets of its own.
                let dialer = dialer("http/1.1", Resumption::in_memory_sessions(1))?;
                clients.push(Client::Fresh(Fresh::new(dialer, true)));
            }
        }
    }
    Ok(clients)
}
