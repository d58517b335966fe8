//! What a proxy adds to each chunk of a stream, in time and in CPU.
//!
//! Every chunk carries the time it was sent at. A proxy that gathers chunks, or
//! writes to a socket without `TCP_NODELAY`, shows as chunks 40 ms late.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::timeout;

use super::chat::{self, CLIENT_HOST, PROVIDER_HOST, PROVIDER_PATH, Pace, REQUEST_BYTES, SENT, STREAM_CHUNKS};
use super::contenders::{Contender, Kind, Stage};
use super::process::now_ns;
use super::stats::{Spread, quantile};
use super::wire::{Wire, field};

/// What is measured, and what must hold.
#[derive(Debug)]
pub(super) struct Setting {
    /// Streams at once.
    pub(super) streams: usize,
    pub(super) pace: Pace,
    /// Direct and every proxy have one turn in each.
    pub(super) rounds: usize,
    pub(super) proxies: &'static [Kind],
    /// The share of chunks of which the gateway adds at most so many microseconds.
    pub(super) share: f64,
    pub(super) added_us_max: f64,
}

/// Few streams of many chunks. The bound is shorter than any timer of TCP's, which are 40 ms.
pub(super) const FEW: Setting = Setting {
    streams: 50,
    pace: Pace::Quick,
    rounds: 7,
    proxies: &Kind::ALL,
    share: 0.999,
    added_us_max: 10_000.0,
};

/// Many streams.
pub(super) const MANY: Setting = Setting {
    streams: 1_000,
    pace: Pace::Slow,
    rounds: 3,
    proxies: &Kind::ALL,
    share: 0.99,
    added_us_max: 2_000.0,
};

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
pub(super) async fn measure(stage: &Stage, setting: &Setting) -> Result<Vec<Streams>, String> {
    let mut contenders = Vec::new();
    for kind in setting.proxies {
        contenders.push(stage.start(*kind).await?);
    }
    let kinds = [None].into_iter().chain(setting.proxies.iter().copied().map(Some));
    let mut results: Vec<Streams> = kinds
        .map(|kind| Streams {
            kind,
            delays_us: Vec::new(),
            cpu_us: Vec::new(),
        })
        .collect();
    for round in 0..setting.rounds {
        for result in &mut results {
            let contender = contenders.iter().find(|contender| Some(contender.kind) == result.kind);
            turn(stage, setting, contender, result).await?;
        }
        eprintln!("{} streams, round {} of {}", setting.streams, round + 1, setting.rounds);
    }
    Ok(results)
}

async fn turn(
    stage: &Stage,
    setting: &Setting,
    contender: Option<&Contender>,
    result: &mut Streams,
) -> Result<(), String> {
    let request = |host: &str, path: &str| chat::request(host, path, REQUEST_BYTES, Some(setting.pace));
    let Some(contender) = contender else {
        let direct = request(PROVIDER_HOST, PROVIDER_PATH);
        let (running, _) = begin(stage.mock, &direct, setting.streams).await;
        let delays = all_of(running).await?;
        result.delays_us.push(delays);
        return Ok(());
    };
    let proxied = request(CLIENT_HOST, contender.kind.stream_path());
    let before = contender.process.cpu()?;
    let (running, _) = begin(contender.address, &proxied, setting.streams).await;
    let delays = all_of(running).await;
    let delays = delays.map_err(|error| format!("{:?}: {error}", contender.kind))?;
    let cpu_ns = contender.process.cpu()?.since(&before)?;
    result.cpu_us.push(cpu_ns as f64 / 1e3 / delays.len() as f64);
    result.delays_us.push(delays);
    Ok(())
}

/// Streams that run, each to the delays of its chunks.
pub(super) type Running = JoinSet<Result<Vec<f64>, String>>;

/// Asks for so many streams, one after the other. The number is of those whose first chunk has come.
pub(super) async fn begin(address: SocketAddr, request: &[u8], streams: usize) -> (Running, Arc<AtomicUsize>) {
    let request: Arc<[u8]> = request.into();
    let begun = Arc::new(AtomicUsize::new(0));
    let mut running = JoinSet::new();
    for _ in 0..streams {
        let (request, begun) = (Arc::clone(&request), Arc::clone(&begun));
        running.spawn(async move {
            let first = || {
                begun.fetch_add(1, Ordering::Relaxed);
            };
            let whole = timeout(STREAM_MAX, read(address, &request, first)).await;
            whole.map_err(|_| format!("a stream took longer than {STREAM_MAX:?}"))?
        });
        tokio::time::sleep(APART).await;
    }
    (running, begun)
}

/// The delays of all their chunks, sorted, once all have come whole.
pub(super) async fn all_of(mut running: Running) -> Result<Vec<f64>, String> {
    let mut delays = Vec::new();
    while let Some(stream) = running.join_next().await {
        delays.extend(stream.map_err(|error| error.to_string())??);
    }
    delays.sort_by(f64::total_cmp);
    Ok(delays)
}

/// One whole stream: the delays of its chunks.
pub(super) async fn one(address: SocketAddr, request: &[u8]) -> Result<Vec<f64>, String> {
    read(address, request, || ()).await
}

async fn read(address: SocketAddr, request: &[u8], first: impl FnOnce()) -> Result<Vec<f64>, String> {
    let mut first = Some(first);
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
        if let Some(first) = first.take_if(|_| !delays.is_empty()) {
            first();
        }
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
