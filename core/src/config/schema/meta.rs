//! `metadata`: what Lockgate reads of it, and what a cluster adds to it.

use super::{Field, LABELS, Object, Shape, field, required, text};
use crate::config::format::Format;

/// Kubernetes' ObjectMeta.
pub(crate) static METADATA: Object = Object::new(&[
    required(
        "name",
        text(Format::ResourceName),
        "Name, unique per kind and namespace.",
    ),
    field(
        "namespace",
        text(Format::Namespace),
        "Namespace; `default` when absent.",
    ),
    field("labels", LABELS, "Labels of the resource itself; they select nothing."),
    field(
        "annotations",
        Shape::Map {
            key: Format::Any,
            value: &Shape::Any,
        },
        "Annotations; only `istio.io/dry-run` is looked at.",
    ),
    field(
        "creationTimestamp",
        text(Format::Timestamp),
        "When it was created, RFC 3339; older resources come first.",
    ),
    server_side("uid"),
    server_side("resourceVersion"),
    server_side("generation"),
    server_side("managedFields"),
    server_side("ownerReferences"),
    server_side("finalizers"),
    server_side("generateName"),
    server_side("selfLink"),
    server_side("clusterName"),
    server_side("deletionTimestamp"),
    server_side("deletionGracePeriodSeconds"),
]);

const fn server_side(name: &'static str) -> Field {
    field(name, Shape::Any, "Set by the Kubernetes API server; not read.")
}
