//! What a VirtualService does with a request: `semantics/policy.md` §12 and §15.

use lockgate_core::config::resource::{
    HeaderChanges, HttpAction, HttpRedirect, HttpRoute, MeshConfig, RedirectPort, RouteSettings, ServiceEntry,
    UriRewrite,
};
use lockgate_core::limits::{PATH_BYTES_MAX, SUBSTITUTIONS_MAX};
use lockgate_core::path::Normalization;
use lockgate_core::request::Scheme;
use lockgate_core::tables::{AbortStatus, Chance};
use regex::bytes::Regex;

use crate::attempts;
use crate::cors;
use crate::head::Head;
use crate::routing::{Features, Found, choose};
use crate::traffic::Sample;
use crate::verdict::{ToHost, Verdict};
use crate::world::World;

/// What `rule` does, to which `found` led.
pub fn carry_out(
    world: &World,
    found: Found<'_>,
    rule: &HttpRoute,
    sample: &Sample,
    head: &Head,
    features: &mut Features,
) -> Verdict {
    let label = found.label();
    match &rule.action {
        HttpAction::Delegate { .. } => unreachable!("they are merged before"),
        HttpAction::Redirect(redirect) => Verdict::Redirect {
            rule: Some(label),
            status: redirect.code,
            location: location(redirect, sample, head),
            changes: together(&[&rule.headers.response]),
        },
        HttpAction::DirectResponse(response) => Verdict::Respond {
            rule: label,
            status: response.status,
            body: response.body.clone(),
            changes: together(&[&rule.headers.response]),
        },
        HttpAction::Route { destinations, rewrite } => {
            let weights: Vec<u64> = match destinations.len() {
                1 => vec![1],
                _ => {
                    let given = |one: &Option<_>| one.as_ref().map_or(0, |weight: &_| u64::from(weight_of(weight)));
                    destinations.iter().map(|one| given(&one.weight)).collect()
                }
            };
            let chosen = choose(destinations, &weights, sample.entropy, features);
            let lone = destinations.len() == 1;
            let (of_rule, own) = (&rule.headers, &chosen.headers);
            let changed = merged(&of_rule.response, &own.response, lone);
            let (delay_ms, cors) = match sent_on(&label, &rule.settings, &changed, text_of_abort, sample, features) {
                Ok(said) => said,
                Err(answer) => return *answer,
            };
            let authorities = [&rewrite.authority, &of_rule.request.authority, &own.request.authority];
            let authority = authorities.into_iter().flatten().next();
            let Some(path) = rewritten(world, found, rewrite.uri.as_ref(), head, features) else {
                return Verdict::BadRewrite { rule: label };
            };
            let entry = entry_of(world, &chosen.host);
            let port = chosen.port.as_ref().map_or(*entry.ports[0].number, |port| **port);
            Verdict::ToHost(ToHost {
                rule: label,
                upstream: format!("{}:{port}", *chosen.host),
                authority: authority.map_or(&head.authority, |authority| &authority.value).clone(),
                target: with_query(&path, head),
                original: rewrite.uri.as_ref().map(|_| with_query(&head.path, head)),
                request_changes: merged(&of_rule.request, &own.request, lone),
                response_changes: changed.into_iter().chain(cors).collect(),
                mirrors: mirrors(&rule.settings),
                delay_ms,
                attempts: attempts::expected(world, &rule.settings),
            })
        }
    }
}

/// Chances are all or nothing here.
fn always(chance: Chance) -> bool {
    chance == Chance(1_000_000)
}

fn text_of_abort(_: u16) -> Vec<u8> {
    b"fault filter abort".to_vec()
}

/// How long a request that goes on is held up and what its answer says to pages of other origins, or else the answer
/// that it gets here. `body` is that of an abort.
pub fn sent_on(
    rule: &str,
    settings: &RouteSettings,
    changes: &[String],
    body: fn(u16) -> Vec<u8>,
    sample: &Sample,
    features: &mut Features,
) -> Result<(u32, Vec<String>), Box<Verdict>> {
    let respond = |status, body, changes| {
        Err(Box::new(Verdict::Respond {
            rule: rule.to_owned(),
            status,
            body,
            changes,
        }))
    };
    let fault = settings.fault.as_ref();
    let abort = fault.and_then(|fault| fault.abort);
    if let Some((_, status)) = abort.filter(|(chance, _)| always(*chance)) {
        features.insert("an abort");
        // No request of the traffic speaks gRPC.
        let status = match status {
            AbortStatus::Http(status) => status,
            AbortStatus::Grpc(_) => 200,
        };
        return respond(status, body(status), changes.to_vec());
    }
    let (cors, is_answered) = cors::said(settings.cors.as_deref(), sample);
    if is_answered {
        features.insert("a preflight");
        return respond(200, Vec::new(), cors);
    }
    let delay = fault.and_then(|fault| fault.delay);
    let delay = delay.filter(|(chance, _)| always(*chance));
    Ok((delay.map_or(0, |(_, delay_ms)| delay_ms), cors))
}

/// The hosts that get a copy.
#[must_use]
pub fn mirrors(settings: &RouteSettings) -> Vec<String> {
    let mirrors = settings.mirrors.iter().filter(|mirror| always(mirror.chance));
    mirrors.map(|mirror| mirror.destination.host.value.clone()).collect()
}

fn weight_of(weight: &lockgate_core::config::resource::Spanned<u32>) -> u32 {
    weight.value
}

/// The ServiceEntry of a host that is known.
#[must_use]
pub fn entry_of<'w>(world: &'w World, host: &str) -> &'w ServiceEntry {
    let mut entries = world.resources.service_entries.iter();
    let named = |entry: &&ServiceEntry| entry.hosts.iter().any(|own| **own == *host);
    entries.find(named).expect("a world without faults knows its hosts")
}

fn with_query(path: &str, head: &Head) -> String {
    match &head.query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// The new path; `None` when it is none that may be sent.
fn rewritten(
    world: &World,
    found: Found<'_>,
    uri: Option<&UriRewrite>,
    head: &Head,
    features: &mut Features,
) -> Option<String> {
    let path = match uri {
        None => return Some(head.path.clone()),
        Some(UriRewrite::Matched(with)) => {
            features.insert("a prefix rewrite");
            let rest = head
                .path
                .strip_prefix(found.entry.matched(&head.path))
                .expect("it matched");
            format!("{}{rest}", **with)
        }
        Some(UriRewrite::Regex { pattern, substitution }) => {
            features.insert("a rewrite by regular expression");
            let regex = Regex::new(&format!("(?-u){}", **pattern)).expect("checked before");
            if regex.find_iter(head.path.as_bytes()).count() > SUBSTITUTIONS_MAX {
                return None;
            }
            let template = substitution
                .replace('$', "$$")
                .replace("\\1", "${1}")
                .replace("\\0", "${0}");
            let replaced = regex.replace_all(head.path.as_bytes(), template.as_bytes());
            String::from_utf8(replaced.into_owned()).expect("a path is ASCII")
        }
    };
    let normalization = world
        .resources
        .mesh_configs
        .first()
        .map(|mesh: &MeshConfig| mesh.normalization);
    let only = path
        .split('?')
        .next()
        .unwrap_or("")
        .to_ascii_lowercase()
        .replace("%2e", ".");
    let is_dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    let climbs = normalization != Some(Normalization::None) && only.split(['/', '\\']).any(is_dots);
    (path.starts_with('/') && !climbs && path.len() <= PATH_BYTES_MAX).then_some(path)
}

fn location(redirect: &HttpRedirect, sample: &Sample, head: &Head) -> String {
    let scheme = redirect.scheme.unwrap_or(sample.told);
    let default = |scheme| if scheme == Scheme::Https { 443 } else { 80 };
    let port = match redirect.port {
        Some(RedirectPort::Number(port)) => Some(port),
        Some(RedirectPort::OfListener) => Some(sample.port),
        None | Some(RedirectPort::OfProtocol) => None,
    };
    let of_listener = redirect.scheme.unwrap_or(sample.scheme);
    let port = port.filter(|port| *port != default(of_listener));
    let old_default = format!(":{}", default(sample.told));
    let authority = match &redirect.authority {
        Some(authority) => authority.clone(),
        None => {
            let (host, sent_port) = match &head.port {
                Some(port) => head.authority.split_at(head.authority.len() - port.len() - 1),
                None => (head.authority.as_str(), ""),
            };
            let goes = port.is_some() || scheme != sample.told && sent_port == old_default;
            format!("{host}{}", if goes { "" } else { sent_port })
        }
    };
    let target = match &redirect.uri {
        None => with_query(&head.path, head),
        Some(uri) if uri.contains('?') => uri.clone(),
        Some(uri) => with_query(uri, head),
    };
    let port = port.map_or(String::new(), |port| format!(":{port}"));
    format!("{}://{authority}{port}{target}", scheme.as_str())
}

/// Those of a lone destination are made with the rule's; of several, before them.
fn merged(of_rule: &HeaderChanges, own: &HeaderChanges, lone: bool) -> Vec<String> {
    if lone {
        return together(&[of_rule, own]);
    }
    let mut all = together(&[own]);
    all.extend(together(&[of_rule]));
    all
}

/// Changes that are made together.
pub fn together(changes: &[&HeaderChanges]) -> Vec<String> {
    let removed = changes
        .iter()
        .flat_map(|changes| &changes.remove)
        .map(|name| format!("-{name}"));
    let mut all: Vec<String> = removed.collect();
    for changes in changes {
        all.extend(
            changes
                .set
                .iter()
                .map(|(name, value)| format!("{name}={}", value.expose())),
        );
    }
    for changes in changes {
        all.extend(
            changes
                .add
                .iter()
                .map(|(name, value)| format!("{name}+={}", value.expose())),
        );
    }
    all
}
