//! `lockgate-pairs CONFIGURATIONS REQUESTS SEED`: writes configurations, requests to each and the engine's answers.
#![allow(clippy::print_stderr, reason = "a program for a terminal")]

use std::io::{self, BufWriter, ErrorKind};
use std::process::ExitCode;
use std::{env, str::FromStr};

use lockgate_oracle::pairs::{Plan, write};

fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(2);
        }
    };
    match write(plan, &mut BufWriter::new(io::stdout().lock())) {
        // Who has seen a difference reads no further.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn plan() -> Result<Plan, String> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [configurations, requests, seed] = &arguments[..] else {
        return Err("usage: lockgate-pairs CONFIGURATIONS REQUESTS SEED".to_owned());
    };
    Ok(Plan {
        configurations: number(configurations)?,
        requests: number(requests)?,
        seed: number(seed)?,
    })
}

fn number<N: FromStr>(text: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("`{text}` is no whole number"))
}
