//! Random configurations as text, requests to them, and what the engine answers here: a stream of JSON lines.
//!
//! The simulator is the same engine, compiled for WebAssembly, behind JSON of
//! its own. So it is given what is written here, in Node and in a browser
//! (`wasm/test/pairs.test.mjs`), and has to answer with the same text, byte for
//! byte. A line is one of
//!
//! * `{"configuration", "files", "options", "diagnostics", "snapshot"}`, what
//!   the simulator takes and what loading it says; no snapshot is a refusal;
//! * `{"request", "answer"}` or `{"request", "error"}`, a request to the
//!   configuration before it; `entropy` is text, since it has 64 bits;
//! * `{"seen"}`, the last: how often each thing happened.
//!
//! One configuration is kept at a time, so a run may be as long as one likes.

#[cfg(test)]
mod edits;
mod simulated;

use std::collections::BTreeMap;
use std::io::{self, Write};

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{PlacedDiagnostic, Source};
use lockgate_core::config::resource::{LlmProvider, Resources};
use lockgate_core::explain::{Explanation, Question, Verdict};
use lockgate_core::snapshot::Snapshot;
use lockgate_core::{Built, build};
use serde_json::{Map, Value, json};

use crate::bytes::Bytes;
use crate::http_routes;
use crate::loadable;
use crate::manifests::{documents, text, variable};
use crate::policies::policy;
use crate::random::Random;
use crate::traffic::sample;
use crate::world::world;

use simulated::Simulated;

/// What to write.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// How many configurations that load; those that do not come between them.
    pub configurations: usize,
    /// How many requests to each.
    pub requests: usize,
    /// The same seed makes the same text.
    pub seed: u64,
}

/// Bytes that one configuration is made of; when they end, the plainest choice is made.
const CONFIGURATION_BYTES: usize = 2048;
/// The same of one request.
const REQUEST_BYTES: usize = 96;

/// Writes it.
///
/// # Errors
/// Nobody reads on.
pub fn write(plan: Plan, out: &mut impl Write) -> io::Result<()> {
    let mut random = Random::new(plan.seed);
    let mut seen = Seen::default();
    let mut loaded = 0;
    for number in 0.. {
        if loaded == plan.configurations {
            break;
        }
        let configuration = Configuration::make(&random.bytes(CONFIGURATION_BYTES), number);
        let built = configuration.build();
        writeln!(out, "{}", configuration.line(number, &built))?;
        let Some(compiled) = built.compiled else {
            seen.count("a configuration that is refused");
            continue;
        };
        loaded += 1;
        seen.count(configuration.kind.name());
        for index in 0..plan.requests {
            let bytes = random.bytes(REQUEST_BYTES);
            let (request, question) = configuration.request(&compiled.snapshot, &mut Bytes::new(&bytes), index);
            writeln!(out, "{}", answered(&compiled, request, question, &mut seen))?;
        }
    }
    writeln!(out, "{}", json!({ "seen": seen.0 }))?;
    out.flush()
}

/// How often each thing happened.
#[derive(Debug, Default)]
struct Seen(BTreeMap<String, usize>);

impl Seen {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }
}

/// Which generator made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Istio,
    GatewayApi,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Istio => "a configuration of VirtualServices and LLMRoutes",
            Self::GatewayApi => "a configuration of HTTPRoutes",
        }
    }
}

/// A configuration as the simulator takes it.
#[derive(Debug)]
struct Configuration {
    kind: Kind,
    sources: Vec<Source>,
    env: BTreeMap<String, String>,
    settings: Settings,
    has_tokens: bool,
}

impl Configuration {
    fn make(bytes: &[u8], number: usize) -> Self {
        let bytes = &mut Bytes::new(bytes);
        let (kind, resources, settings) = made(bytes, number);
        let mut configuration = Self::of(kind, resources, settings);
        if bytes.one_in(4) {
            configuration.sources.push(source("tokens", &[tokens()]));
            configuration.has_tokens = true;
        }
        configuration
    }

    fn of(kind: Kind, mut resources: Resources, settings: Settings) -> Self {
        loadable::resources(&mut resources);
        let files = documents(&resources).into_iter();
        let secrets = resources.llm_providers.iter().flat_map(keys);
        Self {
            kind,
            sources: files.map(|(name, documents)| source(name, &documents)).collect(),
            env: secrets.map(|secret| (variable(secret), secret.to_owned())).collect(),
            settings,
            has_tokens: false,
        }
    }

    fn build(&self) -> Built {
        let options = LoadOptions {
            env: &|name| self.env.get(name).cloned(),
            ignore_kinds: &[],
        };
        build(&self.sources, &options, &self.settings)
    }

    fn line(&self, number: usize, built: &Built) -> Value {
        let files = self
            .sources
            .iter()
            .map(|source| (source.name.to_string(), json!(source.text)));
        let labels = self.settings.labels.iter();
        let labels = labels.map(|(name, value)| (name.clone(), json!(value)));
        let findings = built.diagnostics.as_slice().iter();
        let findings: Vec<PlacedDiagnostic<'_>> = findings.map(|finding| finding.placed(&self.sources)).collect();
        let snapshot = built.compiled.as_ref().map(|compiled| compiled.snapshot.id());
        json!({
            "configuration": number,
            "files": files.collect::<Map<_, _>>(),
            "options": {
                "env": self.env,
                "labels": labels.collect::<Map<_, _>>(),
                "namespace": self.settings.namespace,
                "rootNamespace": self.settings.root_namespace,
            },
            "diagnostics": serde_json::to_string(&findings).expect("findings"),
            "snapshot": snapshot,
        })
    }

    /// The next request, as the simulator takes it and as the gateway would ask.
    fn request(&self, snapshot: &Snapshot, bytes: &mut Bytes<'_>, index: usize) -> (Value, Result<Question, String>) {
        let mut simulated = match (self.kind, index % 2) {
            (Kind::GatewayApi, 0) => Simulated::of_asked(&http_routes::asked(bytes)),
            _ => Simulated::of_sample(&sample(bytes), bytes),
        };
        // Who asks nobody says so, once in a while.
        if !bytes.one_in(64) {
            let asked = snapshot.authorizers().iter();
            let asked: Vec<&str> = asked.map(|authorizer| &*authorizer.name).collect();
            simulated.checks.retain(|(name, _)| asked.contains(&name.as_str()));
        }
        // The same of claims that nobody reads.
        if !self.has_tokens && !bytes.one_in(64) {
            simulated.claims = None;
        }
        // Most of the ports that samples come to listen nowhere here.
        let listeners = snapshot.listeners();
        if let (Some(listener), true) = (listeners.get(bytes.below(listeners.len().max(1))), bytes.one_in(2)) {
            simulated.port = Some(listener.port);
        }
        if self.has_tokens && bytes.one_in(4) {
            let (name, value) = bytes.pick(&[("authorization", "Bearer not.a.token"), ("x-token", "not.a.token")]);
            simulated.headers.push((name.to_owned(), value.into()));
        }
        (simulated.json(), simulated.question())
    }
}

/// Every third is of Gateway API.
fn made(bytes: &mut Bytes<'_>, number: usize) -> (Kind, Resources, Settings) {
    if number % 3 == 2 {
        let resources = Resources {
            authorization_policies: bytes.some(0, 2, |bytes, index| policy(bytes, index, &[])),
            ..http_routes::resources(bytes)
        };
        return (Kind::GatewayApi, resources, Settings::default());
    }
    let world = world(bytes);
    (Kind::Istio, world.resources, world.settings)
}

fn source(name: &str, documents: &[Value]) -> Source {
    Source::new(format!("{name}.yaml"), text(documents))
}

/// Whose tokens count, with the public key of RFC 8037: no request has a token that it signed.
fn tokens() -> Value {
    let keys = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;
    json!({
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": { "name": "tokens", "namespace": "istio-system" },
        "spec": { "jwtRules": [
            { "issuer": "https://i.test", "jwks": keys, "outputClaimToHeaders": [{ "header": "x-b", "claim": "azp" }] },
            { "issuer": "j", "jwks": keys, "fromHeaders": [{ "name": "x-token" }] },
        ] },
    })
}

fn keys(provider: &LlmProvider) -> impl Iterator<Item = &str> {
    let specific = provider.route_specific_configs.iter().map(|(_, config)| config);
    let configs = provider.default_config.iter().chain(specific);
    configs.filter_map(|config| config.api_key.as_ref().map(|key| key.value.expose()))
}

fn answered(compiled: &Compiled, request: Value, question: Result<Question, String>, seen: &mut Seen) -> Value {
    match question.and_then(|question| question.explain(&compiled.snapshot)) {
        Ok(explanation) => {
            seen.count(kind(&explanation));
            json!({ "request": request, "answer": serde_json::to_string(&explanation).expect("an explanation") })
        }
        Err(why) => {
            seen.count("a request that cannot be asked");
            json!({ "request": request, "error": why })
        }
    }
}

fn kind(explanation: &Explanation) -> String {
    match &explanation.verdict {
        Verdict::Forward(forward) if forward.provider.is_some() => "forward to a provider".to_owned(),
        Verdict::Forward(_) => "forward to a host".to_owned(),
        Verdict::Redirect(_) => "redirect".to_owned(),
        Verdict::Respond(_) => "respond".to_owned(),
        Verdict::Check(_) => "check".to_owned(),
        Verdict::VerifyToken { .. } => "verify a token".to_owned(),
        Verdict::ReadBody { .. } => "read the body".to_owned(),
        Verdict::Refuse(refused) => format!("refuse: {}", refused.code),
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::compile::compile;
    use lockgate_core::config::diagnostic::Diagnostics;

    use super::*;

    /// Otherwise less is compared than was made.
    #[test]
    fn text_is_read_as_the_resources_it_was_written_from() {
        let mut random = Random::new(4);
        let mut asked = 0;
        for number in 0..240 {
            let bytes = random.bytes(CONFIGURATION_BYTES);
            let (kind, mut resources, settings) = made(&mut Bytes::new(&bytes), number);
            let configuration = Configuration::of(kind, resources.clone(), settings.clone());
            loadable::resources(&mut resources);
            let typed = compile(&resources, &[], &settings, &mut Diagnostics::default());
            let Built {
                compiled, diagnostics, ..
            } = configuration.build();
            assert_eq!(
                typed.is_some(),
                compiled.is_some(),
                "{configuration:#?}\n{diagnostics:#?}"
            );
            let (Some(typed), Some(read)) = (typed, compiled) else {
                continue;
            };
            for index in 0..20 {
                let bytes = random.bytes(REQUEST_BYTES);
                let (request, question) = configuration.request(&read.snapshot, &mut Bytes::new(&bytes), index);
                let Ok(question) = question else { continue };
                let verdict = |compiled: &Compiled| {
                    let explained = question.explain(&compiled.snapshot);
                    explained.map(|explained| serde_json::to_string(&explained.verdict).expect("JSON"))
                };
                assert_eq!(verdict(&typed), verdict(&read), "{request:#}\n{configuration:#?}");
                asked += 1;
            }
        }
        assert!(asked > 2_000, "{asked}");
    }
}
