//! A request as HTTP/2 has it, and what is kept of it to send it once more.

use core::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, TE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};
use http_body::Body as _;

use super::upload::{Noted, Upload};
use crate::pace::Broken;
use crate::upstream::UpstreamBody;

/// The request as HTTP/2 has it: its host in the target, and what gRPC asks for.
pub(super) fn in_http2(
    request: Request<UpstreamBody>,
    is_tls: bool,
    failure: &Rc<Cell<Option<Broken>>>,
    upload: Upload,
) -> Option<Request<Noted>> {
    let (mut head, body) = request.into_parts();
    let host = head.headers.remove(HOST)?;
    let path = head.uri.path_and_query().cloned();
    head.uri = Uri::builder()
        .scheme(if is_tls { Scheme::HTTPS } else { Scheme::HTTP })
        .authority(Authority::try_from(host.as_bytes()).ok()?)
        .path_and_query(path.unwrap_or_else(|| PathAndQuery::from_static("/")))
        .build()
        .ok()?;
    head.version = Version::HTTP_2;
    let content_type = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    if content_type.starts_with(b"application/grpc") {
        head.headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    Some(Request::from_parts(head, Noted::new(body, failure, upload)))
}

/// A request that can go out once more: one whose body is at hand, and not so large that it should be let go when it is sent.
pub(super) struct Copy {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    pieces: VecDeque<Bytes>,
}

impl Copy {
    pub(super) fn of(request: &Request<UpstreamBody>) -> Option<Self> {
        let pieces = match request.body() {
            body if body.is_too_large_to_copy() => return None,
            UpstreamBody::Pieces(pieces, _) => pieces.clone(),
            body if body.is_end_stream() => VecDeque::new(),
            UpstreamBody::Stream(..) | UpstreamBody::Watched(_) => return None,
        };
        Some(Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
            pieces,
        })
    }

    pub(super) fn request(&self) -> Request<UpstreamBody> {
        let mut request = Request::new(UpstreamBody::of_pieces(self.pieces.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        *request.version_mut() = Version::HTTP_2;
        request
    }
}
