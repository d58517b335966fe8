//! `${NAME}` in values, replaced from the environment.
//!
//! It happens in the parsed tree, scalar by scalar: a variable's text can never
//! become YAML structure, and places in the file stay right. `$${` is a literal
//! `${`. There are no defaults: a value that is missing is missing.

use alloc::borrow::Cow;
use alloc::string::String;

/// What stands at a `$` of the text.
pub(crate) enum Problem<'t> {
    /// The environment does not have it.
    Unset(&'t str),
    /// `${` without `}`.
    Unclosed(&'t str),
    /// What is between the braces is no name.
    NotAName(&'t str),
}

impl Problem<'_> {
    /// The text the problem is about, as it stands in the file.
    pub(crate) fn written(&self) -> String {
        let (prefix, name, suffix) = match self {
            Self::Unset(name) | Self::NotAName(name) => ("${", name, "}"),
            Self::Unclosed(rest) => ("${", rest, ""),
        };
        [prefix, name, suffix].concat()
    }
}

/// The text with variables replaced; `None` if there are none. `report` gets each problem.
pub(crate) fn substitute<'t>(
    text: &'t str,
    env: &dyn Fn(&str) -> Option<String>,
    mut report: impl FnMut(Problem<'t>),
) -> Option<String> {
    // Most texts have none, and a search for `${` takes longer to prepare than they are long.
    memchr::memchr(b'$', text.as_bytes())?;
    let mut out = String::new();
    let mut rest = text;
    let mut any = false;
    while let Some(at) = rest.find("${") {
        let (before, variable) = rest.split_at_checked(at)?;
        any = true;
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = variable.get(2..).unwrap_or_default();
            continue;
        }
        out.push_str(before);
        let inner = variable.get(2..).unwrap_or_default();
        let Some((name, after)) = inner.split_once('}') else {
            report(Problem::Unclosed(inner));
            return Some(out);
        };
        if is_name(name) {
            match env(name) {
                Some(value) => out.push_str(&value),
                None => report(Problem::Unset(name)),
            }
        } else {
            report(Problem::NotAName(name));
        }
        rest = after;
    }
    out.push_str(rest);
    any.then_some(out)
}

/// Whether the text looks like a variable that this syntax does not replace: `$NAME`, `$(NAME)`, `{{ name }}`.
pub(crate) fn looks_unexpanded(text: &str) -> Option<Cow<'_, str>> {
    let name = text
        .strip_prefix("$(")
        .and_then(|rest| rest.strip_suffix(')'))
        .or_else(|| text.strip_prefix('$'))?;
    is_name(name).then_some(Cow::Borrowed(name))
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn run(text: &str) -> (Option<String>, Vec<String>) {
        let env = |name: &str| match name {
            "A" => Some(String::from("alpha")),
            "LOOP" => Some(String::from("${A}")),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        let mut problems = Vec::new();
        let out = substitute(text, &env, |problem| problems.push(problem.written()));
        (out, problems)
    }

    #[test]
    fn variables_are_replaced_once() {
        for (text, expected) in [
            ("plain", None),
            ("$A", None),
            ("${A}", Some("alpha")),
            ("x${A}y${A}", Some("xalphayalpha")),
            ("$${A}", Some("${A}")),
            ("$$${A}", Some("$${A}")),
            ("$${", Some("${")),
            ("${LOOP}", Some("${A}")),
            ("${EMPTY}", Some("")),
            ("^a$${2}", Some("^a${2}")),
        ] {
            let (out, problems) = run(text);
            assert_eq!(out.as_deref(), expected, "{text}");
            assert!(problems.is_empty(), "{text} {problems:?}");
        }
    }

    #[test]
    fn problems_name_the_text() {
        for (text, problem) in [
            ("${B}", "${B}"),
            ("a${", "${"),
            ("a${A", "${A"),
            ("${}", "${}"),
            ("${A:-x}", "${A:-x}"),
            ("${1}", "${1}"),
        ] {
            let (_, problems) = run(text);
            assert_eq!(problems, [problem], "{text}");
        }
        assert_eq!(run("${B}${C}").1, ["${B}", "${C}"]);
    }

    #[test]
    fn other_variable_syntaxes_are_noticed() {
        assert_eq!(looks_unexpanded("$API_KEY").as_deref(), Some("API_KEY"));
        assert_eq!(looks_unexpanded("$(API_KEY)").as_deref(), Some("API_KEY"));
        assert_eq!(looks_unexpanded("$"), None);
        assert_eq!(looks_unexpanded("a$b"), None);
        assert_eq!(looks_unexpanded("$5"), None);
    }
}
