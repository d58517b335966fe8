//! LLMProviders to provider rows, and what their configuration says for each rule.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Settings;
use super::listeners::check_host;
use super::rows::{RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{LlmProvider, Meta, ProviderConfig, Resources, Spanned};
use crate::config::secret::Secret;
use crate::config::suggest::nearest;
use crate::json_text::json_text;
use crate::tables::{ConfigRow, FieldRow, FieldWhen, FixedPath, ProviderId, ProviderRow, Rows, SecretId, UpstreamId};
use crate::text_map::TextMap;

/// The providers that exist for this gateway, by host.
pub(super) struct Providers<'c> {
    /// In the order of their ids.
    visible: Vec<Provider<'c>>,
    by_host: TextMap<ProviderId>,
    /// Those that are loaded but not for this gateway.
    hidden: Vec<&'c LlmProvider>,
    /// Whether a provider that is missing may be one that was refused.
    some_refused: bool,
}

/// One visible provider.
pub(super) struct Provider<'c> {
    pub(super) resource: &'c LlmProvider,
    /// Lower-cased.
    pub(super) host: String,
    /// Rows of its configuration by index of the route-specific entry; `None` is the default.
    configs: Vec<(Option<usize>, u32)>,
}

impl<'c> Providers<'c> {
    pub(super) fn get(&self, host: &str) -> Option<ProviderId> {
        self.by_host.get(host).copied()
    }

    /// A provider of that host that is loaded but does not select this gateway.
    pub(super) fn hidden(&self, host: &str) -> Option<&'c Meta> {
        let mut hidden = self.hidden.iter();
        let provider = hidden.find(|provider| provider.host.eq_ignore_ascii_case(host))?;
        Some(&provider.meta)
    }

    /// Whether a provider that is missing may be one that was refused, and is spoken of already.
    pub(super) fn some_refused(&self) -> bool {
        self.some_refused
    }

    pub(super) fn hosts(&self) -> impl Iterator<Item = &str> {
        self.by_host.keys()
    }

    /// In the order of their ids, which are also their upstreams'.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Provider<'c>> {
        self.visible.iter()
    }

    /// The row of what the provider's configuration says for the rule `rule`.
    pub(super) fn config(&mut self, id: ProviderId, rule: Option<&str>, rows: &mut RowWriter<'_>) -> u32 {
        self.visible
            .get_mut(id.0 as usize)
            .map_or(u32::MAX, |provider| provider.config(rule, rows))
    }
}

pub(super) fn compile<'c>(
    resources: &'c Resources,
    settings: &Settings,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Providers<'c> {
    let mut providers = Providers {
        visible: Vec::new(),
        by_host: TextMap::default(),
        hidden: Vec::new(),
        some_refused: !resources.has_all("LLMProvider"),
    };
    let rule_names: Vec<&str> = resources
        .llm_routes
        .iter()
        .flat_map(|route| route.rules.iter().filter_map(|rule| Some(&*rule.name.as_ref()?.value)))
        .collect();
    for resource in &resources.llm_providers {
        let host = resource.host.to_ascii_lowercase();
        let valid = check_host(&host, &resource.host, diagnostics);
        let visible = settings.in_scope(&resource.meta.namespace)
            && resource
                .workload_selector
                .as_ref()
                .is_none_or(|labels| settings.has_labels(labels));
        if !visible {
            providers.hidden.push(resource);
        } else if let Some(first) = providers.get(&host).and_then(|id| providers.visible.get(id.0 as usize)) {
            refuse_duplicate_host(resource, first.resource, diagnostics);
        } else if valid {
            let provider = provider(
                resource,
                host,
                &rule_names,
                number(providers.visible.len()),
                rows,
                diagnostics,
            );
            providers
                .by_host
                .insert(&provider.host, ProviderId(number(providers.visible.len())));
            providers.visible.push(provider);
        }
    }
    providers
}

fn provider<'c>(
    resource: &'c LlmProvider,
    host: String,
    rule_names: &[&str],
    id: u32,
    rows: &mut RowWriter<'_>,
    diagnostics: &mut Diagnostics,
) -> Provider<'c> {
    warn_about_gaps(resource, diagnostics);
    warn_about_unknown_rules(resource, rule_names, diagnostics);
    let row = ProviderRow {
        host: rows.text(&host),
        path: resource.path.as_ref().map(|path| FixedPath {
            target: rows.text(path),
            path_bytes: number(path.find('?').unwrap_or(path.len())),
        }),
        upstream: UpstreamId(id),
        origin: rows.origin(&resource.meta, &"", resource.meta.name.at),
    };
    rows.rows.providers.push(row);
    Provider {
        resource,
        host,
        configs: Vec::new(),
    }
}

impl Provider<'_> {
    /// The row of what the provider's configuration says for the rule `rule`: the route-specific entry of that name,
    /// completed by the default.
    fn config(&mut self, rule: Option<&str>, rows: &mut RowWriter<'_>) -> u32 {
        let specific = rule.and_then(|rule| {
            self.resource
                .route_specific_configs
                .iter()
                .position(|(name, _)| name.as_str() == rule)
        });
        if let Some((_, known)) = self.configs.iter().find(|(entry, _)| *entry == specific) {
            return *known;
        }
        let entry = specific.and_then(|index| Some(&self.resource.route_specific_configs.get(index)?.1));
        let layers = [entry, self.resource.default_config.as_ref()];
        let row = ConfigRow {
            credential: credential(layers, rows),
            fields: fields(layers, rows),
        };
        let id = number(rows.rows.configs.len());
        rows.rows.configs.push(row);
        self.configs.push((specific, id));
        id
    }
}

/// A provider's configuration for one rule: the first layer that says something decides, field by field.
type Layers<'c> = [Option<&'c ProviderConfig>; 2];

fn first<'c, T>(layers: Layers<'c>, field: impl Fn(&'c ProviderConfig) -> Option<T>) -> Option<T> {
    layers.into_iter().flatten().find_map(field)
}

fn credential(layers: Layers<'_>, rows: &mut RowWriter<'_>) -> Option<SecretId> {
    let key: &Spanned<Secret> = first(layers, |config| config.api_key.as_ref())?;
    Some(rows.secret(key))
}

fn fields(layers: Layers<'_>, rows: &mut RowWriter<'_>) -> Rows {
    let model = first(layers, |config| config.model.as_ref()).map(|model| ("model", json_text(model)));
    let stream = first(layers, |config| config.stream).map(|stream| ("stream", format!("{stream}")));
    let fields: Vec<FieldRow> = [model, stream]
        .into_iter()
        .flatten()
        .map(|(name, value)| field(name, &value, rows))
        .collect();
    append(&mut rows.rows.fields, fields)
}

fn field(name: &str, value: &str, rows: &mut RowWriter<'_>) -> FieldRow {
    FieldRow {
        name: rows.text(name),
        member: rows.text(&format!("\"{name}\":{value}")),
        value: rows.text(value),
        when: FieldWhen::Absent,
    }
}

fn refuse_duplicate_host(resource: &LlmProvider, first: &LlmProvider, diagnostics: &mut Diagnostics) {
    diagnostics
        .error(
            "duplicate-provider-host",
            resource.host.at,
            format!(
                "host `{}` is already that of LLMProvider `{}/{}`",
                *resource.host, first.meta.namespace, *first.meta.name
            ),
        )
        .field("spec.host")
        .help("a route names a provider by its host, so each host has one provider; use `routeSpecificConfigs` for different models or keys");
}

fn warn_about_gaps(resource: &LlmProvider, diagnostics: &mut Diagnostics) {
    let entries = resource.route_specific_configs.iter().map(|(_, config)| config);
    if !resource
        .default_config
        .iter()
        .chain(entries)
        .any(|config| config.api_key.is_some())
    {
        diagnostics
            .warning(
                "provider-without-key",
                resource.meta.name.at,
                format!(
                    "LLMProvider `{}` has no `apiKey`: requests are sent without a key",
                    *resource.meta.name
                ),
            )
            .field("spec.configs.defaultConfig.openAIConfig.apiKey");
    }
}

fn warn_about_unknown_rules(resource: &LlmProvider, rule_names: &[&str], diagnostics: &mut Diagnostics) {
    for (name, _) in &resource.route_specific_configs {
        if !rule_names.contains(&name.as_str()) {
            let finding = diagnostics
                .warning(
                    "unknown-rule",
                    name.at,
                    format!("no LLMRoute has a rule named `{}`", name.as_str()),
                )
                .field("spec.configs.routeSpecificConfigs");
            if let Some(nearest) = nearest(name, rule_names.iter().copied()) {
                finding.help(format!("did you mean `{nearest}`?"));
            }
        }
    }
}
