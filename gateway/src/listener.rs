//! The listening sockets of one worker: connections are accepted, and begin.

use core::net::SocketAddr;
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connection::leaving::Leaving;
use crate::connection::{self, Peer};
use crate::limits::ACCEPT_PAUSE;
use crate::worker::Worker;

/// The sockets a worker serves, by logical port.
#[derive(Debug, Default)]
pub(crate) struct Listeners(HashMap<u16, Listener>);

/// The sockets of one port: one, or several where an older process had more workers.
#[derive(Debug, Default)]
struct Listener {
    leaving: Rc<Leaving>,
    sockets: Vec<Accepting>,
}

#[derive(Debug)]
struct Accepting {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Listeners {
    /// Starts to accept on `socket`.
    pub(crate) fn add(&mut self, worker: &Rc<Worker>, port: u16, socket: std::net::TcpListener) {
        match TcpListener::from_std(socket) {
            Ok(listener) => {
                let open = self.0.entry(port).or_default();
                let (stop, stopped) = oneshot::channel();
                let leaving = Rc::clone(&open.leaving);
                let task = tokio::task::spawn_local(accept(Rc::clone(worker), port, listener, leaving, stopped));
                open.sockets.push(Accepting { stop, task });
            }
            Err(error) => crate::log::warning("a socket cannot be served", &[("error", &error.to_string())]),
        }
    }

    /// Stops to accept on a port. Its connections end when what runs on them has, or after `limit`.
    pub(crate) fn remove(&mut self, port: u16, limit: Duration) {
        let Some(Listener { leaving, .. }) = self.0.remove(&port) else {
            return;
        };
        leaving.begin();
        tokio::task::spawn_local(async move {
            tokio::time::sleep(limit).await;
            if leaving.cut() {
                let port = port.to_string();
                crate::log::warning("the time to drain is over, what still runs is cut", &[("port", &port)]);
            }
        });
    }

    /// Stops to accept on all ports, after the connections that clients have already made.
    pub(crate) async fn close(self) {
        for listener in self.0.values() {
            listener.leaving.begin();
        }
        for accepting in self.0.into_values().flat_map(|listener| listener.sockets) {
            let _ = accepting.stop.send(());
            let _ = accepting.task.await;
        }
    }
}

async fn accept(
    worker: Rc<Worker>,
    port: u16,
    listener: TcpListener,
    leaving: Rc<Leaving>,
    mut stopped: oneshot::Receiver<()>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => take(&worker, port, &leaving, accepted).await,
            _ = &mut stopped => break,
        }
    }
    // What waits in the kernel's queue would be reset with the socket: take it in.
    while let Ok(accepted) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        if accepted.is_err() {
            break;
        }
        take(&worker, port, &leaving, accepted).await;
    }
}

async fn take(worker: &Rc<Worker>, port: u16, leaving: &Rc<Leaving>, accepted: io::Result<(TcpStream, SocketAddr)>) {
    match accepted {
        // The newest, since those before it may be in the middle of an answer.
        Ok(_) if worker.is_full() => {
            let refused = &worker.shard.connections_refused_total;
            refused.fetch_add(1, Ordering::Relaxed);
        }
        Ok((stream, remote)) => {
            let view = worker.view();
            let snapshot = &view.live.compiled.snapshot;
            let peer = Peer::new(
                &stream,
                remote,
                port,
                Rc::clone(leaving),
                snapshot.expects_proxy_header(),
                snapshot.is_tls(port),
            );
            if let Ok(peer) = peer {
                connection::begin(worker, stream, peer);
            }
        }
        Err(error) if is_about_one_connection(&error) => {}
        Err(error) => {
            worker.cannot_accept(&error);
            tokio::time::sleep(ACCEPT_PAUSE).await;
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
