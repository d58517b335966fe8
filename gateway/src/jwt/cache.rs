//! Tokens that were verified, so that a client that sends one a thousand times has it verified once.
//!
//! A token is known by a keyed hash of all of it, never by a part (LiteLLM's
//! CVE-2026-35030 was a cache keyed by the beginning of a token). The key of the
//! hash is the cache's own, so nobody outside can choose tokens that meet.
//!
//! Neither issuer nor version of the policy is part of that key, and both count
//! all the same. The issuer stands in the token, and an entry counts only for a
//! rule that looks for tokens where this one was found, while its source still
//! holds the keys that verified it. The version is the cache itself: one belongs
//! to one configuration in use, starts empty, and goes with it, so a reload never
//! finds what another rule has accepted. Only good tokens are kept: bad ones cost
//! no memory. They are forgotten when they expire, and bounded in number and bytes.

use core::fmt;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{hmac, rand};
use lockgate_core::claims::ClaimSet;
use lockgate_core::tables::TokenRuleId;

use super::key_set::KeySet;
use crate::limits::{TOKEN_CACHE_BYTES_MAX, TOKEN_CACHE_ENTRIES_MAX};

/// HMAC-SHA-256 of a token.
pub(crate) type Digest = [u8; 32];

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;

/// A verified token.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) claims: Arc<ClaimSet>,
    /// The rule that accepted it.
    pub(crate) rule: TokenRuleId,
    /// The keys that verified it.
    pub(crate) keys: Arc<KeySet>,
    /// The last second at which it is good.
    pub(crate) until: Option<u64>,
}

/// Verified tokens, bounded in number and bytes.
pub(crate) struct Cache {
    key: hmac::Key,
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: when the young one is full it becomes the old one, and what nobody asked for since is dropped.
#[derive(Default)]
struct Shard {
    young: HashMap<Digest, Entry>,
    young_bytes: usize,
    old: HashMap<Digest, Entry>,
}

impl Cache {
    /// An empty cache with a key of its own.
    pub(crate) fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        Ok(Self {
            key: hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?,
            shards: core::array::from_fn(|_| Mutex::default()),
        })
    }

    /// What a token is known by.
    pub(crate) fn digest(&self, token: &[u8]) -> Digest {
        let mut digest = Digest::default();
        let tag = hmac::sign(&self.key, token);
        for (byte, tagged) in digest.iter_mut().zip(tag.as_ref()) {
            *byte = *tagged;
        }
        digest
    }

    /// The token, if it was verified. Whether that still counts is the caller's to check.
    pub(crate) fn get(&self, digest: &Digest) -> Option<Entry> {
        let mut shard = self.shard(digest)?.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = shard.young.get(digest) {
            return Some(entry.clone());
        }
        let entry = shard.old.remove(digest)?;
        shard.add(*digest, entry.clone());
        Some(entry)
    }

    /// Remembers a token.
    pub(crate) fn put(&self, digest: Digest, entry: Entry) {
        if let Some(shard) = self.shard(&digest) {
            shard.lock().unwrap_or_else(PoisonError::into_inner).add(digest, entry);
        }
    }

    fn shard(&self, digest: &Digest) -> Option<&Mutex<Shard>> {
        let first = digest.first().copied().map_or(0, usize::from);
        self.shards.get(first % SHARDS)
    }
}

impl Shard {
    fn add(&mut self, digest: Digest, entry: Entry) {
        let bytes = entry.claims.memory();
        // Half of the room for each of the generations.
        let is_full = self.young.len() >= TOKEN_CACHE_ENTRIES_MAX / SHARDS / 2
            || self.young_bytes.saturating_add(bytes) > TOKEN_CACHE_BYTES_MAX / SHARDS / 2;
        if is_full {
            self.old = core::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(digest, entry).is_none() {
            self.young_bytes = self.young_bytes.saturating_add(bytes);
        }
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            claims: Arc::new(ClaimSet::parse::<&str>(b"{\"sub\":\"a\"}", &[]).unwrap()),
            rule: TokenRuleId(0),
            keys: Arc::new(KeySet::parse(b"{\"keys\":[]}").unwrap()),
            until: None,
        }
    }

    #[test]
    fn a_token_is_known_by_all_of_it() {
        let cache = Cache::new().unwrap();
        let (one, other) = (cache.digest(&[b'a'; 4000]), {
            let mut token = [b'a'; 4000];
            token[3999] = b'b';
            cache.digest(&token)
        });
        assert_ne!(one, other);
        cache.put(one, entry());
        assert!(cache.get(&one).is_some() && cache.get(&other).is_none());
        assert_ne!(
            Cache::new().unwrap().digest(b"a"),
            cache.digest(b"a"),
            "every cache has its own key"
        );
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_what_is_asked_for() {
        let cache = Cache::new().unwrap();
        let favourite = cache.digest(b"favourite");
        cache.put(favourite, entry());
        for number in 0..3 * TOKEN_CACHE_ENTRIES_MAX {
            cache.put(cache.digest(&number.to_le_bytes()), entry());
            assert!(cache.get(&favourite).is_some(), "{number}");
        }
        let held: usize = cache
            .shards
            .iter()
            .map(|shard| shard.lock().map(|shard| shard.young.len() + shard.old.len()).unwrap())
            .sum();
        assert!(held <= TOKEN_CACHE_ENTRIES_MAX, "{held}");
    }
}
