//! Asking an external authorizer about a request, as the decision wants it.

use core::net::IpAddr;
use std::rc::Rc;

use http::HeaderValue;
use http::header::HOST;
use http_body::Body as _;
use lockgate_core::check::CheckBody;
use lockgate_core::llm::body::BodyError;
use lockgate_core::request::Scheme;
use lockgate_core::tables::AuthorizerId;

use super::{Exchange, Step};
use crate::access::Flag;
use crate::body::Reading;
use crate::ext_authz::{self, Checks, Question, Reply, SentBody};
use crate::respond::Fault;

/// What an authorizer is to be asked, free of what the decision borrowed.
pub(super) struct Asked {
    pub(super) authorizer: AuthorizerId,
    /// The normalised path with the query.
    pub(super) target: String,
    pub(super) remote: IpAddr,
    pub(super) scheme: Scheme,
}

/// A body is larger than what an authorizer may be sent.
struct TooLarge;

impl Exchange {
    /// Asks an external authorizer.
    pub(super) async fn check(&mut self, asked: Asked, entropy: u64) -> Result<(), Step> {
        let internal = || Step::Fail(Fault::Internal, Flag::None);
        let view = Rc::clone(&self.view);
        let authorizers = view.live.compiled.snapshot.authorizers();
        let (Some(authorizer), Some(way)) = (authorizers.get(asked.authorizer.0 as usize), view.way(asked.authorizer))
        else {
            return Err(internal());
        };
        let body = match authorizer.body {
            Some(wanted) => self.body_for(wanted).await?,
            None => Ok(None),
        };
        let peer = Rc::clone(&self.record.peer);
        let checks = self.checks.get_or_insert_with(|| {
            Checks::begin(
                &self.head.headers,
                &peer,
                &view.live.compiled.snapshot,
                &self.record.request_id,
            )
        });
        if checks
            .answers
            .iter()
            .any(|answer| answer.authorizer == asked.authorizer)
        {
            return Err(internal());
        }
        let host = match self.head.uri.authority() {
            Some(authority) => authority.as_str().as_bytes(),
            None => self.head.headers.get(HOST).map_or(&[][..], HeaderValue::as_bytes),
        };
        self.record.asks(asked.authorizer);
        let reply = match body {
            Err(TooLarge) => Reply::too_large(),
            Ok(body) => {
                let question = Question {
                    authorizer,
                    adds: view.live.check_fields(asked.authorizer),
                    method: &self.head.method,
                    version: self.head.version,
                    target: asked.target,
                    host,
                    scheme: asked.scheme.as_str(),
                    headers: &checks.headers,
                    body,
                    remote: ext_authz::with_port(asked.remote, peer.downstream_remote()),
                    local: peer.downstream_local(),
                    principal: peer.connection().spiffe_id,
                    request_id: &self.record.request_id,
                    entropy,
                };
                ext_authz::ask(way, question).await
            }
        };
        self.record.checked(&reply);
        checks.take(asked.authorizer, reply);
        Ok(())
    }

    /// As much of the body as an authorizer is sent; `None` when the request has none.
    async fn body_for(&mut self, wanted: CheckBody) -> Result<Result<Option<SentBody>, TooLarge>, Step> {
        if self.body.is_none() {
            if self.incoming.is_end_stream() {
                return Ok(Ok(None));
            }
            let most = self.record.worker.shared.load.bounds().body_bytes;
            let limit = match wanted.partial {
                true => most,
                false => most.min(wanted.bytes_max.into()),
            };
            self.read_body(limit, Reading::ToItsEnd).await?;
        }
        let Some(body) = &self.body else { return Ok(Ok(None)) };
        if body.error == Some(BodyError::TooLarge) {
            return Ok(Err(TooLarge));
        }
        let sent = SentBody::of(&body.pieces, wanted.bytes_max);
        Ok(if sent.is_partial && !wanted.partial {
            Err(TooLarge)
        } else {
            Ok(Some(sent))
        })
    }
}
