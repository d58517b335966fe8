//! The shape of `networking.istio.io` Gateway.

use super::{Enumeration, LABELS, Object, PORT, Shape, field, list, list_of_some, not_yet, required, text};
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
    field(
        "tls",
        Shape::Object(&TLS),
        "TLS of an HTTPS server, or the redirect of an HTTP server.",
    ),
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
    values: &["HTTP", "HTTP2", "HTTPS"],
    not_yet: &["GRPC", "GRPC-WEB", "TCP", "TLS", "MONGO"],
    ignore_case: true,
};

static TLS: Object = Object::new(&[
    field(
        "httpsRedirect",
        Shape::Bool,
        "Of an HTTP server: every request is answered 301 with its `https` place.",
    ),
    field(
        "mode",
        Shape::Enum(&TLS_MODE),
        "Of an HTTPS server: `SIMPLE`, or `MUTUAL` and `OPTIONAL_MUTUAL`, which ask clients for certificates.",
    ),
    field(
        "credentialName",
        NAME,
        "Secret in the gateway's namespace with the certificate and its key.",
    ),
    field(
        "credentialNames",
        list_of_some(&NAME),
        "Several such Secrets, for clients that take only one kind of key.",
    ),
    field(
        "serverCertificate",
        PATH,
        "Path of a PEM file with the certificate and its chain.",
    ),
    field("privateKey", PATH, "Path of a PEM file with the certificate's key."),
    field(
        "tlsCertificates",
        list_of_some(&Shape::Object(&CERTIFICATE)),
        "Several certificates by their files.",
    ),
    field(
        "caCertificates",
        PATH,
        "Path of a PEM file with the authorities that clients' certificates come from.",
    ),
    field(
        "caCertCredentialName",
        NAME,
        "Secret with the authorities that clients' certificates come from.",
    ),
    field(
        "caCrl",
        PATH,
        "Path of a PEM file with the lists of revoked certificates.",
    ),
    field(
        "subjectAltNames",
        list(&Shape::Text(Format::NonEmpty)),
        "Names of which a client's certificate must carry one.",
    ),
    field(
        "minProtocolVersion",
        Shape::Enum(&TLS_VERSION),
        "Lowest version; TLS 1.2 by default.",
    ),
    field(
        "maxProtocolVersion",
        Shape::Enum(&TLS_VERSION),
        "Highest version; TLS 1.3 by default.",
    ),
    field(
        "cipherSuites",
        list(&Shape::Text(Format::NonEmpty)),
        "Cipher suites of TLS 1.2, by OpenSSL's names.",
    ),
    not_yet("verifyCertificateSpki"),
    not_yet("verifyCertificateHash"),
]);

static CERTIFICATE: Object = Object::new(&[
    required(
        "serverCertificate",
        PATH,
        "Path of a PEM file with the certificate and its chain.",
    ),
    required("privateKey", PATH, "Path of a PEM file with the certificate's key."),
    not_yet("caCertificates"),
]);

const PATH: Shape = text(Format::NonEmpty);
const NAME: Shape = text(Format::ResourceName);

static TLS_MODE: Enumeration = Enumeration {
    values: &["SIMPLE", "MUTUAL", "OPTIONAL_MUTUAL"],
    not_yet: &["PASSTHROUGH", "AUTO_PASSTHROUGH", "ISTIO_MUTUAL"],
    ignore_case: false,
};

static TLS_VERSION: Enumeration = Enumeration {
    values: &["TLS_AUTO", "TLSV1_0", "TLSV1_1", "TLSV1_2", "TLSV1_3"],
    not_yet: &[],
    ignore_case: false,
};
