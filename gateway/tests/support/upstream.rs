//! A provider that records what it gets, byte for byte, and answers by script.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::HandshakeKind;

use super::wire::{self, Fields, Framing, Part, Reader};
use super::{eventually, within_patience};

/// The answer of the seed's step 4, as the documentation prints it.
pub const COMPLETION: &str = r#"{"choices":[{"message":{"role":"assistant","content":"I am a Large Language Model from Alibaba Cloud, and my name is Qwen."},"finish_reason":"stop","index":0,"logprobs":null}],"object":"chat.completion","usage":{"prompt_tokens":3,"completion_tokens":72,"total_tokens":75},"created":1720682745,"system_fingerprint":null,"model":"qwen1.5-72b-chat","id":"chatcmpl-3d117bd7-9bfb-9121-9fc2-xxxxxxxxxxxx"}"#;

/// A request as the provider got it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// The name asked for in the TLS handshake.
    pub sni: Option<String>,
    /// The certificate that the gateway has shown.
    pub certificate: Option<Vec<u8>>,
    /// Whether it resumed a session.
    pub is_resumed: bool,
    /// The first line.
    pub request_line: String,
    /// Header fields, in order.
    pub fields: Fields,
    /// The head as it came, without its blank line.
    pub raw_head: String,
    /// The body, decoded from its framing.
    pub body: Vec<u8>,
    /// How the body was framed.
    pub framing: Framing,
}

impl Recorded {
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
}

/// Lets one waiting step pass each time it is opened.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Semaphore>);

impl Gate {
    /// A closed gate.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(0)))
    }

    /// Lets so many steps pass.
    pub fn open_for(&self, steps: usize) {
        self.0.add_permits(steps);
    }

    /// Lets one step pass.
    pub fn open(&self) {
        self.0.add_permits(1);
    }

    async fn pass(&self) {
        self.0
            .acquire()
            .await
            .expect("gates are never closed for good")
            .forget();
    }
}

/// One thing the provider does while answering.
#[derive(Debug, Clone)]
pub enum Step {
    /// Sends bytes.
    Send(Vec<u8>),
    /// Waits for the test.
    Wait(Gate),
    /// Waits for a while.
    Pause(Duration),
    /// Ends the connection in an orderly way.
    Close,
    /// Drops the connection as a crash would.
    Cut,
}

/// What the provider does for one request.
#[derive(Debug, Clone)]
pub struct Answer(pub Vec<Step>);

impl Answer {
    /// A whole answer.
    pub fn whole(status: &str, fields: &[(&str, &str)], body: &str) -> Self {
        let mut head = format!("HTTP/1.1 {status}\r\n");
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        Self(vec![Step::Send(head.into_bytes())])
    }

    /// A chat completion with usage.
    pub fn completion() -> Self {
        Self::whole("200 OK", &[("content-type", "application/json")], COMPLETION)
    }

    /// Exactly these bytes, then the end of the connection.
    pub fn raw(bytes: &[u8]) -> Self {
        Self(vec![Step::Send(bytes.to_vec()), Step::Close])
    }

    /// An event stream, chunked; every event but the first waits for the gate, and so does the end.
    pub fn gated_stream(events: &[&str], gate: &Gate) -> Self {
        let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
        for (index, event) in events.iter().enumerate() {
            if index > 0 {
                steps.push(Step::Wait(gate.clone()));
            }
            steps.push(Step::Send(wire::chunk(event.as_bytes())));
        }
        steps.push(Step::Wait(gate.clone()));
        steps.push(Step::Send(wire::LAST_CHUNK.to_vec()));
        Self(steps)
    }

    /// An event stream that is sent at once.
    pub fn stream(events: &[&str]) -> Self {
        let mut bytes = STREAM_HEAD.to_vec();
        for event in events {
            bytes.extend_from_slice(&wire::chunk(event.as_bytes()));
        }
        bytes.extend_from_slice(wire::LAST_CHUNK);
        Self(vec![Step::Send(bytes)])
    }
}

/// The head of an event stream.
pub const STREAM_HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncache-control: no-cache\r\ntransfer-encoding: chunked\r\n\r\n";

#[derive(Default)]
struct State {
    answers: VecDeque<Answer>,
    connections: usize,
    requests: usize,
    closed: Vec<(usize, Instant)>,
    usual: Option<Usual>,
}

impl core::fmt::Debug for State {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}

/// What a provider does for requests without an answer of their own.
type Usual = Box<dyn Fn(&Recorded) -> Answer + Send>;

/// A running provider; it stops when dropped.
#[derive(Debug)]
pub struct Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    requests: tokio::sync::Mutex<mpsc::UnboundedReceiver<Recorded>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Upstream {
    /// A provider in plain text.
    pub async fn plain() -> Self {
        Self::start(None).await
    }

    /// A provider behind TLS.
    pub async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::start(Some(acceptor)).await
    }

    async fn start(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port for the upstream");
        let addr = listener.local_addr().expect("the upstream's address");
        let state = Arc::new(Mutex::new(State::default()));
        let (record, requests) = mpsc::unbounded_channel();
        let task = tokio::spawn(accept(listener, acceptor, Arc::clone(&state), record));
        Self {
            addr,
            state,
            requests: tokio::sync::Mutex::new(requests),
            task,
        }
    }

    /// Answers the next request that has no answer yet like this; without any, [`Answer::completion`].
    pub fn answer(&self, answer: Answer) {
        self.state.lock().expect("state").answers.push_back(answer);
    }

    /// Answers all requests that have no answer of their own like this.
    pub fn usually(&self, answer: impl Fn(&Recorded) -> Answer + Send + 'static) {
        self.state.lock().expect("state").usual = Some(Box::new(answer));
    }

    /// The next request.
    pub async fn request(&self) -> Recorded {
        let mut requests = self.requests.lock().await;
        within_patience("a request at the upstream", requests.recv())
            .await
            .expect("the upstream runs")
    }

    /// How many requests came so far.
    pub fn request_count(&self) -> usize {
        self.state.lock().expect("state").requests
    }

    /// How many connections were made so far, whether or not a request followed.
    pub fn connection_count(&self) -> usize {
        self.state.lock().expect("state").connections
    }

    /// When the gateway closed its end of a connection, or the connection failed.
    pub async fn closed(&self, connection: usize) -> Instant {
        eventually("the upstream connection closes", || async {
            self.closed_at(connection)
        })
        .await
    }

    /// The same, if it happened already.
    pub fn closed_at(&self, connection: usize) -> Option<Instant> {
        let state = self.state.lock().expect("state");
        state
            .closed
            .iter()
            .find(|(index, _)| *index == connection)
            .map(|(_, at)| *at)
    }
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    state: Arc<Mutex<State>>,
    record: mpsc::UnboundedSender<Recorded>,
) {
    let mut tasks = tokio::task::JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            return;
        };
        let connection = {
            let mut state = state.lock().expect("state");
            state.connections += 1;
            state.connections - 1
        };
        stream.set_nodelay(true).expect("nodelay");
        tasks.spawn(connect(
            stream,
            acceptor.clone(),
            Arc::clone(&state),
            record.clone(),
            connection,
        ));
    }
}

async fn connect(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    state: Arc<Mutex<State>>,
    record: mpsc::UnboundedSender<Recorded>,
    connection: usize,
) {
    let link = Link {
        state: Arc::clone(&state),
        record,
        connection,
        sni: None,
        certificate: None,
        is_resumed: false,
    };
    match acceptor {
        None => link.serve(stream).await,
        Some(acceptor) => {
            // A failed handshake is what a test of certificates wants to see: no request follows.
            if let Ok(stream) = acceptor.accept(stream).await {
                let tls = stream.get_ref().1;
                let certificate = tls.peer_certificates().and_then(<[_]>::first);
                let link = Link {
                    sni: tls.server_name().map(str::to_owned),
                    certificate: certificate.map(|certificate| certificate.to_vec()),
                    is_resumed: tls.handshake_kind() == Some(HandshakeKind::Resumed),
                    ..link
                };
                link.serve(stream).await;
            }
        }
    }
    let mut state = state.lock().expect("state");
    if !state.closed.iter().any(|(index, _)| *index == connection) {
        state.closed.push((connection, Instant::now()));
    }
}

struct Link {
    state: Arc<Mutex<State>>,
    record: mpsc::UnboundedSender<Recorded>,
    connection: usize,
    sni: Option<String>,
    certificate: Option<Vec<u8>>,
    is_resumed: bool,
}

impl Link {
    /// Reads in a task of its own, so that the end of the connection is noticed while an answer is under way.
    async fn serve<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(self, stream: S) {
        let (read, mut write) = tokio::io::split(stream);
        let (next, mut answers) = mpsc::unbounded_channel();
        let (end, mut ended) = watch::channel(false);
        let reader = tokio::spawn(async move {
            self.read(Reader::new(read), &next).await;
            self.state
                .lock()
                .expect("state")
                .closed
                .push((self.connection, Instant::now()));
            end.send_replace(true);
        });
        while let Some(answer) = answers.recv().await {
            let open = tokio::select! {
                open = perform(&mut write, answer) => open,
                _ = ended.wait_for(|ended| *ended) => false,
            };
            if !open {
                break;
            }
        }
        // A connection that is cut is dropped with both its halves.
        reader.abort();
    }

    /// Records requests until the connection ends, and hands each its answer.
    async fn read<S: AsyncRead + Unpin>(&self, mut reader: Reader<S>, next: &mpsc::UnboundedSender<Answer>) {
        while let Some(head) = reader.head().await {
            let (request_line, fields) = wire::parse_head(&head);
            let framing = wire::framing(&fields, Framing::Empty);
            reader.expect_body(framing);
            let (body, end) = reader.body().await;
            if end == Part::Cut {
                return;
            }
            let raw_head = String::from_utf8_lossy(&head).into_owned();
            let recorded = Recorded {
                connection: self.connection,
                sni: self.sni.clone(),
                certificate: self.certificate.clone(),
                is_resumed: self.is_resumed,
                request_line,
                fields,
                raw_head,
                body,
                framing,
            };
            let answer = {
                let mut state = self.state.lock().expect("state");
                state.requests += 1;
                let own = state.answers.pop_front();
                let usual = || state.usual.as_ref().map(|usual| usual(&recorded));
                own.or_else(usual).unwrap_or_else(Answer::completion)
            };
            // The test may be over already.
            let _ = self.record.send(recorded);
            let _ = next.send(answer);
        }
    }
}

/// Gives an answer; false when the connection is not to be used any more.
async fn perform<W: AsyncWrite + Unpin>(write: &mut W, answer: Answer) -> bool {
    for step in answer.0 {
        match step {
            Step::Send(bytes) => {
                if write.write_all(&bytes).await.is_err() || write.flush().await.is_err() {
                    return false;
                }
            }
            Step::Wait(gate) => gate.pass().await,
            Step::Pause(time) => tokio::time::sleep(time).await,
            Step::Close => {
                let _ = write.shutdown().await;
                return false;
            }
            Step::Cut => return false,
        }
    }
    true
}
