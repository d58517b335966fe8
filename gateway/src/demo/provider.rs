//! A provider that speaks OpenAI's chat API on loopback: whole answers, streams, usage, errors.
//! It has no model: it tells what it received.

use core::convert::Infallible;
use core::net::{Ipv4Addr, SocketAddr};
use core::pin::Pin;
use core::task::{Context, Poll};
use core::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::Sleep;

/// Pause between two chunks, so that one sees them come.
const CHUNK_PAUSE: Duration = Duration::from_millis(60);

const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Starts it on a free port of the current runtime.
pub(super) async fn start(api_key: &'static str) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let service = service_fn(move |request| answer(request, api_key));
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Ok(address)
}

type Answer = Response<Either<Full<Bytes>, Chunks>>;

async fn answer(request: Request<Incoming>, api_key: &str) -> Result<Answer, Infallible> {
    let (head, body) = request.into_parts();
    if head.method != Method::POST || head.uri.path() != "/v1/chat/completions" {
        return Ok(error(
            StatusCode::NOT_FOUND,
            "unknown_url",
            "only POST /v1/chat/completions is known",
        ));
    }
    if head
        .headers
        .get(AUTHORIZATION)
        .is_none_or(|value| value != &format!("Bearer {api_key}"))
    {
        return Ok(error(
            StatusCode::UNAUTHORIZED,
            "invalid_api_key",
            "the API key is wrong",
        ));
    }
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return Ok(error(StatusCode::BAD_REQUEST, "bad_body", "the body cannot be read"));
    };
    let Ok(body) = serde_json::from_slice::<Value>(&body.to_bytes()) else {
        return Ok(error(StatusCode::BAD_REQUEST, "bad_body", "the body is no JSON"));
    };
    let Some(question) = last_question(&body) else {
        return Ok(error(
            StatusCode::BAD_REQUEST,
            "bad_messages",
            "`messages` must be a list of messages",
        ));
    };
    let model = body.get("model").and_then(Value::as_str).unwrap_or("unknown");
    let text = reply(&head, model, question);
    let usage = usage(&body, &text);
    let streams = body.get("stream").and_then(Value::as_bool).unwrap_or(false);
    Ok(if streams {
        stream(model, &text, &usage)
    } else {
        whole(model, &text, &usage)
    })
}

fn last_question(body: &Value) -> Option<&str> {
    body.get("messages")?.as_array()?.last()?.get("content")?.as_str()
}

fn reply(head: &Parts, model: &str, question: &str) -> String {
    let host = head
        .headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or("-");
    format!(
        "I am the demo provider. You asked: {question} - The gateway sent it to me as {} {} with host {host}, \
         model {model} and a key that you never had to know.",
        head.method,
        head.uri.path(),
    )
}

/// Words, which is near enough to tokens for a demo.
fn usage(body: &Value, text: &str) -> Value {
    let messages = body.get("messages").and_then(Value::as_array);
    let words = |text: &str| text.split_whitespace().count();
    let prompt: usize = messages
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("content")?.as_str())
        .map(words)
        .sum();
    let completion = words(text);
    json!({ "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion })
}

fn whole(model: &str, text: &str, usage: &Value) -> Answer {
    let body = json!({
        "id": "chatcmpl-demo", "object": "chat.completion", "created": 0, "model": model,
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }],
        "usage": usage,
    });
    typed(
        "application/json",
        Either::Left(Full::new(Bytes::from(body.to_string()))),
    )
}

fn stream(model: &str, text: &str, usage: &Value) -> Answer {
    let chunk = |choices: Value, usage: &Value| {
        let body = json!({
            "id": "chatcmpl-demo", "object": "chat.completion.chunk", "created": 0, "model": model,
            "choices": choices, "usage": usage,
        });
        format!("data: {body}\n\n")
    };
    let choice = |delta: Value, finish: Value| json!([{ "index": 0, "delta": delta, "finish_reason": finish }]);
    let mut chunks = vec![chunk(
        choice(json!({ "role": "assistant", "content": "" }), Value::Null),
        &Value::Null,
    )];
    let words = text.split_inclusive(' ');
    chunks.extend(words.map(|word| chunk(choice(json!({ "content": word }), Value::Null), &Value::Null)));
    chunks.push(chunk(choice(json!({}), json!("stop")), &Value::Null));
    chunks.push(chunk(json!([]), usage));
    chunks.push("data: [DONE]\n\n".to_owned());
    typed("text/event-stream", Either::Right(Chunks::new(chunks)))
}

fn error(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({ "error": { "message": message, "type": "invalid_request_error", "param": null, "code": code } });
    let mut answer = typed(
        "application/json",
        Either::Left(Full::new(Bytes::from(body.to_string()))),
    );
    *answer.status_mut() = status;
    answer
}

fn typed(content_type: &'static str, body: Either<Full<Bytes>, Chunks>) -> Answer {
    let mut answer = Response::new(body);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Texts, one after the other with a pause between.
struct Chunks {
    texts: std::vec::IntoIter<String>,
    pause: Pin<Box<Sleep>>,
}

impl Chunks {
    fn new(texts: Vec<String>) -> Self {
        Self {
            texts: texts.into_iter(),
            pause: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        std::task::ready!(self.pause.as_mut().poll(cx));
        self.pause.as_mut().reset(tokio::time::Instant::now() + CHUNK_PAUSE);
        Poll::Ready(self.texts.next().map(|text| Ok(Frame::data(Bytes::from(text)))))
    }
}
