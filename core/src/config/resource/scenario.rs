//! Lockgate's own Scenario: requests, and what is expected to come of each.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Meta, Spanned};
use crate::config::diagnostic::Location;
use crate::explain::Question;

/// A Scenario of `lockgate.dev/v1`: a test of the other resources. A gateway that serves takes no notice of it.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.cases`.
    pub cases: Vec<Case>,
}

/// One request, and what is expected.
#[derive(Debug, Clone)]
pub struct Case {
    /// `name`, unique within the Scenario.
    pub name: Spanned<String>,
    /// `request`.
    pub question: Question,
    /// Where `expect` stands.
    pub at: Location,
    /// The members of `expect`, in the order of the schema.
    pub expected: Vec<(&'static str, Spanned<Fact>)>,
}

/// One member of a verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
    /// Several texts, in order.
    List(Vec<String>),
    /// Texts by name, in order.
    Fields(Vec<(String, String)>),
}
