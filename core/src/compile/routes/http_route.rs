//! The rules of one HTTPRoute: what they do, and the alternatives under which each matches.
//!
//! Which alternative comes first is Gateway API's to say, across all routes of a
//! host; where it leaves it open (regular expressions) Istio's order holds:
//! after the prefixes. <https://gateway-api.sigs.k8s.io/reference/spec/#httprouterule>

use alloc::format;
use alloc::vec::Vec;
use core::cmp::Reverse;

use super::virtual_hosts::{Alternative, Rank};
use super::{attempts, backends, conditions, header_changes};
use crate::compile::destinations::Destinations;
use crate::compile::rows::{FieldText, RowWriter, append, number};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::http_route::{
    BackendRef, HttpRoute, Match, PathMatch, PathModifier, Redirect, Rewrite, Rule, Timeouts,
};
use crate::config::resource::{HeaderChanges, Resources, Retries, RouteSettings, Spanned, StringMatch};
use crate::request::Scheme;
use crate::tables::{
    BackendRow, BackendTarget, ConditionRow, DirectResponseRow, EntryRow, MatchedPath, MirrorRow, PathRewrite,
    PlainTarget, RedirectPath, RedirectPort, RedirectRow, Rows, RuleAction, RuleId, RuleRow, Split, Subject, Test,
    UpstreamId,
};

/// What a rule without backends answers, as Gateway API has it.
const NO_BACKEND: u16 = 500;

/// Compiles the rules of one HTTPRoute.
pub(super) struct HttpRouteCompiler<'r, 'c, 's> {
    pub(super) route: &'r HttpRoute,
    pub(super) resources: &'r Resources,
    /// `None` when no listener here serves it: it may well name hosts that only another gateway knows.
    pub(super) destinations: Option<&'r mut Destinations<'c>>,
    pub(super) default_retries: Option<&'r Retries>,
    pub(super) rows: &'r mut RowWriter<'s>,
    pub(super) diagnostics: &'r mut Diagnostics,
}

impl HttpRouteCompiler<'_, '_, '_> {
    pub(super) fn compile(&mut self) -> Vec<Alternative> {
        let route = self.route;
        let mut alternatives = Vec::new();
        for (index, rule) in route.rules.iter().enumerate() {
            let field: FieldText<'_> = &format_args!("spec.rules[{index}]");
            let position = format!("rules[{index}]");
            let name = rule.name.as_ref().map_or(position.as_str(), |name| name);
            let label = format!("{}/{}/{name}", route.meta.namespace, *route.meta.name);
            let row = RuleRow {
                label: self.rows.text(&label),
                action: self.action(rule, field),
                cors: None,
                fault: None,
                mirrors: self.mirrors(rule, field),
                attempts: attempts::to_hosts(&settings(&rule.timeouts), self.default_retries, self.rows),
                origin: self.rows.origin(&route.meta, field, rule.at),
            };
            let id = RuleId(number(self.rows.rows.rules.len()));
            self.rows.rows.rules.push(row);
            for (index, one) in rule.matches.iter().enumerate() {
                alternatives.extend(self.alternative(one, id, &format_args!("{field}.matches[{index}]")));
            }
        }
        alternatives
    }

    fn action(&mut self, rule: &Rule, field: FieldText<'_>) -> RuleAction {
        if let Some(redirect) = &rule.filters.redirect {
            let row = self.redirect(redirect, &rule.filters.response);
            let id = number(self.rows.rows.redirects.len());
            self.rows.rows.redirects.push(row);
            return RuleAction::Redirect(id);
        }
        let split = self.split(rule, field);
        if split.weight > 0 {
            return RuleAction::Forward(split);
        }
        let row = DirectResponseRow {
            status: NO_BACKEND,
            body: Rows::default(),
            response_changes: header_changes::write(&[&rule.filters.response], self.rows),
        };
        let id = number(self.rows.rows.direct_responses.len());
        self.rows.rows.direct_responses.push(row);
        RuleAction::Respond(id)
    }

    /// Copies go with what is sent on. One that never goes has only to be there.
    fn mirrors(&mut self, rule: &Rule, field: FieldText<'_>) -> Rows {
        let sends_on = rule.filters.redirect.is_none();
        let mut mirrors = Vec::new();
        for mirror in rule.filters.mirrors.iter().filter(|_| sends_on) {
            let upstream = self.upstream(&mirror.backend, &format_args!("{field}.{}", mirror.field));
            let row = upstream.map(|upstream| MirrorRow {
                upstream,
                chance: mirror.chance,
            });
            mirrors.extend(row.filter(|row| row.chance.0 > 0));
        }
        append(&mut self.rows.rows.mirrors, mirrors)
    }

    /// Its port is the one given, otherwise the given scheme's, otherwise the listener's.
    fn redirect(&mut self, redirect: &Redirect, changes: &HeaderChanges) -> RedirectRow {
        RedirectRow {
            status: redirect.status,
            scheme: redirect.scheme,
            authority: redirect.hostname.as_ref().map(|hostname| self.rows.text(hostname)),
            port: match (redirect.port, redirect.scheme) {
                (Some(port), _) => RedirectPort::Number(port),
                (None, Some(Scheme::Http)) => RedirectPort::Number(80),
                (None, Some(Scheme::Https)) => RedirectPort::Number(443),
                (None, None) => RedirectPort::Listener,
            },
            keeps_port: false,
            path: match &redirect.path {
                None => RedirectPath::Sent,
                Some(PathModifier::Full(path)) => RedirectPath::Whole(self.rows.text(path)),
                Some(PathModifier::Prefix(with)) => RedirectPath::Matched(self.rows.text(with)),
            },
            response_changes: header_changes::write(&[changes], self.rows),
        }
    }

    /// Backends of weight 0 take nothing.
    fn split(&mut self, rule: &Rule, field: FieldText<'_>) -> Split {
        let mut backends = Vec::new();
        for (index, backend) in rule.backends.iter().enumerate() {
            let field: FieldText<'_> = &format_args!("{field}.backendRefs[{index}]");
            let upstream = self.upstream(backend, field);
            let Some(upstream) = upstream.filter(|_| backend.weight > 0) else {
                continue;
            };
            let (own, rules) = (&backend.filters, &rule.filters);
            let hostname = own.rewrite.hostname.as_ref().or(rules.rewrite.hostname.as_ref());
            let target = PlainTarget {
                upstream,
                allows_upgrade: self
                    .destinations
                    .as_ref()
                    .is_some_and(|known| known.allows_upgrade(upstream)),
                authority: hostname.map(|hostname| self.rows.text(hostname)),
                path: match &own.rewrite.path {
                    Some(_) => self.path_rewrite(&own.rewrite),
                    None => self.path_rewrite(&rules.rewrite),
                },
                request_changes: self.changes(&rules.request, &own.request),
                response_changes: self.changes(&rules.response, &own.response),
            };
            backends.push(BackendRow {
                weight: backend.weight,
                to: BackendTarget::Upstream(target),
            });
        }
        Split {
            weight: backends
                .iter()
                .fold(0, |sum, backend| sum.saturating_add(backend.weight)),
            backends: append(&mut self.rows.rows.backends, backends),
        }
    }

    fn upstream(&mut self, backend: &BackendRef, field: FieldText<'_>) -> Option<UpstreamId> {
        let destinations = self.destinations.as_mut()?;
        backends::check_grant(&self.route.meta, backend, field, self.resources, self.diagnostics);
        let place = backends::place(backend, field, self.resources, self.diagnostics)?;
        destinations.find(&place, self.diagnostics)
    }

    /// The rule's changes, then the backend's.
    fn changes(&mut self, rules: &HeaderChanges, own: &HeaderChanges) -> Rows {
        let first = header_changes::write(&[rules], self.rows);
        let second = header_changes::write(&[own], self.rows);
        Rows {
            start: first.start,
            len: first.len.saturating_add(second.len),
        }
    }

    fn path_rewrite(&mut self, rewrite: &Rewrite) -> PathRewrite {
        match &rewrite.path {
            None => PathRewrite::Keep,
            Some(PathModifier::Full(path)) => PathRewrite::Whole(self.rows.text(path)),
            Some(PathModifier::Prefix(with)) => PathRewrite::Matched(self.rows.text(with)),
        }
    }

    /// `None` when it has a regular expression that cannot be used.
    fn alternative(&mut self, one: &Match, rule: RuleId, field: FieldText<'_>) -> Option<Alternative> {
        let mut conditions = Vec::new();
        let matched = self.path(&one.path, &mut conditions)?;
        if let Some(method) = &one.method {
            let test = Test::Exact(self.rows.text(method));
            conditions.push(condition(Subject::Method, test));
        }
        for (name, wanted) in &one.headers {
            let subject = match name.as_str() {
                "host" => Subject::RawAuthority,
                name => Subject::Header(self.rows.text(name)),
            };
            conditions.push(condition(
                subject,
                conditions::test(wanted, self.rows, self.diagnostics)?,
            ));
        }
        for (name, wanted) in &one.query_params {
            let subject = Subject::QueryParam(self.rows.text(name));
            conditions.push(condition(
                subject,
                conditions::test(wanted, self.rows, self.diagnostics)?,
            ));
        }
        Some(Alternative {
            entry: EntryRow {
                rule,
                conditions: append(&mut self.rows.rows.conditions, conditions),
                matched,
                origin: self.rows.origin(&self.route.meta, field, one.at),
            },
            gateways: Vec::new(),
            port: None,
            rank: rank(one),
        })
    }

    fn path(&mut self, path: &Spanned<PathMatch>, conditions: &mut Vec<ConditionRow>) -> Option<MatchedPath> {
        let (test, matched) = match &path.value {
            PathMatch::Prefix(prefix) if prefix.is_empty() => return Some(MatchedPath::Prefix(0)),
            PathMatch::Prefix(prefix) => (
                Test::Segments(self.rows.text(prefix)),
                MatchedPath::Prefix(number(prefix.len())),
            ),
            PathMatch::Exact(exact) => (Test::Exact(self.rows.text(exact)), MatchedPath::Whole),
            PathMatch::Regex(pattern) => {
                let wanted = Spanned {
                    value: StringMatch::Regex(pattern.as_str().into()),
                    at: path.at,
                };
                (
                    conditions::test(&wanted, self.rows, self.diagnostics)?,
                    MatchedPath::Whole,
                )
            }
        };
        conditions.push(condition(Subject::Path, test));
        Some(matched)
    }
}

/// As istiod has it, of a rule without `retry` the time for a backend is the time for everything. Not that of each try:
/// such a limit ends, in Envoy, where the answer begins, and `backendRequest` is for all of it.
fn settings(timeouts: &Timeouts) -> RouteSettings {
    RouteSettings {
        timeout_ms: timeouts
            .backend_request_ms
            .filter(|limit| *limit > 0)
            .or(timeouts.request_ms),
        ..RouteSettings::default()
    }
}

fn condition(subject: Subject, test: Test) -> ConditionRow {
    ConditionRow {
        subject,
        test,
        negated: false,
    }
}

/// Exact paths, then the longest prefixes, then regular expressions; then a method, most headers, most parameters.
fn rank(one: &Match) -> Rank {
    let (form, path) = match &one.path.value {
        PathMatch::Exact(path) => (0, path),
        PathMatch::Prefix(path) => (1, path),
        PathMatch::Regex(path) => (2, path),
    };
    Rank {
        path: (form, Reverse(number(path.len()))),
        without_method: one.method.is_none(),
        headers: Reverse(number(one.headers.len())),
        query_params: Reverse(number(one.query_params.len())),
    }
}
