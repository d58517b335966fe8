//! The shape of MeshConfig's `extensionProviders`: whom CUSTOM policies ask.
//!
//! Istio also has its tracing, logging and metrics backends here. They are taken
//! and not read, like the rest of telemetry.

use super::{Field, Object, Shape, field, list, required, text};
use crate::config::format::Format;

pub(super) static EXTENSION_PROVIDER: Object = Object::new(&[
    required(
        "name",
        text(Format::NonEmpty),
        "Its name, unique; `provider.name` of a CUSTOM policy.",
    ),
    field(
        "envoyExtAuthzHttp",
        Shape::Object(&HTTP),
        "An external authorizer that is asked by HTTP; 200 lets a request pass.",
    ),
    field(
        "envoyExtAuthzGrpc",
        Shape::Object(&GRPC),
        "An external authorizer that is asked by gRPC: `envoy.service.auth.v3.Authorization`.",
    ),
    telemetry("datadog"),
    telemetry("envoyFileAccessLog"),
    telemetry("envoyHttpAls"),
    telemetry("envoyOtelAls"),
    telemetry("envoyTcpAls"),
    telemetry("lightstep"),
    telemetry("opencensus"),
    telemetry("opentelemetry"),
    telemetry("prometheus"),
    telemetry("sds"),
    telemetry("skywalking"),
    telemetry("stackdriver"),
    telemetry("zipkin"),
]);

static HTTP: Object = Object::new(&[
    SERVICE,
    PORT,
    TIMEOUT,
    FAIL_OPEN,
    STATUS_ON_ERROR,
    CLEAR_ROUTE_CACHE,
    BODY,
    field(
        "pathPrefix",
        text(Format::RequestPath),
        "What the path of the check begins with, before the client's path.",
    ),
    field(
        "includeRequestHeadersInCheck",
        NAMES,
        "Header fields of the client that it is sent, besides `Host` and `Authorization`.",
    ),
    field(
        "includeHeadersInCheck",
        NAMES,
        "The older name of `includeRequestHeadersInCheck`, which wins over it.",
    ),
    field(
        "includeAdditionalHeadersInCheck",
        Shape::Map {
            key: Format::CheckHeader,
            value: &Shape::Text(Format::HeaderValue),
        },
        "Header fields that the check has, whatever the client's are. Their values are kept like secrets.",
    ),
    field(
        "headersToUpstreamOnAllow",
        NAMES,
        "Header fields of its answer that the request gets when it may pass.",
    ),
    field(
        "headersToDownstreamOnDeny",
        NAMES,
        "Header fields of its answer that the client gets when it may not, besides `WWW-Authenticate` and `Location`; all when absent.",
    ),
    field(
        "headersToDownstreamOnAllow",
        NAMES,
        "Header fields of its answer that are added to the upstream's.",
    ),
]);

static GRPC: Object = Object::new(&[
    SERVICE,
    PORT,
    TIMEOUT,
    FAIL_OPEN,
    STATUS_ON_ERROR,
    CLEAR_ROUTE_CACHE,
    BODY,
]);

const SERVICE: Field = required(
    "service",
    text(Format::ServiceHost),
    "Its host, `[namespace/]host`: looked up by DNS unless a ServiceEntry says where it is.",
);
const PORT: Field = required("port", Shape::ServicePort, "Its port; digits in quotes are taken too.");
const TIMEOUT: Field = field(
    "timeout",
    text(Format::Duration),
    "Time for its whole answer; 600s when absent.",
);
const FAIL_OPEN: Field = field(
    "failOpen",
    Shape::Bool,
    "Whether requests pass while it cannot be reached or fails; they are refused when absent.",
);
const STATUS_ON_ERROR: Field = field(
    "statusOnError",
    text(Format::StatusCode),
    "The status of those that are refused then; `\"403\"` when absent.",
);
const CLEAR_ROUTE_CACHE: Field = field(
    "clearRouteCache",
    Shape::Bool,
    "Whether the header fields that it sets may choose the route.",
);
const BODY: Field = field(
    "includeRequestBodyInCheck",
    Shape::Object(&REQUEST_BODY),
    "Has it sent the client's body too.",
);

static REQUEST_BODY: Object = Object::new(&[
    required(
        "maxRequestBytes",
        Shape::Integer {
            min: 1,
            max: 32 * 1024 * 1024,
        },
        "As much of the body as it is sent; a request with more is 413.",
    ),
    field(
        "allowPartialMessage",
        Shape::Bool,
        "Has it sent the beginning of a larger body instead.",
    ),
    field(
        "packAsBytes",
        Shape::Bool,
        "Has gRPC carry the body in `raw_body`, as it is, instead of in `body`, which is text.",
    ),
]);

const NAMES: Shape = list(&Shape::Text(Format::NamePattern));

/// What is a backend of Istio's telemetry.
const fn telemetry(name: &'static str) -> Field {
    field(name, Shape::Any, "A backend of Istio's telemetry; not read.")
}
