//! The header fields that the gateway writes of who the client is, over those that the client sent.
//!
//! Policy, routes and the upstream see the gateway's `outputClaimToHeaders` and
//! `outputPayloadToHeader` and never a client's field of that name, whether the
//! request has a token or not; and of `x-forwarded-client-cert` what
//! [`crate::client_cert`] lets stand.

use crate::claims::Claims;
use crate::client_cert::{self, Shown};
use crate::request::Headers;
use crate::tables::Tables;

/// A client's fields with a token's and a certificate's over them.
pub(crate) struct Overlay<'o> {
    sent: &'o dyn Headers,
    tables: &'o Tables<'o>,
    certificate: Shown<'o>,
    claims: Option<Claims<'o>>,
}

impl<'o> Overlay<'o> {
    pub(crate) fn new(
        tables: &'o Tables<'o>,
        certificate: Shown<'o>,
        sent: &'o dyn Headers,
        claims: Option<Claims<'o>>,
    ) -> Self {
        Self {
            sent,
            tables,
            certificate,
            claims,
        }
    }
}

impl Headers for Overlay<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        if !is_written(self.tables, name) {
            return match name == client_cert::NAME {
                true => self.certificate.each(visit),
                false => self.sent.each(name, visit),
            };
        }
        if let Some(value) = self.claims.and_then(|claims| claims.header(name)) {
            visit(value.as_bytes());
        }
    }
}

/// Whether tokens write the field `name`, so that a client must not.
pub(crate) fn is_written(tables: &Tables<'_>, name: &str) -> bool {
    tables
        .token_headers
        .iter()
        .any(|written| tables.text(*written).eq_ignore_ascii_case(name))
}
