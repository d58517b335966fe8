//! MeshConfig to what decisions read of it.

use super::Settings;
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::Resources;
use crate::path::PathRules;
use crate::tables::EdgeRow;

/// The settings, with the root namespace that the mesh has.
pub(super) fn settings(resources: &Resources, settings: &Settings) -> Settings {
    let mesh = resources.mesh_configs.first();
    let root = mesh.and_then(|mesh| mesh.root_namespace.as_ref());
    Settings {
        root_namespace: root.map_or_else(|| settings.root_namespace.clone(), |root| (***root).into()),
        ..settings.clone()
    }
}

/// How connections and heads are read.
pub(super) fn compile(resources: &Resources, diagnostics: &mut Diagnostics) -> EdgeRow {
    for second in resources.mesh_configs.iter().skip(1) {
        diagnostics
            .error("duplicate-resource", second.at, "a second MeshConfig: there can be only one")
            .help("the ConfigMap `istio`, `--mesh-config` and a MeshConfig of `lockgate.dev/v1` are three ways to give one");
    }
    resources
        .mesh_configs
        .first()
        .map_or_else(EdgeRow::default, |mesh| EdgeRow {
            paths: PathRules {
                normalization: mesh.normalization,
                parameters: mesh.path_parameters,
                refuse_escaped_slashes: mesh.refuse_escaped_slashes,
            },
            trusted_proxies: mesh.trusted_proxies,
            proxy_protocol: mesh.proxy_protocol,
            client_cert: mesh.client_cert,
        })
}
