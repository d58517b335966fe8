//! The pages for people name files of the tree; a file that moves must not leave them pointing nowhere.

use std::path::Path;

use crate::process::{Outcome, root};

/// Pages that name files of this repository.
const PAGES: [&str; 17] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "docs/conformance.md",
    "docs/life-of-a-request.md",
    "docs/diff.md",
    "docs/explain.md",
    "docs/performance.md",
    "docs/playground.md",
    "docs/policy.md",
    "docs/advisories.md",
    "docs/paths-and-addresses.md",
    "docs/operations.md",
    "docs/observability.md",
    "docs/providers.md",
    "docs/testing.md",
];

/// Folders that a path of ours begins with.
const FOLDERS: [&str; 9] = [
    "core/",
    "gateway/",
    "wasm/",
    "fuzz/",
    "benches/",
    "xtask/",
    "docs/",
    "deploy/",
    "examples/",
];

/// Fails for every path in a page that the tree does not have.
pub(crate) fn check() -> Outcome {
    let root = root();
    let mut missing = Vec::new();
    for page in PAGES {
        let text = std::fs::read_to_string(root.join(page)).map_err(|error| format!("{page}: {error}"))?;
        let lost = paths(&text).filter(|path| !root.join(path).exists());
        missing.extend(lost.map(|path| format!("{page} names `{path}`, which does not exist")));
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(missing.join("\n"))
    }
}

/// The paths of ours in a text, without `:line:column`. Patterns (`no_alloc*.rs`) and places to fill in (`<target>`) are none.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| c.is_whitespace() || matches!(c, '`' | '(' | ')' | '[' | ']' | ',' | ';' | '|'));
    words
        .map(|word| word.split(':').next().unwrap_or(word).trim_end_matches('.'))
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .filter(|word| !word.contains(['*', '<', '>', '…']))
        .filter(|word| Path::new(word).is_relative())
}

#[cfg(test)]
mod tests {
    use super::paths;

    #[test]
    fn paths_are_found_in_prose_links_and_tables() {
        let text = "see `core/src/decide.rs`, [the tour](docs/tour.md) | `xtask/` | examples/a.yaml:1:2 | core/tests/no_alloc*.rs, fuzz/<target>/ and lockgate/core";
        assert_eq!(
            paths(text).collect::<Vec<_>>(),
            ["core/src/decide.rs", "docs/tour.md", "xtask/", "examples/a.yaml"]
        );
    }
}
