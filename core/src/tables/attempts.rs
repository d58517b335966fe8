//! How often, and for how long, a request is tried upstream.
//!
//! Rows of their own, so that any kind of route can have them: of a rule that
//! says nothing they are its kind's default.

use super::{AttemptsId, Rows};

/// What a shell may spend on one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempts {
    /// Time from the end of the request to the end of its answer, all attempts and the pauses between them included.
    pub timeout_ms: Option<u32>,
    /// What is tried again; `None` when nothing is.
    pub retries: Option<RetryPolicy>,
    /// Within one attempt, all of the upstream's endpoints are tried in turn while no connection can be made.
    pub all_endpoints: bool,
}

impl Attempts {
    /// One attempt, at whichever endpoint accepts it.
    pub(crate) const ONE: Self = Self {
        timeout_ms: None,
        retries: None,
        all_endpoints: true,
    };

    /// One of these rows.
    pub(crate) fn of(rows: &[Self], id: AttemptsId) -> &Self {
        const ONE: &Attempts = &Attempts::ONE;
        rows.get(id.0 as usize).unwrap_or(ONE)
    }
}

/// What is tried again: Envoy's `RetryPolicy` as istiod writes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub retries_max: u32,
    /// Time for the head of the answer to one attempt.
    pub per_try_timeout_ms: Option<u32>,
    /// The longest pause before the first retry. It doubles with each, up to ten times as long.
    pub backoff_ms: u32,
    /// Endpoints that were tried are passed over while there are others.
    pub avoids_tried: bool,
    pub(crate) on: RetryOn,
    /// In `retry_statuses`: what `retriable-status-codes` stands for.
    pub(crate) statuses: Rows,
}

/// Conditions under which a request is tried again: one bit for each of [`RetryOn::NAMES`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RetryOn(u32);

impl RetryOn {
    /// The names that Istio accepts (`supportedRetryOnPolicies`), as Envoy has them.
    pub(crate) const NAMES: [&'static str; 16] = [
        "5xx",
        "gateway-error",
        "reset",
        "reset-before-request",
        "connect-failure",
        "retriable-4xx",
        "retriable-status-codes",
        "envoy-ratelimited",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
        // Of what goes out again without being asked, of a protocol that upstreams are not spoken to in, and of a list
        // that Istio cannot give: they never come true.
        "refused-stream",
        "http3-post-connect-failure",
        "retriable-headers",
    ];

    pub(crate) const ANY_5XX: Self = Self(1);
    pub(crate) const GATEWAY_ERROR: Self = Self(1 << 1);
    pub(crate) const RESET: Self = Self(1 << 2);
    pub(crate) const RESET_BEFORE_REQUEST: Self = Self(1 << 3);
    pub(crate) const CONNECT_FAILURE: Self = Self(1 << 4);
    pub(crate) const RETRIABLE_4XX: Self = Self(1 << 5);
    pub(crate) const STATUSES: Self = Self(1 << 6);
    pub(crate) const RATE_LIMITED: Self = Self(1 << 7);
    pub(crate) const CANCELLED: Self = Self(1 << 8);
    pub(crate) const DEADLINE_EXCEEDED: Self = Self(1 << 9);
    pub(crate) const INTERNAL: Self = Self(1 << 10);
    pub(crate) const RESOURCE_EXHAUSTED: Self = Self(1 << 11);
    pub(crate) const UNAVAILABLE: Self = Self(1 << 12);
    #[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` reads names"))]
    pub(crate) const REFUSED_STREAM: Self = Self(1 << 13);

    /// Istio's default (`retry.DefaultPolicy`), but for status codes, of which its list is empty.
    #[cfg(feature = "alloc")]
    pub(crate) const DEFAULT: Self = Self::CONNECT_FAILURE
        .and(Self::REFUSED_STREAM)
        .and(Self::UNAVAILABLE)
        .and(Self::CANCELLED);

    /// All of both.
    pub(crate) const fn and(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// Whether any of `these` is among them.
    pub(crate) const fn has(self, these: Self) -> bool {
        self.0 & these.0 != 0
    }

    /// The condition of that name.
    #[cfg(feature = "alloc")]
    pub(crate) fn named(name: &str) -> Option<Self> {
        let index = Self::NAMES.iter().position(|known| *known == name)?;
        Some(Self(1 << index))
    }

    /// Their names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let names = Self::NAMES.iter().enumerate();
        names.filter_map(move |(index, name)| self.has(Self(1 << index)).then_some(*name))
    }
}
