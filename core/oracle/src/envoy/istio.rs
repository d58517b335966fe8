//! A set as the files that platform teams have. JSON is YAML.

use lockgate_core::config::resource::{AuthorizationPolicy, Clause, PolicyRule, Predicate};
use serde_json::{Map, Value, json};

use super::sets::Set;
use super::tokens::Keys;

/// The provider's name in every configuration.
const PROVIDER: &str = "upstream.test";

/// Everything Lockgate loads, one JSON document for each resource; MeshConfig is a resource here too.
#[must_use]
pub fn resources(set: &Set, keys: &Keys, upstream_port: u16) -> Vec<Value> {
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
            "istio.alibabacloud.com/v1beta1",
            "LLMRoute",
            "route",
            json!({
                "host": "*",
                "gateways": ["istio-system/gateway"],
                "rules": [{ "backendRefs": [{ "providerHost": PROVIDER }] }],
            }),
        ),
        resource(
            "networking.istio.io/v1",
            "ServiceEntry",
            "upstream",
            json!({
                "hosts": [PROVIDER],
                "resolution": "STATIC",
                "ports": [{ "name": "https", "number": 443, "protocol": "HTTPS" }],
                "endpoints": [{ "address": "127.0.0.1", "ports": { "https": upstream_port } }],
            }),
        ),
        resource(
            "networking.istio.io/v1",
            "DestinationRule",
            "upstream",
            json!({ "host": PROVIDER, "trafficPolicy": { "tls": { "mode": "DISABLE" } } }),
        ),
        resource(
            "lockgate.dev/v1",
            "MeshConfig",
            "mesh",
            json!({
                "pathNormalization": { "normalization": set.normalization },
                "defaultConfig": { "gatewayTopology": topology },
            }),
        ),
    ];
    if !set.token_rules.is_empty() {
        let rule = |rule: &super::sets::TokenRule| {
            let mut written = json!({ "issuer": rule.issuer.name(), "jwks": keys.published(rule.issuer) });
            if !rule.audiences.is_empty() {
                written["audiences"] = json!(rule.audiences);
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
    resources
}

fn resource(version: &str, kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": version,
        "kind": kind,
        "metadata": { "name": name, "namespace": "istio-system" },
        "spec": spec,
    })
}

fn authorization_policy(policy: &AuthorizationPolicy) -> Value {
    let spec = json!({
        "action": policy.action.word(),
        "rules": policy.rules.iter().map(rule).collect::<Vec<_>>(),
    });
    let mut resource = resource("security.istio.io/v1", "AuthorizationPolicy", &policy.meta.name, spec);
    if policy.dry_run {
        resource["metadata"]["annotations"] = json!({ "istio.io/dry-run": "true" });
    }
    resource
}

fn rule(rule: &PolicyRule) -> Value {
    let clauses = |name: &str, clauses: &[Clause]| -> Vec<Value> {
        clauses.iter().map(|clause| json!({ name: fields(clause) })).collect()
    };
    let mut written = Map::new();
    for (name, list) in [
        ("from", clauses("source", &rule.from)),
        ("to", clauses("operation", &rule.to)),
        ("when", rule.when.iter().map(condition).collect()),
    ] {
        if !list.is_empty() {
            written.insert(name.to_owned(), list.into());
        }
    }
    written.into()
}

fn fields(clause: &Clause) -> Value {
    let field = |predicate: &Predicate| {
        let (first, rest) = predicate.field.split_at(1);
        let name = match predicate.negated {
            true => format!("not{}{rest}", first.to_ascii_uppercase()),
            false => predicate.field.to_string(),
        };
        (name, values(predicate))
    };
    Value::Object(clause.predicates.iter().map(field).collect())
}

fn condition(predicate: &Predicate) -> Value {
    let name = if predicate.negated { "notValues" } else { "values" };
    json!({ "key": predicate.key.condition_name(), name: values(predicate) })
}

fn values(predicate: &Predicate) -> Value {
    predicate.values.iter().map(|value| value.value.clone()).collect()
}
