//! What all threads of the process share.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwap;
use lockgate_core::limits::BODY_BYTES_MAX_DEFAULT;

use crate::access::AccessLog;
use crate::capsule::Capsules;
use crate::jwt::Fetcher;
use crate::limits::{
    BUFFERED_BYTES_MAX_DEFAULT, CONNECTIONS_MAX_DEFAULT, CONNECTIONS_PER_SOURCE_MIN, REQUESTS_MAX_DEFAULT, SOURCES_MIN,
};
use crate::live::Live;
use crate::metrics::Metrics;
use crate::overload::Load;

/// What all threads share: one pointer that a reload swaps, and things that never change.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) live: ArcSwap<Live>,
    pub(crate) metrics: Metrics,
    pub(crate) logs: Logs,
    pub(crate) times: Times,
    pub(crate) load: Arc<Load>,
    /// The gateway's namespace, for metrics.
    pub(crate) namespace: String,
    /// Fetches keys of tokens.
    pub(crate) fetcher: Arc<Fetcher>,
    draining: AtomicBool,
    cut: AtomicBool,
}

/// How much there may be of what clients bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a request body; longer ones are answered 413.
    pub(crate) body_bytes: u64,
    /// Client connections of the process at once; further ones are closed as soon as they are accepted.
    pub(crate) connections: u32,
    /// Of one source, an IPv4 address or an IPv6 /64.
    pub(crate) connections_per_source: u32,
    /// Requests of the process at once; further ones are answered 503.
    pub(crate) requests: u32,
    /// Bytes of request bodies in memory at once; requests beyond it are answered 503.
    pub(crate) buffered_bytes: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            body_bytes: BODY_BYTES_MAX_DEFAULT,
            connections: CONNECTIONS_MAX_DEFAULT,
            connections_per_source: per_source(CONNECTIONS_MAX_DEFAULT),
            requests: REQUESTS_MAX_DEFAULT,
            buffered_bytes: BUFFERED_BYTES_MAX_DEFAULT,
        }
    }
}

/// What one source may have of so many connections, unless told otherwise.
pub(crate) fn per_source(connections: u32) -> u32 {
    (connections / SOURCES_MIN).max(CONNECTIONS_PER_SOURCE_MIN)
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) header_read: Duration,
    pub(crate) body_read: Duration,
    pub(crate) idle: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) stream_idle: Duration,
    /// For what runs on connections whose listener ends.
    pub(crate) drain: Duration,
}

/// What is written of requests.
#[derive(Debug)]
pub(crate) struct Logs {
    pub(crate) access: AccessLog,
    /// Where decisions go so that they can be made again.
    pub(crate) capsules: Option<Capsules>,
}

impl Shared {
    /// Puts the pieces together.
    pub(crate) fn new(
        live: Arc<Live>,
        metrics: Metrics,
        logs: Logs,
        times: Times,
        bounds: Bounds,
        namespace: String,
        fetcher: Arc<Fetcher>,
    ) -> Arc<Self> {
        Arc::new(Self {
            live: ArcSwap::new(live),
            metrics,
            logs,
            times,
            load: Arc::new(Load::new(bounds)),
            namespace,
            fetcher,
            draining: AtomicBool::new(false),
            cut: AtomicBool::new(false),
        })
    }

    /// Whether what still runs is cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Acquire)
    }

    /// From now on whatever ends is cut.
    pub(crate) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
    }

    /// Whether the process is on its way out.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// From now on the process is on its way out.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }
}
