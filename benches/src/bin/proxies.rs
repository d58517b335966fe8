//! `lockgate-proxies`: measures the gateway as a whole process, and is the processes that this needs.
//!
//! ```text
//! lockgate-proxies measure GATEWAY EXAMPLES [FILE]     everything, written into FILE
//! lockgate-proxies cost GATEWAY EXAMPLES               CPU per request alone, printed
//! lockgate-proxies soak GATEWAY EXAMPLES MINUTES       load with faults, after which nothing may have grown
//! lockgate-proxies mock ADDRESS                        the upstream
//! lockgate-proxies floor ADDRESS UPSTREAM              the bare hyper proxy
//! lockgate-proxies load ADDRESS REQUESTS [--model]     the clients; --model if the proxy names the model
//! ```

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use lockgate_benches::proxy::{self, floor, load, mock};

const USAGE: &str = "usage: lockgate-proxies measure GATEWAY EXAMPLES [FILE] | cost GATEWAY EXAMPLES \
                     | soak GATEWAY EXAMPLES MINUTES | mock ADDRESS \
                     | floor ADDRESS UPSTREAM | load ADDRESS REQUESTS [--model]";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    match *arguments {
        ["measure", gateway, examples] => proxy::measure(gateway.as_ref(), examples.as_ref(), None),
        ["measure", gateway, examples, file] => {
            proxy::measure(gateway.as_ref(), examples.as_ref(), Some(Path::new(file)))
        }
        ["cost", gateway, examples] => proxy::measure_cost(gateway.as_ref(), examples.as_ref()),
        ["soak", gateway, examples, minutes] => proxy::soak(gateway.as_ref(), examples.as_ref(), parsed(minutes)?),
        ["mock", address] => mock::serve(parsed(address)?).map_err(|error| format!("{address}: {error}")),
        ["floor", address, upstream] => {
            floor::serve(parsed(address)?, parsed(upstream)?).map_err(|error| format!("{address}: {error}"))
        }
        ["load", address, requests] => load::run(parsed(address)?, parsed(requests)?, false),
        ["load", address, requests, "--model"] => load::run(parsed(address)?, parsed(requests)?, true),
        _ => Err(USAGE.to_owned()),
    }
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
