//! A request to explain as `POST /explain` takes it: the engine's [`Question`] as JSON.

use core::net::IpAddr;

use lockgate_core::check::AssumedAnswers;
use lockgate_core::explain::{Client, Question, Target};
use serde::Deserialize;

/// The members are those of [`Question`] and its [`Client`].
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Asked {
    method: Option<String>,
    url: Target,
    authority: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    peer: Option<IpAddr>,
    proxied: Option<IpAddr>,
    destination_ip: Option<IpAddr>,
    destination_port: Option<u16>,
    port: Option<u16>,
    sni: Option<String>,
    #[serde(default)]
    peer_uris: Vec<String>,
    claims: Option<serde_json::Value>,
    #[serde(default)]
    checks: AssumedAnswers,
    body: Option<String>,
    #[serde(default)]
    entropy: u64,
}

impl From<Asked> for Question {
    fn from(asked: Asked) -> Self {
        Self {
            method: asked.method,
            target: asked.url,
            authority: asked.authority,
            headers: asked.headers,
            client: Client {
                peer: asked.peer,
                proxied: asked.proxied,
                destination_ip: asked.destination_ip,
                destination_port: asked.destination_port,
                port: asked.port,
                sni: asked.sni,
                peer_uris: asked.peer_uris,
            },
            claims: asked.claims.map(|claims| claims.to_string()),
            checks: asked.checks,
            body: asked.body,
            entropy: asked.entropy,
        }
    }
}
