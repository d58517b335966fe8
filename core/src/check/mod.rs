//! External authorization: what the authorizers of CUSTOM policies say, and what a request is after it.
//!
//! An authorizer is an `extensionProviders` entry of Istio's MeshConfig. A
//! decision that depends on one asks the shell for its answer
//! ([`crate::decision::Decision::Check`]) and is asked again with it. An answer
//! that allows may change header fields; whatever comes after it, the next
//! authorizer included, sees the changed request, as in Envoy, whose ext_authz
//! filters change it in place.
//! <https://istio.io/latest/docs/tasks/security/authorization/authz-custom/>
//!
//! What an authorizer is sent, and what of its answer counts, is
//! [`Authorizer`]'s to say.

#[cfg(feature = "alloc")]
mod assume;
#[cfg(feature = "alloc")]
mod authorizer;
#[cfg(feature = "alloc")]
mod owned;

#[cfg(feature = "alloc")]
pub use assume::{AssumedAnswer, AssumedAnswers, AssumedDecision, assumed_answers};
#[cfg(feature = "alloc")]
pub use authorizer::{Authorizer, CheckBody, CheckProtocol, NamePattern, as_text, joined};
#[cfg(feature = "alloc")]
pub use owned::{OwnedAnswer, OwnedField, OwnedSaid, borrow_answers, borrow_fields};

use crate::attributes::Attributes;
use crate::authz::{self, Truth};
use crate::decide::{Body, Known};
use crate::decision::{Check, Decision, External, Refusal};
use crate::llm::body::BodyError;
use crate::request::{Headers, Request};
#[cfg(feature = "alloc")]
use crate::rewrite;
use crate::tables::{AuthorizerId, Tables};
use crate::token::overlay::Overlay;
use crate::upgrade;

/// What one authorizer said to a request.
#[derive(Debug, Clone, Copy)]
pub struct Answer<'k> {
    /// Which.
    pub authorizer: AuthorizerId,
    /// What.
    pub said: Said<'k>,
}

/// What an authorizer may say.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to report each")]
pub enum Said<'k> {
    /// The request may pass, with these fields in place of its own of the same names.
    Allow(&'k [Field<'k>]),
    /// It may not: the status for the client.
    Deny(u16),
    /// Nothing that counts: it cannot be reached, is late, fails or talks rubbish.
    Nothing,
    /// It was not asked, since the body is larger than what it may be sent.
    BodyTooLarge,
}

/// A header field that an authorizer changed: one for each of its values, or one without a value when it is removed.
#[derive(Clone, Copy)]
pub struct Field<'k> {
    /// Lower case.
    pub name: &'k str,
    /// `None` takes the field away.
    pub value: Option<&'k [u8]>,
}

/// The value may be a credential.
impl core::fmt::Debug for Field<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Field")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// A request's fields with the changes of authorizers over them.
#[derive(Clone, Copy)]
pub struct Checked<'k> {
    sent: &'k dyn Headers,
    /// In the order of the authorizers.
    answers: &'k [Answer<'k>],
}

impl<'k> Checked<'k> {
    /// The fields of `request` after `answers`, which stand in the order in which they were asked for.
    #[must_use]
    pub fn new(request: &Request<'k>, answers: &'k [Answer<'k>]) -> Self {
        Self {
            sent: request.headers,
            answers,
        }
    }

    /// What the request's fields are instead of what was sent: the last word on each, `None` where it is gone.
    pub fn changes(&self) -> impl Iterator<Item = (&'k str, Option<&'k [u8]>)> + use<'k> {
        let answers = self.answers;
        let answered = answers.iter().enumerate();
        answered.flat_map(move |(index, answer)| {
            let later = answers.get(index.saturating_add(1)..).unwrap_or(&[]);
            let is_last = move |field: &&Field<'_>| !later.iter().any(|answer| answer.names(field.name));
            let fields = answer.fields().iter().filter(is_last);
            fields.map(|field| (field.name, field.value))
        })
    }

    /// The same with the first answers only.
    fn first(self, count: usize) -> Self {
        Self {
            answers: self.answers.get(..count).unwrap_or(&[]),
            ..self
        }
    }

    /// Whether an authorizer changed the field `name`.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.answers.iter().any(|answer| answer.names(name))
    }

    /// Whether one changed a field that a server which takes an underscore for a hyphen would take for `name`, lower case:
    /// then the client's own goes.
    #[cfg(feature = "alloc")]
    pub(crate) fn names_alike(&self, name: &str) -> bool {
        let mut fields = self.answers.iter().flat_map(Answer::fields);
        fields.any(|field| rewrite::is_alike(field.name, name))
    }

    /// As pass 1 of the routes sees it: an authorizer's changes choose no route unless its `clearRouteCache` says so,
    /// and then those before it do too.
    pub(crate) fn seen_by_routes(self, tables: &Tables) -> Self {
        let reroutes = |answer: &Answer<'_>| {
            let row = tables.authorizers.get(answer.authorizer.0 as usize);
            row.is_some_and(|row| row.reroutes) && !answer.fields().is_empty()
        };
        let last = self.answers.iter().rposition(reroutes);
        self.first(last.map_or(0, |last| last.saturating_add(1)))
    }
}

/// Only who answered: the fields may hold credentials.
impl core::fmt::Debug for Checked<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.answers).finish()
    }
}

impl Headers for Checked<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        let Some(last) = self.answers.iter().rev().find(|answer| answer.names(name)) else {
            return self.sent.each(name, visit);
        };
        let fields = last.fields().iter();
        for field in fields.filter(|field| field.name.eq_ignore_ascii_case(name)) {
            if let Some(value) = field.value {
                visit(value.trim_ascii());
            }
        }
    }
}

impl<'k> Answer<'k> {
    fn names(&self, name: &str) -> bool {
        let mut fields = self.fields().iter();
        fields.any(|field| field.name.eq_ignore_ascii_case(name))
    }

    fn fields(&self) -> &'k [Field<'k>] {
        match self.said {
            Said::Allow(fields) => fields,
            Said::Deny(_) | Said::Nothing | Said::BodyTooLarge => &[],
        }
    }
}

/// Puts a request to the authorizers in turn, those whose policies match it. `None` when all of them let it pass.
///
/// A policy that cannot be evaluated, because the body cannot be read, counts as matched.
pub(crate) fn settle<'d>(tables: &Tables, seen: &Attributes<'d>, known: &Known<'_>) -> Option<Decision<'d>> {
    if tables.authorizers.is_empty() {
        return None;
    }
    let all = known.checked.copied().unwrap_or(Checked {
        sent: seen.headers,
        answers: &[],
    });
    for (row, id) in tables.authorizers.iter().zip((0..).map(AuthorizerId)) {
        let asked_before = all.answers.partition_point(|answer| answer.authorizer < id);
        let before = all.first(asked_before);
        let headers = Overlay::new(tables, seen, Some(&before), None);
        match authz::asks(tables, id, &seen.with_headers(&headers), known) {
            Truth::Fails => continue,
            Truth::Unknown if matches!(known.body, Body::Unread | Body::Stray) => return Some(Decision::ReadBody),
            Truth::Unknown | Truth::Holds => {}
        }
        let answer = all.answers.get(asked_before).filter(|answer| answer.authorizer == id);
        let refusal = match answer.map(|answer| answer.said) {
            None => {
                return Some(Decision::Check(Check {
                    authorizer: id,
                    path: seen.path,
                    query: seen.query,
                    remote: seen.remote,
                    scheme: seen.scheme,
                }));
            }
            Some(Said::Allow(_)) => continue,
            Some(Said::Nothing) if row.fail_open => continue,
            Some(Said::Nothing) => Refusal::External(id, External::Failed(denying(seen, row.status_on_error))),
            Some(Said::Deny(status)) => Refusal::External(id, External::Denied(denying(seen, status))),
            Some(Said::BodyTooLarge) => Refusal::Body(None, BodyError::TooLarge),
        };
        return Some(Decision::Refuse(refusal));
    }
    None
}

/// The status of a denial: 403 where its own would be taken for a tunnel.
fn denying(seen: &Attributes<'_>, status: u16) -> u16 {
    match upgrade::looks_agreed(seen, status) {
        true => 403,
        false => status,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(headers: &dyn Headers, name: &str) -> heapless::Vec<heapless::Vec<u8, 16>, 8> {
        let mut all = heapless::Vec::new();
        headers.each(name, &mut |value| {
            all.push(heapless::Vec::from_slice(value).unwrap()).unwrap();
        });
        all
    }

    #[test]
    fn the_last_authorizer_that_names_a_field_says_what_it_is() {
        let field = |name, value| Field { name, value };
        let first = [
            field("x-a", Some(&b"1"[..])),
            field("x-a", Some(b"2")),
            field("x-b", None),
        ];
        let second = [field("x-a", Some(&b" 3 "[..]))];
        let answers = [
            Answer {
                authorizer: AuthorizerId(0),
                said: Said::Allow(&first),
            },
            Answer {
                authorizer: AuthorizerId(1),
                said: Said::Nothing,
            },
            Answer {
                authorizer: AuthorizerId(2),
                said: Said::Allow(&second),
            },
        ];
        let sent: &[(&str, &[u8])] = &[("X-A", b"0"), ("x-b", b"0"), ("x-c", b"0")];
        let all = Checked {
            sent: &sent,
            answers: &answers,
        };
        let changed = all.first(2);
        assert_eq!(values(&changed, "x-a"), [&b"1"[..], b"2"]);
        assert!(values(&changed, "x-b").is_empty());
        assert_eq!(values(&changed, "x-c"), [&b"0"[..]]);
        assert_eq!(values(&all, "X-A"), [&b"3"[..]]);
    }
}
