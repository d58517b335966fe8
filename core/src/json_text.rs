//! A text as a JSON string (RFC 8259 §7), in the shortest form, and objects of such members.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

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

/// An object of values, which are JSON, with the names of the objects around each and its own, the first `depth` of which
/// are the same; sorted by them. `None` when one is both a value and an object.
pub(crate) fn json_object(values: &[(Vec<&str>, String)], depth: usize) -> Option<String> {
    let mut out = String::from("{");
    for same in values.chunk_by(|(a, _), (b, _)| a.get(depth) == b.get(depth)) {
        let (path, value) = same.first()?;
        if out.len() > 1 {
            out.push(',');
        }
        write_json_text(path.get(depth)?, &mut out);
        out.push(':');
        let deeper = depth.saturating_add(1);
        match same {
            [_] if path.len() == deeper => out += value,
            _ => out += &json_object(same, deeper)?,
        }
    }
    out.push('}');
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_is_read_back() {
        for text in ["qwen", "a\"b", "back\\slash", "line\nbreak", "\u{1}", "\u{e9}\u{1f600}"] {
            assert_eq!(serde_json::from_str::<String>(&json_text(text)).unwrap(), text);
        }
    }

    #[test]
    fn an_object_has_each_value_where_its_names_lead() {
        let object = |values: &[&[&str]]| {
            let values: Vec<_> = values.iter().map(|names| (names.to_vec(), "1".into())).collect();
            json_object(&values, 0)
        };
        assert_eq!(object(&[]).as_deref(), Some("{}"));
        assert_eq!(
            object(&[&["a", "b"], &["a", "c", "d"], &["e\""]]).as_deref(),
            Some(r#"{"a":{"b":1,"c":{"d":1}},"e\"":1}"#)
        );
        assert_eq!(object(&[&["a"], &["a", "b"]]), None);
    }
}
