//! The facts of a request body that decisions and edits need, read while it arrives.
//!
//! [`BodyScan`] is fed chunk by chunk, checks the whole text and keeps only
//! [`BodyFacts`]: the few values that decisions read, and where each top-level
//! member stands. A body that two careful readers could read differently is
//! refused: what one of them would have let through must not reach the other.

use core::fmt;
use core::ops::Range;

use heapless::Vec;

use super::json::{JsonError, JsonErrorKind, Kind, Tokenizer, Visit};
use super::text::Text;
use crate::limits::{JSON_TOP_LEVEL_KEY_BYTES_MAX, JSON_TOP_LEVEL_KEYS_MAX, MODEL_BYTES_MAX};

pub use super::body_error::BodyError;

// Key positions are kept as u16.
const _: () = assert!(JSON_TOP_LEVEL_KEY_BYTES_MAX <= u16::MAX as usize);

/// Bytes of a governed scalar or inner key that is read: any u64 and the longest governed name fit.
const SCALAR_BYTES: usize = 24;

/// A member of a body that decisions read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the set of governed members is the contract")]
pub enum Governed {
    /// `model`
    Model,
    /// `stream`
    Stream,
    /// `stream_options`
    StreamOptions,
    /// `include_usage` inside `stream_options`
    IncludeUsage,
    /// `max_tokens`
    MaxTokens,
    /// `max_completion_tokens`
    MaxCompletionTokens,
}

/// The governed members of the top level.
const GOVERNED: [Governed; 5] = [
    Governed::Model,
    Governed::Stream,
    Governed::StreamOptions,
    Governed::MaxTokens,
    Governed::MaxCompletionTokens,
];

impl Governed {
    /// Its key in the body.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Stream => "stream",
            Self::StreamOptions => "stream_options",
            Self::IncludeUsage => "include_usage",
            Self::MaxTokens => "max_tokens",
            Self::MaxCompletionTokens => "max_completion_tokens",
        }
    }
}

/// Where the value of a top-level member stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MemberSpan {
    /// Bytes of the value, counted from the start of the body.
    pub value: Range<u64>,
    /// The value is `null`.
    pub is_null: bool,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    value_start: u64,
    value_end: u64,
    key_start: u16,
    key_len: u16,
    is_null: bool,
}

/// What is known of a body that was read to its end.
#[derive(Clone)]
pub struct BodyFacts {
    /// UTF-8; empty when absent.
    model: Text<MODEL_BYTES_MAX>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    max_tokens: Option<u64>,
    /// All top-level keys, unescaped, one after the other.
    keys: Text<JSON_TOP_LEVEL_KEY_BYTES_MAX>,
    members: Vec<Member, JSON_TOP_LEVEL_KEYS_MAX>,
    insert_at: u64,
    len: u64,
}

impl BodyFacts {
    const fn new() -> Self {
        Self {
            model: Text::new(),
            stream: None,
            include_usage: None,
            max_tokens: None,
            keys: Text::new(),
            members: Vec::new(),
            insert_at: 0,
            len: 0,
        }
    }

    /// `model`, unescaped and never empty; `None` when absent or `null`.
    #[must_use]
    pub fn model(&self) -> Option<&str> {
        core::str::from_utf8(self.model.as_bytes())
            .ok()
            .filter(|model| !model.is_empty())
    }

    /// `stream`; `None` when absent or `null`.
    #[must_use]
    pub fn stream(&self) -> Option<bool> {
        self.stream
    }

    /// `stream_options.include_usage`; `None` when absent or `null`.
    #[must_use]
    pub fn include_usage(&self) -> Option<bool> {
        self.include_usage
    }

    /// The larger of `max_tokens` and `max_completion_tokens`: providers differ in which they obey.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// The top-level member with exactly this key.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<MemberSpan> {
        let member = self.members.iter().find(|m| self.key(m) == name.as_bytes())?;
        Some(MemberSpan {
            value: member.value_start..member.value_end,
            is_null: member.is_null,
        })
    }

    /// All top-level members in their order: the unescaped key and its value.
    pub fn members(&self) -> impl Iterator<Item = (&[u8], MemberSpan)> {
        let span = |m: &Member| MemberSpan {
            value: m.value_start..m.value_end,
            is_null: m.is_null,
        };
        self.members.iter().map(move |member| (self.key(member), span(member)))
    }

    /// Offset of a top-level key's value that a reader who ignores case takes for `name`, though it is written otherwise.
    ///
    /// A field that configuration sets must not have one: the provider might read it instead.
    #[must_use]
    pub fn other_case(&self, name: &str) -> Option<u64> {
        self.members
            .iter()
            .find(|m| is_other_case(self.key(m), name))
            .map(|m| m.value_start)
    }

    /// Number of top-level members.
    #[must_use]
    pub fn member_count(&self) -> usize {
        self.members.len()
    }

    /// Where a member can be inserted: just after the opening brace.
    #[must_use]
    pub fn insert_at(&self) -> u64 {
        self.insert_at
    }

    /// The object has no member, so an inserted one needs no comma.
    #[must_use]
    pub fn is_empty_object(&self) -> bool {
        self.members.is_empty()
    }

    /// Bytes of the whole body.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty body has no facts")]
    pub fn len(&self) -> u64 {
        self.len
    }

    fn key(&self, member: &Member) -> &[u8] {
        let start = usize::from(member.key_start);
        self.keys
            .as_bytes()
            .get(start..start.saturating_add(usize::from(member.key_len)))
            .unwrap_or_default()
    }
}

impl fmt::Debug for BodyFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyFacts")
            .field("model", &self.model())
            .field("stream", &self.stream)
            .field("include_usage", &self.include_usage)
            .field("max_tokens", &self.max_tokens)
            .field("member_count", &self.members.len())
            .field("len", &self.len)
            .finish()
    }
}

/// Reads one body at a time; about 9 KiB, meant to be kept and [`reset`](Self::reset).
#[derive(Debug)]
pub struct BodyScan {
    limit: u64,
    tokens: Tokenizer,
    reader: Reader,
    failed: Option<BodyError>,
    finished: bool,
}

impl BodyScan {
    /// A scan that refuses bodies of more than `limit_bytes`.
    #[must_use]
    pub const fn new(limit_bytes: u64) -> Self {
        Self {
            limit: limit_bytes,
            tokens: Tokenizer::new(),
            reader: Reader::new(),
            failed: None,
            finished: false,
        }
    }

    /// Forgets the body read so far.
    pub fn reset(&mut self) {
        self.tokens = Tokenizer::new();
        self.reader.reset();
        self.failed = None;
        self.finished = false;
    }

    /// Reads the next bytes of the body.
    ///
    /// # Errors
    /// The first thing that is wrong with the body, and the same again for every later call.
    pub fn feed(&mut self, chunk: &[u8]) -> Result<(), BodyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let room = usize::try_from(self.limit.saturating_sub(self.tokens.offset())).unwrap_or(usize::MAX);
        let (within, beyond) = chunk.split_at_checked(room).unwrap_or((chunk, &[]));
        let mut result = self.tokens.feed(within, &mut self.reader);
        if result.is_ok() && !beyond.is_empty() {
            result = Err(BodyError::TooLarge);
        }
        self.failed = result.err();
        result
    }

    /// Says that the body is complete, and lends what was read.
    ///
    /// # Errors
    /// The first thing that is wrong with the body.
    pub fn finish(&mut self) -> Result<&BodyFacts, BodyError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if !self.finished {
            if let Err(error) = self.tokens.finish(&mut self.reader) {
                self.failed = Some(error);
                return Err(error);
            }
            self.reader.facts.len = self.tokens.offset();
            self.finished = true;
        }
        Ok(&self.reader.facts)
    }
}

/// Gathers the facts while the tokenizer runs.
#[derive(Debug)]
struct Reader {
    facts: BodyFacts,
    /// The top-level member being read, when it is governed.
    current: Option<Governed>,
    /// The member being read is `include_usage` of `stream_options`.
    in_include_usage: bool,
    seen_include_usage: bool,
    /// Offset and type of the governed value or key being read.
    at: u64,
    kind: Kind,
    /// Text of the governed number or inner key being read.
    scalar: Text<SCALAR_BYTES>,
    /// Where [`Visit::text`] puts what it is given.
    sink: Sink,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Keys,
    Model,
    Scalar,
}

impl Reader {
    const fn new() -> Self {
        Self {
            facts: BodyFacts::new(),
            current: None,
            in_include_usage: false,
            seen_include_usage: false,
            at: 0,
            kind: Kind::Null,
            scalar: Text::new(),
            sink: Sink::Scalar,
        }
    }

    /// As new, without writing the buffers.
    fn reset(&mut self) {
        self.facts.model.clear();
        self.facts.stream = None;
        self.facts.include_usage = None;
        self.facts.max_tokens = None;
        self.facts.keys.clear();
        self.facts.members.clear();
        self.current = None;
        self.in_include_usage = false;
        self.seen_include_usage = false;
    }

    fn collect(&mut self, sink: Sink, at: u64) {
        self.sink = sink;
        self.at = at;
        match sink {
            Sink::Keys => {}
            Sink::Model => self.facts.model.clear(),
            Sink::Scalar => self.scalar.clear(),
        }
    }

    fn top_level_key_end(&mut self) -> Result<(), BodyError> {
        let at = self.at;
        let facts = &mut self.facts;
        let start = facts
            .members
            .last()
            .map_or(0, |m| usize::from(m.key_start).saturating_add(usize::from(m.key_len)));
        let key = facts.keys.as_bytes().get(start..).unwrap_or_default();
        let (Ok(key_start), Ok(key_len), false) = (
            u16::try_from(start),
            u16::try_from(key.len()),
            facts.keys.is_overflown(),
        ) else {
            return Err(BodyError::KeysTooLong { at });
        };
        if facts.members.iter().any(|m| facts.key(m) == key) {
            return Err(BodyError::DuplicateKey { at });
        }
        self.current = governed(key, &GOVERNED).map_err(|field| BodyError::KeyCase { field, at })?;
        let member = Member {
            value_start: 0,
            value_end: 0,
            key_start,
            key_len,
            is_null: false,
        };
        facts.members.push(member).map_err(|_| BodyError::TooManyKeys { at })
    }

    fn inner_key_end(&mut self) -> Result<(), BodyError> {
        // A key that did not fit is longer than any spelling of the governed one.
        self.in_include_usage = false;
        if self.scalar.is_overflown() {
            return Ok(());
        }
        let at = self.at;
        let field = governed(self.scalar.as_bytes(), &[Governed::IncludeUsage])
            .map_err(|field| BodyError::KeyCase { field, at })?;
        self.in_include_usage = field.is_some();
        if self.in_include_usage && self.seen_include_usage {
            return Err(BodyError::DuplicateKey { at });
        }
        self.seen_include_usage |= self.in_include_usage;
        Ok(())
    }

    /// Refuses a governed value of another type; `true` asks for its text.
    fn governed_value(&mut self, field: Governed, kind: Kind, at: u64) -> Result<bool, BodyError> {
        self.kind = kind;
        match (field, kind) {
            (_, Kind::Null) | (Governed::StreamOptions, Kind::Object) => Ok(false),
            (Governed::Model, Kind::String) => {
                self.collect(Sink::Model, at);
                Ok(true)
            }
            (Governed::Stream, Kind::True | Kind::False) => {
                self.facts.stream = Some(kind == Kind::True);
                Ok(false)
            }
            (Governed::IncludeUsage, Kind::True | Kind::False) => {
                self.facts.include_usage = Some(kind == Kind::True);
                Ok(false)
            }
            (Governed::MaxTokens | Governed::MaxCompletionTokens, Kind::Number) => {
                self.collect(Sink::Scalar, at);
                Ok(true)
            }
            _ => Err(BodyError::WrongType { field, at }),
        }
    }

    fn governed_value_end(&mut self, field: Governed) -> Result<(), BodyError> {
        match (field, self.kind) {
            (Governed::Model, Kind::String) => self.model_end(),
            (Governed::MaxTokens | Governed::MaxCompletionTokens, Kind::Number) => self.max_tokens_end(field),
            _ => Ok(()),
        }
    }

    fn model_end(&mut self) -> Result<(), BodyError> {
        if self.facts.model.is_overflown() {
            return Err(BodyError::ModelTooLong { at: self.at });
        }
        if self.facts.model.as_bytes().is_empty() {
            return Err(BodyError::EmptyModel { at: self.at });
        }
        Ok(())
    }

    fn max_tokens_end(&mut self, field: Governed) -> Result<(), BodyError> {
        let digits = core::str::from_utf8(self.scalar.as_bytes())
            .ok()
            .filter(|_| !self.scalar.is_overflown());
        let tokens: u64 = digits
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(BodyError::WrongType { field, at: self.at })?;
        self.facts.max_tokens = self.facts.max_tokens.max(Some(tokens));
        Ok(())
    }
}

impl Visit for Reader {
    type Error = BodyError;
    /// Down to the members of `stream_options`.
    const DEPTH: usize = 2;

    fn key(&mut self, depth: usize, at: u64) -> Result<bool, BodyError> {
        if depth == 1 {
            if self.facts.members.is_full() {
                return Err(BodyError::TooManyKeys { at });
            }
            self.collect(Sink::Keys, at);
            return Ok(true);
        }
        let wanted = self.current == Some(Governed::StreamOptions);
        if wanted {
            self.collect(Sink::Scalar, at);
        }
        Ok(wanted)
    }

    fn key_end(&mut self, depth: usize, _: u64) -> Result<(), BodyError> {
        match (depth, self.current) {
            (1, _) => self.top_level_key_end(),
            (_, Some(Governed::StreamOptions)) => self.inner_key_end(),
            _ => Ok(()),
        }
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, BodyError> {
        match (depth, self.current) {
            (0, _) if kind == Kind::Object => {
                self.facts.insert_at = at.saturating_add(1);
                Ok(false)
            }
            (0, _) => Err(BodyError::NotAnObject { at }),
            (1, field) => {
                if let Some(member) = self.facts.members.last_mut() {
                    member.value_start = at;
                    member.is_null = kind == Kind::Null;
                }
                field.map_or(Ok(false), |field| self.governed_value(field, kind, at))
            }
            (_, Some(Governed::StreamOptions)) if self.in_include_usage => {
                self.governed_value(Governed::IncludeUsage, kind, at)
            }
            _ => Ok(false),
        }
    }

    fn value_end(&mut self, depth: usize, end: u64) -> Result<(), BodyError> {
        if depth != 1 {
            return Ok(());
        }
        if let Some(member) = self.facts.members.last_mut() {
            member.value_end = end;
        }
        self.current
            .take()
            .map_or(Ok(()), |field| self.governed_value_end(field))
    }

    #[inline]
    fn text(&mut self, piece: &[u8]) {
        match self.sink {
            Sink::Keys => self.facts.keys.push(piece),
            Sink::Model => self.facts.model.push(piece),
            Sink::Scalar => self.scalar.push(piece),
        }
    }
}

impl From<JsonError> for BodyError {
    fn from(error: JsonError) -> Self {
        let JsonError { kind, at } = error;
        match kind {
            JsonErrorKind::Empty => Self::Empty,
            JsonErrorKind::TooDeep => Self::TooDeep { at },
            kind => Self::Json { kind, at },
        }
    }
}

/// The governed member that `key` names, or the one it names only for a reader who ignores case.
fn governed(key: &[u8], fields: &[Governed]) -> Result<Option<Governed>, Governed> {
    let is_ascii = key.is_ascii();
    for &field in fields {
        let name = field.key();
        if key == name.as_bytes() {
            return Ok(Some(field));
        }
        if (!is_ascii || key.len() == name.len()) && is_other_case(key, name) {
            return Err(field);
        }
    }
    Ok(None)
}

/// Whether `key` differs from `name` but not for a reader who ignores case.
///
/// Such readers (Go's encoding/json is the common one) fold two characters beyond ASCII into it:
/// U+017F is an s and U+212A is a k.
fn is_other_case(key: &[u8], name: &str) -> bool {
    let Ok(text) = core::str::from_utf8(key) else {
        return false;
    };
    key != name.as_bytes() && text.chars().map(folded).eq(name.chars().map(folded))
}

fn folded(char: char) -> char {
    match char {
        '\u{17F}' => 's',
        '\u{212A}' => 'k',
        _ => char.to_ascii_lowercase(),
    }
}
