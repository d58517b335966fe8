//! Short pieces of a message written as one.
//!
//! hyper hands over a head and a body, or a chunk between its size and its line
//! end, as slices to be written together. For a few hundred bytes the kernel
//! takes longer to look at a list of slices than it takes to copy them here.

use core::cell::RefCell;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::io::{IoSlice, Result};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::limits::JOINED_BYTES_MAX;

/// Writes `slices` to `stream`, as one when they are short.
pub(crate) fn poll_write<S: AsyncWrite>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    slices: &[IoSlice<'_>],
) -> Poll<Result<usize>> {
    if let [only] = slices {
        return stream.poll_write(cx, only);
    }
    ROOM.with_borrow_mut(|room| match join(slices, room) {
        Some(joined) => stream.poll_write(cx, joined),
        None => stream.poll_write_vectored(cx, slices),
    })
}

thread_local! {
    /// Where a worker joins pieces: room of one's own would have to be cleared each time.
    static ROOM: RefCell<[u8; JOINED_BYTES_MAX]> = const { RefCell::new([0; JOINED_BYTES_MAX]) };
}

/// All of `slices` in `room`, if they fit.
fn join<'r>(slices: &[IoSlice<'_>], room: &'r mut [u8]) -> Option<&'r [u8]> {
    let mut len: usize = 0;
    for slice in slices {
        let end = len.checked_add(slice.len())?;
        room.get_mut(len..end)?.copy_from_slice(slice);
        len = end;
    }
    room.get(..len)
}

/// A stream that is written to so.
#[derive(Debug)]
pub(crate) struct Joined<S>(pub(crate) S);

impl<S: AsyncRead + Unpin> AsyncRead for Joined<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Joined<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<Result<usize>> {
        poll_write(Pin::new(&mut self.0), cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_joined_in_order_and_what_does_not_is_left_alone() {
        let slices = [&b"HTTP/1.1 200 OK\r\n\r\n"[..], b"", b"{}"].map(IoSlice::new);
        let mut room = [0; 21];
        assert_eq!(join(&slices, &mut room), Some(&b"HTTP/1.1 200 OK\r\n\r\n{}"[..]));
        assert_eq!(join(&slices, &mut room[..20]), None);
        assert_eq!(join(&[], &mut room), Some(&b""[..]));
    }
}
