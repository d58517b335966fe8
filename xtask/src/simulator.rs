//! The npm package: engine → wasm → JavaScript around it, and its tests in Node and in Chromium.

use std::path::{Path, PathBuf};

use crate::process::{Outcome, cargo, output, program, root, run, target};
use crate::steps::Steps;
use crate::tools::{self, WASM_TARGET};

/// Std is built anew, for size, and a panic is only a trap: the words and places of panics were a tenth of the module,
/// and nothing in a page shows them. Stable Rust has no switch for it, so the pinned compiler is told to take these. The
/// snapshot id is hashed once per load, so the hash is the rolled loop, which is 7 KB less.
const FOR_SIZE: [(&str, &str); 2] = [
    ("RUSTC_BOOTSTRAP", "1"),
    (
        "RUSTFLAGS",
        "-Zunstable-options -Zlocation-detail=none -Cpanic=immediate-abort --cfg sha2_backend_soft=\"compact\"",
    ),
];

/// Parts of std through which every answer goes: allocations and copies. Made for speed they are 15 KB more, next to nothing
/// of it after compression, and a third less time. Not in `Cargo.toml`, since only a build of std knows them; cargo says
/// that it does not, before it gets there.
const FOR_SPEED: [&str; 4] = ["core", "alloc", "compiler_builtins", "dlmalloc"];

/// Builds `wasm/pkg`, which is what the package ships beside its hand-written files.
pub(crate) fn build() -> Outcome {
    let folder = root().join("wasm/pkg");
    module("wasm", &folder, commit().as_deref())?;
    // npm packs only what lies within the package's folder.
    let licence = std::fs::copy(root().join("LICENSE"), folder.join("LICENSE"));
    licence
        .map(drop)
        .map_err(|error| format!("LICENSE cannot be copied into the package: {error}"))
}

/// The commit in the working tree, if there is a repository. The page does without: it would differ with every commit.
fn commit() -> Option<String> {
    let described = output(&mut program("git", "describe --always --abbrev=40 --dirty --exclude *"));
    described.ok().map(|text| text.trim().to_owned())
}

/// Builds the engine with a profile, and the JavaScript that loads it, into a folder.
pub(crate) fn module(profile: &str, folder: &Path, commit: Option<&str>) -> Outcome {
    let build = format!(
        "build --locked -p lockgate-wasm --profile {profile} --target {WASM_TARGET} \
         -Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size"
    );
    let mut command = cargo("", &build);
    for part in FOR_SPEED {
        command
            .arg("--config")
            .arg(format!("profile.{profile}.package.{part}.opt-level=3"));
    }
    run(command
        .envs(FOR_SIZE)
        .envs(commit.map(|commit| ("LOCKGATE_COMMIT", commit))))?;
    let module = target().join(WASM_TARGET).join(profile).join("lockgate_wasm.wasm");
    let mut bindgen = cargo("xtask/bindgen", "run --locked --quiet --");
    run(bindgen.arg(&module).arg(folder).arg("simulator"))
}

/// Random configurations that the simulator is held against the engine with, 50 requests to each.
pub(crate) const CONFIGURATIONS: &str = "100";
/// The same before the package is packed.
const CONFIGURATIONS_PACKED: &str = "1000";

pub(crate) fn test(steps: &mut Steps, configurations: &str) -> Outcome {
    steps.run("test: wasm build", build)?;
    // What the package is checked, compiled and bundled with. It has no dependencies itself.
    steps.run("test: wasm packages", || {
        let mut command = program(tools::npm()?, "ci --no-audit --no-fund");
        run(command.current_dir(root().join("wasm")))
    })?;
    steps.run("test: wasm in Node and Chromium", || {
        // Which the answers are compared with.
        run(&mut cargo("", "build --locked -p lockgate -p lockgate-oracle"))?;
        let node = tools::node()?;
        let chromium = tools::chromium()?;
        let mut command = program(node, "--test");
        run(command
            .args(test_files("wasm/test")?)
            .env("CHROMIUM", chromium)
            .env("LOCKGATE", target().join("debug/lockgate"))
            .env("PAIRS", target().join("debug/lockgate-pairs"))
            .env("PAIRS_CONFIGURATIONS", configurations)
            .current_dir(root().join("wasm")))
    })
}

/// Packs the package as npm would publish it, after its tests.
pub(crate) fn pack(steps: &mut Steps) -> Outcome {
    tools::setup(steps)?;
    test(steps, CONFIGURATIONS_PACKED)?;
    steps.run("npm pack", || {
        let folder = target().join("npm");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut command = program(tools::npm()?, "pack --pack-destination");
        run(command.arg(folder).current_dir(root().join("wasm")))
    })
}

/// By name, because what `node --test FOLDER` means differs between Node's versions.
pub(crate) fn test_files(folder: &str) -> Outcome<Vec<PathBuf>> {
    let folder = root().join(folder);
    let entries = std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|file| file.to_string_lossy().ends_with(".test.mjs"))
        .collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("there is no test in {}", folder.display()));
    }
    Ok(files)
}
