//! Bodies are read as `serde_json` and a few written-down rules say, whole or in pieces, and edited without
//! touching any other byte.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

#[path = "llm/oracle.rs"]
mod oracle;

use lockgate_core::llm::body::{BodyError, BodyFacts, BodyScan};
use lockgate_core::llm::splice::{Field, Piece, Splice};
use lockgate_core::tables::FieldWhen;
use proptest::prelude::*;

fn scan<'s>(scan: &'s mut BodyScan, chunks: &[&[u8]]) -> Result<&'s BodyFacts, BodyError> {
    scan.reset();
    chunks.iter().try_for_each(|chunk| scan.feed(chunk))?;
    scan.finish()
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("0".to_owned()),
        Just("-0.0e-0".to_owned()),
        Just("1e999".to_owned()),
        Just("12345678901234567890123".to_owned()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f32>()
            .prop_filter("finite", |n| n.is_finite())
            .prop_map(|n| format!("{n:e}")),
    ]
}

/// The inside of a string as it is written.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[ -!#-\\[\\]-~]{0,70}",
        2 => Just("\\n".to_owned()),
        1 => "\\\\[\"\\\\/bfnrt]",
        1 => any::<char>().prop_filter("plain", |c| !c.is_control() && !"\"\\".contains(*c)).prop_map(String::from),
        1 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => any::<char>().prop_map(|char| char.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect()),
        1 => Just("我们需要一个网关".to_owned()),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

fn blank() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just(""), 1 => Just(" "), 1 => Just("\r\n\t ")]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("false".to_owned()),
        number(),
        text().prop_map(|text| format!("\"{text}\"")),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            (proptest::collection::vec(inner.clone(), 0..5), blank())
                .prop_map(|(items, blank)| format!("[{blank}{}{blank}]", items.join(&format!("{blank},")))),
            proptest::collection::vec((text(), inner), 0..5).prop_map(|members| {
                let members: Vec<String> = members
                    .iter()
                    .map(|(key, value)| format!("\"{key}\":{value}"))
                    .collect();
                format!("{{{}}}", members.join(", "))
            }),
        ]
    })
}

fn member() -> impl Strategy<Value = String> {
    let options = prop_oneof![
        Just(r#"{"include_usage":true}"#.to_owned()),
        Just(r#"{"a":[{"include_usage":1}], "include_usage" : false}"#.to_owned()),
        Just(r#"{"include\u005fusage":null,"include_usage":true}"#.to_owned()),
        Just(r#"{"Include_usage":true}"#.to_owned()),
        value(),
    ];
    let flag = prop_oneof![
        Just("true".to_owned()),
        Just("false".to_owned()),
        Just("null".to_owned()),
        value()
    ];
    let model = prop_oneof![3 => text().prop_map(|text| format!("\"{text}\"")), 1 => value()];
    let tokens = prop_oneof![any::<u64>().prop_map(|n| n.to_string()), number(), value()];
    let governed = prop_oneof![
        (
            prop_oneof![8 => Just("model"), 1 => Just("mod\\u0065l"), 1 => Just("Model")],
            model
        ),
        (
            prop_oneof![8 => Just("stream"), 1 => Just("\\u0073tream"), 1 => Just("ſtream")],
            flag
        ),
        (Just("stream_options"), options),
        (
            prop_oneof![8 => Just("max_tokens"), 1 => Just("max_toKens"), 1 => Just("max_to\u{212a}ens")],
            tokens.clone()
        ),
        (Just("max_completion_tokens"), tokens.clone()),
        (Just("max_output_tokens"), tokens),
    ];
    prop_oneof![
        3 => governed.prop_map(|(key, value)| (key.to_owned(), value)),
        3 => (text(), value()),
        1 => (Just("messages".to_owned()), value()),
    ]
    .prop_flat_map(|(key, value)| (blank(), blank()).prop_map(move |(a, b)| format!("{a}\"{key}\"{b}:{a}{value}{b}")))
}

fn body() -> impl Strategy<Value = Vec<u8>> {
    (proptest::collection::vec(member(), 0..7), blank())
        .prop_map(|(members, blank)| format!("{blank}{{{}}}{blank}", members.join(",")).into_bytes())
}

/// A body with a few bytes taken away, put in or changed.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        any::<u8>(),
        proptest::sample::select(&b"{}[]\",:\\u0123eE+-.nulltruefalse \n\t\x00\x1f\x7f\xc0\xe4\xed\xa0\xf4\xff"[..]),
    ];
    let change = (any::<proptest::sample::Index>(), byte, 0..3u8);
    (body(), proptest::collection::vec(change, 1..4)).prop_map(|(mut body, changes)| {
        for (index, byte, how) in changes {
            let at = index.index(body.len() + 1);
            match how {
                0 => body.insert(at, byte),
                1 if at < body.len() => body[at] = byte,
                _ if at < body.len() => drop(body.remove(at)),
                _ => body.push(byte),
            }
        }
        body
    })
}

fn any_body() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => body(), 3 => mutated(), 1 => proptest::collection::vec(any::<u8>(), 0..40)]
}

/// A body with one long string that is dense with what cannot be cut anywhere: escapes and characters of all lengths.
fn dense() -> impl Strategy<Value = Vec<u8>> {
    let piece = proptest::sample::select(vec![
        "\\\\",
        "\\\"",
        "\\n",
        "\\/",
        "\\u4f60",
        "\\ud83d\\ude00",
        "我",
        "é",
        "😀",
        "x",
        "plain words between",
        "ud83d",
    ]);
    let wrong = proptest::sample::select(vec!["\\x", "\\u00g0", "\\u12", "\u{1}", "\"", "\\", "\\ud83d"]);
    let text = proptest::collection::vec(prop_oneof![60 => piece, 1 => wrong], 10..80);
    let key = prop_oneof![Just("model"), Just("prompt"), Just("max_tokens\":1,\"a")];
    let change = proptest::option::weighted(0.3, (any::<proptest::sample::Index>(), any::<u8>()));
    (text, key, change).prop_map(|(text, key, change)| {
        let mut body = format!("{{\"{key}\":\"{}\"}}", text.concat()).into_bytes();
        if let Some((index, byte)) = change {
            let at = index.index(body.len());
            body[at] = byte;
        }
        body
    })
}

/// Cuts at the given places, in any order.
fn chunks<'b>(body: &'b [u8], cuts: &[proptest::sample::Index]) -> Vec<&'b [u8]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    cuts.extend([0, body.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| &body[pair[0]..pair[1]]).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_serde_json(body in any_body()) {
        let mut scanner = BodyScan::new(u64::MAX);
        oracle::assert_agrees(&body, scan(&mut scanner, &[&body]));
    }

    #[test]
    fn chunk_borders_do_not_matter(
        body in any_body(),
        cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        limit in prop_oneof![Just(u64::MAX), 0..400u64],
    ) {
        let (mut one, mut other) = (BodyScan::new(limit), BodyScan::new(limit));
        let whole = scan(&mut one, &[&body]);
        let single: Vec<&[u8]> = body.chunks(1).collect();
        for chunks in [chunks(&body, &cuts), single] {
            let split = scan(&mut other, &chunks);
            oracle::assert_same(&body, split, whole);
        }
    }

    #[test]
    fn no_cut_of_a_dense_string_matters(body in dense()) {
        let (mut one, mut other) = (BodyScan::new(u64::MAX), BodyScan::new(u64::MAX));
        let whole = scan(&mut one, &[&body]);
        oracle::assert_agrees(&body, whole);
        for at in 0..=body.len() {
            let (before, after) = body.split_at(at);
            oracle::assert_same(&body, scan(&mut other, &[before, after]), whole);
        }
    }

    #[test]
    fn an_edit_touches_nothing_else(body in body(), always in any::<bool>()) {
        let mut scanner = BodyScan::new(u64::MAX);
        let Ok(facts) = scan(&mut scanner, &[&body]) else { return Ok(()) };
        let when = if always { FieldWhen::Always } else { FieldWhen::Absent };
        let fields = [
            Field { name: "model", member: r#""model":"set""#, value: r#""set""#, when },
            Field { name: "stream", member: r#""stream":true"#, value: "true", when: FieldWhen::Absent },
            Field { name: "messages", member: r#""messages":[]"#, value: "[]", when },
        ];
        let Ok(splice) = Splice::plan(facts, fields) else {
            prop_assert!(fields.iter().any(|field| facts.other_case(field.name).is_some()));
            return Ok(());
        };
        let mut out = Vec::new();
        for piece in splice.pieces() {
            match piece {
                Piece::Client(range) => out.extend_from_slice(oracle::cut(&body, range)),
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            }
        }
        prop_assert_eq!(splice.len(), out.len() as u64);
        // Every field has its value, and taking the edits back out gives the client's bytes.
        let mut rescan = BodyScan::new(u64::MAX);
        let edited = scan(&mut rescan, &[&out]).unwrap();
        let mut undone: Vec<u8> = Vec::new();
        let mut at = 0;
        for piece in splice.pieces() {
            if let Piece::Client(range) = piece {
                undone.extend_from_slice(oracle::cut(&body, &(at..range.start)));
                undone.extend_from_slice(oracle::cut(&body, range));
                at = range.end;
            }
        }
        prop_assert_eq!(&undone, &body);
        for field in fields {
            let before = facts.member(field.name);
            let set = field.when == FieldWhen::Always || before.as_ref().is_none_or(|member| member.is_null);
            let value = oracle::cut(&out, &edited.member(field.name).unwrap().value);
            let expected = match &before {
                Some(member) if !set => oracle::cut(&body, &member.value),
                _ => field.value.as_bytes(),
            };
            prop_assert_eq!(value, expected);
        }
    }
}

#[test]
fn the_oracle_sees_accepted_and_refused_bodies() {
    use proptest::strategy::ValueTree;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut scanner = BodyScan::new(u64::MAX);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..500 {
        let body = any_body().new_tree(&mut runner).unwrap().current();
        match scan(&mut scanner, &[&body]) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(
        accepted > 50 && refused > 50,
        "the generator is one-sided: {accepted} accepted, {refused} refused"
    );
}
