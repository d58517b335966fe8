//! A report as JUnit's XML, which pipelines read.

use std::fmt::Write as _;

use lockgate_core::scenario::{Failure, Report, Tried};

/// One `testsuite` for each Scenario.
pub(crate) fn junit(report: &Report) -> String {
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuites name=\"lockgate\" tests=\"{}\" failures=\"{}\">",
        report.cases.len(),
        report.failed()
    );
    for cases in report.cases.chunk_by(|one, next| one.scenario == next.scenario) {
        let failed = cases.iter().filter(|case| !case.passed()).count();
        let name = cases.first().map_or("", |case| &case.scenario);
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">",
            escaped(name),
            cases.len()
        );
        cases.iter().for_each(|case| write_case(&mut out, case));
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn write_case(out: &mut String, case: &Tried) {
    let mut place = case.at.rsplitn(3, ':');
    let (_, line, file) = (place.next(), place.next().unwrap_or(""), place.next().unwrap_or(""));
    let _ = write!(
        out,
        "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" line=\"{line}\"",
        escaped(&case.scenario),
        escaped(&case.name),
        escaped(file)
    );
    if case.passed() {
        out.push_str("/>\n");
        return;
    }
    out.push_str(">\n");
    for failure in &case.failures {
        let _ = writeln!(out, "      <failure message=\"{}\"/>", escaped(&message(failure)));
    }
    out.push_str("    </testcase>\n");
}

fn message(failure: &Failure) -> String {
    let seen = failure.seen.as_deref().unwrap_or("nothing");
    match &failure.expected {
        Some(expected) => format!("{}: expected {expected}, found {seen}  ({})", failure.field, failure.at),
        None => format!("{}: {seen}  ({})", failure.field, failure.at),
    }
}

/// XML has no control characters besides blanks, not even as references.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
