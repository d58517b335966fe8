//! `lockgate-envoy ENVOY LOCKGATE FOLDER PAGE SETS REQUESTS SEED`: compares the gateway with a real Envoy.
//!
//! Prints what they disagree about and writes the figures into PAGE. Ends with 1 if they disagree.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for a terminal")]

use std::process::ExitCode;
use std::{env, fs};

use lockgate_oracle::envoy::comparison::{Figures, Plan, run};
use lockgate_oracle::envoy::report;

/// Shown of what they disagree about.
const SHOWN_MAX: usize = 40;

fn main() -> ExitCode {
    match compare() {
        Ok(figures) if figures.disagreements.is_empty() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn compare() -> Result<Figures, String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [envoy, lockgate, folder, page, sets, requests, seed] = &arguments[..] else {
        return Err("usage: lockgate-envoy ENVOY LOCKGATE FOLDER PAGE SETS REQUESTS SEED".to_owned());
    };
    let number = |text: &String| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let size = |text: &String| usize::try_from(number(text)?).map_err(|error| error.to_string());
    let plan = Plan {
        envoy: envoy.into(),
        lockgate: lockgate.into(),
        folder: folder.into(),
        sets: size(sets)?,
        requests: size(requests)?,
        seed: number(seed)?,
    };
    let in_words = |error: std::io::Error| error.to_string();
    let figures = run(&plan).map_err(in_words)?;
    for one in figures.disagreements.iter().take(SHOWN_MAX) {
        println!("{}\n", report::disagreement(one));
    }
    println!("{}", report::tables(&plan, &figures));
    let written = fs::read_to_string(page).map_err(in_words)?;
    fs::write(page, report::into_page(&written, &plan, &figures)?).map_err(in_words)?;
    Ok(figures)
}
