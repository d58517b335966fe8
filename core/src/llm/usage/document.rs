//! Finds the `usage` object in one JSON text given in pieces, and keeps a copy of it.

use heapless::Vec;

use super::UnknownUsage;
use crate::limits::USAGE_BYTES_MAX;
use crate::llm::json::{JsonError, JsonErrorKind, Kind, Tokenizer, Visit};

/// What a text held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'d> {
    /// No usage.
    Nothing,
    /// The last `usage` object, as valid JSON.
    Usage(&'d [u8]),
    /// Something that cannot be read.
    Problem(UnknownUsage),
}

#[derive(Debug)]
pub(super) struct Document {
    tokens: Tokenizer,
    path: Path,
    /// The usage object in its first `object_len` bytes. Not a `heapless::Vec`, which copies byte by byte.
    object: [u8; USAGE_BYTES_MAX],
    object_len: usize,
    too_long: bool,
    error: Option<JsonErrorKind>,
}

impl Document {
    pub(super) const fn new() -> Self {
        Self {
            tokens: Tokenizer::new(),
            path: Path::new(),
            object: [0; USAGE_BYTES_MAX],
            object_len: 0,
            too_long: false,
            error: None,
        }
    }

    /// Makes ready for the next text.
    pub(super) fn reset(&mut self) {
        self.tokens = Tokenizer::new();
        self.path = Path::new();
        self.object_len = 0;
        self.too_long = false;
        self.error = None;
    }

    /// Reads the next piece; after an error the rest is skipped.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let base = self.tokens.offset();
        if let Err(error) = self.tokens.feed(piece, &mut self.path) {
            self.error = Some(error.kind);
        }
        self.copy(piece, base);
    }

    /// Whether a usage other than `null` began.
    pub(super) fn has_usage(&self) -> bool {
        self.path.begun
    }

    /// The text is over.
    pub(super) fn end(&mut self) -> Found<'_> {
        let finished = match self.error {
            Some(kind) => Err(kind),
            None => self
                .tokens
                .finish(&mut self.path)
                .map_err(|error: JsonError| error.kind),
        };
        match finished {
            Err(JsonErrorKind::Empty) => Found::Nothing,
            Err(_) => Found::Problem(UnknownUsage::Malformed),
            Ok(()) if self.too_long => Found::Problem(UnknownUsage::TooLong),
            Ok(()) if self.path.start.is_some() => Found::Usage(self.object.get(..self.object_len).unwrap_or_default()),
            Ok(()) => Found::Nothing,
        }
    }

    /// Copies what the piece, which begins at offset `base`, has of the usage object.
    fn copy(&mut self, piece: &[u8], base: u64) {
        let Some(start) = self.path.start else { return };
        if start >= base {
            self.object_len = 0;
            self.too_long = false;
        }
        let from = usize::try_from(start.saturating_sub(base)).unwrap_or(usize::MAX);
        let to = self.path.end.map_or(piece.len(), |end| {
            usize::try_from(end.saturating_sub(base))
                .unwrap_or(usize::MAX)
                .min(piece.len())
        });
        let Some(bytes) = piece.get(from..to) else { return };
        let end = self.object_len.saturating_add(bytes.len());
        match self.object.get_mut(self.object_len..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.object_len = end;
            }
            None => self.too_long = true,
        }
    }
}

/// Follows the keys to `usage`, `message.usage` and `response.usage`.
#[derive(Debug)]
struct Path {
    /// The top-level member being read may hold the usage inside.
    in_wrapper: bool,
    /// The last key of a followed level was `usage`.
    at_usage: bool,
    /// Depth of the usage object being read.
    open: Option<usize>,
    /// The last usage object: its first byte, and the one after its last.
    start: Option<u64>,
    end: Option<u64>,
    /// A usage other than `null` began.
    begun: bool,
    key: Vec<u8, 8>,
    key_at: u64,
}

impl Path {
    const fn new() -> Self {
        Self {
            in_wrapper: false,
            at_usage: false,
            open: None,
            start: None,
            end: None,
            begun: false,
            key: Vec::new(),
            key_at: 0,
        }
    }

    /// Whether the key just read is spelt like this, without escapes.
    fn key_is(&self, name: &[u8], end: u64) -> bool {
        // Told apart by length: the search that skips whole events sees no escaped spelling either.
        let raw_len = end.saturating_sub(self.key_at);
        raw_len == (name.len() as u64).saturating_add(2) && self.key == name
    }
}

impl Visit for Path {
    type Error = JsonError;

    fn key(&mut self, depth: usize, at: u64) -> Result<bool, JsonError> {
        self.key_at = at;
        self.key.clear();
        self.at_usage = false;
        Ok(depth == 1 || self.in_wrapper)
    }

    fn key_end(&mut self, depth: usize, end: u64) -> Result<(), JsonError> {
        if depth == 1 {
            self.in_wrapper = self.key_is(b"message", end) || self.key_is(b"response", end);
        }
        self.at_usage = (depth == 1 || self.in_wrapper) && self.key_is(b"usage", end);
        Ok(())
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, JsonError> {
        self.begun |= self.at_usage && kind != Kind::Null;
        if self.at_usage && kind == Kind::Object && self.open.is_none() {
            self.open = Some(depth);
            self.start = Some(at);
            self.end = None;
        }
        self.at_usage = false;
        Ok(kind == Kind::Object && (depth == 0 || (depth == 1 && self.in_wrapper)))
    }

    fn value_end(&mut self, depth: usize, end: u64) -> Result<(), JsonError> {
        if self.open == Some(depth) {
            self.open = None;
            self.end = Some(end);
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) {
        // A key that does not fit is none of those looked for; its raw length says so.
        let _ = self.key.extend_from_slice(piece);
    }
}
