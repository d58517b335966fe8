//! Sixty-four bytes at a time, as sets: one bit a byte, the first byte lowest.
//!
//! What is asked of single bytes elsewhere is asked here of all of them at once,
//! and answers can be put together by the arithmetic of words.

use wide::{i8x32, u8x32};

/// Bytes of a block: one bit each in a word.
pub(super) const BLOCK: usize = 64;

/// Bytes that one instruction looks at.
pub(super) const LANE: usize = 32;

/// The bytes of a block for which `belongs` has the highest bit set.
#[inline(always)]
pub(super) fn set(block: &[u8; BLOCK], belongs: impl Fn(u8x32) -> u8x32) -> u64 {
    let (lanes, _) = block.as_chunks::<LANE>();
    lanes.iter().enumerate().fold(0, |set, (index, lane)| {
        set | u64::from(belongs(u8x32::new(*lane)).to_bitmask()) << (index * LANE)
    })
}

/// The bytes that equal `byte`.
#[inline(always)]
pub(super) fn equal(block: &[u8; BLOCK], byte: u8) -> u64 {
    set(block, |lane| lane.simd_eq(u8x32::splat(byte)))
}

/// The control characters.
#[inline(always)]
pub(super) fn controls(block: &[u8; BLOCK]) -> u64 {
    set(block, is_control)
}

/// The bytes that are not ASCII.
#[inline(always)]
pub(super) fn non_ascii(block: &[u8; BLOCK]) -> u64 {
    set(block, |lane| lane)
}

/// The digits of hexadecimal numbers.
#[inline(always)]
pub(super) fn hex_digits(block: &[u8; BLOCK]) -> u64 {
    set(block, |lane| {
        let digit = within(lane, b'0', b'9');
        // This bit is all that tells small letters from capital ones.
        digit | within(lane | u8x32::splat(0x20), b'a', b'f')
    })
}

/// Whether the block has a control character, or a byte that is not ASCII.
#[inline(always)]
pub(super) fn has_unusual(block: &[u8; BLOCK]) -> bool {
    // As signed numbers, bytes that are not ASCII are below all others.
    let below_blank = |lane: &[u8; LANE]| u8x32::new(*lane).cast_signed().simd_lt(i8x32::splat(0x20));
    let (lanes, _) = block.as_chunks::<LANE>();
    lanes
        .iter()
        .map(below_blank)
        .fold(i8x32::splat(0), |any, lane| any | lane)
        .any()
}

#[inline(always)]
pub(super) fn is_control(lane: u8x32) -> u8x32 {
    lane.min(u8x32::splat(0x1F)).simd_eq(lane)
}

#[inline(always)]
fn within(lane: u8x32, first: u8, last: u8) -> u8x32 {
    let from_first = lane - u8x32::splat(first);
    from_first
        .min(u8x32::splat(last.wrapping_sub(first)))
        .simd_eq(from_first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_sorted_right_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..BLOCK {
                let mut bytes = [b'x'; BLOCK];
                bytes[at] = byte;
                let only = |belongs: bool| u64::from(belongs) << at;
                let (control, wide) = (byte < 0x20, byte >= 0x80);
                assert_eq!(controls(&bytes), only(control), "{byte:#x} at {at}");
                assert_eq!(non_ascii(&bytes), only(wide), "{byte:#x} at {at}");
                assert_eq!(has_unusual(&bytes), control || wide, "{byte:#x} at {at}");
                assert_eq!(hex_digits(&bytes), only(byte.is_ascii_hexdigit()), "{byte:#x} at {at}");
                assert_eq!(equal(&bytes, b'"'), only(byte == b'"'), "{byte:#x} at {at}");
            }
        }
    }
}
