//! The rules of one VirtualService: what they do, and the alternatives under which each matches.
//!
//! As istiod translates them for Envoy (`pilot/pkg/networking/core/route`): the
//! matches that a port, gateway or label takes out are left out here, the others
//! become conditions.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::attempts;
use super::bind::{Anchors, Binding, bind, qualified};
use super::cors;
use super::delegate::Rule;
use super::fault;
use super::virtual_hosts::{Alternative, Rank};
use super::weights::check_sum;
use super::{header_changes, http_match, mirrors, rewrites};
use crate::compile::Settings;
use crate::compile::destinations::{Destinations, full_name};
use crate::compile::listeners::Listeners;
use crate::compile::rows::{FieldText, RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{
    HeaderChanges, HttpAction, HttpDirectResponse, HttpMatch, HttpRedirect, HttpRewrite, HttpRoute, Meta, RedirectPort,
    Retries, RouteDestination, Spanned, VirtualService,
};
use crate::tables::{
    self, BackendRow, BackendTarget, ConditionRow, DirectResponseRow, EntryRow, PlainTarget, RedirectPath, RedirectRow,
    Rows, RuleAction, RuleId, RuleRow, Split, UpstreamId,
};

/// Where a VirtualService binds.
pub(super) fn bindings(
    service: &VirtualService,
    settings: &Settings,
    listeners: &Listeners<'_>,
    diagnostics: &mut Diagnostics,
) -> Vec<Binding> {
    let meta = &service.meta;
    let sees = |namespace: &Spanned<String>| match namespace.as_str() {
        "*" => true,
        "." => *meta.namespace == *settings.namespace,
        namespace => namespace == settings.namespace,
    };
    if let (Some(first), false) = (service.export_to.first(), service.export_to.iter().any(sees)) {
        diagnostics
            .warning(
                "route-not-bound",
                first.at,
                format!(
                    "VirtualService `{}` is not exported to the gateway's namespace",
                    *meta.name
                ),
            )
            .field("spec.exportTo")
            .help(format!("export it to `{}` or `*`", settings.namespace));
        return Vec::new();
    }
    let full = |host: &Spanned<String>| {
        let value = full_name(host, &meta.namespace);
        if *value != *host.value {
            diagnostics
                .warning(
                    "short-host",
                    host.at,
                    format!("`{}` means `{value}`, as in Istio", **host),
                )
                .field("spec.hosts")
                .help("write the host that clients send in full");
        }
        Spanned {
            value: value.into_owned(),
            at: host.at,
        }
    };
    let anchors = Anchors {
        meta,
        hosts: service.hosts.iter().map(full).collect(),
        gateways: &service.gateways,
    };
    bind(&anchors, listeners, diagnostics)
}

/// Compiles the rules of one VirtualService.
pub(super) struct ServiceCompiler<'r, 'c, 's> {
    pub(super) service: &'r VirtualService,
    /// Its own, and those of what it delegates to.
    pub(super) rules: &'r [Rule<'r>],
    pub(super) settings: &'r Settings,
    /// `None` when no listener here serves it: it may well name hosts that only another gateway knows.
    pub(super) destinations: Option<&'r mut Destinations<'c>>,
    /// The mesh's.
    pub(super) default_retries: Option<&'r Retries>,
    pub(super) rows: &'r mut RowWriter<'s>,
    /// Those of the last match: their memory serves for all.
    pub(super) conditions: Vec<ConditionRow>,
    pub(super) diagnostics: &'r mut Diagnostics,
}

impl ServiceCompiler<'_, '_, '_> {
    pub(super) fn compile(&mut self) -> Vec<Alternative> {
        let service = self.service;
        let mut alternatives = Vec::new();
        for one in self.rules {
            let rule = &*one.rule;
            let field: FieldText<'_> = &one.field;
            let Some(action) = self.action(rule, field) else {
                continue;
            };
            let (namespace, name) = (&service.meta.namespace, &service.meta.name.value);
            let row = RuleRow {
                label: self.rows.text_of(&format_args!("{namespace}/{name}/{one}")),
                action,
                attempts: attempts::to_hosts(&rule.settings, self.default_retries, self.rows),
                cors: self.cors(rule),
                mirrors: self.mirrors(rule, field),
                fault: rule
                    .settings
                    .fault
                    .as_ref()
                    .and_then(|one| fault::compile(one, self.rows)),
                origin: self.rows.origin(one.meta, field, rule.at),
            };
            let id = RuleId(number(self.rows.rows.rules.len()));
            self.rows.rows.rules.push(row);
            self.alternatives(one, id, &mut alternatives);
        }
        alternatives
    }

    /// `None` of one that stands for others.
    fn action(&mut self, rule: &HttpRoute, field: FieldText<'_>) -> Option<RuleAction> {
        Some(match &rule.action {
            HttpAction::Delegate { .. } => return None,
            HttpAction::Route { destinations, rewrite } => {
                RuleAction::Forward(self.split(rule, destinations, rewrite, field))
            }
            HttpAction::Redirect(redirect) => {
                let row = self.redirect(redirect, &rule.headers.response);
                let id = number(self.rows.rows.redirects.len());
                self.rows.rows.redirects.push(row);
                RuleAction::Redirect(id)
            }
            HttpAction::DirectResponse(response) => {
                let row = self.direct_response(response, &rule.headers.response);
                let id = number(self.rows.rows.direct_responses.len());
                self.rows.rows.direct_responses.push(row);
                RuleAction::Respond(id)
            }
        })
    }

    /// Copies go with what is sent on.
    fn mirrors(&mut self, rule: &HttpRoute, field: FieldText<'_>) -> Rows {
        let sends_on = matches!(rule.action, HttpAction::Route { .. });
        mirrors::compile(
            rule.settings.mirrors.iter().filter(|_| sends_on),
            (&self.service.meta.namespace, field),
            self.destinations.as_deref_mut(),
            self.rows,
            self.diagnostics,
        )
    }

    fn upstream(&mut self, destination: &RouteDestination, field: FieldText<'_>) -> Option<UpstreamId> {
        let namespace = &self.service.meta.namespace;
        let known = self.destinations.as_mut()?;
        known.upstream(destination, namespace, field, self.diagnostics)
    }

    fn cors(&mut self, rule: &HttpRoute) -> Option<u32> {
        let sends_on = matches!(rule.action, HttpAction::Route { .. });
        let policy = rule.settings.cors.as_ref().filter(|_| sends_on)?;
        Some(cors::compile(policy, self.rows, self.diagnostics))
    }

    fn redirect(&mut self, redirect: &HttpRedirect, changes: &HeaderChanges) -> RedirectRow {
        RedirectRow {
            status: redirect.code,
            scheme: redirect.scheme,
            authority: redirect.authority.as_ref().map(|authority| self.rows.text(authority)),
            port: match redirect.port {
                None | Some(RedirectPort::OfProtocol) => tables::RedirectPort::Sent,
                Some(RedirectPort::Number(port)) => tables::RedirectPort::Number(port),
                Some(RedirectPort::OfListener) => tables::RedirectPort::Listener,
            },
            keeps_port: true,
            path: match &redirect.uri {
                Some(uri) => RedirectPath::Whole(self.rows.text(uri)),
                None => RedirectPath::Sent,
            },
            response_changes: self.changes(&[changes]),
        }
    }

    fn direct_response(&mut self, response: &HttpDirectResponse, changes: &HeaderChanges) -> DirectResponseRow {
        DirectResponseRow {
            status: response.status,
            body: append(&mut self.rows.rows.bodies, response.body.iter().copied()),
            response_changes: self.changes(&[changes]),
        }
    }

    /// One destination takes everything; of several, those of weight 0 take nothing.
    fn split(
        &mut self,
        rule: &HttpRoute,
        destinations: &[RouteDestination],
        rewrite: &HttpRewrite,
        field: FieldText<'_>,
    ) -> Split {
        let weight = |destination: &RouteDestination| match destinations {
            [_] => 1,
            _ => destination.weight.as_ref().map_or(0, |weight| **weight),
        };
        if destinations.len() != 1 {
            let weights: Vec<u32> = destinations.iter().map(weight).collect();
            check_sum(
                &weights,
                rule.at,
                &format_args!("{field}.route[].weight"),
                self.diagnostics,
            );
        }
        let path = rewrites::path(rewrite, field, self.rows, self.diagnostics);
        let mut split = Split {
            weight: 0,
            backends: append(&mut self.rows.rows.backends, []),
        };
        for (index, destination) in destinations.iter().enumerate() {
            let weight = weight(destination);
            let field: FieldText<'_> = &format_args!("{field}.route[{index}]");
            let upstream = self.upstream(destination, field);
            let Some(upstream) = upstream.filter(|_| weight > 0) else {
                continue;
            };
            let (own, rules) = (&destination.headers, &rule.headers);
            let authority = [&rewrite.authority, &rules.request.authority, &own.request.authority];
            let authority = authority.into_iter().flatten().next();
            let target = PlainTarget {
                upstream,
                allows_upgrade: self
                    .destinations
                    .as_ref()
                    .is_some_and(|known| known.allows_upgrade(upstream)),
                authority: authority.map(|authority| self.rows.text(authority)),
                path,
                request_changes: self.merged(&rules.request, &own.request, destinations.len()),
                response_changes: self.merged(&rules.response, &own.response, destinations.len()),
            };
            self.rows.rows.backends.push(BackendRow {
                weight,
                to: BackendTarget::Upstream(target),
            });
            split.weight = split.weight.saturating_add(weight);
            split.backends.len += 1;
        }
        split
    }

    /// The changes of a rule and of one of its destinations. istiod joins those of a lone destination to the rule's;
    /// of several, Envoy makes the destination's first.
    fn merged(&mut self, rules: &HeaderChanges, own: &HeaderChanges, destinations: usize) -> Rows {
        if destinations == 1 {
            return self.changes(&[rules, own]);
        }
        let first = self.changes(&[own]);
        let second = self.changes(&[rules]);
        Rows {
            start: first.start,
            len: first.len.saturating_add(second.len),
        }
    }

    fn changes(&mut self, changes: &[&HeaderChanges]) -> Rows {
        header_changes::write(changes, self.rows)
    }

    fn alternatives(&mut self, one: &Rule<'_>, id: RuleId, alternatives: &mut Vec<Alternative>) {
        let rule = &*one.rule;
        let field: FieldText<'_> = &one.field;
        let is_merged = matches!(one.rule, Cow::Owned(_));
        if rule.matches.is_empty() {
            let everything = HttpMatch {
                at: rule.at,
                ..HttpMatch::default()
            };
            alternatives.extend(self.alternative(&everything, id, (one.meta, field)));
        }
        for (index, wanted) in rule.matches.iter().enumerate() {
            alternatives.extend(match is_merged {
                // It is made of those of two rules.
                true => self.alternative(wanted, id, (one.meta, field)),
                false => self.alternative(wanted, id, (one.meta, &format_args!("{field}.match[{index}]"))),
            });
        }
    }

    /// `None` when it can never match here.
    fn alternative(
        &mut self,
        one: &HttpMatch,
        rule: RuleId,
        (meta, field): (&Meta, FieldText<'_>),
    ) -> Option<Alternative> {
        self.conditions.clear();
        let matched = http_match::conditions(one, &mut self.conditions, self.rows, self.diagnostics)?;
        self.warn_about_foreign_gateways(one, field);
        self.is_selected(one).then(|| Alternative {
            entry: EntryRow {
                rule,
                conditions: append(&mut self.rows.rows.conditions, self.conditions.iter().copied()),
                matched,
                origin: self.rows.origin(meta, field, one.at),
            },
            gateways: one
                .also
                .gateways
                .iter()
                .map(|reference| qualified(reference, &self.service.meta))
                .collect(),
            port: one.also.port,
            rank: Rank::default(),
        })
    }

    /// As istiod has it, labels and namespace count only where no gateways are named.
    fn is_selected(&self, one: &HttpMatch) -> bool {
        let one = &*one.also;
        let labels = one.source_labels.as_ref();
        !one.gateways.is_empty()
            || labels.is_none_or(|labels| self.settings.has_labels(labels))
                && one
                    .source_namespace
                    .as_ref()
                    .is_none_or(|namespace| *namespace == self.settings.namespace)
    }

    fn warn_about_foreign_gateways(&mut self, one: &HttpMatch, field: FieldText<'_>) {
        if one.also.gateways.is_empty() {
            return;
        }
        let meta = &self.service.meta;
        let own: Vec<String> = self
            .service
            .gateways
            .iter()
            .map(|reference| qualified(reference, meta))
            .collect();
        for reference in &one.also.gateways {
            let gateway = qualified(reference, meta);
            if reference.as_str() != "mesh" && !own.contains(&gateway) {
                self.diagnostics
                    .warning(
                        "gateway-not-of-route",
                        reference.at,
                        format!(
                            "`{gateway}` is not one of the VirtualService's own `gateways`, so this never matches there"
                        ),
                    )
                    .field(format!("{field}.gateways"))
                    .help("the gateways of a match narrow those of the resource; add it there first");
            }
        }
    }
}
