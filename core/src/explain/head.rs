//! Heads that come to no decision: what reads one for the gateway refuses it before. What it may take is taken here, so
//! that a capsule of it can be asked again.

use alloc::format;
use alloc::string::String;

use crate::config::quote::escaped;
use crate::field_value::FieldValue;
use crate::limits::{HEAD_BYTES_MAX, HEADER_FIELDS_MAX};
use crate::request::Request;

/// Checks the head of `request`, which has these fields.
///
/// # Errors
/// What is wrong with it, and what is answered to that, in words.
pub(super) fn check(request: &Request<'_>, fields: &[(String, FieldValue)]) -> Result<(), String> {
    match refused(request, fields) {
        None => Ok(()),
        Some((what, why, answer)) => Err(format!(
            "`{}` {why}: a gateway answers {answer} before anything is decided",
            escaped(what)
        )),
    }
}

/// What is refused, why, and how.
fn refused<'r>(
    request: &Request<'r>,
    fields: &'r [(String, FieldValue)],
) -> Option<(&'r str, &'static str, &'static str)> {
    let is_http2 = request.authority.is_some();
    let is_upgrade = request.authority.is_some_and(|sent| sent.upgrade.is_some());
    let malformed = if is_http2 { "PROTOCOL_ERROR" } else { "400" };
    if !is_token(request.method) {
        return Some((request.method, "is no method", malformed));
    }
    if let Some(found) = illegal(request.target, is_http2) {
        return Some((found, "stands where no target has it", malformed));
    }
    // At least: a client adds fields of its own.
    let mut bytes = request.method.len() + request.target.len();
    let (mut count, mut codings, mut lengths) = (0, 0, 0);
    for (name, value) in fields {
        if !is_token(name) {
            return Some((name, "is no name of a header field", malformed));
        }
        let (folded, value) = (name.to_ascii_lowercase(), value.as_bytes());
        // What is wrong with a host the engine says itself.
        if folded != "host" && value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
            return Some((name, "has a control character in its value", malformed));
        }
        let value = value.trim_ascii();
        count += 1;
        match &*folded {
            // An upgrade is written as HTTP/1.1 has it, and the host beside it stands for `:authority`.
            "host" if is_upgrade => count -= 1,
            "connection" | "upgrade" if is_upgrade => {}
            // RFC 9113 §8.2.2.
            "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade" if is_http2 => {
                return Some((name, "is no field of HTTP/2", malformed));
            }
            "te" if is_http2 && value != b"trailers" => {
                return Some((name, "of HTTP/2 is `trailers` or not there", malformed));
            }
            "transfer-encoding" => {
                codings += 1;
                if codings > 1 || !value.eq_ignore_ascii_case(b"chunked") {
                    return Some((name, "is not `chunked` alone", "501"));
                }
            }
            // In HTTP/2 it is held against the body.
            "content-length" if !is_http2 => {
                let is_length = !value.is_empty() && value.iter().all(u8::is_ascii_digit);
                lengths += if is_length { 1 } else { 2 };
            }
            _ => {}
        }
        if codings + lengths > 1 {
            return Some((name, "is no length, or not the only one", malformed));
        }
        bytes += name.len() + value.len() + if is_http2 { 32 } else { 4 };
        if count > HEADER_FIELDS_MAX || bytes > HEAD_BYTES_MAX {
            return Some((name, "is beyond the 100 fields or 60 KiB of a head", "431"));
        }
    }
    None
}

/// The first character of a target that no parser takes where it stands. What else no URI has is the engine's to refuse.
fn illegal(target: &str, is_http2: bool) -> Option<&str> {
    let (mut is_path, mut is_fragment) = (true, false);
    for (at, byte) in target.bytes().enumerate() {
        let is_illegal = match byte {
            0..=b' ' | 0x7f => true,
            b'<' | b'>' => !is_fragment,
            b'`' => is_path,
            b'"' => !is_path && !is_fragment,
            b'?' | b'#' => {
                is_path = false;
                is_fragment |= byte == b'#';
                false
            }
            _ => false,
        };
        // HTTP/2 drops a fragment unread.
        if is_fragment && is_http2 {
            return None;
        }
        if is_illegal {
            return target.get(at..=at);
        }
    }
    None
}

/// Whether it can be a method, or the name of a field (RFC 9110 §5.6.2).
fn is_token(text: &str) -> bool {
    let is_in_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_in_token)
}
