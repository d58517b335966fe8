//! Clients that keep asking while something happens to the gateway, and miss nothing.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use super::client::{Client, post};
use super::upstream::{Answer, COMPLETION, Gate, Recorded, STREAM_HEAD, Step, Upstream};
use super::wire::{self, LAST_CHUNK, Part};
use super::{QUESTION, within_patience};

/// Asks for a stream.
pub const ASK_STREAM: &str = r#"{"messages":[],"stream":true}"#;

const EVENT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"word \"}}]}\n\n";
const EVENTS: usize = 20;
const EVENT_EVERY: Duration = Duration::from_millis(20);

/// Who asks.
#[derive(Debug)]
pub struct Load {
    over: Arc<AtomicBool>,
    clients: JoinSet<Tally>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Tally {
    /// Whole answers.
    pub answers: u64,
    /// Streams that came to their end.
    pub streams: u64,
    /// What was no whole answer, in words.
    pub failures: Vec<String>,
}

/// Asks for a stream that waits at a gate after its first event.
pub const ASK_HELD: &str = r#"{"messages":[],"stream":true,"user":"held"}"#;

/// The provider that [`Load`] expects; streams of [`ASK_HELD`] wait at `gate`.
pub fn answer(provider: &Upstream, gate: &Gate) {
    let gate = gate.clone();
    provider.usually(move |request: &Recorded| {
        if request.text().contains("\"held\"") {
            return Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &gate);
        }
        if !request.text().contains("\"stream\":true") {
            return Answer::completion();
        }
        let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
        for _ in 0..EVENTS {
            steps.extend([Step::Send(wire::chunk(EVENT.as_bytes())), Step::Pause(EVENT_EVERY)]);
        }
        steps.push(Step::Send(LAST_CHUNK.to_vec()));
        Answer(steps)
    });
}

impl Load {
    /// Starts clients that keep their connections as SDKs do, of which `streams` ask for streams, and some that speak
    /// HTTP/2.
    pub fn start(to: SocketAddr, clients: usize, streams: usize, http2: usize) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for index in 0..clients + streams {
            running.spawn(ask(to, index >= clients, Arc::clone(&over)));
        }
        for _ in 0..http2 {
            running.spawn(ask_http2(to, Arc::clone(&over)));
        }
        Self { over, clients: running }
    }

    /// Lets everyone end what they have begun.
    pub async fn finish(mut self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        while let Some(one) = within_patience("a client's end", self.clients.join_next()).await {
            let one = one.expect("a client");
            all.answers += one.answers;
            all.streams += one.streams;
            all.failures.extend(one.failures);
        }
        all
    }
}

async fn ask(to: SocketAddr, streams: bool, over: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while !over.load(Ordering::Relaxed) {
        let mut client = match kept.take() {
            Some(client) => client,
            None => match Client::try_connect_from([127, 0, 0, 1], to).await {
                Ok(client) => client,
                Err(error) => {
                    tally.failures.push(format!("connect: {error}"));
                    continue;
                }
            },
        };
        match once(&mut client, streams).await {
            Ok(keep) => {
                kept = keep.then_some(client);
                tally.answers += u64::from(!streams);
                tally.streams += u64::from(streams);
            }
            Err(error) => tally.failures.push(error),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tally
}

/// One request; whether its connection may be used again.
async fn once(client: &mut Client, stream: bool) -> Result<bool, String> {
    let body = if stream { ASK_STREAM } else { QUESTION };
    let sent = client.try_send(post("test.com", &[], body)).await;
    sent.map_err(|error| format!("send: {error}"))?;
    let answer = client.try_response().await.ok_or("closed instead of an answer")?;
    let whole = if stream {
        EVENT.repeat(EVENTS)
    } else {
        COMPLETION.to_owned()
    };
    if (answer.status, answer.text().as_str(), &answer.end) != (200, whole.as_str(), &Part::End) {
        return Err(format!(
            "{} {:?} after {} bytes",
            answer.status,
            answer.end,
            answer.body.len()
        ));
    }
    Ok(answer.header("connection") != Some("close"))
}

async fn ask_http2(to: SocketAddr, over: Arc<AtomicBool>) -> Tally {
    let mut tally = Tally::default();
    let mut kept = None;
    while !over.load(Ordering::Relaxed) {
        let mut sender = match kept.take() {
            Some(sender) => sender,
            None => match connect_http2(to).await {
                Ok(sender) => sender,
                Err(error) => {
                    tally.failures.push(format!("HTTP/2: {error}"));
                    continue;
                }
            },
        };
        // Who is told to go away goes elsewhere.
        if sender.ready().await.is_err() {
            continue;
        }
        match once_http2(&mut sender).await {
            Ok(answered) => {
                tally.answers += u64::from(answered);
                kept = Some(sender);
            }
            Err(error) => tally.failures.push(format!("HTTP/2: {error}")),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tally
}

type Sender = SendRequest<Full<Bytes>>;
type Failed = Box<dyn std::error::Error + Send + Sync>;

async fn connect_http2(to: SocketAddr) -> Result<Sender, Failed> {
    let stream = tokio::net::TcpStream::connect(to).await?;
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender)
}

/// One request; false if the gateway said that it will not look at it, so that it can be sent elsewhere.
async fn once_http2(sender: &mut Sender) -> Result<bool, Failed> {
    let request = Request::builder()
        .method(Method::POST)
        .uri("http://test.com/v1/chat/completions")
        .header("content-type", "application/json")
        .body(Full::from(QUESTION))?;
    let answer = match within_patience("an answer", sender.try_send_request(request)).await {
        Ok(answer) => answer,
        Err(error) if error.message().is_some() => return Ok(false),
        Err(error) => return Err(error.into_error().into()),
    };
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    if status == 200 && body == COMPLETION {
        return Ok(true);
    }
    Err(format!("{status} with {} bytes", body.len()).into())
}
