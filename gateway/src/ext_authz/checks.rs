//! The checks of one request: what its authorizers said, and the head as they leave it.

use http::header::{CONNECTION, HeaderName};
use http::{HeaderMap, HeaderValue};
use lockgate_core::check::{OwnedAnswer, OwnedSaid};
use lockgate_core::snapshot::Snapshot;
use lockgate_core::tables::AuthorizerId;

use super::{Denial, Reply};
use crate::changes::Change;
use crate::connection::Peer;
use crate::head;
use crate::respond::X_REQUEST_ID;

/// What external authorizers said of one request, and what is left of its head.
pub(crate) struct Checks {
    /// The client's fields as the authorizers have left them.
    pub(crate) headers: HeaderMap,
    pub(crate) answers: Vec<OwnedAnswer>,
    /// What the one that denied has for the client.
    pub(crate) denial: Option<Denial>,
    /// What those that allowed change of the answer that the client gets.
    pub(crate) to_client: Vec<Change>,
}

impl Checks {
    /// Before the first question. What the client's `Connection` names goes now, so that it cannot take away what an
    /// authorizer adds, and what no host believes a client, so that no authorizer does either, and what then has such a
    /// name is an authorizer's word.
    pub(crate) fn begin(sent: &HeaderMap, peer: &Peer, snapshot: &Snapshot, request_id: &HeaderValue) -> Box<Self> {
        let tables = snapshot.tables();
        let mut headers = sent.clone();
        head::remove_named(&mut headers);
        headers.remove(CONNECTION);
        head::remove_overlooked(&mut headers, snapshot.authorizers());
        head::remove_disbelieved(&mut headers, tables);
        head::add_client(&mut headers, peer, tables);
        head::correct_client_cert(&mut headers, head::client_cert(sent, peer, tables));
        headers.insert(X_REQUEST_ID, request_id.clone());
        Box::new(Self {
            headers,
            answers: Vec::new(),
            denial: None,
            to_client: Vec::new(),
        })
    }

    /// Keeps what one of them said, and changes the head by it.
    pub(crate) fn take(&mut self, authorizer: AuthorizerId, reply: Reply) {
        if let OwnedSaid::Allow(fields) = &reply.said {
            for field in fields {
                head::remove_alike(&mut self.headers, &field.name);
            }
            for field in fields {
                // What no field can carry was refused when it came.
                if let (Ok(name), Some(Ok(value))) = (
                    HeaderName::try_from(&*field.name),
                    field.value.as_deref().map(HeaderValue::from_bytes),
                ) {
                    self.headers.append(name, value);
                }
            }
        }
        self.denial = reply.denial;
        self.to_client.extend(reply.to_client);
        // An authorizer that was not asked for want of a route may come after one of a later name.
        let place = self.answers.partition_point(|answer| answer.authorizer < authorizer);
        self.answers.insert(
            place,
            OwnedAnswer {
                authorizer,
                said: reply.said,
            },
        );
    }
}
