//! Texts against patterns: Istio's string forms, path templates, namespaces with stars.

use crate::claims::Claims;
use crate::tables::{PatternRow, RequestPrincipalRow, Tables};

/// Whether `*` takes the empty value: of hosts and headers it does, of everything else it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Empty {
    Matches,
    Misses,
}

pub(super) fn matches(tables: &Tables, pattern: PatternRow, value: &[u8], empty: Empty) -> bool {
    match pattern {
        PatternRow::Exact(wanted) => value == tables.bytes(wanted),
        PatternRow::Prefix(wanted) => value.starts_with(tables.bytes(wanted)),
        PatternRow::Suffix(wanted) => value.ends_with(tables.bytes(wanted)),
        PatternRow::Any => empty == Empty::Matches || !value.is_empty(),
        PatternRow::Template(template) => template_takes(tables.bytes(template), value),
        PatternRow::Glob(glob) => glob_takes(tables.bytes(glob), value),
    }
}

/// As [`matches()`], of the two pieces of a value that stand one after the other.
pub(super) fn matches_joined(tables: &Tables, pattern: PatternRow, value: [&[u8]; 3]) -> bool {
    let bytes = || value.iter().flat_map(|piece| piece.iter());
    match pattern {
        PatternRow::Exact(wanted) => bytes().eq(tables.bytes(wanted)),
        PatternRow::Prefix(wanted) => {
            let mut rest = bytes();
            tables.bytes(wanted).iter().all(|byte| rest.next() == Some(byte))
        }
        PatternRow::Suffix(wanted) => {
            let mut rest = bytes().rev();
            tables.bytes(wanted).iter().rev().all(|byte| rest.next() == Some(byte))
        }
        PatternRow::Any => true,
        PatternRow::Template(_) | PatternRow::Glob(_) => false,
    }
}

/// `{*}` takes one segment of any bytes but `/`, at least one; `{**}` takes any bytes at all.
///
/// Envoy's template takes only some bytes, so that a DENY there is slipped past by `[`. Here it is not.
fn template_takes(mut template: &[u8], mut path: &[u8]) -> bool {
    loop {
        let literal_len = template.iter().position(|&byte| byte == b'{').unwrap_or(template.len());
        let Some((literal, operator)) = template.split_at_checked(literal_len) else {
            return false;
        };
        let Some(rest) = path.strip_prefix(literal) else {
            return false;
        };
        if operator.is_empty() {
            return rest.is_empty();
        }
        // No operator follows `{**}`.
        if let Some(tail) = operator.strip_prefix(b"{**}") {
            return rest.ends_with(tail);
        }
        let (Some(after_operator), segment_len @ 1..) = (
            operator.strip_prefix(b"{*}"),
            rest.iter().position(|&byte| byte == b'/').unwrap_or(rest.len()),
        ) else {
            return false;
        };
        template = after_operator;
        path = rest.get(segment_len..).unwrap_or_default();
    }
}

/// Each star takes any bytes. Linear times the number of stars: the first place where a piece fits is as good as any.
fn glob_takes(glob: &[u8], value: &[u8]) -> bool {
    let mut pieces = glob.split(|&byte| byte == b'*');
    let Some(mut rest) = pieces.next().and_then(|first| value.strip_prefix(first)) else {
        return false;
    };
    let mut last: Option<&[u8]> = None;
    for piece in pieces {
        if let Some(middle) = last.replace(piece) {
            let found = memchr::memmem::find(rest, middle);
            let Some(after) = found.and_then(|at| rest.get(at.saturating_add(middle.len())..)) else {
                return false;
            };
            rest = after;
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

/// Both parts of the token's principal. A token without issuer or subject has none.
pub(super) fn request_principal(tables: &Tables, wanted: &RequestPrincipalRow, claims: &Claims<'_>) -> bool {
    let (Some(issuer), Some(subject)) = (claims.issuer(), claims.subject()) else {
        return false;
    };
    !issuer.is_empty()
        && !subject.is_empty()
        && matches(tables, wanted.issuer, issuer.as_bytes(), Empty::Misses)
        && matches(tables, wanted.subject, subject.as_bytes(), Empty::Misses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_envoys_but_for_the_bytes_they_take() {
        for (template, takes, misses) in [
            (
                "/v1/{*}",
                &["/v1/a", "/v1/a%2fb", "/v1/a[b", "/v1/;"][..],
                &["/v1/", "/v1", "/v1/a/", "/v1/a/b"][..],
            ),
            (
                "/v1/{**}",
                &["/v1/", "/v1//", "/v1/a/b", "/v1/[", "/v1/a/"],
                &["/v1", "/v2/", "/v1x/"],
            ),
            (
                "/v1/{**}/chat",
                &["/v1//chat", "/v1/a/b/chat"],
                &["/v1/chat", "/v1/a/chat/"],
            ),
            ("/{*}/x/{**}", &["/a/x/", "/a/x/b/c"], &["/a/x", "//x/", "/a/y/x/"]),
            ("/{*}/{*}", &["/a/b"], &["/a", "/a/", "/a/b/c", "//b"]),
            ("/{*}/", &["/a/"], &["/a", "/a/b", "//"]),
            ("/{**}", &["/", "/a", "//"], &["*", ""]),
        ] {
            for path in takes {
                assert!(
                    template_takes(template.as_bytes(), path.as_bytes()),
                    "{template} {path}"
                );
            }
            for path in misses {
                assert!(
                    !template_takes(template.as_bytes(), path.as_bytes()),
                    "{template} {path}"
                );
            }
        }
    }

    #[test]
    fn stars_of_a_namespace_stand_anywhere() {
        for (glob, takes, misses) in [
            ("a*c", &["ac", "abc", "abcc"][..], &["a", "ab", "bac"][..]),
            ("*b*", &["b", "abc"], &["", "ac"]),
            ("a*b*a", &["aba", "axbxa"], &["ab", "aa", "a"]),
            ("*ab*ab", &["abab", "xabxab"], &["ab", "xab", "aba"]),
            ("a", &["a"], &["", "aa"]),
        ] {
            for value in takes {
                assert!(glob_takes(glob.as_bytes(), value.as_bytes()), "{glob} {value}");
            }
            for value in misses {
                assert!(!glob_takes(glob.as_bytes(), value.as_bytes()), "{glob} {value}");
            }
        }
    }
}
