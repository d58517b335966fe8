//! The engine for JavaScript: JSON in, JSON out, and not one decision of its own.
//!
//! [`Simulator`] loads and compiles a configuration as the gateway does, and
//! decides and explains requests with the gateway's own functions. The package
//! around it (`js/`) turns objects into the JSON that is expected here.

mod json;
mod request;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::diagnostic::{PlacedDiagnostic, Source};
use lockgate_core::config::resource::Scenario;
use lockgate_core::config::{LoadOptions, load};
use lockgate_core::explain::Explanation;
use lockgate_core::{scenario, snapshot};
use serde::Serialize;
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

use json::Json;

/// Which build this is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Build {
    version: &'static str,
    commit: Option<&'static str>,
    snapshot_format: u32,
}

/// Which build this is: `Build` of `index.d.ts`.
///
/// # Errors
/// None: it can be written as JSON.
#[wasm_bindgen]
pub fn build() -> Result<String, JsError> {
    json(&Build {
        version: env!("CARGO_PKG_VERSION"),
        // `cargo xtask` says so, where there is a repository.
        commit: option_env!("LOCKGATE_COMMIT"),
        snapshot_format: snapshot::FORMAT,
    })
}

/// A configuration, or what is wrong with it.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Simulator {
    options: Options,
    sources: Vec<Source>,
    diagnostics: String,
    compiled: Option<Compiled>,
    scenarios: Vec<Scenario>,
}

/// What the gateway takes from its command line and environment: `Options` of `index.d.ts`.
#[derive(Debug)]
struct Options {
    env: Vec<(String, String)>,
    ignore_kinds: Vec<String>,
    settings: Settings,
}

impl Options {
    fn read(text: &str) -> Result<Self, JsError> {
        let names = ["env", "ignoreKinds", "labels", "namespace", "rootNamespace"];
        let mut fields = Json::read(text)?.fields("options", &names)?;
        let default = Settings::default();
        Ok(Self {
            env: fields.take("env", texts_by_name)?.unwrap_or_default(),
            ignore_kinds: fields
                .take("ignoreKinds", |kinds, name| kinds.list(name, Json::string))?
                .unwrap_or_default(),
            settings: Settings {
                namespace: fields.take("namespace", Json::string)?.unwrap_or(default.namespace),
                root_namespace: fields
                    .take("rootNamespace", Json::string)?
                    .unwrap_or(default.root_namespace),
                labels: fields.take("labels", texts_by_name)?.unwrap_or(default.labels),
            },
        })
    }

    /// The page's, then those that the scenarios among the texts bring for what has no other value.
    fn variables(&self, sources: &[Source]) -> Vec<(String, String)> {
        let mut variables = self.env.clone();
        variables.extend(scenario::env(sources));
        variables
    }
}

/// `Record<string, string>`, sorted by name.
fn texts_by_name(value: Json<'_>, name: &str) -> Result<Vec<(String, String)>, JsError> {
    let mut texts = value.map(name, Json::string)?;
    texts.sort_unstable();
    Ok(texts)
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
        let sources = sources(Json::read(files)?)?;
        let options = Options::read(options)?;
        let variables = options.variables(&sources);
        let env = |name: &str| value_of(&variables, name);
        let load = LoadOptions {
            env: &env,
            ignore_kinds: &options.ignore_kinds,
        };
        let built = lockgate_core::build(&sources, &load, &options.settings);
        let findings = built.diagnostics.as_slice().iter();
        let findings: Vec<PlacedDiagnostic<'_>> = findings.map(|finding| finding.placed(&sources)).collect();
        Ok(Self {
            diagnostics: json(&findings)?,
            compiled: built.compiled,
            scenarios: built.scenarios,
            options,
            sources,
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
        let question = request::read(request)?;
        let verdict = question.verdict(&self.compiled()?.snapshot);
        json(&verdict.map_err(|why| JsError::new(&why))?)
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

    /// Tries the scenarios of `{"name.yaml": "text"}`, or those of the configuration when it is `null`: the report, and what
    /// is wrong with the texts.
    ///
    /// # Errors
    /// When the configuration is refused or the argument is not of that shape.
    pub fn test(&self, files: &str) -> Result<String, JsError> {
        let snapshot = &self.compiled()?.snapshot;
        let files = Json::read(files)?;
        if files.text == "null" {
            let nothing: [PlacedDiagnostic<'_>; 0] = [];
            return json(&(scenario::run(snapshot, &self.scenarios, &self.sources), &nothing[..]));
        }
        let sources = sources(files)?;
        let variables = self.options.variables(&sources);
        let options = LoadOptions {
            env: &|name| value_of(&variables, name),
            ignore_kinds: &[],
        };
        let loaded = load(&sources, &options);
        if let Some(other) = loaded.documents.iter().find(|document| document.kind != "Scenario") {
            return Err(JsError::new(&format!(
                "the scenarios hold the {} `{}/{}`: give it to the constructor",
                other.kind, other.namespace, other.name
            )));
        }
        let findings = loaded.diagnostics.as_slice().iter();
        let findings: Vec<PlacedDiagnostic<'_>> = findings.map(|finding| finding.placed(&sources)).collect();
        json(&(
            scenario::run(snapshot, &loaded.resources.scenarios, &sources),
            &findings[..],
        ))
    }
}

fn sources(files: Json<'_>) -> Result<Vec<Source>, JsError> {
    let files = texts_by_name(files, "files")?.into_iter();
    Ok(files.map(|(name, text)| Source::new(name, text)).collect())
}

fn value_of(variables: &[(String, String)], name: &str) -> Option<String> {
    let (_, value) = variables.iter().find(|(known, _)| known == name)?;
    Some(value.clone())
}

impl Simulator {
    fn compiled(&self) -> Result<&Compiled, JsError> {
        let refused = || JsError::new("the configuration has errors, see `diagnostics`");
        self.compiled.as_ref().ok_or_else(refused)
    }

    fn explanation(&self, request: &str) -> Result<Explanation, JsError> {
        let compiled = self.compiled()?;
        let question = request::read(request)?;
        question.explain(&compiled.snapshot).map_err(|why| JsError::new(&why))
    }
}

fn json<T: Serialize>(value: &T) -> Result<String, JsError> {
    // What may go wrong with JSON in general, in words, is a kilobyte of the module; nothing of ours does.
    serde_json::to_string(value).map_err(|_| JsError::new("the answer cannot be written as JSON"))
}
