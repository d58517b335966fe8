//! External authorization, `semantics/policy.md` §1 and §9: whom CUSTOM policies ask, and what a request is afterwards.

use std::collections::BTreeSet;

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    Action, AuthorizationPolicy, ExtAuthzProtocol, ExtAuthzProvider, PolicyKey, PolicyRule, Predicate, Spanned,
};

use crate::bytes::Bytes;
use crate::head::Head;
use crate::policy::{self, BodySeen};
use crate::traffic::Sample;
use crate::verdict::Verdict;
use crate::world::World;

/// Their names, in the order in which Istio has them asked.
pub const NAMES: [&str; 2] = ["alpha", "beta"];

/// What one authorizer would say to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Yes, with these fields in place of the request's own; `None` is a field that goes.
    Allow(&'static [(&'static str, Option<&'static [u8]>)]),
    /// No, with this status.
    Deny(u16),
    /// Nothing that counts.
    Nothing,
    /// It may not be sent so large a body.
    BodyTooLarge,
}

/// What [`NAMES`] would say.
pub fn answers(bytes: &mut Bytes<'_>) -> [Answer; 2] {
    const ANSWERS: [Answer; 12] = [
        Answer::Allow(&[]),
        Answer::Allow(&[("x-a", Some(b"red"))]),
        Answer::Allow(&[("x-a", None), ("x-b", Some(b"blue")), ("x-b", Some(b"red"))]),
        Answer::Deny(401),
        Answer::Allow(&[
            ("user-type", Some(b"reddish")),
            ("x-c", Some(b" red ")),
            ("x-a", Some(b"r\xffd")),
        ]),
        Answer::Nothing,
        Answer::Allow(&[("x-a", Some(b""))]),
        Answer::Allow(&[("user-type", None)]),
        Answer::BodyTooLarge,
        Answer::Allow(&[("x-b", Some(b"red")), ("x-c", None), ("x-b", Some(b"\xe9"))]),
        Answer::Deny(302),
        Answer::Allow(&[("user-type", Some(b"red"))]),
    ];
    [bytes.pick(&ANSWERS), bytes.pick(&ANSWERS)]
}

/// MeshConfig's entries for [`NAMES`], the last first.
pub fn providers(bytes: &mut Bytes<'_>) -> Vec<ExtAuthzProvider> {
    let provider = |name: &&str| ExtAuthzProvider {
        field: "".into(),
        name: Spanned {
            value: (*name).into(),
            at: Location::default(),
        },
        service: Spanned {
            value: "authz.test".into(),
            at: Location::default(),
        },
        port: Spanned {
            value: 9000,
            at: Location::default(),
        },
        timeout_ms: 1000,
        fail_open: bytes.one_in(2).then(Location::default),
        status_on_error: bytes.pick(&[403, 503]),
        clears_route_cache: bytes.one_in(2),
        body: None,
        protocol: ExtAuthzProtocol::Grpc,
    };
    NAMES.iter().rev().map(provider).collect()
}

/// The policy as one that asks an authorizer, which cannot look at identities.
pub fn as_custom(policy: &mut AuthorizationPolicy, authorizer: &str) {
    policy.action = Action::Custom;
    policy.dry_run = false;
    policy.provider = Some(Spanned {
        value: authorizer.into(),
        at: Location::default(),
    });
    for rule in &mut policy.rules {
        rule.when.retain(is_known_early);
        for clauses in [&mut rule.from, &mut rule.to] {
            clauses
                .iter_mut()
                .for_each(|clause| clause.predicates.retain(is_known_early));
            clauses.retain(|clause| !clause.predicates.is_empty());
        }
    }
    if policy.rules.is_empty() {
        policy.rules.push(PolicyRule {
            at: Location::default(),
            from: Vec::new(),
            to: Vec::new(),
            when: Vec::new(),
        });
    }
}

fn is_known_early(predicate: &Predicate) -> bool {
    !matches!(
        predicate.key,
        PolicyKey::Principal
            | PolicyKey::Namespace
            | PolicyKey::ServiceAccount
            | PolicyKey::TrustDomain
            | PolicyKey::RequestPrincipal
            | PolicyKey::Audience
            | PolicyKey::Presenter
            | PolicyKey::Claim(_)
    )
}

/// How far a request comes.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The answer to it, or the wish to read the body, where an authorizer or the policy that asks it has one.
    pub refusal: Option<Verdict>,
    /// The request as policy and pass 2 see it.
    pub changed: Sample,
    /// The request as pass 1 sees it.
    pub routed: Sample,
    /// Those that were asked.
    pub asked: Vec<&'static str>,
}

/// Asks in turn those whose policies match.
#[must_use]
pub fn checked(world: &World, sample: &Sample, head: &Head, body: BodySeen) -> Checked {
    let mut checked = Checked {
        refusal: None,
        changed: sample.clone(),
        routed: sample.clone(),
        asked: Vec::new(),
    };
    for (name, answer) in NAMES.into_iter().zip(sample.answers) {
        match policy::asks(world, name, &checked.changed, head, body) {
            Some(false) => continue,
            None if matches!(body, BodySeen::Unread) => {
                checked.refusal = Some(Verdict::ReadBody);
                return checked;
            }
            // What cannot be evaluated counts as matched.
            None | Some(true) => {}
        }
        checked.asked.push(name);
        let provider = provider(world, name);
        let external = |status| Verdict::External {
            authorizer: name.to_owned(),
            status,
        };
        checked.refusal = match answer {
            Answer::Allow(fields) => {
                change(&mut checked.changed, fields);
                if provider.clears_route_cache && !fields.is_empty() {
                    checked.routed = checked.changed.clone();
                }
                continue;
            }
            Answer::Nothing if provider.fail_open.is_some() => continue,
            Answer::Nothing => Some(external(provider.status_on_error)),
            Answer::Deny(status) => Some(external(status)),
            Answer::BodyTooLarge => Some(Verdict::Body { rule: None }),
        };
        return checked;
    }
    checked
}

fn provider<'w>(world: &'w World, name: &str) -> &'w ExtAuthzProvider {
    let mut providers = world.resources.mesh_configs.iter().flat_map(|mesh| &mesh.authorizers);
    providers
        .find(|provider| *provider.name.value == *name)
        .expect("a world without faults knows its authorizers")
}

fn change(sample: &mut Sample, fields: &[(&'static str, Option<&'static [u8]>)]) {
    let names: BTreeSet<&str> = fields.iter().map(|(name, _)| *name).collect();
    sample
        .headers
        .retain(|(name, _)| !names.contains(&*name.to_ascii_lowercase()));
    for (name, value) in fields {
        if let Some(value) = value {
            sample.headers.push((name, value.to_vec()));
        }
    }
}
