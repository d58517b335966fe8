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
    /// Whether there was a byte that is not ASCII before it; some `true` are due to bytes soon after it.
    pub(super) non_ascii: bool,
}

/// Finds the first byte of a string's inside that is no plain content: a quote, a backslash or a control character.
#[inline]
pub(super) fn find(text: &[u8]) -> Stop {
    look::<false>(text)
}

/// The same, but moves over ordinary two-byte escapes. The text must not begin inside an escape.
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
        let found = scan::<LANE, ESCAPES>(lane);
        if found.at < LANE {
            return found;
        }
    }
    look_on::<ESCAPES>(text)
}

fn look_on<const ESCAPES: bool>(text: &[u8]) -> Stop {
    let mut rest = text;
    let mut non_ascii = false;
    while let Some((block, tail)) = rest.split_first_chunk::<BLOCK>() {
        let found = scan::<BLOCK, ESCAPES>(block);
        non_ascii |= found.non_ascii;
        if found.at < BLOCK {
            return Stop {
                at: text.len() - rest.len() + found.at,
                non_ascii,
            };
        }
        rest = tail;
    }
    while let Some((lane, tail)) = rest.split_first_chunk::<LANE>() {
        let found = scan::<LANE, ESCAPES>(lane);
        non_ascii |= found.non_ascii;
        if found.at < LANE {
            return Stop {
                at: text.len() - rest.len() + found.at,
                non_ascii,
            };
        }
        rest = tail;
    }
    for (index, &byte) in rest.iter().enumerate() {
        if matches!(byte, b'"' | b'\\' | 0..0x20) {
            return Stop {
                at: text.len() - rest.len() + index,
                non_ascii,
            };
        }
        non_ascii |= byte >= 0x80;
    }
    Stop {
        at: text.len(),
        non_ascii,
    }
}

/// Looks at a lane or a block.
#[inline]
fn scan<const N: usize, const ESCAPES: bool>(bytes: &[u8; N]) -> Stop {
    let (mut specials, non_ascii) = specials(bytes);
    while specials != 0 {
        let at = specials.trailing_zeros() as usize;
        if !ESCAPES || !is_ordinary_escape(bytes.get(at..).unwrap_or_default()) {
            return Stop { at, non_ascii };
        }
        specials &= !(3 << at);
    }
    Stop { at: N, non_ascii }
}

#[inline]
pub(super) fn is_ordinary_escape(text: &[u8]) -> bool {
    matches!(
        text,
        [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..]
    )
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

    #[test]
    fn stops_at_what_must_be_looked_at() {
        // The text; where plain content ends; where content with ordinary escapes ends.
        let cases: &[(&[u8], usize, usize)] = &[
            (b"", 0, 0),
            (b"plain\"", 5, 5),
            (b"\\\"still inside\"", 0, 14),
            (b"\\\\\"", 0, 2),
            (b"a\\\\\\\"a\"", 1, 6),
            (b"line\\n\\t\\r\\b\\f\\/line\"", 4, 20),
            (b"a\\u0041", 1, 1),
            (b"a\\x", 1, 1),
            (b"a\n", 1, 1),
            (b"\\\n", 0, 0),
            (b"\x1f", 0, 0),
            (b"\x7f\xff", 2, 2),
        ];
        for pad in 0..130 {
            for (text, plain, escaped) in cases {
                let mut padded = Vec::from(*text);
                padded.resize(text.len() + pad, b'x');
                let (mut skipped, mut found) = (0, find(&padded).at);
                // An escape cut by a block's end stops early.
                loop {
                    skipped += skip(&padded[skipped..]).at;
                    if !is_ordinary_escape(&padded[skipped..]) {
                        break;
                    }
                    skipped += 2;
                }
                let whole = |end: &usize| if *end == text.len() { padded.len() } else { *end };
                assert_eq!(
                    (found, skipped),
                    (whole(plain), whole(escaped)),
                    "{} + {pad}",
                    text.escape_ascii()
                );
                let mut before = Vec::from(&b"y".repeat(pad)[..]);
                before.extend_from_slice(text);
                found = find(&before).at;
                assert_eq!(found, pad + plain, "{pad} + {}", text.escape_ascii());
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
    fn a_byte_that_is_not_ascii_is_never_missed() {
        for len in 1..200 {
            for at in 0..len {
                let mut text = b"x".repeat(len);
                text[at] = 0x80;
                assert!(find(&text).non_ascii && skip(&text).non_ascii, "at {at} of {len}");
            }
            assert!(!find(&b"x".repeat(len)).non_ascii);
        }
    }
}
