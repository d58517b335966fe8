//! The rules of request bodies written a second time, over `serde_json` and with an allocator.

use std::fmt;
use std::ops::Range;

use lockgate_core::limits::{JSON_TOP_LEVEL_KEY_BYTES_MAX, JSON_TOP_LEVEL_KEYS_MAX, MODEL_BYTES_MAX};
use lockgate_core::llm::body::{BodyError, BodyFacts};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

const GOVERNED: [&str; 6] = [
    "model",
    "stream",
    "stream_options",
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
];

/// The members of an object in their order, the values of the governed ones read.
struct Members(Vec<(String, Option<Value>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value = if key == "stream_options" {
                        Some(map.next_value::<Options>()?.0)
                    } else if LIMITS.contains(&key.as_str()) {
                        Some(limit(map.next_value::<Box<RawValue>>()?.get()))
                    } else if GOVERNED.contains(&key.as_str()) {
                        Some(map.next_value::<Shallow>()?.0)
                    } else {
                        map.next_value::<IgnoredAny>()?;
                        None
                    };
                    members.push((key, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Reader)
    }
}

const LIMITS: [&str; 3] = ["max_tokens", "max_completion_tokens", "max_output_tokens"];

/// A number that is no u64 is `-1`: some are beyond what serde_json reads.
fn limit(text: &str) -> Value {
    if text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        text.parse::<u64>().map_or_else(|_| (-1).into(), Value::from)
    } else {
        serde_json::from_str::<Shallow>(text).map_or(Value::Bool(false), |Shallow(value)| value)
    }
}

macro_rules! shallow_visits {
    () => {
        type Value = Value;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }
        fn visit_unit<E>(self) -> Result<Value, E> {
            Ok(Value::Null)
        }
        fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_str<E>(self, value: &str) -> Result<Value, E> {
            Ok(value.into())
        }
        fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
            while seq.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Value::Array(Vec::new()))
        }
    };
}

/// A value of which containers are only checked.
struct Shallow(Value);

impl<'de> Deserialize<'de> for Shallow {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            shallow_visits!();
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Object(serde_json::Map::new()))
            }
        }
        deserializer.deserialize_any(Reader).map(Shallow)
    }
}

/// `stream_options`: an array of `[key, value]` when it is an object, to keep what stands there twice.
struct Options(Value);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            shallow_visits!();
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut members = serde_json::Map::new();
                let mut problem = false;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "include_usage" {
                        let Shallow(value) = map.next_value()?;
                        problem |= !(value.is_boolean() || value.is_null());
                        problem |= members.insert(key, value).is_some();
                    } else {
                        problem |= folded(&key) == "include_usage";
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                members.insert("problem".to_owned(), problem.into());
                Ok(Value::Object(members))
            }
        }
        deserializer.deserialize_any(Reader).map(Options)
    }
}

fn folded(key: &str) -> String {
    key.to_ascii_lowercase().replace('ſ', "s").replace('\u{212a}', "k")
}

/// What the rules make of a body that they accept.
struct Expected {
    model: Option<String>,
    stream: Option<bool>,
    include_usage: Option<bool>,
    max_tokens: Option<u64>,
    has_clear_limit: bool,
    members: Vec<(String, bool)>,
}

fn expected(body: &[u8]) -> Option<Expected> {
    let text = std::str::from_utf8(body).ok()?;
    let Members(members) = serde_json::from_str(text).ok()?;
    let key_bytes: usize = members.iter().map(|(key, _)| key.len()).sum();
    let mut expected = Expected {
        model: None,
        stream: None,
        include_usage: None,
        max_tokens: None,
        has_clear_limit: true,
        members: Vec::new(),
    };
    if members.len() > JSON_TOP_LEVEL_KEYS_MAX || key_bytes > JSON_TOP_LEVEL_KEY_BYTES_MAX {
        return None;
    }
    for (key, value) in &members {
        let twice = expected.members.iter().any(|(other, _)| other == key);
        let other_case = !GOVERNED.contains(&key.as_str()) && GOVERNED.contains(&folded(key).as_str());
        if twice || other_case {
            return None;
        }
        expected.members.push((key.clone(), value == &Some(Value::Null)));
        match (key.as_str(), value.as_ref()) {
            (_, None | Some(Value::Null)) => {}
            ("model", Some(Value::String(model))) if !model.is_empty() && model.len() <= MODEL_BYTES_MAX => {
                expected.model = Some(model.clone());
            }
            ("stream", Some(Value::Bool(stream))) => expected.stream = Some(*stream),
            ("stream_options", Some(Value::Object(options))) if options["problem"] == false => {
                expected.include_usage = options.get("include_usage").and_then(Value::as_bool);
            }
            (name, Some(value)) if LIMITS.contains(&name) => {
                let limit = value.as_number()?.as_u64();
                expected.max_tokens = expected.max_tokens.max(limit);
                expected.has_clear_limit &= limit.is_some();
            }
            _ => return None,
        }
    }
    Some(expected)
}

/// The bytes of a span.
pub(crate) fn cut<'b>(body: &'b [u8], span: &Range<u64>) -> &'b [u8] {
    &body[usize::try_from(span.start).unwrap()..usize::try_from(span.end).unwrap()]
}

/// Asserts that the scan and the rules come to the same result.
pub(crate) fn assert_agrees(body: &[u8], scanned: Result<&BodyFacts, BodyError>) {
    let shown = body.escape_ascii();
    match (scanned, expected(body)) {
        (Err(_), None) => {}
        (Ok(facts), Some(expected)) => {
            assert_eq!(facts.model(), expected.model.as_deref(), "model of {shown}");
            assert_eq!(facts.stream(), expected.stream, "stream of {shown}");
            assert_eq!(
                facts.include_usage(),
                expected.include_usage,
                "include_usage of {shown}"
            );
            assert_eq!(facts.max_tokens(), expected.max_tokens, "max_tokens of {shown}");
            // Other members may make it unclear, too.
            assert!(
                expected.has_clear_limit || facts.unclear().max_tokens,
                "limit of {shown}"
            );
            assert_eq!(facts.member_count(), expected.members.len(), "members of {shown}");
            assert_eq!(facts.len(), body.len() as u64);
            for (key, is_null) in &expected.members {
                let member = facts
                    .member(key)
                    .unwrap_or_else(|| panic!("no member {key:?} in {shown}"));
                let value = cut(body, &member.value);
                assert_eq!(value.trim_ascii(), value, "blanks around {key:?} in {shown}");
                assert_eq!(value == b"null", member.is_null);
                assert!(member.is_null || !is_null);
                serde_json::from_slice::<IgnoredAny>(value).unwrap_or_else(|e| panic!("{key:?} in {shown}: {e}"));
            }
        }
        (Ok(_), None) => panic!("accepted against the rules: {shown}"),
        (Err(error), Some(_)) => panic!("refused against the rules: {error}: {shown}"),
    }
}

/// Asserts that two scans of one body came to the same result.
pub(crate) fn assert_same(body: &[u8], one: Result<&BodyFacts, BodyError>, other: Result<&BodyFacts, BodyError>) {
    let shown = body.escape_ascii();
    match (one, other) {
        (Err(one), Err(other)) => assert_eq!(one, other, "{shown}"),
        (Ok(one), Ok(other)) => {
            assert_eq!(format!("{one:?}"), format!("{other:?}"), "{shown}");
            assert!(one.members().eq(other.members()), "{shown}");
        }
        (one, other) => panic!("{one:?} against {other:?}: {shown}"),
    }
}
