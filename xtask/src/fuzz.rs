//! The fuzz targets: replayed on stable, or run for a while on nightly.

use crate::process::{Outcome, cargo, find, program, root, run, target};
use crate::steps::Steps;

const TOOLCHAIN: &str = "nightly";

/// Builds every target as an ordinary program and feeds it what is committed.
pub(crate) fn replay() -> Outcome {
    run(&mut cargo("fuzz", "build --locked --bins"))?;
    targets()?
        .iter()
        .try_for_each(|name| run(&mut cargo("fuzz", &format!("run --locked --quiet --bin {name}"))))
}

/// Runs every target for `seconds`; what is found beyond the seeds stays in the target folder.
pub(crate) fn explore(steps: &mut Steps, seconds: u32) -> Outcome {
    let rustup = find("rustup").ok_or("install rustup, then: rustup toolchain install nightly")?;
    if find("cargo-fuzz").is_none() {
        return Err("install cargo-fuzz: cargo install --locked cargo-fuzz@0.13.2".to_owned());
    }
    for name in targets()? {
        let seeds = root().join("fuzz/corpus").join(&name);
        let found = target().join("fuzz-corpus").join(&name);
        std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
        steps.run(&format!("fuzz: {name}"), || {
            // There is no unsafe code to sanitize, and without a sanitizer twice as much is tried.
            let mut command = program(
                &rustup,
                &format!("run {TOOLCHAIN} cargo fuzz run --sanitizer none {name}"),
            );
            command
                .args([&found, &seeds])
                .arg("--")
                .arg(format!("-max_total_time={seconds}"));
            run(command.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO"))
        })?;
    }
    Ok(())
}

/// The targets by the names of their files.
fn targets() -> Outcome<Vec<String>> {
    let folder = root().join("fuzz/fuzz_targets");
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.path().file_stem()?.to_string_lossy().into_owned()))
        .collect();
    names.sort();
    Ok(names)
}
