//! What is looked up by a text while a configuration is read and compiled.
//!
//! A hash table over texts that stand in one string, the same code for every
//! type of value: another copy is a few kilobytes that everybody who opens the
//! simulator downloads. Its hash is that of [`crate::index`], for the same
//! reason: what is looked up comes from the configuration.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use crate::index::{self, Slot};

/// A value for each text.
#[derive(Debug)]
pub(crate) struct TextMap<V> {
    texts: Texts,
    /// By number.
    values: Vec<V>,
}

/// Texts, each once.
#[derive(Debug, Default)]
pub(crate) struct TextSet(Texts);

/// Texts, each once, with numbers from 0 in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    /// One after the other.
    text: String,
    /// Where each ends.
    ends: Vec<usize>,
    slots: Vec<Slot>,
}

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self {
            texts: Texts::default(),
            values: Vec::new(),
        }
    }
}

impl<V> TextMap<V> {
    pub(crate) fn get(&self, text: &str) -> Option<&V> {
        self.values.get(self.texts.find(text)?)
    }

    pub(crate) fn get_mut(&mut self, text: &str) -> Option<&mut V> {
        self.values.get_mut(self.texts.find(text)?)
    }

    /// The values, in the order in which their texts came.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter()
    }

    /// Sets the value of `text`, and gives back the one that it had.
    pub(crate) fn insert(&mut self, text: &str, value: V) -> Option<V> {
        match self.values.get_mut(self.texts.add(text)) {
            Some(old) => Some(core::mem::replace(old, value)),
            None => {
                self.values.push(value);
                None
            }
        }
    }

    /// The texts, in the order in which they came.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.texts.iter()
    }
}

impl TextSet {
    /// Adds `text`, and says whether it is new.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        let known = self.0.len();
        self.0.add(text) == known
    }

    #[cfg(feature = "yaml")]
    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.find(text).is_some()
    }
}

impl Texts {
    /// Makes room for so many more texts of so many bytes in all.
    pub(crate) fn make_room(&mut self, texts: usize, bytes: usize) {
        self.text.reserve(bytes);
        self.ends.reserve(texts);
        let keys = self.len().saturating_add(texts);
        self.slots = index::slots_of(self.len(), keys, &|number| hash(self.get(number)));
    }

    /// Adds `text` unless it is there, and gives its number.
    pub(crate) fn add(&mut self, text: &str) -> usize {
        if let Some(number) = self.find(text) {
            return number;
        }
        let number = self.len();
        self.text.push_str(text);
        self.ends.push(self.text.len());
        let slots = core::mem::take(&mut self.slots);
        self.slots = index::with_one_more(slots, self.len(), &|number| hash(self.get(number)));
        number
    }

    /// Where the text with that number stands in [`Self::into_text`].
    pub(crate) fn place(&self, number: usize) -> Range<usize> {
        let before = number.checked_sub(1).and_then(|before| self.ends.get(before));
        let start = before.copied().unwrap_or(0);
        start..self.ends.get(number).copied().unwrap_or(start)
    }

    /// All texts, one after the other.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn find(&self, text: &str) -> Option<usize> {
        index::find(&self.slots, hash(text), |number| self.get(number) == text)
    }

    /// The text at a place.
    pub(crate) fn text_at(&self, place: Range<usize>) -> &str {
        self.text.get(place).unwrap_or("")
    }

    fn get(&self, number: usize) -> &str {
        self.text_at(self.place(number))
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|number| self.get(number))
    }

    fn len(&self) -> usize {
        self.ends.len()
    }
}

fn hash(text: &str) -> u64 {
    index::hash(0, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_text_counts() {
        let mut map = TextMap::default();
        assert_eq!(map.insert("b", 1), None);
        assert_eq!(map.insert("a", 2), None);
        assert_eq!(map.insert("b", 3), Some(1));
        assert_eq!((map.get("a"), map.get("b"), map.get("c")), (Some(&2), Some(&3), None));
        assert!(map.keys().eq(["b", "a"]));
    }

    #[test]
    fn every_text_is_found_however_many_there_are() {
        let mut texts = Texts::default();
        for number in 0..1_000 {
            assert_eq!(texts.add(&alloc::format!("text {number}")), number);
        }
        for number in 0..1_000 {
            assert_eq!(texts.add(&alloc::format!("text {number}")), number);
        }
        assert_eq!((texts.find("text 1000"), texts.find("")), (None, None));
        assert_eq!((texts.add(""), texts.add("")), (1_000, 1_000));
        let place = texts.place(7);
        assert_eq!(texts.into_text().get(place), Some("text 7"));
    }

    #[test]
    fn a_text_is_new_once() {
        let mut set = TextSet::default();
        assert!(set.insert("a") && !set.insert("a"));
        assert!(set.insert("b") && !set.insert("a"));
    }
}
