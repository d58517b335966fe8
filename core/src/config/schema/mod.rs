//! The shape of every kind, declared once.
//!
//! The declarations drive both the strict check of what people write
//! ([`super::check`]) and the JSON Schema that their editors read
//! ([`super::json_schema()`]), so the two cannot disagree. A field that Istio or
//! ASM know and Lockgate does not support yet is declared too, so that it can be
//! refused by name instead of being called unknown.

mod authorization_policy;
mod destination_rule;
mod extension_provider;
mod gateway;
mod gateway_api;
mod http_route;
mod inference_pool;
mod kinds;
mod llm;
mod mesh_config;
mod meta;
mod request_authentication;
mod route_settings;
mod scenario;
mod secret;
mod service_entry;
mod virtual_service;

pub(crate) use kinds::{Body, CORE, GATEWAY_API, KINDS, KNOWN_UNSUPPORTED, Kind, LOCKGATE};
pub(crate) use mesh_config::{CONFIG_MAP_DATA, MESH_CONFIG};
pub(crate) use meta::METADATA;

pub(crate) use route_settings::GRPC_STATUSES;
pub(crate) use scenario::EXPECT;

use super::format::Format;

/// A map with named fields.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) fields: &'static [Field],
    /// `{}` is refused, as Istio refuses an empty `source`.
    pub(crate) not_empty: bool,
}

/// One named field.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    pub(crate) support: Support,
}

/// Who knows a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Support {
    /// Decoded.
    Full,
    /// Known upstream, not supported here yet.
    NotYet,
    /// Lockgate's own, so under `lockgate.dev/v1` only.
    Lockgate,
    /// Lockgate's own, so under `lockgate.dev/v1` only, and not supported yet.
    LockgateNotYet,
}

/// What a value must look like.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Shape {
    Text(Format),
    Bool,
    Integer {
        min: i64,
        max: i64,
    },
    /// A number from 0 to 100, maybe with decimals.
    Percent,
    /// A port of a policy: Istio has it as text, people write a number.
    PolicyPort,
    /// A port of a service, from 1: Istio has it as a number, people write text.
    ServicePort,
    Enum(&'static Enumeration),
    Object(&'static Object),
    List {
        item: &'static Self,
        min: usize,
    },
    Map {
        key: Format,
        value: &'static Self,
    },
    /// Not looked at: never read, or read as it stands.
    Any,
}

/// A closed set of words.
#[derive(Debug)]
pub(crate) struct Enumeration {
    pub(crate) values: &'static [&'static str],
    /// Words that Istio knows and Lockgate does not support yet.
    pub(crate) not_yet: &'static [&'static str],
    /// Istio reads protocols without regard to case.
    pub(crate) ignore_case: bool,
}

impl Object {
    pub(crate) const fn new(fields: &'static [Field]) -> Self {
        Self {
            fields,
            not_empty: false,
        }
    }

    pub(crate) const fn not_empty(fields: &'static [Field]) -> Self {
        Self {
            fields,
            not_empty: true,
        }
    }

    pub(crate) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

const fn field(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        name,
        doc,
        shape,
        required: false,
        support: Support::Full,
    }
}

const fn required(name: &'static str, shape: Shape, doc: &'static str) -> Field {
    Field {
        required: true,
        ..field(name, shape, doc)
    }
}

const fn not_yet(name: &'static str) -> Field {
    Field {
        support: Support::NotYet,
        ..field(name, Shape::Any, "Not supported by Lockgate yet.")
    }
}

const fn text(format: Format) -> Shape {
    Shape::Text(format)
}

const fn list(item: &'static Shape) -> Shape {
    Shape::List { item, min: 0 }
}

const fn list_of_some(item: &'static Shape) -> Shape {
    Shape::List { item, min: 1 }
}

/// `key: value` labels as Kubernetes has them.
const LABELS: Shape = Shape::Map {
    key: Format::LabelKey,
    value: &Shape::Text(Format::LabelValue),
};

const PORT: Shape = Shape::Integer { min: 1, max: 65_535 };

/// The status code of an answer.
const STATUS: Shape = Shape::Integer { min: 100, max: 599 };

/// `exportTo` of what locates hosts: only the default, every namespace.
const EXPORT_TO: Shape = Shape::List {
    item: &Shape::Enum(&Enumeration {
        values: &["*"],
        not_yet: &["."],
        ignore_case: false,
    }),
    min: 0,
};

/// Istio's `StringMatch`; `{}` means that there is a value.
static STRING_MATCH: Object = Object::new(&[
    field("exact", text(Format::Any), "The whole value."),
    field("prefix", text(Format::NonEmpty), "The beginning of the value."),
    field("regex", text(Format::Regex), "RE2 expression for the whole value."),
]);
