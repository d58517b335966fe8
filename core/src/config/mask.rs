//! What must not be shown of a source line: values of keys that sound secret, and texts shaped like provider keys.
//!
//! This reads text, not structure, on purpose: the line that a diagnostic shows
//! may belong to a document that does not parse, or to a misspelt `apikey`.
//! Masking a value too many costs nothing.

use alloc::vec::Vec;
use core::ops::Range;

use super::diagnostic::line_start;

/// Parts of field names after which a value is not shown.
const SECRET_WORDS: [&str; 8] = [
    "key",
    "token",
    "secret",
    "password",
    "passwd",
    "credential",
    "authorization",
    "cookie",
];

/// Fields that only name a Secret.
const NAMES_OF_SECRETS: [&str; 3] = ["credentialName", "credentialNames", "caCertCredentialName"];

/// What the keys of the known providers begin with.
const KEY_PREFIXES: [&str; 5] = ["sk-", "Bearer ", "AIza", "gsk_", "xai-"];

/// What the `key` of a policy's condition begins with.
const CONDITIONS: [&str; 6] = [
    "request.",
    "source.",
    "remote.",
    "destination.",
    "connection.",
    "experimental.",
];

/// Lines to look back for the key that an indented line belongs to.
const LINES_BACK_MAX: usize = 256;

/// Bytes to look back for it.
const BYTES_BACK_MAX: usize = 32 * 1024;

/// Bytes of a name that is looked at.
const NAME_BYTES_MAX: usize = 128;

/// Whether a text by itself is shaped like a provider's key.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    !key_shaped(text).is_empty()
}

/// Byte ranges of the line (that begins at `start` of `text`) that must not be shown.
pub(crate) fn masked(text: &str, start: usize, line: &str) -> Vec<Range<usize>> {
    let mut ranges = key_shaped(line);
    let inherited = belongs_to_secret(text, start, line);
    let mut has_key = false;
    let mut masked_to = 0;
    for (colon, _) in line.match_indices(':') {
        let name = key_before(line, colon);
        if colon < masked_to || !is_key(line, colon, name) {
            continue;
        }
        has_key = true;
        let is_named = name == "value" && is_beside_secret(text, start, line);
        if inherited || is_named || sounds_secret(name) && !names_condition(line, colon, name) {
            let value = value_after(line, colon + 1);
            masked_to = value.as_ref().map_or(masked_to, |value| value.end);
            ranges.extend(value);
        }
    }
    if inherited && !has_key {
        ranges.push(0..line.len());
    }
    merged(ranges)
}

/// The ranges in order, those that touch as one.
fn merged(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_unstable_by_key(|range| range.start);
    let mut out: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match out.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => out.push(range),
        }
    }
    out
}

/// Whether the colon ends a key, and is not one inside a value.
fn is_key(line: &str, colon: usize, name: &str) -> bool {
    let after = line.get(colon + 1..).unwrap_or_default();
    !name.is_empty() && (after.is_empty() || after.starts_with([' ', '\t', '"', '\'']) || quoted_key(line, colon))
}

/// Whether a value of that name is one not to show.
pub(crate) fn sounds_secret(name: &str) -> bool {
    let bytes = name.as_bytes();
    // A key set may hold symmetric keys; `jwksUri` is a URL.
    if name.eq_ignore_ascii_case("jwks") {
        return true;
    }
    if NAMES_OF_SECRETS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return false;
    }
    SECRET_WORDS.iter().any(|word| {
        bytes
            .windows(word.len())
            .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
    })
}

/// Whether this is the `key` of a condition, which is no secret, and is what a diagnostic about it speaks of. One about
/// a header field that sounds secret is not shown: without quotes what is masked reaches as far as its values.
fn names_condition(line: &str, colon: usize, name: &str) -> bool {
    let value = line.get(colon + 1..).unwrap_or_default();
    let value = value.trim_start_matches([' ', '\t', '"', '\'']);
    let field = value
        .strip_prefix("request.headers")
        .and_then(|rest| rest.split(']').next());
    name == "key"
        && CONDITIONS.iter().any(|condition| value.starts_with(condition))
        && !field.is_some_and(sounds_secret)
}

fn quoted_key(line: &str, colon: usize) -> bool {
    tail(line, colon, NAME_BYTES_MAX).trim_end().ends_with(['"', '\''])
}

/// The name that ends right before the colon.
fn key_before(line: &str, colon: usize) -> &str {
    let before = tail(line, colon, NAME_BYTES_MAX)
        .trim_end()
        .trim_end_matches(['"', '\'']);
    before
        .rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
        .next()
        .unwrap_or_default()
}

/// The value that begins after `from`: to the closing quote, else to the end of the line. `${NAME}` may be shown.
fn value_after(line: &str, from: usize) -> Option<Range<usize>> {
    let rest = line.get(from..)?;
    let value = rest.trim_start();
    let start = from + (rest.len() - value.len());
    let bare = value.trim_end();
    if bare.is_empty() || matches!(bare, "|" | ">" | "|-" | ">-" | "{" | "[") {
        return None;
    }
    let end = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => closing_quote(value, quote).unwrap_or(value.len()),
        _ => bare.len(),
    };
    let inner = value.get(..end).unwrap_or(value).trim_matches(['"', '\'']);
    (!is_variable(inner)).then_some(start..start + end)
}

/// One past the quote that closes the text.
fn closing_quote(value: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in value.char_indices().skip(1) {
        if c == quote && !escaped {
            return Some(index + 1);
        }
        escaped = c == '\\' && quote == '"' && !escaped;
    }
    None
}

fn is_variable(text: &str) -> bool {
    text.strip_prefix("${")
        .and_then(|rest| rest.strip_suffix('}'))
        .is_some_and(|name| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

/// Whether a `value` is of something that sounds secret: an entry of a list gives its name in the same line, the one
/// above or the one below.
fn is_beside_secret(text: &str, start: usize, line: &str) -> bool {
    let above = tail(text, start, BYTES_BACK_MAX).lines().next_back();
    let end = start.saturating_add(line.len());
    let below = text
        .get(end..)
        .unwrap_or_default()
        .lines()
        .find(|line| !line.is_empty());
    [above, Some(line), below].into_iter().flatten().any(sounds_secret)
}

/// Whether the nearest line above with a smaller indentation names something secret.
fn belongs_to_secret(text: &str, start: usize, line: &str) -> bool {
    let indent = indentation(line);
    let above = tail(text, start, BYTES_BACK_MAX);
    for previous in above.lines().rev().take(LINES_BACK_MAX) {
        if previous.trim().is_empty() || indentation(previous) >= indent {
            continue;
        }
        return previous
            .match_indices(':')
            .map(|(colon, _)| key_before(previous, colon))
            .any(sounds_secret);
    }
    false
}

/// The text before `end`, at most `bytes` of it.
fn tail(text: &str, end: usize, bytes: usize) -> &str {
    let mut start = end.saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..end).unwrap_or_default()
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// Runs that look like a provider's key, wherever they stand.
fn key_shaped(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for prefix in KEY_PREFIXES {
        for (index, _) in line.match_indices(prefix) {
            let starts_word = line
                .get(..index)
                .and_then(|before| before.chars().next_back())
                .is_none_or(|c| !c.is_alphanumeric());
            let rest = line.get(index + prefix.len()..).unwrap_or_default();
            let length = rest
                .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+' | '/' | '=')))
                .unwrap_or(rest.len());
            if starts_word && length >= 8 {
                ranges.push(index..index + prefix.len() + length);
            }
        }
    }
    ranges
}

/// The line around `offset` without its line break, and where it begins.
pub(crate) fn line_at(text: &str, offset: u32) -> (usize, &str) {
    let (start, _) = line_start(text, offset);
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.split('\n').next().unwrap_or_default();
    (start, line.strip_suffix('\r').unwrap_or(line))
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use super::*;

    /// The last line of the text with what is masked as `*`.
    fn shown(text: &str) -> String {
        let (start, line) = line_at(text, u32::try_from(text.len()).unwrap());
        let ranges = masked(text, start, line);
        line.char_indices()
            .map(|(index, c)| {
                if ranges.iter().any(|range| range.contains(&index)) {
                    '*'
                } else {
                    c
                }
            })
            .collect()
    }

    #[test]
    fn values_of_secret_keys_are_masked() {
        for (text, expected) in [
            ("apiKey: abc", "apiKey: ***"),
            ("  apikey: 'a b'", "  apikey: *****"),
            ("- api_key: abc # note", "- api_key: **********"),
            (
                r#"{"host": "x", "apiKey": "a\"b", "path": "/"}"#,
                r#"{"host": "x", "apiKey": ******, "path": "/"}"#,
            ),
            (r#"{"apiKey":"abc"}"#, r#"{"apiKey":*****}"#),
            ("{apiKey: abc, host: x}", "{apiKey: *************"),
            ("authorization: x", "authorization: *"),
            ("{key: source.ip, apiKey: abc}", "{key: source.ip, apiKey: ****"),
            ("key: requests", "key: ********"),
            (
                "{key: request.headers[x-api-key], values: [a]}",
                "{key: ****************************************",
            ),
            ("apiKey: request.abc", "apiKey: ***********"),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn values_on_following_lines_are_masked() {
        assert_eq!(shown("apiKey: |\n  abc"), "*****");
        assert_eq!(shown("apiKey:\n\n    abc def"), "***********");
        assert_eq!(shown("authorization:\n  exact: abc"), "  exact: ***");
    }

    #[test]
    fn values_of_named_entries_are_masked() {
        for (text, expected) in [
            ("{name: authorization, value: abc}", "{name: authorization, value: ****"),
            ("- name: x-api-key\n  value: abc", "  value: ***"),
            ("- name: x-team\n  value: abc", "  value: abc"),
            (
                "{name: authorization, value: \"${TOKEN}\"",
                "{name: authorization, value: \"${TOKEN}\"",
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
        let text = "- value: abc\n  name: cookie\n";
        assert_eq!(masked(text, 0, "- value: abc").first(), Some(&(9..12)));
    }

    #[test]
    fn other_values_and_variables_are_shown() {
        for text in [
            "host: abc",
            "apiKey: ${API_KEY}",
            "apiKey: \"${API_KEY}\"",
            "apiKey:",
            "path: /v1:x",
            "- key: request.auth.claims[group]",
            "{key: \"source.ip\", values: [a]}",
        ] {
            assert_eq!(shown(text), text);
        }
    }

    #[test]
    fn texts_shaped_like_keys_are_masked_anywhere() {
        assert_eq!(shown("model: sk-abcdefgh123"), "model: **************");
        assert_eq!(shown("- Bearer abcdefgh"), "- ***************");
        assert_eq!(shown("host: disk-abcdefgh123"), "host: disk-abcdefgh123");
    }
}
