//! What to look up for a predicate: for each of its values something that a request must have to match it.
//!
//! An exact text, a prefix or a block stands for itself. Of a template it is the
//! text before the first brace, of a namespace with stars the text before the
//! first or after the last, of the path with its query a beginning of the path.
//! What has nothing of the kind, such as `*` for what every request has, cannot
//! be looked up.

use alloc::vec::Vec;

use crate::cidr::Cidr;
use crate::tables::Tables;
use crate::tables::{Attribute, Feature, PatternRow, PredicateRow, RequestPrincipalRow, Span, Subject, Text, Values};

/// A value to look up, and the number of what it leads to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) number: u32,
}

/// A value of a feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key {
    pub(super) feature: Feature,
    pub(super) form: Form,
}

/// How a value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Form {
    Exact(Span),
    Number(u64),
    Block(Cidr),
    /// Of at least one byte, as the next two.
    Prefix(Span),
    Suffix(Span),
    /// A prefix, case aside.
    PrefixAnyCase(Span),
    /// Whatever it is, as long as there is one.
    Any,
}

/// The keys of a predicate of which a request has at least one if the predicate holds, or may hold; `None` when there
/// are no such keys.
pub(super) fn of_predicate(rows: &Tables, predicate: &PredicateRow) -> Option<Vec<Key>> {
    if predicate.negated {
        return None;
    }
    match predicate.values {
        Values::Cidrs(blocks) => {
            let blocks = blocks.of(&rows.cidrs).iter();
            Some(
                blocks
                    .map(|block| key(predicate.attribute, Form::Block(*block)))
                    .collect(),
            )
        }
        // What a body says of numbers is a bound, mostly.
        Values::Ranges(_) if predicate.attribute != Attribute::Port => None,
        Values::Ranges(ranges) => {
            let ranges = ranges.of(&rows.ranges).iter();
            let numbers = ranges.map(|range| (range.min == range.max).then_some(Form::Number(range.min)));
            numbers.map(|form| Some(key(predicate.attribute, form?))).collect()
        }
        Values::Patterns(patterns) => {
            let patterns = patterns.of(&rows.patterns).iter();
            patterns
                .map(|pattern| of_pattern(rows.texts(), predicate.attribute, *pattern))
                .collect()
        }
        Values::RequestPrincipals(principals) => {
            let principals = principals.of(&rows.request_principals).iter();
            principals.map(|principal| Some(of_principal(principal))).collect()
        }
    }
}

/// The values of one predicate, each by its number: those that can be looked up and those that cannot. `None` when
/// the values of its attribute cannot.
pub(super) fn of_list(rows: &Tables, predicate: &PredicateRow) -> Option<(Vec<Entry>, Vec<u32>)> {
    let attribute = predicate.attribute;
    let keys: Vec<Option<Key>> = match predicate.values {
        Values::Cidrs(blocks) => {
            let blocks = blocks.of(&rows.cidrs).iter();
            blocks.map(|block| Some(key(attribute, Form::Block(*block)))).collect()
        }
        Values::Ranges(_) => return None,
        // It is a text of several pieces.
        Values::Patterns(_) if attribute == Attribute::PathAndQuery => return None,
        Values::Patterns(patterns) => {
            let patterns = patterns.of(&rows.patterns).iter();
            patterns
                .map(|pattern| whole(*pattern).map(|form| key(attribute, form)))
                .collect()
        }
        Values::RequestPrincipals(principals) => {
            let principals = principals.of(&rows.request_principals).iter();
            principals.map(|principal| Some(of_principal(principal))).collect()
        }
    };
    let (mut entries, mut others) = (Vec::new(), Vec::new());
    for (key, number) in keys.into_iter().zip(0..) {
        match key {
            Some(key) => entries.push(Entry { key, number }),
            None => others.push(number),
        }
    }
    Some((entries, others))
}

fn key(attribute: Attribute, form: Form) -> Key {
    Key {
        feature: Feature::Attribute(attribute),
        form,
    }
}

/// A form that takes exactly what the pattern takes.
fn whole(pattern: PatternRow) -> Option<Form> {
    match pattern {
        PatternRow::Exact(text) => Some(Form::Exact(text)),
        PatternRow::Prefix(text) if text.len > 0 => Some(Form::Prefix(text)),
        PatternRow::Suffix(text) if text.len > 0 => Some(Form::Suffix(text)),
        PatternRow::Prefix(_)
        | PatternRow::Suffix(_)
        | PatternRow::Any
        | PatternRow::Template(_)
        | PatternRow::Glob(_) => None,
    }
}

/// A key that every value has which the pattern takes.
fn of_pattern(text: Text<'_>, attribute: Attribute, pattern: PatternRow) -> Option<Key> {
    let before = |span: Span, stop: u8| prefix(span, text.bytes(span).iter().position(|&byte| byte == stop));
    match attribute {
        // The whole begins with the path, and a path that ends before the text does has `?` or nothing there.
        Attribute::PathAndQuery => match pattern {
            PatternRow::Exact(wanted) | PatternRow::Prefix(wanted) => Some(key(Attribute::Path, before(wanted, b'?')?)),
            _ => None,
        },
        Attribute::LlmStream => None,
        // Both stand in such an id, but not always next to each other.
        Attribute::ServiceAccount { anywhere: true } => match pattern {
            PatternRow::Exact(account) => {
                let len = text.bytes(account).iter().position(|&byte| byte == b'/')?;
                let namespace = Span {
                    len: u32::try_from(len).ok()?,
                    ..account
                };
                Some(key(Attribute::Namespace { anywhere: true }, Form::Exact(namespace)))
            }
            _ => None,
        },
        // All tools or one of them: one of them at least.
        Attribute::LlmTools { .. } => Some(key(Attribute::LlmTools { every: false }, whole(pattern)?)),
        _ => {
            let form = match pattern {
                PatternRow::Any if is_always_there(attribute) => return None,
                PatternRow::Any => Form::Any,
                PatternRow::Template(template) => before(template, b'{')?,
                PatternRow::Glob(glob) => before(glob, b'*').or_else(|| after_last(text, glob, b'*'))?,
                pattern => whole(pattern)?,
            };
            Some(key(attribute, form))
        }
    }
}

fn prefix(text: Span, len: Option<usize>) -> Option<Form> {
    let len = match len {
        Some(len) => u32::try_from(len).ok()?,
        None => text.len,
    };
    (len > 0).then_some(Form::Prefix(Span { len, ..text }))
}

fn after_last(text: Text<'_>, span: Span, stop: u8) -> Option<Form> {
    let tail = text.bytes(span).rsplit(|&byte| byte == stop).next()?.len();
    let len = u32::try_from(tail).ok()?;
    let start = span.start.checked_add(span.len.checked_sub(len)?)?;
    (len > 0).then_some(Form::Suffix(Span { start, len }))
}

fn is_always_there(attribute: Attribute) -> bool {
    matches!(
        attribute,
        Attribute::Host | Attribute::RawAuthority | Attribute::Method | Attribute::Path | Attribute::Scheme
    )
}

/// Whether it takes a body to know its values.
pub(super) fn needs_body(feature: Feature) -> bool {
    matches!(
        feature,
        Feature::Attribute(Attribute::LlmModel | Attribute::LlmTools { .. })
            | Feature::Route(Subject::Model | Subject::Stream)
    )
}

/// The subject says more than the issuer, unless it may be anyone.
fn of_principal(principal: &RequestPrincipalRow) -> Key {
    let (feature, pattern) = match principal.subject {
        PatternRow::Any => (Feature::TokenIssuer, principal.issuer),
        subject => (Feature::TokenSubject, subject),
    };
    Key {
        feature,
        form: whole(pattern).unwrap_or(Form::Any),
    }
}
