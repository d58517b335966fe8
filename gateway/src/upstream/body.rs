//! The body that goes to an upstream.

use core::cell::Cell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::Watched;
use crate::limits::COPIED_BODY_BYTES_MAX;
use crate::pace::{BodyFailure, Paced};

/// A request body on its way out. Those that stream are boxed, since a connection has room for many requests.
#[derive(Debug)]
pub(crate) enum UpstreamBody {
    /// Read already: the pieces of it, and their bytes in all, which becomes the Content-Length.
    Pieces(VecDeque<Bytes>, u64),
    /// Not needed for the decision: passed on as it comes, and counted.
    Stream(Box<Paced>, Rc<Cell<u64>>),
    /// The same, and watched.
    Watched(Box<Watched>),
}

impl UpstreamBody {
    /// A body of these pieces.
    pub(crate) fn of_pieces(pieces: VecDeque<Bytes>) -> Self {
        let bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::Pieces(pieces, bytes)
    }

    /// Whether it was read already and is more than a copy may hold. Of a body that is passed on, whoever watches it knows.
    pub(crate) fn is_too_large_to_copy(&self) -> bool {
        matches!(self, Self::Pieces(_, bytes) if *bytes > COPIED_BODY_BYTES_MAX as u64)
    }

    /// How many bytes of a body that streams were passed on so far.
    pub(super) fn passed_on(&self) -> Option<Rc<Cell<u64>>> {
        match self {
            Self::Pieces(..) => None,
            Self::Stream(_, bytes) => Some(Rc::clone(bytes)),
            Self::Watched(watched) => Some(watched.bytes()),
        }
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let frame = match self.get_mut() {
            Self::Pieces(pieces, rest) => Poll::Ready(pieces.pop_front().map(|piece| {
                *rest = rest.saturating_sub(piece.len() as u64);
                Ok(Frame::data(piece))
            })),
            Self::Stream(incoming, received) => {
                let frame = incoming.poll_frame(cx);
                if let Poll::Ready(Some(Ok(frame))) = &frame {
                    received.set(
                        received
                            .get()
                            .saturating_add(frame.data_ref().map_or(0, |data| data.len() as u64)),
                    );
                }
                frame
            }
            Self::Watched(watched) => watched.poll(cx),
        };
        match frame {
            // Trailers come after all that was decided, and stop here.
            Poll::Ready(Some(Ok(frame))) if frame.is_trailers() => Poll::Ready(None),
            frame => frame,
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Pieces(pieces, _) => pieces.is_empty(),
            Self::Stream(paced, _) => paced.incoming.is_end_stream(),
            Self::Watched(watched) => watched.body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Pieces(_, rest) => SizeHint::with_exact(*rest),
            Self::Stream(paced, _) => paced.incoming.size_hint(),
            Self::Watched(watched) => watched.body.incoming.size_hint(),
        }
    }
}
