//! Paths of policies and routes that no request has in that spelling, and those that a policy keeps closed and that are
//! open in another one.

use alloc::format;
use alloc::string::String;

use super::policy::covers;
use crate::config::diagnostic::{Diagnostics, Location};
use crate::config::resource::{PolicyKey, Predicate, Spanned};
use crate::path::{self, Normalization, PathBuffer, PathParameters, PathRules};
use crate::tables::{Subject, Tables, Test};
use crate::text_map::TextSet;

/// Warns about values that no path is in normal form.
pub(super) fn warn_about_dead_values(predicate: &Predicate, rules: PathRules, diagnostics: &mut Diagnostics) {
    for value in predicate.values.iter().filter(|value| is_dead(value, rules)) {
        let mut buffer = PathBuffer::new();
        let reason = match path::normalise(value, rules, &mut buffer) {
            Ok(read) => format!("it is compared with the normal form, `{}`", read.path),
            Err(_) => String::from("such paths are answered 400"),
        };
        diagnostics
            .warning(
                "never-matches",
                value.at,
                format!("`{}` matches no request: {reason}", **value),
            )
            .help("write the path as MeshConfig's `pathNormalization` makes it");
    }
}

/// The same of routes, each match once. `places` are those of the origins.
pub(super) fn check_routes(tables: &Tables, places: &[Location], diagnostics: &mut Diagnostics) {
    let rules = tables.edge.paths;
    let mut said = TextSet::default();
    for entry in &tables.entries {
        for condition in entry.conditions.of(&tables.conditions) {
            let (text, is_dead) = match (condition.subject, condition.test) {
                (Subject::Path, Test::Exact(text)) => (text, !is_normal(tables.text(text), rules)),
                (Subject::Path, Test::Prefix(text) | Test::Segments(text)) => {
                    (text, !begins_any(tables.text(text), rules))
                }
                _ => continue,
            };
            let text = tables.text(text);
            let Some(origin) = tables.origin(entry.origin) else {
                continue;
            };
            if is_dead && !condition.negated && said.insert(&format!("{} {text}", entry.origin.0)) {
                let at = places.get(entry.origin.0 as usize).copied().unwrap_or_default();
                diagnostics
                    .warning("never-matches", at, format!("no path is `{text}`, nor begins like it"))
                    .field(origin.field)
                    .help("routes are compared with the path alone, as MeshConfig's `pathNormalization` makes it");
            }
        }
    }
}

/// Whether no path in normal form is the value's, or begins like it.
fn is_dead(value: &str, rules: PathRules) -> bool {
    if has_another_form(value) {
        return false;
    }
    match value.strip_suffix('*') {
        None => !is_normal(value, rules),
        Some(beginning) => !begins_any(beginning, rules),
    }
}

/// Whether a path in normal form is `text`.
fn is_normal(text: &str, rules: PathRules) -> bool {
    let mut buffer = PathBuffer::new();
    let read = path::normalise(text, rules, &mut buffer);
    read.is_ok_and(|read| read.query.is_none() && read.path == text)
}

/// Whether one begins like it.
fn begins_any(beginning: &str, rules: PathRules) -> bool {
    // What is cut within an escape may go on in many ways.
    let is_cut = beginning.bytes().rev().take(2).any(|byte| byte == b'%');
    beginning.is_empty() || is_cut || is_normal(beginning, rules) || is_normal(&format!("{beginning}a"), rules)
}

/// Templates, ends, and what is spoken of where it is read.
fn has_another_form(value: &str) -> bool {
    !value.starts_with('/') || value.contains(['{', '?', '#'])
}

/// Warns about the first value that a spelling of the same path walks around.
pub(super) fn warn_about_ways_around(predicate: &Predicate, rules: PathRules, diagnostics: &mut Diagnostics) {
    if predicate.key != PolicyKey::Path {
        return;
    }
    if let Some(template) = predicate.values.iter().find(|value| value.contains("{*")) {
        diagnostics
            .warning(
                "template-on-deny",
                template.at,
                format!(
                    "in Istio `{}` is walked around with a `[` in the path; here it is not",
                    **template
                ),
            )
            .help("a prefix such as `/admin/*` closes it in both");
    }
    let open = predicate
        .values
        .iter()
        .filter(|value| !is_dead(value, rules))
        .find_map(|value| Some((value, way_around(value, predicate, rules)?)));
    if let Some((value, way)) = open {
        diagnostics
            .warning(
                "path-by-another-spelling",
                value.at,
                format!(
                    "`{}` can be walked around: some servers take `{way}` for the same path",
                    **value
                ),
            )
            .help(help(&way));
    }
}

/// Another spelling of the path that neither `value` nor any other value of the list matches.
fn way_around(value: &Spanned<String>, predicate: &Predicate, rules: PathRules) -> Option<String> {
    let folder = ["/*", "/{**}", "/{*}"].iter().find_map(|end| value.strip_suffix(end));
    let base = folder.unwrap_or(value);
    if base.is_empty() || base == "/" || base.contains(['*', '{']) {
        return None;
    }
    let rest = if folder.is_some() { "/a" } else { "" };
    let parameters = (rules.parameters == PathParameters::Keep).then(|| format!("{base};a{rest}"));
    let keeps_slashes = rules.normalization < Normalization::DecodeAndMergeSlashes && !rules.refuse_escaped_slashes;
    let slash = keeps_slashes.then(|| match (folder, base.rsplit_once('/')) {
        (Some(_), _) => Some(format!("{base}%2fa")),
        (None, Some((parent, name))) if !parent.is_empty() => Some(format!("{parent}%2f{name}")),
        (None, _) => None,
    });
    let is_closed = |way: &String| predicate.values.iter().any(|other| covers(other, way));
    parameters
        .into_iter()
        .chain(slash.flatten())
        .find(|way| !is_closed(way))
}

fn help(way: &str) -> String {
    if way.contains(';') {
        String::from("set MeshConfig `pathNormalization.pathParameters` to `STRIP` or `REFUSE`")
    } else {
        String::from(
            "set MeshConfig `pathNormalization.normalization` to `DECODE_AND_MERGE_SLASHES`, or `escapedSlashes` to `REFUSE`",
        )
    }
}
