//! A loaded document as it may be shown: `/config_dump` and the browser.
//!
//! What is left out of it is what the snapshot leaves out too, as far as a
//! secret allows: loaded again it means what the original means, and has the
//! same snapshot id unless it says that it [`Document::withholds`] something.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::fmt;

use serde::ser::{Serialize, Serializer};
use zeroize::Zeroize;

use super::flat::Flat;
use super::format::Format;
use super::mask::sounds_secret;
use super::resource::Spanned;
use super::schema::{KINDS, Kind, LOCKGATE, METADATA, Object, Shape};
use super::substitute::substitute;
use super::tree::{Entry, Node, Scalar, Value};
use crate::rewrite::drops_header;

/// One resource as it was written, without what must not be seen.
///
/// Serializes as the document itself: keys read `redacted`, or what is as good
/// as that where the field needs more; variables stand as `${NAME}` and not as
/// what the environment holds; `annotations` but the one that is read (kubectl
/// repeats the whole document in another), `managedFields`, `status` and all
/// that is never read are gone.
#[derive(Clone)]
pub struct Document {
    /// `kind`.
    pub kind: &'static str,
    /// `metadata.namespace`, `default` when absent.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// Which of the files it stands in, from 1 in the order in which they are loaded.
    pub file: u32,
    /// Index of the source that it stands in.
    pub(crate) source: u32,
    /// The variables that it is written with.
    pub variables: Vec<Variable>,
    /// Whether a value is hidden that the snapshot has: what a credential in a header field must be for a rule to match.
    pub withholds: bool,
    body: Flat,
}

/// `${NAME}` in a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What is as good as its value, where that is a secret; `None` where it is no secret.
    pub stand_in: Option<&'static str>,
}

const DRY_RUN: &str = "istio.io/dry-run";

impl Document {
    /// Takes the checked document over and removes what must not be seen.
    pub(crate) fn new(kind: &Kind, namespace: String, name: String, file: u32, mut body: Node) -> Self {
        let redaction = redact_document(&mut body, kind);
        Self {
            kind: kind.name,
            namespace,
            name,
            file,
            source: body.at.source,
            variables: redaction.variables,
            withholds: redaction.withholds,
            body: Flat::of(&body),
        }
    }

    /// The same of a MeshConfig that is no resource: as the resource that says the same.
    pub(crate) fn of_mesh_config(spec: Node, namespace: &str, file: u32) -> Option<Self> {
        let kind = KINDS.iter().find(|kind| kind.name == "MeshConfig")?;
        let at = spec.at;
        let text = |text: &str| Node {
            at,
            value: Value::Scalar(Scalar {
                text: text.to_owned(),
                plain: false,
                written: None,
            }),
        };
        let entry = |key: &str, value| Entry {
            key: Spanned {
                value: key.to_owned(),
                at,
            },
            value,
        };
        let map = |entries: Vec<Entry>| Node {
            at,
            value: Value::Map(entries),
        };
        let metadata = map(Vec::from([
            entry("name", text("istio")),
            entry("namespace", text(namespace)),
        ]));
        let body = map(Vec::from([
            entry("apiVersion", text(&[LOCKGATE, "/v1"].concat())),
            entry("kind", text(kind.name)),
            entry("metadata", metadata),
            entry("spec", spec),
        ]));
        Some(Self::new(kind, namespace.to_owned(), "istio".to_owned(), file, body))
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
pub(crate) fn redact_document(body: &mut Node, kind: &Kind) -> Redaction {
    let mut redaction = Redaction::default();
    if let Value::Map(entries) = &mut body.value {
        entries.retain(|entry| entry.key.value != "status");
        for entry in entries {
            match entry.key.value.as_str() {
                "metadata" => redaction.metadata(&mut entry.value),
                name => {
                    if let Some(shape) = kind.field(name) {
                        redaction.node(&mut entry.value, &shape, Whose::Anybody);
                    }
                }
            }
        }
    }
    redaction
}

/// What was met while a document was redacted.
#[derive(Default)]
pub(crate) struct Redaction {
    variables: Vec<Variable>,
    withholds: bool,
}

/// What the field is named after that a value belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Anybody,
    /// A header field or parameter whose name says that a credential is in it.
    Credential,
}

impl Redaction {
    fn metadata(&mut self, node: &mut Node) {
        let Value::Map(fields) = &mut node.value else { return };
        let kept = fields.iter().find(|field| field.key.value == "annotations").cloned();
        let kept = kept.and_then(|mut annotations| {
            let Value::Map(entries) = &mut annotations.value.value else {
                return None;
            };
            entries.retain(|entry| entry.key.value == DRY_RUN && is_truth(&entry.value));
            (!entries.is_empty()).then_some(annotations)
        });
        self.object(node, &METADATA, Whose::Anybody);
        if let Value::Map(fields) = &mut node.value {
            fields.retain(|field| field.key.value != "annotations");
            fields.extend(kept);
        }
    }

    fn object(&mut self, node: &mut Node, object: &Object, whose: Whose) {
        let Value::Map(entries) = &mut node.value else {
            return;
        };
        let is_value = |entry: &Entry| matches!(entry.key.value.as_str(), "value" | "values" | "notValues");
        let is_named = entries.iter().any(is_value)
            && entries.iter().any(|entry| match entry.key.value.as_str() {
                "name" => entry.value.text().is_some_and(may_be_credential),
                "key" => entry.value.text().is_some_and(compares_credential),
                _ => false,
            });
        entries.retain_mut(|entry| {
            // What is never read may be anything, also a key.
            let shape = object.field(&entry.key.value).map(|field| &field.shape);
            let Some(shape) = shape.filter(|shape| !matches!(shape, Shape::Any)) else {
                return false;
            };
            let whose = match is_named && is_value(entry) {
                true => Whose::Credential,
                false => whose,
            };
            self.node(&mut entry.value, shape, whose);
            true
        });
    }

    fn map(&mut self, entries: &mut [Entry], key: Format, value: &Shape, whose: Whose) {
        // Of other keys, as those of labels, the name says nothing.
        let names_field = matches!(
            key,
            Format::MatchedHeader
                | Format::LlmHeader
                | Format::HeaderChange
                | Format::RequestHeaderChange
                | Format::FieldName
        ) || matches!(value, Shape::Object(_)) && key == Format::NonEmpty && is_string_match(value);
        for entry in entries {
            let whose = match names_field && may_be_credential(&entry.key.value) {
                true => Whose::Credential,
                false => whose,
            };
            self.node(&mut entry.value, value, whose);
        }
    }

    fn node(&mut self, node: &mut Node, shape: &Shape, whose: Whose) {
        match (shape, &mut node.value) {
            (Shape::Text(format), Value::Scalar(scalar)) => match (stand_in(*format), whose) {
                (Some(Hidden::Always(stand_in)), _) => self.hide(scalar, stand_in),
                (Some(Hidden::Credentials), Whose::Credential) => self.hide(scalar, REDACTED),
                (None, Whose::Credential) => {
                    self.withholds = true;
                    self.hide(scalar, REDACTED);
                }
                (Some(Hidden::Credentials) | None, Whose::Anybody) => self.show(scalar),
            },
            (Shape::Object(object), _) => self.object(node, object, whose),
            (Shape::List { item, .. }, Value::List(items)) => {
                items.iter_mut().for_each(|node| self.node(node, item, whose));
            }
            (Shape::Map { key, value }, Value::Map(entries)) => self.map(entries, *key, value, whose),
            (_, Value::Scalar(scalar)) => self.show(scalar),
            _ => {}
        }
    }

    /// Leaves of a secret at most the variable that it comes from.
    fn hide(&mut self, scalar: &mut Scalar, stand_in: &'static str) {
        scalar.text.zeroize();
        scalar.plain = false;
        if let Some(written) = scalar.written.as_deref().filter(|written| is_one_variable(written)) {
            self.variables_of(written, Some(stand_in));
        } else {
            if let Some(written) = &scalar.written {
                self.variables_of(&written.clone(), Some(stand_in));
            }
            scalar.written.zeroize();
            scalar.written = None;
            scalar.text.push_str(stand_in);
        }
    }

    fn show(&mut self, scalar: &Scalar) {
        if let Some(written) = &scalar.written {
            self.variables_of(written, None);
        }
    }

    fn variables_of(&mut self, written: &str, stand_in: Option<&'static str>) {
        let names = RefCell::new(Vec::new());
        let note = |name: &str| {
            names.borrow_mut().push(name.to_owned());
            Some(String::new())
        };
        substitute(written, &note, |_| {});
        let names = names.into_inner().into_iter();
        self.variables.extend(names.map(|name| Variable { name, stand_in }));
    }
}

const REDACTED: &str = "redacted";

/// When a text of some format is hidden.
enum Hidden {
    /// Always, and this is as good.
    Always(&'static str),
    /// Where it may be a credential: then it is no part of the snapshot, and otherwise it is, and `explain` shows it.
    Credentials,
}

fn stand_in(format: Format) -> Option<Hidden> {
    match format {
        Format::KeySet => Some(Hidden::Always(r#"{"keys":[{"kty":"redacted"}]}"#)),
        Format::HiddenBase64 => Some(Hidden::Always("cmVkYWN0ZWQ=")),
        Format::ChangedValue | Format::ModifiedValue => Some(Hidden::Credentials),
        format if format.is_hidden() => Some(Hidden::Always(REDACTED)),
        _ => None,
    }
}

/// Whether a header field or parameter of that name may hold a credential.
fn may_be_credential(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.starts_with('@') && (drops_header(&name) || sounds_secret(&name))
}

/// The same of what the `key` of a condition names.
fn compares_credential(key: &str) -> bool {
    let name = key
        .strip_prefix("request.headers[")
        .and_then(|rest| rest.strip_suffix(']'));
    name.is_some_and(may_be_credential)
}

/// Whether the values of a map are compared with what a request has.
fn is_string_match(value: &Shape) -> bool {
    matches!(value, Shape::Object(object) if object.field("exact").is_some())
}

fn is_truth(node: &Node) -> bool {
    node.scalar().is_some_and(|scalar| {
        matches!(
            scalar.text.to_ascii_lowercase().as_str(),
            "true" | "false" | "t" | "f" | "1" | "0"
        )
    })
}

/// `${NAME}` and nothing else.
fn is_one_variable(written: &str) -> bool {
    written.starts_with("${") && written.find('}') == Some(written.len() - 1)
}
