//! Strict JSON (RFC 8259) of a text that is there as a whole: what stands next, and nothing remembered.
//!
//! The tokenizer of bodies can stop and go on at any byte, which costs more than
//! reading a token's few hundred bytes does. Here is only what is well formed;
//! escapes, and which error it is that a text has, are left to the tokenizer, and
//! that it is UTF-8 is known before, of all of it at once.

use alloc::vec::Vec;

use crate::lanes::{self, LaneSet};
use crate::llm::json::{JsonError, Kind, Tokenizer, Visit};
use crate::tables::Span;

/// It is not JSON. What is wrong with it, [`error`] says.
pub(super) struct Malformed;

/// A text, of no more than 2^32 bytes, and how far it is read.
pub(super) struct Lexer<'p> {
    text: &'p [u8],
    at: u32,
}

/// A string, in its quotes.
#[derive(Clone, Copy)]
pub(super) struct Quoted {
    pub(super) inside: Span,
    pub(super) has_escapes: bool,
}

impl<'p> Lexer<'p> {
    pub(super) const fn new(text: &'p [u8]) -> Self {
        Self { text, at: 0 }
    }

    /// Index of the next byte.
    pub(super) const fn at(&self) -> u32 {
        self.at
    }

    /// The next byte that is no blank.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        if let Some(byte @ b'!'..) = self.byte() {
            return Some(byte);
        }
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.byte() {
            self.skip(1);
        }
        self.byte()
    }

    /// Moves over the next byte that is no blank, if it is this one.
    #[inline]
    pub(super) fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.skip(u32::from(is_next));
        is_next
    }

    #[inline]
    pub(super) fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        self.eat(byte).then_some(()).ok_or(Malformed)
    }

    /// A string, whose quote is the next byte.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Quoted, Malformed> {
        self.skip(1);
        let (start, mut has_escapes) = (self.at, false);
        loop {
            self.plain();
            match self.byte() {
                Some(b'"') => break,
                Some(b'\\') => {
                    has_escapes = true;
                    self.skip(2);
                }
                _ => return Err(Malformed),
            }
        }
        let inside = self.since(start);
        self.skip(1);
        Ok(Quoted { inside, has_escapes })
    }

    /// Moves to the next quote, backslash or control character.
    #[inline]
    fn plain(&mut self) {
        while let Some(lane) = lanes::first(self.rest()) {
            if self.skip_to(lanes::specials(lane)) {
                return;
            }
        }
        while let Some(byte) = self.byte()
            && !matches!(byte, b'"' | b'\\' | 0..0x20)
        {
            self.skip(1);
        }
    }

    /// A number, which something must follow.
    pub(super) fn number(&mut self) -> Result<Span, Malformed> {
        let start = self.at;
        self.eat_here(b'-');
        if !self.eat_here(b'0') {
            self.digits()?;
        }
        if self.eat_here(b'.') {
            self.digits()?;
        }
        if self.eat_here(b'e') || self.eat_here(b'E') {
            let _ = self.eat_here(b'+') || self.eat_here(b'-');
            self.digits()?;
        }
        self.byte().map(|_| self.since(start)).ok_or(Malformed)
    }

    /// One of `true`, `false` and `null`.
    pub(super) fn literal(&mut self, literal: &[u8]) -> Result<Span, Malformed> {
        if !self.rest().starts_with(literal) {
            return Err(Malformed);
        }
        let start = self.at;
        self.skip(u32::try_from(literal.len()).map_err(|_| Malformed)?);
        Ok(self.since(start))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while let Some(lane) = lanes::first(self.rest()) {
            if self.skip_to(lanes::non_digits(lane)) {
                break;
            }
        }
        while let Some(b'0'..=b'9') = self.byte() {
            self.skip(1);
        }
        (self.at > start).then_some(()).ok_or(Malformed)
    }

    /// Moves to the first byte of the lane that is in the set, or over all of it; whether there is one.
    #[inline]
    fn skip_to(&mut self, set: LaneSet) -> bool {
        self.skip(lanes::before(set));
        set != 0
    }

    #[inline]
    fn eat_here(&mut self, byte: u8) -> bool {
        let is_next = self.byte() == Some(byte);
        self.skip(u32::from(is_next));
        is_next
    }

    #[inline]
    fn byte(&self) -> Option<u8> {
        self.text.get(self.at as usize).copied()
    }

    #[inline]
    pub(super) fn skip(&mut self, count: u32) {
        self.at = self.at.wrapping_add(count);
    }

    #[inline]
    fn rest(&self) -> &'p [u8] {
        self.text.get(self.at as usize..).unwrap_or_default()
    }

    /// What was read since there were `start` bytes before the next.
    #[inline]
    pub(super) const fn since(&self, start: u32) -> Span {
        Span {
            start,
            len: self.at.wrapping_sub(start),
        }
    }
}

/// Appends what a string says, given with its quotes.
pub(super) fn unescape(quoted: &[u8], to: &mut Vec<u8>) -> Result<(), Malformed> {
    tokenize(quoted, to).map_err(|_| Malformed)
}

/// What is wrong with a text that is malformed.
#[cold]
pub(super) fn error(text: &[u8]) -> Option<JsonError> {
    tokenize(text, &mut Vec::new()).err()
}

fn tokenize(text: &[u8], strings: &mut Vec<u8>) -> Result<(), JsonError> {
    let (mut tokenizer, mut strings) = (Tokenizer::new(), Strings(strings));
    tokenizer.feed(text, &mut strings)?;
    tokenizer.finish(&mut strings)
}

pub(super) fn span(start: usize, end: usize) -> Span {
    Span {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        len: u32::try_from(end.saturating_sub(start)).unwrap_or(0),
    }
}

/// Asks for everything, and keeps all that is said in strings.
struct Strings<'t>(&'t mut Vec<u8>);

impl Visit for Strings<'_> {
    type Error = JsonError;

    fn key(&mut self, _: usize, _: u64) -> Result<bool, JsonError> {
        Ok(true)
    }

    fn key_end(&mut self, _: usize, _: u64) -> Result<(), JsonError> {
        Ok(())
    }

    fn value(&mut self, _: usize, _: Kind, _: u64) -> Result<bool, JsonError> {
        Ok(true)
    }

    fn value_end(&mut self, _: usize, _: u64) -> Result<(), JsonError> {
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) {
        self.0.extend_from_slice(piece);
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use proptest::prelude::*;

    use super::*;
    use crate::claims::{ClaimSet, ClaimsError};

    /// What is read here is what the tokenizer reads, and what is wrong is wrong to both.
    #[track_caller]
    fn same_as_the_tokenizer(text: &[u8]) {
        let (wrong, shown) = (error(text), text.escape_ascii());
        match ClaimSet::parse::<&str>(text, &[]) {
            Ok(_) => assert_eq!(wrong, None, "{shown}"),
            Err(ClaimsError::Json(error)) => assert_eq!(wrong, Some(error), "{shown}"),
            Err(ClaimsError::NotAnObject) => assert!(!text.trim_ascii().starts_with(b"{"), "{shown}"),
            // Found before the text was read to its end.
            Err(_) => {}
        }
    }

    const TEXT: &str = r#" {"a":"b", "long name":"a string that is longer than a lane é","e\n":"\u00e9\ud83d\ude00\"\\",
        "n":[0,-1,2.50,3e7,-0.1E-2,1E+1],"l":[true,false,null, [] ,{},[{}]],"o":{"p":{"q":"r"}}, "":"" } "#;

    #[test]
    fn all_there_is_in_json_is_read() {
        assert!(ClaimSet::parse::<&str>(TEXT.as_bytes(), &[]).is_ok());
        for end in 0..TEXT.len() {
            same_as_the_tokenizer(&TEXT.as_bytes()[..end]);
        }
    }

    #[test]
    fn every_byte_at_every_place_is_judged_as_the_tokenizer_does() {
        for at in 0..TEXT.len() {
            for byte in 0..=u8::MAX {
                let mut text = Vec::from(TEXT);
                text[at] = byte;
                same_as_the_tokenizer(&text);
            }
        }
    }

    #[test]
    fn strings_end_where_they_end_however_long_they_are() {
        for len in 0..70 {
            let plain = "x".repeat(len);
            for end in [
                "", "\"", "\\", "\\\"", "\\\\", "\\u00e9", "\\ud800", "\\x", "\u{1}", "é", "\u{7f}",
            ] {
                for rest in ["", ":1}", "\":1}", "\":1}                    "] {
                    same_as_the_tokenizer(format!("{{\"{plain}{end}{rest}").as_bytes());
                    same_as_the_tokenizer(format!("{{\"a\":\"{plain}{end}{rest}").as_bytes());
                }
            }
            for byte in 0x80..=u8::MAX {
                same_as_the_tokenizer(&[b"{\"", plain.as_bytes(), &[byte], b"\":1}"].concat());
            }
        }
    }

    proptest! {
        #[test]
        fn texts_with_changes_are_judged_as_the_tokenizer_does(
            changes in proptest::collection::vec(
                (any::<proptest::sample::Index>(), 0_usize..4, proptest::sample::select(PIECES)),
                1..5,
            ),
        ) {
            let mut text = String::from(TEXT);
            for (at, cut, piece) in changes {
                let mut starts: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
                starts.push(text.len());
                let from = at.index(starts.len());
                let to = (from + cut).min(starts.len() - 1);
                text.replace_range(starts[from]..starts[to], piece);
            }
            same_as_the_tokenizer(text.as_bytes());
        }
    }

    const PIECES: &[&str] = &[
        "", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", ".", "e", "+", "9", "true", "nul", " ", "\n", "\u{0}",
        "é", "\\u", "d800", "\"a\":1,", "[[", "\u{feff}",
    ];
}
