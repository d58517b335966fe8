//! A request as JSON: `SimulatedRequest` of `index.d.ts`.

use core::net::IpAddr;

use lockgate_core::check::{AssumedAnswer, AssumedAnswers, AssumedDecision, assumed_answers};
use lockgate_core::explain::{Client, Question, Target};
use lockgate_core::field_value::FieldValue;
use lockgate_core::llm::body::BodyError;
use lockgate_core::token::TokenError;
use wasm_bindgen::prelude::JsError;

use crate::json::{Json, wrong};

/// The request that `text` describes.
pub(crate) fn read(text: &str) -> Result<Question, JsError> {
    let names = [
        "method",
        "url",
        "authority",
        "protocol",
        "headers",
        "peer",
        "proxied",
        "destinationIp",
        "destinationPort",
        "port",
        "sni",
        "peerUris",
        "peerCert",
        "claims",
        "tokenError",
        "checks",
        "body",
        "bodyError",
        "entropy",
    ];
    let mut fields = Json::read(text)?.fields("request", &names)?;
    Ok(Question {
        method: fields.take("method", Json::string)?,
        target: fields.require("url", |url, name| {
            Target::parse(&url.string(name)?).map_err(|why| JsError::new(&why))
        })?,
        authority: fields.take("authority", Json::string)?,
        protocol: fields.take("protocol", Json::string)?,
        headers: fields.take("headers", pairs)?.unwrap_or_default(),
        client: Client {
            peer: fields.take("peer", address)?,
            proxied: fields.take("proxied", address)?,
            destination_ip: fields.take("destinationIp", address)?,
            destination_port: fields.take("destinationPort", small)?,
            port: fields.take("port", small)?,
            sni: fields.take("sni", Json::string)?,
            peer_uris: fields.take("peerUris", texts)?.unwrap_or_default(),
            peer_cert: fields.take("peerCert", Json::string)?,
        },
        claims: fields.take("claims", |claims, _| Ok(claims.text.to_owned()))?,
        token_error: fields.take("tokenError", |words, name| {
            TokenError::in_words(&words.string(name)?).map_err(|why| JsError::new(&why))
        })?,
        checks: fields.take("checks", checks)?.unwrap_or_default(),
        body: fields.take("body", Json::string)?,
        body_error: fields.take("bodyError", |words, name| {
            BodyError::in_words(&words.string(name)?).map_err(|why| JsError::new(&why))
        })?,
        entropy: fields.take("entropy", entropy)?.unwrap_or(0),
    })
}

/// A number, or its digits in quotes, as capsules have them.
fn entropy(value: Json<'_>, name: &str) -> Result<u64, JsError> {
    value.digits().parse().map_err(|_| wrong(name, "a whole number"))
}

/// `Record<string, CheckAnswer>`.
fn checks(value: Json<'_>, name: &str) -> Result<AssumedAnswers, JsError> {
    Ok(assumed_answers(value.map(name, check)?))
}

fn check(value: Json<'_>, name: &str) -> Result<AssumedAnswer, JsError> {
    let names = ["decision", "setHeaders", "removeHeaders", "status"];
    let mut fields = value.fields(name, &names)?;
    let decision = fields.require("decision", |value, name| match value.string(name)?.as_str() {
        "allow" => Ok(AssumedDecision::Allow),
        "deny" => Ok(AssumedDecision::Deny),
        "error" => Ok(AssumedDecision::Error),
        "bodyTooLarge" => Ok(AssumedDecision::BodyTooLarge),
        other => Err(JsError::new(&format!(
            "unknown decision `{other}`, expected one of `allow`, `deny`, `error`, `bodyTooLarge`"
        ))),
    })?;
    let answer = AssumedAnswer::new(
        decision,
        fields.take("setHeaders", pairs)?,
        fields.take("removeHeaders", texts)?,
        fields.take("status", small)?,
    );
    answer.map_err(JsError::new)
}

fn pairs(value: Json<'_>, name: &str) -> Result<Vec<(String, FieldValue)>, JsError> {
    value.list(name, |pair, name| {
        let pair: Result<[Json<'_>; 2], _> = pair.list(name, |part, _| Ok(part))?.try_into();
        let [field, value] = pair.map_err(|_| wrong(name, "pairs of a name and a value"))?;
        Ok((field.string(name)?, field_value(value, name)?))
    })
}

/// `FieldValue`: a text, or bytes in base64.
fn field_value(value: Json<'_>, name: &str) -> Result<FieldValue, JsError> {
    if !value.is_object() {
        return Ok(value.string(name)?.into());
    }
    let base64 = value.fields(name, &["base64"])?.require("base64", Json::string)?;
    FieldValue::from_base64(&base64).map_err(JsError::new)
}

fn texts(value: Json<'_>, name: &str) -> Result<Vec<String>, JsError> {
    value.list(name, Json::string)
}

fn address(value: Json<'_>, name: &str) -> Result<IpAddr, JsError> {
    value.string(name)?.parse().map_err(|_| wrong(name, "an IP address"))
}

fn small(value: Json<'_>, name: &str) -> Result<u16, JsError> {
    value.number(name, "a whole number from 0 to 65535")
}
