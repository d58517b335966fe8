//! Which rule a request belongs to: listener, virtual host, first match.
//!
//! The virtual host is chosen as Envoy chooses it (exact name, then the longest
//! `*.suffix`, then `*`; there is no falling back to a wider one once chosen).
//! Within it the first entry in order whose conditions all hold decides. Entries
//! that ask for one exact host are found by hash, the others are walked, and
//! the two are merged by position, so that order is kept exactly.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest>

use crate::attributes::Attributes;
use crate::claims::Claims;
use crate::tables::{BackendRow, ConditionRow, EntryRow, Rows, Split, Subject, Tables, Test, VirtualHostRow};

/// The virtual host of `host` on `port`, if the port listens and one takes the host.
pub(crate) fn virtual_host<'d>(tables: &Tables<'d>, port: u16, host: &[u8]) -> Option<(u32, &'d VirtualHostRow)> {
    let listener = tables.listeners.binary_search_by_key(&port, |row| row.port).ok()?;
    let row = tables.listeners.get(listener)?;
    let scope = u32::try_from(listener).ok()?;
    let by_name = |name| tables.hosts.get(tables.text, scope, name);
    // `*.b.c` is kept as `.b.c`, and its star stands for at least one character: the host `.b.c` is not among them.
    let exact = if host.starts_with(b".") { None } else { by_name(host) };
    let named = exact.or_else(|| {
        if row.has_suffixes {
            suffixes(host).find_map(by_name)
        } else {
            None
        }
    });
    let id = named.map(|rows| rows.start).or(row.any_host)?;
    Some((id, tables.virtual_hosts.get(id as usize)?))
}

/// `.b.c` and `.c` of `a.b.c`: the suffixes at label borders, longest first.
fn suffixes(host: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = host;
    core::iter::from_fn(move || {
        let dot = rest.iter().skip(1).position(|&byte| byte == b'.')?;
        rest = rest.get(dot.checked_add(1)?..)?;
        Some(rest)
    })
}

/// The entries that `host` on `port` may match, in order: those that ask for exactly this host, merged by position
/// with those that ask for no exact host.
pub(crate) fn candidates<'d>(
    tables: &Tables<'d>,
    port: u16,
    host: &[u8],
) -> impl Iterator<Item = &'d EntryRow> + use<'d> {
    let Tables {
        entry_order, entries, ..
    } = *tables;
    let found = virtual_host(tables, port, host);
    let keyed = found
        .and_then(|(id, _)| tables.entries_by_host.get(tables.text, id, host))
        .unwrap_or_default();
    let unkeyed = found.map_or_else(Rows::default, |(_, row)| row.unkeyed);
    let mut keyed = keyed.of(entry_order).iter().copied().peekable();
    let mut unkeyed = unkeyed.of(entry_order).iter().copied().peekable();
    core::iter::from_fn(move || {
        let keyed_is_next = match (keyed.peek(), unkeyed.peek()) {
            (Some(a), Some(b)) => a < b,
            (first, _) => first.is_some(),
        };
        let entry = if keyed_is_next { keyed.next() } else { unkeyed.next() };
        entries.get(entry? as usize)
    })
}

/// The first entry that matches. None does for `*`: it is no path that an upstream could be sent.
pub(crate) fn find<'d>(
    tables: &Tables<'d>,
    seen: &Attributes<'_>,
    claims: Option<&Claims<'_>>,
) -> Option<&'d EntryRow> {
    if seen.path == "*" {
        return None;
    }
    candidates(tables, seen.connection.port, seen.authority.host)
        .find(|entry| failed_condition(tables, entry, seen, claims).is_none())
}

/// The first condition of `entry` that does not hold.
pub(crate) fn failed_condition<'d>(
    tables: &Tables<'d>,
    entry: &EntryRow,
    seen: &Attributes<'_>,
    claims: Option<&Claims<'_>>,
) -> Option<&'d ConditionRow> {
    entry
        .conditions
        .of(tables.conditions)
        .iter()
        .find(|condition| !holds(tables, condition, seen, claims))
}

/// A negated condition is about fields and claims only. A field that is absent counts as an empty one there, as Istio
/// has it (`treat_missing_header_as_empty`), unless the test is whether it is there.
fn holds(tables: &Tables<'_>, condition: &ConditionRow, seen: &Attributes<'_>, claims: Option<&Claims<'_>>) -> bool {
    if let Some(value) = single(condition.subject, seen) {
        return passes(tables, condition.test, value) != condition.negated;
    }
    let (mut found, mut matched) = (false, false);
    each_value(tables, condition.subject, seen, claims, &mut |value| {
        found = true;
        matched = matched || passes(tables, condition.test, value);
    });
    if !condition.negated {
        return matched;
    }
    let is_absent_field = !found && matches!(condition.subject, Subject::Header(_));
    !(matched || is_absent_field && condition.test != Test::Present && passes(tables, condition.test, b""))
}

/// The value of a subject that every request has exactly once.
fn single<'s>(subject: Subject, seen: &Attributes<'s>) -> Option<&'s [u8]> {
    match subject {
        Subject::Host => Some(seen.authority.host),
        Subject::Authority => Some(seen.authority.folded),
        Subject::RawAuthority => Some(seen.authority.raw),
        Subject::Path => Some(seen.path.as_bytes()),
        Subject::Method => Some(seen.method.as_bytes()),
        Subject::Scheme => Some(seen.connection.scheme.as_str().as_bytes()),
        Subject::Header(_) | Subject::QueryParam(_) | Subject::Claim(_) => None,
    }
}

/// Calls `visit` with each value that a subject has: none when it is absent, several for repeated fields and claims.
pub(crate) fn each_value(
    tables: &Tables<'_>,
    subject: Subject,
    seen: &Attributes<'_>,
    claims: Option<&Claims<'_>>,
    visit: &mut dyn FnMut(&[u8]),
) {
    if let Some(value) = single(subject, seen) {
        return visit(value);
    }
    match subject {
        Subject::Header(name) => seen.headers.each(tables.text(name), &mut |value| visit(value)),
        Subject::QueryParam(name) => {
            if let Some(value) = query_param(seen.query.unwrap_or_default(), tables.text(name)) {
                visit(value.as_bytes());
            }
        }
        Subject::Claim(path) => {
            let values = claims.map(|claims| claims.strings(tables.text(path)));
            values.into_iter().flatten().for_each(|value| visit(value.as_bytes()));
        }
        // Each of these has a single value.
        Subject::Host
        | Subject::Authority
        | Subject::RawAuthority
        | Subject::Path
        | Subject::Method
        | Subject::Scheme => {}
    }
}

/// The first value of a parameter, as it stands: Envoy decodes nothing in it.
fn query_param<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut named = pairs.filter_map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        (key == name).then_some(value)
    });
    named.next()
}

pub(crate) fn passes(tables: &Tables<'_>, test: Test, value: &[u8]) -> bool {
    match test {
        Test::Exact(wanted) => value == tables.bytes(wanted),
        Test::Prefix(wanted) => value.starts_with(tables.bytes(wanted)),
        Test::Segments(wanted) => {
            let behind = value.strip_prefix(tables.bytes(wanted));
            behind.is_some_and(|behind| behind.is_empty() || behind.starts_with(b"/"))
        }
        Test::ExactAnyCase(wanted) => value.eq_ignore_ascii_case(tables.bytes(wanted)),
        Test::PrefixAnyCase(wanted) => {
            let wanted = tables.bytes(wanted);
            let beginning = value.get(..wanted.len());
            beginning.is_some_and(|beginning| beginning.eq_ignore_ascii_case(wanted))
        }
        Test::Regex(regex, _) => tables
            .regexes
            .get(regex as usize)
            .is_some_and(|regex| regex.matches(value)),
        Test::Present => true,
    }
}

/// The backend that `entropy`, uniform over all of `u64`, falls on.
pub(crate) fn choose<'d>(tables: &Tables<'d>, split: Split, entropy: u64) -> Option<&'d BackendRow> {
    // The upper half of the entropy scaled to the sum of the weights: uniform in 0..sum.
    let mut left = (entropy >> 32).checked_mul(split.weight.into())? >> 32;
    for backend in split.backends.of(tables.backends) {
        match left.checked_sub(backend.weight.into()) {
            Some(rest) => left = rest,
            None => return Some(backend),
        }
    }
    None
}
