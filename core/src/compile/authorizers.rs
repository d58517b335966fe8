//! The external authorizers that CUSTOM policies ask, in the order of their names, in which Istio has them asked.

use alloc::format;
use alloc::vec::Vec;

use super::hosts::Hosts;
use super::rows::{RowWriter, number};
use super::targets::Targets;
use super::{policies, upstreams};
use crate::check::{Authorizer, CheckProtocol};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Action, ExtAuthzHttp, ExtAuthzProtocol, ExtAuthzProvider, MeshConfig, Resources};
use crate::config::suggest::did_you_mean;
use crate::limits::AUTHORIZERS_MAX;
use crate::snapshot::Upstream;
use crate::tables::{AuthorizerId, AuthorizerRow, UpstreamId};

/// How to ask each of them; the rows go to `rows`, and where they are reached to `upstreams`.
pub(super) fn compile(
    resources: &Resources,
    targets: &Targets<'_>,
    hosts: &Hosts<'_>,
    upstreams: &mut Vec<Upstream>,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Authorizer> {
    let mesh = resources.mesh_configs.first();
    let known = mesh.map_or(&[][..], |mesh: &MeshConfig| &mesh.authorizers);
    let mut asked = Vec::new();
    for policy in policies::selected(resources, targets).filter(|policy| policy.action == Action::Custom) {
        let Some(name) = &policy.provider else { continue };
        if known.iter().any(|provider| **provider.name == ***name) {
            asked.push(&***name);
        } else if resources.has_all("MeshConfig") {
            let names = || known.iter().map(|provider| &**provider.name);
            let help = did_you_mean(name, names()).unwrap_or_else(|| match known {
                [] => "MeshConfig has no `extensionProviders` with `envoyExtAuthzHttp` or `envoyExtAuthzGrpc`".into(),
                _ => format!("there is `{}`", names().collect::<Vec<_>>().join("`, `")),
            });
            diagnostics
                .error(
                    "unknown-authorizer",
                    name.at,
                    format!(
                        "no extension provider of MeshConfig is the external authorizer `{}`",
                        **name
                    ),
                )
                .field("spec.provider.name")
                .help(help);
        }
    }
    asked.sort_unstable();
    asked.dedup();
    let mut authorizers = Vec::new();
    for name in asked {
        let Some(provider) = known.iter().find(|provider| **provider.name == *name) else {
            continue;
        };
        if authorizers.len() == AUTHORIZERS_MAX {
            diagnostics
                .error(
                    "too-many",
                    provider.name.at,
                    format!("CUSTOM policies ask more than {AUTHORIZERS_MAX} external authorizers"),
                )
                .help("each request may have to wait for all of them in turn");
            break;
        }
        let upstream = UpstreamId(number(upstreams.len()));
        upstreams.push(upstreams::of_authorizer(hosts, provider, diagnostics));
        let name = rows.text(name);
        rows.rows.authorizers.push(AuthorizerRow {
            name,
            fail_open: provider.fail_open.is_some(),
            status_on_error: provider.status_on_error,
            reroutes: provider.clears_route_cache,
        });
        authorizers.push(authorizer(provider, upstream, rows));
    }
    authorizers
}

/// The one of that name.
pub(super) fn find(authorizers: &[Authorizer], name: &str) -> Option<AuthorizerId> {
    let place = authorizers.iter().position(|authorizer| *authorizer.name == *name)?;
    Some(AuthorizerId(number(place)))
}

fn authorizer(provider: &ExtAuthzProvider, upstream: UpstreamId, rows: &mut RowWriter<'_>) -> Authorizer {
    let base = Authorizer {
        name: provider.name.value.clone(),
        upstream,
        protocol: CheckProtocol::Grpc {
            authority: provider.service.value.clone(),
        },
        timeout_ms: provider.timeout_ms,
        body: provider.body,
        sends: Vec::new(),
        adds: Vec::new(),
        to_upstream: Vec::new(),
        to_client_on_deny: Vec::new(),
        to_client_on_allow: Vec::new(),
    };
    let ExtAuthzProtocol::Http(http) = &provider.protocol else {
        return base;
    };
    let ExtAuthzHttp {
        path_prefix,
        sends,
        adds,
        to_upstream,
        to_client_on_deny,
        to_client_on_allow,
    } = http;
    Authorizer {
        protocol: CheckProtocol::Http {
            path_prefix: path_prefix.clone(),
        },
        sends: sends.clone(),
        adds: adds
            .iter()
            .map(|(name, value)| (name.clone(), rows.secret(value)))
            .collect(),
        to_upstream: to_upstream.clone(),
        to_client_on_deny: to_client_on_deny.clone(),
        to_client_on_allow: to_client_on_allow.clone(),
        ..base
    }
}
