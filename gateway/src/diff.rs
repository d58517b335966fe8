//! What two configurations decide differently, as `diff` prints it.

use core::fmt::Write as _;

use lockgate_core::check::AssumedAnswers;
use lockgate_core::diff::{Decided, Difference, Report};
use lockgate_core::explain::{Question, Verdict};
use serde::Serialize;

use crate::explain::Asked;

/// The report as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Told {
    api_version: &'static str,
    old: String,
    new: String,
    tried: u32,
    differences: Vec<ToldDifference>,
}

#[derive(Debug, Serialize)]
struct ToldDifference {
    old: Side,
    new: Side,
}

/// What `POST /explain` of a gateway with this configuration takes, and what it would say.
#[derive(Debug, Serialize)]
struct Side {
    request: Asked,
    verdict: Verdict,
    at: Option<String>,
}

impl From<Decided> for Side {
    fn from(decided: Decided) -> Self {
        Self {
            request: decided.asked.into(),
            verdict: decided.verdict,
            at: decided.at,
        }
    }
}

impl From<Report> for Told {
    fn from(report: Report) -> Self {
        let differences = report.differences.into_iter();
        Self {
            api_version: "lockgate.dev/diff/v1",
            old: report.old,
            new: report.new,
            tried: report.tried,
            differences: differences
                .map(|Difference { request: _, old, new }| ToldDifference {
                    old: old.into(),
                    new: new.into(),
                })
                .collect(),
        }
    }
}

/// The report as text. `explain` is the command that explains a request to the new configuration, up to the request.
pub(crate) fn text(report: &Report, explain: &str) -> String {
    let mut out = String::new();
    let Report { old, new, tried, .. } = report;
    for difference in &report.differences {
        let asked = &difference.new.asked;
        let _ = write!(out, "{difference}  why  {explain}{}\n\n", arguments(asked));
    }
    let _ = match (report.is_same_snapshot(), report.differences.len()) {
        (true, _) => writeln!(out, "both are snapshot {old}: they decide every request alike"),
        (false, 0) => writeln!(
            out,
            "snapshots {old} and {new}: none of {tried} requests is decided differently (a search, not a proof)"
        ),
        (false, 1) => writeln!(out, "snapshots {old} and {new}: 1 difference, {tried} requests tried"),
        (false, found) => writeln!(
            out,
            "snapshots {old} and {new}: {found} differences, {tried} requests tried"
        ),
    };
    out
}

/// A request as the arguments of `explain` have it, quoted for a shell.
fn arguments(asked: &Question) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut add = |flag: &str, value: &str| words.extend([flag.to_owned(), quoted(value)]);
    let client = &asked.client;
    if let Some(method) = &asked.method {
        add("-X", method);
    }
    for (name, value) in &asked.headers {
        add("-H", &format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    if let Some(peer) = client.peer {
        add("--peer", &peer.to_string());
    }
    if let Some(address) = client.destination_ip {
        add("--destination-ip", &address.to_string());
    }
    if let Some(port) = client.destination_port {
        add("--destination-port", &port.to_string());
    }
    if let Some(name) = &client.sni {
        add("--sni", name);
    }
    for uri in &client.peer_uris {
        add("--peer-uri", uri);
    }
    if let Some(claims) = &asked.claims {
        add("--claims", claims);
    }
    if let Some(error) = asked.token_error {
        add("--token-error", error.message());
    }
    if !asked.checks.is_empty() {
        add("--checks", &checks(&asked.checks));
    }
    if let Some(body) = &asked.body {
        add("-d", body);
    }
    if asked.entropy != 0 {
        add("--entropy", &asked.entropy.to_string());
    }
    let target = match client.port {
        Some(port) => format!("http://localhost:{port}{}", asked.target),
        None => asked.target.to_string(),
    };
    words.push(quoted(&target));
    words.join(" ")
}

fn checks(answers: &AssumedAnswers) -> String {
    serde_json::to_string(answers).unwrap_or_default()
}

/// A word for a POSIX shell.
pub(crate) fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:=,@%+".contains(&byte);
    match !word.is_empty() && word.bytes().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn words_are_one_for_a_shell() {
        for (word, written) in [
            ("/a-b_c.d", "/a-b_c.d"),
            ("", "''"),
            ("a b", "'a b'"),
            ("it's", r"'it'\''s'"),
            ("/?a=b&c", "'/?a=b&c'"),
        ] {
            assert_eq!(quoted(word), written);
        }
    }
}
