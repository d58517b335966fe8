//! What a decision looks at: a request after its head was read in one way only.

use core::net::IpAddr;

use crate::authority::{Authority, AuthorityBuffer};
use crate::decision::BadRequest;
use crate::method;
use crate::path::{self, PathBuffer};
use crate::remote;
use crate::request::{Connection, Headers, Request};
use crate::tables::EdgeRow;

/// Working memory of one decision, owned by the caller and used again for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    authority: AuthorityBuffer,
    path: PathBuffer,
}

impl Scratch {
    /// Empty working memory. About 9 KiB: keep it with the worker, not with the connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            authority: AuthorityBuffer::new(),
            path: PathBuffer::new(),
        }
    }
}

/// The attributes of a request, normalised once.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'d> {
    pub(crate) method: &'d str,
    pub(crate) authority: Authority<'d>,
    pub(crate) path: &'d str,
    pub(crate) query: Option<&'d str>,
    pub(crate) headers: &'d dyn Headers,
    pub(crate) connection: Connection<'d>,
    /// The client's address as far as it can be trusted.
    pub(crate) remote: IpAddr,
}

impl<'d> Attributes<'d> {
    /// Reads the head of `request`.
    ///
    /// # Errors
    /// What makes it ambiguous or malformed.
    pub(crate) fn read(edge: EdgeRow, request: &Request<'d>, scratch: &'d mut Scratch) -> Result<Self, BadRequest> {
        if !method::is_known(request.method) {
            return Err(BadRequest::Method);
        }
        let authority = Authority::parse(sent_authority(request)?, &mut scratch.authority)?;
        let target = path::normalise(request.target, edge.paths, &mut scratch.path)?;
        // `*` asks about the server itself, and only OPTIONS may (RFC 9112 §3.2.4).
        if target.path == "*" && request.method != "OPTIONS" {
            return Err(BadRequest::Path);
        }
        Ok(Self {
            method: request.method,
            authority,
            path: target.path,
            query: target.query,
            headers: request.headers,
            connection: request.connection,
            remote: remote::address(request.headers, edge.trusted_proxies, &request.connection),
        })
    }

    /// The same with other header fields.
    pub(crate) fn with_headers<'s>(self, headers: &'s dyn Headers) -> Attributes<'s>
    where
        'd: 's,
    {
        Attributes { headers, ..self }
    }

    /// The request as the second pass sees it: sent to the provider's host.
    pub(crate) fn rewritten_to(self, host: &'d [u8]) -> Self {
        Self {
            authority: Authority {
                raw: host,
                folded: host,
                host,
            },
            ..self
        }
    }
}

/// The one authority of a request. An absolute-form target or `:authority` wins over `Host` (RFC 9112 §3.2.2),
/// two `Host` fields never pass.
fn sent_authority<'d>(request: &Request<'d>) -> Result<&'d [u8], BadRequest> {
    let mut hosts = 0_u32;
    let mut host: &[u8] = &[];
    request.headers.each("host", &mut |value| {
        hosts = hosts.saturating_add(1);
        host = value;
    });
    if hosts > 1 {
        return Err(BadRequest::TwoHosts);
    }
    match request.authority {
        Some(authority) => Ok(authority.as_bytes()),
        None if hosts == 0 => Err(BadRequest::MissingHost),
        None => Ok(host),
    }
}
