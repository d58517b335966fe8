//! The shape of `networking.istio.io` VirtualService.

use super::route_settings::{CORS, FAULT, PERCENTAGE, RETRIES as RETRIES_SHAPE};
use super::{
    Enumeration, Field, LABELS, Object, PORT, STRING_MATCH, Shape, field, list, list_of_some, not_yet, required, text,
};
use crate::config::format::Format;

/// `spec` of a VirtualService.
pub(super) static VIRTUAL_SERVICE: Object = Object::new(&[
    field(
        "hosts",
        list_of_some(&Shape::Text(Format::RouteHost)),
        "The hosts it is for: names, `*.example.com` or `*`. Without any, other VirtualServices delegate to it.",
    ),
    field(
        "gateways",
        list(&Shape::Text(Format::GatewayReference)),
        "The Gateways it is bound to: `namespace/name`, or `name` in its own namespace.",
    ),
    field(
        "exportTo",
        list(&Shape::Text(Format::ExportTo)),
        "Namespaces whose gateways see it; without any, all of them.",
    ),
    required(
        "http",
        list_of_some(&Shape::Object(&HTTP_ROUTE)),
        "The first rule that matches decides.",
    ),
    not_yet("tcp"),
    not_yet("tls"),
]);

static HTTP_ROUTE: Object = Object::new(&[
    field("name", text(Format::NonEmpty), "What logs and metrics call the rule."),
    field(
        "match",
        list(&Shape::Object(&MATCH)),
        "Any of them; without any, every request.",
    ),
    field(
        "route",
        list_of_some(&Shape::Object(&DESTINATION)),
        "The hosts that share the rule's traffic.",
    ),
    field("redirect", Shape::Object(&REDIRECT), "Answers with another place."),
    field(
        "directResponse",
        Shape::Object(&DIRECT_RESPONSE),
        "Answers without an upstream.",
    ),
    REWRITE,
    HEADERS,
    TIMEOUT,
    RETRIES,
    CORS_POLICY,
    FAULTS,
    MIRROR,
    MIRROR_PERCENTAGE,
    field(
        "mirrorPercent",
        Shape::Integer { min: 0, max: 100 },
        "The same as a whole number.",
    ),
    not_yet("mirror_percent"),
    MIRRORS,
    field(
        "delegate",
        Shape::Object(&DELEGATE),
        "The VirtualService without hosts whose rules stand here.",
    ),
]);

static DELEGATE: Object = Object::new(&[
    required("name", text(Format::ResourceName), "Its name."),
    field(
        "namespace",
        text(Format::Namespace),
        "Its namespace; when absent, that of the resource.",
    ),
]);

static LISTED_MIRROR: Shape = Shape::Object(&ONE_MIRROR);

static ONE_MIRROR: Object = Object::new(&[
    required("destination", Shape::Object(&HOST), "Where the copies go."),
    field(
        "percentage",
        Shape::Object(&PERCENTAGE),
        "How many of a hundred requests are copied; all when absent.",
    ),
]);

static MATCH: Object = Object::new(&[
    field("name", text(Format::NonEmpty), "Name of the match."),
    URI,
    IGNORE_URI_CASE,
    SCHEME_MATCH,
    METHOD_MATCH,
    AUTHORITY_MATCH,
    PORT_MATCH,
    field("headers", HEADER_MATCHES, "By header name; all of them must match."),
    WITHOUT_HEADERS,
    QUERY_PARAMS,
    field(
        "gateways",
        list(&Shape::Text(Format::GatewayReference)),
        "Narrows the resource's own list.",
    ),
    field("sourceLabels", LABELS, "Compared with the gateway's own labels."),
    SOURCE_NAMESPACE,
    field(
        "statPrefix",
        text(Format::NonEmpty),
        "Accepted; metrics are by the rule's name.",
    ),
]);

static STRING: Shape = Shape::Object(&STRING_MATCH);

// What LLMRoutes of `lockgate.dev` have too.
pub(super) const REWRITE: Field = field(
    "rewrite",
    Shape::Object(&REWRITE_SHAPE),
    "What the upstream gets instead.",
);
pub(super) const HEADERS: Field = field("headers", Shape::Object(&HEADERS_SHAPE), "Changes of header fields.");
pub(super) const TIMEOUT: Field = field(
    "timeout",
    text(Format::TimeLimit),
    "Longest time from the end of a request to the end of its answer, retries included; none when absent or `0s`.",
);
pub(super) const RETRIES: Field = field(
    "retries",
    Shape::Object(&RETRIES_SHAPE),
    "What is tried again; when absent, two retries where nothing was sent yet.",
);
pub(super) const CORS_POLICY: Field = field(
    "corsPolicy",
    Shape::Object(&CORS),
    "What pages of other origins may do.",
);
pub(super) const FAULTS: Field = field(
    "fault",
    Shape::Object(&FAULT),
    "Requests that are held up or aborted by chance.",
);
pub(super) const MIRROR: Field = field(
    "mirror",
    Shape::Object(&HOST),
    "Gets copies of the requests; its answers are dropped.",
);
pub(super) const MIRROR_PERCENTAGE: Field = field(
    "mirrorPercentage",
    Shape::Object(&PERCENTAGE),
    "How many of a hundred `mirror` gets; all when absent.",
);
pub(super) const MIRRORS: Field = field("mirrors", list(&LISTED_MIRROR), "Several of them.");
pub(super) const URI: Field = field(
    "uri",
    Shape::Object(&STRING_MATCH),
    "The path in its normal form, without the query.",
);
pub(super) const IGNORE_URI_CASE: Field = field(
    "ignoreUriCase",
    Shape::Bool,
    "`exact` and `prefix` of `uri` ignore case.",
);
pub(super) const SCHEME_MATCH: Field = field("scheme", Shape::Object(&STRING_MATCH), "`http` or `https`.");
pub(super) const METHOD_MATCH: Field = field("method", Shape::Object(&STRING_MATCH), "The method.");
pub(super) const AUTHORITY_MATCH: Field = field(
    "authority",
    Shape::Object(&STRING_MATCH),
    "The authority as sent: with its port, in its case.",
);
pub(super) const PORT_MATCH: Field = field("port", PORT, "The port of the Gateway server.");
pub(super) const WITHOUT_HEADERS: Field = field(
    "withoutHeaders",
    HEADER_MATCHES,
    "By header name; none of them must match.",
);
pub(super) const QUERY_PARAMS: Field = field(
    "queryParams",
    Shape::Map {
        key: Format::NonEmpty,
        value: &STRING,
    },
    "By parameter name; the first of several counts, as it is written.",
);
pub(super) const SOURCE_NAMESPACE: Field = field(
    "sourceNamespace",
    text(Format::Namespace),
    "Compared with the gateway's own namespace.",
);

const HEADER_MATCHES: Shape = Shape::Map {
    key: Format::MatchedHeader,
    value: &Shape::Object(&STRING_MATCH),
};

static DESTINATION: Object = Object::new(&[
    required("destination", Shape::Object(&HOST), "Where the requests go."),
    field(
        "weight",
        Shape::Integer {
            min: 0,
            max: i32::MAX as i64,
        },
        "Share of the traffic, relative to the rule's others; 0 when absent.",
    ),
    field(
        "headers",
        Shape::Object(&HEADERS_SHAPE),
        "Changes of header fields, of this destination only.",
    ),
]);

static HOST: Object = Object::new(&[
    required("host", text(Format::DnsName), "A host of a ServiceEntry."),
    field(
        "port",
        Shape::Object(&PORT_SELECTOR),
        "Its port; needed when it has several.",
    ),
    field(
        "subset",
        text(Format::ResourceName),
        "One of the `subsets` of the host's DestinationRule.",
    ),
]);

static PORT_SELECTOR: Object = Object::new(&[required("number", PORT, "The port number.")]);

static REDIRECT: Object = Object::new(&[
    field(
        "uri",
        text(Format::RequestPath),
        "The path instead of the client's, in full.",
    ),
    field(
        "authority",
        text(Format::Authority),
        "The host instead of the client's.",
    ),
    field("port", PORT, "The port instead of the client's."),
    field(
        "derivePort",
        Shape::Enum(&DERIVE_PORT),
        "The port: that of the client's host, or that of the listener.",
    ),
    field("scheme", Shape::Enum(&SCHEME), "The scheme instead of the client's."),
    field(
        "redirectCode",
        Shape::Integer { min: 300, max: 399 },
        "301, 302, 303, 307 or 308; 301 when absent.",
    ),
]);

static DERIVE_PORT: Enumeration = Enumeration {
    values: &["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"],
    not_yet: &[],
    ignore_case: false,
};

static SCHEME: Enumeration = Enumeration {
    values: &["http", "https"],
    not_yet: &[],
    ignore_case: false,
};

static DIRECT_RESPONSE: Object = Object::new(&[
    required("status", Shape::Integer { min: 200, max: 599 }, "The status code."),
    field("body", Shape::Object(&BODY), "The body; none when absent."),
]);

static BODY: Object = Object::new(&[
    field("string", text(Format::Any), "The body as text."),
    field("bytes", text(Format::Base64), "The body in base64."),
]);

static REWRITE_SHAPE: Object = Object::new(&[
    field(
        "uri",
        text(Format::RequestPath),
        "Stands for what was matched of the path: a prefix, or all of it.",
    ),
    field("authority", text(Format::Authority), "The Host that is sent."),
    field(
        "uriRegexRewrite",
        Shape::Object(&REGEX_REWRITE),
        "Every match in the path, replaced.",
    ),
]);

static REGEX_REWRITE: Object = Object::new(&[
    required("match", text(Format::Regex), "RE2 expression for a part of the path."),
    required(
        "rewrite",
        text(Format::NonEmpty),
        "What replaces it; `\\1` is its first group.",
    ),
]);

static HEADERS_SHAPE: Object = Object::new(&[
    field(
        "request",
        Shape::Object(&REQUEST_CHANGES),
        "Changes on the way to the upstream.",
    ),
    field(
        "response",
        Shape::Object(&RESPONSE_CHANGES),
        "Changes on the way to the client.",
    ),
]);

static REQUEST_CHANGES: Object = Object::new(&changes(Format::RequestHeaderChange));
static RESPONSE_CHANGES: Object = Object::new(&changes(Format::HeaderChange));

const fn changes(name: Format) -> [Field; 3] {
    [
        field("set", values(name), "By header name: its one value."),
        field("add", values(name), "By header name: one more value."),
        field(
            "remove",
            list(&Shape::Text(Format::HeaderChange)),
            "Header fields that are taken away.",
        ),
    ]
}

const fn values(name: Format) -> Shape {
    Shape::Map {
        key: name,
        value: &Shape::Text(Format::ChangedValue),
    }
}
