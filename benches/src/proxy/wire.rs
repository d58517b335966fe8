//! HTTP/1.1 messages with a Content-Length on a socket or in TLS, read as plainly as the load and the mock need it.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// No message of these measurements is longer.
const MESSAGE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A connection and what was read from it.
#[derive(Debug)]
pub(super) struct Wire<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Bytes of the message that was given out last.
    taken: usize,
}

/// A head, with the empty line after it, and its body.
#[derive(Debug, PartialEq)]
pub(super) struct Message<'b> {
    pub(super) head: &'b [u8],
    pub(super) body: &'b [u8],
}

impl Wire<TcpStream> {
    /// Connects to `address`.
    pub(super) async fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Reads messages from `stream`.
    pub(super) fn over(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            taken: 0,
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Says that nothing more comes.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// The next message; `None` if the other side has closed instead.
    pub(super) async fn receive(&mut self) -> io::Result<Option<Message<'_>>> {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        let (head, all) = loop {
            if let Some((head, all)) = framed(&self.buffer)?
                && self.buffer.len() >= all
            {
                break (head, all);
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
        };
        self.taken = all;
        let (head, body) = self.buffer.get(..all).unwrap_or_default().split_at(head);
        Ok(Some(Message { head, body }))
    }

    /// Appends what comes next to `out`; 0 once the other side has closed.
    pub(super) async fn read_raw(&mut self, out: &mut Vec<u8>) -> io::Result<usize> {
        self.stream.read_buf(out).await
    }
}

/// Bytes of the head and of all of the message, once the head is whole.
fn framed(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head) = bytes.windows(4).position(|end| end == b"\r\n\r\n").map(|at| at + 4) else {
        return bounded(bytes.len()).map(|_| None);
    };
    let length = match field(bytes.get(..head).unwrap_or_default(), "content-length") {
        None => 0,
        Some(text) => str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse::<usize>().ok())
            .ok_or(io::ErrorKind::InvalidData)?,
    };
    Ok(Some((head, bounded(head.saturating_add(length))?)))
}

fn bounded(bytes: usize) -> io::Result<usize> {
    (bytes <= MESSAGE_BYTES_MAX)
        .then_some(bytes)
        .ok_or(io::ErrorKind::FileTooLarge.into())
}

/// The value of a head's field.
pub(super) fn field<'h>(head: &'h [u8], name: &str) -> Option<&'h [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (key, value) = line.split_at_checked(name.len())?;
        let value = value.strip_prefix(b":")?;
        key.eq_ignore_ascii_case(name.as_bytes()).then_some(value.trim_ascii())
    })
}

/// Whether `bytes` hold `text`.
pub(super) fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ends_where_its_length_says() {
        for (bytes, framing) in [
            ("", None),
            ("GET / HTTP/1.1\r\nHost: a\r\n", None),
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some((27, 27))),
            ("POST / HTTP/1.1\r\ncontent-LENGTH:  12 \r\n\r\n{", Some((41, 53))),
        ] {
            assert_eq!(framed(bytes.as_bytes()).unwrap(), framing, "{bytes:?}");
        }
        assert!(framed(b"A\r\nContent-Length: 1x\r\n\r\n").is_err());
        assert!(framed(b"A\r\nContent-Length: 99999999999\r\n\r\n").is_err());
    }

    #[test]
    fn field_is_found_whatever_its_case() {
        let head = b"POST / HTTP/1.1\r\nhost: a.example\r\nX-Host: b\r\n\r\n";
        assert_eq!(field(head, "Host"), Some(&b"a.example"[..]));
        assert_eq!(field(head, "authorization"), None);
    }
}
