//! What a text may hold: hosts, names, blocks, paths, keys.
//!
//! Each [`Format`] says why a text does not fit, in words that follow the text:
//! "`x:443` names a port". The rules are Istio's and Kubernetes' (RFC 1123
//! names, Istio's `ValidateWildcardDomain`), narrowed where Lockgate does not
//! support what they allow.

mod host;
mod lint;
mod name;
mod policy;
mod route;

use alloc::borrow::Cow;
use alloc::format;
use core::net::IpAddr;

use super::time::{parse_duration_ms, parse_limit_ms, parse_timestamp};
use crate::check::Authorizer;
use crate::cidr::{Cidr, CidrError};
use crate::config::{key_set, secret};
use crate::limits::{FAULT_DELAY_MS_MAX, MODEL_BYTES_MAX, PATH_BYTES_MAX, REGEX_BYTES_MAX, URL_BYTES_MAX};
use crate::rewrite::{drops_header, is_alike, is_dot_segment};

/// The formats of text fields and of map keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// Any text, also none.
    Any,
    NonEmpty,
    ResourceName,
    Namespace,
    LabelKey,
    LabelValue,
    Timestamp,
    Duration,
    /// The same, or `0s` for none.
    TimeLimit,
    /// The same, as Gateway API writes it (GEP-2257).
    GatewayDuration,
    /// The same, for as long as a fault may hold up a request.
    FaultDelay,
    /// The same, in whole seconds.
    Seconds,
    /// A header field's name, or `*`.
    FieldName,
    /// Conditions for retries.
    RetryOn,
    /// `[namespace/]host`, host as [`Format::RouteHost`].
    GatewayHost,
    /// `mesh`, `name` or `namespace/name`.
    GatewayReference,
    /// `*`, `*.suffix` or a DNS name.
    RouteHost,
    /// One DNS name.
    DnsName,
    /// An IP address or a DNS name.
    EndpointAddress,
    /// One IP address.
    Address,
    /// A number of 64 bits.
    Entropy,
    Cidr,
    PolicyHost,
    PolicyMethod,
    PolicyPath,
    /// The `key` of a condition.
    ConditionKey,
    Principal,
    RequestPrincipal,
    PolicyNamespace,
    /// `account` or `namespace/account`.
    ServiceAccount,
    TrustDomain,
    ServerName,
    /// A header or claim value, or a tool's or model's name, or a pattern of one.
    AnyPattern,
    /// A port as text.
    PortText,
    LlmStream,
    LlmNumber,
    RequestPath,
    Regex,
    Model,
    /// A provider's key: never shown.
    Secret,
    /// Any text, also none: never shown.
    Hidden,
    /// The same in base64.
    HiddenBase64,
    /// A JSON Web Key Set: never shown, since it may hold symmetric keys.
    KeySet,
    /// `http` or `https` URL of a key set.
    KeySetUrl,
    /// A header field that may hold a token.
    TokenHeader,
    /// A header field that the gateway writes.
    WrittenHeader,
    /// `[namespace/]host` of a service.
    ServiceHost,
    /// The status code of an answer.
    StatusCode,
    /// A header field's name, `name*` or `*name`.
    NamePattern,
    /// A header field of a check.
    CheckHeader,
    /// A header field's value: never shown, since it may be a credential.
    HeaderValue,
    /// The same of a field that an HTTPRoute changes.
    ModifiedValue,
    /// A namespace, `.`, `*` or `~`.
    ExportTo,
    /// `host[:port]`
    Authority,
    Base64,
    /// A header field or claim that a VirtualService matches.
    MatchedHeader,
    /// A header field that an LLMRoute matches, or a claim.
    LlmHeader,
    /// A header field that a VirtualService changes.
    HeaderChange,
    /// The same, or the Host.
    RequestHeaderChange,
    /// What it changes it to: never shown, since it may be a credential.
    ChangedValue,
    /// A host of Gateway API: `*.suffix` or a DNS name.
    Hostname,
    /// A header field that an HTTPRoute changes.
    ModifiedHeader,
    /// A path, without a query, that stands for another; empty for none.
    NewPath,
}

/// Why a text does not fit.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: &'static str,
    /// What follows the text in the message.
    pub(crate) reason: Cow<'static, str>,
    pub(crate) help: Option<Cow<'static, str>>,
}

impl Fault {
    fn new(code: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            reason: reason.into(),
            help: None,
        }
    }

    fn help(self, help: impl Into<Cow<'static, str>>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }
}

type Check = Result<(), Fault>;

impl Format {
    /// Whether the text fits.
    pub(crate) fn check(self, text: &str) -> Check {
        if text.is_empty() && !self.may_be_empty() {
            return Err(Fault::new("empty-text", "is empty").help("give it a value, or remove it"));
        }
        match self {
            Self::Any | Self::NonEmpty | Self::AnyPattern | Self::Hidden => Ok(()),
            Self::ResourceName => name::resource_name(text),
            Self::Namespace => name::namespace(text),
            Self::LabelKey => name::label_key(text),
            Self::LabelValue => name::label_value(text),
            Self::Timestamp => timestamp(text),
            Self::Duration => duration(text),
            Self::TimeLimit => time_limit(text),
            Self::GatewayDuration => route::gateway_duration(text),
            Self::FaultDelay => fault_delay(text),
            Self::Seconds => seconds(text),
            Self::FieldName => field_name(text),
            Self::RetryOn => route::retry_on(text),
            Self::GatewayHost => host::gateway_host(text),
            Self::GatewayReference => host::gateway_reference(text),
            Self::RouteHost => host::route_host(text),
            Self::DnsName => host::dns_name(text),
            Self::EndpointAddress => host::endpoint_address(text),
            Self::Address => address(text),
            Self::Entropy => entropy(text),
            Self::Cidr => cidr(text),
            Self::PolicyHost | Self::PolicyMethod => visible(text, "invalid-pattern"),
            Self::PolicyPath => policy::path(text),
            Self::ConditionKey => policy::condition_key(text),
            Self::Principal | Self::RequestPrincipal | Self::ServerName => visible(text, "invalid-pattern"),
            Self::PolicyNamespace => policy::namespace(text),
            Self::ServiceAccount => policy::service_account(text),
            Self::TrustDomain => policy::trust_domain(text),
            Self::PortText => policy::port(text),
            Self::LlmStream => policy::llm_stream(text),
            Self::LlmNumber => policy::llm_number(text),
            Self::RequestPath => request_path(text),
            Self::Regex => regex(text),
            Self::Model => model(text),
            Self::Secret => visible(text, "invalid-secret"),
            Self::KeySet => key_set::check(text).map_err(|reason| Fault::new("invalid-key-set", reason)),
            Self::KeySetUrl => key_set_url(text),
            Self::TokenHeader => field_name(text),
            Self::WrittenHeader => written_header(text),
            Self::ServiceHost => host::service_host(text),
            Self::StatusCode => status_code(text),
            Self::NamePattern => name_pattern(text),
            Self::CheckHeader => check_header(text),
            Self::HeaderValue | Self::ModifiedValue => header_value(text),
            Self::ExportTo => route::export_to(text),
            Self::Authority => route::authority(text),
            Self::Base64 => route::base64(text),
            Self::HiddenBase64 => match secret::from_base64(text) {
                Some(_) => Ok(()),
                None => {
                    Err(Fault::new("invalid-encoding", "is not base64").help("write text as it is under `stringData`"))
                }
            },
            Self::LlmHeader if !text.starts_with('@') => header_name(text),
            Self::LlmHeader | Self::MatchedHeader => route::matched_header(text),
            Self::HeaderChange => route::header_change(text),
            Self::RequestHeaderChange => route::request_header_change(text),
            Self::ChangedValue => route::changed_value(text),
            Self::Hostname => host::hostname(text),
            Self::ModifiedHeader => route::modified_header(text),
            Self::NewPath => new_path(text),
        }
    }

    fn may_be_empty(self) -> bool {
        matches!(
            self,
            Self::Any | Self::LabelValue | Self::ChangedValue | Self::NewPath | Self::Hidden | Self::HiddenBase64
        )
    }

    /// Whether the text itself is never shown.
    pub(crate) fn is_hidden(self) -> bool {
        matches!(
            self,
            Self::Secret
                | Self::Hidden
                | Self::HiddenBase64
                | Self::KeySet
                | Self::HeaderValue
                | Self::ModifiedValue
                | Self::ChangedValue
        )
    }

    /// A regular expression for editors, unanchored, where one says it all.
    pub(crate) fn pattern(self) -> Option<&'static str> {
        match self {
            Self::ResourceName => Some("[a-z0-9]([-a-z0-9.]*[a-z0-9])?"),
            Self::Namespace => Some("[a-z0-9]([-a-z0-9]*[a-z0-9])?"),
            Self::DnsName => Some("[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?"),
            Self::RouteHost => Some(r"(\*|(\*\.)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?)"),
            Self::RequestPath => Some("/.*"),
            Self::StatusCode => Some("[1-5][0-9][0-9]"),
            Self::GatewayDuration => Some("([0-9]{1,5}(h|m|s|ms)){1,4}"),
            Self::Hostname => Some(r"(\*\.)?[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?"),
            _ if self.may_be_empty() => None,
            _ => Some(r"[\s\S]+"),
        }
    }

    /// What a text that fits probably does not do as meant.
    pub(crate) fn lint(self, text: &str) -> Option<Fault> {
        match self {
            Self::PolicyHost => lint::pattern(text).or_else(|| lint::host(text)),
            Self::PolicyMethod => lint::pattern(text).or_else(|| lint::method(text)),
            Self::PolicyPath if policy::is_template(text) => None,
            Self::PolicyPath => lint::pattern(text).or_else(|| lint::path(text)),
            Self::Principal => lint::pattern(text).or_else(|| lint::principal(text)),
            Self::RequestPrincipal => lint::request_principal(text),
            Self::ServerName => lint::pattern(text).or_else(|| lint::server_name(text)),
            Self::AnyPattern => lint::pattern(text),
            Self::Cidr => lint::cidr(text),
            Self::ChangedValue if text.is_empty() => Some(
                Fault::new("empty-header-value", "is empty, and so changes nothing, as in Istio")
                    .help("to take a field away, list it in `remove`"),
            ),
            Self::KeySet => key_set::lint(text).map(|reason| {
                Fault::new("key-set-can-sign", reason).help("give the public keys only, or fetch them by `jwksUri`")
            }),
            _ => None,
        }
    }
}

fn timestamp(text: &str) -> Check {
    match parse_timestamp(text) {
        Some(_) => Ok(()),
        None => {
            Err(Fault::new("invalid-timestamp", "is not an RFC 3339 time").help("write it as `2026-01-31T12:00:00Z`"))
        }
    }
}

fn duration(text: &str) -> Check {
    match parse_duration_ms(text) {
        Some(_) => Ok(()),
        None => Err(Fault::new("invalid-duration", "is not a duration of at least 1 ms")
            .help("write it as `5s`, `500ms` or `1m30s`")),
    }
}

fn time_limit(text: &str) -> Check {
    match parse_limit_ms(text) {
        Some(_) => Ok(()),
        None => Err(
            Fault::new("invalid-duration", "is neither a duration of at least 1 ms nor `0s`")
                .help("write it as `5s`, `500ms` or `1m30s`; `0s` is no limit"),
        ),
    }
}

fn fault_delay(text: &str) -> Check {
    duration(text)?;
    match parse_duration_ms(text) {
        Some(delay) if delay > FAULT_DELAY_MS_MAX => {
            Err(Fault::new("out-of-range", "is too long a delay").help("use at most `10m`"))
        }
        _ => Ok(()),
    }
}

fn seconds(text: &str) -> Check {
    match parse_duration_ms(text) {
        Some(milliseconds) if milliseconds % 1000 == 0 => Ok(()),
        _ => {
            Err(Fault::new("invalid-duration", "is not a duration of whole seconds").help("write it as `60s` or `24h`"))
        }
    }
}

fn entropy(text: &str) -> Check {
    match text.parse::<u64>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::new("out-of-range", "is not a number of 64 bits")
            .help("use a number from \"0\" to \"18446744073709551615\", in quotes")),
    }
}

fn address(text: &str) -> Check {
    match text.parse::<IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => {
            Err(Fault::new("invalid-address", "is not an IP address")
                .help("write it as `203.0.113.7` or `2001:db8::7`"))
        }
    }
}

fn cidr(text: &str) -> Check {
    match text.parse::<Cidr>() {
        Ok(_) => Ok(()),
        Err(CidrError::Address) => Err(Fault::new("invalid-address-block", "is not an IP address or block")
            .help("write it as `203.0.113.7`, `10.0.0.0/8` or `2001:db8::/32`")),
        Err(CidrError::PrefixBits) => Err(Fault::new("invalid-address-block", "has no valid prefix length")
            .help("the number after `/` is 0 to 32 for IPv4, 0 to 128 for IPv6, without leading zeros")),
    }
}

/// No spaces, control characters or characters outside ASCII: such a value matches no request, and breaks a header.
fn visible(text: &str, code: &'static str) -> Check {
    if text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    Err(Fault::new(
        code,
        "has a space, a line break or another character that a request cannot carry there",
    ))
}

fn request_path(text: &str) -> Check {
    if !text.starts_with('/') {
        return Err(Fault::new("invalid-path", "does not begin with `/`"));
    }
    if text.contains('#') {
        return Err(Fault::new("invalid-path", "has a fragment (`#`), which is never sent"));
    }
    if text.len() > PATH_BYTES_MAX {
        return Err(Fault::new(
            "invalid-path",
            format!("is longer than {PATH_BYTES_MAX} bytes"),
        ));
    }
    visible(text, "invalid-path")
}

fn new_path(text: &str) -> Check {
    if text.contains('?') {
        return Err(Fault::new("invalid-path", "has a query, which stays the client's"));
    }
    if text.split(['/', '\\']).any(is_dot_segment) {
        return Err(Fault::new(
            "invalid-path",
            "has a segment `.` or `..`, so nothing is sent there",
        ));
    }
    if text.is_empty() { Ok(()) } else { request_path(text) }
}

fn regex(text: &str) -> Check {
    if text.len() <= REGEX_BYTES_MAX {
        return Ok(());
    }
    Err(Fault::new(
        "invalid-regex",
        format!("is longer than {REGEX_BYTES_MAX} bytes, Istio's bound"),
    ))
}

fn model(text: &str) -> Check {
    if text.len() > MODEL_BYTES_MAX {
        return Err(Fault::new(
            "invalid-model",
            format!("is longer than {MODEL_BYTES_MAX} bytes"),
        ));
    }
    if text.chars().any(char::is_control) {
        return Err(Fault::new("invalid-model", "has a control character"));
    }
    Ok(())
}

/// Names that Istio's `headers` drops without a word.
const RESERVED_HEADERS: [&str; 4] = ["uri", "scheme", "method", "authority"];

fn header_name(text: &str) -> Check {
    let lower = text.to_ascii_lowercase();
    let bare = lower.strip_prefix(':').unwrap_or(&lower);
    if RESERVED_HEADERS.contains(&bare) || lower == ":path" {
        let help = if bare == "authority" {
            "match the header `host` instead"
        } else {
            "an LLMRoute matches headers only"
        };
        return Err(Fault::new(
            "reserved-header",
            "is not a header: Istio ignores it here without a word, so the match would be wider than it reads",
        )
        .help(help));
    }
    if lower.starts_with("@request.auth") {
        return Err(Fault::new(
            "unsupported-value",
            "matches a claim, which is not supported yet",
        ));
    }
    field_name(&lower)
}

fn field_name(text: &str) -> Check {
    let is_token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if text.bytes().all(is_token) {
        return Ok(());
    }
    Err(Fault::new("invalid-header", "is not a header name"))
}

/// Fields that say what a message is, besides those that are made anew and those that never reach an upstream.
const NEVER_WRITTEN: [&str; 3] = ["content-type", "content-encoding", "x-request-id"];

fn written_header(text: &str) -> Check {
    field_name(text)?;
    let lower = text.to_ascii_lowercase();
    let is_made_anew = !Authorizer::may_change(&lower.replace('_', "-"));
    if is_made_anew || NEVER_WRITTEN.iter().any(|name| is_alike(name, &lower)) || drops_header(&lower) {
        return Err(Fault::new("reserved-header", "is a header that a token must not write")
            .help("choose a name of your own, such as `x-jwt-claim-sub`"));
    }
    Ok(())
}

/// Istio takes those that Envoy has a name for.
fn status_code(text: &str) -> Check {
    let code: Option<u16> = text.parse().ok();
    if text.len() == 3 && code.is_some_and(|code| (200..=599).contains(&code)) {
        return Ok(());
    }
    Err(Fault::new("invalid-status", "is not the status of an answer").help("write it as `\"403\"`, from 200 to 599"))
}

fn name_pattern(text: &str) -> Check {
    let name = match (text.strip_prefix('*'), text.strip_suffix('*')) {
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => text,
    };
    if name.is_empty() {
        return Err(
            Fault::new("invalid-pattern", "matches every header field, which Istio refuses too")
                .help("list the fields, or use `name*` or `*name`"),
        );
    }
    field_name(name)
}

fn check_header(text: &str) -> Check {
    field_name(text)?;
    if Authorizer::may_change(&text.to_ascii_lowercase()) {
        return Ok(());
    }
    Err(Fault::new(
        "reserved-header",
        "is a header that is made anew for every connection",
    ))
}

fn header_value(text: &str) -> Check {
    if text.bytes().all(|byte| byte == b'\t' || matches!(byte, b' '..=b'~')) {
        return Ok(());
    }
    Err(Fault::new(
        "invalid-header",
        "has a line break or another character that a header cannot carry",
    ))
}

fn key_set_url(text: &str) -> Check {
    let fault = |reason: &'static str| Fault::new("invalid-url", reason);
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
        .ok_or_else(|| fault("is not a URL that begins with `https://` or `http://`"))?;
    if text.len() > URL_BYTES_MAX {
        return Err(fault("is longer than any URL of a key set"));
    }
    if rest.is_empty() || rest.starts_with(['/', '?', '#', ':']) {
        return Err(fault("names no host"));
    }
    if rest
        .split(['/', '?', '#'])
        .next()
        .is_some_and(|authority| authority.contains('@'))
    {
        return Err(fault("has a user name before its host"));
    }
    if text.contains('#') {
        return Err(fault("has a fragment (`#`), which is never sent"));
    }
    visible(text, "invalid-url")
}

#[cfg(test)]
mod tests;
