//! Policy values that are allowed and probably do not do what they say.

use alloc::format;

use super::Fault;
use crate::config::suggest::nearest;

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
        return None;
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
