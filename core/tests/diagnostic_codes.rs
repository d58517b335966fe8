//! Every code that the source can report is explained in `docs/diagnostics.md`, and nothing else is.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What stands before a code in the source.
const REPORTERS: [&str; 6] = [
    "error(",
    "warning(",
    "warn(",
    "error_text(",
    "Fault::new(",
    "visible(text,",
];

/// The first argument of each reporter (after the findings it adds to), where it is a literal in kebab case.
fn codes_of(text: &str, codes: &mut BTreeSet<String>) {
    for reporter in REPORTERS {
        for (index, _) in text.match_indices(reporter) {
            let arguments = text.get(index + reporter.len()..).unwrap().trim_start();
            let argument = arguments.strip_prefix("diagnostics,").unwrap_or(arguments).trim_start();
            let literal = argument.strip_prefix('"').and_then(|rest| rest.split('"').next());
            codes.extend(literal.filter(|literal| is_code(literal)).map(String::from));
        }
    }
}

fn is_code(text: &str) -> bool {
    text.contains('-') && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

fn codes_under(directory: &Path, codes: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            codes_under(&path, codes);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            codes_of(&fs::read_to_string(&path).unwrap(), codes);
        }
    }
}

#[test]
fn every_code_is_explained_and_every_explanation_is_of_a_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut used = BTreeSet::new();
    for directory in ["src/config", "src/compile"] {
        codes_under(&root.join(directory), &mut used);
    }
    let page = fs::read_to_string(root.join("../docs/diagnostics.md")).unwrap();
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .map(String::from)
        .collect();
    let missing: Vec<_> = used.difference(&explained).collect();
    let stale: Vec<_> = explained.difference(&used).collect();
    assert!(missing.is_empty(), "not in docs/diagnostics.md: {missing:?}");
    assert!(
        stale.is_empty(),
        "in docs/diagnostics.md, but nowhere reported: {stale:?}"
    );
    assert!(used.len() > 60, "the search finds only {}", used.len());
}
