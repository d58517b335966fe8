//! Looks one value up among any number, by what of it can be looked up.
//!
//! Whole texts by their hash. Prefixes too, one lookup for each length that any
//! of them has, as long as these are few. Otherwise they are sorted, as address
//! blocks are: each prefix stands before the texts that begin with it, each block
//! before the blocks and addresses in it. So all that a value lies in are the
//! greatest row that is not greater than the value, or rows around that one,
//! which its chain of parents names: one binary search, then only hits.
//! Suffixes are prefixes read backwards. Where case does not matter, both sides are
//! read in lower case.

use core::cmp::Ordering;
use core::net::IpAddr;
use core::ops::ControlFlow::{self, Continue};

use crate::tables::{AffixRow, AffixesRow, FeatureRow, Rows, RuleIndex, Tables};

/// Calls `visit` with what a text leads to, until it breaks.
pub(crate) fn text(
    tables: &Tables<'_>,
    feature: &FeatureRow,
    value: &[u8],
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.rule_index;
    if let Some(whole) = feature.exact
        && whole.lengths.may_hold(value.len())
        && let Some(rows) = index.texts.get(tables.text, whole.scope, value)
    {
        visit(rows)?;
    }
    if feature.has_affixes {
        affixes(tables, feature.prefixes, value, prefix, forwards, visit)?;
        affixes(tables, feature.suffixes, value, suffix, backwards, visit)?;
        sorted(tables, feature.folded, value, folded, visit)?;
    }
    if feature.any.len > 0 {
        visit(feature.any)?;
    }
    Continue(())
}

fn affixes(
    tables: &Tables<'_>,
    affixes: AffixesRow,
    value: &[u8],
    affix: impl Fn(&[u8], usize) -> Option<&[u8]>,
    byte: impl Fn(&[u8], usize) -> Option<u8>,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.rule_index;
    match affixes {
        AffixesRow::Hashed { lengths, scope } => {
            for &len in lengths.of(index.lengths) {
                let Some(affix) = affix(value, len as usize) else {
                    break;
                };
                if let Some(rows) = index.texts.get(tables.text, scope, affix) {
                    visit(rows)?;
                }
            }
        }
        AffixesRow::Sorted(rows) => sorted(tables, rows, value, byte, visit)?,
    }
    Continue(())
}

fn sorted(
    tables: &Tables<'_>,
    rows: Rows,
    value: &[u8],
    byte: impl Fn(&[u8], usize) -> Option<u8>,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows: &[AffixRow] = rows.of(tables.rule_index.affixes);
    let (mut next, shared) = greatest(tables, rows, value, byte);
    while let Some(row) = next {
        // Those around it share their bytes with it, so as many with the value.
        if row.text.len as usize <= shared {
            visit(row.listed)?;
        }
        next = rows.get(row.parent.place());
    }
    Continue(())
}

fn prefix(text: &[u8], len: usize) -> Option<&[u8]> {
    text.get(..len)
}

fn suffix(text: &[u8], len: usize) -> Option<&[u8]> {
    text.get(text.len().checked_sub(len)?..)
}

/// The greatest row that is not greater than `value`, and how many bytes they share.
///
/// All rows between two share with the value what both of them do, so that no step compares these bytes again.
fn greatest<'t>(
    tables: &Tables<'_>,
    rows: &'t [AffixRow],
    value: &[u8],
    byte: impl Fn(&[u8], usize) -> Option<u8>,
) -> (Option<&'t AffixRow>, usize) {
    let mut between = rows;
    let mut found = None;
    let (mut shared_below, mut shared_above) = (0_usize, 0_usize);
    while let Some((below, [row, above @ ..])) = between.split_at_checked(between.len() / 2) {
        let text = tables.bytes(row.text);
        let mut shared = shared_below.min(shared_above);
        let mut order = Ordering::Equal;
        // The end of a text is less than any byte.
        while order.is_eq() {
            let (wanted, there) = (byte(text, shared), byte(value, shared));
            order = wanted.cmp(&there);
            if order.is_eq() {
                if wanted.is_none() {
                    break;
                }
                shared = shared.saturating_add(1);
            }
        }
        if order.is_le() {
            (found, shared_below, between) = (Some(row), shared, above);
        } else {
            (shared_above, between) = (shared, below);
        }
    }
    (found, shared_below)
}

fn forwards(text: &[u8], place: usize) -> Option<u8> {
    text.get(place).copied()
}

/// As if the text were in lower case.
fn folded(text: &[u8], place: usize) -> Option<u8> {
    text.get(place).map(u8::to_ascii_lowercase)
}

/// As if the text were written from its end to its beginning.
fn backwards(text: &[u8], place: usize) -> Option<u8> {
    let from_start = text.len().checked_sub(place)?.checked_sub(1)?;
    text.get(from_start).copied()
}

/// The order of texts that are read backwards.
#[cfg(feature = "alloc")]
pub(crate) fn compare_backwards(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

/// The order of texts that are read in lower case.
#[cfg(feature = "alloc")]
pub(crate) fn compare_folded(a: &[u8], b: &[u8]) -> Ordering {
    let lower = u8::to_ascii_lowercase;
    a.iter().map(lower).cmp(b.iter().map(lower))
}

/// The same of an address.
pub(crate) fn address(
    index: &RuleIndex<'_>,
    feature: &FeatureRow,
    value: IpAddr,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows = feature.blocks.of(index.blocks);
    let after = rows.partition_point(|row| row.network() <= value);
    let mut next = after.checked_sub(1).and_then(|last| rows.get(last));
    while let Some(row) = next {
        if row.block.contains(value) {
            visit(row.listed)?;
        }
        next = rows.get(row.parent.place());
    }
    Continue(())
}

/// The same of a number.
pub(crate) fn number(
    index: &RuleIndex<'_>,
    feature: &FeatureRow,
    value: u64,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows = feature.numbers.of(index.numbers);
    let found = rows.binary_search_by_key(&value, |row| row.number);
    match found.ok().and_then(|place| rows.get(place)) {
        Some(row) => visit(row.listed),
        None => Continue(()),
    }
}
