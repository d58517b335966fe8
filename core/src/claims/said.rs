//! The text that claims refer to: a payload, and after it what does not stand in it as it is said.
//!
//! That is strings and names with escapes, and paths through objects. Most
//! payloads have little of it, so little is copied.

use alloc::vec::Vec;

use super::lexer::{Malformed, Quoted, span, unescape};
use super::{PATH_SEPARATOR, PathWord};
use crate::tables::Span;

const SEPARATOR: u8 = PATH_SEPARATOR as u8;

/// The text while it is made.
pub(super) struct Said<'p> {
    payload: &'p [u8],
    /// What follows the payload.
    pub(super) added: Vec<u8>,
}

/// A name, or the names that lead to a value.
#[derive(Clone, Copy)]
pub(super) struct Path {
    pub(super) word: PathWord,
    pub(super) span: Span,
}

impl Path {
    /// The payload's own.
    pub(super) const EMPTY: Self = Self {
        word: PathWord(0),
        span: Span { start: 0, len: 0 },
    };
}

impl<'p> Said<'p> {
    pub(super) const fn new(payload: &'p [u8]) -> Self {
        Self {
            payload,
            added: Vec::new(),
        }
    }

    #[inline]
    pub(super) fn bytes(&self, span: Span) -> &[u8] {
        self.from(span.start).get(..span.len as usize).unwrap_or_default()
    }

    /// The word of a name.
    #[inline]
    pub(super) fn word(&self, name: Span) -> PathWord {
        match self.from(name.start).first_chunk() {
            // Whatever follows the name.
            Some(bytes) => PathWord::begins(*bytes, name.len as usize),
            None => PathWord::of(self.bytes(name)),
        }
    }

    #[inline]
    fn from(&self, start: u32) -> &[u8] {
        let start = start as usize;
        let (text, start) = match start.checked_sub(self.payload.len()) {
            None => (self.payload, start),
            Some(start) => (&*self.added, start),
        };
        text.get(start..).unwrap_or_default()
    }

    /// What a string of the payload says.
    #[inline]
    pub(super) fn string(&mut self, quoted: Quoted) -> Result<Span, Malformed> {
        match quoted.has_escapes {
            true => self.unescaped(quoted.inside),
            false => Ok(quoted.inside),
        }
    }

    fn unescaped(&mut self, inside: Span) -> Result<Span, Malformed> {
        let start = self.added.len();
        let (before, after) = (inside.start.saturating_sub(1), inside.len.saturating_add(2));
        let from_quote = self.payload.get(before as usize..).unwrap_or_default();
        unescape(from_quote.get(..after as usize).unwrap_or_default(), &mut self.added)?;
        Ok(self.added_since(start))
    }

    /// The path to a member of the object at the path `object`.
    pub(super) fn path(&mut self, object: Span, name: Span) -> Path {
        let (start, names) = (self.added.len(), object.len.saturating_add(name.len));
        self.added.reserve(names.saturating_add(1) as usize);
        self.say_again(object);
        self.added.push(SEPARATOR);
        self.say_again(name);
        let span = self.added_since(start);
        let word = self.word(span);
        Path { word, span }
    }

    /// Adds what a span refers to.
    fn say_again(&mut self, span: Span) {
        let rest = self.payload.get(span.start as usize..).unwrap_or_default();
        match rest.get(..span.len as usize) {
            Some(said) => self.added.extend_from_slice(said),
            None => self.added.extend(self.bytes(span).to_vec()),
        }
    }

    /// Whether a name holds what paths are joined by, which only an escape can say.
    pub(super) fn has_separator(&self, name: Span) -> bool {
        name.start as usize >= self.payload.len() && self.bytes(name).contains(&SEPARATOR)
    }

    fn added_since(&self, start: usize) -> Span {
        let before = self.payload.len();
        span(before.saturating_add(start), before.saturating_add(self.added.len()))
    }
}
