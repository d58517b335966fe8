//! An edited body out of the pieces that were read and the engine's plan.

use core::ops::Range;
use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use lockgate_core::llm::splice::Piece;

use crate::limits::BODY_PIECE_BYTES_MIN;

/// The body that `plan` describes, of `bytes` bytes in all. Large pieces of the client's are shared, not copied; a small
/// body becomes one piece, which goes out in one system call with its head.
pub(crate) fn apply(plan: &[Piece<'_>], bytes: u64, mut client: VecDeque<Bytes>) -> VecDeque<Bytes> {
    if let Ok(bytes) = usize::try_from(bytes)
        && bytes < BODY_PIECE_BYTES_MIN
    {
        let whole = joined(plan, bytes, &client);
        client.clear();
        client.push_back(whole);
        return client;
    }
    let mut client = Client { pieces: client, at: 0 };
    let mut out = VecDeque::with_capacity(plan.len());
    for piece in plan {
        match piece {
            Piece::Text(text) => out.push_back(Bytes::copy_from_slice(text.as_bytes())),
            Piece::Client(range) => client.take(range, &mut out),
        }
    }
    out
}

fn joined(plan: &[Piece<'_>], bytes: usize, client: &VecDeque<Bytes>) -> Bytes {
    let mut whole = BytesMut::with_capacity(bytes);
    for piece in plan {
        match piece {
            Piece::Text(text) => whole.extend_from_slice(text.as_bytes()),
            Piece::Client(range) => copy(client, range, &mut whole),
        }
    }
    whole.freeze()
}

fn copy(client: &VecDeque<Bytes>, range: &Range<u64>, out: &mut BytesMut) {
    let mut begin: u64 = 0;
    for piece in client {
        let within = |at: u64| usize::try_from(at.saturating_sub(begin)).map_or(piece.len(), |at| at.min(piece.len()));
        out.extend_from_slice(piece.get(within(range.start)..within(range.end)).unwrap_or_default());
        begin = begin.saturating_add(piece.len() as u64);
    }
}

/// What is left of the client's body, and where that begins. The ranges of a plan only move forward.
struct Client {
    pieces: VecDeque<Bytes>,
    at: u64,
}

impl Client {
    fn take(&mut self, range: &Range<u64>, out: &mut VecDeque<Bytes>) {
        self.skip(range.start.saturating_sub(self.at));
        let mut rest = range.end.saturating_sub(self.at);
        while rest > 0 {
            let Some(front) = self.pieces.front_mut() else { return };
            let taken = usize::try_from(rest).unwrap_or(usize::MAX).min(front.len());
            out.push_back(front.split_to(taken));
            rest = rest.saturating_sub(taken as u64);
            self.advance(taken);
        }
    }

    fn skip(&mut self, mut bytes: u64) {
        while bytes > 0 {
            let Some(front) = self.pieces.front_mut() else { return };
            let skipped = usize::try_from(bytes).unwrap_or(usize::MAX).min(front.len());
            front.advance(skipped);
            bytes = bytes.saturating_sub(skipped as u64);
            self.advance(skipped);
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes as u64);
        if self.pieces.front().is_some_and(Bytes::is_empty) {
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a body of so many `bytes`.
    fn applied(plan: &[Piece<'_>], client: &[&'static str], bytes: u64) -> String {
        let client = client
            .iter()
            .map(|piece| Bytes::from_static(piece.as_bytes()))
            .collect();
        let out = apply(plan, bytes, client);
        String::from_utf8(out.iter().flat_map(|piece| piece.to_vec()).collect()).unwrap()
    }

    #[test]
    fn ranges_may_cross_pieces_and_leave_gaps() {
        let plan = [
            Piece::Client(0..1),
            Piece::Text("\"model\":1,"),
            Piece::Client(1..5),
            Piece::Text("!"),
            Piece::Client(7..9),
        ];
        for client in [
            &["{23456789"][..],
            &["{", "23", "456", "789"],
            &["{2345", "6", "7", "8", "9"],
        ] {
            for bytes in [18, u64::MAX] {
                assert_eq!(applied(&plan, client, bytes), "{\"model\":1,2345!89", "{client:?}");
            }
        }
    }

    #[test]
    fn a_small_body_becomes_one_piece_and_a_large_one_is_shared() {
        let large = Bytes::from(vec![b' '; 100_000]);
        let plan = [Piece::Text("x"), Piece::Client(0..100_000)];
        let out = apply(&plan, 100_001, VecDeque::from([large.clone()]));
        assert_eq!((out.len(), out[1].as_ptr()), (2, large.as_ptr()));
        let out = apply(
            &[Piece::Text("x"), Piece::Client(0..2)],
            3,
            VecDeque::from([Bytes::from_static(b"{}")]),
        );
        assert_eq!(out, [Bytes::from_static(b"x{}")]);
    }
}
