//! Members that decide what a policy asks of others: the model, the limit of tokens, the tools.
//!
//! Providers and routers behind the gateway obey more than the members that
//! policies are written about: a list of models to fall back to, a limit by its
//! older name, a web search that no list of tools has. What such a member says is
//! not settled between them, so it is not read: beside one, nobody can be sure of
//! what it decides. That refuses nothing by itself, but no policy that asks for it
//! passes such a body.

use super::is_taken_for;
use crate::llm::json::Kind;

/// What of a body nobody can be sure of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unclear {
    /// Which models may answer.
    pub model: bool,
    /// How many tokens an answer may have.
    pub max_tokens: bool,
    /// Which tools may be used.
    pub tools: bool,
}

impl Unclear {
    pub(super) const NOTHING: Self = Self {
        model: false,
        max_tokens: false,
        tools: false,
    };

    const MODEL: Self = Self {
        model: true,
        ..Self::NOTHING
    };
    const MAX_TOKENS: Self = Self {
        max_tokens: true,
        ..Self::NOTHING
    };
    const TOOLS: Self = Self {
        tools: true,
        ..Self::NOTHING
    };

    const fn and(self, other: Self) -> Self {
        Self {
            model: self.model || other.model,
            max_tokens: self.max_tokens || other.max_tokens,
            tools: self.tools || other.tools,
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        *self = self.and(other);
    }
}

/// One such member.
#[derive(Debug)]
pub(super) struct Beside {
    key: &'static str,
    /// What it decides.
    pub(super) decides: Unclear,
    when: When,
}

/// The values with which it decides anything; `null` is none of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    /// All but those of this kind. Of lists, an empty one only.
    Unless(Kind),
    /// Those of this kind only.
    Only(Kind),
}

const fn beside(key: &'static str, decides: Unclear, when: When) -> Beside {
    Beside { key, decides, when }
}

/// Of OpenAI, Anthropic, Qwen, xAI, of native APIs of DashScope, Gemini, Bedrock, Ollama and llama.cpp, and of the routers
/// OpenRouter and LiteLLM.
const BESIDE: [Beside; 19] = [
    beside("models", Unclear::MODEL, When::Unless(Kind::Array)),
    beside("fallbacks", Unclear::MODEL, When::Unless(Kind::Array)),
    beside("context_window_fallbacks", Unclear::MODEL, When::Unless(Kind::Array)),
    beside("content_policy_fallbacks", Unclear::MODEL, When::Unless(Kind::Array)),
    // A text is what is to be completed, an object a stored prompt with all its settings.
    beside(
        "prompt",
        Unclear::MODEL.and(Unclear::MAX_TOKENS).and(Unclear::TOOLS),
        When::Only(Kind::Object),
    ),
    beside("n_predict", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside("max_new_tokens", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside("max_tokens_to_sample", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside("options", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside("generationConfig", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside("inferenceConfig", Unclear::MAX_TOKENS, When::Unless(Kind::Null)),
    beside(
        "parameters",
        Unclear::MAX_TOKENS.and(Unclear::TOOLS),
        When::Unless(Kind::Null),
    ),
    beside("mcp_servers", Unclear::TOOLS, When::Unless(Kind::Array)),
    beside("plugins", Unclear::TOOLS, When::Unless(Kind::Array)),
    beside("toolConfig", Unclear::TOOLS, When::Unless(Kind::Null)),
    beside("web_search_options", Unclear::TOOLS, When::Unless(Kind::Null)),
    beside("search_parameters", Unclear::TOOLS, When::Unless(Kind::Null)),
    beside("enable_search", Unclear::TOOLS, When::Unless(Kind::False)),
    // A text is where tools that are listed run, an object may bring skills.
    beside("container", Unclear::TOOLS, When::Only(Kind::Object)),
];

/// The lengths of their names, one bit each: most keys of a body are of another.
const LENGTHS: u32 = {
    let mut lengths = 0;
    let mut rest: &[Beside] = &BESIDE;
    while let [first, others @ ..] = rest {
        lengths |= 1_u32 << first.key.len();
        rest = others;
    }
    lengths
};

impl Beside {
    /// The member that readers take `key` for.
    #[inline]
    pub(super) fn find(key: &[u8]) -> Option<&'static Self> {
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX);
        let may_be = LENGTHS.checked_shr(length).unwrap_or(0) & 1 == 1 || !key.is_ascii();
        if may_be { Self::named(key) } else { None }
    }

    fn named(key: &[u8]) -> Option<&'static Self> {
        BESIDE.iter().find(|member| is_taken_for(key, member.key))
    }

    /// Whether it decides anything with a value of this kind.
    pub(super) fn decides_with(&self, kind: Kind) -> bool {
        match self.when {
            When::Unless(none) => kind != none && kind != Kind::Null,
            When::Only(only) => kind == only,
        }
    }

    /// Whether it decides something only where its list has an item.
    pub(super) fn may_be_empty(&self, kind: Kind) -> bool {
        kind == Kind::Array && self.when == When::Unless(Kind::Array)
    }
}
