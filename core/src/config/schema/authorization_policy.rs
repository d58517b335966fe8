//! The shape of `security.istio.io` AuthorizationPolicy.

use super::{Enumeration, LABELS, Object, Shape, field, list, list_of_some, not_yet, required};
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
    not_yet("targetRef"),
    not_yet("targetRefs"),
    not_yet("provider"),
]);

static SELECTOR: Object = Object::new(&[field("matchLabels", LABELS, "Labels that a workload must all have.")]);

static ACTION: Enumeration = Enumeration {
    values: &["ALLOW", "DENY"],
    not_yet: &["AUDIT", "CUSTOM"],
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
    not_yet("when"),
]);

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
    not_yet("remoteIpBlocks"),
    not_yet("notRemoteIpBlocks"),
    not_yet("principals"),
    not_yet("notPrincipals"),
    not_yet("requestPrincipals"),
    not_yet("notRequestPrincipals"),
    not_yet("namespaces"),
    not_yet("notNamespaces"),
    not_yet("serviceAccounts"),
    not_yet("notServiceAccounts"),
    not_yet("trustDomains"),
    not_yet("notTrustDomains"),
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
