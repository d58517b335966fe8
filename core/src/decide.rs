//! The heart: one request, one decision.
//!
//! ```text
//! connection is it of the server that the host is of   421
//! check      CUSTOM policies that match                 ask their authorizers first; their answer
//! identify   the token, when there are rules for tokens 401, 403, or verify it first
//! authorize  what the client sent                       403, or the body first
//! redirect   a plain-text server for TLS only           301
//! match      pass 1 → rule                              404, a redirect, a direct response
//! choose     a backend of the rule by weight
//! fault      by chance                                  an answer in its place
//! cors       what pages of other origins may do         200 to a preflight; forward
//! body       may it be sent to the provider             405, 400, 413, 415
//! rewrite    authority := the provider's host
//! match      pass 2 → its rule must list the provider   404, 500
//! forward
//! ```
//!
//! Rules of VirtualServices end after one pass. The second is of LLMRoutes: ASM's
//! "re-triggers route matching", after its plugin has rewritten the request.
//! Here it happens exactly once, so it cannot loop; the first rule chose
//! provider, key, model and path, the second only has to admit the provider. Where
//! it admits whatever is sent to that, `compile` has found so, and nothing is matched.

pub use crate::attributes::Scratch;

use crate::attributes::Attributes;
use crate::authz::body::{self, Facts};
use crate::authz::{self, Permission};
use crate::check::{self, Checked};
use crate::claims::Claims;
use crate::cors::{self, CrossOrigin};
use crate::decision::{Decision, Destination, DirectResponse, Forward, Path, Preflight, Refusal, ToHost, ToProvider};
use crate::fault::{self, Abort, Drawn};
use crate::llm::body::{BodyError, BodyFacts};
use crate::mirror::Mirrors;
use crate::redirect;
use crate::request::{Headers, Request};
use crate::route::{self, Evidence, Found};
use crate::tables::{
    BackendRow, BackendTarget, EntryRow, PathRewrite, PlainTarget, ProviderId, ProviderRow, ProviderTarget, RuleAction,
    RuleId, RuleRow, Tables,
};
use crate::token::TokenError;
use crate::token::identify::{Sender, identify};
use crate::token::overlay::Overlay;
use crate::upgrade::{self, Upgrade};

/// What the shell has found out about a request so far, beyond its head.
///
/// It starts with nothing. A decision that depends on more asks for it, and is asked again with it.
#[derive(Debug, Clone, Copy)]
pub struct Known<'k> {
    /// The body.
    pub body: Body<'k>,
    /// Who sends it.
    pub identity: Identity<'k>,
    /// What external authorizers said; `None` when none was asked.
    pub checked: Option<&'k Checked<'k>>,
}

impl<'k> Known<'k> {
    /// Nothing but the head.
    pub const NOTHING: Known<'static> = Known {
        body: Body::Unread,
        identity: Identity::Unverified,
        checked: None,
    };

    /// The body alone.
    #[must_use]
    pub const fn of_body(body: Body<'k>) -> Self {
        Known { body, ..Known::NOTHING }
    }
}

/// What a request's tokens prove.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'k> {
    /// No one has looked at them yet.
    Unverified,
    /// There is none, and nothing is wrong with that.
    Anonymous,
    /// The claims of the one that is good.
    Verified(Claims<'k>),
    /// One is there and must not pass.
    Refused(TokenError),
}

impl<'k> Identity<'k> {
    /// The claims that policy may rely on.
    #[must_use]
    pub const fn claims(&self) -> Option<&Claims<'k>> {
        match self {
            Self::Verified(claims) => Some(claims),
            Self::Unverified | Self::Anonymous | Self::Refused(_) => None,
        }
    }
}

/// How much of the body is known.
#[derive(Debug, Clone, Copy)]
pub enum Body<'b> {
    /// Nothing yet. Where the method gives content no meaning, there is none.
    Unread,
    /// Nothing yet, and there is content although the method gives it no meaning: a server that looks at it all the same
    /// must find what was judged.
    Stray,
    /// All of it: its facts, or why it cannot be sent on.
    Read(Result<&'b BodyFacts, BodyError>),
}

impl Body<'_> {
    /// What is known of the body before any of it is read: whether anything comes behind the head.
    #[must_use]
    pub fn unread(method: &str, has_content: bool) -> Self {
        match has_content && body::is_bodiless(method) {
            true => Self::Stray,
            false => Self::Unread,
        }
    }
}

/// Decides what happens to `request`.
///
/// A pure function of its arguments. `entropy` is uniform over all of `u64`; its upper half chooses among weighted backends,
/// and what else is left to chance draws bits of its own out of it (`chance`). `scratch` is overwritten. When the answer is [`Decision::Check`], [`Decision::VerifyToken`] or [`Decision::ReadBody`],
/// do that and call again with what is known then and the same `entropy`.
pub fn decide<'d>(
    tables: &'d Tables,
    request: &'d Request<'d>,
    known: Known<'d>,
    entropy: u64,
    scratch: &'d mut Scratch,
) -> Decision<'d> {
    let Scratch {
        head,
        judged_cookies,
        routed_cookies,
    } = scratch;
    let read = Attributes::read(tables, request, head);
    let seen = match &read {
        Ok(seen) => seen,
        Err(bad) => return Decision::Refuse(Refusal::BadRequest(*bad)),
    };
    if route::is_misdirected(tables, seen) {
        return Decision::Refuse(Refusal::Misdirected);
    }
    // As in Envoy, nobody is asked about a request that no route takes. Which route it is may still change with the
    // token, so whoever was not asked for want of a route is asked when there is one.
    let is_checked = tables.authorizers.is_empty() || has_route(tables, seen, known.body);
    if is_checked && let Some(decision) = check::settle(tables, seen, &known) {
        return decision;
    }
    let changed;
    let as_sent = match known.checked {
        None => seen,
        Some(checked) => {
            changed = seen.with_headers(checked);
            &changed
        }
    };
    let sent = as_sent.headers;
    let claims = match identify(tables, as_sent, &known.identity) {
        Sender::Known(claims) => claims,
        Sender::Token(token) => return Decision::VerifyToken(token),
        Sender::Refused(error) => return Decision::Refuse(Refusal::Token(error)),
    };
    let headers = match Overlay::of_kept(tables, seen, known.checked, claims, judged_cookies) {
        Ok(headers) => headers,
        Err(bad) => return Decision::Refuse(Refusal::BadRequest(bad)),
    };
    let shown = seen.with_headers(&headers);
    match (authz::authorize(tables, &shown, &known), known.body) {
        (Permission::Granted, _) => {}
        (Permission::Denied(denial), _) => return Decision::Refuse(Refusal::Denied(denial)),
        (Permission::DependsOnBody, Body::Read(Err(error))) => return Decision::Refuse(Refusal::Body(None, error)),
        (Permission::DependsOnBody, Body::Unread | Body::Stray) => return Decision::ReadBody,
        // A body that was read may still say what nobody can be sure of.
        (Permission::DependsOnBody, Body::Read(Ok(facts))) => {
            return Decision::Refuse(Refusal::Body(None, authz::unclear(tables, facts)));
        }
    }
    let (as_routed, routed_headers, rerouted);
    let routed = match known.checked {
        None => &shown,
        Some(checked) => {
            as_routed = checked.seen_by_routes(tables);
            routed_headers = match Overlay::of_kept(tables, seen, Some(&as_routed), claims, routed_cookies) {
                Ok(headers) => headers,
                Err(bad) => return Decision::Refuse(Refusal::BadRequest(bad)),
            };
            rerouted = seen.with_headers(&routed_headers);
            &rerouted
        }
    };
    if route::wants_tls(tables, routed) {
        return redirect::to_https(seen);
    }
    let evidence = Evidence {
        claims,
        body: body::facts(seen, &known),
    };
    let Some(Found { entry, depends_on_body }) = route::find(tables, routed, evidence) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    if depends_on_body {
        return up_to_body(known.body, entry.rule);
    }
    let Some(row) = tables.rule(entry.rule) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    if !is_checked && let Some(decision) = check::settle(tables, seen, &known) {
        return decision;
    }
    let split = match row.action {
        RuleAction::Forward(split) => split,
        RuleAction::Redirect(row) => return redirect::answer(tables, row, entry, seen),
        RuleAction::Respond(row) => return respond(tables, row, entry.rule, seen),
    };
    let Some(BackendRow { to, .. }) = route::choose(tables, split, entropy) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    let may_upgrade = matches!(to, BackendTarget::Upstream(target) if target.allows_upgrade);
    if seen.insists && !may_upgrade {
        return Decision::Refuse(Refusal::NoUpgrade(entry.rule));
    }
    let Drawn { delay_ms, abort } = fault::drawn(tables, row, entropy);
    if let Some(status) = abort {
        let answer = fault::answer(status, to, sent);
        if upgrade::looks_agreed(seen, answer.status()) {
            return Decision::Refuse(Refusal::NoUpgrade(entry.rule));
        }
        return Decision::Abort(Abort {
            rule: entry.rule,
            delay_ms,
            answer,
            response_changes: to.response_changes().of(&tables.header_changes),
        });
    }
    let cors = cors::judge(tables, row, seen.method, sent);
    if let Some(cors) = cors.filter(CrossOrigin::answers) {
        return Decision::Preflight(Preflight {
            rule: entry.rule,
            delay_ms,
            cors,
        });
    }
    let taken = Taken {
        entry,
        row,
        delay_ms,
        cors,
        mirrors: Mirrors {
            rows: row.mirrors.of(&tables.mirrors),
            entropy,
        },
    };
    match to {
        BackendTarget::Upstream(target) => to_host(tables, seen, known.body, &taken, target),
        BackendTarget::Provider(target) => to_provider(tables, seen, &headers, &known, evidence, &taken, target),
    }
}

/// The rule that a request is sent on by, and what it says wherever that is.
struct Taken<'d> {
    entry: &'d EntryRow,
    row: &'d RuleRow,
    delay_ms: u32,
    cors: Option<CrossOrigin<'d>>,
    mirrors: Mirrors<'d>,
}

/// What comes of a request when its body says whether `rule` takes it: that must be read, and be one that says it.
fn up_to_body<'d>(body: Body<'_>, rule: RuleId) -> Decision<'d> {
    match body {
        Body::Read(Err(error)) => Decision::Refuse(Refusal::Body(Some(rule), error)),
        // Of one that was read everything is known that routes ask about.
        Body::Unread | Body::Stray | Body::Read(Ok(_)) => Decision::ReadBody,
    }
}

/// Whether any route takes a request as it was sent, whoever sends it and whatever a body says.
fn has_route(tables: &Tables, seen: &Attributes<'_>, body: Body<'_>) -> bool {
    let headers = Overlay::new(tables, seen, None, None);
    let seen = seen.with_headers(&headers);
    let nothing = Evidence {
        claims: None,
        body: match body::is_absent(seen.method, body) {
            true => Facts::Known(None),
            false => Facts::Unknown,
        },
    };
    route::wants_tls(tables, &seen) || route::find(tables, &seen, nothing).is_some()
}

fn respond<'d>(tables: &'d Tables, row: u32, rule: RuleId, seen: &Attributes<'_>) -> Decision<'d> {
    let Some(row) = tables.direct_responses.get(row as usize) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    if upgrade::looks_agreed(seen, row.status) {
        return Decision::Refuse(Refusal::NoUpgrade(rule));
    }
    Decision::Respond(DirectResponse {
        rule,
        status: row.status,
        body: row.body.of(&tables.bodies),
        response_changes: row.response_changes.of(&tables.header_changes),
    })
}

/// To a plain host: at once, with the body as it comes. Where a policy asked for the body it must be one that policy
/// could read to be sent on.
fn to_host<'d>(
    tables: &'d Tables,
    seen: &Attributes<'d>,
    body: Body<'_>,
    taken: &Taken<'d>,
    target: &PlainTarget,
) -> Decision<'d> {
    let entry = taken.entry;
    if let Body::Read(Err(error)) = body
        && !body::is_absent(seen.method, body)
    {
        return Decision::Refuse(Refusal::Body(Some(entry.rule), error));
    }
    let upgrade = Upgrade::asked(seen.method, seen.headers).filter(|_| target.allows_upgrade);
    if seen.insists && upgrade.is_none() {
        return Decision::Refuse(Refusal::NoUpgrade(entry.rule));
    }
    Decision::Forward(Forward {
        rule: entry.rule,
        upstream: target.upstream,
        authority: match target.authority {
            Some(authority) => tables.text(authority),
            // An authority that was read is ASCII.
            None => core::str::from_utf8(seen.authority.raw).unwrap_or_default(),
        },
        path: path_sent(tables, seen, entry, target.path),
        delay_ms: taken.delay_ms,
        attempts: taken.row.attempts,
        mirrors: taken.mirrors,
        cors: taken.cors,
        to: Destination::Host(ToHost {
            upgrade,
            makes_key: upgrade.is_some() && upgrade::lacks_key(seen),
            request_changes: target.request_changes.of(&tables.header_changes),
            response_changes: target.response_changes.of(&tables.header_changes),
        }),
    })
}

/// What is sent of the client's path and query.
fn path_sent<'d>(tables: &'d Tables, seen: &Attributes<'d>, entry: &EntryRow, rewrite: PathRewrite) -> Path<'d> {
    let (path, query) = (seen.path, seen.query);
    match rewrite {
        PathRewrite::Keep => Path::Client { path, query },
        PathRewrite::Matched(with) => Path::Prefixed {
            with: tables.text(with),
            rest: entry.matched.rest(path),
            original: path,
            query,
        },
        PathRewrite::Whole(with) => Path::Prefixed {
            with: tables.text(with),
            rest: "",
            original: path,
            query,
        },
        PathRewrite::Regex { by, .. } => Path::Substituted { by, path, query },
    }
}

/// To an LLM provider: when its API takes the method and the body, and the second pass admits it.
fn to_provider<'d>(
    tables: &'d Tables,
    seen: &Attributes<'d>,
    headers: &dyn Headers,
    known: &Known<'_>,
    evidence: Evidence<'_>,
    taken: &Taken<'d>,
    target: &ProviderTarget,
) -> Decision<'d> {
    let entry = taken.entry;
    let (id, rule) = (target.provider, entry.rule);
    let Some(provider) = tables.provider(id) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    if provider.path.is_some() && seen.method != "POST" {
        return Decision::Refuse(Refusal::MethodNotAllowed(rule));
    }
    match known.body {
        Body::Unread if sends_json(seen.method) => return Decision::ReadBody,
        Body::Stray => return Decision::ReadBody,
        // Whoever asked for it: only a part of it may be there.
        Body::Read(Err(error)) if !body::is_absent(seen.method, known.body) => {
            return Decision::Refuse(Refusal::Body(Some(rule), error));
        }
        Body::Unread | Body::Read(_) => {}
    }
    let admission = seen.listener.and_then(|listener| tables.admission(listener, id));
    let admitted_by = match admission {
        Some(by) => by,
        None => {
            let Some(found) = second_pass(tables, seen, headers, known, evidence, provider) else {
                return Decision::Refuse(Refusal::NoRouteAfterRewrite(rule));
            };
            let second = found.entry;
            if found.depends_on_body {
                return up_to_body(known.body, second.rule);
            }
            if !admits(tables, second, id) {
                return Decision::Refuse(Refusal::NotAdmitted {
                    rule,
                    second: second.rule,
                    provider: id,
                });
            }
            second.rule
        }
    };
    let config = tables.configs.get(target.config as usize);
    Decision::Forward(Forward {
        rule,
        upstream: provider.upstream,
        authority: tables.text(target.host_rewrite.unwrap_or(provider.host)),
        path: match provider.path {
            Some(path) => Path::Fixed(tables.text(path.target)),
            None => path_sent(tables, seen, entry, target.path),
        },
        delay_ms: taken.delay_ms,
        attempts: taken.row.attempts,
        mirrors: taken.mirrors,
        cors: taken.cors,
        to: Destination::Provider(ToProvider {
            admitted_by,
            provider: id,
            credential: config.and_then(|config| config.credential),
            fields: config.map_or(&[], |config| config.fields.of(&tables.fields)),
            request_changes: target.request_changes.of(&tables.header_changes),
            response_changes: target.response_changes.of(&tables.header_changes),
        }),
    })
}

/// What takes the request as the provider would be sent it.
fn second_pass<'d>(
    tables: &'d Tables,
    seen: &Attributes<'_>,
    headers: &dyn Headers,
    known: &Known<'_>,
    evidence: Evidence<'_>,
    provider: &ProviderRow,
) -> Option<Found<'d>> {
    let fixed = provider.path.map(|path| path.parts(tables));
    let rewritten = seen.rewritten_to(tables.bytes(provider.host), fixed, headers);
    let evidence = Evidence {
        claims: known.identity.claims(),
        ..evidence
    };
    route::find(tables, &rewritten, evidence)
}

/// Methods whose body an LLM API reads, and which therefore is read here first.
fn sends_json(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// Whether the rule of the second pass sends any traffic to the provider.
fn admits(tables: &Tables, second: &EntryRow, provider: ProviderId) -> bool {
    let backends = tables.rule(second.rule).map(|rule| rule.split().backends);
    let mut backends = backends.unwrap_or_default().of(&tables.backends).iter();
    backends.any(|backend| match backend.to {
        BackendTarget::Provider(target) => target.provider == provider && backend.weight > 0,
        BackendTarget::Upstream(_) => false,
    })
}
