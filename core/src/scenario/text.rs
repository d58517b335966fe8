//! A [`Report`] as people read it on a terminal.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};

use super::{Failure, Report, Tried, facts};
use crate::config::resource::Fact;
use crate::explain::Verdict;
use crate::json_text::json_text;

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut scenario = "";
        for case in &self.cases {
            if case.scenario != scenario {
                scenario = &case.scenario;
                writeln!(f, "{scenario}")?;
            }
            write_case(f, case)?;
        }
        let failed = self.failed();
        let uncovered: Vec<_> = self.uncovered().collect();
        if !uncovered.is_empty() {
            writeln!(f, "\nno case reaches")?;
        }
        for rule in &uncovered {
            writeln!(f, "    {}  ({})", rule.name, rule.at)?;
        }
        let covered = self.rules.len() - uncovered.len();
        writeln!(
            f,
            "\n{} passed, {failed} failed; {covered} of {} rules reached",
            self.cases.len() - failed,
            self.rules.len()
        )
    }
}

fn write_case(f: &mut Formatter<'_>, case: &Tried) -> Result {
    let mark = if case.passed() { "+" } else { "-" };
    writeln!(f, "    {mark} {}  ({})", case.name, case.at)?;
    for failure in &case.failures {
        write_failure(f, failure)?;
        if let (Some(Verdict::Refuse(refused)), "decision") = (&case.verdict, failure.field.as_str()) {
            writeln!(f, "            because {}", refused.reason)?;
        }
    }
    Ok(())
}

fn write_failure(f: &mut Formatter<'_>, failure: &Failure) -> Result {
    let seen = failure.seen.as_deref();
    match (&failure.expected, seen) {
        (Some(expected), Some(seen)) => {
            writeln!(
                f,
                "        {}: expected {expected}, found {seen}  ({})",
                failure.field, failure.at
            )
        }
        (Some(expected), None) => writeln!(
            f,
            "        {}: expected {expected}, but the verdict has none  ({})",
            failure.field, failure.at
        ),
        (None, seen) if failure.field == "expect" => writeln!(
            f,
            "        expects nothing; the verdict is {}",
            seen.unwrap_or_default()
        ),
        (None, seen) => writeln!(f, "        {}: {}", failure.field, seen.unwrap_or_default()),
    }
}

/// The decision and what of it says most.
pub(super) fn verdict(verdict: &Verdict) -> String {
    let facts = facts::of(verdict);
    let of = |name: &str| {
        facts
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| fact(value))
    };
    let decision = of("decision").unwrap_or_default();
    match of("provider").or_else(|| of("upstream")).or_else(|| of("status")) {
        Some(what) => format!("{decision} {what}"),
        None => decision,
    }
}

/// A fact as YAML in one line.
pub(super) fn fact(fact: &Fact) -> String {
    match fact {
        Fact::Text(text) => quoted(text),
        Fact::Number(number) => number.to_string(),
        Fact::Bool(truth) => truth.to_string(),
        Fact::List(items) => format!(
            "[{}]",
            items.iter().map(|item| quoted(item)).collect::<Vec<_>>().join(", ")
        ),
        Fact::Fields(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", quoted(name), quoted(value)));
            format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
        }
    }
}

/// Quotes are left out where YAML reads the text as it is, in a list too.
fn quoted(text: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    let begins_with_letter = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    match begins_with_letter && !is_word && text.bytes().all(is_bare) {
        true => text.to_owned(),
        false => json_text(text),
    }
}
