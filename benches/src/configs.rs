//! Configurations of any size, shaped as the example is: one route, a rule for every host, one provider for ten rules.

use core::fmt::Write;

/// Requests of these configurations come to this port.
pub const PORT: u16 = 80;

/// The host of rule `index`.
#[must_use]
pub fn host(index: usize) -> String {
    format!("model-{index}.example.com")
}

/// `hosts` rules that match one exact host each, and `denials` rules that deny an address block each.
///
/// The last rule admits every provider's host on the second pass.
#[must_use]
pub fn yaml(hosts: usize, denials: usize) -> String {
    let providers = hosts.div_ceil(10);
    let mut text = GATEWAY.to_owned();
    for provider in 0..providers {
        let _ = write!(text, "{}", provider_yaml(provider));
    }
    text.push_str(ROUTE);
    for index in 0..hosts {
        let _ = write!(
            text,
            "  - name: rule-{index}\n    matches:\n    - headers: {{host: {{exact: {}}}}}\n    backendRefs:\n    - \
             providerHost: provider-{}.example.net\n",
            host(index),
            index / 10
        );
    }
    for provider in 0..providers {
        let _ = write!(
            text,
            "  - name: admit-{provider}\n    matches:\n    - headers: {{host: {{exact: provider-{provider}.example.net}}}}\n    \
             backendRefs:\n    - providerHost: provider-{provider}.example.net\n"
        );
    }
    if denials > 0 {
        text.push_str(POLICY);
        for index in 0..denials {
            let (high, low) = (index / 256 % 256, index % 256);
            let _ = write!(
                text,
                "  - from:\n    - source:\n        ipBlocks: [100.{high}.{low}.0/24]\n"
            );
        }
    }
    text
}

fn provider_yaml(index: usize) -> String {
    format!(
        "---\napiVersion: istio.alibabacloud.com/v1beta1\nkind: LLMProvider\nmetadata: {{name: provider-{index}, namespace: \
         istio-system}}\nspec:\n  host: provider-{index}.example.net\n  path: /v1/chat/completions\n  configs:\n    \
         defaultConfig:\n      openAIConfig: {{model: qwen-plus, apiKey: key-{index}}}\n"
    )
}

const GATEWAY: &str = "\
apiVersion: networking.istio.io/v1beta1
kind: Gateway
metadata: {name: ingress-gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
";

const ROUTE: &str = "\
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {name: route, namespace: istio-system}
spec:
  host: '*'
  gateways: [istio-system/ingress-gw]
  rules:
";

const POLICY: &str = "\
---
apiVersion: security.istio.io/v1beta1
kind: AuthorizationPolicy
metadata: {name: denials, namespace: istio-system}
spec:
  selector: {matchLabels: {istio: ingressgateway}}
  action: DENY
  rules:
";
