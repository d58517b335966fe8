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
