//! How much the gateway's memory grows: by idle connections, by streams at once, and by one large body.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;

use super::chat::{self, CLIENT_HOST, CLIENT_PATH, Pace, REQUEST_BYTES};
use super::client::{Client, Http2};
use super::contenders::{Kind, Stage};
use super::load::Exchange;
use super::stream;
use super::wire::Wire;

/// Connections that are held, and streams.
pub(super) const CONNECTIONS: usize = 9_000;
/// Connections of HTTP/2 that are held.
pub(super) const HTTP2_CONNECTIONS: usize = 2_000;
/// How many of them open at once: the rest would only wait in the listener's queue.
const OPENING: usize = 64;
/// Time for the gateway to notice that nothing comes.
const QUIET: Duration = Duration::from_secs(4);
/// Every so-manieth is used at the end, to see that it was kept.
const SAMPLED: usize = 100;
/// Bytes of the large body.
pub(super) const BODY_BYTES: usize = 20_000_000;

/// What was measured, in bytes of resident memory.
#[derive(Debug)]
pub(super) struct Memory {
    /// Of the process that has answered one request.
    pub(super) at_rest: u64,
    /// Added by connections that had a request each.
    pub(super) used: u64,
    /// Added by connections that never had one.
    pub(super) unused: u64,
    /// Added by connections of HTTP/2 that had a request each.
    pub(super) http2: u64,
    /// Added by streams that all ran at once.
    pub(super) streams: u64,
    /// Added at most while a body of [`BODY_BYTES`] passed through.
    pub(super) body_peak: u64,
    /// Of that, what is still there afterwards.
    pub(super) body_kept: u64,
}

/// Measures each on a gateway of its own.
pub(super) async fn measure(stage: &Stage) -> Result<Memory, String> {
    let (at_rest, used) = idle(stage, Held::Used).await?;
    let (_, unused) = idle(stage, Held::Unused).await?;
    let (_, http2) = idle(stage, Held::Http2).await?;
    let streams = streams(stage).await?;
    let (body_peak, body_kept) = body(stage).await?;
    Ok(Memory {
        at_rest,
        used,
        unused,
        http2,
        streams,
        body_peak,
        body_kept,
    })
}

/// What connections are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    Unused,
    Used,
    Http2,
}

impl Held {
    fn count(self) -> usize {
        match self {
            Self::Unused | Self::Used => CONNECTIONS,
            Self::Http2 => HTTP2_CONNECTIONS,
        }
    }
}

/// Memory at rest, and what connections add.
async fn idle(stage: &Stage, held: Held) -> Result<(u64, u64), String> {
    let gateway = stage.start(Kind::Gateway).await?;
    tokio::time::sleep(QUIET).await;
    let at_rest = gateway.process.memory("VmRSS")?;
    let exchange = Arc::new(Exchange::chat(true));
    let mut clients = Vec::with_capacity(held.count());
    while clients.len() < held.count() {
        let mut opening = JoinSet::new();
        for _ in 0..OPENING.min(held.count() - clients.len()) {
            let (exchange, address) = (Arc::clone(&exchange), gateway.address);
            opening.spawn(async move {
                let mut client = match held {
                    Held::Http2 => Client::Http2(Http2::connect(address).await?),
                    Held::Used | Held::Unused => {
                        let wire = Wire::connect(address).await;
                        Client::Plain(wire.map_err(|error| error.to_string())?)
                    }
                };
                if held != Held::Unused {
                    client.once(&exchange).await?;
                }
                Ok::<_, String>(client)
            });
        }
        while let Some(client) = opening.join_next().await {
            clients.push(client.map_err(|error| error.to_string())??);
        }
    }
    tokio::time::sleep(QUIET).await;
    let growth = gateway.process.memory("VmRSS")?.saturating_sub(at_rest);
    for client in clients.iter_mut().step_by(SAMPLED) {
        let again = client.once(&exchange).await;
        again.map_err(|error| format!("an idle connection was lost: {error}"))?;
    }
    Ok((at_rest, growth))
}

/// What [`CONNECTIONS`] streams add, all of which have begun and none of which has ended; afterwards all are whole.
async fn streams(stage: &Stage) -> Result<u64, String> {
    let gateway = stage.start(Kind::Gateway).await?;
    tokio::time::sleep(QUIET).await;
    let at_rest = gateway.process.memory("VmRSS")?;
    let request = chat::request(CLIENT_HOST, CLIENT_PATH, REQUEST_BYTES, Some(Pace::Slow));
    let (mut running, begun) = stream::begin(gateway.address, &request, CONNECTIONS).await;
    while begun.load(Ordering::Relaxed) < CONNECTIONS {
        if let Some(ended) = running.try_join_next() {
            let how = ended.map_err(|error| error.to_string())?.err();
            let how = how.unwrap_or_else(|| "it was whole".to_owned());
            return Err(format!("a stream ended before all had begun: {how}"));
        }
        tokio::time::sleep(Pace::Quick.every()).await;
    }
    let growth = gateway.process.memory("VmRSS")?.saturating_sub(at_rest);
    stream::all_of(running).await?;
    Ok(growth)
}

async fn body(stage: &Stage) -> Result<(u64, u64), String> {
    let gateway = stage.start(Kind::Gateway).await?;
    let mut wire = Wire::connect(gateway.address)
        .await
        .map_err(|error| error.to_string())?;
    // The code and the buffers that any large body needs are there then.
    Exchange::with_body(BODY_BYTES / 100, true).once(&mut wire).await?;
    let before = gateway.process.memory("VmRSS")?;
    Exchange::with_body(BODY_BYTES, true).once(&mut wire).await?;
    let peak = gateway.process.memory("VmHWM")?.saturating_sub(before);
    tokio::time::sleep(QUIET).await;
    let kept = gateway.process.memory("VmRSS")?.saturating_sub(before);
    Ok((peak, kept))
}
