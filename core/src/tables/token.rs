//! The rows of RequestAuthentication: which tokens are looked for, and what makes one good.

use super::{KeySourceId, OriginId, Rows, Span};

/// One entry of `jwtRules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct TokenRuleRow {
    /// `None` takes any issuer, as a rule with nothing but `jwksUri` does.
    pub(crate) issuer: Option<Span>,
    /// In `token_texts`; none is any audience.
    pub(crate) audiences: Rows,
    /// In `token_place_ids`.
    pub(crate) places: Rows,
    pub(crate) keys: KeySourceId,
    /// `outputPayloadToHeader`, lower case.
    pub(crate) payload_header: Option<Span>,
    /// In `claim_headers`.
    pub(crate) claim_headers: Rows,
    /// `spaceDelimitedClaims`, in `token_texts`.
    pub(crate) split: Rows,
    /// `forwardOriginalToken`.
    pub(crate) forwards: bool,
    /// `namespace/name`.
    pub(crate) label: Span,
    pub(crate) origin: OriginId,
}

/// A place where a token may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum PlaceRow {
    /// After `prefix` in the field `name`, lower case.
    Header { name: Span, prefix: Span },
    /// The value of a query parameter.
    Param(Span),
    /// The value of a cookie.
    Cookie(Span),
}

/// One entry of `outputClaimToHeaders`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ClaimHeaderRow {
    /// Lower case.
    pub(crate) header: Span,
    /// A path as [`crate::claims`] has it.
    pub(crate) claim: Span,
}
