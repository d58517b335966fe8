//! LLMProvider.

use alloc::string::String;

use super::{host, labels, text};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{LlmProvider, Meta, ProviderConfig, Spanned};
use crate::config::secret::Secret;
use crate::config::tree::Node;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<LlmProvider> {
    let selector = spec.get("workloadSelector");
    let workload_selector = selector.map(|selector| selector.get("labels").map(labels).unwrap_or_default());
    if let (Some(node), Some([])) = (selector, workload_selector.as_deref()) {
        diagnostics
            .warning(
                "empty-selector",
                node.at,
                "the selector names no label, so it selects every gateway",
            )
            .field("spec.workloadSelector")
            .help("add `labels`, or remove the selector");
    }
    let configs = spec.get("configs");
    let specific = configs.and_then(|configs| configs.get("routeSpecificConfigs"));
    Some(LlmProvider {
        meta,
        workload_selector,
        host: host(spec.get("host")?)?,
        path: spec.get("path").and_then(text),
        default_config: configs
            .and_then(|configs| configs.get("defaultConfig"))
            .and_then(config),
        route_specific_configs: specific
            .map(Node::entries)
            .unwrap_or_default()
            .iter()
            .filter_map(|entry| Some((entry.key.clone(), config(&entry.value)?)))
            .collect(),
    })
}

fn config(node: &Node) -> Option<ProviderConfig> {
    let parameters = node.get("openAIConfig")?;
    Some(ProviderConfig {
        at: node.at,
        model: parameters.get("model").and_then(text),
        stream: parameters.get("stream").and_then(|stream| stream.scalar()?.as_bool()),
        api_key: parameters.get("apiKey").and_then(|key| {
            Some(Spanned {
                value: Secret::new(String::from(key.text()?)),
                at: key.at,
            })
        }),
    })
}
