//! Answers of authorizers as shells keep them, and lent to a decision.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::{Answer, Field, Said};
use crate::tables::AuthorizerId;

/// What one authorizer said to a request. See [`Answer`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedAnswer {
    /// Which.
    pub authorizer: AuthorizerId,
    /// What.
    pub said: OwnedSaid,
}

/// What an authorizer may say. See [`Said`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "the four of `Said`")]
pub enum OwnedSaid {
    /// See [`Said::Allow`].
    Allow(Vec<OwnedField>),
    /// See [`Said::Deny`].
    Deny(u16),
    /// See [`Said::Nothing`].
    Nothing,
    /// See [`Said::BodyTooLarge`].
    BodyTooLarge,
}

/// A header field that an authorizer changed. See [`Field`].
#[derive(Clone, PartialEq, Eq)]
pub struct OwnedField {
    /// Lower case.
    pub name: Box<str>,
    /// `None` takes the field away.
    pub value: Option<Vec<u8>>,
}

/// The value may be a credential.
impl core::fmt::Debug for OwnedField {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("OwnedField")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl OwnedField {
    /// Gives the field `name` one value, instead of what `fields` has for it.
    pub fn set(fields: &mut Vec<Self>, name: &str, value: &[u8]) {
        Self::put(fields, name, Some(value.to_vec()));
    }

    /// Takes the field `name` away, instead of what `fields` has for it.
    pub fn remove(fields: &mut Vec<Self>, name: &str) {
        Self::put(fields, name, None);
    }

    fn put(fields: &mut Vec<Self>, name: &str, value: Option<Vec<u8>>) {
        fields.retain(|field| *field.name != *name);
        fields.push(Self {
            name: name.into(),
            value,
        });
    }

    fn borrow(&self) -> Field<'_> {
        Field {
            name: &self.name,
            value: self.value.as_deref(),
        }
    }
}

impl OwnedSaid {
    fn fields(&self) -> &[OwnedField] {
        match self {
            Self::Allow(fields) => fields,
            Self::Deny(_) | Self::Nothing | Self::BodyTooLarge => &[],
        }
    }
}

/// The fields of all `answers`, borrowed: what [`borrow_answers`] needs.
#[must_use]
pub fn borrow_fields(answers: &[OwnedAnswer]) -> Vec<Vec<Field<'_>>> {
    let fields = answers.iter().map(|answer| answer.said.fields());
    fields
        .map(|fields| fields.iter().map(OwnedField::borrow).collect())
        .collect()
}

/// The answers, borrowed; `fields` are theirs.
#[must_use]
pub fn borrow_answers<'k>(answers: &[OwnedAnswer], fields: &'k [Vec<Field<'k>>]) -> Vec<Answer<'k>> {
    let both = answers.iter().zip(fields);
    both.map(|(answer, fields)| Answer {
        authorizer: answer.authorizer,
        said: match answer.said {
            OwnedSaid::Allow(_) => Said::Allow(fields),
            OwnedSaid::Deny(status) => Said::Deny(status),
            OwnedSaid::Nothing => Said::Nothing,
            OwnedSaid::BodyTooLarge => Said::BodyTooLarge,
        },
    })
    .collect()
}
