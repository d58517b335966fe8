//! The order in which a virtual host tries its entries.

use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::bind::Binding;
use crate::compile::listeners::Listeners;
use crate::compile::rows::{RowWriter, append, number};
use crate::index::KeyRow;
use crate::tables::{EntryRow, MatchedPath, OriginId, Rows, RuleId, VirtualHostRow};

/// One alternative of a rule: what becomes an entry of each virtual host.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    pub(super) rule: RuleId,
    pub(super) conditions: Rows,
    pub(super) matched: MatchedPath,
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
    /// Listeners and names of those for TLS only; they are there without routes too.
    tls_only: Vec<(u32, String)>,
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
            let before = self.bound.len();
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
            let for_tls_only = |binding: &Binding| binding.tls_only && binding.listener.as_ref() == Some(*listener);
            if self.bound.len() > before && bindings.iter().any(for_tls_only) {
                self.tls_only.push((*listener).clone());
            }
        }
    }

    /// Adds a host of a listener that keeps its requests from wider hosts of the port, whether or not a route is for it.
    pub(super) fn open(&mut self, listener: u32, host: String) {
        self.opened.push((listener, host));
    }

    pub(super) fn write(mut self, listeners: &Listeners<'_>, rows: &mut RowWriter<'_>) {
        let without_routes = listeners
            .tls_only()
            .map(|opened| (opened.listener, opened.host.clone()));
        self.tls_only.extend(without_routes);
        self.tls_only.sort_unstable();
        self.tls_only.dedup();
        self.bound.sort_by(|a, b| a.order().cmp(&b.order()));
        let mut names: Vec<&(u32, String)> = self.bound.iter().map(|bound| &bound.listener).collect();
        names.extend(self.tls_only.iter().chain(&self.opened));
        names.sort_unstable();
        names.dedup();
        let mut rest = self.bound.as_slice();
        for name in names {
            let own = rest.partition_point(|bound| bound.listener <= *name);
            let (bound, after) = rest.split_at_checked(own).unwrap_or_default();
            rest = after;
            write_virtual_host(name, bound, self.tls_only.binary_search(name).is_ok(), rows);
        }
    }
}

fn write_virtual_host((listener, name): &(u32, String), bound: &[Bound], tls_only: bool, rows: &mut RowWriter<'_>) {
    let alternatives = bound.iter().map(|bound| &bound.alternative);
    let id = number(rows.rows.virtual_hosts.len());
    let entries = append(
        &mut rows.rows.entries,
        alternatives.map(|it| EntryRow {
            rule: it.rule,
            conditions: it.conditions,
            matched: it.matched,
            origin: it.origin,
        }),
    );
    let row = VirtualHostRow {
        listener: *listener,
        name: rows.text(name),
        entries,
        tls_only,
    };
    rows.rows.virtual_hosts.push(row);
    if let Some(row) = rows.rows.listeners.get_mut(*listener as usize) {
        row.has_tls_only |= tls_only;
    }
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
