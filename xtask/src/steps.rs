//! Names and times what is done, so that a log can be read and a slow step be seen.

use core::time::Duration;
use std::time::Instant;

use crate::process::Outcome;

/// The steps done so far.
#[derive(Debug)]
pub(crate) struct Steps {
    started: Instant,
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    took: Duration,
    passed: bool,
}

impl Steps {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            done: Vec::new(),
        }
    }

    /// Runs one step; on failure the message names it.
    pub(crate) fn run(&mut self, name: &str, step: impl FnOnce() -> Outcome) -> Outcome {
        println!("\n==> {name}");
        let started = Instant::now();
        let outcome = step();
        let took = started.elapsed();
        let passed = outcome.is_ok();
        println!("<== {name}: {} in {}", verdict(passed), seconds(took));
        self.done.push(Step {
            name: name.to_owned(),
            took,
            passed,
        });
        outcome.map_err(|message| format!("{name}: {message}"))
    }

    /// Prints one line per step, when there was more than one.
    pub(crate) fn summarize(&self) {
        if self.done.len() < 2 {
            return;
        }
        println!("\n{:<28} {:>9}  result", "step", "time");
        for step in &self.done {
            println!("{:<28} {:>9}  {}", step.name, seconds(step.took), verdict(step.passed));
        }
        println!("{:<28} {:>9}", "all", seconds(self.started.elapsed()));
    }
}

fn verdict(passed: bool) -> &'static str {
    if passed { "ok" } else { "FAILED" }
}

fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
