//! What a decision looks at: a request after its head was read in one way only.

use core::net::IpAddr;

use crate::authority::{Authority, AuthorityBuffer};
use crate::client_cert::Shown;
use crate::connection_field;
use crate::decision::BadRequest;
use crate::method;
use crate::path::{self, PathBuffer, Target};
use crate::remote;
use crate::request::{AuthorityForm, Connection, Headers, Request, Scheme};
use crate::route;
use crate::shown::{self, Written};
use crate::tables::Tables;
use crate::token::removed::{self, KeptCookies, QueryBuffer};

/// Working memory of one decision, owned by the caller and used again for the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) head: HeadScratch,
    /// The cookies that policies read.
    pub(crate) judged_cookies: KeptCookies,
    /// Those that pass 1 of the routes reads, where an authorizer's answer tells them apart.
    pub(crate) routed_cookies: KeptCookies,
}

/// What the head of a request is read into.
#[derive(Debug, Default)]
pub(crate) struct HeadScratch {
    authority: AuthorityBuffer,
    path: PathBuffer,
    query: QueryBuffer,
    written: Written,
}

impl Scratch {
    /// Empty working memory. About 37 KiB: keep it with the worker, not with the connection.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            head: HeadScratch {
                authority: AuthorityBuffer::new(),
                path: PathBuffer::new(),
                query: QueryBuffer::new(),
                written: Written::new(),
            },
            judged_cookies: KeptCookies::new(),
            routed_cookies: KeptCookies::new(),
        }
    }
}

/// The attributes of a request, normalised once.
#[derive(Clone, Copy)]
pub(crate) struct Attributes<'d> {
    pub(crate) method: &'d str,
    pub(crate) authority: Authority<'d>,
    pub(crate) path: &'d str,
    /// As it goes on, without the parameters where tokens are.
    pub(crate) query: Option<&'d str>,
    /// As it came: where tokens are looked for.
    pub(crate) received_query: Option<&'d str>,
    pub(crate) headers: &'d dyn Headers,
    /// It came as an extended CONNECT: an answer of 2xx that does not lead to what it asks for must not be given.
    pub(crate) insists: bool,
    pub(crate) connection: &'d Connection<'d>,
    /// What the client speaks, as far as trusted proxies tell.
    pub(crate) scheme: Scheme,
    /// Where the connection came to, as [`route::listener`] has it.
    pub(crate) listener: Option<u32>,
    /// The client's address as far as it can be trusted.
    pub(crate) remote: IpAddr,
    /// What [`shown`] shows of header fields.
    pub(crate) written: &'d Written,
}

impl<'d> Attributes<'d> {
    /// Reads the head of `request`.
    ///
    /// # Errors
    /// What makes it ambiguous or malformed.
    pub(crate) fn read(
        tables: &Tables,
        request: &'d Request<'d>,
        scratch: &'d mut HeadScratch,
    ) -> Result<Self, BadRequest> {
        let edge = tables.edge;
        method::check(request.method)?;
        connection_field::check(tables, request.headers)?;
        let authority = Authority::parse(sent_authority(request)?, &mut scratch.authority)?;
        let target = path::normalise(request.target, edge.paths, &mut scratch.path)?;
        // `*` asks about the server itself, and only OPTIONS may (RFC 9112 §3.2.4). CONNECT names no path, and nothing
        // here is a tunnel.
        if target.path == "*" && request.method != "OPTIONS" || request.method == "CONNECT" {
            return Err(BadRequest::Path);
        }
        let remote = remote::address(request.headers, edge.trusted_proxies, &request.connection);
        scratch
            .written
            .write(tables, request.headers, &request.connection, remote)?;
        Ok(Self {
            method: request.method,
            authority,
            path: target.path,
            query: removed::kept_query(tables, target.query, &mut scratch.query)?,
            received_query: target.query,
            headers: request.headers,
            insists: request.authority.is_some_and(|sent| sent.upgrade.is_some()),
            connection: &request.connection,
            scheme: shown::forwarded_scheme(tables, request.headers, request.connection.scheme),
            listener: route::listener(tables, &request.connection),
            remote,
            written: &scratch.written,
        })
    }

    /// What the client's own fields and its connection make of `x-forwarded-client-cert`.
    pub(crate) fn client_cert(&self, tables: &Tables) -> Shown<'d> {
        Shown::of(tables, self.headers, self.connection)
    }

    /// The same with other header fields.
    pub(crate) fn with_headers<'s>(&self, headers: &'s dyn Headers) -> Attributes<'s>
    where
        'd: 's,
    {
        Attributes { headers, ..*self }
    }

    /// The request as the second pass sees it: sent to the provider's host, and to its path where that is fixed.
    pub(crate) fn rewritten_to<'s>(
        &self,
        host: &'s [u8],
        path: Option<Target<'s>>,
        headers: &'s dyn Headers,
    ) -> Attributes<'s>
    where
        'd: 's,
    {
        let (path, query) = path.map_or((self.path, self.query), |fixed| (fixed.path, fixed.query));
        Attributes {
            authority: Authority {
                raw: host,
                folded: host,
                host,
            },
            path,
            query,
            headers,
            ..*self
        }
    }
}

/// The one authority of a request. An absolute-form target wins over `Host` (RFC 9112 §3.2.2), `:authority` must agree
/// with it (RFC 9113 §8.3.1), two `Host` fields never pass.
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
    let Some(sent) = request.authority else {
        return if hosts == 0 {
            Err(BadRequest::MissingHost)
        } else {
            Ok(host)
        };
    };
    if sent
        .scheme
        .is_some_and(|scheme| !is_spoken(scheme, sent.form, request.connection.scheme))
    {
        return Err(BadRequest::Scheme);
    }
    let text = sent.text.as_bytes();
    if sent.form == AuthorityForm::Pseudo && hosts > 0 && !host.eq_ignore_ascii_case(text) {
        return Err(BadRequest::TwoHosts);
    }
    Ok(text)
}

/// Whether a request for `scheme` may come over this connection. A target of the other scheme was meant for another;
/// `:scheme` is what a proxy in front may have been asked for.
fn is_spoken(scheme: &str, form: AuthorityForm, spoken: Scheme) -> bool {
    let is = |known: Scheme| scheme.eq_ignore_ascii_case(known.as_str());
    is(spoken) || form == AuthorityForm::Pseudo && (is(Scheme::Http) || is(Scheme::Https))
}
