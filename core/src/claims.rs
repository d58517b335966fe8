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
mod names;
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

/// As many claims as are found sooner by looking at each than by a search.
const ROWS_FEW: usize = 24;

/// The claims of one verified token, borrowed from a [`ClaimSet`].
#[derive(Clone, Copy)]
pub struct Claims<'k> {
    text: Text<'k>,
    payload: Span,
    /// One a path, sorted as [`ClaimRow::cmp_path`] has it if there are more than [`ROWS_FEW`].
    rows: &'k [ClaimRow],
    /// The strings that lists have and that split strings are made of.
    items: &'k [Span],
    principal: PrincipalRow,
    headers: &'k [HeaderRow],
    is_token_shown: bool,
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
    /// Paths to what stands in objects of more than [`crate::limits::CLAIM_PATHS_BYTES_MAX`] bytes together.
    PathsTooLong,
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
    #[inline]
    pub fn value(&self, path: &str) -> Option<ClaimValue<'k>> {
        let text = self.text;
        self.at(path).map(|row| row.as_issued(text))
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

    /// Whether the rule that accepted the token leaves it in the request that is judged (`forwardOriginalToken`).
    pub(crate) const fn is_token_shown(&self) -> bool {
        self.is_token_shown
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

    #[inline]
    fn at(&self, path: &str) -> Option<&'k ClaimRow> {
        row_at(self.rows, self.text, path)
    }
}

/// The claims that a token is checked by (RFC 7519 §4.1), found in one go.
#[cfg(feature = "alloc")]
#[derive(Default)]
pub(crate) struct Registered<'k> {
    pub(crate) issuer: Option<ClaimValue<'k>>,
    pub(crate) subject: Option<ClaimValue<'k>>,
    pub(crate) audience: Option<ClaimValue<'k>>,
    pub(crate) expiry: Option<ClaimValue<'k>>,
    pub(crate) not_before: Option<ClaimValue<'k>>,
    pub(crate) issued_at: Option<ClaimValue<'k>>,
    pub(crate) token_id: Option<ClaimValue<'k>>,
}

#[cfg(feature = "alloc")]
impl<'k> Registered<'k> {
    pub(crate) fn of(claims: &Claims<'k>) -> Self {
        const AUD: PathWord = PathWord::of_three(*b"aud");
        const EXP: PathWord = PathWord::of_three(*b"exp");
        const NBF: PathWord = PathWord::of_three(*b"nbf");
        const IAT: PathWord = PathWord::of_three(*b"iat");
        const JTI: PathWord = PathWord::of_three(*b"jti");
        let mut found = Self::default();
        for row in claims.rows {
            let claim = match row.word {
                PathWord::ISS => &mut found.issuer,
                PathWord::SUB => &mut found.subject,
                AUD => &mut found.audience,
                EXP => &mut found.expiry,
                NBF => &mut found.not_before,
                IAT => &mut found.issued_at,
                JTI => &mut found.token_id,
                _ => continue,
            };
            *claim = Some(row.as_issued(claims.text));
        }
        found
    }
}

/// The row of `path`, among `rows` whose paths are in `text`, and which are sorted if there are many.
#[inline]
fn row_at<'k>(rows: &'k [ClaimRow], text: Text<'_>, path: &str) -> Option<&'k ClaimRow> {
    let path = path.as_bytes();
    let word = PathWord::of(path);
    if rows.len() > ROWS_FEW {
        let at = rows.binary_search_by(|row| row.cmp_path(text, word, path)).ok()?;
        return rows.get(at);
    }
    let is_it = |row: &&ClaimRow| row.word == word && (word.is_whole() || text.bytes(row.path) == path);
    rows.iter().find(is_it)
}

impl ClaimRow {
    /// What it is, with the text of its claims.
    fn as_issued<'k>(&self, text: Text<'k>) -> ClaimValue<'k> {
        let value = text.get(self.value);
        match self.kind {
            RowKind::String | RowKind::Split => ClaimValue::String(value),
            RowKind::Number => ClaimValue::Number(value),
            RowKind::Boolean => ClaimValue::Boolean(value),
            RowKind::Null => ClaimValue::Null,
            RowKind::Object | RowKind::Strings | RowKind::List => ClaimValue::Json(value),
        }
    }

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
    #[cfg(feature = "alloc")]
    const ISS: Self = Self::of_three(*b"iss");
    #[cfg(feature = "alloc")]
    const SUB: Self = Self::of_three(*b"sub");

    /// Bytes of a path that find room.
    const BYTES: usize = 7;

    fn of(path: &[u8]) -> Self {
        if let Some(begin) = path.first_chunk() {
            return Self::begins(*begin, path.len());
        }
        let bytes = path.iter().fold(0, |bytes, &byte| bytes << 8 | u64::from(byte));
        let missing = Self::BYTES.saturating_sub(path.len());
        Self::begins((bytes << (8 * missing) << 8).to_be_bytes(), path.len())
    }

    #[cfg(feature = "alloc")]
    const fn of_three([a, b, c]: [u8; 3]) -> Self {
        Self::begins([a, b, c, 0, 0, 0, 0, 0], 3)
    }

    /// Of a path of `len` bytes, which these begin with.
    #[inline]
    const fn begins(bytes: [u8; Self::BYTES + 1], len: usize) -> Self {
        let missing = Self::BYTES.saturating_sub(len);
        let bytes = u64::from_be_bytes(bytes) >> 8 >> (8 * missing) << (8 * missing);
        let len = if len < 0xFF { len as u64 } else { 0xFF };
        Self(len << (8 * Self::BYTES) | bytes)
    }

    /// One of 64 bits, which other words may have as well.
    #[cfg(feature = "alloc")]
    #[inline]
    const fn bit(self) -> u64 {
        /// Odd, and as if drawn by lot: 2^64 divided by the golden ratio.
        const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;
        1 << (self.0.wrapping_mul(SPREAD) >> 58)
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
            Self::DuplicateName { at } => write!(f, "refused: a member is named twice, at byte {at}"),
            Self::TooDeep => f.write_str("nested too deep"),
            Self::TooMany => f.write_str("too many"),
            Self::PathTooLong => f.write_str("refused: a name is too long"),
            Self::PathsTooLong => f.write_str("refused: the names around nested members are too long together"),
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
