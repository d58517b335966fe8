//! HTTP/2 with a client that began with its preface: in plain text with prior knowledge, in TLS as agreed on.

use core::time::Duration;
use std::rc::Rc;

use bytes::Bytes;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};

use super::Peer;
use super::io::{Activity, ClientIo};
use super::stream::ClientStream;
use crate::exchange;
use crate::limits::{
    CONNECTION_TICK, CONNECTION_WINDOW_BYTES, HEAD_BYTES_MAX, RESET_STREAMS_MAX, STREAM_SEND_BYTES_MAX,
    STREAM_WINDOW_BYTES, STREAMS_MAX,
};
use crate::worker::{OnThisThread, Worker};

/// Pings a silent client, so that a dead one does not hold its streams' upstreams.
const PING: Duration = Duration::from_secs(30);

/// Serves requests on `stream`, of which `read` was read already.
pub(super) async fn serve(worker: Rc<Worker>, stream: ClientStream, read: Bytes, peer: Rc<Peer>) {
    let activity = Rc::new(Activity::default());
    let io = TokioIo::new(ClientIo::new(stream, read, &activity, None));
    let service = service_fn(|request| exchange::run(Rc::clone(&worker), Rc::clone(&peer), request));
    let mut connection = std::pin::pin!(builder().serve_connection(io, service));
    let mut tick = std::pin::pin!(tokio::time::sleep(CONNECTION_TICK));
    let (mut idle, mut begun, mut ending) = (Duration::ZERO, 0, false);
    loop {
        tokio::select! {
            biased;
            ended = &mut connection => {
                if let Err(error) = ended {
                    exchange::broken_connection(&worker, &peer, &error);
                }
                return;
            }
            () = &mut tick => {
                let busy = peer.running.get() > 0 || peer.begun.get() != begun;
                begun = peer.begun.get();
                idle = if busy { Duration::ZERO } else { idle + CONNECTION_TICK };
                if ending && idle >= worker.shared.times.header_read {
                    return;
                }
                if !ending && (peer.is_leaving() || idle >= worker.shared.times.idle) {
                    connection.as_mut().graceful_shutdown();
                    (ending, idle) = (true, Duration::ZERO);
                }
                tick.as_mut().reset(tokio::time::Instant::now() + CONNECTION_TICK);
            }
        }
    }
}

fn builder() -> http2::Builder<OnThisThread> {
    let mut builder = http2::Builder::new(OnThisThread);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX))
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_pending_accept_reset_streams(RESET_STREAMS_MAX)
        .max_send_buf_size(STREAM_SEND_BYTES_MAX)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING);
    builder
}
