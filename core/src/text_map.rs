//! What is looked up by a text while a configuration is read and compiled.
//!
//! Each type of `BTreeMap` is another copy of the tree's code, a few kilobytes that everybody who opens the simulator
//! downloads. Here one tree numbers the texts, and what belongs to them is a list.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// A value for each text.
#[derive(Debug)]
pub(crate) struct TextMap<V> {
    numbers: Numbers,
    /// By number.
    values: Vec<V>,
}

/// Texts, each once.
#[derive(Debug, Default)]
pub(crate) struct TextSet(Numbers);

/// Texts and their numbers: from 0, in the order in which they came.
#[derive(Debug, Default)]
struct Numbers(BTreeMap<Box<str>, usize>);

impl<V> Default for TextMap<V> {
    fn default() -> Self {
        Self {
            numbers: Numbers::default(),
            values: Vec::new(),
        }
    }
}

impl<V> TextMap<V> {
    pub(crate) fn get(&self, text: &str) -> Option<&V> {
        self.values.get(self.numbers.get(text)?)
    }

    pub(crate) fn get_mut(&mut self, text: &str) -> Option<&mut V> {
        self.values.get_mut(self.numbers.get(text)?)
    }

    /// The values, in the order in which their texts came.
    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.values.iter()
    }

    /// Sets the value of `text`, and gives back the one that it had.
    pub(crate) fn insert(&mut self, text: &str, value: V) -> Option<V> {
        let known = self.numbers.get(text);
        if let Some(old) = known.and_then(|number| self.values.get_mut(number)) {
            return Some(core::mem::replace(old, value));
        }
        self.numbers.add(text, self.values.len());
        self.values.push(value);
        None
    }

    /// The texts, sorted.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &str> {
        self.numbers.0.keys().map(|text| &**text)
    }
}

impl TextSet {
    /// Adds `text`, and says whether it is new.
    pub(crate) fn insert(&mut self, text: &str) -> bool {
        let is_new = !self.contains(text);
        if is_new {
            self.0.add(text, 0);
        }
        is_new
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.0.get(text).is_some()
    }
}

impl Numbers {
    fn get(&self, text: &str) -> Option<usize> {
        self.0.get(text).copied()
    }

    fn add(&mut self, text: &str, number: usize) {
        self.0.insert(text.into(), number);
    }
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
        assert!(map.keys().eq(["a", "b"]));
    }

    #[test]
    fn a_text_is_new_once() {
        let mut set = TextSet::default();
        assert!(set.insert("a") && !set.insert("a"));
        assert!(set.contains("a") && !set.contains("b"));
    }
}
