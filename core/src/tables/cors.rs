//! Who may read a rule's answers from a page of another origin.

use super::{Rows, Span};

/// One `corsPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct CorsRow {
    /// In `cors_origins`: any of them.
    pub(crate) origins: Rows,
    /// The values of header fields, as they are sent; `*` of the first two is what the client asks for.
    pub(crate) methods: Option<Span>,
    pub(crate) headers: Option<Span>,
    pub(crate) exposed: Option<Span>,
    pub(crate) max_age: Option<Span>,
    pub(crate) credentials: bool,
    /// A preflight of an origin that is not allowed goes upstream like any other request.
    pub(crate) forwards_unmatched: bool,
}
