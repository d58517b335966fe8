//! A request as JSON, handed to the engine as the gateway would hand over one from the network.

use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::check::{AssumedAnswer, AssumedAnswers, Checked, borrow_answers, borrow_fields};
use lockgate_core::cidr::canonical;
use lockgate_core::claims::ClaimSet;
use lockgate_core::decide::{Body, Identity, Known};
use lockgate_core::explain::{Explanation, explain as explain_request};
use lockgate_core::limits::BODY_BYTES_MAX_DEFAULT;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::media::media;
use lockgate_core::request::{Connection, Request, Scheme, SentAuthority};
use lockgate_core::snapshot::Snapshot;
use lockgate_core::token::assume;
use serde::Deserialize;
use serde_json::value::RawValue;
use wasm_bindgen::prelude::JsError;

/// `Request` of `index.d.ts`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Sent {
    method: String,
    target: String,
    authority: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    #[serde(default = "loopback")]
    peer: IpAddr,
    proxied: Option<IpAddr>,
    destination_ip: Option<IpAddr>,
    destination_port: Option<u16>,
    #[serde(default = "http")]
    port: u16,
    sni: Option<String>,
    #[serde(default)]
    peer_uris: Vec<String>,
    claims: Option<Box<RawValue>>,
    #[serde(default)]
    checks: AssumedAnswers,
    body: Option<String>,
    #[serde(default)]
    entropy: u64,
}

const fn loopback() -> IpAddr {
    IpAddr::V4(Ipv4Addr::LOCALHOST)
}

const fn http() -> u16 {
    80
}

/// Explains the request that `text` describes.
pub(crate) fn explain(snapshot: &Snapshot, text: &str) -> Result<Explanation, JsError> {
    let sent: Sent = serde_json::from_str(text)?;
    let headers: Vec<(&str, &[u8])> = sent
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    let sni = sent.sni.map(|name| name.to_ascii_lowercase());
    let peer_uris: Vec<&str> = sent.peer_uris.iter().map(String::as_str).collect();
    let plain = Connection::plain(canonical(sent.peer), sent.port);
    let is_tls = sni.is_some() || !peer_uris.is_empty();
    let request = Request {
        method: &sent.method,
        authority: sent.authority.as_deref().map(SentAuthority::pseudo),
        target: &sent.target,
        headers: &headers.as_slice(),
        connection: Connection {
            scheme: if is_tls { Scheme::Https } else { Scheme::Http },
            sni: sni.as_deref(),
            uri_names: &peer_uris,
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
    let claims = sent.claims.map(|claims| verified(snapshot, &claims)).transpose()?;
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
fn verified(snapshot: &Snapshot, claims: &RawValue) -> Result<ClaimSet, JsError> {
    Ok(assume(&snapshot.tables(), claims.get().as_bytes())?)
}

fn first<'h>(headers: &[(&str, &'h [u8])], name: &str) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| *value)
}
