//! A set as one Envoy listener, as istiod would write it.
//!
//! Written from istiod's observed output: where there are CUSTOM policies a filter
//! that marks and one that asks, the JWT filter, then a DENY and an ALLOW
//! RBAC filter, the router. AUDIT and dry runs enforce nothing, so they are left
//! out here and have to change nothing there.

use lockgate_core::config::resource::{Action, AuthorizationPolicy, Clause, PolicyKey, PolicyRule, Predicate};
use serde_json::{Map, Value, json};

use super::istio::Ports;
use super::sets::{Authorizer, Set};
use super::tokens::Keys;
use super::{authorizer, routes, upstream};

const TYPES: &str = "type.googleapis.com/envoy";

/// The whole configuration: a listener for each set, and one upstream.
#[must_use]
pub fn bootstrap(listeners: Vec<Value>, ports: Ports) -> Value {
    json!({
        "static_resources": {
            "listeners": listeners,
            "clusters": clusters(ports),
        },
        // Istio's proxies accept a fragment and drop it.
        "layered_runtime": { "layers": [{ "name": "istio", "static_layer": {
            "envoy.reloadable_features.http_reject_path_with_fragment": false,
        } }] },
    })
}

fn clusters(ports: Ports) -> Vec<Value> {
    let hosts = upstream::HOSTS
        .iter()
        .zip(ports.hosts)
        .map(|(host, port)| cluster(host, port));
    let others = [
        cluster("upstream", ports.upstream),
        cluster("authorizer", ports.authorizer),
    ];
    others.into_iter().chain(hosts).collect()
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address("127.0.0.1", port) } }] }],
        },
    })
}

/// The listener of a set.
#[must_use]
pub fn listener(set: &Set, keys: &Keys, port: u16) -> Value {
    let mut filters = custom_filters(set, port);
    if !set.token_rules.is_empty() {
        filters.push(jwt_filter(set, keys));
    }
    for action in [Action::Deny, Action::Allow] {
        let enforced = |policy: &&AuthorizationPolicy| policy.action == action && !policy.dry_run;
        let policies: Vec<&AuthorizationPolicy> = set.policies.iter().filter(enforced).collect();
        if !policies.is_empty() {
            filters.push(rbac_filter(action, &policies, port));
        }
    }
    filters.push(json!({
        "name": "envoy.filters.http.fault",
        "typed_config": { "@type": format!("{TYPES}.extensions.filters.http.fault.v3.HTTPFault") },
    }));
    filters.push(json!({
        "name": "envoy.filters.http.cors",
        "typed_config": { "@type": format!("{TYPES}.extensions.filters.http.cors.v3.Cors") },
    }));
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": { "@type": format!("{TYPES}.extensions.filters.http.router.v3.Router") },
    }));
    let mut manager = json!({
        "@type": format!("{TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "http",
        "use_remote_address": true,
        "xff_num_trusted_hops": set.trusted_proxies,
        "forward_client_cert_details": "SANITIZE_SET",
        "set_current_client_cert_details": { "subject": true, "cert": true, "dns": true, "uri": true },
        "server_name": "istio-envoy",
        "normalize_path": set.normalization != "NONE",
        "merge_slashes": matches!(set.normalization, "MERGE_SLASHES" | "DECODE_AND_MERGE_SLASHES"),
        "http_filters": filters,
        "route_config": if set.services.is_empty() { everything() } else { routes::route_config(&set.services) },
    });
    if set.normalization == "DECODE_AND_MERGE_SLASHES" {
        manager["path_with_escaped_slashes_action"] = json!("UNESCAPE_AND_FORWARD");
    }
    let mut listener = json!({
        "name": format!("set-{port}"),
        "address": address("0.0.0.0", port),
        "filter_chains": [{ "filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": manager,
        }] }],
    });
    if set.proxy_protocol {
        listener["listener_filters"] = json!([{
            "name": "envoy.filters.listener.proxy_protocol",
            "typed_config": { "@type": format!("{TYPES}.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol") },
        }]);
        // Istio leaves it at 15 s; where Envoy waits for the rest of what Lockgate has closed already, that is long.
        listener["listener_filters_timeout"] = json!("0.5s");
    }
    listener
}

fn everything() -> Value {
    json!({ "virtual_hosts": [{
        "name": "all",
        "domains": ["*"],
        "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
    }] })
}

fn address(host: &str, port: u16) -> Value {
    json!({ "socket_address": { "address": host, "port_value": port } })
}

/// Any one token that is good, or none at all: istiod's requirement for several providers.
fn jwt_filter(set: &Set, keys: &Keys) -> Value {
    let mut providers = Map::new();
    let (mut any, mut all) = (Vec::new(), Vec::new());
    for (index, rule) in set.token_rules.iter().enumerate() {
        let name = format!("origins-{index}");
        providers.insert(
            name.clone(),
            json!({
                "issuer": rule.issuer.name(),
                "audiences": rule.audiences,
                "local_jwks": { "inline_string": keys.published(rule.issuer) },
                "forward": rule.forwards,
                "payload_in_metadata": "payload",
                "normalize_payload_in_metadata": { "space_delimited_claims": ["scope", "permission"] },
            }),
        );
        any.push(json!({ "provider_name": name }));
        all.push(json!({ "requires_any": { "requirements": [{ "provider_name": name }, { "allow_missing": {} }] } }));
    }
    let requires = match all.len() {
        1 => all.remove(0),
        _ => {
            any.push(json!({ "requires_all": { "requirements": all } }));
            json!({ "requires_any": { "requirements": any } })
        }
    };
    json!({
        "name": "envoy.filters.http.jwt_authn",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.filters.http.jwt_authn.v3.JwtAuthentication"),
            "providers": providers,
            "rules": [{ "match": { "prefix": "/" }, "requires": requires }],
            "bypass_cors_preflight": true,
        },
    })
}

/// What begins the names of rules that ask an authorizer.
const ASKS: &str = "istio-ext-authz";

/// A filter that only marks what CUSTOM policies match, and one that asks about what is marked.
fn custom_filters(set: &Set, port: u16) -> Vec<Value> {
    let is_custom = |policy: &&AuthorizationPolicy| policy.action == Action::Custom;
    let policies: Vec<&AuthorizationPolicy> = set.policies.iter().filter(is_custom).collect();
    if policies.is_empty() {
        return Vec::new();
    }
    let marks = json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.filters.http.rbac.v3.RBAC"),
            "shadow_rules": { "action": "DENY", "policies": rbac_rules(&format!("{ASKS}-"), &policies, port) },
            "shadow_rules_stat_prefix": "istio_ext_authz_",
        },
    });
    vec![marks, ext_authz_filter(set.authorizer)]
}

fn ext_authz_filter(authorizer: Authorizer) -> Value {
    let mut service = json!({
        "path_prefix": authorizer.path_prefix,
        "server_uri": { "uri": format!("http://{}", authorizer::SERVICE), "cluster": "authorizer", "timeout": "600s" },
    });
    let mut filter = json!({
        "@type": format!("{TYPES}.extensions.filters.http.ext_authz.v3.ExtAuthz"),
        "transport_api_version": "V3",
        "failure_mode_allow": authorizer.fail_open,
        "filter_enabled_metadata": {
            "filter": "envoy.filters.http.rbac",
            "path": [{ "key": "istio_ext_authz_shadow_effective_policy_id" }],
            "value": { "string_match": { "prefix": ASKS } },
        },
    });
    if authorizer.has_lists {
        service["authorization_request"] = json!({ "headers_to_add": [{ "key": "x-fixed", "value": "f" }] });
        service["authorization_response"] = json!({
            "allowed_upstream_headers": names(&authorizer::TO_UPSTREAM),
            "allowed_client_headers": names(&authorizer::TO_CLIENT),
        });
        filter["allowed_headers"] = names(&authorizer::SENT);
    }
    if let Some(status) = authorizer.status_on_error {
        filter["status_on_error"] = json!({ "code": status });
    }
    if let Some((bytes_max, partial)) = authorizer.body {
        filter["with_request_body"] = json!({ "max_request_bytes": bytes_max, "allow_partial_message": partial });
    }
    filter["http_service"] = service;
    json!({ "name": "envoy.filters.http.ext_authz", "typed_config": filter })
}

fn names(patterns: &[&str]) -> Value {
    let patterns = patterns.iter().map(|pattern| {
        let mut matcher = text(pattern);
        matcher["ignore_case"] = json!(true);
        matcher
    });
    json!({ "patterns": patterns.collect::<Vec<_>>() })
}

fn rbac_filter(action: Action, policies: &[&AuthorizationPolicy], port: u16) -> Value {
    json!({
        "name": "envoy.filters.http.rbac",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.filters.http.rbac.v3.RBAC"),
            "rules": { "action": action.word(), "policies": rbac_rules("", policies, port) },
        },
    })
}

fn rbac_rules(prefix: &str, policies: &[&AuthorizationPolicy], port: u16) -> Map<String, Value> {
    let mut rules = Map::new();
    for policy in policies {
        for (index, rule) in policy.rules.iter().enumerate() {
            rules.insert(
                format!("{prefix}{}-{index}", *policy.meta.name),
                rbac_policy(rule, port),
            );
        }
    }
    rules
}

fn rbac_policy(rule: &PolicyRule, port: u16) -> Value {
    let is_permission = |predicate: &&Predicate| {
        matches!(
            predicate.key,
            PolicyKey::LocalAddress | PolicyKey::Port | PolicyKey::Sni
        )
    };
    let (permissions, principals): (Vec<&Predicate>, Vec<&Predicate>) = rule.when.iter().partition(is_permission);
    json!({
        "permissions": [side(PERMISSIONS, &rule.to, &permissions, port)],
        "principals": [side(PRINCIPALS, &rule.from, &principals, port)],
    })
}

/// The words of one of RBAC's two halves.
#[derive(Clone, Copy)]
struct Words {
    and: &'static str,
    or: &'static str,
    not: &'static str,
    list: &'static str,
}

const PERMISSIONS: Words = Words {
    and: "and_rules",
    or: "or_rules",
    not: "not_rule",
    list: "rules",
};
const PRINCIPALS: Words = Words {
    and: "and_ids",
    or: "or_ids",
    not: "not_id",
    list: "ids",
};

fn side(words: Words, clauses: &[Clause], conditions: &[&Predicate], port: u16) -> Value {
    let clause = |clause: &Clause| {
        joined(
            words,
            words.and,
            clause.predicates.iter().map(|one| predicate(words, one, port)),
        )
    };
    let mut all = Vec::new();
    if !clauses.is_empty() {
        all.push(joined(words, words.or, clauses.iter().map(clause)));
    }
    all.extend(conditions.iter().map(|one| predicate(words, one, port)));
    match all.is_empty() {
        true => json!({ "any": true }),
        false => joined(words, words.and, all.into_iter()),
    }
}

fn joined(words: Words, by: &str, of: impl Iterator<Item = Value>) -> Value {
    json!({ by: { words.list: of.collect::<Vec<_>>() } })
}

fn predicate(words: Words, predicate: &Predicate, port: u16) -> Value {
    let value = |value: &String| matcher(&predicate.key, value, port);
    let any = joined(words, words.or, predicate.values.iter().map(|one| value(&one.value)));
    if predicate.negated {
        json!({ words.not: any })
    } else {
        any
    }
}

fn matcher(key: &PolicyKey, value: &str, port: u16) -> Value {
    match key {
        PolicyKey::Host => header(":authority", value, true),
        PolicyKey::Method => header(":method", value, false),
        PolicyKey::Path if value.contains("{*}") || value.contains("{**}") => json!({ "uri_template": {
            "name": "uri_template",
            "typed_config": {
                "@type": format!("{TYPES}.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"),
                "path_template": value.replace("{*}", "*").replace("{**}", "**"),
            },
        } }),
        PolicyKey::Path => json!({ "url_path": { "path": text(value) } }),
        PolicyKey::Port => {
            let ports = envoys_ports(value, port);
            json!({ "or_rules": { "rules": ports.map(|port| json!({ "destination_port": port })) } })
        }
        PolicyKey::PeerAddress => json!({ "direct_remote_ip": block(value) }),
        PolicyKey::RemoteAddress => json!({ "remote_ip": block(value) }),
        PolicyKey::LocalAddress => json!({ "destination_ip": block(value) }),
        PolicyKey::Sni => json!({ "requested_server_name": text(value) }),
        // Every connection here is plain text, where no identity matches, whatever its value.
        PolicyKey::Principal | PolicyKey::Namespace | PolicyKey::ServiceAccount | PolicyKey::TrustDomain => {
            json!({ "authenticated": {} })
        }
        PolicyKey::RequestPrincipal => request_principal(value),
        PolicyKey::Audience => claim(&["aud"], value),
        PolicyKey::Presenter => claim(&["azp"], value),
        PolicyKey::Claim(names) => claim(&names.iter().map(String::as_str).collect::<Vec<_>>(), value),
        PolicyKey::Header(name) => header(name, value, false),
        PolicyKey::LlmModel | PolicyKey::LlmStream | PolicyKey::LlmMaxTokens | PolicyKey::LlmTools => {
            panic!("no set asks about bodies")
        }
    }
}

/// Without a PROXY header Envoy compares the port it listens on, Lockgate the Gateway server's number: both are 80 to
/// the policy. No header names the port that Envoy listens on.
fn envoys_ports(value: &str, port: u16) -> [u16; 2] {
    let own = value.parse().expect("a port");
    [own, if own == 80 { port } else { own }]
}

fn header(name: &str, value: &str, ignore_case: bool) -> Value {
    match value {
        "*" => json!({ "header": { "name": name, "present_match": true } }),
        value => {
            let mut text = text(value);
            if ignore_case {
                text["ignore_case"] = json!(true);
            }
            json!({ "header": { "name": name, "string_match": text } })
        }
    }
}

fn text(value: &str) -> Value {
    if value == "*" {
        // Istio asks for something to be there.
        some_text()
    } else if let Some(suffix) = value.strip_prefix('*') {
        json!({ "suffix": suffix })
    } else if let Some(prefix) = value.strip_suffix('*') {
        json!({ "prefix": prefix })
    } else {
        json!({ "exact": value })
    }
}

fn some_text() -> Value {
    json!({ "safe_regex": { "regex": ".+" } })
}

fn block(value: &str) -> Value {
    let (address, length) = value.split_once('/').unwrap_or((value, ""));
    let whole = if address.contains(':') { 128 } else { 32 };
    json!({ "address_prefix": address, "prefix_len": length.parse().unwrap_or(whole) })
}

fn metadata(path: &[&str], value: &Value) -> Value {
    let path = ["payload"].iter().chain(path).map(|key| json!({ "key": key }));
    json!({ "metadata": {
        "filter": "envoy.filters.http.jwt_authn",
        "path": path.collect::<Vec<_>>(),
        "value": value,
    } })
}

fn claim(path: &[&str], value: &str) -> Value {
    let string = json!({ "string_match": text(value) });
    let element = json!({ "list_match": { "one_of": string } });
    metadata(path, &json!({ "or_match": { "value_matchers": [string, element] } }))
}

/// Issuer and subject, split at the value's last slash.
fn request_principal(value: &str) -> Value {
    let exact = |text: &str| json!({ "exact": text });
    let (issuer, subject) = match (value, value.rsplit_once('/')) {
        ("*", _) => (some_text(), some_text()),
        (_, Some((issuer, subject))) if value.starts_with('*') => (text(issuer), exact(subject)),
        (_, Some((issuer, subject))) if value.ends_with('*') => (exact(issuer), text(subject)),
        (_, Some((issuer, subject))) => (exact(issuer), exact(subject)),
        (value, None) if value.starts_with('*') => (some_text(), text(value)),
        (value, None) if value.ends_with('*') => (text(value), some_text()),
        (value, None) => (exact(value), exact("")),
    };
    let part = |name, text| metadata(&[name], &json!({ "string_match": text }));
    json!({ "and_ids": { "ids": [part("iss", issuer), part("sub", subject)] } })
}
