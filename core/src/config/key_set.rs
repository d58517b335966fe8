//! The check of a JSON Web Key Set (RFC 7517) that stands in the configuration.
//!
//! Whether each key is one that can verify anything is the shell's to find out,
//! which has the cryptography. Here it must only be a key set, and one that may
//! be shared. Of one that is fetched, what is not understood is passed over (RFC
//! 7517 §5); of one that is written here, nothing is.

use crate::limits::{KEY_SET_BYTES_MAX, KEYS_MAX};
use crate::llm::json::{JsonError, Kind, Tokenizer, Visit};

/// Whether the text is an object with a list of objects called `keys`, each of which has a `kty`, and a text for
/// each of [`TEXTS`] that it has.
pub(crate) fn check(text: &str) -> Result<(), &'static str> {
    if text.len() > KEY_SET_BYTES_MAX {
        return Err("is longer than any key set");
    }
    let seen = read(text)?;
    match seen {
        Seen { keys: None, .. } => Err("is no JSON Web Key Set: it has no list `keys`"),
        Seen { keys: Some(0), .. } => Err("is a key set without keys, so every token would be refused"),
        Seen { keys: Some(keys), .. } if keys > KEYS_MAX => Err("has more than 100 keys"),
        Seen {
            keys: Some(keys),
            types,
            ..
        } if types < keys => Err("is no JSON Web Key Set: a key has no `kty`"),
        _ => Ok(()),
    }
}

/// What of it should not be in a key set that only verifies.
pub(crate) fn lint(text: &str) -> Option<&'static str> {
    let seen = read(text).ok()?;
    if seen.private {
        Some("holds a private key, with which tokens are made")
    } else if seen.symmetric {
        Some("holds a symmetric key: whoever can verify with it can make tokens")
    } else {
        None
    }
}

fn read(text: &str) -> Result<Seen, &'static str> {
    let mut seen = Seen::default();
    let mut tokenizer = Tokenizer::new();
    tokenizer.feed(text.as_bytes(), &mut seen)?;
    tokenizer.finish(&mut seen)?;
    Ok(seen)
}

#[derive(Default)]
struct Seen {
    /// Keys in the list `keys`.
    keys: Option<usize>,
    /// Those with a `kty`.
    types: usize,
    symmetric: bool,
    private: bool,
    /// The current member's name, or the current string; longer ones than any that matters are cut.
    piece: heapless::Vec<u8, 8>,
    in_keys: bool,
    in_type: bool,
    in_text: bool,
}

/// The members that say which tokens a key of any type is for: it cannot be used if one is not understood.
const TEXTS: [&[u8]; 3] = [b"kid", b"alg", b"use"];

impl From<JsonError> for &'static str {
    fn from(_: JsonError) -> Self {
        "is not valid JSON"
    }
}

impl Visit for Seen {
    type Error = &'static str;

    fn key(&mut self, depth: usize, _: u64) -> Result<bool, &'static str> {
        self.piece.clear();
        Ok(depth == 1 || (depth == 3 && self.in_keys))
    }

    fn key_end(&mut self, depth: usize, _: u64) -> Result<(), &'static str> {
        if depth == 1 {
            self.in_keys = &self.piece[..] == b"keys";
        } else if depth == 3 && self.in_keys {
            self.in_type = &self.piece[..] == b"kty";
            self.in_text = TEXTS.contains(&&self.piece[..]);
            self.private |= &self.piece[..] == b"d";
        }
        Ok(())
    }

    fn value(&mut self, depth: usize, kind: Kind, _: u64) -> Result<bool, &'static str> {
        self.piece.clear();
        match depth {
            0 if kind != Kind::Object => Err("is no JSON Web Key Set: it is no object"),
            0 => Ok(true),
            1 if self.in_keys && (kind != Kind::Array || self.keys.is_some()) => {
                Err("is no JSON Web Key Set: `keys` is not one list")
            }
            1 if self.in_keys => {
                self.keys = Some(0);
                Ok(true)
            }
            2 if self.in_keys && kind != Kind::Object => Err("is no JSON Web Key Set: a key is no object"),
            2 if self.in_keys => {
                self.keys = self.keys.map(|keys| keys.saturating_add(1));
                Ok(true)
            }
            3 if self.in_keys && self.in_text && !matches!(kind, Kind::String | Kind::Null) => {
                Err("is no JSON Web Key Set: `kid`, `alg` and `use` of a key must be strings")
            }
            3 => Ok(self.in_keys && self.in_type && kind == Kind::String),
            _ => Ok(false),
        }
    }

    fn value_end(&mut self, depth: usize, _: u64) -> Result<(), &'static str> {
        if depth == 3 && self.in_keys && self.in_type {
            self.in_type = false;
            self.types = self.types.saturating_add(usize::from(!self.piece.is_empty()));
            self.symmetric |= &self.piece[..] == b"oct";
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) {
        for byte in piece {
            // What is longer than the room is none of the names that matter.
            if self.piece.push(*byte).is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_key_set() {
        let rsa = r#"{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB","x":{"y":[1]}}],"more":[1,{"kty":2}]}"#;
        assert_eq!((check(rsa), lint(rsa)), (Ok(()), None));
        for bad in [
            "",
            "x",
            "[]",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":{}}"#,
            r#"{"keys":[1]}"#,
            r#"{"keys":[{}]}"#,
            r#"{"keys":[{"kty":"RSA"},{"kid":"a"}]}"#,
            r#"{"keys":[{"kty":1}]}"#,
            r#"{"keys":[{"kty":"RSA","kid":7}]}"#,
            r#"{"keys":[{"kty":"RSA","use":["sig"]}]}"#,
            r#"{"keys":[{"kty":"RSA","\u0061lg":{}}]}"#,
            r#"{"keys":[{"kty":"RSA"}],"keys":[]}"#,
            r#"{"keys":[{"kty":"RSA"}]"#,
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_set_has_no_more_keys_than_an_issuer_has() {
        let of = |keys: usize| {
            alloc::format!(
                r#"{{"keys":[{}]}}"#,
                [r#"{"kty":"RSA","kid":null}"#].repeat(keys).join(",")
            )
        };
        assert_eq!(check(&of(KEYS_MAX)), Ok(()));
        let error = check(&of(KEYS_MAX.saturating_add(1)));
        assert!(error.is_err_and(|text| text.contains(&alloc::format!("{KEYS_MAX}"))));
    }

    #[test]
    fn keys_that_should_not_be_shared_are_told() {
        let lint = |members: &str| lint(&alloc::format!(r#"{{"keys":[{{{members}}}]}}"#));
        assert!(lint(r#""kty":"oct","k":"AQ""#).is_some_and(|text| text.contains("symmetric")));
        assert!(lint(r#""kty":"RSA","d":"AQ""#).is_some_and(|text| text.contains("private")));
        assert_eq!(lint(r#""kty":"EC","kid":"d""#), None);
    }
}
