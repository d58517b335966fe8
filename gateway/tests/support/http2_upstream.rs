//! An upstream that speaks HTTP/2: the tests answer its requests themselves, one by one; or frame by frame, for what no
//! library would send.

use core::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use h2::server::{self, SendResponse};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};
use tokio_rustls::TlsAcceptor;

use super::frames::Connection;
use super::within_patience;

/// A request that waits for its answer.
#[derive(Debug)]
pub struct Asked {
    /// Which connection it came on, counted from 0.
    pub connection: usize,
    /// Its head and body.
    pub request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
}

impl Asked {
    /// The only value of a field.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.request.headers().get_all(name).iter();
        let only = values.next().filter(|_| values.next().is_none());
        only.map(|value| value.to_str().expect("text"))
    }

    /// The whole body, and its trailers.
    pub async fn body(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let body = self.request.body_mut();
        let mut bytes = Vec::new();
        while let Some(data) = within_patience("a body", body.data()).await {
            let data = data.expect("a body");
            body.flow_control().release_capacity(data.len()).expect("a window");
            bytes.extend_from_slice(&data);
        }
        (bytes, body.trailers().await.expect("trailers"))
    }

    /// Waits until the stream is reset; its code.
    pub async fn is_reset(&mut self) -> u32 {
        let reset = core::future::poll_fn(|cx| self.respond.poll_reset(cx));
        within_patience("a reset", reset).await.expect("a code").into()
    }

    /// Begins an answer.
    pub fn begin(&mut self, response: Response<()>) -> SendStream<Bytes> {
        self.respond.send_response(response, false).expect("an answer")
    }

    /// Answers as a whole.
    pub fn answer(&mut self, body: impl Into<Bytes>) {
        let response = Response::builder().header("content-type", "application/json");
        let mut body_to = self.begin(response.body(()).expect("an answer"));
        body_to.send_data(body.into(), true).expect("a body");
    }

    /// Resets the stream.
    pub fn reset(&mut self, code: h2::Reason) {
        self.respond.send_reset(code);
    }
}

/// A running upstream; it stops when dropped.
#[derive(Debug)]
pub struct Http2Upstream {
    /// Where it listens.
    pub addr: SocketAddr,
    asked: Mutex<mpsc::UnboundedReceiver<Asked>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Http2Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Http2Upstream {
    /// In plain text.
    pub async fn plain() -> Self {
        Self::start(None, None).await
    }

    /// Behind TLS.
    pub async fn tls(acceptor: TlsAcceptor) -> Self {
        Self::start(Some(acceptor), None).await
    }

    /// In plain text, with so many streams of a connection at once.
    pub async fn with_streams(most: u32) -> Self {
        Self::start(None, Some(most)).await
    }

    async fn start(acceptor: Option<TlsAcceptor>, streams: Option<u32>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let (tell, asked) = mpsc::unbounded_channel();
        let connections = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            let mut tasks = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let connection = counted.fetch_add(1, Ordering::Relaxed);
                stream.set_nodelay(true).expect("nodelay");
                let (acceptor, tell) = (acceptor.clone(), tell.clone());
                tasks.spawn(async move {
                    match acceptor {
                        None => serve(stream, connection, streams, tell).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, connection, streams, tell).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            addr,
            asked: Mutex::new(asked),
            connections,
            task,
        }
    }

    /// The next request.
    pub async fn asked(&self) -> Asked {
        let mut asked = self.asked.lock().await;
        within_patience("a request at the upstream", asked.recv())
            .await
            .expect("the upstream runs")
    }

    /// How many connections were made so far.
    pub fn connection_count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    connection: usize,
    streams: Option<u32>,
    tell: mpsc::UnboundedSender<Asked>,
) {
    let mut builder = server::Builder::new();
    if let Some(most) = streams {
        builder.max_concurrent_streams(most);
    }
    let Ok(mut served) = builder.handshake::<_, Bytes>(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = served.accept().await {
        // The test may be over already.
        let _ = tell.send(Asked {
            connection,
            request,
            respond,
        });
    }
}

/// A port at which a test speaks HTTP/2 itself.
#[derive(Debug)]
pub struct Raw(TcpListener);

impl Raw {
    /// A free port.
    pub async fn bind() -> Self {
        Self(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port"))
    }

    /// Its number.
    pub fn port(&self) -> u16 {
        self.0.local_addr().expect("an address").port()
    }

    /// The next connection, whose preface has come, and which has sent its settings.
    pub async fn accept(&self) -> Connection {
        self.accept_with(&[]).await
    }

    /// The same with settings that say more.
    pub async fn accept_with(&self, values: &[(u16, u32)]) -> Connection {
        let (stream, _) = within_patience("a connection", self.0.accept())
            .await
            .expect("a connection");
        Connection::served(stream, values).await
    }
}
