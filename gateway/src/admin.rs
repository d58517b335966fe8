//! The admin port: health, metrics, what is loaded, why a request is decided as it is, and the playground.
//!
//! On loopback unless told otherwise. It shows no secret and changes nothing.
//!
//! Over loopback it answers to `localhost` and to addresses alone: a page of the web that has its own name lead here
//! (DNS rebinding) would be read to by a browser of this machine.

use core::convert::Infallible;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::net::TcpListener;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_core::explain::Question;
use serde::Serialize;
use tokio::task::JoinHandle;

use crate::capsule::Capsules;
use crate::explain::Asked;
use crate::limits::{ACCEPT_PAUSE, ADMIN_BODY_BYTES_MAX, HEADER_READ};
use crate::metrics::Metrics;
use crate::playground;
use crate::reload::Refused;
use crate::shared::Shared;

/// The admin port, bound.
#[derive(Debug)]
pub(crate) struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Clone, Copy)]
enum Page {
    Ready,
    Live,
    Metrics,
    ConfigDump,
    Snapshot,
    Explain,
    Playground,
    PlaygroundLive,
}

const PAGES: [(&str, Page); 9] = [
    ("/healthz/ready", Page::Ready),
    ("/healthz/live", Page::Live),
    ("/metrics", Page::Metrics),
    ("/stats/prometheus", Page::Metrics),
    ("/config_dump", Page::ConfigDump),
    ("/snapshot", Page::Snapshot),
    ("/explain", Page::Explain),
    (playground::ROOT, Page::Playground),
    ("/playground/live.json", Page::PlaygroundLive),
];

/// What belongs to the playground.
const PARTS: [(&str, Page); 2] = [
    ("/playground", Page::Playground),
    ("/playground/{*file}", Page::Playground),
];

type Answer = Response<Full<Bytes>>;

impl Admin {
    /// The port on a socket that is there, or on one of its own.
    pub(crate) fn new(address: SocketAddr, there: Option<TcpListener>) -> Result<Self, Refused> {
        let bind = || {
            let listener = there.map_or_else(|| TcpListener::bind(address), Ok)?;
            listener.set_nonblocking(true)?;
            let address = listener.local_addr()?;
            Ok(Self {
                listener,
                address,
                accepting: None,
            })
        };
        bind().map_err(|error: std::io::Error| {
            Refused(format!(
                "error: cannot listen on {address} for the admin port: {error}\n  \
                 choose another with --admin ADDR:PORT, or --admin off\n"
            ))
        })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its socket, for the process that comes after this one.
    pub(crate) fn socket(&self) -> &TcpListener {
        &self.listener
    }

    /// Stops to accept: another process serves it.
    pub(crate) fn stop(self) {
        if let Some(accepting) = self.accepting {
            accepting.abort();
        }
    }

    /// Serves it on the current runtime.
    pub(crate) fn start(&mut self, shared: Arc<Shared>) {
        let listener = self.listener.try_clone().and_then(tokio::net::TcpListener::from_std);
        match listener {
            Ok(listener) => {
                crate::log::info("admin port", &[("address", &self.address.to_string())]);
                self.accepting = Some(tokio::spawn(accept(listener, shared)));
            }
            Err(error) => crate::log::warning("the admin port cannot be served", &[("error", &error.to_string())]),
        }
    }
}

async fn accept(listener: tokio::net::TcpListener, shared: Arc<Shared>) {
    let mut router = matchit::Router::new();
    for (path, page) in PAGES.into_iter().chain(PARTS) {
        // The paths are constants and differ; a test asks for each of them.
        let _ = router.insert(path, page);
    }
    let router = Arc::new(router);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (router, shared) = (Arc::clone(&router), Arc::clone(&shared));
        // Each connection by itself: a port on every address is on loopback, too.
        let is_local = stream
            .local_addr()
            .is_ok_and(|address| address.ip().to_canonical().is_loopback());
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&router, &shared, is_local, request));
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(HEADER_READ);
            let _ = builder.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    router: &matchit::Router<Page>,
    shared: &Arc<Shared>,
    is_local: bool,
    request: Request<Incoming>,
) -> Result<Answer, Infallible> {
    if is_local && !names_this_machine(request.headers()) {
        return Ok(json(
            StatusCode::MISDIRECTED_REQUEST,
            &serde_json::json!({ "error": "over loopback the host is `localhost` or an IP address" }),
        ));
    }
    let Ok(found) = router.at(request.uri().path()) else {
        let pages: Vec<&str> = PAGES.iter().map(|(path, _)| *path).collect();
        return Ok(json(
            StatusCode::NOT_FOUND,
            &serde_json::json!({ "error": "no such page", "pages": pages }),
        ));
    };
    let page = *found.value;
    let allowed: &[Method] = if matches!(page, Page::Explain) {
        &[Method::POST]
    } else {
        &[Method::GET, Method::HEAD]
    };
    if !allowed.contains(request.method()) {
        let names = if matches!(page, Page::Explain) {
            "POST"
        } else {
            "GET, HEAD"
        };
        let mut answer = json(
            StatusCode::METHOD_NOT_ALLOWED,
            &serde_json::json!({ "error": "method not allowed", "allow": names }),
        );
        answer.headers_mut().insert(ALLOW, HeaderValue::from_static(names));
        return Ok(answer);
    }
    Ok(match page {
        Page::Ready if shared.is_draining() => text(StatusCode::SERVICE_UNAVAILABLE, "draining\n".to_owned()),
        Page::Ready => text(StatusCode::OK, "ready\n".to_owned()),
        Page::Live => text(StatusCode::OK, "live\n".to_owned()),
        Page::Metrics => metrics(&shared.metrics, shared),
        Page::ConfigDump => config_dump(shared),
        Page::Snapshot => snapshot(shared),
        Page::Explain => explain(shared, request).await,
        Page::Playground => playground::answer(request.uri().path(), request.headers()),
        Page::PlaygroundLive => playground_live(shared),
    })
}

/// Whether no name of a web page has led here. A browser always says which one did.
fn names_this_machine(headers: &HeaderMap) -> bool {
    headers.get_all(HOST).iter().all(|host| {
        let Ok(authority) = Authority::try_from(host.as_bytes()) else {
            return false;
        };
        let host = authority.host();
        let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        host.eq_ignore_ascii_case("localhost") || address.unwrap_or(host).parse::<IpAddr>().is_ok()
    })
}

fn metrics(metrics: &Metrics, shared: &Shared) -> Answer {
    let live = shared.live.load();
    let body = metrics.expose(&crate::metrics::Facts {
        snapshot: live.compiled.snapshot.id(),
        log_lines_dropped: shared.logs.access.queue.dropped(),
        capsules_dropped: shared.logs.capsules.as_ref().map_or(0, Capsules::dropped),
        load: &shared.load,
        namespace: &shared.namespace,
        keys: &live.tokens.status(),
    });
    let mut answer = text(StatusCode::OK, body);
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    answer
}

fn config_dump(shared: &Shared) -> Answer {
    let live = shared.live.load();
    let snapshot = &live.compiled.snapshot;
    json(
        StatusCode::OK,
        &serde_json::json!({
            "snapshot": snapshot.id(),
            "listeners": snapshot.listeners(),
            "upstreams": snapshot.upstreams(),
            "resources": live.dump.documents,
        }),
    )
}

fn snapshot(shared: &Shared) -> Answer {
    let live = shared.live.load();
    json(
        StatusCode::OK,
        &serde_json::json!({
            "snapshot": live.compiled.snapshot.id(),
            "version": env!("CARGO_PKG_VERSION"),
            "process": std::process::id(),
        }),
    )
}

/// What the playground loads to decide as this gateway does.
fn playground_live(shared: &Shared) -> Answer {
    let live = shared.live.load();
    json(StatusCode::OK, &live.dump.told(live.compiled.snapshot.id()))
}

async fn explain(shared: &Shared, request: Request<Incoming>) -> Answer {
    let body = Limited::new(request.into_body(), ADMIN_BODY_BYTES_MAX).collect();
    let bytes = match tokio::time::timeout(BODY_READ, body).await {
        Ok(Ok(body)) => body.to_bytes(),
        _ => return bad_request("the body is too long, too slow or broken off"),
    };
    let asked = serde_json::from_slice::<Asked>(&bytes).map_err(|error| error.to_string());
    let question = match asked.and_then(Question::try_from) {
        Ok(question) => question,
        Err(why) => return bad_request(&why),
    };
    let live = shared.live.load_full();
    match question.explain(&live.compiled.snapshot) {
        Ok(explanation) => json(StatusCode::OK, &explanation),
        Err(error) => bad_request(&error),
    }
}

/// Time for the body of a request to this port.
const BODY_READ: Duration = Duration::from_secs(10);

fn bad_request(what: &str) -> Answer {
    json(StatusCode::BAD_REQUEST, &serde_json::json!({ "error": what }))
}

fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_string_pretty(value).unwrap_or_else(|_| "null".to_owned());
    let mut answer = text(status, body + "\n");
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

fn text(status: StatusCode, body: String) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
