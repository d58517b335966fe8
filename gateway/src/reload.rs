//! A new configuration while requests run: load, compile, bind what is new,
//! swap, release what is gone.
//!
//! Anything that is wrong with the new configuration leaves the old one in
//! place, whole. Requests end on the snapshot that they began with.

use core::net::{Ipv6Addr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_core::Built;
use lockgate_core::config::diagnostic::Source;
use tokio::sync::mpsc;

use crate::config::Inputs;
use crate::limits::RELOAD_DEBOUNCE;
use crate::live::Live;
use crate::shared::Shared;
use crate::worker::{Command, Handle};
use crate::{config, listener, log};

/// Where logical ports really listen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(pub(crate) BTreeMap<u16, SocketAddr>);

impl Addresses {
    fn of(&self, port: u16) -> SocketAddr {
        self.0
            .get(&port)
            .copied()
            .unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, port).into())
    }
}

/// A configuration that was not put to use, in words for the operator.
#[derive(Debug)]
pub(crate) struct Refused(pub(crate) String);

/// Loads, compiles and prepares: everything that can go wrong before a socket is touched.
pub(crate) fn load(inputs: &mut Inputs) -> Result<(Live, Vec<Source>), Refused> {
    let sources = inputs.read().map_err(|error| Refused(format!("error: {error}\n")))?;
    let Built {
        compiled,
        documents,
        diagnostics,
    } = inputs.build(&sources);
    let rendered = config::render(&diagnostics, &sources);
    let Some(compiled) = compiled else {
        return Err(Refused(rendered));
    };
    if !rendered.is_empty() {
        eprint!("{rendered}");
    }
    let live = Live::new(compiled, documents).map_err(|error| Refused(format!("error: {error}\n")))?;
    Ok((live, sources))
}

/// The sockets that are open, on all workers.
#[derive(Debug)]
pub(crate) struct Ports {
    addresses: Addresses,
    open: BTreeMap<u16, SocketAddr>,
}

/// Sockets bound for ports that are not open yet.
#[derive(Debug)]
pub(crate) struct Bound(Vec<(u16, SocketAddr, Vec<std::net::TcpListener>)>);

impl Ports {
    pub(crate) fn new(addresses: Addresses) -> Self {
        Self {
            addresses,
            open: BTreeMap::new(),
        }
    }

    /// Binds the ports of `live` that are not open, for so many workers; all of them or none.
    pub(crate) fn bind(&self, live: &Live, workers: usize) -> Result<Bound, Refused> {
        let listeners = live.compiled.snapshot.listeners();
        let new = listeners
            .iter()
            .map(|listener| listener.port)
            .filter(|port| !self.open.contains_key(port));
        let mut bound = Vec::new();
        for port in new {
            let address = self.addresses.of(port);
            let sockets = listener::bind(address, workers).map_err(|error| cannot_bind(port, address, &error))?;
            let address = sockets
                .first()
                .and_then(|socket| socket.local_addr().ok())
                .unwrap_or(address);
            bound.push((port, address, sockets));
        }
        Ok(Bound(bound))
    }

    /// Hands bound sockets to the workers.
    pub(crate) fn open(&mut self, bound: Bound, workers: &[Handle]) {
        for (port, address, sockets) in bound.0 {
            for (worker, socket) in workers.iter().zip(sockets) {
                let _ = worker.commands.send(Command::Listen(port, socket));
            }
            self.open.insert(port, address);
            log::info(
                "listening",
                &[("port", &port.to_string()), ("address", &address.to_string())],
            );
        }
    }

    /// Closes the ports that `live` does not have.
    pub(crate) fn close_others(&mut self, live: &Live, workers: &[Handle]) {
        let wanted = live.compiled.snapshot.listeners();
        self.open.retain(|port, address| {
            let keep = wanted.iter().any(|listener| listener.port == *port);
            if !keep {
                for worker in workers {
                    let _ = worker.commands.send(Command::Unlisten(*port));
                }
                log::info(
                    "no longer listening",
                    &[("port", &port.to_string()), ("address", &address.to_string())],
                );
            }
            keep
        });
    }

    /// Where a logical port listens.
    pub(crate) fn address(&self, port: u16) -> Option<SocketAddr> {
        self.open.get(&port).copied()
    }
}

fn cannot_bind(port: u16, address: SocketAddr, error: &std::io::Error) -> Refused {
    let mut text = format!("error: cannot listen on {address} for port {port} of the Gateway: {error}\n");
    if error.kind() == std::io::ErrorKind::PermissionDenied && address.port() < 1024 {
        let high = port.saturating_add(8000);
        text.push_str(&format!(
            "  ports below 1024 need a privilege; to listen elsewhere give\n    --listen {port}=127.0.0.1:{high}\n"
        ));
    } else if error.kind() == std::io::ErrorKind::AddrInUse {
        text.push_str(&format!(
            "  something else listens there; choose another with --listen {port}=ADDR:PORT\n"
        ));
    }
    Refused(text)
}

/// Loads again and, if all is well, swaps.
pub(crate) async fn reload(inputs: &mut Inputs, ports: &mut Ports, shared: &Arc<Shared>, workers: &[Handle]) {
    let mut aside = inputs.clone();
    let loaded = tokio::task::spawn_blocking(move || load(&mut aside)).await;
    let swapped = match loaded {
        Ok(Ok((live, _))) => ports.bind(&live, workers.len()).map(|bound| (live, bound)),
        Ok(Err(refused)) => Err(refused),
        Err(panic) => Err(Refused(format!("error: the compiler failed: {panic}\n"))),
    };
    match swapped {
        Ok((mut live, bound)) => {
            live.tokens.start(Some(&shared.live.load().tokens), &shared.fetcher);
            let live = Arc::new(live);
            shared.live.store(Arc::clone(&live));
            ports.open(bound, workers);
            ports.close_others(&live, workers);
            shared.metrics.reload.succeeded();
            log::info("configuration loaded", &[("snapshot", live.compiled.snapshot.id())]);
        }
        Err(Refused(why)) => {
            shared.metrics.reload.failed();
            let kept = shared.live.load();
            log::warning(
                "configuration refused, the last good one stays",
                &[("snapshot", kept.compiled.snapshot.id()), ("reason", &why)],
            );
        }
    }
}

/// Tells of changed files, after they have been quiet for a moment.
#[derive(Debug)]
pub(crate) struct FileWatch {
    changes: mpsc::UnboundedReceiver<()>,
    _watcher: Option<notify::RecommendedWatcher>,
}

impl FileWatch {
    /// Watches the directories of `inputs`. Where that is not possible, says so: SIGHUP still reloads.
    pub(crate) fn new(inputs: &Inputs) -> Self {
        let (sender, changes) = mpsc::unbounded_channel();
        let watched = inputs.clone();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let concerns = event
                .is_ok_and(|event| !event.kind.is_access() && event.paths.iter().any(|path| watched.concerns(path)));
            if concerns {
                let _ = sender.send(());
            }
        });
        let watcher = watcher.and_then(|mut watcher| {
            for directory in inputs.directories() {
                notify::Watcher::watch(&mut watcher, &directory, notify::RecursiveMode::NonRecursive)?;
            }
            Ok(watcher)
        });
        if let Err(error) = &watcher {
            log::warning(
                "cannot watch the configuration files; SIGHUP reloads",
                &[("error", &error.to_string())],
            );
        }
        Self {
            changes,
            _watcher: watcher.ok(),
        }
    }

    /// Resolves when files have changed and no further change came for a moment.
    pub(crate) async fn changed(&mut self) {
        if self.changes.recv().await.is_none() {
            // Nothing is watched.
            core::future::pending::<()>().await;
        }
        while let Ok(Some(())) = tokio::time::timeout(RELOAD_DEBOUNCE, self.changes.recv()).await {}
    }
}
