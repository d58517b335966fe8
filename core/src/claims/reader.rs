//! A payload to rows: strict, bounded, once for each token.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use super::lexer::{Lexer, Malformed, error, span};
use super::names::{Members, Names, Repeated};
use super::said::{Path, Said};
use super::{
    ClaimRow, ClaimValue, Claims, ClaimsError, HeaderRow, PathWord, PrincipalRow, ROWS_FEW, RowKind, SPLIT_CLAIMS,
    row_at,
};
use crate::limits::{CLAIM_DEPTH_MAX, CLAIM_PATH_BYTES_MAX, CLAIM_PATHS_BYTES_MAX, CLAIMS_MAX, TOKEN_BYTES_MAX};
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
    is_token_shown: bool,
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
            is_token_shown: self.is_token_shown,
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

    /// Leaves the token in the request that is judged.
    pub(crate) fn show_token(&mut self) {
        self.is_token_shown = true;
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

/// Where a value stands.
#[derive(Clone, Copy)]
struct Place {
    /// Its path, unless none leads to it.
    path: Option<Path>,
    /// Bytes of the names around it and its own.
    path_bytes: usize,
    /// Arrays and objects around it.
    depth: usize,
}

impl Place {
    /// The payload's own.
    const TOP: Self = Self {
        path: Some(Path::EMPTY),
        path_bytes: 0,
        depth: 0,
    };

    /// Refuses an array or object here that is one too deep; the depth of what stands in it.
    fn deeper(&self) -> Result<usize, Stop> {
        match self.depth {
            CLAIM_DEPTH_MAX.. => Err(Stop::TooDeep),
            depth => Ok(depth.saturating_add(1)),
        }
    }
}

/// Reads payloads one after the other, in the same memory.
pub(crate) struct ClaimReader {
    names: Names,
    kept: Kept,
}

impl ClaimReader {
    /// With room for what most tokens have.
    pub(crate) fn new() -> Self {
        Self {
            names: Names::with_capacity(CLAIMS_COMMON),
            kept: Kept {
                rows: Vec::with_capacity(CLAIMS_COMMON),
                items: Vec::with_capacity(CLAIMS_COMMON),
                values: 0,
                path_bytes: 0,
            },
        }
    }

    /// [`ClaimSet::parse`] of a payload that is not needed otherwise.
    pub(crate) fn read<S: AsRef<str>>(&mut self, payload: Vec<u8>, split: &[S]) -> Result<ClaimSet, ClaimsError> {
        let payload_bytes = payload.len();
        let text = self.text(payload, split)?;
        Ok(self.kept.claim_set(text, span(0, payload_bytes)))
    }

    /// The members of an object that is read like a payload and not kept.
    pub(crate) fn glance(&mut self, object: Vec<u8>) -> Result<Glance<'_>, ClaimsError> {
        let text = self.text::<&str>(object, &[])?;
        let rows = &self.kept.rows;
        Ok(Glance { text, rows })
    }

    /// Reads a payload; gives back the text that what is kept refers to.
    fn text<S: AsRef<str>>(&mut self, payload: Vec<u8>, split: &[S]) -> Result<String, ClaimsError> {
        if payload.len() > TOKEN_BYTES_MAX {
            return Err(ClaimsError::TooLong);
        }
        let mut text = String::from_utf8(payload).map_err(|error| {
            let valid = error.utf8_error().valid_up_to();
            let payload = error.as_bytes();
            // Whatever else is wrong before that byte comes first.
            let readable = payload.get(..=valid).unwrap_or(payload);
            let stop = self.whole(readable, split).err();
            stop.unwrap_or(Stop::Malformed).error(payload)
        })?;
        let added = self.whole(text.as_bytes(), split);
        let added = added.map_err(|stop| stop.error(text.as_bytes()))?;
        text.push_str(core::str::from_utf8(&added).map_err(|_| ClaimsError::NotAnObject)?);
        self.kept.sort(Text(&text));
        Ok(text)
    }

    /// Reads a payload; gives back what follows it in the text of its claims.
    fn whole<S: AsRef<str>>(&mut self, payload: &[u8], split: &[S]) -> Result<Vec<u8>, Stop> {
        self.names.clear();
        self.kept.clear();
        let mut reading = Reading {
            lexer: Lexer::new(payload),
            split,
            said: Said::new(payload),
            names: &mut self.names,
            kept: &mut self.kept,
        };
        reading.whole()?;
        Ok(reading.said.added)
    }
}

/// What is kept of a payload.
struct Kept {
    rows: Vec<ClaimRow>,
    items: Vec<Span>,
    /// Claims and what their lists have, strings or not.
    values: usize,
    /// Of the paths that are written.
    path_bytes: usize,
}

impl Kept {
    fn clear(&mut self) {
        self.rows.clear();
        self.items.clear();
        self.values = 0;
        self.path_bytes = 0;
    }

    fn count(&mut self) -> Result<(), Stop> {
        if self.values >= CLAIMS_MAX {
            return Err(Stop::TooMany);
        }
        self.values = self.values.saturating_add(1);
        Ok(())
    }

    /// Adds a claim, with the items that were added since there were `items` of them.
    #[inline]
    fn claim(&mut self, path: Path, value: Span, kind: RowKind, items: u32) -> Result<(), Stop> {
        self.count()?;
        self.rows.push(ClaimRow {
            word: path.word,
            path: path.span,
            value,
            kind,
            items: Rows {
                start: items,
                len: self.items_end().saturating_sub(items),
            },
        });
        Ok(())
    }

    /// How many items there are.
    fn items_end(&self) -> u32 {
        u32::try_from(self.items.len()).unwrap_or(u32::MAX)
    }

    fn item(&mut self, value: Span) -> Result<(), Stop> {
        self.count()?;
        self.items.push(value);
        Ok(())
    }

    fn sort(&mut self, text: Text<'_>) {
        if self.rows.len() > ROWS_FEW {
            self.rows
                .sort_unstable_by(|a, b| a.cmp_path(text, b.word, text.bytes(b.path)));
        }
    }

    /// The claims of a payload, which `text` begins with.
    fn claim_set(&self, text: String, payload: Span) -> ClaimSet {
        let mut principal = PrincipalRow::default();
        // A rule may have them split, in which case they still are what was issued.
        let strings = |row: &&ClaimRow| matches!(row.kind, RowKind::String | RowKind::Split);
        for row in self.rows.iter().filter(strings) {
            match row.word {
                PathWord::ISS => principal.issuer = Some(row.value),
                PathWord::SUB => principal.subject = Some(row.value),
                _ => {}
            }
        }
        ClaimSet {
            text,
            payload,
            rows: self.rows.clone(),
            items: self.items.clone(),
            principal,
            headers: Vec::new(),
            is_token_shown: false,
        }
    }
}

/// What is read of an object without keeping it.
pub(crate) struct Glance<'r> {
    text: String,
    rows: &'r [ClaimRow],
}

impl Glance<'_> {
    /// [`Claims::value`]
    pub(crate) fn value(&self, path: &str) -> Option<ClaimValue<'_>> {
        let text = Text(&self.text);
        row_at(self.rows, text, path).map(|row| row.as_issued(text))
    }
}

/// Why a payload is not read to its end: [`ClaimsError`], without what is found out only if somebody asks.
enum Stop {
    Malformed,
    NotAnObject,
    DuplicateName { at: u32 },
    TooDeep,
    TooMany,
    PathTooLong,
    PathsTooLong,
}

impl Stop {
    /// What is wrong with the payload.
    fn error(self, payload: &[u8]) -> ClaimsError {
        match self {
            Self::Malformed => error(payload).map_or(ClaimsError::NotAnObject, ClaimsError::Json),
            Self::NotAnObject => ClaimsError::NotAnObject,
            Self::DuplicateName { at } => ClaimsError::DuplicateName { at: at.into() },
            Self::TooDeep => ClaimsError::TooDeep,
            Self::TooMany => ClaimsError::TooMany,
            Self::PathTooLong => ClaimsError::PathTooLong,
            Self::PathsTooLong => ClaimsError::PathsTooLong,
        }
    }
}

impl From<Repeated> for Stop {
    fn from(Repeated { at }: Repeated) -> Self {
        Self::DuplicateName { at }
    }
}

impl From<Malformed> for Stop {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// A payload while it is read. What stands in it as it is said is referred to there; only the rest is written anew.
struct Reading<'r, S> {
    lexer: Lexer<'r>,
    split: &'r [S],
    said: Said<'r>,
    names: &'r mut Names,
    kept: &'r mut Kept,
}

impl<S: AsRef<str>> Reading<'_, S> {
    fn whole(&mut self) -> Result<(), Stop> {
        match self.lexer.peek() {
            Some(b'{') => self.object(&Place::TOP)?,
            Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                return Err(Stop::NotAnObject);
            }
            _ => return Err(Stop::Malformed),
        };
        match self.lexer.peek() {
            None => Ok(()),
            Some(_) => Err(Stop::Malformed),
        }
    }

    /// Reads the object that begins here.
    fn object(&mut self, place: &Place) -> Result<Span, Stop> {
        let depth = place.deeper()?;
        let (start, mut members) = (self.lexer.at(), self.names.open());
        self.lexer.skip(1);
        if !self.lexer.eat(b'}') {
            loop {
                let member = self.name(place, depth, &mut members)?;
                self.lexer.expect(b':')?;
                self.value(&member)?;
                if !self.lexer.eat(b',') {
                    break;
                }
            }
            self.lexer.expect(b'}')?;
        }
        self.names.close(&members, &self.said)?;
        Ok(self.lexer.since(start))
    }

    /// Reads a member's name; where its value stands.
    #[inline]
    fn name(&mut self, object: &Place, depth: usize, members: &mut Members) -> Result<Place, Stop> {
        let Some(b'"') = self.lexer.peek() else {
            return Err(Stop::Malformed);
        };
        let at = self.lexer.at();
        let name = self.said.string(self.lexer.string()?)?;
        let is_at_top = object.depth == 0;
        let around = match is_at_top {
            true => 0,
            false => object.path_bytes.saturating_add(1),
        };
        let path_bytes = around.saturating_add(name.len as usize);
        if path_bytes > CLAIM_PATH_BYTES_MAX {
            return Err(Stop::PathTooLong);
        }
        let own = Path {
            word: self.said.word(name),
            span: name,
        };
        let path = match object.path {
            _ if self.said.has_separator(name) => None,
            Some(_) if is_at_top => Some(own),
            Some(object) => Some(self.nested(object, name, path_bytes)?),
            None => None,
        };
        self.names.add(members, own, at);
        Ok(Place {
            path,
            path_bytes,
            depth,
        })
    }

    /// The path to a member of an object that is itself a member, of so many bytes.
    fn nested(&mut self, object: Path, name: Span, path_bytes: usize) -> Result<Path, Stop> {
        self.kept.path_bytes = self.kept.path_bytes.saturating_add(path_bytes);
        match self.kept.path_bytes {
            ..=CLAIM_PATHS_BYTES_MAX => Ok(self.said.path(object.span, name)),
            _ => Err(Stop::PathsTooLong),
        }
    }

    /// Reads a member's value.
    #[inline]
    fn value(&mut self, member: &Place) -> Result<(), Stop> {
        let before = self.kept.items_end();
        let (value, kind) = match self.lexer.peek() {
            Some(b'"') => self.string(member)?,
            Some(b'{') => (self.object(member)?, RowKind::Object),
            Some(b'[') => self.list(member)?,
            _ => self.scalar()?,
        };
        let Some(path) = member.path else {
            return Ok(());
        };
        let items = match kind {
            // What lists in it have is theirs.
            RowKind::Object => self.kept.items_end(),
            _ => before,
        };
        self.kept.claim(path, value, kind, items)
    }

    /// Reads the list that begins here.
    fn list(&mut self, place: &Place) -> Result<(Span, RowKind), Stop> {
        let item = Place {
            // What stands inside a list has no path.
            path: None,
            depth: place.deeper()?,
            ..*place
        };
        let is_claim = place.path.is_some();
        let (start, mut kind) = (self.lexer.at(), RowKind::Strings);
        self.lexer.skip(1);
        if !self.lexer.eat(b']') {
            loop {
                if !self.item(&item, is_claim)? {
                    kind = RowKind::List;
                }
                if !self.lexer.eat(b',') {
                    break;
                }
            }
            self.lexer.expect(b']')?;
        }
        Ok((self.lexer.since(start), kind))
    }

    /// Reads an item, of a list that is a claim or of another; whether it is a string.
    fn item(&mut self, item: &Place, is_claim: bool) -> Result<bool, Stop> {
        let begin = self.lexer.peek();
        match begin {
            Some(b'"') => {
                let value = self.said.string(self.lexer.string()?)?;
                if is_claim {
                    self.kept.item(value)?;
                }
                return Ok(true);
            }
            Some(b'{' | b'[') => {
                item.deeper()?;
            }
            _ => {
                self.scalar()?;
            }
        }
        if is_claim {
            self.kept.count()?;
        }
        match begin {
            Some(b'{') => {
                self.object(item)?;
            }
            Some(b'[') => {
                self.list(item)?;
            }
            _ => {}
        }
        Ok(false)
    }

    fn scalar(&mut self) -> Result<(Span, RowKind), Malformed> {
        Ok(match self.lexer.peek() {
            Some(b'-' | b'0'..=b'9') => (self.lexer.number()?, RowKind::Number),
            Some(b't') => (self.lexer.literal(b"true")?, RowKind::Boolean),
            Some(b'f') => (self.lexer.literal(b"false")?, RowKind::Boolean),
            Some(b'n') => (self.lexer.literal(b"null")?, RowKind::Null),
            _ => return Err(Malformed),
        })
    }

    /// Reads a member's string, with the pieces that match in its place.
    fn string(&mut self, member: &Place) -> Result<(Span, RowKind), Stop> {
        let value = self.said.string(self.lexer.string()?)?;
        match member.path {
            Some(path) if member.depth == 1 && self.is_split(path) => {
                self.split(value)?;
                Ok((value, RowKind::Split))
            }
            _ => Ok((value, RowKind::String)),
        }
    }

    /// Whether the string at a path of one name is split.
    fn is_split(&self, path: Path) -> bool {
        let path = self.said.bytes(path.span);
        let is_this = |name: &str| name.as_bytes() == path;
        SPLIT_CLAIMS.iter().any(|name| is_this(name)) || self.split.iter().any(|name| is_this(name.as_ref()))
    }

    fn split(&mut self, value: Span) -> Result<(), Stop> {
        let mut start = value.start;
        for piece in self.said.bytes(value).split(|&byte| byte == b' ') {
            let len = u32::try_from(piece.len()).unwrap_or(u32::MAX);
            if len > 0 {
                self.kept.item(Span { start, len })?;
            }
            start = start.saturating_add(len).saturating_add(1);
        }
        Ok(())
    }
}
