//! What must not be shown of a source line: values of keys that sound secret, and texts shaped like provider keys.
//!
//! This reads text, not structure, on purpose: the line that a diagnostic shows
//! may belong to a document that does not parse, or to a misspelt `apikey`. What
//! is masked here no message quotes either. Masking a value too many costs nothing.

use alloc::vec::Vec;
use core::ops::Range;

use super::diagnostic::{Location, line_start};
use super::suggest::nearest;

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

/// Fields that nobody may get nearly right and have their value shown.
const SECRET_FIELDS: [&str; 3] = ["apiKey", "password", "authorization"];

/// Fields of a Secret that may be shown.
const OPEN_FIELDS: [&str; 6] = ["apiVersion", "kind", "metadata", "name", "namespace", "type"];

/// What the keys of the known providers begin with.
const KEY_PREFIXES: [&str; 5] = ["sk-", "Bearer ", "AIza", "gsk_", "xai-"];

/// Letters and digits in a row from which on they may be a key that begins with nothing known.
const RANDOM_BYTES_MIN: usize = 20;

/// Digits that are among them.
const RANDOM_DIGITS_MIN: usize = 3;

/// What the `key` of a policy's condition begins with.
const CONDITIONS: [&str; 6] = [
    "request.",
    "source.",
    "remote.",
    "destination.",
    "connection.",
    "experimental.",
];

/// Bytes to look back for the key that a line belongs to, and for what kind a document is of.
const BYTES_BACK_MAX: usize = 32 * 1024;

/// Bytes of a name that is looked at.
const NAME_BYTES_MAX: usize = 128;

/// Lines of a place that are looked at.
const PLACE_LINES_MAX: usize = 16;

/// Whether a text by itself is shaped like a provider's key.
pub(crate) fn looks_like_secret(text: &str) -> bool {
    !key_shaped(text).is_empty()
}

/// Whether no message may quote the text.
#[cfg(feature = "yaml")]
pub(crate) fn is_hidden(text: &str) -> bool {
    !masked(text, 0, text).is_empty()
}

/// Whether an excerpt would not show all of the place.
pub(crate) fn is_masked(text: &str, at: Location) -> bool {
    let offset = |offset: u32| usize::try_from(offset).unwrap_or(usize::MAX);
    let (from, to) = (offset(at.start), offset(at.end));
    let (mut start, _) = line_start(text, at.start);
    let lines = text.get(start..).unwrap_or_default().split_inclusive('\n');
    for (index, line) in lines.enumerate() {
        if start >= to || index == PLACE_LINES_MAX {
            return start < to;
        }
        let masks = masked(text, start, line.trim_end());
        if masks
            .iter()
            .any(|mask| start + mask.start < to && from < start + mask.end)
        {
            return true;
        }
        start += line.len();
    }
    false
}

/// Byte ranges of the line (that begins at `start` of `text`) that must not be shown.
pub(crate) fn masked(text: &str, start: usize, line: &str) -> Vec<Range<usize>> {
    let mut ranges = key_shaped(line);
    ranges.extend(random_words(line));
    ranges.extend(comment(line));
    let of_secret = is_in_secret(text, start);
    let follows = of_secret || follows_secret(text, start);
    let is_beside = follows || is_beside_secret(text, start, line);
    let inherited = is_under_secret(text, start, line, of_secret) || follows && is_after_colon(text, start);
    let mut first_key = line.len();
    let mut masked_to = 0;
    for (at, separator) in line.match_indices([':', '=', ' ', '\t', '\n']) {
        let name = name_before(line, at);
        if at < masked_to || name.is_empty() {
            continue;
        }
        let is_key = separator == ":" && ends_key(line, at);
        if is_key {
            first_key = first_key.min(line.get(..at).and_then(|before| before.rfind(name)).unwrap_or(0));
        }
        let is_named = name == "value" && is_beside;
        let is_secret = match is_key {
            true => inherited || names_secret(name, of_secret) && !names_condition(line, at, name),
            // A host may sound secret, and has a port.
            false => names_secret(name.rsplit(['.', '/']).next().unwrap_or(name), of_secret),
        };
        if is_named || is_secret {
            let value = value_after(line, at);
            masked_to = value.as_ref().map_or(masked_to, |value| value.end);
            ranges.extend(value);
        }
    }
    let lead = line.get(..first_key).unwrap_or_default();
    let is_lead = |c: char| c.is_whitespace() || "-?,[]{}\"'".contains(c);
    // A document is no text, so one that stands beside `---` is not meant to be one.
    if !lead.chars().all(is_lead) && (inherited || follows || line.starts_with("---")) {
        ranges.push(0..lead.len());
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
fn ends_key(line: &str, colon: usize) -> bool {
    let after = line.get(colon + 1..).unwrap_or_default();
    after.is_empty()
        || after.starts_with(|c: char| c.is_whitespace() || c == '"' || c == '\'')
        || quoted_key(line, colon)
}

/// Whether a value of that name is one not to show, in a Secret or elsewhere.
fn names_secret(name: &str, of_secret: bool) -> bool {
    sounds_secret(name)
        || name.eq_ignore_ascii_case("stringData")
        || nearest(name, SECRET_FIELDS).is_some()
        || of_secret && !name.is_empty() && !OPEN_FIELDS.contains(&name)
}

/// Whether the document around `start` is a Secret.
fn is_in_secret(text: &str, start: usize) -> bool {
    let before = tail(text, start, BYTES_BACK_MAX).rsplit("\n---").next();
    let after = head(text, start, BYTES_BACK_MAX).split("\n---").next();
    let says = |name: &str, value: &str| {
        let mut parts = [before, after]
            .into_iter()
            .flatten()
            .flat_map(|part| part.split(name).skip(1));
        parts.any(|rest| {
            let rest = rest.trim_start_matches([' ', '\t', ':', '"', '\'']).strip_prefix(value);
            rest.is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '/'))
        })
    };
    says("kind", "Secret") && says("apiVersion", "v1")
}

/// Whether a value of that name is one not to show.
pub(crate) fn sounds_secret(name: &str) -> bool {
    // A key set may hold symmetric keys; `jwksUri` is a URL.
    if name.eq_ignore_ascii_case("jwks") {
        return true;
    }
    if NAMES_OF_SECRETS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
        return false;
    }
    SECRET_WORDS.iter().any(|word| holds(name, word))
}

/// Whether the word is anywhere in the text, in whatever case.
fn holds(text: &str, word: &str) -> bool {
    let mut parts = text.as_bytes().windows(word.len());
    parts.any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
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

/// The name that ends right before the separator.
fn name_before(line: &str, colon: usize) -> &str {
    let before = tail(line, colon, NAME_BYTES_MAX)
        .trim_end()
        .trim_end_matches(['"', '\'']);
    before
        .rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/')))
        .next()
        .unwrap_or_default()
}

/// The value that begins after the separator at `at`: to the closing quote, else to the end of the line. `${NAME}` may
/// be shown.
fn value_after(line: &str, at: usize) -> Option<Range<usize>> {
    let rest = line.get(at + 1..)?;
    let value = rest.trim_start();
    let start = at + 1 + (rest.len() - value.len());
    let bare = value.trim_end();
    if bare.is_empty() || matches!(bare, "|" | ">" | "|-" | ">-" | "{" | "[") {
        return None;
    }
    // After a blank the separator may still come, or what stands behind a value.
    if !line.get(at..)?.starts_with([':', '=']) && value.starts_with([':', '=', ',', ']', '}', '#']) {
        return None;
    }
    let end = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => closing_quote(value, quote).filter(|end| is_end(value, *end)),
        _ => None,
    };
    let end = end.unwrap_or(bare.len());
    let inner = value.get(..end).unwrap_or(value).trim_matches(['"', '\'']);
    (!is_variable(inner)).then_some(start..start + end)
}

/// Whether a quoted value that ends there is over: in a map in braces the next key may follow.
fn is_end(value: &str, end: usize) -> bool {
    let rest = value.get(end..).unwrap_or_default().trim_start();
    match rest.strip_prefix(',') {
        Some(next) => next.contains(':'),
        None => rest.is_empty() || rest.starts_with(['}', ']', '#']),
    }
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

/// Whether a `value` is of something that sounds secret by the same line or the one below: an entry of a list gives its
/// name there, or above.
fn is_beside_secret(text: &str, start: usize, line: &str) -> bool {
    let end = start.saturating_add(line.len());
    let below = text
        .get(end..)
        .unwrap_or_default()
        .lines()
        .find(|line| !line.is_empty());
    [Some(line), below].into_iter().flatten().any(sounds_secret)
}

/// Whether a line above that this one is indented under names something secret.
fn is_under_secret(text: &str, start: usize, line: &str, of_secret: bool) -> bool {
    let mut indent = indentation(line);
    for previous in lines_above(text, start) {
        if previous.trim().is_empty() || indentation(previous) >= indent {
            continue;
        }
        indent = indentation(previous);
        let is_secret = |colon: usize| {
            let name = name_before(previous, colon);
            names_secret(name, of_secret) && !names_condition(previous, colon, name)
        };
        if previous.match_indices(':').any(|(colon, _)| is_secret(colon)) {
            return true;
        }
    }
    false
}

/// Whether something that has no key of its own, however it is indented, may be the value of something secret: of the
/// nearest key above, or of a word that was to be one.
fn follows_secret(text: &str, start: usize) -> bool {
    for previous in lines_above(text, start) {
        let bare = previous.trim_start_matches([' ', '\t', '-']);
        // Whose value it is says the line above.
        if bare.starts_with("value") && !bare.starts_with("values") {
            continue;
        }
        let has_key = previous.match_indices(':').any(|(colon, _)| ends_key(previous, colon));
        if (sounds_secret(previous) || holds(previous, "jwks")) && (has_key || !previous.trim_start().starts_with('-'))
        {
            return true;
        }
        if has_key {
            return false;
        }
    }
    false
}

/// Whether the last thing above is a key without a value.
fn is_after_colon(text: &str, start: usize) -> bool {
    tail(text, start, BYTES_BACK_MAX).trim_end().ends_with(':')
}

/// The lines of the document before `start`, the nearest first.
fn lines_above(text: &str, start: usize) -> impl Iterator<Item = &str> {
    let above = tail(text, start, BYTES_BACK_MAX).lines().rev();
    above.take_while(|line| !line.starts_with("---"))
}

/// The text before `end`, at most `bytes` of it.
fn tail(text: &str, end: usize, bytes: usize) -> &str {
    let mut start = end.saturating_sub(bytes);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..end).unwrap_or_default()
}

/// The text from `start` on, at most `bytes` of it.
fn head(text: &str, start: usize, bytes: usize) -> &str {
    let mut end = start.saturating_add(bytes).min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(start..end).unwrap_or_default()
}

/// Columns before the text; an entry of a list counts as within the key that its dash stands under.
fn indentation(line: &str) -> usize {
    let text = line.trim_start();
    line.len() - text.len() + usize::from(text.starts_with("- ") || text == "-")
}

/// What follows a `#` that may begin a comment: it may say anything.
fn comment(line: &str) -> Option<Range<usize>> {
    let starts = |at: usize| {
        line.get(..at)
            .is_some_and(|before| before.ends_with(char::is_whitespace) || at == 0)
    };
    let (at, _) = line.match_indices('#').find(|(at, _)| starts(*at))?;
    let end = line.trim_end().len();
    (at + 1 < end).then_some(at + 1..end)
}

/// Letters and digits in a row that nobody would choose.
fn random_words(line: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = 0;
    for word in line.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let length = word.bytes().take_while(u8::is_ascii_alphanumeric).count();
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        if length >= RANDOM_BYTES_MIN && digits >= RANDOM_DIGITS_MIN && digits < length {
            ranges.push(start..start + length);
        }
        start += word.len();
    }
    ranges
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
