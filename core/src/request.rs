//! What a decision reads of a request: borrowed, as the client sent it.
//!
//! Shells build a [`Request`] from whatever they hold (hyper's parts, a JSON
//! object in the browser, a fuzzer's bytes). Nothing here is normalised:
//! [`crate::authority`] and [`crate::path`] do that, once, inside
//! [`crate::decide::decide`].

use core::fmt;
use core::net::IpAddr;

/// Access to header fields by name, as the client sent them.
pub trait Headers {
    /// Calls `visit` with every value of the field `name`, in the order received.
    ///
    /// `name` is lower case; implementations compare without regard to ASCII
    /// case. Values come without leading and trailing blanks. Several lines of
    /// one name are several values and are never joined.
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8]));
}

/// Plain pairs, for tests, fuzzers and the simulator.
impl Headers for [(&str, &[u8])] {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for (key, value) in self {
            if key.eq_ignore_ascii_case(name) {
                visit(value.trim_ascii());
            }
        }
    }
}

/// A borrowed slice of pairs.
impl Headers for &[(&str, &[u8])] {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        (**self).each(name, visit);
    }
}

/// No header fields at all.
impl Headers for () {
    fn each<'h>(&'h self, _: &str, _: &mut dyn FnMut(&'h [u8])) {}
}

/// One request, as far as a decision may depend on it.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The method, case as sent.
    pub method: &'r str,
    /// `:authority` of HTTP/2 or the authority of an absolute-form target.
    ///
    /// `None` when only the `Host` field names the authority (the usual case in HTTP/1.1).
    pub authority: Option<&'r str>,
    /// Path and query in origin form, as sent (`/v1/chat/completions?x=1`).
    pub target: &'r str,
    /// The header fields, `host` included when the client sent one.
    pub headers: &'r dyn Headers,
    /// The address of the TCP peer (Istio's `source.ip`, `ipBlocks`).
    pub peer: IpAddr,
    /// The *logical* port of the listener: the number of the Gateway server, not the socket's.
    pub port: u16,
}

impl fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Header values may carry credentials, so they never appear here.
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("authority", &self.authority)
            .field("target", &self.target)
            .field("peer", &self.peer)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}
