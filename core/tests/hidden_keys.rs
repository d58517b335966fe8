//! However a key is written wrongly, no finding shows it.
#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::string_slice, reason = "a test may panic")]

use std::fmt::Write;

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use proptest::prelude::*;

/// Documents with a field for a key, whose place is at `@NAME@` and to be written as `NAME: KEY`.
const PLACES: [&str; 9] = [
    "apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: a, namespace: istio-system}
spec:
  host: a.example.com
  path: /
  configs:
    defaultConfig:
      openAIConfig:
        @apiKey@
        model: x
",
    "apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: a, namespace: istio-system}
spec:
  host: a.example.com
  @apiKey@
",
    "apiVersion: v1
kind: Secret
metadata: {name: a}
stringData:
  @password@
  other: x
",
    "apiVersion: v1
kind: Secret
metadata: {name: a}
stringData:
  @anything@
",
    "apiVersion: v1
data:
  tls.crt: YQ==
  @anything@
kind: Secret
metadata: {name: a}
",
    "apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: a, namespace: istio-system}
spec:
  jwtRules:
  - issuer: a
    @jwks@
    audiences: [b]
",
    "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: a, namespace: istio-system}
spec:
  hosts: [a.example.com]
  http:
  - headers:
      request:
        set:
          x-team: a
          @authorization@
    directResponse: {status: 200}
",
    "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: a, namespace: istio-system}
spec:
  rules:
  - filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set:
        - name: x-api-key
          @value@
",
    "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {name: istio, namespace: istio-system}
spec:
  extensionProviders:
  - name: authz
    envoyExtAuthzHttp:
      service: authz.test
      port: 9000
      includeAdditionalHeadersInCheck:
        @x-api-key@
",
];

/// Ways to write `N: K` wrongly; `I` is the indentation of the line.
const WAYS: [&str; 84] = [
    "N:K",
    "N=K",
    "N = K",
    "N => K",
    "N K",
    "N : K",
    "N::K",
    "N:=K",
    "N: =K",
    "N : : K",
    "{N:K}",
    "{N: K",
    "{N K}",
    "{N=K}",
    "{\"N\":\"K\"",
    "{\"N\":\"K\", x}",
    "{\"N\" \"K\"}",
    "{'N':K,}",
    "{x: y, N:K, z: a}",
    "{x: y, N: *K, z: a}",
    "[N: K",
    "[N:K]",
    "- N: K",
    "- N:K",
    "N: \"K",
    "N: K\"",
    "N: 'K\"",
    "N: \"K'",
    "N: “K”",
    "N: \"x\"K",
    "N: \"x\" K",
    "N: 'x', K",
    "N: 'x', 'K'",
    "N: \"x\\\"K",
    "N: \"\\xK\"",
    "N: [K",
    "N: [x, K]]",
    "N: {K",
    "N: {x: K}}",
    "N: {K: x, K: y}",
    "N:\nI- K",
    "N:\nI-K",
    "N:\n- K",
    "N:\nIK",
    "N:\nI  K\nI x",
    "N:\nI x: K",
    "N:\nI x:\nI  y:\nI   K",
    "N:\nK",
    "N:\n\tK",
    "N:\nI\tK",
    "N:\nI  x:K",
    "N: # x\nIK",
    "N:\nI# K",
    "N: |\nIK",
    "N: |\nI x\nIK",
    "N: |\nK",
    "N: >2\nI  x\nI K\nK",
    "N: |K",
    "N: |9\nI K",
    "N: *K",
    "N: *x K",
    "N: &K",
    "N: &x &K z",
    "N: !x K",
    "N: !K x",
    "N: !!int K",
    "N: !!binary K",
    "N: %K",
    "N: @K",
    "N: `K`",
    "N: K: x",
    "N: x: K",
    "N: K\nIN: K",
    "N: K\n---\nN: K",
    "N: K\n--- K\n",
    "N: \"K\n---\n",
    "N: ${K:-x}",
    "N: ${X:-K}",
    "N: ${",
    "N: x${K",
    "N: $K-$",
    "? N\nI: K",
    "? N\nIK",
    "# N: K\nIN: [",
];

/// What may go wrong with the line as a whole besides.
const SHIFTS: [&str; 6] = ["I", "", "I ", "I   ", "\t", "I\t"];

fn written(place: &str, way: &str, shift: &str, key: &str, misspelt: bool) -> String {
    let (before, rest) = place.split_once('@').unwrap();
    let (name, after) = rest.split_once('@').unwrap();
    let (above, indent) = before.rsplit_once('\n').unwrap();
    let mut name = name.to_owned();
    if misspelt && name != "value" {
        name = match name.strip_prefix('a') {
            Some(rest) => ["A", rest].concat(),
            None => name.to_uppercase(),
        };
    }
    // A capital letter of a way stands for itself only here.
    let mut line = String::new();
    for c in way.chars() {
        match c {
            'N' => line.push_str(&name),
            'K' => line.push_str(key),
            'I' => line.push_str(indent),
            c => line.push(c),
        }
    }
    format!("{above}\n{}{line}{after}", shift.replace('I', indent))
}

/// All that is said of the text, as people and as machines read it.
fn said(text: String) -> String {
    let sources = [Source::new("a.yaml".to_owned(), text)];
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&sources, &options, &Settings::default());
    let mut out = String::new();
    for finding in built.diagnostics.as_slice() {
        out.push_str(&finding.render(&sources, false));
        let _ = writeln!(out, "{}", serde_json::to_string(&finding.placed(&sources)).unwrap());
    }
    out
}

/// What is said of a text with the key in it, if that shows the key or a part of it.
fn shown(key: &str, place: &str, way: &str, shift: &str, misspelt: bool) -> Option<String> {
    // What another document makes of a name that says nothing is not known.
    let says_nothing = place.contains("@anything@") || place.contains("@value@");
    if says_nothing && way.contains("\n---") {
        return None;
    }
    let text = written(place, way, shift, key, misspelt);
    let said = said(text.clone());
    let is_shown = (0..key.len() - 7).any(|from| said.contains(&key[from..from + 8]));
    is_shown.then(|| format!("{text}\n==>\n{said}"))
}

#[test]
fn no_finding_shows_a_password_that_is_written_wrongly() {
    let mut wrong = Vec::new();
    for place in PLACES {
        for way in WAYS {
            wrong.extend(shown("hunterhunter", place, way, "I", false));
        }
    }
    assert!(wrong.is_empty(), "{} of them:\n{}", wrong.len(), wrong.concat());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_500))]

    #[test]
    fn no_finding_shows_a_key(
        key in prop_oneof!["[0-9a-f]{32}", "[a-z]{12}"],
        place in prop::sample::select(&PLACES[..]),
        way in prop::sample::select(&WAYS[..]),
        shift in prop::sample::select(&SHIFTS[..]),
        misspelt in any::<bool>(),
    ) {
        prop_assert_eq!(shown(&key, place, way, shift, misspelt), None);
    }
}

#[test]
fn what_is_no_secret_is_shown() {
    let text = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: keycloak, namespace: istio-system}
spec:
  hosts:
  - keycloak.example.com
  - tokens.example.com:8443
  - https://secrets.example.com
  resolution: DNSS
  ports: [{number: '8443x', name: https, protocol: HTTPS}]
";
    let said = said(text.to_owned());
    for shown in [
        "`tokens.example.com:8443`",
        "- https://secrets.example.com",
        "`DNSS`",
        "`8443x`",
    ] {
        assert!(said.contains(shown), "{shown} in {said}");
    }
}
