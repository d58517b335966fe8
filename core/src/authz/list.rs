//! Whether a value of the request is among the values of a predicate.
//!
//! A short list is compared value by value; a long one is looked up in, so that
//! a rule may list a hundred thousand addresses. Values that cannot be looked up
//! (templates, stars in the middle) are compared one by one in either.

use core::net::IpAddr;
use core::ops::ControlFlow::{Break, Continue};

use super::pattern::{self, Empty};
use crate::claims::Claims;
use crate::limits::VALUES_COMPARED_MAX;
use crate::lookup;
use crate::tables::{Feature, FeatureRow, LookupRow, Rows, Tables, Values};

pub(super) fn holds_address(tables: &Tables, values: Values, address: IpAddr) -> bool {
    let blocks = values.rows().of(&tables.cidrs);
    let Some(long) = long(tables, values) else {
        return blocks.iter().any(|block| block.contains(address));
    };
    let index = &tables.derived.rule_index;
    features(tables, long).iter().any(|feature| {
        let found = lookup::address(index, feature, address, &mut |_| Break(()));
        found.is_break()
    })
}

pub(super) fn holds_text(tables: &Tables, values: Values, value: &[u8], empty: Empty) -> bool {
    let patterns = values.rows().of(&tables.patterns);
    let Some(long) = long(tables, values) else {
        return patterns
            .iter()
            .any(|wanted| pattern::matches(tables, *wanted, value, empty));
    };
    let is_looked_up = features(tables, long).iter().any(|feature| {
        let found = lookup::text(tables, feature, value, &mut |_| Break(()));
        found.is_break()
    });
    is_looked_up
        || listed(tables, long.always).iter().any(|&number| {
            let wanted = patterns.get(number as usize);
            wanted.is_some_and(|wanted| pattern::matches(tables, *wanted, value, empty))
        })
}

pub(super) fn holds_principal(tables: &Tables, values: Values, claims: &Claims<'_>) -> bool {
    let principals = values.rows().of(&tables.request_principals);
    let Some(long) = long(tables, values) else {
        return principals
            .iter()
            .any(|wanted| pattern::request_principal(tables, wanted, claims));
    };
    // Each is looked up by one half of it, and then compared.
    let is_any = |numbers: Rows| {
        listed(tables, numbers).iter().any(|&number| {
            let wanted = principals.get(number as usize);
            wanted.is_some_and(|wanted| pattern::request_principal(tables, wanted, claims))
        })
    };
    features(tables, long).iter().any(|feature| {
        let half = match feature.feature {
            Feature::TokenIssuer => claims.issuer(),
            Feature::TokenSubject => claims.subject(),
            Feature::Attribute(_) | Feature::Route(_) => None,
        };
        half.is_some_and(|half| {
            let mut visit = |numbers| if is_any(numbers) { Break(()) } else { Continue(()) };
            lookup::text(tables, feature, half.as_bytes(), &mut visit).is_break()
        })
    })
}

/// How to look values up, where there are so many.
fn long(tables: &Tables, values: Values) -> Option<LookupRow> {
    if values.rows().len <= VALUES_COMPARED_MAX {
        return None;
    }
    let lists = &tables.derived.rule_index.long_lists;
    let found = lists.binary_search_by_key(&values, |list| list.values).ok()?;
    lists.get(found).map(|list| list.lookup)
}

fn features(tables: &Tables, lookup: LookupRow) -> &[FeatureRow] {
    lookup.features.of(&tables.derived.rule_index.features)
}

fn listed(tables: &Tables, numbers: Rows) -> &[u32] {
    numbers.of(&tables.derived.rule_index.listed)
}
