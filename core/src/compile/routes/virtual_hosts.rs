//! The order in which a virtual host tries its entries.

use alloc::string::String;
use alloc::vec::Vec;

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
}

/// The alternatives of all virtual hosts.
#[derive(Default)]
pub(super) struct VirtualHosts {
    bound: Vec<Bound>,
}

/// An alternative in one virtual host.
struct Bound {
    /// Listener and virtual host name.
    listener: (u32, String),
    alternative: Alternative,
}

impl Bound {
    /// Sorted by this, the virtual hosts stand one after the other, each with its catch-alls last.
    fn order(&self) -> (&(u32, String), bool) {
        (&self.listener, self.alternative.conditions.is_empty())
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

    pub(super) fn write(mut self, rows: &mut RowWriter<'_>) {
        self.bound.sort_by(|a, b| a.order().cmp(&b.order()));
        for bound in self.bound.chunk_by(|a, b| a.listener == b.listener) {
            write_virtual_host(bound, rows);
        }
    }
}

fn write_virtual_host(bound: &[Bound], rows: &mut RowWriter<'_>) {
    let Some((listener, name)) = bound.first().map(|bound| &bound.listener) else {
        return;
    };
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
