//! Every metric, field of the access log and response flag of the source is explained in `docs/observability.md`, and
//! nothing else is.

#![allow(clippy::expect_used, reason = "a test may panic")]

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/observability.md");
const METRICS: &str = include_str!("../src/metrics/text.rs");
const LINE: &str = include_str!("../src/access/line.rs");
const FLAGS: &str = include_str!("../src/access/flag.rs");

/// The names of the first table under the heading.
fn explained(heading: &str) -> BTreeSet<&'static str> {
    let (_, section) = PAGE.split_once(heading).expect("the section");
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    rows.take_while(|line| line.starts_with('|'))
        .filter_map(|row| row.strip_prefix("| `")?.split('`').next())
        .collect()
}

/// What follows `before` in the source, up to the quote that ends it.
fn quoted_after(source: &'static str, before: &str) -> BTreeSet<&'static str> {
    let (source, _) = source.split_once("#[cfg(test)]").unwrap_or((source, ""));
    source
        .split(before)
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect()
}

fn assert_explained(used: &BTreeSet<&str>, heading: &str) {
    let explained = explained(heading);
    let missing: Vec<_> = used.difference(&explained).collect();
    let stale: Vec<_> = explained.difference(used).collect();
    assert!(missing.is_empty(), "not under {heading:?}: {missing:?}");
    assert!(stale.is_empty(), "under {heading:?}, but not in the source: {stale:?}");
}

#[test]
fn every_metric_is_explained() {
    let metrics = |prefix: &str| {
        quoted_after(METRICS, &format!("\"{prefix}"))
            .into_iter()
            .map(|rest| format!("{prefix}{rest}"))
            .collect::<Vec<_>>()
    };
    let names = [metrics("istio_"), metrics("lockgate_")].concat();
    let used: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    assert!(used.len() > 25, "the search finds only {used:?}");
    assert_explained(&used, "\n## Metrics\n");
}

#[test]
fn every_field_of_the_access_log_is_explained() {
    let mut used = quoted_after(LINE, "name!(\"");
    used.insert("start_time");
    assert!(used.len() > 30, "the search finds only {used:?}");
    assert_explained(&used, "\n## The access log\n");
}

#[test]
fn every_response_flag_is_explained() {
    let used = quoted_after(FLAGS, "=> \"");
    assert!(used.len() > 10, "the search finds only {used:?}");
    assert_explained(&used, "\n### Flags\n");
}
