//! Policy values that are allowed and probably do not do what they say.

use alloc::format;
use core::net::Ipv6Addr;

use super::Fault;
use crate::config::suggest::nearest;
use crate::method;

pub(super) fn pattern(text: &str) -> Option<Fault> {
    let inner = text.strip_prefix('*').unwrap_or(text);
    let inner = if inner.len() == text.len() {
        inner.strip_suffix('*').unwrap_or(inner)
    } else {
        inner
    };
    inner.contains('*').then(|| {
        Fault::new("literal-star", "has a `*` that matches only itself")
            .help("Istio reads one `*`, at the very beginning or the very end; the leading one wins")
    })
}

pub(super) fn host(text: &str) -> Option<Fault> {
    (text.contains("://") || text.contains('/'))
        .then(|| Fault::new("never-matches", "matches no host: a host has no `/`"))
}

pub(super) fn method(text: &str) -> Option<Fault> {
    const METHODS: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH",
    ];
    let fault = Fault::new(
        "never-matches",
        "matches no request: methods are compared with their case",
    );
    if !text.bytes().any(|b| b.is_ascii_lowercase()) {
        let is_refused = !text.contains('*') && (method::check(text).is_err() || text == "CONNECT");
        return is_refused.then(|| Fault::new("never-matches", "matches no request: such methods are refused"));
    }
    Some(match nearest(text, METHODS) {
        Some(method) => fault.help(format!("did you mean `{method}`?")),
        None => fault,
    })
}

pub(super) fn path(text: &str) -> Option<Fault> {
    if !text.starts_with(['/', '*']) {
        return Some(Fault::new(
            "never-matches",
            "matches no request: a path begins with `/`",
        ));
    }
    text.contains(['?', '#']).then(|| {
        Fault::new(
            "never-matches",
            "matches no request: the query and fragment are not part of the path",
        )
    })
}

pub(super) fn principal(text: &str) -> Option<Fault> {
    text.starts_with("spiffe://").then(|| {
        Fault::new(
            "never-matches",
            "matches no identity: a principal is written without `spiffe://`",
        )
        .help("write `cluster.local/ns/NAMESPACE/sa/ACCOUNT`")
    })
}

/// The value is split at its last slash, so a star right after an issuer's own slashes belongs to the subject.
pub(super) fn request_principal(text: &str) -> Option<Fault> {
    let Some((issuer, subject)) = text.rsplit_once('/') else {
        return (!text.starts_with('*') && !text.ends_with('*')).then(|| {
            Fault::new("never-matches", "matches no token: it names an issuer and no subject")
                .help("write `ISSUER/SUBJECT` or `ISSUER/*`")
        });
    };
    if subject.is_empty() {
        return Some(
            Fault::new("never-matches", "matches no token: it names no subject")
                .help("write `ISSUER/SUBJECT` or `ISSUER/*`"),
        );
    }
    if text.starts_with('*') && subject.contains('*') || !text.starts_with('*') && issuer.contains('*') {
        return Some(
            Fault::new(
                "never-matches",
                "has a `*` that is taken as it is written: only the first or the last one counts",
            )
            .help("write `*` for any token that is accepted, or `ISSUER/*` for any subject of one issuer"),
        );
    }
    (issuer.ends_with(":/")).then(|| {
        Fault::new(
            "never-matches",
            "is split at its last `/`, so it asks for an issuer that ends in `:/`",
        )
        .help("write `ISSUER/*` for any subject of one issuer")
    })
}

/// Peers that came by IPv4 are told by their IPv4 address, however the socket writes them.
pub(super) fn cidr(text: &str) -> Option<Fault> {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, Some(bits)),
        None => (text, None),
    };
    let address = address.parse::<Ipv6Addr>().ok()?.to_ipv4_mapped()?;
    let means = match bits {
        None => format!("write `{address}`"),
        Some(bits) => format!("write `{address}/{}`", bits.parse::<u8>().ok()?.checked_sub(96)?),
    };
    Some(Fault::new("never-matches", "matches nobody: it is an IPv4 address written as IPv6").help(means))
}

pub(super) fn server_name(text: &str) -> Option<Fault> {
    text.bytes().any(|b| b.is_ascii_uppercase()).then(|| {
        Fault::new(
            "never-matches",
            "matches no connection: server names are compared in lower case",
        )
    })
}
