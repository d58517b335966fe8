//! A read-only hash index from (scope, name) to rows: what keeps the cost of a
//! decision independent of how many hosts are configured.
//!
//! Open addressing at a load of at most one half. The keys come from the
//! configuration, so an attacker cannot grow a probe sequence; a lookup of an
//! unknown name ends at the first empty slot.

use crate::tables::{Rows, Span, Text};

/// The index, borrowed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Index<'a> {
    /// A power of two of them, or none.
    pub(crate) slots: &'a [Slot],
    /// What the slots point at.
    pub(crate) keys: &'a [KeyRow],
}

/// One place of the hash table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Slot {
    /// Upper half of the key's hash, so that most mismatches need not read the key.
    tag: u32,
    /// One more than the key's index; 0 is an empty slot.
    key: u32,
}

/// One key and its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct KeyRow {
    /// What the name is looked up in, e.g. a listener.
    pub(crate) scope: u32,
    /// The name.
    pub(crate) name: Span,
    /// What it leads to.
    pub(crate) rows: Rows,
}

impl Index<'_> {
    /// The rows of `name` in `scope`.
    pub(crate) fn get(&self, text: Text<'_>, scope: u32, name: &[u8]) -> Option<Rows> {
        self.get_hashed(text, scope, hash(scope, name), |key| key == name)
    }

    /// The rows of the name in `scope` that has this hash and `is_it`.
    pub(crate) fn get_hashed(
        &self,
        text: Text<'_>,
        scope: u32,
        hash: u64,
        is_it: impl Fn(&[u8]) -> bool,
    ) -> Option<Rows> {
        let is_key = |key: usize| {
            let row = self.keys.get(key);
            row.is_some_and(|row| row.scope == scope && is_it(text.bytes(row.name)))
        };
        let key = find(self.slots, hash, is_key)?;
        Some(self.keys.get(key)?.rows)
    }
}

/// The slots of an index over `keys`, whose names live in `text`.
#[cfg(feature = "alloc")]
pub(crate) fn build_slots(text: Text<'_>, keys: &[KeyRow]) -> alloc::vec::Vec<Slot> {
    if keys.is_empty() {
        return alloc::vec::Vec::new();
    }
    let of_row = |row: &KeyRow| hash(row.scope, text.bytes(row.name));
    slots_of(keys.len(), keys.len(), &|key| keys.get(key).map_or(0, of_row))
}

/// The slots of so many keys, with room for others.
#[cfg(feature = "alloc")]
pub(crate) fn slots_of(keys: usize, room: usize, hash: &dyn Fn(usize) -> u64) -> alloc::vec::Vec<Slot> {
    let mut slots = alloc::vec![Slot::default(); room.max(keys).saturating_mul(2).next_power_of_two()];
    for (key, number) in (0..keys).zip(0..) {
        fill(&mut slots, hash(key), number);
    }
    slots
}

/// The slots of so many keys, where `slots` are those of all but the last.
#[cfg(feature = "alloc")]
pub(crate) fn with_one_more(
    mut slots: alloc::vec::Vec<Slot>,
    keys: usize,
    hash: &dyn Fn(usize) -> u64,
) -> alloc::vec::Vec<Slot> {
    if slots.len() < keys.saturating_mul(2) {
        // Twice as many as before, so that each key is hashed again once on average.
        return slots_of(keys, keys, hash);
    }
    if let Some(last) = keys.checked_sub(1) {
        fill(&mut slots, hash(last), u32::try_from(last).unwrap_or(u32::MAX));
    }
    slots
}

/// Takes the first empty slot for a key. There must be one.
#[cfg(feature = "alloc")]
fn fill(slots: &mut [Slot], hash: u64, key: u32) {
    let Some(mut probe) = Probe::new(hash, slots.len()) else {
        return;
    };
    while let Some(slot) = slots.get_mut(probe.next()) {
        if slot.key == 0 {
            *slot = Slot {
                tag: tag(hash),
                key: key.saturating_add(1),
            };
            break;
        }
    }
}

/// The first key of that hash that `is_it`.
pub(crate) fn find(slots: &[Slot], hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
    let mut probe = Probe::new(hash, slots.len())?;
    loop {
        let slot = slots.get(probe.next())?;
        let key = usize::try_from(slot.key.checked_sub(1)?).ok()?;
        if slot.tag == tag(hash) && is_it(key) {
            return Some(key);
        }
    }
}

/// The slots to look at, in order.
struct Probe {
    at: usize,
    mask: usize,
}

impl Probe {
    /// `None` for an empty table.
    fn new(hash: u64, slots: usize) -> Option<Self> {
        let mask = slots.checked_sub(1)?;
        Some(Self {
            at: low_bits(hash) & mask,
            mask,
        })
    }

    fn next(&mut self) -> usize {
        let at = self.at;
        self.at = at.wrapping_add(1) & self.mask;
        at
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only the low bits choose a slot")]
fn low_bits(hash: u64) -> usize {
    hash as usize
}

fn tag(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A multiply-and-rotate hash over eight bytes at a time, the same for texts that differ in case alone. The same
/// everywhere: snapshots do not depend on a seed.
pub(crate) fn hash(scope: u32, name: &[u8]) -> u64 {
    Beginnings::of(name).hash(scope, name.len())
}

/// Hashes of the beginnings of a text, each from where the one before it ended.
pub(crate) struct Beginnings<'t> {
    text: &'t [u8],
    /// What its first `mixed` bytes, a multiple of eight, come to.
    state: u64,
    mixed: usize,
}

impl<'t> Beginnings<'t> {
    pub(crate) fn of(text: &'t [u8]) -> Self {
        Self {
            text,
            state: 0,
            mixed: 0,
        }
    }

    /// The [`hash`] of the first `len` bytes, which are no fewer than those of the last call.
    pub(crate) fn hash(&mut self, scope: u32, len: usize) -> u64 {
        let beginning = self.text.get(..len).unwrap_or(self.text);
        let (words, tail) = beginning.get(self.mixed..).unwrap_or_default().as_chunks::<8>();
        for word in words {
            self.state = mix(self.state, caseless(u64::from_le_bytes(*word)));
            self.mixed = self.mixed.wrapping_add(8);
        }
        // The last eight bytes once more stand for the tail; a short text is packed byte by byte.
        let last = match beginning.last_chunk::<8>() {
            Some(last) => u64::from_le_bytes(*last),
            None => tail.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte)),
        };
        let state = mix(self.state, caseless(last));
        finish(mix(state, (u64::from(scope) << 32) ^ len as u64))
    }
}

/// The bytes of a word without what tells a letter's cases apart.
fn caseless(word: u64) -> u64 {
    word | 0x2020_2020_2020_2020
}

/// Adds a word to the state of a hash.
pub(crate) fn mix(state: u64, word: u64) -> u64 {
    (state.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The hash that a state comes to: its low bits, which choose a slot, depend on all words too.
pub(crate) fn finish(state: u64) -> u64 {
    state ^ (state >> 29)
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::{format, string::String, vec::Vec};

    #[test]
    fn finds_every_key_in_its_scope_and_nothing_else() {
        let mut text = String::new();
        let mut keys = Vec::new();
        for number in 0..1_000_u32 {
            let name = format!("host-{number}.example.com");
            let start = u32::try_from(text.len()).unwrap();
            let len = u32::try_from(name.len()).unwrap();
            text.push_str(&name);
            keys.push(KeyRow {
                scope: number % 3,
                name: Span { start, len },
                rows: Rows { start: number, len: 1 },
            });
        }
        let text = Text(&text);
        let slots = build_slots(text, &keys);
        let index = Index {
            slots: &slots,
            keys: &keys,
        };
        for number in 0..1_000_u32 {
            let name = format!("host-{number}.example.com");
            assert_eq!(
                index.get(text, number % 3, name.as_bytes()),
                Some(Rows { start: number, len: 1 })
            );
            assert_eq!(index.get(text, (number + 1) % 3, name.as_bytes()), None);
        }
        assert_eq!(index.get(text, 0, "host-1000.example.com".as_bytes()), None);
        assert_eq!(index.get(text, 0, "".as_bytes()), None);
        assert_eq!(Index::default().get(text, 0, b"x"), None);
    }

    #[test]
    fn beginnings_hash_as_they_do_by_themselves_and_in_any_case() {
        let text = b"/api/v1/Team-4711/orders/summary/of/the/day";
        let every_second = |of: usize| (0..=text.len()).skip(of).step_by(2);
        for lengths in [every_second(0), every_second(1)] {
            let mut beginnings = Beginnings::of(text);
            for len in lengths {
                let alone = text.get(..len).unwrap();
                assert_eq!(beginnings.hash(7, len), hash(7, alone), "{len}");
                assert_eq!(hash(7, alone), hash(7, &alone.to_ascii_uppercase()), "{len}");
            }
        }
        let mut seen: Vec<u64> = (0..=text.len())
            .flat_map(|len| [7, 8].map(|scope| hash(scope, text.get(..len).unwrap())))
            .collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 2 * (text.len() + 1));
    }
}
