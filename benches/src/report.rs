//! Writes what was measured into the documentation, between two markers.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::callgrind::{self, Count};
use crate::{Case, cases};

/// The two lines between which a table stands.
type Markers = [&'static str; 2];

const MICRO: Markers = ["<!-- micro: written by `cargo xtask bench` -->", "<!-- micro: end -->"];
const PROXIES: Markers = [
    "<!-- proxies: written by `cargo xtask bench --proxy` -->",
    "<!-- proxies: end -->",
];
const TLS: Markers = [
    "<!-- tls: written by `cargo xtask bench --tls` -->",
    "<!-- tls: end -->",
];

/// Wall time of one run, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Time {
    median: f64,
    low: f64,
    high: f64,
}

/// Writes the table of all cases into `file`: times that criterion left in `criterion`, and instructions counted now.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn write(criterion: &Path, file: &Path) -> Result<(), String> {
    let times = times(criterion)?;
    let counts = callgrind::count_all()?;
    put(file, MICRO, &table(&cases(), &times, &counts)?)
}

/// Writes what the proxies cost into `file`.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn write_proxies(file: &Path, tables: &str) -> Result<(), String> {
    put(file, PROXIES, tables)
}

/// Writes what TLS costs into `file`.
///
/// # Errors
/// A sentence that says what is missing or went wrong.
pub fn write_tls(file: &Path, table: &str) -> Result<(), String> {
    put(file, TLS, table)
}

fn put(file: &Path, markers: Markers, text: &str) -> Result<(), String> {
    let [begin, end] = markers;
    let page = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let page = replaced(&page, markers, &format!("{}\n\n{text}", machine()))
        .ok_or_else(|| format!("{} lacks the line `{begin}` or, after it, `{end}`", file.display()))?;
    fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))
}

/// The counts alone, for the terminal.
#[must_use]
pub fn instructions(counts: &[Count]) -> String {
    let lines = counts
        .iter()
        .map(|count| format!("{:<44} {:>14}\n", count.id, grouped(count.instructions)));
    format!("{:<44} {:>14}\n{}", "case", "instructions", lines.collect::<String>())
}

fn table(cases: &[Case], times: &[(String, Time)], counts: &[Count]) -> Result<String, String> {
    let mut table = "| case | time | spread | speed | instructions |\n|---|--:|--:|--:|--:|\n".to_owned();
    for case in cases {
        let id = case.id();
        let time = times.iter().find(|(name, _)| *name == id).map(|(_, time)| *time);
        let time = time.ok_or_else(|| format!("criterion has no result for `{id}`"))?;
        let count = counts.iter().find(|count| count.id == id);
        table.push_str(&row(case, time, count.map_or(0.0, |count| count.instructions)));
    }
    Ok(table)
}

fn row(case: &Case, time: Time, instructions: f64) -> String {
    let speed = case.bytes.map_or_else(
        || "-".to_owned(),
        |bytes| format!("{:.2} GB/s", bytes as f64 / time.median),
    );
    let spread = (time.high - time.low) / time.median * 100.0;
    format!(
        "| {}: {} | {} | {spread:.0} % | {speed} | {} |\n",
        case.group,
        case.name,
        duration(time.median),
        grouped(instructions)
    )
}

/// The results under a folder of criterion's, by `group/name`.
fn times(criterion: &Path) -> Result<Vec<(String, Time)>, String> {
    let mut found = Vec::new();
    let mut folders = vec![criterion.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()) {
            if path.ends_with("new") {
                found.push(result(&path)?);
            } else {
                folders.push(path);
            }
        }
    }
    Ok(found)
}

fn result(folder: &Path) -> Result<(String, Time), String> {
    let benchmark = json(folder.join("benchmark.json"))?;
    let estimates = json(folder.join("estimates.json"))?;
    let text = |field: &str| benchmark.get(field).and_then(Value::as_str);
    let number = |pointer: &str| estimates.pointer(pointer).and_then(Value::as_f64);
    let read = || {
        let time = Time {
            median: number("/median/point_estimate")?,
            low: number("/median/confidence_interval/lower_bound")?,
            high: number("/median/confidence_interval/upper_bound")?,
        };
        Some((format!("{}/{}", text("group_id")?, text("function_id")?), time))
    };
    read().ok_or_else(|| format!("{} holds no result of criterion", folder.display()))
}

fn json(file: PathBuf) -> Result<Value, String> {
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))
}

/// What it was measured on: without this a figure means nothing.
fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .unwrap_or("unknown processor");
    // Those of the machine: this process may keep to one of them.
    let cores = cpu.lines().filter(|line| line.starts_with("processor")).count();
    let rustc = Command::new("rustc").arg("--version").output().ok();
    let rustc = rustc
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .unwrap_or_default();
    format!(
        "{}, {cores} cores; {}.",
        model.trim_start_matches(['\t', ' ', ':']),
        rustc.trim()
    )
}

/// `page` with `text` between the markers.
fn replaced(page: &str, [begin, end]: Markers, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(begin)?;
    let (_, after) = rest.split_once(end)?;
    Some(format!("{before}{begin}\n{text}{end}{after}"))
}

fn duration(nanoseconds: f64) -> String {
    match nanoseconds {
        under if under < 1e3 => format!("{under:.1} ns"),
        under if under < 1e6 => format!("{:.2} µs", under / 1e3),
        under if under < 1e9 => format!("{:.2} ms", under / 1e6),
        other => format!("{:.2} s", other / 1e9),
    }
}

/// `12,345`
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_markers_is_replaced() {
        for markers in [MICRO, PROXIES, TLS] {
            let [begin, end] = markers;
            let page = format!("intro\n{begin}\nold\n{end}\noutro\n");
            assert_eq!(
                replaced(&page, markers, "new\n"),
                Some(format!("intro\n{begin}\nnew\n{end}\noutro\n"))
            );
            assert_eq!(replaced("intro", markers, "new"), None);
        }
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [(0.0, "0"), (999.6, "1,000"), (1_234_567.2, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
        for (time, text) in [
            (12.34, "12.3 ns"),
            (1_500.0, "1.50 µs"),
            (2.5e6, "2.50 ms"),
            (3e9, "3.00 s"),
        ] {
            assert_eq!(duration(time), text);
        }
    }
}
