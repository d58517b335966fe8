//! Whether bytes are UTF-8, thirty-two at a time.
//!
//! core's check goes character by character, which for text in other scripts is
//! most of the work of reading a body. Here the rules are asked of all bytes at
//! once: each byte needs to know only the three before it. Where and what an
//! error is, core says.

use core::str::Utf8Error;

use fearless_simd::prelude::*;
use fearless_simd::{dispatch, i8x32, mask8x32, u8x32};

use crate::lanes;

/// Bytes that are looked at at once.
const LANE: usize = 32;

/// Bytes before a byte that say what it must be.
const BEFORE: usize = 3;

/// A lane and the bytes before it.
type Window = [u8; BEFORE + LANE];

/// The same as [`core::str::from_utf8`], sooner where there is no error.
#[inline]
pub(super) fn check(bytes: &[u8]) -> Result<(), Utf8Error> {
    dispatch!(lanes::best(), simd => check_by(simd, bytes))
}

/// The same, with these instructions.
#[inline(always)]
pub(super) fn check_by<S: Simd>(simd: S, bytes: &[u8]) -> Result<(), Utf8Error> {
    if lanes::has_lanes() && is_valid(simd, bytes) {
        return Ok(());
    }
    core::str::from_utf8(bytes).map(drop)
}

/// Whether bytes are UTF-8; `false` also when there are too few to tell.
// Inlined into the loop over blocks, it would have the values that loop compares with out of their registers.
#[inline(never)]
fn is_valid<S: Simd>(simd: S, bytes: &[u8]) -> bool {
    simd.vectorize(
        #[inline(always)]
        || are_valid(simd, bytes),
    )
}

#[inline(always)]
fn are_valid<S: Simd>(simd: S, bytes: &[u8]) -> bool {
    let (Some(first), Some(last)) = (bytes.first_chunk::<LANE>(), bytes.last_chunk::<{ BEFORE + LANE }>()) else {
        return false;
    };
    let mut wrong = errors(simd, &after_nothing(first));
    let mut at: usize = LANE.wrapping_sub(BEFORE);
    while let Some(window) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        wrong |= errors(simd, window);
        at = at.wrapping_add(LANE);
    }
    // Bytes that are looked at twice are the same twice.
    wrong |= errors(simd, last);
    !wrong.bitcast::<i8x32<S>>().simd_lt(0).any_true() && ends_whole(bytes)
}

fn after_nothing(first: &[u8; LANE]) -> Window {
    let mut window = [0; BEFORE + LANE];
    if let Some(lane) = window.last_chunk_mut() {
        *lane = *first;
    }
    window
}

/// Whether no character is begun at the end.
fn ends_whole(bytes: &[u8]) -> bool {
    match *bytes {
        [.., three, two, one] => three < 0xF0 && two < 0xE0 && one < 0xC0,
        _ => false,
    }
}

/// The highest bit of each byte in the lane that cannot follow those before it.
#[inline(always)]
fn errors<S: Simd>(simd: S, window: &Window) -> u8x32<S> {
    let [three, two, one, lane] = [0, 1, 2, 3].map(
        #[inline(always)]
        |from| lane(simd, window, from),
    );
    // A byte goes on with a character if and only if one before it has begun a long enough one.
    let goes_on = vector(below(lane, 0xC0));
    let must = one.saturating_sub(0xC0 - 0x80) | two.saturating_sub(0xE0 - 0x80) | three.saturating_sub(0xF0 - 0x80);
    // Characters have one spelling, which excludes some second bytes; so are surrogates, and what is beyond Unicode.
    let third = (vector(!below(lane, 0xA0)) & (0xE0 ^ 0xED)) ^ 0xE0;
    let fourth = (vector(!below(lane, 0x90)) & (0xF0 ^ 0xF4)) ^ 0xF0;
    let never = (lane & 0xFE).simd_eq(0xC0) | lane.simd_ge(0xF5);
    (goes_on ^ must) | vector(one.simd_eq(third) | one.simd_eq(fourth) | never)
}

#[inline(always)]
fn lane<S: Simd>(simd: S, window: &Window, from: usize) -> u8x32<S> {
    let lane = window.get(from..).and_then(<[u8]>::first_chunk);
    u8x32::load_array(simd, lane.copied().unwrap_or_default())
}

#[inline(always)]
fn vector<S: Simd>(mask: mask8x32<S>) -> u8x32<S> {
    mask.to_vector().bitcast()
}

/// Bytes from 0x80 to `end`.
#[inline(always)]
fn below<S: Simd>(lane: u8x32<S>, end: u8) -> mask8x32<S> {
    lane.bitcast::<i8x32<S>>().simd_lt(end.cast_signed())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn same_as_core(bytes: &[u8]) {
        let known = core::str::from_utf8(bytes).map(drop);
        for level in lanes::all() {
            let (checked, valid) = dispatch!(level, simd => (check_by(simd, bytes), is_valid(simd, bytes)));
            assert_eq!(checked, known, "{level:?}: {}", bytes.escape_ascii());
            let is_known = bytes.len() >= BEFORE + LANE;
            assert_eq!(valid, is_known && known.is_ok(), "{level:?}: {}", bytes.escape_ascii());
        }
    }

    #[test]
    fn every_begin_of_a_character_is_judged_as_core_does() {
        let rests: [&[u8]; 4] = [b"", b"\x80", b"\xBF\x80", b"\xBF\xBF\x80"];
        for first in 0x80..=u8::MAX {
            for second in 0..=u8::MAX {
                for rest in rests {
                    let character = [&[first, second], rest].concat();
                    for pad in [3, 30] {
                        same_as_core(&[&b"x".repeat(pad), &*character, b"a tail that is longer than a lane"].concat());
                        same_as_core(&[&b"x".repeat(pad + LANE), &*character].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn every_character_is_valid_at_every_place() {
        for char in [
            "\u{80}",
            "\u{7FF}",
            "\u{800}",
            "\u{D7FF}",
            "\u{E000}",
            "\u{FFFF}",
            "\u{10000}",
            "\u{10FFFF}",
        ] {
            for pad in 0..70 {
                for after in 0..20 {
                    let text = ["x".repeat(pad), char.repeat(3), "y".repeat(after)].concat();
                    same_as_core(text.as_bytes());
                    for end in 0..text.len() {
                        same_as_core(&text.as_bytes()[..end]);
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn texts_with_wrong_bytes_are_judged_as_core_does(
            text in proptest::collection::vec(prop_oneof![3 => any::<char>(), 1 => Just('我'), 1 => Just('x')], 0..60),
            changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut bytes = Vec::from(text.iter().collect::<std::string::String>());
            for (at, byte) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            same_as_core(&bytes);
        }
    }
}
