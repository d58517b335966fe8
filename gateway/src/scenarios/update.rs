//! New expectations in an old file: only the `expect` of failed cases changes, line by line.

use lockgate_core::config::resource::{Case, Fact};
use lockgate_core::explain::Verdict;
use lockgate_core::scenario;

/// What a case gets that expected nothing yet.
const TELLING: [&str; 9] = [
    "decision",
    "status",
    "body",
    "location",
    "rule",
    "provider",
    "upstream",
    "path",
    "authorizer",
];

/// The text with the cases' expectations brought in line with their verdicts; else the case that cannot be, and why.
pub(super) fn update<'c>(
    text: &str,
    cases: impl Iterator<Item = (&'c Case, &'c Verdict)>,
) -> Result<String, (String, &'static str)> {
    let mut cases: Vec<_> = cases.collect();
    // From the end, so that the places of those before stay right.
    cases.sort_unstable_by_key(|(case, _)| core::cmp::Reverse(case.at.start));
    let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
    let mut text = text.to_owned();
    for (case, verdict) in cases {
        let refused = |why| (case.name.value.clone(), why);
        let (start, end, indent) = lines(&text, case.at.start)
            .ok_or_else(|| refused("its `expect` does not stand on lines of its own; write the case in block style"))?;
        if text.get(start..end).is_some_and(has_anchor) {
            return Err(refused(
                "its `expect` has an anchor (`&name`), which other cases may refer to; write the value out in each",
            ));
        }
        text.replace_range(start..end, &expectation(case, verdict, indent, line_break));
    }
    Ok(text)
}

/// Where the value begins (behind `expect:`) and ends, and how far `expect` is indented. `None` in a flow mapping.
fn lines(text: &str, value: u32) -> Option<(usize, usize, usize)> {
    let before = text.get(..usize::try_from(value).ok()?)?;
    let key = before.rfind("expect")?;
    let line = before.get(..key)?.rfind('\n').map_or(0, |newline| newline + 1);
    let lead = before.get(line..key)?;
    let start = key + before.get(key..)?.find(':')? + 1;
    if !lead.chars().all(|c| c == ' ' || c == '-') {
        return None;
    }
    let mut end = start;
    let mut at = start;
    for (index, line) in text.get(start..)?.split_inclusive('\n').enumerate() {
        at += line.len();
        let depth = line.len() - line.trim_start_matches(' ').len();
        let is_blank = line.trim().is_empty();
        if index > 0 && !is_blank && depth <= lead.len() {
            break;
        }
        if !is_blank || index == 0 {
            end = at - (line.len() - line.trim_end_matches(['\r', '\n']).len());
        }
    }
    Some((start, end, lead.len()))
}

/// Whether a value, or a value within it, begins with an anchor. Rather once too often: without its anchor a file may not
/// load, or mean something else.
fn has_anchor(value: &str) -> bool {
    value.match_indices('&').any(|(at, _)| {
        let before = value.get(..at).unwrap_or_default();
        let structure = before.trim_end_matches([' ', '\t']);
        let is_apart = structure.len() < before.len() || structure.ends_with(['[', '{', ',', '\n']);
        structure.is_empty() || is_apart && structure.ends_with([':', '-', '?', '[', '{', ',', '\n'])
    })
}

fn expectation(case: &Case, verdict: &Verdict, indent: usize, line_break: &str) -> String {
    let facts = scenario::facts(verdict);
    let seen = |name: &str| facts.iter().find(|(known, _)| *known == name).map(|(_, fact)| fact);
    let mut wanted: Vec<(&str, Fact)> = Vec::new();
    for (name, expected) in &case.expected {
        if let Some(fact) = seen(name).and_then(|seen| narrowed(&expected.value, seen)) {
            wanted.push((name, fact));
        }
    }
    if wanted.is_empty() {
        let told = TELLING.iter().filter_map(|name| Some((*name, seen(name)?.clone())));
        wanted.extend(told);
    } else if wanted.len() < case.expected.len() && wanted.iter().all(|(name, _)| *name != "decision") {
        wanted.extend(seen("decision").map(|fact| ("decision", fact.clone())));
    }
    let blanks = " ".repeat(indent + 2);
    let lines = wanted
        .iter()
        .map(|(name, fact)| format!("{line_break}{blanks}{name}: {}", scenario::yaml(fact)));
    lines.collect()
}

/// Of what came, what was asked for; `None` when nothing of it came.
fn narrowed(expected: &Fact, seen: &Fact) -> Option<Fact> {
    match (expected, seen) {
        (Fact::Fields(expected), Fact::Fields(seen)) if !expected.is_empty() => {
            let is_asked = |name: &str| expected.iter().any(|(asked, _)| asked.eq_ignore_ascii_case(name));
            let fields: Vec<_> = seen.iter().filter(|(name, _)| is_asked(name)).cloned().collect();
            (!fields.is_empty()).then_some(Fact::Fields(fields))
        }
        (Fact::List(expected), Fact::List(seen)) if !expected.is_empty() => {
            let items: Vec<_> = seen.iter().filter(|item| expected.contains(item)).cloned().collect();
            Some(Fact::List(if items.is_empty() { seen.clone() } else { items }))
        }
        _ => Some(seen.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::has_anchor;

    #[test]
    fn anchors_are_told_from_other_ampersands() {
        for value in [
            " &all\n  status: 200",
            "&all {status: 200}",
            "\n  status: &status 200",
            "\r\n  # All.\r\n&all\r\n  status: 200",
            "\n  &key status: 200",
            "\n  removed:\n  - &field x-a",
            " {removed: [&field x-a]}",
            " {status: 200,&key path: /}",
        ] {
            assert!(has_anchor(value), "{value}");
        }
        for value in [
            "\n  path: /?a=1&b=2",
            "\n  body: \"this & that, and &those\"",
            "\n  location: *there",
        ] {
            assert!(!has_anchor(value), "{value}");
        }
    }
}
