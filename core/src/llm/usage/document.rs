//! Finds the `usage` object in one JSON text given in pieces, and reads it as it passes.

use super::UnknownUsage;
use super::members::{KEY_BYTES_MAX, Members};
use super::report::Report;
use crate::limits::USAGE_BYTES_MAX;
use crate::llm::json::{JsonError, JsonErrorKind, Kind, Tokenizer, Visit};
use crate::llm::text::Text;

/// What a text held.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'d> {
    /// No usage.
    Nothing,
    /// What the last `usage` object reports.
    Usage(&'d Report),
    /// Something that cannot be read.
    Problem(UnknownUsage),
}

#[derive(Debug)]
pub(super) struct Document {
    tokens: Tokenizer,
    path: Path,
    error: Option<JsonErrorKind>,
}

impl Document {
    pub(super) fn new() -> Self {
        Self {
            tokens: Tokenizer::new(),
            path: Path::new(),
            error: None,
        }
    }

    /// Makes ready for the next text.
    pub(super) fn reset(&mut self) {
        *self = Self::new();
    }

    /// Reads the next piece; after an error the rest is skipped.
    pub(super) fn feed(&mut self, piece: &[u8]) {
        if self.error.is_some() {
            return;
        }
        if let Err(error) = self.tokens.feed(piece, &mut self.path) {
            self.error = Some(error.kind);
        }
    }

    /// Whether a usage other than `null` began.
    pub(super) fn has_usage(&self) -> bool {
        self.path.begun
    }

    /// Whether the text has begun and cannot end here. Of one that is no JSON it is not known.
    pub(super) fn is_unfinished(&self) -> bool {
        self.error.is_none() && self.tokens.is_unfinished()
    }

    /// The text is over.
    pub(super) fn end(&mut self) -> Found<'_> {
        let finished = match self.error {
            Some(kind) => Err(kind),
            None => self
                .tokens
                .finish(&mut self.path)
                .map_err(|error: JsonError| error.kind),
        };
        match finished {
            Err(JsonErrorKind::Empty) => Found::Nothing,
            Err(_) => Found::Problem(UnknownUsage::Malformed),
            Ok(()) if self.path.bytes > USAGE_BYTES_MAX as u64 => Found::Problem(UnknownUsage::TooLong),
            Ok(()) => match &self.path.usage {
                None => Found::Nothing,
                Some(members) => members
                    .report()
                    .map_or(Found::Problem(UnknownUsage::Malformed), Found::Usage),
            },
        }
    }
}

/// Follows the keys to `usage`, `message.usage` and `response.usage`.
#[derive(Debug)]
struct Path {
    /// The top-level member being read may hold the usage inside.
    in_wrapper: bool,
    /// The last key of a followed level was `usage`.
    at_usage: bool,
    /// A usage other than `null` began.
    begun: bool,
    /// Depth of the usage object being read, and its first byte.
    open: Option<(usize, u64)>,
    /// The last usage object, and its length once it is over.
    usage: Option<Members>,
    bytes: u64,
    key: Key,
    in_key: bool,
}

impl Path {
    const fn new() -> Self {
        Self {
            in_wrapper: false,
            at_usage: false,
            begun: false,
            open: None,
            usage: None,
            bytes: 0,
            key: Key {
                text: Text::new(),
                at: 0,
            },
            in_key: false,
        }
    }

    /// What is read of the usage object, while it is.
    fn inside(&mut self) -> Option<&mut Members> {
        self.usage.as_mut().filter(|_| self.open.is_some())
    }
}

impl Visit for Path {
    type Error = JsonError;

    fn key(&mut self, _: usize, at: u64) -> Result<bool, JsonError> {
        self.key.text.clear();
        self.key.at = at;
        self.in_key = true;
        Ok(true)
    }

    fn key_end(&mut self, depth: usize, end: u64) -> Result<(), JsonError> {
        self.in_key = false;
        let key = self.key.as_written(end);
        if let (Some(_), Some(members)) = (self.open, &mut self.usage) {
            members.key(key);
            return Ok(());
        }
        if depth == 1 {
            self.in_wrapper = matches!(key, b"message" | b"response");
        }
        self.at_usage = key == b"usage";
        Ok(())
    }

    fn value(&mut self, depth: usize, kind: Kind, at: u64) -> Result<bool, JsonError> {
        if let Some(members) = self.inside() {
            return Ok(members.value(kind));
        }
        let at_usage = core::mem::take(&mut self.at_usage);
        self.begun |= at_usage && kind != Kind::Null;
        if at_usage && kind == Kind::Object {
            self.open = Some((depth, at));
            self.usage = Some(Members::default());
            self.bytes = 0;
            return Ok(true);
        }
        Ok(kind == Kind::Object && (depth == 0 || (depth == 1 && self.in_wrapper)))
    }

    fn value_end(&mut self, depth: usize, end: u64) -> Result<(), JsonError> {
        match self.open {
            Some((of, start)) if of == depth => {
                self.open = None;
                self.bytes = end.saturating_sub(start);
            }
            Some((of, _)) => {
                let in_details = depth > of.saturating_add(1);
                self.inside()
                    .into_iter()
                    .for_each(|members| members.value_end(in_details));
            }
            None => {}
        }
        Ok(())
    }

    fn text(&mut self, piece: &[u8]) {
        if self.in_key {
            self.key.text.push(piece);
        } else if let Some(members) = self.inside() {
            members.digits(piece);
        }
    }
}

/// The key being read.
#[derive(Debug)]
struct Key {
    /// As much of it as fits.
    text: Text<KEY_BYTES_MAX>,
    /// Where it begins, at its quote.
    at: u64,
}

impl Key {
    /// The key that ended just before `end`, if it is spelt without escapes, as the search that skips whole events has
    /// it; nothing where it is too long to be looked for.
    fn as_written(&self, end: u64) -> &[u8] {
        let text = self.text.as_bytes();
        // Told by the length: of the others less was kept than was read.
        let raw_len = end.saturating_sub(self.at);
        match raw_len == (text.len() as u64).saturating_add(2) {
            true => text,
            false => b"",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;
    use std::vec::Vec;

    use serde::Deserialize;

    use super::super::report::Details;
    use super::*;

    /// A usage object as serde reads one.
    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct Read {
        prompt_tokens: Option<u64>,
        completion_tokens: Option<u64>,
        total_tokens: Option<u64>,
        prompt_tokens_details: Option<ReadDetails>,
        completion_tokens_details: Option<ReadDetails>,
        input_tokens: Option<u64>,
        output_tokens: Option<u64>,
        input_tokens_details: Option<ReadDetails>,
        output_tokens_details: Option<ReadDetails>,
        cache_creation_input_tokens: Option<u64>,
        cache_read_input_tokens: Option<u64>,
    }

    #[derive(Debug, Default, Deserialize)]
    #[serde(default)]
    struct ReadDetails {
        cached_tokens: Option<u64>,
        reasoning_tokens: Option<u64>,
    }

    impl From<ReadDetails> for Details {
        fn from(read: ReadDetails) -> Self {
            Self {
                cached_tokens: read.cached_tokens,
                reasoning_tokens: read.reasoning_tokens,
            }
        }
    }

    impl From<Read> for Report {
        fn from(read: Read) -> Self {
            Self {
                prompt_tokens: read.prompt_tokens,
                completion_tokens: read.completion_tokens,
                total_tokens: read.total_tokens,
                prompt_tokens_details: read.prompt_tokens_details.map(Into::into),
                completion_tokens_details: read.completion_tokens_details.map(Into::into),
                input_tokens: read.input_tokens,
                output_tokens: read.output_tokens,
                input_tokens_details: read.input_tokens_details.map(Into::into),
                output_tokens_details: read.output_tokens_details.map(Into::into),
                cache_creation_input_tokens: read.cache_creation_input_tokens,
                cache_read_input_tokens: read.cache_read_input_tokens,
            }
        }
    }

    fn read_by(chunk: usize, text: &str) -> Document {
        let mut document = Document::new();
        text.as_bytes().chunks(chunk).for_each(|piece| document.feed(piece));
        document
    }

    const KEYS: [&str; 16] = [
        "prompt_tokens",
        "completion_tokens",
        "total_tokens",
        "prompt_tokens_details",
        "completion_tokens_details",
        "input_tokens",
        "output_tokens",
        "input_tokens_details",
        "output_tokens_details",
        "cache_creation_input_tokens",
        "cache_read_input_tokens",
        "cached_tokens",
        "usage",
        "",
        "prompt\\u005ftokens",
        "an_unknown_key_longer_than_any_that_is_read",
    ];

    const VALUES: [&str; 22] = [
        "0",
        "7",
        "18446744073709551615",
        "18446744073709551616",
        "-1",
        "-0",
        "1.0",
        "1e3",
        "null",
        "true",
        "\"7\"",
        "[]",
        "[7,{\"prompt_tokens\":1}]",
        "{}",
        "{\"cached_tokens\":3}",
        "{ \"reasoning_tokens\" : 4 , \"cached_tokens\" : null }",
        "{\"cached_tokens\":1,\"cached_tokens\":1}",
        "{\"x\":{\"cached_tokens\":9},\"cached_tokens\":5,\"prompt_tokens\":6}",
        "{\"cached_tokens\":{}}",
        "{\"cached_tokens\":1.5}",
        "{\"cached\\u005ftokens\":5}",
        "{\"usage\":{\"prompt_tokens\":1}}",
    ];

    #[test]
    fn a_usage_is_read_as_serde_reads_it() {
        let members: Vec<String> = KEYS
            .iter()
            .flat_map(|key| VALUES.iter().map(move |value| format!("\"{key}\":{value}")))
            .collect();
        for (index, first) in members.iter().enumerate() {
            // Beside every seventh other one, so that each key and each value meets each.
            for second in members.iter().skip(index % 7).step_by(7) {
                let object = format!("{{{first},{second}}}");
                let read: Result<(Read, usize), _> = serde_json_core::from_slice(object.as_bytes());
                let read = read.map(|(read, _)| Report::from(read));
                let expected = read
                    .as_ref()
                    .map_or(Found::Problem(UnknownUsage::Malformed), Found::Usage);
                let text = format!("{{\"usage\":{object},\"x\":1}}");
                for chunk in [1, 7, 1000] {
                    assert_eq!(read_by(chunk, &text).end(), expected, "{text} by {chunk}");
                }
            }
        }
    }
}
