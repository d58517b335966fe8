//! The compiled configuration as decisions read it: flat rows.
//!
//! Deciding only borrows [`Tables`], and without an allocator they can live in a
//! `static`. Rows refer to each other by typed index or range and to text by
//! [`Span`] into one arena. `compile` (feature `alloc`) writes them; nothing
//! else does, so every index is in range. A broken one would read as empty.

mod attempts;
mod cors;
mod fault;
mod mirror;
mod policy;
mod route;
mod rule_index;
mod token;

pub use attempts::{Attempts, RetryOn, RetryPolicy};
pub(crate) use cors::CorsRow;
pub(crate) use fault::FaultRow;
pub use fault::{AbortStatus, Chance};
pub(crate) use mirror::MirrorRow;
pub use policy::Action;
pub(crate) use policy::*;
pub(crate) use route::*;
pub use route::{HeaderChange, HeaderChangeRow, HeaderText};
pub(crate) use rule_index::*;

use core::hash::{Hash, Hasher};

use crate::cidr::Cidr;
use crate::client_cert::Forwarding;
use crate::index::{Index, KeyRow, Slot};
use crate::path::{PathRules, Target};
use crate::regex::Regex;
use crate::shown::ShownRow;
#[cfg(feature = "alloc")]
use crate::substitution::Substitution;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub u32);
    };
}

id!(/// A rule of a route.
    RuleId);
id!(/// An authorization policy.
    PolicyId);
id!(/// An LLM provider.
    ProviderId);
id!(/// An upstream: where a provider, a destination or an authorizer is reached. Indexes `Snapshot::upstreams`.
    UpstreamId);
id!(/// A secret, held by the shell. Indexes `Secrets`.
    SecretId);
id!(/// A rule for tokens: one `jwtRules` entry of a RequestAuthentication.
    TokenRuleId);
id!(/// A place where tokens are looked for: a header field with a prefix, a parameter or a cookie.
    TokenPlaceId);
id!(/// An external authorizer. Indexes `Snapshot::authorizers`, which are in the order they are asked in.
    AuthorizerId);
id!(/// Where an issuer's keys come from. Indexes `Snapshot::key_sources`.
    KeySourceId);
id!(/// How often and how long requests are tried. [`Tables::attempts`] says it.
    AttemptsId);
id!(/// An HTTPS server of a Gateway. Indexes `Snapshot::tls_servers`.
    TlsServerId);
id!(/// A `uriRegexRewrite`.
    SubstitutionId);
id!(/// Where in the configuration a thing comes from.
    OriginId);

pub(crate) use token::{ClaimHeaderRow, PlaceRow, TokenRuleRow};

/// A piece of the text arena.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// A run of rows in one of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Rows {
    pub(crate) start: u32,
    pub(crate) len: u32,
}

impl Rows {
    /// The rows themselves.
    pub(crate) fn of<T>(self, table: &[T]) -> &[T] {
        let start = self.start as usize;
        table.get(start..start.saturating_add(self.len as usize)).unwrap_or(&[])
    }

    /// Their numbers in the table.
    #[cfg(feature = "alloc")]
    pub(crate) fn numbers(self) -> core::ops::Range<u32> {
        self.start..self.start.saturating_add(self.len)
    }

    #[cfg(feature = "alloc")]
    pub(crate) fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// The text arena.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Text<'a>(pub(crate) &'a str);

impl<'a> Text<'a> {
    pub(crate) fn get(self, span: Span) -> &'a str {
        let start = span.start as usize;
        self.0.get(start..start.saturating_add(span.len as usize)).unwrap_or("")
    }

    /// The same as bytes, without a look at character borders.
    pub(crate) fn bytes(self, span: Span) -> &'a [u8] {
        let start = span.start as usize;
        self.0
            .as_bytes()
            .get(start..start.saturating_add(span.len as usize))
            .unwrap_or(&[])
    }
}

/// The rows of one kind. Where there is no allocator, nothing but a `static` could have them.
#[cfg(feature = "alloc")]
pub(crate) type Table<T> = alloc::vec::Vec<T>;
#[cfg(not(feature = "alloc"))]
pub(crate) type Table<T> = &'static [T];

/// The text that spans are of.
#[cfg(feature = "alloc")]
type Arena = alloc::string::String;
#[cfg(not(feature = "alloc"))]
type Arena = &'static str;

/// A compiled configuration. What is hashed of it is what it means.
#[derive(Debug, Clone, Default, Hash)]
pub struct Tables {
    pub(crate) arena: Arena,
    pub(crate) edge: EdgeRow,
    /// Ascending.
    pub(crate) ports: Table<PortRow>,
    /// (index into `ports`, exact server name) and (index, `.suffix`) to one listener.
    pub(crate) server_names: Table<KeyRow>,
    pub(crate) listeners: Table<ListenerRow>,
    /// (listener, exact host) and (listener, `.suffix`) to one virtual host.
    pub(crate) hosts: Table<KeyRow>,
    pub(crate) virtual_hosts: Table<VirtualHostRow>,
    pub(crate) entries: Table<EntryRow>,
    pub(crate) conditions: Table<ConditionRow>,
    pub(crate) rules: Table<RuleRow>,
    pub(crate) backends: Table<BackendRow>,
    /// How often and how long requests are tried, each once.
    pub(crate) attempts: Table<Attempts>,
    pub(crate) retry_statuses: Table<u16>,
    pub(crate) faults: Table<FaultRow>,
    pub(crate) mirrors: Table<MirrorRow>,
    pub(crate) cors: Table<CorsRow>,
    pub(crate) cors_origins: Table<Test>,
    pub(crate) redirects: Table<RedirectRow>,
    pub(crate) direct_responses: Table<DirectResponseRow>,
    /// The bodies of direct responses, one after the other.
    pub(crate) bodies: Table<u8>,
    pub(crate) header_changes: Table<HeaderChangeRow>,
    pub(crate) configs: Table<ConfigRow>,
    pub(crate) fields: Table<FieldRow>,
    pub(crate) providers: Table<ProviderRow>,
    /// Those that are enforced first, in the order they are judged: CUSTOM, DENY, ALLOW; then AUDIT and dry runs.
    pub(crate) policies: Table<PolicyRow>,
    /// In the order they are asked in.
    pub(crate) authorizers: Table<AuthorizerRow>,
    pub(crate) policy_rules: Table<PolicyRuleRow>,
    pub(crate) clauses: Table<ClauseRow>,
    pub(crate) predicates: Table<PredicateRow>,
    pub(crate) cidrs: Table<Cidr>,
    pub(crate) ranges: Table<RangeRow>,
    pub(crate) patterns: Table<PatternRow>,
    pub(crate) request_principals: Table<RequestPrincipalRow>,
    /// Ordered by issuer.
    pub(crate) token_rules: Table<TokenRuleRow>,
    /// All places where any rule looks, each once.
    pub(crate) token_places: Table<PlaceRow>,
    /// Indexes into `token_places`.
    pub(crate) token_place_ids: Table<u32>,
    pub(crate) token_texts: Table<Span>,
    pub(crate) claim_headers: Table<ClaimHeaderRow>,
    /// Names of all fields that tokens write, lower case.
    pub(crate) token_headers: Table<Span>,
    pub(crate) derived: Derived,
}

/// What follows from the rows of a configuration, or says where they came from.
#[derive(Debug, Clone, Default)]
pub(crate) struct Derived {
    pub(crate) server_names_slots: Table<Slot>,
    pub(crate) hosts_slots: Table<Slot>,
    pub(crate) rule_index: RuleIndex,
    /// Sorted by listener and provider.
    pub(crate) admissions: Table<AdmissionRow>,
    /// Names of all fields that policies, routes or token rules read, lower case and sorted.
    pub(crate) read_headers: Table<Span>,
    /// Names of all fields that routes change on the way upstream, lower case and sorted.
    pub(crate) changed_headers: Table<Span>,
    /// Those that are read and not shown as the client wrote them.
    pub(crate) shown: Table<ShownRow>,
    pub(crate) regexes: Table<Regex>,
    /// What `uriRegexRewrite` does, carried out by [`crate::rewrite::target`].
    #[cfg(feature = "alloc")]
    pub(crate) substitutions: Table<Substitution>,
    pub(crate) origins: Table<OriginRow>,
    pub(crate) origin_resources: Table<OriginResourceRow>,
    /// The arena of the origins alone, so that where a rule stands does not change what a snapshot is.
    pub(crate) origin_arena: Arena,
}

/// It is no part of what a configuration means.
impl Hash for Derived {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// How connections and heads are read, for all listeners alike: MeshConfig's part in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct EdgeRow {
    pub(crate) paths: PathRules,
    /// Proxies of ours in front, each of which adds an entry to `X-Forwarded-For`.
    pub(crate) trusted_proxies: u32,
    /// Each connection begins with a PROXY protocol header. Reading it is the shell's part, before there is a request.
    pub(crate) proxy_protocol: bool,
    /// What becomes of `x-forwarded-client-cert`.
    pub(crate) client_cert: Forwarding,
}

/// One listening port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct PortRow {
    pub(crate) port: u16,
    pub(crate) listeners: PortListeners,
}

/// The listeners of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(not(feature = "alloc"), expect(dead_code, reason = "only `compile` writes rows"))]
pub(crate) enum PortListeners {
    /// In plain text, one for all hosts.
    Plain(u32),
    /// After TLS, by the server name that the client asks for: see `server_names`.
    Tls {
        /// The one for every other name, and for none.
        any: Option<u32>,
        /// Whether any server name is a `*.suffix`.
        has_suffixes: bool,
    },
}

/// The virtual hosts of one port or, where it speaks TLS, of one of its servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ListenerRow {
    pub(crate) port: u16,
    /// How TLS is spoken here.
    pub(crate) tls: Option<TlsServerId>,
    /// Whether any virtual host sends requests in plain text away to `https`.
    pub(crate) has_tls_only: bool,
    /// The virtual host `*`, if there is one.
    pub(crate) any_host: Option<u32>,
    /// Whether any virtual host is a `*.suffix`.
    pub(crate) has_suffixes: bool,
}

/// A provider's configuration for one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ConfigRow {
    pub(crate) credential: Option<SecretId>,
    pub(crate) fields: Rows,
}

/// One provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ProviderRow {
    /// Lower-cased.
    pub(crate) host: Span,
    pub(crate) path: Option<FixedPath>,
    pub(crate) upstream: UpstreamId,
    pub(crate) origin: OriginId,
}

/// Where every request to a provider is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FixedPath {
    /// Path and query.
    pub(crate) target: Span,
    /// Bytes of the path, before its `?`.
    pub(crate) path_bytes: u32,
}

impl FixedPath {
    /// Path and query apart.
    pub(crate) fn parts<'d>(self, tables: &'d Tables) -> Target<'d> {
        let target = tables.text(self.target);
        let (path, rest) = target
            .split_at_checked(self.path_bytes as usize)
            .unwrap_or((target, ""));
        Target {
            path,
            query: rest.strip_prefix('?'),
        }
    }
}

/// One top-level field to set in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FieldRow {
    /// The field's name, e.g. `model`.
    pub name: Span,
    /// The whole member as JSON: `"model":"qwen"`.
    pub member: Span,
    /// The value part of `member`.
    pub value: Span,
    /// When it is set.
    pub when: FieldWhen,
}

/// When a field is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldWhen {
    /// When the client's body has none, or `null`.
    Absent,
    /// Whatever the client's body has.
    Always,
}

/// Where in the configuration a thing comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OriginRow {
    /// In `origin_resources`.
    pub(crate) resource: u32,
    /// The field within the resource, e.g. `spec.rules[0]`; empty for the resource itself.
    pub(crate) field: Span,
    pub(crate) line: u32,
    pub(crate) column: u32,
}

/// A resource that things come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct OriginResourceRow {
    pub(crate) kind: Span,
    pub(crate) namespace: Span,
    pub(crate) name: Span,
    pub(crate) file: Span,
}

/// Where in the configuration a thing comes from, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Origin<'a> {
    /// `LLMRoute`, `AuthorizationPolicy`, …
    pub kind: &'a str,
    /// `metadata.namespace`.
    pub namespace: &'a str,
    /// `metadata.name`.
    pub name: &'a str,
    /// The field within the resource, e.g. `spec.rules[0]`; empty for the resource itself.
    pub field: &'a str,
    /// The source, as given on the command line.
    pub file: &'a str,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl Tables {
    pub(crate) fn texts(&self) -> Text<'_> {
        Text(&self.arena)
    }

    /// The listeners of server names.
    pub(crate) fn server_names(&self) -> Index<'_> {
        Index {
            slots: &self.derived.server_names_slots,
            keys: &self.server_names,
        }
    }

    /// The virtual hosts of hosts.
    pub(crate) fn hosts(&self) -> Index<'_> {
        Index {
            slots: &self.derived.hosts_slots,
            keys: &self.hosts,
        }
    }

    /// The text behind a span, e.g. of a [`FieldRow`].
    #[must_use]
    pub fn text(&self, span: Span) -> &str {
        self.texts().get(span)
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        self.texts().bytes(span)
    }

    /// The label of a rule, `namespace/route/rule`: what logs and metrics call it.
    #[must_use]
    pub fn rule_label(&self, rule: RuleId) -> &str {
        self.rule(rule).map_or("", |row| self.text(row.label))
    }

    /// Whether a rule sends requests to LLM providers.
    #[must_use]
    pub fn is_llm_rule(&self, rule: RuleId) -> bool {
        let backends = self.rule(rule).map(|row| row.split().backends);
        let mut backends = backends.unwrap_or_default().of(&self.backends).iter();
        backends.any(|backend| matches!(backend.to, BackendTarget::Provider(_)))
    }

    /// The keys that requests to providers are sent with; some may come twice.
    pub fn credentials(&self) -> impl Iterator<Item = SecretId> {
        self.configs.iter().filter_map(|config| config.credential)
    }

    /// The host of a provider: what logs and metrics call it.
    #[must_use]
    pub fn provider_host(&self, provider: ProviderId) -> &str {
        self.provider(provider).map_or("", |row| self.text(row.host))
    }

    /// The name of an external authorizer.
    #[must_use]
    pub fn authorizer_name(&self, authorizer: AuthorizerId) -> &str {
        self.authorizers
            .get(authorizer.0 as usize)
            .map_or("", |row| self.text(row.name))
    }

    /// `namespace/name` of a policy.
    #[must_use]
    pub fn policy_label(&self, policy: PolicyId) -> &str {
        self.policies
            .get(policy.0 as usize)
            .map_or("", |row| self.text(row.label))
    }

    /// How often and how long requests are tried.
    #[must_use]
    pub fn attempts(&self, id: AttemptsId) -> &Attempts {
        Attempts::of(&self.attempts, id)
    }

    /// Where a rule of a route stands.
    #[must_use]
    pub fn rule_origin(&self, rule: RuleId) -> Option<Origin<'_>> {
        self.origin(self.rule(rule)?.origin)
    }

    /// Where a provider stands.
    #[must_use]
    pub fn provider_origin(&self, provider: ProviderId) -> Option<Origin<'_>> {
        self.origin(self.provider(provider)?.origin)
    }

    /// Where the keys of a token rule come from.
    #[must_use]
    pub fn token_keys(&self, rule: TokenRuleId) -> Option<KeySourceId> {
        self.token_rule(rule).map(|row| row.keys)
    }

    /// `namespace/name` of the RequestAuthentication of a token rule.
    #[must_use]
    pub fn token_rule_label(&self, rule: TokenRuleId) -> &str {
        self.token_rule(rule).map_or("", |row| self.text(row.label))
    }

    pub(crate) fn token_rule(&self, rule: TokenRuleId) -> Option<&TokenRuleRow> {
        self.token_rules.get(rule.0 as usize)
    }

    pub(crate) fn rule(&self, rule: RuleId) -> Option<&RuleRow> {
        self.rules.get(rule.0 as usize)
    }

    pub(crate) fn provider(&self, provider: ProviderId) -> Option<&ProviderRow> {
        self.providers.get(provider.0 as usize)
    }

    /// The rule that takes and admits every request of `listener` to `provider` in the second pass, if one does whatever
    /// else such a request has.
    pub(crate) fn admission(&self, listener: u32, provider: ProviderId) -> Option<RuleId> {
        let key = (listener, provider);
        let found = self
            .derived
            .admissions
            .binary_search_by_key(&key, |row| (row.listener, row.provider));
        Some(self.derived.admissions.get(found.ok()?)?.by)
    }

    pub(crate) fn origin(&self, origin: OriginId) -> Option<Origin<'_>> {
        let row = self.derived.origins.get(origin.0 as usize)?;
        let resource = self.derived.origin_resources.get(row.resource as usize)?;
        let text = Text(&self.derived.origin_arena);
        Some(Origin {
            kind: text.get(resource.kind),
            namespace: text.get(resource.namespace),
            name: text.get(resource.name),
            field: text.get(row.field),
            file: text.get(resource.file),
            line: row.line,
            column: row.column,
        })
    }
}
