//! The order in which a virtual host tries its entries.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::bind::Binding;
use crate::compile::listeners::Listeners;
use crate::compile::rows::{RowWriter, append, number};
use crate::index::KeyRow;
use crate::tables::{EntryRow, Rows, VirtualHostRow};
use crate::text_map::TextMap;

/// One alternative of a rule: what becomes an entry of each virtual host.
#[derive(Debug, Clone)]
pub(super) struct Alternative {
    pub(super) entry: EntryRow,
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
    pub(super) path: (u8, Reverse<u32>),
    pub(super) without_method: bool,
    pub(super) headers: Reverse<u32>,
    pub(super) query_params: Reverse<u32>,
}

/// The alternatives of all virtual hosts.
#[derive(Default)]
pub(super) struct VirtualHosts {
    hosts: Vec<Host>,
    /// By listener and name.
    known: TextMap<u32>,
    bound: Vec<Bound>,
}

/// A virtual host, and the listener that it is of.
struct Host {
    listener: u32,
    name: String,
    tls_only: bool,
}

/// An alternative in one virtual host.
struct Bound {
    /// In [`VirtualHosts::hosts`].
    host: u32,
    entry: EntryRow,
    rank: Rank,
}

impl VirtualHosts {
    /// None yet, with room for so many alternatives.
    pub(super) fn with_room(alternatives: usize) -> Self {
        Self {
            bound: Vec::with_capacity(alternatives),
            ..Self::default()
        }
    }

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
            let is_open = |alternative: &&Alternative| {
                let narrowed = &alternative.gateways;
                let is_named = |(_, gateway): &(_, &str)| narrowed.iter().any(|narrowed| narrowed == gateway);
                alternative.port.is_none_or(|narrowed| Some(narrowed) == port)
                    && (narrowed.is_empty() || gateways.iter().any(is_named))
            };
            let mut open = alternatives.iter().filter(is_open).peekable();
            if open.peek().is_none() {
                continue;
            }
            let for_tls_only = |binding: &Binding| binding.tls_only && binding.listener.as_ref() == Some(*listener);
            let host = self.open(listener.0, &listener.1, bindings.iter().any(for_tls_only));
            for alternative in open {
                let Alternative { entry, rank, .. } = *alternative;
                self.bound.push(Bound { host, entry, rank });
                if entry.conditions.is_empty() {
                    // Nothing behind it in this route can be reached.
                    break;
                }
            }
        }
    }

    /// Adds a host of a listener, which keeps its requests from wider hosts of the port whether or not a route is for it.
    pub(super) fn open(&mut self, listener: u32, name: &str, tls_only: bool) -> u32 {
        let key = format!("{listener}/{name}");
        let known = self.known.get(&key).copied();
        let id = known.unwrap_or_else(|| {
            let id = number(self.hosts.len());
            self.hosts.push(Host {
                listener,
                name: name.into(),
                tls_only: false,
            });
            self.known.insert(&key, id);
            id
        });
        if let Some(host) = self.hosts.get_mut(id as usize) {
            host.tls_only |= tls_only;
        }
        id
    }

    pub(super) fn write(mut self, listeners: &Listeners<'_>, rows: &mut RowWriter<'_>) {
        for opened in listeners.tls_only() {
            self.open(opened.listener, &opened.host, true);
        }
        let mut order: Vec<(u32, &Host)> = (0..).zip(&self.hosts).collect();
        order.sort_unstable_by_key(|(_, host)| (host.listener, &host.name));
        let mut places = alloc::vec![0; order.len()];
        for (place, (id, _)) in (0..).zip(&order) {
            if let Some(place_of) = places.get_mut(*id as usize) {
                *place_of = place;
            }
        }
        for bound in &mut self.bound {
            bound.host = places.get(bound.host as usize).copied().unwrap_or(bound.host);
        }
        // The virtual hosts stand one after the other, each with its catch-alls last.
        self.bound
            .sort_by_key(|bound| (bound.host, bound.entry.conditions.is_empty(), bound.rank));
        rows.rows.entries.reserve(self.bound.len());
        let mut rest = self.bound.as_slice();
        for (place, (_, host)) in (0..).zip(order) {
            let own = rest.partition_point(|bound: &Bound| bound.host <= place);
            let (bound, after) = rest.split_at_checked(own).unwrap_or_default();
            rest = after;
            write_virtual_host(host, bound, rows);
        }
    }
}

fn write_virtual_host(host: &Host, bound: &[Bound], rows: &mut RowWriter<'_>) {
    let Host {
        listener,
        name,
        tls_only,
    } = host;
    let id = number(rows.rows.virtual_hosts.len());
    let entries = append(&mut rows.rows.entries, bound.iter().map(|bound| bound.entry));
    let row = VirtualHostRow {
        listener: *listener,
        name: rows.text(name),
        entries,
        tls_only: *tls_only,
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
