//! Which bytes of a string are escaped, and whether its escapes are ones that JSON has.
//!
//! Text from programs has an escape every few words, and text that a program
//! wrote in ASCII consists of them. So a block's are told apart by arithmetic:
//! a loop over them would cost a wrong guess of the processor for most blocks.

use fearless_simd::prelude::*;

use super::block::{self, BLOCK};

/// What an escape that the last block's end cut still has to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    /// 1 where the block ended with its backslash.
    escaped: u64,
    /// One bit for each digit that is missing from the `\u` at the block's end.
    digits: u64,
}

/// The escapes of one block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Escapes {
    /// Bytes after a backslash that is not escaped itself.
    pub(super) escaped: u64,
    /// Bytes that no escape has there.
    pub(super) invalid: u64,
    /// What the next block begins with.
    pub(super) cut: Cut,
}

impl Cut {
    pub(super) const NONE: Self = Self { escaped: 0, digits: 0 };

    #[inline]
    pub(super) fn is_some(self) -> bool {
        self.escaped | self.digits != 0
    }

    /// Bytes of the cut escape that the blocks so far have.
    #[inline]
    pub(super) fn len(self) -> usize {
        match (self.escaped, self.digits.count_ones()) {
            (0, 0) => 0,
            (0, missing) => 6_usize.saturating_sub(missing as usize),
            _ => 1,
        }
    }
}

/// Reads the escapes of a block, given its quotes and backslashes and what the block before left over.
#[inline(always)]
pub(super) fn of_block<S: Simd>(simd: S, bytes: &[u8; BLOCK], quotes: u64, backslashes: u64, before: Cut) -> Escapes {
    let (escaped, cut) = escaped(backslashes, before.escaped);
    // Nearly every escape is one of these, so the others are looked for only where there is another.
    let block = block::load(simd, bytes);
    let common = (block.simd_eq(b'n') | block.simd_eq(b't')).to_bitmask();
    let rest = escaped & !(quotes | backslashes | common);
    let mut invalid = 0;
    let mut digits_cut = 0;
    if rest | before.digits != 0 {
        let unicode = rest & block::equal(block, b'u');
        let digits = unicode << 1 | unicode << 2 | unicode << 3 | unicode << 4 | before.digits;
        if digits != 0 {
            invalid = digits & !block::hex_digits(block);
        }
        digits_cut = unicode >> 63 | unicode >> 62 | unicode >> 61 | unicode >> 60;
        invalid |= unusual(bytes, rest & !unicode);
    }
    let cut = Cut {
        escaped: cut,
        digits: digits_cut,
    };
    Escapes { escaped, invalid, cut }
}

/// The bytes that are escaped, and 1 when the block ends with a backslash that is not.
///
/// In a run of backslashes every second one is escaped. Subtracting marks carries through each run, so that its parity
/// can be read where it ends; simdjson found this ("Parsing Gigabytes of JSON per Second", section 3.1.1).
#[inline(always)]
fn escaped(backslashes: u64, first: u64) -> (u64, u64) {
    const ODD: u64 = 0xAAAA_AAAA_AAAA_AAAA;
    let begins = backslashes & !first;
    let after = begins << 1;
    let runs = (after | ODD).wrapping_sub(begins) ^ ODD;
    (runs ^ (backslashes | first), (runs & backslashes) >> 63)
}

/// Those of the escaped bytes that no escape has.
#[inline]
fn unusual(bytes: &[u8; BLOCK], mut escaped: u64) -> u64 {
    let mut invalid = 0;
    while escaped != 0 {
        let at = escaped.trailing_zeros();
        let bit = 1 << at;
        if !bytes.get(at as usize).is_some_and(|&byte| is_ordinary(byte)) {
            invalid |= bit;
        }
        escaped ^= bit;
    }
    invalid
}

/// Bytes of the valid and whole escape that the text begins with.
#[inline]
pub(super) fn len(text: &[u8]) -> Option<usize> {
    match *text {
        [b'\\', escaped, ..] if is_ordinary(escaped) => Some(2),
        [b'\\', b'u', a, b, c, d, ..] if [a, b, c, d].iter().all(u8::is_ascii_hexdigit) => Some(6),
        _ => None,
    }
}

/// Whether the byte after a backslash is all there is to the escape.
#[inline]
fn is_ordinary(escaped: u8) -> bool {
    matches!(escaped, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use fearless_simd::{Level, dispatch};
    use proptest::prelude::*;

    use super::*;
    use crate::lanes;

    fn escapes(level: Level, bytes: &[u8; BLOCK], cut: Cut) -> Escapes {
        dispatch!(level, simd => {
            let block = block::load(simd, bytes);
            of_block(simd, bytes, block::equal(block, b'"'), block::equal(block, b'\\'), cut)
        })
    }

    /// What a byte is, read one after the other.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Reading {
        Content,
        Escaped,
        Digits(u32),
    }

    /// The escaped bytes of a block and the first invalid one, read one byte after the other.
    fn naive(bytes: &[u8], reading: &mut Reading) -> (u64, Option<usize>) {
        let mut escaped = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            *reading = match *reading {
                Reading::Content if byte == b'\\' => Reading::Escaped,
                Reading::Content => Reading::Content,
                Reading::Escaped => {
                    escaped |= 1 << at;
                    match byte {
                        b'u' => Reading::Digits(4),
                        _ if is_ordinary(byte) => Reading::Content,
                        _ => return (escaped, Some(at)),
                    }
                }
                Reading::Digits(_) if !byte.is_ascii_hexdigit() => return (escaped, Some(at)),
                Reading::Digits(1) => Reading::Content,
                Reading::Digits(missing) => Reading::Digits(missing - 1),
            };
        }
        (escaped, None)
    }

    fn pieces() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            8 => Just(&b"\\\\"[..]),
            4 => proptest::sample::select(std::vec![&b"\\n"[..], b"\\r", b"\\t", b"\\b", b"\\f", b"\\/", b"\\\""]),
            4 => proptest::sample::select(std::vec![&b"\\u00e9"[..], b"\\uD83d", b"\\uffff"]),
            4 => proptest::sample::select(std::vec![&b"a"[..], b"u", b"nt", b"\"", b"some words"]),
            1 => proptest::sample::select(std::vec![&b"\\"[..], b"\\x", b"\\u00g0", b"\\u1"]),
        ];
        proptest::collection::vec(piece, 0..120).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn arithmetic_finds_the_escapes_that_reading_does(text in pieces()) {
            for level in lanes::all() {
                let (mut cut, mut reading) = (Cut::NONE, Reading::Content);
                for bytes in text.as_chunks::<BLOCK>().0 {
                    let found = escapes(level, bytes, cut);
                    let (escaped, invalid) = naive(bytes, &mut reading);
                    let first = (found.invalid != 0).then(|| found.invalid.trailing_zeros() as usize);
                    prop_assert_eq!(first, invalid);
                    if invalid.is_some() {
                        break;
                    }
                    prop_assert_eq!(found.escaped, escaped);
                    cut = found.cut;
                    let begun = match reading {
                        Reading::Content => 0,
                        Reading::Escaped => 1,
                        Reading::Digits(missing) => 6 - missing as usize,
                    };
                    prop_assert_eq!(cut.len(), begun);
                }
            }
        }
    }

    #[test]
    fn an_escape_begins_with_a_backslash_and_is_whole() {
        for byte in 0..=u8::MAX {
            let ordinary = b"\"\\/bfnrt".contains(&byte);
            assert_eq!(len(&[b'\\', byte, b'x']), ordinary.then_some(2), "{byte:#x}");
            let digit = byte.is_ascii_hexdigit();
            for at in 2..6 {
                let mut escape = *b"\\u0aF9";
                escape[at] = byte;
                assert_eq!(len(&escape), digit.then_some(6), "{byte:#x} at {at}");
                assert_eq!(len(&escape[..at]), None);
            }
        }
        assert_eq!(len(b"n"), None);
        assert_eq!(len(b"\\"), None);
    }
}
