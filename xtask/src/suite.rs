//! Every test of the project, in the order in which a failure is cheapest to understand.

use crate::process::{Outcome, cargo, run};
use crate::steps::Steps;
use crate::{fuzz, playground, simulator, tools};

pub(crate) fn all(steps: &mut Steps) -> Outcome {
    tools::setup(steps)?;
    steps.run("test: workspace", workspace)?;
    steps.run("test: cargo run", gateway_is_what_runs)?;
    steps.run("test: fuzz replay", fuzz::replay)?;
    simulator::test(steps, simulator::CONFIGURATIONS)?;
    playground::test(steps)
}

fn workspace() -> Outcome {
    run(&mut cargo("", "test --locked --workspace"))
}

/// The README says `cargo run … -- demo`, without naming a package.
fn gateway_is_what_runs() -> Outcome {
    run(&mut cargo("", "run --locked -- version"))
}
