//! Resources as the documents that platform teams write, for whoever reads text: JSON, which is YAML.
//!
//! Only what the generators here make is written; the loader must read it as
//! the resource it was ([`crate::pairs`] has a test of that).

mod gateway_api;
mod gateways;
mod llm;
mod policies;
mod virtual_services;

use lockgate_core::config::resource::{Labels, Meta, Resources};
use serde_json::{Map, Value, json};

pub use policies::authorization_policy;
pub use virtual_services::spec as virtual_service_spec;

const NETWORKING: &str = "networking.istio.io/v1";
const LOCKGATE: &str = "lockgate.dev/v1";

/// The documents by what they are about, which is the name of a file for them.
#[must_use]
pub fn documents(resources: &Resources) -> Vec<(&'static str, Vec<Value>)> {
    let gateways = resources.gateways.iter().map(gateways::gateway);
    let gateways = gateways.chain(resources.kube_gateways.iter().map(gateway_api::gateway));
    let mesh = resources.mesh_configs.iter().map(gateways::mesh_config);
    let entries = resources.service_entries.iter().map(gateways::service_entry);
    let policies = resources.authorization_policies.iter().map(authorization_policy);
    let providers = resources.llm_providers.iter().map(llm::provider);
    let llm_routes = resources.llm_routes.iter().map(llm::route);
    let services = resources.virtual_services.iter().map(virtual_services::virtual_service);
    let http_routes = resources.http_routes.iter().map(gateway_api::route);
    let files = [
        ("gateways", gateways.chain(mesh).chain(entries).collect()),
        ("policies", policies.collect()),
        ("providers", providers.collect()),
        ("routes", llm_routes.chain(services).chain(http_routes).collect()),
    ];
    let files = files
        .into_iter()
        .filter(|(_, documents): &(_, Vec<Value>)| !documents.is_empty());
    files.collect()
}

/// One file of several documents.
#[must_use]
pub fn text(documents: &[Value]) -> String {
    documents
        .iter()
        .map(|document| format!("---\n{document:#}\n"))
        .collect()
}

/// The variable that stands for a secret of the generators.
#[must_use]
pub fn variable(secret: &str) -> String {
    secret.to_ascii_uppercase().replace('-', "_")
}

fn resource(version: &str, kind: &str, meta: &Meta, spec: Value) -> Value {
    let mut metadata = json!({ "name": &*meta.name.value, "namespace": &*meta.namespace });
    if let Some(seconds) = meta.created {
        // The generators stay within the first minute of 1970.
        metadata["creationTimestamp"] = json!(format!("1970-01-01T00:00:{seconds:02}Z"));
    }
    json!({ "apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec })
}

fn labels(labels: &Labels) -> Value {
    let pairs = labels.iter().map(|(name, value)| (name.to_string(), json!(&**value)));
    Value::Object(pairs.collect::<Map<_, _>>())
}

fn texts<'t>(texts: impl IntoIterator<Item = &'t lockgate_core::config::resource::Spanned<String>>) -> Value {
    texts.into_iter().map(|text| text.value.clone()).collect()
}
