//! HTTP/2 towards upstreams: many requests over one connection of a worker.
//!
//! A connection takes as many requests as its server says, and no more than
//! [`UPSTREAM_STREAMS_MAX`]; what is beyond goes over another one. Those that
//! wait for a connection wait for one together. What the client does not take is
//! not taken from the upstream: each stream has a window of its own, and that of
//! the connection has room for more than all of them, so that a slow client
//! holds up its own stream and no other. A client that leaves resets its stream alone.
//!
//! A request has its place until its answer is whole and all of its body is sent: so long it is one of those that the
//! server takes. An upload whose answer is whole has [`UPLOAD_REST`](crate::limits::UPLOAD_REST) for the rest.
//!
//! What the upstream has not begun with (RFC 9113 §8.7: a stream that it refuses,
//! or beyond the last that it names as it goes away) goes out once more, over
//! another connection, if all of it is at hand.

mod request;
mod upload;

use core::cell::{Cell, RefCell};
use core::future::poll_fn;
use core::net::SocketAddr;
use core::pin::{Pin, pin};
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::time::Instant;

use h2::Reason;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Notify, oneshot};

use self::request::{Copy, in_http2};
use self::upload::{Noted, Tasks, Upload};
use super::connect::{ConnectError, Open, Stream, stream};
use super::pool::{Connection, Pool};
use super::send::{Failed, SendError, Towards, distrusted, unless_silent};
use super::tls::Speaks;
use super::weighed::{Signs, Weighed};
use super::{Target, UpstreamBody};
use crate::alarm::Alarm;
use crate::joined::Joined;
use crate::limits::{
    HEADER_FIELDS_MAX, POOL_IDLE, STREAM_SEND_BYTES_MAX, STREAM_WINDOW_BYTES, UPSTREAM_HEAD_BYTES_MAX,
    UPSTREAM_LEFT_MAX, UPSTREAM_PING, UPSTREAM_RESETS_KEPT, UPSTREAM_ROUNDS_MAX, UPSTREAM_STREAMS_MAX,
    UPSTREAM_WINDOW_BYTES,
};
use crate::pace::Broken;

type Io = TokioIo<Weighed<Joined<super::connect::Io>>>;
type Sender = SendRequest<Noted>;

/// A request's place in a connection, until all of the answer is there.
#[derive(Debug)]
pub(crate) struct Slot {
    place: Rc<Place>,
    /// Told that the answer is whole.
    upload: Option<oneshot::Sender<()>>,
    is_whole: bool,
}

/// A place in a connection. The answer and the upload hold it.
#[derive(Debug)]
struct Place {
    link: Rc<Link>,
}

/// One connection.
pub(super) struct Link {
    sender: Sender,
    /// Driven by a task of its own; here only for what the server says of its limits.
    driver: Rc<RefCell<http2::Connection<Io, Noted, Tasks>>>,
    tasks: Tasks,
    signs: Rc<Signs>,
    remote: SocketAddr,
    endpoint: usize,
    /// What the configuration has it take.
    streams_max: usize,
    streams: Cell<usize>,
    /// Requests that were left before their end.
    left: Cell<usize>,
    /// The server has refused a request on it.
    has_refused: Cell<bool>,
    idle_since: Cell<Instant>,
}

impl core::fmt::Debug for Link {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (remote, streams) = (self.remote, self.streams.get());
        f.debug_struct("Link")
            .field("remote", &remote)
            .field("streams", &streams)
            .finish_non_exhaustive()
    }
}

impl Slot {
    /// The address that its connection leads to.
    pub(super) fn remote(&self) -> SocketAddr {
        self.place.link.remote
    }

    /// All of the answer is there.
    pub(super) fn finish(mut self) {
        self.is_whole = true;
        if let Some(upload) = self.upload.take() {
            // All of it may be sent already.
            let _ = upload.send(());
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.is_whole {
            self.place.link.leave();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Link {
            streams, idle_since, ..
        } = &*self.link;
        streams.set(streams.get().saturating_sub(1));
        if streams.get() == 0 {
            idle_since.set(Instant::now());
        }
    }
}

impl Link {
    /// A place in it, if there is one.
    fn reserve(self: &Rc<Self>) -> Option<Slot> {
        let room = self.takes().saturating_sub(self.streams.get());
        (room > 0 && self.is_open()).then(|| {
            self.streams.set(self.streams.get().saturating_add(1));
            Slot {
                place: Rc::new(Place { link: Rc::clone(self) }),
                upload: None,
                is_whole: false,
            }
        })
    }

    /// Requests that it takes at once.
    fn takes(&self) -> usize {
        // A server that takes none yet is asked and waited for.
        let of_server = self.driver.borrow().current_max_send_streams().max(1);
        of_server.min(self.streams_max)
    }

    /// A request is left before its end.
    fn leave(&self) {
        self.left.set(self.left.get().saturating_add(1));
    }

    /// Whether it takes further requests.
    fn is_open(&self) -> bool {
        let takes_more = !self.sender.is_closed() && !self.signs.goes_away() && !self.has_refused.get();
        takes_more && self.left.get() < UPSTREAM_LEFT_MAX
    }

    /// Whether it is worth keeping.
    fn is_kept(&self, now: Instant) -> bool {
        match self.streams.get() {
            0 => self.is_open() && now.saturating_duration_since(self.idle_since.get()) < POOL_IDLE,
            // Those that are under way hold it themselves.
            _ => self.is_open(),
        }
    }
}

/// The connections of one pool.
#[derive(Debug)]
pub(super) struct Links {
    /// Oldest first, so that the surplus of a busy hour lies idle.
    open: RefCell<Vec<Rc<Link>>>,
    awaited: RefCell<Vec<Rc<Attempt>>>,
    /// Requests that the last connection took at once, so that no more wait for the next one.
    took: Cell<usize>,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            open: RefCell::default(),
            awaited: RefCell::default(),
            took: Cell::new(usize::MAX),
        }
    }
}

/// A connection that is being made, for all who wait for one.
#[derive(Debug)]
struct Attempt {
    to: Towards,
    waiting: Cell<usize>,
    outcome: RefCell<Option<Result<Rc<Link>, ConnectError>>>,
    changed: Notify,
}

impl Attempt {
    async fn outcome(&self) -> Result<Rc<Link>, ConnectError> {
        self.waiting.set(self.waiting.get().saturating_add(1));
        loop {
            if let Some(outcome) = &*self.outcome.borrow() {
                return outcome.clone();
            }
            self.changed.notified().await;
        }
    }
}

impl Links {
    fn reserve(&self, endpoint: usize) -> Option<Slot> {
        let open = self.open.borrow();
        let mut leading = open.iter().filter(|link| link.endpoint == endpoint);
        leading.find_map(Link::reserve)
    }

    /// Closes what is dead or has lain idle for too long.
    pub(super) fn sweep(&self, now: Instant) {
        self.open.borrow_mut().retain(|link| link.is_kept(now));
    }

    /// Closes those without a stream.
    pub(super) fn retire(&self) {
        self.open.borrow_mut().retain(|link| link.streams.get() > 0);
    }

    /// One that has room for another, or a new one.
    fn awaited(pool: &Rc<Pool>, to: Towards) -> Rc<Attempt> {
        let room = streams_max(pool.target()).min(pool.links.took.get());
        let mut awaited = pool.links.awaited.borrow_mut();
        let mut leading = awaited.iter().filter(|attempt| attempt.to == to);
        if let Some(attempt) = leading.find(|attempt| attempt.waiting.get() < room) {
            return Rc::clone(attempt);
        }
        let attempt = Rc::new(Attempt {
            to,
            waiting: Cell::new(0),
            outcome: RefCell::default(),
            changed: Notify::new(),
        });
        awaited.push(Rc::clone(&attempt));
        let (pool, made) = (Rc::clone(pool), Rc::clone(&attempt));
        // In a task of its own, since it is nobody's alone.
        tokio::task::spawn_local(async move {
            let outcome = connect(&pool, to).await;
            let links = &pool.links;
            if let Ok(link) = &outcome {
                links.took.set(link.takes());
                links.sweep(Instant::now());
                links.open.borrow_mut().push(Rc::clone(link));
            }
            links.awaited.borrow_mut().retain(|other| !Rc::ptr_eq(other, &made));
            *made.outcome.borrow_mut() = Some(outcome);
            made.changed.notify_waiters();
        });
        attempt
    }
}

fn streams_max(target: &Target) -> usize {
    let configured = target.spec.streams_max.and_then(|most| usize::try_from(most).ok());
    configured.unwrap_or(usize::MAX).min(UPSTREAM_STREAMS_MAX as usize)
}

/// A connection whose server has said how many requests it takes.
async fn connect(pool: &Rc<Pool>, to: Towards) -> Result<Rc<Link>, ConnectError> {
    let Stream { io, remote, endpoint } = stream(pool.target(), &pool.shard, to, Speaks::Http2).await?;
    let signs = Rc::<Signs>::default();
    let io = TokioIo::new(Weighed::new(Joined(io), &signs));
    let tasks = Tasks::new(Open::new(&pool.shard));
    let (sender, driver) = http2::Builder::new(tasks.clone())
        .timer(TokioTimer::new())
        .keep_alive_interval(UPSTREAM_PING)
        // Until it has said more, which is waited for.
        .initial_max_send_streams(0)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(UPSTREAM_WINDOW_BYTES)
        .max_header_list_size(u32::try_from(UPSTREAM_HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .max_send_buf_size(STREAM_SEND_BYTES_MAX)
        .max_concurrent_reset_streams(UPSTREAM_RESETS_KEPT)
        .handshake(io)
        .await
        .map_err(ConnectError::http)?;
    let driver = Rc::new(RefCell::new(driver));
    let (driven, ends) = (Rc::clone(&driver), Rc::clone(&signs));
    tokio::task::spawn_local(async move {
        // How it ended is what the requests on it learn; without one nobody asks.
        let _ = poll_fn(|cx| Pin::new(&mut *driven.borrow_mut()).poll(cx)).await;
        ends.ended();
    });
    let settled = tokio::time::timeout(pool.target().connect_timeout(), signs.settled());
    match settled.await {
        Err(_) => return Err(ConnectError::Timeout),
        Ok(false) => return Err(ConnectError::NoHttp2),
        Ok(true) => {}
    }
    Ok(Rc::new(Link {
        sender,
        driver,
        tasks,
        signs,
        remote,
        endpoint,
        streams_max: streams_max(pool.target()),
        streams: Cell::new(0),
        left: Cell::new(0),
        has_refused: Cell::new(false),
        idle_since: Cell::new(Instant::now()),
    }))
}

async fn slot(pool: &Rc<Pool>, to: Towards) -> Result<Slot, ConnectError> {
    let mut ended_before = false;
    for _ in 0..UPSTREAM_ROUNDS_MAX {
        if let Some(slot) = pool.links.reserve(to.endpoint) {
            return Ok(slot);
        }
        let link = Links::awaited(pool, to).outcome().await?;
        if let Some(slot) = link.reserve() {
            return Ok(slot);
        }
        // Others were there before, or it has ended meanwhile, which a server may do once.
        let has_ended = !link.is_open();
        if has_ended && ended_before {
            return Err(ConnectError::NoHttp2);
        }
        ended_before |= has_ended;
    }
    Err(ConnectError::Timeout)
}

/// The same as [`super::send()`], in HTTP/2.
pub(super) async fn send(
    pool: &Rc<Pool>,
    request: Box<Request<UpstreamBody>>,
    to: Towards,
    first_byte: Duration,
) -> Result<(Response<Incoming>, Connection), Failed> {
    let copy = Copy::of(&request);
    let mut request = request;
    let mut is_second = false;
    loop {
        let slot = match slot(pool, to).await {
            Ok(slot) => slot,
            Err(error) => {
                return Err(Failed {
                    error: SendError::Connect(error),
                    unsent: Some(request),
                });
            }
        };
        let (error, unsent) = match send_on(slot, *request, pool.target(), first_byte).await {
            Ok(answer) => return Ok(answer),
            Err(Unsent::Failed(error)) => return Err(error.into()),
            Err(Unsent::NotBegun(error)) => (error, copy.as_ref().map(|copy| Box::new(copy.request()))),
        };
        match unsent {
            Some(again) if !is_second => request = again,
            unsent => {
                return Err(Failed { error, unsent });
            }
        }
        is_second = true;
    }
}

enum Unsent {
    /// The upstream has not begun with it, and never will.
    NotBegun(SendError),
    Failed(SendError),
}

async fn send_on(
    mut slot: Slot,
    request: Request<UpstreamBody>,
    target: &Target,
    first_byte: Duration,
) -> Result<(Response<Incoming>, Connection), Unsent> {
    let failure = Rc::<Cell<Option<Broken>>>::default();
    let passed_on = request.body().passed_on();
    let (upload, whole) = Upload::of(&slot.place);
    slot.upload = Some(whole);
    let request = in_http2(request, target.tls.is_some(), &failure, upload).ok_or_else(|| {
        let what = "the request cannot be said in HTTP/2";
        Unsent::Failed(SendError::Garbage(what.into()))
    })?;
    let link = Rc::clone(&slot.place.link);
    link.signs.asked();
    let mut sender = link.sender.clone();
    let answer = pin!(sender.try_send_request(request));
    let answer = unless_silent(&Alarm::default(), first_byte, passed_on.as_deref(), answer).await;
    let answer = answer.ok_or(Unsent::Failed(SendError::Timeout))?;
    match answer {
        Ok(answer) if answer.status() == StatusCode::SWITCHING_PROTOCOLS => Err(Unsent::Failed(SendError::Garbage(
            "the upstream switched protocols unasked".into(),
        ))),
        Ok(answer) if answer.headers().len() > HEADER_FIELDS_MAX => Err(Unsent::Failed(SendError::Garbage(
            "the upstream's answer has too many fields".into(),
        ))),
        Ok(answer) => match distrusted(&answer) {
            Some(why) => Err(Unsent::Failed(why)),
            None => Ok((answer, Connection::Http2(slot))),
        },
        Err(mut error) => {
            let is_untouched = error.take_message().is_some();
            let error = error.into_error();
            if is_untouched || is_refused(&error) {
                link.has_refused.set(true);
                return Err(Unsent::NotBegun(SendError::Closed(error)));
            }
            Err(Unsent::Failed(match (failure.get(), of_h2(&error)) {
                (Some(Broken::TooSlow), _) => SendError::ClientTooSlow,
                (Some(Broken::Left | Broken::Framing), _) => SendError::ClientBody(error),
                // What h2 could not make sense of, or who weighs it would not read.
                (None, Some(what)) if what.is_library() || is_flood(what) => SendError::Garbage(what.to_string()),
                (None, _) => SendError::Closed(error),
            }))
        }
    }
}

fn of_h2(error: &hyper::Error) -> Option<&h2::Error> {
    core::error::Error::source(error).and_then(|source| source.downcast_ref())
}

fn is_flood(error: &h2::Error) -> bool {
    error
        .get_io()
        .is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// Whether the upstream says that it has not begun with a request.
fn is_refused(error: &hyper::Error) -> bool {
    of_h2(error).is_some_and(|error| {
        let is_reset = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        // h2 gives a GOAWAY to the streams alone that are beyond the last of it.
        error.is_remote() && (is_reset || error.is_go_away())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use std::io::{Read as _, Write as _};
    use std::net::{Ipv4Addr, TcpListener};
    use std::sync::{Arc, mpsc};

    use http::header::HOST;
    use lockgate_core::snapshot::{Endpoint, UpstreamProtocol};
    use tokio::runtime::LocalOptions;

    use crate::frames::PREFACE;
    use crate::limits::FIRST_BYTE;
    use crate::metrics::Metrics;
    use crate::upstream::tests::of_endpoints;

    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    /// The end of the connection, among the frames before it.
    const END: u8 = u8::MAX;

    /// A server that takes what comes and answers nothing but settings, and the kinds of the frames that it gets.
    fn silent_server() -> (u16, mpsc::Receiver<u8>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, kinds) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let settings = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
            let ack = [0, 0, 0, SETTINGS, 1, 0, 0, 0, 0];
            stream.write_all(&[settings, ack].concat()).unwrap();
            stream.read_exact(&mut [0; PREFACE.len()]).unwrap();
            let mut head = [0; 9];
            while stream.read_exact(&mut head).is_ok() {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                if stream.read_exact(&mut payload).is_err() || tell.send(head[3]).is_err() {
                    break;
                }
            }
            let _ = tell.send(END);
        });
        (port, kinds)
    }

    fn pool(port: u16) -> Rc<Pool> {
        let endpoint = Endpoint {
            address: "127.0.0.1".into(),
            port,
            weight: 1,
        };
        let target = of_endpoints(vec![endpoint], UpstreamProtocol::Http2);
        Rc::new(Pool::new(Arc::new(target), Metrics::new(1).shard(0)))
    }

    const TO: Towards = Towards {
        endpoint: 0,
        all_endpoints: false,
    };

    fn on_one_thread<T>(future: impl Future<Output = T>) -> T {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build_local(LocalOptions::default()).unwrap();
        runtime.block_on(future)
    }

    /// Waits for a frame of this kind, or the end.
    fn await_kind(kinds: &mpsc::Receiver<u8>, wanted: u8) {
        let kind = || kinds.recv_timeout(Duration::from_secs(30)).unwrap();
        while kind() != wanted {}
    }

    #[test]
    fn a_connection_that_lies_idle_for_too_long_is_closed() {
        let (port, kinds) = silent_server();
        on_one_thread(async {
            let pool = pool(port);
            let slot = slot(&pool, TO).await.unwrap();
            let open = || pool.links.open.borrow().len();
            let now = Instant::now();
            pool.sweep(now + 100 * POOL_IDLE);
            assert_eq!(open(), 1, "a stream is under way");
            slot.finish();
            pool.sweep(now + POOL_IDLE - Duration::from_secs(1));
            assert_eq!(open(), 1, "it may be used again");
            pool.sweep(Instant::now() + POOL_IDLE);
            assert_eq!(open(), 0);
            // Who drives it lets go of the socket.
            while pool
                .shard
                .upstream_connections
                .load(core::sync::atomic::Ordering::Relaxed)
                > 0
            {
                tokio::task::yield_now().await;
            }
        });
        await_kind(&kinds, END);
    }

    #[test]
    fn an_upstream_that_is_gone_without_a_word_is_noticed() {
        let (port, kinds) = silent_server();
        on_one_thread(async {
            let pool = pool(port);
            let slot = slot(&pool, TO).await.unwrap();
            let link = Rc::clone(&slot.place.link);
            let request = Request::get("/").header(HOST, "a.example");
            let request = request.body(UpstreamBody::of_pieces(VecDeque::new())).unwrap();
            // From here on time passes whenever nothing else happens.
            tokio::time::pause();
            let began = tokio::time::Instant::now();
            let failed = send_on(slot, request, pool.target(), FIRST_BYTE).await;
            assert!(matches!(failed, Err(Unsent::Failed(SendError::Closed(_)))));
            let took = began.elapsed();
            assert!(took > UPSTREAM_PING && took < FIRST_BYTE, "{took:?}");
            assert!(!link.is_open(), "nothing more is sent on it");
        });
        await_kind(&kinds, HEADERS);
        await_kind(&kinds, PING);
        await_kind(&kinds, END);
    }
}
