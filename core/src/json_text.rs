//! A text as a JSON string (RFC 8259 §7), in the shortest form.

use alloc::format;
use alloc::string::String;

/// The text in quotes, escaped.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::new();
    write_json_text(text, &mut out);
    out
}

/// Appends the same to `out`.
pub(crate) fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\0'..=' ' if c != ' ' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            _ => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::json_text;

    #[test]
    fn every_text_is_read_back() {
        for text in ["qwen", "a\"b", "back\\slash", "line\nbreak", "\u{1}", "\u{e9}\u{1f600}"] {
            assert_eq!(
                serde_json::from_str::<std::string::String>(&json_text(text)).unwrap(),
                text
            );
        }
    }
}
