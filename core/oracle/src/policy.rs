//! Authorization: `semantics/policy.md` §1 to §4, §6, §7 and §9, and what Lockgate adds for bodies.

use std::net::IpAddr;

use lockgate_core::compile::Settings;
use lockgate_core::config::resource::{
    Action, AuthorizationPolicy, Clause, Labels, PolicyKey, PolicyRule, PolicyTarget, Predicate,
};
use lockgate_core::request::Scheme;

use crate::head::{self, Head};
use crate::people::BodyFacts;
use crate::traffic::Sample;
use crate::verdict::Verdict;
use crate::world::World;

/// What is known of the body.
#[derive(Debug, Clone, Copy)]
pub enum BodySeen {
    /// It is not read.
    Unread,
    /// It was read: what it says, unless it cannot be sent on.
    Read(Option<BodyFacts>),
}

/// Everything a policy looks at.
struct Seen<'s> {
    sample: &'s Sample,
    head: &'s Head,
    body: BodySeen,
}

/// What a set of policies says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// The request may pass.
    Granted,
    /// A rule of a DENY policy matches.
    DeniedByRule {
        /// `namespace/name`.
        policy: String,
        /// Index of the rule.
        rule: u32,
    },
    /// There are ALLOW policies and none matches.
    NotAllowed,
    /// It depends on the body.
    DependsOnBody,
}

/// What policies say that decide nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Observed {
    /// `namespace/name` of the first AUDIT policy that matches.
    pub audited: Option<String>,
    /// What the dry runs say by themselves; `None` without any.
    pub dry_run: Option<Said>,
}

/// The refusal, or the wish to read the body, if policy has one.
#[must_use]
pub fn refusal(world: &World, sample: &Sample, head: &Head, body: BodySeen) -> Option<Verdict> {
    let seen = Seen { sample, head, body };
    match (said(&applied(world, false), &seen), body) {
        (Said::Granted, _) => None,
        (Said::DeniedByRule { policy, rule }, _) => Some(Verdict::DeniedByRule { policy, rule }),
        (Said::NotAllowed, _) => Some(Verdict::NotAllowed),
        (Said::DependsOnBody, BodySeen::Unread) => Some(Verdict::ReadBody),
        (Said::DependsOnBody, BodySeen::Read(_)) => Some(Verdict::Body { rule: None }),
    }
}

/// Whether a CUSTOM policy that asks `authorizer` matches; `None` where that depends on the body.
#[must_use]
pub fn asks(world: &World, authorizer: &str, sample: &Sample, head: &Head, body: BodySeen) -> Option<bool> {
    let seen = Seen { sample, head, body };
    let policies = applied(world, false);
    let asking = policies.iter().filter(|policy| {
        let named = policy.provider.as_ref().is_some_and(|name| *name.value == *authorizer);
        policy.action == Action::Custom && named
    });
    any(asking.flat_map(|policy| policy.rules.iter().map(|rule| rule_holds(rule, policy, &seen))))
}

/// What AUDIT policies and dry runs say.
#[must_use]
pub fn observed(world: &World, sample: &Sample, head: &Head, body: BodySeen) -> Observed {
    let seen = Seen { sample, head, body };
    let enforced = applied(world, false);
    let audited = enforced.iter().find(|policy| {
        let holds = |rule| rule_holds(rule, policy, &seen) == Some(true);
        policy.action == Action::Audit && policy.rules.iter().any(holds)
    });
    let tried = applied(world, true);
    Observed {
        audited: audited.map(|policy| label(policy)),
        dry_run: (!tried.is_empty()).then(|| said(&tried, &seen)),
    }
}

/// The policies for this gateway that are dry runs, or that are not.
fn applied(world: &World, dry_run: bool) -> Vec<&AuthorizationPolicy> {
    let policies = world.resources.authorization_policies.iter();
    policies
        .filter(|policy| applies(policy, world) && policy.dry_run == dry_run)
        .collect()
}

fn said(policies: &[&AuthorizationPolicy], seen: &Seen<'_>) -> Said {
    let of = |action: Action| policies.iter().filter(move |policy| policy.action == action);
    for policy in of(Action::Deny) {
        let matching = |rule: &PolicyRule| rule_holds(rule, policy, seen) == Some(true);
        if let Some(rule) = policy.rules.iter().position(matching) {
            return Said::DeniedByRule {
                policy: label(policy),
                rule: u32::try_from(rule).expect("a few rules"),
            };
        }
    }
    let any_rule = |action| {
        any(of(action).flat_map(|policy| {
            let rules = policy.rules.iter();
            rules.map(|rule| rule_holds(rule, policy, seen))
        }))
    };
    let denied = any_rule(Action::Deny);
    let allowed = match of(Action::Allow).count() {
        0 => Some(true),
        _ => any_rule(Action::Allow),
    };
    match (denied, allowed) {
        (_, Some(false)) => Said::NotAllowed,
        (Some(false), Some(true)) => Said::Granted,
        _ => Said::DependsOnBody,
    }
}

fn label(policy: &AuthorizationPolicy) -> String {
    format!("{}/{}", policy.meta.namespace, *policy.meta.name)
}

/// OR of what may be unknown.
fn any(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let truths: Vec<_> = truths.collect();
    if truths.contains(&Some(true)) {
        Some(true)
    } else if truths.contains(&None) {
        None
    } else {
        Some(false)
    }
}

/// AND of what may be unknown.
fn all(truths: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    any(truths.map(|truth| truth.map(|holds| !holds))).map(|failed| !failed)
}

/// Whether the policy is in force at this gateway.
#[must_use]
pub fn applies(policy: &AuthorizationPolicy, world: &World) -> bool {
    let settings = &world.settings;
    let namespace = &*policy.meta.namespace;
    if namespace != settings.root_namespace && namespace != settings.namespace {
        return false;
    }
    match &policy.target {
        PolicyTarget::Namespace => true,
        PolicyTarget::Labels(selector) => selects(selector, settings),
        PolicyTarget::References(references) => world.resources.gateways.iter().any(|gateway| {
            *gateway.meta.namespace == *namespace
                && selects(&gateway.selector, settings)
                && references
                    .iter()
                    .any(|reference| *reference.kind == *"Gateway" && *reference.name == *gateway.meta.name)
        }),
    }
}

/// Whether all the labels of `selector` are the gateway's.
#[must_use]
pub fn selects(selector: &Labels, settings: &Settings) -> bool {
    selector
        .iter()
        .all(|(key, value)| settings.labels.contains(&(key.to_string(), value.to_string())))
}

fn rule_holds(rule: &PolicyRule, of: &AuthorizationPolicy, seen: &Seen<'_>) -> Option<bool> {
    let clauses = |clauses: &[Clause]| match clauses {
        [] => Some(true),
        some => any(some.iter().map(|clause| all_hold(&clause.predicates, of, seen))),
    };
    all([clauses(&rule.from), clauses(&rule.to), all_hold(&rule.when, of, seen)].into_iter())
}

fn all_hold(predicates: &[Predicate], of: &AuthorizationPolicy, seen: &Seen<'_>) -> Option<bool> {
    all(predicates.iter().map(|predicate| {
        if predicate.key == PolicyKey::LlmTools {
            return tools_hold(predicate, of.action == Action::Allow, seen);
        }
        let narrows = predicate.negated == (of.action == Action::Allow);
        let matched = any(predicate
            .values
            .iter()
            .map(|value| value_matches(&predicate.key, value, narrows, of, seen)));
        matched.map(|matched| matched != predicate.negated)
    }))
}

fn value_matches(
    key: &PolicyKey,
    value: &str,
    narrows: bool,
    of: &AuthorizationPolicy,
    seen: &Seen<'_>,
) -> Option<bool> {
    let Seen { sample, head, .. } = seen;
    let identity = sample
        .uri_names
        .iter()
        .find_map(|name| name.strip_prefix("spiffe://"))
        .unwrap_or("");
    let claim = |names: &[&str]| claim_matches(sample, names, value);
    let holds = match key {
        PolicyKey::Host => present(&value.to_ascii_lowercase(), &head.authority.to_ascii_lowercase()),
        PolicyKey::Method => some(value, sample.method),
        PolicyKey::Path if value.contains("{*}") || value.contains("{**}") => template(value, &head.path),
        PolicyKey::Path => some(value, &head.path),
        PolicyKey::Port => value == sample.destination_port.to_string(),
        PolicyKey::PeerAddress => in_block(value, sample.peer),
        PolicyKey::RemoteAddress => in_block(value, head.remote),
        PolicyKey::LocalAddress => in_block(value, sample.local),
        PolicyKey::Sni => some(value, sample.sni.unwrap_or("")),
        PolicyKey::Principal => some(value, identity),
        PolicyKey::TrustDomain => some(value, identity.split('/').next().unwrap_or("")),
        PolicyKey::Namespace => {
            let namespaces = match narrows {
                true => followed(identity, "ns")
                    .filter(|(_, rest)| !rest.is_empty())
                    .map(|(name, _)| name)
                    .collect(),
                false => istio_identity(identity).map_or(Vec::new(), |(namespace, _)| vec![namespace]),
            };
            namespaces
                .iter()
                .any(|namespace| !namespace.is_empty() && glob(value, namespace))
        }
        PolicyKey::ServiceAccount => {
            let wanted = value.split_once('/').unwrap_or((&of.meta.namespace, value));
            match narrows {
                true => followed(identity, "ns")
                    .filter(|(namespace, _)| *namespace == wanted.0)
                    .any(|(_, rest)| followed(&rest, "sa").any(|(account, _)| account == wanted.1)),
                false => istio_identity(identity) == Some(wanted),
            }
        }
        PolicyKey::RequestPrincipal => request_principal(sample, value),
        PolicyKey::Audience => claim(&["aud"]),
        PolicyKey::Presenter => claim(&["azp"]),
        PolicyKey::Claim(names) => claim(&names.iter().map(String::as_str).collect::<Vec<_>>()),
        PolicyKey::Header(name) => header_matches(name, value, sample, head),
        PolicyKey::LlmModel | PolicyKey::LlmStream | PolicyKey::LlmMaxTokens | PolicyKey::LlmTools => {
            return body_matches(key, value, seen);
        }
    };
    Some(holds)
}

/// The segments behind each one called `name`, with all that is behind them.
fn followed<'i>(identity: &'i str, name: &str) -> impl Iterator<Item = (&'i str, String)> {
    let segments: Vec<&str> = identity.split('/').collect();
    let places: Vec<usize> = (1..segments.len()).filter(|at| segments[at - 1] == name).collect();
    places
        .into_iter()
        .map(move |at| (segments[at], segments[at + 1..].join("/")))
}

/// Namespace and account, of an identity as Istio gives them out.
fn istio_identity(identity: &str) -> Option<(&str, &str)> {
    match identity.split('/').collect::<Vec<_>>()[..] {
        [_, "ns", namespace, "sa", account] => Some((namespace, account)),
        _ => None,
    }
}

fn header_matches(name: &str, value: &str, sample: &Sample, head: &Head) -> bool {
    match name {
        "host" | ":authority" => present(value, &head.authority),
        ":method" => some(value, sample.method),
        ":scheme" => present(value, if sample.told == Scheme::Http { "http" } else { "https" }),
        ":path" => {
            let query = head.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
            present(value, &format!("{}{query}", head.path))
        }
        name => head::values(sample, name)
            .iter()
            .any(|given| present_bytes(value.as_bytes(), given)),
    }
}

fn claim_matches(sample: &Sample, names: &[&str], value: &str) -> bool {
    let claims = sample.person.iter().flat_map(|person| person.strings);
    claims
        .filter(|(path, _)| *path == names)
        .flat_map(|(_, strings)| *strings)
        .any(|string| some(value, string))
}

fn request_principal(sample: &Sample, value: &str) -> bool {
    let Some((issuer, subject)) = sample.person.and_then(|person| Some((person.issuer?, person.subject?))) else {
        return false;
    };
    // Which star counts is seen in the whole value, before it is split.
    let split = value.rfind('/').map(|slash| (&value[..slash], &value[slash + 1..]));
    match (value, split) {
        ("*", _) => !issuer.is_empty() && !subject.is_empty(),
        (_, Some((iss, sub))) if value.starts_with('*') => some(iss, issuer) && subject == sub,
        (_, Some((iss, sub))) if value.ends_with('*') => {
            issuer == iss && !subject.is_empty() && subject.starts_with(&sub[..sub.len() - 1])
        }
        (_, Some((iss, sub))) => (issuer, subject) == (iss, sub),
        (_, None) if value.starts_with('*') => !issuer.is_empty() && some(value, subject),
        (_, None) if value.ends_with('*') => some(value, issuer) && !subject.is_empty(),
        (_, None) => false,
    }
}

/// An ALLOW lists what may be used, a DENY what may not.
fn tools_hold(predicate: &Predicate, every: bool, seen: &Seen<'_>) -> Option<bool> {
    let tools = match seen.body {
        _ if is_bodiless(seen.sample) => &[][..],
        BodySeen::Unread | BodySeen::Read(None) => return None,
        BodySeen::Read(Some(facts)) => facts.tools?,
    };
    let listed = |tool: &&str| predicate.values.iter().any(|value| some(value, tool));
    Some(match (predicate.negated, every) {
        (true, _) => !tools.iter().any(listed),
        (false, true) => !tools.is_empty() && tools.iter().all(listed),
        (false, false) => tools.iter().any(listed),
    })
}

/// Whether the request has no body, and a method that needs none.
#[must_use]
pub fn is_bodiless(sample: &Sample) -> bool {
    sample.body.text.is_empty() && gives_no_meaning(sample.method)
}

/// Whether the request has a body that its method gives no meaning.
#[must_use]
pub fn is_stray(sample: &Sample) -> bool {
    !sample.body.text.is_empty() && gives_no_meaning(sample.method)
}

fn gives_no_meaning(method: &str) -> bool {
    ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"].contains(&method)
}

fn body_matches(key: &PolicyKey, value: &str, seen: &Seen<'_>) -> Option<bool> {
    let facts = match seen.body {
        _ if is_bodiless(seen.sample) => return Some(false),
        BodySeen::Unread | BodySeen::Read(None) => return None,
        BodySeen::Read(Some(facts)) => facts,
    };
    Some(match key {
        PolicyKey::LlmModel => some(value, facts.model.unwrap_or("")),
        PolicyKey::LlmStream => some(value, &facts.stream.map_or(String::new(), |stream| stream.to_string())),
        _ => facts.max_tokens.is_some_and(|tokens| number_fits(value, tokens)),
    })
}

fn number_fits(value: &str, number: u64) -> bool {
    let digits = value.trim_start_matches(['<', '>', '=']);
    let bound = || digits.parse::<u64>().expect("digits");
    match &value[..value.len() - digits.len()] {
        "<=" => number <= bound(),
        "<" => number < bound(),
        ">=" => number >= bound(),
        ">" => number > bound(),
        _ => value == "*" || number == bound(),
    }
}

/// Compares bit by bit, as text.
fn in_block(block: &str, address: IpAddr) -> bool {
    let (network, bits) = match block.split_once('/') {
        Some((network, bits)) => (network, Some(bits)),
        None => (block, None),
    };
    let network: IpAddr = network.parse().expect("the network is an address");
    let as_bits = |address| match address {
        IpAddr::V4(address) => format!("{:032b}", u32::from(address)),
        IpAddr::V6(address) => format!("{:0128b}", u128::from(address)),
    };
    let (network_bits, address_bits) = (as_bits(network), as_bits(address));
    let length = bits.map_or(network_bits.len(), |bits| bits.parse().expect("the length is a number"));
    network.is_ipv4() == address.is_ipv4() && network_bits[..length] == address_bits[..length]
}

/// A template, by trying every length for its operators.
fn template(pattern: &str, path: &str) -> bool {
    let after = |pattern: &str, at: usize| path.is_char_boundary(at) && template(pattern, &path[at..]);
    if let Some(rest) = pattern.strip_prefix("{**}") {
        return (0..=path.len()).any(|at| after(rest, at));
    }
    if let Some(rest) = pattern.strip_prefix("{*}") {
        let segment = path.split('/').next().unwrap_or("").len();
        return (1..=segment).any(|at| after(rest, at));
    }
    same_start(pattern, path, template)
}

/// A namespace with stars anywhere, in the same way.
fn glob(pattern: &str, text: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(rest) => (0..=text.len()).any(|at| text.is_char_boundary(at) && glob(rest, &text[at..])),
        None => same_start(pattern, text, glob),
    }
}

fn same_start(pattern: &str, text: &str, then: fn(&str, &str) -> bool) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    match (pattern.next(), text.next()) {
        (None, None) => true,
        (Some(wanted), Some(given)) => wanted == given && then(pattern.as_str(), text.as_str()),
        _ => false,
    }
}

/// [`present`], where the empty text is as good as none.
fn some(pattern: &str, text: &str) -> bool {
    !text.is_empty() && present(pattern, text)
}

fn present(pattern: &str, text: &str) -> bool {
    present_bytes(pattern.as_bytes(), text.as_bytes())
}

/// `*`, `*suffix`, `prefix*` or the text itself; of two stars the leading one counts.
fn present_bytes(pattern: &[u8], text: &[u8]) -> bool {
    if pattern == b"*" {
        true
    } else if let Some(suffix) = pattern.strip_prefix(b"*") {
        text.ends_with(suffix)
    } else if let Some(prefix) = pattern.strip_suffix(b"*") {
        text.starts_with(prefix)
    } else {
        text == pattern
    }
}
