//! Which header fields decisions read, and which routes change: of what a client must send no twin
//! ([`crate::rewrite`]). Those that are read its `Connection` must not name either ([`crate::connection_field`]).

use alloc::vec::Vec;

use crate::cors::READ_FIELDS;
use crate::shown::{Showing, ShownRow};
use crate::tables::Tables;
use crate::tables::{Attribute, BackendTarget, PlaceRow, Span, Subject, Text};

/// Those that a `corsPolicy` is judged by, when there is one.
pub(super) fn of_cors(rows: &Tables) -> impl Iterator<Item = &'static str> + use<> {
    let names: &[&str] = if rows.cors.is_empty() { &[] } else { &READ_FIELDS };
    names.iter().copied()
}

/// The names of the fields that policies and routes read, sorted, each once.
pub(super) fn judged(rows: &Tables, by_cors: Vec<Span>) -> Vec<Span> {
    let by_policy = rows
        .predicates
        .iter()
        .filter_map(|predicate| match predicate.attribute {
            Attribute::Header(name) => Some(name),
            _ => None,
        });
    let conditions = rows
        .entries
        .iter()
        .flat_map(|entry| entry.conditions.of(&rows.conditions));
    let by_route = conditions.filter_map(|condition| match condition.subject {
        Subject::Header(name) => Some(name),
        _ => None,
    });
    sorted(rows, by_policy.chain(by_route).chain(by_cors).collect())
}

/// The same of all that are read: those that are `judged`, and those that tokens are looked for in.
pub(super) fn all(rows: &Tables, judged: &[Span]) -> Vec<Span> {
    let by_token_rule = rows.token_places.iter().filter_map(|place| match *place {
        PlaceRow::Header { name, .. } => Some(name),
        PlaceRow::Param(_) | PlaceRow::Cookie(_) => None,
    });
    sorted(rows, by_token_rule.chain(judged.iter().copied()).collect())
}

/// The names of the fields that routes write or take away on the way upstream, sorted, each once.
pub(super) fn changed(rows: &Tables) -> Vec<Span> {
    let changes = rows.backends.iter().flat_map(|backend| {
        let changes = match backend.to {
            BackendTarget::Provider(target) => target.request_changes,
            BackendTarget::Upstream(target) => target.request_changes,
        };
        changes.of(&rows.header_changes)
    });
    sorted(rows, changes.map(|change| change.name).collect())
}

fn sorted(rows: &Tables, mut names: Vec<Span>) -> Vec<Span> {
    let text = rows.texts();
    names.sort_unstable_by_key(|name| text.bytes(*name));
    // Equal texts share a span.
    names.dedup();
    names
}

/// Those of the `judged` that are not shown as sent, in the same order. A token is looked for in what was sent.
pub(super) fn shown(text: Text<'_>, judged: &[Span], trusted_proxies: u32) -> Vec<ShownRow> {
    let row = |&name| {
        Some(ShownRow {
            name,
            showing: Showing::of(text.get(name), trusted_proxies)?,
        })
    };
    judged.iter().filter_map(row).collect()
}
