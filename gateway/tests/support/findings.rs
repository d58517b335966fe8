//! What `check -o json` found.

use serde_json::Value;

/// All findings in an output of `check -o json`, wherever they stand in it.
pub fn findings(output: &Value) -> Vec<Value> {
    let mut found = Vec::new();
    collect(output, &mut found);
    found
}

fn collect(value: &Value, found: &mut Vec<Value>) {
    match value {
        Value::Object(fields) if fields.contains_key("severity") => found.push(value.clone()),
        Value::Object(fields) => fields.values().for_each(|value| collect(value, found)),
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

/// The first `file:line:column` of `file` in a text, as numbers; panics when there is none.
pub fn place(text: &str, file: &str) -> (u32, u32) {
    places(text, file)
        .first()
        .copied()
        .unwrap_or_else(|| panic!("no `{file}:LINE:COLUMN` in:\n{text}"))
}

/// Every `file:line:column` of `file` in a text, as numbers.
pub fn places(text: &str, file: &str) -> Vec<(u32, u32)> {
    text.split(file)
        .skip(1)
        .filter_map(|after| {
            let mut numbers = after.strip_prefix(':')?.splitn(3, ':');
            let line = numbers.next()?.parse().ok()?;
            let column: String = numbers.next()?.chars().take_while(char::is_ascii_digit).collect();
            Some((line, column.parse().ok()?))
        })
        .collect()
}
