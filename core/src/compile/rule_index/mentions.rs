//! How often each key is mentioned: what says how many rules a request with it has to be judged by, at most.

use alloc::vec::Vec;

use super::entries::Key;

/// Keys, each as often as it is mentioned.
pub(super) struct Mentions(Vec<Key>);

impl Mentions {
    pub(super) fn new(mut keys: Vec<Key>) -> Self {
        keys.sort_unstable();
        Self(keys)
    }

    /// How often `key` is mentioned.
    pub(super) fn of(&self, key: &Key) -> usize {
        let up_to = |is_before: fn(&Key, &Key) -> bool| self.0.partition_point(|known| is_before(known, key));
        up_to(Key::le).saturating_sub(up_to(Key::lt))
    }
}
