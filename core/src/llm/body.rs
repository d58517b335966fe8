//! The facts of a request body that decisions and edits need, read while it arrives.
//!
//! [`BodyScan`] is fed chunk by chunk, checks the whole text and keeps only
//! [`BodyFacts`]: the few values that decisions read, and where each top-level
//! member stands. A body that two careful readers could read differently is
//! refused: what one of them would have let through must not reach the other.

mod beside;
mod key;
mod reader;
mod tools;

use core::fmt;
use core::ops::Range;

use heapless::Vec;

use self::key::Spelling;
use self::reader::Reader;
use self::tools::ToolNames;
use super::json::Tokenizer;
use super::text::Text;
use crate::limits::{JSON_TOP_LEVEL_KEY_BYTES_MAX, JSON_TOP_LEVEL_KEYS_MAX, MODEL_BYTES_MAX};

pub use self::beside::Unclear;
pub use super::body_error::BodyError;

// Key positions are kept as u16.
const _: () = assert!(JSON_TOP_LEVEL_KEY_BYTES_MAX <= u16::MAX as usize);

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
    /// `max_output_tokens`
    MaxOutputTokens,
}

#[cfg(feature = "alloc")]
impl Governed {
    /// Each of them.
    pub(super) const ALL: [Self; 7] = [
        Self::Model,
        Self::Stream,
        Self::StreamOptions,
        Self::IncludeUsage,
        Self::MaxTokens,
        Self::MaxCompletionTokens,
        Self::MaxOutputTokens,
    ];
}

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
            Self::MaxOutputTokens => "max_output_tokens",
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
    tools: ToolNames,
    /// Of tools, what other members than their lists bring.
    unclear: Unclear,
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
            tools: ToolNames::new(),
            unclear: Unclear::NOTHING,
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

    /// The largest of `max_tokens`, `max_completion_tokens` and `max_output_tokens`: providers differ in which they obey.
    #[must_use]
    pub fn max_tokens(&self) -> Option<u64> {
        self.max_tokens
    }

    /// The names of the tools that the body offers, in UTF-8; a tool may have two, and one that the provider runs has
    /// its type's. `None` when two readers could disagree about them.
    #[must_use]
    pub fn tools(&self) -> Option<impl Iterator<Item = &[u8]>> {
        self.tools.get().filter(|_| !self.unclear.tools)
    }

    /// What nobody can be sure of, whatever else is said of it here.
    #[must_use]
    pub fn unclear(&self) -> Unclear {
        Unclear {
            tools: self.tools().is_none(),
            ..self.unclear
        }
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
            .find(|m| key::spelling(self.key(m), name) == Some(Spelling::OtherCase))
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
            .field("tools", &self.tools)
            .field("unclear", &self.unclear)
            .field("member_count", &self.members.len())
            .field("len", &self.len)
            .finish()
    }
}

/// Reads one body at a time; about 14 KiB, meant to be kept and [`reset`](Self::reset).
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
