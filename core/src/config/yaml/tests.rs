//! The reader by itself, and against serde-saphyr.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::config::flat::Flat;

fn parsed(text: &str) -> (Vec<Node>, Vec<&'static str>) {
    let source = Source::new("a.yaml".into(), text.into());
    let mut diagnostics = Diagnostics::default();
    let mut alias_budget = YAML_ALIAS_NODES_MAX;
    let mut rest = documents(&source, 0, &mut alias_budget, &mut diagnostics);
    let documents = core::iter::from_fn(|| rest.next(&mut diagnostics)).collect();
    let codes = diagnostics.as_slice().iter().map(|finding| finding.code).collect();
    (documents, codes)
}

fn json(text: &str) -> Vec<Json> {
    let (documents, codes) = parsed(text);
    assert_eq!(codes, [""; 0], "{text}");
    documents
        .iter()
        .map(|document| serde_json::to_value(Flat::of(document)).unwrap())
        .collect()
}

#[test]
fn what_ends_a_line_for_some_readers_only_stands_between_quotes() {
    for c in ['\u{85}', '\u{2028}', '\u{2029}'] {
        for (text, is_read) in [
            (format!("a: 1 # x{c}b: 2\n"), false),
            (format!("a: x{c}b: 2\n"), false),
            (format!("a: |\n  x{c}\n"), false),
            (format!("# x{c}\n---\na: 1\n"), false),
            (format!("a: 'x{c}'\n\"b{c}\": \"{c}\"\n"), true),
            (String::from("a: \u{e9} # \u{2026}\n"), true),
        ] {
            let mut diagnostics = Diagnostics::default();
            parse_at(&text, Places::of_source(0, 0), &mut diagnostics);
            assert_eq!(!diagnostics.has_errors(), is_read, "{text:?}");
        }
    }
}

#[test]
fn documents_are_split_and_empty_ones_left_out() {
    assert_eq!(
        json("---\n---\na: 1\n...\n---\n# nothing\n---\n[x]\n"),
        [serde_json::json!({"a": 1}), serde_json::json!(["x"])]
    );
}

#[test]
fn nodes_cover_their_text() {
    let text = "a:\n  - bc\n  - {d: 'e f'}\nlast: x\n";
    let (documents, _) = parsed(text);
    let cut = |node: &Node| text.get(node.at.start as usize..node.at.end as usize).unwrap();
    let list = documents[0].get("a").unwrap();
    assert_eq!(cut(list), "- bc\n  - {d: 'e f'}");
    assert_eq!(cut(&list.items()[0]), "bc");
    assert_eq!(cut(&list.items()[1]), "{d: 'e f'}");
    assert_eq!(cut(list.items()[1].get("d").unwrap()), "'e f'");
    assert_eq!(cut(&documents[0]), text.trim_end());
}

#[test]
fn aliases_are_bounded_by_what_they_repeat() {
    let text = |bytes: usize, times: usize| format!("a: &a {}\nb: [{}]\n", "x".repeat(bytes), "*a,".repeat(times));
    assert_eq!(parsed(&text(1, YAML_ALIAS_NODES_MAX)).1, [""; 0]);
    assert_eq!(parsed(&text(1, YAML_ALIAS_NODES_MAX + 1)).1, ["alias-limit"]);
    // A megabyte repeated twenty times is as much as many small nodes.
    assert_eq!(parsed(&text(1_000_000, 20)).1, ["alias-limit"]);
}

#[test]
fn the_bound_of_aliases_is_for_the_whole_file() {
    let document = format!("a: &a x\nb: [{}]\n---\n", "*a,".repeat(YAML_ALIAS_NODES_MAX * 2 / 3));
    assert_eq!(parsed(&document).1, [""; 0]);
    assert_eq!(parsed(&document.repeat(2)).1, ["alias-limit"]);
}

#[test]
fn nesting_is_bounded_also_through_aliases() {
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    assert_eq!(parsed(&deep(YAML_DEPTH_MAX)).1, [""; 0]);
    assert_eq!(parsed(&deep(YAML_DEPTH_MAX + 1)).1, ["depth-limit"]);
    let half = YAML_DEPTH_MAX / 2;
    let aliased = |levels: usize| {
        format!(
            "a: &a {}\nb: {}*a{}\n",
            deep(half),
            "[".repeat(levels),
            "]".repeat(levels)
        )
    };
    assert_eq!(parsed(&aliased(half - 1)).1, [""; 0]);
    assert_eq!(parsed(&aliased(half)).1, ["depth-limit"]);
}

#[test]
fn a_broken_document_is_left_alone() {
    let (documents, codes) = parsed("a: 1\n---\nb: [\n---\nc: 1\n---\nd: 'x\n---\ne: 1\n");
    assert_eq!(codes, ["yaml-syntax", "yaml-syntax"]);
    let keys: Vec<_> = documents
        .iter()
        .map(|document| document.entries()[0].key.value.as_str())
        .collect();
    assert!(keys.starts_with(&["a", "c"]), "{keys:?}");
}

#[test]
fn anchors_end_with_their_document() {
    assert_eq!(parsed("a: &x 1\n---\nb: *x\n").1, ["unknown-anchor"]);
}

/// Values that YAML 1.1 and 1.2 and JSON agree about.
fn value() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Json::from),
        any::<i32>().prop_map(Json::from),
        Just(Json::Null),
        "[ -~äλ\u{1f600}]{0,12}".prop_map(Json::from),
        "[a-z][a-z ]{2,10}[a-z]".prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            prop::collection::btree_map("[a-zA-Z./-]{1,8}", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().map(|(key, value)| (format!("k{key}"), value)).collect())),
        ]
    })
}

/// The value in block style; text that needs it is quoted as JSON is.
fn block(value: &Json, indent: usize, out: &mut String) {
    let pad = " ".repeat(indent);
    match value {
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                out.push_str(&format!("\n{pad}-"));
                block(item, indent + 2, out);
            }
        }
        Json::Object(map) if !map.is_empty() => {
            for (key, item) in map {
                out.push_str(&format!("\n{pad}{key}:"));
                block(item, indent + 2, out);
            }
        }
        Json::String(text) if is_plain_word(text) => out.push_str(&format!(" {text} # note")),
        Json::String(text) if !text.contains(['\'', '"', '\\']) => out.push_str(&format!(" '{text}'")),
        other => out.push_str(&format!(" {other}")),
    }
}

fn is_plain_word(text: &str) -> bool {
    text.len() > 5 && text.bytes().all(|b| b.is_ascii_lowercase() || b == b' ') && text.trim() == text
}

proptest! {
    #[test]
    fn block_and_flow_mean_what_serde_saphyr_reads(value in value()) {
        let mut text = String::new();
        block(&value, 0, &mut text);
        text.push('\n');
        for text in [text, value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let oracle: Json = serde_saphyr::from_str(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(&oracle, &value);
            let ours = json(&text);
            if value.is_null() {
                prop_assert!(ours.is_empty());
            } else {
                prop_assert_eq!(ours, [oracle]);
            }
        }
    }
}
