//! Many bytes of a text at once, by the processor's vector instructions.
//!
//! What every processor of a kind has looks at a lane of sixteen bytes, which is
//! enough for keys and short values. Long texts are worth a choice while running:
//! [`best`] is the most that this processor has, which is for the caller to
//! [`dispatch!`] by. Without the standard library nobody can ask the processor, and
//! without vector instructions (WebAssembly, as it is built here) going byte by
//! byte takes less time and code than lanes that are put together from bytes.

use fearless_simd::prelude::*;
use fearless_simd::{Level, dispatch, i8x16, u8x16};

/// Bytes of a lane.
pub(crate) const LANE: usize = 16;

/// The bytes of a lane that were asked for: one bit each, the first byte lowest.
pub(crate) type LaneSet = u64;

/// The best instructions that are known to be there.
#[inline]
pub(crate) fn best() -> Level {
    Level::try_detect().unwrap_or_else(Level::baseline)
}

/// All of them, the least first: what is asked of any must be the same.
#[cfg(test)]
pub(crate) fn all() -> impl Iterator<Item = Level> {
    let best = best();
    let more = [
        #[cfg(target_arch = "x86_64")]
        best.as_sse4_2().map(Simd::level),
        #[cfg(target_arch = "x86_64")]
        best.as_avx2().map(Simd::level),
    ];
    [Level::baseline()]
        .into_iter()
        .chain(more.into_iter().flatten())
        .chain([best])
}

/// The lane at the beginning of a text, where lanes are worth it and there is a whole one.
#[inline(always)]
pub(crate) fn first(text: &[u8]) -> Option<&[u8; LANE]> {
    if has_lanes() { text.first_chunk() } else { None }
}

/// Whether every processor of this kind has instructions for lanes.
#[inline(always)]
fn has_lanes() -> bool {
    !Level::baseline().is_fallback()
}

/// What a string's plain content ends before: quotes, backslashes and control characters.
#[inline(always)]
pub(crate) fn specials(lane: &[u8; LANE]) -> LaneSet {
    dispatch!(Level::baseline(), simd => {
        let lane = u8x16::load_array_ref(simd, lane);
        (lane.simd_eq(b'"') | lane.simd_eq(b'\\') | lane.simd_lt(b' ')).to_bitmask()
    })
}

/// The same, and all bytes that are not ASCII.
#[inline(always)]
pub(crate) fn specials_and_non_ascii(lane: &[u8; LANE]) -> LaneSet {
    dispatch!(Level::baseline(), simd => {
        let lane = u8x16::load_array_ref(simd, lane);
        // As signed numbers, bytes that are not ASCII are below all others.
        let unusual = lane.bitcast::<i8x16<_>>().simd_lt(0x20);
        (lane.simd_eq(b'"') | lane.simd_eq(b'\\') | unusual).to_bitmask()
    })
}

/// The bytes that are not ASCII.
#[inline(always)]
pub(crate) fn non_ascii(lane: &[u8; LANE]) -> LaneSet {
    dispatch!(Level::baseline(), simd => {
        let lane = u8x16::load_array_ref(simd, lane);
        lane.bitcast::<i8x16<_>>().simd_lt(0).to_bitmask()
    })
}

/// The bytes that are no decimal digits.
#[cfg(feature = "alloc")]
#[inline(always)]
pub(crate) fn non_digits(lane: &[u8; LANE]) -> LaneSet {
    dispatch!(Level::baseline(), simd => {
        let from_zero = u8x16::load_array_ref(simd, lane) - b'0';
        from_zero.simd_gt(9).to_bitmask()
    })
}

/// Bytes of the lane before the first that is in the set: all of them where none is.
#[inline(always)]
pub(crate) fn before(set: LaneSet) -> u32 {
    (set | 1 << LANE).trailing_zeros()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_sorted_right_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..LANE {
                let mut lane = [b'5'; LANE];
                lane[at] = byte;
                let only = |belongs: bool| LaneSet::from(belongs) << at;
                let (special, wide) = (matches!(byte, b'"' | b'\\' | 0..0x20), byte >= 0x80);
                assert_eq!(specials(&lane), only(special), "{byte:#x} at {at}");
                assert_eq!(
                    specials_and_non_ascii(&lane),
                    only(special || wide),
                    "{byte:#x} at {at}"
                );
                assert_eq!(non_ascii(&lane), only(wide), "{byte:#x} at {at}");
                assert_eq!(before(specials(&lane)) as usize, if special { at } else { LANE });
                #[cfg(feature = "alloc")]
                assert_eq!(non_digits(&lane), only(!byte.is_ascii_digit()), "{byte:#x} at {at}");
            }
        }
    }
}
