//! What a gateway says about itself: samples of `/metrics`, lines of the access log.

use std::collections::BTreeMap;

/// One line of `/metrics`.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The name.
    pub name: String,
    /// The labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Parses the text format of Prometheus (label values without escapes other than `\"` and `\\`).
pub fn samples(text: &str) -> Vec<Sample> {
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(sample)
        .collect()
}

fn sample(line: &str) -> Sample {
    let (series, rest) = match line.split_once('{') {
        Some((name, rest)) => {
            let (labels, rest) = rest
                .rsplit_once('}')
                .unwrap_or_else(|| panic!("no closing brace: {line}"));
            ((name, labels), rest)
        }
        None => {
            let (name, rest) = line.split_once(' ').unwrap_or_else(|| panic!("no value: {line}"));
            ((name, ""), rest)
        }
    };
    let value = rest.split_whitespace().next().and_then(|v| v.parse().ok());
    Sample {
        name: series.0.trim().to_owned(),
        labels: labels(series.1),
        value: value.unwrap_or_else(|| panic!("no number: {line}")),
    }
}

fn labels(text: &str) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once("=\"") {
        let mut value = String::new();
        let mut escaped = false;
        let mut end = after.len();
        for (at, c) in after.char_indices() {
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    end = at;
                    break;
                }
                _ => value.push(c),
            }
        }
        labels.insert(name.trim_start_matches(',').trim().to_owned(), value);
        rest = after.get(end + 1..).unwrap_or_default();
    }
    labels
}

/// The sum of the samples called `name` whose labels contain all of `labels`.
pub fn total(samples: &[Sample], name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |s: &&Sample| {
        s.name == name
            && labels
                .iter()
                .all(|(key, value)| s.labels.get(*key).is_some_and(|v| v == value))
    };
    samples.iter().filter(fits).map(|s| s.value).sum()
}

/// A field of an access-log line as text, whether it was written as a string or as a number; `-` when unknown.
pub fn field(line: &serde_json::Value, name: &str) -> String {
    match line.get(name) {
        Some(serde_json::Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => panic!("no `{name}` in the access log line {line}"),
    }
}
