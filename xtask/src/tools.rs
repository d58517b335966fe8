//! What the tests need beside Rust: installed when it can be, named exactly when it cannot.

use crate::process::{Outcome, find, output, program, run};
use crate::steps::Steps;

/// What wasm is built for.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// A microcontroller: no std exists for it, so whatever builds for it needs none.
pub(crate) const BARE_TARGET: &str = "thumbv7em-none-eabi";

pub(crate) fn setup(steps: &mut Steps) -> Outcome {
    steps.run("setup: rust targets", || {
        add_target(WASM_TARGET)?;
        add_target(BARE_TARGET)
    })
}

fn add_target(target: &str) -> Outcome {
    let help = format!("install the Rust target {target}, with rustup: rustup target add {target}");
    if has_target(target)? {
        return Ok(());
    }
    let rustup = find("rustup").ok_or_else(|| help.clone())?;
    // By name: some machines have rustup's automatic installation switched off.
    run(&mut program(rustup, &format!("target add {target}"))).map_err(|error| format!("{error}; {help}"))
}

fn has_target(target: &str) -> Outcome<bool> {
    let folder = output(&mut program(
        "rustc",
        &format!("--print target-libdir --target {target}"),
    ))?;
    Ok(std::path::Path::new(folder.trim()).is_dir())
}
