//! The playground: engine, schema and examples → a static page, which the gateway embeds, and its tests in Chromium.

use std::path::PathBuf;

use crate::process::{Outcome, cargo, output, program, root, run, target};
use crate::simulator;
use crate::steps::Steps;
use crate::tools;

const FOLDER: &str = "wasm/playground";

/// Builds the page into `wasm/playground/dist/page`, where the gateway's build finds it and any web server serves it.
pub(crate) fn build(steps: &mut Steps) -> Outcome {
    steps.run("playground: engine", || {
        tools::add_target(tools::WASM_TARGET)?;
        tools::add_std_source()?;
        simulator::module("page", &folder().join("pkg"), None)
    })?;
    steps.run("playground: schema", schema)?;
    steps.run("playground: packages", || npm("ci --no-audit --no-fund"))?;
    steps.run("playground: page", || npm("run build"))
}

/// The page's tests, on a gateway that was built with it.
pub(crate) fn test(steps: &mut Steps) -> Outcome {
    build(steps)?;
    steps.run("test: gateway with its page", || {
        run(&mut cargo("", "build --locked -p lockgate"))
    })?;
    steps.run("test: playground in Chromium", || {
        let gateway = target()
            .join("debug")
            .join(format!("lockgate{}", std::env::consts::EXE_SUFFIX));
        let mut command = program(tools::node()?, "--test --test-concurrency=1");
        run(command
            .args(simulator::test_files("wasm/playground/test")?)
            .env("CHROMIUM", tools::chromium()?)
            .env("LOCKGATE", gateway)
            .current_dir(folder()))
    })
}

/// What the page's completion reads is what the gateway prints.
fn schema() -> Outcome {
    let text = output(&mut cargo("", "run --locked --quiet -p lockgate -- schema"))?;
    let file = folder().join("generated/schema.json");
    let write = || {
        std::fs::create_dir_all(folder().join("generated"))?;
        std::fs::write(&file, text)
    };
    write().map_err(|error| format!("{}: {error}", file.display()))
}

fn npm(arguments: &str) -> Outcome {
    tools::node()?;
    run(program(tools::npm()?, arguments).current_dir(folder()))
}

fn folder() -> PathBuf {
    root().join(FOLDER)
}
