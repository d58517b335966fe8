//! The header fields that policies and routes read: those that the client sent, with what is not its to say over them.
//!
//! A token's claims (`outputClaimToHeaders`, `outputPayloadToHeader`) come
//! before everything, whether the request has a token or not, and so does what
//! [`crate::client_cert`] lets stand of `x-forwarded-client-cert`. Then what
//! authorizers have made of a field, and last what [`crate::shown`] makes of the
//! client's own.

use crate::attributes::Attributes;
use crate::check::Checked;
use crate::claims::Claims;
use crate::client_cert;
use crate::request::Headers;
use crate::shown;
use crate::tables::Tables;

/// A client's fields with a token's and a certificate's over them.
pub(crate) struct Overlay<'o> {
    tables: &'o Tables<'o>,
    /// As the client sent it.
    seen: &'o Attributes<'o>,
    checked: Option<&'o Checked<'o>>,
    claims: Option<Claims<'o>>,
}

impl<'o> Overlay<'o> {
    pub(crate) fn new(
        tables: &'o Tables<'o>,
        seen: &'o Attributes<'o>,
        checked: Option<&'o Checked<'o>>,
        claims: Option<Claims<'o>>,
    ) -> Self {
        Self {
            tables,
            seen,
            checked,
            claims,
        }
    }
}

impl Headers for Overlay<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        if is_written(self.tables, name) {
            if let Some(value) = self.claims.and_then(|claims| claims.header(name)) {
                visit(value.as_bytes());
            }
            return;
        }
        if name == client_cert::NAME {
            return self.seen.client_cert(self.tables).each(visit);
        }
        let is_changed = || self.checked.is_some_and(|checked| checked.names(name));
        match (shown::index(self.tables, name), self.checked) {
            (Some(index), _) if !is_changed() => shown::each(self.tables, index, self.seen, visit),
            (_, Some(checked)) => checked.each(name, visit),
            (_, None) => self.seen.headers.each(name, visit),
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
