//! One normal form of the path, for policy, routing and the upstream alike.
//!
//! Istio's default, `BASE` (Envoy's `normalize_path`): the fragment is dropped,
//! `%HH` of unreserved characters is decoded once, `\` becomes `/`, `.` and `..`
//! segments are resolved (`..;x` too), and characters that no URI has are
//! escaped. Nothing is decoded twice, slashes are not merged, and the query is
//! never touched.

use crate::decision::BadRequest;
use crate::limits::PATH_BYTES_MAX;

/// Where a path that is not yet in normal form is written.
pub(crate) type PathBuffer = heapless::Vec<u8, PATH_BYTES_MAX>;

/// A target in normal form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'a> {
    /// Starts with `/` (or is the `*` of `OPTIONS *`).
    pub(crate) path: &'a str,
    /// Without its `?`.
    pub(crate) query: Option<&'a str>,
}

/// Brings an origin-form target into normal form.
///
/// # Errors
/// [`BadRequest::Path`] for what cannot be normalised, [`BadRequest::PathTooLong`] over the limit.
pub(crate) fn normalise<'a>(target: &'a str, buffer: &'a mut PathBuffer) -> Result<Target<'a>, BadRequest> {
    let (path, query, plain) = split(target);
    // A query is sent as it is, so it must be one that a request line can carry.
    if query.is_some_and(|query| !query.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err(BadRequest::Path);
    }
    if path == "*" {
        return Ok(Target { path, query });
    }
    if !path.starts_with('/') {
        return Err(BadRequest::Path);
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(BadRequest::PathTooLong);
    }
    if plain {
        return Ok(Target { path, query });
    }
    rewrite(path, buffer)?;
    let path = core::str::from_utf8(buffer).map_err(|_| BadRequest::Path)?;
    Ok(Target { path, query })
}

/// Path, query, and whether every byte of the path may stay as it is and no segment starts with a dot.
/// The fragment is dropped.
fn split(target: &str) -> (&str, Option<&str>, bool) {
    let mut plain = true;
    let mut before = Class::Plain;
    let mut end = target.len();
    for (at, byte) in target.bytes().enumerate() {
        let class = class(byte);
        match class {
            Class::Plain | Class::Slash => {}
            Class::Dot => plain &= before != Class::Slash,
            Class::Other => plain = false,
            Class::End => {
                end = at;
                break;
            }
        }
        before = class;
    }
    let (path, rest) = target.split_at_checked(end).unwrap_or((target, ""));
    let query = rest
        .strip_prefix('?')
        .map(|query| query.split_once('#').map_or(query, |(query, _)| query));
    (path, query, plain)
}

/// What a byte of a target is to its normal form.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Plain,
    Slash,
    Dot,
    /// `?` and `#` end the path.
    End,
    Other,
}

#[expect(
    clippy::indexing_slicing,
    reason = "the table is built at compile time, which would fail"
)]
fn class(byte: u8) -> Class {
    const CLASSES: [Class; 256] = {
        let mut classes = [Class::Other; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            classes[byte as usize] = match byte {
                b'/' => Class::Slash,
                b'.' => Class::Dot,
                b'?' | b'#' => Class::End,
                b'-' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b':'
                | b'@' | b'=' => Class::Plain,
                other if other.is_ascii_alphanumeric() => Class::Plain,
                _ => Class::Other,
            };
            byte += 1;
        }
        classes
    };
    CLASSES.get(usize::from(byte)).copied().unwrap_or(Class::Other)
}

/// Writes the normal form of `path` into `out`.
fn rewrite(path: &str, out: &mut PathBuffer) -> Result<(), BadRequest> {
    out.clear();
    let mut rest = path.as_bytes();
    while let Some((unit, after)) = next_unit(rest)? {
        rest = after;
        if unit == Unit::Byte(b'/') {
            end_segment(out);
        }
        unit.write(out)?;
    }
    // A dot segment at the end leaves the slash before it.
    if let Some(kept) = dot_segment_start(out) {
        out.truncate(kept);
        if out.is_empty() {
            push(out, b"/")?;
        }
    }
    Ok(())
}

/// One character of a path after decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Written as it is.
    Byte(u8),
    /// Written as `%HH`.
    Escaped([u8; 2]),
}

impl Unit {
    fn write(self, out: &mut PathBuffer) -> Result<(), BadRequest> {
        match self {
            Self::Byte(byte) => push(out, &[byte]),
            Self::Escaped([high, low]) => push(out, &[b'%', high, low]),
        }
    }
}

fn next_unit(rest: &[u8]) -> Result<Option<(Unit, &[u8])>, BadRequest> {
    let Some((&first, after)) = rest.split_first() else {
        return Ok(None);
    };
    let unit = match first {
        0..=0x20 | 0x7f.. => return Err(BadRequest::Path),
        b'\\' => Unit::Byte(b'/'),
        b'|' | b'"' | b'{' | b'}' | b'^' | b'`' | b'<' | b'>' => Unit::Escaped(hex(first)),
        b'%' => return escaped_unit(after).map(Some),
        other => Unit::Byte(other),
    };
    Ok(Some((unit, after)))
}

/// The unit that starts with a `%`, of which `after` is what follows.
///
/// A `%` without two hex digits is refused: decoding what stands behind it could make a new escape of the two.
fn escaped_unit(after: &[u8]) -> Result<(Unit, &[u8]), BadRequest> {
    let (&[high, low], rest) = after.split_first_chunk::<2>().ok_or(BadRequest::Path)?;
    let unit = match hex_value(high)? << 4 | hex_value(low)? {
        0 => return Err(BadRequest::Path),
        byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') => Unit::Byte(byte),
        _ => Unit::Escaped([high, low]),
    };
    Ok((unit, rest))
}

/// Resolves the segment just written, if it is a dot segment, before the next slash is written.
fn end_segment(out: &mut PathBuffer) {
    if let Some(kept) = dot_segment_start(out) {
        // The slash that follows replaces the one kept for an end of path.
        out.truncate(kept.saturating_sub(1));
    }
}

/// Where `out` must be cut when its last segment is `.` or `..`: just after the slash that remains.
fn dot_segment_start(out: &PathBuffer) -> Option<usize> {
    let slash = out.iter().rposition(|&byte| byte == b'/')?;
    let segment = out.get(slash.checked_add(1)?..)?;
    let name = segment.split(|&byte| byte == b';').next()?;
    match name {
        b"." => slash.checked_add(1),
        b".." => {
            let parent = out.get(..slash)?.iter().rposition(|&byte| byte == b'/');
            Some(parent.map_or(1, |parent| parent.saturating_add(1)))
        }
        _ => None,
    }
}

fn push(out: &mut PathBuffer, bytes: &[u8]) -> Result<(), BadRequest> {
    out.extend_from_slice(bytes).map_err(|_| BadRequest::PathTooLong)
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |value: u8| {
        if value < 10 {
            b'0'.wrapping_add(value)
        } else {
            b'A'.wrapping_add(value.wrapping_sub(10))
        }
    };
    [digit(byte >> 4), digit(byte & 0xf)]
}

fn hex_value(digit: u8) -> Result<u8, BadRequest> {
    let value = char::from(digit).to_digit(16).ok_or(BadRequest::Path)?;
    u8::try_from(value).map_err(|_| BadRequest::Path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::{String, ToString};

    fn path(target: &str) -> Result<String, BadRequest> {
        let mut buffer = PathBuffer::new();
        normalise(target, &mut buffer).map(|target| target.path.to_string())
    }

    #[test]
    fn base_normalisation_is_envoys() {
        for (target, normal) in [
            ("/", "/"),
            ("/admin", "/admin"),
            ("/./admin", "/admin"),
            ("/x/../admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/x/%2e%2e/admin", "/admin"),
            ("/x\\..\\admin", "/admin"),
            ("/x/..;/admin", "/admin"),
            ("/x/.;a/admin", "/x/admin"),
            ("/../admin", "/admin"),
            ("/../../admin", "/admin"),
            ("//admin", "//admin"),
            ("/admin%2f", "/admin%2f"),
            ("/x/..%2fadmin", "/x/..%2fadmin"),
            ("/admin/", "/admin/"),
            ("/ADMIN", "/ADMIN"),
            ("/admin;x", "/admin;x"),
            ("/admin%20", "/admin%20"),
            ("/%2561dmin", "/%2561dmin"),
            ("/x//../admin", "/x/admin"),
            ("//x/../admin", "//admin"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/a/b/..", "/a/"),
            ("/..", "/"),
            ("/.", "/"),
            ("/...", "/..."),
            ("/.hidden", "/.hidden"),
            ("/a{b}", "/a%7Bb%7D"),
            ("/a#b", "/a"),
            ("*", "*"),
        ] {
            assert_eq!(path(target).as_deref(), Ok(normal), "{target}");
        }
    }

    #[test]
    fn the_query_is_never_touched() {
        let mut buffer = PathBuffer::new();
        let target = normalise("/x/./y?/../admin&a=%61", &mut buffer).unwrap();
        assert_eq!(
            target,
            Target {
                path: "/x/y",
                query: Some("/../admin&a=%61")
            }
        );
    }

    #[test]
    fn what_cannot_be_normalised_is_refused() {
        for target in [
            "",
            "v1",
            "?x",
            "/a%00b",
            "/a b",
            "/a\u{e9}",
            "/a\u{7f}",
            "http://h/p",
            "/100%",
            "/%zz",
            "/%2%65",
        ] {
            assert_eq!(path(target), Err(BadRequest::Path), "{target}");
        }
    }

    #[test]
    fn a_query_that_no_request_line_can_carry_is_refused() {
        for target in ["/?\r\nHost: b", "/a?\0", "/?a b", "/?\u{e9}", "*?\t"] {
            assert_eq!(path(target), Err(BadRequest::Path), "{target:?}");
        }
        assert_eq!(path("/?a=[\"|\"]#\u{e9}").as_deref(), Ok("/"));
    }

    #[test]
    fn the_length_is_bounded() {
        let longest = std::format!("/{}", "a".repeat(PATH_BYTES_MAX - 1));
        assert_eq!(path(&longest), Ok(longest.clone()));
        assert_eq!(path(&(longest.clone() + "a")), Err(BadRequest::PathTooLong));
        let grows = longest.replace("aa", "{a");
        assert_eq!(path(&grows), Err(BadRequest::PathTooLong));
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing(target in "/[a-c./\\\\;%2456eE{}]{0,40}") {
            if let Ok(once) = path(&target) {
                proptest::prop_assert_eq!(path(&once), Ok(once.clone()), "{}", target);
            }
        }
    }
}
