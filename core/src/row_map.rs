//! What is numbered by a row while a configuration is compiled, as [`crate::text_map`] does by a text.

use alloc::vec::Vec;
use core::hash::{Hash, Hasher};

use crate::index::{self, Slot};

/// Rows, each once, with numbers from 0 in the order in which they came.
#[derive(Debug)]
pub(crate) struct RowMap<R> {
    rows: Vec<R>,
    slots: Vec<Slot>,
}

impl<R> Default for RowMap<R> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            slots: Vec::new(),
        }
    }
}

impl<R: Hash + PartialEq> RowMap<R> {
    /// Adds `row` unless it is there, and gives its number.
    pub(crate) fn add(&mut self, row: R) -> usize {
        if let Some(number) = self.find(&row) {
            return number;
        }
        let number = self.rows.len();
        self.rows.push(row);
        self.slots = index::with_one_more(core::mem::take(&mut self.slots), self.rows.len(), &|number| {
            self.rows.get(number).map_or(0, hash)
        });
        number
    }

    /// The number of `row`.
    pub(crate) fn find(&self, row: &R) -> Option<usize> {
        index::find(&self.slots, hash(row), |number| self.rows.get(number) == Some(row))
    }
}

fn hash(row: &impl Hash) -> u64 {
    let mut hasher = Mixed(0);
    row.hash(&mut hasher);
    hasher.finish()
}

struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        index::finish(self.0)
    }

    fn write(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(8) {
            let word = bytes.iter().fold(0, |word, &byte| (word << 8) | u64::from(byte));
            self.0 = index::mix(self.0, word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_has_a_number_of_its_own() {
        let mut map = RowMap::default();
        for number in 0..1_000_usize {
            assert_eq!(map.add((number / 7, number % 7)), number);
        }
        for number in 0..1_000_usize {
            assert_eq!(map.find(&(number / 7, number % 7)), Some(number));
            assert_eq!(map.add((number / 7, number % 7)), number);
        }
        assert_eq!(map.find(&(0, 7)), None);
    }
}
