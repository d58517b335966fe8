//! A request twice: as JSON for the simulator, and as the question that the simulator is to make of it.

use std::net::IpAddr;

use lockgate_core::check::{AssumedAnswer, AssumedAnswers, AssumedDecision};
use lockgate_core::explain::{Client, Question, Target};
use lockgate_core::field_value::FieldValue;
use lockgate_core::llm::body::BodyError;
use lockgate_core::request::Scheme;
use lockgate_core::token::TokenError;
use serde_json::{Map, Value, json};

use crate::bytes::Bytes;
use crate::checks::{Answer, NAMES};
use crate::http_routes::Asked;
use crate::traffic::Sample;

const TOKEN_ERRORS: [&str; 5] = [
    "Jwt is expired",
    "Audiences in Jwt are not allowed",
    "Jwt verification fails",
    "Jwt issuer is not configured",
    "Jwt is missing",
];
const BODY_ERRORS: [Option<BodyError>; 8] = [
    Some(BodyError::TooLarge),
    Some(BodyError::DuplicateKey { at: 12 }),
    Some(BodyError::UnsupportedEncoding),
    Some(BodyError::UnsupportedMediaType),
    Some(BodyError::TooLarge),
    Some(BodyError::TooDeep { at: 300 }),
    Some(BodyError::Empty),
    None,
];

/// `SimulatedRequest` of the simulator's types.
#[derive(Debug, Default)]
pub(super) struct Simulated {
    method: Option<String>,
    target: String,
    authority: Option<String>,
    pub(super) headers: Vec<(String, FieldValue)>,
    peer: Option<IpAddr>,
    proxied: Option<IpAddr>,
    destination_ip: Option<IpAddr>,
    destination_port: Option<u16>,
    pub(super) port: Option<u16>,
    sni: Option<String>,
    peer_uris: Vec<String>,
    pub(super) claims: Option<&'static str>,
    token_error: Option<&'static str>,
    pub(super) checks: Vec<(String, Answer)>,
    body: Option<String>,
    body_error: Option<String>,
    entropy: u64,
}

impl Simulated {
    pub(super) fn of_asked(asked: &Asked) -> Self {
        let mut headers = vec![("host".to_owned(), asked.host.into())];
        let more = asked.headers.iter();
        headers.extend(more.map(|(name, value)| ((*name).to_owned(), (*value).into())));
        Self {
            method: Some(asked.method.to_owned()),
            target: match asked.query {
                Some(query) => format!("{}?{query}", asked.path),
                None => asked.path.to_owned(),
            },
            headers,
            port: Some(asked.port),
            entropy: asked.entropy,
            ..Self::default()
        }
    }

    /// Most of what a sample has.
    pub(super) fn of_sample(sample: &Sample, bytes: &mut Bytes<'_>) -> Self {
        let headers = sample.headers.iter();
        let headers = headers.map(|(name, value)| ((*name).to_owned(), value[..].into()));
        let mut headers: Vec<(String, FieldValue)> = headers.collect();
        let body = (!bytes.one_in(8)).then(|| String::from_utf8_lossy(sample.body.text).into_owned());
        if body.is_some() && !bytes.one_in(16) {
            headers.push(("content-type".to_owned(), "application/json".into()));
        }
        // Beside a body and claims they are wrong, and so are some of these words.
        let token_error = bytes
            .one_in(if sample.person.is_some() { 128 } else { 16 })
            .then(|| bytes.pick(&TOKEN_ERRORS));
        let is_refused = bytes.one_in(if body.is_some() { 64 } else { 2 });
        let body_error = is_refused.then(|| {
            bytes
                .pick(&BODY_ERRORS)
                .map_or("the body is large".to_owned(), |error| error.to_string())
        });
        let is_tls = sample.scheme == Scheme::Https;
        let answers = NAMES.into_iter().zip(sample.answers);
        let answers = answers.map(|(name, answer)| (name.to_owned(), answer));
        Self {
            method: (!bytes.one_in(16)).then(|| sample.method.to_owned()),
            target: sample.target.clone(),
            authority: sample.authority.clone(),
            headers,
            peer: Some(sample.peer),
            proxied: sample.proxied,
            destination_ip: (!bytes.one_in(4)).then_some(sample.local),
            destination_port: (!bytes.one_in(4)).then_some(sample.destination_port),
            port: (!bytes.one_in(16)).then_some(sample.port),
            sni: sample.sni.filter(|_| is_tls).map(str::to_owned),
            peer_uris: match is_tls {
                true => sample.uri_names.iter().map(|name| (*name).to_owned()).collect(),
                false => Vec::new(),
            },
            claims: sample.person.map(|person| person.payload),
            checks: match bytes.one_in(8) {
                true => Vec::new(),
                false => answers.collect(),
            },
            token_error,
            body,
            body_error,
            entropy: sample.entropy,
        }
    }

    /// For the simulator; its entropy is text.
    pub(super) fn json(&self) -> Value {
        let checks = self.checks.iter().map(|(name, answer)| (name.clone(), check(*answer)));
        let claims = self
            .claims
            .map(|payload| serde_json::from_str::<Value>(payload).expect("a payload"));
        json!({
            "method": self.method,
            "url": self.target,
            "authority": self.authority,
            "headers": self.headers,
            "peer": self.peer,
            "proxied": self.proxied,
            "destinationIp": self.destination_ip,
            "destinationPort": self.destination_port,
            "port": self.port,
            "sni": self.sni,
            "peerUris": self.peer_uris,
            "claims": claims,
            "tokenError": self.token_error,
            "checks": checks.collect::<Map<_, _>>(),
            "body": self.body,
            "bodyError": self.body_error,
            "entropy": self.entropy.to_string(),
        })
    }

    /// The question.
    pub(super) fn question(&self) -> Result<Question, String> {
        let assumed = self
            .checks
            .iter()
            .map(|(name, answer)| Ok((name.clone(), assumed(*answer)?)));
        let checks = assumed.collect::<Result<AssumedAnswers, &str>>();
        Ok(Question {
            method: self.method.clone(),
            target: Target::parse(&self.target)?,
            authority: self.authority.clone(),
            protocol: None,
            headers: self.headers.clone(),
            client: Client {
                peer: self.peer,
                proxied: self.proxied,
                destination_ip: self.destination_ip,
                destination_port: self.destination_port,
                port: self.port,
                sni: self.sni.clone(),
                peer_uris: self.peer_uris.clone(),
                peer_cert: None,
            },
            claims: self.claims.map(str::to_owned),
            token_error: self.token_error.map(TokenError::in_words).transpose()?,
            checks: checks?,
            body: self.body.clone(),
            body_error: self.body_error.as_deref().map(BodyError::in_words).transpose()?,
            entropy: self.entropy,
        })
    }
}

/// Fields to set and to remove.
fn split(fields: &[(&str, Option<&[u8]>)]) -> (Vec<(String, FieldValue)>, Vec<String>) {
    let set = fields
        .iter()
        .filter_map(|(name, value)| Some(((*name).to_owned(), (*value)?.into())));
    let removed = fields.iter().filter(|(_, value)| value.is_none());
    (set.collect(), removed.map(|(name, _)| (*name).to_owned()).collect())
}

/// `CheckAnswer` of the simulator's types.
fn check(answer: Answer) -> Value {
    match answer {
        Answer::Allow(fields) => {
            let (set, removed) = split(fields);
            json!({ "decision": "allow", "setHeaders": set, "removeHeaders": removed })
        }
        Answer::Deny(status) => json!({ "decision": "deny", "status": status }),
        Answer::Nothing => json!({ "decision": "error" }),
        Answer::BodyTooLarge => json!({ "decision": "bodyTooLarge" }),
    }
}

fn assumed(answer: Answer) -> Result<AssumedAnswer, &'static str> {
    match answer {
        Answer::Allow(fields) => {
            let (set, removed) = split(fields);
            AssumedAnswer::new(AssumedDecision::Allow, Some(set), Some(removed), None)
        }
        Answer::Deny(status) => AssumedAnswer::new(AssumedDecision::Deny, None, None, Some(status)),
        Answer::Nothing => AssumedAnswer::new(AssumedDecision::Error, None, None, None),
        Answer::BodyTooLarge => AssumedAnswer::new(AssumedDecision::BodyTooLarge, None, None, None),
    }
}
