//! CPU time per request of each proxy, in rounds that alternate them.

use std::time::{Duration, Instant};

use super::contenders::{Contender, Kind, Stage};
use super::load::{CONNECTIONS, Exchange, Load};
use super::stats::Spread;

/// Rounds; every proxy has one turn in each.
pub(super) const ROUNDS: usize = 11;
/// Requests of a turn.
pub(super) const REQUESTS: u64 = 15_000;
/// Requests before a turn, which are not counted: caches and pools fill.
const WARM_UP: u64 = 1_500;
/// Time before the CPU time is read, so that what a proxy does later for these requests counts as well.
const SETTLE: Duration = Duration::from_millis(60);

/// What a proxy cost.
#[derive(Debug)]
pub(super) struct Cost {
    pub(super) kind: Kind,
    /// Microseconds of CPU per request, by round.
    pub(super) cpu_us: Vec<f64>,
    /// Requests per second of wall time, by round.
    pub(super) per_second: Vec<f64>,
}

/// Alternates the proxies.
pub(super) async fn measure(stage: &Stage) -> Result<Vec<Cost>, String> {
    let mut runners = Vec::new();
    for kind in Kind::ALL {
        runners.push(Runner::start(stage, kind).await?);
    }
    for round in 0..ROUNDS {
        // Another one first each time, so that none always has the same place.
        runners.rotate_left(1);
        for runner in &mut runners {
            runner.turn().await?;
        }
        eprintln!("round {} of {ROUNDS}", round + 1);
    }
    check_log(stage)?;
    let mut costs: Vec<Cost> = runners.into_iter().map(|runner| runner.cost).collect();
    costs.sort_by_key(|cost| Kind::ALL.iter().position(|kind| *kind == cost.kind));
    Ok(costs)
}

struct Runner {
    contender: Contender,
    load: Load,
    cost: Cost,
}

impl Runner {
    async fn start(stage: &Stage, kind: Kind) -> Result<Self, String> {
        let contender = stage.start(kind).await?;
        let exchange = Exchange::chat(kind.names_model());
        let load = Load::open(contender.address, CONNECTIONS, exchange).await?;
        let cost = Cost {
            kind,
            cpu_us: Vec::new(),
            per_second: Vec::new(),
        };
        Ok(Self { contender, load, cost })
    }

    async fn turn(&mut self) -> Result<(), String> {
        self.run(WARM_UP).await?;
        tokio::time::sleep(SETTLE).await;
        let before = self.contender.process.cpu()?;
        let begun = Instant::now();
        self.run(REQUESTS).await?;
        let took = begun.elapsed();
        tokio::time::sleep(SETTLE).await;
        let cpu_ns = self.contender.process.cpu()?.since(&before)?;
        self.cost.cpu_us.push(cpu_ns as f64 / 1e3 / REQUESTS as f64);
        self.cost.per_second.push(REQUESTS as f64 / took.as_secs_f64());
        Ok(())
    }

    async fn run(&mut self, requests: u64) -> Result<(), String> {
        let run = self.load.run(requests).await;
        run.map_err(|error| format!("{:?}: {error}", self.contender.kind))
    }
}

/// A gateway that dropped lines would have had less to do.
fn check_log(stage: &Stage) -> Result<(), String> {
    // And one for the first answer.
    let requests = ROUNDS as u64 * (REQUESTS + WARM_UP) + 1;
    match stage.log_lines()? {
        lines if lines == requests => Ok(()),
        lines => Err(format!("the gateway logged {lines} of {requests} requests")),
    }
}

/// The first proxy's cost over that of `other`, round by round.
pub(super) fn ratio(costs: &[Cost], other: Kind) -> Spread {
    let of = |kind| costs.iter().find(|cost| cost.kind == kind).map(|cost| &cost.cpu_us);
    match (of(Kind::Gateway), of(other)) {
        (Some(ours), Some(theirs)) => Spread::of_ratios(ours, theirs),
        _ => Spread::of(Vec::new()),
    }
}
