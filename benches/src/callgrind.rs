//! Counts instructions by running this program under callgrind.

use std::env;
use std::process::Command;

use crate::cases;

/// Instructions that one run of a case takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Count {
    /// `group/name`.
    pub id: String,
    /// Instructions.
    pub instructions: f64,
}

/// Counts every case of this crate.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn count_all() -> Result<Vec<Count>, String> {
    cases()
        .into_iter()
        .map(|case| count(&case.id(), case.counted_runs))
        .collect()
}

fn count(id: &str, runs: u32) -> Result<Count, String> {
    let idle = total(id, 0)?;
    let busy = total(id, runs)?;
    let instructions = busy.saturating_sub(idle) as f64 / f64::from(runs.max(1));
    eprintln!("{id}: {instructions:.0}");
    Ok(Count {
        id: id.to_owned(),
        instructions,
    })
}

/// All instructions of a process that repeats the case `runs` times.
fn total(id: &str, runs: u32) -> Result<u64, String> {
    let program = env::current_exe().map_err(|error| format!("this program cannot be found: {error}"))?;
    let mut valgrind = Command::new("valgrind");
    valgrind
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program);
    let output = valgrind
        .args(["run", id, &runs.to_string()])
        .output()
        .map_err(|error| {
            format!("valgrind cannot be started ({error}); install it (Debian: apt-get install valgrind)")
        })?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(format!("valgrind failed on `{id}`:\n{log}"));
    }
    collected(&log).ok_or_else(|| format!("valgrind's output for `{id}` has no count:\n{log}"))
}

/// The number in callgrind's line `==123== Collected : 456`.
fn collected(log: &str) -> Option<u64> {
    let line = log.lines().find(|line| line.contains("Collected :"))?;
    line.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_read_from_callgrinds_log() {
        let log = "==7== Callgrind, a call-graph generator\n==7== \n==7== Events    : Ir\n==7== Collected : 1234567\n";
        assert_eq!(collected(log), Some(1_234_567));
        assert_eq!(collected("==7== Events : Ir"), None);
    }
}
