//! The request as it goes out: to whom, with which fields, and what is kept to answer its client by.

use std::rc::Rc;
use std::time::Instant;

use http::header::{AUTHORIZATION, HOST, HeaderName, SEC_WEBSOCKET_KEY};
use http::{HeaderValue, Request, Version};
use lockgate_core::upgrade::Upgrade;

use super::Exchange;
use super::attempts::{self, Trying};
use super::mirrors::{self, Copied};
use crate::access::Record;
use crate::changes::{self, Change};
use crate::head;
use crate::plan::{Plan, To};
use crate::respond::X_REQUEST_ID;
use crate::upstream::{Pool, UpstreamBody};
use crate::websocket;

/// Where an upstream reads what a path was before it was rewritten. No client's field of that name gets there.
const X_ENVOY_ORIGINAL_PATH: HeaderName = HeaderName::from_static("x-envoy-original-path");

/// A request on its way to an upstream.
pub(super) struct Outgoing {
    pub(super) pool: Rc<Pool>,
    /// In a box: on its way it is moved often.
    pub(super) request: Box<Request<UpstreamBody>>,
    pub(super) trying: Trying,
    /// What a route changes of the answer.
    pub(super) response_changes: Vec<Change>,
    /// What any answer, also one of ours in its place, says to pages of other origins.
    pub(super) cors: Vec<Change>,
    /// What it asks the upstream for.
    pub(super) upgrade: Option<Upgrade>,
    /// The key that it is asked with, if that is ours.
    pub(super) key: Option<HeaderValue>,
    pub(super) record: Box<Record>,
}

impl Exchange {
    /// The request as it goes out, or the record alone when its upstream is not there, which cannot be.
    pub(super) fn outgoing(mut self, plan: Box<Plan>) -> Result<Outgoing, Box<Record>> {
        let Some(pool) = self.view.upstream(plan.upstream).map(Rc::clone) else {
            return Err(self.record);
        };
        let attempts = *self.view.live.compiled.snapshot.attempts(plan.attempts);
        let headers = &self.head.headers;
        let (body, watch) = attempts::body(
            plan.body,
            self.incoming,
            (&attempts, headers),
            !plan.mirrors.is_empty(),
            &mut self.record,
        );
        let mut request = Box::new(Request::new(body));
        *request.method_mut() = self.head.method;
        *request.version_mut() = match &plan.to {
            // Of HTTP/2 no connection is given up.
            To::Host(host) if host.upgrade.is_some() => Version::HTTP_11,
            To::Host(_) | To::Provider(_) => pool.target().version(self.head.version),
        };
        *request.uri_mut() = plan.uri;
        *request.headers_mut() = self.head.headers;
        let headers = request.headers_mut();
        headers.insert(HOST, plan.host);
        headers.insert(X_REQUEST_ID, self.record.request_id.clone());
        headers.extend(plan.written);
        let (response_changes, withheld, upgrade, makes_key) = match plan.to {
            To::Provider(provider) => {
                let withheld = match plan.mirrors.is_empty() {
                    true => Vec::new(),
                    false => changes::names(&provider.request_changes),
                };
                changes::make(headers, provider.request_changes);
                if let Some(credential) = provider.credential {
                    headers.insert(AUTHORIZATION, credential);
                }
                (provider.response_changes, Some(withheld), None, false)
            }
            To::Host(host) => {
                changes::make(headers, host.request_changes);
                if let Some(original) = host.original {
                    headers.insert(X_ENVOY_ORIGINAL_PATH, original);
                }
                (host.response_changes, None, host.upgrade, host.makes_key)
            }
        };
        let now = Instant::now();
        self.record.upstream_started = Some(now);
        let copied = Copied {
            request: &request,
            withheld: withheld.as_deref(),
        };
        mirrors::send(&plan.mirrors, copied, watch.as_ref(), plan.entropy, &self.record);
        if let Some(upgrade) = upgrade {
            head::ask_for(request.headers_mut(), upgrade);
        }
        let key = makes_key.then(|| websocket::key(&self.record.worker.entropy));
        if let Some(key) = &key {
            request.headers_mut().insert(SEC_WEBSOCKET_KEY, key.clone());
        }
        Ok(Outgoing {
            pool,
            trying: Trying::new(attempts, plan.entropy, &request, watch, now),
            request,
            response_changes,
            cors: plan.cors.into_vec(),
            upgrade,
            key,
            record: self.record,
        })
    }
}
