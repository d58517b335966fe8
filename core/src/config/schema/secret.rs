//! The shape of Kubernetes' Secret.

use super::{Object, Shape, field, text};
use crate::config::format::Format;

/// The fields of a Secret beside `metadata`.
pub(super) static SECRET: Object = Object::new(&[
    field(
        "type",
        text(Format::NonEmpty),
        "`kubernetes.io/tls`, `Opaque` or another; it says nothing here.",
    ),
    field("data", values(&Shape::Text(Format::HiddenBase64)), "Values in base64."),
    field(
        "stringData",
        values(&Shape::Text(Format::Hidden)),
        "Values as they are.",
    ),
    field("immutable", Shape::Any, "Whether a cluster lets it change; not read."),
]);

const fn values(value: &'static Shape) -> Shape {
    Shape::Map {
        key: Format::NonEmpty,
        value,
    }
}
