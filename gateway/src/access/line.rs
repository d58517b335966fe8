//! A record as one line of text.
//!
//! Field names and their order are those of Istio's default JSON access log,
//! then ASM's three (`request_model`, …), then ours. The query string of the
//! path is never written, nor what stands before an `@` in an authority: they
//! may hold keys.

use core::net::SocketAddr;
use std::borrow::Cow;
use std::time::Instant;

use http::{HeaderValue, Version};

use super::Record;
use crate::clock::Stamp;
use crate::decimal::{write_address, write_number};
use crate::json::write_string;
use crate::log::Format;

/// Where a worker writes its lines, one after the other.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    line: Vec<u8>,
    start: Stamp,
}

/// The line of `record`, which ended at `ended`, with its line break.
pub(crate) fn write<'d>(draft: &'d mut Draft, record: &Record, ended: Instant, format: Format) -> &'d [u8] {
    let Draft { line, start } = draft;
    line.clear();
    let start = start.at(record.start_time);
    match format {
        Format::Json => {
            Fields::<true>(line).all(record, start, ended);
            line.extend_from_slice(b"}\n");
        }
        Format::Text => {
            Fields::<false>(line).all(record, start, ended);
            line.push(b'\n');
        }
    }
    line
}

/// The fields of a line; the format is known when this is compiled, so that each name is a text of known length.
struct Fields<'o, const IS_JSON: bool>(&'o mut Vec<u8>);

/// A field's name as it stands in a line, with what parts it from the field before.
#[derive(Clone, Copy)]
struct Name {
    json: &'static str,
    text: &'static str,
}

/// What stands where there is no value, as in Envoy's log.
const UNKNOWN: &[u8] = b"\"-\"";

/// The name of the first field.
const START_TIME: Name = Name {
    json: "{\"start_time\":",
    text: "start_time=",
};

/// A name in both formats, put together at compile time: a line has about thirty of them.
macro_rules! name {
    ($name:literal) => {
        Name {
            json: concat!(",\"", $name, "\":"),
            text: concat!(" ", $name, "="),
        }
    };
}

impl<const IS_JSON: bool> Fields<'_, IS_JSON> {
    fn all(&mut self, record: &Record, start: &[u8], ended: Instant) {
        self.name(START_TIME);
        self.0.push(b'"');
        self.0.extend_from_slice(start);
        self.0.push(b'"');
        self.text(name!("method"), record.method.as_str());
        self.text(name!("path"), record.uri.path());
        self.word(name!("protocol"), protocol(record.version));
        self.number(name!("response_code"), u64::from(record.status));
        self.word(name!("response_flags"), record.flag.as_str());
        match &record.details {
            Cow::Borrowed(details) => self.word(name!("response_code_details"), details),
            Cow::Owned(details) => self.text(name!("response_code_details"), details),
        }
        self.optional(
            name!("upstream_transport_failure_reason"),
            record.upstream_failure.as_deref(),
        );
        let streamed = record.bytes_streamed.as_ref().map_or(0, |bytes| bytes.get());
        self.number(name!("bytes_received"), record.bytes_received.saturating_add(streamed));
        self.number(name!("bytes_sent"), record.bytes_sent);
        self.number(name!("duration"), millis(record.started, ended));
        self.optional_millis(
            name!("upstream_service_time"),
            record.upstream_started,
            record.upstream_answered,
        );
        self.field(name!("x_forwarded_for"), record.forwarded_for.as_ref());
        self.field(name!("user_agent"), record.user_agent.as_ref());
        self.field(name!("request_id"), Some(&record.request_id));
        self.field(name!("upstream_request_id"), record.upstream_request_id.as_ref());
        let host = || record.host.as_ref().map(HeaderValue::as_bytes);
        let authority = record.uri.authority().map(|authority| authority.as_str().as_bytes());
        self.value(name!("authority"), authority.or_else(host).map(without_userinfo));
        self.address(name!("upstream_host"), record.upstream_host);
        self.optional(name!("upstream_cluster"), record.cluster_name());
        self.address(name!("downstream_local_address"), Some(record.peer.downstream_local()));
        self.address(name!("downstream_remote_address"), Some(record.remote));
        let secured = record.peer.secured();
        let server_name = secured.and_then(|secured| secured.server_name.as_deref());
        self.optional(name!("requested_server_name"), server_name);
        let rule = record.rule_name();
        self.optional(name!("route_name"), rule.map(last_segment));
        self.principal(name!("request_auth_principal"), record);
        self.optional(name!("request_model"), record.model.as_deref());
        self.count(name!("request_prompt_tokens"), record.usage.map(|usage| usage.prompt));
        self.count(
            name!("request_completion_tokens"),
            record.usage.map(|usage| usage.completion),
        );
        self.optional(name!("rule"), rule);
        self.optional(name!("provider"), record.provider_name());
        self.word(name!("snapshot"), record.snapshot_id());
        self.optional_millis(name!("time_to_first_byte_ms"), Some(record.started), record.first_byte);
        if let Some(secured) = secured {
            self.text(name!("downstream_tls_version"), secured.version());
            self.optional(name!("downstream_peer_principal"), secured.spiffe_id.as_deref());
        }
        // Only where there is something to say: most configurations have neither of these.
        if !record.checks.is_empty() {
            self.text(name!("ext_authz"), &record.checks);
        }
        if !record.observation.is_empty() {
            self.optional(name!("audited_by"), record.audited_by());
            self.optional(name!("dry_run"), record.dry_run().as_deref());
        }
    }

    #[inline(always)]
    fn name(&mut self, name: Name) {
        let name = if IS_JSON { name.json } else { name.text };
        self.0.extend_from_slice(name.as_bytes());
    }

    /// A word of our own, in which there is nothing to escape.
    #[inline(always)]
    fn word(&mut self, name: Name, word: &str) {
        self.name(name);
        self.0.push(b'"');
        self.0.extend_from_slice(word.as_bytes());
        self.0.push(b'"');
    }

    #[inline(always)]
    fn text(&mut self, name: Name, value: &str) {
        self.name(name);
        write_string(self.0, value.as_bytes());
    }

    #[inline(always)]
    fn optional(&mut self, name: Name, value: Option<&str>) {
        self.value(name, value.map(str::as_bytes));
    }

    #[inline(always)]
    fn field(&mut self, name: Name, value: Option<&HeaderValue>) {
        self.value(name, value.map(HeaderValue::as_bytes));
    }

    #[inline(always)]
    fn value(&mut self, name: Name, value: Option<&[u8]>) {
        self.name(name);
        match value {
            Some(value) => write_string(self.0, value),
            None => self.0.extend_from_slice(UNKNOWN),
        }
    }

    /// `iss/sub` of the request's token, Istio's `request.auth.principal`.
    fn principal(&mut self, name: Name, record: &Record) {
        let claims = record.claims.as_ref().map(|set| set.claims());
        let principal = claims.and_then(|claims| Some(format!("{}/{}", claims.issuer()?, claims.subject()?)));
        self.optional(name, principal.as_deref());
    }

    #[inline(always)]
    fn number(&mut self, name: Name, value: u64) {
        self.name(name);
        write_number(self.0, value);
    }

    /// A count, or `"-"` as ASM writes what is unknown.
    fn count(&mut self, name: Name, value: Option<u64>) {
        match value {
            Some(value) => self.number(name, value),
            None => {
                self.name(name);
                self.0.extend_from_slice(UNKNOWN);
            }
        }
    }

    fn optional_millis(&mut self, name: Name, from: Option<Instant>, to: Option<Instant>) {
        self.count(name, from.zip(to).map(|(from, to)| millis(from, to)));
    }

    fn address(&mut self, name: Name, value: Option<SocketAddr>) {
        self.name(name);
        self.0.push(b'"');
        match value {
            Some(value) => write_address(self.0, value),
            None => self.0.push(b'-'),
        }
        self.0.push(b'"');
    }
}

fn without_userinfo(authority: &[u8]) -> &[u8] {
    let at = memchr::memrchr(b'@', authority);
    let host = at.and_then(|at| authority.get(at.saturating_add(1)..));
    host.unwrap_or(authority)
}

fn last_segment(label: &str) -> &str {
    let slash = memchr::memrchr(b'/', label.as_bytes());
    let segment = slash.and_then(|at| label.get(at.saturating_add(1)..));
    segment.unwrap_or(label)
}

fn millis(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_millis()).unwrap_or(u64::MAX)
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2",
        _ => "HTTP/1.1",
    }
}
