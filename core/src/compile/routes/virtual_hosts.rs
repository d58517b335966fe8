//! The order in which a virtual host tries its entries, and the index over it.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::bind::Binding;
use crate::compile::listeners::Listeners;
use crate::compile::rows::{RowWriter, append, number};
use crate::index::KeyRow;
use crate::tables::{EntryRow, MatchedPath, OriginId, Rows, RuleId, Span, VirtualHostRow};

/// One alternative of a rule: what becomes an entry of each virtual host.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    pub(super) rule: RuleId,
    pub(super) conditions: Rows,
    pub(super) matched: MatchedPath,
    /// The exact host it asks for, without port.
    pub(super) host: Option<Span>,
    pub(super) origin: OriginId,
    /// Gateways it is narrowed to; empty means all of the route's.
    pub(super) gateways: Vec<String>,
    /// The port of the listener that it is narrowed to.
    pub(super) port: Option<u16>,
    /// Where Gateway API puts it among those of its virtual host; without meaning for Istio's, which are in order already.
    pub(super) rank: Rank,
}

/// The more specific match is the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Rank {
    /// The form, and the length of its text.
    pub(super) path: (u8, Reverse<usize>),
    pub(super) without_method: bool,
    pub(super) headers: Reverse<usize>,
    pub(super) query_params: Reverse<usize>,
}

/// The alternatives of all virtual hosts.
#[derive(Default)]
pub(super) struct VirtualHosts {
    bound: Vec<Bound>,
    /// Listeners and hosts that take their requests even when no route is for them.
    opened: Vec<(u32, String)>,
}

/// An alternative in one virtual host.
struct Bound {
    /// Listener and virtual host name.
    listener: (u32, String),
    alternative: Alternative,
}

impl Bound {
    /// Sorted by this, the virtual hosts stand one after the other, each with its catch-alls last.
    fn order(&self) -> (&(u32, String), bool, Rank) {
        let alternative = &self.alternative;
        (&self.listener, alternative.conditions.is_empty(), alternative.rank)
    }
}

impl VirtualHosts {
    /// Adds one route where it binds.
    pub(super) fn add(&mut self, bindings: &[Binding], alternatives: &[Alternative], listeners: &Listeners<'_>) {
        let places = bindings
            .iter()
            .filter_map(|binding| Some((binding.listener.as_ref()?, &*binding.gateway)));
        let mut opened: Vec<(&(u32, String), &str)> = places.collect();
        opened.sort_unstable();
        for gateways in opened.chunk_by(|(a, _), (b, _)| a == b) {
            let Some((listener, _)) = gateways.first() else {
                continue;
            };
            let port = listeners.port(listener.0);
            for alternative in alternatives {
                if alternative.port.is_some_and(|narrowed| Some(narrowed) != port) {
                    continue;
                }
                let narrowed = &alternative.gateways;
                let is_open = |(_, gateway): &(_, &str)| narrowed.iter().any(|narrowed| narrowed == gateway);
                if !narrowed.is_empty() && !gateways.iter().any(is_open) {
                    continue;
                }
                self.bound.push(Bound {
                    listener: (*listener).clone(),
                    alternative: alternative.clone(),
                });
                if alternative.conditions.is_empty() {
                    // Nothing behind it in this route can be reached.
                    break;
                }
            }
        }
    }

    /// Adds a host of a listener that keeps its requests from wider hosts of the port, whether or not a route is for it.
    pub(super) fn open(&mut self, listener: u32, host: String) {
        self.opened.push((listener, host));
    }

    pub(super) fn write(mut self, rows: &mut RowWriter<'_>) {
        self.bound.sort_by(|a, b| a.order().cmp(&b.order()));
        for bound in self.bound.chunk_by(|a, b| a.listener == b.listener) {
            if let Some(first) = bound.first() {
                write_virtual_host(&first.listener, bound, rows);
            }
        }
        let bound = |place: &(u32, String)| {
            let place = (place.0, place.1.as_str());
            let of = |bound: &Bound| (bound.listener.0, bound.listener.1.as_str()).cmp(&place);
            self.bound.binary_search_by(of).is_ok()
        };
        for (index, place) in self.opened.iter().enumerate() {
            if !bound(place) && !self.opened.iter().take(index).any(|before| before == place) {
                write_virtual_host(place, &[], rows);
            }
        }
    }
}

fn write_virtual_host((listener, name): &(u32, String), bound: &[Bound], rows: &mut RowWriter<'_>) {
    let alternatives = bound.iter().map(|bound| &bound.alternative);
    let id = number(rows.rows.virtual_hosts.len());
    let first = number(rows.rows.entries.len());
    let entries = append(
        &mut rows.rows.entries,
        alternatives.clone().map(|it| EntryRow {
            rule: it.rule,
            conditions: it.conditions,
            matched: it.matched,
            origin: it.origin,
        }),
    );
    let mut by_host: Vec<(Option<Span>, u32)> = alternatives.map(|it| it.host).zip(first..).collect();
    by_host.sort_unstable();
    let mut unkeyed = Rows::default();
    for entries in by_host.chunk_by(|(a, _), (b, _)| a == b) {
        let order = append(&mut rows.rows.entry_order, entries.iter().map(|(_, entry)| *entry));
        match entries.first() {
            Some((Some(host), _)) => rows.rows.entries_by_host.push(KeyRow {
                scope: id,
                name: *host,
                rows: order,
            }),
            _ => unkeyed = order,
        }
    }
    let row = VirtualHostRow {
        listener: *listener,
        name: rows.text(name),
        entries,
        unkeyed,
    };
    rows.rows.virtual_hosts.push(row);
    index_by_name(*listener, name, id, rows);
}

fn index_by_name(listener: u32, name: &str, id: u32, rows: &mut RowWriter<'_>) {
    let suffix = name.strip_prefix('*');
    if let Some(row) = rows.rows.listeners.get_mut(listener as usize) {
        row.has_suffixes |= suffix.is_some_and(|suffix| !suffix.is_empty());
        if suffix == Some("") {
            row.any_host = Some(id);
            return;
        }
    }
    let key = KeyRow {
        scope: listener,
        name: rows.text(suffix.unwrap_or(name)),
        rows: Rows { start: id, len: 1 },
    };
    rows.rows.hosts.push(key);
}
