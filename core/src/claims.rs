//! What a verified token says, as policy reads it.
//!
//! A shell that has verified a token reads its payload once into a [`ClaimSet`]
//! (feature `alloc`); decisions borrow it as [`Claims`] and allocate nothing.
//! The reading is Envoy's: a claim matches as a string, or as a list with that
//! string in it; `scope`, `permission` and what a rule names besides are split
//! on blanks; numbers, booleans, null, objects and nested lists never match; a
//! path through a list finds nothing. A payload that names a member twice is
//! refused, so that no two readers of one token disagree.
//!
//! A claim is named by its path: the names of the objects around it and its own,
//! joined by [`PATH_SEPARATOR`].

#[cfg(feature = "alloc")]
mod lexer;
#[cfg(feature = "alloc")]
mod reader;
#[cfg(feature = "alloc")]
mod said;

use core::cmp::Ordering;
use core::fmt;

use crate::llm::json::JsonError;
use crate::tables::{Rows, Span, Text};

#[cfg(feature = "alloc")]
pub(crate) use reader::ClaimReader;
#[cfg(feature = "alloc")]
pub use reader::ClaimSet;

/// Stands between the names of a claim's path. A member whose own name holds it can be named by no policy.
pub const PATH_SEPARATOR: char = '\0';

/// Top-level claims that are always split on blanks, as Istio has it.
pub const SPLIT_CLAIMS: [&str; 2] = ["scope", "permission"];

/// The claims of one verified token, borrowed from a [`ClaimSet`].
#[derive(Clone, Copy)]
pub struct Claims<'k> {
    text: Text<'k>,
    payload: Span,
    /// One a path, sorted as [`ClaimRow::cmp_path`] has it.
    rows: &'k [ClaimRow],
    /// The strings that lists have and that split strings are made of.
    items: &'k [Span],
    principal: PrincipalRow,
    headers: &'k [HeaderRow],
}

/// The claims that nearly every policy for tokens asks for, found once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct PrincipalRow {
    issuer: Option<Span>,
    subject: Option<Span>,
}

/// One header field that the gateway writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct HeaderRow {
    name: Span,
    value: Span,
}

/// One claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ClaimRow {
    word: PathWord,
    path: Span,
    value: Span,
    kind: RowKind,
    /// What of it matches beside a string itself, in `items`.
    items: Rows,
}

/// The length of a path or name, up to 255, and its first seven bytes: an order of paths that seldom has to look further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathWord(u64);

/// What the value of a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only a `ClaimSet` writes rows"))]
enum RowKind {
    /// A string, which matches as it is.
    String,
    /// A string whose pieces between blanks match in its place.
    Split,
    /// As written in the payload.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// An object, as written in the payload.
    Object,
    /// A list of nothing but strings, as written in the payload.
    Strings,
    /// A list with something else in it, as written in the payload.
    List,
}

/// The value of a claim as it was issued.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum ClaimValue<'k> {
    /// A string, without its quotes and escapes.
    String(&'k str),
    /// A number as written.
    Number(&'k str),
    /// `true` or `false`.
    Boolean(&'k str),
    /// `null`.
    Null,
    /// An object or a list as written.
    Json(&'k str),
}

/// Why a payload has no claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimsError {
    /// It is not JSON.
    Json(JsonError),
    /// It is JSON, but no object.
    NotAnObject,
    /// An object names a member twice; the offset of the second.
    DuplicateName {
        /// Bytes before it.
        at: u64,
    },
    /// More than [`crate::limits::CLAIM_DEPTH_MAX`] arrays and objects around each other.
    TooDeep,
    /// More than [`crate::limits::CLAIMS_MAX`] values.
    TooMany,
    /// A path of more than [`crate::limits::CLAIM_PATH_BYTES_MAX`] bytes.
    PathTooLong,
    /// More than [`crate::limits::TOKEN_BYTES_MAX`] bytes.
    TooLong,
}

impl<'k> Claims<'k> {
    /// The strings that the claim at `path` is, or that it lists: what a policy compares.
    pub fn strings(&self, path: &str) -> impl Iterator<Item = &'k str> + use<'k> {
        let (text, row) = (self.text, self.at(path));
        let whole = row.filter(|row| row.kind == RowKind::String).map(|row| row.value);
        let items = row.map_or(&[][..], |row| row.items.of(self.items));
        let spans = whole.into_iter().chain(items.iter().copied());
        spans.map(move |span| text.get(span))
    }

    /// The claim at `path` as it was issued.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<ClaimValue<'k>> {
        let row = self.at(path)?;
        let value = self.text.get(row.value);
        Some(match row.kind {
            RowKind::String | RowKind::Split => ClaimValue::String(value),
            RowKind::Number => ClaimValue::Number(value),
            RowKind::Boolean => ClaimValue::Boolean(value),
            RowKind::Null => ClaimValue::Null,
            RowKind::Object | RowKind::Strings | RowKind::List => ClaimValue::Json(value),
        })
    }

    /// Whether nothing but strings is in the list at `path`.
    #[must_use]
    pub fn lists_only_strings(&self, path: &str) -> bool {
        self.at(path).is_none_or(|row| row.kind != RowKind::List)
    }

    /// The header fields that the gateway writes for this token (`outputPayloadToHeader`, `outputClaimToHeaders`): names
    /// in lower case, and values.
    pub fn headers(&self) -> impl Iterator<Item = (&'k str, &'k str)> + use<'k> {
        let text = self.text;
        let rows = self.headers.iter();
        rows.map(move |row| (text.get(row.name), text.get(row.value)))
    }

    /// The value of such a field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'k str> {
        self.headers()
            .find_map(|(own, value)| own.eq_ignore_ascii_case(name).then_some(value))
    }

    /// `iss`, if it is a string.
    #[must_use]
    pub fn issuer(&self) -> Option<&'k str> {
        self.principal.issuer.map(|issuer| self.text.get(issuer))
    }

    /// `sub`, if it is a string.
    #[must_use]
    pub fn subject(&self) -> Option<&'k str> {
        self.principal.subject.map(|subject| self.text.get(subject))
    }

    /// `aud`: one string or several.
    pub fn audiences(&self) -> impl Iterator<Item = &'k str> + use<'k> {
        self.strings("aud")
    }

    /// `azp`: one string, as a rule.
    pub fn presenters(&self) -> impl Iterator<Item = &'k str> + use<'k> {
        self.strings("azp")
    }

    /// The whole payload.
    #[must_use]
    pub fn payload(&self) -> &'k str {
        self.text.get(self.payload)
    }

    fn at(&self, path: &str) -> Option<&'k ClaimRow> {
        row_at(self.rows, self.text, path)
    }
}

/// The row of `path`, among `rows` that are sorted and whose paths are in `text`.
fn row_at<'k>(rows: &'k [ClaimRow], text: Text<'_>, path: &str) -> Option<&'k ClaimRow> {
    let path = path.as_bytes();
    let word = PathWord::of(path);
    let start = rows.partition_point(|row| row.word < word);
    let rest = rows.get(start..)?;
    if word.is_whole() {
        return rest.first().filter(|row| row.word == word);
    }
    let at = rest.binary_search_by(|row| row.cmp_path(text, word, path)).ok()?;
    rest.get(at)
}

impl ClaimRow {
    /// How its path, in `text`, is to a path and the word of that.
    fn cmp_path(&self, text: Text<'_>, word: PathWord, path: &[u8]) -> Ordering {
        let by_word = self.word.cmp(&word);
        by_word.then_with(|| match word.is_whole() {
            true => Ordering::Equal,
            false => text.bytes(self.path).cmp(path),
        })
    }
}

impl PathWord {
    /// Bytes of a path that find room.
    const BYTES: usize = 7;

    fn of(path: &[u8]) -> Self {
        let len = u64::from(u8::try_from(path.len()).unwrap_or(u8::MAX));
        let bytes = path.get(..Self::BYTES).unwrap_or(path);
        let missing = Self::BYTES.saturating_sub(bytes.len());
        let bytes = bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte));
        Self(len << (8 * Self::BYTES) | bytes << (8 * missing))
    }

    /// Whether only one path has this word.
    const fn is_whole(self) -> bool {
        (self.0 >> (8 * Self::BYTES)) as usize <= Self::BYTES
    }
}

impl fmt::Debug for Claims<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What a token says of a person is nobody's business but policy's.
        f.debug_struct("Claims")
            .field("count", &self.rows.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ClaimValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::String(_) => "String",
            Self::Number(_) => "Number",
            Self::Boolean(_) => "Boolean",
            Self::Null => "Null",
            Self::Json(_) => "Json",
        })
    }
}

impl fmt::Display for ClaimsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(error) => write!(f, "not valid JSON at byte {}", error.at),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::DuplicateName { at } => write!(f, "a member is named twice, at byte {at}"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooMany => f.write_str("too many claims"),
            Self::PathTooLong => f.write_str("a claim's name is too long"),
            Self::TooLong => f.write_str("too long"),
        }
    }
}

impl core::error::Error for ClaimsError {}

impl From<JsonError> for ClaimsError {
    fn from(error: JsonError) -> Self {
        Self::Json(error)
    }
}
