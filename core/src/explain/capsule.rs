//! A decision that was made, small enough to be logged and whole enough to be
//! made again.
//!
//! A [`Capsule`] holds the attributes that the decision read, as a [`Question`]
//! that anybody can ask again, and the verdict. What is left out was not read;
//! what is withheld, because it may be a credential or because the operator
//! wants it so, is replaced, in the question and in the verdict alike. So that
//! nobody has to guess whether that mattered, the question is asked again at
//! once, and the capsule says whether its answer is the verdict.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::RefCell;

use super::upstream::{ORIGINAL_PATH, list_dropped};
use super::{Client, HeaderChanged, Question, Target, Verdict, decided};
use crate::check::{
    AssumedAnswer, AssumedAnswers, Checked, OwnedAnswer, OwnedSaid, assumed_answers, borrow_answers, borrow_fields,
};
use crate::claims::{ClaimValue, Claims, PATH_SEPARATOR};
use crate::client_cert;
use crate::config::mask::{looks_like_secret, sounds_secret};
use crate::cors;
use crate::decide::{Body, Identity, Known};
use crate::field_value::FieldValue;
use crate::json_text::{json_object, json_text};
use crate::llm::body::{BodyFacts, Governed};
use crate::request::{AuthorityForm, Headers, Request, Scheme};
use crate::rewrite;
use crate::snapshot::Snapshot;
use crate::tables::{Attribute, Subject, Tables};
use crate::token::places;

/// What stands for a value that is withheld.
const WITHHELD: &str = "redacted";

/// What parameters are called whose names are withheld too.
const QUERY: &str = "query";

/// What the part of an authority is called that stands before its `@`.
const AUTHORITY: &str = "authority";

/// A decision, as it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capsule {
    /// The snapshot that decided.
    pub snapshot: String,
    /// What it read of the request, and what was found out about it.
    pub question: Question,
    /// What it decided.
    pub verdict: Verdict,
    /// Whether the question gives this verdict. Not so where the decision depends on what is withheld, or on what no
    /// question can say: a target of another scheme than its connection's.
    pub reproduces: bool,
    /// The names of the header fields, parameters and claims whose values are withheld; `query` for parameters that no
    /// route compares.
    pub withheld: Vec<String>,
}

/// What the decision rested on, beyond the head.
#[derive(Debug, Clone, Copy)]
pub struct Found<'k> {
    /// The body, as far as the decision wanted it.
    pub body: Body<'k>,
    /// Who sent the request.
    pub identity: Identity<'k>,
    /// What authorizers said, in the order in which they were asked.
    pub answers: &'k [OwnedAnswer],
}

impl Capsule {
    /// What is decided of `request`, and what of it that takes. `hidden` are names, lower case, of header fields, query
    /// parameters and claims whose values are withheld besides those that may be credentials.
    ///
    /// `None` for a request without a path, which no question can be about.
    #[must_use]
    pub fn of(
        snapshot: &Snapshot,
        request: &Request<'_>,
        found: Found<'_>,
        entropy: u64,
        hidden: &[String],
    ) -> Option<Self> {
        let tables = snapshot.tables();
        let mut curtain = Curtain {
            tables,
            hidden,
            withheld: BTreeSet::new(),
        };
        let noted = Noted {
            sent: request.headers,
            names: RefCell::default(),
        };
        let request = Request {
            headers: &noted,
            ..*request
        };
        let fields = borrow_fields(found.answers);
        let answers = borrow_answers(found.answers, &fields);
        let checked = Checked::new(&request, &answers);
        let known = Known {
            body: found.body,
            identity: found.identity,
            checked: (!answers.is_empty()).then_some(&checked),
        };
        let (mut verdict, token_error, query) = decided(snapshot, &request, known, entropy, &|decided| {
            let query = decided.query_sent().map(ToOwned::to_owned);
            (decided.verdict(), decided.refused_token(), query)
        });
        let question = Question {
            method: Some(request.method.to_owned()),
            target: Target::path(&curtain.target(request.target))?,
            authority: request
                .authority
                .filter(|sent| sent.form == AuthorityForm::Pseudo)
                .map(|sent| curtain.value("host", sent.text)),
            protocol: request
                .authority
                .and_then(|sent| sent.upgrade)
                .map(|upgrade| upgrade.token().to_owned()),
            headers: curtain.headers(&request, noted.names.take()),
            client: curtain.client(&request),
            claims: found.identity.claims().map(|claims| curtain.claims(claims)),
            token_error,
            checks: curtain.checks(snapshot, found.answers),
            body: match found.body {
                Body::Read(Ok(facts)) => Some(body(tables, facts)),
                // It was there, and nobody had to know what it says.
                Body::Stray => Some(String::new()),
                Body::Read(Err(_)) | Body::Unread => None,
            },
            body_error: match found.body {
                Body::Read(Err(error)) => Some(error),
                Body::Read(Ok(_)) | Body::Unread | Body::Stray => None,
            },
            entropy,
        };
        let again = question.verdict(snapshot).ok();
        list_dropped(snapshot, &question.headers, known.checked, &mut verdict);
        curtain.draw_over(&mut verdict, again.as_ref(), query.as_deref(), found);
        Some(Self {
            snapshot: snapshot.id().to_owned(),
            question,
            reproduces: again.is_some_and(|again| again == verdict),
            verdict,
            withheld: curtain.withheld.into_iter().collect(),
        })
    }
}

/// Notes which header fields are read.
struct Noted<'r> {
    sent: &'r dyn Headers,
    /// Lower case.
    names: RefCell<BTreeSet<String>>,
}

impl Headers for Noted<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        self.names.borrow_mut().insert(name.to_owned());
        self.sent.each(name, visit);
    }

    /// That a field has one line says nothing of its value, and several are read after that.
    fn is_repeated(&self, name: &str) -> bool {
        self.sent.is_repeated(name)
    }
}

/// The name of a path's segments among those that are withheld.
const PATH: &str = "path";

/// What is withheld, and of which names it was.
struct Curtain<'c> {
    tables: &'c Tables,
    hidden: &'c [String],
    withheld: BTreeSet<String>,
}

impl Curtain<'_> {
    /// Whether the value of `name` is withheld.
    fn withholds(&mut self, name: &str, value: &str) -> bool {
        let is_hidden = sounds_secret(name)
            || looks_like_secret(value)
            || rewrite::reads_token_from(self.tables, name)
            || self.hidden.iter().any(|hidden| rewrite::is_alike(hidden, name));
        if is_hidden {
            self.withheld.insert(name.to_owned());
        }
        is_hidden
    }

    /// The value of `name`, unless it is withheld.
    fn value(&mut self, name: &str, value: &str) -> String {
        if self.withholds(name, value) {
            WITHHELD.to_owned()
        } else if name == "host" {
            self.authority(value)
        } else {
            value.to_owned()
        }
    }

    /// The same of a header field.
    fn field(&mut self, name: &str, value: &[u8]) -> (String, FieldValue) {
        let text = String::from_utf8_lossy(value);
        let shown = match self.withholds(name, &text) {
            true => withheld_field(self.tables, name, value),
            false if name == "host" && text.contains('@') => self.authority(&text).as_str().into(),
            false => value.into(),
        };
        (name.to_owned(), shown)
    }

    /// An authority, whose userinfo may be a password. None that has any passes, whatever it is.
    fn authority(&mut self, text: &str) -> String {
        let Some((_, host)) = text.rsplit_once('@') else {
            return text.to_owned();
        };
        self.withheld.insert(AUTHORITY.to_owned());
        format!("{WITHHELD}@{host}")
    }

    /// The fields that were read. The authority of an absolute target stands in `host`, which means nothing beside it but
    /// where there are several.
    fn headers(&mut self, request: &Request<'_>, mut names: BTreeSet<String>) -> Vec<(String, FieldValue)> {
        let mut headers = Vec::new();
        let mut hosts = 0_u32;
        request.headers.each("host", &mut |_| hosts = hosts.saturating_add(1));
        let target = request.authority.filter(|sent| sent.form == AuthorityForm::Target);
        if let Some(sent) = target.filter(|_| hosts < 2) {
            names.remove("host");
            headers.push(self.field("host", sent.text.as_bytes()));
        }
        for name in names {
            request
                .headers
                .each(&name, &mut |value| headers.push(self.field(&name, value)));
        }
        headers
    }

    /// Path and query, where no parameter stands but those that a route compares: any other may be a key.
    fn target(&mut self, target: &str) -> String {
        match target.split_once('?') {
            Some((path, query)) => self.with_query(path, query),
            None => self.path(target),
        }
    }

    /// A path without the segments that are shaped like a key.
    fn path(&mut self, path: &str) -> String {
        let segments = path.split('/').map(|segment| self.value(PATH, segment));
        segments.collect::<Vec<_>>().join("/")
    }

    /// The same of what ends with the client's `query`: what stands before that, another query too, the configuration
    /// wrote.
    fn written(&mut self, target: &str, query: Option<&str>) -> String {
        let Some(query) = query else {
            return self.path(target);
        };
        let mut sent = String::new();
        rewrite::append_query(self.tables, &mut sent, Some(query));
        match target.strip_suffix(&*sent) {
            Some(path) => self.with_query(path, query),
            None => WITHHELD.to_owned(),
        }
    }

    fn with_query(&mut self, path: &str, query: &str) -> String {
        let path = &self.path(path);
        let sent = rewrite::sent_query(self.tables, query);
        if sent.is_empty() {
            // What is judged has none either where only tokens stood in it.
            return rewrite::with_query(path, query.is_empty().then_some(""));
        }
        let pairs = sent.split('&').map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if !self.compares_parameter(name) {
                self.withheld.insert(QUERY.to_owned());
                return WITHHELD.to_owned();
            }
            let shown = self.value(&name.to_ascii_lowercase(), value);
            if shown == value {
                pair.to_owned()
            } else {
                format!("{name}={shown}")
            }
        });
        let query = pairs.collect::<Vec<_>>().join("&");
        rewrite::with_query(path, Some(&query))
    }

    fn compares_parameter(&self, name: &str) -> bool {
        let mut conditions = self.tables.conditions.iter();
        conditions
            .any(|condition| matches!(condition.subject, Subject::QueryParam(own) if self.tables.text(own) == name))
    }

    /// What the configuration may read of a token, as a payload of its own.
    fn claims(&mut self, claims: &Claims<'_>) -> String {
        let is_sent_whole = self.tables.token_rules.iter().any(|rule| rule.payload_header.is_some());
        if is_sent_whole && self.hidden.is_empty() {
            return claims.payload().to_owned();
        }
        let mut values: Vec<(Vec<&str>, String)> = Vec::new();
        for path in read_claims(self.tables) {
            let path_names: Vec<&str> = path.split(PATH_SEPARATOR).collect();
            // What stands around it is read too, and has it.
            if values.last().is_some_and(|(whole, _)| path_names.starts_with(whole)) {
                continue;
            }
            let json = match claims.value(path) {
                Some(ClaimValue::String(text)) => json_text(text),
                Some(ClaimValue::Number(json) | ClaimValue::Boolean(json) | ClaimValue::Json(json)) => json.to_owned(),
                Some(ClaimValue::Null) => "null".to_owned(),
                None => continue,
            };
            let mut names = path_names.iter();
            let is_withheld = names.any(|name| self.withholds(&name.to_ascii_lowercase(), &json));
            let shown = if is_withheld { json_text(WITHHELD) } else { json };
            values.push((path_names, shown));
        }
        // None is both a value and an object.
        json_object(&values, 0).unwrap_or_default()
    }

    fn client(&mut self, request: &Request<'_>) -> Client {
        let connection = request.connection;
        let is_tls = connection.scheme == Scheme::Https;
        Client {
            peer: Some(connection.peer),
            proxied: connection.proxied,
            destination_ip: Some(connection.local),
            destination_port: Some(connection.destination_port),
            port: Some(connection.port),
            sni: is_tls.then(|| connection.sni.unwrap_or_default().to_owned()),
            peer_uris: connection.spiffe_id.iter().map(|id| format!("spiffe://{id}")).collect(),
            peer_cert: connection.client_cert.map(|told| self.value(client_cert::NAME, told)),
        }
    }

    fn checks(&mut self, snapshot: &Snapshot, answers: &[OwnedAnswer]) -> AssumedAnswers {
        let authorizers = snapshot.authorizers();
        let assumed = answers.iter().filter_map(|answer| {
            let authorizer = authorizers.get(answer.authorizer.0 as usize)?;
            Some((authorizer.name.to_string(), self.answer(&answer.said)))
        });
        assumed_answers(assumed)
    }

    fn answer(&mut self, said: &OwnedSaid) -> AssumedAnswer {
        let fields = match said {
            OwnedSaid::Allow(fields) => fields,
            OwnedSaid::Deny(status) => return AssumedAnswer::Deny { status: Some(*status) },
            OwnedSaid::Nothing => return AssumedAnswer::Error,
            OwnedSaid::BodyTooLarge => return AssumedAnswer::BodyTooLarge,
        };
        let mut set_headers = Vec::new();
        let mut remove_headers = Vec::new();
        for field in fields {
            match &field.value {
                Some(value) => set_headers.push(self.field(&field.name, value)),
                None => remove_headers.push(field.name.to_string()),
            }
        }
        AssumedAnswer::Allow {
            set_headers,
            remove_headers,
        }
    }

    /// Withholds in the verdict, which sends `query` on, what the question withholds. What tokens write, and what is made
    /// of a value that is withheld, is taken over from `again`, the answer to the question.
    fn draw_over(&mut self, verdict: &mut Verdict, again: Option<&Verdict>, query: Option<&str>, found: Found<'_>) {
        let forward = match verdict {
            Verdict::Forward(forward) => forward,
            Verdict::Redirect(redirect) => {
                redirect.location = match again {
                    _ if !self.withheld.contains("host") => self.written(&redirect.location, query),
                    Some(Verdict::Redirect(again)) => again.location.clone(),
                    _ => WITHHELD.to_owned(),
                };
                return;
            }
            Verdict::Respond(answer) => {
                let again = match again {
                    Some(Verdict::Respond(again)) => &again.change_headers[..],
                    _ => &[],
                };
                self.draw_over_cors(&mut answer.change_headers, again);
                return;
            }
            Verdict::Check(_) | Verdict::VerifyToken { .. } | Verdict::ReadBody { .. } | Verdict::Refuse(_) => return,
        };
        forward.path = self.written(&forward.path, query);
        let (again, answer_again) = match again {
            Some(Verdict::Forward(again)) => (&again.set_headers[..], &again.change_response_headers[..]),
            _ => (&[][..], &[][..]),
        };
        self.draw_over_cors(&mut forward.change_response_headers, answer_again);
        let claims = found.identity.claims();
        let written: BTreeMap<&str, &str> = claims.into_iter().flat_map(Claims::headers).collect();
        for (index, (name, value)) in forward.set_headers.iter_mut().enumerate() {
            let same = again.get(index).filter(|(other, _)| other == name);
            if written.contains_key(name.as_str()) {
                *value = same.map_or_else(|| WITHHELD.to_owned(), |(_, value)| self.value(name, value));
            } else if self.withheld.contains(name) {
                *value = same.map_or_else(|| WITHHELD.to_owned(), |(_, value)| value.clone());
            } else if name == ORIGINAL_PATH {
                *value = self.written(value, query);
            }
        }
    }

    /// The same in what a page of another origin is told: some of it are values of the request's fields.
    fn draw_over_cors(&self, changes: &mut [HeaderChanged], again: &[HeaderChanged]) {
        if !cors::READ_FIELDS.iter().any(|name| self.withheld.contains(*name)) {
            return;
        }
        for (index, change) in changes.iter_mut().enumerate() {
            if let HeaderChanged::Set { name, value } = change
                && name.starts_with("access-control-")
            {
                *value = match again.get(index) {
                    Some(HeaderChanged::Set { name: other, value }) if other == name => value.clone(),
                    _ => WITHHELD.to_owned(),
                };
            }
        }
    }
}

/// What stands for the value of a field: where a token is in it, one is in this as well.
fn withheld_field(tables: &Tables, name: &str, value: &[u8]) -> FieldValue {
    let prefix = places::prefix_of(tables, name, value).unwrap_or("");
    [prefix, WITHHELD].concat().as_str().into()
}

/// The paths of the claims that anything in the configuration reads. Those around another come before it.
fn read_claims(tables: &Tables) -> BTreeSet<&str> {
    let policies = tables
        .predicates
        .iter()
        .filter_map(|predicate| match predicate.attribute {
            Attribute::Claim(path) => Some(tables.text(path)),
            Attribute::RequestPrincipal => Some("sub"),
            Attribute::Audience => Some("aud"),
            Attribute::Presenter => Some("azp"),
            _ => None,
        });
    let routes = tables
        .conditions
        .iter()
        .filter_map(|condition| match condition.subject {
            Subject::Claim(path) => Some(tables.text(path)),
            _ => None,
        });
    let written = tables.claim_headers.iter().map(|row| tables.text(row.claim));
    let paths = policies.chain(routes).chain(written);
    // By them the rule is found that accepts the token and says how claims are read.
    let for_audience = tables.token_rules.iter().filter(|rule| rule.audiences.len > 0);
    let of_rules = for_audience.map(|_| "aud").chain(["iss"]);
    paths.chain(of_rules).collect()
}

/// A body of which the same is known, as far as a decision reads it.
fn body(tables: &Tables, facts: &BodyFacts) -> String {
    let is_given = |name: &str| facts.member(name).is_some_and(|member| !member.is_null);
    let mut members = BTreeMap::new();
    for field in &tables.fields {
        let name = tables.text(field.name);
        if is_given(name) {
            members.insert(name, "0".to_owned());
        }
    }
    if let Some(model) = facts.model() {
        members.insert(Governed::Model.key(), json_text(model));
    }
    if let Some(stream) = facts.stream() {
        members.insert(Governed::Stream.key(), stream.to_string());
    }
    if is_given(Governed::StreamOptions.key()) {
        let options = match facts.include_usage() {
            Some(usage) => format!(r#"{{"include_usage":{usage}}}"#),
            None => "{}".to_owned(),
        };
        members.insert(Governed::StreamOptions.key(), options);
    }
    let limits = [
        Governed::MaxTokens,
        Governed::MaxCompletionTokens,
        Governed::MaxOutputTokens,
    ];
    let unclear = facts.unclear();
    let limit = match unclear.max_tokens {
        true => "-1".to_owned(),
        false => facts.max_tokens().unwrap_or_default().to_string(),
    };
    for name in limits.map(Governed::key).into_iter().filter(|name| is_given(name)) {
        members.insert(name, limit.clone());
    }
    // Of what nobody can be sure of for the sake of another member, one such member.
    if unclear.max_tokens
        && judges(tables, |attribute| attribute == Attribute::LlmMaxTokens)
        && !limits.map(Governed::key).into_iter().any(is_given)
    {
        members.insert("n_predict", limit);
    }
    if unclear.model && judges(tables, |attribute| attribute == Attribute::LlmModel) {
        members.insert("fallbacks", "0".to_owned());
    }
    if judges(tables, |attribute| matches!(attribute, Attribute::LlmTools { .. })) {
        members.insert("tools", tools(facts));
    }
    let members = members
        .iter()
        .map(|(name, value)| format!("{}:{value}", json_text(name)));
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Whether a policy asks for such an attribute.
fn judges(tables: &Tables, is_asked: impl Fn(Attribute) -> bool) -> bool {
    tables.predicates.iter().any(|predicate| is_asked(predicate.attribute))
}

/// A list of tools with the same names. One without a name is what nobody can be sure of.
fn tools(facts: &BodyFacts) -> String {
    let tool = |name: &[u8]| {
        let name = json_text(&String::from_utf8_lossy(name));
        format!(r#"{{"type":"custom","name":{name}}}"#)
    };
    let tools: Vec<String> = match facts.tools() {
        Some(names) => names.map(tool).collect(),
        None => Vec::from([tool(b"")]),
    };
    format!("[{}]", tools.join(","))
}
