//! The registry of kinds: what is decoded, and what is known by name only.

use super::authorization_policy::AUTHORIZATION_POLICY;
use super::destination_rule::DESTINATION_RULE;
use super::gateway::GATEWAY;
use super::gateway_api::{GATEWAY_CLASS, KUBE_GATEWAY, REFERENCE_GRANT};
use super::http_route::HTTP_ROUTE;
use super::inference_pool::INFERENCE_POOL;
use super::llm::{LLM_PROVIDER, LLM_ROUTE};
use super::mesh_config::MESH_CONFIG;
use super::request_authentication::REQUEST_AUTHENTICATION;
use super::scenario::SCENARIO;
use super::secret::SECRET;
use super::service_entry::SERVICE_ENTRY;
use super::virtual_service::VIRTUAL_SERVICE;
use super::{Object, Shape};

/// A kind that is decoded.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) versions: &'static [&'static str],
    pub(crate) doc: &'static str,
    pub(crate) body: Body,
}

/// Where a kind says what it is about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    /// In `spec`, without which a resource of this kind means nothing.
    Spec(&'static Object),
    /// In `spec`, which may be left out.
    OptionalSpec(&'static Object),
    /// In fields beside `metadata`.
    Fields(&'static Object),
}

impl Kind {
    /// The shape of a field beside `metadata`.
    pub(crate) fn field(&self, name: &str) -> Option<Shape> {
        match self.body {
            Body::Spec(spec) | Body::OptionalSpec(spec) => (name == "spec").then_some(Shape::Object(spec)),
            Body::Fields(fields) => fields.field(name).map(|field| field.shape),
        }
    }
}

/// Lockgate's own group: the same kinds, with more fields.
pub(crate) const LOCKGATE: &str = "lockgate.dev";

/// Kubernetes' core group, that of `apiVersion: v1`.
pub(crate) const CORE: &str = "";

/// Kubernetes' Gateway API.
pub(crate) const GATEWAY_API: &str = crate::config::resource::gateway_api::GROUP;

const INFERENCE: &str = crate::config::resource::gateway_api::INFERENCE_GROUP;
const NETWORKING: &str = crate::config::resource::NETWORKING_GROUP;
const SECURITY: &str = "security.istio.io";
const ASM: &str = "istio.alibabacloud.com";
const NETWORKING_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const OTHER_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// Every kind that is decoded. Of two with one name, that of the first group is meant under `lockgate.dev`.
pub(crate) static KINDS: [Kind; 16] = [
    Kind {
        name: "Gateway",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Which ports listen, and for which hosts.",
        body: Body::Spec(&GATEWAY),
    },
    Kind {
        name: "AuthorizationPolicy",
        group: SECURITY,
        versions: OTHER_VERSIONS,
        doc: "Who may send what.",
        body: Body::OptionalSpec(&AUTHORIZATION_POLICY),
    },
    Kind {
        name: "RequestAuthentication",
        group: SECURITY,
        versions: OTHER_VERSIONS,
        doc: "Whose tokens are accepted.",
        body: Body::OptionalSpec(&REQUEST_AUTHENTICATION),
    },
    Kind {
        name: "LLMProvider",
        group: ASM,
        versions: OTHER_VERSIONS,
        doc: "A large language model outside, its parameters and its key.",
        body: Body::Spec(&LLM_PROVIDER),
    },
    Kind {
        name: "LLMRoute",
        group: ASM,
        versions: OTHER_VERSIONS,
        doc: "Which requests go to which provider.",
        body: Body::Spec(&LLM_ROUTE),
    },
    Kind {
        name: "VirtualService",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Which requests go to which host as plain HTTP, or are answered here.",
        body: Body::Spec(&VIRTUAL_SERVICE),
    },
    Kind {
        name: "ServiceEntry",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Where an outside host really is.",
        body: Body::Spec(&SERVICE_ENTRY),
    },
    Kind {
        name: "DestinationRule",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "How an upstream is spoken to.",
        body: Body::Spec(&DESTINATION_RULE),
    },
    Kind {
        name: "Secret",
        group: CORE,
        versions: &["v1"],
        doc: "Certificates and keys that a Gateway's `credentialName` names.",
        body: Body::Fields(&SECRET),
    },
    Kind {
        name: "MeshConfig",
        group: LOCKGATE,
        versions: &["v1"],
        doc: "How heads are read: Istio's MeshConfig, with fields of our own.",
        body: Body::Spec(&MESH_CONFIG),
    },
    Kind {
        name: "Scenario",
        group: LOCKGATE,
        versions: &["v1"],
        doc: "Requests, and what is expected to come of each: a test of the other resources.",
        body: Body::Spec(&SCENARIO),
    },
    Kind {
        name: "Gateway",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Which ports listen, and for which hosts.",
        body: Body::Spec(&KUBE_GATEWAY),
    },
    Kind {
        name: "GatewayClass",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Whose the Gateways of a class are.",
        body: Body::Spec(&GATEWAY_CLASS),
    },
    Kind {
        name: "HTTPRoute",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Which requests of a Gateway go to which backend, or are sent elsewhere.",
        body: Body::Spec(&HTTP_ROUTE),
    },
    Kind {
        name: "ReferenceGrant",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "What of a namespace the resources of another may refer to.",
        body: Body::Spec(&REFERENCE_GRANT),
    },
    Kind {
        name: "InferencePool",
        group: INFERENCE,
        versions: &["v1"],
        doc: "Model servers that an HTTPRoute sends to.",
        body: Body::Spec(&INFERENCE_POOL),
    },
];

/// Groups whose kinds shape traffic, with the kinds that are known and not supported yet.
///
/// Leaving one of these out silently would change what the configuration means.
/// Of the core group only the kinds named here do; a Service or a Namespace does not.
pub(crate) static KNOWN_UNSUPPORTED: [(&str, &[&str]); 11] = [
    (
        NETWORKING,
        &[
            "Sidecar",
            "EnvoyFilter",
            "WorkloadEntry",
            "WorkloadGroup",
            "ProxyConfig",
        ],
    ),
    (SECURITY, &["PeerAuthentication"]),
    (
        ASM,
        &[
            "ASMLocalRateLimiter",
            "ASMGlobalRateLimiter",
            "ASMSecurityPolicy",
            "ASMSwimLane",
            "ASMSwimLaneGroup",
            "ASMCircuitBreaker",
            "ASMAdaptiveConcurrency",
            "TrafficFilter",
            "IstioGateway",
        ],
    ),
    ("telemetry.istio.io", &["Telemetry"]),
    ("extensions.istio.io", &["WasmPlugin", "TrafficExtension"]),
    ("install.istio.io", &["IstioOperator"]),
    (
        GATEWAY_API,
        &[
            "GRPCRoute",
            "TLSRoute",
            "TCPRoute",
            "UDPRoute",
            "BackendTLSPolicy",
            "ListenerSet",
        ],
    ),
    (INFERENCE, &[]),
    (
        "inference.networking.x-k8s.io",
        &["InferencePool", "InferenceModel", "InferenceObjective"],
    ),
    (LOCKGATE, &[]),
    (CORE, &[]),
];
