//! The benchmarks: those of the engine compiled and run once for CI, or measured into `docs/performance.md`, as are those
//! of the whole gateway.

use std::path::PathBuf;
use std::process::Command;

use crate::process::{Outcome, cargo, root, run, target};
use crate::steps::Steps;
use crate::tools;

/// Runs every case once, without measuring: a bench that no longer works is found in CI.
pub(crate) fn once() -> Outcome {
    run(&mut cargo("", "test --locked -p lockgate-benches --benches"))
}

/// Measures wall time and instructions, and writes both into the documentation.
pub(crate) fn measure(steps: &mut Steps) -> Outcome {
    steps.run("bench: wall time", || {
        // Results of cases that are gone would stay in the report otherwise.
        std::fs::remove_dir_all(target().join("criterion")).ok();
        run(&mut cargo("", "bench --locked -p lockgate-benches"))
    })?;
    steps.run("bench: instructions", || {
        let mut command = cargo(
            "",
            "run --locked --release --quiet -p lockgate-benches --bin lockgate-micro -- report",
        );
        run(command
            .arg(target().join("criterion"))
            .arg(root().join("docs/performance.md")))
    })
}

/// Counts instructions and prints them; a busy machine does not disturb this.
pub(crate) fn instructions() -> Outcome {
    run(&mut cargo(
        "",
        "run --locked --release --quiet -p lockgate-benches --bin lockgate-micro -- instructions",
    ))
}

/// Measures the gateway's process beside other proxies and writes the result into the documentation.
///
/// All are built with the profile that people run.
pub(crate) fn proxies(steps: &mut Steps) -> Outcome {
    steps.run("bench: build", build_proxies)?;
    steps.run("bench: proxies", || {
        let built = target().join("dist");
        run(Command::new(built.join("lockgate-proxies"))
            .arg("measure")
            .arg(built.join("lockgate"))
            .arg(root().join("examples"))
            .arg(root().join("docs/performance.md")))
    })
}

/// Measures what TLS costs the gateway's process beside nginx and Envoy, and writes the result into the documentation.
pub(crate) fn tls(steps: &mut Steps) -> Outcome {
    let mut envoy = PathBuf::new();
    steps.run("bench: envoy", || {
        envoy = tools::envoy()?;
        Ok(())
    })?;
    steps.run("bench: build", build_proxies)?;
    steps.run("bench: tls", || {
        let built = target().join("dist");
        run(Command::new(built.join("lockgate-proxies"))
            .arg("tls")
            .arg(built.join("lockgate"))
            .arg(&envoy)
            .arg(root().join("examples"))
            .arg(root().join("docs/performance.md")))
    })
}

fn build_proxies() -> Outcome {
    run(&mut cargo(
        "",
        "build --locked --profile dist -p lockgate -p lockgate-benches --bin lockgate --bin lockgate-proxies",
    ))
}

/// Carries load for so many minutes, with faults, and fails if anything is lost or grows.
pub(crate) fn soak(steps: &mut Steps, minutes: &str) -> Outcome {
    steps.run("soak: build", || {
        run(&mut cargo(
            "",
            "build --locked --release -p lockgate -p lockgate-benches --bin lockgate --bin lockgate-proxies",
        ))
    })?;
    steps.run("soak", || {
        let built = target().join("release");
        run(Command::new(built.join("lockgate-proxies"))
            .arg("soak")
            .arg(built.join("lockgate"))
            .arg(root().join("examples"))
            .arg(minutes))
    })
}
