//! `uriRegexRewrite`: every match of a regular expression in a path, replaced.
//!
//! As Envoy does it (`RE2::GlobalReplace`): the leftmost match first, `\\1` to
//! `\\9` stand for groups and `\\0` for the whole match. It allocates, so shells
//! carry it out ([`crate::rewrite::target`]) where the decision only names it.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use regex_automata::nfa::thompson::pikevm::PikeVM;

use crate::limits::{PATH_BYTES_MAX, SUBSTITUTIONS_MAX};
use crate::regex;
use crate::rewrite::is_sendable;

/// A compiled `uriRegexRewrite`.
#[derive(Debug, Clone)]
pub(crate) struct Substitution {
    regex: PikeVM,
    pieces: Vec<Piece>,
}

/// A part of what a match is replaced with.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Group(usize),
}

/// Compiles a pattern and what its matches are replaced with, or says why not: also where no path that it makes could be
/// sent on ([`crate::rewrite::target`]).
///
/// # Errors
/// A sentence for the user.
pub(crate) fn compile(pattern: &str, with: &str) -> Result<Substitution, String> {
    let regex = regex::searcher(pattern)?;
    let groups = regex.get_nfa().group_info().all_group_len();
    let pieces = pieces(with)?;
    let mut texts = pieces.iter().filter_map(|piece| match piece {
        Piece::Text(text) => Some(text.as_bytes()),
        Piece::Group(_) => None,
    });
    if texts.clone().any(|text| !text.iter().copied().all(is_sendable)) {
        return Err("`rewrite` has a `#`, a space or another character that no path has".to_owned());
    }
    let begin = texts.next().and_then(<[u8]>::first);
    if regex.get_nfa().is_always_start_anchored() && begin.is_some_and(|byte| *byte != b'/') {
        return Err("it matches at the beginning of a path, and `rewrite` does not begin with `/`".to_owned());
    }
    let beyond = pieces.iter().find_map(|piece| match piece {
        Piece::Group(group) if *group >= groups => Some(*group),
        _ => None,
    });
    match beyond {
        Some(group) => Err(format!("it has no group {group}, which `rewrite` names")),
        None => Ok(Substitution { regex, pieces }),
    }
}

/// The parts of a replacement: RE2's `\\0` to `\\9` and `\\\\`.
fn pieces(with: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut chars = with.chars();
    while let Some(char) = chars.next() {
        if char != '\\' {
            text.push(char);
            continue;
        }
        match chars.next() {
            Some('\\') => text.push('\\'),
            Some(digit @ '0'..='9') => {
                pieces.push(Piece::Text(core::mem::take(&mut text)));
                pieces.push(Piece::Group(digit.to_digit(10).map_or(0, |digit| digit as usize)));
            }
            _ => return Err("in `rewrite` a `\\` is followed by a digit or another `\\`".to_owned()),
        }
    }
    pieces.push(Piece::Text(text));
    Ok(pieces)
}

impl Substitution {
    /// `path` with every match replaced; `None` beyond the bounds.
    pub(crate) fn apply(&self, path: &str) -> Option<String> {
        let mut cache = self.regex.create_cache();
        let mut rewritten = String::new();
        let mut kept_from = 0;
        for (count, groups) in self.regex.captures_iter(&mut cache, path).enumerate() {
            let whole = groups.get_match()?.range();
            rewritten.push_str(path.get(kept_from..whole.start)?);
            for piece in &self.pieces {
                rewritten.push_str(match piece {
                    Piece::Text(text) => text,
                    // A group that took no part in the match is empty.
                    Piece::Group(group) => match groups.get_group(*group) {
                        Some(span) => path.get(span.range())?,
                        None => "",
                    },
                });
            }
            kept_from = whole.end;
            if count >= SUBSTITUTIONS_MAX || rewritten.len() > PATH_BYTES_MAX {
                return None;
            }
        }
        rewritten.push_str(path.get(kept_from..)?);
        Some(rewritten)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(pattern: &str, with: &str, path: &str) -> String {
        compile(pattern, with).unwrap().apply(path).unwrap()
    }

    #[test]
    fn every_match_is_replaced_as_re2_does_it() {
        for (pattern, with, path, expected) in [
            (
                r"^/service/([^/]+)(/.*)$",
                r"\2/instance/\1",
                "/service/foo/v1/api",
                "/v1/api/instance/foo",
            ),
            ("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
            (
                "^(.*?)one(.*)$",
                r"\1two\2",
                "/xxx/one/yyy/one/zzz",
                "/xxx/two/yyy/one/zzz",
            ),
            (r"(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
            ("b*", "-", "/abb", "-/-a-"),
            ("(x)|(y)", r"[\1\2]", "/xy", "/[x][y]"),
            ("a", r"\0\0\\", "/a", r"/aa\"),
            ("nothing", "x", "/a", "/a"),
            ("^/v1", "", "/v1/a", "/a"),
        ] {
            assert_eq!(rewritten(pattern, with, path), expected, "{pattern} {with}");
        }
    }

    #[test]
    fn what_re2_refuses_is_refused() {
        for (pattern, with) in [("(a)", r"\2"), ("a", r"\x"), ("a", "\\"), ("(", "a")] {
            assert!(compile(pattern, with).is_err(), "{pattern} {with}");
        }
    }

    #[test]
    fn what_makes_no_path_that_is_sent_is_refused() {
        for (pattern, with, is_refused) in [
            ("^/v1/(.*)$", r"v2/\1", true),
            ("^/v1|^/v2", "v3", true),
            ("/v1/(.*)$", r"v2/\1", false),
            ("^/v1|/v2", "v3", false),
            ("^/v1/(.*)$", r"\1", false),
            ("a", "/a#b", true),
            ("(a)", r"\1 b", true),
            ("(a)", "\u{e9}", true),
            ("(a)", r"?b=\1|", false),
        ] {
            assert_eq!(compile(pattern, with).is_err(), is_refused, "{pattern} {with}");
        }
    }

    #[test]
    fn beyond_the_bounds_nothing_is_made() {
        let each = compile("a", "b").unwrap();
        assert!(each.apply(&"a".repeat(SUBSTITUTIONS_MAX)).is_some());
        assert!(each.apply(&"a".repeat(SUBSTITUTIONS_MAX + 1)).is_none());
        let grows = compile("a", &"b".repeat(1024)).unwrap();
        assert!(grows.apply(&"a".repeat(9)).is_none());
    }
}
