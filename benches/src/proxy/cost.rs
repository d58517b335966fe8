//! CPU time per request of each proxy, in rounds that alternate them.

use core::fmt::Debug;
use std::path::Path;
use std::time::{Duration, Instant};

use super::contenders::{GATEWAY_LOG, Kind, Stage};
use super::load::{CONNECTIONS, Exchange, Load};
use super::process::Process;
use super::stats::Spread;

/// Rounds; every proxy has one turn in each.
pub(super) const ROUNDS: usize = 11;
/// Turns in plain text.
pub(super) const TURN: Turn = Turn {
    requests: 15_000,
    warm_up: 1_500,
};
/// Time before the CPU time is read, so that what a proxy does later for these requests counts as well.
const SETTLE: Duration = Duration::from_millis(60);

/// How much of a proxy is asked at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Requests that count.
    pub(super) requests: u64,
    /// Requests before them, which do not: caches and pools fill.
    pub(super) warm_up: u64,
}

/// What a proxy cost.
#[derive(Debug)]
pub(super) struct Cost<L> {
    /// Which one it is.
    pub(super) label: L,
    /// Microseconds of CPU per request, by round.
    pub(super) cpu_us: Vec<f64>,
    /// Requests per second of wall time, by round.
    pub(super) per_second: Vec<f64>,
}

/// Measures the proxies in plain text.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Cost<Kind>>, String> {
    let mut runners = Vec::new();
    for kind in Kind::ALL {
        runners.push(plain(stage, kind, kind).await?);
    }
    let costs = alternate(runners).await?;
    // One is of the first answer.
    TURN.check_log(stage.folder.lines(GATEWAY_LOG)?.saturating_sub(1))?;
    Ok(costs)
}

/// Measures two binaries of the gateway beside each other: the second's cost over the first's.
pub(super) async fn compare(one: &Path, other: &Path, examples: &Path) -> Result<Spread, String> {
    // Each with an upstream and files of its own.
    let stages = [Stage::new(one, examples).await?, Stage::new(other, examples).await?];
    let mut runners = Vec::new();
    for (label, stage) in stages.iter().enumerate() {
        runners.push(plain(stage, Kind::Gateway, label).await?);
    }
    let costs = alternate(runners).await?;
    Ok(ratio(&costs, 1, 0))
}

async fn plain<L>(stage: &Stage, kind: Kind, label: L) -> Result<Runner<L>, String> {
    let contender = stage.start(kind).await?;
    let load = Load::open(contender.address, CONNECTIONS, Exchange::chat(kind.names_model())).await?;
    Ok(Runner::new(label, contender.process, load, TURN))
}

/// Alternates the proxies; what they cost comes in the order of their labels.
pub(super) async fn alternate<L: Debug + Copy + Ord>(mut runners: Vec<Runner<L>>) -> Result<Vec<Cost<L>>, String> {
    for round in 0..ROUNDS {
        // Another one first each time, so that none always has the same place.
        runners.rotate_left(1);
        for runner in &mut runners {
            let label = runner.cost.label;
            runner.turn().await.map_err(|error| format!("{label:?}: {error}"))?;
        }
        eprintln!("round {} of {ROUNDS}", round + 1);
    }
    let mut costs: Vec<Cost<L>> = runners.into_iter().map(|runner| runner.cost).collect();
    costs.sort_by_key(|cost| cost.label);
    Ok(costs)
}

/// A proxy and its clients.
#[derive(Debug)]
pub(super) struct Runner<L> {
    process: Process,
    load: Load,
    turn: Turn,
    cost: Cost<L>,
}

impl<L> Runner<L> {
    /// One that has not had a turn yet.
    pub(super) fn new(label: L, process: Process, load: Load, turn: Turn) -> Self {
        let cost = Cost {
            label,
            cpu_us: Vec::new(),
            per_second: Vec::new(),
        };
        Self {
            process,
            load,
            turn,
            cost,
        }
    }

    async fn turn(&mut self) -> Result<(), String> {
        self.load.run(self.turn.warm_up).await?;
        tokio::time::sleep(SETTLE).await;
        let before = self.process.cpu()?;
        let begun = Instant::now();
        self.load.run(self.turn.requests).await?;
        let took = begun.elapsed();
        tokio::time::sleep(SETTLE).await;
        let cpu_ns = self.process.cpu()?.since(&before)?;
        let requests = self.turn.requests as f64;
        self.cost.cpu_us.push(cpu_ns as f64 / 1e3 / requests);
        self.cost.per_second.push(requests / took.as_secs_f64());
        Ok(())
    }
}

impl Turn {
    /// Whether all rounds left so many lines: a gateway that dropped some would have had less to do.
    pub(super) fn check_log(self, lines: u64) -> Result<(), String> {
        match ROUNDS as u64 * (self.requests + self.warm_up) {
            requests if lines == requests => Ok(()),
            requests => Err(format!("the gateway logged {lines} of {requests} requests")),
        }
    }
}

/// One proxy's cost over that of another, round by round.
pub(super) fn ratio<L: PartialEq>(costs: &[Cost<L>], one: L, other: L) -> Spread {
    let of = |label| costs.iter().find(|cost| cost.label == label).map(|cost| &cost.cpu_us);
    match (of(one), of(other)) {
        (Some(one), Some(other)) => Spread::of_ratios(one, other),
        _ => Spread::of(Vec::new()),
    }
}
