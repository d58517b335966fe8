//! Kubernetes' names and labels (RFC 1123).

use super::{Check, Fault};

pub(super) fn is_label(text: &str, lower_only: bool) -> bool {
    let allowed = |b: u8| {
        if lower_only {
            b.is_ascii_lowercase() || b.is_ascii_digit()
        } else {
            b.is_ascii_alphanumeric()
        }
    };
    let bytes = text.as_bytes();
    matches!((bytes.first(), bytes.last()), (Some(first), Some(last)) if allowed(*first) && allowed(*last))
        && bytes.len() <= 63
        && bytes.iter().all(|b| allowed(*b) || *b == b'-')
}

pub(super) fn resource_name(text: &str) -> Check {
    // Kubernetes bounds the whole name, not its labels.
    let fits = text.len() <= 253
        && text.split('.').all(|label| {
            let ends = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
            ends(label.as_bytes().first())
                && ends(label.as_bytes().last())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        });
    if fits {
        return Ok(());
    }
    Err(Fault::new("invalid-name", "is not a Kubernetes name").help(
        "a name has lower-case letters, digits, `-` and `.`, begins and ends with a letter or digit, and has at most 253 characters",
    ))
}

pub(super) fn namespace(text: &str) -> Check {
    if is_label(text, true) {
        return Ok(());
    }
    Err(Fault::new("invalid-name", "is not a namespace").help(
        "a namespace has lower-case letters, digits and `-`, begins and ends with a letter or digit, and has at most 63 characters",
    ))
}

pub(super) fn is_label_text(text: &str) -> bool {
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    text.len() <= 63
        && ends(text.as_bytes().first())
        && ends(text.as_bytes().last())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

pub(super) fn label_key(text: &str) -> Check {
    let (prefix, name) = text
        .split_once('/')
        .map_or((None, text), |(prefix, name)| (Some(prefix), name));
    if is_label_text(name) && prefix.is_none_or(|prefix| resource_name(prefix).is_ok()) {
        return Ok(());
    }
    Err(Fault::new("invalid-label", "is not a label key")
        .help("a key is `name` or `prefix/name`; `*` matches no label"))
}

pub(super) fn label_value(text: &str) -> Check {
    if text.is_empty() || is_label_text(text) {
        return Ok(());
    }
    Err(Fault::new("invalid-label", "is not a label value").help(
        "a value has letters, digits, `-`, `_` and `.`, begins and ends with a letter or digit, and has at most 63 characters",
    ))
}
