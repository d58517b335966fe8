//! What a proxy adds to each chunk of a stream, in time and in CPU.
//!
//! Every chunk carries the time it was sent at. A proxy that gathers chunks, or
//! writes to a socket without `TCP_NODELAY`, shows as chunks 40 ms late.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chat::{self, CLIENT_HOST, PROVIDER_HOST, PROVIDER_PATH, REQUEST_BYTES, SENT, STREAM_CHUNKS};
use super::contenders::{Contender, Kind, Stage};
use super::process::now_ns;
use super::stats::{Spread, quantile};
use super::wire::{Wire, field};

/// Streams at once.
pub(super) const STREAMS: u64 = 50;
/// Rounds; direct and every proxy have one turn in each.
pub(super) const ROUNDS: usize = 7;
/// Streams begin this far apart, so that their chunks do not come in one burst.
const APART: Duration = Duration::from_micros(397);
/// Time for a whole stream.
const STREAM_MAX: Duration = Duration::from_secs(30);

/// How chunks came through.
#[derive(Debug)]
pub(super) struct Streams {
    /// `None` is direct.
    pub(super) kind: Option<Kind>,
    /// Microseconds from sending to receiving, of a round's chunks, sorted, by round.
    delays_us: Vec<Vec<f64>>,
    /// Microseconds of CPU per chunk, by round.
    pub(super) cpu_us: Vec<f64>,
}

impl Streams {
    /// The delay below which `share` of a round's chunks stay, in microseconds.
    pub(super) fn delay_us(&self, share: f64) -> Spread {
        let rounds = self.delays_us.iter();
        Spread::of(rounds.map(|delays| quantile(delays, share)).collect())
    }

    /// The same, less what it was in the same round for `direct`.
    pub(super) fn added_us(&self, direct: &Self, share: f64) -> Spread {
        let rounds = self.delays_us.iter().zip(&direct.delays_us);
        Spread::of(
            rounds
                .map(|(ours, theirs)| quantile(ours, share) - quantile(theirs, share))
                .collect(),
        )
    }

    /// The slowest chunk of all, in microseconds.
    pub(super) fn slowest_us(&self) -> f64 {
        self.delays_us
            .iter()
            .filter_map(|delays| delays.last())
            .copied()
            .fold(0.0, f64::max)
    }
}

/// Alternates direct and the proxies; direct is first in the result.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Streams>, String> {
    let mut contenders = Vec::new();
    for kind in Kind::ALL {
        contenders.push(stage.start(kind).await?);
    }
    let kinds = [None].into_iter().chain(Kind::ALL.map(Some));
    let mut results: Vec<Streams> = kinds
        .map(|kind| Streams {
            kind,
            delays_us: Vec::new(),
            cpu_us: Vec::new(),
        })
        .collect();
    for round in 0..ROUNDS {
        for result in &mut results {
            let contender = contenders.iter().find(|contender| Some(contender.kind) == result.kind);
            turn(stage, contender, result).await?;
        }
        eprintln!("streams, round {} of {ROUNDS}", round + 1);
    }
    Ok(results)
}

async fn turn(stage: &Stage, contender: Option<&Contender>, result: &mut Streams) -> Result<(), String> {
    let Some(contender) = contender else {
        let request = chat::request(PROVIDER_HOST, PROVIDER_PATH, REQUEST_BYTES, true);
        result.delays_us.push(run(stage.mock, &request).await?);
        return Ok(());
    };
    let request = chat::request(CLIENT_HOST, contender.kind.stream_path(), REQUEST_BYTES, true);
    let before = contender.process.cpu()?;
    let delays = run(contender.address, &request).await;
    let delays = delays.map_err(|error| format!("{:?}: {error}", contender.kind))?;
    let cpu_ns = contender.process.cpu()?.since(&before)?;
    result.cpu_us.push(cpu_ns as f64 / 1e3 / delays.len() as f64);
    result.delays_us.push(delays);
    Ok(())
}

/// The delays of all chunks of [`STREAMS`] streams, sorted.
async fn run(address: SocketAddr, request: &[u8]) -> Result<Vec<f64>, String> {
    let mut running = JoinSet::new();
    for _ in 0..STREAMS {
        let request = request.to_vec();
        running.spawn(async move {
            let whole = timeout(STREAM_MAX, one(address, &request)).await;
            whole.map_err(|_| format!("a stream took longer than {STREAM_MAX:?}"))?
        });
        tokio::time::sleep(APART).await;
    }
    let mut delays = Vec::new();
    while let Some(stream) = running.join_next().await {
        delays.extend(stream.map_err(|error| error.to_string())??);
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// One whole stream: the delays of its chunks.
pub(super) async fn one(address: SocketAddr, request: &[u8]) -> Result<Vec<f64>, String> {
    let mut wire = Wire::connect(address).await.map_err(|error| error.to_string())?;
    wire.send(request).await.map_err(|error| error.to_string())?;
    let (mut bytes, mut delays) = (Vec::new(), Vec::new());
    while !bytes.ends_with(b"\r\n0\r\n\r\n") {
        let read = wire.read_raw(&mut bytes).await.map_err(|error| error.to_string())?;
        let now = now_ns();
        if read == 0 || !bytes.starts_with(b"HTTP/1.1 200 ") || field(&bytes, "content-length").is_some() {
            break;
        }
        let text = String::from_utf8_lossy(&bytes);
        let sent: Vec<u64> = sent_times(&text).collect();
        delays.extend(
            sent.iter()
                .skip(delays.len())
                .map(|sent| now.saturating_sub(*sent) as f64 / 1e3),
        );
    }
    let text = String::from_utf8_lossy(&bytes);
    if delays.len() == STREAM_CHUNKS && text.starts_with("HTTP/1.1 200 ") && text.contains("data: [DONE]") {
        return Ok(delays);
    }
    Err(format!("a stream was not whole: {} chunks in:\n{text}", delays.len()))
}

/// The times in all events that have come whole.
fn sent_times(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split(SENT)
        .skip(1)
        .filter_map(|rest| rest.split_once(',').and_then(|(time, _)| time.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_times_are_read() {
        let text = "2a\r\ndata: {\"sent\":17,\"x\":1}\n\n\r\ndata: {\"sent\":18,\"x\":1}\n\ndata: {\"sent\":1";
        assert_eq!(sent_times(text).collect::<Vec<_>>(), [17, 18]);
    }
}
