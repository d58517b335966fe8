//! The heart: one request, one decision.
//!
//! ```text
//! check      CUSTOM policies that match                 ask their authorizers first; their answer
//! identify   the token, when there are rules for tokens 401, 403, or verify it first
//! authorize  what the client sent                       403, or the body first
//! match      pass 1 → rule → backend by weight          404
//! body       may it be sent to the provider             405, 400, 413, 415
//! rewrite    authority := the provider's host
//! match      pass 2 → its rule must list the provider   404, 500
//! forward
//! ```
//!
//! The second pass is ASM's "re-triggers route matching": after its plugin has
//! rewritten the request, routes are matched again. Here it happens exactly
//! once, so it cannot loop; the first rule chose provider, key, model and path,
//! the second only has to admit the provider.

pub use crate::attributes::Scratch;

use crate::attributes::Attributes;
use crate::authz::{self, Permission};
use crate::check::{self, Checked};
use crate::claims::Claims;
use crate::decision::{Decision, Forward, Path, Refusal};
use crate::llm::body::{BodyError, BodyFacts};
use crate::request::{Headers, Request};
use crate::route;
use crate::tables::{BackendRow, EntryRow, ProviderId, ProviderRow, Tables};
use crate::token::TokenError;
use crate::token::identify::{Sender, identify};
use crate::token::overlay::Overlay;

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
    /// Nothing yet.
    Unread,
    /// All of it: its facts, or why it cannot be sent on.
    Read(Result<&'b BodyFacts, BodyError>),
}

/// Decides what happens to `request`.
///
/// A pure function of its arguments. `entropy` is uniform over all of `u64`; its upper half chooses among weighted backends;
/// `scratch` is overwritten. When the answer is [`Decision::Check`], [`Decision::VerifyToken`] or [`Decision::ReadBody`],
/// do that and call again with what is known then and the same `entropy`.
pub fn decide<'d>(
    tables: &Tables<'d>,
    request: &Request<'d>,
    known: Known<'d>,
    entropy: u64,
    scratch: &'d mut Scratch,
) -> Decision<'d> {
    let seen = match Attributes::read(tables, request, scratch) {
        Ok(seen) => seen,
        Err(bad) => return Decision::Refuse(Refusal::BadRequest(bad)),
    };
    // As in Envoy, nobody is asked about a request that no route takes. Which route it is may still change with the
    // token, so whoever was not asked for want of a route is asked when there is one.
    let is_checked = tables.authorizers.is_empty() || has_route(tables, &seen);
    if is_checked && let Some(decision) = check::settle(tables, &seen, &known) {
        return decision;
    }
    let sent: &dyn Headers = known.checked.map_or(seen.headers, |checked| checked);
    let claims = match identify(tables, &seen.with_headers(sent), known.identity) {
        Sender::Known(claims) => claims,
        Sender::Token(token) => return Decision::VerifyToken(token),
        Sender::Refused(error) => return Decision::Refuse(Refusal::Token(error)),
    };
    let headers = Overlay::new(tables, sent, claims);
    let shown = seen.with_headers(&headers);
    match (authz::authorize(tables, &shown, &known), known.body) {
        (Permission::Granted, _) => {}
        (Permission::Denied(denial), _) => return Decision::Refuse(Refusal::Denied(denial)),
        (Permission::DependsOnBody, Body::Read(Err(error))) => return Decision::Refuse(Refusal::Body(None, error)),
        (Permission::DependsOnBody, Body::Unread) => return Decision::ReadBody,
        // Of a body that was read, only the tools may still not be known.
        (Permission::DependsOnBody, Body::Read(Ok(_))) => {
            return Decision::Refuse(Refusal::Body(None, BodyError::UnclearTools));
        }
    }
    let (as_routed, routed_headers);
    let routed = match known.checked {
        None => shown,
        Some(checked) => {
            as_routed = checked.seen_by_routes(tables);
            routed_headers = Overlay::new(tables, &as_routed, claims);
            seen.with_headers(&routed_headers)
        }
    };
    let Some(chosen) = choose(tables, &routed, entropy) else {
        return Decision::Refuse(Refusal::NoRoute);
    };
    if !is_checked && let Some(decision) = check::settle(tables, &seen, &known) {
        return decision;
    }
    let rule = chosen.entry.rule;
    if chosen.provider.path.is_some() && seen.method != "POST" {
        return Decision::Refuse(Refusal::MethodNotAllowed(rule));
    }
    if sends_json(seen.method) {
        match known.body {
            Body::Unread => return Decision::ReadBody,
            Body::Read(Err(error)) => return Decision::Refuse(Refusal::Body(Some(rule), error)),
            Body::Read(Ok(_)) => {}
        }
    }
    let rewritten = shown.rewritten_to(tables.bytes(chosen.provider.host));
    let Some(second) = route::find(tables, &rewritten) else {
        return Decision::Refuse(Refusal::NoRouteAfterRewrite(rule));
    };
    let provider = chosen.backend.provider;
    if !admits(tables, second, provider) {
        return Decision::Refuse(Refusal::NotAdmitted {
            rule,
            second: second.rule,
            provider,
        });
    }
    Decision::Forward(forward(tables, &seen, &chosen, second))
}

/// Whether any route takes a request as it was sent.
fn has_route(tables: &Tables<'_>, seen: &Attributes<'_>) -> bool {
    let headers = Overlay::new(tables, seen.headers, None);
    route::find(tables, &seen.with_headers(&headers)).is_some()
}

/// What pass 1 chose.
struct Chosen<'d> {
    entry: &'d EntryRow,
    backend: &'d BackendRow,
    provider: &'d ProviderRow,
}

fn choose<'d>(tables: &Tables<'d>, seen: &Attributes<'_>, entropy: u64) -> Option<Chosen<'d>> {
    let entry = route::find(tables, seen)?;
    let backend = route::choose(tables, tables.rule(entry.rule)?, entropy)?;
    let provider = tables.provider(backend.provider)?;
    Some(Chosen {
        entry,
        backend,
        provider,
    })
}

/// Methods whose body an LLM API reads, and which therefore is read here first.
fn sends_json(method: &str) -> bool {
    matches!(method, "POST" | "PUT" | "PATCH")
}

/// Whether the rule of the second pass sends any traffic to the provider.
fn admits(tables: &Tables<'_>, second: &EntryRow, provider: ProviderId) -> bool {
    tables.rule(second.rule).is_some_and(|rule| {
        rule.backends
            .of(tables.backends)
            .iter()
            .any(|backend| backend.provider == provider && backend.weight > 0)
    })
}

fn forward<'d>(tables: &Tables<'d>, seen: &Attributes<'d>, chosen: &Chosen<'d>, second: &EntryRow) -> Forward<'d> {
    let config = tables.configs.get(chosen.backend.config as usize);
    Forward {
        rule: chosen.entry.rule,
        admitted_by: second.rule,
        provider: chosen.backend.provider,
        upstream: chosen.provider.upstream,
        authority: tables.text(chosen.backend.host_rewrite.unwrap_or(chosen.provider.host)),
        path: match chosen.provider.path {
            Some(path) => Path::Fixed(tables.text(path)),
            None => Path::Client {
                path: seen.path,
                query: seen.query,
            },
        },
        credential: config.and_then(|config| config.credential),
        fields: config.map_or(&[], |config| config.fields.of(tables.fields)),
    }
}
