//! The shape of `networking.istio.io` ServiceEntry.

use super::{EXPORT_TO, Enumeration, LABELS, Object, PORT, Shape, field, list, list_of_some, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of a ServiceEntry.
pub(super) static SERVICE_ENTRY: Object = Object::new(&[
    required(
        "hosts",
        list_of_some(&Shape::Text(Format::RouteHost)),
        "The hosts that it locates.",
    ),
    field("ports", list(&Shape::Object(&SERVICE_PORT)), "Ports of the hosts."),
    field(
        "location",
        Shape::Enum(&LOCATION),
        "Whether the hosts are outside the mesh.",
    ),
    field(
        "resolution",
        Shape::Enum(&RESOLUTION),
        "How the endpoints are found; `NONE` when absent.",
    ),
    field(
        "endpoints",
        list(&Shape::Object(&ENDPOINT)),
        "Where the hosts really are; without any, at their own names.",
    ),
    field("exportTo", EXPORT_TO, "Namespaces that see it."),
    not_yet("addresses"),
    not_yet("workloadSelector"),
    not_yet("subjectAltNames"),
]);

static SERVICE_PORT: Object = Object::new(&[
    required("number", PORT, "The port number."),
    required(
        "name",
        text(Format::NonEmpty),
        "Name of the port, unique within the ServiceEntry.",
    ),
    field(
        "protocol",
        Shape::Enum(&PROTOCOL),
        "What is spoken on the port: HTTP/2 for `HTTP2`, `GRPC` and `GRPC-WEB`, HTTP/1.1 for the others.",
    ),
    field("targetPort", PORT, "The endpoints' port, when it differs."),
]);

static PROTOCOL: Enumeration = Enumeration {
    values: &["HTTP", "HTTPS", "HTTP2", "GRPC", "GRPC-WEB", "TLS", "TCP"],
    not_yet: &["MONGO", "REDIS", "MYSQL", "UDP"],
    ignore_case: true,
};

static LOCATION: Enumeration = Enumeration {
    values: &["MESH_EXTERNAL"],
    not_yet: &["MESH_INTERNAL"],
    ignore_case: false,
};

static RESOLUTION: Enumeration = Enumeration {
    values: &["NONE", "STATIC", "DNS", "DNS_ROUND_ROBIN"],
    not_yet: &["DYNAMIC_DNS"],
    ignore_case: false,
};

static ENDPOINT: Object = Object::new(&[
    required(
        "address",
        text(Format::EndpointAddress),
        "An IP address, or a DNS name when `resolution` is DNS.",
    ),
    field(
        "ports",
        Shape::Map {
            key: Format::NonEmpty,
            value: &PORT,
        },
        "The endpoint's port by port name.",
    ),
    field(
        "weight",
        Shape::Integer { min: 0, max: 1_000_000 },
        "Share of the traffic, relative to the others.",
    ),
    field("labels", LABELS, "What `subsets` of DestinationRules choose it by."),
    not_yet("locality"),
    not_yet("network"),
    not_yet("serviceAccount"),
]);
