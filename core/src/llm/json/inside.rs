//! The inside of a JSON string: where is the next byte that matters?
//!
//! Chat bodies are long strings with an escape every line or so. Looking at
//! them byte by byte, or stopping at every escape, costs several times what
//! memory does; so this goes by blocks, and by bytes where less than one is left.

use fearless_simd::{Level, Simd, dispatch};

use super::block::{self, BLOCK};
use super::escape::{self, Cut};
use super::utf8;
use crate::lanes;

/// Where a look at a string's inside ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Index of the byte to look at next, or the number of bytes.
    pub(super) at: usize,
    /// From where on bytes are not known to be UTF-8, the ones at `at` and after it aside.
    pub(super) unchecked: Option<usize>,
}

/// The length of a string's inside, when it ends within a lane and is ASCII without an escape.
#[inline]
pub(super) fn short(text: &[u8]) -> Option<usize> {
    let lane = lanes::first(text)?;
    let at = lanes::before(lanes::specials_and_non_ascii(lane)) as usize;
    (lane.get(at) == Some(&b'"')).then_some(at)
}

/// Finds the first byte of a string's inside that is no plain content: a quote, a backslash or a control character.
#[inline]
pub(super) fn find(text: &[u8]) -> Stop {
    let mut stop = Stop { at: 0, unchecked: None };
    while let Some(lane) = text.get(stop.at..).and_then(lanes::first) {
        let specials = lanes::specials(lane);
        if lanes::non_ascii(lane) != 0 {
            stop.unchecked = stop.unchecked.or(Some(stop.at));
        }
        stop.at = stop.at.wrapping_add(lanes::before(specials) as usize);
        if specials != 0 {
            return stop;
        }
    }
    by_byte(text, stop)
}

/// The same, but moves over valid escapes. The text must not begin inside an escape or a character.
///
/// It may stop early: at the backslash of such an escape, or after bytes that are not UTF-8.
#[inline]
pub(super) fn skip(text: &[u8]) -> Stop {
    skip_by(lanes::best(), text)
}

#[inline]
fn skip_by(level: Level, text: &[u8]) -> Stop {
    if level.is_fallback() {
        return by_byte(text, Stop { at: 0, unchecked: None });
    }
    dispatch!(level, simd => skip_blocks(simd, text))
}

#[inline(always)]
fn skip_blocks<S: Simd>(simd: S, text: &[u8]) -> Stop {
    let mut at = 0;
    let mut cut = Cut::NONE;
    // Whether one of the last bytes is not ASCII: a character may go on in the next block.
    let mut goes_on = false;
    while let Some(bytes) = text.get(at..).and_then(<[u8]>::first_chunk) {
        let mut seen = look(simd, bytes, cut);
        if seen.non_ascii != 0 || goes_on {
            seen.invalid |= utf8::errors(simd, text, at);
            goes_on = seen.non_ascii >> LAST_OF_CHARACTER != 0;
        }
        let stops = seen.ends | seen.invalid;
        if stops != 0 {
            let first = stops.trailing_zeros();
            if seen.invalid >> first & 1 == 1 {
                break;
            }
            return Stop {
                at: at.wrapping_add(first as usize),
                unchecked: None,
            };
        }
        cut = seen.cut;
        at = at.wrapping_add(BLOCK);
    }
    // What the last block began, or is wrong in it, is looked at once more.
    let unfinished = utf8::unfinished(text.get(..at).unwrap_or_default());
    let begun = Stop {
        at: at.wrapping_sub(cut.len()),
        unchecked: (unfinished > 0).then(|| at.wrapping_sub(unfinished)),
    };
    by_byte(text, begun)
}

/// A block's first byte of those that the next block may go on from.
const LAST_OF_CHARACTER: usize = BLOCK - 3;

/// What matters of a block inside a string.
struct Block {
    /// The quotes that are not escaped.
    ends: u64,
    /// What no string can have there; right up to the first end.
    invalid: u64,
    non_ascii: u64,
    cut: Cut,
}

#[inline(always)]
fn look<S: Simd>(simd: S, bytes: &[u8; BLOCK], cut: Cut) -> Block {
    let block = block::load(simd, bytes);
    let mut seen = Block {
        ends: block::equal(block, b'"'),
        invalid: 0,
        non_ascii: 0,
        cut: Cut::NONE,
    };
    let backslashes = block::equal(block, b'\\');
    if backslashes != 0 || cut.is_some() {
        let escapes = escape::of_block(simd, bytes, seen.ends, backslashes, cut);
        seen.ends &= !escapes.escaped;
        seen.invalid = escapes.invalid;
        seen.cut = escapes.cut;
    }
    if block::has_unusual(block) {
        seen.invalid |= block::controls(block);
        seen.non_ascii = block::non_ascii(block);
    }
    seen
}

fn by_byte(text: &[u8], so_far: Stop) -> Stop {
    let Stop { mut at, mut unchecked } = so_far;
    for &byte in text.get(at..).unwrap_or_default() {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            break;
        }
        if byte >= 0x80 {
            unchecked = unchecked.or(Some(at));
        }
        at = at.wrapping_add(1);
    }
    Stop { at, unchecked }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Where content with escapes ends, whatever instructions are used: an escape that a block's end cuts stops early.
    fn skip_all(text: &[u8]) -> usize {
        let ends: Vec<usize> = lanes::all().map(|level| skip_all_by(level, text)).collect();
        let first = ends[0];
        assert!(
            ends.iter().all(|end| *end == first),
            "{ends:?} in {}",
            text.escape_ascii()
        );
        first
    }

    fn skip_all_by(level: Level, text: &[u8]) -> usize {
        let mut at = 0;
        loop {
            at += skip_by(level, &text[at..]).at;
            match escape::len(&text[at..]) {
                Some(len) => at += len,
                None => return at,
            }
        }
    }

    #[test]
    fn stops_at_what_must_be_looked_at() {
        // The text; where plain content ends; where content with escapes ends.
        let cases: &[(&[u8], usize, usize)] = &[
            (b"", 0, 0),
            (b"plain\"", 5, 5),
            (b"\\\"still inside\"", 0, 14),
            (b"\\\\\"", 0, 2),
            (b"a\\\\\\\"a\"", 1, 6),
            (b"line\\n\\t\\r\\b\\f\\/line\"", 4, 20),
            (b"a\\u0041\\uaBc9z\"", 1, 14),
            (b"a\\u00g1\"", 1, 1),
            (b"a\\u00\"", 1, 1),
            (b"a\\x", 1, 1),
            (b"a\n", 1, 1),
            (b"\\\n", 0, 0),
            (b"\x1f", 0, 0),
            (b"\x7f\"", 1, 1),
        ];
        for pad in 0..130 {
            for (text, plain, escaped) in cases {
                let mut after = Vec::from(*text);
                after.resize(text.len() + pad, b'x');
                let whole = |end: usize| if end == text.len() { after.len() } else { end };
                let shown = text.escape_ascii();
                assert_eq!(
                    (find(&after).at, skip_all(&after)),
                    (whole(*plain), whole(*escaped)),
                    "{shown} + {pad}"
                );
                let before = [&b"y".repeat(pad), *text].concat();
                assert_eq!(
                    (find(&before).at, skip_all(&before)),
                    (pad + plain, pad + escaped),
                    "{pad} + {shown}"
                );
            }
        }
    }

    #[test]
    fn invalid_utf8_always_stays_unchecked() {
        for len in 1..300 {
            for at in 0..len {
                let mut text = b"x".repeat(len);
                text[at] = 0x80;
                for found in lanes::all().map(|level| skip_by(level, &text)).chain([find(&text)]) {
                    let unchecked = found.unchecked.unwrap();
                    assert!(unchecked <= at && at < found.at, "{found:?} at {at} of {len}");
                }
            }
            assert_eq!(
                find(&b"x".repeat(len)),
                Stop {
                    at: len,
                    unchecked: None
                }
            );
        }
    }

    #[test]
    fn characters_over_block_borders_are_whole() {
        for pad in 0..130 {
            for char in ["é", "我", "😀"] {
                let text = [&"x".repeat(pad), char, &"x".repeat(200)].concat();
                assert_eq!(skip(text.as_bytes()).at, text.len(), "{char} after {pad}");
            }
        }
    }
}
