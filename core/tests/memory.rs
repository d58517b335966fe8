//! What is built with what the build before kept is what is built from nothing: the same snapshot, findings at the same
//! places, the same documents, whatever was edited in between.
#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may panic")]

use std::path::Path;
use std::sync::OnceLock;

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{Flaw, Severity, Source};
use lockgate_core::{Built, Memory, build};
use proptest::prelude::*;

/// Documents that configurations are put together from: those of the examples, and some that are wrong.
fn documents() -> &'static [String] {
    static DOCUMENTS: OnceLock<Vec<String>> = OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let mut documents: Vec<String> = WRONG.iter().map(|text| (*text).to_owned()).collect();
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
        for directory in ["seed", "routing", "external-authorization", "gateway-api"] {
            let mut files: Vec<_> = std::fs::read_dir(examples.join(directory))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
                .collect();
            files.sort();
            assert!(!files.is_empty(), "{directory}");
            for file in files {
                let text = std::fs::read_to_string(&file).unwrap();
                documents.extend(text.split("\n---\n").map(|document| format!("{document}\n")));
            }
        }
        documents
    })
}

/// What must be read again, what is wrong, and what a cut could get wrong. A quote that is not closed is not among them:
/// it is an error in other words when its file is cut.
const WRONG: [&str; 15] = [
    "",
    "# nothing but a comment\n",
    "kind: Gateway\nkind: Gateway\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |\n    rootNamespace: istio-system\n    nonsense: 1\n",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    defaultHttpRetryPolicy: {attempts: 3}\n",
    "apiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: istio-system}\ntype: Opaque\nstringData: {token: '${KEPT}'}\n",
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: broken, namespace: istio-system}\nspec:\n  hosts: [a.test]\n  gatewys: [g]\n",
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: nowhere, namespace: istio-system}\nspec:\n  hosts: [a.test]\n  gateways: [missing]\n  http: [{route: [{destination: {host: gone.test}}]}]\n",
    "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: twice, namespace: istio-system}\nspec:\n  hosts: [a.test]\n  gateways: [ingress-gw]\n  http: [{match: [{uri: {regex: '/a.*'}}], directResponse: {status: 200}}]\n",
    "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: anchored, namespace: istio-system}\nspec: {hosts: &hosts [anchored.test], addresses: *hosts, ports: [{number: 80, name: http, protocol: HTTP}], resolution: DNS}\n",
    "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {}\n",
    "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Gateway\n  metadata: {name: ingress-gw, namespace: istio-system}\n  spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n",
    "key: a: b\n",
    "text: |\n  a\n...\ntext: b\n",
    "...\n%YAML 1.2\n",
];

/// One change of the files.
#[derive(Debug, Clone)]
enum Edit {
    Insert(usize, usize, usize),
    Remove(usize, usize),
    Swap(usize, usize, usize),
    /// The first letter of a line, which may be what a document depends on.
    Comment(usize, usize),
    /// Ends all lines like Windows does, or no longer.
    Endings(usize),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let any = 0..10_000_usize;
    let edit = prop_oneof![
        4 => (any.clone(), any.clone(), any.clone()).prop_map(|(file, at, document)| Edit::Insert(file, at, document)),
        2 => (any.clone(), any.clone()).prop_map(|(file, at)| Edit::Remove(file, at)),
        1 => (any.clone(), any.clone(), any.clone()).prop_map(|(file, a, b)| Edit::Swap(file, a, b)),
        2 => (any.clone(), any.clone()).prop_map(|(file, line)| Edit::Comment(file, line)),
        1 => any.prop_map(Edit::Endings),
    ];
    prop::collection::vec(edit, 1..9)
}

/// Files of documents. An edit of text leaves one document, which is what an editor would find.
type Files = [Vec<String>; 3];

fn edit(files: &mut Files, edit: &Edit) {
    let file = |index: usize| index % 3;
    match *edit {
        Edit::Insert(index, at, document) => {
            let documents_of = &mut files[file(index)];
            let at = at % (documents_of.len() + 1);
            documents_of.insert(at, documents()[document % documents().len()].clone());
        }
        Edit::Remove(index, at) => {
            let documents_of = &mut files[file(index)];
            if !documents_of.is_empty() {
                let at = at % documents_of.len();
                documents_of.remove(at);
            }
        }
        Edit::Swap(index, a, b) => {
            let documents_of = &mut files[file(index)];
            if !documents_of.is_empty() {
                let count = documents_of.len();
                documents_of.swap(a % count, b % count);
            }
        }
        Edit::Comment(index, line) => {
            for document in &mut files[file(index)] {
                let lines = document.lines().count().max(1);
                let edited: Vec<String> = (0..)
                    .zip(document.lines())
                    .map(|(number, text)| match number == line % lines {
                        true => format!("#{text}"),
                        false => text.to_owned(),
                    })
                    .collect();
                *document = edited.join("\n") + "\n";
                if line % 2 == 0 {
                    break;
                }
            }
        }
        Edit::Endings(index) => {
            for document in &mut files[file(index)] {
                *document = match document.contains('\r') {
                    true => document.replace("\r\n", "\n"),
                    false => document.replace('\n', "\r\n"),
                };
            }
        }
    }
}

fn sources(files: &Files) -> Vec<Source> {
    let named = ["a.yaml", "b.yaml", "c.yaml"].iter().zip(files);
    named
        .map(|(name, documents)| Source::new((*name).to_owned(), documents.join("---\n")))
        .collect()
}

/// All that a build says, as text.
fn said(built: &Built, sources: &[Source]) -> String {
    let findings = built.diagnostics.as_slice().iter();
    let findings: String = findings.map(|finding| finding.render(sources, false)).collect();
    let documents: Vec<String> = built
        .documents
        .iter()
        .map(|document| format!("{} {}", document.file, serde_json::to_string(document).unwrap()))
        .collect();
    let snapshot = built.compiled.as_ref().map(|compiled| &compiled.snapshot);
    let places = snapshot.map(|snapshot| format!("{} {:?}", snapshot.id(), snapshot.tables()));
    format!(
        "{findings}\n{}\n{places:?}\n{}",
        documents.join("\n"),
        built.scenarios.len()
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_build_with_a_memory_is_a_build_from_nothing(start in prop::collection::vec((0..3_usize, 0..10_000_usize), 0..20), edits in edits()) {
        let env = |name: &str| Some(format!("value of {name}"));
        let options = LoadOptions { env: &env, ignore_kinds: &[] };
        let mut files = Files::default();
        for (file, document) in start {
            files[file].push(documents()[document % documents().len()].clone());
        }
        let mut memory = Memory::default();
        for edit_of in edits {
            let whole = sources(&files);
            let (built, parts) = memory.build(whole.clone(), &options, &Settings::default());
            let fresh = build(&whole, &options, &Settings::default());
            prop_assert_eq!(said(&built, &parts), said(&fresh, &whole));
            edit(&mut files, &edit_of);
        }
    }
}

#[test]
fn a_variable_and_ignored_kinds_may_change_between_builds() {
    let text = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: istio-system}\n\
                spec: {action: DENY, rules: [{to: [{operation: {hosts: ['${HOST}']}}]}]}\n---\n\
                apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: b}\n";
    let file = || Vec::from([Source::new("a.yaml".to_owned(), text.to_owned())]);
    let ignored = ["EnvoyFilter".to_owned()];
    let mut memory = Memory::default();
    let mut ids = Vec::new();
    for (host, ignore_kinds) in [
        ("a.test", &ignored[..]),
        ("b.test", &ignored),
        ("a.test", &ignored),
        ("a.test", &[]),
    ] {
        let env = |_: &str| Some(host.to_owned());
        let options = LoadOptions {
            env: &env,
            ignore_kinds,
        };
        let (built, _) = memory.build(file(), &options, &Settings::default());
        ids.push(built.compiled.map(|compiled| compiled.snapshot.id().to_owned()));
    }
    assert!(ids[0].is_some() && ids[0] == ids[2] && ids[0] != ids[1], "{ids:?}");
    assert_eq!(ids[3], None, "the kind is refused again");
}

#[test]
fn what_aliases_expand_to_is_counted_for_the_file() {
    let policy = |name: &str| {
        let hosts: Vec<String> = (0..200).map(|number| format!("host-{number}.test")).collect();
        let first = format!("{{to: [{{operation: {{hosts: &hosts [{}]}}}}]}}", hosts.join(", "));
        let others = ", {to: [{operation: {hosts: *hosts}}]}".repeat(60);
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n\
             metadata: {{name: {name}, namespace: istio-system}}\nspec: {{action: DENY, rules: [{first}{others}]}}\n"
        )
    };
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let mut memory = Memory::default();
    let mut codes = |text: String| {
        let files = Vec::from([Source::new("a.yaml".to_owned(), text)]);
        let (built, _) = memory.build(files, &options, &Settings::default());
        let findings = built.diagnostics.as_slice().iter();
        let errors = findings.filter(|finding| finding.severity == Severity::Error);
        errors.map(|finding| finding.code).collect::<Vec<_>>()
    };
    assert_eq!(codes(policy("a")), [""; 0]);
    assert_eq!(codes(format!("{}---\n{}", policy("a"), policy("b"))), ["alias-limit"]);
}

#[test]
fn what_is_kept_does_not_stand_for_a_file_that_can_no_longer_be_read() {
    let text = include_str!("../../examples/seed/gateway.yaml");
    let whole = Source::new("gateway.yaml".into(), text.into());
    let flawed = [
        Source::from_bytes("gateway.yaml".into(), [text.as_bytes(), b"\xff"].concat()),
        Source::without_text("gateway.yaml".into(), Flaw::Unreadable("gone".into())),
    ];
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let mut memory = Memory::default();
    let mut again = |file: &Source| {
        memory
            .build(vec![file.clone()], &options, &Settings::default())
            .0
            .compiled
    };
    for flawed in &flawed {
        assert!(again(&whole).is_some());
        assert!(again(flawed).is_none());
    }
    assert!(again(&whole).is_some());
}
