//! The declared shapes as one JSON Schema (draft 2020-12), for editors.
//!
//! Made from the same declarations as the strict check, and never stricter: what
//! the loader takes, an editor must not underline, also kinds that are somebody
//! else's. `${NAME}` may stand for any value; checks across fields are the
//! loader's alone.

use alloc::format;
use alloc::string::String;

use super::envelope::api_version;
use super::format::Format;
use super::schema::{
    Body, CONFIG_MAP_DATA, CORE, Enumeration, Field, GATEWAY_API, KINDS, KNOWN_UNSUPPORTED, Kind, LOCKGATE, METADATA,
    Object, Shape, Support,
};

/// The schema of every kind, chosen by `kind`, as JSON text.
#[must_use]
pub fn json_schema() -> String {
    let mut kinds = Members::default();
    let mut chosen = Items::default();
    let mut names = Items::default();
    let mut names_of_groups = Items::default();
    for kind in &KINDS {
        let is_first = KINDS
            .iter()
            .find(|other| other.name == kind.name)
            .is_none_or(|first| first.group == kind.group);
        let definition = match is_first {
            true => String::from(kind.name),
            false => format!("{}.{}", kind.name, kind.group),
        };
        kinds.add(&definition, &resource(kind));
        if is_first {
            names.add(&string(kind.name));
            if kind.group != CORE {
                names_of_groups.add(&string(kind.name));
            }
        }
        let condition = format!(
            r#"{{"properties":{{{}"kind":{{"const":{}}}}},"required":["kind"]}}"#,
            api_version_of(kind),
            string(kind.name)
        );
        let reference = string(&format!("#/$defs/{definition}"));
        chosen.add(&format!(r#"{{"if":{condition},"then":{{"$ref":{reference}}}}}"#));
    }
    kinds.add("List", LIST);
    kinds.add("ConfigMap", &config_map());
    kinds.add("variable", VARIABLE);
    for name in ["List", "ConfigMap"] {
        names.add(&string(name));
        chosen.add(&format!(
            r##"{{"if":{{"properties":{{"apiVersion":{{"const":"v1"}},"kind":{{"const":"{name}"}}}},"required":["kind"]}},"then":{{"$ref":"#/$defs/{name}"}}}}"##
        ));
    }
    chosen.add(&format!(
        r#"{{"if":{{"properties":{{"apiVersion":{{"pattern":{}}}}},"required":["apiVersion"]}},"then":{{"properties":{{"kind":{{"enum":{}}}}}}}}}"#,
        string(&our_groups()),
        names_of_groups.close()
    ));

    let mut schema = Members::default();
    schema.add("$schema", &string("https://json-schema.org/draft/2020-12/schema"));
    schema.add("title", &string("Lockgate configuration"));
    schema.add(
        "description",
        &string("One resource: a Gateway, a policy, a provider or a route."),
    );
    schema.add("type", &string("object"));
    schema.add("required", r#"["apiVersion","kind"]"#);
    let properties = format!(
        r#"{{"apiVersion":{{"type":"string"}},"kind":{{"anyOf":[{{"enum":{}}},{{"type":"string"}}]}}}}"#,
        names.close()
    );
    schema.add("properties", &properties);
    schema.add("allOf", &chosen.close());
    schema.add("$defs", &kinds.close());
    schema.close()
}

/// Of two kinds with one name the group chooses.
fn api_version_of(kind: &Kind) -> &'static str {
    let shares = |other: &Kind| other.name == kind.name && other.group != kind.group;
    if !KINDS.iter().any(shares) {
        ""
    } else if kind.group == GATEWAY_API {
        r#""apiVersion":{"pattern":"^gateway\\.networking\\.k8s\\.io/"},"#
    } else {
        r#""apiVersion":{"not":{"pattern":"^gateway\\.networking\\.k8s\\.io/"}},"#
    }
}

/// The groups of which every kind is one of [`KINDS`], or is refused.
fn our_groups() -> String {
    let mut pattern = String::from(r"^(([a-z0-9-]+\.)*istio\.io");
    for (group, _) in KNOWN_UNSUPPORTED
        .iter()
        .filter(|(group, _)| !group.ends_with("istio.io"))
    {
        if *group != CORE {
            pattern.push('|');
            pattern.push_str(&group.replace('.', r"\."));
        }
    }
    pattern.push_str(")/");
    pattern
}

/// One that holds a MeshConfig; any other may hold what it wants.
fn config_map() -> String {
    let mut data = Members::default();
    for one in CONFIG_MAP_DATA.fields {
        data.add(one.name, &field(one));
    }
    format!(
        r#"{{"type":"object","description":"Istio's MeshConfig, as a cluster holds it.","properties":{{"apiVersion":{{"const":"v1"}},"kind":{{"const":"ConfigMap"}},"metadata":{{}},"data":{{"properties":{}}}}}}}"#,
        data.close()
    )
}

/// A variable in place of a number or boolean.
const VARIABLE: &str = r#"{"type":"string","pattern":"\\$\\{"}"#;

const LIST: &str = r##"{"type":"object","description":"Several resources.","required":["items"],"properties":{"apiVersion":{"const":"v1"},"kind":{"const":"List"},"metadata":{},"items":{"type":"array","items":{"$ref":"#"}}},"additionalProperties":false}"##;

fn resource(kind: &Kind) -> String {
    let mut versions = Items::default();
    for version in kind.versions {
        versions.add(&string(&api_version(kind.group, version)));
    }
    // Under that group the Gateway is Istio's.
    if kind.group != LOCKGATE && kind.group != CORE && (kind.name, kind.group) != ("Gateway", GATEWAY_API) {
        versions.add(&string(&format!("{LOCKGATE}/v1")));
    }
    let mut properties = Members::default();
    properties.add("apiVersion", &format!(r#"{{"enum":{}}}"#, versions.close()));
    properties.add("kind", &format!(r#"{{"const":{}}}"#, string(kind.name)));
    properties.add("metadata", &metadata());
    match kind.body {
        Body::Spec(spec) | Body::OptionalSpec(spec) => {
            properties.add("spec", &object(spec, kind.doc));
            properties.add("status", r#"{"description":"Written by a cluster; not read."}"#);
        }
        Body::Fields(fields) => {
            for one in fields.fields {
                properties.add(one.name, &field(one));
            }
        }
    }
    let mut required = Items::default();
    for (name, is_required) in [
        ("apiVersion", true),
        ("kind", true),
        ("metadata", true),
        ("spec", matches!(kind.body, Body::Spec(_))),
    ] {
        if is_required {
            required.add(&string(name));
        }
    }
    let mut schema = Members::default();
    schema.add("type", &string("object"));
    schema.add("description", &string(kind.doc));
    schema.add("required", &required.close());
    schema.add("properties", &properties.close());
    schema.add("additionalProperties", "false");
    schema.close()
}

/// Where a field that is null counts as absent, but for the name.
fn metadata() -> String {
    object_of(&METADATA, "Name, namespace and labels.", |one| match one.required {
        true => field(one),
        false => format!(r#"{{"anyOf":[{},{{"type":"null"}}]}}"#, field(one)),
    })
}

fn object(object: &Object, doc: &str) -> String {
    object_of(object, doc, field)
}

fn object_of(object: &Object, doc: &str, field: fn(&Field) -> String) -> String {
    let mut properties = Members::default();
    let mut required = Items::default();
    for one in object.fields {
        properties.add(one.name, &field(one));
        if one.required {
            required.add(&string(one.name));
        }
    }
    let mut schema = described("object", doc);
    if object.fields.iter().any(|field| field.required) {
        schema.add("required", &required.close());
    }
    if object.not_empty {
        schema.add("minProperties", "1");
    }
    schema.add("properties", &properties.close());
    schema.add("additionalProperties", "false");
    schema.close()
}

fn field(field: &Field) -> String {
    match field.support {
        Support::Full | Support::Lockgate => shape(&field.shape, field.doc),
        Support::NotYet | Support::LockgateNotYet => {
            let mut schema = Members::default();
            schema.add("description", &string(field.doc));
            schema.add("not", "{}");
            schema.close()
        }
    }
}

fn shape(shape: &Shape, doc: &str) -> String {
    match shape {
        Shape::Text(format) => text(*format, doc),
        Shape::Bool => or_variable(r#"{"type":"boolean"}"#, doc),
        Shape::Integer { min, max } => {
            or_variable(&format!(r#"{{"type":"integer","minimum":{min},"maximum":{max}}}"#), doc)
        }
        Shape::Percent => or_variable(r#"{"type":"number","minimum":0,"maximum":100}"#, doc),
        Shape::PolicyPort => port(0, "(0|[1-9][0-9]{0,4})", doc),
        Shape::ServicePort => port(1, "[1-9][0-9]{0,4}", doc),
        Shape::Enum(words) => or_variable(&enumeration(words), doc),
        Shape::Object(fields) => object(fields, doc),
        Shape::List { item, min } => list(item, *min, doc),
        Shape::Map { key, value } => map(*key, value, doc),
        Shape::Any => {
            let mut schema = Members::default();
            schema.add("description", &string(doc));
            schema.close()
        }
    }
}

fn port(min: u16, digits: &str, doc: &str) -> String {
    let number = format!(r#"{{"type":"integer","minimum":{min},"maximum":65535}}"#);
    let digits = format!(r#"{{"type":"string","pattern":"^{digits}$"}}"#);
    or_variable(&format!("{number},{digits}"), doc)
}

fn text(format: Format, doc: &str) -> String {
    let mut schema = described("string", doc);
    if let Some(pattern) = format.pattern() {
        schema.add("pattern", &string(&format!(r"^{pattern}$|\$\{{")));
    }
    schema.close()
}

fn list(item: &Shape, min: usize, doc: &str) -> String {
    let mut schema = described("array", doc);
    if min > 0 {
        schema.add("minItems", &format!("{min}"));
    }
    schema.add("items", &shape(item, ""));
    schema.close()
}

fn map(key: Format, value: &Shape, doc: &str) -> String {
    let mut schema = described("object", doc);
    if let Some(pattern) = key.pattern() {
        schema.add(
            "propertyNames",
            &format!(r#"{{"pattern":{}}}"#, string(&format!("^{pattern}$"))),
        );
    }
    schema.add("additionalProperties", &shape(value, ""));
    schema.close()
}

fn enumeration(words: &Enumeration) -> String {
    let mut items = Items::default();
    for word in words.values {
        items.add(&string(word));
        let lower = word.to_ascii_lowercase();
        if words.ignore_case && lower != *word {
            items.add(&string(&lower));
        }
    }
    format!(r#"{{"enum":{}}}"#, items.close())
}

fn or_variable(alternatives: &str, doc: &str) -> String {
    let mut schema = Members::default();
    if !doc.is_empty() {
        schema.add("description", &string(doc));
    }
    schema.add("anyOf", &format!(r##"[{alternatives},{{"$ref":"#/$defs/variable"}}]"##));
    schema.close()
}

fn described(kind: &str, doc: &str) -> Members {
    let mut schema = Members::default();
    schema.add("type", &string(kind));
    if !doc.is_empty() {
        schema.add("description", &string(doc));
    }
    schema
}

/// A JSON object that is being written.
#[derive(Default)]
struct Members(String);

impl Members {
    fn add(&mut self, name: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.push_str(&string(name));
        self.0.push(':');
        self.0.push_str(value);
    }

    fn close(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0
    }
}

/// A JSON array that is being written.
#[derive(Default)]
struct Items(String);

impl Items {
    fn add(&mut self, value: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(value);
    }

    fn close(mut self) -> String {
        if self.0.is_empty() {
            self.0.push('[');
        }
        self.0.push(']');
        self.0
    }
}

/// A JSON string. The declarations hold no control characters.
fn string(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
    out
}
