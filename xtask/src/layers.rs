//! Who may depend on whom: the arrows of the design as a check that can fail.
//!
//! The engine knows no network, no runtime and no browser; the gateway and the
//! simulator are two shells around it and never know each other.

use crate::process::{Outcome, cargo, output};

struct Rule {
    package: &'static str,
    target: &'static str,
    never: &'static [&'static str],
}

const HOST: &str = "";
const WASM: &str = "wasm32-unknown-unknown";
const IO: [&str; 9] = [
    "tokio",
    "hyper",
    "http",
    "mio",
    "socket2",
    "rustls",
    "async-std",
    "getrandom",
    "rand",
];

const RULES: [Rule; 4] = [
    Rule {
        package: "lockgate-core",
        target: HOST,
        never: &["lockgate", "lockgate-wasm", "wasm-bindgen", "js-sys", "web-sys", "libc"],
    },
    Rule {
        package: "lockgate-core",
        target: WASM,
        never: &["lockgate", "lockgate-wasm", "wasm-bindgen", "js-sys", "web-sys"],
    },
    Rule {
        package: "lockgate-wasm",
        target: WASM,
        never: &["lockgate"],
    },
    Rule {
        package: "lockgate",
        target: HOST,
        never: &[
            "lockgate-wasm",
            "lockgate-benches",
            "wasm-bindgen",
            "js-sys",
            "criterion",
        ],
    },
];

pub(crate) fn check() -> Outcome {
    RULES.iter().try_for_each(|rule| {
        let found = dependencies(rule)?;
        // The engine and the simulator do no IO whatever the platform; only the gateway may.
        let io: &[&str] = if rule.package == "lockgate" { &[] } else { &IO };
        let forbidden: Vec<&str> = rule
            .never
            .iter()
            .chain(io)
            .copied()
            .filter(|name| found.iter().any(|f| f == name))
            .collect();
        if forbidden.is_empty() {
            println!(
                "{} {}: {} crates, none forbidden",
                rule.package,
                rule.target,
                found.len()
            );
            return Ok(());
        }
        Err(format!(
            "`{}` must not depend on `{}`; see who brings it in: cargo tree --all-features -p {} -i {}",
            rule.package,
            forbidden.join("`, `"),
            rule.package,
            forbidden.join(" -i "),
        ))
    })
}

/// The names of everything `rule.package` links, itself left out.
fn dependencies(rule: &Rule) -> Outcome<Vec<String>> {
    let mut command = cargo(
        "",
        "tree --locked --all-features --edges normal,no-proc-macro --prefix none --format {p}",
    );
    command.args(["-p", rule.package]);
    if !rule.target.is_empty() {
        command.args(["--target", rule.target]);
    }
    let tree = output(&mut command)?;
    let mut names: Vec<String> = tree
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Err(format!(
            "`cargo tree` shows no dependency of `{}`: is the check still right?",
            rule.package
        ));
    }
    Ok(names)
}
