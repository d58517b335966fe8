//! Whether the bytes of a block can follow those before them in UTF-8.
//!
//! core's check goes character by character, which for text in other scripts is
//! most of the work of reading a body. Here the rules are asked of all bytes at
//! once: each byte needs to know only the three before it. Where and what an
//! error is, core says.

use fearless_simd::prelude::*;
use fearless_simd::{i8x64, mask8x64, u8x64};

use super::block::{self, BLOCK};

/// Bytes before a byte that say what it must be.
const BEFORE: usize = 3;

/// A block and the bytes before it.
type Window = [u8; BEFORE + BLOCK];

/// The bytes of the block at `at` that cannot follow those before them, of a text that begins with a whole character.
#[inline(always)]
pub(super) fn errors<S: Simd>(simd: S, text: &[u8], at: usize) -> u64 {
    let before = at.checked_sub(BEFORE).and_then(|from| text.get(from..));
    let begin;
    let window = match before.and_then(<[u8]>::first_chunk) {
        Some(window) => window,
        None => {
            begin = after_nothing(text);
            &begin
        }
    };
    errors_in(simd, window)
}

/// The bytes at the end of a valid text that begin a character and do not finish it.
pub(super) fn unfinished(text: &[u8]) -> usize {
    match *text {
        [.., 0xF0..=0xFF, _, _] => 3,
        [.., 0xE0..=0xFF, _] => 2,
        [.., 0xC0..=0xFF] => 1,
        _ => 0,
    }
}

// Inlined, it would have blocks put together byte by byte everywhere.
#[cold]
#[inline(never)]
fn after_nothing(text: &[u8]) -> Window {
    let mut window = [0; BEFORE + BLOCK];
    for (slot, byte) in window.iter_mut().skip(BEFORE).zip(text) {
        *slot = *byte;
    }
    window
}

#[inline(always)]
fn errors_in<S: Simd>(simd: S, window: &Window) -> u64 {
    let [three, two, one, block] = [0, 1, 2, BEFORE].map(
        #[inline(always)]
        |from| match window.get(from..).and_then(<[u8]>::first_chunk) {
            Some(bytes) => block::load(simd, bytes),
            None => u8x64::splat(simd, 0),
        },
    );
    // A byte goes on with a character if and only if one before it has begun a long enough one.
    let goes_on = below(block, 0xC0);
    let must = one.saturating_sub(0xC0 - 0x80) | two.saturating_sub(0xE0 - 0x80) | three.saturating_sub(0xF0 - 0x80);
    // Characters have one spelling, which excludes some second bytes; so are surrogates, and what is beyond Unicode.
    let third = (vector(!below(block, 0xA0)) & (0xE0 ^ 0xED)) ^ 0xE0;
    let fourth = (vector(!below(block, 0x90)) & (0xF0 ^ 0xF4)) ^ 0xF0;
    let never = (block & 0xFE).simd_eq(0xC0) | block.simd_ge(0xF5);
    let wrong = (goes_on ^ below(must, 0)) | one.simd_eq(third) | one.simd_eq(fourth) | never;
    wrong.to_bitmask()
}

#[inline(always)]
fn vector<S: Simd>(mask: mask8x64<S>) -> u8x64<S> {
    mask.to_vector().bitcast()
}

/// Bytes from 0x80 to `end`, which is 0 for all of them.
#[inline(always)]
fn below<S: Simd>(block: u8x64<S>, end: u8) -> mask8x64<S> {
    block.bitcast::<i8x64<S>>().simd_lt(end.cast_signed())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;
    use crate::lanes;

    /// The first byte that cannot follow those before it.
    fn first_error(level: Level, text: &[u8]) -> Option<usize> {
        (0..text.len()).step_by(BLOCK).find_map(|at| {
            let errors = dispatch!(level, simd => errors(simd, text, at));
            (errors != 0).then(|| at + errors.trailing_zeros() as usize)
        })
    }

    /// The same, of a text and ASCII after it, which ends what the text began.
    #[track_caller]
    fn same_as_core(text: &[u8]) {
        let mut text = Vec::from(text);
        text.resize((text.len() + 1).next_multiple_of(BLOCK), b'x');
        let known = core::str::from_utf8(&text).err();
        for level in lanes::all() {
            let shown = text.escape_ascii();
            match (first_error(level, &text), known) {
                (None, None) => {}
                (Some(at), Some(error)) => {
                    let begin = error.valid_up_to();
                    let end = begin + error.error_len().unwrap();
                    assert!((begin..=end).contains(&at), "{level:?}: {at}, {error} in {shown}");
                }
                (found, known) => panic!("{level:?}: {found:?}, {known:?} in {shown}"),
            }
        }
    }

    #[test]
    fn every_begin_of_a_character_is_judged_as_core_does() {
        let rests: [&[u8]; 4] = [b"", b"\x80", b"\xBF\x80", b"\xBF\xBF\x80"];
        for first in 0x80..=u8::MAX {
            for second in 0..=u8::MAX {
                for rest in rests {
                    let character = [&[first, second], rest].concat();
                    for pad in [0, 3, BLOCK - 2, BLOCK - 1] {
                        same_as_core(&[&b"x".repeat(pad), &*character].concat());
                    }
                }
            }
        }
    }

    #[test]
    fn every_character_is_valid_at_every_place_and_unfinished_before_its_end() {
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
            for pad in 0..=BLOCK {
                let text = ["x".repeat(pad), char.repeat(3)].concat();
                for end in 0..=text.len() {
                    let text = &text.as_bytes()[..end];
                    let whole = core::str::from_utf8(text).map_or_else(|error| error.valid_up_to(), str::len);
                    assert_eq!(unfinished(text), end - whole, "{}", text.escape_ascii());
                    same_as_core(text);
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
