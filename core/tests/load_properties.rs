//! Loading holds for every text: what the fuzz target asserts, on arbitrary texts and on damaged real ones.

#![cfg(feature = "yaml")]

use lockgate_core::fuzzing::resource_load;
use proptest::prelude::*;

const REAL: [&str; 6] = [
    include_str!("../../examples/seed/llm-provider.yaml"),
    include_str!("../../examples/seed/gateway.yaml"),
    include_str!("../../examples/seed/llm-route.yaml"),
    include_str!("../../examples/seed/authorization-policy.yaml"),
    include_str!("diagnostics/service-entry-resolution.yaml"),
    include_str!("diagnostics/destination-rule-bad-timeout-unit.yaml"),
];

/// Pieces that mean something to YAML, to the loader or to a terminal.
const PIECES: [&str; 36] = [
    "\n",
    "\n---\n",
    "\n...\n",
    "  ",
    "\t",
    "\r\n",
    ": ",
    "- ",
    "*",
    "&a ",
    "*a",
    "[",
    "]",
    "{",
    "}",
    ",",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "#",
    "!!str ",
    "<<: ",
    "${API_KEY}",
    "${",
    "$${",
    "~",
    "null",
    "80",
    "-1",
    "true",
    "spec:",
    "ä\u{1f600}",
    "\u{1b}[31m",
    "\u{feff}",
    "apiKey: sk-0123456789abcdef",
];

/// A real file with a few pieces put over it.
fn damaged() -> impl Strategy<Value = String> {
    let cut = (
        any::<prop::sample::Index>(),
        0..12_usize,
        prop::sample::select(&PIECES[..]),
    );
    (prop::sample::select(&REAL[..]), prop::collection::vec(cut, 1..6)).prop_map(|(text, cuts)| {
        let mut chars: Vec<char> = text.chars().collect();
        for (at, length, piece) in cuts {
            let start = at.index(chars.len() + 1);
            let end = (start + length).min(chars.len());
            chars.splice(start..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn damaged_files_load_or_are_refused(text in damaged()) {
        resource_load(text.as_bytes());
    }

    #[test]
    fn pieces_load_or_are_refused(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..40)) {
        resource_load(pieces.concat().as_bytes());
    }

    #[test]
    fn bytes_load_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        resource_load(&bytes);
    }
}
