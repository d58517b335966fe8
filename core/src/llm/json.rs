//! A strict JSON tokenizer (RFC 8259) that can stop and go on at any byte.
//!
//! It validates everything, keeps nothing and calls a `Visit` for the upper
//! levels only: request bodies and answers are read for a handful of members,
//! and the rest is text that must merely be well formed. Nesting is a bit stack
//! of [`JSON_DEPTH_MAX`] bits, so there is no recursion and no allocation.
//! The same bytes give the same result, error offsets included, however they
//! are cut into chunks.

mod block;
mod escape;
mod inside;
mod string;
mod utf8;

use self::string::Border;
use crate::limits::JSON_DEPTH_MAX;

// One bit of the stack a level.
const _: () = assert!(JSON_DEPTH_MAX <= u128::BITS as usize);

/// What is wrong with a text that should be JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "every reader of JSON decides what each means to it"
)]
pub enum JsonErrorKind {
    /// Nothing but blanks.
    Empty,
    /// The text ends inside a value.
    UnexpectedEnd,
    /// A byte that cannot stand where it stands.
    UnexpectedByte,
    /// A number that is not written as RFC 8259 has it.
    InvalidNumber,
    /// A raw control character in a string.
    ControlCharacter,
    /// A backslash followed by something that is no escape.
    InvalidEscape,
    /// Half of a surrogate pair, in text that is read.
    LoneSurrogate,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// The text starts with a byte-order mark.
    ByteOrderMark,
    /// Something follows the value.
    TrailingBytes,
    /// More than [`JSON_DEPTH_MAX`] arrays and objects around each other.
    TooDeep,
}

#[cfg(feature = "alloc")]
impl JsonErrorKind {
    /// Each of them.
    pub(super) const ALL: [Self; 11] = [
        Self::Empty,
        Self::UnexpectedEnd,
        Self::UnexpectedByte,
        Self::InvalidNumber,
        Self::ControlCharacter,
        Self::InvalidEscape,
        Self::LoneSurrogate,
        Self::InvalidUtf8,
        Self::ByteOrderMark,
        Self::TrailingBytes,
        Self::TooDeep,
    ];
}

/// An error and the offset of the byte where it shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Bytes before it, over all chunks.
    pub at: u64,
}

/// The type of a value, known from its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

/// Is told what the tokenizer reads: the whole value, and what is inside the arrays and objects it asks for.
///
/// Depth is the number of containers around: 0 for the whole text, 1 for the members of a top-level object.
pub(crate) trait Visit {
    /// What stops the scan.
    type Error: From<JsonError>;
    /// A key begins (at its quote); `true` asks for its text.
    fn key(&mut self, depth: usize, at: u64) -> Result<bool, Self::Error>;
    /// The key is over; `end` is after its closing quote.
    fn key_end(&mut self, depth: usize, end: u64) -> Result<(), Self::Error>;
    /// A value begins; `true` asks for the text of a string or number, or for what is inside an array or object.
    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, Self::Error>;
    /// The value is over.
    fn value_end(&mut self, depth: usize, end: u64) -> Result<(), Self::Error>;
    /// A piece of the text asked for, unescaped. Valid UTF-8 as a whole once the end is told, not piece by piece.
    ///
    /// It cannot fail: a text that is too long is refused at its end, so that what is wrong with the bytes comes first.
    fn text(&mut self, piece: &[u8]);
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first value: only here may a byte-order mark be named as such.
    Start,
    Value,
    /// After `[`.
    FirstElement,
    /// After `{`.
    FirstKey,
    /// After `,` in an object.
    NextKey,
    Colon,
    AfterValue,
    // From here on inside a key or a value: see [`State::is_inside`].
    InString,
    Escape,
    /// Inside `\u`.
    Hex,
    Number,
    /// Inside `true`, `false` or `null`.
    Literal,
}

impl State {
    #[inline]
    fn is_inside(self) -> bool {
        matches!(
            self,
            Self::InString | Self::Escape | Self::Hex | Self::Number | Self::Literal
        )
    }
}

/// How far a number has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Minus,
    Zero,
    Integer,
    Dot,
    Fraction,
    E,
    ExponentSign,
    Exponent,
}

impl Number {
    /// The state after `byte`, or `None` when it does not belong to the number.
    fn step(self, byte: u8) -> Option<Self> {
        Some(match (self, byte) {
            (Self::Minus, b'0') => Self::Zero,
            (Self::Minus, b'1'..=b'9') | (Self::Integer, b'0'..=b'9') => Self::Integer,
            (Self::Zero | Self::Integer, b'.') => Self::Dot,
            (Self::Dot | Self::Fraction, b'0'..=b'9') => Self::Fraction,
            (Self::Zero | Self::Integer | Self::Fraction, b'e' | b'E') => Self::E,
            (Self::E, b'+' | b'-') => Self::ExponentSign,
            (Self::E | Self::ExponentSign | Self::Exponent, b'0'..=b'9') => Self::Exponent,
            _ => return None,
        })
    }

    fn is_whole(self) -> bool {
        matches!(self, Self::Zero | Self::Integer | Self::Fraction | Self::Exponent)
    }
}

/// The scanner's memory between chunks: under a hundred bytes.
#[derive(Debug, Clone)]
pub(crate) struct Tokenizer {
    state: State,
    /// One bit a level, the innermost lowest: 1 is an object.
    stack: u128,
    depth: usize,
    /// The deepest level that the visitor is told of.
    told: usize,
    /// Offset of the current chunk's first byte.
    base: u64,
    /// The current string is a key.
    is_key: bool,
    /// The visitor asked for the text of the current string or number.
    wanted: bool,
    /// The current string's bytes from `unchecked_from` on hold one that is not ASCII.
    non_ascii: bool,
    /// Index in the chunk of the current string's first byte that was not checked for UTF-8.
    unchecked_from: usize,
    /// The beginning of a character that a chunk border cut.
    cut: [u8; 4],
    cut_len: usize,
    /// How far the current number has come.
    number: Number,
    /// What is still to come of the current `true`, `false` or `null`.
    literal: &'static [u8],
    /// The current `\u`'s digits, and how many are still to come.
    hex: u32,
    hex_left: u8,
    /// A high surrogate waiting for its other half.
    high: Option<u32>,
    /// Offset of the last backslash.
    escape_at: u64,
    /// Offset of the waiting high surrogate's backslash.
    high_at: u64,
}

/// One chunk and how far it is read.
struct Cursor<'c> {
    chunk: &'c [u8],
    at: usize,
}

impl<'c> Cursor<'c> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.chunk.get(self.at).copied()
    }

    #[inline]
    fn skip(&mut self, count: usize) {
        self.at = self.at.wrapping_add(count);
    }

    #[inline]
    fn rest(&self) -> &'c [u8] {
        self.chunk.get(self.at..).unwrap_or_default()
    }

    /// Moves over a short string with its quotes, if there is one; most keys and many values are.
    #[inline]
    fn short_string(&mut self) -> Option<&'c [u8]> {
        let after = self.chunk.get(self.at.wrapping_add(1)..)?;
        let inside = after.get(..inside::short(after)?)?;
        self.skip(inside.len().wrapping_add(2));
        Some(inside)
    }

    /// Moves over blanks, to the byte after them.
    #[inline]
    fn after_blanks(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.skip(1),
                byte => return Some(byte),
            }
        }
    }
}

impl Tokenizer {
    pub(crate) const fn new() -> Self {
        Self {
            state: State::Start,
            stack: 0,
            depth: 0,
            told: 0,
            base: 0,
            is_key: false,
            wanted: false,
            non_ascii: false,
            unchecked_from: 0,
            cut: [0; 4],
            cut_len: 0,
            number: Number::Minus,
            literal: b"",
            hex: 0,
            hex_left: 0,
            high: None,
            escape_at: 0,
            high_at: 0,
        }
    }

    /// Bytes read so far.
    pub(crate) fn offset(&self) -> u64 {
        self.base
    }

    /// Reads one chunk. After an error the tokenizer must not be fed again.
    pub(crate) fn feed<V: Visit>(&mut self, chunk: &[u8], visit: &mut V) -> Result<(), V::Error> {
        self.unchecked_from = 0;
        self.non_ascii = false;
        let mut cursor = Cursor { chunk, at: 0 };
        if self.cut_len > 0 {
            self.finish_cut(&mut cursor, visit)?;
        }
        while cursor.at < chunk.len() {
            if self.state.is_inside() {
                self.inside(&mut cursor, visit)?;
            } else {
                self.between(&mut cursor, visit)?;
            }
        }
        if self.non_ascii && matches!(self.state, State::InString | State::Escape | State::Hex) {
            self.check_utf8(chunk, chunk.len(), Border::Chunk)?;
        }
        self.base = self.base.saturating_add(chunk.len() as u64);
        Ok(())
    }

    /// Says that no chunk follows.
    pub(crate) fn finish<V: Visit>(&mut self, visit: &mut V) -> Result<(), V::Error> {
        match self.state {
            State::Start => Err(self.error(JsonErrorKind::Empty, 0).into()),
            _ if self.is_unfinished() => Err(self.error(JsonErrorKind::UnexpectedEnd, 0).into()),
            State::Number => self.end_value(0, visit),
            _ => Ok(()),
        }
    }

    /// Whether the text has begun and cannot end here.
    pub(crate) fn is_unfinished(&self) -> bool {
        match self.state {
            State::Start => false,
            State::AfterValue => self.depth > 0,
            State::Number => self.depth > 0 || !self.number.is_whole(),
            _ => true,
        }
    }

    /// An error at an index of the current chunk.
    #[cold]
    fn error(&self, kind: JsonErrorKind, index: usize) -> JsonError {
        JsonError {
            kind,
            at: self.at(index),
        }
    }

    #[inline]
    fn at(&self, index: usize) -> u64 {
        self.base.wrapping_add(index as u64)
    }

    #[inline]
    fn is_told(&self) -> bool {
        self.depth <= self.told
    }

    #[inline]
    fn in_object(&self) -> bool {
        self.stack & 1 == 1
    }

    /// Goes on inside a key or value that a chunk border or an escape has cut.
    fn inside<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        match self.state {
            State::InString => self.string(cursor, visit),
            State::Escape => self.escape(cursor, visit),
            State::Hex => self.hex(cursor, visit),
            State::Number => self.number(cursor, visit),
            State::Literal => self.literal(cursor, visit),
            _ => Ok(()),
        }
    }

    /// Goes on between keys and values, and over those that lie whole in the chunk.
    #[inline]
    fn between<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        loop {
            let Some(mut byte) = cursor.after_blanks() else {
                return Ok(());
            };
            if byte == b'"' && matches!(self.state, State::FirstKey | State::NextKey) {
                self.open_key(cursor, visit)?;
                // The value follows at once in what programs write.
                match cursor.peek() {
                    Some(next) if self.state == State::Value && next > b' ' => byte = next,
                    _ if self.state.is_inside() => return Ok(()),
                    _ => continue,
                }
            }
            match (self.state, byte) {
                (State::FirstElement, b']') => self.close(cursor, visit)?,
                (State::FirstKey, b'}') => self.close(cursor, visit)?,
                (State::Value | State::FirstElement | State::Start, _) => {
                    self.open_value(byte, cursor, visit)?;
                    if self.state.is_inside() {
                        return Ok(());
                    }
                }
                (State::AfterValue, b',') if self.depth > 0 => {
                    cursor.skip(1);
                    self.state = if self.in_object() { State::NextKey } else { State::Value };
                }
                (State::AfterValue, b'}') if self.depth > 0 && self.in_object() => self.close(cursor, visit)?,
                (State::AfterValue, b']') if self.depth > 0 && !self.in_object() => self.close(cursor, visit)?,
                (State::Colon, b':') => {
                    self.state = State::Value;
                    cursor.skip(1);
                }
                (State::AfterValue, _) if self.depth == 0 => {
                    return Err(self.error(JsonErrorKind::TrailingBytes, cursor.at).into());
                }
                _ => return Err(self.error(JsonErrorKind::UnexpectedByte, cursor.at).into()),
            }
        }
    }

    #[inline]
    fn open_key<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        let wanted = self.is_told() && visit.key(self.depth, self.at(cursor.at))?;
        if let Some(inside) = cursor.short_string() {
            if wanted {
                visit.text(inside);
            }
            return self.end_key(cursor, visit);
        }
        self.open_string(true, wanted, cursor);
        self.string(cursor, visit)
    }

    #[inline]
    fn open_string(&mut self, is_key: bool, wanted: bool, cursor: &mut Cursor<'_>) {
        cursor.skip(1);
        self.state = State::InString;
        self.is_key = is_key;
        self.wanted = wanted;
        self.non_ascii = false;
        self.unchecked_from = cursor.at;
    }

    #[inline]
    fn open_value<V: Visit>(&mut self, byte: u8, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        match byte {
            b'"' => {
                let wanted = self.begin(Kind::String, cursor, visit)?;
                if let Some(inside) = cursor.short_string() {
                    if wanted {
                        visit.text(inside);
                    }
                    return self.end_value(cursor.at, visit);
                }
                self.open_string(false, wanted, cursor);
                self.string(cursor, visit)
            }
            b'{' => {
                let wanted = self.begin(Kind::Object, cursor, visit)?;
                Ok(self.open(true, wanted, cursor)?)
            }
            b'[' => {
                let wanted = self.begin(Kind::Array, cursor, visit)?;
                Ok(self.open(false, wanted, cursor)?)
            }
            b'-' | b'0'..=b'9' => {
                self.wanted = self.begin(Kind::Number, cursor, visit)?;
                self.open_number(byte, cursor, visit)
            }
            b't' => self.open_literal(Kind::True, b"true", cursor, visit),
            b'f' => self.open_literal(Kind::False, b"false", cursor, visit),
            b'n' => self.open_literal(Kind::Null, b"null", cursor, visit),
            _ => Err(self.no_value(byte, cursor.at).into()),
        }
    }

    /// Tells the visitor of a value; `true` when it asks for more.
    #[inline]
    fn begin<V: Visit>(&mut self, kind: Kind, cursor: &Cursor<'_>, visit: &mut V) -> Result<bool, V::Error> {
        if !self.is_told() {
            return Ok(false);
        }
        visit.value(self.depth, kind, self.at(cursor.at))
    }

    fn open_number<V: Visit>(&mut self, byte: u8, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        self.number = match byte {
            b'-' => Number::Minus,
            b'0' => Number::Zero,
            _ => Number::Integer,
        };
        if self.wanted {
            visit.text(&[byte]);
        }
        cursor.skip(1);
        self.number(cursor, visit)
    }

    #[cold]
    fn no_value(&self, byte: u8, index: usize) -> JsonError {
        let first = self.state == State::Start && self.at(index) == 0;
        let kind = if first && byte == 0xEF {
            JsonErrorKind::ByteOrderMark
        } else {
            JsonErrorKind::UnexpectedByte
        };
        self.error(kind, index)
    }

    fn open_literal<V: Visit>(
        &mut self,
        kind: Kind,
        literal: &'static [u8],
        cursor: &mut Cursor<'_>,
        visit: &mut V,
    ) -> Result<(), V::Error> {
        self.begin(kind, cursor, visit)?;
        if cursor.rest().starts_with(literal) {
            cursor.skip(literal.len());
            return self.end_value(cursor.at, visit);
        }
        self.literal = literal;
        self.literal(cursor, visit)
    }

    #[inline]
    fn open(&mut self, object: bool, wanted: bool, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        if self.depth >= JSON_DEPTH_MAX {
            return Err(self.error(JsonErrorKind::TooDeep, cursor.at));
        }
        self.stack = self.stack << 1 | u128::from(object);
        self.depth = self.depth.wrapping_add(1);
        if wanted {
            self.told = self.depth;
        }
        self.state = if object { State::FirstKey } else { State::FirstElement };
        cursor.skip(1);
        Ok(())
    }

    #[inline]
    fn close<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        cursor.skip(1);
        self.stack >>= 1;
        self.depth = self.depth.saturating_sub(1);
        self.told = self.told.min(self.depth);
        self.end_value(cursor.at, visit)
    }

    /// A key is over; the cursor is after its quote.
    #[inline]
    fn end_key<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        if self.is_told() {
            visit.key_end(self.depth, self.at(cursor.at))?;
        }
        self.state = State::Colon;
        // A colon follows at once in what programs write.
        if cursor.peek() == Some(b':') {
            self.state = State::Value;
            cursor.skip(1);
        }
        Ok(())
    }

    /// A value is over, just before `index`.
    #[inline]
    fn end_value<V: Visit>(&mut self, index: usize, visit: &mut V) -> Result<(), V::Error> {
        self.state = State::AfterValue;
        if self.is_told() {
            visit.value_end(self.depth, self.at(index))?;
        }
        Ok(())
    }

    fn number<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        self.state = State::Number;
        let rest = cursor.rest();
        let mut number = self.number;
        let mut len: usize = 0;
        while let Some(next) = rest.get(len).and_then(|&byte| number.step(byte)) {
            number = next;
            len = len.wrapping_add(1);
            if matches!(number, Number::Integer | Number::Fraction | Number::Exponent) {
                while rest.get(len).is_some_and(u8::is_ascii_digit) {
                    len = len.wrapping_add(1);
                }
            }
        }
        self.number = number;
        if self.wanted {
            visit.text(rest.get(..len).unwrap_or_default());
        }
        cursor.skip(len);
        match (cursor.peek(), number.is_whole()) {
            (None, _) => Ok(()),
            (Some(_), true) => self.end_value(cursor.at, visit),
            (Some(_), false) => Err(self.error(JsonErrorKind::InvalidNumber, cursor.at).into()),
        }
    }

    fn literal<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        self.state = State::Literal;
        while let Some((expected, rest)) = self.literal.split_first() {
            match cursor.peek() {
                Some(byte) if byte == *expected => self.literal = rest,
                Some(_) => return Err(self.error(JsonErrorKind::UnexpectedByte, cursor.at).into()),
                None => return Ok(()),
            }
            cursor.skip(1);
        }
        self.end_value(cursor.at, visit)
    }
}
