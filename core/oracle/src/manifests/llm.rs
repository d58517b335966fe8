//! LLMProviders and LLMRoutes.

use lockgate_core::config::resource::{
    BackendRef, LlmMatch, LlmProvider, LlmRoute, LlmRule, ProviderConfig, Spanned, StringMatch,
};
use serde_json::{Map, Value, json};

use super::virtual_services::{http_match, into_rule, operations, string_match};
use super::{LOCKGATE, labels, resource, texts, variable};

const ASM: &str = "istio.alibabacloud.com/v1beta1";

pub(super) fn provider(provider: &LlmProvider) -> Value {
    let mut spec = json!({ "host": *provider.host });
    if let Some(wanted) = &provider.workload_selector {
        spec["workloadSelector"] = json!({ "labels": labels(wanted) });
    }
    if let Some(path) = &provider.path {
        spec["path"] = json!(**path);
    }
    if let Some(default) = &provider.default_config {
        spec["configs"]["defaultConfig"] = config(default);
    }
    for (name, specific) in &provider.route_specific_configs {
        spec["configs"]["routeSpecificConfigs"][name.as_str()] = config(specific);
    }
    resource(ASM, "LLMProvider", &provider.meta, spec)
}

fn config(config: &ProviderConfig) -> Value {
    let mut written = json!({});
    if let Some(model) = &config.model {
        written["model"] = json!(**model);
    }
    if let Some(stream) = config.stream {
        written["stream"] = json!(stream);
    }
    if let Some(key) = &config.api_key {
        written["apiKey"] = json!(format!("${{{}}}", variable(key.expose())));
    }
    json!({ "openAIConfig": written })
}

/// Under ASM's group, if nothing in it is Lockgate's own.
pub(super) fn route(route: &LlmRoute) -> Value {
    let rules: Vec<Value> = route.rules.iter().map(rule).collect();
    let version = if rules.iter().all(is_asm) { ASM } else { LOCKGATE };
    let spec = json!({ "host": *route.host, "gateways": texts(&route.gateways), "rules": rules });
    resource(version, "LLMRoute", &route.meta, spec)
}

fn is_asm(rule: &Value) -> bool {
    let only = |value: &Value, known: &[&str]| {
        let members = value.as_object().into_iter().flat_map(Map::keys);
        members.into_iter().all(|name| known.contains(&name.as_str()))
    };
    let matches = rule["matches"].as_array();
    only(rule, &["name", "matches", "backendRefs"])
        && matches.is_none_or(|matches| {
            matches
                .iter()
                .all(|one| only(one, &["headers", "gateways", "sourceLabels"]))
        })
}

fn rule(rule: &LlmRule) -> Value {
    let mut written = json!({ "backendRefs": rule.backend_refs.iter().map(backend).collect::<Vec<_>>() });
    if let Some(name) = &rule.name {
        written["name"] = json!(**name);
    }
    if !rule.matches.is_empty() {
        written["matches"] = rule.matches.iter().map(llm_match).collect();
    }
    if let Some(headers) = operations(&rule.headers) {
        written["headers"] = headers;
    }
    into_rule(&rule.settings, &mut written);
    written
}

fn backend(backend: &BackendRef) -> Value {
    let mut written = json!({ "providerHost": *backend.provider_host });
    if let Some(weight) = &backend.weight {
        written["weight"] = json!(**weight);
    }
    if let Some(host) = &backend.host_rewrite {
        written["hostRewrite"] = json!(***host);
    }
    written
}

fn llm_match(entry: &LlmMatch) -> Value {
    let mut written = http_match(&entry.more);
    for (name, wanted) in &entry.headers {
        written["headers"][name.as_str()] = string_match(wanted);
    }
    if let Some(model) = models(&entry.models) {
        written["model"] = model;
    }
    if let Some(stream) = entry.stream {
        written["stream"] = json!(stream);
    }
    written
}

fn models(models: &[Spanned<StringMatch>]) -> Option<Value> {
    match models {
        [] => None,
        [one] => Some(string_match(one)),
        several => {
            let exact = several.iter().map(|model| match &model.value {
                StringMatch::Exact(name) => &**name,
                _ => panic!("of several models each is a name"),
            });
            Some(json!({ "in": exact.collect::<Vec<_>>() }))
        }
    }
}
