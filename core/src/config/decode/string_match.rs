//! Istio's `StringMatch`, alone and by name.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::exactly;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::field_path::FieldPath;
use crate::config::quote::quoted;
use crate::config::resource::{Spanned, StringMatch};
use crate::config::tree::{Entry, Node, Value};
use crate::text_map::TextMap;

/// A map from names to matches.
pub(super) type Named = Vec<(Spanned<String>, Spanned<StringMatch>)>;

/// The matches of a map whose keys are names of header fields, lower-cased.
pub(super) fn by_header(node: Option<&Node>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Named {
    unique_fields(node, path, diagnostics);
    let mut named = by_name(node, path, diagnostics);
    for (name, _) in &mut named {
        name.value.make_ascii_lowercase();
    }
    named
}

/// The matches of a map by its keys.
pub(super) fn by_name(node: Option<&Node>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Named {
    let entries = node.map(Node::entries).unwrap_or_default().iter();
    let named = entries.filter_map(|entry| Some((entry.key.clone(), of_entry(entry, path, diagnostics)?)));
    exactly(named)
}

/// Reports names of header fields that differ in case only.
pub(super) fn unique_fields(node: Option<&Node>, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) {
    let mut seen: TextMap<&String> = TextMap::default();
    for entry in node.map(Node::entries).unwrap_or_default() {
        let name = &entry.key.value;
        let lower = name.to_ascii_lowercase();
        let first = seen.get(&lower).copied();
        if first.is_none() {
            seen.insert(&lower, name);
        }
        // Names that are equal to the byte have been reported as equal keys.
        if first.is_some_and(|first| first != name) {
            diagnostics
                .error(
                    "duplicate-key",
                    entry.key.at,
                    format!("the header {} is given twice", quoted(&lower)),
                )
                .field(path)
                .help("header names are compared without regard to case; keep one of them");
        }
    }
}

/// The match that the field `name` of `node` holds.
pub(super) fn of_field(
    node: &Node,
    name: &str,
    path: &FieldPath<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<StringMatch>> {
    of_entry(node.entry(name)?, path, diagnostics)
}

fn of_entry(entry: &Entry, path: &FieldPath<'_>, diagnostics: &mut Diagnostics) -> Option<Spanned<StringMatch>> {
    read(&entry.value, entry.key.at, path, diagnostics)
}

/// The match that an item of a list is.
pub(super) fn of_item(
    node: &Node,
    path: &FieldPath<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<StringMatch>> {
    read(node, node.at, path, diagnostics)
}

fn read(
    node: &Node,
    key: Location,
    path: &FieldPath<'_>,
    diagnostics: &mut Diagnostics,
) -> Option<Spanned<StringMatch>> {
    let Value::Map(forms) = &node.value else {
        return None;
    };
    let at = node.at;
    let [form] = forms.as_slice() else {
        if forms.is_empty() {
            let value = StringMatch::Present;
            return Some(Spanned { value, at });
        }
        diagnostics
            .error(
                "conflicting-fields",
                key,
                "a match has more than one of `exact`, `prefix` and `regex`",
            )
            .field(path)
            .help("keep one; to match any of several values, write several matches");
        return None;
    };
    let text = form.value.text()?.into();
    let value = match form.key.value.as_str() {
        "exact" => StringMatch::Exact(text),
        "prefix" => StringMatch::Prefix(text),
        "regex" => StringMatch::Regex(text),
        _ => return None,
    };
    Some(Spanned { value, at })
}
