//! Why a request is decided as it is: every policy, every rule, the value seen
//! and the value wanted.
//!
//! The verdict is [`decide`]'s own. The reasons are found by asking the same
//! leaf predicates that `decide` asks (`authz::judge`,
//! `route::failed_condition`) about every rule in order, including those that
//! an index let `decide` skip. So there is no second engine that could disagree,
//! and nothing on the decision path pays for explanations.

mod policy;
mod shape;
mod text;

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

pub use shape::*;

use crate::answer::ErrorShape;
use crate::attributes::{Attributes, Scratch};
use crate::check::{Authorizer, CheckBody, CheckProtocol, Checked};
use crate::claims::Claims;
use crate::decide::{Body, Known, decide};
use crate::decision::{Check, Decision, Denial, External, Forward, Path, Refusal};
use crate::request::{Headers, Request};
use crate::rewrite::{self, DROPPED_HEADER_PREFIXES, DROPPED_HEADERS};
use crate::route;
use crate::snapshot::{Snapshot, Upstream};
use crate::tables::{ConditionRow, EntryRow, OriginId, RuleId, Subject, Tables, Test};
use crate::token::overlay::Overlay;

/// Explains what [`decide`] does with `request`.
#[must_use]
pub fn explain(snapshot: &Snapshot, request: &Request<'_>, known: Known<'_>, entropy: u64) -> Explanation {
    let tables = snapshot.tables();
    let mut scratch = Scratch::new();
    let decision = decide(&tables, request, known, entropy, &mut scratch);
    let mut reading = Scratch::new();
    let seen = Attributes::read(&tables, request, &mut reading).ok();
    let claims = known.identity.claims().copied();
    let sent: &dyn Headers = known.checked.map_or(request.headers, |checked| checked);
    let headers = Overlay::new(&tables, sent, claims);
    let routed = known.checked.map(|checked| checked.seen_by_routes(&tables));
    let routed_sent: &dyn Headers = routed.as_ref().map_or(request.headers, |checked| checked);
    let routed_headers = Overlay::new(&tables, routed_sent, claims);
    let routed = seen.map(|seen| seen.with_headers(&routed_headers));
    let seen = seen.map(|seen| seen.with_headers(&headers));
    let reader = Reader {
        tables,
        upstreams: snapshot.upstreams(),
        authorizers: snapshot.authorizers(),
    };
    let denied = matches!(
        decision,
        Decision::Refuse(Refusal::Denied(_) | Refusal::Token(_) | Refusal::External(..))
            | Decision::VerifyToken(_)
            | Decision::Check(_)
    );
    Explanation {
        api_version: "lockgate.dev/explain/v1",
        snapshot: snapshot.id().to_owned(),
        request: seen.as_ref().map(|seen| shown(&tables, seen)),
        policies: seen
            .as_ref()
            .map_or_else(Vec::new, |seen| reader.policies(seen, &known)),
        passes: match (&routed, &seen) {
            (Some(routed), Some(seen)) if !denied => reader.passes(routed, seen, decision, entropy),
            _ => Vec::new(),
        },
        verdict: reader.verdict(request, seen.as_ref(), known, decision),
    }
}

fn shown(tables: &Tables<'_>, seen: &Attributes<'_>) -> Seen {
    Seen {
        method: seen.method.to_owned(),
        authority: text(seen.authority.folded),
        host: text(seen.authority.host),
        path: seen.path.to_owned(),
        query: seen.query.map(|query| rewrite::sent_query(tables, query)),
        peer: seen.connection.peer.to_string(),
        remote: seen.remote.to_string(),
        port: seen.connection.port,
        destination_ip: seen.connection.local,
        destination_port: seen.connection.destination_port,
    }
}

/// Turns rows back into words.
#[derive(Clone, Copy)]
struct Reader<'d> {
    tables: Tables<'d>,
    upstreams: &'d [Upstream],
    authorizers: &'d [Authorizer],
}

impl<'d> Reader<'d> {
    /// `routed` is the request as pass 1 sees it, `seen` as everything after it does.
    fn passes(
        self,
        routed: &Attributes<'d>,
        seen: &Attributes<'d>,
        decision: Decision<'_>,
        entropy: u64,
    ) -> Vec<PassTrace> {
        let mut passes = Vec::from([self.pass(1, routed)]);
        // The second pass runs on the provider's host, unless the decision ended before.
        let reached = !matches!(
            decision,
            Decision::ReadBody | Decision::Refuse(Refusal::NoRoute | Refusal::MethodNotAllowed(_) | Refusal::Body(..))
        );
        if let Some(host) = self.chosen_host(routed, entropy).filter(|_| reached) {
            passes.push(self.pass(2, &seen.rewritten_to(host.as_bytes())));
        }
        passes
    }

    fn chosen_host(self, seen: &Attributes<'d>, entropy: u64) -> Option<&'d str> {
        let rule = self.tables.rule(route::find(&self.tables, seen)?.rule)?;
        let backend = route::choose(&self.tables, rule, entropy)?;
        Some(self.tables.provider_host(backend.provider))
    }

    fn pass(self, pass: u8, seen: &Attributes<'d>) -> PassTrace {
        let found = route::virtual_host(&self.tables, seen.connection.port, seen.authority.host);
        // As `route::find` has it: nothing takes the `*` of OPTIONS.
        let host = found.map(|(_, row)| row).filter(|_| seen.path != "*");
        let mut rules = Vec::new();
        for entry in host.map_or(&[][..], |row| row.entries.of(self.tables.entries)) {
            let trace = self.entry(entry, seen);
            let matched = trace.matched;
            rules.push(trace);
            if matched {
                break;
            }
        }
        PassTrace {
            pass,
            host: text(seen.authority.host),
            virtual_host: host.map(|row| self.tables.text(row.name).to_owned()),
            rules,
        }
    }

    fn entry(self, entry: &EntryRow, seen: &Attributes<'d>) -> RuleTrace {
        let failed = route::failed_condition(&self.tables, entry, seen).map(|condition| self.failed(condition, seen));
        RuleTrace {
            name: self.tables.rule_label(entry.rule).to_owned(),
            at: self.place(entry.origin),
            matched: failed.is_none(),
            failed,
        }
    }

    fn failed(self, condition: &ConditionRow, seen: &Attributes<'_>) -> Failed {
        let (name, value) = match condition.subject {
            Subject::Host => ("host", Some(text(seen.authority.host))),
            Subject::Authority => ("host", Some(text(seen.authority.folded))),
            Subject::Header(name) => (
                self.tables.text(name),
                header(&self.tables, seen, self.tables.text(name)),
            ),
        };
        let wanted = match condition.test {
            Test::Exact(text) => format!("exact: {}", self.tables.text(text)),
            Test::Prefix(text) => format!("prefix: {}", self.tables.text(text)),
            Test::Regex(_, text) => format!("regex: {}", self.tables.text(text)),
            Test::Present => "present".to_owned(),
        };
        Failed {
            field: format!("headers[{name}]"),
            negated: false,
            needs_body: false,
            seen: value,
            wanted: Vec::from([wanted]),
        }
    }

    fn place(self, origin: OriginId) -> String {
        self.tables
            .origin(origin)
            .map_or_else(String::new, |at| format!("{}:{}:{}", at.file, at.line, at.column))
    }

    fn verdict(
        self,
        request: &Request<'_>,
        seen: Option<&Attributes<'d>>,
        known: Known<'_>,
        decision: Decision<'d>,
    ) -> Verdict {
        match decision {
            Decision::Forward(forward) => Verdict::Forward(self.upstream_request(request, known, &forward)),
            Decision::Check(check) => Verdict::Check(self.check_request(request, seen, &known, check)),
            Decision::VerifyToken(token) => {
                let rules = token.rules(&self.tables);
                let mut authentications: Vec<String> = rules
                    .map(|rule| self.tables.token_rule_label(rule).to_owned())
                    .collect();
                authentications.dedup();
                Verdict::VerifyToken { authentications }
            }
            Decision::ReadBody => Verdict::ReadBody {
                rule: seen
                    .and_then(|seen| route::find(&self.tables, seen))
                    .map(|entry| self.rule(entry.rule)),
            },
            Decision::Refuse(refusal) => {
                let answer = refusal.answer(ErrorShape::of_path(request.target));
                Verdict::Refuse(RefusedAnswer {
                    status: answer.status,
                    code: refusal.code().to_owned(),
                    reason: self.reason(refusal),
                    body: String::from_utf8_lossy(&answer.body).into_owned(),
                    content_type: answer.content_type.map(ToOwned::to_owned),
                })
            }
        }
    }

    fn check_request(
        self,
        request: &Request<'_>,
        seen: Option<&Attributes<'_>>,
        known: &Known<'_>,
        check: Check<'_>,
    ) -> CheckRequest {
        let id = check.authorizer;
        let authorizer = self.authorizers.get(id.0 as usize);
        let (scheme, call) = match authorizer.map(|authorizer| &authorizer.protocol) {
            Some(CheckProtocol::Http { path_prefix }) => {
                ("http", format!("{} {path_prefix}{}", request.method, check.path))
            }
            Some(CheckProtocol::Grpc { .. }) => ("grpc", "envoy.service.auth.v3.Authorization/Check".to_owned()),
            None => ("", String::new()),
        };
        let upstream = authorizer.and_then(|authorizer| self.upstreams.get(authorizer.upstream.0 as usize));
        let secure = if upstream.is_some_and(|upstream| upstream.tls.is_some()) {
            "s"
        } else {
            ""
        };
        let endpoints = upstream.map_or(&[][..], |upstream| &upstream.endpoints).iter();
        let policies = self
            .tables
            .policies
            .iter()
            .filter(|policy| policy.authorizer == Some(id));
        CheckRequest {
            authorizer: self.tables.authorizer_name(id).to_owned(),
            policies: policies
                .filter(|policy| seen.is_some_and(|seen| self.policy(policy, seen, known).matched))
                .map(|policy| self.tables.text(policy.label).to_owned())
                .collect(),
            connect: endpoints
                .map(|to| format!("{scheme}{secure}://{}:{}", to.address, to.port))
                .collect(),
            call,
            body: match authorizer.and_then(|authorizer| authorizer.body) {
                None => "none".to_owned(),
                Some(CheckBody {
                    bytes_max,
                    partial: true,
                    ..
                }) => format!("the first {bytes_max} bytes"),
                Some(CheckBody {
                    bytes_max,
                    partial: false,
                    ..
                }) => format!("up to {bytes_max} bytes, more is 413"),
            },
        }
    }

    fn upstream_request(self, request: &Request<'_>, known: Known<'_>, forward: &Forward<'_>) -> UpstreamRequest {
        let upstream = self.upstreams.get(forward.upstream.0 as usize);
        let scheme = if upstream.is_some_and(|upstream| upstream.tls.is_some()) {
            "https"
        } else {
            "http"
        };
        let endpoints = upstream.map_or(&[][..], |upstream| &upstream.endpoints);
        let mut set_headers = Vec::from([("host".to_owned(), forward.authority.to_owned())]);
        let changed = known.checked.into_iter().flat_map(Checked::changes);
        for (name, value) in changed.filter(|(name, _)| !rewrite::drops_header(name)) {
            if let Some(value) = value {
                set_headers.push((name.to_owned(), text(value)));
            }
        }
        let claims = known.identity.claims();
        let written = claims.into_iter().flat_map(Claims::headers);
        set_headers.extend(written.map(|(name, value)| (name.to_owned(), value.to_owned())));
        if forward.credential.is_some() {
            set_headers.push((
                "authorization".to_owned(),
                format!("Bearer «key of {}»", self.provider(forward)),
            ));
        }
        UpstreamRequest {
            rule: self.rule(forward.rule),
            admitted_by: self.rule(forward.admitted_by),
            provider: self.tables.provider_host(forward.provider).to_owned(),
            connect: endpoints
                .iter()
                .map(|to| format!("{scheme}://{}:{}", to.address, to.port))
                .collect(),
            sni: upstream.and_then(|upstream| Some(upstream.tls.as_ref()?.sni.to_string())),
            method: request.method.to_owned(),
            path: self.path(forward.path),
            set_headers,
            remove_headers: self.never_sent(&known),
            body_fields: self.body_fields(known.body, forward),
        }
    }

    fn never_sent(self, known: &Known<'_>) -> Vec<String> {
        let names = DROPPED_HEADERS.iter().map(ToString::to_string);
        let tokens = rewrite::token_headers(&self.tables).map(ToOwned::to_owned);
        let mut all: Vec<String> = names
            .chain(DROPPED_HEADER_PREFIXES.iter().map(|prefix| format!("{prefix}*")))
            .collect();
        let changed = known.checked.into_iter().flat_map(Checked::changes);
        let removed = changed.filter(|(_, value)| value.is_none());
        for name in tokens.chain(removed.map(|(name, _)| name.to_owned())) {
            if !all.contains(&name) {
                all.push(name);
            }
        }
        all
    }

    fn path(self, path: Path<'_>) -> String {
        match path {
            Path::Fixed(path) => path.to_owned(),
            Path::Client { path, query } => rewrite::sent_target(&self.tables, path, query),
        }
    }

    fn body_fields(self, body: Body<'_>, forward: &Forward<'_>) -> Vec<BodyField> {
        let Body::Read(Ok(facts)) = body else { return Vec::new() };
        let fields = forward.fields.iter();
        fields
            .map(|field| BodyField {
                name: self.tables.text(field.name).to_owned(),
                value: self.tables.text(field.value).to_owned(),
                set: rewrite::sets_field(&self.tables, facts, field),
            })
            .collect()
    }

    fn provider(self, forward: &Forward<'_>) -> String {
        self.tables
            .provider_origin(forward.provider)
            .map_or_else(String::new, |at| format!("{}/{}", at.namespace, at.name))
    }

    fn rule(self, rule: RuleId) -> String {
        self.tables.rule_label(rule).to_owned()
    }

    fn reason(self, refusal: Refusal) -> String {
        match refusal {
            Refusal::Denied(Denial::Rule(policy, rule)) => {
                format!(
                    "denied by rules[{rule}] of AuthorizationPolicy `{}`",
                    self.tables.policy_label(policy)
                )
            }
            Refusal::Denied(Denial::NoAllowMatched) => {
                "there are ALLOW policies and none of their rules matches".to_owned()
            }
            Refusal::External(authorizer, External::Denied(_)) => {
                format!(
                    "external authorizer `{}` denied it",
                    self.tables.authorizer_name(authorizer)
                )
            }
            Refusal::External(authorizer, External::Failed(_)) => format!(
                "external authorizer `{}` gave no answer that counts",
                self.tables.authorizer_name(authorizer)
            ),
            Refusal::NoRouteAfterRewrite(rule) => format!(
                "rule `{}` matched, but after the rewrite to its provider's host no rule matches",
                self.rule(rule)
            ),
            Refusal::NotAdmitted { rule, second, provider } => format!(
                "rule `{}` chose provider `{}`, but the rewritten request matches rule `{}`, which does not list it",
                self.rule(rule),
                self.tables.provider_host(provider),
                self.rule(second)
            ),
            Refusal::Token(_)
            | Refusal::BadRequest(_)
            | Refusal::NoRoute
            | Refusal::MethodNotAllowed(_)
            | Refusal::Body(..) => refusal.detail().message.to_owned(),
        }
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The values of a header field, unless they are credentials.
fn header(tables: &Tables<'_>, seen: &Attributes<'_>, name: &str) -> Option<String> {
    let mut values = Vec::new();
    seen.headers.each(name, &mut |value| {
        values.push(text(value));
    });
    if values.is_empty() {
        None
    } else if rewrite::drops_header(name) || rewrite::reads_token_from(tables, name) {
        Some("«not shown»".to_owned())
    } else {
        Some(values.join(" | "))
    }
}
