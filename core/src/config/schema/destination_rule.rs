//! The shape of `networking.istio.io` DestinationRule.

use super::{EXPORT_TO, Enumeration, LABELS, Object, Shape, field, list, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of a DestinationRule.
pub(super) static DESTINATION_RULE: Object = Object::new(&[
    required("host", text(Format::RouteHost), "The upstream host that it shapes."),
    field(
        "trafficPolicy",
        Shape::Object(&TRAFFIC_POLICY),
        "How connections to the host are made.",
    ),
    field("exportTo", EXPORT_TO, "Namespaces that see it."),
    field(
        "subsets",
        list(&Shape::Object(&SUBSET)),
        "Parts of the host's endpoints, for `destination.subset`.",
    ),
    not_yet("workloadSelector"),
]);

static SUBSET: Object = Object::new(&[
    required("name", text(Format::ResourceName), "What a destination calls it."),
    field(
        "labels",
        LABELS,
        "Labels that its endpoints all have; without any, all endpoints.",
    ),
    field(
        "trafficPolicy",
        Shape::Object(&TRAFFIC_POLICY),
        "Each field of it stands in place of the host's.",
    ),
]);

static TRAFFIC_POLICY: Object = Object::new(&[
    field("tls", Shape::Object(&TLS), "TLS towards the upstream."),
    field(
        "connectionPool",
        Shape::Object(&CONNECTION_POOL),
        "Limits of the connections.",
    ),
    not_yet("loadBalancer"),
    not_yet("outlierDetection"),
    not_yet("portLevelSettings"),
    not_yet("proxyProtocol"),
    not_yet("retryBudget"),
    not_yet("tunnel"),
]);

static TLS: Object = Object::new(&[
    required(
        "mode",
        Shape::Enum(&TLS_MODE),
        "`DISABLE` is plain text, `SIMPLE` is TLS.",
    ),
    field(
        "sni",
        text(Format::DnsName),
        "The server name that is sent and checked; the host when absent.",
    ),
    field(
        "caCertificates",
        text(Format::NonEmpty),
        "Path of a PEM file with the roots to trust instead of the system's.",
    ),
    field(
        "subjectAltNames",
        list(&Shape::Text(Format::DnsName)),
        "Names that the certificate may carry instead of the server name.",
    ),
    not_yet("clientCertificate"),
    not_yet("privateKey"),
    not_yet("credentialName"),
    not_yet("insecureSkipVerify"),
    not_yet("caCrl"),
]);

static TLS_MODE: Enumeration = Enumeration {
    values: &["DISABLE", "SIMPLE"],
    not_yet: &["MUTUAL", "ISTIO_MUTUAL"],
    ignore_case: false,
};

static CONNECTION_POOL: Object = Object::new(&[
    field("tcp", Shape::Object(&TCP), "Settings of the TCP connections."),
    not_yet("http"),
]);

static TCP: Object = Object::new(&[
    field(
        "connectTimeout",
        text(Format::Duration),
        "Longest time to open a connection, such as `5s` or `500ms`.",
    ),
    not_yet("maxConnections"),
    not_yet("tcpKeepalive"),
    not_yet("maxConnectionDuration"),
    not_yet("idleTimeout"),
]);
