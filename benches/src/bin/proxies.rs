//! `lockgate-proxies`: measures the gateway as a whole process, and is the processes that this needs.
//!
//! ```text
//! lockgate-proxies measure GATEWAY EXAMPLES [FILE]     everything, written into FILE
//! lockgate-proxies cost GATEWAY EXAMPLES               CPU per request alone, printed
//! lockgate-proxies compare GATEWAY OTHER EXAMPLES      the same of two binaries: the other's over the first's
//! lockgate-proxies tls GATEWAY ENVOY EXAMPLES [FILE]   TLS beside nginx and Envoy, written into FILE
//! lockgate-proxies restart GATEWAY EXAMPLES            time from a kill to the next answer, printed
//! lockgate-proxies soak GATEWAY EXAMPLES MINUTES       load with faults, after which nothing may have grown
//! lockgate-proxies mock ADDRESS [CERTIFICATE KEY]      the upstream, over TLS if it has a certificate
//! lockgate-proxies floor ADDRESS UPSTREAM              the bare hyper proxy
//! lockgate-proxies load ADDRESS REQUESTS [--model]     the clients; --model if the proxy names the model
//! ```

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

use lockgate_benches::proxy::{self, floor, load, mock, tls};

const USAGE: &str = "usage: lockgate-proxies measure GATEWAY EXAMPLES [FILE] | cost GATEWAY EXAMPLES \
                     | compare GATEWAY OTHER EXAMPLES | tls GATEWAY ENVOY EXAMPLES [FILE] \
                     | restart GATEWAY EXAMPLES | soak GATEWAY EXAMPLES MINUTES | mock ADDRESS [CERTIFICATE KEY] \
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
        ["compare", gateway, other, examples] => proxy::compare(gateway.as_ref(), other.as_ref(), examples.as_ref()),
        ["tls", gateway, envoy, examples] => tls::measure(gateway.as_ref(), envoy.as_ref(), examples.as_ref(), None),
        ["tls", gateway, envoy, examples, file] => {
            let file = Some(Path::new(file));
            tls::measure(gateway.as_ref(), envoy.as_ref(), examples.as_ref(), file)
        }
        ["restart", gateway, examples] => proxy::measure_restart(gateway.as_ref(), examples.as_ref()),
        ["soak", gateway, examples, minutes] => proxy::soak(gateway.as_ref(), examples.as_ref(), parsed(minutes)?),
        ["mock", address] => upstream(address, None),
        ["mock", address, certificate, key] => upstream(address, Some((certificate.as_ref(), key.as_ref()))),
        ["floor", address, upstream] => {
            floor::serve(parsed(address)?, parsed(upstream)?).map_err(|error| format!("{address}: {error}"))
        }
        ["load", address, requests] => load::run(parsed(address)?, parsed(requests)?, false),
        ["load", address, requests, "--model"] => load::run(parsed(address)?, parsed(requests)?, true),
        _ => Err(USAGE.to_owned()),
    }
}

fn upstream(address: &str, identity: Option<(&Path, &Path)>) -> Result<(), String> {
    mock::serve(parsed(address)?, identity).map_err(|error| format!("{address}: {error}"))
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error| format!("`{text}`: {error}"))
}
