//! Paths that a policy keeps closed and that are open in another spelling.

use alloc::format;
use alloc::string::String;

use super::policy::covers;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{PolicyKey, Predicate, Spanned};
use crate::path::{self, Normalization, PathBuffer, PathParameters, PathRules};

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

/// Whether no path in normal form is the value's, or begins like it.
fn is_dead(value: &str, rules: PathRules) -> bool {
    let is_normal = |text: &str| {
        let mut buffer = PathBuffer::new();
        path::normalise(text, rules, &mut buffer).is_ok_and(|read| read.query.is_none() && read.path == text)
    };
    if has_another_form(value) {
        return false;
    }
    match value.strip_suffix('*') {
        None => !is_normal(value),
        // What is cut within an escape may go on in many ways.
        Some(beginning) if beginning.bytes().rev().take(2).any(|byte| byte == b'%') => false,
        Some(beginning) => !is_normal(beginning) && !is_normal(&format!("{beginning}a")),
    }
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
