//! Feeds a target what is known to be interesting: the committed inputs, and every prefix of the short ones.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Inputs up to this many bytes are also replayed cut off at every byte, as a network would cut them.
const PREFIXES_BYTES_MAX: usize = 2048;

/// Replays the files and folders given as arguments, or the target's own `corpus/` and `regressions/`.
pub fn main(name: &str, target: fn(&[u8])) -> ExitCode {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut places: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    if places.is_empty() {
        places = vec![home.join("corpus").join(name), home.join("regressions").join(name)];
    }
    let files: Vec<PathBuf> = places.iter().flat_map(|place| files(place)).collect();
    if files.is_empty() {
        eprintln!("{name}: there is nothing to replay; fuzz/corpus/{name} needs at least one input");
        return ExitCode::FAILURE;
    }
    match files.iter().try_for_each(|file| replay(file, target)) {
        Ok(()) => {
            println!("{name}: {} inputs and their prefixes replayed, ok", files.len());
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

fn replay(file: &Path, target: fn(&[u8])) -> Result<(), String> {
    let input = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let shortest = if input.len() <= PREFIXES_BYTES_MAX {
        0
    } else {
        input.len()
    };
    for length in shortest..=input.len() {
        catch_unwind(|| target(&input[..length])).map_err(|_| {
            format!(
                "failed on the first {length} of {} bytes of {}",
                input.len(),
                file.display()
            )
        })?;
    }
    Ok(())
}

/// The files of a folder in a stable order, or the file itself; none where there is nothing.
fn files(place: &Path) -> Vec<PathBuf> {
    if place.is_file() {
        return vec![place.to_owned()];
    }
    let Ok(entries) = fs::read_dir(place) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files
}
