//! `lockgate-bindgen MODULE FOLDER NAME`: writes NAME.js and NAME_bg.wasm for the web into FOLDER.
//!
//! wasm-bindgen's own command line would do the same, but it brings an HTTP stack along and must be installed;
//! this is a sixth of its build time and its version is in our lock file.

use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [module, folder, name] = arguments.as_slice() else {
        eprintln!("usage: lockgate-bindgen MODULE FOLDER NAME");
        return ExitCode::from(2);
    };
    match generate(module, folder, name) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn generate(module: &str, folder: &str, name: &str) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let bindgen = bindgen.web(true).map_err(|error| format!("{error:#}"))?;
    bindgen
        .input_path(module)
        .out_name(name)
        // The package has hand-written types, which say more than generated ones.
        .typescript(false)
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
        .map_err(|error| format!("{module}: {error:#}"))
}
