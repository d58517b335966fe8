//! The header fields that policies and routes read: those that the client sent, with what is not its to say over them.
//!
//! A token's claims (`outputClaimToHeaders`, `outputPayloadToHeader`) come
//! before everything, whether the request has a token or not, and so does what
//! [`crate::client_cert`] lets stand of `x-forwarded-client-cert`. The field of a
//! verified token is not shown, as in Envoy, unless `forwardOriginalToken` of the
//! rule that accepted it says so, nor are cookies where tokens are. Then comes what authorizers have made of
//! a field, and last what [`crate::shown`] makes of the client's own.

use crate::attributes::Attributes;
use crate::check::Checked;
use crate::claims::Claims;
use crate::client_cert;
use crate::decision::BadRequest;
use crate::request::Headers;
use crate::rewrite;
use crate::shown;
use crate::tables::Tables;
use crate::token::removed::{COOKIE, KeptCookies};

/// A client's fields with a token's and a certificate's over them.
pub(crate) struct Overlay<'o> {
    tables: &'o Tables,
    /// As the client sent it.
    seen: &'o Attributes<'o>,
    checked: Option<&'o Checked<'o>>,
    claims: Option<&'o Claims<'o>>,
    /// What is left of the cookies, where some are taken out.
    cookies: Option<&'o KeptCookies>,
}

impl<'o> Overlay<'o> {
    pub(crate) fn new(
        tables: &'o Tables,
        seen: &'o Attributes<'o>,
        checked: Option<&'o Checked<'o>>,
        claims: Option<&'o Claims<'o>>,
    ) -> Self {
        Self {
            tables,
            seen,
            checked,
            claims,
            cookies: None,
        }
    }

    /// The same without the cookies where tokens are; the others are written to `cookies`.
    ///
    /// # Errors
    /// [`BadRequest::FieldTooLong`]
    pub(crate) fn of_kept(
        tables: &'o Tables,
        seen: &'o Attributes<'o>,
        checked: Option<&'o Checked<'o>>,
        claims: Option<&'o Claims<'o>>,
        cookies: &'o mut KeptCookies,
    ) -> Result<Self, BadRequest> {
        let sent = checked.map_or(seen.headers, |checked| checked);
        Ok(Self {
            cookies: cookies.write(tables, sent)?,
            ..Self::new(tables, seen, checked, claims)
        })
    }

    fn removes(&self, name: &str) -> bool {
        match self.checked {
            Some(checked) => rewrite::takes_token_field(self.tables, checked, self.claims, name),
            None => rewrite::takes_token_field(self.tables, self.seen.headers, self.claims, name),
        }
    }
}

impl Headers for Overlay<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        if rewrite::is_written(self.tables, name) {
            if let Some(value) = self.claims.and_then(|claims| claims.header(name)) {
                visit(value.as_bytes());
            }
            return;
        }
        if name == client_cert::NAME {
            return self.seen.client_cert(self.tables).each(visit);
        }
        if let Some(cookies) = self.cookies.filter(|_| name == COOKIE) {
            return cookies.each(visit);
        }
        if self.removes(name) {
            return;
        }
        let is_changed = || self.checked.is_some_and(|checked| checked.names(name));
        match (shown::index(self.tables, name), self.checked) {
            (Some(index), _) if !is_changed() => shown::each(self.tables, index, self.seen, visit),
            (_, Some(checked)) => checked.each(name, visit),
            (_, None) => self.seen.headers.each(name, visit),
        }
    }
}
