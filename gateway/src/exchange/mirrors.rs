//! Copies of a request for mirrors, in tasks of their own: whatever becomes of
//! one, the client's request neither waits for it nor learns of it.
//!
//! A copy goes out when all of the body is at hand, and only if it is; its
//! answer is read to an end, within bounds, and dropped. There are bounds on how
//! many are under way and on how long each may take.
//!
//! What goes to an LLM provider may hold its key, and a mirror is another host:
//! of such a request the copy has neither the credentials nor what the rule
//! writes, whatever its name, nor a query.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::header::{HOST, HeaderName};
use http::{HeaderValue, Request, Uri, Version};
use http_body_util::{BodyExt as _, Limited};
use lockgate_core::mirror;
use lockgate_core::rewrite;
use lockgate_core::tables::UpstreamId;

use crate::access::Record;
use crate::alarm::Alarm;
use crate::limits::{MIRROR, MIRROR_ANSWER_BYTES_MAX, MIRRORS_UNDER_WAY_MAX};
use crate::upstream::{self, Pool, Towards, UpstreamBody, Watch};
use crate::worker::Worker;

/// What a copy is made of.
#[derive(Clone, Copy)]
pub(super) struct Copied<'r> {
    /// As it goes to its upstream.
    pub(super) request: &'r Request<UpstreamBody>,
    /// Of one to an LLM provider, which keeps its secrets to itself: the fields that its rule changes.
    pub(super) withheld: Option<&'r [HeaderName]>,
}

/// Sends a copy to each of `mirrors`; `watch` is the eye on a body that is passed on.
pub(super) fn send(
    mirrors: &[UpstreamId],
    copied: Copied<'_>,
    watch: Option<&Rc<Watch>>,
    entropy: u64,
    record: &Record,
) {
    let worker = &record.worker;
    let is_too_large = copied.request.body().is_too_large_to_copy();
    for id in mirrors {
        let Some(pool) = record.view().and_then(|view| view.upstream(*id)) else {
            continue;
        };
        if is_too_large {
            skipped(worker);
            continue;
        }
        let pieces = match copied.request.body() {
            UpstreamBody::Pieces(pieces, _) => pieces.clone(),
            UpstreamBody::Stream(..) | UpstreamBody::Watched(_) => VecDeque::new(),
        };
        let Some(copy) = copied.head() else { continue };
        let (pool, worker) = (Rc::clone(pool), Rc::clone(worker));
        match watch.cloned() {
            None => begin(&worker, carry(copy, pieces, pool, entropy)),
            Some(watch) => drop(tokio::task::spawn_local(async move {
                watch.last().await;
                match watch.whole() {
                    None => skipped(&worker),
                    Some(body) => begin(&worker, carry(copy, VecDeque::from([body]), pool, entropy)),
                }
            })),
        }
    }
}

/// Sends a copy whose body is at hand, if there may be another.
fn begin(worker: &Rc<Worker>, copy: impl Future<Output = Option<()>> + 'static) {
    let Some(under_way) = UnderWay::begin(worker) else {
        skipped(worker);
        return;
    };
    tokio::task::spawn_local(async move {
        // Whether it arrived is nobody's business here.
        let _ = tokio::time::timeout(MIRROR, copy).await;
        drop(under_way);
    });
}

fn skipped(worker: &Worker) {
    worker.shard.mirrors_skipped_total.fetch_add(1, Ordering::Relaxed);
}

impl Copied<'_> {
    /// The head of the copy.
    fn head(self) -> Option<Request<()>> {
        let Self { request, withheld } = self;
        let mut copy = Request::new(());
        *copy.method_mut() = request.method().clone();
        *copy.uri_mut() = match withheld {
            None => request.uri().clone(),
            Some(_) => Uri::try_from(request.uri().path()).ok()?,
        };
        let kept = request.headers().iter().filter(|(name, value)| {
            withheld.is_none_or(|withheld| !withheld.contains(name) && !is_secret(name, value))
        });
        copy.headers_mut()
            .extend(kept.map(|(name, value)| (name.clone(), value.clone())));
        let host = request.headers().get(HOST)?.to_str().ok()?;
        let shadow = HeaderValue::try_from(mirror::shadow(host)).ok()?;
        copy.headers_mut().insert(HOST, shadow);
        Some(copy)
    }
}

fn is_secret(name: &HeaderName, value: &HeaderValue) -> bool {
    value.is_sensitive() || rewrite::drops_header(name.as_str())
}

async fn carry(copy: Request<()>, pieces: VecDeque<Bytes>, pool: Rc<Pool>, entropy: u64) -> Option<()> {
    let mut request = copy.map(|()| UpstreamBody::of_pieces(pieces));
    // A mirror is not asked as the client asks.
    *request.version_mut() = pool.target().version(Version::HTTP_11);
    let to = Towards::any(pool.target(), entropy);
    let (answer, connection) = upstream::send(&pool, Box::new(request), to, MIRROR, &Alarm::default())
        .await
        .ok()?;
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
