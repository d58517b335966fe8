//! The methods there are.
//!
//! A method is compared letter by letter, so `post` is another one than `POST`,
//! and a DENY on `POST` would not see it; upstreams are not all as strict. Envoy
//! answers 400 to every method it does not know, and so does this gateway.
//! The list is Envoy's own, asked of release 1.40.
//!
//! TRACE is one of them, and refused: who answers it sends back the request that
//! came, with the key and the fields that were added to it here (RFC 9110 §9.3.8).

use crate::decision::BadRequest;

/// Whether `method` is one that HTTP or WebDAV has, and not TRACE.
pub(crate) fn check(method: &str) -> Result<(), BadRequest> {
    match method {
        "TRACE" => Err(BadRequest::Trace),
        _ if is_known(method) => Ok(()),
        _ => Err(BadRequest::Method),
    }
}

fn is_known(method: &str) -> bool {
    matches!(
        method,
        "POST"
            | "GET"
            | "HEAD"
            | "PUT"
            | "PATCH"
            | "DELETE"
            | "OPTIONS"
            | "CONNECT"
            | "ACL"
            | "BIND"
            | "CHECKOUT"
            | "COPY"
            | "LINK"
            | "LOCK"
            | "MERGE"
            | "MKACTIVITY"
            | "MKCALENDAR"
            | "MKCOL"
            | "MOVE"
            | "MSEARCH"
            | "NOTIFY"
            | "PROPFIND"
            | "PROPPATCH"
            | "PURGE"
            | "REBIND"
            | "REPORT"
            | "SEARCH"
            | "SOURCE"
            | "SUBSCRIBE"
            | "UNBIND"
            | "UNLINK"
            | "UNLOCK"
            | "UNSUBSCRIBE"
    )
}
