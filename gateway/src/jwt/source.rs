//! Where one issuer's keys come from, and the keys as last seen there.
//!
//! One task per source fetches: at once, then ahead of time, sooner after a
//! failure, and when a token names a key that is not there. Requests never fetch
//! and never wait for a refresh; only those that come while there are no keys
//! that can be used, or that name a new key, wait for the fetch that runs. Keys
//! that could not be renewed are used for [`KEYS_LIFE`] and not a moment longer.
//! There is no key that did not come from the source (CVE-2026-31837).

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use aws_lc_rs::digest::Digest;
use bytes::Bytes;
use http::Uri;
use lockgate_core::snapshot::{KeySource, KeysFrom};
use lockgate_core::token::{Signed, TokenError};
use serde::Deserialize;
use tokio::sync::{Notify, watch};

use super::fetch::{FetchError, Fetcher};
use super::key_set::{KeySet, KeySetError};
use crate::limits::{KEYS_LIFE, KEYS_REFRESH, KEYS_RETRY_MAX, KEYS_RETRY_MIN, KEYS_UNKNOWN_KEY};
use crate::log;

/// One source of keys.
#[derive(Debug)]
pub(crate) struct Source {
    spec: KeySource,
    state: watch::Sender<State>,
    /// Wakes the task before its time.
    wake: Arc<Notify>,
    /// When an unknown key last had the keys fetched.
    asked: Mutex<Option<Instant>>,
    successes: AtomicU64,
    failures: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct State {
    keys: Option<Arc<KeySet>>,
    /// What the keys were read from.
    body: Bytes,
    /// When they last were as they are; `None` for those that stand in the configuration.
    fetched: Option<Instant>,
    is_fetching: bool,
}

/// What metrics tell of a source.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Status {
    /// `jwksUri`, or the issuer.
    pub(crate) source: String,
    /// Keys that can be used now.
    pub(crate) keys: usize,
    pub(crate) successes: u64,
    pub(crate) failures: u64,
    /// Time since the last fetch that succeeded.
    pub(crate) age: Option<Duration>,
}

/// Why keys could not be renewed.
#[derive(Debug)]
enum RenewError {
    Fetch(FetchError),
    KeySet(KeySetError),
    /// The OpenID configuration is not the issuer's, or names no keys.
    Discovery,
}

impl core::fmt::Display for RenewError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Fetch(error) => error.fmt(f),
            Self::KeySet(error) => error.fmt(f),
            Self::Discovery => f.write_str("the OpenID configuration is not the issuer's or names no `jwks_uri`"),
        }
    }
}

impl Source {
    /// A source whose keys stand in the configuration.
    pub(crate) fn inline(spec: KeySource, text: &str) -> Result<Self, KeySetError> {
        let keys = KeySet::parse(text.as_bytes())?;
        Ok(Self::with_state(
            spec,
            State {
                keys: Some(Arc::new(keys)),
                ..State::default()
            },
        ))
    }

    /// A source to fetch from. Until [`Source::start`] it has no keys.
    pub(crate) fn remote(spec: KeySource) -> Self {
        Self::with_state(
            spec,
            State {
                is_fetching: true,
                ..State::default()
            },
        )
    }

    fn with_state(spec: KeySource, state: State) -> Self {
        Self {
            spec,
            state: watch::Sender::new(state),
            wake: Arc::default(),
            asked: Mutex::default(),
            successes: AtomicU64::new(0),
            failures: AtomicU64::new(0),
        }
    }

    /// Whether both fetch the same, so that one can go on in the other's place.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.is_remote() && self.spec == other.spec
    }

    /// Whether its keys stand in the configuration and none of them can verify anything.
    pub(crate) fn is_useless(&self) -> bool {
        self.usable().is_some_and(|keys| keys.len() == 0)
    }

    fn is_remote(&self) -> bool {
        !matches!(self.spec.from, KeysFrom::Inline(_))
    }

    /// Starts fetching, for as long as anyone holds the source. Within a runtime.
    pub(crate) fn start(self: &Arc<Self>, fetcher: &Arc<Fetcher>) {
        if self.is_remote() {
            tokio::spawn(keep(Arc::downgrade(self), Arc::clone(&self.wake), Arc::clone(fetcher)));
        }
    }

    /// Whether `keys` are the source's, still.
    pub(crate) fn holds(&self, keys: &Arc<KeySet>) -> bool {
        self.usable().is_some_and(|own| Arc::ptr_eq(&own, keys))
    }

    /// Verifies a token's signature, of what has the SHA-256 `digest`, with the keys that are there; the keys that did
    /// it. `None` when only [`Source::verify_later`] can tell.
    pub(crate) fn verify(&self, token: &Signed, digest: &Digest) -> Option<Result<Arc<KeySet>, TokenError>> {
        let keys = self.usable()?;
        match keys.verify(token, digest) {
            // The issuer may have a new key since.
            Err(TokenError::NoKey) if self.ask() => None,
            verified => Some(verified.map(|()| keys)),
        }
    }

    /// The same with the keys after the fetch that runs, if one does.
    pub(crate) async fn verify_later(&self, token: &Signed, digest: &Digest) -> Result<Arc<KeySet>, TokenError> {
        let keys = self.fetched().await.ok_or(TokenError::KeysUnavailable)?;
        keys.verify(token, digest).map(|()| keys)
    }

    /// What metrics tell.
    pub(crate) fn status(&self) -> Option<Status> {
        if !self.is_remote() {
            return None;
        }
        Some(Status {
            source: self.name().to_owned(),
            keys: self.usable().map_or(0, |keys| keys.len()),
            successes: self.successes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            age: self.state.borrow().fetched.map(|fetched| fetched.elapsed()),
        })
    }

    /// The keys, unless they are too old.
    fn usable(&self) -> Option<Arc<KeySet>> {
        let state = self.state.borrow();
        let is_fresh = state.fetched.is_none_or(|fetched| fetched.elapsed() < KEYS_LIFE);
        state.keys.clone().filter(|_| is_fresh)
    }

    /// The keys after the fetch that runs, if one does.
    async fn fetched(&self) -> Option<Arc<KeySet>> {
        let mut state = self.state.subscribe();
        let ended = state.wait_for(|state| !state.is_fetching);
        // Discovery takes two fetches. The task itself keeps the time; this is in case it is gone.
        let limit = self.timeout().saturating_mul(3);
        let _ = tokio::time::timeout(limit, ended).await;
        self.usable()
    }

    /// Has the keys fetched again because of an unknown key, but not often: `false` when it was done lately.
    fn ask(&self) -> bool {
        if !self.is_remote() {
            return false;
        }
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let lately = asked.is_some_and(|asked| asked.elapsed() < KEYS_UNKNOWN_KEY);
        if lately {
            // The fetch may still run, and have the key.
            return self.state.borrow().is_fetching;
        }
        *asked = Some(Instant::now());
        self.state.send_modify(|state| state.is_fetching = true);
        self.wake.notify_one();
        true
    }

    fn timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.spec.timeout_ms))
    }

    /// Fetches once; whether it succeeded.
    async fn renew(&self, fetcher: &Fetcher) -> bool {
        self.state.send_modify(|state| state.is_fetching = true);
        let renewed = self.fetch(fetcher).await.and_then(|body| {
            let same = {
                let state = self.state.borrow();
                state.keys.is_some() && state.body == body
            };
            let keys = if same {
                None
            } else {
                let keys = KeySet::parse(&body).map_err(RenewError::KeySet)?;
                if keys.len() == 0 {
                    log::warning("no key of an issuer can verify a token", &[("source", self.name())]);
                }
                Some(keys)
            };
            Ok((body, keys))
        });
        let succeeded = renewed.is_ok();
        self.log(renewed.as_ref().err());
        self.state.send_modify(|state| {
            state.is_fetching = false;
            if let Ok((body, keys)) = renewed {
                state.fetched = Some(Instant::now());
                if let Some(keys) = keys {
                    state.keys = Some(Arc::new(keys));
                    state.body = body;
                }
            }
        });
        succeeded
    }

    /// What logs and metrics call it: a query may hold a key of some API.
    fn name(&self) -> &str {
        match &self.spec.from {
            KeysFrom::Url(source) | KeysFrom::Issuer(source) => source.split('?').next().unwrap_or(""),
            KeysFrom::Inline(_) => "",
        }
    }

    fn log(&self, error: Option<&RenewError>) {
        let Some(error) = error else {
            self.successes.fetch_add(1, Ordering::Relaxed);
            return;
        };
        self.failures.fetch_add(1, Ordering::Relaxed);
        let kept = if self.usable().is_some() { "yes" } else { "no" };
        log::warning(
            "the keys of an issuer cannot be fetched",
            &[
                ("source", self.name()),
                ("error", &error.to_string()),
                ("last_good_kept", kept),
            ],
        );
    }

    async fn fetch(&self, fetcher: &Fetcher) -> Result<Bytes, RenewError> {
        let get = async |url: &str| {
            let url: Uri = url.parse().map_err(|_| RenewError::Fetch(FetchError::Url))?;
            fetcher.get(&url, self.timeout()).await.map_err(RenewError::Fetch)
        };
        match &self.spec.from {
            KeysFrom::Inline(_) => Err(RenewError::Fetch(FetchError::Url)),
            KeysFrom::Url(url) => get(url).await,
            KeysFrom::Issuer(issuer) => {
                let bare = issuer.trim_end_matches('/');
                let found = get(&format!("{bare}/.well-known/openid-configuration")).await?;
                get(&keys_of(&found, issuer).ok_or(RenewError::Discovery)?).await
            }
        }
    }
}

/// What is read of an OpenID configuration.
#[derive(Deserialize)]
struct Discovered {
    issuer: String,
    jwks_uri: String,
}

/// The URL of the keys, if the configuration is the issuer's (OpenID Connect Discovery §4.3).
fn keys_of(configuration: &[u8], issuer: &str) -> Option<String> {
    let found: Discovered = serde_json::from_slice(configuration).ok()?;
    (found.issuer == issuer).then_some(found.jwks_uri)
}

/// Keeps the keys of a source fresh until nobody holds it.
async fn keep(source: Weak<Source>, wake: Arc<Notify>, fetcher: Arc<Fetcher>) {
    let mut retry = KEYS_RETRY_MIN;
    while let Some(held) = source.upgrade() {
        let pause = if held.renew(&fetcher).await {
            retry = KEYS_RETRY_MIN;
            KEYS_REFRESH
        } else {
            let pause = retry;
            retry = retry.saturating_mul(2).min(KEYS_RETRY_MAX);
            pause
        };
        drop(held);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = wake.notified() => {}
        }
    }
}
