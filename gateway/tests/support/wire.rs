//! HTTP/1.1 as bytes: just enough to read heads and framings, and strict about both.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Header fields in the order in which they came, names as sent.
pub type Fields = Vec<(String, String)>;

/// The values of all fields called `name`, in order.
pub fn values<'f>(fields: &'f Fields, name: &str) -> Vec<&'f str> {
    fields
        .iter()
        .filter(|(n, _)| n.eq_ignore_ascii_case(name))
        .map(|(_, v)| v.as_str())
        .collect()
}

/// The value of the only field called `name`; panics when there are two.
pub fn value<'f>(fields: &'f Fields, name: &str) -> Option<&'f str> {
    let all = values(fields, name);
    assert!(all.len() < 2, "`{name}` was sent {} times: {all:?}", all.len());
    all.first().copied()
}

/// Splits a head (without its blank line) into start line and fields.
pub fn parse_head(head: &[u8]) -> (String, Fields) {
    let text = String::from_utf8(head.to_vec()).expect("a head in ASCII");
    let mut lines = text.split("\r\n");
    let start = lines.next().unwrap_or_default().to_owned();
    let fields = lines
        .filter(|line| !line.is_empty())
        .map(|line| {
            let (name, value) = line
                .split_once(':')
                .unwrap_or_else(|| panic!("no colon in header line {line:?}"));
            (name.to_owned(), value.trim().to_owned())
        })
        .collect();
    (start, fields)
}

/// How the end of a body is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// No body.
    Empty,
    /// `content-length`, the bytes still to come.
    Length(usize),
    /// `transfer-encoding: chunked`.
    Chunked,
    /// Everything until the connection closes (answers only).
    UntilClose,
}

/// The framing that the fields announce; `default` when they announce none.
pub fn framing(fields: &Fields, default: Framing) -> Framing {
    let length = value(fields, "content-length");
    match value(fields, "transfer-encoding") {
        Some(coding) => {
            assert_eq!(coding, "chunked", "an unknown transfer coding");
            assert_eq!(length, None, "both framings at once");
            Framing::Chunked
        }
        None => match length {
            Some(n) => Framing::Length(n.parse().expect("content-length is a number")),
            None => default,
        },
    }
}

/// One chunk of the chunked coding.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}

/// The end of a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// A piece of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Bytes, as one read gave them.
    Data(Vec<u8>),
    /// The body ended as its framing says.
    End,
    /// The connection closed before the body ended.
    Cut,
}

/// Bytes read ahead from `stream`, and the framing of the body being read.
#[derive(Debug)]
pub struct Reader<S> {
    stream: S,
    buffer: Vec<u8>,
    framing: Framing,
    in_chunk: usize,
}

impl<S: AsyncRead + Unpin> Reader<S> {
    /// Reads from `stream`.
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            framing: Framing::Empty,
            in_chunk: 0,
        }
    }

    /// What is read from, to write to it.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// What is read from, when nothing was read ahead.
    pub fn into_stream(self) -> S {
        assert!(self.buffer.is_empty(), "{:?}", String::from_utf8_lossy(&self.buffer));
        self.stream
    }

    /// Reads more; false at the end of the connection, however it ended.
    pub async fn fill(&mut self) -> bool {
        self.buffer.reserve(64 * 1024);
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(read) => read > 0,
            Err(error) => {
                assert_ne!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
                false
            }
        }
    }

    /// Reads a head, without its blank line; `None` when the connection ended first.
    pub async fn head(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.take(at);
                self.take(4);
                return Some(head);
            }
            if !self.fill().await {
                return None;
            }
        }
    }

    /// Says how the next body ends.
    pub fn expect_body(&mut self, framing: Framing) {
        self.framing = framing;
        self.in_chunk = 0;
    }

    /// The next piece of the body.
    pub async fn part(&mut self) -> Part {
        loop {
            if let Some(part) = self.part_of_buffer() {
                return part;
            }
            if !self.fill().await {
                return if self.framing == Framing::UntilClose {
                    Part::End
                } else {
                    Part::Cut
                };
            }
        }
    }

    /// The rest of the body, and whether it ended as its framing says.
    pub async fn body(&mut self) -> (Vec<u8>, Part) {
        let mut all = Vec::new();
        loop {
            match self.part().await {
                Part::Data(data) => all.extend_from_slice(&data),
                end => return (all, end),
            }
        }
    }

    fn part_of_buffer(&mut self) -> Option<Part> {
        match self.framing {
            Framing::Empty | Framing::Length(0) => Some(Part::End),
            Framing::Length(left) if !self.buffer.is_empty() => {
                let data = self.take(left.min(self.buffer.len()));
                self.framing = Framing::Length(left - data.len());
                Some(Part::Data(data))
            }
            Framing::UntilClose if !self.buffer.is_empty() => Some(Part::Data(self.take(self.buffer.len()))),
            Framing::Chunked => self.part_of_chunk(),
            Framing::Length(_) | Framing::UntilClose => None,
        }
    }

    fn part_of_chunk(&mut self) -> Option<Part> {
        if self.in_chunk == 0 {
            let line = find(&self.buffer, b"\r\n")?;
            let size = String::from_utf8(self.buffer[..line].to_vec()).expect("a chunk size in ASCII");
            let size = usize::from_str_radix(&size, 16).unwrap_or_else(|_| panic!("not a chunk size: {size:?}"));
            if size == 0 {
                // Trailers are never sent by what is tested here: the blank line must follow.
                if self.buffer.len() < line + 4 {
                    return None;
                }
                assert_eq!(
                    &self.buffer[line..line + 4],
                    b"\r\n\r\n",
                    "trailers after the last chunk"
                );
                self.take(line + 4);
                self.framing = Framing::Empty;
                return Some(Part::End);
            }
            self.take(line + 2);
            // The CRLF that ends the chunk is counted in, so that a chunk is over only when it was seen.
            self.in_chunk = size + 2;
        }
        if self.buffer.is_empty() || (self.in_chunk <= 2 && self.buffer.len() < self.in_chunk) {
            return None;
        }
        let data = self.take((self.in_chunk.saturating_sub(2)).min(self.buffer.len()));
        self.in_chunk -= data.len();
        if self.in_chunk == 2 && self.buffer.len() >= 2 {
            assert_eq!(self.take(2), b"\r\n", "a chunk that does not end with CRLF");
            self.in_chunk = 0;
        }
        if data.is_empty() {
            self.part_of_chunk()
        } else {
            Some(Part::Data(data))
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        self.buffer.drain(..n).collect()
    }
}

/// Where `needle` starts in `hay`.
pub fn find(hay: &[u8], needle: &[u8]) -> Option<usize> {
    hay.windows(needle.len()).position(|window| window == needle)
}
