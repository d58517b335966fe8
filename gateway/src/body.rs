//! A request body that a decision depends on: read whole, scanned while it
//! arrives, kept as it came.
//!
//! The pieces that hyper hands over are slices of its read buffers and are kept
//! without copying, except that small ones are joined: each would keep a whole
//! buffer alive, and a client could make a body cost many times its size.

use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use hyper::body::Incoming;
use lockgate_core::llm::body::{BodyError, BodyScan};
use lockgate_core::llm::media::media;

use crate::head::HeadFields;
use crate::limits::{BODY_JOIN_BYTES, BODY_PIECE_BYTES_MIN};
use crate::overload::{Held, NoRoom};
use crate::pace::{BodyFailure, Pace};

/// A body as far as it was read.
#[derive(Debug)]
pub(crate) struct ReadBody {
    pieces: VecDeque<Bytes>,
    /// Small pieces being joined.
    tail: BytesMut,
    bytes: u64,
    held: Held,
}

/// Why a body could not be read to its end.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// It is whole or was given up early, but cannot be sent on: the decision says what to answer.
    Refused(BodyError),
    /// Not within the time for a body.
    Timeout,
    /// All bodies together are more than may be in memory.
    NoRoom,
    /// The client broke off or broke the rules of framing.
    Client,
}

/// How far a body is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Until it is known that it cannot be sent on.
    UntilRefused,
    /// To its end whatever it holds, for someone who reads it differently.
    ToItsEnd,
}

impl ReadBody {
    /// Reads `incoming` to its end, at most `limit` bytes and `time`, feeding `scan`.
    ///
    /// What is known to be refused is refused at once: a body that says it is too large, before it is read.
    /// Its bytes count as `held` until nothing refers to them any more.
    pub(crate) async fn read(
        incoming: &mut Incoming,
        headers: &HeaderMap,
        scan: &mut BodyScan,
        limit: u64,
        reading: Reading,
        time: Duration,
        held: Held,
    ) -> (Self, Result<(), ReadError>) {
        let mut body = Self::new(held);
        let head = check_head(incoming, headers, limit);
        let result = match head {
            Err(error) if error == BodyError::TooLarge || reading == Reading::UntilRefused => {
                Err(ReadError::Refused(error))
            }
            _ if body.held.has_no_room_for(incoming.size_hint().lower()) => Err(ReadError::NoRoom),
            _ => match within(time, body.fill(incoming, scan, limit, reading)).await {
                // What the head says of a body is the reason, whatever is in it.
                Some(Err(ReadError::Refused(error))) if error != BodyError::TooLarge => {
                    Err(ReadError::Refused(head.err().unwrap_or(error)))
                }
                Some(result) => result.and_then(|()| head.map_err(ReadError::Refused)),
                None => Err(ReadError::Timeout),
            },
        };
        (body, result)
    }

    fn new(held: Held) -> Self {
        Self {
            pieces: VecDeque::new(),
            tail: BytesMut::new(),
            bytes: 0,
            held,
        }
    }

    async fn fill(
        &mut self,
        incoming: &mut Incoming,
        scan: &mut BodyScan,
        limit: u64,
        reading: Reading,
    ) -> Result<(), ReadError> {
        let mut pace = Pace::default();
        while !incoming.is_end_stream()
            && let Some(frame) = poll_fn(|cx| pace.poll_frame(incoming, cx)).await
        {
            let frame = frame.map_err(|failure| match failure {
                BodyFailure::Client(_) | BodyFailure::GivenUp => ReadError::Client,
                BodyFailure::TooSlow => ReadError::Timeout,
            })?;
            // Trailers say nothing about an LLM request, and are dropped.
            if let Ok(data) = frame.into_data() {
                self.bytes = self.bytes.saturating_add(data.len() as u64);
                if self.bytes > limit {
                    return Err(ReadError::Refused(BodyError::TooLarge));
                }
                self.held.add(data.len()).map_err(|NoRoom| ReadError::NoRoom)?;
                match scan.feed(&data) {
                    Err(error) if reading == Reading::UntilRefused => return Err(ReadError::Refused(error)),
                    // The scan remembers.
                    Err(_) | Ok(()) => self.push(data, incoming.size_hint().upper()),
                }
            }
        }
        scan.finish().map(|_| ()).map_err(ReadError::Refused)
    }

    fn push(&mut self, piece: Bytes, rest: Option<u64>) {
        let last = rest == Some(0);
        if piece.len() >= BODY_PIECE_BYTES_MIN || (last && self.tail.is_empty()) {
            self.flush();
            self.pieces.push_back(piece);
            return;
        }
        if self.tail.capacity() - self.tail.len() < piece.len() {
            self.flush();
            // As much as is still to come, when that is known and little.
            let rest = rest
                .and_then(|rest| usize::try_from(rest).ok())
                .unwrap_or(BODY_JOIN_BYTES);
            self.tail.reserve(rest.saturating_add(piece.len()).min(BODY_JOIN_BYTES));
        }
        self.tail.extend_from_slice(&piece);
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
    }

    /// Bytes read.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The pieces, in order.
    pub(crate) fn into_pieces(mut self) -> VecDeque<Bytes> {
        self.flush();
        let Self {
            mut pieces, mut held, ..
        } = self;
        let last = pieces.pop_back();
        for piece in &mut pieces {
            *piece = held.tie(core::mem::take(piece));
        }
        pieces.extend(last.map(|last| held.tie_last(last)));
        pieces
    }
}

/// What `future` comes to within `limit`. No clock is looked at for what is there already, as a small body is that came
/// with its head.
async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let at_once = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await;
    match at_once {
        Poll::Ready(output) => Some(output),
        Poll::Pending => tokio::time::timeout(limit, future).await.ok(),
    }
}

fn check_head(incoming: &Incoming, headers: &HeaderMap, limit: u64) -> Result<(), BodyError> {
    media(&HeadFields(headers))?;
    if incoming.size_hint().lower() > limit && headers.contains_key(CONTENT_LENGTH) {
        return Err(BodyError::TooLarge);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overload::Load;
    use crate::shared::Bounds;
    use std::sync::Arc;

    fn body() -> ReadBody {
        ReadBody::new(Held::none(&Arc::new(Load::new(Bounds::default()))))
    }

    fn pieces(sizes: &[usize]) -> Vec<usize> {
        let mut body = body();
        for size in sizes {
            body.push(Bytes::from(vec![7; *size]), None);
        }
        body.into_pieces().iter().map(Bytes::len).collect()
    }

    #[test]
    fn small_pieces_are_joined_and_large_ones_kept() {
        assert_eq!(pieces(&[1; 1000]), [1000]);
        assert_eq!(
            pieces(&[BODY_PIECE_BYTES_MIN, 5, 6, 20_000]),
            [BODY_PIECE_BYTES_MIN, 11, 20_000]
        );
        let many = pieces(&[10_000; 100]);
        assert_eq!(many.iter().sum::<usize>(), 1_000_000);
        assert!(
            many.iter().all(|size| *size <= BODY_JOIN_BYTES) && many.len() <= 20,
            "{many:?}"
        );
    }

    #[test]
    fn a_body_in_one_piece_is_not_copied() {
        let piece = Bytes::from_static(b"{}");
        let mut body = body();
        body.push(piece.clone(), Some(0));
        assert_eq!(body.into_pieces()[0].as_ptr(), piece.as_ptr());
    }
}
