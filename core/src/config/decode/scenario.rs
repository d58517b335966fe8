//! Scenario.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::{each, integer, text, unique};
use crate::check::{AssumedAnswer, AssumedAnswers, AssumedDecision, assumed_answers};
use crate::config::diagnostic::Diagnostics;
use crate::config::resource::{Case, Fact, Meta, Scenario, Spanned};
use crate::config::schema::{EXPECT, Shape};
use crate::config::tree::{Node, Scalar};
use crate::explain::{Client, Question, Target};
use crate::llm::body::BodyError;
use crate::token::TokenError;

pub(super) fn decode(spec: &Node, meta: Meta, diagnostics: &mut Diagnostics) -> Option<Scenario> {
    let nodes = spec.get("cases")?.items();
    let field = |index: usize, name: &str| format!("spec.cases[{index}].{name}");
    unique(
        &mut nodes.iter().map(|node| node.get("name")),
        "cases",
        &|index| field(index, "name"),
        diagnostics,
    );
    let cases = nodes.iter().enumerate();
    let cases = cases.filter_map(|(index, node)| case(node, &field(index, "request"), diagnostics));
    Some(Scenario {
        meta,
        cases: cases.collect(),
    })
}

fn case(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<Case> {
    let expect = node.get("expect")?;
    let expected = EXPECT.fields.iter().filter_map(|field| {
        let node = expect.get(field.name)?;
        let value = fact(node, &field.shape)?;
        Some((field.name, Spanned { value, at: node.at }))
    });
    Some(Case {
        name: text(node.get("name")?)?,
        question: question(node.get("request")?, field, diagnostics)?,
        at: expect.at,
        expected: expected.collect(),
    })
}

fn fact(node: &Node, shape: &Shape) -> Option<Fact> {
    Some(match shape {
        Shape::Bool => Fact::Bool(node.scalar()?.as_bool()?),
        Shape::Integer { .. } => Fact::Number(node.scalar()?.as_integer()?),
        Shape::List { .. } => Fact::List(node.items().iter().filter_map(owned).collect()),
        Shape::Map { .. } => Fact::Fields(fields(node)),
        _ => Fact::Text(node.scalar()?.text.clone()),
    })
}

fn question(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> Option<Question> {
    let url = node.get("url")?;
    let target = match Target::parse(url.text()?) {
        Ok(target) => target,
        Err(why) => {
            diagnostics
                .error("invalid-url", url.at, why)
                .field(format!("{field}.url"));
            return None;
        }
    };
    let texts = |name: &str| each(Some(node), name, owned);
    let one = |name: &str| node.get(name).and_then(owned);
    let headers = each(Some(node), "headers", |header| {
        Some((owned(header.get("name")?)?, header.get("value")?.text()?.into()))
    });
    Some(Question {
        method: one("method"),
        target,
        authority: one("authority"),
        protocol: one("protocol"),
        headers,
        client: Client {
            peer: address(node, "peer"),
            proxied: address(node, "proxied"),
            destination_ip: address(node, "destinationIp"),
            destination_port: number(node, "destinationPort"),
            port: number(node, "port"),
            sni: one("sni"),
            peer_uris: texts("peerUris"),
            peer_cert: one("peerCert"),
        },
        claims: node.get("claims").map(Node::to_json),
        token_error: in_words(node, field, "tokenError", TokenError::in_words, diagnostics),
        checks: checks(node, field, diagnostics),
        body: one("body"),
        body_error: in_words(node, field, "bodyError", BodyError::in_words, diagnostics),
        entropy: one("entropy").and_then(|number| number.parse().ok()).unwrap_or(0),
    })
}

/// An error in the words of the answer that it gets.
fn in_words<E>(
    node: &Node,
    field: &str,
    name: &str,
    read: fn(&str) -> Result<E, String>,
    diagnostics: &mut Diagnostics,
) -> Option<E> {
    let words = node.get(name)?;
    let error = read(words.text()?).map_err(|why| {
        diagnostics
            .error("unknown-value", words.at, why)
            .field(format!("{field}.{name}"));
    });
    error.ok()
}

fn checks(node: &Node, field: &str, diagnostics: &mut Diagnostics) -> AssumedAnswers {
    let entries = node.get("checks").map(Node::entries).unwrap_or_default();
    let answers = entries.iter().filter_map(|entry| {
        let node = &entry.value;
        let decision = match node.get("decision")?.scalar()?.text.as_str() {
            "allow" => AssumedDecision::Allow,
            "deny" => AssumedDecision::Deny,
            "bodyTooLarge" => AssumedDecision::BodyTooLarge,
            _ => AssumedDecision::Error,
        };
        let removed = node
            .get("removeHeaders")
            .map(|_| each(Some(node), "removeHeaders", owned));
        match AssumedAnswer::new(
            decision,
            node.get("setHeaders").map(fields),
            removed,
            number(node, "status"),
        ) {
            Ok(answer) => Some((entry.key.value.clone(), answer)),
            Err(why) => {
                let field = format!("{field}.checks.{}", entry.key.value);
                diagnostics.error("conflicting-fields", entry.key.at, why).field(field);
                None
            }
        }
    });
    assumed_answers(answers)
}

fn owned(node: &Node) -> Option<String> {
    node.text().map(ToOwned::to_owned)
}

fn fields<V: for<'t> From<&'t str>>(node: &Node) -> Vec<(String, V)> {
    let entries = node.entries().iter();
    entries
        .filter_map(|entry| Some((entry.key.value.clone(), entry.value.text()?.into())))
        .collect()
}

fn number<N: TryFrom<i64>>(node: &Node, name: &str) -> Option<N> {
    Some(integer(node.get(name)?)?.value)
}

fn address(node: &Node, name: &str) -> Option<IpAddr> {
    node.get(name).and_then(Node::scalar).map(text_of)?.parse().ok()
}

fn text_of(scalar: &Scalar) -> &str {
    &scalar.text
}
