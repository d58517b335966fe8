//! The facts of a request body that decisions and edits need.

/// Why a request body cannot be sent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyError {
    /// Nothing was sent.
    Empty,
}

/// What a body says. (Filled in by the scanner.)
#[derive(Debug, Clone)]
pub struct BodyFacts;

impl BodyError {
    pub fn status(self) -> u16 {
        400
    }
    pub fn message(self) -> &'static str {
        ""
    }
    pub fn code(self) -> &'static str {
        ""
    }
    pub fn param(self) -> Option<&'static str> {
        None
    }
}

pub struct Member {
    pub is_null: bool,
}
impl BodyFacts {
    pub fn member(&self, _: &str) -> Option<Member> {
        None
    }
}
