//! What one gateway is configured with: policies, whose tokens count, and the mesh's settings.

use lockgate_core::config::resource::{Action, AuthorizationPolicy, Clause, PolicyKey, PolicyTarget, Predicate};

use crate::bytes::Bytes;
use crate::checks::as_custom;
use crate::policies::policy;
use crate::world::text;

use super::authorizer;
use super::tokens::Issuer;

/// The configuration of one gateway.
#[derive(Debug, Clone)]
pub struct Set {
    /// MeshConfig's `pathNormalization.normalization`.
    pub normalization: &'static str,
    /// MeshConfig's `numTrustedProxies`.
    pub trusted_proxies: u32,
    /// Whether MeshConfig has `proxyProtocol`.
    pub proxy_protocol: bool,
    /// Whose tokens are accepted.
    pub token_rules: Vec<TokenRule>,
    /// How the external authorizer that CUSTOM policies ask is configured.
    pub authorizer: Authorizer,
    /// The policies.
    pub policies: Vec<AuthorizationPolicy>,
}

/// What MeshConfig says of the external authorizer.
#[derive(Debug, Clone, Copy)]
pub struct Authorizer {
    /// `failOpen`
    pub fail_open: bool,
    /// `statusOnError`
    pub status_on_error: Option<u16>,
    /// `pathPrefix`
    pub path_prefix: &'static str,
    /// Whether it has header lists, or none.
    pub has_lists: bool,
    /// `includeRequestBodyInCheck`: `maxRequestBytes` and `allowPartialMessage`.
    pub body: Option<(u32, bool)>,
}

/// One entry of `jwtRules`.
#[derive(Debug, Clone, Copy)]
pub struct TokenRule {
    /// Whose tokens.
    pub issuer: Issuer,
    /// `audiences`.
    pub audiences: &'static [&'static str],
}

/// Makes a configuration that both understand.
pub fn set(bytes: &mut Bytes<'_>) -> Set {
    let audiences = bytes.pick(&[&[][..], &[], &["red"], &["blue", "x"]]);
    let token_rules = bytes.pick(&[&[][..], &[Issuer::First], &[Issuer::First, Issuer::Second]]);
    Set {
        normalization: bytes.pick(&["NONE", "BASE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]),
        trusted_proxies: bytes.pick(&[0, 0, 1, 2]),
        proxy_protocol: bytes.one_in(3),
        token_rules: token_rules
            .iter()
            .map(|issuer| TokenRule {
                issuer: *issuer,
                audiences: if *issuer == Issuer::First { audiences } else { &[] },
            })
            .collect(),
        authorizer: Authorizer {
            fail_open: bytes.one_in(3),
            status_on_error: bytes.pick(&[None, Some(503)]),
            path_prefix: bytes.pick(&["", "/check"]),
            has_lists: bytes.one_in(2),
            body: bytes.pick(&[None, None, Some((1, true)), Some((1, false)), Some((100, false))]),
        },
        policies: bytes.some(0, 3, |bytes, index| {
            let mut made = policy(bytes, index, &[]);
            if bytes.one_in(3) {
                as_custom(&mut made, authorizer::NAME);
            }
            for_this_gateway(made, index)
        }),
    }
}

/// The policy for every workload of the root namespace, and without what Envoy does not know: conditions on bodies.
fn for_this_gateway(mut policy: AuthorizationPolicy, index: usize) -> AuthorizationPolicy {
    policy.meta.namespace = "istio-system".into();
    policy.meta.name.value = format!("policy-{index}").into();
    policy.target = PolicyTarget::Namespace;
    for rule in &mut policy.rules {
        rule.when.retain(|condition| !condition.key.is_lockgate());
        rule.from.iter_mut().for_each(as_istio_allows);
        let clauses = rule.from.iter_mut().chain(&mut rule.to);
        let predicates = clauses.flat_map(|clause| &mut clause.predicates).chain(&mut rule.when);
        predicates.for_each(|predicate| {
            on_loopback(predicate);
            keep_what_loads(predicate);
        });
    }
    debug_assert!(policy.action != Action::Deny || !policy.rules.is_empty());
    policy
}

/// `serviceAccounts` beside `principals` or `namespaces` is refused.
fn as_istio_allows(source: &mut Clause) {
    let is_account = |predicate: &Predicate| predicate.key == PolicyKey::ServiceAccount;
    if source.predicates.len() > 1 && source.predicates.iter().any(|predicate| !is_account(predicate)) {
        source.predicates.retain(|predicate| !is_account(predicate));
    }
}

/// The addresses of the policies as those that clients on this machine can have.
fn on_loopback(predicate: &mut Predicate) {
    if matches!(
        predicate.key,
        PolicyKey::PeerAddress | PolicyKey::RemoteAddress | PolicyKey::LocalAddress
    ) {
        for value in &mut predicate.values {
            if let Some(rest) = value.strip_prefix("10.") {
                *value = text(&format!("127.{rest}"));
            }
        }
    }
}

/// Lockgate refuses to load what cannot match; Envoy takes it. Which those are is tested where the loader is.
fn keep_what_loads(predicate: &mut Predicate) {
    match predicate.key {
        PolicyKey::Method => predicate.values.retain(|value| **value != "post" && **value != "G*T"),
        PolicyKey::Namespace => predicate.values.retain(|value| **value != "tea."),
        _ => {}
    }
    if predicate.values.is_empty() {
        predicate.values.push(text("*"));
    }
}
