//! Idle connections to one upstream, kept by one worker.
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

use super::awaited::Awaited;
use super::{Target, UpstreamBody};
use crate::limits::{POOL_IDLE, POOL_IDLE_MAX};
use crate::metrics::Shard;

/// A connection to an upstream. Dropping it closes it, whatever is under way on it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(super) sender: SendRequest<UpstreamBody>,
    pub(super) remote: SocketAddr,
    /// The head of the answer to the request on it.
    pub(super) awaited: Rc<Awaited>,
    /// Which of the target's endpoints it leads to.
    pub(super) endpoint: usize,
}

impl Connection {
    /// The address it leads to.
    pub(crate) fn remote(&self) -> SocketAddr {
        self.remote
    }
}

/// The idle connections to one upstream.
#[derive(Debug)]
pub(crate) struct Pool {
    target: Arc<Target>,
    pub(super) shard: Arc<Shard>,
    /// Oldest first.
    idle: RefCell<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new(target: Arc<Target>, shard: Arc<Shard>) -> Self {
        Self {
            target,
            shard,
            idle: RefCell::default(),
        }
    }

    /// Where its connections lead.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The youngest idle connection to an endpoint, if one is alive.
    pub(super) fn take(&self, endpoint: usize) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let mut index = idle.len();
        while let Some(at) = index.checked_sub(1) {
            index = at;
            let Some(connection) = idle.get(at).map(|idle| &idle.connection) else {
                break;
            };
            if connection.sender.is_closed() {
                idle.remove(at);
            } else if connection.endpoint == endpoint && connection.sender.is_ready() {
                return idle.remove(at).map(|idle| idle.connection);
            }
        }
        None
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, connection: Connection) {
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
        self.idle.borrow_mut().retain(|idle| {
            !idle.connection.sender.is_closed() && now.saturating_duration_since(idle.since) < POOL_IDLE
        });
    }
}
