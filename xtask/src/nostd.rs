//! The proof that a decision needs neither std nor an allocator.
//!
//! `xtask/nostd` calls the engine from a module that has neither. That it links
//! is half of the proof; the other half is that the calls are really in it.

use std::path::Path;

use crate::checks::CORE_FEATURES;
use crate::process::{Outcome, cargo, run, target};
use crate::steps::Steps;
use crate::tools::{BARE_TARGET, WASM_TARGET};

/// What must be in the module: parts of the (mangled) names of the engine's entry points.
const ENTRY_POINTS: [&str; 7] = [
    "6decide",
    "5check",
    "5authz",
    "5route",
    "8BodyScan",
    "6Splice",
    "10UsageMeter",
];
/// What must not: the allocator's entry points.
const ALLOCATOR: [&str; 3] = ["__rust_alloc", "__rust_realloc", "dlmalloc"];

pub(crate) fn prove(steps: &mut Steps) -> Outcome {
    steps.run("nostd: link proof", link)?;
    steps.run("nostd: bare metal", bare_metal)
}

fn link() -> Outcome {
    run(&mut cargo(
        "xtask/nostd",
        &format!("build --locked --release --target {WASM_TARGET}"),
    ))?;
    let module = target().join(WASM_TARGET).join("release/lockgate_nostd.wasm");
    inspect(&module)
}

/// All feature sets but `std` build where no std exists; with `alloc` they still need nothing but an allocator.
fn bare_metal() -> Outcome {
    for (_, features) in CORE_FEATURES.into_iter().filter(|(_, features)| *features != "std") {
        let arguments =
            format!("build --locked -p lockgate-core --no-default-features --target {BARE_TARGET} --features");
        run(cargo("", &arguments).arg(features))?;
    }
    Ok(())
}

fn inspect(module: &Path) -> Outcome {
    let bytes = std::fs::read(module).map_err(|error| format!("{}: {error}", module.display()))?;
    let has = |name: &&&str| bytes.windows(name.len()).any(|window| window == name.as_bytes());
    if let Some(missing) = ENTRY_POINTS.iter().find(|name| !has(name)) {
        return Err(format!(
            "the linker dropped `{missing}` from the module, so the proof proves nothing about it"
        ));
    }
    if let Some(found) = ALLOCATOR.iter().find(has) {
        return Err(format!(
            "the module holds `{found}`: something brings an allocator along"
        ));
    }
    println!("{} bytes of wasm, every entry point in it, no allocator", bytes.len());
    Ok(())
}
