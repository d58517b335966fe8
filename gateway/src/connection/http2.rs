//! HTTP/2 with a client that began with its preface: in plain text with prior knowledge, in TLS as agreed on.

use core::convert::Infallible;
use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Version};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::time::Instant;

use super::Peer;
use super::io::{Activity, ClientIo, Strict};
use super::stream::ClientStream;
use super::stream_tunnel::StreamTunnel;
use super::unread::{Answer, Rests, Streams};
use crate::exchange;
use crate::frames::{Budget, Frames};
use crate::head;
use crate::limits::{
    CONNECTION_TICK, CONNECTION_WINDOW_BYTES, FAULTY_STREAMS_MAX, HEAD_BYTES_MAX, RESET_STREAMS_MAX,
    STREAM_SEND_BYTES_MAX, STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::worker::Worker;

/// Pings a silent client, so that a dead one does not hold its streams' upstreams.
const PING: Duration = Duration::from_secs(30);

/// Serves requests on `stream`, of which `read` was read already.
pub(super) async fn serve(worker: Rc<Worker>, stream: ClientStream, read: Bytes, peer: Rc<Peer>) {
    let activity = Rc::new(Activity::default());
    let budget = Rc::new(Budget::default());
    let rests = Rc::new(Rests::default());
    let io = ClientIo::new(stream, read, &activity, Strict::Http2(Frames::new(&budget)));
    let streams = Streams::new(worker.shared.times.stream_idle, &rests);
    let service = service_fn(|mut request: Request<Incoming>| {
        let (reader, budget) = (streams.begin(), Rc::clone(&budget));
        head::trim_values(request.headers_mut());
        head::join_cookies(request.headers_mut());
        let tunnel = StreamTunnel::asked(&mut request, &budget);
        // Boxed as for HTTP/1.1.
        let answer = Box::pin(exchange::run(
            Rc::clone(&worker),
            Rc::clone(&peer),
            Rc::default(),
            request,
            tunnel,
        ));
        async move {
            let answer = answer.await?;
            budget.answered();
            Ok::<_, Infallible>(answer.map(|body| Answer::new(body, reader, &budget)))
        }
    });
    let mut connection = std::pin::pin!(builder(streams.clone()).serve_connection(TokioIo::new(io), service));
    let mut tick = std::pin::pin!(tokio::time::sleep(CONNECTION_TICK));
    let mut watch = Watch::new(&worker, &peer, &activity, &budget, &rests);
    let mut pauses = 0;
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                // So hyper says at a CONNECT with a length, too, though it has only reset that stream: asked again it
                // goes on with the others.
                if ended.is_ok() && !activity.ended.get() && pauses < FAULTY_STREAMS_MAX {
                    pauses += 1;
                    continue;
                }
                if let Some(flood) = activity.flood.get() {
                    exchange::unreadable(&worker, &peer, Version::HTTP_2, 0, flood.details());
                } else if let Err(error) = ended {
                    exchange::broken_connection(&worker, &peer, &error);
                }
                return;
            }
            () = stirs(&watch) => {
                watch.stirs();
                tick.as_mut().reset(Instant::now() + CONNECTION_TICK);
            }
            () = &mut tick => {
                match watch.tick() {
                    Next::Go => {}
                    Next::GoAway => connection.as_mut().graceful_shutdown(),
                    Next::Drop => return,
                }
                tick.as_mut().reset(Instant::now() + watch.interval());
            }
        }
    }
}

fn builder(streams: Streams) -> http2::Builder<Streams> {
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_local_error_reset_streams(FAULTY_STREAMS_MAX)
        .max_send_buf_size(STREAM_SEND_BYTES_MAX)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        // Whether a route leads to a tunnel is told of each request that asks for one.
        .enable_connect_protocol();
    builder
}

/// Resolves when a connection no longer rests.
async fn stirs(watch: &Watch<'_>) {
    if !watch.rests {
        return core::future::pending().await;
    }
    // Looked at whenever hyper has been: besides the end of the listener nothing but what hyper reads and writes counts.
    let stirs = poll_fn(|_| {
        if watch.is_quiet() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    });
    tokio::select! {
        biased;
        () = stirs => {}
        () = watch.peer.leaving.begins() => {}
    }
}

/// What a look at the clocks says.
enum Next {
    Go,
    /// No new streams; those that run end as they do.
    GoAway,
    Drop,
}

/// The clocks of a connection, in ticks. While nothing is under way there are none.
struct Watch<'c> {
    worker: &'c Worker,
    peer: &'c Peer,
    activity: &'c Activity,
    budget: &'c Budget,
    sent: &'c Rests,
    /// When they were last looked at.
    seen: Instant,
    /// Nothing but the time without a request need be counted.
    rests: bool,
    begun: u64,
    written: u64,
    is_ending: bool,
    /// The client was told, and left a rest of an answer untaken.
    has_unread: bool,
    /// Since a request last ran.
    idle: Duration,
    /// Since the client began a head that is not whole yet.
    head: Duration,
    /// Since the client's socket last took a byte of what waits for it.
    blocked: Duration,
    /// Since [`Rests`] were last looked at.
    period: Duration,
}

impl<'c> Watch<'c> {
    fn new(worker: &'c Worker, peer: &'c Peer, activity: &'c Activity, budget: &'c Budget, sent: &'c Rests) -> Self {
        Self {
            worker,
            peer,
            activity,
            budget,
            sent,
            seen: Instant::now(),
            rests: false,
            begun: 0,
            written: 0,
            is_ending: false,
            has_unread: false,
            idle: Duration::ZERO,
            head: Duration::ZERO,
            blocked: Duration::ZERO,
            period: Duration::ZERO,
        }
    }

    /// Time until the next look.
    fn interval(&self) -> Duration {
        match self.rests {
            true => self.worker.shared.times.idle.saturating_sub(self.idle),
            false => CONNECTION_TICK,
        }
    }

    /// Whether nothing is under way, and the client may say as much as it ever may.
    fn is_quiet(&self) -> bool {
        self.peer.running.get() == 0
            && self.peer.begun.get() == self.begun
            && !self.activity.write_blocked.get()
            && !self.budget.in_head()
            && self.budget.is_full()
            && self.sent.is_empty()
    }

    /// The connection has rested until now.
    fn stirs(&mut self) {
        self.rests = false;
        let passed = self.passes();
        self.idle += passed;
    }

    /// The time since the last look.
    fn passes(&mut self) -> Duration {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.seen);
        self.seen = now;
        self.budget.passed(passed);
        self.period += passed;
        passed
    }

    fn tick(&mut self) -> Next {
        let passed = self.passes();
        self.rests = false;
        let times = &self.worker.shared.times;

        let is_blocked = self.activity.write_blocked.get() && self.activity.written.get() == self.written;
        self.written = self.activity.written.get();
        count(&mut self.blocked, passed, is_blocked);
        if self.blocked >= times.stream_idle {
            self.peer.unread.set(true);
            return Next::Drop;
        }
        count(&mut self.head, passed, self.budget.in_head());
        if self.head >= times.header_read {
            return Next::Drop;
        }

        let is_busy = self.peer.running.get() > 0 || self.peer.begun.get() != self.begun;
        self.begun = self.peer.begun.get();
        count(&mut self.idle, passed, !is_busy);
        let mut has_unread = false;
        if self.period >= times.stream_idle {
            self.period = Duration::ZERO;
            has_unread = self.sent.period_ends();
        }
        if self.is_ending {
            // It need not hold to what it was told: new streams come until it has answered a ping, and those that run
            // would keep the rests for as long as they like.
            if has_unread && self.has_unread {
                self.peer.unread.set(true);
                return Next::Drop;
            }
            self.has_unread |= has_unread;
            return if self.idle >= times.header_read {
                Next::Drop
            } else {
                Next::Go
            };
        }
        if has_unread || self.peer.is_leaving() || self.idle >= times.idle {
            (self.is_ending, self.has_unread, self.idle) = (true, has_unread, Duration::ZERO);
            return Next::GoAway;
        }
        self.rests = self.is_quiet();
        Next::Go
    }
}

/// So much more time for which something lasts, or none.
fn count(time: &mut Duration, passed: Duration, lasts: bool) {
    *time = if lasts { *time + passed } else { Duration::ZERO };
}
