//! The `lockgate` program. Everything is in the library; see [`lockgate::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    lockgate::cli::main()
}
