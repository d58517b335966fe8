//! What all threads of the process share.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::access::AccessLog;
use crate::jwt::Fetcher;
use crate::live::Live;
use crate::metrics::Metrics;

/// What all threads share: one pointer that a reload swaps, and things that never change.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) live: ArcSwap<Live>,
    pub(crate) metrics: Metrics,
    pub(crate) access_log: AccessLog,
    pub(crate) times: Times,
    pub(crate) bounds: Bounds,
    /// The gateway's namespace, for metrics.
    pub(crate) namespace: String,
    /// Fetches keys of tokens.
    pub(crate) fetcher: Arc<Fetcher>,
    draining: AtomicBool,
}

/// How much there may be of what clients bring.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of a request body; longer ones are answered 413.
    pub(crate) body_bytes: u64,
    /// Client connections of the process at once; further ones are closed as soon as they are accepted.
    pub(crate) connections: u32,
}

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    pub(crate) header_read: Duration,
    pub(crate) body_read: Duration,
    pub(crate) idle: Duration,
    pub(crate) first_byte: Duration,
    pub(crate) stream_idle: Duration,
}

impl Shared {
    /// Puts the pieces together.
    pub(crate) fn new(
        live: Arc<Live>,
        metrics: Metrics,
        access_log: AccessLog,
        times: Times,
        bounds: Bounds,
        namespace: String,
        fetcher: Arc<Fetcher>,
    ) -> Arc<Self> {
        Arc::new(Self {
            live: ArcSwap::new(live),
            metrics,
            access_log,
            times,
            bounds,
            namespace,
            fetcher,
            draining: AtomicBool::new(false),
        })
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
