//! A set as the files that platform teams have. JSON is YAML.

use serde_json::{Value, json};

use crate::manifests::{authorization_policy, virtual_service_spec};

use super::sets::{Authorizer, Set};
use super::tokens::Keys;
use super::{authorizer, upstream};

/// The provider's name in every configuration.
const PROVIDER: &str = "upstream.test";

/// Where the servers behind both gateways listen.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    /// The LLM provider.
    pub upstream: u16,
    /// The hosts of VirtualServices, as [`upstream::HOSTS`] lists them.
    pub hosts: [u16; 3],
    /// The external authorizer.
    pub authorizer: u16,
}

/// Everything Lockgate loads, one JSON document for each resource; MeshConfig is a resource here too.
#[must_use]
pub fn resources(set: &Set, keys: &Keys, ports: Ports) -> Vec<Value> {
    let mut topology = json!({ "numTrustedProxies": set.trusted_proxies });
    if set.proxy_protocol {
        topology["proxyProtocol"] = json!({});
    }
    let mut resources = vec![
        resource(
            "networking.istio.io/v1",
            "Gateway",
            "gateway",
            json!({
                "selector": { "istio": "ingressgateway" },
                "servers": [{ "hosts": ["*"], "port": { "number": 80, "name": "http", "protocol": "HTTP" } }],
            }),
        ),
        resource(
            "istio.alibabacloud.com/v1beta1",
            "LLMProvider",
            "provider",
            json!({ "host": PROVIDER }),
        ),
        resource(
            "networking.istio.io/v1",
            "ServiceEntry",
            "upstream",
            json!({
                "hosts": [PROVIDER],
                "resolution": "STATIC",
                "ports": [{ "name": "https", "number": 443, "protocol": "HTTPS" }],
                "endpoints": [{ "address": "127.0.0.1", "ports": { "https": ports.upstream } }],
            }),
        ),
        resource(
            "networking.istio.io/v1",
            "DestinationRule",
            "upstream",
            json!({ "host": PROVIDER, "trafficPolicy": { "tls": { "mode": "DISABLE" } } }),
        ),
        resource(
            "networking.istio.io/v1",
            "ServiceEntry",
            "authorizer",
            json!({
                "hosts": [authorizer::SERVICE],
                "resolution": "STATIC",
                "ports": [{ "name": "http", "number": 8000, "protocol": "HTTP", "targetPort": ports.authorizer }],
                "endpoints": [{ "address": "127.0.0.1" }],
            }),
        ),
        resource(
            "lockgate.dev/v1",
            "MeshConfig",
            "mesh",
            json!({
                "pathNormalization": { "normalization": set.normalization },
                "defaultConfig": { "gatewayTopology": topology },
                "extensionProviders": [{ "name": authorizer::NAME, "envoyExtAuthzHttp": ext_authz(set.authorizer) }],
            }),
        ),
    ];
    if !set.token_rules.is_empty() {
        let rule = |rule: &super::sets::TokenRule| {
            let mut written = json!({ "issuer": rule.issuer.name(), "jwks": keys.published(rule.issuer) });
            if !rule.audiences.is_empty() {
                written["audiences"] = json!(rule.audiences);
            }
            if rule.forwards {
                written["forwardOriginalToken"] = json!(true);
            }
            written
        };
        let rules: Vec<Value> = set.token_rules.iter().map(rule).collect();
        resources.push(resource(
            "security.istio.io/v1",
            "RequestAuthentication",
            "tokens",
            json!({ "jwtRules": rules }),
        ));
    }
    resources.extend(set.policies.iter().map(authorization_policy));
    resources.extend(routes(set, ports));
    resources
}

/// The set's VirtualServices and the hosts they send to, or one LLMRoute for everything.
fn routes(set: &Set, ports: Ports) -> Vec<Value> {
    if set.services.is_empty() {
        let everything = json!({
            "host": "*",
            "gateways": ["istio-system/gateway"],
            "rules": [{ "backendRefs": [{ "providerHost": PROVIDER }] }],
        });
        return vec![resource(
            "istio.alibabacloud.com/v1beta1",
            "LLMRoute",
            "route",
            everything,
        )];
    }
    let entries = upstream::HOSTS.iter().zip(ports.hosts).map(|(host, port)| {
        let spec = json!({
            "hosts": [host],
            "resolution": "STATIC",
            "ports": [{ "name": "http", "number": 80, "protocol": "HTTP", "targetPort": port }],
            "endpoints": [{ "address": "127.0.0.1" }],
        });
        resource("networking.istio.io/v1", "ServiceEntry", &host.replace('.', "-"), spec)
    });
    let services = set.services.iter().map(|service| {
        let spec = virtual_service_spec(service);
        resource("networking.istio.io/v1", "VirtualService", &service.meta.name, spec)
    });
    entries.chain(services).collect()
}

fn ext_authz(authorizer: Authorizer) -> Value {
    let mut written = json!({ "service": authorizer::SERVICE, "port": 8000, "failOpen": authorizer.fail_open });
    if let Some(status) = authorizer.status_on_error {
        written["statusOnError"] = json!(status.to_string());
    }
    if !authorizer.path_prefix.is_empty() {
        written["pathPrefix"] = json!(authorizer.path_prefix);
    }
    if authorizer.has_lists {
        written["includeRequestHeadersInCheck"] = json!(authorizer::SENT);
        written["includeAdditionalHeadersInCheck"] = json!({ "x-fixed": "f" });
        written["headersToUpstreamOnAllow"] = json!(authorizer::TO_UPSTREAM);
        written["headersToDownstreamOnDeny"] = json!(authorizer::TO_CLIENT);
    }
    if let Some((bytes_max, partial)) = authorizer.body {
        written["includeRequestBodyInCheck"] = json!({ "maxRequestBytes": bytes_max, "allowPartialMessage": partial });
    }
    written
}

fn resource(version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": { "name": name, "namespace": "istio-system" },
        "spec": spec,
    })
}
