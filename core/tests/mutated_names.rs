//! A thousand slips of the finger in the names of fields: none changes what a configuration means in silence.
//!
//! Each is refused, with line and column, or leaves the very same snapshot.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a helper of tests fails by panicking"
)]

use lockgate_core::build;
use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;

const SETS: [&[(&str, &str)]; 4] = [
    &[
        (
            "llm-provider.yaml",
            include_str!("../../examples/seed/llm-provider.yaml"),
        ),
        ("gateway.yaml", include_str!("../../examples/seed/gateway.yaml")),
        ("llm-route.yaml", include_str!("../../examples/seed/llm-route.yaml")),
        (
            "policy.yaml",
            include_str!("../../examples/seed/authorization-policy.yaml"),
        ),
    ],
    &[("routing.yaml", include_str!("../../examples/routing/routing.yaml"))],
    &[("models.yaml", include_str!("../../examples/models/models.yaml"))],
    &[(
        "gateway-api.yaml",
        include_str!("../../examples/gateway-api/gateway-api.yaml"),
    )],
];

/// Fields below which names are the user's own.
const FREE: [&str; 10] = [
    "add",
    "annotations",
    "headers",
    "labels",
    "matchLabels",
    "queryParams",
    "selector",
    "set",
    "stringData",
    "withoutHeaders",
];

/// What of `sources` is compiled, or where it is wrong: file, line and column of each error.
fn load(sources: &[Source]) -> Result<String, Vec<(String, u32, u32)>> {
    let env = |_: &str| Some("192.0.2.1".to_owned());
    let options = LoadOptions {
        env: &env,
        ignore_kinds: &[],
    };
    let settings = Settings {
        labels: vec![("istio".into(), "ingressgateway".into())],
        ..Settings::default()
    };
    let built = build(sources, &options, &settings);
    if let Some(compiled) = built.compiled {
        return Ok(compiled.snapshot.id().to_owned());
    }
    let found = serde_json::to_value(
        built
            .diagnostics
            .as_slice()
            .iter()
            .map(|diagnostic| diagnostic.placed(sources))
            .collect::<Vec<_>>(),
    )
    .unwrap();
    let number = |value: &serde_json::Value| value.as_u64().and_then(|number| number.try_into().ok()).unwrap_or(0);
    let errors = found
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["severity"] == "error");
    let place = |finding: &serde_json::Value| {
        let file = finding["file"].as_str().unwrap_or_default().to_owned();
        (file, number(&finding["line"]), number(&finding["column"]))
    };
    Err(errors.map(place).collect())
}

/// Every name of a field that is ours to know, as its line from 0, its column and its length.
fn names(text: &str) -> Vec<(usize, usize, usize)> {
    let mut found = Vec::new();
    // Columns and names of the fields around the line.
    let mut around: Vec<(usize, String)> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let indented = line.trim_start_matches([' ', '-']);
        let column = line.len() - indented.len();
        let Some((name, _)) = indented.split_once(':') else {
            continue;
        };
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
            continue;
        }
        around.retain(|(outer, _)| *outer < column);
        if !around.iter().any(|(_, name)| FREE.contains(&name.as_str())) {
            found.push((number, column, name.len()));
        }
        around.push((column, name.to_owned()));
    }
    found
}

/// A slip of the finger in a name: a letter lost, twice, changed, of the other case, or two swapped.
fn slip(name: &str, random: u64) -> String {
    let mut letters: Vec<char> = name.chars().collect();
    let at = usize::try_from(random / 8).unwrap_or(0) % letters.len();
    match random % 5 {
        0 => drop(letters.remove(at)),
        1 => letters.insert(at, letters[at]),
        2 => letters[at] = if letters[at] == 'x' { 'y' } else { 'x' },
        3 if letters[at].is_ascii_uppercase() => letters[at] = letters[at].to_ascii_lowercase(),
        3 => letters[at] = letters[at].to_ascii_uppercase(),
        _ => letters.swap(at, (at + 1) % name.len()),
    }
    letters.into_iter().collect()
}

#[test]
fn slip_in_a_name_is_refused_by_place_or_changes_nothing() {
    let (mut refused, mut at_the_line) = (0, 0);
    let mut random: u64 = 0x5EED;
    let whole = SETS.map(|set| {
        let source = |(name, text): &(&str, &str)| Source::new((*name).to_owned(), (*text).to_owned());
        let sources: Vec<Source> = set.iter().map(source).collect();
        let snapshot = load(&sources).unwrap();
        (sources, snapshot)
    });
    for _ in 0..1000 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let pick = |of: usize, bits: u32| usize::try_from(random >> bits).unwrap_or(0) % of;
        let (set, before) = &whole[pick(whole.len(), 50)];
        let mut sources = set.clone();
        let source = &mut sources[pick(set.len(), 40)];
        let names = names(&source.text);
        let (line, column, length) = names[pick(names.len(), 24)];
        let mut lines: Vec<String> = source.text.lines().map(str::to_owned).collect();
        let slipped = slip(&lines[line][column..column + length], random >> 10);
        lines[line].replace_range(column..column + length, &slipped);
        let file = source.name.clone();
        source.text = lines.join("\n") + "\n";
        let what = format!("{file}:{}: {}", line + 1, lines[line]);
        match load(&sources) {
            Ok(after) => assert_eq!(&after, before, "changed in silence: {what}"),
            Err(places) => {
                refused += 1;
                assert!(!places.is_empty(), "{what}");
                assert!(
                    places.iter().all(|(_, line, column)| *line > 0 && *column > 0),
                    "{what}: {places:?}"
                );
                at_the_line += u32::from(
                    places
                        .iter()
                        .any(|place| *place.0 == *file && place.1 as usize == line + 1),
                );
            }
        }
    }
    println!("{refused} of 1000 refused, {at_the_line} at the very line");
    assert!(
        refused > 900 && at_the_line * 10 >= refused * 7,
        "{refused}, {at_the_line}"
    );
}
