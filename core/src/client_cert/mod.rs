//! `x-forwarded-client-cert`: which certificates of clients an upstream is told of.
//!
//! A proxy says there whom it has verified, so nothing is believed as readily.
//! As in Envoy, what a client wrote into it counts only where MeshConfig's
//! `forwardClientCertDetails` says so, and policies, routes, authorizers and the
//! upstream are all shown the same: what goes on, never what was dropped.
//! <https://www.envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers#x-forwarded-client-cert>

#[cfg(feature = "alloc")]
mod element;
#[cfg(feature = "alloc")]
mod subject;

#[cfg(feature = "alloc")]
use alloc::vec::Vec;

#[cfg(feature = "alloc")]
pub use element::{ClientCertificate, NotShown, of_uri_names};

use crate::request::{Connection, Headers};
use crate::tables::Tables;

/// The field, lower case.
pub const NAME: &str = "x-forwarded-client-cert";

/// What becomes of it: Istio's `forwardClientCertDetails`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::exhaustive_enums, reason = "Envoy has these")]
pub enum Forwarding {
    /// It is removed.
    Sanitize,
    /// The client's goes on if the client has shown a certificate.
    ForwardOnly,
    /// The same, and that certificate is added.
    AppendForward,
    /// It says which certificate the client has shown, and nothing else.
    #[default]
    SanitizeSet,
    /// The client's goes on, whoever it is.
    AlwaysForwardOnly,
}

impl Forwarding {
    /// Each by Istio's name.
    pub const NAMED: [(&'static str, Self); 5] = [
        ("SANITIZE", Self::Sanitize),
        ("FORWARD_ONLY", Self::ForwardOnly),
        ("APPEND_FORWARD", Self::AppendForward),
        ("SANITIZE_SET", Self::SanitizeSet),
        ("ALWAYS_FORWARD_ONLY", Self::AlwaysForwardOnly),
    ];
}

/// The field's values on one request, as all who read them are shown them.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'r> {
    /// Where those are that the client wrote, if they go on.
    sent: Option<&'r dyn Headers>,
    /// What is added to them: the client's certificate.
    added: Option<&'r str>,
}

impl<'r> Shown<'r> {
    /// Of a request with the client's own fields, over its connection.
    pub(crate) fn of(tables: &Tables, headers: &'r dyn Headers, connection: &Connection<'r>) -> Self {
        let certificate = connection.client_cert;
        let of_proxy = certificate.map(|_| headers);
        let (sent, added) = match tables.edge.client_cert {
            Forwarding::Sanitize => (None, None),
            Forwarding::ForwardOnly => (of_proxy, None),
            Forwarding::AppendForward => (of_proxy, certificate),
            Forwarding::SanitizeSet => (None, certificate),
            Forwarding::AlwaysForwardOnly => (Some(headers), None),
        };
        Self { sent, added }
    }

    pub(crate) fn each(&self, visit: &mut dyn FnMut(&'r [u8])) {
        if let Some(sent) = self.sent {
            sent.each(NAME, visit);
        }
        if let Some(added) = self.added {
            visit(added.as_bytes());
        }
    }
}

/// The field as a plain host gets it, when the client sent `headers` over `connection`. LLM providers never get it.
#[cfg(feature = "alloc")]
#[must_use]
pub fn sent(tables: &Tables, headers: &dyn Headers, connection: &Connection<'_>) -> Option<Vec<u8>> {
    let mut all = Vec::new();
    Shown::of(tables, headers, connection).each(&mut |value| {
        if !all.is_empty() && !value.is_empty() {
            all.push(b',');
        }
        all.extend_from_slice(value);
    });
    (!all.is_empty()).then_some(all)
}
