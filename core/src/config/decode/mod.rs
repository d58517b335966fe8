//! Checked trees to typed resources.
//!
//! [`super::check`] has looked at every field by itself, so these functions
//! take what is there and leave out what is not (that has been reported). What
//! they do report is what no single field shows: two ports of one name, a DENY
//! without rules, weights that do not add up.

mod authorization_policy;
mod destination_rule;
mod extension_provider;
mod gateway;
mod gateway_api;
mod http_filters;
mod http_route;
mod llm_provider;
mod llm_route;
pub(super) mod mesh_config;
mod request_authentication;
mod route_settings;
mod scenario;
mod secret;
mod service_entry;
mod string_match;
mod target;
mod virtual_service;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::diagnostic::Diagnostics;
use super::resource::gateway_api as kube;
use super::resource::http_route::HttpRoute;
use super::resource::{
    AuthorizationPolicy, DestinationRule, Gateway, KubernetesSecret, Labels, LlmProvider, LlmRoute, MeshConfig, Meta,
    RequestAuthentication, Resources, Scenario, ServiceEntry, Spanned, VirtualService,
};
use super::schema::{GATEWAY_API, Kind};
use super::time::parse_timestamp;
use super::tree::{Node, Scalar};
use crate::text_map::TextSet;

/// A resource of one of the kinds.
pub(crate) enum Decoded {
    Gateway(Gateway),
    AuthorizationPolicy(AuthorizationPolicy),
    RequestAuthentication(RequestAuthentication),
    LlmProvider(LlmProvider),
    LlmRoute(LlmRoute),
    VirtualService(VirtualService),
    ServiceEntry(ServiceEntry),
    DestinationRule(DestinationRule),
    Secret(KubernetesSecret),
    MeshConfig(MeshConfig),
    KubeGateway(kube::Gateway),
    GatewayClass(kube::GatewayClass),
    HttpRoute(HttpRoute),
    ReferenceGrant(kube::ReferenceGrant),
    InferencePool(kube::InferencePool),
    Scenario(Scenario),
}

impl Decoded {
    pub(crate) fn add_to(self, resources: &mut Resources) {
        match self {
            Self::Gateway(resource) => resources.gateways.push(resource),
            Self::AuthorizationPolicy(resource) => resources.authorization_policies.push(resource),
            Self::RequestAuthentication(resource) => resources.request_authentications.push(resource),
            Self::LlmProvider(resource) => resources.llm_providers.push(resource),
            Self::LlmRoute(resource) => resources.llm_routes.push(resource),
            Self::VirtualService(resource) => resources.virtual_services.push(resource),
            Self::ServiceEntry(resource) => resources.service_entries.push(resource),
            Self::DestinationRule(resource) => resources.destination_rules.push(resource),
            Self::Secret(resource) => resources.secrets.push(resource),
            Self::MeshConfig(resource) => resources.mesh_configs.push(resource),
            Self::KubeGateway(resource) => resources.kube_gateways.push(resource),
            Self::GatewayClass(resource) => resources.gateway_classes.push(resource),
            Self::HttpRoute(resource) => resources.http_routes.push(resource),
            Self::ReferenceGrant(resource) => resources.reference_grants.push(resource),
            Self::InferencePool(resource) => resources.inference_pools.push(resource),
            Self::Scenario(resource) => resources.scenarios.push(resource),
        }
    }

    /// All that are among `resources`, each kind in its order.
    pub(crate) fn of(resources: Resources) -> impl Iterator<Item = Self> {
        let Resources {
            gateways,
            authorization_policies,
            request_authentications,
            llm_providers,
            llm_routes,
            virtual_services,
            service_entries,
            destination_rules,
            secrets,
            kube_gateways,
            gateway_classes,
            http_routes,
            reference_grants,
            inference_pools,
            mesh_configs,
            scenarios,
            refused: _,
        } = resources;
        let istio = gateways.into_iter().map(Self::Gateway);
        let kube = kube_gateways.into_iter().map(Self::KubeGateway);
        istio
            .chain(authorization_policies.into_iter().map(Self::AuthorizationPolicy))
            .chain(request_authentications.into_iter().map(Self::RequestAuthentication))
            .chain(llm_providers.into_iter().map(Self::LlmProvider))
            .chain(llm_routes.into_iter().map(Self::LlmRoute))
            .chain(virtual_services.into_iter().map(Self::VirtualService))
            .chain(service_entries.into_iter().map(Self::ServiceEntry))
            .chain(destination_rules.into_iter().map(Self::DestinationRule))
            .chain(secrets.into_iter().map(Self::Secret))
            .chain(kube)
            .chain(gateway_classes.into_iter().map(Self::GatewayClass))
            .chain(http_routes.into_iter().map(Self::HttpRoute))
            .chain(reference_grants.into_iter().map(Self::ReferenceGrant))
            .chain(inference_pools.into_iter().map(Self::InferencePool))
            .chain(mesh_configs.into_iter().map(Self::MeshConfig))
            .chain(scenarios.into_iter().map(Self::Scenario))
    }

    /// Where it came from. A MeshConfig may be no resource.
    pub(crate) fn meta(&self) -> Option<&Meta> {
        Some(match self {
            Self::Gateway(resource) => &resource.meta,
            Self::AuthorizationPolicy(resource) => &resource.meta,
            Self::RequestAuthentication(resource) => &resource.meta,
            Self::LlmProvider(resource) => &resource.meta,
            Self::LlmRoute(resource) => &resource.meta,
            Self::VirtualService(resource) => &resource.meta,
            Self::ServiceEntry(resource) => &resource.meta,
            Self::DestinationRule(resource) => &resource.meta,
            Self::Secret(resource) => &resource.meta,
            Self::MeshConfig(_) => return None,
            Self::KubeGateway(resource) => &resource.meta,
            Self::GatewayClass(resource) => &resource.meta,
            Self::HttpRoute(resource) => &resource.meta,
            Self::ReferenceGrant(resource) => &resource.meta,
            Self::InferencePool(resource) => &resource.meta,
            Self::Scenario(resource) => &resource.meta,
        })
    }
}

/// Reads the resource of the document. `None` if something it cannot be without is missing.
pub(crate) fn decode(document: &Node, kind: &Kind, meta: Meta, diagnostics: &mut Diagnostics) -> Option<Decoded> {
    let spec = document.get("spec");
    match kind.name {
        "Gateway" if kind.group == GATEWAY_API => {
            gateway_api::gateway(spec?, meta, diagnostics).map(Decoded::KubeGateway)
        }
        "GatewayClass" => gateway_api::class(spec?, meta).map(Decoded::GatewayClass),
        "HTTPRoute" => http_route::decode(spec?, meta, diagnostics).map(Decoded::HttpRoute),
        "InferencePool" => gateway_api::pool(spec?, meta, diagnostics).map(Decoded::InferencePool),
        "ReferenceGrant" => Some(Decoded::ReferenceGrant(gateway_api::grant(spec?, meta))),
        "Gateway" => gateway::decode(spec?, meta, diagnostics).map(Decoded::Gateway),
        "AuthorizationPolicy" => {
            authorization_policy::decode(document, meta, diagnostics).map(Decoded::AuthorizationPolicy)
        }
        "RequestAuthentication" => {
            request_authentication::decode(document, meta, diagnostics).map(Decoded::RequestAuthentication)
        }
        "LLMProvider" => llm_provider::decode(spec?, meta, diagnostics).map(Decoded::LlmProvider),
        "LLMRoute" => llm_route::decode(document, meta, diagnostics).map(Decoded::LlmRoute),
        "VirtualService" => virtual_service::decode(spec?, meta, diagnostics).map(Decoded::VirtualService),
        "ServiceEntry" => service_entry::decode(spec?, meta, diagnostics).map(Decoded::ServiceEntry),
        "MeshConfig" => Some(Decoded::MeshConfig(mesh_config::decode(spec?, diagnostics))),
        "Scenario" => scenario::decode(spec?, meta, diagnostics).map(Decoded::Scenario),
        "Secret" => Some(Decoded::Secret(secret::decode(document, meta))),
        "DestinationRule" => destination_rule::decode(spec?, meta, diagnostics).map(Decoded::DestinationRule),
        _ => None,
    }
}

/// `metadata` of the document.
pub(crate) fn meta(document: &Node, kind: &Kind) -> Option<Meta> {
    let metadata = document.get("metadata")?;
    let name = boxed(metadata.get("name")?)?;
    let namespace = metadata.get("namespace").and_then(Node::text).unwrap_or("default");
    Some(Meta {
        kind: kind.name,
        namespace: namespace.into(),
        name,
        created: metadata
            .get("creationTimestamp")
            .and_then(Node::text)
            .and_then(parse_timestamp),
        at: document.at,
    })
}

fn text(node: &Node) -> Option<Spanned<String>> {
    node.text().map(|text| Spanned {
        value: text.into(),
        at: node.at,
    })
}

fn boxed(node: &Node) -> Option<Spanned<Box<str>>> {
    node.text().map(|text| Spanned {
        value: text.into(),
        at: node.at,
    })
}

/// A host name: DNS does not know case, so that nothing after the loader has to.
fn host(node: &Node) -> Option<Spanned<String>> {
    node.text().map(|text| Spanned {
        value: text.to_ascii_lowercase(),
        at: node.at,
    })
}

/// The items of the list field that `read` can read.
fn each<T>(node: Option<&Node>, name: &str, read: impl FnMut(&Node) -> Option<T>) -> Vec<T> {
    let items = node.and_then(|node| node.get(name)).map(Node::items);
    exactly(items.unwrap_or_default().iter().filter_map(read))
}

/// A list without room for more: there may be a hundred thousand of one entry.
fn exactly<T>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut list = Vec::with_capacity(items.size_hint().1.unwrap_or_default());
    list.extend(items);
    list.shrink_to_fit();
    list
}

fn integer<N: TryFrom<i64>>(node: &Node) -> Option<Spanned<N>> {
    let value = N::try_from(node.scalar()?.as_integer()?).ok()?;
    Some(Spanned { value, at: node.at })
}

fn labels(node: &Node) -> Labels {
    node.entries()
        .iter()
        .filter_map(|entry| Some((entry.key.value.as_str().into(), entry.value.text()?.into())))
        .collect()
}

/// Reports each name that an earlier one of the list equals.
fn unique(
    names: &mut dyn Iterator<Item = Option<&Node>>,
    what: &str,
    field: &dyn Fn(usize) -> String,
    diagnostics: &mut Diagnostics,
) {
    let mut seen = TextSet::default();
    for (index, node) in names.enumerate() {
        if let Some(node) = node
            && let Some(name) = node.text()
            && !seen.insert(name)
        {
            let name = node.scalar().map(Scalar::shown).unwrap_or_default();
            diagnostics
                .error("duplicate-name", node.at, format!("two {what} are named {name}"))
                .field(field(index))
                .help("give each a name of its own");
        }
    }
}
