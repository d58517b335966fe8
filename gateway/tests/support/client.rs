//! A client that sends arbitrary bytes and reads answers piece by piece.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{self, Fields, Framing, Part, Reader};
use super::within_patience;

/// The start of an answer.
#[derive(Debug, Clone)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Header fields, in order.
    pub fields: Fields,
}

impl Head {
    /// The only value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::value(&self.fields, name)
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// Header fields, in order.
    pub fields: Fields,
    /// The body, decoded from its framing.
    pub body: Vec<u8>,
    /// [`Part::End`], or [`Part::Cut`] when the connection closed before the body ended.
    pub end: Part,
}

impl Response {
    /// The only value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        wire::value(&self.fields, name)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {:?}", self.text()))
    }

    /// Asserts that this is an error of `status` in the OpenAI API's own shape, and gives its `error` object.
    pub fn openai_error(&self, status: u16) -> serde_json::Value {
        assert_eq!(self.status, status, "{}", self.text());
        let kind = self.header("content-type").unwrap_or_default();
        assert!(
            kind.starts_with("application/json"),
            "content-type {kind:?} of an OpenAI error"
        );
        assert!(
            self.header("x-request-id").is_some_and(|id| !id.is_empty()),
            "an error without x-request-id"
        );
        let body = self.json();
        let error = body["error"]
            .as_object()
            .unwrap_or_else(|| panic!("no error object: {body}"));
        for field in ["message", "type", "param", "code"] {
            assert!(error.contains_key(field), "no `{field}` in {body}");
        }
        assert!(
            !error["message"].as_str().expect("a message").is_empty(),
            "an empty message: {body}"
        );
        assert!(
            !error["type"].as_str().expect("a type").is_empty(),
            "an empty type: {body}"
        );
        body["error"].clone()
    }
}

/// A connection to the gateway.
#[derive(Debug)]
pub struct Client<S = TcpStream> {
    reader: Reader<S>,
}

impl Client {
    /// Connects from 127.0.0.1.
    pub async fn connect(to: SocketAddr) -> Self {
        Self::connect_from([127, 0, 0, 1], to).await
    }

    /// Connects from another address of this machine.
    pub async fn connect_from(from: [u8; 4], to: SocketAddr) -> Self {
        Self::try_connect_from(from, to)
            .await
            .expect("a connection to the gateway")
    }

    /// Connects if somebody listens there.
    pub async fn try_connect_from(from: [u8; 4], to: SocketAddr) -> std::io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(from)), 0))?;
        let stream = within_patience("a connection", socket.connect(to)).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Ends the connection as a killed client does: with a reset.
    pub fn reset(mut self) {
        // Without lingering, closing a socket discards what is unsent and resets the connection.
        self.reader.stream().set_zero_linger().expect("linger");
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Speaks over a connection that is there.
    pub fn over(stream: S) -> Self {
        Self {
            reader: Reader::new(stream),
        }
    }

    /// What is spoken over.
    pub fn stream(&mut self) -> &mut S {
        self.reader.stream()
    }

    /// Waits for the end, before which nothing comes: an error when it looks like a cut.
    pub async fn ends(&mut self) -> std::io::Result<()> {
        let mut rest = Vec::new();
        within_patience("the end of the connection", self.reader.stream().read_to_end(&mut rest)).await?;
        assert!(rest.is_empty(), "{:?}", String::from_utf8_lossy(&rest));
        Ok(())
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).await.expect("sending to the gateway");
    }

    /// Sends bytes to a gateway that may refuse to read them.
    pub async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let sent = async {
            self.reader.stream().write_all(bytes.as_ref()).await?;
            self.reader.stream().flush().await
        };
        within_patience("sending", sent).await
    }

    /// The next head, interim answers (1xx) skipped. What follows a 101 is read as its body.
    pub async fn head(&mut self) -> Head {
        self.try_head().await.expect("an answer, not the end of the connection")
    }

    /// The next head, or `None` when the gateway closed the connection without an answer.
    pub async fn try_head(&mut self) -> Option<Head> {
        loop {
            let head = within_patience("the head of an answer", self.reader.head()).await?;
            let (line, fields) = wire::parse_head(&head);
            let mut words = line.splitn(3, ' ');
            assert!(
                words.next().is_some_and(|version| version.starts_with("HTTP/1.")),
                "{line}"
            );
            let status: u16 = words
                .next()
                .and_then(|s| s.parse().ok())
                .unwrap_or_else(|| panic!("status of {line:?}"));
            if status < 200 && status != 101 {
                continue;
            }
            let without_body = matches!(status, 204 | 304);
            let framing = if without_body {
                Framing::Empty
            } else {
                wire::framing(&fields, Framing::UntilClose)
            };
            self.reader.expect_body(framing);
            return Some(Head { status, fields });
        }
    }

    /// The next piece of the body.
    pub async fn part(&mut self) -> Part {
        within_patience("a piece of the answer", self.reader.part()).await
    }

    /// The next `length` bytes of the body, as text.
    pub async fn text(&mut self, length: usize) -> String {
        let mut all = Vec::new();
        while all.len() < length {
            match self.part().await {
                Part::Data(data) => all.extend_from_slice(&data),
                end => panic!("{end:?} after {:?}", String::from_utf8_lossy(&all)),
            }
        }
        String::from_utf8(all).expect("text")
    }

    /// The next whole answer.
    pub async fn response(&mut self) -> Response {
        self.try_response()
            .await
            .expect("an answer, not the end of the connection")
    }

    /// The next whole answer, or `None` when the gateway closed the connection without one.
    pub async fn try_response(&mut self) -> Option<Response> {
        let Head { status, fields } = self.try_head().await?;
        let (body, end) = within_patience("the body of an answer", self.reader.body()).await;
        Some(Response {
            status,
            fields,
            body,
            end,
        })
    }

    /// Whether the gateway closed the connection (waits for it).
    pub async fn closes(&mut self) -> bool {
        let mut closed = false;
        while !closed {
            closed = !within_patience("the end of the connection", self.reader.fill()).await;
        }
        closed
    }

    /// Sends [`post`] and reads the answer.
    pub async fn ask(&mut self, host: &str, body: impl AsRef<[u8]>) -> Response {
        self.send(post(host, &[], body)).await;
        self.response().await
    }
}

/// The request of the seed's step 4 (`POST /`, JSON) with another host, more fields, another body.
pub fn post(host: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut all = vec![
        ("user-agent", "curl/8.5.0"),
        ("accept", "*/*"),
        ("content-type", "application/json"),
    ];
    all.extend_from_slice(fields);
    request("POST", "/", host, &all, body)
}

/// Any request with a `content-length`.
pub fn request(method: &str, target: &str, host: &str, fields: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let body = body.as_ref();
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Asks once on a new connection from 127.0.0.1.
pub async fn ask(to: SocketAddr, host: &str, body: impl AsRef<[u8]>) -> Response {
    ask_from([127, 0, 0, 1], to, host, body).await
}

/// Asks once on a new connection from another address.
pub async fn ask_from(from: [u8; 4], to: SocketAddr, host: &str, body: impl AsRef<[u8]>) -> Response {
    Client::connect_from(from, to).await.ask(host, body).await
}

/// Sends any bytes on a new connection and reads the answer.
pub async fn send_raw(to: SocketAddr, bytes: impl AsRef<[u8]>) -> Option<Response> {
    let mut client = Client::connect(to).await;
    // A gateway that refuses early may close while the rest is still being sent.
    let _ = client.try_send(bytes).await;
    client.try_response().await
}

/// Reads a page of the admin port.
pub async fn get(from: SocketAddr, path: &str) -> Response {
    let mut client = Client::connect(from).await;
    client
        .send(format!(
            "GET {path} HTTP/1.1\r\nhost: {from}\r\nconnection: close\r\n\r\n"
        ))
        .await;
    client.response().await
}
