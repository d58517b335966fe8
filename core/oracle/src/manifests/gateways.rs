//! Istio's Gateways, ServiceEntries and MeshConfig.

use lockgate_core::client_cert::Forwarding;
use lockgate_core::config::resource::{
    Credential, ExtAuthzProvider, Gateway, MeshConfig, Resolution, Server, ServerProtocol, ServiceEntry,
};
use lockgate_core::path::{Normalization, PathParameters};
use serde_json::{Value, json};

use super::virtual_services::retry;
use super::{LOCKGATE, NETWORKING, labels, resource, texts};

pub(super) fn gateway(gateway: &Gateway) -> Value {
    let spec = json!({
        "selector": labels(&gateway.selector),
        "servers": gateway.servers.iter().map(server).collect::<Vec<_>>(),
    });
    resource(NETWORKING, "Gateway", &gateway.meta, spec)
}

fn server(server: &Server) -> Value {
    let (protocol, tls) = match &*server.protocol {
        ServerProtocol::Http { https_redirect: false } => ("HTTP", None),
        ServerProtocol::Http { https_redirect: true } => ("HTTP", Some(json!({ "httpsRedirect": true }))),
        ServerProtocol::Https(tls) => {
            let [Credential::Files { certificate, key }] = &tls.credentials[..] else {
                panic!("servers have one certificate here, in a file");
            };
            let files =
                json!({ "mode": "SIMPLE", "serverCertificate": &*certificate.value, "privateKey": &*key.value });
            ("HTTPS", Some(files))
        }
    };
    let mut written = json!({
        "hosts": texts(&server.hosts),
        "port": { "number": *server.port, "name": &*server.port_name.value, "protocol": protocol },
    });
    if let Some(tls) = tls {
        written["tls"] = tls;
    }
    written
}

pub(super) fn service_entry(entry: &ServiceEntry) -> Value {
    let resolution = match entry.resolution {
        Resolution::Dns => "DNS",
        _ => panic!("hosts are looked up here"),
    };
    let port = |port: &lockgate_core::config::resource::ServicePort| json!({ "number": *port.number, "name": &*port.name, "protocol": "HTTP" });
    let spec = json!({
        "hosts": texts(&entry.hosts),
        "ports": entry.ports.iter().map(port).collect::<Vec<_>>(),
        "resolution": resolution,
    });
    resource(NETWORKING, "ServiceEntry", &entry.meta, spec)
}

/// With fields of our own, so under our own group.
pub(super) fn mesh_config(mesh: &MeshConfig) -> Value {
    let normalization = match mesh.normalization {
        Normalization::None => "NONE",
        Normalization::Base => "BASE",
        Normalization::MergeSlashes => "MERGE_SLASHES",
        Normalization::DecodeAndMergeSlashes => "DECODE_AND_MERGE_SLASHES",
    };
    let parameters = match mesh.path_parameters {
        PathParameters::Keep => "KEEP",
        PathParameters::Strip => "STRIP",
        PathParameters::Refuse => "REFUSE",
    };
    let mut named = Forwarding::NAMED.into_iter();
    let (forwarding, _) = named
        .find(|(_, known)| *known == mesh.client_cert)
        .expect("each has a name");
    let mut spec = json!({
        "pathNormalization": {
            "normalization": normalization,
            "pathParameters": parameters,
            "escapedSlashes": if mesh.refuse_escaped_slashes { "REFUSE" } else { "KEEP" },
        },
        "defaultConfig": { "gatewayTopology": {
            "numTrustedProxies": mesh.trusted_proxies,
            "forwardClientCertDetails": forwarding,
        } },
        "extensionProviders": mesh.authorizers.iter().map(authorizer).collect::<Vec<_>>(),
    });
    if let Some(retries) = &mesh.default_retries {
        spec["defaultHttpRetryPolicy"] = retry(retries);
    }
    json!({
        "apiVersion": LOCKGATE,
        "kind": "MeshConfig",
        "metadata": { "name": "mesh", "namespace": "istio-system" },
        "spec": spec,
    })
}

fn authorizer(provider: &ExtAuthzProvider) -> Value {
    json!({
        "name": &*provider.name.value,
        "envoyExtAuthzGrpc": {
            "service": &*provider.service.value,
            "port": *provider.port,
            "timeout": format!("{}ms", provider.timeout_ms),
            "failOpen": provider.fail_open.is_some(),
            "statusOnError": provider.status_on_error.to_string(),
            "clearRouteCache": provider.clears_route_cache,
        },
    })
}
