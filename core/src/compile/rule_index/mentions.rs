//! How often each key is mentioned: what says how many rules a request with it has to be judged by, at most.

use alloc::vec::Vec;

use super::entries::Key;
use crate::row_map::RowMap;

/// Keys, and how often each is mentioned.
#[derive(Default)]
pub(super) struct Mentions {
    keys: RowMap<Key>,
    counts: Vec<usize>,
}

impl Mentions {
    pub(super) fn new(keys: impl IntoIterator<Item = Key>) -> Self {
        let mut mentions = Self::default();
        for key in keys {
            let number = mentions.keys.add(key);
            match mentions.counts.get_mut(number) {
                Some(count) => *count += 1,
                None => mentions.counts.push(1),
            }
        }
        mentions
    }

    /// How often `key` is mentioned.
    pub(super) fn of(&self, key: &Key) -> usize {
        let number = self.keys.find(key);
        number.and_then(|number| self.counts.get(number)).copied().unwrap_or(0)
    }
}
