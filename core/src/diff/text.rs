//! Differences as people read them on a terminal.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};
use core::mem::discriminant;

use super::{Decided, Difference};
use crate::explain::{HeaderChanged, Question, UpstreamRequest, Verdict};

/// What is decided, in one line.
pub(super) fn in_short(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Forward(upstream) => format!("sent to `{}` by rule `{}`", upstream.upstream, upstream.rule),
        Verdict::Check(check) => format!("asks external authorizer `{}`", check.authorizer),
        Verdict::VerifyToken { .. } => "depends on its token".to_string(),
        Verdict::ReadBody { .. } => "depends on its body".to_string(),
        Verdict::Redirect(redirect) => format!(
            "{} to another place by {}",
            redirect.status,
            match &redirect.rule {
                Some(rule) => format!("rule `{rule}`"),
                None => "`tls.httpsRedirect`".to_string(),
            }
        ),
        Verdict::Respond(answer) => format!("answered {} by rule `{}`", answer.status, answer.rule),
        Verdict::Refuse(refused) => format!("{}: {}", refused.status, refused.reason),
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write_request(f, &self.request)?;
        for (name, side) in [("old", &self.old), ("new", &self.new)] {
            writeln!(f, "  {name}  {}{}", in_short(&side.verdict), place(side))?;
            if self.request.claims.is_some() && side.asked.claims.is_none() {
                match side.asked.token_error {
                    Some(error) => writeln!(f, "       its token is refused: {}", error.message())?,
                    None => writeln!(f, "       no RequestAuthentication looks for its token")?,
                }
            }
        }
        let shown = |text: String| if text.is_empty() { String::from("(none)") } else { text };
        details(&self.old.verdict, &self.new.verdict)
            .into_iter()
            .try_for_each(|(what, old, new)| writeln!(f, "       {what}: {} → {}", shown(old), shown(new)))
    }
}

fn place(side: &Decided) -> String {
    side.at.as_ref().map_or_else(String::new, |at| format!("  ({at})"))
}

fn write_request(f: &mut Formatter<'_>, asked: &Question) -> Result {
    let method = asked
        .method
        .as_deref()
        .unwrap_or(if asked.body.is_some() { "POST" } else { "GET" });
    write!(f, "{method} {}", asked.target)?;
    let client = &asked.client;
    write_told(f, "port", client.port.as_ref())?;
    write_told(f, "peer", client.peer.as_ref())?;
    write_told(f, "destination address", client.destination_ip.as_ref())?;
    write_told(f, "destination port", client.destination_port.as_ref())?;
    write_told(f, "server name", client.sni.as_ref())?;
    write_told(f, "certificate of", client.peer_uris.first())?;
    writeln!(f)?;
    for (name, value) in &asked.headers {
        writeln!(f, "  {name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
    }
    if let Some(claims) = &asked.claims {
        writeln!(f, "  token that claims {claims}")?;
    }
    if let Some(error) = asked.token_error {
        writeln!(f, "  token that is refused: {}", error.message())?;
    }
    if let Some(body) = &asked.body {
        writeln!(f, "  body {body}")?;
    }
    if asked.entropy != 0 {
        writeln!(f, "  when chance draws {}", asked.entropy)?;
    }
    Ok(())
}

fn write_told(f: &mut Formatter<'_>, what: &str, told: Option<&impl Display>) -> Result {
    told.map_or(Ok(()), |told| write!(f, "  {what} {told}"))
}

/// What differs of two answers of one kind: what it is, and both values.
fn details(old: &Verdict, new: &Verdict) -> Vec<(&'static str, String, String)> {
    if discriminant(old) != discriminant(new) {
        return Vec::new();
    }
    let pairs = in_parts(old).into_iter().zip(in_parts(new));
    pairs
        .filter(|((_, old), (_, new))| old != new)
        .map(|((what, old), (_, new))| (what, old, new))
        .collect()
}

/// What a verdict says beside what it is, part by part: of each variant the same parts.
fn in_parts(verdict: &Verdict) -> Vec<(&'static str, String)> {
    match verdict {
        Verdict::Forward(upstream) => of_request(upstream),
        Verdict::Redirect(redirect) => [
            ("location", redirect.location.clone()),
            ("header fields of the answer", changes(&redirect.change_headers)),
        ]
        .into(),
        Verdict::Respond(answer) => [
            ("answer", answer.body.clone()),
            ("held up, in ms", answer.delay_ms.to_string()),
            ("header fields of the answer", changes(&answer.change_headers)),
        ]
        .into(),
        Verdict::Refuse(refused) => [("answer", refused.body.clone())].into(),
        Verdict::Check(check) => [
            ("authorizer at", check.connect.join(", ")),
            ("call", check.call.clone()),
            ("body for it", check.body.clone()),
        ]
        .into(),
        Verdict::VerifyToken { .. } | Verdict::ReadBody { .. } => Vec::new(),
    }
}

fn of_request(upstream: &UpstreamRequest) -> Vec<(&'static str, String)> {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(none);
    let ms = |ms: Option<u32>| ms.map_or_else(none, |ms| ms.to_string());
    let set = upstream
        .set_headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}"));
    let fields = upstream.body_fields.iter().filter(|field| field.set);
    let retries = upstream.retries.as_ref().map_or_else(none, |retries| {
        let per_try = retries
            .per_try_timeout_ms
            .map_or_else(String::new, |ms| format!(", each {ms} ms"));
        let (on, backoff) = (retries.on.join(","), retries.backoff_ms);
        format!("{} on {on}{per_try}, {backoff} ms apart", retries.attempts)
    });
    [
        ("provider", text(&upstream.provider)),
        ("subset", text(&upstream.subset)),
        ("connects to", list(upstream.connect.iter().cloned())),
        ("server name", text(&upstream.sni)),
        ("protocol", upstream.protocol.unwrap_or("HTTP/1.1").to_string()),
        ("path", upstream.path.clone()),
        ("upgrade", text(&upstream.upgrade)),
        ("header fields set", list(set)),
        ("header fields changed", changes(&upstream.change_headers)),
        (
            "header fields of the answer",
            changes(&upstream.change_response_headers),
        ),
        (
            "set in the body",
            list(fields.map(|field| format!("{}: {}", field.name, field.value))),
        ),
        (
            "origin allowed",
            upstream.origin_allowed.map_or_else(none, |is| is.to_string()),
        ),
        ("mirrors", list(upstream.mirrors.iter().cloned())),
        ("held up, in ms", upstream.delay_ms.to_string()),
        ("timeout in ms", ms(upstream.timeout_ms)),
        ("retries", retries),
    ]
    .into()
}

fn changes(changes: &[HeaderChanged]) -> String {
    list(changes.iter().map(|change| match change {
        HeaderChanged::Remove { name } => format!("-{name}"),
        HeaderChanged::Set { name, value } => format!("{name}: {value}"),
        HeaderChanged::Add { name, value } => format!("+{name}: {value}"),
    }))
}

fn list(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    match items.is_empty() {
        true => none(),
        false => items.join(", "),
    }
}

fn none() -> String {
    "none".to_string()
}
