//! Copies of a request for mirrors, in tasks of their own: whatever becomes of
//! one, the client's request neither waits for it nor learns of it.
//!
//! A copy goes out when all of the body is at hand, and only if it is; its
//! answer is read to an end, within bounds, and dropped. There are bounds on how
//! many are under way and on how long each may take.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Limited};
use lockgate_core::mirror;
use lockgate_core::tables::UpstreamId;

use crate::access::Record;
use crate::limits::{MIRROR, MIRROR_ANSWER_BYTES_MAX, MIRRORS_UNDER_WAY_MAX};
use crate::upstream::{self, Pool, Towards, UpstreamBody, Watch};
use crate::worker::Worker;

/// Sends a copy of `request` to each of `mirrors`; `watch` is the eye on a body that is passed on.
pub(super) fn send(
    mirrors: &[UpstreamId],
    request: &Request<UpstreamBody>,
    watch: Option<&Rc<Watch>>,
    entropy: u64,
    record: &Record,
) {
    for id in mirrors {
        let Some(pool) = record.view.upstream(*id) else {
            continue;
        };
        let Some(under_way) = UnderWay::begin(&record.worker) else {
            let skipped = &record.worker.shard.mirrors_skipped_total;
            skipped.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        let pieces = match request.body() {
            UpstreamBody::Pieces(pieces, _) => pieces.clone(),
            UpstreamBody::Stream(..) | UpstreamBody::Watched(_) => VecDeque::new(),
        };
        let Some(copy) = copy(request) else { continue };
        let (pool, watch) = (Rc::clone(pool), watch.cloned());
        tokio::task::spawn_local(async move {
            let sent = carry(copy, pieces, watch, &pool, entropy);
            // Whether it arrived is nobody's business here.
            let _ = tokio::time::timeout(MIRROR, sent).await;
            drop(under_way);
        });
    }
}

/// The head of the copy.
fn copy(request: &Request<UpstreamBody>) -> Option<Request<()>> {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    let host = request.headers().get(HOST)?.to_str().ok()?;
    let shadow = HeaderValue::try_from(mirror::shadow(host)).ok()?;
    copy.headers_mut().insert(HOST, shadow);
    Some(copy)
}

async fn carry(
    copy: Request<()>,
    mut pieces: VecDeque<Bytes>,
    watch: Option<Rc<Watch>>,
    pool: &Rc<Pool>,
    entropy: u64,
) -> Option<()> {
    if let Some(watch) = watch {
        watch.last().await;
        pieces.push_back(watch.whole()?);
    }
    let request = copy.map(|()| UpstreamBody::of_pieces(pieces));
    let to = Towards::any(pool.target(), entropy);
    let (answer, connection) = upstream::send(pool, request, to, MIRROR).await.ok()?;
    let rest = Limited::new(answer.into_body(), MIRROR_ANSWER_BYTES_MAX)
        .collect()
        .await;
    if rest.is_ok() {
        pool.put(connection);
    }
    Some(())
}

/// One copy under way.
struct UnderWay(Rc<Worker>);

impl UnderWay {
    /// `None` when there are as many as may be.
    fn begin(worker: &Rc<Worker>) -> Option<Self> {
        let count = worker.mirrors_under_way.get();
        (count < MIRRORS_UNDER_WAY_MAX).then(|| {
            worker.mirrors_under_way.set(count.saturating_add(1));
            worker.shard.mirrors_total.fetch_add(1, Ordering::Relaxed);
            Self(Rc::clone(worker))
        })
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let count = &self.0.mirrors_under_way;
        count.set(count.get().saturating_sub(1));
    }
}
