//! The strict check of one document against its declared shape.
//!
//! It walks the whole tree and goes on after each finding. Variables are
//! replaced on the way, in the scalars that the shape says are read; what it
//! leaves behind is a tree that [`super::decode`] can read without a second
//! opinion. An environment's value is never quoted, only the `${NAME}`.

mod variables;
mod wording;

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};

use super::diagnostic::{Diagnostic, Diagnostics, Location, Source};
use super::field_path::FieldPath;
use super::format::{Fault, Format};
use super::mask::is_masked;
use super::quote::{REDACTED, quoted};
use super::schema::{Body, CONFIG_MAP_DATA, Enumeration, Field, Kind, MESH_CONFIG, METADATA, Object, Shape, Support};
use super::substitute::{looks_unexpanded, substitute};
use super::suggest::nearest;
use super::tree::{Entry, Meaning, Node, Scalar, Value};
use variables::{place_within, report_variable};
use wording::{field_help, found, found_kind, is_slip_for, listed, lower_first, top_level_help};

/// What the check of one document needs.
pub(crate) struct Checker<'c> {
    pub(crate) sources: &'c [Source],
    pub(crate) env: &'c dyn Fn(&str) -> Option<String>,
    pub(crate) diagnostics: &'c mut Diagnostics,
    /// Whether the document is of `lockgate.dev` and may use its fields.
    pub(crate) is_lockgate: bool,
    /// Whether variables have become part of the document's text, so that nothing of it may be quoted.
    pub(crate) holds_variables: bool,
}

/// A node's place in the walk.
#[derive(Clone, Copy)]
struct Here<'p> {
    path: &'p FieldPath<'p>,
    /// What to point at when the node itself is not there: its key, or the item.
    key: Location,
}

impl Checker<'_> {
    /// Checks a document of a decoded kind.
    pub(crate) fn document(&mut self, document: &mut Node, kind: &Kind) {
        let whole = document.at;
        let Value::Map(entries) = &mut document.value else {
            return;
        };
        let mut kind_at = whole;
        let (mut has_metadata, mut has_spec) = (false, false);
        for entry in entries.iter_mut() {
            let path = FieldPath::Root.field(&entry.key.value);
            let here = Here {
                path: &path,
                key: entry.key.at,
            };
            match entry.key.value.as_str() {
                "apiVersion" | "status" => {}
                "kind" => kind_at = entry.value.at,
                "metadata" => {
                    has_metadata = true;
                    drop_nulls(&mut entry.value);
                    self.object(&mut entry.value, &METADATA, here);
                }
                name => match kind.field(name) {
                    Some(shape) => {
                        has_spec |= name == "spec";
                        self.value(&mut entry.value, &shape, here);
                    }
                    None => {
                        let help = top_level_help(name, kind);
                        self.unknown_field(entry, here.path, help);
                    }
                },
            }
        }
        let root = FieldPath::Root;
        let here = Here {
            path: &root,
            key: kind_at,
        };
        if !has_metadata {
            self.missing("metadata", "It holds the `name`.", here);
        }
        if !has_spec && matches!(kind.body, Body::Spec(_)) {
            self.missing("spec", kind.doc, here);
        }
    }

    /// Checks a MeshConfig that stands by itself, or at `path` within a ConfigMap.
    pub(crate) fn mesh_config(&mut self, node: &mut Node, path: &FieldPath<'_>) {
        let here = Here { path, key: node.at };
        self.object(node, &MESH_CONFIG, here);
    }

    /// Checks `data` of the ConfigMap that holds a MeshConfig.
    pub(crate) fn config_map_data(&mut self, data: &mut Node, path: &FieldPath<'_>) {
        let here = Here { path, key: data.at };
        self.object(data, &CONFIG_MAP_DATA, here);
    }

    fn supports(&self, field: &Field) -> bool {
        match field.support {
            Support::Full => true,
            Support::Lockgate => self.is_lockgate,
            Support::NotYet | Support::LockgateNotYet => false,
        }
    }

    fn value(&mut self, node: &mut Node, shape: &Shape, here: Here<'_>) {
        if matches!(shape, Shape::Any) {
            return;
        }
        if node.is_null() {
            self.error("null-value", here.key, here, "has no value")
                .help("give it a value, or remove it");
            return;
        }
        match shape {
            Shape::Any => {}
            Shape::Text(format) => self.text(node, *format, here),
            Shape::Bool => self.bool(node, here),
            Shape::Integer { min, max } => self.integer(node, *min, *max, here),
            Shape::Percent => self.percent(node, here),
            Shape::PolicyPort => self.port(node, 0, here),
            Shape::ServicePort => self.port(node, 1, here),
            Shape::Enum(words) => self.word(node, words, here),
            Shape::Object(object) => self.object(node, object, here),
            Shape::List { item, min } => self.list(node, item, *min, here),
            Shape::Map { key, value } => self.map(node, *key, value, here),
        }
    }

    fn object(&mut self, node: &mut Node, object: &Object, here: Here<'_>) {
        let at = node.at;
        let Value::Map(entries) = &mut node.value else {
            return self.wrong_type(node, "fields (`name: value`)", here);
        };
        if object.not_empty && entries.is_empty() {
            self.error("empty-object", at, here, "is empty")
                .help("give it at least one field; Istio refuses an empty one too");
        }
        for entry in entries.iter_mut() {
            let path = here.path.field(&entry.key.value);
            let inner = Here {
                path: &path,
                key: entry.key.at,
            };
            match object.field(&entry.key.value) {
                None => {
                    let help = field_help(&entry.key.value, object);
                    self.unknown_field(entry, inner.path, help);
                }
                Some(field) if !self.supports(field) => self.unsupported_field(field, inner),
                Some(field) => self.value(&mut entry.value, &field.shape, inner),
            }
        }
        for field in object.fields.iter().filter(|field| field.required) {
            let given = |entry: &Entry| entry.key.value == field.name || is_slip_for(&entry.key.value, field, object);
            if !entries.iter().any(given) {
                self.missing(field.name, field.doc, here);
            }
        }
    }

    fn list(&mut self, node: &mut Node, item: &Shape, min: usize, here: Here<'_>) {
        let at = node.at;
        let Value::List(items) = &mut node.value else {
            return self.wrong_type(node, "a list", here);
        };
        if items.len() < min {
            self.error("empty-list", at, here, "is an empty list")
                .help("give it at least one entry, or remove it");
        }
        for (index, node) in items.iter_mut().enumerate() {
            let path = here.path.index(index);
            let inner = Here {
                path: &path,
                key: node.at,
            };
            self.value(node, item, inner);
        }
    }

    fn map(&mut self, node: &mut Node, key: Format, value: &Shape, here: Here<'_>) {
        let Value::Map(entries) = &mut node.value else {
            return self.wrong_type(node, "fields (`name: value`)", here);
        };
        for entry in entries {
            let path = here.path.field(&entry.key.value);
            let mut inner = Here {
                path: &path,
                key: entry.key.at,
            };
            let fault = key.check(&entry.key.value).err();
            if fault.is_some() || entry.value.is_null() {
                let shown = self.quoted_key(entry);
                if shown == REDACTED {
                    inner.path = here.path;
                }
                if let Some(fault) = fault {
                    self.fault(fault, entry.key.at, &shown, inner);
                }
            }
            self.value(&mut entry.value, value, inner);
        }
    }

    fn text(&mut self, node: &mut Node, format: Format, here: Here<'_>) {
        let at = node.at;
        match &mut node.value {
            Value::Scalar(scalar) if scalar.meaning() == Meaning::Text => {
                if !self.replace_variables(scalar, at, here) {
                    return;
                }
                if let Err(fault) = format.check(&scalar.text) {
                    let shown = self.shown_of(scalar, at, format, here);
                    return self.fault(fault, at, &shown, here);
                }
                self.lint(scalar, format, at, here);
            }
            _ if format.is_hidden() => self.wrong_type_found(node, "text in quotes", found_kind(node), here),
            _ if matches!(format, Format::Duration | Format::GatewayDuration) => {
                self.wrong_type(node, "a time with its unit, such as `10s`", here);
            }
            _ => self.wrong_type(node, "text", here),
        }
    }

    fn lint(&mut self, scalar: &Scalar, format: Format, at: Location, here: Here<'_>) {
        if scalar.written.is_none() {
            if let Some(name) = looks_unexpanded(&scalar.text) {
                let shown = self.shown_of(scalar, at, format, here);
                let help = format!(
                    "write {} to have it replaced from the environment",
                    quoted(&format!("${{{name}}}"))
                );
                self.warning(
                    "unexpanded-variable",
                    at,
                    here,
                    format!("{shown} looks like a variable, but is taken as it stands"),
                )
                .help(help);
            } else if format == Format::Secret {
                self.warning("inline-secret", at, here, "the key stands in the file itself")
                    .help("write `${NAME}` and set the variable, so that the file can be shared");
            }
        }
        if let Some(fault) = format.lint(&scalar.text) {
            let shown = self.shown_of(scalar, at, format, here);
            let is_redacted = shown == REDACTED;
            let finding = self.warning(fault.code, at, here, format!("{shown} {}", fault.reason));
            if let Some(help) = fault.help.filter(|_| !is_redacted) {
                finding.help(help);
            }
        }
    }

    fn bool(&mut self, node: &mut Node, here: Here<'_>) {
        let at = node.at;
        if let Value::Scalar(scalar) = &mut node.value
            && (!self.replace_variables(scalar, at, here) || scalar.as_bool().is_some())
        {
            return;
        }
        self.wrong_type(node, "`true` or `false`", here);
    }

    fn percent(&mut self, node: &mut Node, here: Here<'_>) {
        let at = node.at;
        if let Value::Scalar(scalar) = &mut node.value
            && (!self.replace_variables(scalar, at, here) || scalar.as_percent().is_some())
        {
            return;
        }
        self.wrong_type(node, "a number from 0 to 100", here);
    }

    fn integer(&mut self, node: &mut Node, min: i64, max: i64, here: Here<'_>) {
        let at = node.at;
        if let Value::Scalar(scalar) = &mut node.value {
            if !self.replace_variables(scalar, at, here) {
                return;
            }
            if let Some(number) = scalar.as_integer() {
                if !(min..=max).contains(&number) {
                    let shown = self.shown(scalar, at);
                    self.out_of_range(at, &shown, min, max, here);
                }
                return;
            }
        }
        self.wrong_type(node, "a whole number", here);
    }

    /// A port from `min`, as a number or as text.
    fn port(&mut self, node: &mut Node, min: i64, here: Here<'_>) {
        const MAX: i64 = 65_535;
        let at = node.at;
        if let Value::Scalar(scalar) = &mut node.value {
            if !self.replace_variables(scalar, at, here) {
                return;
            }
            let digits = Scalar {
                plain: true,
                ..scalar.clone()
            };
            if let Some(number) = digits.as_integer() {
                if !(min..=MAX).contains(&number) {
                    let shown = self.shown(scalar, at);
                    self.out_of_range(at, &shown, min, MAX, here);
                }
                return;
            }
        }
        self.wrong_type(node, "a port number", here);
    }

    fn word(&mut self, node: &mut Node, words: &Enumeration, here: Here<'_>) {
        let at = node.at;
        let Value::Scalar(scalar) = &mut node.value else {
            return self.wrong_type(node, &format!("one of {}", listed(words.values)), here);
        };
        if !self.replace_variables(scalar, at, here) {
            return;
        }
        let is = |word: &&&str| **word == scalar.text || (words.ignore_case && word.eq_ignore_ascii_case(&scalar.text));
        if words.values.iter().any(|word| is(&word)) {
            return;
        }
        let shown = self.shown(scalar, at);
        let allowed = format!("use {}", listed(words.values));
        if words.not_yet.iter().any(|word| is(&word)) {
            self.error_text(
                "unsupported-value",
                at,
                here,
                format!("{shown} is not supported yet for `{}`", here.path.name()),
            )
            .help(allowed);
            return;
        }
        let all = words.values.iter().chain(words.not_yet).copied();
        let help = match nearest(&scalar.text, all) {
            Some(word) => format!("did you mean `{word}`? {allowed}"),
            None => allowed,
        };
        self.error_text(
            "unknown-value",
            at,
            here,
            format!("{shown} is not a value of `{}`", here.path.name()),
        )
        .help(help);
    }

    /// Replaces variables. `false` if that failed, which has been reported.
    fn replace_variables(&mut self, scalar: &mut Scalar, at: Location, here: Here<'_>) -> bool {
        let mut complete = true;
        let mut from = 0;
        let Self {
            sources,
            env,
            diagnostics,
            ..
        } = self;
        let replaced = substitute(&scalar.text, *env, |problem| {
            complete = false;
            let written = problem.written();
            let place = place_within(sources, at, &written, &mut from);
            let hidden = diagnostics.is_full() || is_masked_at(sources, place);
            report_variable(diagnostics, &problem, &written, hidden, place).field(here.path.to_string());
        });
        if let Some(replaced) = replaced {
            scalar.written = Some(core::mem::replace(&mut scalar.text, replaced));
        }
        complete
    }

    fn fault(&mut self, fault: Fault, at: Location, shown: &str, here: Here<'_>) {
        // What is said of a text may repeat it.
        let (reason, help) = match fault.reason {
            Cow::Owned(_) if shown == REDACTED => ("is not right here".into(), None),
            reason => (reason, fault.help.filter(|_| shown != REDACTED)),
        };
        let finding = if fault.code == "empty-text" && shown == "``" {
            self.error(fault.code, at, here, &reason)
        } else {
            self.error_text(fault.code, at, here, format!("{shown} {reason}"))
        };
        if let Some(help) = help {
            finding.help(help);
        }
    }

    /// Whether no message may quote what stands there.
    fn hides(&self, at: Location) -> bool {
        // Of findings that are only counted nobody sees the text.
        self.holds_variables || self.diagnostics.is_full() || is_masked_at(self.sources, at)
    }

    fn quoted(&self, text: &str, at: Location) -> String {
        match self.hides(at) {
            true => REDACTED.to_string(),
            false => quoted(text),
        }
    }

    /// A key without a value may be a value without its key, and one of two words may be both.
    fn quoted_key(&self, entry: &Entry) -> String {
        match entry.value.is_null() || entry.key.value.contains([' ', ':', '=']) {
            true => self.quoted(&entry.key.value, entry.key.at),
            false => quoted(&entry.key.value),
        }
    }

    /// A scalar as a message shows it: as it stands in the file, never what the environment holds.
    fn shown(&self, scalar: &Scalar, at: Location) -> String {
        match &scalar.written {
            Some(written) => format!("the value of {}", self.quoted(written, at)),
            None => self.quoted(&scalar.text, at),
        }
    }

    /// The same of a text; one that is secret, by its field.
    fn shown_of(&self, scalar: &Scalar, at: Location, format: Format, here: Here<'_>) -> String {
        match format {
            // It sounds secret only to those who do not know the field.
            Format::ConditionKey => scalar.shown(),
            _ if format.is_hidden() => format!("the value of `{}`", here.path.name()),
            _ => self.shown(scalar, at),
        }
    }

    fn out_of_range(&mut self, at: Location, shown: &str, min: i64, max: i64, here: Here<'_>) {
        self.error_text(
            "out-of-range",
            at,
            here,
            format!("{shown} is out of range for `{}`", here.path.name()),
        )
        .help(format!("use a number from {min} to {max}"));
    }

    fn wrong_type(&mut self, node: &Node, needed: &str, here: Here<'_>) {
        match self.hides(node.at) || lacks_blank(node, needed) {
            true => self.wrong_type_found(node, needed, found_kind(node), here),
            false => self.wrong_type_found(node, needed, &found(node), here),
        }
    }

    fn wrong_type_found(&mut self, node: &Node, needed: &str, found: &str, here: Here<'_>) {
        let is_number_or_bool = node
            .scalar()
            .is_some_and(|scalar| matches!(scalar.meaning(), Meaning::Number | Meaning::Bool(_)));
        let is_text = node.text().is_some();
        let finding = self.error("wrong-type", node.at, here, &format!("needs {needed}, found {found}"));
        if needed.starts_with("text") && is_number_or_bool {
            finding.help("put the value in quotes");
        } else if needed == "a list" {
            finding.help("begin each entry with `- `");
        } else if lacks_blank(node, needed) {
            finding.help("write `name: value`, with a blank after the `:`");
        } else if needed == "a whole number" && (is_text || is_number_or_bool) {
            finding.help("write it in decimal digits, without quotes, fraction or leading zeros");
        }
    }

    fn missing(&mut self, name: &str, doc: &str, here: Here<'_>) {
        let path = here.path.field(name);
        self.diagnostics
            .error("missing-field", here.key, format!("the field `{name}` is missing"))
            .field(path.to_string())
            .help(lower_first(doc));
    }

    fn unknown_field(&mut self, entry: &Entry, path: &FieldPath<'_>, help: Option<String>) {
        let shown = self.quoted_key(entry);
        let path = match path {
            FieldPath::Field(parent, _) if shown == REDACTED => parent,
            path => path,
        };
        let finding = self
            .diagnostics
            .error("unknown-field", entry.key.at, format!("unknown field {shown}"))
            .field(path.to_string());
        if let Some(help) = help {
            finding.help(help);
        }
    }

    fn unsupported_field(&mut self, field: &Field, here: Here<'_>) {
        let name = field.name;
        if matches!(field.support, Support::Lockgate | Support::LockgateNotYet) && !self.is_lockgate {
            self.error_text(
                "lockgate-field",
                here.key,
                here,
                format!("`{name}` is a field of Lockgate's own"),
            )
            .help("it belongs under `apiVersion: lockgate.dev/v1`");
        } else {
            self.error_text(
                "unsupported-field",
                here.key,
                here,
                format!("`{name}` is not supported yet"),
            )
            .help("it is refused rather than ignored, because leaving it out would change what the resource means");
        }
    }

    /// An error about the node of `here`, whose name begins the message.
    fn error(&mut self, code: &'static str, at: Location, here: Here<'_>, about: &str) -> &mut Diagnostic {
        let subject = match here.path {
            FieldPath::Index(..) => format!("an entry of `{}`", here.path.name()),
            _ => quoted(here.path.name()),
        };
        self.error_text(code, at, here, format!("{subject} {about}"))
    }

    fn error_text(&mut self, code: &'static str, at: Location, here: Here<'_>, message: String) -> &mut Diagnostic {
        self.diagnostics.error(code, at, message).field(here.path.to_string())
    }

    fn warning(
        &mut self,
        code: &'static str,
        at: Location,
        here: Here<'_>,
        message: impl Into<String>,
    ) -> &mut Diagnostic {
        self.diagnostics.warning(code, at, message).field(here.path.to_string())
    }
}

/// Whether a text is probably a field whose name nothing separates from its value.
fn lacks_blank(node: &Node, needed: &str) -> bool {
    needed.starts_with("fields") && node.text().is_some_and(|text| text.contains([':', '=']))
}

fn is_masked_at(sources: &[Source], at: Location) -> bool {
    at.source(sources).is_some_and(|source| is_masked(&source.text, at))
}

/// Tools write `creationTimestamp: null` into metadata; it means that the field is absent.
fn drop_nulls(metadata: &mut Node) {
    if let Value::Map(entries) = &mut metadata.value {
        entries.retain(|entry| !entry.value.is_null() || entry.key.value == "name");
    }
}
