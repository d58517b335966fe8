//! One predicate to its row. The loader has seen that every value is one of its kind.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::claims::PATH_SEPARATOR;
use crate::compile::rows::{RowWriter, append};
use crate::config::resource::{AuthorizationPolicy, LOCAL_TRUST_DOMAIN, PolicyKey, Predicate, Spanned};
use crate::tables::{Action, Attribute, PatternRow, PredicateRow, RangeRow, RequestPrincipalRow, Values};

pub(super) fn compile(
    predicate: &Predicate,
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    rows: &mut RowWriter<'_>,
) -> PredicateRow {
    PredicateRow {
        attribute: attribute(predicate, policy.action, rows),
        negated: predicate.negated,
        values: values(predicate, policy, trust_domains, rows),
        field: rows.text(&predicate.field),
    }
}

fn attribute(predicate: &Predicate, action: Action, rows: &mut RowWriter<'_>) -> Attribute {
    // The more requests it holds for, the fewer are let through unseen.
    let narrows = predicate.negated == (action == Action::Allow);
    match &predicate.key {
        PolicyKey::Host => Attribute::Host,
        PolicyKey::Method => Attribute::Method,
        PolicyKey::Path => Attribute::Path,
        PolicyKey::Port => Attribute::Port,
        PolicyKey::PeerAddress => Attribute::PeerAddress,
        PolicyKey::RemoteAddress => Attribute::RemoteAddress,
        PolicyKey::LocalAddress => Attribute::LocalAddress,
        PolicyKey::Principal => Attribute::Principal,
        PolicyKey::Namespace => Attribute::Namespace { anywhere: narrows },
        PolicyKey::ServiceAccount => Attribute::ServiceAccount { anywhere: narrows },
        PolicyKey::TrustDomain => Attribute::TrustDomain,
        PolicyKey::RequestPrincipal => Attribute::RequestPrincipal,
        PolicyKey::Audience => Attribute::Audience,
        PolicyKey::Presenter => Attribute::Presenter,
        PolicyKey::Claim(names) => {
            let mut separator = [0; 4];
            Attribute::Claim(rows.text(&names.join(PATH_SEPARATOR.encode_utf8(&mut separator))))
        }
        PolicyKey::Header(name) => header(name, rows),
        PolicyKey::Sni => Attribute::Sni,
        PolicyKey::LlmModel => Attribute::LlmModel,
        PolicyKey::LlmStream => Attribute::LlmStream,
        PolicyKey::LlmMaxTokens => Attribute::LlmMaxTokens,
        PolicyKey::LlmTools => Attribute::LlmTools {
            every: action == Action::Allow && !predicate.negated,
        },
    }
}

/// HTTP/2's pseudo-headers are the request line of HTTP/1.1, and `host` is the authority in both.
fn header(name: &str, rows: &mut RowWriter<'_>) -> Attribute {
    match name {
        "host" | ":authority" => Attribute::RawAuthority,
        ":method" => Attribute::Method,
        ":path" => Attribute::PathAndQuery,
        ":scheme" => Attribute::Scheme,
        name => Attribute::Header(rows.text(name)),
    }
}

fn values(
    predicate: &Predicate,
    policy: &AuthorizationPolicy,
    trust_domains: &[Box<str>],
    rows: &mut RowWriter<'_>,
) -> Values {
    let texts = &predicate.values;
    match predicate.key {
        PolicyKey::PeerAddress | PolicyKey::RemoteAddress | PolicyKey::LocalAddress => {
            let blocks = texts.iter().filter_map(|text| text.parse().ok());
            Values::Cidrs(append(&mut rows.rows.cidrs, blocks))
        }
        PolicyKey::Port | PolicyKey::LlmMaxTokens => {
            let ranges = texts.iter().filter_map(|text| RangeRow::parse(text));
            Values::Ranges(append(&mut rows.rows.ranges, ranges))
        }
        PolicyKey::RequestPrincipal => {
            let principals: Vec<_> = texts.iter().map(|text| request_principal(text, rows)).collect();
            Values::RequestPrincipals(append(&mut rows.rows.request_principals, principals))
        }
        PolicyKey::Principal => {
            let values = texts.iter().flat_map(|text| principals(text, trust_domains));
            let patterns: Vec<_> = values.map(|value| pattern(&value, rows)).collect();
            Values::Patterns(append(&mut rows.rows.patterns, patterns))
        }
        _ => {
            let patterns: Vec<_> = texts
                .iter()
                .map(|text| one_pattern(predicate, text, policy, rows))
                .collect();
            Values::Patterns(append(&mut rows.rows.patterns, patterns))
        }
    }
}

fn one_pattern(
    predicate: &Predicate,
    text: &Spanned<String>,
    policy: &AuthorizationPolicy,
    rows: &mut RowWriter<'_>,
) -> PatternRow {
    match predicate.key {
        PolicyKey::Host => pattern(&text.to_ascii_lowercase(), rows),
        PolicyKey::Path if text.contains("{*}") || text.contains("{**}") => PatternRow::Template(rows.text(text)),
        PolicyKey::Namespace if is_glob(text) => PatternRow::Glob(rows.text(text)),
        PolicyKey::ServiceAccount => PatternRow::Exact(rows.text(&account(text, &policy.meta.namespace))),
        _ => pattern(text, rows),
    }
}

/// The principal under every trust domain that counts as the mesh's own, if it is of one of them. Istio leaves
/// anything alone that is not a whole identity with a trust domain of its own.
fn principals(value: &str, trust_domains: &[Box<str>]) -> Vec<String> {
    let (trust_domain, rest) = value.split_once('/').unwrap_or((value, ""));
    let is_whole = value.split('/').count() == 5;
    let is_own = trust_domain == LOCAL_TRUST_DOMAIN || trust_domains.iter().any(|domain| **domain == *trust_domain);
    if !is_whole || !is_own || trust_domains.is_empty() {
        return Vec::from([String::from(value)]);
    }
    trust_domains.iter().map(|domain| format!("{domain}/{rest}")).collect()
}

/// Stars that the four forms do not have.
fn is_glob(text: &str) -> bool {
    let inner = text
        .strip_prefix('*')
        .or_else(|| text.strip_suffix('*'))
        .unwrap_or(text);
    inner.contains('*')
}

/// As the account stands in an identity. Without a namespace it is of the policy's.
fn account(text: &str, namespace: &str) -> String {
    let (namespace, name) = text.split_once('/').unwrap_or((namespace, text));
    format!("{namespace}/sa/{name}")
}

/// Istio's four forms. A leading star wins: `*v1*` is the suffix `v1*` with a literal star.
fn pattern(value: &str, rows: &mut RowWriter<'_>) -> PatternRow {
    if value == "*" {
        PatternRow::Any
    } else if let Some(suffix) = value.strip_prefix('*') {
        PatternRow::Suffix(rows.text(suffix))
    } else if let Some(prefix) = value.strip_suffix('*') {
        PatternRow::Prefix(rows.text(prefix))
    } else {
        PatternRow::Exact(rows.text(value))
    }
}

/// `issuer/subject`, split at the last slash as Istio splits it. Only one of the two may have a star: the value's first
/// character makes it the issuer's, its last one the subject's, and any other is a letter like all. Without a slash, a
/// star at the beginning asks for the end of a subject, one at the end for the beginning of an issuer; a bare issuer
/// asks for an empty subject.
fn request_principal(value: &str, rows: &mut RowWriter<'_>) -> RequestPrincipalRow {
    let (issuer, subject) = match value.rsplit_once('/') {
        None if value == "*" => (PatternRow::Any, PatternRow::Any),
        None if value.starts_with('*') => (PatternRow::Any, pattern(value, rows)),
        None if value.ends_with('*') => (pattern(value, rows), PatternRow::Any),
        None => (exact(value, rows), exact("", rows)),
        Some((issuer, subject)) if value.starts_with('*') => (pattern(issuer, rows), exact(subject, rows)),
        Some((issuer, "*")) => (exact(issuer, rows), PatternRow::Any),
        Some((issuer, subject)) => match subject.strip_suffix('*') {
            Some(prefix) => (exact(issuer, rows), PatternRow::Prefix(rows.text(prefix))),
            None => (exact(issuer, rows), exact(subject, rows)),
        },
    };
    RequestPrincipalRow {
        issuer,
        subject,
        text: rows.text(value),
    }
}

fn exact(value: &str, rows: &mut RowWriter<'_>) -> PatternRow {
    PatternRow::Exact(rows.text(value))
}
