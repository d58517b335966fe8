//! The reference evaluator: `design.md` "The two-pass decision", step by step.

use std::collections::{BTreeMap, BTreeSet};

use lockgate_core::config::resource::{
    BackendRef, HeaderKey, LlmProvider, LlmRule, PolicyKey, PolicyRule, ProviderConfig,
};
use lockgate_core::decision::BadRequest;
use lockgate_core::request::Scheme;

use crate::attempts;
use crate::binding::{Bound, VirtualHost, virtual_hosts};
use crate::checks::{self, Checked};
use crate::head::{self, Head, Reading};
use crate::listening::{self, Listener, Served, served};
use crate::plain;
use crate::policy::{self, BodySeen, Observed};
use crate::routing::{self, Entry, Features, Found, Rule, Target};
use crate::shown::shown;
use crate::traffic::Sample;
use crate::validity::visible_providers;
use crate::verdict::{Forward, Verdict};
use crate::world::World;

/// Evaluates requests over a configuration that [`crate::validity`] finds nothing wrong with.
#[derive(Debug, Clone)]
pub struct Oracle<'w> {
    world: &'w World,
    served: Vec<Served<'w>>,
    hosts: BTreeMap<Listener, Vec<VirtualHost<'w>>>,
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
        let served = served(world);
        let listeners = served.iter().map(|served| served.listener);
        let hosts = listeners.map(|listener| (listener, virtual_hosts(world, listener)));
        let hosts = hosts.collect();
        Self {
            world,
            served,
            asked: asked(world, &hosts),
            hosts,
            reading: Reading::of(world.resources.mesh_configs.first()),
        }
    }

    /// What happens to the request.
    #[must_use]
    pub fn evaluate(&self, sample: &Sample) -> Evaluation {
        let sample = &shown(sample, self.world.resources.mesh_configs.first());
        let mut features = Features::new();
        let read = BodySeen::Read(sample.body.facts);
        let verdict = self.decide(sample, read, &mut features);
        let before_body = self.decide(sample, BodySeen::Unread, &mut Features::new());
        let head = self.read(sample).ok();
        let by_policy = head.as_ref().and_then(|head| {
            let checked = self.checked(sample, head, BodySeen::Unread);
            let policy = || policy::refusal(self.world, &checked.changed, head, BodySeen::Unread);
            let misdirected = self.is_misdirected(sample, head).then_some(Verdict::Misdirected);
            misdirected.or(checked.refusal.clone()).or_else(policy)
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

    /// Nobody is asked about a request that no route takes, or that is for another server.
    fn checked(&self, sample: &Sample, head: &Head, body: BodySeen) -> Checked {
        // Nor does a token say anything yet.
        let asked = Target {
            has_claims: false,
            ..Target::of(head)
        };
        let hosts = self.hosts(sample);
        let route = routing::find(
            self.world,
            hosts,
            sample,
            &asked,
            BodySeen::Unread,
            &mut Features::new(),
        );
        let is_answered = self.wants_tls(sample, head) || head.path != "*" && route.is_some();
        if self.is_misdirected(sample, head) || !is_answered {
            return Checked {
                refusal: None,
                changed: sample.clone(),
                routed: sample.clone(),
                asked: Vec::new(),
            };
        }
        checks::checked(self.world, sample, head, body)
    }

    /// The virtual hosts of the connection's listener.
    fn hosts(&self, sample: &Sample) -> &[VirtualHost<'w>] {
        let listener = listening::reached(&self.served, sample.port, sample.sni.unwrap_or(""));
        let hosts = listener.and_then(|listener| self.hosts.get(&listener));
        hosts.map_or(&[][..], |hosts| hosts)
    }

    /// Whether the host is not one of the server that the connection was made for.
    fn is_misdirected(&self, sample: &Sample, head: &Head) -> bool {
        let asked_for = listening::reached(&self.served, sample.port, sample.sni.unwrap_or(""));
        let meant = listening::reached(&self.served, sample.port, &head.host);
        let in_plain_text = sample.scheme == Scheme::Http;
        self.speaks_tls(sample.port) && (in_plain_text || asked_for.is_none() || asked_for != meant)
    }

    fn speaks_tls(&self, port: u16) -> bool {
        let mut here = self.served.iter().filter(|served| served.listener.port() == port);
        here.any(|served| matches!(served.listener, Listener::Tls { .. }))
    }

    /// Whether the request is to come again by TLS. Behind proxies of ours it is they who were spoken to.
    fn wants_tls(&self, sample: &Sample, head: &Head) -> bool {
        let host = routing::choose_host(self.hosts(sample), &head.host);
        sample.scheme == Scheme::Http && sample.told == Scheme::Http && host.is_some_and(|host| host.tls_only)
    }

    fn decide(&self, sample: &Sample, body: BodySeen, features: &mut Features) -> Verdict {
        let head = match self.read(sample) {
            Ok(head) => head,
            Err(faults) => return Verdict::BadHead(faults),
        };
        if self.is_misdirected(sample, &head) {
            return Verdict::Misdirected;
        }
        let Checked {
            refusal,
            changed,
            routed,
            ..
        } = self.checked(sample, &head, body);
        if let Some(refusal) = refusal.or_else(|| policy::refusal(self.world, &changed, &head, body)) {
            return refusal;
        }
        if self.wants_tls(&routed, &head) {
            let host = &head.authority[..head.host.len()];
            let query = head.query.as_ref().map_or(String::new(), |query| format!("?{query}"));
            return Verdict::Redirect {
                rule: None,
                status: 301,
                location: format!("https://{host}{}{query}", head.path),
                changes: Vec::new(),
            };
        }
        if head.path == "*" {
            return Verdict::NoRoute;
        }
        let hosts = self.hosts(sample);
        if self.speaks_tls(sample.port) {
            features.insert("through an HTTPS server");
        }
        let Some(first) = routing::find(self.world, hosts, &routed, &Target::of(&head), body, features) else {
            return Verdict::NoRoute;
        };
        if first.depends_on_body {
            return match body {
                BodySeen::Unread => Verdict::ReadBody,
                BodySeen::Read(_) => Verdict::Body {
                    rule: Some(first.label()),
                },
            };
        }
        let rule = match first.rule() {
            Rule::Llm(rule) => rule,
            Rule::Http(rule) => {
                let verdict = plain::carry_out(self.world, first, rule, sample, &head, features);
                // A body that a policy asked for must be one that it could read.
                return match (&verdict, body) {
                    (Verdict::ToHost(_) | Verdict::BadRewrite { .. }, BodySeen::Read(None))
                        if !policy::is_bodiless(sample) =>
                    {
                        Verdict::Body {
                            rule: Some(first.label()),
                        }
                    }
                    _ => verdict,
                };
            }
        };
        let weights = routing::weights(&rule.backend_refs);
        let backend = routing::choose(&rule.backend_refs, &weights, sample.entropy, features);
        let provider = self.provider(backend);
        let changes = plain::together(&[&rule.headers.response]);
        let said = plain::sent_on(
            &first.label(),
            &rule.settings,
            &changes,
            api_error_of_abort,
            sample,
            features,
        );
        let (delay_ms, cors) = match said {
            Ok(said) => said,
            Err(answer) => {
                features.insert("in place of a provider");
                return *answer;
            }
        };
        for (is_there, what) in [
            (delay_ms > 0, "a delay"),
            (!cors.is_empty(), "a page of another origin"),
            (!plain::mirrors(&rule.settings).is_empty(), "a mirror"),
        ] {
            if is_there {
                features.insert(what);
            }
        }
        if provider.path.is_some() && sample.method != "POST" {
            return Verdict::MethodNotAllowed { rule: first.label() };
        }
        match body {
            BodySeen::Unread if reads_body(sample.method) || policy::is_stray(sample) => return Verdict::ReadBody,
            BodySeen::Read(None) if !policy::is_bodiless(sample) => {
                return Verdict::Body {
                    rule: Some(first.label()),
                };
            }
            BodySeen::Unread | BodySeen::Read(_) => {}
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
        let Some(second) = routing::find(self.world, hosts, &changed, &rewritten, body, &mut second_features) else {
            return Verdict::NoRouteAfterRewrite { rule: first.label() };
        };
        if second.depends_on_body {
            return match body {
                BodySeen::Unread => Verdict::ReadBody,
                BodySeen::Read(_) => Verdict::Body {
                    rule: Some(second.label()),
                },
            };
        }
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
        Verdict::Forward(Forward {
            response_changes: changes.into_iter().chain(cors).collect(),
            delay_ms,
            ..forward((first, rule), second, backend, provider, &head, features)
        })
    }

    /// Reads the head; `Connection` must not name a field that anything here asks about.
    fn read(&self, sample: &Sample) -> Result<Head, Vec<BadRequest>> {
        let lines = head::received(sample, "connection");
        let names = lines.iter().flat_map(|line| line.split(|byte| *byte == b','));
        let names: Vec<String> = names
            .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
            .collect();
        let read = head::read(sample, self.reading);
        if !names
            .iter()
            .filter(|name| !is_of_connection(name))
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
fn asked(world: &World, hosts: &BTreeMap<Listener, Vec<VirtualHost<'_>>>) -> BTreeSet<String> {
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
        .flat_map(|(listener, hosts)| hosts.iter().map(move |host| (listener.port(), host)));
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
            entry @ Entry::Llm(_) if entry.is_catch_all() => return asked,
            Entry::Llm(entry) => asked.extend(entry.headers.iter().map(|(name, _)| name.value.clone())),
            entry @ Entry::Http(_) if entry.is_catch_all() => return asked,
            Entry::Http(entry) => {
                let keys = entry.also.headers.iter().chain(&entry.also.without_headers);
                asked.extend(keys.filter_map(|(key, _)| match &key.value {
                    HeaderKey::Field(name) => Some(name.clone()),
                    _ => None,
                }));
            }
        }
    }
    asked
}

/// What `Connection` names to say something of the connection itself, and nobody is shown.
fn is_of_connection(name: &str) -> bool {
    ["close", "keep-alive", "upgrade"].contains(&name)
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
) -> Forward {
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
            .find(|(key, _)| *key.value == *name.value)
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
    let by_rule = rule.headers.request.authority.as_ref();
    Forward {
        rule: first.label(),
        second: second.label(),
        authority: backend
            .host_rewrite
            .as_deref()
            .or(by_rule)
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
        request_changes: plain::together(&[&rule.headers.request]),
        response_changes: Vec::new(),
        mirrors: plain::mirrors(&rule.settings),
        delay_ms: 0,
        attempts: attempts::to_provider(&rule.settings),
    }
}

/// OpenAI's error object: no request of the traffic is for `/v1/messages`.
fn api_error_of_abort(status: u16) -> Vec<u8> {
    let kind = if status < 500 {
        "invalid_request_error"
    } else {
        "server_error"
    };
    format!(r#"{{"error":{{"message":"fault filter abort","type":"{kind}","param":null,"code":"fault_injected"}}}}"#)
        .into_bytes()
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
