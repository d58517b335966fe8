//! An upstream's answer on its way to the client, or ours in its place.

use std::rc::Rc;
use std::time::Instant;

use http::header::{CONNECTION, CONTENT_LENGTH, Entry, HeaderName, SEC_WEBSOCKET_ACCEPT, TRANSFER_ENCODING, UPGRADE};
use http::response::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use hyper::body::Incoming;

use crate::access::Record;
use crate::changes::{self, Change};
use crate::client_body::{ClientBody, Extent, Passing};
use crate::connection::Peer;
use crate::connection::stream_tunnel::StreamTunnel;
use crate::connection::tunnel::Tunnel;
use crate::head;
use crate::meter::Meter;
use crate::respond::{self, Fault, X_REQUEST_ID};
use crate::upstream::{Connection, Pool, SendError, Switched};
use crate::websocket;

/// A stream of HTTP/2 that waits for a tunnel, and the key that its upstream is asked with, if that is ours.
pub(super) struct Awaited {
    pub(super) stream: Box<StreamTunnel>,
    pub(super) key: Option<HeaderValue>,
}

/// The upstream's answer to the client, or ours in its place.
pub(super) fn answered(
    answer: Result<(Response<Incoming>, Connection), SendError>,
    pool: &Rc<Pool>,
    deadline: Option<Instant>,
    response_changes: Vec<Change>,
    awaited: Option<Awaited>,
    mut record: Box<Record>,
) -> Response<ClientBody> {
    match answer {
        Ok((answer, connection)) => {
            record.upstream_answered = Some(Instant::now());
            record.upstream_host = Some(connection.remote());
            if let Some(why) = awaited.as_ref().and_then(|awaited| awaited.distrusts(&answer)) {
                return failed(&SendError::Garbage(why.into()), record);
            }
            let connection = match connection {
                Connection::Switched(switched) => return switch(answer, switched, response_changes, awaited, record),
                connection => connection,
            };
            pass_on(answer, connection, pool, deadline, response_changes, record)
        }
        Err(error) => {
            let mut response = failed(&error, record);
            // As in Envoy, a rule's changes are made to our answers in place of its host's, too.
            changes::make(response.headers_mut(), response_changes);
            response
        }
    }
}

/// The upstream's answer as the client gets it.
///
/// It is changed as the route says. A plain host's holds no tokens to count.
fn pass_on(
    answer: Response<Incoming>,
    connection: Connection,
    pool: &Rc<Pool>,
    deadline: Option<Instant>,
    changes: Vec<Change>,
    mut record: Box<Record>,
) -> Response<ClientBody> {
    let (mut head, incoming) = answer.into_parts();
    let extent = extent(&record.method, &head);
    clean(&mut head, &mut record);
    if respond::closes(&record) {
        head.headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let meter = match record.provider {
        Some(_) => Meter::new(head.status, &head.headers),
        None => Meter::None,
    };
    changes::make(&mut head.headers, changes);
    let passing = Passing::new(incoming, connection, pool, deadline, meter, extent, record);
    let mut response = Response::new(ClientBody::Upstream(Box::new(passing)));
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// How far an answer with this head goes, while it still says so.
fn extent(method: &Method, head: &Parts) -> Extent {
    let has = |name: HeaderName| head.headers.contains_key(name);
    if respond::has_no_content(method, head.status) {
        Extent::Head
    } else if head.version == Version::HTTP_2 || has(CONTENT_LENGTH) || has(TRANSFER_ENCODING) {
        Extent::Framed
    } else {
        Extent::UntilClosed
    }
}

/// What any answer's head loses and gains.
fn clean(head: &mut Parts, record: &mut Record) {
    head::clean_response(&mut head.headers);
    if head.status == StatusCode::NO_CONTENT {
        // There is none that it could be the length of (RFC 9110 §8.6).
        head.headers.remove(CONTENT_LENGTH);
    }
    record.status = head.status.as_u16();
    // Clients show their provider's id to its support; where there is none they get the gateway's.
    match head.headers.entry(X_REQUEST_ID) {
        Entry::Occupied(theirs) => record.upstream_request_id = Some(theirs.get().clone()),
        Entry::Vacant(none) => {
            none.insert(record.request_id.clone());
        }
    }
}

impl Awaited {
    /// Why an answer must not reach the client: it would be taken for an agreement and is none, or is one to something
    /// else than was asked for.
    fn distrusts(&self, answer: &Response<Incoming>) -> Option<&'static str> {
        match (answer.status(), &self.key) {
            (StatusCode::SWITCHING_PROTOCOLS, Some(key)) => (!websocket::accepts(key, answer.headers()))
                .then_some("the upstream did not answer the key that it was asked with"),
            (status, _) if status.is_success() => Some("the upstream answered without switching protocols"),
            _ => None,
        }
    }
}

/// The upstream's agreement to use its connection for something else; what that is used for comes after this answer.
fn switch(
    answer: Response<Incoming>,
    switched: Box<Switched>,
    changes: Vec<Change>,
    awaited: Option<Awaited>,
    mut record: Box<Record>,
) -> Response<ClientBody> {
    let (mut head, _) = answer.into_parts();
    let upgrade = head.headers.get(UPGRADE).cloned();
    clean(&mut head, &mut record);
    changes::make(&mut head.headers, changes);
    record.first_byte = Some(Instant::now());
    record.settle_for_tunnel();
    let limit = record.worker.shared.times.stream_idle;
    let peer = Rc::clone(&record.peer);
    let tunnel = Box::new(Tunnel { switched, record });
    match awaited {
        None => {
            head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
            head.headers.extend(upgrade.map(|upgrade| (UPGRADE, upgrade)));
            peer.switches(tunnel);
        }
        Some(Awaited { stream, key }) => {
            // HTTP/2 agrees so (RFC 8441 §5).
            head.status = StatusCode::OK;
            if key.is_some() {
                head.headers.remove(SEC_WEBSOCKET_ACCEPT);
            }
            stream.carry(tunnel, limit);
        }
    }
    let mut response = Response::new(ClientBody::Switched);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// The answer to a client that asked for an upgrade which its upstream was asked for and does not make. Whatever the
/// client has sent since may be meant for the upstream and not for the gateway, so the connection ends.
pub(super) fn not_switched(peer: &Peer, response: &mut Response<ClientBody>) {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    peer.body_left_unread();
}

fn failed(error: &SendError, mut record: Box<Record>) -> Response<ClientBody> {
    let (fault, flag) = Fault::of_send(error);
    if fault == Fault::BodyTimeout {
        record.peer.body_left_unread();
    }
    record.upstream_failure = Some(error.to_string());
    respond::fault(fault, flag, record)
}
