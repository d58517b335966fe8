//! The JSON Schema says what the loader takes.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::config::diagnostic::Source;
use lockgate_core::config::{LoadOptions, json_schema, load};
use serde_json::Value;

const KINDS: [&str; 7] = [
    "VirtualService",
    "AuthorizationPolicy",
    "DestinationRule",
    "Gateway",
    "LLMProvider",
    "LLMRoute",
    "ServiceEntry",
];

fn schema() -> Value {
    serde_json::from_str(&json_schema()).unwrap()
}

/// Every field of the document is declared, and no closed set or `not` refuses it.
fn assert_declared(schema: &Value, value: &Value, path: &str) {
    assert!(schema["not"].is_null(), "{path} is not supported");
    let is_structure = value.is_object() || value.is_array();
    let schema = match schema["anyOf"].as_array() {
        // The other is null.
        Some(alternatives) if is_structure => &alternatives[0],
        _ => schema,
    };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let declared = &schema["properties"][name.as_str()];
                let declared = if declared.is_null() {
                    &schema["additionalProperties"]
                } else {
                    declared
                };
                assert!(declared.is_object(), "{path}.{name} is not declared");
                assert_declared(declared, value, &format!("{path}.{name}"));
            }
            for required in schema["required"].as_array().into_iter().flatten() {
                assert!(
                    fields.contains_key(required.as_str().unwrap()),
                    "{path}.{required} is required"
                );
            }
        }
        Value::Array(items) => {
            assert_eq!(schema["type"], "array", "{path}");
            items
                .iter()
                .for_each(|item| assert_declared(&schema["items"], item, path));
        }
        leaf => assert!(allows(schema, leaf), "{path}: {leaf} by {schema}"),
    }
}

fn allows(schema: &Value, leaf: &Value) -> bool {
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return alternatives.iter().any(|alternative| allows(alternative, leaf));
    }
    if let Some(words) = schema["enum"].as_array() {
        return words.contains(leaf);
    }
    match schema["type"].as_str() {
        Some("string") => leaf.is_string(),
        Some("boolean") => leaf.is_boolean(),
        Some("integer") => leaf.is_i64(),
        _ => schema["const"].is_null() || schema["const"] == *leaf,
    }
}

/// Whether the value is valid by the schema, as far as it uses what ours does.
fn is_valid(root: &Value, schema: &Value, value: &Value) -> bool {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = reference.strip_prefix('#').unwrap();
        return is_valid(root, root.pointer(target).unwrap(), value);
    }
    let valid = |schema: &Value| is_valid(root, schema, value);
    let list = |name: &str| schema[name].as_array().into_iter().flatten();
    let chosen = schema["if"].is_null() || !valid(&schema["if"]) || valid(&schema["then"]);
    let not = schema["not"].is_null() || !valid(&schema["not"]);
    let any = schema["anyOf"].is_null() || list("anyOf").any(valid);
    let word = schema["enum"].is_null() || list("enum").any(|word| word == value);
    let constant = schema["const"].is_null() || schema["const"] == *value;
    let size = |name: &str, size: usize| schema[name].as_u64().is_none_or(|min| size as u64 >= min);
    let is_of_type = schema["type"].as_str().is_none_or(|name| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        "null" => value.is_null(),
        other => panic!("{other}"),
    });
    let inside = match value {
        Value::Object(fields) => {
            let required = list("required").all(|name| fields.contains_key(name.as_str().unwrap()));
            let field = |(name, value): (&String, &Value)| {
                let declared = schema["properties"].get(name).or(schema.get("additionalProperties"));
                let named = schema.get("propertyNames");
                named.is_none_or(|schema| is_valid(root, schema, &name.as_str().into()))
                    && match declared {
                        Some(Value::Bool(allowed)) => *allowed,
                        Some(schema) => is_valid(root, schema, value),
                        None => true,
                    }
            };
            required && size("minProperties", fields.len()) && fields.iter().all(field)
        }
        Value::Array(items) => {
            let item = |value: &Value| schema["items"].is_null() || is_valid(root, &schema["items"], value);
            size("minItems", items.len()) && items.iter().all(item)
        }
        Value::String(text) => schema["pattern"].as_str().is_none_or(|pattern| {
            // Unanchored, and nothing but what the pattern says of its ends.
            let dfa = regex_automata::dfa::dense::DFA::new(pattern).unwrap();
            let input = regex_automata::Input::new(text);
            regex_automata::dfa::Automaton::try_search_fwd(&dfa, &input)
                .unwrap()
                .is_some()
        }),
        _ => true,
    };
    chosen && not && any && word && constant && is_of_type && inside && list("allOf").all(valid)
}

/// The documents of a text, as they stand.
fn documents(text: &str) -> Vec<Value> {
    let text = format!("\n{text}");
    let parts = text.split("\n---\n").filter(|part| part.contains("kind:"));
    parts.map(|part| serde_saphyr::from_str(part).unwrap()).collect()
}

#[test]
fn every_example_is_valid() {
    let schema = schema();
    let mut seen = 0;
    for folder in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples")).unwrap() {
        for file in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "yaml") {
                for document in documents(&std::fs::read_to_string(&path).unwrap()) {
                    assert!(is_valid(&schema, &schema, &document), "{}: {document}", path.display());
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

#[test]
fn what_may_be_empty_or_null_is_valid_as_it_loads() {
    let text = "
apiVersion: lockgate.dev/v1
kind: Scenario
metadata: {name: empty, namespace: null, labels: null, annotations: null, creationTimestamp: null, uid: null}
spec:
  env: {NOTHING: ''}
  cases:
  - name: empty
    request: {url: 'http://a.test/', headers: [{name: x-empty, value: ''}]}
    expect: {status: 404}
---
apiVersion: v1
kind: Secret
metadata: {name: empty}
data: {nothing: ''}
stringData: {nothing-either: ''}
";
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let loaded = load(&[Source::new("empty.yaml".into(), text.into())], &options);
    assert_eq!(loaded.diagnostics.error_count(), 0);
    let schema = schema();
    for document in documents(text) {
        assert!(is_valid(&schema, &schema, &document), "{document}");
    }
    let nameless = &documents("kind: Secret\napiVersion: v1\nmetadata: {name: null}")[0];
    assert!(!is_valid(&schema, &schema, nameless));
}

#[test]
fn kinds_of_others_are_valid_and_misspelt_ones_of_ours_are_not() {
    let schema = schema();
    let is_valid = |text: &str| is_valid(&schema, &schema, &documents(text)[0]);
    for text in [
        "{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 2}}",
        "{apiVersion: v1, kind: Service, metadata: {name: a}}",
        "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: istio}, data: {mesh: 'trustDomain: a'}}",
        "{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {x: y}, immutable: true}",
        "{apiVersion: v1, kind: List, items: [{apiVersion: apps/v1, kind: Deployment}]}",
    ] {
        assert!(is_valid(text), "{text}");
    }
    for text in [
        "{apiVersion: security.istio.io/v1, kind: AuthorizationPolcy, metadata: {name: a}}",
        "{apiVersion: istio.io/v1, kind: AuthorizationPolicy, metadata: {name: a}}",
        "{apiVersion: rbac.istio.io/v1, kind: Other, metadata: {name: a}}",
        "{apiVersion: lockgate.dev/v1, kind: Deployment, metadata: {name: a}}",
        "{apiVersion: istio.alibabacloud.com/v1, kind: LLMRoutes, metadata: {name: a}}",
        "{apiVersion: apps/v1, kind: LLMRoute, metadata: {name: a}, spec: {}}",
        "{apiVersion: v1, kind: ConfigMap, data: {mesh: {trustDomain: a}}}",
        "{apiVersion: v1, kind: List, items: [{apiVersion: lockgate.dev/v1, kind: Gatway}]}",
        "{kind: Deployment}",
    ] {
        assert!(!is_valid(text), "{text}");
    }
}

#[test]
fn the_seed_is_declared() {
    let sources = ["llm-provider", "gateway", "llm-route", "authorization-policy"].map(|name| {
        Source::new(
            name.into(),
            std::fs::read_to_string(format!("{}/../examples/seed/{name}.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap(),
        )
    });
    let options = LoadOptions {
        env: &|_| Some("10.0.0.1".into()),
        ignore_kinds: &[],
    };
    let loaded = load(&sources, &options);
    assert_eq!(loaded.documents.len(), 4);
    for document in &loaded.documents {
        let value = serde_json::to_value(document).unwrap();
        assert_declared(&schema()["$defs"][document.kind], &value, document.kind);
    }
}

/// Both kinds of Gateways have one name, so the group chooses.
#[test]
fn gateway_api_is_declared() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/gateway-api/gateway-api.yaml");
    let source = Source::new(path.into(), std::fs::read_to_string(path).unwrap());
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let loaded = load(&[source], &options);
    assert_eq!(loaded.documents.len(), 6);
    let schema = schema();
    for document in &loaded.documents {
        let value = serde_json::to_value(document).unwrap();
        let definition = match document.kind {
            "Gateway" => "Gateway.gateway.networking.k8s.io",
            kind => kind,
        };
        assert_declared(&schema["$defs"][definition], &value, document.kind);
    }
    let choices = schema["allOf"].as_array().unwrap().iter();
    let gateways = choices.filter(|choice| choice["if"]["properties"]["kind"]["const"] == "Gateway");
    let chosen: Vec<(&Value, &Value)> = gateways
        .map(|choice| (&choice["if"]["properties"]["apiVersion"], &choice["then"]["$ref"]))
        .collect();
    let pattern = serde_json::json!({"pattern": r"^gateway\.networking\.k8s\.io/"});
    let other = serde_json::json!({ "not": pattern });
    assert_eq!(
        chosen,
        [
            (&other, &Value::from("#/$defs/Gateway")),
            (&pattern, &Value::from("#/$defs/Gateway.gateway.networking.k8s.io")),
        ]
    );
}

#[test]
fn each_kind_is_chosen_by_its_name() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    for kind in KINDS {
        let chosen = schema["allOf"].as_array().unwrap().iter().any(|choice| {
            choice["if"]["properties"]["kind"]["const"] == kind && choice["then"]["$ref"] == format!("#/$defs/{kind}")
        });
        assert!(chosen, "{kind}");
        assert!(schema["$defs"][kind]["description"].is_string(), "{kind}");
        let versions = schema["$defs"][kind]["properties"]["apiVersion"]["enum"]
            .as_array()
            .unwrap();
        assert!(
            versions.contains(&"lockgate.dev/v1".into()) && versions.len() > 2,
            "{kind}"
        );
    }
}

#[test]
fn what_is_not_supported_yet_is_refused_by_the_schema_too() {
    let schema = schema();
    let spec = &schema["$defs"]["AuthorizationPolicy"]["properties"]["spec"];
    let entry = &schema["$defs"]["ServiceEntry"]["properties"]["spec"];
    assert_eq!(entry["properties"]["addresses"]["not"], serde_json::json!({}));
    let rule = &spec["properties"]["rules"]["items"];
    assert_eq!(
        rule["properties"]["when"]["items"]["required"],
        serde_json::json!(["key"])
    );
    assert_eq!(rule["additionalProperties"], false);
    let action = &schema["$defs"]["AuthorizationPolicy"]["properties"]["spec"]["properties"]["action"];
    let words = action["anyOf"][0]["enum"].as_array().unwrap();
    assert!(words.contains(&"DENY".into()) && words.contains(&"CUSTOM".into()));
}
