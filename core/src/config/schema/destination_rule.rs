//! The shape of `networking.istio.io` DestinationRule.

use super::{EXPORT_TO, Enumeration, LABELS, Object, PORT, Shape, field, list, not_yet, required, text};
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
    field(
        "portLevelSettings",
        list(&Shape::Object(&PORT_POLICY)),
        "The same for single ports of the host, which inherit nothing of it.",
    ),
    not_yet("loadBalancer"),
    not_yet("outlierDetection"),
    not_yet("proxyProtocol"),
    not_yet("retryBudget"),
    not_yet("tunnel"),
]);

static PORT_POLICY: Object = Object::new(&[
    required("port", Shape::Object(&PORT_SELECTOR), "The port."),
    field("tls", Shape::Object(&TLS), "TLS towards the upstream."),
    field(
        "connectionPool",
        Shape::Object(&CONNECTION_POOL),
        "Limits of the connections.",
    ),
    not_yet("loadBalancer"),
    not_yet("outlierDetection"),
]);

static PORT_SELECTOR: Object = Object::new(&[required("number", PORT, "The port's number, as the host has it.")]);

static TLS: Object = Object::new(&[
    required(
        "mode",
        Shape::Enum(&TLS_MODE),
        "`DISABLE` is plain text, `SIMPLE` is TLS, `MUTUAL` is TLS with a certificate of the gateway's own.",
    ),
    field(
        "sni",
        text(Format::DnsName),
        "The server name that is sent and checked; the host when absent.",
    ),
    field(
        "caCertificates",
        PATH,
        "Path of a PEM file with the authorities to trust instead of the system's.",
    ),
    field(
        "subjectAltNames",
        list(&Shape::Text(Format::NonEmpty)),
        "Names (DNS, URI, IP) of which the certificate must carry one, instead of the server name.",
    ),
    field(
        "clientCertificate",
        PATH,
        "Path of a PEM file with the certificate chain that mode `MUTUAL` shows.",
    ),
    field("privateKey", PATH, "Path of a PEM file with its key."),
    field(
        "credentialName",
        text(Format::ResourceName),
        "Secret in the gateway's namespace with the authorities to trust and, in mode `MUTUAL`, the certificate and its key.",
    ),
    field(
        "caCrl",
        PATH,
        "Path of a PEM file with the lists of revoked certificates.",
    ),
    field(
        "insecureSkipVerify",
        Shape::Bool,
        "`false`: servers are always verified.",
    ),
]);

const PATH: Shape = text(Format::NonEmpty);

static TLS_MODE: Enumeration = Enumeration {
    values: &["DISABLE", "SIMPLE", "MUTUAL"],
    not_yet: &["ISTIO_MUTUAL"],
    ignore_case: false,
};

static CONNECTION_POOL: Object = Object::new(&[
    field("tcp", Shape::Object(&TCP), "Settings of the TCP connections."),
    field("http", Shape::Object(&HTTP), "Settings of HTTP."),
]);

static HTTP: Object = Object::new(&[
    field(
        "h2UpgradePolicy",
        Shape::Enum(&H2_UPGRADE),
        "`UPGRADE` speaks HTTP/2, whatever the port's protocol.",
    ),
    field(
        "useClientProtocol",
        Shape::Bool,
        "Speaks HTTP/2 for clients that do, and HTTP/1.1 for the others.",
    ),
    field(
        "maxConcurrentStreams",
        Shape::Integer {
            min: 1,
            max: 2_147_483_647,
        },
        "Requests at once over one connection of HTTP/2; 100 at most.",
    ),
    not_yet("http1MaxPendingRequests"),
    not_yet("http2MaxRequests"),
    not_yet("maxRequestsPerConnection"),
    not_yet("maxRetries"),
    not_yet("idleTimeout"),
]);

static H2_UPGRADE: Enumeration = Enumeration {
    values: &["DEFAULT", "DO_NOT_UPGRADE", "UPGRADE"],
    not_yet: &[],
    ignore_case: false,
};

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
