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
mod key_set;
mod source;

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_core::claims::ClaimSet;
use lockgate_core::tables::{Tables, TokenRuleId};
use lockgate_core::token::{SentToken, Token, TokenError};

pub(crate) use cache::Cache;
pub(crate) use fetch::Fetcher;
pub(crate) use key_set::KeySet;
pub(crate) use source::{Source, Status};

use crate::live::Live;
use cache::{Digest, Entry};

/// How far a token has come without waiting.
pub(crate) enum Begun {
    /// It was verified before.
    Known(Arc<ClaimSet>),
    /// It must not pass, whatever the keys are.
    Refused(TokenError),
    /// All that is left is its signature.
    Pending(Box<Pending>),
}

/// A token whose signature is to be verified.
pub(crate) struct Pending {
    token: Token,
    rules: Vec<TokenRuleId>,
    digest: Digest,
}

/// Looks a token up, or reads it.
pub(crate) fn begin(live: &Live, tables: &Tables<'_>, sent: &SentToken<'_>) -> Begun {
    let now = now();
    let digest = live.tokens.digest(sent.text());
    if let Some(entry) = live.tokens.get(&digest)
        && entry.until.is_none_or(|until| now <= until)
        && sent.rules(tables).any(|rule| rule == entry.rule)
        && live
            .source(tables, entry.rule)
            .is_some_and(|source| source.holds(&entry.keys))
    {
        return Begun::Known(entry.claims);
    }
    let read = Token::read(sent.text()).and_then(|token| {
        let rules = token.candidates(tables, sent, now)?;
        Ok(Box::new(Pending { token, rules, digest }))
    });
    read.map_or_else(Begun::Refused, Begun::Pending)
}

/// Verifies the signature with the keys of the rules that would accept the token, and remembers it if it is good.
pub(crate) async fn finish(live: &Live, pending: Pending) -> Result<Arc<ClaimSet>, TokenError> {
    let tables = live.compiled.snapshot.tables();
    let Pending { token, rules, digest } = pending;
    let mut error = TokenError::NoKey;
    for rule in rules {
        let Some(source) = live.source(&tables, rule) else {
            continue;
        };
        match source.verify(&token).await {
            Ok(keys) => {
                let until = token.accepted_until();
                let claims = Arc::new(token.accept(&tables, rule)?);
                live.tokens.put(
                    digest,
                    Entry {
                        claims: Arc::clone(&claims),
                        rule,
                        keys,
                        until,
                    },
                );
                return Ok(claims);
            }
            Err(why) => error = why,
        }
    }
    Err(error)
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
