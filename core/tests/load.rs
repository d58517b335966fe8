//! Loading: what the seed becomes, and what a person sees of it.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::config::diagnostic::{Flaw, Source};
use lockgate_core::config::resource::{Action, ClientTls, PolicyTarget, ServerRoots, StringMatch};
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
        .map(|(name, text)| Source::new((*name).into(), (*text).into()))
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

fn load_one(text: &str) -> Loaded {
    load_all(&sources(&[("test.yaml", text)]))
}

fn codes(loaded: &Loaded) -> Vec<&'static str> {
    loaded
        .diagnostics
        .as_slice()
        .iter()
        .map(|finding| finding.code)
        .collect()
}

fn provider(name: &str, rest: &str) -> String {
    format!(
        "apiVersion: istio.alibabacloud.com/v1beta1\nkind: LLMProvider\nmetadata: {{name: {name}}}\nspec:\n  host: {name}.example.com\n{rest}\n"
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
    assert_eq!(&*rule.name.as_ref().unwrap().value, "ingress-route");
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
    assert_eq!(*policy.rules[0].from[0].predicates[0].values[0], "203.0.113.7");
    assert_eq!(*policy.rules[0].to[0].predicates[0].values[0], "test.com");
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

#[test]
fn every_served_version_loads() {
    for (kind, versions, spec) in [
        (
            "Gateway",
            &[
                "networking.istio.io/v1alpha3",
                "networking.istio.io/v1beta1",
                "networking.istio.io/v1",
                "lockgate.dev/v1",
            ][..],
            "servers: [{hosts: ['*'], port: {number: 80, name: http, protocol: http}}]",
        ),
        (
            "AuthorizationPolicy",
            &["security.istio.io/v1beta1", "security.istio.io/v1", "lockgate.dev/v1"],
            "rules: [{}]",
        ),
        (
            "LLMProvider",
            &[
                "istio.alibabacloud.com/v1beta1",
                "istio.alibabacloud.com/v1",
                "lockgate.dev/v1",
            ],
            "host: a.com",
        ),
    ] {
        for version in versions {
            let loaded = load_one(&format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: a}}\nspec: {{{spec}}}\n"
            ));
            assert_eq!(codes(&loaded), [""; 0], "{version} {kind}");
            assert_eq!(loaded.documents.len(), 1);
        }
    }
}

#[test]
fn what_a_cluster_adds_is_accepted() {
    let loaded = load_one(
        "
apiVersion: istio.alibabacloud.com/v1
kind: LLMProvider
metadata:
  name: a
  creationTimestamp: 2024-02-29T12:34:56Z
  uid: 1-2-3
  resourceVersion: '1'
  generation: 1
  ownerReferences: []
  managedFields: [{manager: kubectl}]
  annotations: {kubectl.kubernetes.io/last-applied-configuration: '{\"spec\":\"${UNSET}\"}'}
spec: {host: a.com}
status: {status: ok, anything: [1, ~]}
---
apiVersion: istio.alibabacloud.com/v1
kind: LLMProvider
metadata: {name: b, creationTimestamp: null}
spec: {host: b.com}
status: {}
",
    );
    assert_eq!(codes(&loaded), [""; 0]);
    let created: Vec<_> = loaded
        .resources
        .llm_providers
        .iter()
        .map(|one| one.meta.created)
        .collect();
    assert_eq!(created, [Some(1_709_210_096), None]);
}

#[test]
fn variables_may_be_numbers_and_booleans_where_those_are_wanted() {
    let text = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a}
spec:
  servers:
  - hosts: ['*']
    port:
      number: QUOTED
      name: http
      protocol: HTTP
";
    let loaded = load_one(&text.replace("QUOTED", "${PORT}"));
    assert_eq!(*loaded.resources.gateways[0].servers[0].port, 8080);
    assert_eq!(codes(&load_one(&text.replace("QUOTED", "'${PORT}'"))), ["wrong-type"]);
}

#[test]
fn a_variable_cannot_become_structure() {
    let options = LoadOptions {
        env: &|_| Some("a.com\nkind: Gateway\nx: [".into()),
        ignore_kinds: &[],
    };
    let text = "apiVersion: istio.alibabacloud.com/v1\nkind: LLMProvider\nmetadata: {name: a}\nspec: {host: '${X}'}\n";
    let loaded = load(&sources(&[("a.yaml", text)]), &options);
    assert_eq!(codes(&loaded), ["invalid-host"]);
}

#[test]
fn a_list_is_its_items() {
    let items: String = ["a", "b"]
        .iter()
        .map(|name| provider(name, "").replace('\n', "\n  ").replacen("api", "- api", 1))
        .map(|item| item.trim_end().to_string() + "\n")
        .collect();
    let loaded = load_one(&format!(
        "apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{items}"
    ));
    assert_eq!(codes(&loaded), [""; 0]);
    let names: Vec<_> = loaded
        .resources
        .llm_providers
        .iter()
        .map(|one| &*one.meta.name.value)
        .collect();
    assert_eq!(names, ["a", "b"]);
}

#[test]
fn json_is_loaded() {
    let loaded = load_one(
        "{\n\t\"apiVersion\": \"istio.alibabacloud.com\\/v1\",\n\t\"kind\": \"LLMProvider\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"host\": \"a.com\"}\n}\n",
    );
    assert_eq!(codes(&loaded), [""; 0]);
    assert_eq!(loaded.resources.llm_providers.len(), 1);
}

#[test]
fn a_byte_order_mark_is_no_error() {
    assert_eq!(codes(&load_one(&format!("\u{feff}{}", provider("a", "")))), [""; 0]);
}

#[test]
fn ignored_kinds_are_left_out_without_a_word() {
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {{name: a}}\n---\n{}",
        provider("a", "")
    );
    assert_eq!(codes(&load_one(&text)), ["unsupported-kind"]);
    let ignored = ["Sidecar".to_string()];
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &ignored,
    };
    let loaded = load(&sources(&[("a.yaml", &text)]), &options);
    assert_eq!(codes(&loaded), [""; 0]);
    assert_eq!(loaded.resources.llm_providers.len(), 1);
}

#[test]
fn a_broken_file_hides_nothing_of_the_others() {
    let misspelt = provider("b", "  pth: /");
    let sources = sources(&[("a.yaml", "a: [\n"), ("b.yaml", &misspelt), ("c.yaml", "a: 'x\n")]);
    let loaded = load_all(&sources);
    assert_eq!(codes(&loaded), ["yaml-syntax", "unknown-field", "yaml-syntax"]);
    let files: Vec<_> = loaded
        .diagnostics
        .as_slice()
        .iter()
        .map(|finding| finding.placed(&sources).file)
        .collect();
    assert_eq!(files, ["a.yaml", "b.yaml", "c.yaml"]);
}

#[test]
fn aliases_within_the_bound_are_expanded() {
    let text = format!(
        "{}---\n{}",
        provider("a", "").replace("spec:", "spec: &spec"),
        provider(
            "b",
            "  configs: {defaultConfig: &c {openAIConfig: {model: &m x}}, routeSpecificConfigs: {r: *c, s: {openAIConfig: {model: *m}}}}"
        )
    );
    let loaded = load_one(&text);
    assert_eq!(codes(&loaded), [""; 0]);
    let models: Vec<_> = loaded.resources.llm_providers[1]
        .route_specific_configs
        .iter()
        .map(|(name, config)| (name.value.as_str(), config.model.as_ref().unwrap().value.as_str()))
        .collect();
    assert_eq!(models, [("r", "x"), ("s", "x")]);
}

#[test]
fn policy_corner_cases_mean_what_istio_means() {
    let policy = |spec: &str| {
        let loaded = load_one(&format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: a}}\n{spec}\n"
        ));
        assert_eq!(codes(&loaded), [""; 0], "{spec}");
        loaded.resources.authorization_policies.into_iter().next().unwrap()
    };
    for (spec, action, rules) in [
        ("", Action::Allow, 0),
        ("spec: {}", Action::Allow, 0),
        ("spec: {rules: []}", Action::Allow, 0),
        ("spec: {rules: [{}]}", Action::Allow, 1),
        ("spec: {action: DENY, rules: [{}]}", Action::Deny, 1),
    ] {
        let loaded = policy(spec);
        assert_eq!((loaded.action, loaded.rules.len()), (action, rules), "{spec}");
        assert_eq!(loaded.target, PolicyTarget::Namespace);
    }
    let ports = policy("spec: {rules: [{to: [{operation: {ports: ['80', 443, '0']}}]}]}");
    let ports = &ports.rules[0].to[0].predicates[0].values;
    let ports: Vec<_> = ports.iter().map(|port| port.value.as_str()).collect();
    assert_eq!(ports, ["80", "443", "0"]);
}

#[test]
fn header_names_are_lower_cased_and_empty_matches_mean_presence() {
    let loaded = load_one(
        "apiVersion: istio.alibabacloud.com/v1\nkind: LLMRoute\nmetadata: {name: a}\nspec: {host: '*', rules: [{matches: [{headers: {X-Team: {}, Host: {regex: 'a+'}}}], backendRefs: [{providerHost: A.Example.com}]}]}\n",
    );
    assert_eq!(codes(&loaded), [""; 0]);
    let rule = &loaded.resources.llm_routes[0].rules[0];
    let headers: Vec<_> = rule.matches[0]
        .headers
        .iter()
        .map(|(name, one)| (name.value.as_str(), &one.value))
        .collect();
    assert_eq!(
        headers,
        [
            ("x-team", &StringMatch::Present),
            ("host", &StringMatch::Regex("a+".into()))
        ]
    );
    assert_eq!(*rule.backend_refs[0].provider_host, "a.example.com");
}

#[test]
fn an_upstream_is_moved_by_two_resources() {
    let loaded = load_one(
        "
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a}
spec:
  hosts: [a.example.com]
  ports: [{number: 443, name: https, protocol: https, targetPort: 8443}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{address: 127.0.0.1, ports: {https: 9443}, weight: 2}]
  exportTo: ['*']
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a}
spec:
  host: a.example.com
  trafficPolicy:
    tls: {mode: SIMPLE, sni: b.example.com, caCertificates: /etc/ca.pem, subjectAltNames: [c.example.com]}
    connectionPool: {tcp: {connectTimeout: 1.5s}}
",
    );
    assert_eq!(codes(&loaded), [""; 0]);
    let entry = &loaded.resources.service_entries[0];
    assert_eq!(
        (entry.ports[0].number.value, entry.ports[0].target_port),
        (443, Some(8443))
    );
    let endpoint = &entry.endpoints[0];
    assert_eq!(
        (endpoint.address.value.as_str(), endpoint.ports[0].1, endpoint.weight),
        ("127.0.0.1", 9443, Some(2))
    );
    let rule = &loaded.resources.destination_rules[0];
    assert_eq!(
        rule.policy.usual.connection_pool.as_ref().unwrap().connect_timeout_ms,
        Some(1_500)
    );
    let Some(ClientTls::Speak(tls)) = &rule.policy.usual.tls else {
        panic!("TLS");
    };
    assert_eq!(tls.sni.as_ref().unwrap().value, "b.example.com");
    assert_eq!(&*tls.subject_alt_names[0].value, "c.example.com");
    assert!(matches!(&tls.roots, ServerRoots::File(path) if &*path.value == "/etc/ca.pem"));
}

#[test]
fn documents_show_no_key_and_no_environment() {
    let inline = provider(
        "a",
        &format!("  configs: {{defaultConfig: {{openAIConfig: {{apiKey: {KEY}, stream: false}}}}, routeSpecificConfigs: {{vip: {{openAIConfig: {{apiKey: '${{API_KEY}}'}}}}}}}}"),
    )
    .replace("{name: a}", &format!("{{name: a, annotations: {{last: '{KEY}'}}, managedFields: [{KEY}]}}"));
    let loaded = load_one(&inline);
    assert_eq!(codes(&loaded), ["inline-secret"]);
    let shown = serde_json::to_value(&loaded.documents[0]).unwrap();
    assert_eq!(
        shown,
        serde_json::json!({
            "apiVersion": "istio.alibabacloud.com/v1beta1",
            "kind": "LLMProvider",
            "metadata": {"name": "a"},
            "spec": {
                "host": "a.example.com",
                "configs": {
                    "defaultConfig": {"openAIConfig": {"apiKey": "redacted", "stream": false}},
                    "routeSpecificConfigs": {"vip": {"openAIConfig": {"apiKey": "${API_KEY}"}}},
                },
            },
        })
    );
    assert!(!format!("{loaded:?}").contains(KEY));
}

#[test]
fn a_key_given_in_part_is_redacted_whole() {
    let loaded = load_one(&provider(
        "a",
        "  configs: {defaultConfig: {openAIConfig: {apiKey: 'prefix-${API_KEY}'}}}",
    ));
    let shown = serde_json::to_string(&loaded.documents[0]).unwrap();
    assert!(!shown.contains("prefix"), "{shown}");
}

#[test]
fn findings_have_places_for_machines() {
    let sources = sources(&[(
        "a.yaml",
        "apiVersion: istio.alibabacloud.com/v1\nkind: LLMProvider\nmetadata: {name: ä}\nspec: {host: a.com}\n",
    )]);
    let loaded = load_all(&sources);
    let placed = serde_json::to_value(loaded.diagnostics.as_slice()[0].placed(&sources)).unwrap();
    assert_eq!(placed["severity"], "error");
    assert_eq!(placed["code"], "invalid-name");
    assert_eq!(placed["file"], "a.yaml");
    assert_eq!(placed["field"], "metadata.name");
    let place = ["line", "column", "endLine", "endColumn"].map(|name| placed[name].as_u64().unwrap());
    assert_eq!(place, [3, 18, 3, 19]);
}

#[test]
fn findings_beyond_the_bound_are_counted() {
    let fields: String = (0..2_000).map(|index| format!("  x{index}: 1\n")).collect();
    let loaded = load_one(&provider("a", &fields));
    assert_eq!(
        loaded.diagnostics.as_slice().len(),
        lockgate_core::limits::DIAGNOSTICS_MAX
    );
    assert_eq!(
        loaded.diagnostics.as_slice().len() + loaded.diagnostics.omitted(),
        2_000
    );
    assert!(loaded.diagnostics.has_errors());
    assert!(loaded.resources.llm_providers.is_empty());
}

#[test]
fn resources_with_errors_are_not_kept() {
    let loaded = load_one(&format!("{}---\n{}", provider("a", "  pth: /"), provider("b", "")));
    assert_eq!(codes(&loaded), ["unknown-field"]);
    let names: Vec<_> = loaded
        .resources
        .llm_providers
        .iter()
        .map(|one| &*one.meta.name.value)
        .collect();
    assert_eq!(names, ["b"]);
    assert_eq!(loaded.documents.len(), 1);
}

#[test]
fn line_ends_of_windows_change_no_place() {
    let text = provider("a", "  pth: /");
    let place = |text: &str| {
        let sources = sources(&[("a.yaml", text)]);
        let loaded = load_all(&sources);
        let placed = loaded.diagnostics.as_slice()[0].placed(&sources);
        (placed.code, placed.line, placed.column, placed.end_column)
    };
    assert_eq!(place(&text), ("unknown-field", 6, 3, 6));
    assert_eq!(place(&text.replace('\n', "\r\n")), place(&text));
}

#[test]
fn text_that_is_no_utf8_is_told_by_its_first_wrong_byte_and_its_file_alone() {
    let utf16 = |mark: [u8; 2]| [&mark[..], b"k\0i\0n\0d\0:\0"].concat();
    for (what, bytes, place, help) in [
        (
            "Latin-1",
            b"kind: Gateway\n# f\xfcr alle\n".to_vec(),
            (2, 4),
            "save it as UTF-8",
        ),
        ("cut", b"kind: \xe2\x82".to_vec(), (1, 7), "save it as UTF-8"),
        (
            "UTF-16",
            utf16([0xff, 0xfe]),
            (1, 1),
            "it begins as UTF-16 does, which some editors write: save it as UTF-8",
        ),
        (
            "UTF-16",
            utf16([0xfe, 0xff]),
            (1, 1),
            "it begins as UTF-16 does, which some editors write: save it as UTF-8",
        ),
    ] {
        let mut sources = vec![Source::from_bytes("broken.yaml".into(), bytes)];
        sources.extend(self::sources(&SEED[2..3]));
        sources.push(Source::new("typo.yaml".into(), "kind: Gatewy\n".into()));
        let loaded = load_all(&sources);
        let found = loaded.diagnostics.as_slice();
        // No Gateway is missed, as it may be in the file that could not be read.
        let codes: Vec<_> = found.iter().map(|finding| finding.code).collect();
        assert_eq!(codes, ["wrong-encoding", "missing-field"], "{what}");
        let placed = found[0].placed(&sources);
        assert_eq!(
            (placed.file, placed.line, placed.column),
            ("broken.yaml", place.0, place.1),
            "{what}"
        );
        assert_eq!(placed.help, Some(help), "{what}");
        assert!(loaded.diagnostics.has_errors());
        assert!(!loaded.resources.has_all("Gateway"), "{what}");
    }
}

#[test]
fn a_wrong_byte_behind_a_key_does_not_show_the_key() {
    let provider = SEED[0].1.replace("${API_KEY}", KEY);
    let sources = [
        Source::from_bytes("llm-provider.yaml".into(), [provider.as_bytes(), b"\xff\n"].concat()),
        Source::from_bytes("key.yaml".into(), [b"apiKey: ", KEY.as_bytes(), b"\xff\n"].concat()),
    ];
    for finding in load_all(&sources).diagnostics.as_slice() {
        let shown = finding.render(&sources, false);
        assert!(!shown.contains(KEY), "{shown}");
    }
}

#[test]
fn what_has_no_text_is_told_as_what_it_is() {
    let sources = [
        Source::without_text("gone.yaml".into(), Flaw::Unreadable("no such file".into())),
        Source::without_text("empty".into(), Flaw::EmptyDirectory),
    ];
    let loaded = load_all(&sources);
    assert_eq!(codes(&loaded), ["unreadable-file", "empty-directory"]);
    let shown = loaded.diagnostics.as_slice()[0].render(&sources, false);
    assert!(shown.contains("cannot read `gone.yaml`: no such file"), "{shown}");
    let loaded = load_all(&sources[1..]);
    assert!(!loaded.diagnostics.has_errors(), "an empty directory may be meant");
}
