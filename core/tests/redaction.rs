//! What may be shown of a configuration, loaded again, is the same configuration, and none of its secrets.
#![cfg(feature = "yaml")]
#![allow(clippy::expect_used, reason = "a test may panic")]

use std::path::Path;

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Severity, Source};
use lockgate_core::{Built, build};

const SECRET: &str = "planted-7Hq2-secret";

fn built(sources: &[Source], env: &dyn Fn(&str) -> Option<String>) -> Built {
    let options = LoadOptions { env, ignore_kinds: &[] };
    build(sources, &options, &Settings::default())
}

/// What a browser loads that was told of `built` by a gateway: its texts and the variables that are no secret.
fn told(built: &Built, env: &dyn Fn(&str) -> Option<String>) -> (Vec<Source>, Vec<(String, String)>) {
    let source = |(index, document)| {
        Source::new(
            format!("{index:03}.yaml"),
            serde_json::to_string(document).expect("a document is JSON"),
        )
    };
    let sources = built.documents.iter().enumerate().map(source).collect();
    let all = || built.documents.iter().flat_map(|document| &document.variables);
    let value = |name: &str| {
        let secret = all().find_map(|other| other.stand_in.filter(|_| other.name == name));
        secret.map(str::to_owned).or_else(|| env(name))
    };
    let variables = all().filter_map(|variable| Some((variable.name.clone(), value(&variable.name)?)));
    (sources, variables.collect())
}

/// The ids of the snapshot and of what is made of what is told of it.
fn ids(sources: &[Source], env: &dyn Fn(&str) -> Option<String>) -> [String; 2] {
    let original = built(sources, env);
    let id = |built: &Built| {
        let errors = built.diagnostics.as_slice().iter();
        let errors: Vec<_> = errors.filter(|finding| finding.severity == Severity::Error).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let compiled = built.compiled.as_ref().expect("no error");
        compiled.snapshot.id().to_owned()
    };
    let (texts, variables) = told(&original, env);
    let everything = format!("{texts:?}{variables:?}");
    assert!(!everything.contains(SECRET), "{everything}");
    let known = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    };
    [id(&original), id(&built(&texts, &known))]
}

#[test]
fn examples_as_they_may_be_shown_are_the_same_snapshot() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let env = |name: &str| {
        let value = if name.contains("IP") { "203.0.113.9" } else { SECRET };
        Some(value.to_owned())
    };
    let mut examples = 0;
    for example in std::fs::read_dir(folder).unwrap() {
        let mut files: Vec<_> = std::fs::read_dir(example.unwrap().path())
            .unwrap()
            .map(|file| file.unwrap().path())
            .filter(|file| file.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        let source =
            |file: &std::path::PathBuf| Source::new(file.display().to_string(), std::fs::read_to_string(file).unwrap());
        let sources: Vec<Source> = files.iter().map(source).collect();
        let [original, again] = ids(&sources, &env);
        assert_eq!(original, again, "{files:?}");
        examples += 1;
    }
    assert!(examples > 5);
}

fn one(text: &str) -> Vec<Source> {
    let gateway = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}
";
    Vec::from([Source::new(
        "a.yaml".to_owned(),
        format!("{gateway}---{}", text.replace("SECRET", SECRET)),
    )])
}

const BASE64_OF_SECRET: &str = "cGxhbnRlZC03SHEyLXNlY3JldA==";

#[test]
fn secrets_of_every_place_are_left_out_and_the_snapshot_stays_the_same() {
    for text in [
        // Keys, whole, in part and by a variable.
        "
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: a, namespace: istio-system, annotations: {kubectl.kubernetes.io/last: SECRET}}
spec: {host: a.example.com, path: /, configs: {defaultConfig: {openAIConfig: {apiKey: SECRET}}}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: b, namespace: istio-system}
spec: {host: b.example.com, path: /, configs: {defaultConfig: {openAIConfig: {apiKey: 'x${HIDDEN}'}}}}
",
        // A variable that a key is written with is hidden wherever it stands, and its place in a host is no secret's.
        "
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: a, namespace: istio-system}
spec: {host: '${HOST}', path: /, configs: {defaultConfig: {openAIConfig: {apiKey: '${HIDDEN}'}}}}
",
        // What a header field is set to: a credential by its name, and what is none.
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: istio-system}
spec:
  hosts: [v.example.com]
  gateways: [istio-system/edge]
  http:
  - headers: {request: {set: {x-api-key: SECRET, x-team: edge, authorization: 'Bearer ${HIDDEN}'}}}
    directResponse: {status: 200}
",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: kube, namespace: istio-system}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 8080, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: istio-system}
spec:
  parentRefs: [{name: kube}]
  rules:
  - filters:
    - {type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-key, value: SECRET}, {name: x-team, value: edge}]}}
",
        // A key set may hold symmetric keys.
        r#"
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: r, namespace: istio-system}
spec: {jwtRules: [{issuer: a, jwks: '{"keys":[{"kty":"oct","k":"SECRET"}]}'}]}
"#,
        // Authorizers' own fields, and a MeshConfig in the form of a cluster.
        "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    pathNormalization: {normalization: MERGE_SLASHES}
    defaultConfig: {gatewayTopology: {numTrustedProxies: 2}, tracing: {lightstep: {accessToken: SECRET}}}
    extensionProviders:
    - name: authz
      envoyExtAuthzHttp: {service: authz.test, port: 9000, includeAdditionalHeadersInCheck: {x-key: SECRET}}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ask, namespace: istio-system, annotations: {istio.io/dry-run: 'false', note: SECRET}}
spec: {action: CUSTOM, provider: {name: authz}, rules: [{}]}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: dry, namespace: istio-system, annotations: {istio.io/dry-run: 'true'}}
spec: {action: DENY, rules: [{}]}
",
        // Certificates and keys of servers.
        "
apiVersion: v1
kind: Secret
metadata: {name: tls, namespace: istio-system}
stringData: {tls.key: SECRET}
data: {tls.crt: BASE64}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: secure, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: [a.example.com]
    port: {name: https, number: 443, protocol: HTTPS}
    tls: {mode: SIMPLE, credentialName: tls}
",
    ] {
        let env = |name: &str| match name {
            "HIDDEN" => Some(SECRET.to_owned()),
            "HOST" => Some("llm.example.com".to_owned()),
            _ => None,
        };
        let sources = one(&text.replace("BASE64", BASE64_OF_SECRET));
        let [original, again] = ids(&sources, &env);
        assert_eq!(original, again, "{text}");
        let shown = format!("{:?}", told(&built(&sources, &env), &env));
        assert!(!shown.contains(BASE64_OF_SECRET), "{shown}");
    }
}

#[test]
fn credentials_that_rules_compare_are_hidden_and_that_is_said() {
    for text in [
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: istio-system}
spec:
  hosts: [v.example.com]
  gateways: [istio-system/edge]
  http:
  - match: [{headers: {Authorization: {exact: SECRET}}}]
    directResponse: {status: 200}
",
        "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: istio-system}
spec:
  hosts: [v.example.com]
  gateways: [istio-system/edge]
  http:
  - match: [{queryParams: {api_key: {exact: '${HIDDEN}'}}}]
    directResponse: {status: 200}
",
        "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: istio-system}
spec: {action: ALLOW, rules: [{when: [{key: 'request.headers[x-api-key]', values: [SECRET]}]}]}
",
        "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: kube, namespace: istio-system}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 8080, protocol: HTTP}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: istio-system}
spec:
  parentRefs: [{name: kube}]
  rules: [{matches: [{headers: [{name: X-Token, value: SECRET}]}]}]
",
    ] {
        let env = |name: &str| (name == "HIDDEN").then(|| SECRET.to_owned());
        let original = built(&one(text), &env);
        let (shown, variables) = told(&original, &env);
        let shown = format!("{shown:?}{variables:?}");
        assert!(shown.contains("redacted") && !shown.contains(SECRET), "{shown}");
        assert!(original.documents.iter().any(|document| document.withholds), "{text}");
    }
}

#[test]
fn a_mesh_config_with_variables_in_its_text_is_not_shown() {
    let text = "
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    trustDomain: ${HIDDEN}
";
    let env = |name: &str| (name == "HIDDEN").then(|| SECRET.to_owned());
    let original = built(&one(text), &env);
    assert!(original.compiled.is_some());
    assert!(!format!("{:?}", told(&original, &env)).contains(SECRET));
}
