//! A payload to rows: strict, bounded, once for each token.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{ClaimRow, Claims, ClaimsError, HeaderRow, PATH_SEPARATOR, PrincipalRow, RowKind, SPLIT_CLAIMS};
use crate::limits::{CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX};
use crate::llm::json::{Kind, Tokenizer, Visit};
use crate::tables::{Span, Text};

/// The claims of one verified token.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimSet {
    /// The payload, then paths and unescaped strings.
    text: String,
    payload: Span,
    rows: Vec<ClaimRow>,
    principal: PrincipalRow,
    headers: Vec<HeaderRow>,
}

impl ClaimSet {
    /// Reads the JSON of a payload. Of the top-level strings, those of [`SPLIT_CLAIMS`] and of `split` are lists with
    /// blanks between their items.
    ///
    /// # Errors
    /// [`ClaimsError`]: it is no JSON object, names a member twice, or is larger than any honest token.
    pub fn parse<S: AsRef<str>>(payload: &[u8], split: &[S]) -> Result<Self, ClaimsError> {
        if payload.len() > TOKEN_BYTES_MAX {
            return Err(ClaimsError::TooLong);
        }
        let mut reader = Reader::new(split);
        let mut tokenizer = Tokenizer::new();
        tokenizer.feed(payload, &mut reader)?;
        tokenizer.finish(&mut reader)?;
        // The tokenizer has checked every string, and outside of strings JSON is ASCII.
        let text = core::str::from_utf8(payload).map_err(|_| ClaimsError::NotAnObject)?;
        Ok(reader.finish(text))
    }

    /// What decisions read.
    #[must_use]
    pub fn claims(&self) -> Claims<'_> {
        Claims {
            text: Text(&self.text),
            payload: self.payload,
            rows: &self.rows,
            principal: self.principal,
            headers: &self.headers,
        }
    }

    /// Adds what the gateway writes into header fields for this token.
    pub(crate) fn write_headers(&mut self, headers: &[(String, String)]) {
        let mut store = |text: &str| {
            let start = self.text.len();
            self.text.push_str(text);
            written(start as u64, self.text.len() as u64)
        };
        let rows = headers.iter().map(|(name, value)| HeaderRow {
            name: store(name),
            value: store(value),
        });
        self.headers = rows.collect();
    }

    /// Bytes of memory that it holds, for bounding a cache.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            .saturating_add(self.text.capacity())
            .saturating_add(self.rows.capacity().saturating_mul(size_of::<ClaimRow>()))
    }
}

impl fmt::Debug for ClaimSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claims().fmt(f)
    }
}

/// An array or object that is open.
struct Frame {
    /// Names of an object's members so far; `None` for a list.
    names: Option<BTreeSet<String>>,
    /// Where its own value begins in the payload.
    at: u64,
    /// Bytes of the path to it.
    path: usize,
    /// Its path in `text`, unless no path leads to it.
    row_path: Option<Span>,
}

/// A string, number or literal that is open.
struct Scalar {
    kind: Kind,
    at: u64,
}

struct Reader<'s, S> {
    split: &'s [S],
    text: String,
    rows: Vec<ClaimRow>,
    /// Path of the current member.
    path: String,
    /// Whether a policy can name the current member.
    named: bool,
    frames: Vec<Frame>,
    scalar: Option<Scalar>,
    /// The text of the current key or string.
    piece: Vec<u8>,
    key_at: u64,
}

/// A piece of the payload itself, which will stand at the start of the text.
fn written(start: u64, end: u64) -> Span {
    Span {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        len: u32::try_from(end.saturating_sub(start)).unwrap_or(0),
    }
}

impl<'s, S: AsRef<str>> Reader<'s, S> {
    fn new(split: &'s [S]) -> Self {
        Self {
            split,
            text: String::new(),
            rows: Vec::new(),
            path: String::new(),
            named: false,
            frames: Vec::new(),
            scalar: None,
            piece: Vec::new(),
            key_at: 0,
        }
    }

    fn finish(mut self, payload: &str) -> ClaimSet {
        let shift = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let moved = |span: Span| Span {
            start: span.start.saturating_add(shift),
            ..span
        };
        for row in &mut self.rows {
            row.path = moved(row.path);
            if matches!(row.kind, RowKind::String | RowKind::Item | RowKind::Unsplit) {
                row.value = moved(row.value);
            }
        }
        self.text.insert_str(0, payload);
        let text = Text(&self.text);
        self.rows.sort_by(|a, b| text.get(a.path).cmp(text.get(b.path)));
        let string = |path| {
            let mut rows = self.rows.iter().filter(|row| text.get(row.path) == path);
            // A rule may have them split, in which case they still are what was issued.
            let row = rows.find(|row| matches!(row.kind, RowKind::String | RowKind::Unsplit));
            row.map(|row| row.value)
        };
        let principal = PrincipalRow {
            issuer: string("iss"),
            subject: string("sub"),
        };
        self.text.shrink_to_fit();
        self.rows.shrink_to_fit();
        ClaimSet {
            text: self.text,
            payload: Span { start: 0, len: shift },
            rows: self.rows,
            principal,
            headers: Vec::new(),
        }
    }

    fn store(&mut self, text: &str) -> Span {
        let start = self.text.len();
        self.text.push_str(text);
        written(start as u64, self.text.len() as u64)
    }

    fn add(&mut self, path: Span, value: Span, kind: RowKind) -> Result<(), ClaimsError> {
        if self.rows.len() >= CLAIMS_MAX {
            return Err(ClaimsError::TooMany);
        }
        self.rows.push(ClaimRow { path, value, kind });
        Ok(())
    }

    fn piece(&mut self) -> Result<String, ClaimsError> {
        // The tokenizer tells the end of a text only when it is UTF-8.
        String::from_utf8(core::mem::take(&mut self.piece)).map_err(|_| ClaimsError::NotAnObject)
    }

    /// The path of the value that is about to begin or has just ended, and whether it is a member or a list's item.
    fn place(&mut self) -> Option<(Span, bool)> {
        let frame = self.frames.last()?;
        let list = frame.row_path?;
        if frame.names.is_none() {
            return Some((list, false));
        }
        if !self.named {
            return None;
        }
        let path = core::mem::take(&mut self.path);
        let span = self.store(&path);
        self.path = path;
        Some((span, true))
    }

    fn open(&mut self, kind: Kind, at: u64) -> Result<(), ClaimsError> {
        if self.frames.len() >= CLAIM_DEPTH_MAX {
            return Err(ClaimsError::TooDeep);
        }
        let row_path = match self.place() {
            _ if self.frames.is_empty() => Some(Span::default()),
            Some((path, true)) => Some(path),
            // What stands inside a list has no path.
            Some((path, false)) => {
                self.add(path, Span::default(), RowKind::OtherItem)?;
                None
            }
            None => None,
        };
        self.frames.push(Frame {
            names: (kind == Kind::Object).then(BTreeSet::new),
            at,
            path: self.path.len(),
            row_path,
        });
        Ok(())
    }

    fn close(&mut self, end: u64) -> Result<(), ClaimsError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.path.truncate(frame.path);
        match frame.row_path {
            Some(path) if !self.frames.is_empty() => self.add(path, written(frame.at, end), RowKind::Json),
            _ => Ok(()),
        }
    }

    fn scalar_end(&mut self, scalar: &Scalar, end: u64) -> Result<(), ClaimsError> {
        let kind = match scalar.kind {
            Kind::String => return self.string_end(),
            Kind::Number => RowKind::Number,
            Kind::Null => RowKind::Null,
            Kind::True | Kind::False => RowKind::Boolean,
            Kind::Object | Kind::Array => RowKind::Json,
        };
        match self.place() {
            Some((path, true)) => self.add(path, written(scalar.at, end), kind),
            Some((path, false)) => self.add(path, written(scalar.at, end), RowKind::OtherItem),
            None => Ok(()),
        }
    }

    fn string_end(&mut self) -> Result<(), ClaimsError> {
        let value = self.piece()?;
        let Some((path, is_member)) = self.place() else {
            return Ok(());
        };
        let span = self.store(&value);
        if !is_member {
            return self.add(path, span, RowKind::Item);
        }
        if !self.is_split() {
            return self.add(path, span, RowKind::String);
        }
        self.add(path, span, RowKind::Unsplit)?;
        for item in value.split(' ').filter(|item| !item.is_empty()) {
            let item = self.store(item);
            self.add(path, item, RowKind::Item)?;
        }
        Ok(())
    }

    fn is_split(&self) -> bool {
        self.frames.len() == 1
            && (SPLIT_CLAIMS.contains(&&*self.path) || self.split.iter().any(|name| name.as_ref() == self.path))
    }
}

impl<S: AsRef<str>> Visit for Reader<'_, S> {
    type Error = ClaimsError;
    const DEPTH: usize = CLAIM_DEPTH_MAX;

    fn key(&mut self, _: usize, at: u64) -> Result<bool, ClaimsError> {
        self.piece.clear();
        self.key_at = at;
        Ok(true)
    }

    fn key_end(&mut self, _: usize, _: u64) -> Result<(), ClaimsError> {
        let name = self.piece()?;
        let depth = self.frames.len();
        let Some(frame) = self.frames.last_mut() else {
            return Ok(());
        };
        self.path.truncate(frame.path);
        if depth > 1 {
            self.path.push(PATH_SEPARATOR);
        }
        self.path.push_str(&name);
        self.named = !name.contains(PATH_SEPARATOR);
        if self.path.len() > CLAIM_PATH_BYTES_MAX {
            return Err(ClaimsError::PathTooLong);
        }
        if frame.names.as_mut().is_some_and(|names| !names.insert(name)) {
            return Err(ClaimsError::DuplicateName { at: self.key_at });
        }
        Ok(())
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, ClaimsError> {
        if depth == 0 && kind != Kind::Object {
            return Err(ClaimsError::NotAnObject);
        }
        if matches!(kind, Kind::Object | Kind::Array) {
            self.open(kind, at)?;
            return Ok(false);
        }
        self.piece.clear();
        self.scalar = Some(Scalar { kind, at });
        Ok(kind == Kind::String)
    }

    fn value_end(&mut self, _: usize, end: u64) -> Result<(), ClaimsError> {
        match self.scalar.take() {
            Some(scalar) => self.scalar_end(&scalar, end),
            None => self.close(end),
        }
    }

    fn text(&mut self, piece: &[u8]) {
        self.piece.extend_from_slice(piece);
    }
}
