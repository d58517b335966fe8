//! The process: start everything, turn signals and file changes into reloads, drain, end.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use lockgate_core::Memory;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::access::AccessLog;
use crate::access::queue::{Queue, Writer};
use crate::admin::Admin;
use crate::capsule::{Capsules, Share};
use crate::config::Inputs;
use crate::jwt::Fetcher;
use crate::limits::CUT;
use crate::log::{self, Format};
use crate::metrics::Metrics;
use crate::ports::{Addresses, Bound, Given, Ports};
use crate::reload::{self, Refused};
use crate::shared::{Bounds, Logs, Shared, Times};
use crate::systemd::{self, Notifier};
use crate::upgrade::{self, Door, Predecessor, Sockets, Successor};
use crate::watch::FileWatch;
use crate::worker::{Command, Handle};

/// How to serve.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) inputs: Inputs,
    pub(crate) addresses: Addresses,
    /// `None` is off.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) workers: usize,
    pub(crate) times: Times,
    pub(crate) bounds: Bounds,
    /// Whether keys of tokens may be fetched from addresses that are not public.
    pub(crate) allow_private_jwks: bool,
    pub(crate) log_format: Format,
    /// `-` is standard output.
    pub(crate) access_log: PathBuf,
    pub(crate) capsules: Option<CapsuleLog>,
    /// Where this process takes over from the one before, and the next one from this.
    pub(crate) upgrade: Option<PathBuf>,
}

/// Which decisions are logged as capsules.
#[derive(Debug)]
pub(crate) struct CapsuleLog {
    pub(crate) file: PathBuf,
    pub(crate) share: Share,
    /// Names of header fields, parameters and claims whose values are withheld.
    pub(crate) hidden: Vec<String>,
}

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    inputs: Inputs,
    /// What is known of the configuration that was loaded last.
    memory: Memory,
    watch: FileWatch,
    ports: Ports,
    admin: Option<Admin>,
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    /// Of the logs.
    writers: Vec<Writer>,
    systemd: Arc<Notifier>,
    /// Where the next process takes over.
    door: Option<Door>,
}

/// Exit status for a configuration or arguments that are wrong.
const REFUSED: u8 = 2;

/// Serves until told to end.
pub(crate) fn serve(options: Options) -> ExitCode {
    log::set_format(options.log_format);
    // Before there is a second thread.
    let given = match systemd::sockets() {
        Ok(given) => given,
        Err(why) => return refused(&why),
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    // A start or a reload leaves no thread behind.
    runtime.enable_all().thread_keep_alive(Duration::from_millis(100));
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => return refused(&Refused(format!("error: cannot start: {error}\n"))),
    };
    runtime.block_on(async {
        // Before anything else: what comes during the start must be heard, and not end the process by itself.
        let mut signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return cannot_hear(&error),
        };
        // Reading, compiling and waiting for a pipe's writer may take long.
        let start = tokio::task::spawn_blocking(move || Gateway::prepare(options, given));
        let prepared = tokio::select! {
            biased;
            // Nothing is served yet. Not by returning, which would wait for the start.
            () = signals.end() => std::process::exit(0),
            prepared = start => prepared,
        };
        match prepared {
            Ok(Ok(prepared)) => prepared.open().run(signals).await,
            Ok(Err(why)) => refused(&why),
            Err(panic) => refused(&Refused(format!("error: cannot start: {panic}\n"))),
        }
    })
}

/// What ends the process, and what makes it load again.
#[derive(Debug)]
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From now on they are heard. Within a runtime.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    /// One to end has come.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

pub(crate) fn cannot_hear(error: &io::Error) -> ExitCode {
    refused(&Refused(format!("error: cannot receive signals: {error}\n")))
}

/// A body beyond the memory for all of them is told to come again, however often it does.
fn warn_of_bounds(bounds: &Bounds) {
    let (one, all) = (bounds.body_bytes, bounds.buffered_bytes);
    if one > all {
        log::warning(
            "`--max-body-bytes` is more than `--max-buffered-bytes`: a body between them is answered 503 each time",
            &[
                ("max_body_bytes", &one.to_string()),
                ("max_buffered_bytes", &all.to_string()),
            ],
        );
    }
}

fn refused(why: &Refused) -> ExitCode {
    eprint!("{}", why.0);
    ExitCode::from(REFUSED)
}

impl Gateway {
    /// Starts, or says why not. Within a runtime.
    pub(crate) fn start(options: Options, given: Vec<Given>) -> Result<Self, Refused> {
        Self::prepare(options, given).map(Prepared::open)
    }

    /// Loads and gets sockets, or says why not. Within a runtime.
    fn prepare(options: Options, mut given: Vec<Given>) -> Result<Prepared, Refused> {
        log::set_format(options.log_format);
        warn_of_bounds(&options.bounds);
        let mut inputs = options.inputs;
        let mut memory = Memory::default();
        let mut watch = FileWatch::new();
        let mut live = reload::load(&mut inputs, &mut memory, &mut watch)?;
        let (queue, writer) = open_log("access log", &options.access_log)?;
        let mut writers = Vec::from([writer]);
        let mut capsules = None;
        if let Some(log) = options.capsules {
            let (queue, writer) = open_log("capsules", &log.file)?;
            writers.push(writer);
            capsules = Some(Capsules::new(queue, log.share, log.hidden));
        }
        let door = options.upgrade.as_deref().map(Door::new).transpose()?;
        // From here on a process before this one waits for it, and clients for one of the two.
        let taken = options.upgrade.as_deref().map(upgrade::take_over).transpose()?;
        let (predecessor, taken) = taken.flatten().unzip();
        let Sockets { ports: taken, admin } = taken.unwrap_or_default();
        let admin = options
            .admin
            .map(|address| Admin::new(address, admin_socket(address, admin, &mut given)))
            .transpose()?;
        let ports = Ports::new(options.addresses, given, taken);
        let bound = ports.bind(&live, options.workers)?;
        let fetcher = Arc::new(Fetcher::new(options.allow_private_jwks));
        live.tokens.start(None, &fetcher);
        let live = Arc::new(live);
        let shared = Shared::new(
            Arc::clone(&live),
            Metrics::new(options.workers),
            Logs {
                access: AccessLog {
                    queue,
                    format: options.log_format,
                },
                capsules,
            },
            options.times,
            options.bounds,
            inputs.settings.namespace.clone(),
            fetcher,
        );
        let workers = (0..options.workers)
            .map(|index| Handle::start(index, Arc::clone(&shared)))
            .collect::<io::Result<Vec<_>>>()
            .map_err(|error| Refused(format!("error: cannot start a worker: {error}\n")))?;
        let gateway = Self {
            inputs,
            memory,
            watch,
            ports,
            admin,
            shared,
            workers,
            writers,
            systemd: Arc::new(Notifier::from_env()),
            door,
        };
        predecessor.map_or(Ok(()), Predecessor::drain)?;
        Ok(Prepared { gateway, bound })
    }

    fn open(&mut self, bound: Bound) {
        let live = self.shared.live.load();
        let snapshot = live.compiled.snapshot.id();
        self.ports.open(bound, &self.workers);
        self.ports.warn_of_unused(&live);
        self.shared.metrics.reload.succeeded();
        log::info(
            "configuration loaded",
            &[("snapshot", snapshot), ("workers", &self.workers.len().to_string())],
        );
        if let Some(admin) = &mut self.admin {
            admin.start(Arc::clone(&self.shared));
        }
        if let Some(door) = &self.door {
            door.open();
        }
        self.systemd.ready(snapshot);
        let commands = self.workers.iter().map(|worker| worker.commands.clone());
        tokio::spawn(systemd::keep_watch(Arc::clone(&self.systemd), commands.collect()));
    }

    /// Where a logical port listens.
    pub(crate) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.ports.address(port)
    }

    /// Where the admin port listens.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Runs until a signal ends it, or until a newer process has taken over.
    pub(crate) async fn run(mut self, mut signals: Signals) -> ExitCode {
        loop {
            let asked = tokio::select! {
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
                _ = signals.hang_up.recv() => {
                    self.writers.iter().for_each(Writer::reopen);
                    Asked::Reload
                }
                () = self.watch.changed() => Asked::Reload,
                successor = knocked(self.door.as_ref()) => Asked::HandOver(successor),
            };
            // A signal to end must not wait for a long compilation.
            tokio::select! {
                biased;
                () = signals.end() => break,
                done = self.turn(asked) => if done { break },
            }
        }
        tokio::select! {
            biased;
            () = signals.end() => log::warning("ended at once", &[]),
            () = self.drain() => {}
        }
        self.cut().await;
        self.writers.into_iter().for_each(Writer::close);
        // Not by returning: threads of workers that did not finish, and of name lookups, would be waited for.
        std::process::exit(0)
    }

    /// Does what is asked; true if that was the last.
    async fn turn(&mut self, asked: Asked) -> bool {
        match asked {
            Asked::Reload => {
                self.systemd.reloading();
                let loaded = reload::reload(
                    &self.inputs,
                    &mut self.memory,
                    &mut self.ports,
                    &self.shared,
                    &self.workers,
                    &mut self.watch,
                )
                .await;
                let live = self.shared.live.load();
                let snapshot = live.compiled.snapshot.id();
                if loaded {
                    self.systemd.ready(snapshot);
                } else {
                    self.systemd.still_ready(snapshot);
                }
                false
            }
            Asked::HandOver(successor) => {
                let admin = self.admin.as_ref().map(Admin::socket);
                let serves = successor.serves(self.ports.all(), admin).await;
                if serves && let Some(admin) = self.admin.take() {
                    admin.stop();
                }
                serves
            }
        }
    }

    async fn drain(&mut self) {
        let limit = self.shared.times.drain;
        log::info("draining", &[("limit_s", &limit.as_secs().to_string())]);
        self.shared.drain();
        self.systemd.stopping(limit);
        self.door = None;
        self.ports.release();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain);
        }
        let begun = Instant::now();
        while !self.have_workers_ended() {
            if begun.elapsed() >= limit {
                log::warning("the time to drain is over, what still runs is cut", &[]);
                return;
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        log::info("drained", &[]);
    }

    /// Ends what still runs, so that the access log has it.
    async fn cut(&self) {
        self.shared.cut();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Cut);
        }
        let begun = Instant::now();
        while !self.have_workers_ended() && begun.elapsed() < CUT {
            tokio::time::sleep(DRAIN_POLL).await;
        }
    }

    fn have_workers_ended(&self) -> bool {
        self.workers.iter().all(|worker| worker.thread.is_finished())
    }
}

/// A gateway that serves nobody yet; a process before it does not any longer.
#[derive(Debug)]
struct Prepared {
    gateway: Gateway,
    bound: Bound,
}

impl Prepared {
    /// From here on clients are served.
    fn open(self) -> Gateway {
        let Self { mut gateway, bound } = self;
        gateway.open(bound);
        gateway
    }
}

/// What the process is asked to do while it serves.
#[derive(Debug)]
enum Asked {
    Reload,
    HandOver(Successor),
}

async fn knocked(door: Option<&Door>) -> Successor {
    match door {
        Some(door) => door.knocked().await,
        None => core::future::pending().await,
    }
}

/// The admin port's socket, if one is there: from systemd by the name `admin`, or from the process before.
fn admin_socket(wanted: SocketAddr, taken: Option<TcpListener>, given: &mut Vec<Given>) -> Option<TcpListener> {
    let is_wanted = |socket: &TcpListener| {
        let is = |at: SocketAddr| at.ip() == wanted.ip() && (wanted.port() == 0 || at.port() == wanted.port());
        socket.local_addr().is_ok_and(is)
    };
    let named = given.iter().position(|given| given.name == "admin");
    let named = named.map(|index| given.swap_remove(index).socket);
    taken.filter(is_wanted).or(named)
}

/// How often the end of all workers is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// Starts to write into a file, or to standard output.
fn open_log(what: &str, path: &Path) -> Result<(Arc<Queue>, Writer), Refused> {
    let to = path.to_owned();
    let open = move || -> io::Result<Box<dyn Write + Send>> {
        if to.as_os_str() == "-" {
            return Ok(Box::new(io::stdout()));
        }
        Ok(Box::new(OpenOptions::new().create(true).append(true).open(&to)?))
    };
    Queue::start(what, open).map_err(|error| Refused(format!("error: {what} `{}`: {error}\n", path.display())))
}
