//! The numbers of one `usage` object, in the shapes that providers give it.

use super::{UnknownUsage, Usage};

/// The numbers as reported. What is `null` or missing is `None`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Report {
    // OpenAI: Chat Completions, Completions, Embeddings.
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) total_tokens: Option<u64>,
    pub(super) prompt_tokens_details: Option<Details>,
    pub(super) completion_tokens_details: Option<Details>,
    // OpenAI Responses and Anthropic.
    pub(super) input_tokens: Option<u64>,
    pub(super) output_tokens: Option<u64>,
    pub(super) input_tokens_details: Option<Details>,
    pub(super) output_tokens_details: Option<Details>,
    // Anthropic, beside `input_tokens` and not in it.
    pub(super) cache_creation_input_tokens: Option<u64>,
    pub(super) cache_read_input_tokens: Option<u64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Details {
    pub(super) cached_tokens: Option<u64>,
    pub(super) reasoning_tokens: Option<u64>,
}

impl Report {
    /// Takes over what a later report says; what it leaves out stays.
    pub(super) fn replace_by(&mut self, later: Self) {
        *self = Self {
            prompt_tokens: later.prompt_tokens.or(self.prompt_tokens),
            completion_tokens: later.completion_tokens.or(self.completion_tokens),
            total_tokens: later.total_tokens.or(self.total_tokens),
            prompt_tokens_details: later.prompt_tokens_details.or(self.prompt_tokens_details),
            completion_tokens_details: later.completion_tokens_details.or(self.completion_tokens_details),
            input_tokens: later.input_tokens.or(self.input_tokens),
            output_tokens: later.output_tokens.or(self.output_tokens),
            input_tokens_details: later.input_tokens_details.or(self.input_tokens_details),
            output_tokens_details: later.output_tokens_details.or(self.output_tokens_details),
            cache_creation_input_tokens: later.cache_creation_input_tokens.or(self.cache_creation_input_tokens),
            cache_read_input_tokens: later.cache_read_input_tokens.or(self.cache_read_input_tokens),
        };
    }

    /// The numbers in one form; `None` when nothing was reported.
    pub(super) fn usage(&self) -> Option<Usage> {
        if *self == Self::default() {
            return None;
        }
        let prompt = self.prompt_tokens.or_else(|| self.whole_input());
        let completion = self.completion_tokens.or(self.output_tokens);
        let (prompt, completion) = match (prompt, completion, self.total_tokens) {
            (Some(prompt), Some(completion), _) => (prompt, completion),
            // Embeddings have no completion: their total is the prompt.
            (Some(prompt), None, Some(total)) => (prompt, total.saturating_sub(prompt)),
            (None, Some(completion), Some(total)) => (total.saturating_sub(completion), completion),
            _ => return Some(Usage::Unknown(UnknownUsage::Incomplete)),
        };
        let cached = |details: Option<Details>| details.and_then(|details| details.cached_tokens);
        let reasoning = |details: Option<Details>| details.and_then(|details| details.reasoning_tokens);
        Some(Usage::Known {
            prompt_tokens: prompt,
            completion_tokens: completion,
            cached_tokens: cached(self.prompt_tokens_details)
                .or_else(|| cached(self.input_tokens_details))
                .or(self.cache_read_input_tokens),
            reasoning_tokens: reasoning(self.completion_tokens_details)
                .or_else(|| reasoning(self.output_tokens_details)),
        })
    }

    fn whole_input(&self) -> Option<u64> {
        let cached = [self.cache_creation_input_tokens, self.cache_read_input_tokens];
        let input = self.input_tokens?;
        Some(cached.into_iter().flatten().fold(input, u64::saturating_add))
    }
}
