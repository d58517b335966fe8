//! The run: sets and requests from a seed, both programs asked, every pair judged.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use lockgate_core::proxy_header::{self, NoProxyHeader};

use crate::bytes::Bytes;
use crate::random::Random;

use super::authorizer;
use super::departures::{self, Departure};
use super::istio::Ports;
use super::outcome::Outcome;
use super::request::{RawRequest, request};
use super::sets::{Set, set};
use super::tokens::Keys;
use super::{istio, process, translate, upstream, wire};

/// What to run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Envoy's program.
    pub envoy: PathBuf,
    /// Lockgate's program.
    pub lockgate: PathBuf,
    /// A folder for configurations and logs.
    pub folder: PathBuf,
    /// How many configurations.
    pub sets: usize,
    /// How many requests to each.
    pub requests: usize,
    /// The same seed makes the same run.
    pub seed: u64,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Figures {
    /// How many pairs meant the same, by outcome.
    pub same: BTreeMap<&'static str, usize>,
    /// How many differed as they are meant to.
    pub departed: BTreeMap<&'static str, usize>,
    /// Those that nothing explains.
    pub disagreements: Vec<Disagreement>,
}

impl Figures {
    /// How many pairs were compared.
    #[must_use]
    pub fn pairs(&self) -> usize {
        self.same.values().chain(self.departed.values()).sum::<usize>() + self.disagreements.len()
    }
}

/// The two did different things, and nothing says that they should.
#[derive(Debug)]
pub struct Disagreement {
    /// The configuration, as Lockgate has it.
    pub resources: String,
    /// The request.
    pub request: RawRequest,
    /// What Envoy did.
    pub envoy: Outcome,
    /// What Lockgate did.
    pub lockgate: Outcome,
}

/// Bytes that choices for one set or one request are made of.
const CHOICE_BYTES: usize = 768;

/// Runs it.
///
/// # Errors
/// A program does not start or hangs.
pub fn run(plan: &Plan) -> io::Result<Figures> {
    let mut random = Random::new(plan.seed);
    let keys = Keys::default();
    let servers = Ports {
        upstream: upstream::start("provider")?,
        hosts: {
            let [one, two, also] = upstream::HOSTS.map(upstream::start);
            [one?, two?, also?]
        },
        authorizer: authorizer::start()?,
    };
    let sets: Vec<Set> = (0..plan.sets)
        .map(|_| set(&mut Bytes::new(&random.bytes(CHOICE_BYTES))))
        .collect();
    let ports = process::free_ports(plan.sets * 2)?;
    let (envoy_ports, lockgate_ports) = ports.split_at(plan.sets);
    let listeners = sets
        .iter()
        .zip(envoy_ports)
        .map(|(set, port)| translate::listener(set, &keys, *port));
    let bootstrap = translate::bootstrap(listeners.collect(), servers);
    let _envoy = process::envoy(&plan.envoy, &plan.folder, &bootstrap, envoy_ports)?;
    let mut figures = Figures::default();
    for (set, (envoy_port, lockgate_port)) in sets.iter().zip(envoy_ports.iter().zip(lockgate_ports)) {
        let resources = istio::resources(set, &keys, servers);
        let _lockgate = process::lockgate(&plan.lockgate, &plan.folder, &resources, *lockgate_port)?;
        for _ in 0..plan.requests {
            let request = request(&mut Bytes::new(&random.bytes(CHOICE_BYTES)), &keys, set.proxy_protocol);
            let bytes = request.bytes();
            let is_cut = request.proxy_header.is_some() && is_cut(&bytes);
            let ask = |port| {
                let to = SocketAddrV4::new(request.to, port);
                wire::ask(request.from, to, &bytes, is_cut).map(|answer| Outcome::of(answer, !set.services.is_empty()))
            };
            let (envoy, lockgate) = (ask(*envoy_port)?, ask(*lockgate_port)?);
            figures.judge(set, &request, (envoy, lockgate), || {
                resources.iter().map(|resource| format!("{resource}\n")).collect()
            });
        }
    }
    Ok(figures)
}

/// Whether a broken header announces more than there is, or leaves less than the head of a request.
fn is_cut(bytes: &[u8]) -> bool {
    match proxy_header::read(bytes) {
        Err(NoProxyHeader) => false,
        Ok(None) => true,
        Ok(Some(header)) => !bytes[header.bytes..].windows(4).any(|end| end == b"\r\n\r\n"),
    }
}

impl Figures {
    fn judge(
        &mut self,
        set: &Set,
        request: &RawRequest,
        (envoy, lockgate): (Outcome, Outcome),
        resources: impl FnOnce() -> String,
    ) {
        if lockgate.is_same_as(&envoy) {
            *self.same.entry(envoy.kind()).or_default() += 1;
        } else if let Some(Departure { name, .. }) = departures::explains(set, request, &envoy, &lockgate) {
            *self.departed.entry(name).or_default() += 1;
        } else {
            self.disagreements.push(Disagreement {
                resources: resources(),
                request: request.clone(),
                envoy,
                lockgate,
            });
        }
    }
}
