//! `redirect`: the place that a request is sent away to.
//!
//! As Envoy makes it (`Http::Utility::newUri`) of istiod's translation: what the
//! configuration does not name is the client's own. The port of the client's
//! Host stays, unless another is given or the scheme changes and it was the old
//! one's default. Gateway API is stricter: its port is always one of the
//! configuration, the scheme or the listener.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRedirect>

use crate::attributes::Attributes;
use crate::authority::{self, Authority};
use crate::decision::{Decision, Redirect, Refusal};
use crate::request::Scheme;
use crate::tables::{EntryRow, RedirectPath, RedirectPort, RedirectRow, Tables};

/// The answer of a server with `tls.httpsRedirect`: the same place by `https`, at its own port. Envoy keeps a port that
/// the client named, at which it has just been told that TLS is not spoken.
pub(crate) fn to_https<'d>(seen: &Attributes<'d>) -> Decision<'d> {
    let Authority { raw, host, .. } = seen.authority;
    let name = raw.get(..host.len()).unwrap_or_default();
    Decision::Redirect(Redirect {
        rule: None,
        status: 301,
        scheme: Scheme::Https,
        // An authority that was read is ASCII.
        authority: core::str::from_utf8(name).unwrap_or_default(),
        port: None,
        path: seen.path,
        rest: "",
        query: seen.query,
        response_changes: &[],
    })
}

/// The answer of `redirects[row]`, the redirect of `entry`'s rule.
pub(crate) fn answer<'d>(tables: &'d Tables, row: u32, entry: &EntryRow, seen: &Attributes<'d>) -> Decision<'d> {
    let Some(row) = tables.redirects.get(row as usize) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    let sent = seen.scheme;
    let scheme = row.scheme.unwrap_or(sent);
    let port = port(
        row,
        row.scheme.unwrap_or(presumed_scheme(row, seen)),
        seen.connection.port,
    );
    let (path, rest) = match row.path {
        RedirectPath::Sent => (seen.path, ""),
        RedirectPath::Whole(path) => (tables.text(path), ""),
        RedirectPath::Matched(with) => match (tables.text(with), entry.matched.rest(seen.path)) {
            ("", "") => ("/", ""),
            path => path,
        },
    };
    // A query of the configuration's own stands for the client's.
    let query = seen.query.filter(|_| !path.contains('?'));
    Decision::Redirect(Redirect {
        rule: Some(entry.rule),
        status: row.status,
        scheme,
        authority: match row.authority {
            Some(authority) => tables.text(authority),
            None => sent_authority(row, seen.authority.raw, sent, scheme, port),
        },
        port,
        path,
        rest,
        query,
        response_changes: row.response_changes.of(&tables.header_changes),
    })
}

/// The scheme whose default port is not written where the configuration names none. istiod knows but the listener's,
/// whatever a trusted proxy tells of the client's.
fn presumed_scheme(row: &RedirectRow, seen: &Attributes<'_>) -> Scheme {
    match row.keeps_port {
        true => seen.connection.scheme,
        false => seen.scheme,
    }
}

/// The port to write. As in istiod, one that is the new scheme's default is none.
fn port(row: &RedirectRow, scheme: Scheme, listener: u16) -> Option<u16> {
    let port = match row.port {
        RedirectPort::Sent => return None,
        RedirectPort::Number(port) => port,
        RedirectPort::Listener => listener,
    };
    (port != default_port(scheme)).then_some(port)
}

/// The client's authority, without its port where that no longer fits.
fn sent_authority<'d>(row: &RedirectRow, raw: &'d [u8], sent: Scheme, scheme: Scheme, port: Option<u16>) -> &'d str {
    // An authority that was read is ASCII.
    let authority = core::str::from_utf8(raw).unwrap_or_default();
    let host = authority::host_len(raw).and_then(|len| authority.split_at_checked(len));
    let Some((host, sent_port)) = host else {
        return authority;
    };
    let is_old_default = match sent {
        Scheme::Http => sent_port == ":80",
        Scheme::Https => sent_port == ":443",
    };
    if !row.keeps_port || port.is_some() || scheme != sent && is_old_default {
        host
    } else {
        authority
    }
}

fn default_port(scheme: Scheme) -> u16 {
    match scheme {
        Scheme::Http => 80,
        Scheme::Https => 443,
    }
}
