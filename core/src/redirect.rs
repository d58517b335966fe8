//! `redirect`: the place that a request is sent away to.
//!
//! As Envoy makes it (`Http::Utility::newUri`) of istiod's translation: what the
//! configuration does not name is the client's own. The port of the client's
//! Host stays, unless another is given or the scheme changes and it was the old
//! one's default.
//! <https://istio.io/latest/docs/reference/config/networking/virtual-service/#HTTPRedirect>

use crate::attributes::Attributes;
use crate::authority::{self, Authority};
use crate::decision::{Decision, Redirect, Refusal};
use crate::request::Scheme;
use crate::tables::{RedirectPort, RedirectRow, RuleId, Tables};

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
        query: seen.query,
        response_changes: &[],
    })
}

/// The answer of `redirects[row]`, a redirect of `rule`.
pub(crate) fn answer<'d>(tables: &Tables<'d>, row: u32, rule: RuleId, seen: &Attributes<'d>) -> Decision<'d> {
    let Some(row) = tables.redirects.get(row as usize) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    let sent = seen.connection.scheme;
    let scheme = row.scheme.unwrap_or(sent);
    let port = port(row, scheme, seen.connection.port);
    let (path, query) = match row.target.map(|target| tables.text(target)) {
        None => (seen.path, seen.query),
        // A query of the configuration's own stands for the client's.
        Some(target) if target.contains('?') => (target, None),
        Some(target) => (target, seen.query),
    };
    Decision::Redirect(Redirect {
        rule: Some(rule),
        status: row.status,
        scheme,
        authority: match row.authority {
            Some(authority) => tables.text(authority),
            None => sent_authority(seen.authority.raw, sent, scheme, port),
        },
        port,
        path,
        query,
        response_changes: row.response_changes.of(tables.header_changes),
    })
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
fn sent_authority(raw: &[u8], sent: Scheme, scheme: Scheme, port: Option<u16>) -> &str {
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
    if port.is_some() || scheme != sent && is_old_default {
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
