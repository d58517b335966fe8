//! What Prometheus scrapes.
//!
//! Every worker counts in a [`Shard`] of its own, behind a lock that nobody
//! else takes but a scrape, which sums the shards. That is why this is not
//! `prometheus-client`: its families share one map among all threads, and its
//! label sets are built from strings for each request. Here a label is a number
//! that a name was given once ([`labels`]), so counting a request is one lookup
//! of a small key, by order: hashing it would take longer.
//!
//! No label value comes from a client unbounded: routes, providers and hosts
//! are the configuration's, codes and flags are few, and model names are
//! admitted only from answers that a provider gave, up to
//! [`crate::limits::MODEL_LABELS_MAX`].

pub(crate) mod labels;
mod text;

pub(crate) use text::Facts;

use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use self::labels::{Label, Labels};
use crate::access::Flag;

/// Upper bounds of the duration buckets in milliseconds: Envoy's.
pub(crate) const DURATION_MS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// All metrics of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    pub(crate) labels: Labels,
    pub(crate) reload: Reload,
    shards: Box<[Arc<Shard>]>,
}

/// How loading went.
#[derive(Debug, Default)]
pub(crate) struct Reload {
    pub(crate) successes: AtomicU64,
    pub(crate) failures: AtomicU64,
    /// 1 or 0.
    last_ok: AtomicU64,
    last_ok_at_s: AtomicU64,
}

/// Why a TLS handshake with a client did not come to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// No server takes the name that it asked for.
    ServerName,
    /// Its certificate is missing, or not good.
    ClientCertificate,
    /// It took too long.
    Timeout,
    /// Anything else: no common version, no TLS at all, gone.
    Protocol,
}

impl HandshakeFailure {
    /// Each, with what metrics call it.
    pub(crate) const ALL: [(Self, &'static str); 4] = [
        (Self::ServerName, "server_name"),
        (Self::ClientCertificate, "client_certificate"),
        (Self::Timeout, "timeout"),
        (Self::Protocol, "protocol"),
    ];
}

/// One worker's counters.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    pub(crate) connections_total: AtomicU64,
    pub(crate) connections: AtomicI64,
    /// Since the process has as many as it may.
    pub(crate) connections_refused_total: AtomicU64,
    /// Since their source has.
    pub(crate) sources_refused_total: AtomicU64,
    pub(crate) proxy_headers_refused_total: AtomicU64,
    /// By [`HandshakeFailure`].
    pub(crate) tls_handshakes_failed: [AtomicU64; HandshakeFailure::ALL.len()],
    pub(crate) upstream_connections_total: AtomicU64,
    pub(crate) upstream_connections: AtomicI64,
    pub(crate) upstream_connect_failures_total: AtomicU64,
    pub(crate) upstream_retries_total: AtomicU64,
    pub(crate) mirrors_total: AtomicU64,
    pub(crate) mirrors_skipped_total: AtomicU64,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default, Clone)]
pub(crate) struct Counted {
    pub(crate) requests: BTreeMap<RequestKey, Durations>,
    pub(crate) tokens: BTreeMap<TokenKey, Tokens>,
    pub(crate) checks: BTreeMap<CheckKey, Durations>,
}

/// The labels of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RequestKey {
    pub(crate) route: Label,
    pub(crate) provider: Label,
    /// 0 when the client was gone before there was one.
    pub(crate) code: u16,
    pub(crate) flag: Flag,
}

/// The labels of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TokenKey {
    pub(crate) route: Label,
    pub(crate) provider: Label,
    pub(crate) model: Label,
}

/// The labels of a question to an external authorizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CheckKey {
    pub(crate) authorizer: Label,
    /// One of few words.
    pub(crate) result: &'static str,
}

/// A histogram.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Durations {
    pub(crate) count: u64,
    pub(crate) sum_ms: f64,
    /// Not cumulated; what is above the last bound is only in `count`.
    pub(crate) buckets: [u64; DURATION_MS.len()],
}

/// Sums of tokens.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Tokens {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Shard {
    /// Counts a TLS handshake that failed.
    pub(crate) fn handshake_failed(&self, why: HandshakeFailure) {
        let all = HandshakeFailure::ALL.iter().zip(&self.tls_handshakes_failed);
        for (_, counter) in all.filter(|((reason, _), _)| *reason == why) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Metrics {
    /// Metrics of a process with so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            labels: Labels::default(),
            reload: Reload::default(),
            shards: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    /// The counters of worker `index`.
    pub(crate) fn shard(&self, index: usize) -> Arc<Shard> {
        self.shards.get(index).map_or_else(Arc::default, Arc::clone)
    }

    /// TLS handshakes that failed, by why.
    fn handshakes_failed(&self) -> [u64; HandshakeFailure::ALL.len()] {
        let mut all = [0; HandshakeFailure::ALL.len()];
        for counters in self.shards.iter().map(|shard| &shard.tls_handshakes_failed) {
            for (sum, counter) in all.iter_mut().zip(counters) {
                *sum += counter.load(Ordering::Relaxed);
            }
        }
        all
    }

    /// Client connections that are open.
    pub(crate) fn connections(&self) -> i64 {
        self.gauge(|shard| &shard.connections)
    }

    /// All counts of all shards.
    fn counted(&self) -> Counted {
        let mut all = Counted::default();
        for shard in &self.shards {
            let counted = shard.counted.lock().unwrap_or_else(PoisonError::into_inner).clone();
            for (key, durations) in counted.requests {
                all.requests.entry(key).or_default().merge(&durations);
            }
            for (key, tokens) in counted.tokens {
                all.tokens.entry(key).or_default().add(tokens);
            }
            for (key, durations) in counted.checks {
                all.checks.entry(key).or_default().merge(&durations);
            }
        }
        all
    }

    fn sum(&self, of: impl Fn(&Shard) -> &AtomicU64) -> u64 {
        self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }

    fn gauge(&self, of: impl Fn(&Shard) -> &AtomicI64) -> i64 {
        self.shards.iter().map(|shard| of(shard).load(Ordering::Relaxed)).sum()
    }
}

impl Reload {
    /// A configuration took effect.
    pub(crate) fn succeeded(&self) {
        self.successes.fetch_add(1, Ordering::Relaxed);
        self.last_ok.store(1, Ordering::Relaxed);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last_ok_at_s.store(now.as_secs(), Ordering::Relaxed);
    }

    /// A configuration was refused.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.last_ok.store(0, Ordering::Relaxed);
    }
}

impl Shard {
    /// Counts one request, and the tokens of its answer.
    pub(crate) fn count_request(&self, key: RequestKey, duration: Duration, used: Option<(TokenKey, Tokens)>) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.requests.entry(key).or_default().add(duration);
        if let Some((key, tokens)) = used {
            counted.tokens.entry(key).or_default().add(tokens);
        }
    }

    /// Counts one question to an external authorizer.
    pub(crate) fn count_check(&self, key: CheckKey, duration: Duration) {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.checks.entry(key).or_default().add(duration);
    }
}

impl Tokens {
    fn add(&mut self, more: Self) {
        self.prompt = self.prompt.saturating_add(more.prompt);
        self.completion = self.completion.saturating_add(more.completion);
    }
}

impl Durations {
    fn add(&mut self, duration: Duration) {
        let ms = duration.as_secs_f64() * 1e3;
        self.count = self.count.saturating_add(1);
        self.sum_ms += ms;
        if let Some(bucket) = self.buckets.get_mut(DURATION_MS.partition_point(|bound| *bound < ms)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    fn merge(&mut self, other: &Self) {
        self.count = self.count.saturating_add(other.count);
        self.sum_ms += other.sum_ms;
        for (sum, bucket) in self.buckets.iter_mut().zip(other.buckets) {
            *sum = sum.saturating_add(bucket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_on_a_bound_is_in_its_bucket() {
        let mut durations = Durations::default();
        for ms in [0, 1, 5, 3_600_000, 3_600_001] {
            durations.add(Duration::from_millis(ms));
        }
        assert_eq!(durations.count, 5);
        assert_eq!(&durations.buckets[..3], [1, 1, 1]);
        assert_eq!(durations.buckets[18], 1);
    }
}
