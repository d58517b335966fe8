//! A payload to rows: strict, bounded, once for each token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{ClaimRow, Claims, ClaimsError, HeaderRow, PATH_SEPARATOR, PrincipalRow, RowKind, SPLIT_CLAIMS, by_length};
use crate::limits::{CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX};
use crate::llm::json::{Kind, Tokenizer, Visit};
use crate::tables::{Span, Text};

/// As many rows as most tokens have, so that they need not grow.
const ROWS_COMMON: usize = 32;

const SEPARATOR: u8 = PATH_SEPARATOR as u8;

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
        let mut reader = Reader::new(payload, split);
        let mut tokenizer = Tokenizer::new();
        tokenizer.feed(payload, &mut reader)?;
        tokenizer.finish(&mut reader)?;
        reader.finish(payload.len())
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
    /// Where in `names` an object's members begin; `None` for a list.
    names: Option<usize>,
    /// Where its own value begins in the payload.
    at: u64,
    /// Bytes of the path to it.
    path: usize,
    /// Its path in `text`, unless no path leads to it.
    row_path: Option<Span>,
}

/// A member's name, by its place in `name_text`.
struct Name {
    start: usize,
    end: usize,
    /// Where it stands in the payload.
    at: u64,
}

/// A string, number or literal that is open.
struct Scalar {
    kind: Kind,
    at: u64,
}

/// Everything is written where it will stay, so that a token costs few allocations.
struct Reader<'s, S> {
    split: &'s [S],
    /// The payload, then strings and paths.
    text: Vec<u8>,
    rows: Vec<ClaimRow>,
    /// Path of the current member.
    path: Vec<u8>,
    /// Where in `path` the member's own name begins.
    name: usize,
    /// Whether a policy can name the current member.
    named: bool,
    frames: Vec<Frame>,
    /// Names of the members of all objects that are open.
    names: Vec<Name>,
    name_text: Vec<u8>,
    scalar: Option<Scalar>,
    /// Where in `text` the current string begins.
    string: usize,
    is_key: bool,
    key_at: u64,
}

fn written(start: u64, end: u64) -> Span {
    Span {
        start: u32::try_from(start).unwrap_or(u32::MAX),
        len: u32::try_from(end.saturating_sub(start)).unwrap_or(0),
    }
}

impl<'s, S: AsRef<str>> Reader<'s, S> {
    fn new(payload: &[u8], split: &'s [S]) -> Self {
        let mut text = Vec::with_capacity(payload.len().saturating_mul(2));
        text.extend_from_slice(payload);
        Self {
            split,
            text,
            rows: Vec::with_capacity(ROWS_COMMON),
            path: Vec::new(),
            name: 0,
            named: false,
            frames: Vec::new(),
            names: Vec::with_capacity(ROWS_COMMON),
            name_text: Vec::new(),
            scalar: None,
            string: 0,
            is_key: false,
            key_at: 0,
        }
    }

    fn finish(mut self, payload_bytes: usize) -> Result<ClaimSet, ClaimsError> {
        // The tokenizer has checked every string, and outside of strings JSON is ASCII.
        let mut stored = String::from_utf8(self.text).map_err(|_| ClaimsError::NotAnObject)?;
        let text = Text(&stored);
        self.rows
            .sort_by(|a, b| by_length(text.bytes(a.path), text.bytes(b.path)));
        let string = |path: &[u8]| {
            let mut rows = self.rows.iter().filter(|row| text.bytes(row.path) == path);
            // A rule may have them split, in which case they still are what was issued.
            let row = rows.find(|row| matches!(row.kind, RowKind::String | RowKind::Unsplit));
            row.map(|row| row.value)
        };
        let principal = PrincipalRow {
            issuer: string(b"iss"),
            subject: string(b"sub"),
        };
        stored.shrink_to_fit();
        self.rows.shrink_to_fit();
        Ok(ClaimSet {
            text: stored,
            payload: written(0, payload_bytes as u64),
            rows: self.rows,
            principal,
            headers: Vec::new(),
        })
    }

    fn add(&mut self, path: Span, value: Span, kind: RowKind) -> Result<(), ClaimsError> {
        if self.rows.len() >= CLAIMS_MAX {
            return Err(ClaimsError::TooMany);
        }
        self.rows.push(ClaimRow { path, value, kind });
        Ok(())
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
        let start = self.text.len();
        self.text.extend_from_slice(&self.path);
        Some((written(start as u64, self.text.len() as u64), true))
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
            names: (kind == Kind::Object).then_some(self.names.len()),
            at,
            path: self.path.len(),
            row_path,
        });
        Ok(())
    }

    fn close(&mut self, end: u64) -> Result<(), ClaimsError> {
        let Some(frame) = self.frames.pop() else { return Ok(()) };
        self.path.truncate(frame.path);
        if let Some(names) = frame.names {
            self.close_names(names)?;
        }
        match frame.row_path {
            Some(path) if !self.frames.is_empty() => self.add(path, written(frame.at, end), RowKind::Json),
            _ => Ok(()),
        }
    }

    /// Forgets an object's names, of which no two may be the same. Sorted, so that no list of them is too long.
    fn close_names(&mut self, first: usize) -> Result<(), ClaimsError> {
        let text = &self.name_text;
        let text = |name: &Name| text.get(name.start..name.end).unwrap_or_default();
        let names = self.names.get_mut(first..).unwrap_or_default();
        let start = names.first().map(|name| name.start);
        names.sort_unstable_by(|a, b| by_length(text(a), text(b)).then(a.at.cmp(&b.at)));
        let mut pairs = names.windows(2);
        let twice = pairs.find_map(|pair| match pair {
            [one, other] if text(one) == text(other) => Some(other.at),
            _ => None,
        });
        if let Some(at) = twice {
            return Err(ClaimsError::DuplicateName { at });
        }
        self.names.truncate(first);
        self.name_text.truncate(start.unwrap_or(self.name_text.len()));
        Ok(())
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
        let (start, end) = (self.string, self.text.len());
        let value = written(start as u64, end as u64);
        let Some((path, is_member)) = self.place() else {
            self.text.truncate(start);
            return Ok(());
        };
        if !is_member {
            return self.add(path, value, RowKind::Item);
        }
        if !self.is_split() {
            return self.add(path, value, RowKind::String);
        }
        self.add(path, value, RowKind::Unsplit)?;
        let mut from = start;
        while from < end {
            let rest = self.text.get(from..end).unwrap_or_default();
            let len = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            let to = from.saturating_add(len);
            if len > 0 {
                self.add(path, written(from as u64, to as u64), RowKind::Item)?;
            }
            from = to.saturating_add(1);
        }
        Ok(())
    }

    fn is_split(&self) -> bool {
        let is_this = |name: &str| name.as_bytes() == self.path;
        self.frames.len() == 1
            && (SPLIT_CLAIMS.iter().any(|name| is_this(name)) || self.split.iter().any(|name| is_this(name.as_ref())))
    }
}

impl<S: AsRef<str>> Visit for Reader<'_, S> {
    type Error = ClaimsError;

    fn key(&mut self, _: usize, at: u64) -> Result<bool, ClaimsError> {
        self.path.truncate(self.frames.last().map_or(0, |frame| frame.path));
        if self.frames.len() > 1 {
            self.path.push(SEPARATOR);
        }
        self.name = self.path.len();
        self.is_key = true;
        self.key_at = at;
        Ok(true)
    }

    fn key_end(&mut self, _: usize, _: u64) -> Result<(), ClaimsError> {
        self.is_key = false;
        if self.path.len() > CLAIM_PATH_BYTES_MAX {
            return Err(ClaimsError::PathTooLong);
        }
        let name = self.path.get(self.name..).unwrap_or_default();
        self.named = !name.contains(&SEPARATOR);
        let start = self.name_text.len();
        self.name_text.extend_from_slice(name);
        self.names.push(Name {
            start,
            end: self.name_text.len(),
            at: self.key_at,
        });
        Ok(())
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, ClaimsError> {
        if depth == 0 && kind != Kind::Object {
            return Err(ClaimsError::NotAnObject);
        }
        if matches!(kind, Kind::Object | Kind::Array) {
            self.open(kind, at)?;
            return Ok(true);
        }
        self.string = self.text.len();
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
        let to = if self.is_key { &mut self.path } else { &mut self.text };
        to.extend_from_slice(piece);
    }
}
