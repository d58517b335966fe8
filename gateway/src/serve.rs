//! The process: start everything, turn signals and file changes into reloads, drain, end.

use core::net::SocketAddr;
use core::time::Duration;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::access::AccessLog;
use crate::access::queue::{Queue, Writer};
use crate::admin::Admin;
use crate::config::Inputs;
use crate::jwt::Fetcher;
use crate::log::{self, Format};
use crate::metrics::Metrics;
use crate::reload::{self, Addresses, FileWatch, Ports, Refused};
use crate::shared::{Bounds, Shared, Times};
use crate::worker::{Command, Handle};

/// How to serve.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) inputs: Inputs,
    pub(crate) addresses: Addresses,
    /// `None` is off.
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) workers: usize,
    pub(crate) drain: Duration,
    pub(crate) times: Times,
    pub(crate) bounds: Bounds,
    /// Whether keys of tokens may be fetched from addresses that are not public.
    pub(crate) allow_private_jwks: bool,
    pub(crate) log_format: Format,
    /// `-` is standard output.
    pub(crate) access_log: PathBuf,
}

/// A gateway that runs.
#[derive(Debug)]
pub(crate) struct Gateway {
    inputs: Inputs,
    ports: Ports,
    admin: Option<Admin>,
    shared: Arc<Shared>,
    workers: Vec<Handle>,
    writer: Writer,
    drain: Duration,
}

/// Exit status for a configuration or arguments that are wrong.
const REFUSED: u8 = 2;

/// Serves until told to end.
pub(crate) fn serve(options: Options) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refused(&Refused(format!("error: cannot start: {error}\n"))),
    };
    runtime.block_on(async {
        match Gateway::start(options) {
            Ok(gateway) => gateway.run().await,
            Err(why) => refused(&why),
        }
    })
}

fn refused(why: &Refused) -> ExitCode {
    eprint!("{}", why.0);
    ExitCode::from(REFUSED)
}

impl Gateway {
    /// Loads, binds and starts, or says why not. Within a runtime.
    pub(crate) fn start(options: Options) -> Result<Self, Refused> {
        log::set_format(options.log_format);
        let mut inputs = options.inputs;
        let mut live = reload::load(&mut inputs)?;
        let mut ports = Ports::new(options.addresses);
        let bound = ports.bind(&live, options.workers)?;
        let admin = options.admin.map(Admin::bind).transpose()?;
        let (queue, writer) = open_log(&options.access_log).and_then(Queue::start).map_err(|error| {
            Refused(format!(
                "error: access log `{}`: {error}\n",
                options.access_log.display()
            ))
        })?;
        let fetcher = Arc::new(Fetcher::new(options.allow_private_jwks));
        live.tokens.start(None, &fetcher);
        let live = Arc::new(live);
        let shared = Shared::new(
            Arc::clone(&live),
            Metrics::new(options.workers),
            AccessLog {
                queue,
                format: options.log_format,
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
        ports.open(bound, &workers);
        shared.metrics.reload.succeeded();
        log::info("configuration loaded", &[("snapshot", live.compiled.snapshot.id())]);
        if let Some(admin) = &admin {
            admin.start(Arc::clone(&shared));
        }
        Ok(Self {
            inputs,
            ports,
            admin,
            shared,
            workers,
            writer,
            drain: options.drain,
        })
    }

    /// Where a logical port listens.
    pub(crate) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.ports.address(port)
    }

    /// Where the admin port listens.
    pub(crate) fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// Runs until a signal ends it.
    pub(crate) async fn run(mut self) -> ExitCode {
        let (mut terminate, mut interrupt, mut hang_up) = match signals() {
            Ok(signals) => signals,
            Err(error) => return refused(&Refused(format!("error: cannot receive signals: {error}\n"))),
        };
        let mut files = FileWatch::new(&self.inputs);
        files.follow([&self.shared.live.load().compiled]);
        loop {
            tokio::select! {
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                _ = hang_up.recv() => {}
                () = files.changed() => {}
            }
            // A signal to end must not wait for a long compilation.
            tokio::select! {
                biased;
                _ = terminate.recv() => break,
                _ = interrupt.recv() => break,
                () = reload::reload(&self.inputs, &mut self.ports, &self.shared, &self.workers, &mut files) => {}
            }
        }
        tokio::select! {
            biased;
            _ = terminate.recv() => log::warning("ended at once", &[]),
            _ = interrupt.recv() => log::warning("ended at once", &[]),
            () = self.drain() => {}
        }
        self.writer.close();
        // Not by returning: threads of workers that did not finish, and of name lookups, would be waited for.
        std::process::exit(0)
    }

    async fn drain(&mut self) {
        log::info("draining", &[("limit_s", &self.drain.as_secs().to_string())]);
        self.shared.drain();
        for worker in &self.workers {
            let _ = worker.commands.send(Command::Drain);
        }
        let begun = Instant::now();
        while !self.workers.iter().all(|worker| worker.thread.is_finished()) {
            if begun.elapsed() >= self.drain {
                log::warning("the time to drain is over, what still runs is cut", &[]);
                return;
            }
            tokio::time::sleep(DRAIN_POLL).await;
        }
        log::info("drained", &[]);
    }
}

/// How often the end of all workers is looked for.
const DRAIN_POLL: Duration = Duration::from_millis(10);

fn signals() -> io::Result<(Signal, Signal, Signal)> {
    Ok((
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
        signal(SignalKind::hangup())?,
    ))
}

fn open_log(path: &Path) -> io::Result<Box<dyn Write + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout()));
    }
    Ok(Box::new(OpenOptions::new().create(true).append(true).open(path)?))
}
