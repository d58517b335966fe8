//! The comparison with a real Envoy: runs `lockgate-envoy`, leaves the figures in the documentation.

use std::path::PathBuf;

use crate::process::{Outcome, cargo, program, root, run, target};
use crate::steps::Steps;
use crate::tools;

const SETS: &str = "400";
const REQUESTS: &str = "100";
/// The seed of the figures in the documentation.
const SEED: &str = "1";

pub(crate) fn compare(steps: &mut Steps) -> Outcome {
    let mut envoy = PathBuf::new();
    steps.run("oracle: envoy", || {
        envoy = tools::envoy()?;
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
