//! `security.istio.io` RequestAuthentication: whose tokens are accepted.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Meta, PolicyTarget, Spanned};
use crate::config::diagnostic::Location;
use crate::config::secret::Secret;

/// A RequestAuthentication. <https://istio.io/latest/docs/reference/config/security/request_authentication/>
#[derive(Debug, Clone)]
pub struct RequestAuthentication {
    /// Where it came from.
    pub meta: Meta,
    /// What it applies to.
    pub target: PolicyTarget,
    /// `spec.jwtRules`.
    pub rules: Vec<JwtRule>,
}

/// One entry of `spec.jwtRules`.
#[derive(Debug, Clone)]
pub struct JwtRule {
    /// The entry.
    pub at: Location,
    /// `issuer`.
    pub issuer: Option<Spanned<Box<str>>>,
    /// `audiences`; none is any.
    pub audiences: Vec<Spanned<String>>,
    /// Where its keys come from.
    pub keys: JwtKeys,
    /// `fromHeaders`, `fromParams` and `fromCookies`, or the default places.
    pub places: Vec<TokenPlace>,
    /// Where `forwardOriginalToken` is true.
    pub forwards: Option<Location>,
    /// `outputPayloadToHeader`, lower case.
    pub payload_header: Option<Box<str>>,
    /// `outputClaimToHeaders`.
    pub claim_headers: Vec<ClaimToHeader>,
    /// `timeout` of one fetch, in milliseconds.
    pub timeout_ms: u32,
    /// `spaceDelimitedClaims`.
    pub split: Vec<Spanned<String>>,
}

/// Where the keys of a rule come from.
#[derive(Debug, Clone)]
pub enum JwtKeys {
    /// `jwks`. It may hold symmetric keys, so it is kept as secrets are.
    Inline(Secret),
    /// `jwksUri`.
    Url(Box<str>),
    /// Neither: the OpenID configuration of `issuer`.
    Issuer(Box<str>),
}

/// Where a token may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenPlace {
    /// After `prefix` in the field `name`, lower case.
    Header {
        /// The field.
        name: Box<str>,
        /// What stands before the token.
        prefix: Box<str>,
    },
    /// A query parameter.
    Param(Box<str>),
    /// A cookie.
    Cookie(Box<str>),
}

impl TokenPlace {
    /// The query parameter where tokens are looked for if a rule names no place.
    pub const PARAM_DEFAULT: &str = "access_token";
}

/// One entry of `outputClaimToHeaders`.
#[derive(Debug, Clone)]
pub struct ClaimToHeader {
    /// Lower case.
    pub header: Box<str>,
    /// Names of objects and of the claim, with dots between them.
    pub claim: Box<str>,
}
