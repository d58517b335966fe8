//! What people read when a configuration is wrong: `diagnostics/NAME.yaml` gives exactly `NAME.txt`.
//!
//! Cases that begin with `compile-` load, and are wrong between resources.
//!
//! `LOCKGATE_UPDATE=1 cargo test -p lockgate-core --features yaml --test diagnostics`
//! writes the `.txt` files; the difference is for a person to read.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use lockgate_core::compile::{Settings, compile};
use lockgate_core::config::diagnostic::Source;
use lockgate_core::config::{LoadOptions, load};

/// Stands in every case that holds a key, as its whole value or its tail.
const KEY: &str = "must-not-be-seen";

fn env(name: &str) -> Option<String> {
    match name {
        "API_KEY" => Some(KEY.into()),
        "NOT_AN_IP" => Some(format!("10.0.0.1,{KEY}")),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnostics")
}

/// The cases, sorted by name.
fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension != "txt"))
        .collect();
    cases.sort();
    cases
}

fn rendered(path: &Path) -> String {
    let sources = [Source::new(
        path.file_name().unwrap().to_str().unwrap().into(),
        fs::read_to_string(path).unwrap(),
    )];
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &[],
    };
    let mut loaded = load(&sources, &options);
    if sources[0].name.starts_with("compile-") {
        assert!(!loaded.diagnostics.has_errors(), "{} does not load", path.display());
        let refused = compile(
            &loaded.resources,
            &sources,
            &Settings::default(),
            &mut loaded.diagnostics,
        )
        .is_none();
        assert_eq!(refused, loaded.diagnostics.has_errors());
        loaded.diagnostics.sort_by_place(&sources);
    }
    let mut out = String::new();
    for finding in loaded.diagnostics.as_slice() {
        writeln!(out, "{}", finding.render(&sources, false)).unwrap();
    }
    if loaded.diagnostics.omitted() > 0 {
        writeln!(out, "and {} more", loaded.diagnostics.omitted()).unwrap();
    }
    out
}

#[test]
fn every_malformed_configuration_is_explained() {
    let update = std::env::var_os("LOCKGATE_UPDATE").is_some();
    let mut wrong = Vec::new();
    for path in cases() {
        let expected_path = path.with_extension("txt");
        let actual = rendered(&path);
        if update {
            fs::write(&expected_path, &actual).unwrap();
        }
        let expected = fs::read_to_string(&expected_path).unwrap_or_default();
        if actual != expected {
            wrong.push(format!(
                "{}:\n--- expected\n{expected}\n--- actual\n{actual}",
                path.display()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn the_table_is_large_and_every_case_finds_something() {
    let cases = cases();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for path in &cases {
        assert!(!rendered(path).is_empty(), "{} is fine", path.display());
    }
    let texts = fs::read_dir(directory())
        .unwrap()
        .filter(|entry| {
            entry
                .as_ref()
                .unwrap()
                .path()
                .extension()
                .is_some_and(|extension| extension == "txt")
        })
        .count();
    assert_eq!(texts, cases.len(), "a .txt without its configuration");
}

#[test]
fn no_finding_shows_a_key() {
    for path in cases() {
        assert!(!rendered(&path).contains(KEY), "{}", path.display());
    }
}
