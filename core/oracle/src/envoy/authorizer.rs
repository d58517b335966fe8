//! The external authorizer of both: what it says follows from what it is sent, so that whoever is sent something else
//! is answered otherwise.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::wire::{self, Message};

/// `name` of the extension provider.
pub const NAME: &str = "authz";

/// The host of its service.
pub const SERVICE: &str = "authz.test";

/// `includeRequestHeadersInCheck`
pub const SENT: [&str; 2] = ["x-a", "user-*"];

/// `headersToUpstreamOnAllow`
pub const TO_UPSTREAM: [&str; 2] = ["x-b", "x-c"];

/// `headersToDownstreamOnDeny`
pub const TO_CLIENT: [&str; 1] = ["x-why"];

/// What it is told of a request: the rest is about the connection, or Envoy's own.
const TOLD: [&str; 5] = ["host", "authorization", "x-a", "user-type", "x-fixed"];

/// Starts it and returns its port. It ends with the process.
///
/// # Errors
/// There is no port left.
pub fn start() -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Ok(port)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(question) = wire::read(&mut stream, &mut buffer, false)? {
        stream.write_all(answer(&question).as_bytes())?;
    }
    Ok(())
}

fn answer(question: &Message) -> String {
    let told = told(question);
    let (status, fields) = match told % 8 {
        0 | 1 => ("200 OK", String::new()),
        2 => ("200 OK", "x-b: a\r\nx-other: o\r\n".to_owned()),
        3 => ("200 OK", "x-b: 1\r\nx-b: b\r\nx-c: \r\n".to_owned()),
        4 => (
            "200 OK",
            "x-c: c\r\nx-envoy-auth-headers-to-remove: x-a, user-type\r\n".to_owned(),
        ),
        5 => ("401 Unauthorized", "www-authenticate: Basic\r\nx-why: w\r\n".to_owned()),
        6 => ("403 Forbidden", "x-why: w\r\n".to_owned()),
        _ => ("500 Internal Server Error", String::new()),
    };
    // The body tells what was told, so that two denials are alike only if the questions were.
    let body = format!("{told:016x}");
    format!(
        "HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// FNV-1a over all that counts of a question.
fn told(question: &Message) -> u64 {
    let mut fields: Vec<&(String, Vec<u8>)> = question
        .fields
        .iter()
        .filter(|(name, _)| TOLD.contains(&&**name))
        .collect();
    fields.sort();
    let fields = fields.into_iter().flat_map(|(name, value)| [name.as_bytes(), value]);
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in [question.line.as_bytes(), &question.body[..]]
        .into_iter()
        .chain(fields)
        .flatten()
    {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^ (hash >> 32)
}
