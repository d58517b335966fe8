//! Loading: what the seed becomes, and what a person sees of it.

#![cfg(feature = "yaml")]

use lockgate_core::config::diagnostic::Source;
use lockgate_core::config::resource::{Action, StringMatch};
use lockgate_core::config::{LoadOptions, Loaded, load};

const SEED: [(&str, &str); 4] = [
    (
        "llm-provider.yaml",
        include_str!("../../examples/seed/llm-provider.yaml"),
    ),
    ("gateway.yaml", include_str!("../../examples/seed/gateway.yaml")),
    ("llm-route.yaml", include_str!("../../examples/seed/llm-route.yaml")),
    (
        "authorization-policy.yaml",
        include_str!("../../examples/seed/authorization-policy.yaml"),
    ),
];

const KEY: &str = "sk-0123456789-must-not-be-seen";

fn sources(texts: &[(&str, &str)]) -> Vec<Source> {
    texts
        .iter()
        .map(|(name, text)| Source {
            name: (*name).into(),
            text: (*text).into(),
        })
        .collect()
}

fn env(name: &str) -> Option<String> {
    match name {
        "API_KEY" => Some(KEY.into()),
        "YOUR_LOCAL_IP" => Some("203.0.113.7".into()),
        "PORT" => Some("8080".into()),
        _ => None,
    }
}

fn load_all(sources: &[Source]) -> Loaded {
    load(
        sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
        },
    )
}

#[test]
fn the_seed_loads_without_a_finding() {
    let sources = sources(&SEED);
    let loaded = load_all(&sources);
    for finding in loaded.diagnostics.as_slice() {
        eprintln!("{}", finding.render(&sources, false));
    }
    assert!(loaded.diagnostics.as_slice().is_empty());

    let resources = &loaded.resources;
    let provider = &resources.llm_providers[0];
    assert_eq!(&*provider.meta.name.value, "dashscope-qwen");
    assert_eq!(&*provider.meta.namespace, "istio-system");
    assert_eq!(*provider.host, "dashscope.aliyuncs.com");
    assert_eq!(
        provider.path.as_ref().map(|path| path.value.as_str()),
        Some("/compatible-mode/v1/chat/completions")
    );
    let config = provider.default_config.as_ref().unwrap();
    assert_eq!(config.model.as_ref().unwrap().value, "qwen1.5-72b-chat");
    assert_eq!(config.stream, Some(false));
    assert_eq!(config.api_key.as_ref().unwrap().expose(), KEY);

    let gateway = &resources.gateways[0];
    assert_eq!(gateway.selector, [("istio".into(), "ingressgateway".into())]);
    assert_eq!(*gateway.servers[0].port, 80);
    assert_eq!(*gateway.servers[0].hosts[0], "*");

    let route = &resources.llm_routes[0];
    assert_eq!(&*route.meta.namespace, "default");
    assert_eq!(*route.gateways[0], "istio-system/ingress-gw");
    let rule = &route.rules[0];
    assert_eq!(rule.name.as_ref().unwrap().value, "ingress-route");
    let hosts: Vec<_> = rule
        .matches
        .iter()
        .map(|one| (&*one.headers[0].0.value, &one.headers[0].1.value))
        .collect();
    assert_eq!(
        hosts,
        [
            ("host", &StringMatch::Exact("dashscope.aliyuncs.com".into())),
            ("host", &StringMatch::Exact("test.com".into())),
        ]
    );
    assert_eq!(*rule.backend_refs[0].provider_host, "dashscope.aliyuncs.com");

    let policy = &resources.authorization_policies[0];
    assert_eq!(policy.action, Action::Deny);
    assert_eq!(policy.rules[0].from[0].ip_blocks[0].to_string(), "203.0.113.7/32");
    assert_eq!(*policy.rules[0].to[0].hosts[0], "test.com");
}

#[test]
fn places_point_into_the_file() {
    let sources = sources(&SEED);
    let loaded = load_all(&sources);
    let host = &loaded.resources.llm_providers[0].host;
    let text = &sources[host.at.source as usize].text;
    assert_eq!(
        text.get(host.at.start as usize..host.at.end as usize).unwrap(),
        "dashscope.aliyuncs.com"
    );
}
