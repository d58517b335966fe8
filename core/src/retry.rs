//! Whether what came of an attempt is tried again, and after which pause.
//!
//! The policy is the rule's, the outcome is what a shell saw; so a shell holds
//! no opinion of its own, and the whole question can be asked without a socket.
//! As Envoy's router answers it (`RetryStateImpl`): a request that a rate limit
//! turned away is not tried again unless the policy says so, a broken
//! connection counts as a gateway's error, and the pause is drawn out of a span
//! that doubles with each retry ("fully jittered exponential back-off").
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_filters/router_filter#x-envoy-retry-on>

use crate::chance::{Draw, draw};
use crate::limits::BACKOFF_GROWTH_MAX;
use crate::tables::{RetryOn, RetryPolicy, Tables};

/// What came of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a shell says which of these it saw")]
pub enum Outcome {
    /// No connection could be made.
    ConnectFailure,
    /// The connection broke before the head of an answer, or what came was none.
    Reset {
        /// Whether any of the request was sent on it.
        begun: bool,
    },
    /// No head of an answer within the time for one attempt.
    PerTryTimeout,
    /// The head of an answer.
    Answer {
        /// Its status.
        status: u16,
        /// `grpc-status`, when the head has it.
        grpc_status: Option<u32>,
        /// Whether it has `x-envoy-ratelimited`.
        rate_limited: bool,
    },
}

impl RetryPolicy {
    /// Whether a request of which some was sent may be sent again, so that a shell must be able to. What gRPC calls
    /// `unavailable` is asked of the answers to gRPC requests only.
    #[must_use]
    pub fn may_repeat(&self, is_grpc: bool) -> bool {
        const OF_GRPC: RetryOn = RetryOn::CANCELLED
            .and(RetryOn::DEADLINE_EXCEEDED)
            .and(RetryOn::INTERNAL)
            .and(RetryOn::RESOURCE_EXHAUSTED)
            .and(RetryOn::UNAVAILABLE);
        const OF_ALL: RetryOn = RetryOn::ANY_5XX
            .and(RetryOn::GATEWAY_ERROR)
            .and(RetryOn::RESET)
            .and(RetryOn::RETRIABLE_4XX)
            .and(RetryOn::STATUSES)
            .and(RetryOn::RATE_LIMITED);
        self.on.has(OF_ALL) || is_grpc && self.on.has(OF_GRPC)
    }

    /// The pause in milliseconds before the next attempt, when `retries` were made and `outcome` came of the last
    /// attempt; `None` when that is what the client gets.
    #[must_use]
    pub fn next(&self, tables: &Tables, outcome: Outcome, retries: u32, entropy: u64) -> Option<u32> {
        let is_due = retries < self.retries_max && self.covers(tables, outcome);
        is_due.then(|| {
            let growth = 1_u32.checked_shl(retries).unwrap_or(u32::MAX).min(BACKOFF_GROWTH_MAX);
            let span = u64::from(self.backoff_ms.saturating_mul(growth).max(1));
            let pause = draw(entropy, Draw::Backoff(retries)).checked_rem(span).unwrap_or(0);
            u32::try_from(pause).unwrap_or(u32::MAX)
        })
    }

    fn covers(&self, tables: &Tables, outcome: Outcome) -> bool {
        const BROKEN: RetryOn = RetryOn::RESET.and(RetryOn::ANY_5XX).and(RetryOn::GATEWAY_ERROR);
        match outcome {
            Outcome::ConnectFailure => self
                .on
                .has(BROKEN.and(RetryOn::CONNECT_FAILURE).and(RetryOn::RESET_BEFORE_REQUEST)),
            Outcome::Reset { begun: false } => self.on.has(BROKEN.and(RetryOn::RESET_BEFORE_REQUEST)),
            Outcome::Reset { begun: true } | Outcome::PerTryTimeout => self.on.has(BROKEN),
            Outcome::Answer { rate_limited: true, .. } => self.on.has(RetryOn::RATE_LIMITED),
            Outcome::Answer {
                status, grpc_status, ..
            } => {
                self.on
                    .has(of_status(status).and(grpc_status.map_or(RetryOn::default(), of_grpc_status)))
                    || self.on.has(RetryOn::STATUSES) && self.statuses.of(&tables.retry_statuses).contains(&status)
            }
        }
    }
}

/// The endpoint's share of chance for the retry after `retries` of them: uniform over all of `u64`.
#[must_use]
pub fn endpoint_entropy(entropy: u64, retries: u32) -> u64 {
    draw(entropy, Draw::Endpoint(retries))
}

fn of_status(status: u16) -> RetryOn {
    match status {
        409 => RetryOn::RETRIABLE_4XX,
        502..=504 => RetryOn::ANY_5XX.and(RetryOn::GATEWAY_ERROR),
        500..=599 => RetryOn::ANY_5XX,
        _ => RetryOn::default(),
    }
}

fn of_grpc_status(status: u32) -> RetryOn {
    match status {
        1 => RetryOn::CANCELLED,
        4 => RetryOn::DEADLINE_EXCEEDED,
        8 => RetryOn::RESOURCE_EXHAUSTED,
        13 => RetryOn::INTERNAL,
        14 => RetryOn::UNAVAILABLE,
        _ => RetryOn::default(),
    }
}
