//! Embeds the playground, if `cargo xtask playground` has built it: a table of its files for `src/playground.rs`.
//!
//! Nothing is built here, so that building the gateway needs Rust alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// Where the page is, from the root of the repository. The folder around it is always there, so that cargo sees it
/// change.
const DIST: &str = "wasm/playground/dist";
const PAGE: &str = "page";

fn main() -> io::Result<()> {
    let variable = |name| env::var_os(name).map(PathBuf::from).ok_or(io::ErrorKind::NotFound);
    let dist = variable("CARGO_MANIFEST_DIR")?.join("..").join(DIST);
    println!("cargo:rerun-if-changed=build.rs");
    if dist.is_dir() {
        println!("cargo:rerun-if-changed={}", dist.display());
    }
    let page = dist.join(PAGE);
    let mut files = Vec::new();
    if page.is_dir() {
        list(&page, &mut files)?;
    }
    files.sort();
    let mut table = String::from("&[\n");
    for file in files.iter().filter(|file| !is_packed(file)) {
        let name = file.strip_prefix(&page).map_err(io::Error::other)?;
        let packed = PathBuf::from(format!("{}.gz", file.display()));
        let gzip = match files.contains(&packed) {
            true => format!("Some(include_bytes!({:?}))", packed.display().to_string()),
            false => "None".to_owned(),
        };
        let _ = writeln!(
            table,
            "    File {{ name: {:?}, bytes: include_bytes!({:?}), gzip: {gzip} }},",
            name.display().to_string().replace('\\', "/"),
            file.display().to_string(),
        );
    }
    table.push(']');
    fs::write(variable("OUT_DIR")?.join("playground.rs"), table)
}

fn is_packed(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "gz")
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        match path.is_dir() {
            true => list(&path, files)?,
            false => files.push(path),
        }
    }
    Ok(())
}
