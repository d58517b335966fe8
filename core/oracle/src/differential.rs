//! Both evaluators on one string of bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use lockgate_core::answer::ErrorShape;
use lockgate_core::check::{Checked, OwnedAnswer, OwnedField, OwnedSaid, borrow_answers, borrow_fields};
use lockgate_core::claims::ClaimSet;
use lockgate_core::client_cert::of_uri_names;
use lockgate_core::compile::{Compiled, compile};
use lockgate_core::config::diagnostic::{Diagnostics, Location, Severity};
use lockgate_core::config::resource::{JwtKeys, JwtRule, Meta, PolicyTarget, RequestAuthentication, TokenPlace};
use lockgate_core::cors::CrossOrigin;
use lockgate_core::decide::{Body, Identity, Known, Scratch, decide};
use lockgate_core::decision::{Decision, Denial, Destination, External, Refusal};
use lockgate_core::explain::{Capsule, Found};
use lockgate_core::fault::{ABORT_BODY, AbortAnswer, api_error};
use lockgate_core::limits::BODY_BYTES_MAX_DEFAULT;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::observe::{DryRun, Observation, observe};
use lockgate_core::request::{Connection, Request, Scheme, SentAuthority, spiffe_id};
use lockgate_core::rewrite;
use lockgate_core::tables::{HeaderChange, HeaderChangeRow, HeaderText, Tables, UpstreamId};

use crate::attempts;
use crate::bytes::Bytes;
use crate::checks::{Answer, NAMES};
use crate::delegates;
use crate::oracle::{Evaluation, Oracle};
use crate::policy::{Observed, Said};
use crate::traffic::{Sample, sample};
use crate::validity::{self, Reasons};
use crate::verdict::{Forward, ToHost, Verdict};
use crate::world::{World, spanned, world};

/// Requests per configuration, so that one input ends in time.
const REQUESTS_MAX: usize = 48;

/// One in so many decisions is made again from its capsule.
const CAPSULES_EACH: u64 = 4;

/// How often each thing happened.
#[derive(Debug, Clone, Default)]
pub struct Coverage(BTreeMap<String, usize>);

impl Coverage {
    fn count(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// How often `what` happened.
    #[must_use]
    pub fn of(&self, what: &str) -> usize {
        self.0.get(what).copied().unwrap_or(0)
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(what, count)| writeln!(f, "{count:>9}  {what}"))
    }
}

/// The two said different things.
#[derive(Debug, Clone)]
pub struct Disagreement {
    /// What each of them said.
    pub what: String,
    /// The configuration.
    pub world: World,
    /// The request, where it was one about a request.
    pub request: Option<Sample>,
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.what)?;
        if let Some(request) = &self.request {
            writeln!(f, "request: {request:?}")?;
        }
        writeln!(f, "settings: {:?}", self.world.settings)?;
        let resources = &self.world.resources;
        resources.gateways.iter().try_for_each(|one| line(f, one))?;
        resources.llm_providers.iter().try_for_each(|one| line(f, one))?;
        resources.llm_routes.iter().try_for_each(|one| line(f, one))?;
        resources.virtual_services.iter().try_for_each(|one| line(f, one))?;
        resources.authorization_policies.iter().try_for_each(|one| line(f, one))
    }
}

/// One resource, without the places of its values: they are made up.
fn line(f: &mut fmt::Formatter<'_>, resource: &dyn fmt::Debug) -> fmt::Result {
    let place = format!("at: {:?}", Location::default());
    let text = format!("{resource:?}")
        .replace(&format!(", {place}"), "")
        .replace(&format!("{place}, "), "");
    writeln!(f, "{}", text.replace("Spanned ", ""))
}

/// Makes a configuration and requests out of `input` and asks both.
///
/// # Errors
/// The first disagreement.
pub fn check(input: &[u8], coverage: &mut Coverage) -> Result<(), Box<Disagreement>> {
    let mut bytes = Bytes::new(input);
    let mut world = world(&mut bytes);
    let of_tokens = tokens(&world.settings.root_namespace);
    world.resources.request_authentications.push(of_tokens);
    let disagreement = |what, request| {
        let world = world.clone();
        Err(Box::new(Disagreement { what, world, request }))
    };
    coverage.count("worlds");
    let (plain, mut reasons) = delegates::merged(&world);
    reasons.extend(validity::reasons(&plain));
    let compiled = match same_validity(&world, &reasons) {
        Ok(compiled) => compiled,
        Err(what) => return disagreement(what, None),
    };
    let Some(compiled) = compiled else {
        coverage.count("worlds refused");
        reasons
            .iter()
            .for_each(|reason| coverage.count(format!("refused: {reason}")));
        return Ok(());
    };
    let oracle = Oracle::new(&plain);
    for _ in 0..REQUESTS_MAX {
        let sample = sample(&mut bytes);
        let expected = oracle.evaluate(&sample);
        if let Err(what) = same_verdict(&compiled, &sample, &expected) {
            return disagreement(what, Some(sample));
        }
        coverage.count("requests");
        coverage.count(format!("verdict: {}", expected.verdict.kind()));
        if expected.policy_asks {
            coverage.count("before the body: policy asks for it");
        }
        match expected.asked.len() {
            0 => {}
            1 => coverage.count("asked: one authorizer"),
            _ => coverage.count("asked: both authorizers"),
        }
        if expected.observed.audited.is_some() {
            coverage.count("observed: audited");
        }
        if let Some(said) = &expected.observed.dry_run {
            let said = match said {
                Said::Granted => "allowed",
                Said::DeniedByRule { .. } => "denied by a rule",
                Said::NotAllowed => "denied, as no ALLOW matched",
                Said::DependsOnBody => "depends on the body",
            };
            coverage.count(format!("observed: a dry run, {said}"));
        }
        if let Verdict::ToHost(to) = &expected.verdict
            && to.rule.contains(".delegate.")
        {
            coverage.count("to a host: by a rule that is delegated to");
        }
        let sent_on = match expected.verdict {
            Verdict::Forward(_) => "forward",
            Verdict::ToHost(_) => "to a host",
            Verdict::Respond { .. } => "answered",
            _ => "",
        };
        if !sent_on.is_empty() {
            let features = expected.features.iter();
            features.for_each(|feature| coverage.count(format!("{sent_on}: {feature}")));
        }
        if bytes.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Takes the tokens of all people, so that a question can say who somebody is; no request has one where it looks.
fn tokens(root_namespace: &str) -> RequestAuthentication {
    let keys = "https://keys.test/";
    RequestAuthentication {
        meta: Meta {
            kind: "RequestAuthentication",
            namespace: root_namespace.into(),
            name: spanned("tokens".into()),
            created: None,
            at: Location::default(),
        },
        target: PolicyTarget::Namespace,
        rules: vec![JwtRule {
            at: Location::default(),
            issuer: None,
            audiences: Vec::new(),
            keys: JwtKeys::Url(keys.into()),
            places: vec![TokenPlace::Cookie("token".into())],
            forwards: None,
            payload_header: None,
            claim_headers: Vec::new(),
            timeout_ms: 5_000,
            split: Vec::new(),
        }],
    }
}

/// The snapshot, `None` when both refuse the configuration. The compiler may stop at the first fault of a match, so
/// its reasons are some of the oracle's.
fn same_validity(world: &World, reasons: &Reasons) -> Result<Option<Compiled>, String> {
    let mut diagnostics = Diagnostics::default();
    let compiled = compile(&world.resources, &[], &world.settings, &mut diagnostics);
    let findings = diagnostics.as_slice().iter();
    let errors: Vec<_> = findings.filter(|finding| finding.severity == Severity::Error).collect();
    let found: BTreeSet<&str> = errors.iter().map(|finding| finding.code).collect();
    let expected: BTreeSet<&str> = reasons.iter().map(|reason| code(reason)).collect();
    if !found.is_subset(&expected) || compiled.is_some() != reasons.is_empty() {
        return Err(format!("the compiler finds {errors:?}, the oracle {reasons:?}"));
    }
    Ok(compiled)
}

/// The code of the diagnostic that tells a reason.
fn code(reason: &str) -> &'static str {
    match reason {
        "two resources of one kind and name" => "duplicate-resource",
        "two visible providers with one host" => "duplicate-provider-host",
        "a Gateway that is not there" => "unknown-gateway",
        "a match that widens the route's gateways" => "gateway-not-of-route",
        "two rules with one name" => "duplicate-rule-name",
        "no regular expression" => "invalid-regex",
        "a destination that is not there" => "unknown-destination",
        "a port that is not named" => "missing-port",
        "a port that is not there" => "unknown-port",
        "a provider that is not there" => "unknown-provider",
        "a provider that is not for this gateway" => "provider-not-visible",
        "some weights are missing" => "missing-weight",
        "a policy for some of the Gateways" => "partial-target",
        "an authorizer that is not there" => "unknown-authorizer",
        "a delegate that is not there" => "unknown-delegate",
        "all weights are zero" | "weights that add up to more than 32 bits" => "invalid-weights",
        other => panic!("no diagnostic tells `{other}`"),
    }
}

fn same_verdict(compiled: &Compiled, sample: &Sample, expected: &Evaluation) -> Result<(), String> {
    let Engine {
        verdict: unread,
        capsule: capsule_unread,
        ..
    } = engine(
        compiled,
        sample,
        Body::unread(sample.method, !sample.body.text.is_empty()),
    );
    if !unread.agrees_with(&expected.before_body) {
        return Err(format!(
            "before the body the engine says {unread:?}, the oracle {:?}",
            expected.before_body
        ));
    }
    let mut scan = BodyScan::new(BODY_BYTES_MAX_DEFAULT);
    let fed = scan.feed(sample.body.text);
    let Engine {
        verdict: read,
        observed,
        asked,
        capsule,
    } = engine(compiled, sample, Body::Read(fed.and_then(|()| scan.finish())));
    if asked != expected.asked {
        return Err(format!("the engine asks {asked:?}, the oracle {:?}", expected.asked));
    }
    if observed != expected.observed {
        return Err(format!(
            "the engine observes {observed:?}, the oracle {:?}",
            expected.observed
        ));
    }
    if !read.agrees_with(&expected.verdict) {
        return Err(format!("the engine says {read:?}, the oracle {:?}", expected.verdict));
    }
    // A gateway finds out about the body only where the decision asks for it.
    let capsule = match unread {
        Verdict::ReadBody => capsule,
        _ => capsule_unread,
    };
    match capsule {
        Some(capsule) if !capsule.reproduces && capsule.withheld.is_empty() && is_sayable(compiled, sample) => {
            Err(format!("not what was decided comes of {capsule:?}"))
        }
        _ => Ok(()),
    }
}

/// Whether a question can say all of it: nobody speaks other than the listener does, or asks for another scheme,
/// addresses are in the form that gateways bring them into, and the target is one that comes to a decision.
fn is_sayable(compiled: &Compiled, sample: &Sample) -> bool {
    let names_tls = sample.sni.is_some() || !sample.uri_names.is_empty();
    let is_tls = compiled.snapshot.is_tls(sample.port) || names_tls;
    let speaks_tls = sample.scheme == Scheme::Https;
    let asks_other = sample.authority.is_some() && speaks_tls;
    let mut addresses = [sample.peer, sample.local].into_iter().chain(sample.proxied);
    let are_canonical = addresses.all(|address| address.to_canonical() == address);
    is_tls == speaks_tls && !asks_other && are_canonical && is_parsed(&sample.target)
}

/// Whether who reads a head of HTTP/1.1 for the gateway takes such a target.
fn is_parsed(target: &str) -> bool {
    const OF_PATH: &str = "<>`";
    let mut refused = OF_PATH;
    target.chars().all(|c| {
        match c {
            '#' => refused = "",
            '?' if refused == OF_PATH => refused = "<>\"",
            _ => {}
        }
        c != ' ' && !c.is_ascii_control() && !refused.contains(c)
    })
}

fn engine(compiled: &Compiled, sample: &Sample, body: Body<'_>) -> Engine {
    let headers: Vec<(&str, &[u8])> = sample.headers.iter().map(|(name, value)| (*name, &value[..])).collect();
    let headers = Fields(&headers);
    let client_cert = of_uri_names(sample.uri_names);
    let request = Request {
        method: sample.method,
        authority: sample.authority.as_deref().map(SentAuthority::target),
        target: &sample.target,
        headers: &headers,
        connection: Connection {
            scheme: sample.scheme,
            proxied: sample.proxied,
            local: sample.local,
            destination_port: sample.destination_port,
            sni: sample.sni,
            spiffe_id: spiffe_id(sample.uri_names.iter().copied()).expect("one at most"),
            client_cert: client_cert.as_deref(),
            ..Connection::plain(sample.peer, sample.port)
        },
    };
    let claims = sample.person.map(|person| {
        ClaimSet::parse::<&str>(person.payload.as_bytes(), &[]).expect("a payload that everyone reads alike")
    });
    let tables = compiled.snapshot.tables();
    let mut answers: Vec<OwnedAnswer> = Vec::new();
    loop {
        let fields = borrow_fields(&answers);
        let lent = borrow_answers(&answers, &fields);
        let checked = Checked::new(&request, &lent);
        let known = Known {
            body,
            identity: claims
                .as_ref()
                .map_or(Identity::Anonymous, |claims| Identity::Verified(claims.claims())),
            checked: (!lent.is_empty()).then_some(&checked),
        };
        let mut scratch = Scratch::new();
        let observation = observe(tables, &request, &known, &mut scratch);
        match decide(tables, &request, known, sample.entropy, &mut scratch) {
            Decision::Check(check) if answers.iter().all(|answer| answer.authorizer < check.authorizer) => {
                let name = tables.authorizer_name(check.authorizer);
                let said = answer_of(name, sample);
                answers.push(OwnedAnswer {
                    authorizer: check.authorizer,
                    said,
                });
            }
            decision => {
                let asked = answers
                    .iter()
                    .map(|answer| tables.authorizer_name(answer.authorizer).to_owned());
                let found = Found {
                    body,
                    identity: known.identity,
                    answers: &answers,
                };
                // Asking again is most of the work, so it is not done each time.
                let is_kept = sample.entropy.is_multiple_of(CAPSULES_EACH);
                return Engine {
                    capsule: is_kept
                        .then(|| Capsule::of(&compiled.snapshot, &request, found, sample.entropy, &[]))
                        .flatten(),
                    verdict: in_words(compiled, tables, decision),
                    observed: observed_in_words(tables, observation),
                    asked: asked.collect(),
                };
            }
        }
    }
}

/// What the engine says in the end, asked until it needs nothing more.
struct Engine {
    verdict: Verdict,
    observed: Observed,
    asked: Vec<String>,
    /// The decision as it would be logged.
    capsule: Option<Capsule>,
}

fn answer_of(name: &str, sample: &Sample) -> OwnedSaid {
    let place = NAMES
        .iter()
        .position(|known| *known == name)
        .expect("an authorizer of the world");
    match sample.answers[place] {
        Answer::Allow(fields) => OwnedSaid::Allow(
            fields
                .iter()
                .map(|(name, value)| OwnedField {
                    name: (*name).into(),
                    value: value.map(<[u8]>::to_vec),
                })
                .collect(),
        ),
        Answer::Deny(status) => OwnedSaid::Deny(status),
        Answer::Nothing => OwnedSaid::Nothing,
        Answer::BodyTooLarge => OwnedSaid::BodyTooLarge,
    }
}

fn observed_in_words(tables: &Tables, observation: Observation) -> Observed {
    let label = |policy| tables.policy_label(policy).to_owned();
    Observed {
        audited: observation.audited.map(label),
        dry_run: observation.dry_run.map(|dry_run| match dry_run {
            DryRun::Allowed => Said::Granted,
            DryRun::Denied(Denial::Rule(policy, rule)) => Said::DeniedByRule {
                policy: label(policy),
                rule,
            },
            DryRun::Denied(Denial::NoAllowMatched) => Said::NotAllowed,
            DryRun::DependsOnBody => Said::DependsOnBody,
        }),
    }
}

fn in_words(compiled: &Compiled, tables: &Tables, decision: Decision<'_>) -> Verdict {
    let label = |rule| tables.rule_label(rule).to_owned();
    match decision {
        Decision::ReadBody => Verdict::ReadBody,
        Decision::Check(check) => panic!("authorizer {:?} is asked twice", check.authorizer),
        Decision::Refuse(Refusal::External(authorizer, External::Denied(status) | External::Failed(status))) => {
            Verdict::External {
                authorizer: tables.authorizer_name(authorizer).to_owned(),
                status,
            }
        }
        Decision::VerifyToken(_) | Decision::Refuse(Refusal::Token(_)) => {
            panic!("a token is asked for, and no configuration of the oracle does")
        }
        Decision::Refuse(Refusal::NoUpgrade(_)) => panic!("no request of the oracle insists on an upgrade"),
        Decision::Refuse(Refusal::BadRequest(fault)) => Verdict::BadHead(vec![fault]),
        Decision::Refuse(Refusal::Denied(Denial::Rule(policy, rule))) => Verdict::DeniedByRule {
            policy: tables.policy_label(policy).to_owned(),
            rule,
        },
        Decision::Refuse(Refusal::Denied(Denial::NoAllowMatched)) => Verdict::NotAllowed,
        Decision::Refuse(Refusal::Misdirected) => Verdict::Misdirected,
        Decision::Refuse(Refusal::NoRoute) => Verdict::NoRoute,
        Decision::Refuse(Refusal::NoRouteAfterRewrite(rule)) => Verdict::NoRouteAfterRewrite { rule: label(rule) },
        Decision::Refuse(Refusal::MethodNotAllowed(rule)) => Verdict::MethodNotAllowed { rule: label(rule) },
        Decision::Refuse(Refusal::Body(rule, _)) => Verdict::Body { rule: rule.map(label) },
        Decision::Refuse(Refusal::NotAdmitted { rule, second, provider }) => Verdict::NotAdmitted {
            rule: label(rule),
            second: label(second),
            provider: tables.provider_host(provider).to_owned(),
        },
        Decision::Refuse(Refusal::BadRewrite(rule)) => Verdict::BadRewrite { rule: label(rule) },
        Decision::Redirect(redirect) => Verdict::Redirect {
            rule: redirect.rule.map(label),
            status: redirect.status,
            location: rewrite::location(tables, &redirect),
            changes: changes(compiled, redirect.response_changes),
        },
        Decision::Respond(response) => Verdict::Respond {
            rule: label(response.rule),
            status: response.status,
            body: response.body.to_vec(),
            changes: changes(compiled, response.response_changes),
        },
        Decision::Abort(abort) => {
            let (status, body) = match abort.answer {
                AbortAnswer::Text(status) => (status, ABORT_BODY.as_bytes().to_vec()),
                AbortAnswer::Api(status) => (status, api_error(status, ErrorShape::OpenAi).body.to_vec()),
                AbortAnswer::Grpc(_) => panic!("nothing speaks gRPC"),
            };
            Verdict::Respond {
                rule: label(abort.rule),
                status,
                body,
                changes: changes(compiled, abort.response_changes),
            }
        }
        Decision::Preflight(preflight) => Verdict::Respond {
            rule: label(preflight.rule),
            status: 200,
            body: Vec::new(),
            changes: cors_fields(tables, &preflight.cors),
        },
        Decision::Forward(forward) => sent_on(compiled, tables, &forward),
    }
}

fn sent_on<'d>(compiled: &Compiled, tables: &'d Tables, forward: &lockgate_core::decision::Forward<'d>) -> Verdict {
    let rule = tables.rule_label(forward.rule).to_owned();
    let upstream = &compiled.snapshot.upstreams()[forward.upstream.0 as usize];
    let Ok(target) = rewrite::target(tables, forward.path) else {
        return Verdict::BadRewrite { rule };
    };
    let response_changes = |rows| {
        let mut changes = changes(compiled, rows);
        changes.extend(forward.cors.iter().flat_map(|cors| cors_fields(tables, cors)));
        changes
    };
    let upstreams = compiled.snapshot.upstreams();
    let host_of = |id: UpstreamId| upstreams[id.0 as usize].host.to_string();
    let mirrors = forward.mirrors.upstreams().map(host_of).collect();
    let attempts = attempts::told(tables, tables.attempts(forward.attempts), 0);
    match forward.to {
        Destination::Host(host) => Verdict::ToHost(ToHost {
            rule,
            upstream: format!("{}:{}", upstream.host, upstream.endpoints[0].port),
            authority: forward.authority.to_owned(),
            target,
            original: rewrite::original_target(tables, forward.path),
            request_changes: changes(compiled, host.request_changes),
            response_changes: response_changes(host.response_changes),
            mirrors,
            delay_ms: forward.delay_ms,
            attempts,
        }),
        Destination::Provider(provider) => Verdict::Forward(Forward {
            rule,
            second: tables.rule_label(provider.admitted_by).to_owned(),
            provider: tables.provider_host(provider.provider).to_owned(),
            upstream: upstream.host.to_string(),
            authority: forward.authority.to_owned(),
            path: target,
            credential: provider
                .credential
                .map(|id| compiled.secrets.get(id).expect("a secret").expose().to_owned()),
            fields: fields(tables, provider.fields),
            request_changes: changes(compiled, provider.request_changes),
            response_changes: response_changes(provider.response_changes),
            mirrors,
            delay_ms: forward.delay_ms,
            attempts,
        }),
    }
}

fn cors_fields<'d>(tables: &'d Tables, cors: &CrossOrigin<'d>) -> Vec<String> {
    let in_words = |(name, value): (&str, &[u8])| format!("{name}={}", String::from_utf8_lossy(value));
    cors.fields(tables).map(in_words).collect()
}

fn changes(compiled: &Compiled, rows: &[HeaderChangeRow]) -> Vec<String> {
    let tables = compiled.snapshot.tables();
    let value = |text| match text {
        HeaderText::Text(span) => tables.text(span).to_owned(),
        HeaderText::Secret(id) => compiled.secrets.get(id).expect("a secret").expose().to_owned(),
    };
    let in_words = |row: &HeaderChangeRow| {
        let name = tables.text(row.name);
        match row.change {
            HeaderChange::Remove => format!("-{name}"),
            HeaderChange::Set(text) => format!("{name}={}", value(text)),
            HeaderChange::Add(text) => format!("{name}+={}", value(text)),
        }
    };
    rows.iter().map(in_words).collect()
}

/// By name; the member must be its name and value and nothing else.
fn fields(tables: &Tables, rows: &[lockgate_core::tables::FieldRow]) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = rows
        .iter()
        .map(|row| {
            let (name, value) = (tables.text(row.name), tables.text(row.value));
            assert_eq!(tables.text(row.member), format!("\"{name}\":{value}"));
            (name.to_owned(), value.to_owned())
        })
        .collect();
    fields.sort();
    fields
}

/// Pairs, borrowed: the engine takes header fields by trait object.
struct Fields<'f>(&'f [(&'f str, &'f [u8])]);

impl lockgate_core::request::Headers for Fields<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        self.0.each(name, visit);
    }
}

/// The shortest and plainest input that `fails` still fails on, by cutting the end and zeroing bytes.
pub fn minimise(input: &[u8], fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut input = input.to_vec();
    let mut step = input.len();
    while step > 0 {
        while input.len() >= step && fails(&input[..input.len() - step]) {
            input.truncate(input.len() - step);
        }
        step /= 2;
    }
    for index in 0..input.len() {
        let kept = std::mem::take(&mut input[index]);
        if kept != 0 && !fails(&input) {
            input[index] = kept;
        }
    }
    input
}
