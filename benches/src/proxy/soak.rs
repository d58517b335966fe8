//! Minutes of load with a fault every few seconds: nothing may be lost but what a fault took, and nothing may grow.
//!
//! Clients keep asking, for whole answers and for streams, and check each. The
//! upstream is killed and comes back, configurations are loaded, good ones and
//! broken ones, clients storm in and leave in the middle of a head, and others
//! do not read what they asked for. Only while the upstream is away may a
//! request fail.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::chat::{self, CLIENT_HOST, CLIENT_PATH, Pace, REQUEST_BYTES};
use super::contenders::{Contender, Kind, Stage};
use super::load::Exchange;
use super::stream;
use super::wire::Wire;

/// Clients that ask for whole answers, and for streams.
const CLIENTS: usize = 16;
const STREAMS: usize = 32;
/// Pause of a client between requests: the machine is to be busy, not full.
const PAUSE: Duration = Duration::from_millis(5);
/// Time between faults.
const FAULT_EVERY: Duration = Duration::from_secs(3);
/// How long after the upstream came back a request may still end as the fault left it: longer than a stream lasts.
const AFTERMATH: Duration = Duration::from_secs(1);
/// Connections of a storm, and of clients that do not read.
const STORM: usize = 300;
const SLOW: usize = 20;
/// Requests that a client which does not read sends after one another.
const UNREAD: usize = 2_000;
/// Time for the gateway to give memory back and to let go of idle connections.
const QUIET: Duration = Duration::from_secs(6);
/// What memory may have grown by from the first half of the run to the second: the allocator's grain.
const GROWTH_MAX: u64 = 4 * 1024 * 1024;

#[derive(Debug, Default)]
struct Tally {
    answers: AtomicU64,
    streams: AtomicU64,
    /// What a fault took, which it may.
    taken: AtomicU64,
    lost: AtomicU64,
    is_upstream_away: AtomicBool,
    over: AtomicBool,
}

/// What is looked at all the time.
#[derive(Debug, Clone, Copy)]
struct Sample {
    memory: u64,
    descriptors: usize,
}

/// Runs for so many minutes and prints what was seen.
pub(super) async fn run(stage: &mut Stage, minutes: u64) -> Result<(), String> {
    let gateway = stage.start(Kind::Gateway).await?;
    let tally = Arc::new(Tally::default());
    let mut clients = JoinSet::new();
    for index in 0..CLIENTS + STREAMS {
        clients.spawn(client(gateway.address, index >= CLIENTS, Arc::clone(&tally)));
    }
    let (begun, whole) = (Instant::now(), Duration::from_secs(minutes * 60));
    let mut samples = Vec::new();
    for round in 0_usize.. {
        if begun.elapsed() >= whole {
            break;
        }
        fault(round, stage, &gateway, &tally).await?;
        sleep(FAULT_EVERY).await;
        samples.push(sample(&gateway)?);
    }
    tally.over.store(true, Ordering::Relaxed);
    while let Some(ended) = clients.join_next().await {
        ended.map_err(|error| error.to_string())?;
    }
    // The pool's connections end with the upstream.
    stage.stop_mock();
    sleep(QUIET).await;
    let rest = sample(&gateway)?;
    judge(&tally, &samples, rest)
}

fn sample(gateway: &Contender) -> Result<Sample, String> {
    Ok(Sample {
        memory: gateway.process.memory("VmRSS")?,
        descriptors: gateway.process.descriptors()?,
    })
}

/// The next fault; they take turns.
async fn fault(round: usize, stage: &mut Stage, gateway: &Contender, tally: &Tally) -> Result<(), String> {
    match round % 5 {
        0 => {
            tally.is_upstream_away.store(true, Ordering::Relaxed);
            stage.stop_mock();
            sleep(Duration::from_millis(300)).await;
            stage.start_mock().await?;
            sleep(AFTERMATH).await;
            tally.is_upstream_away.store(false, Ordering::Relaxed);
            Ok(())
        }
        1 => {
            stage.write_config("", round)?;
            gateway.process.signal(Signal::HUP)
        }
        2 => {
            stage.write_config("spec: [", round)?;
            gateway.process.signal(Signal::HUP)?;
            sleep(Duration::from_millis(500)).await;
            stage.write_config("", round)
        }
        3 => storm(gateway.address).await,
        _ => slow_readers(gateway.address).await,
    }
}

/// Clients that come all at once and leave within their heads, some without a word.
async fn storm(address: SocketAddr) -> Result<(), String> {
    let mut all = Vec::new();
    for index in 0..STORM {
        let mut stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        if index % 2 == 0 {
            let _ = stream
                .write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: tes")
                .await;
        }
        all.push(stream);
    }
    sleep(Duration::from_millis(200)).await;
    Ok(())
}

/// Clients that ask and ask and read nothing, until they are gone.
async fn slow_readers(address: SocketAddr) -> Result<(), String> {
    let request = chat::request(CLIENT_HOST, CLIENT_PATH, REQUEST_BYTES, None).repeat(UNREAD);
    let mut all = JoinSet::new();
    for _ in 0..SLOW {
        let request = request.clone();
        all.spawn(async move {
            let mut stream = TcpStream::connect(address).await?;
            // The gateway stops reading, as it should.
            let _ = timeout(Duration::from_secs(2), stream.write_all(&request)).await;
            Ok::<_, std::io::Error>(())
        });
    }
    while let Some(one) = all.join_next().await {
        one.map_err(|error| error.to_string())?
            .map_err(|error| error.to_string())?;
    }
    Ok(())
}

async fn client(address: SocketAddr, streams: bool, tally: Arc<Tally>) {
    let exchange = Exchange::chat(true);
    let request = chat::request(CLIENT_HOST, CLIENT_PATH, REQUEST_BYTES, Some(Pace::Quick));
    let mut kept = None;
    while !tally.over.load(Ordering::Relaxed) {
        let was_away = tally.is_upstream_away.load(Ordering::Relaxed);
        let done = if streams {
            stream::one(address, &request).await.map(drop)
        } else {
            once(address, &mut kept, &exchange).await
        };
        let counter = match &done {
            Ok(()) if streams => &tally.streams,
            Ok(()) => &tally.answers,
            Err(_) if was_away || tally.is_upstream_away.load(Ordering::Relaxed) => &tally.taken,
            Err(error) => {
                eprintln!("lost: {error}");
                &tally.lost
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        sleep(PAUSE).await;
    }
}

async fn once(address: SocketAddr, kept: &mut Option<Wire<TcpStream>>, exchange: &Exchange) -> Result<(), String> {
    let mut wire = match kept.take() {
        Some(wire) => wire,
        None => Wire::connect(address)
            .await
            .map_err(|error| format!("connect: {error}"))?,
    };
    exchange.once(&mut wire).await?;
    *kept = Some(wire);
    Ok(())
}

/// Prints what was seen, and fails if it is not as it must be.
fn judge(tally: &Tally, samples: &[Sample], rest: Sample) -> Result<(), String> {
    let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let (lost, answers, streams) = (of(&tally.lost), of(&tally.answers), of(&tally.streams));
    // Of each half the least that it ever was: what is held for good shows there, what is under way does not.
    let (first, second) = samples.split_at(samples.len() / 2);
    let least = |half: &[Sample]| half.iter().map(|sample| sample.memory).min().unwrap_or(0);
    let most = |half: &[Sample]| half.iter().map(|sample| sample.descriptors).max().unwrap_or(0);
    let grown = least(second).saturating_sub(least(first));
    println!(
        "{} faults; {answers} answers and {streams} streams whole, {} taken by faults, {lost} lost\n\
         memory, least of each half: {} KiB, {} KiB; at rest {} KiB\n\
         descriptors, most of each half: {}, {}; at rest {}",
        samples.len(),
        of(&tally.taken),
        least(first) / 1024,
        least(second) / 1024,
        rest.memory / 1024,
        most(first),
        most(second),
        rest.descriptors,
    );
    if lost > 0 {
        return Err(format!(
            "{lost} requests were lost while nothing was wrong with the upstream"
        ));
    }
    if answers == 0 || streams == 0 {
        return Err("nothing was answered".to_owned());
    }
    if grown > GROWTH_MAX {
        return Err(format!("memory grew by {} KiB", grown / 1024));
    }
    let at_first = samples.first().map_or(0, |sample| sample.descriptors);
    if rest.descriptors > at_first {
        return Err(format!("{} descriptors at rest", rest.descriptors));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_or_is_lost_is_no_success() {
        let tally = |lost| Tally {
            answers: AtomicU64::new(1),
            streams: AtomicU64::new(1),
            lost: AtomicU64::new(lost),
            ..Tally::default()
        };
        let sample = |memory, descriptors| Sample { memory, descriptors };
        let (low, high) = (sample(1, 50), sample(2 + GROWTH_MAX, 50));
        let rest = sample(0, 20);
        assert!(judge(&tally(0), &[low, high, low, high], rest).is_ok());
        assert!(judge(&tally(0), &[low, low, high, high], rest).is_err());
        assert!(judge(&tally(1), &[low; 4], rest).is_err());
        assert!(judge(&tally(0), &[low; 4], sample(0, 51)).is_err());
        assert!(judge(&Tally::default(), &[low; 4], rest).is_err());
    }
}
