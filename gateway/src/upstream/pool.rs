//! Connections to one upstream, kept by one worker: idle ones of HTTP/1.1, and those of HTTP/2 whatever they do.
//!
//! The youngest is used first, so that the surplus of a busy hour grows old and
//! is closed. A connection on which the upstream closed or, worse, sent
//! something unasked, is known to be dead: its task has ended, and it is thrown
//! away here.

use core::cell::RefCell;
use core::net::SocketAddr;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use hyper::client::conn::http1::SendRequest;
use tokio::task::AbortHandle;

use super::awaited::Awaited;
use super::http2::{Links, Slot};
use super::switched::Switched;
use super::{Target, UpstreamBody};
use crate::limits::{POOL_IDLE, POOL_IDLE_MAX, UPLOAD_REST};
use crate::metrics::Shard;

/// What an answer comes on. Dropping it ends what is under way on it.
#[derive(Debug)]
pub(crate) enum Connection {
    /// All of a connection.
    Http1(Http1),
    /// One stream of a connection.
    Http2(Slot),
    /// A connection on which HTTP has ended with the answer.
    Switched(Box<Switched>),
}

/// A connection of HTTP/1.1. Dropping it closes it, whatever of a request is still to be sent.
#[derive(Debug)]
pub(crate) struct Http1 {
    pub(super) sender: SendRequest<UpstreamBody>,
    pub(super) task: AbortHandle,
    pub(super) remote: SocketAddr,
    /// The head of the answer to the request on it.
    pub(super) awaited: Rc<Awaited>,
    /// Which of the target's endpoints it leads to.
    pub(super) endpoint: usize,
}

impl Http1 {
    /// Whether all of the last request is sent and all of its answer read. The answer may have been whole before.
    fn is_free(&self) -> bool {
        self.sender.is_ready()
    }
}

impl Drop for Http1 {
    fn drop(&mut self) {
        // hyper would first send the rest of a request, which an upstream that does not read never takes.
        if !self.is_free() {
            self.task.abort();
        }
    }
}

impl Connection {
    /// The address it leads to.
    pub(crate) fn remote(&self) -> SocketAddr {
        match self {
            Self::Http1(connection) => connection.remote,
            Self::Http2(slot) => slot.remote(),
            Self::Switched(switched) => switched.remote,
        }
    }
}

/// The idle connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Arc<Target>,
    pub(super) shard: Arc<Shard>,
    /// Oldest first.
    idle: RefCell<VecDeque<Idle>>,
    pub(super) links: Links,
}

#[derive(Debug)]
struct Idle {
    connection: Http1,
    since: Instant,
}

impl Idle {
    /// Whether it may be used again, at once or soon.
    fn is_kept(&self, now: Instant) -> bool {
        let lay = now.saturating_duration_since(self.since);
        let limit = if self.connection.is_free() {
            POOL_IDLE
        } else {
            UPLOAD_REST
        };
        !self.connection.sender.is_closed() && lay < limit
    }
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(target: Arc<Target>, shard: Arc<Shard>) -> Self {
        Self {
            target,
            shard,
            idle: RefCell::default(),
            links: Links::default(),
        }
    }

    /// Where its connections lead.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The youngest idle connection to an endpoint, if one is alive.
    pub(super) fn take(&self, endpoint: usize) -> Option<Http1> {
        let mut idle = self.idle.borrow_mut();
        let mut index = idle.len();
        while let Some(at) = index.checked_sub(1) {
            index = at;
            let Some(connection) = idle.get(at).map(|idle| &idle.connection) else {
                break;
            };
            if connection.sender.is_closed() {
                idle.remove(at);
            } else if connection.endpoint == endpoint && connection.is_free() {
                return idle.remove(at).map(|idle| idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, connection: Connection) {
        match connection {
            Connection::Http1(connection) => self.keep(connection),
            Connection::Http2(slot) => slot.finish(),
            // It is no longer one for requests.
            Connection::Switched(_) => {}
        }
    }

    fn keep(&self, connection: Http1) {
        if connection.sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if idle.len() >= POOL_IDLE_MAX {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: Instant::now(),
        });
    }

    /// Closes what is dead or has lain idle for too long.
    pub(crate) fn sweep(&self, now: Instant) {
        self.links.sweep(now);
        self.idle.borrow_mut().retain(|idle| idle.is_kept(now));
    }

    /// Closes all that are idle, as for an upstream that no new request is sent to.
    pub(crate) fn retire(&self, now: Instant) {
        self.links.retire();
        let mut idle = self.idle.borrow_mut();
        idle.retain(|idle| !idle.connection.is_free() && idle.is_kept(now));
    }
}
