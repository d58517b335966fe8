//! Listening sockets: bound once per worker, so that the kernel spreads clients over them.

use core::net::{Ipv4Addr, SocketAddr};
use core::sync::atomic::Ordering;
use core::time::Duration;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::connection::{self, Open, Peer};
use crate::limits::{ACCEPT_PAUSE, LISTEN_BACKLOG};
use crate::worker::Worker;

/// Binds `count` sockets to one address. A port of 0 is chosen by the first.
pub(crate) fn bind(address: SocketAddr, count: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let first = bind_one(address).or_else(|error| match address {
        // A kernel without IPv6 cannot have the dual-stack default.
        SocketAddr::V6(v6) if v6.ip().is_unspecified() && error.kind() != io::ErrorKind::AddrInUse => {
            bind_one((Ipv4Addr::UNSPECIFIED, address.port()).into()).map_err(|_| error)
        }
        _ => Err(error),
    })?;
    let address = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..count {
        sockets.push(bind_one(address)?);
    }
    Ok(sockets)
}

fn bind_one(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    Ok(socket.into())
}

/// The sockets a worker serves, by logical port.
#[derive(Debug, Default)]
pub(crate) struct Listeners(HashMap<u16, Accepting>);

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
                let (stop, stopped) = oneshot::channel();
                let task = tokio::task::spawn_local(accept(Rc::clone(worker), port, listener, stopped));
                self.0.insert(port, Accepting { stop, task });
            }
            Err(error) => crate::log::warning("a socket cannot be served", &[("error", &error.to_string())]),
        }
    }

    /// Stops to accept on a port. Its connections go on.
    pub(crate) fn remove(&mut self, port: u16) {
        self.0.remove(&port);
    }

    /// Stops to accept on all ports, after the connections that clients have already made.
    pub(crate) async fn close(self) {
        for accepting in self.0.into_values() {
            let _ = accepting.stop.send(());
            let _ = accepting.task.await;
        }
    }
}

async fn accept(worker: Rc<Worker>, port: u16, listener: TcpListener, mut stopped: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => take(&worker, port, accepted).await,
            _ = &mut stopped => break,
        }
    }
    // What waits in the kernel's queue would be reset with the socket: take it in.
    while let Ok(accepted) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        if accepted.is_err() {
            break;
        }
        take(&worker, port, accepted).await;
    }
}

async fn take(worker: &Rc<Worker>, port: u16, accepted: io::Result<(TcpStream, SocketAddr)>) {
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
                snapshot.expects_proxy_header(),
                snapshot.is_tls(port),
            );
            if let Ok(peer) = peer {
                let open = Open::new(worker);
                let peer = Rc::new(peer);
                tokio::task::spawn_local(connection::serve(Rc::clone(worker), stream, peer, open));
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
