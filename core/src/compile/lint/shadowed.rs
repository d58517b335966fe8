//! Matches that no request reaches, because one before them on the same host takes all that they could: a shorter
//! prefix, the same condition with nothing beside it, or no condition at all.
//!
//! Within one resource people see it; between several they do not, and which of them comes first changes with their
//! age. What is reached on any host or port is left alone.

use alloc::format;
use alloc::vec::Vec;

use crate::config::diagnostic::{Diagnostics, Location};
use crate::tables::{ConditionRow, EntryRow, OriginId, Subject, Tables, Test, VirtualHostRow};

/// `places` are those of the origins.
pub(super) fn check(tables: &Tables<'_>, places: &[Location], diagnostics: &mut Diagnostics) {
    let mut fates: Vec<Fate> = places.iter().map(|_| Fate::Unbound).collect();
    for host in tables.virtual_hosts {
        let takers = Takers::of(tables, host);
        for (entry, number) in host.entries.of(tables.entries).iter().zip(host.entries.numbers()) {
            let Some(fate) = fates.get_mut(entry.origin.0 as usize) else {
                continue;
            };
            match (takers.before(entry, number), &fate) {
                (None, _) => *fate = Fate::Reached,
                (Some(first), Fate::Unbound) => *fate = Fate::Shadowed(first),
                (Some(_), Fate::Reached | Fate::Shadowed(_)) => {}
            }
        }
    }
    for ((fate, at), origin) in fates.iter().zip(places).zip(0..) {
        if let Fate::Shadowed(first) = *fate {
            warn(tables, OriginId(origin), *at, first, diagnostics);
        }
    }
}

/// What becomes of the requests of a match.
enum Fate {
    /// It stands on no host.
    Unbound,
    /// On some host they may reach it.
    Reached,
    /// On every host an entry takes them before.
    Shadowed(u32),
}

fn warn(tables: &Tables<'_>, origin: OriginId, at: Location, first: u32, diagnostics: &mut Diagnostics) {
    let taker = tables.entries.get(first as usize);
    let taker = taker.and_then(|entry| Some((tables.rule_label(entry.rule), tables.origin(entry.origin)?)));
    let (Some(own), Some((label, by))) = (tables.origin(origin), taker) else {
        return;
    };
    // Of its own matches another lint speaks.
    if own.kind == "HTTPRoute" && (own.kind, own.namespace, own.name) == (by.kind, by.namespace, by.name) {
        return;
    }
    diagnostics
        .warning(
            "shadowed-rule",
            at,
            format!(
                "no request reaches this: `{label}` ({}:{}) takes all of them before",
                by.file, by.line
            ),
        )
        .field(own.field)
        .help("the first rule that matches decides, the oldest resource of a host first: make that one narrower, or let this come before it");
}

/// Entries of one virtual host that ask for one thing or for nothing.
struct Takers<'d> {
    tables: &'d Tables<'d>,
    /// The first that asks for nothing.
    everything: Option<u32>,
    /// By their one condition, the first of equal ones first.
    conditions: Vec<(ConditionRow, u32)>,
    /// Those by a prefix of the path, by it.
    prefixes: Vec<(&'d str, u32)>,
    /// How long those are, each once.
    lengths: Vec<usize>,
}

impl<'d> Takers<'d> {
    fn of(tables: &'d Tables<'d>, host: &VirtualHostRow) -> Self {
        let mut takers = Self {
            tables,
            everything: None,
            conditions: Vec::new(),
            prefixes: Vec::new(),
            lengths: Vec::new(),
        };
        for (entry, number) in host.entries.of(tables.entries).iter().zip(host.entries.numbers()) {
            match entry.conditions.of(tables.conditions) {
                [] => takers.everything = takers.everything.or(Some(number)),
                [only] => {
                    takers.conditions.push((*only, number));
                    if let (Subject::Path, Test::Prefix(prefix)) = (only.subject, only.test) {
                        let prefix = tables.text(prefix);
                        takers.prefixes.push((prefix, number));
                        // There are few, and no sort of their own is worth its code.
                        if !takers.lengths.contains(&prefix.len()) {
                            takers.lengths.push(prefix.len());
                        }
                    }
                }
                _ => {}
            }
        }
        takers.conditions.sort_unstable();
        takers.prefixes.sort_unstable();
        takers
    }

    /// An entry before `number` that takes all that `entry` could.
    fn before(&self, entry: &EntryRow, number: u32) -> Option<u32> {
        let conditions = entry.conditions.of(self.tables.conditions);
        let mut takers = conditions.iter().filter_map(|condition| {
            self.by_condition(condition)
                .into_iter()
                .chain(self.by_prefix(condition))
                .min()
        });
        let first = self.everything.into_iter().chain(takers.by_ref()).min();
        first.filter(|first| *first < number)
    }

    fn by_condition(&self, condition: &ConditionRow) -> Option<u32> {
        first_of(&self.conditions, condition)
    }

    fn by_prefix(&self, condition: &ConditionRow) -> Option<u32> {
        let (Subject::Path, Test::Exact(path) | Test::Prefix(path)) = (condition.subject, condition.test) else {
            return None;
        };
        let path = self.tables.text(path);
        let prefixes = self.lengths.iter().filter_map(|length| path.get(..*length));
        prefixes.filter_map(|prefix| first_of(&self.prefixes, &prefix)).min()
    }
}

/// The least number that stands beside `key`.
fn first_of<K: Ord>(sorted: &[(K, u32)], key: &K) -> Option<u32> {
    let place = sorted.partition_point(|(other, _)| other < key);
    sorted
        .get(place)
        .filter(|(other, _)| other == key)
        .map(|(_, number)| *number)
}
