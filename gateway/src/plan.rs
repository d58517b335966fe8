//! How a request is carried on, or answered here, free of what the decision borrowed.

use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use http::header::HeaderName;
use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use lockgate_core::answer::ErrorShape;
use lockgate_core::claims::Claims;
use lockgate_core::compile::Compiled;
use lockgate_core::decide::Identity;
use lockgate_core::decision::{self, Destination, DirectResponse, Forward, Path, Preflight, Redirect};
use lockgate_core::fault::{self, ABORT_BODY, Abort, AbortAnswer};
use lockgate_core::llm::body::BodyFacts;
use lockgate_core::llm::splice::SpliceError;
use lockgate_core::rewrite::{self, BadPath};
use lockgate_core::tables::{AttemptsId, RuleId, Tables, UpstreamId};
use lockgate_core::upgrade::Upgrade;

use crate::access::Flag;
use crate::changes::{self, Change};
use crate::live::Live;
use crate::splice;
use crate::worker::view::View;

/// How to send a request.
pub(crate) struct Plan {
    pub(crate) upstream: UpstreamId,
    pub(crate) uri: Uri,
    pub(crate) host: HeaderValue,
    pub(crate) to: To,
    /// What the token writes.
    pub(crate) written: Vec<(HeaderName, HeaderValue)>,
    /// `None` when the body was not read.
    pub(crate) body: Option<VecDeque<Bytes>>,
    pub(crate) entropy: u64,
    /// How often and how long it is tried.
    pub(crate) attempts: AttemptsId,
    /// Where copies of it go.
    pub(crate) mirrors: Box<[UpstreamId]>,
    /// What any answer, also one of ours in its place, says to the page of another origin that asks.
    pub(crate) cors: Box<[Change]>,
}

/// What only one kind of upstream gets.
pub(crate) enum To {
    /// An LLM provider.
    Provider(ToProvider),
    /// A plain host.
    Host(ToHost),
}

/// What an LLM provider gets besides the client's head.
pub(crate) struct ToProvider {
    pub(crate) credential: Option<HeaderValue>,
    pub(crate) request_changes: Vec<Change>,
    pub(crate) response_changes: Vec<Change>,
}

/// What a plain host gets besides the client's head.
pub(crate) struct ToHost {
    /// What the connection may be used for instead of HTTP.
    pub(crate) upgrade: Option<Upgrade>,
    /// Whether it is asked for with a key of ours.
    pub(crate) makes_key: bool,
    /// Path and query before they were rewritten.
    pub(crate) original: Option<HeaderValue>,
    pub(crate) request_changes: Vec<Change>,
    pub(crate) response_changes: Vec<Change>,
}

/// An answer that the configuration gives.
pub(crate) struct Configured {
    pub(crate) rule: Option<RuleId>,
    pub(crate) status: u16,
    pub(crate) flag: Flag,
    /// As Envoy's access log has it.
    pub(crate) details: &'static str,
    pub(crate) location: Option<HeaderValue>,
    pub(crate) body: Bytes,
    pub(crate) changes: Vec<Change>,
}

/// As Envoy's router writes it of a redirect, too.
const DIRECT_RESPONSE: &str = "direct_response";

impl Configured {
    /// The answer of a redirect; `None` when it cannot stand in a head.
    pub(crate) fn redirect(compiled: &Compiled, redirect: &Redirect<'_>) -> Option<Self> {
        let location = rewrite::location(compiled.snapshot.tables(), redirect);
        Some(Self {
            rule: redirect.rule,
            status: redirect.status,
            flag: Flag::None,
            details: DIRECT_RESPONSE,
            location: Some(HeaderValue::try_from(location).ok()?),
            body: Bytes::new(),
            changes: changes::owned(compiled, redirect.response_changes)?,
        })
    }

    /// The answer that stands in the configuration; `None` when it cannot stand in a head.
    pub(crate) fn direct(compiled: &Compiled, response: &DirectResponse<'_>) -> Option<Self> {
        Some(Self {
            rule: Some(response.rule),
            status: response.status,
            flag: Flag::None,
            details: DIRECT_RESPONSE,
            location: None,
            body: Bytes::copy_from_slice(response.body),
            changes: changes::owned(compiled, response.response_changes)?,
        })
    }

    /// The answer in place of an upstream's to a request for `path`; `None` when it cannot stand in a head.
    pub(crate) fn abort(compiled: &Compiled, abort: &Abort<'_>, path: &str) -> Option<Self> {
        let fields = |fields: &[(&'static str, &str)]| {
            changes::fields(fields.iter().map(|(name, value)| (*name, value.as_bytes())))
        };
        let (status, body, mut changes) = match abort.answer {
            AbortAnswer::Text(status) => (status, Bytes::from_static(ABORT_BODY.as_bytes()), Vec::new()),
            AbortAnswer::Api(status) => {
                let answer = fault::api_error(status, ErrorShape::of_path(path));
                let content_type = answer.content_type.map(|content_type| ("content-type", content_type));
                (
                    status,
                    Bytes::copy_from_slice(&answer.body),
                    fields(content_type.as_slice())?,
                )
            }
            AbortAnswer::Grpc(status) => {
                let written = fault::grpc_fields(status);
                let written = written.each_ref().map(|(name, value)| (*name, value.as_str()));
                (200, Bytes::new(), fields(&written)?)
            }
        };
        changes.extend(changes::owned(compiled, abort.response_changes)?);
        Some(Self {
            rule: Some(abort.rule),
            status,
            flag: Flag::FaultInjected,
            details: "fault_filter_abort",
            location: None,
            body,
            changes,
        })
    }

    /// The answer to a preflight; `None` when it cannot stand in a head.
    pub(crate) fn preflight(tables: &Tables, preflight: &Preflight<'_>) -> Option<Self> {
        Some(Self {
            rule: Some(preflight.rule),
            status: 200,
            flag: Flag::None,
            details: "cors_response",
            location: None,
            body: Bytes::new(),
            changes: changes::fields(preflight.cors.fields(tables))?,
        })
    }
}

/// Why there is no target to send.
pub(crate) enum NoTarget {
    /// The engine refuses what became of the path.
    Refused,
    /// It cannot stand in a request line, which the engine has ruled out.
    Internal,
}

/// The host to name; `None` when it cannot stand in a head, which the engine has ruled out.
pub(crate) fn host(view: &View, forward: &Forward<'_>) -> Option<HeaderValue> {
    match forward.to {
        Destination::Provider(_) => view.host(forward.authority),
        // The client may have named it.
        Destination::Host(_) => HeaderValue::from_str(forward.authority).ok(),
    }
}

/// The path and query to send.
pub(crate) fn uri(view: &View, tables: &Tables, path: Path<'_>) -> Result<Uri, NoTarget> {
    let built = match path {
        Path::Fixed(path) => return view.path(path).ok_or(NoTarget::Internal),
        Path::Client { path, query: None } => PathAndQuery::try_from(path),
        _ => match rewrite::target(tables, path) {
            Ok(target) => PathAndQuery::try_from(target),
            Err(BadPath) => return Err(NoTarget::Refused),
        },
    };
    built.map(Uri::from).map_err(|_| NoTarget::Internal)
}

/// What a plain host gets besides the client's head; `None` when it cannot stand in a head.
pub(crate) fn to_host(compiled: &Compiled, host: &decision::ToHost<'_>, forward: &Forward<'_>) -> Option<ToHost> {
    let tables = compiled.snapshot.tables();
    let original = rewrite::original_target(tables, forward.path);
    Some(ToHost {
        upgrade: host.upgrade,
        makes_key: host.makes_key,
        original: original.map(HeaderValue::try_from).transpose().ok()?,
        request_changes: changes::owned(compiled, host.request_changes)?,
        response_changes: changes::owned(compiled, host.response_changes)?,
    })
}

/// What an answer says to the page of another origin; `None` when it cannot stand in a head.
pub(crate) fn cors(tables: &Tables, forward: &Forward<'_>) -> Option<Box<[Change]>> {
    changes::fields(forward.cors.iter().flat_map(|cors| cors.fields(tables))).map(Into::into)
}

/// What an LLM provider gets besides the client's head; `None` when it cannot stand in a head.
pub(crate) fn to_provider(live: &Live, provider: &decision::ToProvider<'_>) -> Option<ToProvider> {
    let credential = provider.credential.map(|id| live.credential(id).cloned());
    Some(ToProvider {
        credential: match credential {
            None => None,
            Some(credential) => Some(credential?),
        },
        request_changes: changes::owned(&live.compiled, provider.request_changes)?,
        response_changes: changes::owned(&live.compiled, provider.response_changes)?,
    })
}

/// The header fields that the token writes. The engine leaves out what no field can carry.
pub(crate) fn written(identity: Identity<'_>) -> Vec<(HeaderName, HeaderValue)> {
    let headers = identity.claims().into_iter().flat_map(Claims::headers);
    headers
        .filter_map(|(name, value)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?)))
        .collect()
}

/// The body as it goes out, and the model that it names then.
pub(crate) fn edit(
    view: &View,
    tables: &Tables,
    provider: &decision::ToProvider<'_>,
    facts: &BodyFacts,
    pieces: VecDeque<Bytes>,
    model: &mut Option<Rc<str>>,
) -> Result<VecDeque<Bytes>, SpliceError> {
    let set = provider.fields.iter().find(|field| tables.text(field.name) == "model");
    *model = match set.filter(|field| rewrite::sets_field(tables, facts, field)) {
        Some(field) => view.model(tables.text(field.value)),
        None => facts.model().map(Into::into),
    };
    // By reference, since a plan is too large to be moved for nothing.
    match &rewrite::splice(tables, facts, provider.fields) {
        Ok(plan) if plan.is_edited() => Ok(splice::apply(plan.pieces(), plan.len(), pieces)),
        Ok(_) => Ok(pieces),
        Err(error) => Err(*error),
    }
}
