//! What a top-level key means, to the gateway and to those behind it.
//!
//! Every key of a body is asked about, so they are in one table, where its first
//! letter and its length leave at most a few to compare it with. Readers that
//! ignore case are common (Go's encoding/json), so a key in another case is known
//! too: what that means is for the reader of the member to say.

use super::Governed;
use super::beside::Beside;

/// What a top-level member is read for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Meaning {
    /// Its value decides.
    Governed(Governed),
    /// It lists tools.
    Tools,
    /// It has items that may bring tools of their own (responses).
    Items,
    /// It decides what others are read for.
    Beside(Beside),
}

/// Of OpenAI, Anthropic, Qwen, xAI, of native APIs of DashScope, Gemini, Bedrock, Ollama and llama.cpp, and of the routers
/// OpenRouter and LiteLLM.
const KEYS: [(&str, Meaning); 28] = [
    governed(Governed::Model),
    governed(Governed::Stream),
    governed(Governed::StreamOptions),
    governed(Governed::MaxTokens),
    governed(Governed::MaxCompletionTokens),
    governed(Governed::MaxOutputTokens),
    ("tools", Meaning::Tools),
    ("functions", Meaning::Tools),
    ("input", Meaning::Items),
    ("models", Meaning::Beside(Beside::MODELS)),
    ("fallbacks", Meaning::Beside(Beside::MODELS)),
    ("context_window_fallbacks", Meaning::Beside(Beside::MODELS)),
    ("content_policy_fallbacks", Meaning::Beside(Beside::MODELS)),
    ("prompt", Meaning::Beside(Beside::PROMPT)),
    ("n_predict", Meaning::Beside(Beside::LIMIT)),
    ("max_new_tokens", Meaning::Beside(Beside::LIMIT)),
    ("max_tokens_to_sample", Meaning::Beside(Beside::LIMIT)),
    ("options", Meaning::Beside(Beside::LIMIT)),
    ("generationConfig", Meaning::Beside(Beside::LIMIT)),
    ("inferenceConfig", Meaning::Beside(Beside::LIMIT)),
    ("parameters", Meaning::Beside(Beside::SETTINGS)),
    ("mcp_servers", Meaning::Beside(Beside::SERVERS)),
    ("plugins", Meaning::Beside(Beside::SERVERS)),
    ("toolConfig", Meaning::Beside(Beside::TOOLS)),
    ("web_search_options", Meaning::Beside(Beside::TOOLS)),
    ("search_parameters", Meaning::Beside(Beside::TOOLS)),
    ("enable_search", Meaning::Beside(Beside::TOOL)),
    ("container", Meaning::Beside(Beside::CONTAINER)),
];

const fn governed(field: Governed) -> (&'static str, Meaning) {
    (field.key(), Meaning::Governed(field))
}

/// Some of [`KEYS`], one bit each.
type KeySet = u32;

const _: () = assert!(KEYS.len() <= KeySet::BITS as usize);

/// Those that begin with each letter.
#[expect(clippy::indexing_slicing, reason = "what is out of bounds does not compile")]
const BY_LETTER: [KeySet; 26] = {
    let mut sets = [0; 26];
    let mut at = 0;
    while at < KEYS.len() {
        sets[(KEYS[at].0.as_bytes()[0] - b'a') as usize] |= 1 << at;
        at += 1;
    }
    sets
};

/// Those of each length.
#[expect(clippy::indexing_slicing, reason = "what is out of bounds does not compile")]
const BY_LENGTH: [KeySet; 32] = {
    let mut sets = [0; 32];
    let mut at = 0;
    while at < KEYS.len() {
        sets[KEYS[at].0.len()] |= 1 << at;
        at += 1;
    }
    sets
};

/// What `key` means to a reader who ignores case, and whether it does to one who does not.
#[inline]
pub(super) fn meaning(key: &[u8]) -> Option<(Meaning, Spelling)> {
    let letter = folded(key).next()?.wrapping_sub(b'a');
    let of_letter = *BY_LETTER.get(usize::from(letter))?;
    // Other characters than ASCII may fold to fewer bytes.
    let mut candidates = match key.is_ascii() {
        true => of_letter & BY_LENGTH.get(key.len())?,
        false => of_letter,
    };
    while candidates != 0 {
        if let Some((name, meaning)) = KEYS.get(candidates.trailing_zeros() as usize)
            && let Some(spelling) = spelling(key, name)
        {
            return Some((*meaning, spelling));
        }
        candidates &= candidates.wrapping_sub(1);
    }
    None
}

/// How a key is written that is a name to a reader who ignores case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Exact,
    OtherCase,
}

/// Whether `key` is `name` for a reader who ignores case, and how it is written.
#[inline]
pub(super) fn spelling(key: &[u8], name: &str) -> Option<Spelling> {
    if key == name.as_bytes() {
        return Some(Spelling::Exact);
    }
    // Nearly every key that is asked about differs in its first letter.
    let may_be = begins_alike(key, name.as_bytes());
    (may_be && is_folded_alike(key, name.as_bytes())).then_some(Spelling::OtherCase)
}

fn is_folded_alike(key: &[u8], name: &[u8]) -> bool {
    // Other characters than these two fold to as many bytes.
    let may_be = key.len() == name.len() || !key.is_ascii() || !name.is_ascii();
    may_be && folded(key).eq(folded(name))
}

#[inline]
fn begins_alike(key: &[u8], name: &[u8]) -> bool {
    match (key, name) {
        ([a, ..], [b, ..]) => a.eq_ignore_ascii_case(b) || !a.is_ascii() || !b.is_ascii(),
        _ => false,
    }
}

/// The bytes of a UTF-8 text as such a reader compares them.
///
/// It folds two characters beyond ASCII into it: U+017F is an s and U+212A is a k.
fn folded(mut text: &[u8]) -> impl Iterator<Item = u8> {
    core::iter::from_fn(move || {
        let (byte, rest) = match text {
            [0xC5, 0xBF, rest @ ..] => (b's', rest),
            [0xE2, 0x84, 0xAA, rest @ ..] => (b'k', rest),
            [byte, rest @ ..] => (byte.to_ascii_lowercase(), rest),
            [] => return None,
        };
        text = rest;
        Some(byte)
    })
}

#[cfg(test)]
mod tests {
    use std::string::String;

    use super::*;

    #[test]
    fn every_key_is_found_in_any_case() {
        for (name, meaning) in KEYS {
            let found = |key: &str| super::meaning(key.as_bytes()).map(|(found, how)| (std::format!("{found:?}"), how));
            let known = |how| Some((std::format!("{meaning:?}"), how));
            assert_eq!(found(name), known(Spelling::Exact), "{name}");
            assert_eq!(found(&name.to_uppercase()), known(Spelling::OtherCase), "{name}");
            for (letter, twin) in [('s', "\u{17F}"), ('k', "\u{212A}")] {
                let written = name.replacen(letter, twin, 1);
                let how = if written == name {
                    Spelling::Exact
                } else {
                    Spelling::OtherCase
                };
                assert_eq!(found(&written), known(how), "{written}");
            }
            let mut longer = String::from(name);
            longer.push('x');
            let shorter = &longer.as_bytes()[1..name.len()];
            for other in [longer.as_bytes(), shorter] {
                assert!(super::meaning(other).is_none(), "{}", other.escape_ascii());
            }
        }
        for nothing in ["", "messages", "temperature", "é", "{", "\u{212A}"] {
            assert!(meaning(nothing.as_bytes()).is_none(), "{nothing}");
        }
    }
}
