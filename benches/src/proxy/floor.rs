//! The floor: a reverse proxy of hyper's server and client and nothing else.
//!
//! It rewrites host and path, adds the key, and passes bodies on unseen: no
//! decision, no edit of the body, no log, no metrics, no time limit. What a
//! gateway costs beyond this is its own.

use core::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::task::spawn_local;

use super::chat::{KEY, PROVIDER_HOST, PROVIDER_PATH};

type Failure = Box<dyn core::error::Error + Send + Sync>;

/// Serves on `listen` and forwards to `upstream`, until the process is ended.
///
/// # Errors
/// If the address cannot be listened on.
pub fn serve(listen: SocketAddr, upstream: SocketAddr) -> io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build_local(LocalOptions::default())?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        let upstream = Rc::new(Upstream {
            address: upstream,
            key: HeaderValue::try_from(format!("Bearer {KEY}")).map_err(io::Error::other)?,
            idle: RefCell::default(),
        });
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            spawn_local(connection(stream, Rc::clone(&upstream)));
        }
    })
}

struct Upstream {
    address: SocketAddr,
    key: HeaderValue,
    /// Longest idle first: that one has certainly read its last answer to the end.
    idle: RefCell<VecDeque<SendRequest<Incoming>>>,
}

async fn connection(stream: TcpStream, upstream: Rc<Upstream>) {
    let service = service_fn(move |request| forward(Rc::clone(&upstream), request));
    // A broken connection is its client's affair.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn forward(upstream: Rc<Upstream>, mut request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
    *request.uri_mut() = Uri::from_static(PROVIDER_PATH);
    let headers = request.headers_mut();
    headers.insert(HOST, HeaderValue::from_static(PROVIDER_HOST));
    headers.insert(AUTHORIZATION, upstream.key.clone());
    let kept = upstream.idle.borrow_mut().pop_front();
    let mut sender = match kept.filter(SendRequest::is_ready) {
        Some(sender) => sender,
        None => connect(upstream.address).await?,
    };
    let response = sender.send_request(request).await?;
    upstream.idle.borrow_mut().push_back(sender);
    Ok(response)
}

async fn connect(address: SocketAddr) -> Result<SendRequest<Incoming>, Failure> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    spawn_local(async move {
        // Its request learns how it ended.
        let _ = connection.await;
    });
    Ok(sender)
}
