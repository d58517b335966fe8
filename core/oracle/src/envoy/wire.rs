//! HTTP/1.1 over a socket, just as much of it as two proxies and an upstream of ours need.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

/// How long anything on this machine may take before it counts as hanging.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message's first line, fields and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The request or status line.
    pub line: String,
    /// Names in lower case.
    pub fields: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// The first value of a field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| &value[..])
    }
}

/// Sends a request and returns the answer; `None` when the connection is closed without one.
///
/// With `ends` the other side is told that no more will come, so that it does not wait for the rest of what is cut off.
///
/// # Errors
/// The proxy cannot be reached, or hangs.
pub fn ask(from: Ipv4Addr, to: SocketAddrV4, request: &[u8], ends: bool) -> io::Result<Option<Message>> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from(to).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    // It may have refused and closed before everything was sent.
    match stream.write_all(request) {
        Err(error) if !is_closed(&error) => return Err(error),
        _ => {}
    }
    if ends {
        stream.shutdown(Shutdown::Write).ok();
    }
    read(&mut stream, &mut Vec::new(), false)
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

/// Reads the next message. What was read beyond it stays in `buffer`.
///
/// # Errors
/// It does not come in time.
pub fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>, is_head: bool) -> io::Result<Option<Message>> {
    let end = loop {
        if let Some(end) = find(buffer, b"\r\n\r\n") {
            break end;
        }
        if !more(stream, buffer)? {
            return Ok(None);
        }
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let mut lines = head[..end].split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let line = String::from_utf8_lossy(lines.next().unwrap_or(b"")).into_owned();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = String::from_utf8_lossy(&line[..colon]).to_ascii_lowercase();
        Some((name, line[colon + 1..].trim_ascii().to_vec()))
    });
    let mut message = Message {
        line,
        fields: fields.collect(),
        body: Vec::new(),
    };
    if !is_head {
        message.body = body(stream, buffer, &message)?;
    }
    Ok(Some(message))
}

fn body(stream: &mut TcpStream, buffer: &mut Vec<u8>, message: &Message) -> io::Result<Vec<u8>> {
    let number = |text: &[u8], radix| usize::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok();
    if message.field("transfer-encoding").is_none() {
        let length = message.field("content-length").and_then(|length| number(length, 10));
        return take(stream, buffer, length.unwrap_or(0));
    }
    let mut body = Vec::new();
    loop {
        let end = loop {
            match find(buffer, b"\r\n") {
                Some(end) => break end,
                None if more(stream, buffer)? => {}
                None => return Ok(body),
            }
        };
        let line: Vec<u8> = buffer.drain(..end + 2).collect();
        let length = number(&line[..end], 16).unwrap_or(0);
        let mut chunk = take(stream, buffer, length + 2)?;
        chunk.truncate(length);
        body.extend(chunk);
        if length == 0 {
            return Ok(body);
        }
    }
}

fn take(stream: &mut TcpStream, buffer: &mut Vec<u8>, length: usize) -> io::Result<Vec<u8>> {
    while buffer.len() < length {
        if !more(stream, buffer)? {
            return Err(ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(buffer.drain(..length).collect())
}

/// `false` at the end.
fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<bool> {
    let mut chunk = [0; 16 * 1024];
    match stream.read(&mut chunk) {
        Ok(0) => Ok(false),
        Ok(length) => {
            buffer.extend_from_slice(&chunk[..length]);
            Ok(true)
        }
        Err(error) if is_closed(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
