//! One request, from its head to the last byte of its answer.

use core::cell::Cell;
use core::fmt::Write;
use core::net::SocketAddr;
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{HOST, HeaderName, USER_AGENT};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};
use lockgate_core::claims::ClaimSet;
use lockgate_core::observe::Observation;
use lockgate_core::shown;
use lockgate_core::tables::{AuthorizerId, ProviderId, RuleId, UpstreamId};

use super::names::Configuration;
use super::{Flag, line};
use crate::connection::Peer;
use crate::ext_authz::{self, CheckError, Reply};
use crate::head::HeadFields;
use crate::metrics::labels::Label;
use crate::metrics::{CheckKey, RequestKey, TokenKey, Tokens};
use crate::pace::Broken;
use crate::worker::view::View;
use crate::worker::{Counted, Worker};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// What is known about a request so far. Dropping it writes the log line and counts it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) worker: Rc<Worker>,
    pub(super) configuration: Configuration,
    pub(crate) peer: Rc<Peer>,
    /// Until the answer itself is counted, which may outlast this.
    pub(crate) counted: Option<Counted>,
    pub(crate) started: Instant,
    pub(crate) start_time: SystemTime,
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) version: Version,
    /// The client, as the nearest trusted proxy tells: of such a one the port is not known, and 0.
    pub(crate) remote: SocketAddr,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) user_agent: Option<HeaderValue>,
    pub(crate) forwarded_for: Option<HeaderValue>,
    pub(crate) request_id: HeaderValue,
    pub(crate) upstream_request_id: Option<HeaderValue>,
    /// 0 until an answer is begun.
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    pub(crate) details: Cow<'static, str>,
    /// Of a body that was read before it was sent on.
    pub(crate) bytes_received: u64,
    /// Of a body that is passed on as it comes.
    pub(crate) bytes_streamed: Option<Rc<Cell<u64>>>,
    /// Whether it broke off.
    pub(crate) body_broken: Option<Rc<Cell<Option<Broken>>>>,
    pub(crate) bytes_sent: u64,
    pub(crate) rule: Option<RuleId>,
    pub(crate) provider: Option<ProviderId>,
    pub(crate) upstream: Option<UpstreamId>,
    pub(crate) upstream_host: Option<SocketAddr>,
    pub(crate) upstream_failure: Option<String>,
    /// A route's fault has held it up.
    pub(crate) is_delayed: bool,
    /// When the request was handed to the upstream connection.
    pub(crate) upstream_started: Option<Instant>,
    pub(crate) upstream_answered: Option<Instant>,
    pub(crate) first_byte: Option<Instant>,
    /// What the request's token proves.
    pub(crate) claims: Option<Arc<ClaimSet>>,
    pub(crate) model: Option<Rc<str>>,
    pub(crate) usage: Option<Usage>,
    /// What policies say that decide nothing.
    pub(crate) observation: Observation,
    /// What external authorizers said, in the order they were asked: `NAME=allowed`, `NAME=error (why)`.
    pub(crate) checks: String,
    /// The one that is being asked, and since when.
    asked: Option<(AuthorizerId, Instant)>,
}

/// Token counts as the provider reported them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Usage {
    pub(crate) prompt: u64,
    pub(crate) completion: u64,
}

impl Record {
    /// Begins the record of the request with this head, which is decided by `view`.
    pub(crate) fn begin(
        worker: &Rc<Worker>,
        view: Rc<View>,
        peer: &Rc<Peer>,
        head: &Parts,
        request_id: HeaderValue,
    ) -> Box<Self> {
        peer.request_began();
        Box::new(Self {
            worker: Rc::clone(worker),
            remote: remote(&view, peer, &head.headers),
            configuration: Configuration::Whole(view),
            peer: Rc::clone(peer),
            counted: Some(worker.count()),
            started: Instant::now(),
            start_time: SystemTime::now(),
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            host: head.headers.get(HOST).cloned(),
            user_agent: joined(&head.headers, &USER_AGENT),
            forwarded_for: joined(&head.headers, &X_FORWARDED_FOR),
            request_id,
            upstream_request_id: None,
            status: 0,
            flag: Flag::DownstreamTermination,
            details: Cow::Borrowed("downstream_remote_disconnect"),
            bytes_received: 0,
            bytes_streamed: None,
            body_broken: None,
            bytes_sent: 0,
            rule: None,
            provider: None,
            upstream: None,
            upstream_host: None,
            upstream_failure: None,
            is_delayed: false,
            upstream_started: None,
            upstream_answered: None,
            first_byte: None,
            claims: None,
            model: None,
            usage: None,
            observation: Observation::default(),
            checks: String::new(),
            asked: None,
        })
    }

    /// Copies what it holds of heads: as slices they keep all that was read with them, which matters while an answer
    /// streams.
    pub(crate) fn settle(&mut self) {
        let fields = [
            &mut self.host,
            &mut self.user_agent,
            &mut self.forwarded_for,
            &mut self.upstream_request_id,
        ];
        for value in fields.into_iter().flatten().chain([&mut self.request_id]) {
            // It is sound, having been one before.
            if let Ok(copy) = HeaderValue::from_bytes(value.as_bytes()) {
                *value = copy;
            }
        }
        if let Ok(copy) = self.uri.to_string().try_into() {
            self.uri = copy;
        }
    }

    /// The same, and lets go of the configuration: a tunnel is open from now on, as long as both sides like.
    pub(crate) fn settle_for_tunnel(&mut self) {
        self.settle();
        self.keep_names();
    }

    /// The exchange came to an end as `flag` and `details` say. Without this call it counts as left by the client.
    pub(crate) fn end(&mut self, flag: Flag, details: impl Into<Cow<'static, str>>) {
        self.flag = match flag {
            Flag::None if self.is_delayed => Flag::DelayInjected,
            flag => flag,
        };
        self.details = details.into();
    }

    /// An external authorizer is asked.
    pub(crate) fn asks(&mut self, authorizer: AuthorizerId) {
        self.asked = Some((authorizer, Instant::now()));
    }

    /// It answered, or did not.
    pub(crate) fn checked(&mut self, reply: &Reply) {
        self.end_check(reply.result(), reply.failure.as_ref());
    }

    fn end_check(&mut self, result: &'static str, failure: Option<&CheckError>) {
        let Some((authorizer, began)) = self.asked.take() else {
            return;
        };
        let Some(view) = self.view().map(Rc::clone) else {
            return;
        };
        let tables = view.live.compiled.snapshot.tables();
        if !self.checks.is_empty() {
            self.checks.push_str(", ");
        }
        // Writing to a String cannot fail.
        let _ = write!(self.checks, "{}={result}", tables.authorizer_name(authorizer));
        if let Some(failure) = failure {
            let _ = write!(self.checks, " ({failure})");
        }
        let key = CheckKey {
            authorizer: view.authorizer_label(authorizer),
            result,
        };
        self.worker.shard.count_check(key, began.elapsed());
    }

    /// Counts the request, which ended at `ended`.
    fn count(&self, ended: Instant) {
        let (route, provider) = (self.route_label(), self.provider_label());
        let key = RequestKey {
            route,
            provider,
            code: self.status,
            flag: self.flag,
        };
        let used = self.usage.map(|usage| {
            let model = self
                .model
                .as_deref()
                .map_or(Label::UNKNOWN, |model| self.worker.model_label(model));
            let tokens = Tokens {
                prompt: usage.prompt,
                completion: usage.completion,
            };
            (TokenKey { route, provider, model }, tokens)
        });
        self.worker
            .shard
            .count_request(key, ended.saturating_duration_since(self.started), used);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = Instant::now();
        // Nobody left it but the process, or the listener.
        let is_cut = self.worker.shared.is_cut() || self.peer.is_cut();
        if self.flag == Flag::DownstreamTermination && is_cut {
            self.end(Flag::LocalReset, "drain_timeout");
        }
        // Nobody waits for its answer any more.
        self.end_check("cancelled", None);
        self.count(ended);
        let worker = Rc::clone(&self.worker);
        let log = &worker.shared.logs.access;
        let mut draft = worker.draft.borrow_mut();
        log.queue.append(line::write(&mut draft, self, ended, log.format));
        self.peer.request_ended();
    }
}

fn remote(view: &View, peer: &Peer, headers: &HeaderMap) -> SocketAddr {
    let snapshot = &view.live.compiled.snapshot;
    let client = snapshot.client(&HeadFields(headers), &peer.connection());
    ext_authz::with_port(client, peer.downstream_remote())
}

/// The field as one value, which it is to whoever reads it.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let first = lines.next()?;
    if lines.next().is_none() {
        return Some(first.clone());
    }
    let mut value = Vec::new();
    shown::join(&HeadFields(headers), name.as_str(), &mut |piece| {
        value.extend_from_slice(piece);
    });
    HeaderValue::from_bytes(&value).ok()
}
