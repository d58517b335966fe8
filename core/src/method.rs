//! The methods there are.
//!
//! A method is compared letter by letter, so `post` is another one than `POST`,
//! and a DENY on `POST` would not see it; upstreams are not all as strict. Envoy
//! answers 400 to every method it does not know, and so does this gateway.
//! The list is Envoy's own, asked of release 1.40.

/// Whether `method` is one that HTTP or WebDAV has.
pub(crate) fn is_known(method: &str) -> bool {
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
            | "TRACE"
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
