//! Looks one value up among any number: whole texts by hash, prefixes, suffixes and address blocks by nested intervals.
//!
//! Sorted, each prefix stands before the texts that begin with it, each block
//! before the blocks and addresses in it. So all that a value lies in are the
//! greatest row that is not greater than the value, or rows around that one,
//! which its chain of parents names: one binary search, then only hits.

use core::cmp::Ordering;
use core::net::IpAddr;
use core::ops::ControlFlow::{self, Continue};

use crate::tables::{AffixRow, FeatureRow, PolicyIndex, Rows, Tables};

/// Calls `visit` with what a text leads to, until it breaks.
pub(super) fn text(
    tables: &Tables<'_>,
    feature: &FeatureRow,
    value: &[u8],
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.policy_index;
    if feature.has_exact
        && let Some(rows) = index.exact.get(tables.text, feature.number, value)
    {
        visit(rows)?;
    }
    affixes(tables, feature.prefixes, value, Ord::cmp, shared_forwards, visit)?;
    affixes(
        tables,
        feature.suffixes,
        value,
        compare_backwards,
        shared_backwards,
        visit,
    )?;
    if feature.any.len > 0 {
        visit(feature.any)?;
    }
    Continue(())
}

fn affixes(
    tables: &Tables<'_>,
    rows: Rows,
    value: &[u8],
    compare: impl Fn(&[u8], &[u8]) -> Ordering,
    shared: impl Fn(&[u8], &[u8]) -> usize,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows: &[AffixRow] = rows.of(tables.policy_index.affixes);
    let after = rows.partition_point(|row| compare(tables.bytes(row.text), value).is_le());
    let mut next = after.checked_sub(1).and_then(|last| rows.get(last));
    let shared = next.map_or(0, |row| shared(tables.bytes(row.text), value));
    while let Some(row) = next {
        // Those around it share their bytes with it, so as many with the value.
        if row.text.len as usize <= shared {
            visit(row.listed)?;
        }
        next = rows.get(row.parent.place());
    }
    Continue(())
}

fn shared_forwards(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// As if both were written from the end to the beginning.
pub(crate) fn compare_backwards(a: &[u8], b: &[u8]) -> Ordering {
    a.iter().rev().cmp(b.iter().rev())
}

fn shared_backwards(a: &[u8], b: &[u8]) -> usize {
    a.iter().rev().zip(b.iter().rev()).take_while(|(a, b)| a == b).count()
}

/// The same of an address.
pub(super) fn address(
    index: &PolicyIndex<'_>,
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
pub(super) fn number(
    index: &PolicyIndex<'_>,
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
