//! The clients: connections that each send a request, wait for its answer, check it, and go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chat;
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
            request: chat::request(chat::CLIENT_HOST, chat::CLIENT_PATH, bytes, false),
            answer: chat::answer(named_model),
        }
    }

    /// Carries it out once.
    pub(super) async fn once(&self, wire: &mut Wire) -> Result<(), String> {
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

/// Open connections and what they carry.
#[derive(Debug)]
pub(super) struct Load {
    wires: Vec<Wire>,
    exchange: Arc<Exchange>,
}

impl Load {
    /// Opens `connections` to `address`.
    pub(super) async fn open(address: SocketAddr, connections: usize, exchange: Exchange) -> Result<Self, String> {
        let mut wires = Vec::with_capacity(connections);
        for _ in 0..connections {
            let wire = Wire::connect(address).await;
            wires.push(wire.map_err(|error| format!("{address}: {error}"))?);
        }
        Ok(Self {
            wires,
            exchange: Arc::new(exchange),
        })
    }

    /// Sends `requests` in all, over all connections at once, and checks every answer.
    pub(super) async fn run(&mut self, requests: u64) -> Result<(), String> {
        let left = Arc::new(AtomicU64::new(requests));
        let mut running = JoinSet::new();
        for wire in self.wires.drain(..) {
            running.spawn(client(wire, Arc::clone(&self.exchange), Arc::clone(&left)));
        }
        let all = async {
            while let Some(ended) = running.join_next().await {
                self.wires.push(ended.map_err(|error| error.to_string())??);
            }
            Ok(())
        };
        timeout(RUN_MAX, all)
            .await
            .map_err(|_| format!("{requests} requests took longer than {RUN_MAX:?}"))?
    }
}

async fn client(mut wire: Wire, exchange: Arc<Exchange>, left: Arc<AtomicU64>) -> Result<Wire, String> {
    let one_less = |left: u64| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
    {
        exchange.once(&mut wire).await?;
    }
    Ok(wire)
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
