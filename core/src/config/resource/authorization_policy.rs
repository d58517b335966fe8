//! `security.istio.io` AuthorizationPolicy: who may send what.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::config::diagnostic::Location;
pub use crate::tables::Action;

/// An AuthorizationPolicy. <https://istio.io/latest/docs/reference/config/security/authorization-policy/>
#[derive(Debug, Clone)]
pub struct AuthorizationPolicy {
    /// Where it came from.
    pub meta: Meta,
    /// What it applies to.
    pub target: PolicyTarget,
    /// `spec.action`, `ALLOW` when absent.
    pub action: Action,
    /// `istio.io/dry-run`: what it would do is reported and never done.
    pub dry_run: bool,
    /// `spec.provider.name` of a CUSTOM policy.
    pub provider: Option<Spanned<Box<str>>>,
    /// `spec.rules`. Without any, an ALLOW policy allows nothing.
    pub rules: Vec<PolicyRule>,
}

/// What a policy applies to, within its namespace; in the root namespace, within all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PolicyTarget {
    /// Every workload.
    Namespace,
    /// `spec.selector.matchLabels`: the workloads that have them all.
    Labels(Labels),
    /// `spec.targetRefs`: any of these.
    References(Vec<TargetReference>),
}

/// One entry of `spec.targetRefs`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetReference {
    /// The entry.
    pub at: Location,
    /// `kind`: `Gateway`, or one that no gateway of ours is.
    pub kind: Box<str>,
    /// `group`, which says of which API a Gateway is; without it the name does, as far as it can.
    pub group: Option<Box<str>>,
    /// `name`, in the policy's namespace.
    pub name: Spanned<Box<str>>,
}

/// One entry of `spec.rules`: any source AND any operation AND every condition. An empty list means "any".
#[derive(Debug, Clone)]
pub struct PolicyRule {
    /// The entry.
    pub at: Location,
    /// `from[].source`, any of them.
    pub from: Vec<Clause>,
    /// `to[].operation`, any of them.
    pub to: Vec<Clause>,
    /// `when[]`, all of them; one entry gives up to two predicates.
    pub when: Vec<Predicate>,
}

impl PolicyRule {
    /// Every predicate of the rule.
    pub fn predicates(&self) -> impl Iterator<Item = &Predicate> {
        let clauses = self.from.iter().chain(&self.to);
        clauses.flat_map(|clause| &clause.predicates).chain(&self.when)
    }
}

/// A `source` or an `operation`: all its fields must hold.
#[derive(Debug, Clone)]
pub struct Clause {
    /// The entry.
    pub at: Location,
    /// The fields that are given.
    pub predicates: Vec<Predicate>,
}

/// One field of a source or an operation, or the `values` or `notValues` of a condition.
#[derive(Debug, Clone)]
pub struct Predicate {
    /// The field or condition.
    pub at: Location,
    /// What it looks at.
    pub key: PolicyKey,
    /// A `not` field: none of the values matches.
    pub negated: bool,
    /// At least one.
    pub values: Vec<Spanned<String>>,
    /// The field as people write it: `notIpBlocks`, `request.headers[x-team]`.
    pub field: Box<str>,
}

/// What a predicate looks at. Sources, operations and conditions share most of it: `ipBlocks` is `source.ip`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum PolicyKey {
    /// `hosts`
    Host,
    /// `methods`
    Method,
    /// `paths`
    Path,
    /// `ports`, `destination.port`
    Port,
    /// `ipBlocks`, `source.ip`
    PeerAddress,
    /// `remoteIpBlocks`, `remote.ip`
    RemoteAddress,
    /// `destination.ip`
    LocalAddress,
    /// `principals`, `source.principal`
    Principal,
    /// `namespaces`, `source.namespace`
    Namespace,
    /// `serviceAccounts`, `source.serviceAccount`; a value is `account` or `namespace/account`.
    ServiceAccount,
    /// `trustDomains`, `source.trustDomain`
    TrustDomain,
    /// `requestPrincipals`, `request.auth.principal`
    RequestPrincipal,
    /// `request.auth.audiences`
    Audience,
    /// `request.auth.presenter`
    Presenter,
    /// `request.auth.claims[a][b]`: the names, outermost first.
    Claim(Vec<String>),
    /// `request.headers[name]`, lower-cased.
    Header(String),
    /// `connection.sni`
    Sni,
    /// `request.llm[model]`
    LlmModel,
    /// `request.llm[stream]`
    LlmStream,
    /// `request.llm[max_tokens]`
    LlmMaxTokens,
    /// `request.llm[tools]`: in an ALLOW policy, `values` must cover every tool.
    LlmTools,
}

/// The condition keys that take no name in brackets.
const PLAIN_KEYS: [(&str, PolicyKey); 12] = [
    ("source.ip", PolicyKey::PeerAddress),
    ("remote.ip", PolicyKey::RemoteAddress),
    ("source.namespace", PolicyKey::Namespace),
    ("source.serviceAccount", PolicyKey::ServiceAccount),
    ("source.principal", PolicyKey::Principal),
    ("source.trustDomain", PolicyKey::TrustDomain),
    ("request.auth.principal", PolicyKey::RequestPrincipal),
    ("request.auth.audiences", PolicyKey::Audience),
    ("request.auth.presenter", PolicyKey::Presenter),
    ("destination.ip", PolicyKey::LocalAddress),
    ("destination.port", PolicyKey::Port),
    ("connection.sni", PolicyKey::Sni),
];

/// The members of `request.llm`.
const LLM_KEYS: [(&str, PolicyKey); 4] = [
    ("request.llm[model]", PolicyKey::LlmModel),
    ("request.llm[stream]", PolicyKey::LlmStream),
    ("request.llm[max_tokens]", PolicyKey::LlmMaxTokens),
    ("request.llm[tools]", PolicyKey::LlmTools),
];

impl PolicyKey {
    /// The `key` of a condition; `None` when there is no such key.
    #[must_use]
    pub fn of_condition(key: &str) -> Option<Self> {
        let mut fixed = PLAIN_KEYS.iter().chain(&LLM_KEYS);
        if let Some((_, key)) = fixed.find(|(name, _)| *name == key) {
            return Some(key.clone());
        }
        if let Some(name) = bracketed(key, "request.headers") {
            return Some(Self::Header(name.to_ascii_lowercase()));
        }
        let names: Vec<String> = bracketed(key, "request.auth.claims")?
            .split("][")
            .map(String::from)
            .collect();
        let is_name = |name: &String| !name.is_empty() && !name.contains(['[', ']']);
        names.iter().all(is_name).then_some(Self::Claim(names))
    }

    /// All condition keys, as a list for people.
    #[cfg(feature = "yaml")]
    pub(crate) fn known_conditions() -> impl Iterator<Item = &'static str> {
        let fixed = PLAIN_KEYS.iter().chain(&LLM_KEYS).map(|(name, _)| *name);
        fixed.chain(["request.headers[name]", "request.auth.claims[name]"])
    }

    /// Whether only `lockgate.dev/v1` has it.
    #[must_use]
    pub fn is_lockgate(&self) -> bool {
        LLM_KEYS.iter().any(|(_, key)| key == self)
    }

    /// The condition key as it is written.
    #[must_use]
    pub fn condition_name(&self) -> String {
        match self {
            Self::Header(name) => format!("request.headers[{name}]"),
            Self::Claim(names) => format!("request.auth.claims[{}]", names.join("][")),
            key => {
                let mut fixed = PLAIN_KEYS.iter().chain(&LLM_KEYS);
                let found = fixed.find(|(_, known)| known == key);
                String::from(found.map_or("", |(name, _)| *name))
            }
        }
    }
}

/// `name` of `prefix[name]`.
fn bracketed<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    let name = key.strip_prefix(prefix)?.strip_prefix('[')?.strip_suffix(']')?;
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_istio_writes_them() {
        let claim = |names: &[&str]| PolicyKey::Claim(names.iter().map(|name| String::from(*name)).collect());
        for (key, read) in [
            ("source.ip", Some(PolicyKey::PeerAddress)),
            ("request.headers[X-Team]", Some(PolicyKey::Header("x-team".into()))),
            ("request.headers[:path]", Some(PolicyKey::Header(":path".into()))),
            ("request.auth.claims[iss]", Some(claim(&["iss"]))),
            ("request.auth.claims[a][b]", Some(claim(&["a", "b"]))),
            ("request.auth.claims[g.h]", Some(claim(&["g.h"]))),
            ("request.llm[model]", Some(PolicyKey::LlmModel)),
            ("request.headers[]", None),
            ("request.headers", None),
            ("request.headers[a", None),
            ("request.auth.claims[a][]", None),
            ("request.auth.claims[a]b]", None),
            ("request.llm[temperature]", None),
            ("destination.labels[app]", None),
            ("Source.ip", None),
        ] {
            assert_eq!(PolicyKey::of_condition(key), read, "{key}");
        }
    }

    #[cfg(feature = "yaml")]
    #[test]
    fn every_key_is_written_as_it_is_read() {
        for key in PolicyKey::known_conditions() {
            let read = PolicyKey::of_condition(key).map(|read| read.condition_name());
            assert_eq!(read.as_deref(), Some(key));
        }
    }
}
