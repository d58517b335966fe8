//! What a route's rule says beside where it sends: how long, and how often.
//!
//! Of no kind of resource in particular, so that each kind of route can have it.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{RouteDestination, Spanned, StringMatch};
use crate::tables::{AbortStatus, Chance, RetryOn};

/// The settings of one rule.
#[derive(Debug, Clone, Default)]
pub struct RouteSettings {
    /// `timeout`: from the end of the request to the end of its answer; `None` and 0 are none.
    pub timeout_ms: Option<u32>,
    /// `retries`; without it, the mesh's or Istio's default.
    pub retries: Option<Box<Retries>>,
    /// `corsPolicy`
    pub cors: Option<Box<CorsPolicy>>,
    /// `fault`
    pub fault: Option<Box<HttpFault>>,
    /// `mirrors`, or `mirror` with its percentage.
    pub mirrors: Box<[HttpMirror]>,
}

/// One of `mirrors`.
#[derive(Debug, Clone)]
pub struct HttpMirror {
    /// `destination`; a mirror has no `weight` and no `headers`.
    pub destination: RouteDestination,
    /// How many requests are copied.
    pub chance: Chance,
    /// The field, for findings: `mirror`, `mirrors[0]`.
    pub field: String,
}

/// `fault`
#[derive(Debug, Clone)]
pub struct HttpFault {
    /// `delay`: of how many requests, and its `fixedDelay` in milliseconds.
    pub delay: Option<(Chance, u32)>,
    /// `abort`: of how many, and with what.
    pub abort: Option<(Chance, AbortStatus)>,
}

/// `corsPolicy`
#[derive(Debug, Clone)]
pub struct CorsPolicy {
    /// `allowOrigins`, or else `allowOrigin`: any of them.
    pub origins: Vec<Spanned<StringMatch>>,
    /// `allowMethods`
    pub methods: Vec<String>,
    /// `allowHeaders`
    pub headers: Vec<String>,
    /// `exposeHeaders`
    pub exposed: Vec<String>,
    /// `maxAge`, in seconds.
    pub max_age_s: Option<u32>,
    /// `allowCredentials`
    pub credentials: bool,
    /// `unmatchedPreflights` is not `IGNORE`.
    pub forwards_unmatched: bool,
}

/// `retries`, and MeshConfig's `defaultHttpRetryPolicy`.
#[derive(Debug, Clone)]
pub struct Retries {
    /// `attempts` after the first; 0 turns retries off.
    pub attempts: u32,
    /// `perTryTimeout`
    pub per_try_timeout_ms: Option<u32>,
    /// `retryOn`; without it, Istio's default.
    pub on: Option<RetryConditions>,
    /// `backoff`: the longest pause before the first retry.
    pub backoff_ms: Option<u32>,
    /// `retryIgnorePreviousHosts`: endpoints that were tried are passed over, which is the default.
    pub ignore_previous_hosts: Option<bool>,
}

/// `retryOn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryConditions {
    /// The conditions by name.
    pub on: RetryOn,
    /// Statuses that are given as numbers.
    pub statuses: Vec<u16>,
}

impl RetryConditions {
    /// What a list with commas means.
    ///
    /// # Errors
    /// The first item that is neither the name of a condition nor a status.
    pub fn parse(text: &str) -> Result<Self, &str> {
        let mut conditions = Self {
            on: RetryOn::default(),
            statuses: Vec::new(),
        };
        for item in text.split(',').map(str::trim) {
            let status = item.parse().ok().filter(|status| (100..=599).contains(status));
            match (status, RetryOn::named(item)) {
                // As in istiod, a status alone is enough.
                (Some(status), _) => {
                    conditions.on = conditions.on.and(RetryOn::STATUSES);
                    conditions.statuses.push(status);
                }
                (None, Some(on)) => conditions.on = conditions.on.and(on),
                (None, None) => return Err(item),
            }
        }
        Ok(conditions)
    }
}
