//! HTTP/2 as frames, for what no library would send.

use core::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within_patience;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const ACK: u8 = 1;
pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

pub const NO_ERROR: u32 = 0;
pub const PROTOCOL_ERROR: u32 = 1;
pub const FLOW_CONTROL_ERROR: u32 = 3;
pub const STREAM_CLOSED: u32 = 5;
pub const FRAME_SIZE_ERROR: u32 = 6;
pub const COMPRESSION_ERROR: u32 = 9;
pub const ENHANCE_YOUR_CALM: u32 = 11;

pub const INITIAL_WINDOW_SIZE: u16 = 4;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With an answer: its status, 0 for one that has no single byte in HPACK.
    Answered(u16),
    /// Reset, with this code.
    Reset(u32),
    /// With its connection.
    GoneAway,
}

impl End {
    /// Whether the request was taken for malformed, one way or another (RFC 9113 §8.1.1).
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::Reset(_) | Self::GoneAway | Self::Answered(400))
    }
}

#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// The error code of the last GOAWAY.
    pub goaway: Option<u32>,
}

impl Connection {
    pub async fn open(to: SocketAddr) -> Self {
        Self::open_with(to, &[]).await
    }

    /// Opens a connection with these settings.
    pub async fn open_with(to: SocketAddr, values: &[(u16, u32)]) -> Self {
        let mut connection = Self::begin(to, PREFACE).await;
        assert!(connection.send(&settings(values)).await, "settings");
        connection
    }

    /// Opens a connection with these bytes.
    pub async fn begin(to: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        stream.set_nodelay(true).expect("nodelay");
        stream.write_all(bytes).await.expect("the preface");
        Self { stream, goaway: None }
    }

    /// The server's side of a connection, when the preface has come; sends these settings.
    pub async fn served(mut stream: TcpStream, values: &[(u16, u32)]) -> Self {
        stream.set_nodelay(true).expect("nodelay");
        let mut preface = [0; PREFACE.len()];
        let read = within_patience("a preface", stream.read_exact(&mut preface)).await;
        assert!(read.is_ok() && preface == PREFACE, "no preface");
        let mut connection = Self { stream, goaway: None };
        assert!(connection.send(&settings(values)).await, "settings");
        connection
    }

    /// The number of the next stream that is opened, once its request is whole.
    pub async fn asked(&mut self) -> u32 {
        loop {
            let (kind, flags, stream, _) = self.next().await.expect("a request");
            if stream > 0 && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0 {
                return stream;
            }
        }
    }

    /// Sends bytes; `false` when the gateway no longer takes any.
    pub async fn send(&mut self, bytes: &[u8]) -> bool {
        within_patience("sending", self.stream.write_all(bytes)).await.is_ok()
    }

    /// The next frame: its type, flags, stream and payload.
    pub async fn next(&mut self) -> Option<(u8, u8, u32, Vec<u8>)> {
        let mut head = [0; 9];
        let read = within_patience("a frame", self.stream.read_exact(&mut head)).await;
        read.ok()?;
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        let read = within_patience("a frame", self.stream.read_exact(&mut payload)).await;
        read.ok()?;
        if head[3] == GOAWAY {
            self.goaway = Some(number(&payload[4..]));
        }
        Some((head[3], head[4], number(&head[5..]), payload))
    }

    /// The next frame: its type, stream and payload.
    pub async fn frame(&mut self) -> Option<(u8, u32, Vec<u8>)> {
        self.next()
            .await
            .map(|(kind, _, stream, payload)| (kind, stream, payload))
    }

    /// Reads to the end of the connection.
    pub async fn closes(&mut self) {
        while self.next().await.is_some() {}
    }

    /// How `stream` ends.
    pub async fn end(&mut self, stream: u32) -> End {
        loop {
            match self.frame().await {
                None | Some((GOAWAY, ..)) => return End::GoneAway,
                Some((RST_STREAM, on, payload)) if on == stream => return End::Reset(number(&payload)),
                Some((HEADERS, on, payload)) if on == stream => return End::Answered(status(&payload)),
                Some(_) => {}
            }
        }
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a frame");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// A SETTINGS frame.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let payload: Vec<u8> = values
        .iter()
        .flat_map(|(name, value)| [&name.to_be_bytes()[..], &value.to_be_bytes()[..]].concat())
        .collect();
    frame(SETTINGS, 0, 0, &payload)
}

/// A header block of literals, sent as they are (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        string(&mut bytes, name.as_bytes());
        string(&mut bytes, value);
    }
    bytes
}

/// The block of a GET under `test.com` with more fields.
pub fn get(fields: &[(&str, &[u8])]) -> Vec<u8> {
    let start: [(&str, &[u8]); 4] = [
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"test.com"),
        (":path", b"/"),
    ];
    block(&[&start, fields].concat())
}

fn string(bytes: &mut Vec<u8>, text: &[u8]) {
    let mut length = text.len();
    if length < 127 {
        bytes.push(u8::try_from(length).expect("small"));
    } else {
        bytes.push(127);
        length -= 127;
        while length >= 128 {
            bytes.push(u8::try_from(length % 128).expect("seven bits") | 128);
            length /= 128;
        }
        bytes.push(u8::try_from(length).expect("seven bits"));
    }
    bytes.extend_from_slice(text);
}

fn number(bytes: &[u8]) -> u32 {
    bytes
        .iter()
        .take(4)
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// The status of an answer, if it is one of HPACK's static table.
fn status(block: &[u8]) -> u16 {
    let field = block.iter().find(|byte| !(0x20..0x40).contains(*byte));
    match field {
        Some(0x88) => 200,
        Some(0x8c) => 400,
        Some(0x8d) => 404,
        Some(0x8e) => 500,
        _ => 0,
    }
}
