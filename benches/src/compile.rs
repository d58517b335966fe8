//! Loading and compiling: what a reload costs.

use core::hint::black_box;

use lockgate_core::Memory;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::snapshot::Snapshot;

use crate::Case;
use crate::configs::yaml;
use crate::policies;
use crate::routes::{self, Kind};

const SIZES: [(&str, usize, u32); 3] = [
    ("10 hosts", 10, 100),
    ("1,000 hosts", 1_000, 3),
    ("10,000 hosts", 10_000, 1),
];

/// Name, number of routes, and how many of them stand on each host.
const ROUTES: [(&str, usize, usize); 3] = [
    ("1,000 routes on one host", 1_000, 1_000),
    ("100,000 routes on one host", 100_000, 100_000),
    ("100,000 routes on 10,000 hosts", 100_000, 10),
];

/// The cases of the group `compile`: from text to snapshot.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![case("example", 100, seed)];
    cases.push(case("10,000 policies", 1, || vec![policies::mixed(10_000)]));
    cases.extend(SIZES.map(|(name, hosts, runs)| case(name, runs, move || vec![yaml(hosts, 0)])));
    for (name, routes, per_host) in ROUTES {
        cases.push(case(name, 1, move || vec![routes::yaml(routes, per_host, Kind::Mixed)]));
    }
    cases.push(again("100,000 routes on 10,000 hosts", 100_000, 10));
    cases
}

/// A reload for one changed route: what was built before is known.
fn again(name: &str, routes: usize, per_host: usize) -> Case {
    Case::new("compile", format!("{name}, one changed"), move || {
        let text = routes::yaml(routes, per_host, Kind::Mixed);
        let changed = text.replacen("/healthz-2", "/healthz-of-2", 1);
        let mut turns = [sources(&[text]), sources(&[changed])].into_iter().cycle();
        let mut memory = Memory::default();
        move || {
            let files = turns.next().unwrap_or_default();
            drop(black_box(with_options(|options| {
                memory.build(files, options, &Settings::default())
            })));
        }
    })
    .counted_runs(1)
}

fn case(name: &str, runs: u32, texts: impl FnOnce() -> Vec<String> + 'static) -> Case {
    Case::new("compile", name, move || {
        let sources = sources(&texts());
        move || drop(black_box(loaded_and_compiled(black_box(&sources))))
    })
    .counted_runs(runs)
}

/// The example's files.
#[must_use]
pub fn seed() -> Vec<String> {
    let files = [
        include_str!("../../examples/seed/authorization-policy.yaml"),
        include_str!("../../examples/seed/gateway.yaml"),
        include_str!("../../examples/seed/llm-provider.yaml"),
        include_str!("../../examples/seed/llm-route.yaml"),
    ];
    files.map(str::to_owned).into()
}

/// The snapshot of `texts`.
///
/// # Panics
/// When they are refused: then there is nothing to measure.
#[must_use]
pub fn build(texts: &[String]) -> Snapshot {
    compiled(texts).snapshot
}

/// The snapshot of `texts` with its secrets.
///
/// # Panics
/// When they are refused: then there is nothing to measure.
#[must_use]
pub fn compiled(texts: &[String]) -> Compiled {
    match loaded_and_compiled(&sources(texts)) {
        Ok(compiled) => compiled,
        Err(findings) => {
            #[expect(clippy::panic, reason = "a bench of a refused configuration would measure nothing")]
            {
                panic!("the configuration is refused: {findings}")
            }
        }
    }
}

fn sources(texts: &[String]) -> Vec<Source> {
    let named = texts.iter().zip(1..);
    named
        .map(|(text, number)| Source::new(format!("{number}.yaml"), text.clone()))
        .collect()
}

fn loaded_and_compiled(sources: &[Source]) -> Result<Compiled, String> {
    let built = with_options(|options| lockgate_core::build(sources, options, &Settings::default()));
    built.compiled.ok_or_else(|| {
        let findings = built.diagnostics.as_slice().iter().take(3);
        findings
            .map(|finding| finding.message.clone())
            .collect::<Vec<_>>()
            .join("; ")
    })
}

fn with_options<T>(build: impl FnOnce(&LoadOptions<'_>) -> T) -> T {
    let env = |name: &str| Some(if name == "API_KEY" { "sk-example" } else { "203.0.113.9" }.to_owned());
    build(&LoadOptions {
        env: &env,
        ignore_kinds: &[],
    })
}
