//! Texts of VirtualServices and HTTPRoutes: Istio's rules (`pkg/config/validation`), narrowed where a header field is
//! the gateway's own.

use alloc::format;

use super::{Check, Fault, field_name, host, name};
use crate::config::quote::quoted;
use crate::config::resource::{HeaderKey, RetryConditions};
use crate::config::time::parse_limit_ms;
use crate::rewrite::is_made_anew;
use crate::tables::RetryOn;

/// Namespaces that see a resource.
pub(super) fn export_to(text: &str) -> Check {
    match text {
        "." | "*" | "~" => Ok(()),
        namespace => name::namespace(namespace),
    }
}

/// A host that is sent, maybe with a port.
pub(super) fn authority(text: &str) -> Check {
    if crate::authority::host_len(text.as_bytes()).is_some() {
        return Ok(());
    }
    let fault = |fault: Fault| fault.help("write `host` or `host:port`");
    match host::dns_name(text) {
        Err(url) if text.contains("://") => Err(url),
        _ => Err(fault(Fault::new("invalid-host", "is not a host with an optional port"))),
    }
}

pub(super) fn base64(text: &str) -> Check {
    use base64::Engine as _;
    match base64::engine::general_purpose::STANDARD.decode(text) {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new("invalid-encoding", "is not base64").help("use `string` for text")),
    }
}

pub(super) fn retry_on(text: &str) -> Check {
    match RetryConditions::parse(text) {
        Ok(_) => Ok(()),
        Err(item) => Err(Fault::new(
            "unknown-value",
            format!("has {}, which is no condition for a retry", quoted(item)),
        )
        .help(format!("use {}, or a status code", RetryOn::NAMES.join(", ")))),
    }
}

/// At most four numbers of at most five digits: GEP-2257.
pub(super) fn gateway_duration(text: &str) -> Check {
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty());
    let is_short = numbers.clone().count() <= 4 && numbers.all(|digits| digits.len() <= 5);
    let has_units = text.bytes().all(|b| b.is_ascii_digit() || b"hms".contains(&b));
    if is_short && has_units && parse_limit_ms(text).is_some() {
        return Ok(());
    }
    Err(Fault::new("invalid-duration", "is no duration of Gateway API")
        .help("write it as `5s`, `500ms` or `1h30m`, without decimals and at most 49 days; `0s` is no limit"))
}

/// Names that Istio's documents call ignored, each with a field of its own.
const FIELDS_OF_THEIR_OWN: [&str; 4] = ["uri", "scheme", "method", "authority"];

pub(super) fn matched_header(text: &str) -> Check {
    let lower = text.to_ascii_lowercase();
    if FIELDS_OF_THEIR_OWN.contains(&&*lower) {
        return Err(
            Fault::new("reserved-header", "is a field of the match itself, and no header")
                .help("move it out of the headers, beside them"),
        );
    }
    if lower == ":path" {
        return Err(
            Fault::new("reserved-header", "is the path with its query").help("match `uri` and `queryParams` instead")
        );
    }
    match HeaderKey::of(text) {
        Some(HeaderKey::Field(name)) => field_name(&name),
        Some(_) => Ok(()),
        None => Err(Fault::new("invalid-condition-key", "names no claim")
            .help("write `@request.auth.claims.NAME` or `@request.auth.claims[NAME]`")),
    }
}

pub(super) fn header_change(text: &str) -> Check {
    if text.starts_with(':') || text.eq_ignore_ascii_case("host") {
        return Err(
            Fault::new("reserved-header", "is not a header that can be changed here")
                .help("`rewrite.authority` sets the Host that is sent"),
        );
    }
    changed_name(text)
}

pub(super) fn request_header_change(text: &str) -> Check {
    match text.to_ascii_lowercase().as_str() {
        "host" | ":authority" => Ok(()),
        lower if lower.starts_with(':') => Err(Fault::new("reserved-header", "is not a header that can be changed")),
        _ => changed_name(text),
    }
}

pub(super) fn modified_header(text: &str) -> Check {
    if text.eq_ignore_ascii_case("host") {
        return Err(
            Fault::new("reserved-header", "is not a header that can be changed here")
                .help("`hostname` of a URLRewrite filter sets the Host that is sent"),
        );
    }
    changed_name(text)
}

fn changed_name(text: &str) -> Check {
    field_name(text)?;
    if is_made_anew(&text.to_ascii_lowercase()) {
        return Err(Fault::new(
            "reserved-header",
            "is about the connection or frames the body, so the gateway writes it itself",
        ));
    }
    Ok(())
}

pub(super) fn changed_value(text: &str) -> Check {
    if text.chars().any(|char| char.is_control() && char != '\t') {
        return Err(Fault::new("invalid-header-value", "has a control character"));
    }
    if text.replace("%%", "").contains('%') {
        return Err(Fault::new(
            "unsupported-value",
            "has a command of Envoy's between `%`, which is not supported yet",
        )
        .help("write `%%` for a `%`"));
    }
    Ok(())
}
