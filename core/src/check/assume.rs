//! Answers of authorizers that are assumed, not given: what `explain` and the simulator are told.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::{Authorizer, CheckProtocol, NamePattern, OwnedAnswer, OwnedField, OwnedSaid};
use crate::config::suggest::did_you_mean;
use crate::field_value::FieldValue;
use crate::tables::AuthorizerId;

/// What each authorizer would say, by its name.
pub type AssumedAnswers = BTreeMap<String, AssumedAnswer>;

/// One answer for each name, the last where there are several. What `collect` does beside, to sort them first, would be
/// 3 KB of the simulator.
pub fn assumed_answers(answers: impl IntoIterator<Item = (String, AssumedAnswer)>) -> AssumedAnswers {
    let mut assumed = AssumedAnswers::new();
    assumed.extend(answers);
    assumed
}

/// What one authorizer would say, as JSON: `{"decision": "allow", "setHeaders": [["x-user", "ann"]]}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub enum AssumedAnswer {
    /// It lets the request pass.
    Allow {
        /// Fields that the request then has, instead of its own of the same names: one for each value. An authorizer over
        /// HTTP can set those of `headersToUpstreamOnAllow`, and of several values the last counts.
        set_headers: Vec<(String, FieldValue)>,
        /// Fields that it no longer has.
        remove_headers: Vec<String>,
    },
    /// It denies the request.
    Deny {
        /// The status for the client; 403 when not given.
        status: Option<u16>,
    },
    /// It cannot be reached, is late or fails.
    Error,
    /// It is not asked, since the body is larger than it may be sent.
    BodyTooLarge,
}

/// The JSON itself.
#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Written {
    decision: AssumedDecision,
    #[serde(skip_serializing_if = "Option::is_none")]
    set_headers: Option<Vec<(String, FieldValue)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remove_headers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
}

/// What `decision` of an assumed answer may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "these are the words of a format")]
pub enum AssumedDecision {
    /// `allow`
    Allow,
    /// `deny`
    Deny,
    /// `error`
    #[default]
    Error,
    /// `bodyTooLarge`
    BodyTooLarge,
}

impl From<AssumedAnswer> for Written {
    fn from(answer: AssumedAnswer) -> Self {
        match answer {
            AssumedAnswer::Allow {
                set_headers,
                remove_headers,
            } => Self {
                decision: AssumedDecision::Allow,
                set_headers: (!set_headers.is_empty()).then_some(set_headers),
                remove_headers: (!remove_headers.is_empty()).then_some(remove_headers),
                status: None,
            },
            AssumedAnswer::Deny { status } => Self {
                decision: AssumedDecision::Deny,
                status,
                ..Self::default()
            },
            AssumedAnswer::Error => Self::default(),
            AssumedAnswer::BodyTooLarge => Self {
                decision: AssumedDecision::BodyTooLarge,
                ..Self::default()
            },
        }
    }
}

impl TryFrom<Written> for AssumedAnswer {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        Self::new(
            written.decision,
            written.set_headers,
            written.remove_headers,
            written.status,
        )
    }
}

impl AssumedAnswer {
    /// The answer that has these members.
    ///
    /// # Errors
    /// Which member is not for this decision, in words.
    pub fn new(
        decision: AssumedDecision,
        set_headers: Option<Vec<(String, FieldValue)>>,
        remove_headers: Option<Vec<String>>,
        status: Option<u16>,
    ) -> Result<Self, &'static str> {
        let is_allow = decision == AssumedDecision::Allow;
        if !is_allow && (set_headers.is_some() || remove_headers.is_some()) {
            return Err("`setHeaders` and `removeHeaders` are for the decision `allow` only");
        }
        if decision != AssumedDecision::Deny && status.is_some() {
            return Err("`status` is for the decision `deny` only");
        }
        Ok(match decision {
            AssumedDecision::Allow => Self::Allow {
                set_headers: set_headers.unwrap_or_default(),
                remove_headers: remove_headers.unwrap_or_default(),
            },
            AssumedDecision::Deny => Self::Deny { status },
            AssumedDecision::Error => Self::Error,
            AssumedDecision::BodyTooLarge => Self::BodyTooLarge,
        })
    }

    /// The answers in the order in which a decision asks for them.
    ///
    /// # Errors
    /// What is wrong with them, in words: a name that no authorizer has, a field that it cannot change.
    pub fn of_all(assumed: &AssumedAnswers, authorizers: &[Authorizer]) -> Result<Vec<OwnedAnswer>, String> {
        let names: Vec<&str> = authorizers.iter().map(|authorizer| &*authorizer.name).collect();
        if let Some(unknown) = assumed.keys().find(|name| !names.contains(&name.as_str())) {
            let why = format!("no CUSTOM policy asks an authorizer `{unknown}`");
            return Err(with_help(why, unknown, &names));
        }
        let mut answers = Vec::new();
        for (authorizer, id) in authorizers.iter().zip((0..).map(AuthorizerId)) {
            if let Some(answer) = assumed.get(&*authorizer.name) {
                answers.push(OwnedAnswer {
                    authorizer: id,
                    said: answer.said(authorizer)?,
                });
            }
        }
        Ok(answers)
    }

    /// Leaves out the fields that `authorizer` does not set, as in a real answer.
    pub(crate) fn keep_taken(&mut self, authorizer: &Authorizer) {
        if let Self::Allow { set_headers, .. } = self {
            set_headers.retain(|(name, _)| authorizer.may_set(&name.to_ascii_lowercase()));
        }
    }

    fn said(&self, authorizer: &Authorizer) -> Result<OwnedSaid, String> {
        let (set, removed) = match self {
            Self::Allow {
                set_headers,
                remove_headers,
            } => (set_headers, remove_headers),
            Self::Deny { status } => return Ok(OwnedSaid::Deny(status.unwrap_or(403))),
            Self::Error => return Ok(OwnedSaid::Nothing),
            Self::BodyTooLarge => return Ok(OwnedSaid::BodyTooLarge),
        };
        let changeable = |name: &String| -> Result<String, String> {
            let name = name.to_ascii_lowercase();
            if Authorizer::may_change(&name) {
                Ok(name)
            } else {
                Err(format!("an authorizer must not change `{name}`"))
            }
        };
        let mut fields = Vec::new();
        for (name, value) in set {
            let name = changeable(name)?;
            if !authorizer.may_set(&name) {
                return Err(not_taken(&name, authorizer));
            }
            if matches!(authorizer.protocol, CheckProtocol::Http { .. }) {
                // As of its real answers, the last value counts.
                OwnedField::set(&mut fields, &name, value.as_bytes());
            } else {
                fields.push(OwnedField {
                    name: name.into(),
                    value: Some(value.as_bytes().to_vec()),
                });
            }
        }
        for name in removed {
            OwnedField::remove(&mut fields, &changeable(name)?);
        }
        Ok(OwnedSaid::Allow(fields))
    }
}

/// Why nothing comes of the field `name` in an answer of this authorizer.
fn not_taken(name: &str, authorizer: &Authorizer) -> String {
    let listed: Vec<String> = authorizer.to_upstream.iter().map(NamePattern::as_written).collect();
    let listed: Vec<&str> = listed.iter().map(String::as_str).collect();
    let taken = match &listed[..] {
        [] => "nothing".into(),
        _ => ["`", &listed.join("`, `"), "`"].concat(),
    };
    let why = format!(
        "the authorizer `{}` cannot set `{name}`: its `headersToUpstreamOnAllow` has {taken}",
        authorizer.name
    );
    with_help(why, name, &listed)
}

/// That, with the name of these that was probably meant.
fn with_help(why: String, wrong: &str, names: &[&str]) -> String {
    match did_you_mean(wrong, names.iter().copied()) {
        Some(help) => format!("{why}; {help}"),
        None => why,
    }
}
