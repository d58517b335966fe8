//! The engine for JavaScript: JSON in, JSON out, and not one decision of its own.
//!
//! [`Simulator`] loads and compiles a configuration as the gateway does, and
//! decides and explains requests with the gateway's own functions. The package
//! around it (`js/`) turns objects into the JSON that is expected here.

mod request;

use std::collections::BTreeMap;

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::{PlacedDiagnostic, Source};
use lockgate_core::explain::Explanation;
use serde::{Deserialize, Serialize};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// The version of the engine, equal to the gateway's.
#[wasm_bindgen]
#[must_use]
pub fn version() -> String {
    env!("CARGO_PKG_VERSION").to_owned()
}

/// A configuration, or what is wrong with it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Simulator {
    diagnostics: String,
    compiled: Option<Compiled>,
}

/// What the gateway takes from its command line and environment.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
struct Options {
    env: BTreeMap<String, String>,
    ignore_kinds: Vec<String>,
    labels: Option<BTreeMap<String, String>>,
    namespace: Option<String>,
    root_namespace: Option<String>,
}

impl Options {
    fn settings(&mut self) -> Settings {
        let default = Settings::default();
        Settings {
            namespace: self.namespace.take().unwrap_or(default.namespace),
            root_namespace: self.root_namespace.take().unwrap_or(default.root_namespace),
            labels: self
                .labels
                .take()
                .map_or(default.labels, |labels| labels.into_iter().collect()),
        }
    }
}

#[wasm_bindgen]
impl Simulator {
    /// Loads `{"name.yaml": "text"}`, in the order of the names.
    ///
    /// # Errors
    /// When the arguments are not of the shape that `index.d.ts` says. What is wrong with the configuration itself
    /// is in [`Simulator::diagnostics`].
    #[wasm_bindgen(constructor)]
    pub fn new(files: &str, options: &str) -> Result<Self, JsError> {
        let files: BTreeMap<String, String> = serde_json::from_str(files)?;
        let mut options: Options = serde_json::from_str(options)?;
        let sources: Vec<Source> = files.into_iter().map(|(name, text)| Source { name, text }).collect();
        let settings = options.settings();
        let env = |name: &str| options.env.get(name).cloned();
        let load = LoadOptions {
            env: &env,
            ignore_kinds: &options.ignore_kinds,
            mesh_config: None,
        };
        let built = build(&sources, &load, &settings);
        let findings = built.diagnostics.as_slice().iter();
        let findings: Vec<PlacedDiagnostic<'_>> = findings.map(|finding| finding.placed(&sources)).collect();
        Ok(Self {
            diagnostics: json(&findings)?,
            compiled: built.compiled,
        })
    }

    /// What is wrong with the configuration, as the gateway's `check -o json` has it.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn diagnostics(&self) -> String {
        self.diagnostics.clone()
    }

    /// The id of the snapshot, `undefined` when the configuration is refused.
    #[wasm_bindgen(getter)]
    #[must_use]
    pub fn snapshot(&self) -> Option<String> {
        self.compiled.as_ref().map(|compiled| compiled.snapshot.id().to_owned())
    }

    /// What the gateway does with a request.
    ///
    /// # Errors
    /// When the configuration is refused or the request is not of the shape that `index.d.ts` says.
    pub fn decide(&self, request: &str) -> Result<String, JsError> {
        json(&self.explanation(request)?.verdict)
    }

    /// The same, with every policy and rule and why it did or did not match.
    ///
    /// # Errors
    /// As [`Simulator::decide`].
    pub fn explain(&self, request: &str) -> Result<String, JsError> {
        json(&self.explanation(request)?)
    }

    /// The same as the gateway's `explain` prints it.
    ///
    /// # Errors
    /// As [`Simulator::decide`].
    #[wasm_bindgen(js_name = explainText)]
    pub fn explain_text(&self, request: &str) -> Result<String, JsError> {
        Ok(self.explanation(request)?.to_string())
    }
}

impl Simulator {
    fn explanation(&self, request: &str) -> Result<Explanation, JsError> {
        let refused = || JsError::new("the configuration has errors, see `diagnostics`");
        let compiled = self.compiled.as_ref().ok_or_else(refused)?;
        request::explain(&compiled.snapshot, request)
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, JsError> {
    Ok(serde_json::to_string(value)?)
}
