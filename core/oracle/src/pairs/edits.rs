//! Random edits of random configurations: what random requests find that they change, `diff` finds too, but for one in twenty.

use lockgate_core::compile::{Compiled, compile};
use lockgate_core::config::diagnostic::Diagnostics;
use lockgate_core::config::resource::Resources;
use lockgate_core::diff::{Options, diff};
use lockgate_core::explain::{Question, Verdict};
use lockgate_core::snapshot::Snapshot;

use super::{CONFIGURATION_BYTES, Configuration, REQUEST_BYTES, made};
use crate::bytes::Bytes;
use crate::loadable;
use crate::random::Random;

/// What comes of a request, as its client and its upstream see it.
fn gist(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Forward(sent) => format!("{} {} {}", sent.upstream, sent.method, sent.path),
        Verdict::Redirect(redirect) => format!("{} {}", redirect.status, redirect.location),
        Verdict::Respond(answer) => format!("{} {}", answer.status, answer.body),
        Verdict::Refuse(refused) => format!("{} {}", refused.status, refused.body),
        Verdict::Check(check) => check.authorizer.clone(),
        Verdict::VerifyToken { .. } => "token".to_owned(),
        Verdict::ReadBody { .. } => "body".to_owned(),
    }
}

/// Whether it is a request as `diff` makes them: one that can come to a port that is open, is read in one way, and has a
/// token only where one is looked for.
fn is_plain(question: &Question, snapshot: &Snapshot) -> bool {
    let port = question.client.port;
    let comes = port.is_none_or(|port| snapshot.listeners().iter().any(|listener| listener.port == port));
    let has_name = question.client.sni.is_some() && port.is_none_or(|port| !snapshot.is_tls(port));
    let has_token = question.claims.is_some() || question.token_error.is_some();
    let names_fields = question
        .headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("connection"));
    comes && !has_name && !has_token && !names_fields && question.checks.is_empty() && question.body_error.is_none()
}

/// Takes away or turns round one thing.
fn edit(resources: &mut Resources, bytes: &mut Bytes<'_>) {
    let take = |count: usize, bytes: &mut Bytes<'_>| bytes.below(count.max(1));
    match bytes.below(6) {
        0 if !resources.authorization_policies.is_empty() => {
            let index = take(resources.authorization_policies.len(), bytes);
            resources.authorization_policies.remove(index);
        }
        1 | 2 => {
            let rules = resources
                .authorization_policies
                .iter_mut()
                .flat_map(|policy| &mut policy.rules);
            let mut predicates: Vec<_> = rules
                .flat_map(|rule| {
                    let clauses = rule.from.iter_mut().chain(&mut rule.to);
                    clauses.flat_map(|clause| &mut clause.predicates).chain(&mut rule.when)
                })
                .collect();
            let index = take(predicates.len(), bytes);
            if let Some(predicate) = predicates.get_mut(index) {
                if predicate.values.len() > 1 && bytes.one_in(2) {
                    predicate.values.pop();
                } else {
                    predicate.negated = !predicate.negated;
                }
            }
        }
        3 => {
            let index = take(resources.virtual_services.len(), bytes);
            if let Some(service) = resources.virtual_services.get_mut(index)
                && service.http.len() > 1
            {
                let count = service.http.len();
                service.http.swap(bytes.below(count), bytes.below(count));
            }
        }
        4 => {
            let index = take(resources.virtual_services.len(), bytes);
            if let Some(service) = resources.virtual_services.get_mut(index)
                && service.http.len() > 1
            {
                let count = service.http.len();
                service.http.remove(bytes.below(count));
            }
        }
        _ => {
            let index = take(resources.llm_routes.len(), bytes);
            if let Some(route) = resources.llm_routes.get_mut(index)
                && route.rules.len() > 1
            {
                let count = route.rules.len();
                route.rules.remove(bytes.below(count));
            }
        }
    }
}

#[test]
fn what_random_requests_tell_apart_diff_tells_apart() {
    const EDITS: usize = 1_000;
    const REQUESTS: usize = 300;
    let mut random = Random::new(5);
    let (mut told_apart, mut missed) = (0, Vec::new());
    for number in 0..EDITS {
        let bytes = random.bytes(CONFIGURATION_BYTES);
        let (kind, mut resources, settings) = made(&mut Bytes::new(&bytes), number);
        loadable::resources(&mut resources);
        let mut edited = resources.clone();
        edit(&mut edited, &mut Bytes::new(&random.bytes(8)));
        let built = |resources: &Resources| compile(resources, &[], &settings, &mut Diagnostics::default());
        let (Some(old), Some(new)) = (built(&resources), built(&edited)) else {
            continue;
        };
        if old.snapshot.id() == new.snapshot.id() {
            continue;
        }
        let configuration = Configuration::of(kind, resources, settings.clone());
        let mut differs = |index: usize| {
            let bytes = random.bytes(REQUEST_BYTES);
            let (request, question) = configuration.request(&old.snapshot, &mut Bytes::new(&bytes), index);
            let question = question.ok().filter(|question| is_plain(question, &old.snapshot))?;
            let said = |compiled: &Compiled| question.verdict(&compiled.snapshot).map(|verdict| gist(&verdict)).ok();
            let (old, new) = said(&old).zip(said(&new))?;
            (old != new).then(|| format!("{request}\n  {old}\n  {new}"))
        };
        let Some(found) = (0..REQUESTS).find_map(&mut differs) else {
            continue;
        };
        told_apart += 1;
        let options = Options {
            requests: 20_000,
            differences: 1,
            seed: 1,
        };
        if diff(&old.snapshot, &new.snapshot, &options).differences.is_empty() {
            missed.push(found);
        }
    }
    // A change of what few requests get to, past all other rules, may hide from a search.
    let misses = missed.join("\n");
    assert!(
        told_apart >= 50 && missed.len() * 20 <= told_apart,
        "{} of {told_apart}\n{misses}",
        missed.len()
    );
}
