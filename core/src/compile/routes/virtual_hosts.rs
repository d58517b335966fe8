//! The order in which a virtual host tries its entries, and the index over it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;

use super::bind::Binding;
use super::rules::Alternative;
use crate::compile::rows::{RowWriter, append, number};
use crate::index::KeyRow;
use crate::tables::{EntryRow, Rows, Span, VirtualHostRow};

/// The alternatives of each listener and host, in order.
#[derive(Default)]
pub(super) struct VirtualHosts {
    hosts: BTreeMap<(u32, String), Vec<Alternative>>,
    catch_alls: BTreeMap<(u32, String), Vec<Alternative>>,
}

impl VirtualHosts {
    /// Adds one route where it binds.
    pub(super) fn add(&mut self, bindings: &[Binding], alternatives: &[Alternative]) {
        let mut gateways: BTreeMap<&(u32, String), BTreeSet<&str>> = BTreeMap::new();
        for binding in bindings {
            if let Some(listener) = &binding.listener {
                gateways.entry(listener).or_default().insert(&binding.gateway);
            }
        }
        for (listener, gateways) in gateways {
            for alternative in alternatives {
                let narrowed = &alternative.gateways;
                if !narrowed.is_empty() && !narrowed.iter().any(|gateway| gateways.contains(gateway.as_str())) {
                    continue;
                }
                if alternative.conditions.is_empty() {
                    // Nothing behind it in this route can be reached.
                    self.catch_alls
                        .entry(listener.clone())
                        .or_default()
                        .push(alternative.clone());
                    break;
                }
                self.hosts
                    .entry(listener.clone())
                    .or_default()
                    .push(alternative.clone());
            }
        }
    }

    pub(super) fn write(mut self, rows: &mut RowWriter<'_>) {
        for (key, catch_alls) in self.catch_alls {
            self.hosts.entry(key).or_default().extend(catch_alls);
        }
        for ((listener, name), alternatives) in self.hosts {
            write_virtual_host(listener, &name, &alternatives, rows);
        }
    }
}

fn write_virtual_host(listener: u32, name: &str, alternatives: &[Alternative], rows: &mut RowWriter<'_>) {
    let id = number(rows.rows.virtual_hosts.len());
    let first = number(rows.rows.entries.len());
    let entries = append(
        &mut rows.rows.entries,
        alternatives.iter().map(|it| EntryRow {
            rule: it.rule,
            conditions: it.conditions,
            origin: it.origin,
        }),
    );
    let mut by_host: BTreeMap<Option<Span>, Vec<u32>> = BTreeMap::new();
    for (alternative, entry) in alternatives.iter().zip(first..) {
        by_host.entry(alternative.host).or_default().push(entry);
    }
    let unkeyed = append(&mut rows.rows.entry_order, by_host.remove(&None).unwrap_or_default());
    for (host, order) in by_host {
        let Some(host) = host else { continue };
        let order = append(&mut rows.rows.entry_order, order);
        rows.rows.entries_by_host.push(KeyRow {
            scope: id,
            name: host,
            rows: order,
        });
    }
    let row = VirtualHostRow {
        listener,
        name: rows.text(name),
        entries,
        unkeyed,
    };
    rows.rows.virtual_hosts.push(row);
    index_by_name(listener, name, id, rows);
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
