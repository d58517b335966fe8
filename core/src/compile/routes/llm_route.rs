//! The rules of one LLMRoute: backends with their weights, and the alternatives
//! under which each rule matches.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::attempts;
use super::bind::qualified;
use super::conditions;
use super::virtual_hosts::Alternative;
use super::weights::check_sum;
use crate::authority;
use crate::compile::Settings;
use crate::compile::providers::Providers;
use crate::compile::rows::{RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{BackendRef, LlmMatch, LlmRoute, LlmRule, Spanned, StringMatch};
use crate::config::suggest::did_you_mean;
use crate::tables::{
    BackendRow, BackendTarget, ConditionRow, MatchedPath, ProviderTarget, Rows, RuleAction, RuleId, RuleRow, Span,
    Split, Subject,
};
use crate::text_map::TextSet;

/// What logs and metrics call a rule: `namespace/route/rule`, the rule by name or by position.
pub(in crate::compile) fn rule_label(route: &LlmRoute, rule: &LlmRule, index: usize) -> String {
    let position = format!("rules[{index}]");
    let name = rule.name.as_ref().map_or(position.as_str(), |name| name.as_str());
    format!("{}/{}/{name}", route.meta.namespace, *route.meta.name)
}

/// An LLMRoute has no conditions on the path.
const NO_PATH: MatchedPath = MatchedPath::Prefix(1);

/// Compiles the rules of one LLMRoute.
pub(super) struct RouteCompiler<'r, 'c, 's> {
    pub(super) route: &'r LlmRoute,
    pub(super) settings: &'r Settings,
    pub(super) providers: &'r mut Providers<'c>,
    pub(super) rows: &'r mut RowWriter<'s>,
    pub(super) diagnostics: &'r mut Diagnostics,
    /// Whether any listener here serves the route.
    pub(super) bound_here: bool,
}

impl RouteCompiler<'_, '_, '_> {
    pub(super) fn compile(&mut self) -> Vec<Alternative> {
        self.refuse_duplicate_rule_names();
        let mut alternatives = Vec::new();
        for (index, rule) in self.route.rules.iter().enumerate() {
            let field = format!("spec.rules[{index}]");
            let id = self.rule(rule, index);
            alternatives.extend(self.alternatives(rule, id, &field));
        }
        self.warn_about_unreachable_rules();
        alternatives
    }

    fn rule(&mut self, rule: &LlmRule, index: usize) -> RuleId {
        let weights = self.weights(rule);
        let backends: Vec<BackendRow> = rule
            .backend_refs
            .iter()
            .zip(weights)
            .filter_map(|(backend, weight)| self.backend(rule, backend, weight))
            .collect();
        let row = RuleRow {
            label: self.rows.text(&rule_label(self.route, rule, index)),
            action: RuleAction::Forward(Split {
                weight: backends
                    .iter()
                    .fold(0, |sum, backend| sum.saturating_add(backend.weight)),
                backends: append(&mut self.rows.rows.backends, backends),
            }),
            attempts: attempts::to_providers(self.rows),
            cors: None,
            fault: None,
            mirrors: Rows::default(),
            origin: self
                .rows
                .origin(&self.route.meta, &format!("spec.rules[{index}]"), rule.at),
        };
        let id = RuleId(number(self.rows.rows.rules.len()));
        self.rows.rows.rules.push(row);
        id
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
        check_sum(&weights, rule.at, "spec.rules[].backendRefs[].weight", self.diagnostics);
        weights
    }

    fn backend(&mut self, rule: &LlmRule, backend: &BackendRef, weight: u32) -> Option<BackendRow> {
        let host = backend.provider_host.to_ascii_lowercase();
        let Some(provider) = self.providers.get(&host) else {
            self.refuse_unknown_provider(backend, &host);
            return None;
        };
        let host_rewrite = match &backend.host_rewrite {
            Some(rewrite) if authority::host_len(rewrite.as_bytes()).is_none() => {
                self.diagnostics
                    .error("invalid-host", rewrite.at, format!("`{}` is not a host", **rewrite));
                None
            }
            rewrite => rewrite.as_ref().map(|rewrite| self.rows.text(rewrite)),
        };
        let rule_name = rule.name.as_ref().map(|name| name.as_str());
        Some(BackendRow {
            weight,
            to: BackendTarget::Provider(ProviderTarget {
                provider,
                config: self.providers.config(provider, rule_name, self.rows),
                host_rewrite,
            }),
        })
    }

    fn refuse_unknown_provider(&mut self, backend: &BackendRef, host: &str) {
        let at = backend.provider_host.at;
        let hidden = self.providers.is_hidden(host);
        if hidden && !self.bound_here {
            // Another gateway's route and provider; neither exists for this one.
            return;
        }
        if !hidden && self.providers.some_refused() {
            return;
        }
        if hidden {
            self.diagnostics
                .error("provider-not-visible", at, format!("the LLMProvider of `{host}` is not visible to this gateway"))
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

    fn alternatives(&mut self, rule: &LlmRule, id: RuleId, field: &str) -> Vec<Alternative> {
        if rule.matches.is_empty() {
            let origin = self.rows.origin(&self.route.meta, field, rule.at);
            return Vec::from([Alternative {
                rule: id,
                conditions: Rows::default(),
                matched: NO_PATH,
                host: None,
                origin,
                gateways: Vec::new(),
                port: None,
            }]);
        }
        let matches = rule.matches.iter().enumerate();
        matches
            .filter_map(|(index, alternative)| self.alternative(alternative, id, &format!("{field}.matches[{index}]")))
            .collect()
    }

    /// `None` when it can never match here.
    fn alternative(&mut self, alternative: &LlmMatch, rule: RuleId, field: &str) -> Option<Alternative> {
        let mut host = None;
        let mut conditions = Vec::new();
        for (name, test) in &alternative.headers {
            let (condition, exact_host) = self.condition(name, test)?;
            host = host.or(exact_host);
            conditions.push(condition);
        }
        let gateways = alternative
            .gateways
            .iter()
            .map(|reference| qualified(reference, &self.route.meta))
            .collect();
        self.refuse_foreign_gateways(alternative);
        let selected = alternative
            .source_labels
            .as_ref()
            .is_none_or(|labels| self.settings.has_labels(labels));
        selected.then(|| Alternative {
            rule,
            conditions: append(&mut self.rows.rows.conditions, conditions),
            matched: NO_PATH,
            host,
            origin: self.rows.origin(&self.route.meta, field, alternative.at),
            gateways,
            port: None,
        })
    }

    fn condition(
        &mut self,
        name: &Spanned<String>,
        test: &Spanned<StringMatch>,
    ) -> Option<(ConditionRow, Option<Span>)> {
        if name.as_str() != "host" {
            let condition = ConditionRow {
                subject: Subject::Header(self.rows.text(name)),
                test: conditions::test(test, self.rows, self.diagnostics)?,
                negated: false,
            };
            return Some((condition, None));
        }
        let wanted = folded(test);
        let (mut subject, mut exact_host) = (Subject::Host, None);
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
            exact_host = Some(self.rows.text(bare));
        }
        let condition = ConditionRow {
            subject,
            test: conditions::test(&wanted, self.rows, self.diagnostics)?,
            negated: false,
        };
        Some((condition, exact_host))
    }

    fn refuse_foreign_gateways(&mut self, alternative: &LlmMatch) {
        let own: Vec<String> = self
            .route
            .gateways
            .iter()
            .map(|reference| qualified(reference, &self.route.meta))
            .collect();
        for reference in &alternative.gateways {
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
        let catches_all = |rule: &LlmRule| {
            let everything =
                |it: &LlmMatch| it.headers.is_empty() && it.gateways.is_empty() && it.source_labels.is_none();
            rule.matches.is_empty() || rule.matches.iter().any(everything)
        };
        let mut rules = self.route.rules.iter();
        let Some(catch_all) = rules.by_ref().find(|rule| catches_all(rule)) else {
            return;
        };
        let name = catch_all
            .name
            .as_ref()
            .map_or("the rule before it", |name| name.as_str());
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
            if !seen.insert(name.as_str()) {
                self.diagnostics
                    .error(
                        "duplicate-rule-name",
                        name.at,
                        format!("rule `{}` is named twice in this route", name.as_str()),
                    )
                    .help("`routeSpecificConfigs` refers to rules by name");
            }
        }
    }
}

/// A match of the host, which is compared in lower case.
fn folded(wanted: &Spanned<StringMatch>) -> Spanned<StringMatch> {
    let value = match &wanted.value {
        StringMatch::Exact(value) => StringMatch::Exact(value.to_ascii_lowercase()),
        StringMatch::Prefix(value) => StringMatch::Prefix(value.to_ascii_lowercase()),
        other => other.clone(),
    };
    Spanned { value, at: wanted.at }
}
