//! Entries to tables: a hash table of whole texts, and what nests sorted, each with what is around it.

use alloc::vec::Vec;
use core::cmp::Ordering;

use super::entries::{self, Entry, Form};
use crate::compile::rows::{append, number};
use crate::index::{self, KeyRow};
use crate::limits::AFFIX_LENGTHS_HASHED_MAX;
use crate::lookup::{compare_backwards, compare_folded};
use crate::snapshot::MeaningRows;
use crate::tables::{
    AffixRow, AffixesRow, BlockRow, FeatureRow, LengthSet, LookupRow, NumberRow, Parent, Rows, RuleIndexRows, Text,
    WholeRow,
};

pub(super) struct Writer<'c> {
    text: Text<'c>,
    pub(super) index: RuleIndexRows,
}

impl<'c> Writer<'c> {
    pub(super) fn new(rows: &'c MeaningRows) -> Self {
        Self {
            text: Text(&rows.text),
            index: RuleIndexRows::default(),
        }
    }

    pub(super) fn finish(mut self) -> RuleIndexRows {
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
        // Three scopes for each feature.
        let [exact, of_prefixes, of_suffixes] =
            [0, 1, 2].map(|kind| number(self.index.features.len().saturating_mul(3).saturating_add(kind)));
        let (mut prefixes, mut suffixes, mut folded, mut blocks) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (mut numbers, mut any) = (Vec::new(), Rows::default());
        let mut whole: Option<WholeRow> = None;
        for run in entries.chunk_by(|a, b| compare(text, a, b).is_eq()) {
            let Some(key) = run.first().map(|entry| entry.key) else {
                continue;
            };
            let mut rules: Vec<u32> = run.iter().map(|entry| entry.number).collect();
            rules.dedup();
            let listed = append(&mut self.index.listed, rules);
            let parent = Parent::NONE;
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
                Form::Block(block) => blocks.push(BlockRow { block, parent, listed }),
                Form::Prefix(text) => prefixes.push(AffixRow { text, parent, listed }),
                Form::Suffix(text) => suffixes.push(AffixRow { text, parent, listed }),
                Form::PrefixAnyCase(text) => folded.push(AffixRow { text, parent, listed }),
                Form::Any => any = listed,
            }
        }
        nest(
            &mut blocks,
            |row| &mut row.parent,
            |outer, inner| outer.block.contains(inner.block.network()),
        );
        let row = FeatureRow {
            feature: first.key.feature,
            exact: whole,
            has_affixes: !(prefixes.is_empty() && suffixes.is_empty() && folded.is_empty()),
            prefixes: self.affixes(prefixes, of_prefixes, <[u8]>::starts_with),
            suffixes: self.affixes(suffixes, of_suffixes, <[u8]>::ends_with),
            folded: self.sorted(folded, starts_with_any_case),
            blocks: append(&mut self.index.blocks, blocks),
            numbers: append(&mut self.index.numbers, numbers),
            any,
            all: self.all(entries),
        };
        self.index.features.push(row);
    }

    /// Adds sorted affixes.
    fn affixes(&mut self, rows: Vec<AffixRow>, scope: u32, is_within: fn(&[u8], &[u8]) -> bool) -> AffixesRow {
        let mut lengths: Vec<u32> = rows.iter().map(|row| row.text.len).collect();
        lengths.sort_unstable();
        lengths.dedup();
        if lengths.len() <= AFFIX_LENGTHS_HASHED_MAX {
            let keys = rows.iter().map(|row| KeyRow {
                scope,
                name: row.text,
                rows: row.listed,
            });
            self.index.texts.extend(keys);
            return AffixesRow::Hashed {
                lengths: append(&mut self.index.lengths, lengths),
                scope,
            };
        }
        AffixesRow::Sorted(self.sorted(rows, is_within))
    }

    fn sorted(&mut self, mut rows: Vec<AffixRow>, is_within: fn(&[u8], &[u8]) -> bool) -> Rows {
        let text = self.text;
        nest(
            &mut rows,
            |row| &mut row.parent,
            |outer, inner| is_within(text.bytes(inner.text), text.bytes(outer.text)),
        );
        append(&mut self.index.affixes, rows)
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

/// By feature, then by form, then as the tables are sorted. Equal are those that take the same.
fn compare(text: Text<'_>, a: &Entry, b: &Entry) -> Ordering {
    let forms = || match (a.key.form, b.key.form) {
        (Form::Exact(a), Form::Exact(b)) | (Form::Prefix(a), Form::Prefix(b)) => text.bytes(a).cmp(text.bytes(b)),
        (Form::Suffix(a), Form::Suffix(b)) => compare_backwards(text.bytes(a), text.bytes(b)),
        (Form::PrefixAnyCase(a), Form::PrefixAnyCase(b)) => compare_folded(text.bytes(a), text.bytes(b)),
        (a, b) => a.cmp(&b),
    };
    a.key.feature.cmp(&b.key.feature).then_with(forms)
}

fn starts_with_any_case(text: &[u8], prefix: &[u8]) -> bool {
    text.get(..prefix.len())
        .is_some_and(|beginning| beginning.eq_ignore_ascii_case(prefix))
}

/// Sets the parent of each row: the last one before it that is around it. What is around a row is around all between.
fn nest<T>(rows: &mut [T], parent_of: impl Fn(&mut T) -> &mut Parent, is_around: impl Fn(&T, &T) -> bool) {
    let mut around: Vec<usize> = Vec::new();
    for place in 0..rows.len() {
        while let Some(&outer) = around.last()
            && let (Some(outer), Some(inner)) = (rows.get(outer), rows.get(place))
            && !is_around(outer, inner)
        {
            around.pop();
        }
        if let (Some(&outer), Some(row)) = (around.last(), rows.get_mut(place)) {
            *parent_of(row) = Parent::at(outer);
        }
        around.push(place);
    }
}
