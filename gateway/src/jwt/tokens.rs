//! The keys and the verified tokens of one configuration in use.
//!
//! Public, because what a token costs is measured from outside (`benches`).

use core::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_core::claims::ClaimSet;
use lockgate_core::compile::Compiled;
use lockgate_core::snapshot::{KeySource, KeysFrom, Secrets};
use lockgate_core::tables::{KeySourceId, Tables, TokenRuleId};
use lockgate_core::token::{SentToken, Token, TokenError};

use super::cache::{Cache, Entry, Hashed};
use super::headers::Headers;
use super::key_set::KeySetError;
use super::source::{Source, Status};
use super::{Begun, Fetcher, Pending};
use crate::log;

/// The keys and the verified tokens of one configuration in use.
#[derive(Debug)]
pub struct Tokens {
    /// By `KeySourceId`.
    sources: Vec<Arc<Source>>,
    verified: Cache,
    headers: Headers,
}

/// Why tokens cannot be verified under a configuration.
#[derive(Debug)]
pub struct TokensError(Reason);

#[derive(Debug)]
enum Reason {
    /// Of the RequestAuthentication that is named.
    KeySet(String, KeySetError),
    NoRandomness,
}

impl Tokens {
    /// What `compiled` says of keys. Those that are to be fetched are not there until [`Tokens::start`].
    ///
    /// # Errors
    /// A `jwks` of the configuration cannot be read, or the system gives no random numbers.
    pub fn new(compiled: &Compiled) -> Result<Self, TokensError> {
        let label = |keys| label(compiled.snapshot.tables(), keys);
        let specs = compiled.snapshot.key_sources().iter().zip((0..).map(KeySourceId));
        let sources = specs.map(|(spec, id)| {
            let source = source(spec, &compiled.secrets);
            let source = source.map_err(|error| TokensError(Reason::KeySet(label(id), error)))?;
            if source.is_useless() {
                log::warning(
                    "no key of a jwks can verify a token, so all are refused",
                    &[("request_authentication", &label(id))],
                );
            }
            Ok(Arc::new(source))
        });
        Ok(Self {
            sources: sources.collect::<Result<_, _>>()?,
            verified: Cache::new().map_err(|_| TokensError(Reason::NoRandomness))?,
            headers: Headers::default(),
        })
    }

    /// Puts the sources of `before` in the place of those that fetch the same, and starts the others. Within a runtime.
    pub(crate) fn start(&mut self, before: Option<&Self>, fetcher: &Arc<Fetcher>) {
        for source in &mut self.sources {
            let known = before.and_then(|before| before.sources.iter().find(|known| known.same_as(source)));
            match known {
                Some(known) => *source = Arc::clone(known),
                None => source.start(fetcher),
            }
        }
    }

    /// How the fetching of keys goes.
    pub(crate) fn status(&self) -> Vec<Status> {
        self.sources.iter().filter_map(|source| source.status()).collect()
    }

    /// Looks a token up, or reads it. `tables` are those of the configuration.
    pub fn begin(&self, tables: &Tables, sent: &SentToken<'_>) -> Begun {
        let now = now();
        let hashed = Hashed::new(sent.text());
        let known_by = self.verified.known_by(&hashed);
        if let Some(entry) = self.verified.get(&known_by)
            && entry.until.is_none_or(|until| now <= until)
            && (entry.place == sent.place() || entry.place.rules(tables).eq(sent.rules(tables)))
            && self
                .source(tables, entry.rule)
                .is_some_and(|source| source.holds(&entry.keys))
        {
            return Begun::Known(entry.claims);
        }
        let header = self.headers.of(sent.text());
        let read = Token::read_after(sent.text(), header.as_ref()).and_then(|token| {
            let rules = token.candidates(tables, sent, now)?;
            Ok(Box::new(Pending {
                token,
                rules,
                place: sent.place(),
                digest: hashed.signed,
                known_by,
                is_header_new: header.is_none(),
            }))
        });
        read.map_or_else(Begun::Refused, Begun::Pending)
    }

    /// Verifies the signature with the keys of the rules that would accept the token, and remembers it if it is good.
    ///
    /// # Errors
    /// Why none of the keys did.
    pub async fn finish(&self, tables: &Tables, pending: Pending) -> Result<Arc<ClaimSet>, TokenError> {
        let Pending {
            mut token,
            rules,
            place,
            digest,
            known_by,
            is_header_new,
        } = pending;
        let mut error = TokenError::NoKey;
        for rule in rules {
            let Some(source) = self.source(tables, rule) else {
                continue;
            };
            let verified = match source.verify(token.signed(), &digest) {
                Some(verified) => verified,
                None => {
                    // Thousands may wait at once, and what they claim is of nobody's word yet.
                    let aside = token.set_aside();
                    let verified = source.verify_later(&aside, &digest).await;
                    token = aside.read()?;
                    verified
                }
            };
            match verified {
                Ok(keys) => {
                    if is_header_new {
                        self.headers.keep(token.signed().header());
                    }
                    let until = token.accepted_until();
                    let claims = Arc::new(token.accept(tables, rule)?);
                    self.verified.put(
                        known_by,
                        Entry {
                            claims: Arc::clone(&claims),
                            place,
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

    /// Where the keys of a rule come from.
    fn source(&self, tables: &Tables, rule: TokenRuleId) -> Option<&Arc<Source>> {
        self.sources.get(tables.token_keys(rule)?.0 as usize)
    }
}

fn source(spec: &KeySource, secrets: &Secrets) -> Result<Source, KeySetError> {
    let KeysFrom::Inline(id) = spec.from else {
        return Ok(Source::remote(spec.clone()));
    };
    let text = secrets.get(id).map_or("", |secret| secret.expose());
    Source::inline(spec.clone(), text)
}

/// The RequestAuthentication that has these keys.
fn label(tables: &Tables, keys: KeySourceId) -> String {
    let rules = (0..).map(TokenRuleId);
    let mut rules = rules.map_while(|rule| Some((rule, tables.token_keys(rule)?)));
    let rule = rules.find(|(_, own)| *own == keys);
    rule.map_or_else(String::new, |(rule, _)| tables.token_rule_label(rule).to_owned())
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::KeySet(label, error) => write!(f, "a `jwks` of RequestAuthentication {label}: {error}"),
            Reason::NoRandomness => f.write_str("the system gives no random numbers"),
        }
    }
}

impl core::error::Error for TokensError {}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
