//! Tokens that were verified, so that a client that sends one a thousand times has it verified once.
//!
//! A token is known by a keyed hash of all of it, never by a part (LiteLLM's
//! CVE-2026-35030 was a cache keyed by the beginning of a token). The key of the
//! hash is the cache's own, so nobody outside can choose tokens that meet. What
//! is signed goes into it as its SHA-256, which most signatures are made of, so
//! that those bytes are hashed once for both. The key comes first, and nobody is
//! shown what comes out, so there is nothing that could be extended.
//!
//! Neither issuer nor place nor version of the policy is part of that key, and all
//! count. The issuer stands in the token, and an entry counts only where the same
//! rules look for tokens as where this one was found, since in another place
//! another rule may come first; and only while its source still holds the keys
//! that verified it. The version is the cache itself: one belongs
//! to one configuration in use, starts empty, and goes with it, so a reload never
//! finds what another rule has accepted. Only good tokens are kept: bad ones cost
//! no memory. They are forgotten when they expire, and bounded in number and bytes.

use core::fmt;
use core::hash::{BuildHasherDefault, Hasher};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::{digest, rand};
use lockgate_core::claims::ClaimSet;
use lockgate_core::tables::{TokenPlaceId, TokenRuleId};
use memchr::memrchr;

use super::key_set::KeySet;
use crate::limits::{TOKEN_CACHE_BYTES_MAX, TOKEN_CACHE_ENTRIES_MAX};

/// SHA-256 of a cache's key, of the hash of what is signed in a token, and of the rest.
pub(crate) type Digest = [u8; 32];

/// A token, hashed as far as its signature is of the hash.
pub(crate) struct Hashed<'t> {
    /// SHA-256 of all before the last dot.
    pub(crate) signed: digest::Digest,
    /// The last dot and what follows.
    rest: &'t [u8],
}

impl<'t> Hashed<'t> {
    pub(crate) fn new(token: &'t [u8]) -> Self {
        let dot = memrchr(b'.', token).unwrap_or(token.len());
        let (signed, rest) = token.split_at_checked(dot).unwrap_or((token, b""));
        Self {
            signed: sha256(signed),
            rest,
        }
    }
}

/// Parts that are locked apart from each other.
const SHARDS: usize = 16;

/// A verified token.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) claims: Arc<ClaimSet>,
    /// Where it was found.
    pub(crate) place: TokenPlaceId,
    /// The rule that accepted it.
    pub(crate) rule: TokenRuleId,
    /// The keys that verified it.
    pub(crate) keys: Arc<KeySet>,
    /// The last second at which it is good.
    pub(crate) until: Option<u64>,
}

/// Verified tokens, bounded in number and bytes.
pub(crate) struct Cache {
    key: [u8; 32],
    shards: [Mutex<Shard>; SHARDS],
}

/// Two generations: when the young one is full it becomes the old one, and what nobody asked for since is dropped.
#[derive(Default)]
struct Shard {
    young: Generation,
    young_bytes: usize,
    old: Generation,
}

type Generation = HashMap<Digest, Entry, BuildHasherDefault<HashedAlready>>;

/// What a digest is looked up by: its last bytes, since it is a hash with a key already. (Its first byte has chosen the
/// shard.)
#[derive(Default)]
struct HashedAlready(u64);

impl Hasher for HashedAlready {
    fn write(&mut self, digest: &[u8]) {
        if let Some(last) = digest.last_chunk() {
            self.0 = u64::from_ne_bytes(*last);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl Cache {
    /// An empty cache with a key of its own.
    pub(crate) fn new() -> Result<Self, aws_lc_rs::error::Unspecified> {
        let mut key = [0; 32];
        rand::fill(&mut key)?;
        Ok(Self {
            key,
            shards: core::array::from_fn(|_| Mutex::default()),
        })
    }

    /// What a token is known by.
    pub(crate) fn known_by(&self, token: &Hashed<'_>) -> Digest {
        let text = [&self.key[..], token.signed.as_ref(), token.rest].concat();
        let mut known_by = Digest::default();
        for (byte, hashed) in known_by.iter_mut().zip(sha256(&text).as_ref()) {
            *byte = *hashed;
        }
        known_by
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

fn sha256(bytes: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, bytes)
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
            place: TokenPlaceId(0),
            rule: TokenRuleId(0),
            keys: Arc::new(KeySet::parse(b"{\"keys\":[]}").unwrap()),
            until: None,
        }
    }

    fn known_by(cache: &Cache, token: &[u8]) -> Digest {
        cache.known_by(&Hashed::new(token))
    }

    #[test]
    fn a_token_is_known_by_all_of_it() {
        let cache = Cache::new().unwrap();
        let token = [&[b'a'; 4000][..], b".b.c"].concat();
        let one = known_by(&cache, &token);
        cache.put(one, entry());
        assert!(cache.get(&one).is_some());
        for at in 0..token.len() {
            let mut other = token.clone();
            other[at] ^= 1;
            assert!(cache.get(&known_by(&cache, &other)).is_none(), "{at}");
        }
        assert_ne!(
            known_by(&Cache::new().unwrap(), b"a"),
            known_by(&cache, b"a"),
            "every cache has its own key"
        );
    }

    #[test]
    fn no_two_texts_are_the_same_in_parts() {
        let cache = Cache::new().unwrap();
        let texts: [&[u8]; 6] = [b"", b".", b"a", b"a.", b".a", b"a.a"];
        let known: Vec<_> = texts.iter().map(|text| known_by(&cache, text)).collect();
        for (at, one) in known.iter().enumerate() {
            assert!(!known[..at].contains(one), "{at}");
        }
    }

    #[test]
    fn it_stays_within_its_bounds_and_keeps_what_is_asked_for() {
        let cache = Cache::new().unwrap();
        let favourite = known_by(&cache, b"favourite");
        cache.put(favourite, entry());
        for number in 0..3 * TOKEN_CACHE_ENTRIES_MAX {
            cache.put(known_by(&cache, &number.to_le_bytes()), entry());
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
