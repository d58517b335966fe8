//! A loaded document as it may be shown: `/config_dump` and the browser.

use alloc::string::String;
use core::fmt;

use serde::ser::{Serialize, Serializer};
use zeroize::Zeroize;

use super::diagnostic::Location;
use super::flat::Flat;
use super::schema::{Kind, Object, Shape};
use super::tree::{Node, Value};

/// One resource as it was written, without what must not be seen.
///
/// Serializes as the document itself: keys read «redacted», variables stand as
/// `${NAME}` and not as what the environment holds, and `annotations` (where
/// kubectl repeats the whole document), `managedFields` and `status` are gone.
#[derive(Clone)]
pub struct Document {
    /// `kind`.
    pub kind: &'static str,
    /// `metadata.namespace`, `default` when absent.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Where it stands.
    pub at: Location,
    body: Flat,
}

impl Document {
    /// Takes the checked document over and removes what must not be seen.
    pub(crate) fn new(kind: &Kind, namespace: String, name: String, mut body: Node) -> Self {
        redact_document(&mut body, kind);
        Self {
            kind: kind.name,
            namespace,
            name,
            at: body.at,
            body: Flat::of(&body),
        }
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} {}/{})", self.kind, self.namespace, self.name)
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body.serialize(serializer)
    }
}

/// Overwrites keys, and drops what may repeat them.
pub(crate) fn redact_document(body: &mut Node, kind: &Kind) {
    let Value::Map(entries) = &mut body.value else {
        return;
    };
    entries.retain(|entry| entry.key.value != "status");
    for entry in entries {
        match entry.key.value.as_str() {
            "metadata" => {
                if let Value::Map(fields) = &mut entry.value.value {
                    fields.retain(|field| !matches!(field.key.value.as_str(), "annotations" | "managedFields"));
                }
            }
            name => {
                if let Some(shape) = kind.field(name) {
                    redact(&mut entry.value, &shape);
                }
            }
        }
    }
}

fn redact_object(node: &mut Node, object: &Object) {
    let Value::Map(entries) = &mut node.value else {
        return;
    };
    for entry in entries {
        if let Some(field) = object.field(&entry.key.value) {
            redact(&mut entry.value, &field.shape);
        }
    }
}

fn redact(node: &mut Node, shape: &Shape) {
    match (shape, &mut node.value) {
        (Shape::Text(format), Value::Scalar(scalar)) if format.is_hidden() => {
            scalar.text.zeroize();
            scalar.plain = false;
            if !scalar.written.as_deref().is_some_and(is_one_variable) {
                scalar.written.zeroize();
                scalar.text.push_str("«redacted»");
            }
        }
        (Shape::Object(object), _) => redact_object(node, object),
        (Shape::List { item, .. }, Value::List(items)) => items.iter_mut().for_each(|node| redact(node, item)),
        (Shape::Map { value, .. }, Value::Map(entries)) => {
            entries.iter_mut().for_each(|entry| redact(&mut entry.value, value));
        }
        _ => {}
    }
}

/// `${NAME}` and nothing else.
fn is_one_variable(written: &str) -> bool {
    written.starts_with("${") && written.find('}') == Some(written.len() - 1)
}
