//! The static checks: formatting, lints, documentation, feature sets, licences.

use std::path::PathBuf;

use crate::process::{Outcome, cargo, find, output, program, root, run, target};
use crate::steps::Steps;
use crate::tools;

/// The workspaces of the repository. All but the first are apart, so that what they need stays out of the lock
/// file that people ship.
pub(crate) const WORKSPACES: [&str; 4] = ["", "fuzz", "xtask/bindgen", "xtask/nostd"];

/// The feature sets of the engine, from the bare decision to the loader, and what only the standard library can tell.
pub(crate) const CORE_FEATURES: [(&str, &str); 4] =
    [("none", ""), ("alloc", "alloc"), ("yaml", "yaml"), ("std", "std")];

const CARGO_DENY: &str = "0.20.2";

pub(crate) fn format() -> Outcome {
    WORKSPACES
        .iter()
        .try_for_each(|workspace| run(&mut cargo(workspace, "fmt --all")))
}

pub(crate) fn format_check() -> Outcome {
    WORKSPACES
        .iter()
        .try_for_each(|workspace| run(&mut cargo(workspace, "fmt --all -- --check")))
}

pub(crate) fn lint() -> Outcome {
    run(&mut cargo(
        "",
        "clippy --locked --workspace --all-targets --all-features -- -D warnings",
    ))?;
    for (_, features) in CORE_FEATURES {
        let arguments = "clippy --locked -p lockgate-core --all-targets --no-default-features --features";
        run(cargo("", arguments).args([features, "--", "-D", "warnings"]))?;
    }
    run(&mut cargo(
        "xtask/bindgen",
        "clippy --locked --all-targets -- -D warnings",
    ))?;
    // Without an allocator there is no host to build for: the panic handler would be std's twice.
    tools::add_target(tools::WASM_TARGET)?;
    run(&mut cargo(
        "xtask/nostd",
        "clippy --locked --target wasm32-unknown-unknown -- -D warnings",
    ))
}

/// Private items too: their documentation is what contributors read, and its links break as easily.
pub(crate) fn docs() -> Outcome {
    run(cargo(
        "",
        "doc --locked --workspace --no-deps --all-features --document-private-items",
    )
    .env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))
}

/// Each set is built before it is tested: a test build may pull in what the library alone lacks.
pub(crate) fn features(steps: &mut Steps) -> Outcome {
    for (name, features) in CORE_FEATURES {
        steps.run(&format!("features: {name}"), || {
            for verb in ["build", "test"] {
                let arguments = format!("{verb} --locked -p lockgate-core --no-default-features --features");
                run(cargo("", &arguments).arg(features))?;
            }
            Ok(())
        })?;
    }
    Ok(())
}

/// The advisory database lives in a git repository and changes without us, so it is no part of this check.
pub(crate) fn deny() -> Outcome {
    let tool = cargo_deny()?;
    run(&mut program(
        tool,
        "--locked --all-features check bans licenses sources",
    ))
}

/// The tool of the version asked for: from `PATH`, from an earlier run, or built once into the target folder.
fn cargo_deny() -> Outcome<PathBuf> {
    let folder = target().join("tools");
    let built = folder.join("bin/cargo-deny");
    let known = [find("cargo-deny"), Some(built.clone())];
    if let Some(tool) = known.into_iter().flatten().find(is_wanted_version) {
        return Ok(tool);
    }
    let package = format!("cargo-deny@{CARGO_DENY}");
    let install = |arguments: &str| {
        // A debug build of the tool checks our tree in a second and is built in a third of the time.
        let mut command = cargo("", "install --debug --no-default-features --force");
        let command = command.args(arguments.split_whitespace()).arg(&package);
        run(command
            .arg("--root")
            .arg(&folder)
            .env("CARGO_TARGET_DIR", folder.join("build")))
    };
    // The tool's own lock file may name versions that a lagging registry mirror does not have yet.
    install("--locked").or_else(|_| install("")).map_err(|error| {
        format!("{error}; install cargo-deny {CARGO_DENY} by hand: cargo install cargo-deny@{CARGO_DENY}")
    })?;
    std::fs::remove_dir_all(folder.join("build")).ok();
    Ok(built)
}

fn is_wanted_version(tool: &PathBuf) -> bool {
    tool.is_file()
        && output(program(tool, "--version").current_dir(root()))
            .is_ok_and(|text| text.split_whitespace().any(|word| word == CARGO_DENY))
}
