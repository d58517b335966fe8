//! A request to explain as `POST /explain` takes it and as capsules have it: the engine's [`Question`] as JSON.

use core::net::IpAddr;
use std::collections::BTreeMap;

use lockgate_core::check::AssumedAnswers;
use lockgate_core::explain::{Client, Question, Target};
use lockgate_core::field_value::FieldValue;
use lockgate_core::llm::body::BodyError;
use lockgate_core::token::TokenError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The members are those of [`Question`] and its [`Client`].
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asked {
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    authority: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(default)]
    headers: Vec<(String, FieldValue)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proxied: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_ip: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    destination_port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sni: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    peer_uris: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer_cert: Option<String>,
    // As written, since the bytes of a payload may be sent on.
    #[serde(skip_serializing_if = "Option::is_none")]
    claims: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token_error: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    checks: AssumedAnswers,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_error: Option<String>,
    #[serde(default)]
    entropy: Entropy,
}

/// 64 bits: written in quotes, because other languages' readers of JSON keep only 53 of a number.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "String")]
struct Entropy(u64);

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Number(u64),
    Digits(String),
}

impl TryFrom<Written> for Entropy {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        match written {
            Written::Number(number) => Ok(Self(number)),
            Written::Digits(digits) => digits
                .parse()
                .map(Self)
                .map_err(|_| "`entropy`: expected a whole number of 64 bits"),
        }
    }
}

impl From<Entropy> for String {
    fn from(entropy: Entropy) -> Self {
        entropy.0.to_string()
    }
}

impl TryFrom<Asked> for Question {
    type Error = String;

    fn try_from(asked: Asked) -> Result<Self, String> {
        let in_field = |name: &str, why: String| format!("`{name}`: {why}");
        Ok(Self {
            method: asked.method,
            target: Target::parse(&asked.url).map_err(|why| in_field("url", why))?,
            authority: asked.authority,
            protocol: asked.protocol,
            headers: asked.headers,
            client: Client {
                peer: asked.peer,
                proxied: asked.proxied,
                destination_ip: asked.destination_ip,
                destination_port: asked.destination_port,
                port: asked.port,
                sni: asked.sni,
                peer_uris: asked.peer_uris,
                peer_cert: asked.peer_cert,
            },
            claims: asked.claims.map(|claims| claims.get().to_owned()),
            token_error: asked
                .token_error
                .map(|words| TokenError::in_words(&words).map_err(|why| in_field("tokenError", why)))
                .transpose()?,
            checks: asked.checks,
            body: asked.body,
            body_error: asked
                .body_error
                .map(|words| BodyError::in_words(&words).map_err(|why| in_field("bodyError", why)))
                .transpose()?,
            entropy: asked.entropy.0,
        })
    }
}

impl From<Question> for Asked {
    fn from(question: Question) -> Self {
        let client = question.client;
        Self {
            method: question.method,
            url: question.target.to_string(),
            authority: question.authority,
            protocol: question.protocol,
            headers: question.headers,
            peer: client.peer,
            proxied: client.proxied,
            destination_ip: client.destination_ip,
            destination_port: client.destination_port,
            port: client.port,
            sni: client.sni,
            peer_uris: client.peer_uris,
            peer_cert: client.peer_cert,
            claims: question.claims.and_then(|claims| RawValue::from_string(claims).ok()),
            token_error: question.token_error.map(|error| error.message().to_owned()),
            checks: question.checks,
            body: question.body,
            body_error: question.body_error.map(|error| error.to_string()),
            entropy: Entropy(question.entropy),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_the_same_after_it_was_written() {
        let text = r#"{"method":"PUT","url":"/a?b","authority":"a.test","protocol":"websocket","headers":[["x-a","b"],["x-b",{"base64":"/w=="}]],"peer":"192.0.2.1",
            "proxied":"192.0.2.2","destinationIp":"::1","destinationPort":8,"port":9,"sni":"","peerUris":["spiffe://a"],"peerCert":"URI=a",
            "claims":{"b" : 1,"a":[ ]},"checks":{"x":{"decision":"allow","setHeaders":[["a","b"],["a",{"base64":"/w=="}]]},"y":{"decision":"deny","status":401}},
            "bodyError":"the request body is too large","entropy":"18446744073709551615"}"#;
        let read = |text: &str| Question::try_from(serde_json::from_str::<Asked>(text).unwrap()).unwrap();
        let question = read(text);
        assert_eq!(question.claims.as_deref(), Some(r#"{"b" : 1,"a":[ ]}"#));
        assert_eq!(question.entropy, u64::MAX);
        assert_eq!(question.headers[1].1.as_bytes(), b"\xff");
        let written = serde_json::to_string(&Asked::from(question.clone())).unwrap();
        assert_eq!(read(&written), question);
    }

    #[test]
    fn words_that_are_none_are_refused() {
        for (text, why) in [
            (
                r#"{"url":"/","tokenError":"Jwt is expird"}"#,
                "`tokenError`: no token is refused with `Jwt is expird`: did you mean `Jwt is expired`",
            ),
            (
                r#"{"url":"x"}"#,
                "`url`: `x` is neither a URL nor a path: begin with http:// or /",
            ),
        ] {
            let asked: Asked = serde_json::from_str(text).unwrap();
            assert_eq!(Question::try_from(asked).unwrap_err(), why);
        }
        assert!(serde_json::from_str::<Asked>(r#"{"url":"/","entropy":"-1"}"#).is_err());
        let error = serde_json::from_str::<Asked>(r#"{"url":"/","headers":[["a",{"base64":"?"}]]}"#).unwrap_err();
        assert!(error.to_string().starts_with("`base64` is not base64 at"), "{error}");
    }
}
