//! Sixty-four bytes of a JSON string at a time: where is the next byte that matters?
//!
//! Chat bodies are long strings with an escape every line or so. Looking at
//! them byte by byte, or stopping at every escape, costs several times what
//! memory does; so a block is turned into bit sets first (one bit a byte, the
//! first byte lowest) and ordinary escapes are told apart by arithmetic.

use wide::u8x16;

/// Bytes of a block: one bit each in a word.
const BLOCK: usize = 64;

/// Bytes that one instruction looks at.
const LANE: usize = 16;

/// Where a look at a string's inside ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stop {
    /// Index of the byte to look at next, or the number of bytes.
    pub(super) at: usize,
    /// From where on bytes are not known to be UTF-8, the ones at `at` and after it aside.
    pub(super) unchecked: Option<usize>,
}

/// The length of a string's inside, when it ends within a lane and is ASCII without an error.
#[inline]
pub(super) fn short(text: &[u8]) -> Option<usize> {
    let lane = text.first_chunk::<LANE>()?;
    let (found, non_ascii) = scan::<LANE, true>(lane);
    found.filter(|&at| !non_ascii && lane.get(at) == Some(&b'"'))
}

/// Finds the first byte of a string's inside that is no plain content: a quote, a backslash or a control character.
///
/// Like [`skip`] it may stop early, where the bytes before are not UTF-8: `unchecked` then has them.
#[inline]
pub(super) fn find(text: &[u8]) -> Stop {
    look::<false>(text)
}

/// The same, but moves over valid escapes. The text must not begin inside an escape or a character.
///
/// It may stop early, at the backslash of such an escape, when a block ends there.
#[inline]
pub(super) fn skip(text: &[u8]) -> Stop {
    look::<true>(text)
}

#[inline]
fn look<const ESCAPES: bool>(text: &[u8]) -> Stop {
    // Most strings are short: one lane sees their end.
    if let Some(lane) = text.first_chunk::<LANE>() {
        let (found, non_ascii) = scan::<LANE, ESCAPES>(lane);
        if let Some(at) = found {
            return Stop {
                at,
                unchecked: non_ascii.then_some(0),
            };
        }
    }
    look_on::<ESCAPES>(text)
}

fn look_on<const ESCAPES: bool>(text: &[u8]) -> Stop {
    let blocks = look_by::<BLOCK, ESCAPES>(text, Stop { at: 0, unchecked: None });
    let lanes = blocks.or_else(|so_far| look_by::<LANE, ESCAPES>(text, so_far));
    lanes.unwrap_or_else(|so_far| look_by_byte(text, so_far))
}

/// Goes on by `N` bytes at a time. `Err` is where less than that were left.
#[inline]
fn look_by<const N: usize, const ESCAPES: bool>(text: &[u8], so_far: Stop) -> Result<Stop, Stop> {
    let Stop { mut at, mut unchecked } = so_far;
    while let Some(block) = text.get(at..).and_then(<[u8]>::first_chunk::<N>) {
        let (found, non_ascii) = scan::<N, ESCAPES>(block);
        match (unchecked, non_ascii) {
            (None, true) => unchecked = Some(at),
            // ASCII follows, so the characters before it are whole: what is not valid now never will be.
            (Some(from), false) => match core::str::from_utf8(text.get(from..at).unwrap_or_default()) {
                Ok(_) => unchecked = None,
                Err(_) => return Ok(Stop { at, unchecked }),
            },
            _ => {}
        }
        if let Some(index) = found {
            return Ok(Stop {
                at: at.wrapping_add(index),
                unchecked,
            });
        }
        at = at.wrapping_add(N);
    }
    Err(Stop { at, unchecked })
}

fn look_by_byte(text: &[u8], so_far: Stop) -> Stop {
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

/// The index in a lane or a block of the byte to look at next, and whether any byte is not ASCII.
#[inline(always)]
fn scan<const N: usize, const ESCAPES: bool>(bytes: &[u8; N]) -> (Option<usize>, bool) {
    let (mut specials, non_ascii) = specials(bytes);
    while specials != 0 {
        let at = specials.trailing_zeros() as usize;
        if !ESCAPES || escape_len(bytes.get(at..).unwrap_or_default()).is_none() {
            return (Some(at), non_ascii);
        }
        // A backslash and a byte that may be special itself; the digits after a `u` never are.
        specials &= !(3 << at);
    }
    (None, non_ascii)
}

/// Bytes of the valid and whole escape that the text begins with.
#[inline]
pub(super) fn escape_len(text: &[u8]) -> Option<usize> {
    // Two questions, not one match: that would become a jump which the processor foretells badly.
    match *text {
        [b'\\', escaped, ..] if is_ordinary(escaped) => Some(2),
        [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

#[inline]
fn is_ordinary(escaped: u8) -> bool {
    const ORDINARY: u128 =
        1 << b'"' | 1 << b'\\' | 1 << b'/' | 1 << b'b' | 1 << b'f' | 1 << b'n' | 1 << b'r' | 1 << b't';
    escaped.is_ascii() && ORDINARY >> escaped & 1 == 1
}

/// The set of bytes that are a quote, a backslash or a control character, and whether any byte is not ASCII.
#[inline]
fn specials<const N: usize>(bytes: &[u8; N]) -> (u64, bool) {
    let mut specials = 0;
    let mut all = u8x16::splat(0);
    let (lanes, _) = bytes.as_chunks::<LANE>();
    for (index, lane) in lanes.iter().enumerate() {
        let lane = u8x16::new(*lane);
        let quote = lane.simd_eq(u8x16::splat(b'"'));
        let backslash = lane.simd_eq(u8x16::splat(b'\\'));
        let control = lane.min(u8x16::splat(0x1F)).simd_eq(lane);
        specials |= u64::from((quote | backslash | control).to_bitmask()) << (index * LANE);
        all |= lane;
    }
    (specials, all.to_bitmask() != 0)
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Where content with escapes ends: an escape that a block's end cuts stops early.
    fn skip_all(text: &[u8]) -> usize {
        let mut at = 0;
        loop {
            at += skip(&text[at..]).at;
            match escape_len(&text[at..]) {
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
    fn every_byte_is_sorted_right_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut bytes = [b'x'; BLOCK];
                bytes[at] = byte;
                let special = u64::from(matches!(byte, b'"' | b'\\' | 0..0x20)) << at;
                assert_eq!(specials(&bytes), (special, byte >= 0x80), "{byte:#x} at {at}");
            }
        }
    }

    #[test]
    fn invalid_utf8_always_stays_unchecked() {
        for len in 1..300 {
            for at in 0..len {
                let mut text = b"x".repeat(len);
                text[at] = 0x80;
                for found in [find(&text), skip(&text)] {
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
