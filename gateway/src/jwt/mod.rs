//! Who signs a token, and whether this one is signed: the part of
//! RequestAuthentication that needs keys, a clock and a network.
//!
//! ```text
//! Decision::VerifyToken ─► begin ─► cache hit ─────────────► claims
//!                            │ └──► malformed, expired, … ─► refused
//!                            └► finish: keys of the issuer ─► claims or refused
//! ```
//!
//! Everything else about tokens is the engine's ([`lockgate_core::token`]).
//! Signatures are verified with aws-lc-rs itself, which TLS brings along: the
//! engine has read the token in Envoy's order and words already, and a JWT crate
//! would read it a second time in its own.

mod address;
mod cache;
mod fetch;
mod headers;
mod key_set;
mod source;
mod tokens;

use core::fmt;
use std::sync::Arc;

use lockgate_core::claims::ClaimSet;
use lockgate_core::tables::{TokenPlaceId, TokenRuleId};
use lockgate_core::token::{Token, TokenError};

use aws_lc_rs::digest;
use cache::Digest;
pub(crate) use fetch::Fetcher;
pub(crate) use source::Status;
pub use tokens::{Tokens, TokensError};

/// How far a token has come without waiting.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "each is treated in its own way")]
pub enum Begun {
    /// It was verified before.
    Known(Arc<ClaimSet>),
    /// It must not pass, whatever the keys are.
    Refused(TokenError),
    /// All that is left is its signature.
    Pending(Box<Pending>),
}

/// A token whose signature is to be verified.
pub struct Pending {
    token: Token,
    rules: Vec<TokenRuleId>,
    /// Where it was found.
    place: TokenPlaceId,
    /// SHA-256 of what is signed.
    digest: digest::Digest,
    known_by: Digest,
    /// Whether its header was read for the first time.
    is_header_new: bool,
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}
