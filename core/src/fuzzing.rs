//! What the fuzz targets assert of parts that are not public: one function per target, panicking when it does not hold.
//!
//! Targets that need an oracle from elsewhere (`serde_json`, the reference evaluator) live in `fuzz/`.

use crate::authority::{Authority, AuthorityBuffer};
#[cfg(feature = "alloc")]
use crate::llm::{
    body::{BodyError, BodyScan},
    splice::{Field, Piece, Splice},
    usage::{Framing, UsageMeter, UsageSearch},
};
use crate::path::{Normalization, PathBuffer, PathRules, has_escaped_slash, normalise};
#[cfg(feature = "alloc")]
use crate::tables::FieldWhen;

/// Under every normalization: a normal form is its own normal form, and holds nothing that its steps take away.
pub fn path(target: &str) {
    for normalization in [
        Normalization::None,
        Normalization::Base,
        Normalization::MergeSlashes,
        Normalization::DecodeAndMergeSlashes,
    ] {
        path_by(target, normalization);
    }
}

fn path_by(target: &str, normalization: Normalization) {
    let rules = PathRules {
        normalization,
        ..PathRules::default()
    };
    let (mut once, mut twice) = (PathBuffer::new(), PathBuffer::new());
    let Ok(normal) = normalise(target, rules, &mut once) else {
        return;
    };
    let normal = normal.path;
    let about = (normal, target, normalization);
    assert!(normal == "*" || normal.starts_with('/'), "{about:?}");
    let again = normalise(normal, rules, &mut twice);
    assert_eq!(again.map(|again| again.path), Ok(normal), "{about:?}");
    assert!(normal.bytes().all(|byte| byte.is_ascii_graphic()), "{about:?}");
    if normalization >= Normalization::Base {
        let mut names = normal.split('/').map(|segment| segment.split(';').next());
        assert!(!names.any(|name| matches!(name, Some("." | ".."))), "{about:?}");
        assert!(!normal.contains('\\'), "{about:?}");
    }
    if normalization >= Normalization::MergeSlashes {
        assert!(!normal.contains("//"), "{about:?}");
    }
    if normalization == Normalization::DecodeAndMergeSlashes {
        assert!(!has_escaped_slash(normal), "{about:?}");
    }
}

/// A well-formed authority reads the same after folding, and its host is a prefix of it.
pub fn authority(raw: &str) {
    let (mut once, mut twice) = (AuthorityBuffer::new(), AuthorityBuffer::new());
    let Ok(parsed) = Authority::parse(raw.as_bytes(), &mut once) else {
        return;
    };
    let again = Authority::parse(parsed.folded, &mut twice);
    assert_eq!(
        again.map(|again| (again.folded, again.host)),
        Ok((parsed.folded, parsed.host)),
        "of {raw:?}"
    );
    assert!(parsed.folded.eq_ignore_ascii_case(raw.as_bytes()));
    assert!(parsed.folded.starts_with(parsed.host) && !parsed.host.is_empty());
    assert!(
        !parsed.folded.iter().any(|byte| b"@/?#% ,".contains(byte)),
        "{parsed:?}"
    );
}

/// Any text loads or is refused, and no finding shows the environment, drives a terminal or points outside the text.
#[cfg(feature = "yaml")]
pub fn resource_load(data: &[u8]) {
    use alloc::string::{String, ToString};

    use crate::config::diagnostic::Source;
    use crate::config::{LoadOptions, load};

    const VARIABLE: &str = "from-the-environment";
    let text = String::from_utf8_lossy(data).to_string();
    if text.contains(VARIABLE) {
        return;
    }
    let length = text.len();
    let sources = [Source::new("fuzz.yaml".to_string(), text)];
    let options = LoadOptions {
        env: &|_| Some(VARIABLE.to_string()),
        ignore_kinds: &[],
    };
    let loaded = load(&sources, &options);
    for finding in loaded.diagnostics.as_slice() {
        let rendered = finding.render(&sources, false);
        assert!(!rendered.contains(VARIABLE), "{rendered}");
        assert!(!rendered.contains('\u{1b}'), "{rendered}");
        assert!(
            usize::try_from(finding.at.start).is_ok_and(|start| start <= length),
            "{finding:?}"
        );
        let placed = finding.placed(&sources);
        assert!(
            (placed.line, placed.column) <= (placed.end_line, placed.end_column),
            "{finding:?}"
        );
    }
}

/// Cuts `text` into chunks whose lengths `lengths` gives, one byte each, again and again.
#[cfg(feature = "alloc")]
fn chunks<'t>(mut text: &'t [u8], lengths: &[u8]) -> alloc::vec::Vec<&'t [u8]> {
    let mut chunks = alloc::vec::Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !text.is_empty() {
        let length = lengths.next().map_or(1, |&length| usize::from(length).max(1));
        let (chunk, rest) = text.split_at(length.min(text.len()));
        chunks.push(chunk);
        text = rest;
    }
    chunks
}

/// Splits an input into a text and the chunk lengths: the last four bytes, when there are that many.
#[cfg(feature = "alloc")]
fn text_and_lengths(input: &[u8]) -> (&[u8], &[u8]) {
    input
        .split_last_chunk::<4>()
        .map_or((input, &[]), |(text, lengths)| (text, lengths))
}

/// A body reads the same however it is cut, and every span lies in it.
///
/// The comparison with another parser is the target's own.
#[cfg(feature = "alloc")]
pub fn body_scan(input: &[u8]) {
    let (body, lengths) = text_and_lengths(input);
    let (mut whole, mut split) = (BodyScan::new(u64::MAX), BodyScan::new(u64::MAX));
    let one = whole.feed(body).and_then(|()| whole.finish());
    let fed = chunks(body, lengths)
        .into_iter()
        .try_for_each(|chunk| split.feed(chunk));
    let other = fed.and_then(|()| split.finish());
    match (one, other) {
        (Ok(one), Ok(other)) => {
            assert_eq!(alloc::format!("{one:?}"), alloc::format!("{other:?}"));
            assert!(one.members().eq(other.members()));
            for (key, member) in one.members() {
                assert_eq!(
                    core::str::from_utf8(key).ok().and_then(|key| one.member(key)),
                    Some(member.clone())
                );
                assert!(member.value.start < member.value.end && member.value.end < one.len());
            }
        }
        (one, other) => assert_eq!(one.err(), other.err()),
    }
}

/// An event stream is metered the same however it is cut, and when the meter is begun only where it is needed.
#[cfg(feature = "alloc")]
pub fn sse_usage(input: &[u8]) {
    let (answer, lengths) = text_and_lengths(input);
    for framing in [Framing::Sse, Framing::Json] {
        let [mut whole, mut split, mut late] = [(); 3].map(|()| UsageMeter::new(framing));
        let chunks = chunks(answer, lengths);
        whole.feed(answer);
        chunks.iter().for_each(|chunk| split.feed(chunk));
        let search = UsageSearch::new();
        let needed = chunks.iter().skip_while(|chunk| search.is_needless(framing, chunk));
        needed.for_each(|chunk| late.feed(chunk));
        let usage = whole.finish();
        assert_eq!(usage, split.finish(), "{framing:?}");
        assert_eq!(usage, late.finish(), "{framing:?}, begun late");
    }
}

/// An edited body reads as intended, and without the edits it is the client's, byte for byte.
#[cfg(feature = "alloc")]
pub fn splice(body: &[u8]) {
    let fields = [
        Field {
            name: "model",
            member: r#""model":"set""#,
            value: r#""set""#,
            when: FieldWhen::Always,
        },
        Field {
            name: "stream",
            member: r#""stream":true"#,
            value: "true",
            when: FieldWhen::Absent,
        },
        Field {
            name: "user",
            member: r#""user":{"a":[]}"#,
            value: r#"{"a":[]}"#,
            when: FieldWhen::Absent,
        },
    ];
    let mut scan = BodyScan::new(u64::MAX);
    let Ok(facts) = scan.feed(body).and_then(|()| scan.finish()) else {
        return;
    };
    let Ok(splice) = Splice::plan(facts, fields) else {
        return;
    };
    let client = |from: u64, to: u64| {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        body.get(from..usize::try_from(to).unwrap_or(usize::MAX))
            .unwrap_or_default()
    };
    let (mut edited, mut undone, mut at) = (alloc::vec::Vec::new(), alloc::vec::Vec::new(), 0);
    for piece in splice.pieces() {
        match piece {
            Piece::Text(text) => edited.extend_from_slice(text.as_bytes()),
            Piece::Client(range) => {
                edited.extend_from_slice(client(range.start, range.end));
                undone.extend_from_slice(client(at, range.end));
                at = range.end;
            }
        }
    }
    assert_eq!(splice.len(), edited.len() as u64);
    assert_eq!(undone, body);
    let mut again = BodyScan::new(u64::MAX);
    let read = again.feed(&edited).and_then(|()| again.finish());
    // Inserting may exceed the bounds that the client's own keys kept to.
    let Ok(read) = read else {
        assert!(
            matches!(read, Err(BodyError::TooManyKeys { .. } | BodyError::KeysTooLong { .. })),
            "{read:?}"
        );
        return;
    };
    assert_eq!(read.model(), Some("set"));
    assert_eq!(read.stream(), facts.stream().or(Some(true)));
    assert!(fields.iter().all(|field| read.member(field.name).is_some()));
    assert_eq!(
        (read.max_tokens(), read.include_usage()),
        (facts.max_tokens(), facts.include_usage())
    );
}
