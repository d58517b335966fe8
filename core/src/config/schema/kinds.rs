//! The registry of kinds: what is decoded, and what is known by name only.

use super::Object;
use super::authorization_policy::AUTHORIZATION_POLICY;
use super::destination_rule::DESTINATION_RULE;
use super::gateway::GATEWAY;
use super::gateway_api::{GATEWAY_CLASS, KUBE_GATEWAY, REFERENCE_GRANT};
use super::http_route::HTTP_ROUTE;
use super::inference_pool::INFERENCE_POOL;
use super::llm::{LLM_PROVIDER, LLM_ROUTE};
use super::mesh_config::MESH_CONFIG;
use super::request_authentication::REQUEST_AUTHENTICATION;
use super::service_entry::SERVICE_ENTRY;
use super::virtual_service::VIRTUAL_SERVICE;

/// A kind that is decoded.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) group: &'static str,
    pub(crate) versions: &'static [&'static str],
    pub(crate) doc: &'static str,
    pub(crate) spec: &'static Object,
    /// Whether a resource without `spec` means nothing.
    pub(crate) spec_required: bool,
}

/// Lockgate's own group: the same kinds, with more fields.
pub(crate) const LOCKGATE: &str = "lockgate.dev";

/// Kubernetes' core group, that of `apiVersion: v1`.
pub(crate) const CORE: &str = "";

/// Kubernetes' Gateway API.
pub(crate) const GATEWAY_API: &str = crate::config::resource::gateway_api::GROUP;

const INFERENCE: &str = crate::config::resource::gateway_api::INFERENCE_GROUP;
const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const ASM: &str = "istio.alibabacloud.com";
const NETWORKING_VERSIONS: &[&str] = &["v1", "v1beta1", "v1alpha3"];
const OTHER_VERSIONS: &[&str] = &["v1", "v1beta1"];

/// Every kind that is decoded. Of two with one name, that of the first group is meant under `lockgate.dev`.
pub(crate) static KINDS: [Kind; 14] = [
    Kind {
        name: "Gateway",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Which ports listen, and for which hosts.",
        spec: &GATEWAY,
        spec_required: true,
    },
    Kind {
        name: "AuthorizationPolicy",
        group: SECURITY,
        versions: OTHER_VERSIONS,
        doc: "Who may send what.",
        spec: &AUTHORIZATION_POLICY,
        spec_required: false,
    },
    Kind {
        name: "RequestAuthentication",
        group: SECURITY,
        versions: OTHER_VERSIONS,
        doc: "Whose tokens are accepted.",
        spec: &REQUEST_AUTHENTICATION,
        spec_required: false,
    },
    Kind {
        name: "LLMProvider",
        group: ASM,
        versions: OTHER_VERSIONS,
        doc: "A large language model outside, its parameters and its key.",
        spec: &LLM_PROVIDER,
        spec_required: true,
    },
    Kind {
        name: "LLMRoute",
        group: ASM,
        versions: OTHER_VERSIONS,
        doc: "Which requests go to which provider.",
        spec: &LLM_ROUTE,
        spec_required: true,
    },
    Kind {
        name: "VirtualService",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Which requests go to which host as plain HTTP, or are answered here.",
        spec: &VIRTUAL_SERVICE,
        spec_required: true,
    },
    Kind {
        name: "ServiceEntry",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "Where an outside host really is.",
        spec: &SERVICE_ENTRY,
        spec_required: true,
    },
    Kind {
        name: "DestinationRule",
        group: NETWORKING,
        versions: NETWORKING_VERSIONS,
        doc: "How an upstream is spoken to.",
        spec: &DESTINATION_RULE,
        spec_required: true,
    },
    Kind {
        name: "MeshConfig",
        group: LOCKGATE,
        versions: &["v1"],
        doc: "How heads are read: Istio's MeshConfig, with fields of our own.",
        spec: &MESH_CONFIG,
        spec_required: true,
    },
    Kind {
        name: "Gateway",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Which ports listen, and for which hosts.",
        spec: &KUBE_GATEWAY,
        spec_required: true,
    },
    Kind {
        name: "GatewayClass",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Whose the Gateways of a class are.",
        spec: &GATEWAY_CLASS,
        spec_required: true,
    },
    Kind {
        name: "HTTPRoute",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "Which requests of a Gateway go to which backend, or are sent elsewhere.",
        spec: &HTTP_ROUTE,
        spec_required: true,
    },
    Kind {
        name: "ReferenceGrant",
        group: GATEWAY_API,
        versions: OTHER_VERSIONS,
        doc: "What of a namespace the resources of another may refer to.",
        spec: &REFERENCE_GRANT,
        spec_required: true,
    },
    Kind {
        name: "InferencePool",
        group: INFERENCE,
        versions: &["v1"],
        doc: "Model servers that an HTTPRoute sends to.",
        spec: &INFERENCE_POOL,
        spec_required: true,
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
    (CORE, &["Secret"]),
];
