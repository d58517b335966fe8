//! A worker's source of chance: weighted choices and request ids. Nothing secret hangs on it.

use core::cell::Cell;
use core::hash::{BuildHasher, Hasher};
use std::hash::RandomState;

use bytes::Bytes;
use http::HeaderValue;
use uuid::fmt::Hyphenated;

/// SplitMix64, seeded by the system.
#[derive(Debug)]
pub(crate) struct Entropy(Cell<u64>);

impl Entropy {
    /// A generator unlike any other of this process.
    pub(crate) fn new() -> Self {
        Self(Cell::new(RandomState::new().build_hasher().finish()))
    }

    /// The next 64 bits.
    pub(crate) fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A random UUID (version 4).
    pub(crate) fn uuid(&self) -> HeaderValue {
        let bits = (u128::from(self.next()) << 64) | u128::from(self.next());
        let uuid = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        uuid.hyphenated().encode_lower(&mut text);
        // Of bytes that have an owner a copy takes no memory.
        HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or(HeaderValue::from_static("-"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_well_formed_and_differ() {
        let entropy = Entropy::new();
        let (one, two) = (entropy.uuid(), entropy.uuid());
        assert_ne!(one, two);
        let text = one.to_str().unwrap();
        assert_eq!(text.len(), 36);
        assert_eq!(text.split('-').map(str::len).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert_eq!(&text.as_bytes()[14], &b'4');
        assert!(matches!(text.as_bytes()[19], b'8' | b'9' | b'a' | b'b'));
    }

    #[test]
    fn all_bits_move() {
        let entropy = Entropy::new();
        let (ones, zeros) = (0..1000)
            .map(|_| entropy.next())
            .fold((0, 0), |(o, z), n| (o | n, z | !n));
        assert_eq!((ones, zeros), (u64::MAX, u64::MAX));
    }
}
