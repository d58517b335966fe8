//! A verdict in the words of a scenario's `expect`, and when an expectation holds.

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::config::resource::Fact;
use crate::explain::{HeaderChanged, UpstreamRequest, Verdict};

type Facts = Vec<(&'static str, Fact)>;

/// The members of a verdict; those that it does not have are left out.
pub(super) fn of(verdict: &Verdict) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name, fact: Fact| facts.push((name, fact));
    match verdict {
        Verdict::Forward(upstream) => {
            add("decision", text("forward"));
            forward(upstream, &mut add);
        }
        Verdict::Redirect(redirect) => {
            add("decision", text("redirect"));
            add("status", number(redirect.status));
            add("location", text(&redirect.location));
            if let Some(rule) = &redirect.rule {
                add("rule", text(rule));
            }
            add("responseHeaders", changed(&redirect.change_headers));
        }
        Verdict::Respond(answer) => {
            add("decision", text("respond"));
            add("status", number(answer.status));
            add("body", text(&answer.body));
            add("rule", text(&answer.rule));
            add("aborted", Fact::Bool(answer.aborted));
            add("delayMs", number(answer.delay_ms));
            add("responseHeaders", changed(&answer.change_headers));
        }
        Verdict::Refuse(refused) => {
            add("decision", text("refuse"));
            add("status", number(refused.status));
            add("code", text(&refused.code));
            add("reason", text(&refused.reason));
            add("body", text(&refused.body));
            if let Some(content_type) = &refused.content_type {
                add("contentType", text(content_type));
            }
        }
        Verdict::Check(check) => {
            add("decision", text("check"));
            add("authorizer", text(&check.authorizer));
            add("policies", Fact::List(check.policies.clone()));
        }
        Verdict::VerifyToken { authentications } => {
            add("decision", text("verifyToken"));
            add("authentications", Fact::List(authentications.clone()));
        }
        Verdict::ReadBody { rule } => {
            add("decision", text("readBody"));
            if let Some(rule) = rule {
                add("rule", text(rule));
            }
        }
    }
    facts
}

fn forward(upstream: &UpstreamRequest, add: &mut impl FnMut(&'static str, Fact)) {
    add("rule", text(&upstream.rule));
    let sni = ("sni", &upstream.sni);
    for (name, value) in [
        ("admittedBy", &upstream.admitted_by),
        ("provider", &upstream.provider),
        sni,
    ] {
        if let Some(value) = value {
            add(name, text(value));
        }
    }
    add("upstream", text(&upstream.upstream));
    add("connect", Fact::List(upstream.connect.clone()));
    add("method", text(&upstream.method));
    add("path", text(&upstream.path));
    if let Some(upgrade) = &upstream.upgrade {
        add("upgrade", text(upgrade));
    }
    let mut headers = upstream.set_headers.clone();
    change(&mut headers, &upstream.change_headers);
    add("headers", Fact::Fields(headers));
    add(
        "removeHeaders",
        Fact::List(upstream.remove_headers.iter().map(ToString::to_string).collect()),
    );
    add("responseHeaders", changed(&upstream.change_response_headers));
    let set = upstream.body_fields.iter().filter(|field| field.set);
    let set = set.map(|field| (field.name.clone(), field.value.clone()));
    add("bodyFields", Fact::Fields(set.collect()));
    add("mirrors", Fact::List(upstream.mirrors.clone()));
    if let Some(is_allowed) = upstream.origin_allowed {
        add("originAllowed", Fact::Bool(is_allowed));
    }
    add("delayMs", number(upstream.delay_ms));
    if let Some(timeout) = upstream.timeout_ms {
        add("timeoutMs", number(timeout));
    }
    let attempts = upstream.retries.as_ref().map_or(0, |retries| retries.attempts);
    add("attempts", number(attempts));
}

fn text(text: impl ToString) -> Fact {
    Fact::Text(text.to_string())
}

fn number(number: impl Into<i64>) -> Fact {
    Fact::Number(number.into())
}

fn changed(changes: &[HeaderChanged]) -> Fact {
    let mut headers = Vec::new();
    change(&mut headers, changes);
    Fact::Fields(headers)
}

/// Makes the changes in their order.
fn change(headers: &mut Vec<(String, String)>, changes: &[HeaderChanged]) {
    for change in changes {
        match change {
            HeaderChanged::Remove { name } => headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name)),
            HeaderChanged::Set { name, value } => {
                headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
                headers.push((name.to_owned(), value.to_owned()));
            }
            HeaderChanged::Add { name, value } => headers.push((name.to_owned(), value.to_owned())),
        }
    }
}

/// Whether an expectation holds: of lists and fields, what it names is there; an empty one means that nothing is.
pub(super) fn agrees(expected: &Fact, seen: &Fact) -> bool {
    match (expected, seen) {
        (Fact::List(expected), Fact::List(seen)) if !expected.is_empty() => {
            expected.iter().all(|item| seen.contains(item))
        }
        (Fact::Fields(expected), Fact::Fields(seen)) if !expected.is_empty() => expected.iter().all(|(name, value)| {
            let is_it = |(known, seen): &(String, String)| known.eq_ignore_ascii_case(name) && seen == value;
            seen.iter().any(is_it)
        }),
        _ => expected == seen,
    }
}
