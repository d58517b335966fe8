//! What a `backendRef` of an HTTPRoute refers to, and whether it may.

use alloc::borrow::Cow;
use alloc::format;

use crate::compile::destinations::{Fields, Place};
use crate::compile::grants::{self, Referred};
use crate::compile::rows::FieldText;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::gateway_api::INFERENCE_GROUP;
use crate::config::resource::http_route::{BackendKind, BackendRef};
use crate::config::resource::{Meta, Resources};
use crate::config::suggest::did_you_mean;

/// A backend has no subset.
const FIELDS: Fields = Fields {
    host: ".name",
    port: ".port",
    subset: "",
};

/// Where a backend is; `None` when it is a pool that is not there.
pub(super) fn place<'b>(
    backend: &'b BackendRef,
    field: FieldText<'b>,
    resources: &'b Resources,
    diagnostics: &mut Diagnostics,
) -> Option<Place<'b>> {
    let (name, namespace) = (backend.name.as_str(), &backend.namespace);
    let (host, port) = match backend.kind {
        BackendKind::Service => (
            Cow::Owned(format!("{name}.{namespace}.svc.cluster.local")),
            backend.port.as_ref(),
        ),
        BackendKind::Hostname => (Cow::Borrowed(name), backend.port.as_ref()),
        BackendKind::InferencePool => {
            let mut pools = resources.inference_pools.iter();
            let Some(pool) = pools.find(|pool| **pool.meta.name == *name && pool.meta.namespace == *namespace) else {
                refuse_unknown_pool(backend, field, resources, diagnostics);
                return None;
            };
            let host = format!("{name}.{namespace}.inference.cluster.local");
            (Cow::Owned(host), Some(&pool.port))
        }
    };
    Some(Place {
        host,
        at: backend.name.at,
        port,
        subset: None,
        field,
        fields: &FIELDS,
    })
}

fn refuse_unknown_pool(
    backend: &BackendRef,
    field: FieldText<'_>,
    resources: &Resources,
    diagnostics: &mut Diagnostics,
) {
    if !resources.has_all("InferencePool") {
        return;
    }
    let finding = diagnostics
        .error(
            "unknown-destination",
            backend.name.at,
            format!("there is no InferencePool `{}/{}`", backend.namespace, *backend.name),
        )
        .field(format!("{field}.name"));
    let names = resources.inference_pools.iter().map(|pool| &**pool.meta.name);
    if let Some(help) = did_you_mean(&backend.name, names) {
        finding.help(help);
    }
}

/// Refuses a backend of another namespace that no ReferenceGrant there lets `route` refer to.
pub(super) fn check_grant(
    route: &Meta,
    backend: &BackendRef,
    field: FieldText<'_>,
    resources: &Resources,
    diagnostics: &mut Diagnostics,
) {
    let (group, kind) = match backend.kind {
        BackendKind::InferencePool => (INFERENCE_GROUP, "InferencePool"),
        BackendKind::Service | BackendKind::Hostname => ("", "Service"),
    };
    let to = Referred {
        group,
        kind,
        namespace: &backend.namespace,
        name: &backend.name,
    };
    if !grants::allow(route, &to, resources) {
        diagnostics
            .error(
                "reference-not-granted",
                backend.name.at,
                format!(
                    "no ReferenceGrant of namespace `{}` lets HTTPRoutes of `{}` refer to {kind} `{}`",
                    backend.namespace, route.namespace, *backend.name
                ),
            )
            .field(format!("{field}.namespace"))
            .help("add one there: without it a cluster answers 500");
    }
}
