//! How findings say what stands in the file and what should.

use alloc::format;
use alloc::string::{String, ToString};

use crate::config::quote::quoted;
use crate::config::schema::{Body, Field, Kind, METADATA, Object, Support};
use crate::config::suggest::{did_you_mean, nearest};
use crate::config::tree::{Meaning, Node, Value};

/// What a node is, as it stands in the file.
pub(super) fn found(node: &Node) -> String {
    let scalar = match &node.value {
        Value::List(_) => return "a list".to_string(),
        Value::Map(_) => return "fields".to_string(),
        Value::Scalar(scalar) => scalar,
    };
    match scalar.meaning() {
        Meaning::Null => "nothing".to_string(),
        Meaning::Bool(_) => format!("the boolean {}", quoted(&scalar.text)),
        Meaning::Number => format!("the number {}", quoted(&scalar.text)),
        Meaning::Text if scalar.written.is_some() => scalar.shown(),
        Meaning::Text => format!("the text {}", quoted(&scalar.text)),
    }
}

/// What a node is, without its text: for keys.
pub(super) fn found_kind(node: &Node) -> &'static str {
    match &node.value {
        Value::List(_) => "a list",
        Value::Map(_) => "fields",
        Value::Scalar(scalar) => match scalar.meaning() {
            Meaning::Null => "nothing",
            Meaning::Bool(_) => "a boolean",
            Meaning::Number => "a number",
            Meaning::Text => "text",
        },
    }
}

/// The words in backticks: `a`, `b` or `c`.
pub(super) fn listed(words: &[&str]) -> String {
    let mut out = String::new();
    for (index, word) in words.iter().enumerate() {
        if index > 0 {
            out.push_str(if index + 1 == words.len() { " or " } else { ", " });
        }
        out.push('`');
        out.push_str(word);
        out.push('`');
    }
    out
}

/// A sentence of the schema as a help text.
pub(super) fn lower_first(doc: &str) -> String {
    let mut chars = doc.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let mut out: String = first.into_iter().chain(chars).collect();
    if out.ends_with('.') {
        out.pop();
    }
    out
}

/// Whether an unknown name was probably meant to be the field: one finding is enough for one slip.
pub(super) fn is_slip_for(name: &str, field: &Field, object: &Object) -> bool {
    object.field(name).is_none() && nearest(name, object.fields.iter().map(|field| field.name)) == Some(field.name)
}

/// What a field beside `spec` was probably meant to be.
pub(super) fn top_level_help(name: &str, kind: &Kind) -> Option<String> {
    let own: &[Field] = match kind.body {
        Body::Spec(spec) | Body::OptionalSpec(spec) if spec.field(name).is_some() => {
            return Some("it belongs under `spec`: indent it below `spec:`".to_string());
        }
        Body::Spec(_) | Body::OptionalSpec(_) => &[],
        Body::Fields(object) => object.fields,
    };
    if METADATA.field(name).is_some() {
        return Some("it belongs under `metadata`".to_string());
    }
    let spec: &[&str] = if own.is_empty() { &["spec", "status"] } else { &[] };
    let common = ["apiVersion", "kind", "metadata"].iter().chain(spec);
    did_you_mean(name, own.iter().map(|field| field.name).chain(common.copied()))
}

/// The nearest field, or all that there are.
pub(super) fn field_help(name: &str, object: &Object) -> Option<String> {
    if object.fields.is_empty() {
        return Some("there are no fields here: write `{}`".to_string());
    }
    did_you_mean(name, object.fields.iter().map(|field| field.name)).or_else(|| {
        let mut known = String::from("known here: ");
        let supported = object
            .fields
            .iter()
            .filter(|field| matches!(field.support, Support::Full | Support::Lockgate));
        for (index, field) in supported.enumerate() {
            if index > 0 {
                known.push_str(", ");
            }
            known.push_str(&quoted(field.name));
        }
        Some(known)
    })
}
