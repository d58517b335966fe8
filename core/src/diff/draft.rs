//! A request in parts, each of which can be set, changed or left away by itself.

use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::check::AssumedAnswer;
use crate::claims::PATH_SEPARATOR;
use crate::explain::{Client, Question, Target};
use crate::json_text::{json_object, json_text};
use crate::snapshot::Snapshot;
use crate::token::TokenError;

/// What can be said of a request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// The logical port.
    Port,
    Method,
    Host,
    /// Path, and maybe a query.
    Path,
    Query(String),
    Header(String),
    /// The TCP peer.
    Peer,
    /// The client as trusted proxies tell.
    Remote,
    DestinationIp,
    DestinationPort,
    ServerName,
    /// A URI name of the client's certificate.
    UriName,
    /// A claim of the token, by a path as [`crate::claims`] has it.
    Claim(String),
    /// Why the token must not pass.
    TokenError,
    /// What every external authorizer says: nothing unless it is there.
    Authorizers,
    Model,
    Stream,
    MaxTokens,
    Tool,
    /// A body, though nothing in it is told.
    Body,
    Entropy,
}

impl Part {
    fn is_of_body(&self) -> bool {
        matches!(
            self,
            Self::Model | Self::Stream | Self::MaxTokens | Self::Tool | Self::Body
        )
    }
}

/// Parts that go together, as the two of a `requestPrincipals` value.
pub(super) type Setting = Vec<(Part, String)>;

/// A request by its parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Draft(pub(super) BTreeMap<Part, String>);

impl Draft {
    pub(super) fn set(&mut self, setting: &[(Part, String)]) {
        self.0.extend(setting.iter().cloned());
    }

    pub(super) fn with(&self, setting: &[(Part, String)]) -> Self {
        let mut draft = self.clone();
        draft.set(setting);
        draft
    }

    pub(super) fn over(&self, base: &Self) -> Self {
        let mut draft = base.clone();
        draft.0.extend(self.0.clone());
        draft
    }

    pub(super) fn has_body(&self) -> bool {
        self.0.keys().any(Part::is_of_body)
    }

    fn get(&self, part: &Part) -> Option<&str> {
        self.0.get(part).map(String::as_str)
    }

    /// The request in words, without what depends on who is asked; `None` when its parts do not go together.
    /// `trusted_proxies` stand in front of whoever asks.
    pub(super) fn question(&self, trusted_proxies: u32) -> Option<Question> {
        let mut path = self.get(&Part::Path).unwrap_or("/").to_owned();
        let mut headers = Vec::new();
        headers.push(("host".to_owned(), self.get(&Part::Host).unwrap_or(HOST).into()));
        for (part, value) in &self.0 {
            match part {
                Part::Query(name) => {
                    path.push(if path.contains('?') { '&' } else { '?' });
                    path += &format!("{name}={value}");
                }
                Part::Header(name) => headers.push((name.clone(), value.as_str().into())),
                _ => {}
            }
        }
        if let Some(remote) = self.get(&Part::Remote) {
            let ours = ", 10.255.255.254".repeat(trusted_proxies.saturating_sub(1) as usize);
            headers.push(("x-forwarded-for".to_owned(), format!("{remote}{ours}").as_str().into()));
        }
        if self.has_body() && self.get(&Part::Header("content-type".to_owned())).is_none() {
            headers.push(("content-type".to_owned(), "application/json".into()));
        }
        let address = |part| self.get(part).map(str::parse).transpose().ok();
        let number = |part| self.get(part).map(str::parse).transpose().ok();
        Some(Question {
            method: self.get(&Part::Method).map(ToOwned::to_owned),
            target: Target::path(&path)?,
            headers,
            client: Client {
                peer: address(&Part::Peer)?,
                destination_ip: address(&Part::DestinationIp)?,
                destination_port: number(&Part::DestinationPort)?,
                port: number(&Part::Port)?,
                sni: self.get(&Part::ServerName).map(ToOwned::to_owned),
                peer_uris: self.get(&Part::UriName).map(ToOwned::to_owned).into_iter().collect(),
                ..Client::default()
            },
            claims: self.claims()?,
            token_error: self.token_error()?,
            body: self.has_body().then(|| self.body()),
            entropy: self.get(&Part::Entropy).map_or(Some(0), |text| text.parse().ok())?,
            ..Question::default()
        })
    }

    /// The same as a gateway with `snapshot` would be asked it: there is no token where none is looked for, and
    /// authorizers are those that it has.
    pub(super) fn asked_of(&self, snapshot: &Snapshot, question: &Question) -> Question {
        let mut asked = question.clone();
        let tables = snapshot.tables();
        if tables.token_rules.is_empty() {
            asked.claims = None;
            asked.token_error = None;
        }
        if self.0.contains_key(&Part::Authorizers) {
            let allow = AssumedAnswer::Allow {
                set_headers: Vec::new(),
                remove_headers: Vec::new(),
            };
            let names = snapshot
                .authorizers()
                .iter()
                .map(|authorizer| authorizer.name.to_string());
            asked.checks = names.map(|name| (name, allow.clone())).collect();
        }
        asked
    }

    fn token_error(&self) -> Option<Option<TokenError>> {
        match (self.get(&Part::TokenError), self.has_claims()) {
            (Some(_), true) => None,
            (Some(words), false) => TokenError::in_words(words).ok().map(Some),
            (None, _) => Some(None),
        }
    }

    fn has_claims(&self) -> bool {
        self.0.keys().any(|part| matches!(part, Part::Claim(_)))
    }

    /// The claims as JSON; `None` when one is both a value and an object.
    fn claims(&self) -> Option<Option<String>> {
        let claims = self.0.iter().filter_map(|(part, value)| match part {
            Part::Claim(path) => Some((path.split(PATH_SEPARATOR).collect(), json_text(value))),
            _ => None,
        });
        let claims: Vec<(Vec<&str>, String)> = claims.collect();
        match claims.is_empty() {
            true => Some(None),
            false => json_object(&claims, 0).map(Some),
        }
    }

    fn body(&self) -> String {
        let mut members = Vec::new();
        if let Some(model) = self.get(&Part::Model) {
            members.push(format!("\"model\":{}", json_text(model)));
        }
        if let Some(stream) = self.get(&Part::Stream) {
            members.push(format!("\"stream\":{}", stream == "true"));
        }
        if let Some(tokens) = self.get(&Part::MaxTokens) {
            members.push(format!("\"max_tokens\":{tokens}"));
        }
        members.push("\"messages\":[]".to_owned());
        if let Some(tool) = self.get(&Part::Tool) {
            let name = json_text(tool);
            members.push(format!(
                "\"tools\":[{{\"type\":\"function\",\"function\":{{\"name\":{name}}}}}]"
            ));
        }
        format!("{{{}}}", members.join(","))
    }
}

/// Of a request that names none, a host that no configuration means.
const HOST: &str = "host.example";
