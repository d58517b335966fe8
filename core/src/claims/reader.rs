//! A payload to rows: strict, bounded, once for each token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::{
    ClaimRow, Claims, ClaimsError, HeaderRow, PATH_SEPARATOR, PathWord, PrincipalRow, RowKind, SPLIT_CLAIMS, rows_at,
};
use crate::limits::{CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX};
use crate::llm::json::{Kind, Tokenizer, Visit};
use crate::tables::{Span, Text};

/// As many rows as most tokens have, so that they need not grow, and how many bytes of payload a row has at least.
const ROWS_COMMON: usize = 32;
const BYTES_OF_ROW: usize = 12;

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
        ClaimReader::new().read(payload.to_vec(), split)
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
            .saturating_add(self.headers.capacity().saturating_mul(size_of::<HeaderRow>()))
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
    /// Its path, unless none leads to it.
    row_path: Option<Path>,
}

/// The path of a value, in the text that is to be.
#[derive(Clone, Copy)]
struct Path {
    word: PathWord,
    span: Span,
}

/// A member's name, by its place in `name_text`.
struct Name {
    word: PathWord,
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

/// Reads payloads one after the other, in the same memory.
pub(crate) struct ClaimReader {
    room: Room,
}

/// What is needed only while a payload is read.
struct Room {
    /// Path of the current member.
    path: Vec<u8>,
    frames: Vec<Frame>,
    /// Names of the members of all objects that are open.
    names: Vec<Name>,
    name_text: Vec<u8>,
}

impl ClaimReader {
    /// With room for what most tokens have.
    pub(crate) fn new() -> Self {
        Self {
            room: Room {
                path: Vec::with_capacity(128),
                frames: Vec::with_capacity(4),
                names: Vec::with_capacity(ROWS_COMMON),
                name_text: Vec::with_capacity(512),
            },
        }
    }

    /// [`ClaimSet::parse`] of a payload that is not needed otherwise.
    pub(crate) fn read<S: AsRef<str>>(&mut self, payload: Vec<u8>, split: &[S]) -> Result<ClaimSet, ClaimsError> {
        if payload.len() > TOKEN_BYTES_MAX {
            return Err(ClaimsError::TooLong);
        }
        let room = &mut self.room;
        room.path.clear();
        room.frames.clear();
        room.names.clear();
        room.name_text.clear();
        let mut reading = Reading {
            split,
            payload_bytes: payload.len(),
            added: Vec::new(),
            rows: Vec::with_capacity(ROWS_COMMON.min(payload.len() / BYTES_OF_ROW)),
            name: 0,
            named: false,
            name_in_payload: None,
            room,
            scalar: None,
            string: 0,
            is_key: false,
            key_at: 0,
        };
        let mut tokenizer = Tokenizer::new();
        tokenizer.feed(&payload, &mut reading)?;
        tokenizer.finish(&mut reading)?;
        reading.finish(payload)
    }
}

/// A payload while it is read. What stands in it as it is said is referred to there; only the rest is written anew.
struct Reading<'r, S> {
    split: &'r [S],
    payload_bytes: usize,
    /// What follows the payload: paths through objects, and strings and names with escapes.
    added: Vec<u8>,
    rows: Vec<ClaimRow>,
    room: &'r mut Room,
    /// Where in the path the current member's own name begins.
    name: usize,
    /// Whether a policy can name the current member.
    named: bool,
    /// The current member's path, if the payload has it.
    name_in_payload: Option<Span>,
    scalar: Option<Scalar>,
    /// Where in `added` the current string begins.
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

/// The inside of a string between its quotes, of which `bytes` are left when its escapes are resolved: `None` with any,
/// for each of them becomes shorter.
fn without_escapes(at: u64, end: u64, bytes: usize) -> Option<Span> {
    let inside = written(at.saturating_add(1), end.saturating_sub(1));
    (inside.len as usize == bytes).then_some(inside)
}

impl Room {
    /// Forgets an object's names, of which no two may be the same. Sorted, so that no list of them is too long.
    fn close_names(&mut self, first: usize) -> Result<(), ClaimsError> {
        let text = &self.name_text;
        let text = |name: &Name| text.get(name.start..name.end).unwrap_or_default();
        let names = self.names.get_mut(first..).unwrap_or_default();
        let start = names.first().map(|name| name.start);
        names.sort_unstable_by(|a, b| {
            let by_name = a.word.cmp(&b.word).then_with(|| text(a).cmp(text(b)));
            by_name.then(a.at.cmp(&b.at))
        });
        let mut pairs = names.windows(2);
        let twice = pairs.find_map(|pair| match pair {
            [one, other] if one.word == other.word && text(one) == text(other) => Some(other.at),
            _ => None,
        });
        if let Some(at) = twice {
            return Err(ClaimsError::DuplicateName { at });
        }
        self.names.truncate(first);
        self.name_text.truncate(start.unwrap_or(self.name_text.len()));
        Ok(())
    }
}

impl<S: AsRef<str>> Reading<'_, S> {
    fn finish(mut self, mut payload: Vec<u8>) -> Result<ClaimSet, ClaimsError> {
        payload.append(&mut self.added);
        // The tokenizer has checked every string, and outside of strings JSON is ASCII.
        let stored = String::from_utf8(payload).map_err(|_| ClaimsError::NotAnObject)?;
        let text = Text(&stored);
        self.rows.sort_by(|a, b| a.cmp_path(text, b.word, text.bytes(b.path)));
        let string = |path: &str| {
            let mut rows = rows_at(&self.rows, text, path);
            // A rule may have them split, in which case they still are what was issued.
            let row = rows.find(|row| matches!(row.kind, RowKind::String | RowKind::Unsplit));
            row.map(|row| row.value)
        };
        let principal = PrincipalRow {
            issuer: string("iss"),
            subject: string("sub"),
        };
        self.rows.shrink_to_fit();
        Ok(ClaimSet {
            text: stored,
            payload: written(0, self.payload_bytes as u64),
            rows: self.rows,
            principal,
            headers: Vec::new(),
        })
    }

    fn add(&mut self, path: Path, value: Span, kind: RowKind) -> Result<(), ClaimsError> {
        if self.rows.len() >= CLAIMS_MAX {
            return Err(ClaimsError::TooMany);
        }
        let Path { word, span: path } = path;
        self.rows.push(ClaimRow {
            word,
            path,
            value,
            kind,
        });
        Ok(())
    }

    /// The span, in the text that is to be, of a part of `added`.
    fn added_span(&self, start: usize, end: usize) -> Span {
        let at = |in_added: usize| self.payload_bytes.saturating_add(in_added) as u64;
        written(at(start), at(end))
    }

    /// The path of the value that is about to begin or has just ended, and whether it is a member or a list's item.
    fn place(&mut self) -> Option<(Path, bool)> {
        let frame = self.room.frames.last()?;
        let list = frame.row_path?;
        if frame.names.is_none() {
            return Some((list, false));
        }
        if !self.named {
            return None;
        }
        let span = self.name_in_payload.unwrap_or_else(|| {
            let start = self.added.len();
            self.added.extend_from_slice(&self.room.path);
            self.added_span(start, self.added.len())
        });
        let word = PathWord::of(&self.room.path);
        Some((Path { word, span }, true))
    }

    fn open(&mut self, kind: Kind, at: u64) -> Result<(), ClaimsError> {
        if self.room.frames.len() >= CLAIM_DEPTH_MAX {
            return Err(ClaimsError::TooDeep);
        }
        let row_path = match self.place() {
            _ if self.room.frames.is_empty() => Some(Path {
                word: PathWord::of(b""),
                span: Span::default(),
            }),
            Some((path, true)) => Some(path),
            // What stands inside a list has no path.
            Some((path, false)) => {
                self.add(path, Span::default(), RowKind::OtherItem)?;
                None
            }
            None => None,
        };
        let room = &mut *self.room;
        room.frames.push(Frame {
            names: (kind == Kind::Object).then_some(room.names.len()),
            at,
            path: room.path.len(),
            row_path,
        });
        Ok(())
    }

    fn close(&mut self, end: u64) -> Result<(), ClaimsError> {
        let Some(frame) = self.room.frames.pop() else {
            return Ok(());
        };
        self.room.path.truncate(frame.path);
        if let Some(names) = frame.names {
            self.room.close_names(names)?;
        }
        match frame.row_path {
            Some(path) if !self.room.frames.is_empty() => self.add(path, written(frame.at, end), RowKind::Json),
            _ => Ok(()),
        }
    }

    fn scalar_end(&mut self, scalar: &Scalar, end: u64) -> Result<(), ClaimsError> {
        let kind = match scalar.kind {
            Kind::String => return self.string_end(scalar.at, end),
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

    fn string_end(&mut self, at: u64, end: u64) -> Result<(), ClaimsError> {
        let (start, string_end) = (self.string, self.added.len());
        let is_split = self.is_split();
        let in_payload = without_escapes(at, end, string_end.saturating_sub(start));
        let value = match in_payload.filter(|_| !is_split) {
            Some(in_payload) => {
                self.added.truncate(start);
                in_payload
            }
            None => self.added_span(start, string_end),
        };
        let Some((path, is_member)) = self.place() else {
            self.added.truncate(start);
            return Ok(());
        };
        if !is_member {
            return self.add(path, value, RowKind::Item);
        }
        if !is_split {
            return self.add(path, value, RowKind::String);
        }
        self.add(path, value, RowKind::Unsplit)?;
        let mut from = start;
        while from < string_end {
            let rest = self.added.get(from..string_end).unwrap_or_default();
            let len = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
            let to = from.saturating_add(len);
            if len > 0 {
                let item = self.added_span(from, to);
                self.add(path, item, RowKind::Item)?;
            }
            from = to.saturating_add(1);
        }
        Ok(())
    }

    fn is_split(&self) -> bool {
        let is_this = |name: &str| name.as_bytes() == self.room.path;
        self.room.frames.len() == 1
            && (SPLIT_CLAIMS.iter().any(|name| is_this(name)) || self.split.iter().any(|name| is_this(name.as_ref())))
    }
}

impl<S: AsRef<str>> Visit for Reading<'_, S> {
    type Error = ClaimsError;

    fn key(&mut self, _: usize, at: u64) -> Result<bool, ClaimsError> {
        let Room { path, frames, .. } = &mut *self.room;
        path.truncate(frames.last().map_or(0, |frame| frame.path));
        if frames.len() > 1 {
            path.push(SEPARATOR);
        }
        self.name = path.len();
        self.is_key = true;
        self.key_at = at;
        Ok(true)
    }

    fn key_end(&mut self, _: usize, end: u64) -> Result<(), ClaimsError> {
        self.is_key = false;
        let Room {
            path, names, name_text, ..
        } = &mut *self.room;
        if path.len() > CLAIM_PATH_BYTES_MAX {
            return Err(ClaimsError::PathTooLong);
        }
        let name = path.get(self.name..).unwrap_or_default();
        self.named = !name.contains(&SEPARATOR);
        let in_payload = without_escapes(self.key_at, end, name.len());
        self.name_in_payload = in_payload.filter(|_| self.name == 0);
        let start = name_text.len();
        name_text.extend_from_slice(name);
        names.push(Name {
            word: PathWord::of(name),
            start,
            end: name_text.len(),
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
        self.string = self.added.len();
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
        let to = match self.is_key {
            true => &mut self.room.path,
            false => &mut self.added,
        };
        to.extend_from_slice(piece);
    }
}
