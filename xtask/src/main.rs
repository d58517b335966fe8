//! `cargo xtask`: the project's chores as one program, the same for people and for CI.
//!
//! `main` maps a command to its steps; each module is one kind of chore.
//! Everything runs through [`steps::Steps`], which names and times it.

mod bench;
mod checks;
mod dist;
mod fuzz;
mod layers;
mod nostd;
mod oracle;
mod pages;
mod playground;
mod process;
mod simulator;
mod steps;
mod suite;
mod tools;

use std::process::ExitCode;

use process::Outcome;
use steps::Steps;

const USAGE: &str = "\
usage: cargo xtask <command>

  setup         install what the tests need, or say what to install
  test          set up, then run every test: the workspace's, the replay of what fuzzing found, and the
                simulator's and the playground's in Node and Chromium
  ci            what CI runs: every check below, and `test`
  fmt           format every workspace
  fmt-check     fail if something is not formatted
  lint          clippy, warnings are errors
  docs          rustdoc, warnings are errors
  layers        check who may depend on whom
  pages         check that the files which the pages name are there
  deny          check bans, licences and sources of the dependencies (cargo-deny)
  features      test the engine with each of its feature sets
  bench         measure the engine and write the result into docs/performance.md (needs valgrind);
                with --instructions only count and print, which a busy machine does not disturb;
                with --proxy measure the gateway's process beside a bare hyper proxy and nginx instead
                (needs nginx and two cores); with --tls what TLS costs it beside nginx and Envoy (needs Python 3 too)
  fuzz-replay   feed the fuzz targets their committed inputs
  fuzz SECONDS  run every fuzz target for so long (needs nightly and cargo-fuzz)
  oracle        compare the gateway with a real Envoy and write the figures into docs/conformance.md
                (needs Python 3)
  playground    build the page on which configurations are tried into wasm/playground/dist/page; a gateway
                that is built after it serves it at /playground/
  npm           build, test and pack the npm package into target/npm; its tests hold it against the engine with
                50,000 random requests, where `test` has 5,000
  dist          make the release archive in target/archive: a static program, its manual and completions,
                documents, units and sums (needs musl-gcc)
  soak          carry load for ten minutes with a fault every few seconds, and see that memory and
                descriptors stay as they are; --minutes N for another time
  nostd         prove that deciding links without std and without an allocator
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, options)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    if matches!(command.as_str(), "help" | "--help" | "-h") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let mut steps = Steps::new();
    let outcome = dispatch(command, options, &mut steps);
    steps.summarize();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("\nerror: {message}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(command: &str, options: &[String], steps: &mut Steps) -> Outcome {
    if let ("fuzz", [seconds]) = (command, options) {
        let seconds = seconds
            .parse()
            .map_err(|_| format!("`{seconds}` is no number of seconds"))?;
        return fuzz::explore(steps, seconds);
    }
    match (command, options) {
        ("bench", [option]) if option == "--instructions" => {
            return steps.run("bench: instructions", bench::instructions);
        }
        ("bench", [option]) if option == "--proxy" => return bench::proxies(steps),
        ("bench", [option]) if option == "--tls" => return bench::tls(steps),
        ("soak", [option, minutes]) if option == "--minutes" => return bench::soak(steps, minutes),
        _ => {}
    }
    if let Some(option) = options.first() {
        return Err(format!("`cargo xtask {command}` does not take `{option}`\n\n{USAGE}"));
    }
    match command {
        "setup" => tools::setup(steps),
        "bench" => bench::measure(steps),
        "test" => suite::all(steps),
        "ci" => ci(steps),
        "fmt" => steps.run("fmt", checks::format),
        "fmt-check" => steps.run("fmt", checks::format_check),
        "lint" => steps.run("lint", checks::lint),
        "docs" => steps.run("docs", checks::docs),
        "layers" => steps.run("layers", layers::check),
        "pages" => steps.run("pages", pages::check),
        "deny" => steps.run("deny", checks::deny),
        "features" => checks::features(steps),
        "fuzz-replay" => steps.run("fuzz replay", fuzz::replay),
        "oracle" => oracle::compare(steps),
        "playground" => playground::build(steps),
        "npm" => simulator::pack(steps),
        "dist" => dist::archive(steps),
        "soak" => bench::soak(steps, "10"),
        "nostd" => nostd::prove(steps),
        _ => Err(format!("there is no command `{command}`\n\n{USAGE}")),
    }
}

/// The quick checks first, so that a slip is reported within seconds.
fn ci(steps: &mut Steps) -> Outcome {
    steps.run("fmt", checks::format_check)?;
    steps.run("layers", layers::check)?;
    steps.run("pages", pages::check)?;
    steps.run("lint", checks::lint)?;
    steps.run("docs", checks::docs)?;
    suite::all(steps)?;
    checks::features(steps)?;
    nostd::prove(steps)?;
    steps.run("benches once", bench::once)?;
    steps.run("deny", checks::deny)
}
