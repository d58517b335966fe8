//! The shapes of `istio.alibabacloud.com` LLMProvider and LLMRoute.

use super::virtual_service::{
    AUTHORITY_MATCH, CORS_POLICY, FAULTS, HEADERS, IGNORE_URI_CASE, METHOD_MATCH, MIRROR, MIRROR_PERCENTAGE, MIRRORS,
    PORT_MATCH, QUERY_PARAMS, RETRIES, REWRITE, SCHEME_MATCH, SOURCE_NAMESPACE, TIMEOUT, URI, WITHOUT_HEADERS,
};
use super::{Field, LABELS, Object, STRING_MATCH, Shape, Support, field, list, list_of_some, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of an LLMProvider.
pub(super) static LLM_PROVIDER: Object = Object::new(&[
    field(
        "workloadSelector",
        Shape::Object(&WORKLOAD_SELECTOR),
        "The gateways that load it; without it, every gateway in scope.",
    ),
    required(
        "host",
        text(Format::DnsName),
        "Host of the provider: upstream authority, TLS name, and what `providerHost` refers to.",
    ),
    field(
        "path",
        text(Format::RequestPath),
        "Path that replaces the client's, in full.",
    ),
    field("configs", Shape::Object(&CONFIGS), "Parameters and keys."),
]);

static WORKLOAD_SELECTOR: Object = Object::new(&[field("labels", LABELS, "Labels that a gateway must all have.")]);

static CONFIGS: Object = Object::new(&[
    field(
        "defaultConfig",
        Shape::Object(&PROVIDER_CONFIG),
        "Used when no entry of `routeSpecificConfigs` applies.",
    ),
    field(
        "routeSpecificConfigs",
        Shape::Map {
            key: Format::NonEmpty,
            value: &Shape::Object(&PROVIDER_CONFIG),
        },
        "By name of an LLMRoute rule; what an entry lacks it inherits from `defaultConfig`.",
    ),
]);

static PROVIDER_CONFIG: Object = Object::new(&[required(
    "openAIConfig",
    Shape::Object(&OPEN_AI_CONFIG),
    "Parameters of an OpenAI-compatible API.",
)]);

static OPEN_AI_CONFIG: Object = Object::new(&[
    field("model", text(Format::Model), "The model, when the client names none."),
    field(
        "stream",
        Shape::Bool,
        "Whether to stream, when the client does not say.",
    ),
    field(
        "apiKey",
        text(Format::Secret),
        "The provider's key, best as `${NAME}`; sent as a Bearer token.",
    ),
    lockgate_not_yet("defaults"),
    lockgate_not_yet("overrides"),
]);

/// `spec` of an LLMRoute.
pub(super) static LLM_ROUTE: Object = Object::new(&[
    required(
        "host",
        text(Format::RouteHost),
        "One host: a name, `*.example.com` or `*`.",
    ),
    field(
        "gateways",
        list(&Shape::Text(Format::GatewayReference)),
        "The Gateways it is bound to: `namespace/name`, or `name` in its own namespace.",
    ),
    required(
        "rules",
        list_of_some(&Shape::Object(&RULE)),
        "The first rule that matches decides.",
    ),
]);

static RULE: Object = Object::new(&[
    field(
        "name",
        text(Format::NonEmpty),
        "Key into `routeSpecificConfigs`, unique within the route.",
    ),
    field(
        "matches",
        list(&Shape::Object(&MATCH)),
        "Any of them; without any, every request.",
    ),
    required(
        "backendRefs",
        list_of_some(&Shape::Object(&BACKEND_REF)),
        "The providers that share the rule's traffic.",
    ),
    lockgate(REWRITE),
    lockgate(HEADERS),
    lockgate(TIMEOUT),
    lockgate(RETRIES),
    lockgate(CORS_POLICY),
    lockgate(FAULTS),
    lockgate(MIRROR),
    lockgate(MIRROR_PERCENTAGE),
    lockgate(MIRRORS),
]);

static MATCH: Object = Object::new(&[
    field(
        "headers",
        Shape::Map {
            key: Format::LlmHeader,
            value: &Shape::Object(&STRING_MATCH),
        },
        "By header name; all of them must match. Under `lockgate.dev/v1` also by claim, as `@request.auth.claims[a]`.",
    ),
    field(
        "gateways",
        list(&Shape::Text(Format::GatewayReference)),
        "Narrows the route's own list.",
    ),
    field("sourceLabels", LABELS, "Compared with the gateway's own labels."),
    lockgate(field(
        "model",
        Shape::Object(&MODEL_MATCH),
        "The model that the body names: one of `exact`, `prefix`, `regex` and `in`.",
    )),
    lockgate(field(
        "stream",
        Shape::Bool,
        "Whether the body asks for a stream; `false` when it does not say.",
    )),
    lockgate(URI),
    lockgate(IGNORE_URI_CASE),
    lockgate(SCHEME_MATCH),
    lockgate(METHOD_MATCH),
    lockgate(AUTHORITY_MATCH),
    lockgate(PORT_MATCH),
    lockgate(WITHOUT_HEADERS),
    lockgate(QUERY_PARAMS),
    lockgate(SOURCE_NAMESPACE),
]);

static MODEL_MATCH: Object = Object::not_empty(&[
    field("exact", text(Format::Model), "The whole name."),
    field("prefix", text(Format::NonEmpty), "The beginning of the name."),
    field("regex", text(Format::Regex), "RE2 expression for the whole name."),
    field("in", list_of_some(&Shape::Text(Format::Model)), "Any of these names."),
]);

static BACKEND_REF: Object = Object::new(&[
    required("providerHost", text(Format::DnsName), "`host` of an LLMProvider."),
    field(
        "weight",
        Shape::Integer {
            min: 0,
            max: i32::MAX as i64,
        },
        "Share of the traffic, relative to the rule's others.",
    ),
    field(
        "hostRewrite",
        text(Format::DnsName),
        "The Host that is sent instead of the provider's.",
    ),
    not_yet("backendRef"),
]);

const fn lockgate(field: Field) -> Field {
    Field {
        support: Support::Lockgate,
        ..field
    }
}

const fn lockgate_not_yet(name: &'static str) -> Field {
    Field {
        support: Support::LockgateNotYet,
        ..field(name, Shape::Any, "Not supported yet.")
    }
}
