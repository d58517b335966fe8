//! A short text of bounded length that is put together from pieces.
//!
//! heapless's vector appends a byte at a time, which shows where every key of a body passes through it.

/// At most `N` bytes.
#[derive(Debug, Clone)]
pub(super) struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
    overflown: bool,
}

impl<const N: usize> Text<N> {
    pub(super) const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
            overflown: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.overflown = false;
    }

    /// Appends `piece` if it fits.
    #[inline]
    pub(super) fn push(&mut self, piece: &[u8]) {
        let end = self.len.saturating_add(piece.len());
        match self.bytes.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(piece);
                self.len = end;
            }
            None => self.overflown = true,
        }
    }

    /// Whether a piece did not fit since the last [`clear`](Self::clear).
    #[inline]
    pub(super) fn is_overflown(&self) -> bool {
        self.overflown
    }

    #[inline]
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_that_does_not_fit_is_left_out_and_remembered() {
        let mut text = Text::<4>::new();
        text.push(b"ab");
        text.push(b"cd");
        assert_eq!((text.as_bytes(), text.is_overflown()), (&b"abcd"[..], false));
        text.push(b"e");
        assert_eq!((text.as_bytes(), text.is_overflown()), (&b"abcd"[..], true));
        text.clear();
        assert_eq!((text.as_bytes(), text.is_overflown()), (&b""[..], false));
    }
}
