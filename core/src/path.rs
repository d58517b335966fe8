//! One normal form of the path, for policy, routing and the upstream alike.
//!
//! How far a path is brought into normal form is MeshConfig's to say
//! (`pathNormalization`), in Envoy's steps and order: the fragment is dropped;
//! `%2f` and `%5c` become slashes (DECODE_AND_MERGE_SLASHES); `%HH` of
//! unreserved characters is decoded once, `\` becomes `/`, `.` and `..`
//! segments are resolved (`..;x` too), and characters that no URI has are
//! escaped (BASE and up); slashes are merged (MERGE_SLASHES and up). Nothing is
//! decoded twice, and the query is never touched.
//! <https://istio.io/latest/docs/reference/config/security/normalization/>

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

/// How paths are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct PathRules {
    pub(crate) normalization: Normalization,
    pub(crate) parameters: PathParameters,
    /// `%2f` and `%5c` are refused instead of kept (or decoded).
    pub(crate) refuse_escaped_slashes: bool,
}

/// MeshConfig's `pathNormalization.normalization`; each does what those before it do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "these are all that Istio has")]
pub enum Normalization {
    /// The path as sent, without its fragment.
    None,
    /// Unreserved characters decoded, dot segments resolved, `\` is `/`.
    #[default]
    Base,
    /// Slashes merged as well.
    MergeSlashes,
    /// `%2f` and `%5c` decoded first.
    DecodeAndMergeSlashes,
}

/// What happens to `;name=value` in a segment, which some servers behind do not take for part of the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else to do with them")]
pub enum PathParameters {
    /// They stay, as Envoy has it.
    #[default]
    Keep,
    /// They are removed, for policy, routing and the upstream alike.
    Strip,
    /// 400.
    Refuse,
}

/// Brings an origin-form target into normal form.
///
/// # Errors
/// [`BadRequest::Path`] for what cannot be normalised, [`BadRequest::PathTooLong`] over the limit.
pub(crate) fn normalise<'a>(
    target: &'a str,
    rules: PathRules,
    buffer: &'a mut PathBuffer,
) -> Result<Target<'a>, BadRequest> {
    let (path, query, seen) = split(target);
    // A query is sent as it is, so it must be one that a request line can carry.
    if query.is_some_and(|query| !is_graphic(query)) {
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
    if seen.parameters && rules.parameters == PathParameters::Refuse {
        return Err(BadRequest::Path);
    }
    if rules.refuse_escaped_slashes && has_escaped_slash(path) {
        return Err(BadRequest::Path);
    }
    if is_normal(path, seen, rules)? {
        return Ok(Target { path, query });
    }
    match rules.normalization {
        Normalization::None => strip_parameters(path, buffer)?,
        _ => rewrite(path, rules, buffer)?,
    }
    if rules.normalization >= Normalization::MergeSlashes {
        merge_slashes(buffer);
    }
    let path = core::str::from_utf8(buffer).map_err(|_| BadRequest::Path)?;
    Ok(Target { path, query })
}

/// What there is in a path that its normal form may be without.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Bytes that may not stay as they are, or a segment that starts with a dot.
    strange: bool,
    parameters: bool,
}

/// Path, query, and what there is to do. The fragment is dropped.
fn split(target: &str) -> (&str, Option<&str>, Seen) {
    let classes = classes(target);
    if classes & (QUERY | FRAGMENT) == 0 {
        return (target, None, Seen::of(target, classes));
    }
    let target = match classes & FRAGMENT {
        0 => target,
        _ => split_at(target, b'#').map_or(target, |(target, _)| target),
    };
    let (path, query) = match split_at(target, b'?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    (path, query, Seen::of(path, self::classes(path)))
}

/// What is before and behind the first `byte`, which is ASCII.
fn split_at(target: &str, byte: u8) -> Option<(&str, &str)> {
    let at = memchr::memchr(byte, target.as_bytes())?;
    Some((target.get(..at)?, target.get(at.checked_add(1)?..)?))
}

impl Seen {
    fn of(path: &str, classes: u8) -> Self {
        Self {
            strange: classes & OTHER != 0 || classes & DOT != 0 && path.contains("/."),
            parameters: classes & SEMICOLON != 0,
        }
    }
}

/// Whether the path is in normal form as it was sent.
///
/// # Errors
/// [`BadRequest::Path`] when it may not be changed and no request line can carry it.
fn is_normal(path: &str, seen: Seen, rules: PathRules) -> Result<bool, BadRequest> {
    if rules.normalization == Normalization::None && rules.parameters != PathParameters::Strip {
        return match is_graphic(path) {
            true => Ok(true),
            false => Err(BadRequest::Path),
        };
    }
    let merges = rules.normalization >= Normalization::MergeSlashes && path.contains("//");
    let strips = rules.parameters == PathParameters::Strip && seen.parameters;
    Ok(!seen.strange && !merges && !strips)
}

/// `%2f` or `%5c`, which some servers behind take for a slash.
pub(crate) fn has_escaped_slash(path: &str) -> bool {
    let escapes = path.as_bytes().windows(3);
    escapes
        .filter(|escape| escape.first() == Some(&b'%'))
        .any(|escape| escape.eq_ignore_ascii_case(b"%2f") || escape.eq_ignore_ascii_case(b"%5c"))
}

/// Whether a request line can carry every byte.
fn is_graphic(text: &str) -> bool {
    text.bytes().fold(true, |all, byte| all & byte.is_ascii_graphic())
}

/// The classes of all bytes together. No byte ends it early, so that several are looked up at once (as in `is_graphic`).
fn classes(target: &str) -> u8 {
    target.bytes().fold(0, |classes, byte| classes | class(byte))
}

/// What a byte of a target is to its normal form: at most one of these, or plain.
const DOT: u8 = 1;
const SEMICOLON: u8 = 2;
const OTHER: u8 = 4;
/// `?` and `#` end the path.
const QUERY: u8 = 8;
const FRAGMENT: u8 = 16;

#[expect(
    clippy::indexing_slicing,
    reason = "the table is built at compile time, which would fail, and has a place for every byte"
)]
fn class(byte: u8) -> u8 {
    const PLAIN: u8 = 0;
    const CLASSES: [u8; 256] = {
        let mut classes = [OTHER; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            classes[byte as usize] = match byte {
                b'.' => DOT,
                b';' => SEMICOLON,
                b'?' => QUERY,
                b'#' => FRAGMENT,
                b'/' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b':'
                | b'@' | b'=' => PLAIN,
                other if other.is_ascii_alphanumeric() => PLAIN,
                _ => OTHER,
            };
            byte += 1;
        }
        classes
    };
    CLASSES[usize::from(byte)]
}

/// Writes the normal form of `path` into `out`, slashes not yet merged.
fn rewrite(path: &str, rules: PathRules, out: &mut PathBuffer) -> Result<(), BadRequest> {
    out.clear();
    let decodes_slashes = rules.normalization == Normalization::DecodeAndMergeSlashes;
    let mut in_parameters = false;
    let mut rest = path.as_bytes();
    while let Some((unit, after)) = next_unit(rest, decodes_slashes)? {
        rest = after;
        if unit == Unit::Byte(b'/') {
            end_segment(out);
            in_parameters = false;
        }
        in_parameters |= unit == Unit::Byte(b';') && rules.parameters == PathParameters::Strip;
        if !in_parameters {
            unit.write(out)?;
        }
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

/// All that [`PathParameters::Strip`] asks for where nothing else is done.
fn strip_parameters(path: &str, out: &mut PathBuffer) -> Result<(), BadRequest> {
    out.clear();
    let mut in_parameters = false;
    for byte in path.bytes() {
        if !byte.is_ascii_graphic() {
            return Err(BadRequest::Path);
        }
        in_parameters = byte == b';' || in_parameters && byte != b'/';
        if !in_parameters {
            push(out, &[byte])?;
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

fn next_unit(rest: &[u8], decodes_slashes: bool) -> Result<Option<(Unit, &[u8])>, BadRequest> {
    let Some((&first, after)) = rest.split_first() else {
        return Ok(None);
    };
    let unit = match first {
        0..=0x20 | 0x7f.. => return Err(BadRequest::Path),
        b'\\' => Unit::Byte(b'/'),
        b'|' | b'"' | b'{' | b'}' | b'^' | b'`' | b'<' | b'>' => Unit::Escaped(hex(first)),
        b'%' => return escaped_unit(after, decodes_slashes).map(Some),
        other => Unit::Byte(other),
    };
    Ok(Some((unit, after)))
}

/// The unit that starts with a `%`, of which `after` is what follows.
///
/// A `%` without two hex digits is refused: decoding what stands behind it could make a new escape of the two.
fn escaped_unit(after: &[u8], decodes_slashes: bool) -> Result<(Unit, &[u8]), BadRequest> {
    let (&[high, low], rest) = after.split_first_chunk::<2>().ok_or(BadRequest::Path)?;
    let unit = match hex_value(high)? << 4 | hex_value(low)? {
        0 => return Err(BadRequest::Path),
        b'/' | b'\\' if decodes_slashes => Unit::Byte(b'/'),
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

/// After dot segments are gone, as Envoy has it: `/x//../admin` is `/x/admin` in every mode.
fn merge_slashes(path: &mut PathBuffer) {
    let mut before = 0;
    path.retain(|&byte| {
        let kept = byte != b'/' || before != b'/';
        before = byte;
        kept
    });
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
        read(target, PathRules::default())
    }

    fn read(target: &str, rules: PathRules) -> Result<String, BadRequest> {
        let mut buffer = PathBuffer::new();
        normalise(target, rules, &mut buffer).map(|target| target.path.to_string())
    }

    fn by(normalization: Normalization) -> PathRules {
        PathRules {
            normalization,
            ..PathRules::default()
        }
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
        let target = normalise("/x/./y?/../admin&a=%61", PathRules::default(), &mut buffer).unwrap();
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

    #[test]
    fn each_normalization_takes_its_steps_in_envoys_order() {
        use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        // What NONE, BASE, MERGE_SLASHES and DECODE_AND_MERGE_SLASHES make of it; `-` is 400.
        for (target, forms) in [
            ("/admin#x", ["/admin", "/admin", "/admin", "/admin"]),
            ("/./admin", ["/./admin", "/admin", "/admin", "/admin"]),
            ("/x/../admin", ["/x/../admin", "/admin", "/admin", "/admin"]),
            ("/%61dmin", ["/%61dmin", "/admin", "/admin", "/admin"]),
            ("/x\\..\\admin", ["/x\\..\\admin", "/admin", "/admin", "/admin"]),
            ("/x/..;/admin", ["/x/..;/admin", "/admin", "/admin", "/admin"]),
            ("//admin", ["//admin", "//admin", "/admin", "/admin"]),
            ("/x//../admin", ["/x//../admin", "/x/admin", "/x/admin", "/x/admin"]),
            ("//x/../admin", ["//x/../admin", "//admin", "/admin", "/admin"]),
            ("/a///b//", ["/a///b//", "/a///b//", "/a/b/", "/a/b/"]),
            ("/%2fadmin", ["/%2fadmin", "/%2fadmin", "/%2fadmin", "/admin"]),
            ("/%5Cadmin", ["/%5Cadmin", "/%5Cadmin", "/%5Cadmin", "/admin"]),
            (
                "/x%2f..%2fadmin",
                ["/x%2f..%2fadmin", "/x%2f..%2fadmin", "/x%2f..%2fadmin", "/admin"],
            ),
            (
                "/admin%2f%2e%2e",
                ["/admin%2f%2e%2e", "/admin%2f..", "/admin%2f..", "/"],
            ),
            (
                "/%252fadmin",
                ["/%252fadmin", "/%252fadmin", "/%252fadmin", "/%252fadmin"],
            ),
            ("/%2561dmin", ["/%2561dmin", "/%2561dmin", "/%2561dmin", "/%2561dmin"]),
            ("/admin;x", ["/admin;x", "/admin;x", "/admin;x", "/admin;x"]),
            ("/a%3fb%23", ["/a%3fb%23", "/a%3fb%23", "/a%3fb%23", "/a%3fb%23"]),
            ("/a{b}", ["/a{b}", "/a%7Bb%7D", "/a%7Bb%7D", "/a%7Bb%7D"]),
            ("/a%00", ["/a%00", "-", "-", "-"]),
            ("/a b", ["-", "-", "-", "-"]),
        ] {
            for (mode, form) in [None, Base, MergeSlashes, DecodeAndMergeSlashes].into_iter().zip(forms) {
                let read = read(target, by(mode));
                assert_eq!(read.as_deref().unwrap_or("-"), form, "{target} {mode:?}");
            }
        }
    }

    #[test]
    fn path_parameters_are_kept_stripped_or_refused() {
        let rules = |parameters| PathRules {
            parameters,
            ..PathRules::default()
        };
        for (target, stripped) in [
            ("/admin;x", "/admin"),
            ("/admin;x/keys", "/admin/keys"),
            ("/a;b=1;c/d;e", "/a/d"),
            ("/x/..;y/admin", "/admin"),
            ("/;/a", "//a"),
            ("/a%3bb", "/a%3bb"),
            ("/a?b;c", "/a"),
        ] {
            assert_eq!(
                read(target, rules(PathParameters::Strip)).as_deref(),
                Ok(stripped),
                "{target}"
            );
            let refused = target.split('?').next().unwrap().contains(';');
            assert_eq!(
                read(target, rules(PathParameters::Refuse)).is_err(),
                refused,
                "{target}"
            );
        }
    }

    #[test]
    fn without_normalization_only_parameters_are_stripped() {
        let rules = PathRules {
            parameters: PathParameters::Strip,
            ..by(Normalization::None)
        };
        for (target, stripped) in [
            ("/a|b", "/a|b"),
            ("/x/..;y/%61//;z", "/x/../%61//"),
            ("/a\\b;c%zz/%00", "/a\\b/%00"),
        ] {
            assert_eq!(read(target, rules).as_deref(), Ok(stripped), "{target}");
        }
        assert_eq!(read("/a;\u{7f}", rules), Err(BadRequest::Path));
    }

    #[test]
    fn escaped_slashes_can_be_refused_in_every_mode() {
        use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
        for normalization in [None, Base, MergeSlashes, DecodeAndMergeSlashes] {
            let rules = PathRules {
                refuse_escaped_slashes: true,
                ..by(normalization)
            };
            for target in ["/a%2fb", "/a%2Fb", "/a%5cb", "/%5C"] {
                assert_eq!(read(target, rules), Err(BadRequest::Path), "{target}");
            }
            for target in ["/a%252fb", "/a2f", "/a?%2f"] {
                assert!(read(target, rules).is_ok(), "{target}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn normalising_twice_changes_nothing(target in "/[a-c./\\\\;%2456eEfFcC{}]{0,40}", mode in 0..4_usize) {
            use Normalization::{Base, DecodeAndMergeSlashes, MergeSlashes, None};
            let mode = [None, Base, MergeSlashes, DecodeAndMergeSlashes][mode];
            if let Ok(once) = read(&target, by(mode)) {
                proptest::prop_assert_eq!(read(&once, by(mode)), Ok(once.clone()), "{} {:?}", target, mode);
                proptest::prop_assert!(mode < MergeSlashes || !once.contains("//"), "{}", once);
                let escaped = once.to_ascii_lowercase().contains("%2f");
                proptest::prop_assert!(mode < DecodeAndMergeSlashes || !escaped, "{}", once);
            }
        }
    }
}
