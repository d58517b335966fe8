//! Which rule a request belongs to: listener, virtual host, first match.
//!
//! The virtual host is chosen as Envoy chooses it (exact name, then the longest
//! `*.suffix`, then `*`; there is no falling back to a wider one once chosen).
//! Within it the first entry in order whose conditions all hold decides; which of
//! them are looked at for that is [`search`]'s. Where that is up to the body and
//! the body is not known, so is the answer.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPMatchRequest>

use core::net::{IpAddr, Ipv4Addr};

#[cfg(all(test, feature = "yaml"))]
mod linear;
mod search;

use crate::attributes::Attributes;
use crate::authz::body::Facts;
use crate::claims::Claims;
use crate::index::Index;
use crate::llm::body::BodyFacts;
use crate::request::{Connection, Scheme};
use crate::tables::{
    BackendRow, ConditionRow, EntryRow, PortListeners, PortRow, Split, Subject, Tables, Test, TlsServerId,
    VirtualHostRow,
};

/// The listener of a connection, if its port listens and, where that speaks TLS, a server takes its server name.
pub(crate) fn listener(tables: &Tables, connection: &Connection<'_>) -> Option<u32> {
    let (scope, port) = port(tables, connection.port)?;
    match port.listeners {
        PortListeners::Plain(listener) => Some(listener),
        PortListeners::Tls { any, has_suffixes } => {
            let name = connection.sni.unwrap_or_default().as_bytes();
            named(tables, tables.server_names(), scope, has_suffixes, name).or(any)
        }
    }
}

/// Whether the request is for a host that its connection was not made for: one that another server of the port takes,
/// maybe under other rules for client certificates; or whether no server takes the connection at all, as it is from
/// before the port spoke TLS.
///
/// HTTP/2 clients send the requests of several hosts over one connection (RFC 9113 §9.1.1), and anybody may claim a
/// host that the server name did not.
pub(crate) fn is_misdirected(tables: &Tables, seen: &Attributes<'_>) -> bool {
    let connection = seen.connection;
    let listener = seen
        .listener
        .and_then(|listener| tables.listeners.get(listener as usize));
    if listener.is_some_and(|listener| listener.tls.is_none()) {
        return false;
    }
    let Some((scope, port)) = port(tables, connection.port) else {
        return false;
    };
    let PortListeners::Tls { any, has_suffixes } = port.listeners else {
        return false;
    };
    let of = |name| named(tables, tables.server_names(), scope, has_suffixes, name).or(any);
    let asked = connection.sni.unwrap_or_default().as_bytes();
    let server = of(asked);
    connection.scheme == Scheme::Http
        || server.is_none()
        || seen.authority.host != asked && server != of(seen.authority.host)
}

fn port(tables: &Tables, number: u16) -> Option<(u32, &PortRow)> {
    let index = tables.ports.binary_search_by_key(&number, |row| row.port).ok()?;
    Some((u32::try_from(index).ok()?, tables.ports.get(index)?))
}

/// What `names` has for `host` in `scope`: for the name itself, or for its longest suffix.
fn named(tables: &Tables, names: Index<'_>, scope: u32, has_suffixes: bool, host: &[u8]) -> Option<u32> {
    let by_name = |name| names.get(tables.texts(), scope, name);
    // `*.b.c` is kept as `.b.c`, and its star stands for at least one character: the host `.b.c` is not among them.
    let exact = if host.starts_with(b".") { None } else { by_name(host) };
    let rows = match exact {
        None if has_suffixes => suffixes(host).find_map(by_name),
        exact => exact,
    };
    rows.map(|rows| rows.start)
}

/// The virtual host of `host` on a listener, if one takes it.
pub(crate) fn virtual_host<'d>(tables: &'d Tables, listener: u32, host: &[u8]) -> Option<(u32, &'d VirtualHostRow)> {
    let row = tables.listeners.get(listener as usize)?;
    let id = named(tables, tables.hosts(), listener, row.has_suffixes, host).or(row.any_host)?;
    Some((id, tables.virtual_hosts.get(id as usize)?))
}

/// Whether the request is in plain text, to a trusted proxy in front as well, and its virtual host is for TLS only.
pub(crate) fn wants_tls(tables: &Tables, seen: &Attributes<'_>) -> bool {
    if seen.connection.scheme == Scheme::Https || seen.scheme == Scheme::Https {
        return false;
    }
    let Some(listener) = seen.listener else {
        return false;
    };
    let has_any = tables
        .listeners
        .get(listener as usize)
        .is_some_and(|row| row.has_tls_only);
    has_any && virtual_host(tables, listener, seen.authority.host).is_some_and(|(_, row)| row.tls_only)
}

impl Tables {
    /// The HTTPS server that a client of `port` gets which asks for `server_name`, lower-cased; `None` when no server
    /// takes it, or the port is in plain text.
    #[must_use]
    pub fn tls_server(&self, port: u16, server_name: Option<&str>) -> Option<TlsServerId> {
        let connection = Connection {
            sni: server_name,
            ..Connection::plain(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
        };
        self.listeners.get(listener(self, &connection)? as usize)?.tls
    }
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

/// What is known of a request beyond its head.
#[derive(Clone, Copy)]
pub(crate) struct Evidence<'s> {
    pub(crate) claims: Option<&'s Claims<'s>>,
    pub(crate) body: Facts<'s>,
}

/// The entry that a request falls to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found<'d> {
    pub(crate) entry: &'d EntryRow,
    /// Whether it does is said by the body, which is not known.
    pub(crate) depends_on_body: bool,
}

/// The first entry that matches. None does for `*`: it is no path that an upstream could be sent.
pub(crate) fn find<'d>(tables: &'d Tables, seen: &Attributes<'_>, evidence: Evidence<'_>) -> Option<Found<'d>> {
    if seen.path == "*" {
        return None;
    }
    let (id, _) = virtual_host(tables, seen.listener?, seen.authority.host)?;
    search::first(tables, id, seen, evidence)
}

/// What the conditions of an entry say together.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(feature = "alloc"),
    expect(dead_code, reason = "only `explain` asks which condition it was")
)]
pub(crate) enum Judged<'d> {
    /// All of them hold.
    Matches,
    /// All that can be told hold; this is the first that the body decides.
    DependsOnBody(&'d ConditionRow),
    /// This is the first that does not hold.
    Fails(&'d ConditionRow),
}

/// Judges the conditions of `entry`.
pub(crate) fn judge<'d>(
    tables: &'d Tables,
    entry: &EntryRow,
    seen: &Attributes<'_>,
    evidence: Evidence<'_>,
) -> Judged<'d> {
    let mut judged = Judged::Matches;
    for condition in entry.conditions.of(&tables.conditions) {
        if is_unknown(condition.subject, evidence) {
            if let Judged::Matches = judged {
                judged = Judged::DependsOnBody(condition);
            }
        } else if !holds(tables, condition, seen, evidence) {
            return Judged::Fails(condition);
        }
    }
    judged
}

/// Whether only the body could tell the subject's value.
fn is_unknown(subject: Subject, evidence: Evidence<'_>) -> bool {
    matches!(
        (subject, evidence.body),
        (Subject::Model | Subject::Stream, Facts::Unknown)
    )
}

/// A negated condition is about fields and claims only. A field that is absent counts as an empty one there, as Istio
/// has it (`treat_missing_header_as_empty`), unless the test is whether it is there.
// Inlined into the loop over conditions, it has everything about a request loaded before the first asks for one thing.
#[inline(never)]
fn holds(tables: &Tables, condition: &ConditionRow, seen: &Attributes<'_>, evidence: Evidence<'_>) -> bool {
    if let Some(value) = single(condition.subject, seen) {
        return passes(tables, condition.test, value) != condition.negated;
    }
    let (mut found, mut matched) = (false, false);
    each_value(tables, condition.subject, seen, evidence, &mut |value| {
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
        Subject::Scheme => Some(seen.scheme.as_str().as_bytes()),
        Subject::Header(_) | Subject::QueryParam(_) | Subject::Claim(_) | Subject::Model | Subject::Stream => None,
    }
}

/// Calls `visit` with each value that a subject has: none when it is absent, several for repeated fields and claims.
pub(crate) fn each_value(
    tables: &Tables,
    subject: Subject,
    seen: &Attributes<'_>,
    evidence: Evidence<'_>,
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
            let values = evidence.claims.map(|claims| claims.strings(tables.text(path)));
            values.into_iter().flatten().for_each(|value| visit(value.as_bytes()));
        }
        Subject::Model => {
            if let Some(model) = facts(evidence).and_then(BodyFacts::model) {
                visit(model.as_bytes());
            }
        }
        Subject::Stream => {
            if let Some(facts) = facts(evidence) {
                visit(if facts.stream() == Some(true) {
                    b"true"
                } else {
                    b"false"
                });
            }
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

fn facts<'s>(evidence: Evidence<'s>) -> Option<&'s BodyFacts> {
    match evidence.body {
        Facts::Known(facts) => facts,
        Facts::Unknown => None,
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

pub(crate) fn passes(tables: &Tables, test: Test, value: &[u8]) -> bool {
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
            .derived
            .regexes
            .get(regex as usize)
            .is_some_and(|regex| regex.matches(value)),
        Test::Present => true,
    }
}

/// The backend that `entropy`, uniform over all of `u64`, falls on.
pub(crate) fn choose(tables: &Tables, split: Split, entropy: u64) -> Option<&BackendRow> {
    // The upper half of the entropy scaled to the sum of the weights: uniform in 0..sum.
    let mut left = (entropy >> 32).checked_mul(split.weight.into())? >> 32;
    for backend in split.backends.of(&tables.backends) {
        match left.checked_sub(backend.weight.into()) {
            Some(rest) => left = rest,
            None => return Some(backend),
        }
    }
    None
}
