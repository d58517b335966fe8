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
mod reader;

use core::cmp::Ordering;
use core::fmt;

use crate::llm::json::JsonError;
use crate::tables::{Span, Text};

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
    /// Sorted by path, as [`ClaimRow::cmp_path`] has it.
    rows: &'k [ClaimRow],
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

/// One thing that a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ClaimRow {
    word: PathWord,
    path: Span,
    value: Span,
    kind: RowKind,
}

/// The length of a path or name, up to 255, and its first seven bytes: an order of paths that seldom has to look further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PathWord(u64);

/// What the value of a row is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only a `ClaimSet` writes rows"))]
enum RowKind {
    /// A string: it matches and it is the value.
    String,
    /// A string in a list, or a piece of a string that was split: it matches.
    Item,
    /// Something else in a list, which matches nothing.
    OtherItem,
    /// A string that was split: it is the value.
    Unsplit,
    /// As written in the payload.
    Number,
    /// `true` or `false`.
    Boolean,
    /// `null`.
    Null,
    /// An object or a list, as written in the payload.
    Json,
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
    pub fn strings<'p>(&self, path: &'p str) -> impl Iterator<Item = &'k str> + use<'k, 'p> {
        let text = self.text;
        self.at(path)
            .filter(|row| matches!(row.kind, RowKind::String | RowKind::Item))
            .map(move |row| text.get(row.value))
    }

    /// The claim at `path` as it was issued.
    #[must_use]
    pub fn value(&self, path: &str) -> Option<ClaimValue<'k>> {
        self.at(path).find_map(|row| {
            let value = self.text.get(row.value);
            match row.kind {
                RowKind::String | RowKind::Unsplit => Some(ClaimValue::String(value)),
                RowKind::Number => Some(ClaimValue::Number(value)),
                RowKind::Boolean => Some(ClaimValue::Boolean(value)),
                RowKind::Null => Some(ClaimValue::Null),
                RowKind::Json => Some(ClaimValue::Json(value)),
                RowKind::Item | RowKind::OtherItem => None,
            }
        })
    }

    /// Whether nothing but strings is in the list at `path`.
    #[must_use]
    pub fn lists_only_strings(&self, path: &str) -> bool {
        !self.at(path).any(|row| row.kind == RowKind::OtherItem)
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

    fn at<'p>(&self, path: &'p str) -> impl Iterator<Item = &'k ClaimRow> + use<'k, 'p> {
        rows_at(self.rows, self.text, path)
    }
}

/// The rows of `path`, among `rows` that are sorted and whose paths are in `text`.
fn rows_at<'k, 'p, 't: 'k>(
    rows: &'k [ClaimRow],
    text: Text<'t>,
    path: &'p str,
) -> impl Iterator<Item = &'k ClaimRow> + use<'k, 'p, 't> {
    let path = path.as_bytes();
    let word = PathWord::of(path);
    let start = rows.partition_point(|row| row.cmp_path(text, word, path).is_lt());
    let rest = rows.get(start..).unwrap_or(&[]);
    rest.iter()
        .take_while(move |row| row.cmp_path(text, word, path).is_eq())
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
        let mut word = [0; 1 + Self::BYTES];
        let len = u8::try_from(path.len()).unwrap_or(u8::MAX);
        for (to, from) in word.iter_mut().zip(core::iter::once(&len).chain(path)) {
            *to = *from;
        }
        Self(u64::from_be_bytes(word))
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
