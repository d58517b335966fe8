//! Sixty-four bytes at a time, as sets: one bit a byte, the first byte lowest.
//!
//! What is asked of single bytes elsewhere is asked here of all of them at once,
//! and answers can be put together by the arithmetic of words.

use fearless_simd::prelude::*;
use fearless_simd::{i8x64, mask8x64, u8x64};

/// Bytes of a block: one bit each in a word.
pub(super) const BLOCK: usize = 64;

#[inline(always)]
pub(super) fn load<S: Simd>(simd: S, block: &[u8; BLOCK]) -> u8x64<S> {
    u8x64::load_array_ref(simd, block)
}

/// The bytes that equal `byte`.
#[inline(always)]
pub(super) fn equal<S: Simd>(block: u8x64<S>, byte: u8) -> u64 {
    block.simd_eq(byte).to_bitmask()
}

/// The control characters.
#[inline(always)]
pub(super) fn controls<S: Simd>(block: u8x64<S>) -> u64 {
    block.simd_lt(b' ').to_bitmask()
}

/// The bytes that are not ASCII.
#[inline(always)]
pub(super) fn non_ascii<S: Simd>(block: u8x64<S>) -> u64 {
    block.bitcast::<i8x64<S>>().simd_lt(0).to_bitmask()
}

/// The digits of hexadecimal numbers.
#[inline(always)]
pub(super) fn hex_digits<S: Simd>(block: u8x64<S>) -> u64 {
    let digit = within(block, b'0', b'9');
    // This bit is all that tells small letters from capital ones.
    (digit | within(block | 0x20, b'a', b'f')).to_bitmask()
}

/// Whether the block has a control character, or a byte that is not ASCII.
#[inline(always)]
pub(super) fn has_unusual<S: Simd>(block: u8x64<S>) -> bool {
    // As signed numbers, bytes that are not ASCII are below all others.
    block.bitcast::<i8x64<S>>().simd_lt(0x20).any_true()
}

#[inline(always)]
fn within<S: Simd>(block: u8x64<S>, first: u8, last: u8) -> mask8x64<S> {
    (block - first).simd_le(last.wrapping_sub(first))
}

#[cfg(test)]
mod tests {
    use fearless_simd::dispatch;

    use super::*;
    use crate::lanes;

    #[test]
    fn every_byte_is_sorted_right_at_every_place() {
        for level in lanes::all() {
            for byte in 0..=u8::MAX {
                for at in 0..BLOCK {
                    let mut bytes = [b'x'; BLOCK];
                    bytes[at] = byte;
                    let block = &bytes;
                    dispatch!(level, simd => sorted_right(load(simd, block), byte, at));
                }
            }
        }
    }

    fn sorted_right<S: Simd>(block: u8x64<S>, byte: u8, at: usize) {
        let only = |belongs: bool| u64::from(belongs) << at;
        let (control, wide) = (byte < 0x20, byte >= 0x80);
        assert_eq!(controls(block), only(control), "{byte:#x} at {at}");
        assert_eq!(non_ascii(block), only(wide), "{byte:#x} at {at}");
        assert_eq!(has_unusual(block), control || wide, "{byte:#x} at {at}");
        assert_eq!(hex_digits(block), only(byte.is_ascii_hexdigit()), "{byte:#x} at {at}");
        assert_eq!(equal(block, b'"'), only(byte == b'"'), "{byte:#x} at {at}");
    }
}
