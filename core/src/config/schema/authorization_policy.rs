//! The shape of `security.istio.io` AuthorizationPolicy.

use super::{Enumeration, LABELS, Object, Shape, field, list, list_of_some, required, text};
use crate::config::format::Format;

/// `spec` of an AuthorizationPolicy.
pub(super) static AUTHORIZATION_POLICY: Object = Object::new(&[
    field(
        "selector",
        Shape::Object(&SELECTOR),
        "The workloads it applies to; without it, all of the namespace.",
    ),
    field(
        "action",
        Shape::Enum(&ACTION),
        "What a matching rule does; `ALLOW` when absent.",
    ),
    field(
        "rules",
        list(&Shape::Object(&RULE)),
        "Any of them matches; an ALLOW policy without rules allows nothing.",
    ),
    field(
        "targetRef",
        Shape::Object(&TARGET_REF),
        "The Gateway it applies to, instead of a selector.",
    ),
    field(
        "targetRefs",
        list_of_some(&Shape::Object(&TARGET_REF)),
        "The Gateways it applies to, any of them, instead of a selector.",
    ),
    field(
        "provider",
        Shape::Object(&PROVIDER),
        "Whom a CUSTOM policy asks; it needs one, and no other may have one.",
    ),
]);

static PROVIDER: Object = Object::new(&[required(
    "name",
    text(Format::NonEmpty),
    "`name` of one of MeshConfig's `extensionProviders`.",
)]);

pub(super) static TARGET_REF: Object = Object::new(&[
    required("kind", Shape::Enum(&TARGET_KIND), "What is referred to."),
    field("group", Shape::Enum(&TARGET_GROUP), "The API group of `kind`."),
    required(
        "name",
        text(Format::ResourceName),
        "Its name, in the policy's own namespace.",
    ),
    field(
        "namespace",
        text(Format::Namespace),
        "The policy's own namespace; Istio allows no other.",
    ),
]);

static TARGET_KIND: Enumeration = Enumeration {
    values: &["Gateway", "GatewayClass", "Service", "ServiceEntry"],
    not_yet: &[],
    ignore_case: false,
};

/// Istio's own group is ours: its Gateways are what opens ports here.
static TARGET_GROUP: Enumeration = Enumeration {
    values: &["gateway.networking.k8s.io", "networking.istio.io", "core", ""],
    not_yet: &[],
    ignore_case: false,
};

pub(super) static SELECTOR: Object =
    Object::new(&[field("matchLabels", LABELS, "Labels that a workload must all have.")]);

static ACTION: Enumeration = Enumeration {
    values: &["ALLOW", "DENY", "AUDIT", "CUSTOM"],
    not_yet: &[],
    ignore_case: false,
};

static RULE: Object = Object::new(&[
    field(
        "from",
        list_of_some(&Shape::Object(&FROM)),
        "Where the request comes from, any of them; absent is anywhere.",
    ),
    field(
        "to",
        list_of_some(&Shape::Object(&TO)),
        "What the request does, any of them; absent is anything.",
    ),
    field(
        "when",
        list_of_some(&Shape::Object(&CONDITION)),
        "Further conditions, all of them.",
    ),
]);

static CONDITION: Object = Object::new(&[
    required(
        "key",
        text(Format::ConditionKey),
        "What is compared, such as `request.headers[x-team]`, `request.auth.claims[groups]`, `source.ip`; under `lockgate.dev/v1` also `request.llm[model]`, `[stream]`, `[max_tokens]` and `[tools]`.",
    ),
    field("values", CONDITION_VALUES, "Any of them."),
    field("notValues", CONDITION_VALUES, "None of them."),
]);

const CONDITION_VALUES: Shape = list_of_some(&Shape::Text(Format::NonEmpty));

static FROM: Object = Object::new(&[required(
    "source",
    Shape::Object(&SOURCE),
    "Where the request comes from: all the fields that are given must hold.",
)]);

static TO: Object = Object::new(&[required(
    "operation",
    Shape::Object(&OPERATION),
    "What the request does: all the fields that are given must hold.",
)]);

static SOURCE: Object = Object::not_empty(&[
    field("ipBlocks", CIDRS, "Addresses or blocks of the TCP peer, any of them."),
    field(
        "notIpBlocks",
        CIDRS,
        "Addresses or blocks of the TCP peer, none of them.",
    ),
    field(
        "remoteIpBlocks",
        CIDRS,
        "Addresses or blocks of the client as trusted proxies name it, any of them.",
    ),
    field("notRemoteIpBlocks", CIDRS, "The same, none of them."),
    field(
        "principals",
        PRINCIPALS,
        "The identity of the client's certificate, `cluster.local/ns/NAMESPACE/sa/ACCOUNT`, any of them.",
    ),
    field("notPrincipals", PRINCIPALS, "The same, none of them."),
    field(
        "requestPrincipals",
        REQUEST_PRINCIPALS,
        "`iss/sub` of the verified token, any of them.",
    ),
    field("notRequestPrincipals", REQUEST_PRINCIPALS, "The same, none of them."),
    field(
        "namespaces",
        NAMESPACES,
        "The namespace of the client's certificate, any of them.",
    ),
    field("notNamespaces", NAMESPACES, "The same, none of them."),
    field(
        "serviceAccounts",
        ACCOUNTS,
        "The service account of the client's certificate, `ACCOUNT` or `NAMESPACE/ACCOUNT`, any of them.",
    ),
    field("notServiceAccounts", ACCOUNTS, "The same, none of them."),
    field(
        "trustDomains",
        TRUST_DOMAINS,
        "The trust domain of the client's certificate, any of them.",
    ),
    field("notTrustDomains", TRUST_DOMAINS, "The same, none of them."),
]);

static OPERATION: Object = Object::not_empty(&[
    field("hosts", HOSTS, "The host with its port, any of them; case is ignored."),
    field("notHosts", HOSTS, "The host with its port, none of them."),
    field("ports", PORTS, "The port of the listener, any of them."),
    field("notPorts", PORTS, "The port of the listener, none of them."),
    field("methods", METHODS, "The method, any of them."),
    field("notMethods", METHODS, "The method, none of them."),
    field("paths", PATHS, "The normalised path without query, any of them."),
    field("notPaths", PATHS, "The normalised path without query, none of them."),
]);

const CIDRS: Shape = list_of_some(&Shape::Text(Format::Cidr));
const HOSTS: Shape = list_of_some(&Shape::Text(Format::PolicyHost));
const PORTS: Shape = list_of_some(&Shape::PolicyPort);
const METHODS: Shape = list_of_some(&Shape::Text(Format::PolicyMethod));
const PATHS: Shape = list_of_some(&Shape::Text(Format::PolicyPath));
const PRINCIPALS: Shape = list_of_some(&Shape::Text(Format::Principal));
const REQUEST_PRINCIPALS: Shape = list_of_some(&Shape::Text(Format::RequestPrincipal));
const NAMESPACES: Shape = list_of_some(&Shape::Text(Format::PolicyNamespace));
const ACCOUNTS: Shape = list_of_some(&Shape::Text(Format::ServiceAccount));
const TRUST_DOMAINS: Shape = list_of_some(&Shape::Text(Format::TrustDomain));
