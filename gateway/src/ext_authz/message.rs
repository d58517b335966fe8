//! A question on its way over gRPC: its message, and behind it the client's body, which is the end of the message and
//! goes out of where it was read to, without a copy of it.

use core::convert::Infallible;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;

use bytes::{Buf as _, Bytes};
use http_body::{Body, Frame};
use lockgate_core::check::as_text;
use prost::Message as _;

use super::proto::CheckRequest;

/// Bytes of the longest character of UTF-8, but for its first.
const REST_OF_CHARACTER_BYTES_MAX: usize = 3;

/// What is sent, in turn.
#[derive(Debug, Default)]
pub(super) struct Message {
    head: Bytes,
    body: VecDeque<Bytes>,
    /// The body is sent as text, which is as long.
    is_text: bool,
}

impl Message {
    /// `request` in gRPC's framing. If it says that it ends with a body, that is `body`.
    ///
    /// `None` when it is longer than gRPC can say.
    pub(super) fn new(request: &CheckRequest, body: VecDeque<Bytes>, is_text: bool) -> Option<Self> {
        // Not compressed.
        let mut head = vec![0];
        head.extend(u32::try_from(request.encoded_len()).ok()?.to_be_bytes());
        request.encode(&mut head).ok()?;
        Some(Self {
            head: head.into(),
            body,
            is_text,
        })
    }
}

impl Body for Message {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = match core::mem::take(&mut self.head) {
            head if !head.is_empty() => Some(head),
            _ if self.is_text => next_as_text(&mut self.body),
            _ => self.body.pop_front(),
        };
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }
}

/// The next of `pieces` as [`as_text`] has them all together. A character that begins in one goes with the next.
fn next_as_text(pieces: &mut VecDeque<Bytes>) -> Option<Bytes> {
    loop {
        let mut piece = pieces.pop_front()?;
        if let Some(mut next) = pieces.pop_front() {
            let begun = piece.split_off(piece.len().saturating_sub(begun_bytes(&piece)));
            let rest = match begun.is_empty() {
                true => 0,
                false => next.len().min(REST_OF_CHARACTER_BYTES_MAX),
            };
            let shared = [&begun[..], next.get(..rest).unwrap_or_default()].concat();
            next.advance(rest);
            let both = [next, shared.into()]
                .into_iter()
                .filter(|piece: &Bytes| !piece.is_empty());
            both.for_each(|piece| pieces.push_front(piece));
        }
        if !piece.is_empty() {
            return Some(match core::str::from_utf8(&piece) {
                Ok(_) => piece,
                Err(_) => as_text(&piece).into(),
            });
        }
    }
}

/// Bytes of a character that begins at the end of `piece` and does not end in it.
fn begun_bytes(piece: &[u8]) -> usize {
    let is_begun = |length: &usize| {
        let end = piece.len().checked_sub(*length).and_then(|at| piece.get(at..));
        let error = end.and_then(|end| core::str::from_utf8(end).err());
        error.is_some_and(|error| error.valid_up_to() == 0 && error.error_len().is_none())
    };
    (1..=REST_OF_CHARACTER_BYTES_MAX).find(is_begun).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_the_text_that_they_are_together() {
        for bytes in [
            "a\u{e9}\u{20ac}\u{1f600}z".as_bytes(),
            b"\xff\xfe\x80\xe2\x82\xe2\x82\xac\xf0\x9f\x98\xf0\x9f\x98\x80\xc3",
            b"\xf0\x90\xe2\x28\xa1\xed\xa0\x80\xc0\xaf",
        ] {
            for length in 1..=bytes.len() {
                let mut pieces: VecDeque<Bytes> = bytes.chunks(length).map(Bytes::copy_from_slice).collect();
                let mut text = Vec::new();
                while let Some(piece) = next_as_text(&mut pieces) {
                    text.extend_from_slice(&piece);
                }
                assert_eq!(text, as_text(bytes).as_bytes(), "{length}");
                assert_eq!(text.len(), bytes.len());
            }
        }
    }

    #[test]
    fn what_is_text_already_is_not_copied() {
        let piece = Bytes::from_static("caf\u{e9}".as_bytes());
        let sent = next_as_text(&mut [piece.clone()].into()).unwrap();
        assert_eq!(sent.as_ptr(), piece.as_ptr());
    }
}
