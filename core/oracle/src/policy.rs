//! Authorization: `semantics/policy.md` §1, §2, §3 and §6.

use std::net::IpAddr;

use lockgate_core::cidr::Cidr;
use lockgate_core::compile::Settings;
use lockgate_core::config::resource::{
    Action, AuthorizationPolicy, Labels, PolicyOperation, PolicyRule, PolicySource, Spanned,
};

use crate::head::Head;
use crate::traffic::Sample;
use crate::verdict::Verdict;
use crate::world::World;

/// The refusal, if policy refuses.
#[must_use]
pub fn refusal(world: &World, sample: &Sample, head: &Head) -> Option<Verdict> {
    let policies: Vec<&AuthorizationPolicy> = world
        .resources
        .authorization_policies
        .iter()
        .filter(|policy| applies(policy, &world.settings))
        .collect();
    for policy in &policies {
        if policy.action == Action::Deny
            && let Some(rule) = matching_rule(policy, sample, head)
        {
            return Some(Verdict::DeniedByRule {
                policy: format!("{}/{}", policy.meta.namespace, *policy.meta.name),
                rule,
            });
        }
    }
    let mut allowing = policies
        .iter()
        .filter(|policy| policy.action == Action::Allow)
        .peekable();
    allowing.peek()?;
    let allowed = allowing.any(|policy| matching_rule(policy, sample, head).is_some());
    (!allowed).then_some(Verdict::NotAllowed)
}

fn applies(policy: &AuthorizationPolicy, settings: &Settings) -> bool {
    let namespace = &*policy.meta.namespace;
    let here = namespace == settings.root_namespace || namespace == settings.namespace;
    here && policy
        .selector
        .as_ref()
        .is_none_or(|selector| selects(selector, settings))
}

/// Whether all the labels of `selector` are the gateway's.
#[must_use]
pub fn selects(selector: &Labels, settings: &Settings) -> bool {
    selector
        .iter()
        .all(|(key, value)| settings.labels.contains(&(key.to_string(), value.to_string())))
}

fn matching_rule(policy: &AuthorizationPolicy, sample: &Sample, head: &Head) -> Option<u32> {
    let index = policy.rules.iter().position(|rule| rule_holds(rule, sample, head))?;
    u32::try_from(index).ok()
}

fn rule_holds(rule: &PolicyRule, sample: &Sample, head: &Head) -> bool {
    let from = rule.from.is_empty() || rule.from.iter().any(|source| source_holds(source, sample));
    let to = rule.to.is_empty() || rule.to.iter().any(|operation| operation_holds(operation, sample, head));
    from && to
}

fn source_holds(source: &PolicySource, sample: &Sample) -> bool {
    let inside = |block: &Cidr| in_block(&block.to_string(), sample.peer);
    let given = source.ip_blocks.is_empty() || source.ip_blocks.iter().any(|block| inside(block));
    given && !source.not_ip_blocks.iter().any(|block| inside(block))
}

/// Compares bit by bit, as text.
fn in_block(block: &str, address: IpAddr) -> bool {
    let (network, bits) = block.split_once('/').expect("blocks are written with their length");
    let network: IpAddr = network.parse().expect("the network is an address");
    let length: usize = bits.parse().expect("the length is a number");
    let bits = |address| match address {
        IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
        IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
    };
    network.is_ipv4() == address.is_ipv4() && bits(network)[..length] == bits(address)[..length]
}

fn operation_holds(operation: &PolicyOperation, sample: &Sample, head: &Head) -> bool {
    let authority = head.authority.to_ascii_lowercase();
    texts_hold(&folded(&operation.hosts), &folded(&operation.not_hosts), &authority)
        && texts_hold(&operation.methods, &operation.not_methods, sample.method)
        && texts_hold(&operation.paths, &operation.not_paths, &head.path)
        && ports_hold(operation, sample.port)
}

fn texts_hold(given: &[Spanned<String>], not: &[Spanned<String>], text: &str) -> bool {
    let any = |patterns: &[Spanned<String>]| patterns.iter().any(|pattern| pattern_holds(pattern, text));
    (given.is_empty() || any(given)) && !any(not)
}

fn ports_hold(operation: &PolicyOperation, port: u16) -> bool {
    let any = |ports: &[Spanned<u16>]| ports.iter().any(|given| **given == port);
    (operation.ports.is_empty() || any(&operation.ports)) && !any(&operation.not_ports)
}

fn folded(patterns: &[Spanned<String>]) -> Vec<Spanned<String>> {
    let fold = |pattern: &Spanned<String>| Spanned {
        value: pattern.to_ascii_lowercase(),
        at: pattern.at,
    };
    patterns.iter().map(fold).collect()
}

/// `*`, `*suffix`, `prefix*` or the text itself; of two stars the leading one counts.
fn pattern_holds(pattern: &str, text: &str) -> bool {
    if pattern == "*" {
        true
    } else if let Some(suffix) = pattern.strip_prefix('*') {
        text.ends_with(suffix)
    } else if let Some(prefix) = pattern.strip_suffix('*') {
        text.starts_with(prefix)
    } else {
        text == pattern
    }
}
