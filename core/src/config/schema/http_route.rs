//! The shape of `gateway.networking.k8s.io` HTTPRoute.

use super::{Enumeration, Field, Object, PORT, Shape, field, list, list_of_some, not_yet, required, text};
use crate::config::format::Format;

/// `spec` of an HTTPRoute.
pub(super) static HTTP_ROUTE: Object = Object::new(&[
    field(
        "parentRefs",
        list(&Shape::Object(&PARENT_REF)),
        "The Gateways it attaches to.",
    ),
    field(
        "hostnames",
        list(&Shape::Text(Format::Hostname)),
        "The hosts it is for: names or `*.example.com`; without any, those of the listener.",
    ),
    field(
        "rules",
        list_of_some(&Shape::Object(&RULE)),
        "The most specific match decides, whatever the order.",
    ),
    not_yet("useDefaultGateways"),
]);

static PARENT_REF: Object = Object::new(&[
    field("group", text(Format::Any), "`gateway.networking.k8s.io` when absent."),
    field("kind", text(Format::NonEmpty), "`Gateway` when absent."),
    field("namespace", text(Format::Namespace), "The route's own when absent."),
    required("name", text(Format::ResourceName), "Name of the Gateway."),
    field(
        "sectionName",
        text(Format::ResourceName),
        "One listener of it; without it, all that allow the route.",
    ),
    field("port", PORT, "The listeners on this port."),
]);

static RULE: Object = Object::new(&[
    field(
        "name",
        text(Format::ResourceName),
        "What logs and metrics call the rule.",
    ),
    field(
        "matches",
        list(&Shape::Object(&MATCH)),
        "Any of them; without any, every request.",
    ),
    field(
        "filters",
        list(&Shape::Object(&FILTER)),
        "What becomes of the rule's requests and answers.",
    ),
    field(
        "backendRefs",
        list(&Shape::Object(&BACKEND_REF)),
        "What shares the rule's traffic; without any, the answer is 500.",
    ),
    field("timeouts", Shape::Object(&TIMEOUTS), "How long a request may take."),
    not_yet("retry"),
    not_yet("sessionPersistence"),
]);

static TIMEOUTS: Object = Object::new(&[
    field(
        "request",
        text(Format::GatewayDuration),
        "From the end of the request to the end of its answer; `0s` and nothing are no limit.",
    ),
    field(
        "backendRequest",
        text(Format::GatewayDuration),
        "The same for what is sent to a backend, and no longer than `request`: the limit, as in Istio, of a rule without `retry`.",
    ),
]);

static MATCH: Object = Object::new(&[
    field(
        "path",
        Shape::Object(&PATH),
        "The path in its normal form, without the query; every path when absent.",
    ),
    field("headers", list(&Shape::Object(&HEADER)), "All of them must match."),
    field(
        "queryParams",
        list(&Shape::Object(&QUERY_PARAM)),
        "All of them must match; the first of several values counts, as it is written.",
    ),
    field("method", Shape::Enum(&METHOD), "The method."),
]);

static PATH: Object = Object::new(&[
    field("type", Shape::Enum(&PATH_TYPE), "`PathPrefix` when absent."),
    field("value", text(Format::NonEmpty), "`/` when absent."),
]);

static PATH_TYPE: Enumeration = Enumeration {
    values: &["Exact", "PathPrefix", "RegularExpression"],
    not_yet: &[],
    ignore_case: false,
};

static HEADER: Object = Object::new(&[
    field("type", Shape::Enum(&VALUE_TYPE), "`Exact` when absent."),
    required("name", text(Format::FieldName), "Name of the header field."),
    required("value", text(Format::Regex), "The whole value, or RE2 for it."),
]);

static QUERY_PARAM: Object = Object::new(&[
    field("type", Shape::Enum(&VALUE_TYPE), "`Exact` when absent."),
    required("name", text(Format::FieldName), "Name of the parameter."),
    required("value", text(Format::Regex), "The whole value, or RE2 for it."),
]);

static VALUE_TYPE: Enumeration = Enumeration {
    values: &["Exact", "RegularExpression"],
    not_yet: &[],
    ignore_case: false,
};

static METHOD: Enumeration = Enumeration {
    values: &[
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ],
    not_yet: &[],
    ignore_case: false,
};

const BACKEND_GROUP: Field = field(
    "group",
    text(Format::Any),
    "Empty when absent: that of Services; `networking.istio.io` for a Hostname.",
);

const BACKEND_KIND: Field = field("kind", text(Format::NonEmpty), "`Service` when absent.");

const BACKEND_NAMESPACE: Field = field(
    "namespace",
    text(Format::Namespace),
    "The route's own when absent; another needs a ReferenceGrant there.",
);

const BACKEND_NAME: Field = required(
    "name",
    text(Format::DnsName),
    "Name of the Service, or the host of a Hostname.",
);

const BACKEND_PORT: Field = field("port", PORT, "Its port.");

static BACKEND_REF: Object = Object::new(&[
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAMESPACE,
    BACKEND_NAME,
    BACKEND_PORT,
    field(
        "weight",
        Shape::Integer { min: 0, max: 1_000_000 },
        "Share of the traffic, relative to the rule's others; 1 when absent.",
    ),
    field(
        "filters",
        list(&Shape::Object(&FILTER)),
        "Filters of this backend only: of headers, and URLRewrite.",
    ),
]);

static FILTER: Object = Object::new(&[
    required("type", Shape::Enum(&FILTER_TYPE), "Which filter it is."),
    field(
        "requestHeaderModifier",
        Shape::Object(&HEADER_MODIFIER),
        "Changes on the way to the backend.",
    ),
    field(
        "responseHeaderModifier",
        Shape::Object(&HEADER_MODIFIER),
        "Changes on the way to the client.",
    ),
    field(
        "requestRedirect",
        Shape::Object(&REDIRECT),
        "Answers with another place.",
    ),
    field("urlRewrite", Shape::Object(&REWRITE), "What the backend gets instead."),
    field(
        "requestMirror",
        Shape::Object(&MIRROR),
        "Gets copies of the requests; its answers are dropped. There may be several such filters.",
    ),
    not_yet("cors"),
    not_yet("externalAuth"),
    not_yet("extensionRef"),
]);

static FILTER_TYPE: Enumeration = Enumeration {
    values: &[
        "RequestHeaderModifier",
        "ResponseHeaderModifier",
        "RequestRedirect",
        "URLRewrite",
        "RequestMirror",
    ],
    not_yet: &["CORS", "ExternalAuth", "ExtensionRef"],
    ignore_case: false,
};

static MIRROR: Object = Object::new(&[
    required("backendRef", Shape::Object(&MIRROR_REF), "Where the copies go."),
    field(
        "percent",
        Shape::Integer { min: 0, max: 100 },
        "How many of a hundred requests are copied; all when absent.",
    ),
    field(
        "fraction",
        Shape::Object(&FRACTION),
        "The same as a fraction, instead of `percent`.",
    ),
]);

static MIRROR_REF: Object = Object::new(&[
    BACKEND_GROUP,
    BACKEND_KIND,
    BACKEND_NAMESPACE,
    BACKEND_NAME,
    BACKEND_PORT,
]);

static FRACTION: Object = Object::new(&[
    required(
        "numerator",
        Shape::Integer {
            min: 0,
            max: 2_147_483_647,
        },
        "How many; at most `denominator`.",
    ),
    field(
        "denominator",
        Shape::Integer {
            min: 1,
            max: 2_147_483_647,
        },
        "Of how many; 100 when absent.",
    ),
]);

static HEADER_MODIFIER: Object = Object::new(&[
    field("set", list(&Shape::Object(&CHANGED_HEADER)), "A field's one value."),
    field("add", list(&Shape::Object(&CHANGED_HEADER)), "One more value."),
    field(
        "remove",
        list(&Shape::Text(Format::ModifiedHeader)),
        "Header fields that are taken away.",
    ),
]);

static CHANGED_HEADER: Object = Object::new(&[
    required("name", text(Format::ModifiedHeader), "Name of the header field."),
    required("value", text(Format::ModifiedValue), "The value, as it stands."),
]);

static REDIRECT: Object = Object::new(&[
    field("scheme", Shape::Enum(&SCHEME), "The scheme instead of the client's."),
    field("hostname", text(Format::DnsName), "The host instead of the client's."),
    field(
        "path",
        Shape::Object(&PATH_MODIFIER),
        "The path instead of the client's.",
    ),
    field(
        "port",
        PORT,
        "The port; when absent, the scheme's if one is given, otherwise the listener's.",
    ),
    field(
        "statusCode",
        Shape::Integer { min: 300, max: 399 },
        "301, 302, 303, 307 or 308; 302 when absent.",
    ),
]);

static SCHEME: Enumeration = Enumeration {
    values: &["http", "https"],
    not_yet: &[],
    ignore_case: false,
};

static REWRITE: Object = Object::new(&[
    field("hostname", text(Format::DnsName), "The Host that is sent."),
    field("path", Shape::Object(&PATH_MODIFIER), "The path that is sent."),
]);

static PATH_MODIFIER: Object = Object::new(&[
    required("type", Shape::Enum(&MODIFIER_TYPE), "Which of the two it is."),
    field("replaceFullPath", text(Format::NewPath), "Stands for the whole path."),
    field(
        "replacePrefixMatch",
        text(Format::NewPath),
        "Stands for the prefix that was matched.",
    ),
]);

static MODIFIER_TYPE: Enumeration = Enumeration {
    values: &["ReplaceFullPath", "ReplacePrefixMatch"],
    not_yet: &[],
    ignore_case: false,
};
