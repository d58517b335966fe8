//! Which rule a request belongs to: listener, virtual host, first match.
//!
//! The virtual host is chosen as Envoy chooses it (exact name, then the longest
//! `*.suffix`, then `*`; there is no falling back to a wider one once chosen).
//! Within it the first entry in order whose conditions all hold decides. Entries
//! that ask for one exact `host` are found by hash, the others are walked, and
//! the two are merged by position, so that order is kept exactly.

use crate::attributes::Attributes;
use crate::tables::{BackendRow, ConditionRow, EntryRow, RuleRow, Subject, Tables, Test, VirtualHostRow};

/// The virtual host of a request, if its port listens and one takes its host.
pub(crate) fn virtual_host<'d>(tables: Tables<'d>, seen: &Attributes<'d>) -> Option<(u32, &'d VirtualHostRow)> {
    let listener = tables.listeners.binary_search_by_key(&seen.port, |row| row.port).ok()?;
    let row = tables.listeners.get(listener)?;
    let scope = u32::try_from(listener).ok()?;
    let named = candidates(seen.authority.host).find_map(|name| tables.hosts.get(tables.text, scope, name));
    let id = named.map(|rows| rows.start).or(row.any_host)?;
    Some((id, tables.virtual_hosts.get(id as usize)?))
}

/// `a.b.c`, then `.b.c`, then `.c`: the name and its suffixes at label borders, longest first.
fn candidates(host: &str) -> impl Iterator<Item = &str> {
    let suffixes = host
        .match_indices('.')
        .filter_map(|(dot, _)| if dot == 0 { None } else { host.get(dot..) });
    core::iter::once(host).chain(suffixes)
}

/// The first entry that matches.
pub(crate) fn find<'d>(tables: Tables<'d>, seen: &Attributes<'d>) -> Option<&'d EntryRow> {
    let (id, virtual_host) = virtual_host(tables, seen)?;
    let keyed = tables
        .entries_by_host
        .get(tables.text, id, seen.authority.host)
        .unwrap_or_default();
    let mut keyed = keyed.of(tables.entry_order).iter().copied().peekable();
    let mut unkeyed = virtual_host.unkeyed.of(tables.entry_order).iter().copied().peekable();
    loop {
        let next = match (keyed.peek(), unkeyed.peek()) {
            (Some(a), Some(b)) if a < b => keyed.next(),
            (Some(_), None) => keyed.next(),
            (_, Some(_)) => unkeyed.next(),
            (None, None) => return None,
        };
        let entry = tables.entries.get(next? as usize)?;
        if failed_condition(tables, entry, seen).is_none() {
            return Some(entry);
        }
    }
}

/// The first condition of `entry` that does not hold.
pub(crate) fn failed_condition<'d>(
    tables: Tables<'d>,
    entry: &EntryRow,
    seen: &Attributes<'d>,
) -> Option<&'d ConditionRow> {
    entry
        .conditions
        .of(tables.conditions)
        .iter()
        .find(|condition| !holds(tables, condition, seen))
}

fn holds<'d>(tables: Tables<'d>, condition: &ConditionRow, seen: &Attributes<'d>) -> bool {
    match condition.subject {
        Subject::Host => passes(tables, condition.test, seen.authority.host.as_bytes()),
        Subject::Authority => passes(tables, condition.test, seen.authority.folded.as_bytes()),
        Subject::Header(name) => {
            let mut found = false;
            seen.headers.each(tables.text(name), &mut |value| {
                found = found || passes(tables, condition.test, value);
            });
            found
        }
    }
}

fn passes(tables: Tables<'_>, test: Test, value: &[u8]) -> bool {
    match test {
        Test::Exact(wanted) => value == tables.text(wanted).as_bytes(),
        Test::Prefix(wanted) => value.starts_with(tables.text(wanted).as_bytes()),
        Test::Regex(regex, _) => tables
            .regexes
            .get(regex as usize)
            .is_some_and(|regex| regex.matches(value)),
        Test::Present => true,
    }
}

/// The backend that `entropy`, uniform over all of `u64`, falls on.
pub(crate) fn choose<'d>(tables: Tables<'d>, rule: &RuleRow, entropy: u64) -> Option<&'d BackendRow> {
    let backends = rule.backends.of(tables.backends);
    // The upper half times the weights' sum, shifted back: uniform in 0..sum, without a division.
    let mut left = (entropy >> 32).checked_mul(rule.weight.into())? >> 32;
    for backend in backends {
        match left.checked_sub(backend.weight.into()) {
            Some(rest) => left = rest,
            None => return Some(backend),
        }
    }
    None
}
