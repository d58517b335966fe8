//! Asks external authorizers about requests: the part of CUSTOM policies that needs a network and a clock.
//!
//! ```text
//! Decision::Check ─► ask ─► HTTP (kept connections) ─┐
//!                      └──► gRPC (one HTTP/2) ───────┴─► Reply ─► decide again
//! ```
//!
//! Whom to ask, what they are sent and what of their answer counts is the
//! engine's ([`lockgate_core::check`]). Everything that goes wrong here is one
//! thing to it: no answer that counts. A question is dropped with its request
//! when the client goes away, and so is what it waits for.

mod checks;
mod grpc;
mod http;
mod message;
mod proto;

pub(crate) use checks::Checks;
pub(crate) use grpc::Channel;

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use ::http::header::{CONTENT_TYPE, HeaderName};
use ::http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use bytes::Bytes;
use lockgate_core::check::{Authorizer, OwnedField, OwnedSaid};

use crate::changes::Change;
use crate::upstream::{Pool, SendError};

/// What an authorizer is asked about one request.
#[derive(Debug)]
pub(crate) struct Question<'q> {
    pub(crate) authorizer: &'q Authorizer,
    /// `includeAdditionalHeadersInCheck`
    pub(crate) adds: &'q [(HeaderName, HeaderValue)],
    pub(crate) method: &'q Method,
    pub(crate) version: Version,
    /// The normalised path with the query.
    pub(crate) target: String,
    pub(crate) host: &'q [u8],
    pub(crate) scheme: &'static str,
    /// As the authorizers before have left them.
    pub(crate) headers: &'q HeaderMap,
    pub(crate) body: Option<SentBody>,
    /// The client, as far as its address can be trusted.
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
    /// The SPIFFE id of its certificate.
    pub(crate) principal: Option<&'q str>,
    pub(crate) request_id: &'q HeaderValue,
    pub(crate) entropy: u64,
}

/// A client's body, as far as an authorizer gets it.
#[derive(Debug)]
pub(crate) struct SentBody {
    pub(crate) pieces: VecDeque<Bytes>,
    /// Bytes of all of it.
    pub(crate) whole: usize,
    /// Whether it is not all of it.
    pub(crate) is_partial: bool,
}

impl SentBody {
    /// The first `limit` bytes of a body.
    pub(crate) fn of(body: &VecDeque<Bytes>, limit: u32) -> Self {
        let mut room = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut pieces = VecDeque::new();
        for piece in body {
            let taken = piece.len().min(room);
            if taken > 0 {
                pieces.push_back(piece.slice(..taken));
            }
            room -= taken;
        }
        let whole: usize = body.iter().map(Bytes::len).sum();
        Self {
            is_partial: pieces.iter().map(Bytes::len).sum::<usize>() < whole,
            pieces,
            whole,
        }
    }
}

/// What came of asking.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) said: OwnedSaid,
    /// Of a denial, what the client gets.
    pub(crate) denial: Option<Denial>,
    /// Of a permission, what it changes of the answer that the client gets.
    pub(crate) to_client: Vec<Change>,
    /// Why there is no answer that counts.
    pub(crate) failure: Option<CheckError>,
}

/// The answer of an authorizer to a client that it denies.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Why there is no answer that counts.
#[derive(Debug)]
pub(crate) enum CheckError {
    /// It did not come within the authorizer's `timeout`.
    Timeout,
    /// No connection, or it broke.
    Send(SendError),
    /// The body of the answer is too long or broken off.
    Body,
    /// HTTP: the authorizer's own failure.
    Status(StatusCode),
    /// gRPC: the call failed.
    Grpc(tonic::Code),
    /// gRPC: the answer says that the authorizer itself failed, or says nothing.
    NoVerdict,
    /// The answer would change what an authorizer must not, named here.
    Forbidden(Box<str>),
    /// The answer has a field that no message can carry.
    Field,
    /// gRPC: the answer changes more fields than there may be.
    TooManyFields,
}

impl fmt::Display for CheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Timeout => f.write_str("no answer in time"),
            Self::Send(error) => error.fmt(f),
            Self::Body => f.write_str("the answer is broken off or too long"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::Grpc(code) => write!(f, "gRPC: {code}"),
            Self::NoVerdict => f.write_str("the answer has no verdict"),
            Self::Forbidden(name) => write!(f, "the answer would change `{name}`"),
            Self::Field => f.write_str("the answer has a field that no message can carry"),
            Self::TooManyFields => f.write_str("the answer changes too many fields"),
        }
    }
}

/// How an authorizer is reached by one worker.
#[derive(Debug, Clone)]
pub(crate) enum Way {
    Http(Rc<Pool>),
    Grpc(Rc<Channel>),
}

impl Reply {
    fn allow(fields: Vec<OwnedField>, to_client: Vec<Change>) -> Self {
        Self {
            said: OwnedSaid::Allow(fields),
            denial: None,
            to_client,
            failure: None,
        }
    }

    fn deny(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Self {
        if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        }
        Self {
            said: OwnedSaid::Deny(status.as_u16()),
            denial: Some(Denial { headers, body }),
            to_client: Vec::new(),
            failure: None,
        }
    }

    fn nothing(failure: CheckError) -> Self {
        Self {
            said: OwnedSaid::Nothing,
            denial: None,
            to_client: Vec::new(),
            failure: Some(failure),
        }
    }

    /// The body is larger than what the authorizer may be sent.
    pub(crate) fn too_large() -> Self {
        Self {
            said: OwnedSaid::BodyTooLarge,
            denial: None,
            to_client: Vec::new(),
            failure: None,
        }
    }

    /// What metrics and logs call it. One that nobody waits for is `cancelled` there.
    pub(crate) fn result(&self) -> &'static str {
        match self.said {
            OwnedSaid::Allow(_) => "allowed",
            OwnedSaid::Deny(_) => "denied",
            OwnedSaid::Nothing => "error",
            OwnedSaid::BodyTooLarge => "body_too_large",
        }
    }
}

/// Asks, and waits for the answer as long as the authorizer may take.
pub(crate) async fn ask(way: &Way, question: Question<'_>) -> Reply {
    let limit = Duration::from_millis(u64::from(question.authorizer.timeout_ms));
    let asked = async {
        match way {
            Way::Http(pool) => http::ask(pool, &question, limit).await,
            Way::Grpc(channel) => grpc::ask(channel, &question).await,
        }
    };
    let reply = tokio::time::timeout(limit, asked).await;
    if reply.is_err()
        && let Way::Grpc(channel) = way
    {
        // A connection that gives no answers is not given more questions.
        channel.forget();
    }
    reply.unwrap_or(Err(CheckError::Timeout)).unwrap_or_else(Reply::nothing)
}

/// The fields of a request that its authorizer is sent, each once.
fn sent<'q>(question: &'q Question<'_>) -> impl Iterator<Item = (&'q HeaderName, String)> {
    let headers = question.headers;
    let names = headers.keys().filter(|name| question.authorizer.sends(name.as_str()));
    names.map(|name| {
        let values = headers.get_all(name).iter().map(|value| value.as_bytes().trim_ascii());
        (name, lockgate_core::check::joined(name.as_str(), values))
    })
}

/// An address with its port, where the port is known to belong to it.
pub(crate) fn with_port(remote: IpAddr, peer: SocketAddr) -> SocketAddr {
    SocketAddr::new(remote, if remote == peer.ip() { peer.port() } else { 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorizer_gets_the_beginning_of_a_large_body_and_all_of_a_small_one() {
        let body: VecDeque<Bytes> = [&b"abc"[..], b"", b"defg"].map(Bytes::from_static).into();
        for (limit, wanted, is_partial) in [
            (0, "", true),
            (2, "ab", true),
            (3, "abc", true),
            (5, "abcde", true),
            (7, "abcdefg", false),
            (100, "abcdefg", false),
        ] {
            let sent = SentBody::of(&body, limit);
            let text: Vec<u8> = sent.pieces.iter().flat_map(|piece| piece.to_vec()).collect();
            assert_eq!((&text[..], sent.is_partial), (wanted.as_bytes(), is_partial), "{limit}");
        }
        assert!(!SentBody::of(&VecDeque::new(), 1).is_partial);
    }
}
