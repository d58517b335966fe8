//! The shape of `inference.networking.k8s.io` InferencePool.

use super::{Enumeration, LABELS, Object, PORT, Shape, field, list_of_some, required, text};
use crate::config::format::Format;

/// `spec` of an InferencePool.
pub(super) static INFERENCE_POOL: Object = Object::new(&[
    required(
        "selector",
        Shape::Object(&SELECTOR),
        "Accepted; a ServiceEntry says where the pool is.",
    ),
    required(
        "targetPorts",
        list_of_some(&Shape::Object(&TARGET_PORT)),
        "The port of its endpoints; one of them.",
    ),
    field("appProtocol", Shape::Enum(&APP_PROTOCOL), "`http` when absent."),
    field(
        "endpointPickerRef",
        Shape::Object(&PICKER),
        "Accepted, and warned about: no endpoint picker is asked.",
    ),
]);

static SELECTOR: Object = Object::new(&[field("matchLabels", LABELS, "Labels of its pods.")]);

static TARGET_PORT: Object = Object::new(&[required("number", PORT, "The port number.")]);

static APP_PROTOCOL: Enumeration = Enumeration {
    values: &["http"],
    not_yet: &["kubernetes.io/h2c"],
    ignore_case: false,
};

static PICKER: Object = Object::new(&[
    field("group", text(Format::Any), "The API group of `kind`."),
    field("kind", text(Format::NonEmpty), "`Service` when absent."),
    required("name", text(Format::ResourceName), "Its name."),
    field("port", Shape::Object(&TARGET_PORT), "Its port."),
    field(
        "failureMode",
        Shape::Enum(&FAILURE_MODE),
        "What happens when it does not answer.",
    ),
]);

static FAILURE_MODE: Enumeration = Enumeration {
    values: &["FailOpen", "FailClose"],
    not_yet: &[],
    ignore_case: false,
};
