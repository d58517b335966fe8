//! The rules of one LLMRoute: backends with their weights, and the alternatives
//! under which each rule matches.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::bind::qualified;
use super::virtual_hosts::{Alternative, Rank};
use super::weights::check_sum;
use super::{attempts, conditions, cors, fault, header_changes, http_match, mirrors, rewrites};
use crate::authority;
use crate::compile::Settings;
use crate::compile::destinations::{Destinations, full_name};
use crate::compile::providers::Providers;
use crate::compile::rows::{FieldText, RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{BackendRef, LlmMatch, LlmRoute, LlmRule, Spanned, StringMatch, UriRewrite};
use crate::config::suggest::did_you_mean;
use crate::tables::{
    BackendRow, BackendTarget, ConditionRow, EntryRow, MatchedPath, PathRewrite, ProviderId, ProviderTarget, Rows,
    RuleAction, RuleId, RuleRow, Split, Subject, Test,
};
use crate::text_map::TextSet;

/// What logs and metrics call a rule: `namespace/route/rule`, the rule by name or by position.
fn rule_label(route: &LlmRoute, rule: &LlmRule, index: usize) -> String {
    let position = format!("rules[{index}]");
    let name = rule.name.as_ref().map_or(&*position, |name| &*name.value);
    format!("{}/{}/{name}", route.meta.namespace, *route.meta.name)
}

/// Without a condition on the path, every path has this.
const NO_PATH: MatchedPath = MatchedPath::Prefix(1);

/// Compiles the rules of one LLMRoute.
pub(super) struct RouteCompiler<'r, 'c, 'd, 's> {
    pub(super) route: &'r LlmRoute,
    pub(super) settings: &'r Settings,
    pub(super) providers: &'r mut Providers<'c>,
    pub(super) rows: &'r mut RowWriter<'s>,
    pub(super) diagnostics: &'r mut Diagnostics,
    /// `None` when no listener here serves the route.
    pub(super) destinations: Option<&'r mut Destinations<'d>>,
}

impl RouteCompiler<'_, '_, '_, '_> {
    pub(super) fn compile(&mut self) -> Vec<Alternative> {
        self.refuse_duplicate_rule_names();
        let mut alternatives = Vec::new();
        for (index, rule) in self.route.rules.iter().enumerate() {
            let field: FieldText<'_> = &format_args!("spec.rules[{index}]");
            let id = self.rule(rule, index, field);
            alternatives.extend(self.alternatives(rule, id, field));
        }
        self.warn_about_unreachable_rules();
        alternatives
    }

    fn rule(&mut self, rule: &LlmRule, index: usize, field: FieldText<'_>) -> RuleId {
        let weights = self.weights(rule);
        header_changes::refuse_of_bodies(&rule.headers.request, (rule.at, field), self.diagnostics);
        let sent = Sent {
            authority: rule
                .headers
                .request
                .authority
                .as_ref()
                .or(rule.rewrite.authority.as_ref()),
            path: rewrites::path(&rule.rewrite, field, self.rows, self.diagnostics),
            request_changes: header_changes::write(&[&rule.headers.request], self.rows),
            response_changes: header_changes::write(&[&rule.headers.response], self.rows),
        };
        let backends: Vec<BackendRow> = rule
            .backend_refs
            .iter()
            .zip(weights)
            .filter_map(|(backend, weight)| self.backend(rule, &sent, backend, weight))
            .collect();
        let row = RuleRow {
            label: self.rows.text(&rule_label(self.route, rule, index)),
            action: RuleAction::Forward(Split {
                weight: backends
                    .iter()
                    .fold(0, |sum, backend| sum.saturating_add(backend.weight)),
                backends: append(&mut self.rows.rows.backends, backends),
            }),
            attempts: attempts::to_providers(&rule.settings, self.rows),
            cors: rule
                .settings
                .cors
                .as_ref()
                .map(|policy| cors::compile(policy, self.rows, self.diagnostics)),
            fault: rule
                .settings
                .fault
                .as_ref()
                .and_then(|one| fault::compile(one, self.rows)),
            mirrors: self.mirrors(rule, field),
            origin: self
                .rows
                .origin(&self.route.meta, &format_args!("spec.rules[{index}]"), rule.at),
        };
        let id = RuleId(number(self.rows.rows.rules.len()));
        self.rows.rows.rules.push(row);
        id
    }

    fn mirrors(&mut self, rule: &LlmRule, field: FieldText<'_>) -> Rows {
        let namespace = &self.route.meta.namespace;
        for mirror in &rule.settings.mirrors {
            let host = full_name(&mirror.destination.host, namespace).to_ascii_lowercase();
            if self.providers.get(&host).is_some() || self.providers.hidden(&host).is_some() {
                self.diagnostics
                    .error(
                        "mirror-to-provider",
                        mirror.destination.host.at,
                        format!("`{host}` is the host of an LLMProvider, and a copy has no key for it"),
                    )
                    .field(format!("{field}.{}", mirror.field))
                    .help("name a host of a ServiceEntry that is no provider's: keys never leave their provider, and nobody reads a copy's answer");
            }
        }
        mirrors::compile(
            &rule.settings.mirrors,
            (namespace, field),
            self.destinations.as_deref_mut(),
            self.rows,
            self.diagnostics,
        )
    }

    /// The weights in effect: one backend takes all, none given means equal.
    fn weights(&mut self, rule: &LlmRule) -> Vec<u32> {
        let given: Vec<Option<u32>> = rule
            .backend_refs
            .iter()
            .map(|backend| backend.weight.as_ref().map(|weight| **weight))
            .collect();
        if given.len() <= 1 || given.iter().all(Option::is_none) {
            return given.iter().map(|_| 1).collect();
        }
        for backend in rule.backend_refs.iter().filter(|backend| backend.weight.is_none()) {
            self.diagnostics
                .error(
                    "missing-weight",
                    backend.at,
                    "this backend has no `weight`, but others of the rule have",
                )
                .field("spec.rules[].backendRefs[].weight")
                .help("give every backend of the rule a weight, or none of them");
        }
        let weights: Vec<u32> = given.into_iter().map(Option::unwrap_or_default).collect();
        check_sum(
            &weights,
            rule.at,
            &"spec.rules[].backendRefs[].weight",
            self.diagnostics,
        );
        weights
    }

    fn backend(&mut self, rule: &LlmRule, sent: &Sent<'_>, backend: &BackendRef, weight: u32) -> Option<BackendRow> {
        let host = backend.provider_host.to_ascii_lowercase();
        let Some(provider) = self.providers.get(&host) else {
            self.refuse_unknown_provider(backend, &host);
            return None;
        };
        let host_rewrite = match backend.host_rewrite.as_deref() {
            Some(rewrite) if authority::host_len(rewrite.as_bytes()).is_none() => {
                self.diagnostics
                    .error("invalid-host", rewrite.at, format!("`{}` is not a host", **rewrite));
                None
            }
            rewrite => rewrite.or(sent.authority).map(|rewrite| self.rows.text(rewrite)),
        };
        self.refuse_rewrite_of_fixed_path(rule, provider, &host);
        let rule_name = rule.name.as_ref().map(|name| &*name.value);
        Some(BackendRow {
            weight,
            to: BackendTarget::Provider(ProviderTarget {
                provider,
                config: self.providers.config(provider, rule_name, self.rows),
                host_rewrite,
                path: sent.path,
                request_changes: sent.request_changes,
                response_changes: sent.response_changes,
            }),
        })
    }

    /// Where the provider's path is fixed, nothing is left of the client's that could be rewritten.
    fn refuse_rewrite_of_fixed_path(&mut self, rule: &LlmRule, provider: ProviderId, host: &str) {
        let is_fixed = self
            .rows
            .rows
            .providers
            .get(provider.0 as usize)
            .is_some_and(|row| row.path.is_some());
        let at = match &rule.rewrite.uri {
            Some(UriRewrite::Matched(with)) => with.at,
            Some(UriRewrite::Regex { pattern, .. }) => pattern.at,
            None => return,
        };
        if is_fixed {
            self.diagnostics
                .error(
                    "conflicting-fields",
                    at,
                    format!("provider `{host}` has a `path` of its own, which stands for every path"),
                )
                .field("spec.rules[].rewrite")
                .help("remove the rewrite of the path, or the provider's `path`");
        }
    }

    fn refuse_unknown_provider(&mut self, backend: &BackendRef, host: &str) {
        let at = backend.provider_host.at;
        let hidden = self.providers.hidden(host);
        if hidden.is_some() && self.destinations.is_none() {
            // Another gateway's route and provider; neither exists for this one.
            return;
        }
        if hidden.is_none() && self.providers.some_refused() {
            return;
        }
        if let Some(meta) = hidden {
            let name = format!("{}/{}", meta.namespace, *meta.name);
            self.diagnostics
                .error("provider-not-visible", at, format!("the LLMProvider of `{host}`, `{name}`, is not visible to this gateway"))
                .help("its `workloadSelector` must select the gateway's labels, and its namespace must be the gateway's or the root namespace");
        } else {
            let finding =
                self.diagnostics
                    .error("unknown-provider", at, format!("no LLMProvider has the host `{host}`"));
            if let Some(help) = did_you_mean(host, self.providers.hosts()) {
                finding.help(help);
            }
        }
    }

    fn alternatives(&mut self, rule: &LlmRule, id: RuleId, field: FieldText<'_>) -> Vec<Alternative> {
        if rule.matches.is_empty() {
            let origin = self.rows.origin(&self.route.meta, field, rule.at);
            return Vec::from([Alternative {
                entry: EntryRow {
                    rule: id,
                    conditions: Rows::default(),
                    matched: NO_PATH,
                    origin,
                },
                gateways: Vec::new(),
                port: None,
                rank: Rank::default(),
            }]);
        }
        let matches = rule.matches.iter().enumerate();
        matches
            .flat_map(|(index, alternative)| {
                self.alternatives_of(alternative, id, &format_args!("{field}.matches[{index}]"))
            })
            .collect()
    }

    /// One for each model that it lists; none when it can never match here.
    fn alternatives_of(&mut self, one: &LlmMatch, rule: RuleId, field: FieldText<'_>) -> Vec<Alternative> {
        self.refuse_foreign_gateways(one);
        let also = &one.more.also;
        let selected = also
            .source_labels
            .as_ref()
            .is_none_or(|labels| self.settings.has_labels(labels))
            && also
                .source_namespace
                .as_ref()
                .is_none_or(|namespace| *namespace == self.settings.namespace);
        let Some((matched, conditions)) = self.conditions(one) else {
            return Vec::new();
        };
        let models: Vec<Option<Test>> = if one.models.is_empty() {
            Vec::from([None])
        } else {
            let models = one.models.iter();
            models
                .filter_map(|model| conditions::test(model, self.rows, self.diagnostics).map(Some))
                .collect()
        };
        let gateways: Vec<String> = also
            .gateways
            .iter()
            .map(|reference| qualified(reference, &self.route.meta))
            .collect();
        let alternatives = models.into_iter().filter(|_| selected).map(|model| {
            let model = model.map(|test| ConditionRow {
                subject: Subject::Model,
                test,
                negated: false,
            });
            Alternative {
                entry: EntryRow {
                    rule,
                    conditions: append(&mut self.rows.rows.conditions, conditions.iter().copied().chain(model)),
                    matched,
                    origin: self.rows.origin(&self.route.meta, field, one.at),
                },
                gateways: gateways.clone(),
                port: also.port,
                rank: Rank::default(),
            }
        });
        alternatives.collect()
    }

    /// All but the model.
    fn conditions(&mut self, one: &LlmMatch) -> Option<(MatchedPath, Vec<ConditionRow>)> {
        let mut conditions = Vec::new();
        for (name, test) in &one.headers {
            conditions.push(self.condition(name, test)?);
        }
        let matched = http_match::conditions(&one.more, &mut conditions, self.rows, self.diagnostics)?;
        if let Some(stream) = one.stream {
            conditions.push(ConditionRow {
                subject: Subject::Stream,
                test: Test::Exact(self.rows.text(if stream { "true" } else { "false" })),
                negated: false,
            });
        }
        Some((matched, conditions))
    }

    fn condition(&mut self, name: &Spanned<String>, test: &Spanned<StringMatch>) -> Option<ConditionRow> {
        if name.as_str() != "host" {
            return Some(ConditionRow {
                subject: Subject::Header(self.rows.text(name)),
                test: conditions::test(test, self.rows, self.diagnostics)?,
                negated: false,
            });
        }
        let wanted = folded(test);
        let mut subject = Subject::Host;
        if let StringMatch::Exact(value) = &wanted.value {
            let Some(bare) = conditions::bare_host(value) else {
                self.diagnostics
                    .error(
                        "invalid-host",
                        test.at,
                        format!("`{value}` is not a host, so no request can match it"),
                    )
                    .help("write `name` or `name:port`; `prefix` and `regex` match parts of a name");
                return None;
            };
            if bare.len() < value.len() {
                subject = Subject::Authority;
            }
        }
        Some(ConditionRow {
            subject,
            test: conditions::test(&wanted, self.rows, self.diagnostics)?,
            negated: false,
        })
    }

    fn refuse_foreign_gateways(&mut self, alternative: &LlmMatch) {
        let own: Vec<String> = self
            .route
            .gateways
            .iter()
            .map(|reference| qualified(reference, &self.route.meta))
            .collect();
        for reference in &alternative.more.also.gateways {
            let gateway = qualified(reference, &self.route.meta);
            if reference.as_str() != "mesh" && !own.contains(&gateway) {
                self.diagnostics
                    .error(
                        "gateway-not-of-route",
                        reference.at,
                        format!("`{gateway}` is not one of the route's own `gateways`"),
                    )
                    .help("the gateways of a match narrow those of the route; add it there first");
            }
        }
    }

    fn warn_about_unreachable_rules(&mut self) {
        let catches_all = |rule: &LlmRule| rule.matches.is_empty() || rule.matches.iter().any(LlmMatch::is_catch_all);
        let mut rules = self.route.rules.iter();
        let Some(catch_all) = rules.by_ref().find(|rule| catches_all(rule)) else {
            return;
        };
        let name = catch_all
            .name
            .as_ref()
            .map_or("the rule before it", |name| &*name.value);
        for rule in rules {
            self.diagnostics
                .warning(
                    "unreachable-rule",
                    rule.at,
                    format!("this rule is never reached: `{name}` takes every request"),
                )
                .help("the first rule that matches decides; put the rule without matches last");
        }
    }

    fn refuse_duplicate_rule_names(&mut self) {
        let mut seen = TextSet::default();
        for name in self.route.rules.iter().filter_map(|rule| rule.name.as_ref()) {
            if !seen.insert(&name.value) {
                self.diagnostics
                    .error(
                        "duplicate-rule-name",
                        name.at,
                        format!("rule `{}` is named twice in this route", name.value),
                    )
                    .help("`routeSpecificConfigs` refers to rules by name");
            }
        }
    }
}

/// What a rule makes of its requests, whichever backend gets them.
struct Sent<'r> {
    authority: Option<&'r Spanned<String>>,
    path: PathRewrite,
    request_changes: Rows,
    response_changes: Rows,
}

/// A match of the host, which is compared in lower case.
fn folded(wanted: &Spanned<StringMatch>) -> Spanned<StringMatch> {
    let value = match &wanted.value {
        StringMatch::Exact(value) => StringMatch::Exact(value.to_ascii_lowercase().into()),
        StringMatch::Prefix(value) => StringMatch::Prefix(value.to_ascii_lowercase().into()),
        other => other.clone(),
    };
    Spanned { value, at: wanted.at }
}
