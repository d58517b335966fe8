//! Entries to tables: a hash table of texts, and address blocks sorted, each with what is around it.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::entries::{self, Entry, Form};
use crate::compile::rows::{append, number};
use crate::index::{self, KeyRow};
use crate::tables::Tables;
use crate::tables::{
    AffixLengthRow, AffixesRow, BlockRow, ByteSet, FeatureRow, LengthSet, LookupRow, NumberRow, Parent, Rows,
    RuleIndex, Span, Text, WholeRow,
};

pub(super) struct Writer<'c> {
    text: Text<'c>,
    pub(super) index: RuleIndex,
}

impl<'c> Writer<'c> {
    pub(super) fn new(rows: &'c Tables) -> Self {
        Self {
            text: rows.texts(),
            index: RuleIndex::default(),
        }
    }

    pub(super) fn finish(mut self) -> RuleIndex {
        self.index.long_lists.sort_unstable_by_key(|list| list.values);
        self.index.texts_slots = index::build_slots(self.text, &self.index.texts);
        self.index
    }

    /// The tables that lead from the keys of `entries` to their numbers, and to those of `always` in any case.
    pub(super) fn lookup(&mut self, mut entries: Vec<Entry>, always: &[u32]) -> LookupRow {
        let text = self.text;
        entries.sort_unstable_by(|a, b| compare(text, a, b).then(a.number.cmp(&b.number)));
        let first = self.index.features.len();
        for run in entries.chunk_by(|a, b| a.key.feature == b.key.feature) {
            self.feature(run);
        }
        LookupRow {
            features: Rows {
                start: number(first),
                len: number(self.index.features.len().saturating_sub(first)),
            },
            always: append(&mut self.index.listed, always.iter().copied()),
        }
    }

    /// Adds a feature; `entries` are sorted.
    fn feature(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let text = self.text;
        // Four scopes for each feature.
        let [exact, of_prefixes, of_suffixes, of_folded] =
            [0, 1, 2, 3].map(|kind| number(self.index.features.len().saturating_mul(4).saturating_add(kind)));
        let (mut prefixes, mut suffixes, mut folded) = (Vec::new(), Vec::new(), Vec::new());
        let (mut blocks, mut numbers, mut any) = (Vec::new(), Vec::new(), Rows::default());
        let mut whole: Option<WholeRow> = None;
        for run in entries.chunk_by(|a, b| compare(text, a, b).is_eq()) {
            let Some(key) = run.first().map(|entry| entry.key) else {
                continue;
            };
            let mut rules: Vec<u32> = run.iter().map(|entry| entry.number).collect();
            rules.dedup();
            let listed = append(&mut self.index.listed, rules);
            match key.form {
                Form::Exact(name) => {
                    let lengths = LengthSet::default();
                    let whole = whole.get_or_insert(WholeRow { scope: exact, lengths });
                    whole.lengths.add(name.len as usize);
                    self.index.texts.push(KeyRow {
                        scope: exact,
                        name,
                        rows: listed,
                    });
                }
                Form::Number(number) => numbers.push(NumberRow { number, listed }),
                Form::Block(block) => blocks.push(BlockRow {
                    block,
                    parent: Parent::NONE,
                    listed,
                }),
                Form::Prefix(text) => prefixes.push((text, listed)),
                Form::Suffix(text) => suffixes.push((text, listed)),
                Form::PrefixAnyCase(text) => folded.push((text, listed)),
                Form::Any => any = listed,
            }
        }
        nest(&mut blocks);
        let row = FeatureRow {
            feature: first.key.feature,
            exact: whole,
            has_affixes: !(prefixes.is_empty() && suffixes.is_empty() && folded.is_empty()),
            prefixes: self.affixes(&prefixes, of_prefixes, <[u8]>::last),
            suffixes: self.affixes(&suffixes, of_suffixes, <[u8]>::first),
            folded: self.affixes(&folded, of_folded, <[u8]>::last),
            blocks: append(&mut self.index.blocks, blocks),
            numbers: append(&mut self.index.numbers, numbers),
            any,
            all: self.all(entries),
        };
        self.index.features.push(row);
    }

    /// Adds affixes and what they lead to; `inner` is their byte next to the rest of a text.
    fn affixes(&mut self, affixes: &[(Span, Rows)], scope: u32, inner: fn(&[u8]) -> Option<&u8>) -> AffixesRow {
        let mut lengths: Vec<AffixLengthRow> = Vec::new();
        for &(name, rows) in affixes {
            self.index.texts.push(KeyRow { scope, name, rows });
            let Some(&inner) = inner(self.text.bytes(name)) else {
                continue;
            };
            let place = lengths.binary_search_by_key(&name.len, |row| row.len);
            let place = place.unwrap_or_else(|place| {
                let inner = ByteSet::default();
                lengths.insert(place, AffixLengthRow { len: name.len, inner });
                place
            });
            if let Some(row) = lengths.get_mut(place) {
                row.inner.add(inner);
            }
        }
        AffixesRow {
            lengths: append(&mut self.index.affix_lengths, lengths),
            scope,
        }
    }

    /// What the feature leads to, where it takes a body to know.
    fn all(&mut self, entries: &[Entry]) -> Rows {
        if !entries
            .first()
            .is_some_and(|entry| entries::needs_body(entry.key.feature))
        {
            return Rows::default();
        }
        let mut all: Vec<u32> = entries.iter().map(|entry| entry.number).collect();
        all.sort_unstable();
        all.dedup();
        append(&mut self.index.listed, all)
    }
}

/// By feature, then by form, then by text or as the tables are sorted. Equal are those that take the same.
fn compare(text: Text<'_>, a: &Entry, b: &Entry) -> Ordering {
    let forms = || match (a.key.form, b.key.form) {
        (Form::Exact(a), Form::Exact(b)) | (Form::Prefix(a), Form::Prefix(b)) | (Form::Suffix(a), Form::Suffix(b)) => {
            text.bytes(a).cmp(text.bytes(b))
        }
        (Form::PrefixAnyCase(a), Form::PrefixAnyCase(b)) => {
            let folded = |span| text.bytes(span).iter().map(u8::to_ascii_lowercase);
            folded(a).cmp(folded(b))
        }
        (a, b) => a.cmp(&b),
    };
    a.key.feature.cmp(&b.key.feature).then_with(forms)
}

/// Sets the parent of each block: the last one before it that is around it. What is around one is around all between.
fn nest(blocks: &mut [BlockRow]) {
    let mut around: Vec<usize> = Vec::new();
    for place in 0..blocks.len() {
        while let Some(&outer) = around.last()
            && let (Some(outer), Some(inner)) = (blocks.get(outer), blocks.get(place))
            && !outer.block.contains(inner.network())
        {
            around.pop();
        }
        if let (Some(&outer), Some(row)) = (around.last(), blocks.get_mut(place)) {
            row.parent = Parent::at(outer);
        }
        around.push(place);
    }
}
