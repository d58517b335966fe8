//! The loader: sources in, resources and findings out.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::check::Checker;
use super::decode;
use super::diagnostic::{Diagnostics, Location, Source};
use super::document::{Document, redact_document};
use super::envelope::{self, Envelope};
use super::field_path::FieldPath;
use super::flaw;
use super::kept::Kept;
use super::mesh;
use super::resource::Resources;
use super::schema::Kind;
use super::tree::{Node, Value};
use super::yaml;
use crate::limits::YAML_ALIAS_NODES_MAX;

const MESH_CONFIG_KIND: &str = "MeshConfig";

/// Where a MeshConfig is shown to be that is no resource.
const MESH_CONFIG_NAMESPACE: &str = "istio-system";

/// What the loader needs besides the text.
#[derive(Clone, Copy)]
pub struct LoadOptions<'e> {
    /// The environment: the value of `${NAME}`.
    pub env: &'e dyn Fn(&str) -> Option<String>,
    /// Kinds to leave out although leaving them out changes what the configuration means.
    pub ignore_kinds: &'e [String],
}

impl core::fmt::Debug for LoadOptions<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("LoadOptions")
            .field("ignore_kinds", &self.ignore_kinds)
            .finish_non_exhaustive()
    }
}

/// What was loaded. With errors among the findings it is incomplete and must not be used.
#[derive(Debug, Default)]
pub struct Loaded {
    /// The resources without errors.
    pub resources: Resources,
    /// The same as documents that may be shown.
    pub documents: Vec<Document>,
    /// Everything that was found, in the order of the text.
    pub diagnostics: Diagnostics,
}

/// Loads every document of every source.
#[must_use]
pub fn load(sources: &[Source], options: &LoadOptions<'_>) -> Loaded {
    load_again(sources, options, &mut Kept::default())
}

/// The same, without reading again what is kept.
pub(crate) fn load_again(sources: &[Source], options: &LoadOptions<'_>, kept: &mut Kept) -> Loaded {
    let mut loader = Loader {
        sources,
        options,
        kept,
        loaded: Loaded::default(),
        files: 0,
        alias_budget: YAML_ALIAS_NODES_MAX,
    };
    let mut in_order: Vec<(u32, &Source)> = (0..).zip(sources).collect();
    in_order.sort_unstable_by_key(|(index, source)| (source.rank, *index));
    let mut rest = in_order.as_slice();
    while let Some((first, after)) = rest.split_first() {
        let others = after.iter().take_while(|(_, source)| source.goes_on()).count();
        let (others, after) = after.split_at_checked(others).unwrap_or_default();
        loader.file(*first, others);
        rest = after;
    }
    loader.loaded.diagnostics.sort_by_place(sources);
    loader.loaded
}

/// `spec.env` of the Scenarios among the sources: what `${NAME}` stands for while they are tried.
///
/// What is wrong with them is for [`load`] to say.
#[must_use]
pub fn scenario_env(sources: &[Source]) -> Vec<(String, String)> {
    let mut env = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        // Most sources hold none, and need not be parsed twice.
        if !source.text.contains("Scenario") {
            continue;
        }
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let mut known = Diagnostics::default();
        let mut alias_budget = YAML_ALIAS_NODES_MAX;
        let mut documents = yaml::documents(source, index, &mut alias_budget, &mut known);
        while let Some(document) = documents.next(&mut known) {
            let is_scenario = document.get("kind").and_then(Node::text) == Some("Scenario");
            let names = document.get("spec").and_then(|spec| spec.get("env"));
            let names = names.filter(|_| is_scenario).map(Node::entries).unwrap_or_default();
            let values = names
                .iter()
                .filter_map(|entry| Some((entry.key.value.clone(), entry.value.text()?.to_string())));
            env.extend(values);
        }
    }
    env
}

struct Loader<'s> {
    sources: &'s [Source],
    options: &'s LoadOptions<'s>,
    kept: &'s mut Kept,
    loaded: Loaded,
    /// Of those that are loaded, the one that is being loaded included.
    files: u32,
    /// What aliases of the file may still expand to.
    alias_budget: usize,
}

impl Loader<'_> {
    /// A file, in one part or several.
    fn file(&mut self, first: (u32, &Source), others: &[(u32, &Source)]) {
        self.files = self.files.saturating_add(1);
        if let (index, Source { flaw: Some(flaw), .. }) = first {
            if flaw::report(first.1, index, flaw, &mut self.loaded.diagnostics) {
                self.loaded.resources.refuse(Resources::ANY_KIND);
            }
            return;
        }
        self.alias_budget = YAML_ALIAS_NODES_MAX;
        let mut is_empty = true;
        for (index, source) in core::iter::once(&first).chain(others) {
            is_empty &= !self.source(source, *index);
        }
        if is_empty {
            let at = Location {
                source: first.0,
                ..Location::default()
            };
            self.loaded
                .diagnostics
                .warning("no-resources", at, "the file holds no resource");
        }
    }

    /// Whether anything is in the source.
    fn source(&mut self, source: &Source, index: u32) -> bool {
        if let Some(kept) = self.kept.take(index) {
            for resource in kept.resources {
                resource.add_to(&mut self.loaded.resources);
            }
            for mut document in kept.documents {
                document.file = self.files;
                self.loaded.documents.push(document);
            }
            return true;
        }
        let (findings, budget) = (self.loaded.diagnostics.count(), self.alias_budget);
        let is_anything = self.read(source, index);
        // What is found must be found again, and what aliases expand to is counted for the file.
        if self.loaded.diagnostics.count() == findings && self.alias_budget == budget {
            self.kept.may_keep(index, source);
        }
        is_anything
    }

    /// The same of a source that is not kept.
    fn read(&mut self, source: &Source, index: u32) -> bool {
        let mut errors_before = self.loaded.diagnostics.error_count();
        let mut alias_budget = self.alias_budget;
        let mut documents = yaml::documents(source, index, &mut alias_budget, &mut self.loaded.diagnostics);
        let mut of_mesh_config = Vec::new();
        let mut is_empty = true;
        loop {
            let document = documents.next(&mut self.loaded.diagnostics);
            if self.loaded.diagnostics.error_count() > errors_before {
                self.loaded.resources.refuse(Resources::ANY_KIND);
                is_empty = false;
            }
            let Some(document) = document else { break };
            is_empty = false;
            match source.is_mesh_config {
                true => of_mesh_config.push(document),
                false => self.document(document),
            }
            errors_before = self.loaded.diagnostics.error_count();
        }
        self.alias_budget = alias_budget;
        if source.is_mesh_config {
            self.mesh_config(of_mesh_config, &FieldPath::Root, true);
        }
        !is_empty
    }

    fn document(&mut self, mut document: Node) {
        let errors_before = self.loaded.diagnostics.error_count();
        match envelope::read(&document, self.options, &mut self.loaded.diagnostics) {
            Envelope::Skip if self.loaded.diagnostics.error_count() > errors_before => {
                self.loaded.resources.refuse(Resources::ANY_KIND);
            }
            Envelope::Skip => {}
            Envelope::List => self.list(document),
            Envelope::ConfigMap => self.config_map(document),
            Envelope::Resource { kind, is_lockgate } => {
                self.checker(is_lockgate).document(&mut document, kind);
                self.resource(document, kind, errors_before);
            }
        }
    }

    fn resource(&mut self, mut document: Node, kind: &'static Kind, errors_before: usize) {
        let Some(meta) = decode::meta(&document, kind) else {
            self.loaded.resources.refuse(kind.name);
            // What it holds is overwritten before its memory is given back.
            redact_document(&mut document, kind);
            return;
        };
        let (namespace, name) = (String::from(&*meta.namespace), String::from(&*meta.name.value));
        let Loaded {
            resources,
            documents,
            diagnostics,
        } = &mut self.loaded;
        let decoded = decode::decode(&document, kind, meta, diagnostics);
        let document = Document::new(kind, namespace, name, self.files, document);
        let is_right = diagnostics.error_count() == errors_before;
        if !is_right || decoded.is_none() {
            resources.refuse(kind.name);
        }
        // What is wrong with a time says nothing about the rest, which is compiled for what else is wrong with it.
        let is_else_right = diagnostics.has_only_since(errors_before, "invalid-duration");
        if let Some(decoded) = decoded.filter(|_| is_else_right) {
            decoded.add_to(resources);
            if is_right {
                documents.push(document);
            }
        }
    }

    /// The ConfigMap of a MeshConfig; any other is not for us.
    fn config_map(&mut self, mut document: Node) {
        if !mesh::is_mesh_config_map(&document) {
            return envelope::skipped_config_map(&document, &mut self.loaded.diagnostics);
        }
        let at = document.at;
        let path = FieldPath::Root.field("data");
        let Some(data) = document.get_mut("data") else {
            self.loaded.resources.refuse(MESH_CONFIG_KIND);
            self.loaded
                .diagnostics
                .error("missing-field", at, "the field `data` is missing")
                .field("data")
                .help("the ConfigMap `istio` holds the MeshConfig as text, in `data.mesh`");
            return;
        };
        let errors_before = self.loaded.diagnostics.error_count();
        self.checker(false).config_map_data(data, &path);
        let text = data.get("mesh").and_then(|mesh| Some((mesh.at, mesh.scalar()?)));
        let (Some((at, scalar)), true) = (text, self.loaded.diagnostics.error_count() == errors_before) else {
            self.loaded.resources.refuse(MESH_CONFIG_KIND);
            return;
        };
        let Some(source) = at.source(self.sources) else { return };
        // In the text that was parsed variables are replaced already: it would show what the environment holds.
        let may_be_shown = scalar.written.is_none();
        let documents = mesh::parse(source, at, &scalar.text, &mut self.loaded.diagnostics);
        self.mesh_config(documents, &path.field("mesh"), may_be_shown);
    }

    /// The one document of a text that is a MeshConfig by itself.
    fn mesh_config(&mut self, documents: Vec<Node>, path: &FieldPath<'_>, may_be_shown: bool) {
        let errors_before = self.loaded.diagnostics.error_count();
        let mut documents = documents.into_iter();
        // An empty one says nothing, as in a cluster.
        let Some(mut document) = documents.next() else { return };
        if let Some(second) = documents.next() {
            self.loaded
                .diagnostics
                .error(
                    "duplicate-resource",
                    second.at,
                    "a MeshConfig is one document, found a second",
                )
                .field(path.to_string());
        }
        let mut checker = self.checker(false);
        checker.holds_variables = !may_be_shown;
        checker.mesh_config(&mut document, path);
        let Loaded {
            resources,
            documents,
            diagnostics,
        } = &mut self.loaded;
        let decoded = decode::mesh_config::decode(&document, diagnostics);
        if diagnostics.error_count() == errors_before {
            resources.mesh_configs.push(decoded);
            let shown = Document::of_mesh_config(document, MESH_CONFIG_NAMESPACE, self.files);
            documents.extend(shown.filter(|_| may_be_shown));
        } else {
            resources.refuse(MESH_CONFIG_KIND);
        }
    }

    fn checker(&mut self, is_lockgate: bool) -> Checker<'_> {
        Checker {
            sources: self.sources,
            env: self.options.env,
            diagnostics: &mut self.loaded.diagnostics,
            is_lockgate,
            holds_variables: false,
        }
    }

    /// `kind: List` of Kubernetes. Nesting is bounded by that of the document.
    fn list(&mut self, list: Node) {
        let Value::Map(entries) = list.value else {
            return;
        };
        for entry in entries {
            match (entry.key.value.as_str(), entry.value.value) {
                ("apiVersion" | "kind" | "metadata", _) => {}
                ("items", Value::List(items)) => items.into_iter().for_each(|item| self.document(item)),
                ("items", _) => {
                    self.loaded
                        .diagnostics
                        .error("wrong-type", entry.key.at, "`items` needs a list")
                        .field("items");
                }
                (name, _) => {
                    let message = alloc::format!("unknown field {}", super::quote::quoted(name));
                    self.loaded
                        .diagnostics
                        .error("unknown-field", entry.key.at, message)
                        .field(name)
                        .help("a List has `items`");
                }
            }
        }
    }
}
