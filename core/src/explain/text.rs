//! An [`Explanation`] as people read it on a terminal.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::{Display, Formatter, Result};
use core::net::SocketAddr;

use super::{
    Backend, CheckRequest, Explanation, Failed, HeaderChanged, PassTrace, PolicyTrace, RefusedAnswer, Retries,
    RuleTrace, UpstreamRequest, Verdict,
};
use crate::config::quote::escaped;

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        if let Some(seen) = &self.request {
            let remote = match seen.remote == seen.peer {
                true => String::new(),
                false => format!("  client {}", seen.remote),
            };
            let destination = match (seen.destination_ip.is_unspecified(), seen.destination_port) {
                (true, port) if port == seen.port => String::new(),
                (true, port) => format!("  destination port {port}"),
                (false, port) => format!("  destination {}", SocketAddr::new(seen.destination_ip, port)),
            };
            let query = seen.query.as_ref().map_or("", |_| "?…");
            writeln!(
                f,
                "request    {} {}{query}  host {}  port {}  peer {}{remote}{destination}",
                seen.method, seen.path, seen.authority, seen.port, seen.peer
            )?;
        }
        writeln!(f, "snapshot   {}", self.snapshot)?;
        if let Some(ports) = &self.open_ports {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            match ports.as_slice() {
                [] => writeln!(f, "listener   none: no Gateway opens a port")?,
                ports => writeln!(
                    f,
                    "listener   none on this port: ask for the Gateway's, which is {}, and not for where `--listen` has it",
                    ports.join(" or ")
                )?,
            }
        }
        if self.request.is_some() {
            writeln!(f, "\npolicy")?;
            if self.policies.is_empty() {
                writeln!(f, "  none selects this gateway: allowed")?;
            }
        }
        self.policies.iter().try_for_each(|policy| write_policy(f, policy))?;
        self.passes.iter().try_for_each(|pass| write_pass(f, pass))?;
        writeln!(f)?;
        match &self.verdict {
            Verdict::Forward(upstream) => write_upstream(f, upstream, self.provider_at.as_deref()),
            Verdict::Redirect(redirect) => {
                writeln!(f, "verdict    REDIRECT with {}", redirect.status)?;
                match &redirect.rule {
                    Some(rule) => writeln!(f, "  rule       {rule}")?,
                    None => writeln!(f, "  reason     the server is for TLS only (`tls.httpsRedirect`)")?,
                }
                writeln!(f, "  location   {}", redirect.location)?;
                write_changes(f, "answer", &redirect.change_headers)
            }
            Verdict::Respond(answer) => {
                writeln!(f, "verdict    RESPOND with {}", answer.status)?;
                writeln!(f, "  rule       {}", answer.rule)?;
                write_delay(f, answer.delay_ms)?;
                if answer.aborted {
                    writeln!(f, "  fault      aborted by chance")?;
                }
                if !answer.body.is_empty() {
                    writeln!(f, "  body       {}", escaped(answer.body.trim_end()))?;
                }
                write_changes(f, "answer", &answer.change_headers)
            }
            Verdict::Check(check) => write_check(f, check),
            Verdict::VerifyToken { authentications } => {
                writeln!(f, "verdict    depends on the token: give what it claims with --claims")?;
                writeln!(
                    f,
                    "  looked for by RequestAuthentication {}",
                    authentications.join(", ")
                )
            }
            Verdict::ReadBody { rule } => {
                writeln!(f, "verdict    FORWARD if the body allows it: give one with -d")?;
                writeln!(f, "  rule       {}", rule.as_deref().unwrap_or("-"))
            }
            Verdict::Refuse(answer) => write_answer(f, answer),
        }
    }
}

fn write_policy(f: &mut Formatter<'_>, policy: &PolicyTrace) -> Result {
    let action = policy.action.word();
    let dry = if policy.dry_run { " (dry run)" } else { "" };
    let outcome = if policy.matched { "matches" } else { "does not match" };
    let asks = policy
        .asks
        .as_ref()
        .map_or_else(String::new, |asks| format!(" (asks {asks})"));
    writeln!(f, "  {action} {}{dry}{asks} {outcome}", policy.policy)?;
    if policy.rules.is_empty() {
        writeln!(f, "    it has no rules, so it matches nothing")?;
    }
    policy.rules.iter().try_for_each(|rule| write_rule(f, rule))
}

fn write_pass(f: &mut Formatter<'_>, pass: &PassTrace) -> Result {
    let what = if pass.pass == 1 { "as sent" } else { "after the rewrite" };
    writeln!(f, "\nroute, pass {} ({what}): host {}", pass.pass, pass.host)?;
    match &pass.virtual_host {
        Some(name) => writeln!(f, "  virtual host `{name}`")?,
        None => writeln!(f, "  no virtual host takes it")?,
    }
    pass.rules.iter().try_for_each(|rule| write_rule(f, rule))
}

fn write_rule(f: &mut Formatter<'_>, rule: &RuleTrace) -> Result {
    let mark = if rule.matched { "+" } else { "-" };
    writeln!(f, "    {mark} {}  ({})", rule.name, rule.at)?;
    match &rule.failed {
        Some(failed) => write_failed(f, failed),
        None => Ok(()),
    }
}

fn write_failed(f: &mut Formatter<'_>, failed: &Failed) -> Result {
    write!(f, "        {}: ", failed.field)?;
    match &failed.seen {
        Some(seen) => write!(f, "`{}`", escaped(seen))?,
        None if failed.needs_body => f.write_str("the body")?,
        None => f.write_str("absent")?,
    }
    let relation = match (failed.needs_body, failed.negated, is_block(&failed.field)) {
        (true, false, _) => "must be known; wanted is",
        (true, true, _) => "must be known; unwanted is",
        (false, false, true) => "is not in",
        (false, true, true) => "is in",
        (false, false, false) => "is not",
        (false, true, false) => "is one of",
    };
    write!(f, " {relation} ")?;
    for (index, wanted) in failed.wanted.iter().enumerate() {
        let separator = if index == 0 { "" } else { ", " };
        write!(f, "{separator}`{wanted}`")?;
    }
    writeln!(f)
}

/// Whether a field lists address blocks.
fn is_block(field: &str) -> bool {
    field.ends_with("pBlocks") || matches!(field, "source.ip" | "remote.ip" | "destination.ip")
}

fn write_upstream(f: &mut Formatter<'_>, upstream: &UpstreamRequest, provider_at: Option<&str>) -> Result {
    writeln!(f, "verdict    FORWARD to {}", upstream.upstream)?;
    writeln!(f, "  rule       {}", upstream.rule)?;
    if let Some(admitted_by) = &upstream.admitted_by {
        writeln!(f, "  admitted   {admitted_by}")?;
    }
    if let Some(at) = provider_at {
        writeln!(
            f,
            "  provider   {}  ({at})",
            upstream.provider.as_deref().unwrap_or("-")
        )?;
    }
    for backend in &upstream.backends {
        let Backend { upstream, weight, .. } = backend;
        let subset = backend
            .subset
            .as_ref()
            .map_or_else(String::new, |subset| format!(" ({subset})"));
        let chosen = if backend.chosen { ", chosen" } else { "" };
        writeln!(f, "  weight     {weight} {upstream}{subset}{chosen}")?;
    }
    if let Some(subset) = &upstream.subset {
        writeln!(f, "  subset     {subset}")?;
    }
    for connect in &upstream.connect {
        writeln!(f, "  connect    {connect}")?;
    }
    if let Some(sni) = &upstream.sni {
        writeln!(f, "  sni        {sni}")?;
    }
    if let Some(protocol) = upstream.protocol {
        writeln!(f, "  protocol   {protocol}")?;
    }
    writeln!(f, "  send       {} {}", upstream.method, upstream.path)?;
    if let Some(upgrade) = &upstream.upgrade {
        writeln!(f, "  upgrade    {upgrade}, once the upstream agrees")?;
    }
    for (name, value) in &upstream.set_headers {
        writeln!(f, "             {name}: {value}")?;
    }
    writeln!(f, "  never sent {}", upstream.remove_headers.join(", "))?;
    write_changes(f, "then", &upstream.change_headers)?;
    write_changes(f, "answer", &upstream.change_response_headers)?;
    for field in &upstream.body_fields {
        let what = if field.set { "set to" } else { "kept as sent, default" };
        writeln!(f, "  body       {} {what} {}", field.name, field.value)?;
    }
    if let Some(is_allowed) = upstream.origin_allowed {
        let verdict = if is_allowed { "is allowed" } else { "is not allowed" };
        writeln!(f, "  cors       the origin {verdict}")?;
    }
    if !upstream.mirrors.is_empty() {
        writeln!(f, "  mirrors    {}", upstream.mirrors.join(", "))?;
    }
    write_delay(f, upstream.delay_ms)?;
    if let Some(timeout) = upstream.timeout_ms {
        writeln!(f, "  timeout    {timeout} ms in all")?;
    }
    if let Some(retries) = &upstream.retries {
        let Retries {
            attempts,
            on,
            backoff_ms,
            ..
        } = retries;
        write!(
            f,
            "  retries    {attempts} on {}, first within {backoff_ms} ms",
            on.join(", ")
        )?;
        match retries.per_try_timeout_ms {
            Some(limit) => writeln!(f, ", each of at most {limit} ms")?,
            None => writeln!(f)?,
        }
    }
    Ok(())
}

fn write_delay(f: &mut Formatter<'_>, delay_ms: u32) -> Result {
    match delay_ms {
        0 => Ok(()),
        _ => writeln!(f, "  fault      held up for {delay_ms} ms by chance"),
    }
}

/// Header fields that the configuration changes.
fn write_changes(f: &mut Formatter<'_>, what: &str, changes: &[HeaderChanged]) -> Result {
    for change in changes {
        match change {
            HeaderChanged::Remove { name } => writeln!(f, "  {what:<10} remove {name}")?,
            HeaderChanged::Set { name, value } => writeln!(f, "  {what:<10} set {name}: {value}")?,
            HeaderChanged::Add { name, value } => writeln!(f, "  {what:<10} add {name}: {value}")?,
        }
    }
    Ok(())
}

fn write_check(f: &mut Formatter<'_>, check: &CheckRequest) -> Result {
    writeln!(
        f,
        "verdict    depends on external authorizer {}: give what it says with --checks",
        check.authorizer
    )?;
    writeln!(f, "  asked by   {}", check.policies.join(", "))?;
    for connect in &check.connect {
        writeln!(f, "  connect    {connect}")?;
    }
    writeln!(f, "  call       {}", check.call)?;
    writeln!(f, "  body       {}", check.body)
}

fn write_answer(f: &mut Formatter<'_>, answer: &RefusedAnswer) -> Result {
    writeln!(f, "verdict    REFUSE with {} ({})", answer.status, answer.code)?;
    writeln!(f, "  because    {}", answer.reason)?;
    if !answer.body.is_empty() {
        writeln!(f, "  body       {}", answer.body)?;
    }
    Ok(())
}
