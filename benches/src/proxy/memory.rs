//! How much the gateway's memory grows: by idle connections, and by one large body.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::contenders::{Kind, Stage};
use super::load::Exchange;
use super::wire::Wire;

/// Connections that are held.
pub(super) const CONNECTIONS: usize = 9_000;
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
    /// Added at most while a body of [`BODY_BYTES`] passed through.
    pub(super) body_peak: u64,
    /// Of that, what is still there afterwards.
    pub(super) body_kept: u64,
}

/// Measures each on a gateway of its own.
pub(super) async fn measure(stage: &Stage) -> Result<Memory, String> {
    let (at_rest, used) = idle(stage, true).await?;
    let (_, unused) = idle(stage, false).await?;
    let (body_peak, body_kept) = body(stage).await?;
    Ok(Memory {
        at_rest,
        used,
        unused,
        body_peak,
        body_kept,
    })
}

/// Memory at rest, and what [`CONNECTIONS`] add.
async fn idle(stage: &Stage, used: bool) -> Result<(u64, u64), String> {
    let gateway = stage.start(Kind::Gateway).await?;
    tokio::time::sleep(QUIET).await;
    let at_rest = gateway.process.memory("VmRSS")?;
    let exchange = Arc::new(Exchange::chat(true));
    let mut wires = Vec::with_capacity(CONNECTIONS);
    while wires.len() < CONNECTIONS {
        let mut opening = JoinSet::new();
        for _ in 0..OPENING.min(CONNECTIONS - wires.len()) {
            let (exchange, address) = (Arc::clone(&exchange), gateway.address);
            opening.spawn(async move {
                let mut wire = Wire::connect(address).await.map_err(|error| error.to_string())?;
                if used {
                    exchange.once(&mut wire).await?;
                }
                Ok::<_, String>(wire)
            });
        }
        while let Some(wire) = opening.join_next().await {
            wires.push(wire.map_err(|error| error.to_string())??);
        }
    }
    tokio::time::sleep(QUIET).await;
    let growth = gateway.process.memory("VmRSS")?.saturating_sub(at_rest);
    for wire in wires.iter_mut().step_by(SAMPLED) {
        let again = exchange.once(wire).await;
        again.map_err(|error| format!("an idle connection was lost: {error}"))?;
    }
    Ok((at_rest, growth))
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
