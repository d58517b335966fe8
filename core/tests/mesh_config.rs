//! MeshConfig: however it is given, it shapes how heads are read, once for policy, routing and the upstream.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use lockgate_core::Built;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Path, Refusal};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request};

/// A provider that keeps the client's path, behind policies on `/admin` and on one network.
const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: { name: llm, namespace: istio-system }
spec: { host: llm.test, configs: { defaultConfig: { openAIConfig: { model: m } } } }
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: { name: llm, namespace: istio-system }
spec:
  host: '*'
  gateways: [edge]
  rules: [{ name: all, backendRefs: [{ providerHost: llm.test }] }]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny, namespace: istio-system }
spec:
  action: DENY
  rules:
  - to: [{ operation: { paths: [/admin, /admin/*] } }]
  - from: [{ source: { remoteIpBlocks: [10.0.0.0/8] } }]
";

fn build(extra: &str, mesh_config: Option<&str>) -> Built {
    let mut sources = vec![Source::new("edge.yaml".into(), format!("{EDGE}---\n{extra}"))];
    sources.extend(mesh_config.map(|text| Source::mesh_config("mesh.yaml".into(), text.into())));
    let options = LoadOptions {
        env: &|name| (name == "HOPS").then(|| "1".to_owned()),
        ignore_kinds: &[],
    };
    lockgate_core::build(&sources, &options, &Settings::default())
}

/// The status of the refusal, or the path that goes upstream.
fn ask(built: &Built, target: &str, forwarded_for: &str) -> String {
    let snapshot = &built
        .compiled
        .as_ref()
        .unwrap_or_else(|| panic!("{:?}", built.diagnostics))
        .snapshot;
    let headers: &[(&str, &[u8])] = &[("host", b"a.test"), ("x-forwarded-for", forwarded_for.as_bytes())];
    let request = Request {
        method: "POST",
        authority: None,
        target,
        headers: &headers,
        connection: Connection::plain([192, 0, 2, 1].into(), 80),
    };
    let mut scan = BodyScan::new(64);
    scan.feed(b"{}").unwrap();
    let known = Known {
        body: Body::Read(scan.finish()),
        ..Known::NOTHING
    };
    match decide(snapshot.tables(), &request, known, 0, &mut Scratch::new()) {
        Decision::Forward(forward) => match forward.path {
            Path::Client { path, .. } => path.to_owned(),
            other => panic!("the client's path is kept, not {other:?}"),
        },
        Decision::Refuse(Refusal::Denied(_)) => "403".to_owned(),
        Decision::Refuse(refusal) => refusal.status().to_string(),
        other => panic!("{other:?}"),
    }
}

const IN_A_CONFIG_MAP: &str = "
apiVersion: v1
kind: ConfigMap
metadata: { name: istio, namespace: istio-system }
data:
  mesh: |-
    pathNormalization:
      normalization: MERGE_SLASHES
";

#[test]
fn without_it_the_path_is_read_by_base() {
    let built = build("", None);
    assert_eq!(ask(&built, "/x/../admin", ""), "403");
    assert_eq!(ask(&built, "//admin", ""), "//admin");
}

#[test]
fn the_three_ways_to_give_it_mean_the_same() {
    let own = "
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: { name: edge, namespace: istio-system }
spec: { pathNormalization: { normalization: MERGE_SLASHES } }
";
    let built = [
        build(IN_A_CONFIG_MAP, None),
        build(&IN_A_CONFIG_MAP.replace("|-", ">-"), None),
        build(own, None),
        build("", Some("pathNormalization: { normalization: MERGE_SLASHES }\n")),
    ];
    let first = built[0].compiled.as_ref().unwrap().snapshot.id();
    for built in &built {
        assert_eq!(ask(built, "//admin", ""), "403");
        assert_eq!(ask(built, "/a//b", ""), "/a/b");
        assert_eq!(built.compiled.as_ref().unwrap().snapshot.id(), first);
    }
    assert_ne!(build("", None).compiled.unwrap().snapshot.id(), first);
}

#[test]
fn the_path_that_policy_judged_is_the_one_that_is_sent() {
    let by = |mode: &str| build("", Some(&format!("pathNormalization: {{ normalization: {mode} }}")));
    for (mode, target, outcome) in [
        ("NONE", "/x/../admin", "/x/../admin"),
        ("NONE", "/admin#x", "403"),
        ("BASE", "/%61dmin", "403"),
        ("DEFAULT", "/x/..;/admin", "403"),
        ("MERGE_SLASHES", "/%2fadmin", "/%2fadmin"),
        ("DECODE_AND_MERGE_SLASHES", "/%2fadmin", "403"),
        ("DECODE_AND_MERGE_SLASHES", "/x%2f..%2fadmin", "403"),
        ("DECODE_AND_MERGE_SLASHES", "/%252fadmin", "/%252fadmin"),
    ] {
        assert_eq!(ask(&by(mode), target, ""), outcome, "{mode} {target}");
    }
}

#[test]
fn path_parameters_and_escaped_slashes_can_be_taken_away_or_refused() {
    let by = |field: &str| {
        build(
            &format!(
                "apiVersion: lockgate.dev/v1\nkind: MeshConfig\nmetadata: {{ name: edge }}\n\
                 spec: {{ pathNormalization: {{ {field} }} }}"
            ),
            None,
        )
    };
    assert_eq!(ask(&by("pathParameters: KEEP"), "/admin;x/keys", ""), "/admin;x/keys");
    assert_eq!(ask(&by("pathParameters: STRIP"), "/admin;x/keys", ""), "403");
    assert_eq!(ask(&by("pathParameters: REFUSE"), "/admin;x/keys", ""), "400");
    assert_eq!(ask(&by("escapedSlashes: REFUSE"), "/admin%2fkeys", ""), "400");
}

#[test]
fn the_clients_address_is_the_one_that_the_last_trusted_proxy_saw() {
    let hops = |hops: &str| {
        let mesh = format!("defaultConfig:\n  gatewayTopology:\n    numTrustedProxies: {hops}\n");
        build("", Some(&mesh))
    };
    assert_eq!(ask(&hops("0"), "/", "10.1.1.1"), "/");
    assert_eq!(ask(&hops("1"), "/", "10.1.1.1"), "403");
    assert_eq!(ask(&hops("1"), "/", "10.1.1.1, 203.0.113.9"), "/");
    assert_eq!(ask(&hops("2"), "/", "10.1.1.1, 203.0.113.9"), "403");
    assert_eq!(ask(&hops("${HOPS}"), "/", "10.1.1.1"), "403");
}

#[test]
fn whether_connections_begin_with_a_proxy_header_is_a_part_of_the_snapshot() {
    let with = |topology: &str| {
        let mesh = format!("defaultConfig:\n  gatewayTopology: {topology}\n");
        let snapshot = build("", Some(&mesh)).compiled.unwrap().snapshot;
        (snapshot.expects_proxy_header(), snapshot.id().to_owned())
    };
    let (expects, id) = with("{ proxyProtocol: {} }");
    assert!(expects);
    for without in ["{}", "{ numTrustedProxies: 0 }"] {
        let (expects, other) = with(without);
        assert!(!expects && other != id, "{without}");
    }
    assert!(!build("", None).compiled.unwrap().snapshot.expects_proxy_header());
    // In doubt whether it is meant to be on or off.
    for unclear in ["", "null", "true", "[]", "{ enabled: false }"] {
        let mesh = format!("defaultConfig:\n  gatewayTopology:\n    proxyProtocol: {unclear}\n");
        assert!(build("", Some(&mesh)).compiled.is_none(), "{unclear:?}");
    }
}

#[test]
fn its_root_namespace_is_where_policies_for_all_stand() {
    let built = build("", Some("rootNamespace: mesh-root\n"));
    // The gateway's own namespace is `istio-system`, so its policies still apply.
    assert_eq!(ask(&built, "/admin", ""), "403");
    let moved = EDGE.replace(
        "name: deny, namespace: istio-system",
        "name: deny, namespace: mesh-root",
    );
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let sources = [
        Source::new("edge.yaml".into(), moved),
        Source::mesh_config("mesh.yaml".into(), "rootNamespace: mesh-root\n".into()),
    ];
    let built = lockgate_core::build(&sources, &options, &Settings::default());
    assert_eq!(ask(&built, "/admin", ""), "403");
}

#[test]
fn what_platforms_have_in_theirs_loads_without_a_word() {
    let mesh = "
accessLogFile: /dev/stdout
accessLogEncoding: JSON
defaultConfig:
  discoveryAddress: istiod.istio-system.svc:15012
  proxyMetadata: { A: b }
  tracing: {}
defaultProviders: { metrics: [prometheus] }
enablePrometheusMerge: true
extensionProviders: [{ name: zipkin, zipkin: { service: z, port: 9411 } }]
outboundTrafficPolicy: { mode: REGISTRY_ONLY }
rootNamespace: istio-system
trustDomain: cluster.local
";
    let built = build("", Some(mesh));
    let plain = build("", None);
    assert_eq!(built.diagnostics.as_slice(), plain.diagnostics.as_slice());
    assert!(built.compiled.is_some());
}
