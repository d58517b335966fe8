//! The reference evaluator: `design.md` "The two-pass decision", step by step.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::config::resource::{
    BackendRef, HeaderKey, LlmProvider, LlmRule, PolicyKey, PolicyRule, ProviderConfig,
};
use lockgate_core::decision::BadRequest;

use crate::binding::{Bound, VirtualHost, virtual_hosts};
use crate::checks::{self, Checked};
use crate::head::{self, Head, Reading};
use crate::plain;
use crate::policy::{self, BodySeen, Observed};
use crate::routing::{self, Entry, Features, Found, Rule, Target};
use crate::traffic::Sample;
use crate::validity::visible_providers;
use crate::verdict::{Forward, Verdict};
use crate::world::World;

/// Evaluates requests over a configuration that [`crate::validity`] finds nothing wrong with.
#[derive(Debug, Clone)]
pub struct Oracle<'w> {
    world: &'w World,
    /// By port.
    hosts: BTreeMap<u16, Vec<VirtualHost<'w>>>,
    reading: Reading,
    /// The header fields that policies and routes ask about.
    asked: BTreeSet<String>,
}

/// The answer and what led to it.
#[derive(Debug, Clone)]
pub struct Evaluation {
    /// Before the body is known.
    pub before_body: Verdict,
    /// Whether policy cannot decide without the body.
    pub policy_asks: bool,
    /// In the end.
    pub verdict: Verdict,
    /// What policies say in the end that decide nothing.
    pub observed: Observed,
    /// The external authorizers that are asked.
    pub asked: Vec<&'static str>,
    /// What the evaluation came across, for counting.
    pub features: Features,
}

impl<'w> Oracle<'w> {
    /// An oracle for `world`.
    #[must_use]
    pub fn new(world: &'w World) -> Self {
        let servers = world.resources.gateways.iter().flat_map(|gateway| &gateway.servers);
        let ports = servers.map(|server| *server.port);
        let hosts = ports.map(|port| (port, virtual_hosts(world, port))).collect();
        Self {
            world,
            asked: asked(world, &hosts),
            hosts,
            reading: Reading::of(world.resources.mesh_configs.first()),
        }
    }

    /// What happens to the request.
    #[must_use]
    pub fn evaluate(&self, sample: &Sample) -> Evaluation {
        let mut features = Features::new();
        let read = BodySeen::Read(sample.body.facts);
        let verdict = self.decide(sample, read, &mut features);
        let before_body = self.decide(sample, BodySeen::Unread, &mut Features::new());
        let head = self.read(sample).ok();
        let by_policy = head.as_ref().and_then(|head| {
            let checked = self.checked(sample, head, BodySeen::Unread);
            let policy = || policy::refusal(self.world, &checked.changed, head, BodySeen::Unread);
            checked.refusal.clone().or_else(policy)
        });
        let checked = head.as_ref().map(|head| self.checked(sample, head, read));
        let observed = head.zip(checked.as_ref()).map(|(head, checked)| {
            // What is logged of a request is what is known of it in the end.
            policy::observed(self.world, &checked.changed, &head, read)
        });
        Evaluation {
            before_body,
            policy_asks: by_policy == Some(Verdict::ReadBody),
            verdict,
            observed: observed.unwrap_or_default(),
            asked: checked.map_or_else(Vec::new, |checked| checked.asked),
            features,
        }
    }

    /// Nobody is asked about a request that no route takes.
    fn checked(&self, sample: &Sample, head: &Head, body: BodySeen) -> Checked {
        // Nor does a token say anything yet.
        let asked = Target {
            has_claims: false,
            ..Target::of(head)
        };
        let hosts = self.hosts.get(&sample.port).map_or(&[][..], |hosts| hosts);
        let route = routing::find(self.world, hosts, sample, &asked, &mut Features::new());
        if head.path == "*" || route.is_none() {
            return Checked {
                refusal: None,
                changed: sample.clone(),
                routed: sample.clone(),
                asked: Vec::new(),
            };
        }
        checks::checked(self.world, sample, head, body)
    }

    fn decide(&self, sample: &Sample, body: BodySeen, features: &mut Features) -> Verdict {
        let head = match self.read(sample) {
            Ok(head) => head,
            Err(faults) => return Verdict::BadHead(faults),
        };
        let Checked {
            refusal,
            changed,
            routed,
            ..
        } = self.checked(sample, &head, body);
        if let Some(refusal) = refusal.or_else(|| policy::refusal(self.world, &changed, &head, body)) {
            return refusal;
        }
        if head.path == "*" {
            return Verdict::NoRoute;
        }
        let hosts = self.hosts.get(&sample.port).map_or(&[][..], |hosts| hosts);
        let Some(first) = routing::find(self.world, hosts, &routed, &Target::of(&head), features) else {
            return Verdict::NoRoute;
        };
        let rule = match first.rule() {
            Rule::Llm(rule) => rule,
            Rule::Http(rule) => {
                let verdict = plain::carry_out(self.world, first, rule, sample, &head, features);
                // A body that a policy asked for must be one that it could read.
                return match (&verdict, body) {
                    (Verdict::ToHost(_) | Verdict::BadRewrite { .. }, BodySeen::Read(None)) => Verdict::Body {
                        rule: Some(first.label()),
                    },
                    _ => verdict,
                };
            }
        };
        let weights = routing::weights(&rule.backend_refs);
        let backend = routing::choose(&rule.backend_refs, &weights, sample.entropy, features);
        let provider = self.provider(backend);
        if provider.path.is_some() && sample.method != "POST" {
            return Verdict::MethodNotAllowed { rule: first.label() };
        }
        if reads_body(sample.method) {
            match body {
                BodySeen::Unread => return Verdict::ReadBody,
                BodySeen::Read(None) => {
                    return Verdict::Body {
                        rule: Some(first.label()),
                    };
                }
                BodySeen::Read(Some(_)) => {}
            }
        }
        let host = provider.host.to_ascii_lowercase();
        let fixed = provider.path.as_ref().map(|path| match path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (path.value.clone(), None),
        });
        let (path, query) = fixed.unwrap_or_else(|| (head.path.clone(), head.query.clone()));
        let rewritten = Target {
            authority: host.clone(),
            host,
            port: None,
            path,
            query,
            has_claims: true,
        };
        let mut second_features = Features::new();
        let Some(second) = routing::find(self.world, hosts, &changed, &rewritten, &mut second_features) else {
            return Verdict::NoRouteAfterRewrite { rule: first.label() };
        };
        if !admits(second, backend) {
            return Verdict::NotAdmitted {
                rule: first.label(),
                second: second.label(),
                provider: provider.host.to_ascii_lowercase(),
            };
        }
        if first.label() != second.label() {
            features.insert("admitted by another rule");
        }
        forward((first, rule), second, backend, provider, &head, features)
    }

    /// Reads the head; `Connection` must not name a field that anything here asks about.
    fn read(&self, sample: &Sample) -> Result<Head, Vec<BadRequest>> {
        let lines = head::values(sample, "connection");
        let names = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
        let names: Vec<String> = names
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .collect();
        let read = head::read(sample, self.reading);
        if !names
            .iter()
            .any(|name| is_safe_from_clients(name) || self.asked.contains(name))
        {
            return read;
        }
        let mut faults = read.err().unwrap_or_default();
        faults.push(BadRequest::Connection);
        Err(faults)
    }

    fn provider(&self, backend: &BackendRef) -> &'w LlmProvider {
        visible_providers(self.world)
            .find(|provider| provider.host.eq_ignore_ascii_case(&backend.provider_host))
            .expect("a world without faults knows its providers")
    }
}

/// The names of the header fields that policies and routes ask about.
fn asked(world: &World, hosts: &BTreeMap<u16, Vec<VirtualHost<'_>>>) -> BTreeSet<String> {
    let policies = &world.resources.authorization_policies;
    let rules = policies
        .iter()
        .filter(|policy| policy::applies(policy, world))
        .flat_map(|policy| &policy.rules);
    let by_policy = rules
        .flat_map(PolicyRule::predicates)
        .filter_map(|predicate| match &predicate.key {
            PolicyKey::Header(name) => Some(name.to_string()),
            _ => None,
        });
    let by_port = hosts
        .iter()
        .flat_map(|(port, hosts)| hosts.iter().map(move |host| (*port, host)));
    let bound = by_port.flat_map(|(port, host)| host.routes.iter().map(move |bound| (port, bound)));
    by_policy
        .chain(bound.flat_map(|(port, bound)| asked_by(world, bound, port)))
        .collect()
}

/// Those of one route, up to what it is that takes every request.
fn asked_by(world: &World, bound: &Bound<'_>, port: u16) -> Vec<String> {
    let mut asked = Vec::new();
    for found in routing::alternatives(world, bound, port) {
        match found.entry {
            Entry::Any => return asked,
            Entry::Llm(entry) if entry.headers.is_empty() => return asked,
            Entry::Llm(entry) => asked.extend(entry.headers.iter().map(|(name, _)| name.value.clone())),
            entry @ Entry::Http(_) if entry.is_catch_all() => return asked,
            Entry::Http(entry) => {
                let keys = entry.headers.iter().chain(&entry.without_headers);
                asked.extend(keys.filter_map(|(key, _)| match &key.value {
                    HeaderKey::Field(name) => Some(name.clone()),
                    _ => None,
                }));
            }
        }
    }
    asked
}

/// Of the fields that random requests name in `Connection`, those that must never go.
fn is_safe_from_clients(name: &str) -> bool {
    ["host", "x-forwarded-for"].contains(&name)
}

/// Whether the LLM APIs send a JSON body with the method.
fn reads_body(method: &str) -> bool {
    ["POST", "PUT", "PATCH"].contains(&method)
}

/// Whether the rule of the second pass sends traffic to the provider.
fn admits(second: Found<'_>, chosen: &BackendRef) -> bool {
    let Rule::Llm(rule) = second.rule() else { return false };
    let backends = &rule.backend_refs;
    let weights = routing::weights(backends);
    backends
        .iter()
        .zip(weights)
        .any(|(backend, weight)| weight > 0 && backend.provider_host.eq_ignore_ascii_case(&chosen.provider_host))
}

fn forward(
    (first, rule): (Found<'_>, &LlmRule),
    second: Found<'_>,
    backend: &BackendRef,
    provider: &LlmProvider,
    head: &Head,
    features: &mut Features,
) -> Verdict {
    let path = match (&provider.path, &head.query) {
        (Some(fixed), _) => fixed.value.clone(),
        (None, Some(query)) => format!("{}?{query}", head.path),
        (None, None) => head.path.clone(),
    };
    features.insert(if provider.path.is_some() {
        "fixed path"
    } else {
        "the client's path"
    });
    let specific = rule.name.as_ref().and_then(|name| {
        let mut entries = provider.route_specific_configs.iter();
        entries
            .find(|(key, _)| key.value == name.value)
            .map(|(_, config)| config)
    });
    if specific.is_some() {
        features.insert("a route-specific configuration");
    }
    if backend.host_rewrite.is_some() {
        features.insert("a host rewrite");
    }
    let configs: Vec<&ProviderConfig> = specific.into_iter().chain(&provider.default_config).collect();
    let host = provider.host.to_ascii_lowercase();
    Verdict::Forward(Forward {
        rule: first.label(),
        second: second.label(),
        authority: backend
            .host_rewrite
            .as_ref()
            .map_or(&host, |rewrite| &rewrite.value)
            .clone(),
        upstream: host.clone(),
        provider: host,
        path,
        credential: configs
            .iter()
            .find_map(|config| config.api_key.as_ref())
            .map(|key| key.expose().to_owned()),
        fields: fields(&configs),
    })
}

/// What is set in a body that lacks it: the most specific configuration that says something.
fn fields(configs: &[&ProviderConfig]) -> Vec<(String, String)> {
    let mut fields = BTreeMap::new();
    for config in configs.iter().rev() {
        if let Some(model) = &config.model {
            let escaped = model.replace('\\', "\\\\").replace('"', "\\\"");
            fields.insert("model".to_owned(), format!("\"{escaped}\""));
        }
        if let Some(stream) = config.stream {
            fields.insert("stream".to_owned(), stream.to_string());
        }
    }
    fields.into_iter().collect()
}
