//! Sixty-four bytes of a JSON string at a time: where is the next byte that matters?
//!
//! Chat bodies are long strings with an escape every line or so. Looking at
//! them byte by byte, or stopping at every escape, costs several times what
//! memory does; so a block is turned into bit sets first (one bit a byte, the
//! first byte lowest) and ordinary escapes are told apart by arithmetic.

/// Bytes of a block.
pub(super) const BLOCK: usize = 64;

/// The result for one block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    /// Index of the first byte that is no plain content and no two-byte escape, or [`BLOCK`].
    ///
    /// It is the closing quote, a control character, or the backslash of an escape that must be
    /// looked at: `\u`, one that does not exist, or one cut by the end of the block.
    pub(super) stop: usize,
    /// Whether a byte before `stop` is not ASCII.
    pub(super) non_ascii: bool,
}

/// Looks at one block of a string's inside; the byte before it must not be a backslash that escapes its first.
#[inline]
pub(super) fn scan(bytes: &[u8; BLOCK]) -> Block {
    let mut sets = Sets::default();
    for (index, &byte) in bytes.iter().enumerate() {
        let bit = 1u64 << index;
        if byte == b'"' {
            sets.quote |= bit;
        }
        if byte == b'\\' {
            sets.backslash |= bit;
        }
        if byte < 0x20 {
            sets.control |= bit;
        }
        if byte >= 0x80 {
            sets.high |= bit;
        }
        if matches!(byte, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') {
            sets.escapable |= bit;
        }
    }
    sets.judge()
}

/// Bit sets over one block.
#[derive(Debug, Clone, Copy, Default)]
struct Sets {
    quote: u64,
    backslash: u64,
    control: u64,
    high: u64,
    /// Bytes that may follow a backslash and end the escape.
    escapable: u64,
}

impl Sets {
    #[inline]
    fn judge(self) -> Block {
        let escaped = escaped(self.backslash);
        let cut = self.backslash & !escaped & (1 << 63);
        let odd_escape = (escaped & !self.escapable) >> 1;
        let stops = (self.quote & !escaped) | self.control | odd_escape | cut;
        let before = if stops == 0 {
            u64::MAX
        } else {
            (stops & stops.wrapping_neg()).wrapping_sub(1)
        };
        Block {
            stop: stops.trailing_zeros() as usize,
            non_ascii: self.high & before != 0,
        }
    }
}

/// The bytes that stand after a backslash which is not itself escaped.
#[inline]
fn escaped(mut backslash: u64) -> u64 {
    let mut escaped = 0u64;
    while backslash != 0 {
        let first = backslash & backslash.wrapping_neg();
        escaped |= first << 1;
        backslash &= !(first | first << 1);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(text: &[u8]) -> Block {
        let mut bytes = [b'x'; BLOCK];
        bytes[..text.len()].copy_from_slice(text);
        scan(&bytes)
    }

    #[test]
    fn stops_at_what_must_be_looked_at() {
        let cases: &[(&[u8], usize)] = &[
            (b"", 64),
            (b"plain\"", 5),
            (b"\\\"still inside\"", 14),
            (b"\\\\\"", 2),
            (b"\\\\\\\"a\"", 5),
            (b"line\\n\\t\\r\\b\\f\\/line\"", 20),
            (b"a\\u0041", 1),
            (b"a\\x", 1),
            (b"a\n", 1),
            (b"\\\n", 0),
            (b"\x1f", 0),
            (b"\x7f\xff", 64),
        ];
        for (text, stop) in cases {
            assert_eq!(block(text).stop, *stop, "{:?}", text.escape_ascii());
        }
    }

    #[test]
    fn an_escape_cut_by_the_border_is_left_for_the_next_block() {
        let mut bytes = [b'x'; BLOCK];
        bytes[63] = b'\\';
        assert_eq!(scan(&bytes).stop, 63);
        bytes[62] = b'\\';
        assert_eq!(scan(&bytes).stop, 64);
    }

    #[test]
    fn non_ascii_counts_only_before_the_stop() {
        assert!(block("é\"".as_bytes()).non_ascii);
        assert!(!block("\"é".as_bytes()).non_ascii);
        assert!(block("é".as_bytes()).non_ascii);
    }
}
