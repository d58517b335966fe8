//! HTTP/1.1 with a client, until the connection falls idle or ends.
//!
//! The connection looks at its clocks once a second instead of setting a timer
//! for each request: the time for a head, the time a client may let an answer
//! lie unread, and whether hyper's state can be taken apart.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use http::Version;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::time::Instant;

use super::Peer;
use super::intake::{Intake, Refused, Within};
use super::io::{self, Activity, ClientIo, HEAD_TIMEOUT, Strict, answer};
use super::stream::ClientStream;
use super::tunnel::Tunnel;
use crate::alarm::Alarm;
use crate::exchange;
use crate::limits::{CONNECTION_TICK, CONNECTION_TICK_MAX, HEAD_BYTES_MAX};
use crate::worker::Worker;

/// How it went on.
pub(super) enum After {
    /// Nothing is under way: the connection, and what was read of the next request.
    Idle(ClientStream, Bytes),
    /// The last answer is written; the client may still be sending.
    Closing(ClientStream),
    /// HTTP has ended with an answer that said so: the connection, what was read of what follows, and what that is.
    Switched(ClientStream, Bytes, Box<Tunnel>),
    /// The client is gone.
    Closed,
}

/// Serves requests on `stream`, of which `read` was read already.
pub(super) async fn serve(worker: &Rc<Worker>, stream: ClientStream, read: Bytes, peer: &Rc<Peer>) -> After {
    let Left {
        next,
        stream,
        unparsed,
        rest,
    } = run(worker, stream, read, peer).await;
    let tunnel = peer.tunnel.take();
    match next {
        // Nothing of the next request has come, so hyper has no more than empty lines.
        Next::Park => After::Idle(stream, rest),
        Next::Switch => tunnel.map_or(After::Closed, |tunnel| {
            let read = [unparsed, rest].concat().into();
            After::Switched(stream, read, tunnel)
        }),
        Next::HeadTimeout => {
            exchange::unreadable(worker, peer, Version::HTTP_11, 408, exchange::HEAD_TIMED_OUT);
            After::Closing(answer(stream, HEAD_TIMEOUT).await)
        }
        Next::Refuse(why) => {
            exchange::unreadable(worker, peer, Version::HTTP_11, why.status(), exchange::CODEC_ERROR);
            After::Closing(answer(stream, why.answer()).await)
        }
        Next::Linger => After::Closing(stream),
        Next::Cut => {
            io::flush(stream).await;
            After::Closed
        }
        Next::Go | Next::Drop => After::Closed,
    }
}

/// What hyper leaves of a connection.
struct Left {
    next: Next,
    stream: ClientStream,
    /// What it has read and not parsed.
    unparsed: Bytes,
    /// What it has not read of what was.
    rest: Bytes,
}

/// Has hyper serve requests, until none is under way or none can follow.
// Apart, since the room for hyper's state would stay taken beside that for what comes after it.
async fn run(worker: &Rc<Worker>, stream: ClientStream, read: Bytes, peer: &Rc<Peer>) -> Left {
    let activity = Rc::new(Activity::default());
    let io = TokioIo::new(ClientIo::new(
        stream,
        read,
        &activity,
        Strict::Http1(Intake::default(), Rc::clone(peer)),
    ));
    // Boxed, so that its memory is free again while the answer streams: hyper keeps the place of what a service returns.
    // The box comes first, so that what is still empty in it need not be copied there.
    let alarm = Rc::<Alarm>::default();
    let service = service_fn(|request| {
        let boxed = Box::new_uninit();
        Box::into_pin(Box::write(
            boxed,
            exchange::run(Rc::clone(worker), Rc::clone(peer), Rc::clone(&alarm), request, None),
        ))
    });
    // hyper's own limit of 100 header fields is as wanted; head timeouts are watched below.
    let mut connection = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(io, service);
    peer.before.set(peer.begun.get());
    let mut watch = Watch::new(worker, peer, &activity);
    let ticks = Alarm::default();
    let mut tick = Instant::now() + CONNECTION_TICK;
    let next = loop {
        tokio::select! {
            biased;
            ended = &mut connection => break match ended {
                Ok(()) if peer.tunnel.borrow().is_some() => Next::Switch,
                Ok(()) if peer.sending.get() => Next::Linger,
                Ok(()) => Next::Drop,
                Err(error) => {
                    exchange::broken_connection(worker, peer, &error);
                    // What cannot be parsed is answered by hyper; let the answer arrive. And what comes before a cut.
                    if error.is_parse() {
                        Next::Linger
                    } else if error.is_user() {
                        Next::Cut
                    } else {
                        Next::Drop
                    }
                }
            },
            why = refused(&activity, peer) => break Next::Refuse(why),
            () = poll_fn(|cx| ticks.poll(tick, cx)) => {
                match watch.tick() {
                    Next::Go => tick = Instant::now() + watch.interval,
                    next => break next,
                }
            }
        }
    };
    let parts = connection.into_parts();
    let (stream, rest) = parts.io.into_inner().into_parts();
    Left {
        next,
        stream,
        unparsed: parts.read_buf,
        rest,
    }
}

/// Resolves when the client is refused and every request before that is answered.
async fn refused(activity: &Activity, peer: &Peer) -> Refused {
    // Looked at whenever hyper has been: only what hyper reads and writes can change it.
    poll_fn(|_| match activity.refused.get() {
        Some(why)
            if why != Refused::Body
                && peer.begun() == activity.heads.get()
                && peer.running.get() == 0
                && !activity.write_blocked.get() =>
        {
            Poll::Ready(why)
        }
        _ => Poll::Pending,
    })
    .await
}

/// What a look at the clocks says.
enum Next {
    Go,
    Refuse(Refused),
    Park,
    Switch,
    HeadTimeout,
    Linger,
    Cut,
    Drop,
}

/// The clocks of a connection, in ticks.
struct Watch<'c> {
    worker: &'c Worker,
    peer: &'c Peer,
    activity: &'c Activity,
    /// Between the last tick and the next.
    interval: Duration,
    /// Requests begun until the last tick.
    seen: u64,
    begun: u64,
    written: u64,
    /// Since the first byte of a head that is not whole yet.
    head: Duration,
    /// Since the client last took any byte of an answer that waits for it.
    unread: Duration,
}

impl<'c> Watch<'c> {
    fn new(worker: &'c Worker, peer: &'c Peer, activity: &'c Activity) -> Self {
        let begun = peer.begun.get();
        Self {
            worker,
            peer,
            activity,
            interval: CONNECTION_TICK,
            seen: begun,
            begun,
            written: 0,
            head: Duration::ZERO,
            unread: Duration::ZERO,
        }
    }

    fn tick(&mut self) -> Next {
        let passed = self.interval;
        let goes_on = self.peer.running.get() > 0 && self.peer.begun.get() == self.seen;
        self.seen = self.peer.begun.get();
        self.interval = match goes_on {
            true => passed.saturating_mul(2).min(CONNECTION_TICK_MAX),
            false => CONNECTION_TICK,
        };
        if self.activity.write_blocked.get() {
            let moved = self.activity.written.get() != self.written;
            self.written = self.activity.written.get();
            self.unread = if moved { Duration::ZERO } else { self.unread + passed };
            return if self.unread >= self.worker.shared.times.stream_idle {
                self.peer.unread.set(true);
                Next::Drop
            } else {
                Next::Go
            };
        }
        self.unread = Duration::ZERO;
        if let Some(why) = self.activity.refused.get().filter(|_| self.peer.running.get() == 0) {
            // The request that a broken body belongs to has had its answer.
            return if why == Refused::Body {
                Next::Linger
            } else {
                Next::Refuse(why)
            };
        }
        if self.peer.running.get() > 0 {
            self.head = Duration::ZERO;
            // Nobody reads on while a body waits for its upstream.
            let has_body = self.activity.within.get() == Within::Body || self.peer.passes_a_body_on();
            self.activity.looks.set(has_body && !self.activity.read.take());
            return Next::Go;
        }
        // The answer was whole before its request was. Where the next one begins only the rest of that one says, which
        // nobody needs.
        if self.activity.within.get() == Within::Body || self.peer.passes_a_body_on() {
            return Next::Linger;
        }
        // hyper has dropped the rest of an unread body, or the connection would have ended.
        self.peer.sending.set(false);
        if self.peer.begun.get() != self.begun {
            self.begun = self.peer.begun.get();
            self.head = Duration::ZERO;
            return Next::Go;
        }
        if self.activity.within.get() == Within::None {
            return Next::Park;
        }
        self.head += passed;
        if self.head >= self.worker.shared.times.header_read {
            Next::HeadTimeout
        } else {
            Next::Go
        }
    }
}
