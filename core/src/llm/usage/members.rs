//! Reads the numbers of a `usage` object member by member, as a tokenizer tells of them.

use super::report::{Details, Report};
use crate::llm::json::Kind;

/// A member that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Member {
    Prompt,
    Completion,
    Total,
    PromptDetails,
    CompletionDetails,
    Input,
    Output,
    InputDetails,
    OutputDetails,
    CacheCreation,
    CacheRead,
    // Those of details.
    Cached,
    Reasoning,
}

/// Bytes of the longest key.
pub(super) const KEY_BYTES_MAX: usize = "cache_creation_input_tokens".len();

impl Member {
    fn of_usage(key: &[u8]) -> Option<Self> {
        Some(match key {
            b"prompt_tokens" => Self::Prompt,
            b"completion_tokens" => Self::Completion,
            b"total_tokens" => Self::Total,
            b"prompt_tokens_details" => Self::PromptDetails,
            b"completion_tokens_details" => Self::CompletionDetails,
            b"input_tokens" => Self::Input,
            b"output_tokens" => Self::Output,
            b"input_tokens_details" => Self::InputDetails,
            b"output_tokens_details" => Self::OutputDetails,
            b"cache_creation_input_tokens" => Self::CacheCreation,
            b"cache_read_input_tokens" => Self::CacheRead,
            _ => return None,
        })
    }

    fn of_details(key: &[u8]) -> Option<Self> {
        match key {
            b"cached_tokens" => Some(Self::Cached),
            b"reasoning_tokens" => Some(Self::Reasoning),
            _ => None,
        }
    }

    fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// What was read of one `usage` object so far.
#[derive(Debug, Default)]
pub(super) struct Members {
    report: Report,
    /// The members that were there: a bit each.
    seen: u16,
    /// Something is not of its type, or there twice.
    is_malformed: bool,
    /// What the value to come, or being read, belongs to.
    member: Option<Member>,
    /// The details being read, and whose they are.
    details: Option<(Member, Details)>,
    /// The number being read; `None` when it is none that is counted in.
    number: Option<u64>,
}

impl Members {
    /// All that the object reports; `None` when it is malformed.
    pub(super) fn report(&self) -> Option<&Report> {
        (!self.is_malformed).then_some(&self.report)
    }

    /// A key of the object, or of the details in it.
    pub(super) fn key(&mut self, key: &[u8]) {
        self.member = match self.details {
            None => Member::of_usage(key),
            Some(_) => Member::of_details(key),
        };
        if let Some(member) = self.member {
            self.is_malformed |= self.seen & member.bit() != 0;
            self.seen |= member.bit();
        }
    }

    /// The value of that key begins; `true` asks for what is in it.
    pub(super) fn value(&mut self, kind: Kind) -> bool {
        use Member::{CompletionDetails, InputDetails, OutputDetails, PromptDetails};
        match (self.member, kind) {
            (None, _) => false,
            (Some(_), Kind::Null) => {
                self.member = None;
                false
            }
            (Some(whose @ (PromptDetails | CompletionDetails | InputDetails | OutputDetails)), _) => {
                self.member = None;
                self.is_malformed |= kind != Kind::Object;
                self.details = (kind == Kind::Object).then(|| (whose, Details::default()));
                self.seen &= !(Member::Cached.bit() | Member::Reasoning.bit());
                self.details.is_some()
            }
            (Some(_), Kind::Number) => {
                self.number = Some(0);
                true
            }
            (Some(_), _) => {
                self.member = None;
                self.is_malformed = true;
                false
            }
        }
    }

    /// A piece of the number being read.
    pub(super) fn digits(&mut self, piece: &[u8]) {
        for byte in piece {
            let digit = byte.is_ascii_digit().then(|| u64::from(byte & 0xF));
            let times_ten = self.number.and_then(|number| number.checked_mul(10));
            self.number = times_ten.zip(digit).and_then(|(more, digit)| more.checked_add(digit));
        }
    }

    /// A value is over, inside of details or not.
    pub(super) fn value_end(&mut self, in_details: bool) {
        if let Some(member) = self.member.take() {
            self.is_malformed |= self.number.is_none();
            self.put(member);
        } else if !in_details && let Some((whose, details)) = self.details.take() {
            self.put_details(whose, details);
        }
    }

    fn put(&mut self, member: Member) {
        let Self {
            report,
            details,
            number,
            ..
        } = self;
        let place = match (member, details) {
            (Member::Prompt, _) => &mut report.prompt_tokens,
            (Member::Completion, _) => &mut report.completion_tokens,
            (Member::Total, _) => &mut report.total_tokens,
            (Member::Input, _) => &mut report.input_tokens,
            (Member::Output, _) => &mut report.output_tokens,
            (Member::CacheCreation, _) => &mut report.cache_creation_input_tokens,
            (Member::CacheRead, _) => &mut report.cache_read_input_tokens,
            (Member::Cached, Some((_, details))) => &mut details.cached_tokens,
            (Member::Reasoning, Some((_, details))) => &mut details.reasoning_tokens,
            _ => return,
        };
        *place = *number;
    }

    fn put_details(&mut self, whose: Member, details: Details) {
        let place = match whose {
            Member::PromptDetails => &mut self.report.prompt_tokens_details,
            Member::CompletionDetails => &mut self.report.completion_tokens_details,
            Member::InputDetails => &mut self.report.input_tokens_details,
            Member::OutputDetails => &mut self.report.output_tokens_details,
            _ => return,
        };
        *place = Some(details);
    }
}
