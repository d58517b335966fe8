//! Scenarios: what holds, what is said when it does not, and which rules were reached.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::fs;
use std::path::{Path, PathBuf};

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::config::resource::Fact;
use lockgate_core::scenario::{self, Report};
use lockgate_core::{Built, build};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

fn source(name: &str, text: &str) -> Source {
    Source::new(name.into(), text.into())
}

fn built(sources: &[Source]) -> Built {
    let variables = scenario::env(sources);
    let env = |name: &str| {
        let known = variables.iter().find(|(known, _)| known == name);
        known.map(|(_, value)| value.clone())
    };
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &[],
    };
    build(sources, &options, &Settings::default())
}

fn report(sources: &[Source]) -> Report {
    let built = built(sources);
    let Some(compiled) = built.compiled else {
        let findings = built.diagnostics.as_slice().iter();
        let said: Vec<String> = findings.map(|finding| finding.render(sources, false)).collect();
        panic!("{}", said.concat());
    };
    let snapshot = compiled.snapshot;
    scenario::run(&snapshot, &built.scenarios, sources)
}

/// What the first lines of `examples/scenarios/NAME.yaml` say it is tried over, and the file itself.
fn golden(path: &Path) -> Vec<Source> {
    let text = fs::read_to_string(path).unwrap();
    let command = text.lines().find(|line| line.contains("lockgate test")).unwrap();
    let mut sources = Vec::new();
    for folder in command.split("-f ").skip(1).map(|rest| rest.split(' ').next().unwrap()) {
        let mut files: Vec<PathBuf> = fs::read_dir(examples().join("..").join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        sources.extend(files.iter().map(|file| {
            let name = format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap());
            source(&name, &fs::read_to_string(file).unwrap())
        }));
    }
    sources.push(source(path.file_name().unwrap().to_str().unwrap(), &text));
    sources
}

fn goldens() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(examples().join("scenarios"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn every_golden_scenario_passes_and_reaches_the_rules_of_its_example() {
    let files = goldens();
    assert!(files.len() >= 6);
    for path in files {
        let report = report(&golden(&path));
        assert_eq!(report.failed(), 0, "{}\n{report}", path.display());
        let own = |at: &str| !at.starts_with("examples/seed/") || path.ends_with("seed.yaml");
        let missed: Vec<_> = report.uncovered().filter(|rule| own(&rule.at)).collect();
        assert!(missed.is_empty(), "{}: {missed:?}", path.display());
    }
}

/// Everything that a verdict has can be expected of it, in the YAML that `--update` writes, and then holds.
#[test]
fn what_came_can_be_written_down_and_holds() {
    let mut names = std::collections::BTreeSet::new();
    for path in goldens() {
        let mut sources = golden(&path);
        let first = report(&sources);
        let golden = sources.pop().unwrap();
        let mut text = String::new();
        let mut cases = first.cases.iter();
        let mut is_old = false;
        for line in golden.text.lines() {
            is_old &= !line.starts_with("    - ");
            if line.starts_with("      expect:") {
                is_old = true;
                text.push_str("      expect:\n");
                for (name, fact) in scenario::facts(cases.next().unwrap().verdict.as_ref().unwrap()) {
                    names.insert(name);
                    text.push_str(&format!("        {name}: {}\n", scenario::yaml(&fact)));
                }
            } else if !is_old {
                text.push_str(&format!("{line}\n"));
            }
        }
        sources.push(source("written.yaml", &text));
        let second = report(&sources);
        assert_eq!(second.failed(), 0, "{}\n{second}\n{text}", path.display());
        assert_eq!(second.cases.len(), first.cases.len());
    }
    assert!(names.len() >= 20, "only {names:?}");
}

const GATEWAY: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: answers, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [edge]
  http:
  - name: never
    match: [{uri: {exact: /never}}, {uri: {exact: /ever}}]
    directResponse: {status: 404}
  - name: hello
    directResponse: {status: 200, body: {string: \"hello: \\\"you\\\"\\n\"}}
";

fn scenarios(cases: &str) -> Source {
    let head = "apiVersion: lockgate.dev/v1\nkind: Scenario\nmetadata: {name: tests}\nspec:\n  cases:\n";
    source("scenarios.yaml", &format!("{head}{cases}"))
}

fn tried(cases: &str) -> Report {
    report(&[source("gateway.yaml", GATEWAY), scenarios(cases)])
}

#[test]
fn a_failure_says_what_was_expected_what_came_and_where() {
    let report = tried(
        "  - name: wrong\n    request: {url: 'http://a.test/'}\n    expect:\n      decision: forward\n      status: 201\n      provider: p\n      body: \"hello: \\\"you\\\"\\n\"\n      responseHeaders: {}\n",
    );
    let failures: Vec<_> = report.cases[0]
        .failures
        .iter()
        .map(|failure| {
            let of = |text: &Option<String>| text.clone().unwrap_or("-".into());
            format!(
                "{} {} {} {}",
                failure.field,
                of(&failure.expected),
                of(&failure.seen),
                failure.at
            )
        })
        .collect();
    assert_eq!(
        failures,
        [
            "decision forward respond scenarios.yaml:9:17",
            "status 201 200 scenarios.yaml:10:15",
            "provider p - scenarios.yaml:11:17",
        ]
    );
    assert!(
        report.to_string().contains("decision: expected forward, found respond"),
        "{report}"
    );
}

#[test]
fn a_case_that_expects_nothing_fails_with_what_came() {
    let report = tried("  - {name: empty, request: {url: 'http://a.test/'}, expect: {}}\n");
    assert_eq!(report.failed(), 1);
    assert!(
        report
            .to_string()
            .contains("expects nothing; the verdict is respond 200"),
        "{report}"
    );
}

#[test]
fn a_request_that_cannot_be_asked_fails_with_why() {
    let report = tried(
        "  - {name: asked, request: {url: 'http://a.test/', checks: {nobody: {decision: allow}}}, expect: {decision: respond}}\n",
    );
    assert_eq!((report.failed(), &report.cases[0].verdict), (1, &None));
    assert!(
        report
            .to_string()
            .contains("request: no CUSTOM policy asks an authorizer `nobody`"),
        "{report}"
    );
}

#[test]
fn alternatives_that_no_case_reaches_are_named() {
    let report = tried(
        "  - {name: a, request: {url: 'http://a.test/ever'}, expect: {status: 404}}\n  - {name: b, request: {url: 'http://a.test/'}, expect: {status: 200}}\n",
    );
    let missed: Vec<_> = report
        .uncovered()
        .map(|rule| (rule.name.as_str(), rule.at.as_str()))
        .collect();
    assert_eq!(missed, [("istio-system/answers/never", "gateway.yaml:17:13")]);
    assert!(
        report
            .to_string()
            .ends_with("2 passed, 0 failed; 2 of 3 rules reached\n"),
        "{report}"
    );
}

#[test]
fn a_scenario_is_no_part_of_what_is_served() {
    let gateway = source("gateway.yaml", GATEWAY);
    let case = scenarios(
        "  - {name: a, request: {url: /, headers: [{name: authorization, value: hunter2}]}, expect: {status: 400}}\n",
    );
    let alone = built(core::slice::from_ref(&gateway)).compiled.unwrap().snapshot;
    let both = built(&[gateway, case]);
    assert_eq!(both.diagnostics.as_slice(), []);
    assert_eq!(both.compiled.unwrap().snapshot.id(), alone.id());
    let shown = serde_json::to_string(&both.documents).unwrap();
    assert!(shown.contains("Scenario") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn its_variables_come_before_the_environment() {
    let sources = [
        source("gateway.yaml", &GATEWAY.replace("/never", "'${PATH_OF_IT}'")),
        scenarios("  - {name: a, request: {url: 'http://a.test/x'}, expect: {status: 404}}\n  env: {PATH_OF_IT: /x}\n"),
    ];
    assert_eq!(scenario::env(&sources), [("PATH_OF_IT".to_owned(), "/x".to_owned())]);
    assert_eq!(report(&sources).failed(), 0);
}

#[test]
fn claims_are_the_json_that_they_say() {
    let policy = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: claims, namespace: istio-system}
spec:
  rules:
  - when:
    - {key: 'request.auth.claims[groups]', values: [research]}
    - {key: 'request.auth.claims[level]', values: ['7']}
    - {key: 'request.auth.claims[nested][a b]', values: ['\"x\"']}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: istio-system}
spec: {jwtRules: [{issuer: i, jwksUri: 'https://keys.test/'}]}
";
    let case = |level: &str| {
        let claims = format!(
            "{{iss: i, sub: s, groups: [staff, research], level: {level}, nested: {{a b: '\"x\"'}}, none: ~, is: yes}}"
        );
        format!(
            "  - {{name: \"of {level}\", request: {{url: 'http://a.test/', claims: {claims}}}, expect: {{status: 200}}}}\n"
        )
    };
    let cases = scenarios(&format!("{}{}", case("'7'"), case("'8'")));
    let report = report(&[source("gateway.yaml", GATEWAY), source("policy.yaml", policy), cases]);
    let passed: Vec<bool> = report.cases.iter().map(scenario::Tried::passed).collect();
    assert_eq!(passed, [true, false], "{report}");
}

/// What the first case is to send of one field.
fn sent(sources: &[Source], name: &str) -> Vec<String> {
    let report = report(sources);
    let Some(verdict) = &report.cases[0].verdict else {
        panic!("{report}")
    };
    let facts = scenario::facts(verdict);
    let Some((_, Fact::Fields(headers))) = facts.iter().find(|(fact, _)| *fact == "headers") else {
        panic!("{report}")
    };
    let of_name = headers.iter().filter(|(known, _)| known == name);
    of_name.map(|(_, value)| value.clone()).collect()
}

#[test]
fn no_rule_changes_what_the_gateway_writes_after_it() {
    const RESOURCES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 80, name: http}]}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: llm, namespace: istio-system}
spec: {host: llm.test, configs: {defaultConfig: {openAIConfig: {model: m, apiKey: the-key}}}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: keyless, namespace: istio-system}
spec: {host: keyless.test}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: plain, namespace: istio-system}
spec:
  hosts: [plain.test]
  gateways: [edge]
  http:
  - name: rewritten
    match: [{uri: {prefix: /old}}]
    rewrite: {uri: /new}
    headers: {request: CHANGES}
    route: [{destination: {host: a.test}}]
  - name: kept
    headers: {request: CHANGES}
    route: [{destination: {host: a.test}}]
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: llm, namespace: istio-system}
spec:
  host: llm.test
  gateways: [edge]
  rules: [{name: asked, headers: {request: CHANGES}, backendRefs: [{providerHost: llm.test}]}]
---
apiVersion: lockgate.dev/v1
kind: LLMRoute
metadata: {name: keyless, namespace: istio-system}
spec:
  host: keyless.test
  gateways: [edge]
  rules: [{name: asked, headers: {request: CHANGES}, backendRefs: [{providerHost: keyless.test}]}]
";
    let chat = |host: &str| {
        format!("{{url: 'http://{host}/', headers: [{{name: content-type, value: application/json}}], body: '{{}}'}}")
    };
    let (key, path, random) = ("authorization", "x-envoy-original-path", "sec-websocket-key");
    let of_provider = Some("Bearer «key of istio-system/llm»");
    let moved = "{url: 'http://plain.test/old'}";
    let plain = "{url: 'http://plain.test/'}";
    let connect = "{url: 'http://plain.test/', protocol: websocket}";
    for (request, name, written, before) in [
        (&*chat("llm.test"), key, of_provider, None),
        (&*chat("keyless.test"), key, None, None),
        (moved, path, Some("/old"), None),
        (plain, path, None, None),
        (connect, random, Some("«random»"), None),
        (plain, key, None, None),
        // What the gateway writes before, rules may change.
        (plain, "x-forwarded-proto", None, Some("http")),
    ] {
        let case = scenarios(&format!(
            "  - {{name: it, request: {request}, expect: {{decision: forward}}}}\n"
        ));
        let sent = |changes: &str| {
            let resources = RESOURCES.replace("CHANGES", changes);
            sent(&[source("gateway.yaml", &resources), case.clone()], name)
        };
        for (change, otherwise) in [
            ("set", [None, Some("«not shown»")]),
            ("add", [before, Some("«not shown»")]),
        ] {
            let expected: Vec<&str> = match written {
                Some(written) => vec![written],
                None => otherwise.into_iter().flatten().collect(),
            };
            let sent = sent(&format!("{{{change}: {{{name}: of-the-rule}}}}"));
            assert_eq!(sent, expected, "{change} {name}: {request}");
        }
        let sent = sent(&format!("{{remove: [{name}]}}"));
        let expected: Vec<&str> = written.into_iter().collect();
        assert_eq!(sent, expected, "remove {name}: {request}");
    }
}
