//! Why a request is decided as it is: every policy, every rule, the value seen
//! and the value wanted.
//!
//! The verdict is [`decide`]'s own. The reasons are found by asking the same
//! leaf predicates that `decide` asks (`authz::judge`,
//! `route::judge`) about every rule in order, including those that
//! an index let `decide` skip. So there is no second engine that could disagree,
//! and nothing on the decision path pays for explanations.

mod capsule;
mod head;
mod passes;
mod policy;
mod question;
mod shape;
mod text;
mod upstream;

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::Ipv4Addr;

pub use capsule::{Capsule, Found};
pub use question::{Client, Question, Target};
pub use shape::*;
pub(crate) use upstream::covers;

use crate::answer::ErrorShape;
use crate::attributes::{Attributes, Scratch};
use crate::authority;
use crate::authz::body;
use crate::check::{Authorizer, CheckBody, CheckProtocol};
use crate::decide::{Known, decide};
use crate::decision::{Check, Decision, Denial, Destination, External, Forward, Path, Redirect, Refusal};
use crate::fault::{self, ABORT_BODY, AbortAnswer};
use crate::request::Request;
use crate::rewrite::{self, BadPath};
use crate::route::{self, Evidence};
use crate::shown::OF_GATEWAY;
use crate::snapshot::{Endpoint, Snapshot, Upstream};
use crate::tables::{OriginId, RuleId, Tables};
use crate::token::TokenError;
use crate::token::overlay::Overlay;

/// Explains what [`decide`] does with `request`.
#[must_use]
pub fn explain(snapshot: &Snapshot, request: &Request<'_>, known: Known<'_>, entropy: u64) -> Explanation {
    explanation(snapshot, request, known, entropy, true)
}

/// What [`decide`] does with `request`, without the reasons.
#[must_use]
pub fn verdict(snapshot: &Snapshot, request: &Request<'_>, known: Known<'_>, entropy: u64) -> Verdict {
    explanation(snapshot, request, known, entropy, false).verdict
}

/// The verdict, and how it came about if that is asked. One code for both: another is much for a page to load.
fn explanation(
    snapshot: &Snapshot,
    request: &Request<'_>,
    known: Known<'_>,
    entropy: u64,
    with_reasons: bool,
) -> Explanation {
    decided(snapshot, request, known, entropy, &|decided| {
        let asked = Some(decided).filter(|_| with_reasons);
        Explanation {
            api_version: "lockgate.dev/explain/v1",
            snapshot: snapshot.id().to_owned(),
            request: asked.and_then(|decided| decided.seen).map(shown),
            open_ports: other_ports(snapshot, request.connection.port),
            policies: asked.map_or_else(Vec::new, Decided::policies),
            passes: asked.map_or_else(Vec::new, Decided::passes),
            verdict: decided.verdict(),
            provider_at: decided.provider_at(),
        }
    })
}

/// A request and what was decided of it.
struct Decided<'a, 'd> {
    reader: Reader<'d>,
    request: &'a Request<'a>,
    /// In normal form, with the fields that authorizers and tokens write and without tokens; `None` when it could not be
    /// read.
    seen: Option<&'a Attributes<'d>>,
    /// The same as CUSTOM policies see it, before its token is looked at.
    asked: Option<&'a Attributes<'d>>,
    /// The same as the first round of routes sees it.
    routed: Option<&'a Attributes<'d>>,
    known: Known<'a>,
    entropy: u64,
    decision: Decision<'d>,
}

/// What `say` makes of the decision, whose parts it can only borrow.
fn decided<T>(
    snapshot: &Snapshot,
    request: &Request<'_>,
    known: Known<'_>,
    entropy: u64,
    say: &dyn Fn(&Decided<'_, '_>) -> T,
) -> T {
    let tables = snapshot.tables();
    let mut scratch = Scratch::new();
    let decision = decide(tables, request, known, entropy, &mut scratch);
    let mut reading = Scratch::new();
    let claims = known.identity.claims();
    let routed_checked = known.checked.map(|checked| checked.seen_by_routes(tables));
    let sent = Attributes::read(tables, request, &mut reading.head).ok();
    let sent = sent.as_ref();
    let headers = sent.and_then(|sent| {
        let cookies = &mut reading.judged_cookies;
        Overlay::of_kept(tables, sent, known.checked, claims, cookies).ok()
    });
    let routed_headers = sent.and_then(|sent| {
        let cookies = &mut reading.routed_cookies;
        Overlay::of_kept(tables, sent, routed_checked.as_ref(), claims, cookies).ok()
    });
    let asked_headers = sent.map(|sent| Overlay::new(tables, sent, known.checked, None));
    let (asked, seen, routed) = (
        shown_with(sent, asked_headers.as_ref()),
        shown_with(sent, headers.as_ref()),
        shown_with(sent, routed_headers.as_ref()),
    );
    say(&Decided {
        reader: Reader {
            tables,
            upstreams: snapshot.upstreams(),
            authorizers: snapshot.authorizers(),
        },
        request,
        seen: seen.as_ref(),
        asked: asked.as_ref(),
        routed: routed.as_ref(),
        known,
        entropy,
        decision,
    })
}

fn shown_with<'s>(sent: Option<&Attributes<'s>>, headers: Option<&'s Overlay<'s>>) -> Option<Attributes<'s>> {
    Some(sent?.with_headers(headers?))
}

impl Decided<'_, '_> {
    fn policies(&self) -> Vec<PolicyTrace> {
        let seen = self.seen.zip(self.asked);
        seen.map_or_else(Vec::new, |(seen, asked)| self.reader.policies(seen, asked, &self.known))
    }

    fn passes(&self) -> Vec<PassTrace> {
        let is_settled_before_routes = matches!(
            self.decision,
            Decision::Refuse(Refusal::Misdirected | Refusal::Denied(_) | Refusal::Token(_) | Refusal::External(..))
                | Decision::Redirect(Redirect { rule: None, .. })
                | Decision::VerifyToken(_)
                | Decision::Check(_)
        );
        match (self.routed, self.seen) {
            (Some(routed), Some(seen)) if !is_settled_before_routes => {
                let reader = self.reader;
                reader.passes(routed, seen, &self.known, self.decision, self.entropy)
            }
            _ => Vec::new(),
        }
    }

    fn provider_at(&self) -> Option<String> {
        let Decision::Forward(Forward {
            to: Destination::Provider(provider),
            ..
        }) = self.decision
        else {
            return None;
        };
        let at = self.reader.tables.provider_origin(provider.provider)?;
        Some(format!("{}:{}:{}", at.file, at.line, at.column))
    }

    /// What about its token the request is refused for.
    fn refused_token(&self) -> Option<TokenError> {
        match &self.decision {
            Decision::Refuse(Refusal::Token(error)) => Some(*error),
            _ => None,
        }
    }

    /// The client's query, where what is sent or answered ends with it.
    fn query_sent(&self) -> Option<&str> {
        match self.decision {
            Decision::Forward(Forward {
                path: Path::Client { query, .. } | Path::Prefixed { query, .. } | Path::Substituted { query, .. },
                ..
            })
            | Decision::Redirect(Redirect { query, .. }) => query,
            _ => None,
        }
    }

    fn verdict(&self) -> Verdict {
        let Self {
            request,
            known,
            entropy,
            ..
        } = *self;
        let seen = match self.decision {
            Decision::Check(_) => self.asked,
            _ => self.seen,
        };
        self.reader.verdict(request, seen, known, entropy, self.decision)
    }
}

/// The ports that are open, unless `port` is one of them.
fn other_ports(snapshot: &Snapshot, port: u16) -> Option<Vec<u16>> {
    let ports: Vec<u16> = snapshot.listeners().iter().map(|listener| listener.port).collect();
    (!ports.contains(&port)).then_some(ports)
}

fn shown(seen: &Attributes<'_>) -> Seen {
    Seen {
        method: seen.method.to_owned(),
        authority: text(seen.authority.folded),
        host: text(seen.authority.host),
        path: seen.path.to_owned(),
        query: seen.query.map(ToOwned::to_owned),
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
    tables: &'d Tables,
    upstreams: &'d [Upstream],
    authorizers: &'d [Authorizer],
}

/// The server name that a client of `port` asks for when nobody says which: the host it sends its request to. None where
/// TLS is not spoken, and none for an address, of which TLS knows no name (RFC 6066 §3).
#[must_use]
pub fn presumed_server_name(snapshot: &Snapshot, port: u16, authority: &str) -> Option<String> {
    let len = authority::host_len(authority.as_bytes())?;
    let host = authority.get(..len).filter(|host| !host.starts_with('['))?;
    let is_named = snapshot.is_tls(port) && host.parse::<Ipv4Addr>().is_err();
    is_named.then(|| host.to_ascii_lowercase())
}

impl<'d> Reader<'d> {
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
        entropy: u64,
        decision: Decision<'d>,
    ) -> Verdict {
        match decision {
            Decision::Forward(forward) => match rewrite::target(self.tables, forward.path) {
                Ok(path) => Verdict::Forward(Box::new(
                    self.upstream_request(request, seen, known, entropy, &forward, path),
                )),
                Err(BadPath) => self.refused(request, Refusal::BadRewrite(forward.rule)),
            },
            Decision::Redirect(redirect) => Verdict::Redirect(RedirectAnswer {
                rule: redirect.rule.map(|rule| self.rule(rule)),
                status: redirect.status,
                location: rewrite::location(self.tables, &redirect),
                change_headers: self.changes(redirect.response_changes),
            }),
            Decision::Respond(response) => Verdict::Respond(DirectAnswer {
                rule: self.rule(response.rule),
                status: response.status,
                body: text(response.body),
                aborted: false,
                delay_ms: 0,
                change_headers: self.changes(response.response_changes),
            }),
            Decision::Abort(abort) => {
                let (status, body, mut change_headers) = match abort.answer {
                    AbortAnswer::Text(status) => (status, ABORT_BODY.to_owned(), Vec::new()),
                    AbortAnswer::Api(status) => {
                        let answer = fault::api_error(status, ErrorShape::of_path(request.target));
                        let content_type = answer.content_type.map(|text| ("content-type", text.to_owned()));
                        let fields = content_type.map(set).into_iter().collect();
                        (status, text(&answer.body), fields)
                    }
                    AbortAnswer::Grpc(status) => (200, String::new(), fault::grpc_fields(status).map(set).to_vec()),
                };
                change_headers.extend(self.changes(abort.response_changes));
                Verdict::Respond(DirectAnswer {
                    rule: self.rule(abort.rule),
                    status,
                    body,
                    aborted: true,
                    delay_ms: abort.delay_ms,
                    change_headers,
                })
            }
            Decision::Preflight(preflight) => Verdict::Respond(DirectAnswer {
                rule: self.rule(preflight.rule),
                status: 200,
                body: String::new(),
                aborted: false,
                delay_ms: preflight.delay_ms,
                change_headers: self.cors_fields(&preflight.cors),
            }),
            Decision::Check(check) => Verdict::Check(self.check_request(request, seen, &known, check)),
            Decision::VerifyToken(token) => {
                let rules = token.rules(self.tables);
                let mut authentications: Vec<String> = rules
                    .map(|rule| self.tables.token_rule_label(rule).to_owned())
                    .collect();
                authentications.dedup();
                Verdict::VerifyToken { authentications }
            }
            Decision::ReadBody => Verdict::ReadBody {
                rule: seen
                    .and_then(|seen| {
                        let evidence = Evidence {
                            claims: known.identity.claims(),
                            body: body::facts(seen, &known),
                        };
                        route::find(self.tables, seen, evidence)
                    })
                    .map(|found| self.rule(found.entry.rule)),
            },
            Decision::Refuse(refusal) => self.refused(request, refusal),
        }
    }

    fn refused(self, request: &Request<'_>, refusal: Refusal) -> Verdict {
        let answer = refusal.answer(ErrorShape::of(self.tables, refusal.rule(), request.target));
        Verdict::Refuse(RefusedAnswer {
            status: answer.status,
            code: refusal.code().to_owned(),
            reason: self.reason(request, refusal),
            body: String::from_utf8_lossy(&answer.body).into_owned(),
            content_type: answer.content_type.map(ToOwned::to_owned),
        })
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
                .map(|to| format!("{scheme}{secure}://{}", address(to)))
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

    fn rule(self, rule: RuleId) -> String {
        self.tables.rule_label(rule).to_owned()
    }

    fn reason(self, request: &Request<'_>, refusal: Refusal) -> String {
        match refusal {
            Refusal::Misdirected if route::listener(self.tables, &request.connection).is_none() => format!(
                "no HTTPS server of port {} takes the server name `{}`: there is no handshake, and no answer",
                request.connection.port,
                request.connection.sni.unwrap_or_default()
            ),
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
            Refusal::Misdirected
            | Refusal::Token(_)
            | Refusal::BadRequest(_)
            | Refusal::BadRewrite(_)
            | Refusal::NoRoute
            | Refusal::NoUpgrade(_)
            | Refusal::MethodNotAllowed(_)
            | Refusal::Body(..) => refusal.detail().message.to_owned(),
        }
    }
}

fn set((name, value): (&str, String)) -> HeaderChanged {
    HeaderChanged::Set {
        name: name.to_owned(),
        value,
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands for a value that may be a credential.
const NOT_SHOWN: &str = "«not shown»";

/// The values of a header field, unless they are credentials.
fn header(tables: &Tables, seen: &Attributes<'_>, name: &str) -> Option<String> {
    let mut values = Vec::new();
    seen.headers.each(name, &mut |value| {
        values.push(text(value));
    });
    if values.is_empty() {
        None
    } else if is_hidden(tables, name) {
        Some(NOT_SHOWN.to_owned())
    } else {
        Some(values.join(" | "))
    }
}

/// Address and port, as a URL has them.
fn address(to: &Endpoint) -> String {
    let Endpoint { address, port, .. } = to;
    match address.contains(':') {
        true => format!("[{address}]:{port}"),
        false => format!("{address}:{port}"),
    }
}

/// Whether a client's field may be a credential.
fn is_hidden(tables: &Tables, name: &str) -> bool {
    rewrite::drops_header(name) && !OF_GATEWAY.contains(&name) || rewrite::reads_token_from(tables, name)
}
