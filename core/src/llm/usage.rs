//! The token usage that a provider reports, read while its answer streams past.
//!
//! Read are OpenAI's `usage` (Chat Completions, Completions, Embeddings), the
//! Responses API's (at the top or in `response`) and Anthropic's (at the top or
//! in `message`). Streams repeat it: later numbers replace earlier ones and are
//! never added up. Accounting never disturbs traffic: an answer that cannot be
//! read gives [`Usage::Unknown`] and nothing else.

mod document;
mod report;

use memchr::memmem::Finder;

use super::sse::{SseFraming, SsePiece};
use document::{Document, Found};
use report::Report;

/// What an answer says it cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "an unknown usage must not be taken for zero")]
pub enum Usage {
    /// The provider's numbers.
    Known {
        /// Tokens of the prompt, cached ones included.
        prompt_tokens: u64,
        /// Tokens of the answer, reasoning included.
        completion_tokens: u64,
        /// Those of the prompt that came from a cache, where the provider says so.
        cached_tokens: Option<u64>,
        /// Those of the answer that were reasoning, where the provider says so.
        reasoning_tokens: Option<u64>,
    },
    /// No numbers.
    Unknown(UnknownUsage),
}

/// Why a usage is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "metrics have one label value for each")]
pub enum UnknownUsage {
    /// The answer has none.
    NotReported,
    /// The answer, or the usage in it, is no JSON of a known shape.
    Malformed,
    /// It is longer than [`crate::limits::USAGE_BYTES_MAX`].
    TooLong,
    /// It lacks the tokens of the prompt or of the answer.
    Incomplete,
}

/// How an answer is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell chooses by content type")]
pub enum Framing {
    /// One JSON value.
    Json,
    /// Server-sent events (`text/event-stream`), each with one JSON value.
    Sse,
}

/// Reads the usage of one answer; about 4 KiB, whatever the answer's length.
#[derive(Debug)]
pub struct UsageMeter {
    framing: Framing,
    events: SseFraming,
    reading: Reading,
}

impl UsageMeter {
    /// A meter for one answer.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        let reading = Reading {
            needle: Finder::new(b"\"usage\""),
            document: Document::new(),
            report: Report::default(),
            problem: UnknownUsage::NotReported,
        };
        Self { framing, events: SseFraming::new(), reading }
    }

    /// Reads the next bytes of the answer.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8]) {
        match self.framing {
            Framing::Json => self.reading.document.feed(chunk),
            Framing::Sse => {
                // Most chunks are whole events without usage: they cost one search.
                if self.events.is_self_contained(chunk) && self.reading.needle.find(chunk).is_none() {
                    return;
                }
                self.events.feed(chunk, |piece| self.reading.piece(piece));
            }
        }
    }

    /// What the answer said, at its end or where it was cut.
    #[must_use]
    pub fn finish(mut self) -> Usage {
        match self.framing {
            Framing::Json => self.reading.end_document(),
            Framing::Sse => self.events.finish(|piece| self.reading.piece(piece)),
        }
        self.reading.report.usage().unwrap_or(Usage::Unknown(self.reading.problem))
    }
}

/// The part of a meter that reads JSON.
#[derive(Debug)]
struct Reading {
    needle: Finder<'static>,
    document: Document,
    report: Report,
    /// The last thing that kept a usage from being read.
    problem: UnknownUsage,
}

impl Reading {
    fn piece(&mut self, piece: SsePiece<'_>) {
        match piece {
            SsePiece::Whole(data) => {
                if self.needle.find(data).is_some() {
                    self.document.feed(data);
                    self.end_document();
                }
            }
            SsePiece::Part(data) => self.document.feed(data),
            SsePiece::End => {
                // An event without usage is none of ours, malformed or not (`[DONE]` is no JSON).
                if self.document.has_usage() {
                    self.end_document();
                } else {
                    self.document.reset();
                }
            }
        }
    }

    fn end_document(&mut self) {
        match self.document.end() {
            Found::Nothing => {}
            Found::Usage(object) => match Report::read(object) {
                Some(report) => self.report.replace_by(report),
                None => self.problem = UnknownUsage::Malformed,
            },
            Found::Problem(problem) => self.problem = problem,
        }
        self.document.reset();
    }
}
