//! A request as JSON, handed to the engine as the gateway would hand over one from the network.

use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::check::{AssumedAnswer, AssumedAnswers, AssumedDecision, Checked, borrow_answers, borrow_fields};
use lockgate_core::cidr::canonical;
use lockgate_core::claims::ClaimSet;
use lockgate_core::decide::{Body, Identity, Known};
use lockgate_core::explain::{Explanation, explain as explain_request, presumed_server_name};
use lockgate_core::limits::BODY_BYTES_MAX_DEFAULT;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::media::media;
use lockgate_core::request::{Connection, Request, Scheme, SentAuthority, spiffe_id};
use lockgate_core::snapshot::Snapshot;
use lockgate_core::token::assume;
use wasm_bindgen::prelude::JsError;

use crate::json::{Json, wrong};

/// `SimulatedRequest` of `index.d.ts`.
struct Sent<'t> {
    method: String,
    target: String,
    authority: Option<String>,
    headers: Vec<(String, String)>,
    peer: IpAddr,
    proxied: Option<IpAddr>,
    destination_ip: Option<IpAddr>,
    destination_port: Option<u16>,
    port: u16,
    sni: Option<String>,
    peer_uris: Vec<String>,
    /// As they are written.
    claims: Option<&'t str>,
    checks: AssumedAnswers,
    body: Option<String>,
    entropy: u64,
}

impl<'t> Sent<'t> {
    fn read(text: &'t str) -> Result<Self, JsError> {
        let names = [
            "method",
            "target",
            "authority",
            "headers",
            "peer",
            "proxied",
            "destinationIp",
            "destinationPort",
            "port",
            "sni",
            "peerUris",
            "claims",
            "checks",
            "body",
            "entropy",
        ];
        let mut fields = Json::read(text)?.fields("request", &names)?;
        Ok(Self {
            method: fields.require("method", Json::string)?,
            target: fields.require("target", Json::string)?,
            authority: fields.take("authority", Json::string)?,
            headers: fields.take("headers", pairs)?.unwrap_or_default(),
            peer: fields.take("peer", address)?.unwrap_or(Ipv4Addr::LOCALHOST.into()),
            proxied: fields.take("proxied", address)?,
            destination_ip: fields.take("destinationIp", address)?,
            destination_port: fields.take("destinationPort", small)?,
            port: fields.take("port", small)?.unwrap_or(80),
            sni: fields.take("sni", Json::string)?,
            peer_uris: fields.take("peerUris", texts)?.unwrap_or_default(),
            claims: fields.take("claims", |claims, _| Ok(claims.text))?,
            checks: fields.take("checks", checks)?.unwrap_or_default(),
            body: fields.take("body", Json::string)?,
            entropy: fields
                .take("entropy", |value, name| value.number(name, "a whole number"))?
                .unwrap_or(0),
        })
    }
}

/// `Record<string, CheckAnswer>`.
fn checks(value: Json<'_>, name: &str) -> Result<AssumedAnswers, JsError> {
    Ok(value.map(name, check)?.into_iter().collect())
}

fn check(value: Json<'_>, name: &str) -> Result<AssumedAnswer, JsError> {
    let names = ["decision", "setHeaders", "removeHeaders", "status"];
    let mut fields = value.fields(name, &names)?;
    let decision = fields.require("decision", |value, name| match value.string(name)?.as_str() {
        "allow" => Ok(AssumedDecision::Allow),
        "deny" => Ok(AssumedDecision::Deny),
        "error" => Ok(AssumedDecision::Error),
        other => Err(JsError::new(&format!(
            "unknown decision `{other}`, expected one of `allow`, `deny`, `error`"
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

fn pairs(value: Json<'_>, name: &str) -> Result<Vec<(String, String)>, JsError> {
    value.list(name, |pair, name| {
        let pair: Result<[String; 2], _> = pair.list(name, Json::string)?.try_into();
        let [name, value] = pair.map_err(|_| wrong(name, "pairs of a name and a value"))?;
        Ok((name, value))
    })
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

/// Explains the request that `text` describes.
pub(crate) fn explain(snapshot: &Snapshot, text: &str) -> Result<Explanation, JsError> {
    let sent = Sent::read(text)?;
    let headers: Vec<(&str, &[u8])> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let host = first(&headers, "host").and_then(|host| core::str::from_utf8(host).ok());
    let host = sent.authority.as_deref().or(host).unwrap_or_default();
    let sni = match sent.sni {
        Some(name) => Some(name.to_ascii_lowercase()),
        None => presumed_server_name(snapshot, sent.port, host),
    };
    let plain = Connection::plain(canonical(sent.peer), sent.port);
    let is_tls = snapshot.is_tls(sent.port) || sni.is_some() || !sent.peer_uris.is_empty();
    let request = Request {
        method: &sent.method,
        authority: sent.authority.as_deref().map(SentAuthority::pseudo),
        target: &sent.target,
        headers: &headers.as_slice(),
        connection: Connection {
            scheme: if is_tls { Scheme::Https } else { Scheme::Http },
            sni: sni.as_deref(),
            spiffe_id: spiffe_id(sent.peer_uris.iter().map(String::as_str)),
            proxied: sent.proxied.map(canonical),
            local: sent.destination_ip.map_or(plain.local, canonical),
            destination_port: sent.destination_port.unwrap_or(plain.destination_port),
            ..plain
        },
    };
    let mut scan = BodyScan::new(BODY_BYTES_MAX_DEFAULT);
    let body = match &sent.body {
        None => Body::Unread,
        Some(body) => Body::Read(
            media(first(&headers, "content-type"), first(&headers, "content-encoding"))
                .and_then(|()| scan.feed(body.as_bytes()))
                .and_then(|()| scan.finish()),
        ),
    };
    let claims = sent.claims.map(|claims| verified(snapshot, claims)).transpose()?;
    let answers = AssumedAnswer::of_all(&sent.checks, snapshot.authorizers()).map_err(|why| JsError::new(&why))?;
    let fields = borrow_fields(&answers);
    let answers = borrow_answers(&answers, &fields);
    let checked = Checked::new(&request, &answers);
    let known = Known {
        body,
        identity: claims
            .as_ref()
            .map_or(Identity::Unverified, |claims| Identity::Verified(claims.claims())),
        checked: (!answers.is_empty()).then_some(&checked),
    };
    Ok(explain_request(snapshot, &request, known, sent.entropy))
}

/// The claims as if a token with them had been verified.
fn verified(snapshot: &Snapshot, claims: &str) -> Result<ClaimSet, JsError> {
    Ok(assume(&snapshot.tables(), claims.as_bytes())?)
}

fn first<'h>(headers: &[(&str, &'h [u8])], name: &str) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}
