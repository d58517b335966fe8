//! What one gateway is configured with: policies, whose tokens count, and the mesh's settings.

use lockgate_core::config::resource::{
    Action, AuthorizationPolicy, HttpAction, PolicyKey, PolicyTarget, Predicate, VirtualService,
};

use crate::bytes::Bytes;
use crate::checks::as_custom;
use crate::loadable;
use crate::policies::policy;
use crate::virtual_services::virtual_service_of;
use crate::world::{spanned, text};

use super::tokens::Issuer;
use super::{authorizer, upstream};

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
    /// What routes instead of one LLMRoute for everything; none in every second set.
    pub services: Vec<VirtualService>,
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
    /// `forwardOriginalToken`.
    pub forwards: bool,
}

/// Makes a configuration that both understand.
pub fn set(bytes: &mut Bytes<'_>) -> Set {
    let audiences = bytes.pick(&[&[][..], &[], &["red"], &["blue", "x"]]);
    let token_rules = bytes.pick(&[&[][..], &[Issuer::First], &[Issuer::First, Issuer::Second]]);
    let services = match bytes.one_in(2) {
        false => Vec::new(),
        true => bytes.some(1, 3, |bytes, index| {
            routed_by_both(virtual_service_of(bytes, index), index)
        }),
    };
    Set {
        services,
        normalization: bytes.pick(&["NONE", "BASE", "BASE", "MERGE_SLASHES", "DECODE_AND_MERGE_SLASHES"]),
        trusted_proxies: bytes.pick(&[0, 0, 1, 2]),
        proxy_protocol: bytes.one_in(3),
        token_rules: token_rules
            .iter()
            .map(|issuer| TokenRule {
                issuer: *issuer,
                audiences: if *issuer == Issuer::First { audiences } else { &[] },
                forwards: bytes.one_in(3),
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

/// A VirtualService of the one Gateway that both gateways have, whose every part loads, and without what chance decides:
/// the first destination gets everything.
fn routed_by_both(mut service: VirtualService, index: usize) -> VirtualService {
    service.meta.namespace = "istio-system".into();
    service.meta.name.value = format!("service-{index}").into();
    service.meta.created = None;
    service.gateways = vec![text("istio-system/gateway")];
    service.export_to.clear();
    for rule in &mut service.http {
        loadable::rule(rule);
        // Copies reach the upstreams whenever they do.
        rule.settings.mirrors = Box::default();
        for entry in &mut rule.matches {
            entry.also.gateways.clear();
            (entry.also.source_labels, entry.also.source_namespace) = (None, None);
        }
        if let HttpAction::Route { destinations, .. } = &mut rule.action {
            for (index, destination) in destinations.iter_mut().enumerate() {
                if !upstream::HOSTS.contains(&destination.host.as_str()) {
                    destination.host.value = upstream::HOSTS[0].to_owned();
                }
                destination.port = None;
                destination.weight = Some(spanned(if index == 0 { 100 } else { 0 }));
            }
        }
    }
    service
}

/// The policy for every workload of the root namespace, and without what Envoy does not know: conditions on bodies.
fn for_this_gateway(mut policy: AuthorizationPolicy, index: usize) -> AuthorizationPolicy {
    policy.meta.namespace = "istio-system".into();
    policy.meta.name.value = format!("policy-{index}").into();
    policy.target = PolicyTarget::Namespace;
    for rule in &mut policy.rules {
        rule.when.retain(|condition| !condition.key.is_lockgate());
        loadable::policy_rule(rule);
        let clauses = rule.from.iter_mut().chain(&mut rule.to);
        let predicates = clauses.flat_map(|clause| &mut clause.predicates).chain(&mut rule.when);
        predicates.for_each(on_loopback);
    }
    debug_assert!(policy.action != Action::Deny || !policy.rules.is_empty());
    policy
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
