//! The rows of the rule index: from a value of a request to the rules that it may make hold.
//!
//! They follow from the rows of the policies and the routes and are no part of
//! what a snapshot means. `compile::rule_index` writes them, [`crate::authz`] and
//! [`crate::route`] read them.

use core::net::IpAddr;

use super::{Action, Attribute, AuthorizerId, Rows, Subject, Table, Values};
use crate::cidr::Cidr;
use crate::index::{Index, KeyRow, Slot};

/// The index.
#[derive(Debug, Clone, Default)]
pub(crate) struct RuleIndex {
    /// One for each kind of policy that there is.
    pub(crate) sections: Table<SectionRow>,
    /// Sorted by `values`.
    pub(crate) long_lists: Table<LongListRow>,
    /// One for each of the tables' virtual hosts, which leads to numbers of `entries`.
    pub(crate) virtual_hosts: Table<LookupRow>,
    pub(crate) features: Table<FeatureRow>,
    /// (scope of a feature, text) to `listed`.
    pub(crate) texts: Table<KeyRow>,
    pub(crate) texts_slots: Table<Slot>,
    /// By their lengths, ascending within each run.
    pub(crate) affix_lengths: Table<AffixLengthRow>,
    pub(crate) blocks: Table<BlockRow>,
    pub(crate) numbers: Table<NumberRow>,
    /// Numbers of rules or of values, ascending within each run.
    pub(crate) listed: Table<u32>,
}

impl RuleIndex {
    pub(crate) fn texts(&self) -> Index<'_> {
        Index {
            slots: &self.texts_slots,
            keys: &self.texts,
        }
    }
}

/// The policies that are judged together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SectionRow {
    pub(crate) action: Action,
    /// Whom CUSTOM policies ask.
    pub(crate) authorizer: Option<AuthorizerId>,
    pub(crate) dry_run: bool,
    /// Leads to numbers of `policy_rules`.
    pub(crate) rules: LookupRow,
}

/// The values of one predicate, where there are too many to compare them one by one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LongListRow {
    /// The predicate's.
    pub(crate) values: Values,
    /// Leads to numbers within `values`.
    pub(crate) lookup: LookupRow,
}

/// Numbers, by what a request must have for them to matter.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LookupRow {
    /// In `features`.
    pub(crate) features: Rows,
    /// In `listed`: those that may matter to any request.
    pub(crate) always: Rows,
}

/// What the values of one feature lead to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FeatureRow {
    pub(crate) feature: Feature,
    /// Its whole values, where it has any.
    pub(crate) exact: Option<WholeRow>,
    /// Whether it has any prefix or suffix.
    pub(crate) has_affixes: bool,
    pub(crate) prefixes: AffixesRow,
    pub(crate) suffixes: AffixesRow,
    /// Prefixes in any case.
    pub(crate) folded: AffixesRow,
    /// In `blocks`, sorted.
    pub(crate) blocks: Rows,
    /// In `numbers`, sorted.
    pub(crate) numbers: Rows,
    /// In `listed`: what any value leads to.
    pub(crate) any: Rows,
    /// In `listed`: everything that the feature leads to, where it may not be known yet.
    pub(crate) all: Rows,
}

/// A thing about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum Feature {
    Attribute(Attribute),
    /// `iss` of the verified token: one half of [`Attribute::RequestPrincipal`].
    TokenIssuer,
    /// `sub`, the other half.
    TokenSubject,
    /// What a condition of a route looks at.
    Route(Subject),
}

/// The whole values of a feature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WholeRow {
    /// In `texts`.
    pub(crate) scope: u32,
    pub(crate) lengths: LengthSet,
}

/// Which lengths some texts have: of a few texts, most others are told by their length. It may hold lengths that none has.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LengthSet(u64);

impl LengthSet {
    #[cfg(feature = "alloc")]
    pub(crate) fn add(&mut self, length: usize) {
        self.0 |= Self::bit(length);
    }

    pub(crate) fn may_hold(self, length: usize) -> bool {
        self.0 & Self::bit(length) != 0
    }

    /// All that are too long share the last one.
    fn bit(length: usize) -> u64 {
        1 << length.min(63)
    }
}

/// The prefixes or the suffixes of a feature.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AffixesRow {
    /// In `affix_lengths`.
    pub(crate) lengths: Rows,
    /// In `texts`.
    pub(crate) scope: u32,
}

/// The prefixes or suffixes of one length, which is not 0.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AffixLengthRow {
    pub(crate) len: u32,
    /// Their bytes that are next to the rest of a text: the last of a prefix, the first of a suffix.
    pub(crate) inner: ByteSet,
}

/// Which bytes there are, whatever the case of letters. It may hold some that there are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct ByteSet(u64);

impl ByteSet {
    #[cfg(feature = "alloc")]
    pub(crate) fn add(&mut self, byte: u8) {
        self.0 |= Self::bit(byte);
    }

    pub(crate) fn may_hold(self, byte: u8) -> bool {
        self.0 & Self::bit(byte) != 0
    }

    /// By all bits of the byte but the one that is a letter's case, and the one that no ASCII has.
    fn bit(byte: u8) -> u64 {
        1 << ((byte & 0x1f) | ((byte & 0x40) >> 1))
    }
}

/// An address block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockRow {
    pub(crate) block: Cidr,
    pub(crate) parent: Parent,
    /// In `listed`.
    pub(crate) listed: Rows,
}

/// A port or another number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NumberRow {
    pub(crate) number: u64,
    /// In `listed`.
    pub(crate) listed: Rows,
}

/// The smallest block around one, by its place in the same run of rows. None is its own parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parent(u32);

impl Parent {
    #[cfg(feature = "alloc")]
    pub(crate) const NONE: Self = Self(u32::MAX);

    #[cfg(feature = "alloc")]
    pub(crate) fn at(place: usize) -> Self {
        u32::try_from(place).map_or(Self::NONE, Self)
    }

    /// Its place; of none, one that no table has.
    pub(crate) fn place(self) -> usize {
        self.0 as usize
    }
}

impl BlockRow {
    /// The first address of the block.
    pub(crate) fn network(&self) -> IpAddr {
        self.block.network()
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_were_added_are_held_and_only_long_ones_are_taken_for_each_other() {
        for length in 0..200 {
            let mut lengths = LengthSet::default();
            lengths.add(length);
            for other in 0..200 {
                let is_alike = other == length || other >= 63 && length >= 63;
                assert_eq!(lengths.may_hold(other), is_alike, "{other} of {length}");
            }
        }
    }

    #[test]
    fn bytes_that_were_added_are_held_in_any_case_and_few_others() {
        for byte in 0..=u8::MAX {
            let mut bytes = ByteSet::default();
            bytes.add(byte);
            let held = |other: &u8| bytes.may_hold(*other);
            assert!(held(&byte) && held(&byte.to_ascii_lowercase()) && held(&byte.to_ascii_uppercase()));
            assert_eq!((0..=u8::MAX).filter(held).count(), 4, "{byte}");
        }
    }
}
