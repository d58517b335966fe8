//! Every test of the project, in the order in which a failure is cheapest to understand.

use crate::process::{Outcome, cargo, run};
use crate::steps::Steps;
use crate::{fuzz, simulator, tools};

pub(crate) fn all(steps: &mut Steps) -> Outcome {
    tools::setup(steps)?;
    steps.run("test: workspace", workspace)?;
    steps.run("test: fuzz replay", fuzz::replay)?;
    simulator::test(steps)
}

fn workspace() -> Outcome {
    run(&mut cargo("", "test --locked --workspace"))
}
