//! Headers of tokens that were verified.
//!
//! An issuer writes the same header into all tokens that it signs with one key,
//! so that few headers need be read, and each once. Only those of good tokens
//! are kept: nobody can drive them out who cannot sign.

use std::sync::Arc;

use arc_swap::ArcSwap;
use lockgate_core::token::Header;

use crate::limits::{TOKEN_HEADER_BYTES_MAX, TOKEN_HEADERS_MAX};

/// Headers that were read before.
#[derive(Debug, Default)]
pub(crate) struct Headers(ArcSwap<Vec<Arc<Header>>>);

impl Headers {
    /// The one that a token begins with.
    pub(crate) fn of(&self, token: &[u8]) -> Option<Arc<Header>> {
        let headers = self.0.load();
        headers.iter().find(|header| header.begins(token)).cloned()
    }

    /// Keeps the header of a token that was verified, and that was none of them, in the place of the eldest if there are
    /// many.
    pub(crate) fn keep(&self, header: &Arc<Header>) {
        if header.size() > TOKEN_HEADER_BYTES_MAX {
            return;
        }
        self.0.rcu(|headers| {
            let excess = headers.len().saturating_add(1).saturating_sub(TOKEN_HEADERS_MAX);
            let younger = headers.iter().skip(excess).cloned();
            younger.chain([Arc::clone(header)]).collect::<Vec<_>>()
        });
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::token::Token;

    use super::*;

    fn token(key_id: impl core::fmt::Display) -> Vec<u8> {
        use base64::Engine;
        use base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let header = format!(r#"{{"alg":"ES256","kid":"{key_id}"}}"#);
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header)).into_bytes()
    }

    #[test]
    fn a_header_is_known_again_and_no_other_that_begins_like_it() {
        let headers = Headers::default();
        let text = token(1);
        assert!(headers.of(&text).is_none());
        headers.keep(Token::read(&text).unwrap().signed().header());
        let known = headers.of(&text).unwrap();
        let again = Token::read_after(&text, Some(&known)).unwrap();
        assert!(Arc::ptr_eq(again.signed().header(), &known));
        let dot = text.iter().position(|byte| *byte == b'.').unwrap();
        for other in [&text[1..], &text[..dot], &text[..dot - 1], &token(2)] {
            assert!(headers.of(other).is_none());
        }
        let longer = [&text[..dot], b"AA", &text[dot..]].concat();
        assert!(headers.of(&longer).is_none());
    }

    #[test]
    fn the_youngest_are_kept_and_none_that_is_long() {
        let headers = Headers::default();
        let texts: Vec<_> = (0..TOKEN_HEADERS_MAX + 3).map(token).collect();
        for text in &texts {
            headers.keep(Token::read(text).unwrap().signed().header());
        }
        let kept: Vec<_> = texts.iter().map(|text| headers.of(text).is_some()).collect();
        let expected: Vec<_> = (0..texts.len()).map(|at| at >= 3).collect();
        assert_eq!(kept, expected);
        let long = token("k".repeat(TOKEN_HEADER_BYTES_MAX));
        headers.keep(Token::read(&long).unwrap().signed().header());
        assert!(headers.of(&long).is_none());
    }
}
