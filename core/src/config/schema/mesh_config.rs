//! The shape of Istio's MeshConfig: what of it shapes an ingress gateway.
//!
//! It comes as the ConfigMap `istio` of a cluster, as a plain file, or as a
//! resource of `lockgate.dev/v1` with fields of our own. All else that Istio
//! knows is about sidecars, the control plane or telemetry; it is taken and not
//! read, so that a platform's own file loads.
//! <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/>

use super::extension_provider::EXTENSION_PROVIDER;
use super::route_settings::RETRIES;
use super::{Enumeration, Field, Object, Shape, Support, field, text};
use crate::config::format::Format;

/// The whole of it.
pub(crate) static MESH_CONFIG: Object = Object::new(&[
    field(
        "pathNormalization",
        Shape::Object(&PATH_NORMALIZATION),
        "How paths are read, for policy, routing and the upstream alike.",
    ),
    field(
        "defaultConfig",
        Shape::Object(&PROXY_CONFIG),
        "Settings of the proxy itself.",
    ),
    field(
        "extensionProviders",
        super::list(&Shape::Object(&EXTENSION_PROVIDER)),
        "External authorizers, which CUSTOM policies name.",
    ),
    field(
        "rootNamespace",
        text(Format::Namespace),
        "Namespace whose policies and providers apply everywhere; wins over `--root-namespace`.",
    ),
    field(
        "defaultHttpRetryPolicy",
        Shape::Object(&RETRIES),
        "The `retries` of VirtualServices' rules that have none.",
    ),
    not_read("accessLogEncoding"),
    not_read("accessLogFile"),
    not_read("accessLogFormat"),
    not_read("ca"),
    not_read("caCertificates"),
    not_read("certificates"),
    not_read("configSources"),
    not_read("connectTimeout"),
    not_read("defaultDestinationRuleExportTo"),
    not_read("defaultProviders"),
    not_read("defaultServiceExportTo"),
    not_read("defaultVirtualServiceExportTo"),
    not_read("disableEnvoyListenerLog"),
    not_read("discoverySelectors"),
    not_read("dnsRefreshRate"),
    not_read("enableAutoMtls"),
    not_read("enableEnvoyAccessLogService"),
    not_read("enablePrometheusMerge"),
    not_read("enableTracing"),
    not_read("h2UpgradePolicy"),
    not_read("hboneIdleTimeout"),
    not_read("inboundClusterStatName"),
    not_read("inboundTrafficPolicy"),
    not_read("ingressClass"),
    not_read("ingressControllerMode"),
    not_read("ingressSelector"),
    not_read("ingressService"),
    not_read("localityLbSetting"),
    not_read("meshMTLS"),
    not_read("outboundClusterStatName"),
    not_read("outboundTrafficPolicy"),
    not_read("protocolDetectionTimeout"),
    not_read("proxyHttpPort"),
    not_read("proxyInboundListenPort"),
    not_read("proxyListenPort"),
    not_read("serviceScopeConfigs"),
    not_read("serviceSettings"),
    not_read("tcpKeepalive"),
    not_read("tlsDefaults"),
    field(
        "trustDomain",
        text(Format::NonEmpty),
        "Trust domain of this mesh; `cluster.local` in a policy's `principals` stands for it.",
    ),
    field(
        "trustDomainAliases",
        super::list(&Shape::Text(Format::NonEmpty)),
        "Trust domains whose identities count as the same as this mesh's in a policy's `principals`.",
    ),
    not_read("verifyCertificateAtClient"),
]);

static PATH_NORMALIZATION: Object = Object::new(&[
    field(
        "normalization",
        Shape::Enum(&NORMALIZATION),
        "Which steps are taken; `DEFAULT` is `BASE`.",
    ),
    Field {
        support: Support::Lockgate,
        ..field(
            "pathParameters",
            Shape::Enum(&PATH_PARAMETERS),
            "What happens to `;name=value` in a path: `KEEP` (as Istio), `STRIP`, or `REFUSE` with 400.",
        )
    },
    Field {
        support: Support::Lockgate,
        ..field(
            "escapedSlashes",
            Shape::Enum(&ESCAPED_SLASHES),
            "What happens to `%2f` and `%5c` in a path: `KEEP` (as the normalization has it), or `REFUSE` with 400.",
        )
    },
]);

static NORMALIZATION: Enumeration = words(&["DEFAULT", "NONE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]);
static PATH_PARAMETERS: Enumeration = words(&["KEEP", "STRIP", "REFUSE"]);
static ESCAPED_SLASHES: Enumeration = words(&["KEEP", "REFUSE"]);

static PROXY_CONFIG: Object = Object::new(&[
    field(
        "gatewayTopology",
        Shape::Object(&GATEWAY_TOPOLOGY),
        "What stands in front of the gateway.",
    ),
    not_read("availabilityZone"),
    not_read("binaryPath"),
    not_read("caCertificatesPem"),
    not_read("concurrency"),
    not_read("configPath"),
    not_read("controlPlaneAuthPolicy"),
    not_read("customConfigFile"),
    not_read("discoveryAddress"),
    not_read("discoveryRefreshDelay"),
    not_read("drainDuration"),
    not_read("envoyAccessLogService"),
    not_read("envoyMetricsService"),
    not_read("extraStatTags"),
    not_read("fileFlushInterval"),
    not_read("fileFlushMinSizeKb"),
    not_read("holdApplicationUntilProxyStarts"),
    not_read("image"),
    not_read("interceptionMode"),
    not_read("meshId"),
    not_read("parentShutdownDuration"),
    not_read("privateKeyProvider"),
    not_read("proxyAdminPort"),
    not_read("proxyBootstrapTemplatePath"),
    not_read("proxyHeaders"),
    not_read("proxyMetadata"),
    not_read("proxyStatsMatcher"),
    not_read("readinessProbe"),
    not_read("runtimeValues"),
    not_read("sds"),
    not_read("serviceCluster"),
    not_read("statNameLength"),
    not_read("statsCompression"),
    not_read("statsdUdpAddress"),
    not_read("statusPort"),
    not_read("terminationDrainDuration"),
    not_read("tracing"),
    not_read("tracingServiceName"),
    not_read("zipkinAddress"),
]);

static GATEWAY_TOPOLOGY: Object = Object::new(&[
    field(
        "numTrustedProxies",
        Shape::Integer { min: 0, max: 1_000 },
        "Proxies in front that add the client's address to `X-Forwarded-For`; 0 when absent.",
    ),
    field(
        "forwardClientCertDetails",
        Shape::Enum(&FORWARD_CLIENT_CERT),
        "What hosts are told of clients' certificates in `X-Forwarded-Client-Cert`; `SANITIZE_SET` by default.",
    ),
    field(
        "proxyProtocol",
        Shape::Object(&PROXY_PROTOCOL),
        "`{}` means that every connection begins with a PROXY protocol header, which names the client.",
    ),
]);

/// Istio has no fields in it: that it is there is all it says.
static PROXY_PROTOCOL: Object = Object::new(&[]);

static FORWARD_CLIENT_CERT: Enumeration = words(&[
    "UNDEFINED",
    "SANITIZE",
    "FORWARD_ONLY",
    "APPEND_FORWARD",
    "SANITIZE_SET",
    "ALWAYS_FORWARD_ONLY",
]);

/// `data` of the ConfigMap.
pub(crate) static CONFIG_MAP_DATA: Object = Object::new(&[
    field("mesh", text(Format::NonEmpty), "The MeshConfig, as YAML text."),
    not_read("meshNetworks"),
    not_read("mesh-networks"),
]);

/// What is about sidecars, the control plane or telemetry.
const fn not_read(name: &'static str) -> Field {
    field(name, Shape::Any, "Means nothing to an ingress gateway; not read.")
}

const fn words(values: &'static [&'static str]) -> Enumeration {
    Enumeration {
        values,
        not_yet: &[],
        ignore_case: false,
    }
}
