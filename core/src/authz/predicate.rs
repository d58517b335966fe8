//! One predicate: an attribute of the request against the values of a policy.

use core::net::IpAddr;

use super::Truth;
use super::body::{self, Facts};
use super::identity::PeerId;
use super::list;
use super::pattern::{self, Empty};
use crate::attributes::Attributes;
use crate::decide::Known;
use crate::tables::{Attribute, PatternRow, PredicateRow, Tables, Values};

/// Whether `predicate` holds. A `not` predicate holds where nothing is there to match.
// Inlined into its callers' loops, it has everything about a request loaded before the first predicate asks for one thing.
#[inline(never)]
pub(crate) fn truth(tables: &Tables, predicate: &PredicateRow, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
    let attribute = predicate.attribute;
    let matched = match predicate.values {
        Values::Cidrs(_) => address(attribute, seen)
            .is_some_and(|address| list::holds_address(tables, predicate.values, address))
            .into(),
        Values::Ranges(rows) => match number(attribute, seen, known) {
            Ok(number) => number
                .is_some_and(|number| rows.of(&tables.ranges).iter().any(|range| range.contains(number)))
                .into(),
            Err(BodyNeeded) => Truth::Unknown,
        },
        Values::Patterns(_) => text(tables, attribute, predicate.values, seen, known),
        Values::RequestPrincipals(_) => known
            .identity
            .claims()
            .is_some_and(|claims| list::holds_principal(tables, predicate.values, claims))
            .into(),
    };
    if predicate.negated { matched.not() } else { matched }
}

/// The body is not known, or not what is asked of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BodyNeeded;

/// The address that an attribute is.
pub(crate) fn address(attribute: Attribute, seen: &Attributes<'_>) -> Option<IpAddr> {
    match attribute {
        Attribute::PeerAddress => Some(seen.connection.peer),
        Attribute::RemoteAddress => Some(seen.remote),
        Attribute::LocalAddress => Some(seen.connection.local),
        _ => None,
    }
}

/// The number that an attribute is; `None` when the request has none.
pub(crate) fn number(
    attribute: Attribute,
    seen: &Attributes<'_>,
    known: &Known<'_>,
) -> Result<Option<u64>, BodyNeeded> {
    match (attribute, body::facts(seen, known)) {
        (Attribute::Port, _) => Ok(Some(seen.connection.destination_port.into())),
        (Attribute::LlmMaxTokens, Facts::Known(Some(facts))) if facts.unclear().max_tokens => Err(BodyNeeded),
        (Attribute::LlmMaxTokens, Facts::Known(facts)) => Ok(facts.and_then(|facts| facts.max_tokens())),
        (Attribute::LlmMaxTokens, Facts::Unknown) => Err(BodyNeeded),
        _ => Ok(None),
    }
}

fn text(tables: &Tables, attribute: Attribute, values: Values, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
    match attribute {
        Attribute::PathAndQuery => {
            let path = path_and_query(seen);
            let patterns = values.rows().of(&tables.patterns);
            return patterns
                .iter()
                .any(|wanted| pattern::matches_joined(tables, *wanted, path))
                .into();
        }
        Attribute::ServiceAccount { anywhere: true } => {
            let holds = |id: PeerId<'_>, wanted| id.holds_account(tables.text(wanted));
            let is_one = |id| {
                let mut patterns = values.rows().of(&tables.patterns).iter();
                patterns.any(|pattern| matches!(pattern, PatternRow::Exact(wanted) if holds(id, *wanted)))
            };
            return PeerId::of(seen.connection).is_some_and(is_one).into();
        }
        Attribute::LlmTools { every: true } => return every_tool(tables, values, seen, known),
        _ => {}
    }
    let empty = match attribute {
        Attribute::Host | Attribute::RawAuthority | Attribute::Scheme | Attribute::Header(_) => Empty::Matches,
        _ => Empty::Misses,
    };
    let mut matched = false;
    let visited = each_text(tables, attribute, seen, known, &mut |value| {
        matched = matched || list::holds_text(tables, values, value, empty);
    });
    match visited {
        Ok(()) => matched.into(),
        Err(BodyNeeded) => Truth::Unknown,
    }
}

/// There are tools, and each is one of the patterns.
fn every_tool(tables: &Tables, values: Values, seen: &Attributes<'_>, known: &Known<'_>) -> Truth {
    let (mut some, mut all) = (false, true);
    let visited = each_tool(seen, known, &mut |tool| {
        some = true;
        all = all && list::holds_text(tables, values, tool, Empty::Misses);
    });
    match visited {
        Ok(()) => (some && all).into(),
        Err(BodyNeeded) => Truth::Unknown,
    }
}

fn each_tool(seen: &Attributes<'_>, known: &Known<'_>, visit: &mut impl FnMut(&[u8])) -> Result<(), BodyNeeded> {
    match body::facts(seen, known) {
        Facts::Known(None) => Ok(()),
        Facts::Known(Some(facts)) => {
            facts.tools().ok_or(BodyNeeded)?.for_each(visit);
            Ok(())
        }
        Facts::Unknown => Err(BodyNeeded),
    }
}

/// The pieces of `:path`.
pub(crate) fn path_and_query<'d>(seen: &Attributes<'d>) -> [&'d [u8]; 3] {
    let question: &[u8] = if seen.query.is_some() { b"?" } else { b"" };
    [
        seen.path.as_bytes(),
        question,
        seen.query.unwrap_or_default().as_bytes(),
    ]
}

/// Calls `visit` with each text that an attribute is: none when it is absent, several for repeated headers and lists.
pub(crate) fn each_text(
    tables: &Tables,
    attribute: Attribute,
    seen: &Attributes<'_>,
    known: &Known<'_>,
    visit: &mut impl FnMut(&[u8]),
) -> Result<(), BodyNeeded> {
    let peer = || PeerId::of(seen.connection);
    let one = match attribute {
        Attribute::Host => Some(seen.authority.folded),
        Attribute::RawAuthority => Some(seen.authority.raw),
        Attribute::Method => Some(seen.method.as_bytes()),
        Attribute::Path => Some(seen.path.as_bytes()),
        Attribute::Scheme => Some(seen.scheme.as_str().as_bytes()),
        Attribute::Sni => seen.connection.sni.map(str::as_bytes),
        Attribute::Principal => peer().map(|id| id.0.as_bytes()),
        Attribute::Namespace { anywhere: true } => {
            if let Some(id) = peer() {
                id.each_namespace(&mut |namespace| visit(namespace.as_bytes()));
            }
            None
        }
        Attribute::Namespace { anywhere: false } => peer().and_then(PeerId::namespace).map(str::as_bytes),
        // One of any form is compared as a whole, see [`PeerId::holds_account`].
        Attribute::ServiceAccount { anywhere } => peer()
            .and_then(|id| id.service_account().or(anywhere.then_some(id.0)))
            .map(str::as_bytes),
        Attribute::TrustDomain => peer().map(|id| id.trust_domain().as_bytes()),
        Attribute::Header(name) => {
            seen.headers.each(tables.text(name), &mut |value| visit(value));
            None
        }
        Attribute::Audience | Attribute::Presenter | Attribute::Claim(_) => {
            each_claim(tables, attribute, known, visit);
            None
        }
        Attribute::LlmModel | Attribute::LlmStream => match body::facts(seen, known) {
            Facts::Unknown => return Err(BodyNeeded),
            Facts::Known(Some(facts)) if attribute == Attribute::LlmModel && facts.unclear().model => {
                return Err(BodyNeeded);
            }
            Facts::Known(facts) if attribute == Attribute::LlmModel => {
                facts.and_then(|facts| facts.model()).map(str::as_bytes)
            }
            Facts::Known(facts) => facts
                .and_then(|facts| facts.stream())
                .map(|stream| if stream { &b"true"[..] } else { b"false" }),
        },
        Attribute::LlmTools { .. } => {
            each_tool(seen, known, visit)?;
            None
        }
        Attribute::PeerAddress
        | Attribute::RemoteAddress
        | Attribute::LocalAddress
        | Attribute::Port
        | Attribute::PathAndQuery
        | Attribute::RequestPrincipal
        | Attribute::LlmMaxTokens => None,
    };
    if let Some(value) = one {
        visit(value);
    }
    Ok(())
}

fn each_claim(tables: &Tables, attribute: Attribute, known: &Known<'_>, visit: &mut impl FnMut(&[u8])) {
    let Some(claims) = known.identity.claims() else {
        return;
    };
    match attribute {
        Attribute::Audience => claims.audiences().for_each(|value| visit(value.as_bytes())),
        Attribute::Presenter => claims.presenters().for_each(|value| visit(value.as_bytes())),
        Attribute::Claim(path) => claims
            .strings(tables.text(path))
            .for_each(|value| visit(value.as_bytes())),
        _ => {}
    }
}
