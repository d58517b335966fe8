//! Values of authorization policies, as Istio's validation has them.

use super::{Check, Fault, visible};
use crate::config::resource::PolicyKey;
use crate::config::suggest::did_you_mean;
use crate::tables::RangeRow;

/// Keys that Istio once had.
const GONE: [&str; 4] = [
    "destination.labels",
    "destination.name",
    "destination.namespace",
    "destination.user",
];

/// The pseudo-headers that a condition may read.
const PSEUDO_HEADERS: [&str; 4] = [":authority", ":method", ":path", ":scheme"];

pub(super) fn condition_key(text: &str) -> Check {
    match PolicyKey::of_condition(text) {
        Some(PolicyKey::Header(name)) => header(&name),
        Some(_) => Ok(()),
        None => Err(unknown_key(text)),
    }
}

fn header(name: &str) -> Check {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if PSEUDO_HEADERS.contains(&name) || name.bytes().all(is_token) {
        return Ok(());
    }
    Err(Fault::new("invalid-condition-key", "names no header"))
}

fn unknown_key(text: &str) -> Fault {
    let bare = text.split('[').next().unwrap_or(text);
    if GONE.contains(&bare) {
        return Fault::new("invalid-condition-key", "is a key that Istio has taken away");
    }
    if text.starts_with("experimental.") {
        return Fault::new(
            "invalid-condition-key",
            "reads Envoy's own metadata, which does not exist here",
        );
    }
    if text.starts_with("request.llm") {
        return Fault::new("invalid-condition-key", "is not a fact of the body that policies read").help(
            "use `request.llm[model]`, `request.llm[stream]`, `request.llm[max_tokens]` or `request.llm[tools]`",
        );
    }
    let fault = Fault::new("invalid-condition-key", "is not a key of a condition");
    match bare {
        "request.headers" => fault.help("write `request.headers[name]`"),
        "request.auth.claims" => fault.help("write `request.auth.claims[name]` or `request.auth.claims[outer][inner]`"),
        _ => match did_you_mean(text, PolicyKey::known_conditions()) {
            Some(help) => fault.help(help),
            None => fault.help("use one such as `request.headers[name]`, `request.auth.claims[name]` or `source.ip`"),
        },
    }
}

pub(super) fn is_template(text: &str) -> bool {
    text.contains("{*}") || text.contains("{**}")
}

/// A path, or a template as Istio's validation takes it, less what can never match.
pub(super) fn path(text: &str) -> Check {
    let fault = |reason: &'static str| Fault::new("invalid-pattern", reason);
    if !is_template(text) {
        if text.contains(['{', '}']) {
            return Err(fault("has a `{` or `}` that is no path template, as Istio refuses it")
                .help("a template has `{*}` for one segment and `{**}` for any number of them"));
        }
        return visible(text, "invalid-pattern");
    }
    let Some(inner) = text.strip_prefix('/') else {
        return Err(fault("is a path template that does not begin with `/`"));
    };
    let mut after_any = false;
    for segment in inner.strip_suffix('/').unwrap_or(inner).split('/') {
        match segment {
            "{*}" | "{**}" if after_any => return Err(fault("has an operator after `{**}`, which must be the last")),
            "{**}" => after_any = true,
            "{*}" => {}
            literal if literal.contains(['{', '}']) => {
                return Err(fault("has an operator that is not a whole segment")
                    .help("write `{*}` and `{**}` between slashes, with nothing beside them"));
            }
            literal if literal.is_empty() || !literal.bytes().all(is_template_literal) => {
                return Err(fault("is a path template with a segment that Istio refuses")
                    .help("beside `{*}` and `{**}` a segment has letters, digits and `-._~%!$&'()+,;:@=`"));
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_template_literal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~%!$&'()+,;:@=".contains(&byte)
}

/// A namespace, or a pattern with stars anywhere.
pub(super) fn namespace(text: &str) -> Check {
    if text
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'*'))
    {
        return Ok(());
    }
    Err(Fault::new("invalid-pattern", "matches no namespace")
        .help("a namespace has lower-case letters, digits and `-`; a `*` stands for any number of characters"))
}

/// Bytes of `namespace/account`, as Istio bounds it.
const SERVICE_ACCOUNT_BYTES_MAX: usize = 320;

pub(super) fn service_account(text: &str) -> Check {
    let fault = |reason: &'static str| {
        Fault::new("invalid-service-account", reason).help("write `ACCOUNT` or `NAMESPACE/ACCOUNT`, without wildcards")
    };
    if text.contains('*') {
        return Err(fault("has a wildcard, and Istio takes none here"));
    }
    if text.len() > SERVICE_ACCOUNT_BYTES_MAX {
        return Err(fault("is longer than 320 characters"));
    }
    let mut parts = text.split('/');
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_graphic());
    if parts.clone().count() <= 2 && parts.all(is_part) {
        return Ok(());
    }
    Err(fault("is not a service account"))
}

pub(super) fn trust_domain(text: &str) -> Check {
    if text.contains('/') {
        return Err(Fault::new("invalid-pattern", "is not a trust domain: it has a `/`")
            .help("use `principals` for a whole identity"));
    }
    if text.strip_suffix('*').unwrap_or(text).contains('*') {
        return Err(Fault::new(
            "invalid-pattern",
            "has a `*` that is not at its end, which Istio refuses",
        ));
    }
    visible(text, "invalid-pattern")
}

pub(super) fn port(text: &str) -> Check {
    let canonical = text == "0" || !text.starts_with('0');
    if canonical && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok() {
        return Ok(());
    }
    Err(Fault::new("out-of-range", "is not a port").help("use a number from 0 to 65535"))
}

pub(super) fn llm_stream(text: &str) -> Check {
    if matches!(text, "true" | "false" | "*") {
        return Ok(());
    }
    Err(Fault::new("invalid-pattern", "is not a value of `stream`").help("use `true`, `false`, or `*` for either"))
}

pub(super) fn llm_number(text: &str) -> Check {
    if RangeRow::parse(text).is_some() {
        return Ok(());
    }
    Err(Fault::new("invalid-pattern", "is not a number of tokens")
        .help("write `4096`, `<=4096`, `<4096`, `>=4096` or `>4096`, or `*` for any number"))
}
