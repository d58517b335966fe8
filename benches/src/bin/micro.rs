//! `lockgate-micro`: runs one case so often, counts instructions of all cases, or writes the report.
//!
//! ```text
//! lockgate-micro run GROUP/NAME RUNS
//! lockgate-micro instructions
//! lockgate-micro report CRITERION_FOLDER FILE
//! ```
//!
//! Instructions are counted by callgrind on `run` of this very program, and the
//! count of a run without work is subtracted. They are the same on a busy
//! machine, which wall time is not.

use std::env;
use std::process::ExitCode;

use lockgate_benches::{callgrind, cases, report};

/// The gateway's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match *arguments.as_slice() {
        ["run", id, runs] => run(id, runs),
        ["instructions"] => callgrind::count_all().map(|counts| print!("{}", report::instructions(&counts))),
        ["report", criterion, file] => report::write(criterion.as_ref(), file.as_ref()),
        _ => Err("usage: lockgate-micro run GROUP/NAME RUNS | instructions | report CRITERION_FOLDER FILE".to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(id: &str, runs: &str) -> Result<(), String> {
    let runs: u32 = runs.parse().map_err(|_| format!("`{runs}` is no number of runs"))?;
    let case = cases().into_iter().find(|case| case.id() == id);
    let mut work = case.ok_or_else(|| format!("there is no case `{id}`"))?.prepare();
    // Once outside the count, so that what only the first run does is not counted.
    work();
    for _ in 0..runs {
        work();
    }
    Ok(())
}
