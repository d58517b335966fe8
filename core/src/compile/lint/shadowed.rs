//! Matches that no request reaches, because one before them on the same host takes all that they could: a shorter
//! prefix, the same condition with nothing beside it, or no condition at all.
//!
//! Within one resource people see it; between several they do not, and which of them comes first changes with their
//! age. What is reached on any host or port is left alone.

use alloc::format;
use alloc::vec::Vec;

use crate::config::diagnostic::{Diagnostics, Location};
use crate::row_map::RowMap;
use crate::tables::{ConditionRow, EntryRow, OriginId, Subject, Tables, Test, VirtualHostRow};
use crate::text_map::TextMap;

/// `places` are those of the origins.
pub(super) fn check(tables: &Tables, places: &[Location], diagnostics: &mut Diagnostics) {
    let mut fates: Vec<Fate> = places.iter().map(|_| Fate::Unbound).collect();
    for host in &tables.virtual_hosts {
        let takers = Takers::of(tables, host);
        for (entry, number) in host.entries.of(&tables.entries).iter().zip(host.entries.numbers()) {
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

fn warn(tables: &Tables, origin: OriginId, at: Location, first: u32, diagnostics: &mut Diagnostics) {
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

/// Entries of one virtual host that ask for one thing or for nothing: of each kind the first.
struct Takers<'d> {
    tables: &'d Tables,
    /// What asks for nothing.
    everything: Option<u32>,
    conditions: RowMap<ConditionRow>,
    /// By their one condition.
    by_condition: Vec<u32>,
    /// By their prefix of the path, where that is all.
    by_prefix: TextMap<u32>,
    /// How long those are, each once.
    lengths: Vec<usize>,
}

impl<'d> Takers<'d> {
    fn of(tables: &'d Tables, host: &VirtualHostRow) -> Self {
        let mut takers = Self {
            tables,
            everything: None,
            conditions: RowMap::default(),
            by_condition: Vec::new(),
            by_prefix: TextMap::default(),
            lengths: Vec::new(),
        };
        for (entry, number) in host.entries.of(&tables.entries).iter().zip(host.entries.numbers()) {
            match entry.conditions.of(&tables.conditions) {
                [] => takers.everything = takers.everything.or(Some(number)),
                [only] => takers.add(only, number),
                _ => {}
            }
        }
        takers
    }

    fn add(&mut self, only: &ConditionRow, number: u32) {
        if self.conditions.add(*only) < self.by_condition.len() {
            return;
        }
        self.by_condition.push(number);
        if let (Subject::Path, Test::Prefix(prefix)) = (only.subject, only.test) {
            let prefix = self.tables.text(prefix);
            if self.by_prefix.get(prefix).is_none() {
                self.by_prefix.insert(prefix, number);
            }
            if !self.lengths.contains(&prefix.len()) {
                self.lengths.push(prefix.len());
            }
        }
    }

    /// An entry before `number` that takes all that `entry` could.
    fn before(&self, entry: &EntryRow, number: u32) -> Option<u32> {
        let conditions = entry.conditions.of(&self.tables.conditions);
        let mut takers = conditions.iter().filter_map(|condition| {
            self.with_condition(condition)
                .into_iter()
                .chain(self.with_prefix(condition))
                .min()
        });
        let first = self.everything.into_iter().chain(takers.by_ref()).min();
        first.filter(|first| *first < number)
    }

    fn with_condition(&self, condition: &ConditionRow) -> Option<u32> {
        self.by_condition.get(self.conditions.find(condition)?).copied()
    }

    fn with_prefix(&self, condition: &ConditionRow) -> Option<u32> {
        let (Subject::Path, Test::Exact(path) | Test::Prefix(path)) = (condition.subject, condition.test) else {
            return None;
        };
        let path = self.tables.text(path);
        let prefixes = self.lengths.iter().filter_map(|length| path.get(..*length));
        prefixes.filter_map(|prefix| self.by_prefix.get(prefix).copied()).min()
    }
}
