//! Chooses for every entry of a virtual host the condition it is written down under.
//!
//! All conditions of an entry must hold, so any one that can be looked up will
//! do. The best is the one whose value the fewest entries mention; among those
//! that few mention, the one that is looked up at the least cost and that other
//! entries are looked up by anyway. What too few entries are found by to be
//! worth a lookup is walked, as is what cannot be looked up.

use alloc::vec::Vec;

use super::entries::{Entry, Form, Key};
use super::mentions::Mentions;
use crate::limits::ENTRIES_WALKED_MAX;
use crate::regex::Regex;
use crate::tables::Tables;
use crate::tables::{ConditionRow, Feature, Span, Subject, Test, VirtualHostRow};

/// Where to find each entry of `host`: by what, and those that must always be looked at, in order.
pub(super) fn of_virtual_host(rows: &Tables, regexes: &[Regex], host: &VirtualHostRow) -> (Vec<Entry>, Vec<u32>) {
    if host.entries.len <= ENTRIES_WALKED_MAX {
        return (Vec::new(), host.entries.numbers().collect());
    }
    let (mut found, mut always) = by_rarest_key(rows, regexes, host);
    walk_what_is_rare(&mut found, &mut always);
    (found, always)
}

/// Each entry by the best of its keys, and those without any.
fn by_rarest_key(rows: &Tables, regexes: &[Regex], host: &VirtualHostRow) -> (Vec<Entry>, Vec<u32>) {
    let mut keys: Vec<Key> = Vec::new();
    // Where those of each entry end.
    let mut ends = Vec::with_capacity(host.entries.len as usize);
    for entry in host.entries.of(&rows.entries) {
        let conditions: &[ConditionRow] = entry.conditions.of(&rows.conditions);
        keys.extend(conditions.iter().filter_map(|condition| key(rows, regexes, condition)));
        ends.push(keys.len());
    }
    let mentions = Mentions::new(keys.iter().copied());
    let (mut found, mut always) = (Vec::with_capacity(ends.len()), Vec::new());
    let starts = core::iter::once(&0).chain(&ends);
    for ((start, end), number) in starts.zip(&ends).zip(host.entries.numbers()) {
        let keys = keys.get(*start..*end).unwrap_or_default();
        // Those that few mention are as good as each other.
        let cost = |key: &&Key| (mentions.of(key).max(FEW), breadth(key));
        match keys.iter().min_by_key(cost) {
            Some(key) => found.push(Entry { key: *key, number }),
            None => always.push(number),
        }
    }
    (found, always)
}

/// Entries with the same value that are looked at one by one rather than looked up by one more thing.
const FEW: usize = 4;

/// Moves the entries of features that few are found by.
fn walk_what_is_rare(found: &mut Vec<Entry>, always: &mut Vec<u32>) {
    found.sort_unstable_by_key(|entry| (entry.key.feature, entry.number));
    let mut are_rare = Vec::with_capacity(found.len());
    for entries in found.chunk_by(|a, b| a.key.feature == b.key.feature) {
        let is_rare = entries.len() <= ENTRIES_WALKED_MAX as usize;
        if is_rare {
            always.extend(entries.iter().map(|entry| entry.number));
        }
        are_rare.extend(entries.iter().map(|_| is_rare));
    }
    let mut are_rare = are_rare.into_iter();
    found.retain(|_| are_rare.next() == Some(false));
    always.sort_unstable();
}

/// A key that every request has for which the condition holds.
fn key(rows: &Tables, regexes: &[Regex], condition: &ConditionRow) -> Option<Key> {
    let form = match condition.test {
        _ if condition.negated => return None,
        Test::Exact(text) => Form::Exact(text),
        // The condition itself says whether, and how, the value goes on.
        Test::Prefix(text) | Test::Segments(text) if text.len > 0 => Form::Prefix(text),
        Test::PrefixAnyCase(text) | Test::ExactAnyCase(text) if text.len > 0 => Form::PrefixAnyCase(text),
        Test::Regex(regex, pattern) => Form::Prefix(beginning(rows, regexes.get(regex as usize)?, pattern)?),
        Test::Present | Test::Prefix(_) | Test::Segments(_) | Test::PrefixAnyCase(_) | Test::ExactAnyCase(_) => {
            match condition.subject {
                Subject::Header(_) | Subject::QueryParam(_) | Subject::Claim(_) | Subject::Model => Form::Any,
                _ => return None,
            }
        }
    };
    Some(Key {
        feature: Feature::Route(condition.subject),
        form,
    })
}

/// What every value begins with that matches, as far as the pattern spells it.
fn beginning(rows: &Tables, regex: &Regex, pattern: Span) -> Option<Span> {
    let beginning = regex.beginning();
    let pattern_text = rows.texts().bytes(pattern);
    let shared = |place: usize| {
        let pairs = pattern_text.iter().skip(place).zip(beginning);
        pairs.take_while(|(a, b)| a == b).count()
    };
    let (len, place) = (0..pattern_text.len()).map(|place| (shared(place), place)).max()?;
    let start = pattern.start.checked_add(u32::try_from(place).ok()?)?;
    let len = u32::try_from(len).ok()?;
    (len > 0).then_some(Span { start, len })
}

/// How much a value tends to take, and costs to look up.
fn breadth(key: &Key) -> u8 {
    let Feature::Route(subject) = key.feature else {
        return u8::MAX;
    };
    let of_subject = match subject {
        Subject::Path | Subject::Host | Subject::Authority | Subject::RawAuthority => 0,
        Subject::Header(_) | Subject::QueryParam(_) | Subject::Model => 2,
        Subject::Claim(_) => 4,
        // Every client has one of a few.
        Subject::Method | Subject::Scheme | Subject::Stream => 6,
    };
    match key.form {
        Form::Exact(_) => of_subject,
        Form::Any => 8,
        _ => of_subject.saturating_add(1),
    }
}
