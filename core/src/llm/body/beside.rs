//! Members that decide what a policy asks of others: the model, the limit of tokens, the tools.
//!
//! Providers and routers behind the gateway obey more than the members that
//! policies are written about: a list of models to fall back to, a limit by its
//! older name, a web search that no list of tools has. What such a member says is
//! not settled between them, so it is not read: beside one, nobody can be sure of
//! what it decides. That refuses nothing by itself, but no policy that asks for it
//! passes such a body.

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

/// What one such member decides, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beside {
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

impl Beside {
    /// A list of models to take another from.
    pub(super) const MODELS: Self = Self::unless(Kind::Array, Unclear::MODEL);
    /// A limit of tokens, or settings that may have one.
    pub(super) const LIMIT: Self = Self::unless(Kind::Null, Unclear::MAX_TOKENS);
    /// Settings of the whole request.
    pub(super) const SETTINGS: Self = Self::unless(Kind::Null, Unclear::MAX_TOKENS.and(Unclear::TOOLS));
    /// A stored prompt with all its settings, if it is an object: a text is what is to be completed.
    pub(super) const PROMPT: Self = Self::only(
        Kind::Object,
        Unclear::MODEL.and(Unclear::MAX_TOKENS).and(Unclear::TOOLS),
    );
    /// A list of what brings tools.
    pub(super) const SERVERS: Self = Self::unless(Kind::Array, Unclear::TOOLS);
    /// What says which tools there are, or how they are used.
    pub(super) const TOOLS: Self = Self::unless(Kind::Null, Unclear::TOOLS);
    /// A tool that is on or off.
    pub(super) const TOOL: Self = Self::unless(Kind::False, Unclear::TOOLS);
    /// Where tools that are listed run, if it is a text: an object may bring skills.
    pub(super) const CONTAINER: Self = Self::only(Kind::Object, Unclear::TOOLS);

    const fn unless(kind: Kind, decides: Unclear) -> Self {
        let when = When::Unless(kind);
        Self { decides, when }
    }

    const fn only(kind: Kind, decides: Unclear) -> Self {
        let when = When::Only(kind);
        Self { decides, when }
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
