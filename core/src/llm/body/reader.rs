//! Gathers the facts of a body while the tokenizer runs.

use super::beside::{Beside, Unclear};
use super::key::{self, Meaning, Spelling};
use super::tools::{Holds, ToolReader};
use super::{BodyError, BodyFacts, Governed, Member};
use crate::llm::json::{JsonError, JsonErrorKind, Kind, Visit};
use crate::llm::text::Text;

/// Bytes of a governed scalar or inner key that is read: any u64 and the longest governed name fit.
const SCALAR_BYTES: usize = 24;

/// Gathers the facts while the tokenizer runs.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) facts: BodyFacts,
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
    tools: ToolReader,
    /// The top-level member being read, when it is one that decides what others are read for.
    beside: Option<Beside>,
    /// Where [`Visit::text`] puts what it is given.
    sink: Sink,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sink {
    Keys,
    Model,
    Scalar,
    Tool,
}

impl Reader {
    pub(super) const fn new() -> Self {
        Self {
            facts: BodyFacts::new(),
            current: None,
            in_include_usage: false,
            seen_include_usage: false,
            at: 0,
            kind: Kind::Null,
            scalar: Text::new(),
            tools: ToolReader::new(),
            beside: None,
            sink: Sink::Scalar,
        }
    }

    /// As new, without writing the buffers.
    pub(super) fn reset(&mut self) {
        self.facts.model.clear();
        self.facts.stream = None;
        self.facts.include_usage = None;
        self.facts.max_tokens = None;
        self.facts.keys.clear();
        self.facts.members.clear();
        self.facts.tools.clear();
        self.facts.unclear = Unclear::NOTHING;
        self.tools.close();
        self.beside = None;
        self.current = None;
        self.in_include_usage = false;
        self.seen_include_usage = false;
    }

    fn collect(&mut self, sink: Sink, at: u64) {
        self.sink = sink;
        self.at = at;
        match sink {
            Sink::Keys | Sink::Tool => {}
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
        match key::meaning(key) {
            None => {}
            Some((Meaning::Governed(field), Spelling::Exact)) => self.current = Some(field),
            Some((Meaning::Governed(field), Spelling::OtherCase)) => return Err(BodyError::KeyCase { field, at }),
            Some((Meaning::Tools, Spelling::Exact)) => self.tools.open(Holds::Tools),
            Some((Meaning::Tools, Spelling::OtherCase)) => facts.tools.be_unclear(),
            Some((Meaning::Items, _)) => self.tools.open(Holds::Items),
            Some((Meaning::Beside(beside), _)) => self.beside = Some(beside),
        }
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
        let field = Governed::IncludeUsage;
        match key::spelling(self.scalar.as_bytes(), field.key()) {
            Some(Spelling::OtherCase) => return Err(BodyError::KeyCase { field, at }),
            spelling => self.in_include_usage = spelling.is_some(),
        }
        if self.in_include_usage && self.seen_include_usage {
            return Err(BodyError::DuplicateKey { at });
        }
        self.seen_include_usage |= self.in_include_usage;
        Ok(())
    }

    /// Notes what such a member decides; `true` asks for the items of its list, any of which does.
    fn value_beside(&mut self, beside: Beside, kind: Kind) -> bool {
        if beside.decides_with(kind) {
            self.facts.unclear.add(beside.decides);
        }
        beside.may_be_empty(kind)
    }

    /// Refuses a governed value of another type; `true` asks for what is inside.
    fn governed_value(&mut self, field: Governed, kind: Kind, at: u64) -> Result<bool, BodyError> {
        self.kind = kind;
        match (field, kind) {
            (_, Kind::Null) => Ok(false),
            (Governed::StreamOptions, Kind::Object) => Ok(true),
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
            (Governed::MaxTokens | Governed::MaxCompletionTokens | Governed::MaxOutputTokens, Kind::Number) => {
                self.collect(Sink::Scalar, at);
                Ok(true)
            }
            _ => Err(BodyError::WrongType { field, at }),
        }
    }

    fn governed_value_end(&mut self, field: Governed) -> Result<(), BodyError> {
        match (field, self.kind) {
            (Governed::Model, Kind::String) => self.model_end(),
            (Governed::MaxTokens | Governed::MaxCompletionTokens | Governed::MaxOutputTokens, Kind::Number) => {
                self.max_tokens_end();
                Ok(())
            }
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

    fn max_tokens_end(&mut self) {
        let digits = core::str::from_utf8(self.scalar.as_bytes())
            .ok()
            .filter(|_| !self.scalar.is_overflown());
        let tokens: Option<u64> = digits
            .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok());
        // `-1` is no limit to some servers, and an error to others.
        self.facts.unclear.max_tokens |= tokens.is_none();
        self.facts.max_tokens = self.facts.max_tokens.max(tokens);
    }
}

impl Visit for Reader {
    type Error = BodyError;

    fn key(&mut self, depth: usize, at: u64) -> Result<bool, BodyError> {
        if depth == 1 {
            if self.facts.members.is_full() {
                return Err(BodyError::TooManyKeys { at });
            }
            self.collect(Sink::Keys, at);
            return Ok(true);
        }
        let wanted = match depth {
            2 => self.current == Some(Governed::StreamOptions),
            _ => self.tools.is_open() && self.tools.wants_key(depth),
        };
        if wanted {
            self.collect(Sink::Scalar, at);
        }
        Ok(wanted)
    }

    fn key_end(&mut self, depth: usize, _: u64) -> Result<(), BodyError> {
        match (depth, self.current) {
            (1, _) => self.top_level_key_end(),
            (2, Some(Governed::StreamOptions)) => self.inner_key_end(),
            _ if self.tools.is_open() => {
                // A key that did not fit is longer than any that tells something.
                let key = Some(self.scalar.as_bytes()).filter(|_| !self.scalar.is_overflown());
                self.tools.key_end(depth, key, &mut self.facts.tools);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, BodyError> {
        match (depth, self.current) {
            (0, _) if kind == Kind::Object => {
                self.facts.insert_at = at.saturating_add(1);
                Ok(true)
            }
            (0, _) => Err(BodyError::NotAnObject { at }),
            (1, field) => {
                if let Some(member) = self.facts.members.last_mut() {
                    member.value_start = at;
                    member.is_null = kind == Kind::Null;
                }
                if self.tools.is_open() {
                    return Ok(self.tools.value(depth, kind, &mut self.facts.tools));
                }
                if let Some(beside) = self.beside {
                    return Ok(self.value_beside(beside, kind));
                }
                field.map_or(Ok(false), |field| self.governed_value(field, kind, at))
            }
            _ if self.tools.is_open() => {
                let wanted = self.tools.value(depth, kind, &mut self.facts.tools);
                self.collect(Sink::Tool, at);
                Ok(wanted)
            }
            (2, None) => {
                let decides = self.beside.map(|beside| beside.decides);
                self.facts.unclear.add(decides.unwrap_or_default());
                Ok(false)
            }
            (2, Some(Governed::StreamOptions)) if self.in_include_usage => {
                self.governed_value(Governed::IncludeUsage, kind, at)
            }
            _ => Ok(false),
        }
    }

    fn value_end(&mut self, depth: usize, end: u64) -> Result<(), BodyError> {
        if depth != 1 {
            if self.tools.is_open() {
                self.tools.value_end(depth, &mut self.facts.tools);
            }
            return Ok(());
        }
        self.tools.close();
        self.beside = None;
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
            Sink::Tool => self.tools.text(piece, &mut self.facts.tools),
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
