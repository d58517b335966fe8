//! One authorizer as the shell has to ask it: what of a request it is sent, and what of its answer counts.
//!
//! Istio's `envoyExtAuthzHttp` and `envoyExtAuthzGrpc`, in Envoy's reading of
//! them, which was asked (`docs/external-authorization.md`).
//! <https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/>

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::OwnedField;
use crate::rewrite::is_made_anew;
use crate::shown::EXTERNAL_ADDRESS;
use crate::tables::{SecretId, UpstreamId};

/// How an authorizer is asked. What [`crate::tables::AuthorizerId`] indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authorizer {
    /// `name` of the extension provider.
    pub name: Box<str>,
    /// Where it is reached.
    pub upstream: UpstreamId,
    /// What it speaks.
    pub protocol: CheckProtocol,
    /// Time for the whole answer, in milliseconds.
    pub timeout_ms: u32,
    /// `includeRequestBodyInCheck`; `None` when it is not sent the body.
    pub body: Option<CheckBody>,
    /// `includeRequestHeadersInCheck`
    pub sends: Vec<NamePattern>,
    /// `includeAdditionalHeadersInCheck`: fields of the check itself. Their values may be credentials.
    pub adds: Vec<(Box<str>, SecretId)>,
    /// `headersToUpstreamOnAllow`
    pub to_upstream: Vec<NamePattern>,
    /// `headersToDownstreamOnDeny`
    pub to_client_on_deny: Vec<NamePattern>,
    /// `headersToDownstreamOnAllow`
    pub to_client_on_allow: Vec<NamePattern>,
}

/// What an authorizer speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to speak each")]
pub enum CheckProtocol {
    /// The client's request without its body, at this prefix and the client's path; 200 allows.
    Http {
        /// `pathPrefix`
        path_prefix: Box<str>,
    },
    /// `envoy.service.auth.v3.Authorization/Check`.
    Grpc {
        /// `:authority` of the call: the service's host.
        authority: Box<str>,
    },
}

/// How much of a body an authorizer is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckBody {
    /// `maxRequestBytes`
    pub bytes_max: u32,
    /// `allowPartialMessage`: of a larger body it is sent the beginning. Otherwise such a request is 413.
    pub partial: bool,
    /// `packAsBytes`: gRPC carries it in `raw_body`, as it is, instead of in `body`, which is text.
    pub as_bytes: bool,
}

/// Names of header fields, in Istio's forms; lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "Istio's three forms")]
pub enum NamePattern {
    /// `name`
    Exact(Box<str>),
    /// `name*`
    Prefix(Box<str>),
    /// `*name`
    Suffix(Box<str>),
}

impl NamePattern {
    /// Reads one of the forms. A star that leads wins over one at the end.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(suffix), _) => Self::Suffix(suffix.into()),
            (None, Some(prefix)) => Self::Prefix(prefix.into()),
            (None, None) => Self::Exact(text.into()),
        }
    }

    pub(super) fn as_written(&self) -> String {
        match self {
            Self::Exact(name) => (**name).into(),
            Self::Prefix(prefix) => [prefix, "*"].concat(),
            Self::Suffix(suffix) => ["*", suffix].concat(),
        }
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Exact(exact) => **exact == *name,
            Self::Prefix(prefix) => name.starts_with(&**prefix),
            Self::Suffix(suffix) => name.ends_with(&**suffix),
        }
    }
}

/// Fields that Envoys tell each other. From a client they are worth nothing, to one they are nobody's business.
const INTERNAL: &str = "x-envoy-";

/// In an answer of HTTP that allows: the names of the request's fields to take away.
const TO_REMOVE: &str = "x-envoy-auth-headers-to-remove";

impl Authorizer {
    /// Whether it is sent the client's field `name`, lower case.
    #[must_use]
    pub fn sends(&self, name: &str) -> bool {
        if name.starts_with(INTERNAL) && name != EXTERNAL_ADDRESS {
            return false;
        }
        match self.protocol {
            CheckProtocol::Grpc { .. } => name == "content-length" || !is_made_anew(name),
            CheckProtocol::Http { .. } => {
                let is_listed = self.sends.iter().any(|pattern| pattern.matches(name));
                name == "authorization" || (is_listed && !is_made_anew(name))
            }
        }
    }

    /// Whether a server that takes an underscore for a hyphen would take the client's field `name`, lower case, for one that
    /// this authorizer is sent, while it is not sent `name` itself: what it has not seen must not go on under that name.
    #[must_use]
    pub fn overlooks(&self, name: &str) -> bool {
        name.contains('_') && !self.sends(name) && self.sends(&name.replace('_', "-"))
    }

    /// What an answer of HTTP that allows changes of the request, given the answer's fields with lower-case names.
    pub fn allowed_over_http<'a>(&self, answer: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<OwnedField> {
        let mut fields: Vec<OwnedField> = Vec::new();
        let mut removed = Vec::new();
        for (name, value) in answer {
            if name == TO_REMOVE {
                let names = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
                removed.extend(
                    names
                        .filter_map(|name| core::str::from_utf8(name).ok())
                        .map(str::to_ascii_lowercase),
                );
            } else if self.may_set(name) {
                // Of several values Envoy keeps the last one.
                OwnedField::set(&mut fields, name, value);
            }
        }
        for name in removed.iter().filter(|name| Self::may_change(name)) {
            OwnedField::remove(&mut fields, name);
        }
        fields
    }

    /// Whether an answer that allows may set the field `name`, lower case, of the request.
    pub(super) fn may_set(&self, name: &str) -> bool {
        let is_taken = match self.protocol {
            CheckProtocol::Grpc { .. } => true,
            CheckProtocol::Http { .. } => self.to_upstream.iter().any(|pattern| pattern.matches(name)),
        };
        Self::may_change(name) && is_taken
    }

    /// Whether the client gets the field `name`, lower case, of an answer of HTTP that denies.
    #[must_use]
    pub fn answers_client(&self, name: &str) -> bool {
        let listed = self.to_client_on_deny.iter().any(|pattern| pattern.matches(name));
        let is_its_own = matches!(name, "server" | "date") || name.starts_with(INTERNAL);
        let unasked = self.to_client_on_deny.is_empty() && !is_its_own;
        !is_made_anew(name) && (unasked || listed || matches!(name, "www-authenticate" | "location"))
    }

    /// Whether the client gets the field `name`, lower case, of an answer of HTTP that allows, beside the upstream's.
    #[must_use]
    pub fn adds_to_answer(&self, name: &str) -> bool {
        Self::may_change(name) && self.to_client_on_allow.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether an authorizer may change the field `name`, lower case, of a request or an answer. An answer of gRPC
    /// that wants to change another one does not count: it could send a request elsewhere than where policy saw it go.
    #[must_use]
    pub fn may_change(name: &str) -> bool {
        !name.starts_with(':') && !is_made_anew(name)
    }
}

/// The values of a repeated field as one, as Envoy shows it to authorizers: none of them is hidden behind another
/// (CVE-2021-32777).
#[must_use]
pub fn joined<'v>(name: &str, values: impl IntoIterator<Item = &'v [u8]>) -> String {
    let separator = if name == "cookie" { "; " } else { "," };
    let values: Vec<String> = values.into_iter().map(as_text).collect();
    values.join(separator)
}

/// Bytes as the text that Envoy makes of them for authorizers: each that is no UTF-8 is an exclamation mark.
#[must_use]
pub fn as_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn authorizer(protocol: CheckProtocol, patterns: &[&str]) -> Authorizer {
        let patterns = || {
            patterns
                .iter()
                .map(|pattern| NamePattern::parse(pattern))
                .collect::<Vec<_>>()
        };
        Authorizer {
            name: "a".into(),
            upstream: UpstreamId(0),
            protocol,
            timeout_ms: 1,
            body: None,
            sends: patterns(),
            adds: Vec::new(),
            to_upstream: patterns(),
            to_client_on_deny: patterns(),
            to_client_on_allow: patterns(),
        }
    }

    fn http(patterns: &[&str]) -> Authorizer {
        authorizer(CheckProtocol::Http { path_prefix: "".into() }, patterns)
    }

    #[test]
    fn names_have_istios_three_forms() {
        let listed = http(&["X-A", "x-b*", "*-c"]);
        for (name, is) in [
            ("x-a", true),
            ("x-ab", false),
            ("x-b", true),
            ("x-bc", true),
            ("z-c", true),
            ("c", false),
        ] {
            assert_eq!(listed.sends(name), is, "{name}");
            assert_eq!(!listed.allowed_over_http([(name, &b"1"[..])]).is_empty(), is, "{name}");
            assert_eq!(listed.adds_to_answer(name), is, "{name}");
        }
    }

    #[test]
    fn an_authorizer_over_http_always_gets_the_credentials() {
        assert!(http(&[]).sends("authorization") && http(&["x-a"]).sends("authorization"));
        assert!(!http(&[]).sends("cookie") && !http(&[]).adds_to_answer("x-a"));
        assert!(http(&[]).allowed_over_http([("x-a", &b"1"[..])]).is_empty());
    }

    #[test]
    fn of_an_answer_that_allows_the_last_value_counts_and_what_is_removed_is_gone() {
        let answer: [(&str, &[u8]); 6] = [
            ("content-length", b"0"),
            ("x-a", b"1"),
            ("x-a", b"2"),
            ("x-b", b"3"),
            ("x-other", b"4"),
            ("x-envoy-auth-headers-to-remove", b"X-B, cookie,host"),
        ];
        let named = |name: &str, value: Option<&[u8]>| OwnedField {
            name: name.into(),
            value: value.map(<[u8]>::to_vec),
        };
        assert_eq!(
            http(&["x-a", "x-b", "content-*"]).allowed_over_http(answer),
            [named("x-a", Some(b"2")), named("x-b", None), named("cookie", None)]
        );
    }

    #[test]
    fn one_over_grpc_gets_all_that_clients_may_send() {
        let grpc = authorizer(CheckProtocol::Grpc { authority: "a".into() }, &[]);
        for (name, is) in [
            ("cookie", true),
            ("x-any", true),
            ("x-request-id", true),
            ("content-length", true),
            ("connection", false),
            ("x-envoy-internal", false),
        ] {
            assert_eq!(grpc.sends(name), is, "{name}");
        }
    }

    #[test]
    fn a_denial_brings_all_its_fields_or_those_listed_and_two() {
        for name in ["set-cookie", "x-other", "content-type", "location"] {
            assert!(http(&[]).answers_client(name), "{name}");
        }
        for name in [
            "host",
            "content-length",
            "connection",
            "transfer-encoding",
            "server",
            "x-envoy-a",
        ] {
            assert!(
                !http(&[]).answers_client(name) && !http(&["*e*"]).answers_client(name),
                "{name}"
            );
        }
        let listed = http(&["x-deny"]);
        for (name, is) in [
            ("x-deny", true),
            ("location", true),
            ("www-authenticate", true),
            ("set-cookie", false),
            ("content-type", false),
        ] {
            assert_eq!(listed.answers_client(name), is, "{name}");
        }
    }

    #[test]
    fn where_a_request_goes_is_not_an_authorizers_to_say() {
        for name in ["host", ":path", ":authority", "content-length", "connection"] {
            assert!(!Authorizer::may_change(name), "{name}");
        }
        assert!(Authorizer::may_change("x-user") && Authorizer::may_change("authorization"));
    }

    #[test]
    fn repeated_fields_are_joined() {
        assert_eq!(joined("x-a", [&b"1"[..], b"2"]), "1,2");
        assert_eq!(joined("cookie", [&b"a=1"[..], b"b=2"]), "a=1; b=2");
    }

    #[test]
    fn what_is_no_text_is_shown_as_envoy_shows_it() {
        for (bytes, text) in [
            (&b"plain"[..], "plain"),
            (b"", ""),
            (b"\xe9\xff", "!!"),
            (b"a\xc3\xa9\xffb", "aé!b"),
            (b"\xe4\xbd", "!!"),
        ] {
            assert_eq!(as_text(bytes), text, "{bytes:?}");
        }
    }
}
