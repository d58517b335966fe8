//! The inside of strings: content, escapes, and whether it is UTF-8 over chunk borders.

use super::{Cursor, JsonError, JsonErrorKind, State, Tokenizer, Visit, escape, inside};

impl Tokenizer {
    /// Content of a string up to its end, an escape that needs a look, or the chunk's end.
    #[inline]
    pub(super) fn string<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        if self.wanted {
            self.plain_text(cursor, visit)?;
        } else {
            self.skip_text(cursor);
        }
        match cursor.peek() {
            Some(b'"') => self.close_string(cursor, visit),
            Some(byte) => Ok(self.string_stop(byte, cursor)?),
            None => Ok(()),
        }
    }

    /// A backslash, a control character, or whatever follows bytes that are not UTF-8.
    fn string_stop(&mut self, byte: u8, cursor: &mut Cursor<'_>) -> Result<(), JsonError> {
        if byte != b'\\' {
            return Err(self.string_error(JsonErrorKind::ControlCharacter, cursor.chunk, cursor.at));
        }
        self.escape_at = self.at(cursor.at);
        self.state = State::Escape;
        cursor.skip(1);
        Ok(())
    }

    /// Moves over everything that no one asked for: up to the closing quote, an error, or an escape the chunk cuts.
    #[inline]
    fn skip_text(&mut self, cursor: &mut Cursor<'_>) {
        loop {
            let found = inside::skip(cursor.rest());
            self.passed(found, cursor);
            if cursor.peek() != Some(b'\\') {
                return;
            }
            match escape::len(cursor.rest()) {
                Some(len) => cursor.skip(len),
                None => return,
            }
        }
    }

    /// Moves on to where a look ended.
    #[inline]
    fn passed(&mut self, found: inside::Stop, cursor: &mut Cursor<'_>) {
        if let Some(from) = found.unchecked
            && !self.non_ascii
        {
            self.non_ascii = true;
            self.unchecked_from = cursor.at.wrapping_add(from);
        }
        cursor.skip(found.at);
    }

    /// Hands a run of plain content to the visitor.
    fn plain_text<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), JsonError> {
        if cursor.peek().is_some_and(|byte| byte != b'\\') {
            self.no_half_pair(cursor)?;
        }
        let rest = cursor.rest();
        let found = inside::find(rest);
        visit.text(rest.get(..found.at).unwrap_or_default());
        self.passed(found, cursor);
        Ok(())
    }

    #[inline]
    fn close_string<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        if self.non_ascii {
            self.check_utf8(cursor.chunk, cursor.at, Border::Text)?;
        }
        cursor.skip(1);
        if self.is_key {
            self.end_key(cursor, visit)
        } else {
            self.end_value(cursor.at, visit)
        }
    }

    fn no_half_pair(&self, cursor: &Cursor<'_>) -> Result<(), JsonError> {
        if self.high.is_none() {
            return Ok(());
        }
        Err(self.lone_surrogate(self.high_at, cursor))
    }

    #[cold]
    fn lone_surrogate(&self, at: u64, cursor: &Cursor<'_>) -> JsonError {
        let error = self.string_error(JsonErrorKind::LoneSurrogate, cursor.chunk, cursor.at);
        if error.kind == JsonErrorKind::LoneSurrogate {
            JsonError { at, ..error }
        } else {
            error
        }
    }

    /// The byte after a backslash.
    pub(super) fn escape<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        let Some(byte) = cursor.peek() else { return Ok(()) };
        let plain = match byte {
            b'u' => {
                self.hex = 0;
                self.hex_left = 4;
                self.state = State::Hex;
                cursor.skip(1);
                return Ok(());
            }
            b'"' | b'\\' | b'/' => byte,
            b'b' => 0x08,
            b'f' => 0x0C,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            _ => {
                return Err(self
                    .string_error(JsonErrorKind::InvalidEscape, cursor.chunk, cursor.at)
                    .into());
            }
        };
        if self.wanted {
            self.no_half_pair(cursor)?;
            visit.text(&[plain]);
        }
        self.state = State::InString;
        cursor.skip(1);
        Ok(())
    }

    /// The digits of `\u`.
    pub(super) fn hex<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        while self.hex_left > 0 {
            let Some(byte) = cursor.peek() else { return Ok(()) };
            let Some(digit) = char::from(byte).to_digit(16) else {
                return Err(self
                    .string_error(JsonErrorKind::InvalidEscape, cursor.chunk, cursor.at)
                    .into());
            };
            self.hex = self.hex << 4 | digit;
            self.hex_left = self.hex_left.wrapping_sub(1);
            cursor.skip(1);
        }
        self.state = State::InString;
        if self.wanted {
            self.code_unit(cursor, visit)
        } else {
            Ok(())
        }
    }

    /// One UTF-16 code unit of text that is read.
    fn code_unit<V: Visit>(&mut self, cursor: &Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        let code = match (self.high.take(), self.hex) {
            (None, high @ 0xD800..=0xDBFF) => {
                self.high = Some(high);
                self.high_at = self.escape_at;
                return Ok(());
            }
            (Some(high), low @ 0xDC00..=0xDFFF) => ((high & 0x3FF) << 10 | (low & 0x3FF)).wrapping_add(0x1_0000),
            (Some(_), _) => return Err(self.lone_surrogate(self.high_at, cursor).into()),
            (None, code) => code,
        };
        match char::from_u32(code) {
            Some(char) => {
                visit.text(char.encode_utf8(&mut [0; 4]).as_bytes());
                Ok(())
            }
            None => Err(self.lone_surrogate(self.escape_at, cursor).into()),
        }
    }

    /// An error inside a string: bytes before it that are not UTF-8 come first.
    #[cold]
    fn string_error(&self, kind: JsonErrorKind, chunk: &[u8], index: usize) -> JsonError {
        let before = chunk.get(self.unchecked_from..index).unwrap_or_default();
        match core::str::from_utf8(before) {
            Ok(_) => self.error(kind, index),
            Err(error) => self.error(
                JsonErrorKind::InvalidUtf8,
                self.unchecked_from.saturating_add(error.valid_up_to()),
            ),
        }
    }

    /// Checks the current string's bytes up to `end`; a character cut by the chunk's end is kept for the next.
    pub(super) fn check_utf8(&mut self, chunk: &[u8], end: usize, border: Border) -> Result<(), JsonError> {
        let bytes = chunk.get(self.unchecked_from..end).unwrap_or_default();
        let Err(error) = core::str::from_utf8(bytes) else {
            return Ok(());
        };
        let rest = bytes.get(error.valid_up_to()..).unwrap_or_default();
        match (border, error.error_len(), self.cut.get_mut(..rest.len())) {
            (Border::Chunk, None, Some(cut)) => {
                cut.copy_from_slice(rest);
                self.cut_len = rest.len();
                Ok(())
            }
            _ => {
                let index = self.unchecked_from.saturating_add(error.valid_up_to());
                Err(self.error(JsonErrorKind::InvalidUtf8, index))
            }
        }
    }

    /// Completes a character that began in the chunk before.
    #[cold]
    pub(super) fn finish_cut<V: Visit>(&mut self, cursor: &mut Cursor<'_>, visit: &mut V) -> Result<(), V::Error> {
        let begun = self.cut_len;
        while let Some(byte) = cursor.peek() {
            let Some(slot) = self.cut.get_mut(self.cut_len) else {
                break;
            };
            *slot = byte;
            self.cut_len = self.cut_len.wrapping_add(1);
            match core::str::from_utf8(self.cut.get(..self.cut_len).unwrap_or_default()) {
                Ok(_) => {
                    cursor.skip(1);
                    break;
                }
                Err(error) if error.error_len().is_none() => cursor.skip(1),
                Err(_) => {
                    let at = self.base.saturating_sub(begun as u64);
                    return Err(JsonError {
                        kind: JsonErrorKind::InvalidUtf8,
                        at,
                    }
                    .into());
                }
            }
        }
        let whole = core::str::from_utf8(self.cut.get(..self.cut_len).unwrap_or_default()).is_ok();
        if self.wanted
            && let Some(bytes) = cursor.chunk.get(..cursor.at)
        {
            visit.text(bytes);
        }
        if whole {
            self.cut_len = 0;
        }
        self.unchecked_from = cursor.at;
        Ok(())
    }
}

/// What ends the bytes that are checked for UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Border {
    /// A quote: characters must be whole.
    Text,
    /// The chunk: the next one may go on.
    Chunk,
}
