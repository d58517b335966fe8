//! The shape of `networking.istio.io` Gateway.

use super::{Enumeration, LABELS, Object, PORT, Shape, field, list_of_some, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of a Gateway.
pub(super) static GATEWAY: Object = Object::new(&[
    field(
        "selector",
        LABELS,
        "Labels of the proxies that load it; without any, every proxy.",
    ),
    required(
        "servers",
        list_of_some(&Shape::Object(&SERVER)),
        "The ports to listen on, and for which hosts.",
    ),
]);

static SERVER: Object = Object::new(&[
    required("port", Shape::Object(&SERVER_PORT), "The port to listen on."),
    required(
        "hosts",
        list_of_some(&Shape::Text(Format::GatewayHost)),
        "Hosts that may be reached: `*`, `*.example.com` or a name, each with an optional `namespace/`.",
    ),
    field("name", text(Format::NonEmpty), "Name of the server."),
    not_yet("tls"),
    not_yet("bind"),
    not_yet("defaultEndpoint"),
]);

static SERVER_PORT: Object = Object::new(&[
    required("number", PORT, "The logical port number."),
    required(
        "name",
        text(Format::NonEmpty),
        "Name of the port, unique within the Gateway.",
    ),
    required("protocol", Shape::Enum(&SERVER_PROTOCOL), "What is spoken on the port."),
    not_yet("targetPort"),
]);

static SERVER_PROTOCOL: Enumeration = Enumeration {
    values: &["HTTP", "HTTP2"],
    not_yet: &["HTTPS", "GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO"],
    ignore_case: true,
};
