//! The clients: connections that each send a request, wait for its answer, check it, and go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chat;
use super::client::Client;
use super::wire::Wire;

/// Connections of the closed loop.
pub(super) const CONNECTIONS: usize = 64;

/// Time for a whole run: whoever is slower has hung.
const RUN_MAX: Duration = Duration::from_secs(120);

/// What is sent, and what must come back.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) request: Vec<u8>,
    pub(super) answer: String,
}

impl Exchange {
    /// A chat through a proxy; `named_model` says whether that proxy puts the model into the body.
    pub(super) fn chat(named_model: bool) -> Self {
        Self::with_body(chat::REQUEST_BYTES, named_model)
    }

    /// A chat whose request has so many bytes of body.
    pub(super) fn with_body(bytes: usize, named_model: bool) -> Self {
        Self {
            request: chat::request(chat::CLIENT_HOST, chat::CLIENT_PATH, bytes, None),
            answer: chat::answer(named_model),
        }
    }

    /// Carries it out once, by HTTP/1.1.
    pub(super) async fn once<S: AsyncRead + AsyncWrite + Unpin>(&self, wire: &mut Wire<S>) -> Result<(), String> {
        wire.send(&self.request)
            .await
            .map_err(|error| format!("send: {error}"))?;
        let answer = wire.receive().await.map_err(|error| format!("receive: {error}"))?;
        let answer = answer.ok_or("the connection was closed instead of an answer")?;
        if answer.head.starts_with(b"HTTP/1.1 200 ") && answer.body == self.answer.as_bytes() {
            return Ok(());
        }
        Err(format!(
            "not the answer expected: {}{}",
            String::from_utf8_lossy(answer.head),
            String::from_utf8_lossy(answer.body)
        ))
    }
}

/// Clients and what they carry.
#[derive(Debug)]
pub(super) struct Load {
    clients: Vec<Client>,
    exchange: Arc<Exchange>,
}

impl Load {
    /// Of these clients.
    pub(super) fn of(clients: Vec<Client>, exchange: Exchange) -> Self {
        Self {
            clients,
            exchange: Arc::new(exchange),
        }
    }

    /// Opens `connections` to `address`, in plain text.
    pub(super) async fn open(address: SocketAddr, connections: usize, exchange: Exchange) -> Result<Self, String> {
        let mut clients = Vec::with_capacity(connections);
        for _ in 0..connections {
            let wire = Wire::connect(address).await;
            clients.push(Client::Plain(wire.map_err(|error| format!("{address}: {error}"))?));
        }
        Ok(Self::of(clients, exchange))
    }

    /// Sends `requests` in all, by all clients at once, and checks every answer.
    pub(super) async fn run(&mut self, requests: u64) -> Result<(), String> {
        let left = Arc::new(AtomicU64::new(requests));
        let mut running = JoinSet::new();
        for client in self.clients.drain(..) {
            running.spawn(share(client, Arc::clone(&self.exchange), Arc::clone(&left)));
        }
        let all = async {
            while let Some(ended) = running.join_next().await {
                self.clients.push(ended.map_err(|error| error.to_string())??);
            }
            Ok(())
        };
        timeout(RUN_MAX, all)
            .await
            .map_err(|_| format!("{requests} requests took longer than {RUN_MAX:?}"))?
    }
}

async fn share(mut client: Client, exchange: Arc<Exchange>, left: Arc<AtomicU64>) -> Result<Client, String> {
    let one_less = |left: u64| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
    {
        client.once(&exchange).await?;
    }
    Ok(client)
}

/// Sends `requests` to a proxy that is already there: what a profiler is pointed at.
///
/// # Errors
/// A sentence that says which answer was not the expected one.
pub fn run(address: SocketAddr, requests: u64, named_model: bool) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        let mut load = Load::open(address, CONNECTIONS, Exchange::chat(named_model)).await?;
        load.run(requests).await
    })
}
