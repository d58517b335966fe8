//! Request bodies: the scanner against `serde_json`, and edits against what they were to do.

use lockgate_core::llm::body::{BodyError, BodyFacts, BodyScan};
use lockgate_core::llm::json::JsonErrorKind;
use lockgate_core::llm::splice::{Field, Piece, Splice};
use lockgate_core::tables::FieldWhen;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use crate::{json, pieces};

/// A body is read alike however it is cut, accepts only what `serde_json` accepts, and finds the members it finds.
///
/// Input: a byte that chooses the cuts, then the body.
pub fn body_scan(input: &[u8]) {
    let Some((&seed, body)) = input.split_first() else {
        return;
    };
    let (mut whole, mut cut) = (BodyScan::new(u64::MAX), BodyScan::new(u64::MAX));
    let whole = scan(&mut whole, &[body]);
    let cut = scan(&mut cut, &pieces(body, seed));
    assert_eq!(whole.map(said), cut.map(said), "the cuts change what is read");
    match (whole, grammar(body)) {
        (Ok(facts), Ok(())) => same_members(facts, body),
        (Ok(_), Err(error)) => panic!("serde_json refuses it: {error}"),
        (Err(BodyError::Empty | BodyError::NotAnObject { .. }), Ok(())) => {
            assert!(!body.trim_ascii_start().starts_with(b"{"), "refused as no object");
        }
        // Text that is read must be text; the grammar allows half a surrogate pair.
        (
            Err(BodyError::Json {
                kind: JsonErrorKind::LoneSurrogate,
                ..
            }),
            Ok(()),
        ) => {}
        (Err(BodyError::Json { kind, at }), Ok(())) => panic!("{kind:?} at {at}, though serde_json takes it"),
        (Err(_), _) => {}
    }
}

/// An edited body is the client's with the fields set, byte for byte otherwise.
///
/// Input: a byte that is not looked at, so that both targets share their inputs, then the body.
pub fn splice(input: &[u8]) {
    let Some((_, body)) = input.split_first() else {
        return;
    };
    let mut memory = BodyScan::new(u64::MAX);
    let Ok(facts) = scan(&mut memory, &[body]) else {
        return;
    };
    let Ok(plan) = Splice::plan(facts, FIELDS) else {
        return;
    };
    let edited = assembled(&plan, body);
    assert_eq!(edited.len() as u64, plan.len());
    assert_eq!(plan.is_edited(), edited != body);
    let mut again = BodyScan::new(u64::MAX);
    let after = scan(&mut again, &[&edited]).expect("an edited body is still a body");
    for field in FIELDS {
        let before = facts
            .member(field.name)
            .filter(|member| !member.is_null)
            .map(|member| slice(body, &member.value));
        let wanted = before.unwrap_or(field.value.as_bytes());
        let now = after.member(field.name).map(|member| slice(&edited, &member.value));
        assert_eq!(now, Some(wanted), "{}", field.name);
    }
    let kept = |text: &[u8]| -> Vec<(String, String)> {
        let members = members(text)
            .into_iter()
            .filter(|(key, _)| FIELDS.iter().all(|field| field.name != key));
        members.map(|(key, value)| (key, value.get().to_owned())).collect()
    };
    assert_eq!(kept(body), kept(&edited), "another member changed");
}

const FIELDS: [Field<'static>; 2] = [
    Field {
        name: "model",
        member: r#""model":"qwen""#,
        value: r#""qwen""#,
        when: FieldWhen::Absent,
    },
    Field {
        name: "stream",
        member: r#""stream":false"#,
        value: "false",
        when: FieldWhen::Absent,
    },
];

fn scan<'s>(scan: &'s mut BodyScan, pieces: &[&[u8]]) -> Result<&'s BodyFacts, BodyError> {
    for piece in pieces {
        scan.feed(piece)?;
    }
    scan.finish()
}

/// All that facts say; `Debug` leaves out only where members stand, which [`same_members`] compares.
fn said(facts: &BodyFacts) -> (String, u64) {
    (format!("{facts:?}"), facts.insert_at())
}

/// Whether it is JSON in UTF-8, by a parser that skips values without recursion or depth limit.
fn grammar(body: &[u8]) -> Result<(), String> {
    let text = core::str::from_utf8(body).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| error.to_string())
}

fn same_members(facts: &BodyFacts, body: &[u8]) {
    let members = members(body);
    assert_eq!(facts.member_count(), members.len());
    for (key, value) in &members {
        let member = facts
            .member(key)
            .unwrap_or_else(|| panic!("the member `{key}` was not seen"));
        assert_eq!(slice(body, &member.value), value.get().as_bytes(), "{key}");
        assert_eq!(member.is_null, value.get() == "null", "{key}");
    }
    let find = |key: &str| {
        members
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.get())
    };
    let model = find("model").and_then(|text| serde_json::from_str::<Option<String>>(text).expect("a string or null"));
    assert_eq!(facts.model(), model.as_deref());
    let stream = find("stream").and_then(|text| serde_json::from_str::<Option<bool>>(text).expect("a bool or null"));
    assert_eq!(facts.stream(), stream);
}

/// The top-level members in order, duplicates too.
fn members(text: &[u8]) -> Vec<(String, Box<RawValue>)> {
    json::members(text).expect("the scanner took it")
}

fn assembled(plan: &Splice<'_>, body: &[u8]) -> Vec<u8> {
    let mut edited = Vec::new();
    for piece in plan.pieces() {
        match piece {
            Piece::Client(range) => edited.extend_from_slice(slice(body, range)),
            Piece::Text(text) => edited.extend_from_slice(text.as_bytes()),
        }
    }
    edited
}

fn slice<'b>(body: &'b [u8], range: &core::ops::Range<u64>) -> &'b [u8] {
    let place = |offset: u64| usize::try_from(offset).expect("an offset into the body");
    &body[place(range.start)..place(range.end)]
}
