//! Looks one value up among any number, by what of it can be looked up.
//!
//! Whole texts by their hash. Prefixes too, one lookup for each length that any
//! of them has: the hash of each begins where the one before ended, and a length
//! whose prefixes all end in other bytes than the value has there is passed over,
//! which for paths leaves little more than the slashes. Suffixes are the same from
//! the other end. Address blocks are sorted, so that each stands before the blocks
//! and addresses in it: all that an address lies in are the greatest row that is
//! not greater than it, or rows around that one, which its chain of parents names.

use core::net::IpAddr;
use core::ops::ControlFlow::{self, Continue};

use crate::index::Beginnings;
use crate::tables::{AffixLengthRow, AffixesRow, FeatureRow, Rows, RuleIndex, Tables};

/// Calls `visit` with what a text leads to, until it breaks.
pub(crate) fn text(
    tables: &Tables,
    feature: &FeatureRow,
    value: &[u8],
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.derived.rule_index;
    if let Some(whole) = feature.exact
        && whole.lengths.may_hold(value.len())
        && let Some(rows) = index.texts().get(tables.texts(), whole.scope, value)
    {
        visit(rows)?;
    }
    if feature.has_affixes {
        prefixes(tables, feature.prefixes, value, |key, prefix| key == prefix, visit)?;
        prefixes(tables, feature.folded, value, <[u8]>::eq_ignore_ascii_case, visit)?;
        suffixes(tables, feature.suffixes, value, visit)?;
    }
    if feature.any.len > 0 {
        visit(feature.any)?;
    }
    Continue(())
}

fn prefixes(
    tables: &Tables,
    prefixes: AffixesRow,
    value: &[u8],
    is_same: impl Fn(&[u8], &[u8]) -> bool,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.derived.rule_index;
    let lengths: &[AffixLengthRow] = prefixes.lengths.of(&index.affix_lengths);
    let mut beginnings = Beginnings::of(value);
    for row in lengths {
        let Some(prefix) = value.get(..row.len as usize) else {
            break;
        };
        if !prefix.last().is_some_and(|&last| row.inner.may_hold(last)) {
            continue;
        }
        let hash = beginnings.hash(prefixes.scope, prefix.len());
        let is_it = |key: &[u8]| is_same(key, prefix);
        if let Some(rows) = index.texts().get_hashed(tables.texts(), prefixes.scope, hash, is_it) {
            visit(rows)?;
        }
    }
    Continue(())
}

fn suffixes(
    tables: &Tables,
    suffixes: AffixesRow,
    value: &[u8],
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let index = &tables.derived.rule_index;
    let lengths: &[AffixLengthRow] = suffixes.lengths.of(&index.affix_lengths);
    for row in lengths {
        let start = value.len().checked_sub(row.len as usize);
        let Some(suffix) = start.and_then(|start| value.get(start..)) else {
            break;
        };
        if suffix.first().is_some_and(|&first| row.inner.may_hold(first))
            && let Some(rows) = index.texts().get(tables.texts(), suffixes.scope, suffix)
        {
            visit(rows)?;
        }
    }
    Continue(())
}

/// The same of an address.
pub(crate) fn address(
    index: &RuleIndex,
    feature: &FeatureRow,
    value: IpAddr,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows = feature.blocks.of(&index.blocks);
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
    index: &RuleIndex,
    feature: &FeatureRow,
    value: u64,
    visit: &mut impl FnMut(Rows) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let rows = feature.numbers.of(&index.numbers);
    let found = rows.binary_search_by_key(&value, |row| row.number);
    match found.ok().and_then(|place| rows.get(place)) {
        Some(row) => visit(row.listed),
        None => Continue(()),
    }
}
