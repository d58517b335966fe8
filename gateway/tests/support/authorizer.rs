//! External authorizers over gRPC: a real HTTP/2 server that reads and writes Envoy's published messages.
//!
//! Those over HTTP are [`super::upstream`] itself, which shows every byte that it gets.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use envoy_types::pb::envoy::service::auth::v3::check_response::HttpResponse;
use envoy_types::pb::envoy::service::auth::v3::{CheckRequest, CheckResponse};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

/// What it does with one question.
#[derive(Debug, Clone)]
pub enum Answer {
    /// This message.
    Message(Box<CheckResponse>),
    /// These messages, one after the other.
    Messages(Vec<CheckResponse>),
    /// These bytes where a message should be.
    Bytes(Vec<u8>),
    /// A failed call with this gRPC status.
    Status(u8),
    /// An HTTP answer that is no gRPC.
    NotGrpc,
    /// Nothing, ever.
    Silence,
}

/// A question as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The call's path.
    pub path: String,
    /// The call's authority.
    pub authority: Option<String>,
    /// The message.
    pub message: CheckRequest,
    /// Which connection it came on, counted from 0.
    pub connection: usize,
}

#[derive(Debug, Default)]
struct State {
    answers: VecDeque<Answer>,
    asked: usize,
    connections: usize,
    dropped: usize,
}

/// A running authorizer; it stops when dropped.
#[derive(Debug)]
pub struct Authorizer {
    /// Where it listens.
    pub addr: SocketAddr,
    state: Arc<Mutex<State>>,
    questions: tokio::sync::Mutex<mpsc::UnboundedReceiver<Asked>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Authorizer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Says yes, as the status of a message that has nothing else.
pub fn yes() -> CheckResponse {
    verdict(0, None)
}

/// A verdict with `google.rpc.Status` `code`.
pub fn verdict(code: i32, http_response: Option<HttpResponse>) -> CheckResponse {
    CheckResponse {
        status: Some(envoy_types::pb::google::rpc::Status {
            code,
            ..Default::default()
        }),
        dynamic_metadata: None,
        http_response,
    }
}

impl Authorizer {
    /// One in plain text.
    pub async fn plain() -> Self {
        Self::start(None).await
    }

    /// One behind TLS.
    pub async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::start(Some(acceptor)).await
    }

    async fn start(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port for the authorizer");
        let addr = listener.local_addr().expect("its address");
        let state = Arc::new(Mutex::new(State::default()));
        let (record, questions) = mpsc::unbounded_channel();
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = {
                    let mut state = shared.lock().expect("state");
                    state.connections += 1;
                    state.connections - 1
                };
                let (state, record, acceptor) = (Arc::clone(&shared), record.clone(), acceptor.clone());
                tasks.spawn(async move {
                    let service =
                        service_fn(move |request| answer(request, connection, Arc::clone(&state), record.clone()));
                    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
                    // How a connection ended is the gateway's affair.
                    let _ = match acceptor {
                        None => server.serve_connection(TokioIo::new(stream), service).await,
                        Some(acceptor) => match acceptor.accept(stream).await {
                            Ok(stream) => server.serve_connection(TokioIo::new(stream), service).await,
                            Err(_) => return,
                        },
                    };
                });
            }
        });
        Self {
            addr,
            state,
            questions: tokio::sync::Mutex::new(questions),
            task,
        }
    }

    /// Answers the next question that has no answer yet like this; without any, yes.
    pub fn answer(&self, answer: Answer) {
        self.state.lock().expect("state").answers.push_back(answer);
    }

    /// The same with a message.
    pub fn say(&self, message: CheckResponse) {
        self.answer(Answer::Message(Box::new(message)));
    }

    /// The next question.
    pub async fn asked(&self) -> Asked {
        let mut questions = self.questions.lock().await;
        super::within_patience("a question at the authorizer", questions.recv())
            .await
            .expect("the authorizer runs")
    }

    /// How many questions came so far.
    pub fn count(&self) -> usize {
        self.state.lock().expect("state").asked
    }

    /// How many connections were made so far.
    pub fn connection_count(&self) -> usize {
        self.state.lock().expect("state").connections
    }

    /// How many questions that it never answered were taken back.
    pub fn taken_back(&self) -> usize {
        self.state.lock().expect("state").dropped
    }
}

/// Counts a question whose answer nobody waits for any more.
struct Waiting(Arc<Mutex<State>>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.lock().expect("state").dropped += 1;
    }
}

type Body = http_body_util::combinators::BoxBody<Bytes, Infallible>;

async fn answer(
    request: Request<Incoming>,
    connection: usize,
    state: Arc<Mutex<State>>,
    record: mpsc::UnboundedSender<Asked>,
) -> Result<Response<Body>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.expect("a whole question").to_bytes();
    // gRPC's framing: a flag for compression and the length.
    assert_eq!(body.first(), Some(&0), "a question is not compressed");
    let message = CheckRequest::decode(body.slice(5..)).expect("Envoy's published message");
    let next = {
        let mut state = state.lock().expect("state");
        state.asked += 1;
        state.answers.pop_front()
    };
    let asked = Asked {
        path: head.uri.path().to_owned(),
        authority: head.uri.authority().map(ToString::to_string),
        message,
        connection,
    };
    // Nobody may be interested.
    let _ = record.send(asked);
    let messages = match next.unwrap_or_else(|| Answer::Message(Box::new(yes()))) {
        Answer::Message(message) => vec![message.encode_to_vec()],
        Answer::Messages(messages) => messages.iter().map(CheckResponse::encode_to_vec).collect(),
        Answer::Bytes(bytes) => vec![bytes],
        Answer::Status(status) => return Ok(grpc(Bytes::new(), status)),
        Answer::NotGrpc => {
            let mut response = Response::new(Full::from("hello").boxed());
            response
                .headers_mut()
                .insert("content-type", HeaderValue::from_static("text/html"));
            return Ok(response);
        }
        Answer::Silence => {
            let _waiting = Waiting(state);
            tokio::time::sleep(Duration::from_secs(3600)).await;
            unreachable!("no test waits so long");
        }
    };
    let mut framed = Vec::new();
    for bytes in messages {
        framed.push(0);
        framed.extend_from_slice(&u32::try_from(bytes.len()).expect("a small message").to_be_bytes());
        framed.extend_from_slice(&bytes);
    }
    Ok(grpc(framed.into(), 0))
}

fn grpc(message: Bytes, status: u8) -> Response<Body> {
    let mut trailers = HeaderMap::new();
    trailers.insert(
        "grpc-status",
        HeaderValue::from_str(&status.to_string()).expect("a number"),
    );
    let body = Full::new(message).with_trailers(async move { Some(Ok(trailers)) });
    let mut response = Response::new(body.boxed());
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
