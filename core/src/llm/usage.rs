//! The token usage that a provider reports, read while its answer streams past.
//!
//! Read are OpenAI's `usage` (Chat Completions, Completions, Embeddings), the
//! Responses API's (at the top or in `response`) and Anthropic's (at the top or
//! in `message`). Streams repeat it: later numbers replace earlier ones and are
//! never added up. Accounting never disturbs traffic: an answer that cannot be
//! read gives [`Usage::Unknown`] and nothing else.

mod document;
mod members;
mod report;

use memchr::memmem::Finder;

use super::sse::{SseFraming, SsePiece};
use document::{Document, Found};
use report::Report;

/// What every usage is announced by; providers do not escape their keys.
const NEEDLE: &[u8] = b"\"usage\"";

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

/// Looks for what may be a usage; most chunks of a stream have none.
#[derive(Debug, Clone)]
pub struct UsageSearch(Finder<'static>);

impl Default for UsageSearch {
    fn default() -> Self {
        Self::new()
    }
}

impl UsageSearch {
    /// A search for any number of answers.
    #[must_use]
    pub fn new() -> Self {
        Self(Finder::new(NEEDLE))
    }

    /// Whether a [`UsageMeter`] that was given nothing yet, or only such chunks, may do without `chunk`: a stream whose
    /// chunks are whole events needs none until its usage comes.
    #[must_use]
    #[inline]
    pub fn is_needless(&self, framing: Framing, chunk: &[u8]) -> bool {
        framing == Framing::Sse && self.skips(&SseFraming::new(), chunk)
    }

    /// Whether `chunk` is made of whole events without usage.
    #[inline]
    fn skips(&self, events: &SseFraming, chunk: &[u8]) -> bool {
        events.is_self_contained(chunk) && !self.may_hold_usage(chunk)
    }

    /// Whether a usage other than `null`, which OpenAI sends in every chunk but the last, may be in there.
    #[inline]
    fn may_hold_usage(&self, data: &[u8]) -> bool {
        let mut rest = data;
        while let Some(at) = self.0.find(rest) {
            rest = rest.get(at.saturating_add(NEEDLE.len())..).unwrap_or_default();
            let value = rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start);
            if !value.is_some_and(|value| value.starts_with(b"null")) {
                return true;
            }
        }
        false
    }
}

/// Reads the usage of one answer; about 1 KiB, whatever the answer's length.
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
            search: UsageSearch::new(),
            document: Document::new(),
            report: Report::default(),
            problem: UnknownUsage::NotReported,
        };
        Self {
            framing,
            events: SseFraming::new(),
            reading,
        }
    }

    /// Reads the next bytes of the answer.
    #[inline]
    pub fn feed(&mut self, chunk: &[u8]) {
        match self.framing {
            Framing::Json => self.reading.document.feed(chunk),
            Framing::Sse => {
                // Most chunks are whole events without usage: they cost one search.
                if self.reading.search.skips(&self.events, chunk) {
                    return;
                }
                self.events.feed(chunk, |piece| self.reading.piece(piece));
            }
        }
    }

    /// Whether the answer is an event stream that ends, so far, between two events.
    #[must_use]
    pub fn is_between_events(&self) -> bool {
        self.framing == Framing::Sse && self.events.is_between_events()
    }

    /// Whether the answer, if it ends here, ends in the middle: of an event, or of a JSON text that has begun.
    #[must_use]
    pub fn is_unfinished(&self) -> bool {
        match self.framing {
            Framing::Json => self.reading.document.is_unfinished(),
            Framing::Sse => !self.events.is_between_events(),
        }
    }

    /// Makes ready for another answer: cheaper than a new meter.
    pub fn restart(&mut self, framing: Framing) {
        self.framing = framing;
        self.events = SseFraming::new();
        self.reading.document.reset();
        self.reading.report = Report::default();
        self.reading.problem = UnknownUsage::NotReported;
    }

    /// What the answer said, at its end or where it was cut. What follows needs [`UsageMeter::restart`] first.
    #[must_use]
    pub fn finish(&mut self) -> Usage {
        match self.framing {
            Framing::Json => self.reading.end_document(),
            Framing::Sse => self.events.finish(|piece| self.reading.piece(piece)),
        }
        self.reading
            .report
            .usage()
            .unwrap_or(Usage::Unknown(self.reading.problem))
    }
}

/// The part of a meter that reads JSON.
#[derive(Debug)]
struct Reading {
    search: UsageSearch,
    document: Document,
    report: Report,
    /// The last thing that kept a usage from being read.
    problem: UnknownUsage,
}

impl Reading {
    fn piece(&mut self, piece: SsePiece<'_>) {
        match piece {
            SsePiece::Whole(data) => {
                if self.search.may_hold_usage(data) {
                    self.document.feed(data);
                    self.end_event();
                }
            }
            SsePiece::Part(data) => self.document.feed(data),
            SsePiece::End => self.end_event(),
        }
    }

    /// An event without usage is none of ours, malformed or not (`[DONE]` is no JSON).
    fn end_event(&mut self) {
        if self.document.has_usage() {
            self.end_document();
        } else {
            self.document.reset();
        }
    }

    fn end_document(&mut self) {
        match self.document.end() {
            Found::Nothing => {}
            Found::Usage(report) => self.report.replace_by(*report),
            Found::Problem(problem) => self.problem = problem,
        }
        self.document.reset();
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;
    use crate::limits::USAGE_BYTES_MAX;

    fn known(prompt_tokens: u64, completion_tokens: u64) -> Usage {
        Usage::Known {
            prompt_tokens,
            completion_tokens,
            cached_tokens: None,
            reasoning_tokens: None,
        }
    }

    /// Meters the answer whole and in chunks of several sizes, and asserts that they agree.
    fn meter(framing: Framing, answer: &str) -> Usage {
        let mut whole = UsageMeter::new(framing);
        whole.feed(answer.as_bytes());
        let whole = whole.finish();
        for size in [1, 2, 5, 16, 100] {
            let mut meter = UsageMeter::new(framing);
            answer.as_bytes().chunks(size).for_each(|chunk| meter.feed(chunk));
            assert_eq!(meter.finish(), whole, "chunks of {size}: {answer}");
        }
        whole
    }

    #[test]
    fn a_restarted_meter_remembers_nothing() {
        let mut meter = UsageMeter::new(Framing::Json);
        for cut_short in [
            r#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
            r#"{"usage":{"prompt_tokens":1"#,
            "no JSON",
        ] {
            meter.feed(cut_short.as_bytes());
            let _ = meter.finish();
            for framing in [Framing::Sse, Framing::Json] {
                meter.restart(framing);
                meter.feed(b"{}");
                assert_eq!(meter.finish(), Usage::Unknown(UnknownUsage::NotReported), "{cut_short}");
                meter.restart(framing);
            }
            meter.feed(cut_short.get(..8).unwrap_or_default().as_bytes());
            meter.restart(Framing::Sse);
            meter.feed(b"data: {\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":8}}\n\n");
            assert_eq!(meter.finish(), known(7, 8), "{cut_short}");
            meter.restart(Framing::Json);
        }
    }

    #[test]
    fn an_end_in_the_middle_is_known_however_the_answer_is_cut() {
        for (framing, answer, expected) in [
            (Framing::Json, "", false),
            (Framing::Json, " ", false),
            (Framing::Json, "{", true),
            (Framing::Json, "{\"a\":[1", true),
            (Framing::Json, "{\"a\":\"}", true),
            (Framing::Json, "{\"a\":1}", false),
            (Framing::Json, "{\"a\":1}\n", false),
            (Framing::Json, "[1]", false),
            (Framing::Json, "12", false),
            (Framing::Json, "12.", true),
            (Framing::Json, "tru", true),
            (Framing::Json, "no JSON {", false),
            (Framing::Sse, "", false),
            (Framing::Sse, "data: {}\n\n", false),
            (Framing::Sse, ": a comment\n", false),
            (Framing::Sse, "data: {}\n", true),
            (Framing::Sse, "data: {}\n\ndata: {\"a", true),
        ] {
            for size in [1, 3, 100] {
                let mut meter = UsageMeter::new(framing);
                answer.as_bytes().chunks(size).for_each(|chunk| meter.feed(chunk));
                assert_eq!(meter.is_unfinished(), expected, "chunks of {size}: {answer:?}");
            }
        }
    }

    fn json(answer: &str) -> Usage {
        meter(Framing::Json, answer)
    }

    fn sse(answer: &str) -> Usage {
        meter(Framing::Sse, answer)
    }

    #[test]
    fn a_malformed_event_that_only_mentions_usage_is_none_of_ours_however_it_is_cut() {
        assert_eq!(
            meter(Framing::Sse, "data: {\"a\":[.],\"usage\":{}}\n\n"),
            Usage::Unknown(UnknownUsage::NotReported)
        );
    }

    #[test]
    fn plain_answers_of_every_api() {
        let cases = [
            (
                r#"{"id":"x","usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9},"z":1}"#,
                known(7, 2),
            ),
            (
                r#"{"object":"list","data":[{"embedding":[0.1]}],"usage":{"prompt_tokens":5,"total_tokens":5}}"#,
                known(5, 0),
            ),
            (
                r#"{"object":"response","usage":{"input_tokens":3,"output_tokens":4,"total_tokens":7}}"#,
                known(3, 4),
            ),
            (
                r#" { "usage" : { "prompt_tokens" : 1 , "completion_tokens" : 2 , "x" : [ { } , "]" ] } } "#,
                known(1, 2),
            ),
            (
                r#"{"usage":{"prompt_tokens":9,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":3}}}"#,
                Usage::Known {
                    prompt_tokens: 9,
                    completion_tokens: 5,
                    cached_tokens: Some(4),
                    reasoning_tokens: Some(3),
                },
            ),
            (
                r#"{"type":"message","usage":{"input_tokens":10,"cache_creation_input_tokens":20,"cache_read_input_tokens":30,"output_tokens":5}}"#,
                Usage::Known {
                    prompt_tokens: 60,
                    completion_tokens: 5,
                    cached_tokens: Some(30),
                    reasoning_tokens: None,
                },
            ),
            (
                r#"{"usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":8},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":1}}}"#,
                Usage::Known {
                    prompt_tokens: 10,
                    completion_tokens: 5,
                    cached_tokens: Some(8),
                    reasoning_tokens: Some(1),
                },
            ),
        ];
        for (answer, expected) in cases {
            assert_eq!(json(answer), expected, "{answer}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_unknown_with_a_reason() {
        let padded = |len: usize| {
            let usage = format!(
                "{{\"prompt_tokens\":1,\"completion_tokens\":2,\"x\":\"{}\"}}",
                "y".repeat(len)
            );
            (usage.len(), format!("{{\"usage\":{usage}}}"))
        };
        let (len, _) = padded(0);
        assert_eq!(json(&padded(USAGE_BYTES_MAX - len).1), known(1, 2));
        assert_eq!(
            json(&padded(USAGE_BYTES_MAX - len + 1).1),
            Usage::Unknown(UnknownUsage::TooLong)
        );

        let deep = format!("{{\"usage\":{{\"x\":{}{}}}}}", "[".repeat(2000), "]".repeat(2000));
        let cases = [
            ("", UnknownUsage::NotReported),
            ("{}", UnknownUsage::NotReported),
            (r#"{"usage":null}"#, UnknownUsage::NotReported),
            (
                r#"{"choices":[{"usage":{"prompt_tokens":1,"completion_tokens":1}}]}"#,
                UnknownUsage::NotReported,
            ),
            (
                r#"{"text":"\"usage\":{\"prompt_tokens\":1}"}"#,
                UnknownUsage::NotReported,
            ),
            (r#"{"usage":{}}"#, UnknownUsage::NotReported),
            (r#"{"usage":{"prompt_tokens":1}}"#, UnknownUsage::Incomplete),
            (r#"{"usage":{"completion_tokens":1}}"#, UnknownUsage::Incomplete),
            (
                r#"{"usage":{"prompt_tokens":-1,"completion_tokens":1}}"#,
                UnknownUsage::Malformed,
            ),
            (
                r#"{"usage":{"prompt_tokens":"1","completion_tokens":1}}"#,
                UnknownUsage::Malformed,
            ),
            (
                r#"{"usage":{"prompt_tokens":1,"completion_tokens":1}"#,
                UnknownUsage::Malformed,
            ),
            (
                r#"{"usage":{"prompt_tokens":1,"completion_tokens":1},}"#,
                UnknownUsage::Malformed,
            ),
            ("<html>", UnknownUsage::Malformed),
            (&deep, UnknownUsage::Malformed),
        ];
        for (answer, reason) in cases {
            assert_eq!(json(answer), Usage::Unknown(reason), "{answer}");
        }
    }

    #[test]
    fn of_two_usages_in_one_text_the_last_is_read() {
        let first = r#"{"prompt_tokens":1,"completion_tokens":1}"#;
        let last = r#"{"prompt_tokens":7,"completion_tokens":2}"#;
        assert_eq!(json(&format!(r#"{{"usage":{first},"usage":{last}}}"#)), known(7, 2));
        assert_eq!(
            json(&format!(r#"{{"response":{{"usage":{first}}},"usage":{last}}}"#)),
            known(7, 2)
        );
    }

    #[test]
    fn the_last_usage_of_an_openai_stream_wins() {
        let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\n\n\
                      data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":1}}\n\n\
                      data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n\
                      data: {\"choices\":[],\"usage\":null}\n\n\
                      data: [DONE]\n\n";
        assert_eq!(sse(stream), known(7, 3));
        assert_eq!(sse(&stream.replace('\n', "\r\n")), known(7, 3));
        assert_eq!(sse(stream.trim_end()), known(7, 3));
    }

    #[test]
    fn anthropic_streams_give_input_first_and_output_last() {
        let stream = "event: message_start\n\
            data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":0,\"output_tokens\":1}}}\n\n\
            event: ping\ndata: {\"type\":\"ping\"}\n\n\
            event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":42}}\n\n\
            event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
        let expected = Usage::Known {
            prompt_tokens: 15,
            completion_tokens: 42,
            cached_tokens: Some(5),
            reasoning_tokens: None,
        };
        assert_eq!(sse(stream), expected);
    }

    #[test]
    fn responses_streams_report_in_their_last_event_however_long_it_is() {
        let text = "word ".repeat(20_000);
        let stream = format!(
            "event: response.created\ndata: {{\"type\":\"response.created\",\"response\":{{\"usage\":null}}}}\n\n\
             event: response.completed\ndata: {{\"type\":\"response.completed\",\"response\":{{\"output\":[{{\"text\":\"{text}\"}}],\
             \"usage\":{{\"input_tokens\":8,\"output_tokens\":9}}}}}}\n\n"
        );
        assert_eq!(sse(&stream), known(8, 9));
    }

    #[test]
    fn broken_events_do_not_spoil_good_ones() {
        let good = "data: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
        for bad in [
            "data: {\"usage\":{\"prompt_tokens\":}}\n\n",
            "data: {\"usage\":\n\n",
            "data: \u{fffd}{\n\n",
            "x\n\n",
        ] {
            assert_eq!(sse(&[bad, good].concat()), known(1, 2), "{bad}");
            assert_eq!(sse(&[good, bad].concat()), known(1, 2), "{bad}");
        }
        assert_eq!(
            sse("data: {\"usage\":{\"prompt_tokens\":}}\n\n"),
            Usage::Unknown(UnknownUsage::Malformed)
        );
        assert_eq!(sse("data: [DONE]\n\n"), Usage::Unknown(UnknownUsage::NotReported));
        assert_eq!(
            sse("data: {\"usage\":null}}\n\ndata: {\"usage\": nul}\n\ndata: {\"usage\":}\n\n"),
            Usage::Unknown(UnknownUsage::NotReported)
        );
    }

    #[test]
    fn data_over_several_lines_is_one_text() {
        assert_eq!(
            sse("data: {\"usage\":\ndata: {\"prompt_tokens\":1,\ndata: \"completion_tokens\":2}}\n\n"),
            known(1, 2)
        );
    }
}
