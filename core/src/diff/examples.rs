//! Values that the rows of a configuration compare with, as parts of requests: one that passes each test, and for each
//! rule the requests that it is about.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::IpAddr;

use super::draft::{Draft, Part, Setting};
use crate::snapshot::Snapshot;
use crate::tables::{
    Attribute, ClauseRow, ConditionRow, EntryRow, PatternRow, PlaceRow, PolicyRuleRow, PredicateRow, Rows, Subject,
    Tables, Test, TokenRuleRow, Values, VirtualHostRow,
};

/// What a configuration has to say of requests.
#[derive(Debug, Default)]
pub(super) struct Examples {
    /// For each rule of a route, requests that it takes.
    pub(super) routes: BTreeSet<Draft>,
    /// For each rule of a policy, the parts of requests that it matches.
    pub(super) policies: BTreeSet<Draft>,
    /// Each value that anything is compared with, and some beside it.
    pub(super) settings: BTreeSet<Setting>,
}

impl Examples {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let tables = snapshot.tables();
        let mut examples = Self::default();
        for host in &tables.virtual_hosts {
            for entry in host.entries.of(&tables.entries) {
                examples.routes.extend(taken(tables, host, entry));
                let conditions = entry.conditions.of(&tables.conditions).iter();
                for setting in conditions.flat_map(|condition| of_condition(tables, condition)) {
                    examples.add(setting);
                }
            }
        }
        for rule in &tables.policy_rules {
            examples.policies.extend(matched(tables, rule));
        }
        for predicate in &tables.predicates {
            for setting in of_predicate(tables, predicate) {
                examples.add(setting);
            }
        }
        examples.add_tokens(tables);
        if !snapshot.authorizers().is_empty() {
            examples.add(one(Part::Authorizers, "allow"));
        }
        for method in ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"] {
            examples.settings.insert(one(Part::Method, method));
        }
        examples.settings.insert(one(Part::Path, ELSEWHERE));
        examples
    }

    /// Adds a setting, and what is nearly it: another value of its last part.
    fn add(&mut self, setting: Setting) {
        if let Some(((part, value), others)) = setting.split_last() {
            for near in nearly(part, value) {
                let with = one(part.clone(), &near);
                self.settings.insert(others.iter().cloned().chain(with).collect());
            }
        }
        self.settings.insert(setting);
    }

    fn add_tokens(&mut self, tables: &Tables) {
        for rule in &tables.token_rules {
            let mut token = accepted_by(tables, rule);
            for written in rule.claim_headers.of(&tables.claim_headers) {
                token.extend(one(Part::Claim(tables.text(written.claim).to_owned()), "x"));
            }
            // Where it is sent, which says what goes on.
            let places = rule.places.of(&tables.token_place_ids).iter();
            for place in places.filter_map(|place| tables.token_places.get(*place as usize)) {
                if let PlaceRow::Header { name, prefix } = *place {
                    let sent = one(
                        Part::Header(tables.text(name).to_owned()),
                        &format!("{}x", tables.text(prefix)),
                    );
                    self.settings.insert(token.iter().cloned().chain(sent).collect());
                }
            }
            self.settings.insert(token);
            self.settings.insert(one(Part::TokenError, "Jwt is expired"));
        }
    }
}

/// Claims of a token that the rule accepts.
fn accepted_by(tables: &Tables, rule: &TokenRuleRow) -> Setting {
    let issuer = rule.issuer.map_or("issuer.example", |issuer| tables.text(issuer));
    let mut claims = one(Part::Claim("iss".to_owned()), issuer);
    if let Some(audience) = rule.audiences.of(&tables.token_texts).first() {
        claims.extend(one(Part::Claim("aud".to_owned()), tables.text(*audience)));
    }
    claims.extend(one(Part::Claim("sub".to_owned()), "x"));
    claims
}

/// A claim, in a token that the first rule accepts.
fn claim(tables: &Tables, path: &str, value: &str) -> Setting {
    let mut token = tables
        .token_rules
        .first()
        .map_or_else(Vec::new, |rule| accepted_by(tables, rule));
    token.retain(|(part, _)| *part != Part::Claim(path.to_owned()));
    token.extend(one(Part::Claim(path.to_owned()), value));
    token
}

/// Other values that a test of this one may take or leave.
fn nearly(part: &Part, value: &str) -> Vec<String> {
    let mut near = match part {
        Part::Path => Vec::from([format!("{value}/"), format!("{value}/x")]),
        Part::Host => Vec::from([format!("x.{value}"), format!("{}:80", value.to_ascii_uppercase())]),
        Part::Header(_) | Part::Query(_) | Part::Model | Part::Claim(_) => {
            Vec::from([format!("{value}x"), value.to_ascii_uppercase()])
        }
        _ => return Vec::new(),
    };
    let shorter = value.char_indices().next_back().and_then(|(at, _)| value.get(..at));
    near.extend(shorter.filter(|value| !value.is_empty()).map(ToOwned::to_owned));
    near
}

/// A part by itself, in a form that a request can have: paths begin with a slash, and after a colon a host has a port.
fn one(part: Part, value: &str) -> Setting {
    let value = match part {
        Part::Path if !value.starts_with('/') => format!("/{value}"),
        Part::Host if value.ends_with(':') => format!("{value}80"),
        _ => value.to_owned(),
    };
    [(part, value)].into()
}

/// A path that is hardly among those that are named.
const ELSEWHERE: &str = "/elsewhere/0/a/";

/// Values of a regular expression that are tried.
const REGEX_VALUES_MAX: usize = 24;

/// Requests that `entry` takes, unless one before it does. What a negated condition excludes is there once too.
fn taken(tables: &Tables, host: &VirtualHostRow, entry: &EntryRow) -> Vec<Draft> {
    let mut draft = Draft::default();
    if let Some(listener) = tables.listeners.get(host.listener as usize) {
        draft.set(&one(Part::Port, &listener.port.to_string()));
    }
    let name = tables.text(host.name);
    match name.strip_prefix('*') {
        None => draft.set(&one(Part::Host, name)),
        Some("") => {}
        Some(suffix) => draft.set(&one(Part::Host, &format!("x{suffix}"))),
    }
    let conditions = entry.conditions.of(&tables.conditions);
    for condition in conditions.iter().filter(|condition| !condition.negated) {
        draft.set(first(&of_condition(tables, condition)));
    }
    let others = conditions.iter().flat_map(|condition| of_condition(tables, condition));
    let mut drafts: Vec<Draft> = others.map(|setting| draft.with(&setting)).collect();
    for asks in of_other_origins(tables, entry) {
        let mut preflight = draft.with(&asks);
        drafts.push(preflight.clone());
        preflight.set(&one(Part::Method, "OPTIONS"));
        preflight.set(&one(Part::Header("access-control-request-method".to_owned()), "GET"));
        drafts.push(preflight);
    }
    drafts.push(draft);
    drafts
}

/// Pages that may read an answer of the entry's rule, or nearly may, and one that hardly may.
fn of_other_origins(tables: &Tables, entry: &EntryRow) -> Vec<Setting> {
    let rule = tables.rules.get(entry.rule.0 as usize);
    let Some(row) = rule.and_then(|rule| tables.cors.get(rule.cors? as usize)) else {
        return Vec::new();
    };
    let part = Part::Header("origin".to_owned());
    let tests = row.origins.of(&tables.cors_origins).iter();
    let mut origins: Vec<String> = tests.flat_map(|test| of_test(tables, *test)).collect();
    let near: Vec<String> = origins.iter().flat_map(|origin| nearly(&part, origin)).collect();
    origins.extend(near);
    origins.push("https://elsewhere.example".to_owned());
    origins.iter().map(|origin| one(part.clone(), origin)).collect()
}

fn first(settings: &[Setting]) -> &[(Part, String)] {
    settings.first().map_or(&[], |setting| setting)
}

/// What passes a test.
fn of_test(tables: &Tables, test: Test) -> Vec<String> {
    match test {
        Test::Exact(text)
        | Test::Prefix(text)
        | Test::Segments(text)
        | Test::ExactAnyCase(text)
        | Test::PrefixAnyCase(text) => [tables.text(text).to_owned()].into(),
        Test::Regex(index, _) => {
            let regex = tables.derived.regexes.get(index as usize);
            regex.map_or_else(Vec::new, |regex| regex.examples(REGEX_VALUES_MAX))
        }
        Test::Present => ["x".to_owned()].into(),
    }
}

/// What passes the test of a condition.
fn of_condition(tables: &Tables, condition: &ConditionRow) -> Vec<Setting> {
    let values = of_test(tables, condition.test);
    let part = match condition.subject {
        Subject::Host | Subject::Authority | Subject::RawAuthority => Part::Host,
        Subject::Path => Part::Path,
        Subject::Method => Part::Method,
        Subject::Header(name) => Part::Header(tables.text(name).to_owned()),
        Subject::QueryParam(name) => Part::Query(tables.text(name).to_owned()),
        Subject::Model => Part::Model,
        Subject::Stream => Part::Stream,
        Subject::Claim(path) => {
            let path = tables.text(path);
            return values.iter().map(|value| claim(tables, path, value)).collect();
        }
        // The port decides it.
        Subject::Scheme => return Vec::new(),
    };
    values.iter().map(|value| one(part.clone(), value)).collect()
}

/// The parts of requests that a rule of a policy is about. With several clauses and values of each, every one is there at
/// least once, beside the first of the others; what a `not` field excludes is there once too.
fn matched(tables: &Tables, rule: &PolicyRuleRow) -> Vec<Draft> {
    let clauses = |rows: Rows| -> Vec<Rows> {
        rows.of(&tables.clauses)
            .iter()
            .map(|ClauseRow { predicates }| *predicates)
            .collect()
    };
    let (from, to, when) = (clauses(rule.from), clauses(rule.to), rule.when);
    let any = |clauses: &[Rows]| clauses.first().copied().unwrap_or_default();
    let mut drafts = Vec::new();
    let mut pairs: Vec<(Rows, Rows)> = to.iter().map(|to| (any(&from), *to)).collect();
    pairs.extend(from.iter().map(|from| (*from, any(&to))));
    if pairs.is_empty() {
        pairs.push(<(Rows, Rows)>::default());
    }
    for (from, to) in pairs {
        let rows = [from, to, when];
        let predicates: Vec<&PredicateRow> = rows.iter().flat_map(|rows| rows.of(&tables.predicates)).collect();
        let mut base = Draft::default();
        for predicate in predicates.iter().filter(|predicate| !predicate.negated) {
            base.set(first(&of_predicate(tables, predicate)));
        }
        for predicate in predicates {
            drafts.extend(of_predicate(tables, predicate).iter().map(|setting| base.with(setting)));
        }
        drafts.push(base);
    }
    drafts
}

/// For each value of a predicate, what passes its test; of a block what is just behind it too.
fn of_predicate(tables: &Tables, predicate: &PredicateRow) -> Vec<Setting> {
    let attribute = predicate.attribute;
    match predicate.values {
        Values::Cidrs(rows) => {
            let blocks = rows.of(&tables.cidrs).iter();
            let ends = blocks.flat_map(|block| [Some(block.network()), block.behind()]);
            ends.flatten()
                .filter_map(|end| address(tables, attribute, end))
                .collect()
        }
        Values::Ranges(rows) => {
            let bounds = rows
                .of(&tables.ranges)
                .iter()
                .flat_map(|range| [range.min, range.max.min(u64::from(u32::MAX))]);
            bounds
                .flat_map(|number| text(tables, attribute, &number.to_string()))
                .collect()
        }
        Values::Patterns(rows) => {
            let values = rows
                .of(&tables.patterns)
                .iter()
                .map(|pattern| of_pattern(tables, *pattern));
            values.flat_map(|value| text(tables, attribute, &value)).collect()
        }
        Values::RequestPrincipals(rows) => {
            let principals = rows.of(&tables.request_principals).iter();
            let claims = principals.map(|principal| {
                let mut claims = one(Part::Claim("iss".to_owned()), &of_pattern(tables, principal.issuer));
                claims.extend(one(
                    Part::Claim("sub".to_owned()),
                    &of_pattern(tables, principal.subject),
                ));
                claims
            });
            claims.collect()
        }
    }
}

fn address(tables: &Tables, attribute: Attribute, address: IpAddr) -> Option<Setting> {
    let part = match attribute {
        Attribute::LocalAddress => Part::DestinationIp,
        Attribute::RemoteAddress if tables.edge.trusted_proxies > 0 => Part::Remote,
        Attribute::RemoteAddress | Attribute::PeerAddress => Part::Peer,
        _ => return None,
    };
    Some(one(part, &address.to_string()))
}

/// The setting with which `attribute` is `value`.
fn text(tables: &Tables, attribute: Attribute, value: &str) -> Option<Setting> {
    let of_claim = |path: &str| Some(claim(tables, path, value));
    let of_identity = |value: String| Some(one(Part::UriName, &value));
    let part = match attribute {
        Attribute::Port => Part::DestinationPort,
        Attribute::Host | Attribute::RawAuthority => Part::Host,
        Attribute::Method => Part::Method,
        Attribute::Path | Attribute::PathAndQuery => Part::Path,
        Attribute::Header(name) => Part::Header(tables.text(name).to_owned()),
        Attribute::Sni => Part::ServerName,
        Attribute::Principal => return of_identity(format!("spiffe://{value}")),
        Attribute::Namespace { .. } => return of_identity(format!("spiffe://cluster.local/ns/{value}/sa/default")),
        Attribute::ServiceAccount { .. } => return of_identity(format!("spiffe://cluster.local/ns/{value}")),
        Attribute::TrustDomain => return of_identity(format!("spiffe://{value}/ns/default/sa/default")),
        Attribute::Audience => return of_claim("aud"),
        Attribute::Presenter => return of_claim("azp"),
        Attribute::Claim(path) => return of_claim(tables.text(path)),
        Attribute::LlmModel => Part::Model,
        Attribute::LlmStream => Part::Stream,
        Attribute::LlmMaxTokens => Part::MaxTokens,
        Attribute::LlmTools { .. } => Part::Tool,
        // The port decides the scheme; addresses are no texts, and a request principal is two.
        Attribute::Scheme
        | Attribute::PeerAddress
        | Attribute::RemoteAddress
        | Attribute::LocalAddress
        | Attribute::RequestPrincipal => return None,
    };
    Some(one(part, value))
}

/// A text that passes.
fn of_pattern(tables: &Tables, pattern: PatternRow) -> String {
    match pattern {
        PatternRow::Exact(text) | PatternRow::Prefix(text) => tables.text(text).to_owned(),
        PatternRow::Suffix(text) => format!("x{}", tables.text(text)),
        PatternRow::Any => "x".to_owned(),
        PatternRow::Template(text) => tables.text(text).replace("{**}", "x/y").replace("{*}", "x"),
        PatternRow::Glob(text) => tables.text(text).replace('*', "x"),
    }
}
