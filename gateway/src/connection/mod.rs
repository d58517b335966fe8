//! One client connection.
//!
//! ```text
//! PROXY header, if configured
//!    ▼
//! TLS, if the port speaks it
//!    ▼
//! waiting ─► first bytes ─► HTTP/2 (prior knowledge) ─────────────► closed
//!    ▲              └─────► HTTP/1.1 ─► switched to a tunnel ────────► closed
//!    │                         └─────► idle for a moment ──┐
//!    └────────────────────── socket only ◄─────────────────┘
//! ```
//!
//! A connection that waits for its next request owns a socket and little else:
//! hyper's state and buffers (some 20 KiB) are taken apart when it has been idle
//! for a second and made again when bytes arrive. That is also why the protocol
//! is told here, from the first bytes, and not by hyper-util's `auto` server,
//! which cannot be taken apart.

mod http1;
mod http2;
mod intake;
mod io;
pub(crate) mod leaving;
mod proxied;
mod stream;
pub(crate) mod stream_tunnel;
pub(crate) mod tls;
pub(crate) mod tunnel;
mod unread;

use core::cell::{Cell, OnceCell, RefCell};
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::sync::atomic::Ordering;
use core::task::Waker;
use core::time::Duration;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use http::header::CONNECTION;
use http::{Response, StatusCode};
use lockgate_core::cidr::canonical;
use lockgate_core::proxy_header::Proxied;
use lockgate_core::request::{Connection, Scheme};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use self::http1::After;
use self::leaving::Leaving;
use self::stream::ClientStream;
use self::tls::Secured;
use self::tunnel::Tunnel;
use crate::frames::PREFACE;
use crate::limits::LEAVE;
use crate::overload::FromSource;
use crate::worker::Worker;

/// Who is at the other end, and how the connection stands.
#[derive(Debug)]
pub(crate) struct Peer {
    /// The other end of the socket; a v4 address that a dual-stack socket shows as v6 is v4 here.
    remote: SocketAddr,
    /// This end of the socket.
    local: SocketAddr,
    /// The logical port: that of the Gateway server.
    port: u16,
    /// Whether the listener that it came by ends.
    leaving: Rc<Leaving>,
    /// Whether it ends by itself.
    leaves: Cell<bool>,
    /// Whether the connection was accepted to begin with a PROXY header.
    has_proxy_header: bool,
    /// What that header told. Apart, as most connections have none and should be small while they wait.
    proxied: OnceCell<Box<Proxied>>,
    /// Whether TLS is spoken on the port.
    is_tls: bool,
    /// What the handshake told.
    secured: OnceCell<Box<Secured>>,
    /// Requests begun, ever.
    begun: Cell<u64>,
    /// Requests whose answer is not yet whole.
    running: Cell<u32>,
    /// The client may still be sending a body that was answered without it.
    sending: Cell<bool>,
    /// The client has taken nothing of what it was sent for too long.
    unread: Cell<bool>,
    /// Bodies of its requests that are still passed on to upstreams.
    passed_on: Cell<u32>,
    /// Requests begun before HTTP/1.1 was spoken as it is now, since when the client's heads are counted.
    before: Cell<u64>,
    /// The connection ends with the answer that is under way, or is no longer HTTP.
    ends: Cell<bool>,
    /// Who reads on when a request is answered.
    held: RefCell<Option<Waker>>,
    /// What follows the answer that is under way, in place of HTTP.
    tunnel: RefCell<Option<Box<Tunnel>>>,
}

impl Peer {
    pub(crate) fn new(
        stream: &TcpStream,
        remote: SocketAddr,
        port: u16,
        leaving: Rc<Leaving>,
        has_proxy_header: bool,
        is_tls: bool,
    ) -> std::io::Result<Self> {
        // Without it a chunk of an answer may wait 40 ms for the client's delayed acknowledgement.
        stream.set_nodelay(true)?;
        let local = stream.local_addr()?;
        Ok(Self {
            remote: unmapped(remote),
            local: unmapped(local),
            port,
            leaving,
            leaves: Cell::new(false),
            has_proxy_header,
            proxied: OnceCell::new(),
            is_tls,
            secured: OnceCell::new(),
            begun: Cell::new(0),
            running: Cell::new(0),
            sending: Cell::new(false),
            unread: Cell::new(false),
            passed_on: Cell::new(0),
            before: Cell::new(0),
            ends: Cell::new(false),
            held: RefCell::default(),
            tunnel: RefCell::default(),
        })
    }

    /// The connection as decisions see it.
    pub(crate) fn connection(&self) -> Connection<'_> {
        let secured = self.secured();
        let socket = Connection {
            local: self.local.ip(),
            scheme: if secured.is_some() { Scheme::Https } else { Scheme::Http },
            sni: secured.and_then(|secured| secured.server_name.as_deref()),
            spiffe_id: secured.and_then(|secured| secured.spiffe_id.as_deref()),
            client_cert: secured.and_then(|secured| secured.client_cert.as_deref()),
            ..Connection::plain(self.remote.ip(), self.port)
        };
        self.proxied.get().map_or(socket, |proxied| socket.behind(**proxied))
    }

    /// What TLS told, if it is spoken.
    pub(crate) fn secured(&self) -> Option<&Secured> {
        self.secured.get().map(|secured| &**secured)
    }

    /// The client, as far as the connection tells.
    pub(crate) fn downstream_remote(&self) -> SocketAddr {
        self.proxied.get().map_or(self.remote, |proxied| proxied.source())
    }

    /// What the client connected to.
    pub(crate) fn downstream_local(&self) -> SocketAddr {
        self.proxied.get().map_or(self.local, |proxied| proxied.destination())
    }

    /// Whether the connection should end at the next chance.
    pub(crate) fn is_leaving(&self) -> bool {
        self.leaving.has_begun() || self.leaves.get()
    }

    /// The connection is none that would be taken now.
    pub(crate) fn leave(&self) {
        self.leaves.set(true);
    }

    /// Whether it began with a PROXY header.
    pub(crate) fn has_proxy_header(&self) -> bool {
        self.has_proxy_header
    }

    /// Whether what still ran on it was cut, since its listener is gone.
    pub(crate) fn is_cut(&self) -> bool {
        self.leaving.is_cut()
    }

    pub(crate) fn request_began(&self) {
        self.begun.set(self.begun.get().wrapping_add(1));
        self.running.set(self.running.get().saturating_add(1));
    }

    /// The client's body was answered before it was read to its end.
    pub(crate) fn body_left_unread(&self) {
        self.sending.set(true);
    }

    /// Whether the connection ends because the client takes nothing of what it is sent.
    pub(crate) fn does_not_read(&self) -> bool {
        self.unread.get()
    }

    pub(crate) fn request_ended(&self) {
        self.running.set(self.running.get().saturating_sub(1));
        if let Some(reader) = self.held.take() {
            reader.wake();
        }
    }

    /// Requests begun on the connection as it is now, over HTTP/1.1.
    fn begun(&self) -> u64 {
        self.begun.get().wrapping_sub(self.before.get())
    }

    /// Whether any of so many requests is not answered whole yet, or is the last one.
    fn is_busy(&self, heads: u64) -> bool {
        self.ends.get() || self.begun().wrapping_sub(u64::from(self.running.get())) != heads
    }

    /// `reader` is woken when an answer is whole.
    fn wakes_when_answered(&self, reader: &Waker) {
        self.held.replace(Some(reader.clone()));
    }

    /// Whether an upstream is still sent a body of the client's.
    fn passes_a_body_on(&self) -> bool {
        self.passed_on.get() > 0
    }

    /// A request is about to be answered so. What comes behind it is no request if the connection ends or switches with
    /// the answer.
    pub(crate) fn answers<B>(&self, response: &Response<B>) {
        let closes = response.headers().get(CONNECTION).is_some_and(|value| value == "close");
        if response.status() == StatusCode::SWITCHING_PROTOCOLS || closes {
            self.ends.set(true);
        }
    }

    /// After the answer that is under way, the connection is used so.
    pub(crate) fn switches(&self, tunnel: Box<Tunnel>) {
        self.tunnel.replace(Some(tunnel));
    }
}

/// A client's body that is passed on to an upstream, until it has ended or nobody takes it any more.
#[derive(Debug)]
pub(crate) struct PassedOn {
    peer: Rc<Peer>,
    has_ended: bool,
}

impl PassedOn {
    pub(crate) fn new(peer: &Rc<Peer>) -> Self {
        peer.passed_on.set(peer.passed_on.get().saturating_add(1));
        Self {
            peer: Rc::clone(peer),
            has_ended: false,
        }
    }

    /// All of it has come.
    pub(crate) fn end(mut self) {
        self.has_ended = true;
    }
}

impl Drop for PassedOn {
    fn drop(&mut self) {
        self.peer.passed_on.set(self.peer.passed_on.get().saturating_sub(1));
        if !self.has_ended {
            self.peer.body_left_unread();
        }
    }
}

fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(canonical(address.ip()), address.port())
}

/// Serves a connection that was accepted, beside all others.
pub(crate) fn begin(worker: &Rc<Worker>, socket: TcpStream, peer: Peer) {
    let open = Open::new(worker, &peer);
    let peer = Rc::new(peer);
    let (leaving, number) = (Rc::clone(&open.leaving), open.number);
    let task = tokio::task::spawn_local(serve(Rc::clone(worker), socket, peer, open));
    leaving.serves(number, task.abort_handle());
}

/// Serves a connection to its end, until which it is `_open`.
// What it does at a time is boxed, so that a waiting connection does not carry the room for a running one, nor a running
// one that of all others.
async fn serve(worker: Rc<Worker>, mut socket: TcpStream, peer: Rc<Peer>, _open: Open) {
    let mut read = Bytes::new();
    if peer.has_proxy_header {
        match Box::pin(proxied::read(&worker, &mut socket, &peer)).await {
            Some(rest) => read = rest,
            None => return,
        }
    }
    let Ok(_from) = from_source(&worker, &peer) else {
        return;
    };
    let times = &worker.shared.times;
    let mut stream = if peer.is_tls {
        let first = core::mem::take(&mut read);
        match Box::pin(tls::handshake(&worker, socket, first, &peer, times.header_read)).await {
            Some(stream) => ClientStream::Tls(stream),
            None => return,
        }
    } else {
        ClientStream::Plain(socket)
    };
    if read.is_empty() {
        match Box::pin(idle(&mut stream, &peer, times.idle)).await {
            Some(first) => read = first,
            None => return Box::pin(stream.leave()).await,
        }
    }
    let Some((protocol, mut read)) = Box::pin(first_bytes(&mut stream, read, times.header_read)).await else {
        return Box::pin(stream.leave()).await;
    };
    if protocol == Protocol::Http2 {
        return Box::pin(http2::serve(worker, stream, read, peer)).await;
    }
    loop {
        match Box::pin(http1::serve(&worker, stream, read, &peer)).await {
            After::Idle(socket, rest) => (stream, read) = (socket, rest),
            After::Switched(client, first, tunnel) => {
                return Box::pin(tunnel.run(client, first, worker.shared.times.stream_idle)).await;
            }
            After::Closing(socket) => return Box::pin(io::linger(socket)).await,
            After::Closed => return,
        }
        if read.is_empty() {
            match Box::pin(idle(&mut stream, &peer, worker.shared.times.idle)).await {
                Some(first) => read = first,
                None => return Box::pin(stream.leave()).await,
            }
        }
    }
}

/// Its source has as many connections as it may.
struct TooMany;

/// Counts a connection by its source: the socket's other end, or whom a PROXY header names. Where the mesh trusts
/// proxies in front, connections are theirs, and their clients' many.
fn from_source(worker: &Worker, peer: &Peer) -> Result<Option<FromSource>, TooMany> {
    if worker.view().live.compiled.snapshot.trusts_proxies() {
        return Ok(None);
    }
    let from = worker.shared.load.connect(peer.downstream_remote().ip());
    if from.is_none() {
        worker.shard.sources_refused_total.fetch_add(1, Ordering::Relaxed);
    }
    from.map(Some).ok_or(TooMany)
}

/// Resolves when there are bytes to read; `None` when there never will be.
async fn arrived(socket: &TcpStream) -> Option<()> {
    // Not `readable`, which is also true of a socket that nobody has tried to read yet.
    let bytes = socket.peek(&mut [0]).await.ok()?;
    (bytes > 0).then_some(())
}

/// Waits for the first bytes of what comes next; `None` when the connection should end instead.
async fn idle(stream: &mut ClientStream, peer: &Peer, limit: Duration) -> Option<Bytes> {
    wait(peer, pin!(stream.arrived()), limit).await
}

/// Waits for bytes; `None` when the connection should end instead.
async fn wait<T>(peer: &Peer, mut arrived: Pin<&mut impl Future<Output = Option<T>>>, limit: Duration) -> Option<T> {
    tokio::select! {
        arrived = &mut arrived => arrived,
        () = tokio::time::sleep(limit) => None,
        () = peer.leaving.begins() => {
            // A request may be on its way.
            tokio::time::timeout(LEAVE, arrived).await.ok().flatten()
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Protocol {
    Http1,
    Http2,
}

/// Reads just enough after `read` to tell the protocol; `None` when the client leaves or takes too long.
async fn first_bytes(stream: &mut ClientStream, read: Bytes, limit: Duration) -> Option<(Protocol, Bytes)> {
    if let Some(protocol) = protocol(&read) {
        return Some((protocol, read));
    }
    tokio::time::timeout(limit, async {
        let mut all = BytesMut::with_capacity(PREFACE.len());
        all.extend_from_slice(&read);
        loop {
            let free = PREFACE.len().saturating_sub(all.len());
            if stream.take(free as u64).read_buf(&mut all).await.ok()? == 0 {
                return None;
            }
            if let Some(protocol) = protocol(&all) {
                return Some((protocol, all.freeze()));
            }
        }
    })
    .await
    .ok()?
}

/// The protocol of a connection that begins with `read`; `None` while that can still be either.
fn protocol(read: &[u8]) -> Option<Protocol> {
    if read.starts_with(PREFACE) {
        Some(Protocol::Http2)
    } else if PREFACE.starts_with(read) {
        None
    } else {
        Some(Protocol::Http1)
    }
}

/// Counts a connection for as long as it is open.
#[derive(Debug)]
pub(crate) struct Open {
    worker: Rc<Worker>,
    leaving: Rc<Leaving>,
    number: u64,
}

impl Open {
    fn new(worker: &Rc<Worker>, peer: &Peer) -> Self {
        worker.connection_opened();
        Self {
            worker: Rc::clone(worker),
            number: peer.leaving.number(),
            leaving: Rc::clone(&peer.leaving),
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.leaving.forget(self.number);
        self.worker.connection_closed();
    }
}
