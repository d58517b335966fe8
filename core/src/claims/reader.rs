//! A payload to rows: strict, bounded, once for each token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::lexer::{Lexer, Malformed, error, span};
use super::said::{Path, Said};
use super::{ClaimRow, Claims, ClaimsError, HeaderRow, PathWord, PrincipalRow, RowKind, SPLIT_CLAIMS, row_at};
use crate::limits::{CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX};
use crate::tables::{Rows, Span, Text};

/// As many claims and strings in lists as most tokens have, so that there need not be more room.
const CLAIMS_COMMON: usize = 24;

/// The claims of one verified token.
#[derive(Clone, PartialEq, Eq)]
pub struct ClaimSet {
    /// The payload, then paths and unescaped strings.
    text: String,
    payload: Span,
    rows: Vec<ClaimRow>,
    items: Vec<Span>,
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
            items: &self.items,
            principal: self.principal,
            headers: &self.headers,
        }
    }

    /// Adds what the gateway writes into header fields for this token.
    pub(crate) fn write_headers(&mut self, headers: &[(String, String)]) {
        let mut store = |text: &str| {
            let start = self.text.len();
            self.text.push_str(text);
            span(start, self.text.len())
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
            .saturating_add(self.items.capacity().saturating_mul(size_of::<Span>()))
            .saturating_add(self.headers.capacity().saturating_mul(size_of::<HeaderRow>()))
    }
}

impl fmt::Debug for ClaimSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.claims().fmt(f)
    }
}

/// An array or object that has not ended.
struct Frame {
    /// Where in `names` an object's members begin; `None` for a list.
    names: Option<usize>,
    /// Where its own value begins in the payload.
    at: usize,
    /// Bytes of the names around it and its own.
    path_bytes: usize,
    /// Its path, unless none leads to it.
    path: Option<Path>,
    /// Where in `items` those of a list begin.
    items: usize,
    /// Whether something else than strings is in a list.
    is_mixed: bool,
}

/// A member's name.
struct Name {
    /// As a path of its own.
    path: Path,
    /// Where it stands in the payload.
    at: u64,
}

/// Where a value stands.
enum Place {
    /// It is a claim.
    Claim(Path),
    /// In a list that is a claim.
    Item,
    /// Where no path leads.
    Nowhere,
}

/// Reads payloads one after the other, in the same memory.
pub(crate) struct ClaimReader {
    around: Around,
    kept: Kept,
}

/// What is around the byte that is read.
struct Around {
    frames: Vec<Frame>,
    /// Names of the members of all objects among them.
    names: Vec<Name>,
}

impl ClaimReader {
    /// With room for what most tokens have.
    pub(crate) fn new() -> Self {
        Self {
            around: Around {
                frames: Vec::with_capacity(4),
                names: Vec::with_capacity(CLAIMS_COMMON),
            },
            kept: Kept {
                rows: Vec::with_capacity(CLAIMS_COMMON),
                items: Vec::with_capacity(CLAIMS_COMMON),
                values: 0,
            },
        }
    }

    /// [`ClaimSet::parse`] of a payload that is not needed otherwise.
    pub(crate) fn read<S: AsRef<str>>(&mut self, payload: Vec<u8>, split: &[S]) -> Result<ClaimSet, ClaimsError> {
        if payload.len() > TOKEN_BYTES_MAX {
            return Err(ClaimsError::TooLong);
        }
        let Self { around, kept } = self;
        around.frames.clear();
        around.names.clear();
        kept.clear();
        let mut reading = Reading {
            split,
            said: Said::new(&payload),
            around,
            kept,
            path: None,
            path_bytes: 0,
        };
        reading.whole(&mut Lexer::new(&payload)).map_err(|stop| match stop {
            Stop::Claims(error) => error,
            Stop::Malformed => error(&payload).map_or(ClaimsError::NotAnObject, ClaimsError::Json),
        })?;
        let added = reading.said.added;
        kept.claim_set(payload, &added)
    }
}

/// What is kept of a payload.
struct Kept {
    rows: Vec<ClaimRow>,
    items: Vec<Span>,
    /// Claims and what their lists have, strings or not.
    values: usize,
}

impl Kept {
    fn clear(&mut self) {
        self.rows.clear();
        self.items.clear();
        self.values = 0;
    }

    fn count(&mut self) -> Result<(), ClaimsError> {
        if self.values >= CLAIMS_MAX {
            return Err(ClaimsError::TooMany);
        }
        self.values = self.values.saturating_add(1);
        Ok(())
    }

    /// Adds a claim, with the items that were added since there were `items` of them.
    fn claim(&mut self, path: Path, value: Span, kind: RowKind, items: usize) -> Result<(), ClaimsError> {
        self.count()?;
        let Span { start, len } = span(items, self.items.len());
        self.rows.push(ClaimRow {
            word: path.word,
            path: path.span,
            value,
            kind,
            items: Rows { start, len },
        });
        Ok(())
    }

    fn item(&mut self, value: Span) -> Result<(), ClaimsError> {
        self.count()?;
        self.items.push(value);
        Ok(())
    }

    /// The claims of a payload, which `added` follows.
    fn claim_set(&mut self, payload: Vec<u8>, added: &[u8]) -> Result<ClaimSet, ClaimsError> {
        let payload_bytes = payload.len();
        let mut text = payload;
        text.extend_from_slice(added);
        // Every string has been checked, and outside of strings JSON is ASCII.
        let text = String::from_utf8(text).map_err(|_| ClaimsError::NotAnObject)?;
        let said = Text(&text);
        self.rows
            .sort_unstable_by(|a, b| a.cmp_path(said, b.word, said.bytes(b.path)));
        let string = |path: &str| {
            let row = row_at(&self.rows, said, path)?;
            // A rule may have them split, in which case they still are what was issued.
            matches!(row.kind, RowKind::String | RowKind::Split).then_some(row.value)
        };
        let principal = PrincipalRow {
            issuer: string("iss"),
            subject: string("sub"),
        };
        Ok(ClaimSet {
            text,
            payload: span(0, payload_bytes),
            rows: self.rows.clone(),
            items: self.items.clone(),
            principal,
            headers: Vec::new(),
        })
    }
}

/// Why a payload is not read to its end.
enum Stop {
    Malformed,
    Claims(ClaimsError),
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<ClaimsError> for Stop {
    fn from(error: ClaimsError) -> Self {
        Self::Claims(error)
    }
}

/// A payload while it is read. What stands in it as it is said is referred to there; only the rest is written anew.
struct Reading<'r, S> {
    split: &'r [S],
    said: Said<'r>,
    around: &'r mut Around,
    kept: &'r mut Kept,
    /// The current member's path, unless none leads to it.
    path: Option<Path>,
    /// Bytes of the names around it and its own.
    path_bytes: usize,
}

impl<S: AsRef<str>> Reading<'_, S> {
    fn whole(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Stop> {
        match lexer.peek() {
            Some(b'{') => self.open(true, lexer)?,
            Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                return Err(ClaimsError::NotAnObject.into());
            }
            _ => return Err(Stop::Malformed),
        }
        let mut is_begun = true;
        while !self.around.frames.is_empty() {
            if !(is_begun && self.closes(lexer)?) {
                is_begun = self.member_or_item(lexer)?;
                if is_begun {
                    continue;
                }
            }
            is_begun = false;
            while !self.around.frames.is_empty() && !lexer.eat(b',') {
                if !self.closes(lexer)? {
                    return Err(Stop::Malformed);
                }
            }
        }
        match lexer.peek() {
            None => Ok(()),
            Some(_) => Err(Stop::Malformed),
        }
    }

    /// Reads a member or an item, of an array or object only the beginning; whether it is one.
    #[inline]
    fn member_or_item(&mut self, lexer: &mut Lexer<'_>) -> Result<bool, Stop> {
        if self.is_in_object() {
            self.name(lexer)?;
            lexer.expect(b':')?;
        }
        match lexer.peek() {
            Some(b'"') => self.string(lexer)?,
            Some(b'-' | b'0'..=b'9') => self.scalar(RowKind::Number, lexer.number()?)?,
            Some(b't') => self.scalar(RowKind::Boolean, lexer.literal(b"true")?)?,
            Some(b'f') => self.scalar(RowKind::Boolean, lexer.literal(b"false")?)?,
            Some(b'n') => self.scalar(RowKind::Null, lexer.literal(b"null")?)?,
            Some(b'{') => {
                self.open(true, lexer)?;
                return Ok(true);
            }
            Some(b'[') => {
                self.open(false, lexer)?;
                return Ok(true);
            }
            _ => return Err(Stop::Malformed),
        }
        Ok(false)
    }

    fn is_in_object(&self) -> bool {
        self.around.frames.last().is_some_and(|frame| frame.names.is_some())
    }

    /// Where the value stands that is about to begin or has just ended.
    fn place(&self) -> Place {
        match self.around.frames.last() {
            Some(Frame {
                path: Some(_),
                names: None,
                ..
            }) => Place::Item,
            Some(Frame { path: Some(_), .. }) => self.path.map_or(Place::Nowhere, Place::Claim),
            _ => Place::Nowhere,
        }
    }

    fn open(&mut self, is_object: bool, lexer: &mut Lexer<'_>) -> Result<(), Stop> {
        if self.around.frames.len() >= CLAIM_DEPTH_MAX {
            return Err(ClaimsError::TooDeep.into());
        }
        let path = match self.place() {
            _ if self.around.frames.is_empty() => Some(Path::EMPTY),
            Place::Claim(path) => Some(path),
            // What stands inside a list has no path.
            Place::Item => {
                self.other_item()?;
                None
            }
            Place::Nowhere => None,
        };
        let frame = Frame {
            names: is_object.then_some(self.around.names.len()),
            at: lexer.at(),
            path_bytes: self.path_bytes,
            path,
            items: self.kept.items.len(),
            is_mixed: false,
        };
        self.around.frames.push(frame);
        lexer.skip(1);
        Ok(())
    }

    /// Closes the innermost array or object, if it ends here.
    fn closes(&mut self, lexer: &mut Lexer<'_>) -> Result<bool, Stop> {
        let end = if self.is_in_object() { b'}' } else { b']' };
        let closes = lexer.eat(end);
        if closes {
            self.close(lexer.at())?;
        }
        Ok(closes)
    }

    fn close(&mut self, end: usize) -> Result<(), ClaimsError> {
        let Some(frame) = self.around.frames.pop() else {
            return Ok(());
        };
        self.path_bytes = frame.path_bytes;
        if let Some(names) = frame.names {
            self.close_names(names)?;
        }
        let Some(path) = frame.path.filter(|_| !self.around.frames.is_empty()) else {
            return Ok(());
        };
        let (kind, items) = match frame.names {
            Some(_) => (RowKind::Object, self.kept.items.len()),
            None if frame.is_mixed => (RowKind::List, frame.items),
            None => (RowKind::Strings, frame.items),
        };
        self.kept.claim(path, span(frame.at, end), kind, items)
    }

    /// Forgets an object's names, of which no two may be the same. Sorted, so that no list of them is too long.
    fn close_names(&mut self, first: usize) -> Result<(), ClaimsError> {
        let text = |name: &Name| self.said.bytes(name.path.span);
        let names = self.around.names.get_mut(first..).unwrap_or_default();
        names.sort_unstable_by(|a, b| {
            let by_name = a.path.word.cmp(&b.path.word).then_with(|| text(a).cmp(text(b)));
            by_name.then(a.at.cmp(&b.at))
        });
        let mut pairs = names.windows(2);
        let twice = pairs.find_map(|pair| match pair {
            [one, other] if one.path.word == other.path.word && text(one) == text(other) => Some(other.at),
            _ => None,
        });
        if let Some(at) = twice {
            return Err(ClaimsError::DuplicateName { at });
        }
        self.around.names.truncate(first);
        Ok(())
    }

    fn name(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Stop> {
        lexer.peek();
        let at = lexer.at() as u64;
        let name = self.said.string(lexer.string()?)?;
        let Some(object) = self.around.frames.last() else {
            return Ok(());
        };
        let is_at_top = self.around.frames.len() == 1;
        let around = match is_at_top {
            true => 0,
            false => object.path_bytes.saturating_add(1),
        };
        self.path_bytes = around.saturating_add(name.len as usize);
        if self.path_bytes > CLAIM_PATH_BYTES_MAX {
            return Err(ClaimsError::PathTooLong.into());
        }
        let own = Path {
            word: PathWord::of(self.said.bytes(name)),
            span: name,
        };
        self.path = match object.path {
            _ if self.said.has_separator(name) => None,
            Some(_) if is_at_top => Some(own),
            Some(object) => Some(self.said.path(object.span, name)),
            None => None,
        };
        self.around.names.push(Name { path: own, at });
        Ok(())
    }

    fn scalar(&mut self, kind: RowKind, value: Span) -> Result<(), ClaimsError> {
        match self.place() {
            Place::Claim(path) => self.kept.claim(path, value, kind, self.kept.items.len()),
            Place::Item => self.other_item(),
            Place::Nowhere => Ok(()),
        }
    }

    /// Something that is no string is in a list.
    fn other_item(&mut self) -> Result<(), ClaimsError> {
        if let Some(list) = self.around.frames.last_mut() {
            list.is_mixed = true;
        }
        self.kept.count()
    }

    fn string(&mut self, lexer: &mut Lexer<'_>) -> Result<(), Stop> {
        let value = self.said.string(lexer.string()?)?;
        match self.place() {
            Place::Claim(path) if self.is_split(path) => self.split(path, value)?,
            Place::Claim(path) => self.kept.claim(path, value, RowKind::String, self.kept.items.len())?,
            Place::Item => self.kept.item(value)?,
            Place::Nowhere => {}
        }
        Ok(())
    }

    fn is_split(&self, path: Path) -> bool {
        let path = self.said.bytes(path.span);
        let is_this = |name: &str| name.as_bytes() == path;
        self.around.frames.len() == 1
            && (SPLIT_CLAIMS.iter().any(|name| is_this(name)) || self.split.iter().any(|name| is_this(name.as_ref())))
    }

    fn split(&mut self, path: Path, value: Span) -> Result<(), ClaimsError> {
        let items = self.kept.items.len();
        let mut start = value.start;
        for piece in self.said.bytes(value).split(|&byte| byte == b' ') {
            let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            if len > 0 {
                self.kept.item(Span { start, len })?;
            }
            start = start.saturating_add(len).saturating_add(1);
        }
        self.kept.claim(path, value, RowKind::Split, items)
    }
}
