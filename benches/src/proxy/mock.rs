//! The upstream: answers chats at once, or in timed chunks that carry the time they were sent at.
//!
//! It refuses what a proxy has not rewritten.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;

use super::chat::{self, KEY, MODEL, PROVIDER_HOST, PROVIDER_PATH, Pace, SENT, STREAM_CHUNKS};
use super::process::now_ns;
use super::tls;
use super::wire::{Message, Wire, field, holds};

/// Bytes of the body in which a wish for a stream stands.
const STREAM_WITHIN: usize = 100;

/// Serves on `listen`, until the process is ended; over TLS if there are files with a certificate and its key.
///
/// # Errors
/// If the address cannot be listened on, or a file is not what it should be.
pub fn serve(listen: SocketAddr, identity: Option<(&Path, &Path)>) -> io::Result<()> {
    let acceptor = match identity {
        None => None,
        Some((certificate, key)) => {
            let config = tls::server(certificate, key).map_err(io::Error::other)?;
            Some(TlsAcceptor::from(Arc::new(config)))
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let acceptor = acceptor.clone();
            // A broken connection shows at the client.
            tokio::spawn(async move {
                match acceptor {
                    None => connection(Wire::over(stream)).await,
                    Some(acceptor) => connection(Wire::over(acceptor.accept(stream).await?)).await,
                }
            });
        }
    })
}

async fn connection<S: AsyncRead + AsyncWrite + Unpin>(mut wire: Wire<S>) -> io::Result<()> {
    let answers = [false, true].map(|named| json("200 OK", &chat::answer(named)));
    let [unnamed, named] = &answers;
    while let Some(request) = wire.receive().await? {
        match asked(&request) {
            Ok(Asked::Chat { names_model: false }) => wire.send(unnamed).await?,
            Ok(Asked::Chat { names_model: true }) => wire.send(named).await?,
            Ok(Asked::Stream(pace)) => stream_chunks(&mut wire, pace).await?,
            Err(reason) => wire.send(&json("400 Bad Request", &format!("{reason:?}"))).await?,
        }
    }
    Ok(())
}

#[derive(Debug, PartialEq)]
enum Asked {
    Chat { names_model: bool },
    Stream(Pace),
}

/// What the request asks for, or what a proxy has not done to it.
fn asked(request: &Message<'_>) -> Result<Asked, &'static str> {
    let line = format!("POST {PROVIDER_PATH} HTTP/1.1\r\n");
    if !request.head.starts_with(line.as_bytes()) {
        return Err("the path was not rewritten");
    }
    if field(request.head, "host") != Some(PROVIDER_HOST.as_bytes()) {
        return Err("the host was not rewritten");
    }
    let key = field(request.head, "authorization").and_then(|value| value.strip_prefix(b"Bearer "));
    if key != Some(KEY.as_bytes()) {
        return Err("the key is not the provider's");
    }
    // Near the start, though a proxy may have put the model before it.
    let start = request.body.get(..STREAM_WITHIN).unwrap_or(request.body);
    // The wish for a slow stream has that for any stream in it.
    let wished = [Pace::Slow, Pace::Quick];
    let pace = wished.into_iter().find(|pace| holds(start, pace.wish()));
    Ok(pace.map_or_else(
        || Asked::Chat {
            names_model: holds(request.body, MODEL),
        },
        Asked::Stream,
    ))
}

async fn stream_chunks<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, pace: Pace) -> io::Result<()> {
    wire.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
        .await?;
    let mut ticks = interval(pace.every());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..STREAM_CHUNKS {
        ticks.tick().await;
        let event = format!(
            "data: {{{SENT}{},\"object\":\"chat.completion.chunk\",\
             \"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"and so on\"}}}}]}}\n\n",
            now_ns()
        );
        wire.send(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
            .await?;
    }
    let end = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":20,\"total_tokens\":23}}\n\n\
               data: [DONE]\n\n";
    wire.send(format!("{:x}\r\n{end}\r\n0\r\n\r\n", end.len()).as_bytes())
        .await
}

fn json(status: &str, body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked_with(host: &str, path: &str, body: &str) -> Result<Asked, &'static str> {
        let request = chat::request(host, path, 0, None);
        let head = request.len() - request.iter().rev().take_while(|byte| **byte != b'\n').count();
        asked(&Message {
            head: &request[..head],
            body: body.as_bytes(),
        })
    }

    #[test]
    fn what_was_not_rewritten_is_refused() {
        let chat = |names_model| Ok(Asked::Chat { names_model });
        assert_eq!(asked_with(PROVIDER_HOST, PROVIDER_PATH, "{}"), chat(false));
        let named = format!("{{\"model\":{MODEL}}}");
        assert_eq!(asked_with(PROVIDER_HOST, PROVIDER_PATH, &named), chat(true));
        for pace in [Pace::Quick, Pace::Slow] {
            let body = format!("{{\"model\":{MODEL},{}\"messages\":[]}}", pace.wish());
            assert_eq!(asked_with(PROVIDER_HOST, PROVIDER_PATH, &body), Ok(Asked::Stream(pace)));
        }
        assert!(asked_with(chat::CLIENT_HOST, PROVIDER_PATH, "{}").is_err());
        assert!(asked_with(PROVIDER_HOST, chat::CLIENT_PATH, "{}").is_err());
    }
}
