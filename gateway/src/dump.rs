//! What is loaded, as it may be shown: the resources without their secrets, and what else decides what they mean.
//!
//! With all of it another engine makes the same snapshot, which is what the
//! playground does. A variable that a secret is written with has no value here.

use std::collections::BTreeMap;

use lockgate_core::compile::Settings;
use lockgate_core::config::Document;
use serde::Serialize;
use serde::ser::SerializeMap;

/// What was loaded, without secrets.
#[derive(Debug)]
pub(crate) struct Dump {
    pub(crate) documents: Vec<Document>,
    /// The sources, in the order in which they were loaded.
    files: Vec<Loaded>,
    /// By name.
    variables: BTreeMap<String, Variable>,
    settings: Settings,
}

/// A source that was loaded.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) name: String,
    /// Whether nothing was in it.
    pub(crate) is_blank: bool,
}

/// What stands for `${NAME}`.
#[derive(Debug)]
struct Variable {
    value: String,
    is_secret: bool,
}

impl Dump {
    /// `value` is what a variable is replaced by.
    pub(crate) fn new(
        documents: Vec<Document>,
        files: Vec<Loaded>,
        settings: Settings,
        value: impl Fn(&str) -> Option<String>,
    ) -> Self {
        let mut variables: BTreeMap<String, Variable> = BTreeMap::new();
        for used in documents.iter().flat_map(|document| &document.variables) {
            let is_secret = used.stand_in.is_some();
            // Where it is a secret once it is one everywhere.
            if is_secret || !variables.contains_key(&used.name) {
                let known = match used.stand_in {
                    Some(stand_in) => stand_in.to_owned(),
                    None => value(&used.name).unwrap_or_default(),
                };
                variables.insert(
                    used.name.clone(),
                    Variable {
                        value: known,
                        is_secret,
                    },
                );
            }
        }
        Self {
            documents,
            files,
            variables,
            settings,
        }
    }

    /// Whether something was in the source of this name.
    pub(crate) fn held(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name && !file.is_blank)
    }

    /// The JSON of it: what `LiveConfiguration` of the playground's `live.ts` says.
    pub(crate) fn told(&self, snapshot: &str) -> serde_json::Value {
        let files: Vec<_> = (1_u32..)
            .zip(&self.files)
            .map(|(number, file)| {
                let here = self.documents.iter().filter(|document| document.file == number);
                serde_json::json!({ "name": file.name, "resources": Texts(here.collect()) })
            })
            .collect();
        let variables = self.variables.iter().map(|(name, variable)| {
            serde_json::json!({
                "name": name,
                "value": variable.value,
                "isSecret": variable.is_secret,
            })
        });
        let withheld = self.documents.iter().filter(|document| document.withholds);
        let withheld = withheld.map(|document| format!("{} {}/{}", document.kind, document.namespace, document.name));
        let Settings {
            namespace,
            root_namespace,
            labels,
        } = &self.settings;
        serde_json::json!({
            "snapshot": snapshot,
            "version": env!("CARGO_PKG_VERSION"),
            "namespace": namespace,
            "rootNamespace": root_namespace,
            "labels": Map(labels),
            "files": files,
            "variables": variables.collect::<Vec<_>>(),
            "withheld": withheld.collect::<Vec<_>>(),
        })
    }
}

/// The documents as JSON texts, in which fields keep their order.
struct Texts<'d>(Vec<&'d Document>);

impl Serialize for Texts<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(
            self.0
                .iter()
                .map(|document| serde_json::to_string(document).unwrap_or_default()),
        )
    }
}

struct Map<'m>(&'m [(String, String)]);

impl Serialize for Map<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (key, value) in self.0 {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use lockgate_core::build;
    use lockgate_core::config::LoadOptions;
    use lockgate_core::config::diagnostic::Source;

    use super::*;

    #[test]
    fn a_variable_of_a_secret_has_no_value_wherever_else_it_stands() {
        let text = "
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {name: a, namespace: istio-system}
spec: {host: '${HOST}', path: '/${KEY}', configs: {defaultConfig: {openAIConfig: {apiKey: '${KEY}'}}}}
";
        let env = |name: &str| Some(format!("{}.example.com", name.to_ascii_lowercase()));
        let sources = [Source::new("a.yaml".to_owned(), text.to_owned())];
        let options = LoadOptions {
            env: &env,
            ignore_kinds: &[],
        };
        let built = build(&sources, &options, &Settings::default());
        let file = Loaded {
            name: "a.yaml".to_owned(),
            is_blank: false,
        };
        let dump = Dump::new(built.documents, vec![file], Settings::default(), env);
        let told = dump.told("id");
        assert!(!told.to_string().contains("key.example.com"), "{told}");
        let variables = serde_json::json!([
            { "name": "HOST", "value": "host.example.com", "isSecret": false },
            { "name": "KEY", "value": "redacted", "isSecret": true },
        ]);
        assert_eq!(told["variables"], variables);
        let resource = told["files"][0]["resources"][0].as_str().unwrap();
        assert!(resource.starts_with(r#"{"apiVersion":"istio.alibabacloud.com/v1beta1","kind":"LLMProvider""#));
    }
}
