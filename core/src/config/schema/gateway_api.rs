//! The shapes of `gateway.networking.k8s.io` Gateway, GatewayClass and ReferenceGrant.

use super::{Enumeration, LABELS, Object, PORT, Shape, field, list, list_of_some, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of a Gateway.
pub(super) static KUBE_GATEWAY: Object = Object::new(&[
    required(
        "gatewayClassName",
        text(Format::ResourceName),
        "Whose it is: `istio`, `lockgate`, or a GatewayClass of one of their controllers.",
    ),
    required(
        "listeners",
        list_of_some(&Shape::Object(&LISTENER)),
        "The ports to listen on, and for which hosts.",
    ),
    field(
        "addresses",
        Shape::Any,
        "Accepted; where the gateway is reached is not its own choice.",
    ),
    field(
        "infrastructure",
        Shape::Any,
        "Accepted; it is for what deploys gateways.",
    ),
    not_yet("allowedListeners"),
    not_yet("backendTLS"),
    not_yet("tls"),
    not_yet("defaultScope"),
]);

static LISTENER: Object = Object::new(&[
    required(
        "name",
        text(Format::ResourceName),
        "Name of the listener, unique within the Gateway.",
    ),
    field(
        "hostname",
        text(Format::Hostname),
        "The hosts that may be reached: a name or `*.example.com`; without one, all.",
    ),
    required("port", PORT, "The logical port number."),
    required("protocol", Shape::Enum(&PROTOCOL), "What is spoken on the port."),
    field(
        "allowedRoutes",
        Shape::Object(&ALLOWED_ROUTES),
        "Which routes may attach; without it, HTTPRoutes of the Gateway's own namespace.",
    ),
    field("tls", Shape::Object(&TLS), "With `HTTPS`: what proves the hostname."),
]);

static PROTOCOL: Enumeration = Enumeration {
    values: &["HTTP", "HTTPS"],
    not_yet: &["TLS", "TCP", "UDP"],
    ignore_case: false,
};

static TLS: Object = Object::new(&[
    field("mode", Shape::Enum(&TLS_MODE), "`Terminate` when absent."),
    field(
        "certificateRefs",
        list_of_some(&Shape::Object(&CERTIFICATE_REF)),
        "Secrets with certificates and their keys.",
    ),
    not_yet("options"),
    not_yet("frontendValidation"),
]);

static TLS_MODE: Enumeration = Enumeration {
    values: &["Terminate"],
    not_yet: &["Passthrough"],
    ignore_case: false,
};

static CERTIFICATE_REF: Object = Object::new(&[
    field("group", text(Format::Any), "Empty when absent: that of Secrets."),
    field("kind", text(Format::NonEmpty), "`Secret` when absent."),
    field(
        "namespace",
        text(Format::Namespace),
        "The Gateway's own when absent; another needs a ReferenceGrant there.",
    ),
    required("name", text(Format::ResourceName), "Name of the Secret."),
]);

static ALLOWED_ROUTES: Object = Object::new(&[
    field(
        "namespaces",
        Shape::Object(&ROUTE_NAMESPACES),
        "The namespaces whose routes may attach.",
    ),
    field(
        "kinds",
        list(&Shape::Object(&ROUTE_KIND)),
        "The kinds of routes that may attach; without any, HTTPRoute.",
    ),
]);

static ROUTE_NAMESPACES: Object = Object::new(&[
    field("from", Shape::Enum(&FROM), "`Same` when absent."),
    field(
        "selector",
        Shape::Object(&SELECTOR),
        "With `Selector`: the label `kubernetes.io/metadata.name`, which every namespace has.",
    ),
]);

static FROM: Enumeration = Enumeration {
    values: &["Same", "All", "Selector", "None"],
    not_yet: &[],
    ignore_case: false,
};

static SELECTOR: Object = Object::new(&[
    field("matchLabels", LABELS, "Only `kubernetes.io/metadata.name`."),
    not_yet("matchExpressions"),
]);

static ROUTE_KIND: Object = Object::new(&[
    field("group", text(Format::Any), "`gateway.networking.k8s.io` when absent."),
    required("kind", text(Format::NonEmpty), "For example `HTTPRoute`."),
]);

/// `spec` of a GatewayClass.
pub(super) static GATEWAY_CLASS: Object = Object::new(&[
    required(
        "controllerName",
        text(Format::NonEmpty),
        "Whose Gateways of this class are: `istio.io/gateway-controller` or `lockgate.dev/gateway-controller`.",
    ),
    field(
        "parametersRef",
        Shape::Any,
        "Accepted; it is for what deploys gateways.",
    ),
    field("description", text(Format::Any), "For people."),
]);

/// `spec` of a ReferenceGrant.
pub(super) static REFERENCE_GRANT: Object = Object::new(&[
    required(
        "from",
        list_of_some(&Shape::Object(&GRANT_FROM)),
        "Who may refer to what is in this namespace.",
    ),
    required(
        "to",
        list_of_some(&Shape::Object(&GRANT_TO)),
        "What of this namespace may be referred to.",
    ),
]);

static GRANT_FROM: Object = Object::new(&[
    required("group", text(Format::Any), "For example `gateway.networking.k8s.io`."),
    required("kind", text(Format::NonEmpty), "For example `HTTPRoute`."),
    required(
        "namespace",
        text(Format::Namespace),
        "The namespace of the resource that refers.",
    ),
]);

static GRANT_TO: Object = Object::new(&[
    required("group", text(Format::Any), "Empty for Services."),
    required("kind", text(Format::NonEmpty), "For example `Service`."),
    field(
        "name",
        text(Format::ResourceName),
        "One resource; without it, all of them.",
    ),
]);
