//! The upstreams of both: each answers every request with the head it got, and says which of them it is.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use super::wire;

/// The field that only our upstreams' answers have: whose it is.
pub const MARK: &str = "x-upstream";

/// The hosts that VirtualServices send to.
pub const HOSTS: [&str; 3] = ["one.test", "two.test", "also.test"];

/// Starts one and returns its port. It ends with the process.
///
/// # Errors
/// There is no port left.
pub fn start(name: &'static str) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, name));
        }
    });
    Ok(port)
}

fn serve(mut stream: TcpStream, name: &str) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(request) = wire::read(&mut stream, &mut buffer, false)? {
        let mut seen = request.line.into_bytes();
        for (name, value) in request.fields {
            seen.extend_from_slice(format!("\r\n{name}: ").as_bytes());
            seen.extend_from_slice(&value);
        }
        let length = seen.len();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\n{MARK}: {name}\r\nx-a: upstream\r\ncontent-length: {length}\r\n\r\n")
                .into_bytes();
        answer.extend_from_slice(&seen);
        stream.write_all(&answer)?;
    }
    Ok(())
}
