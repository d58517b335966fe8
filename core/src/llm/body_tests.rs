//! Tables of bodies and what is read of them or why they are refused.

use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::body::{BodyError, BodyFacts, BodyScan, Governed, Unclear};
use super::json::JsonErrorKind as J;
use crate::limits::*;

fn scan(body: impl AsRef<[u8]>) -> Result<BodyFacts, BodyError> {
    let body = body.as_ref();
    let mut scan = BodyScan::new(u64::MAX);
    let whole = scan.feed(body).and_then(|()| scan.finish().cloned());
    for size in [1, 2, 3, 7, 64, 65] {
        scan.reset();
        let mut result = Ok(());
        for chunk in body.chunks(size) {
            result = scan.feed(chunk);
            if result.is_err() {
                break;
            }
        }
        let split = result.and_then(|()| scan.finish().cloned());
        assert_eq!(
            format!("{split:?}"),
            format!("{whole:?}"),
            "in chunks of {size}: {}",
            body.escape_ascii()
        );
    }
    whole
}

fn refused(body: impl AsRef<[u8]>) -> BodyError {
    let text = body.as_ref().escape_ascii().to_string();
    match scan(body) {
        Ok(facts) => panic!("{text} was accepted: {facts:?}"),
        Err(error) => error,
    }
}

#[test]
fn governed_values_are_read() {
    let facts = scan(
        br#" {"messages":[{"role":"user","content":"hi"}],"model":"qwen-\u006dax\/1\ud83d\ude00",
            "stream" : true, "stream_options":{"x":{"include_usage":1},"include_usage":false},
            "max_tokens":16,"max_completion_tokens":18446744073709551615} "#,
    )
    .unwrap();
    assert_eq!(facts.model(), Some("qwen-max/1😀"));
    assert_eq!(facts.stream(), Some(true));
    assert_eq!(facts.include_usage(), Some(false));
    assert_eq!(facts.max_tokens(), Some(u64::MAX), "the larger of the two");
    assert_eq!(facts.member_count(), 6);
}

#[test]
fn every_surrogate_pair_is_its_own_character() {
    for code in (0x1_0000..=0x10_FFFF).step_by(0x1_FF) {
        let char = char::from_u32(code).unwrap();
        let [high, low] = [0, 1].map(|index| char.encode_utf16(&mut [0; 2])[index]);
        let facts = scan(format!(r#"{{"model":"\u{high:04x}\u{low:04X}"}}"#)).unwrap();
        assert_eq!(facts.model(), Some(&*char.to_string()), "U+{code:X}");
    }
}

#[test]
fn null_counts_as_absent() {
    let facts = scan(r#"{"model":null,"stream":null,"stream_options":null,"max_tokens":null}"#).unwrap();
    assert_eq!(
        (facts.model(), facts.stream(), facts.include_usage(), facts.max_tokens()),
        (None, None, None, None)
    );
    assert!(facts.member("model").unwrap().is_null);
    assert!(facts.member("temperature").is_none());
    assert_eq!(
        scan(r#"{"stream_options":{"include_usage":null}}"#)
            .unwrap()
            .include_usage(),
        None
    );
}

#[test]
fn governed_names_deeper_down_are_not_ours() {
    let facts = scan(r#"{"a":{"model":1,"Model":2,"model":3},"b":[{"stream":"x"}],"messages":[["model"]]}"#).unwrap();
    assert_eq!((facts.model(), facts.stream()), (None, None));
}

#[test]
fn spans_cut_out_exactly_the_value() {
    let body = r#" {"a" : 1.50e+1 ,"b":[ 1 ],"c\n":"x\"y" ,"":{},"d":null}"#;
    let facts = scan(body).unwrap();
    for (name, value) in [
        ("a", "1.50e+1"),
        ("b", "[ 1 ]"),
        ("c\n", r#""x\"y""#),
        ("", "{}"),
        ("d", "null"),
    ] {
        let span = facts.member(name).unwrap().value;
        let (start, end) = (usize::try_from(span.start).unwrap(), usize::try_from(span.end).unwrap());
        assert_eq!(&body.as_bytes()[start..end], value.as_bytes());
    }
    assert_eq!(facts.insert_at(), 2);
    assert_eq!(facts.len(), body.len() as u64);
    assert!(scan("{ }").unwrap().is_empty_object());
}

#[test]
fn only_objects_are_bodies() {
    assert_eq!(refused(""), BodyError::Empty);
    assert_eq!(refused(" \n"), BodyError::Empty);
    for (body, at) in [
        ("[]", 0),
        (" 1", 1),
        ("\"a\"", 0),
        ("null", 0),
        ("true", 0),
        ("[{}]", 0),
    ] {
        assert_eq!(refused(body), BodyError::NotAnObject { at }, "{body}");
    }
}

#[test]
fn malformed_json_is_refused_where_it_shows() {
    let cases: &[(&[u8], J, u64)] = &[
        (b"{", J::UnexpectedEnd, 1),
        (b"{\"a", J::UnexpectedEnd, 3),
        (b"{\"a\":1", J::UnexpectedEnd, 6),
        (b"{\"a\":1}}", J::TrailingBytes, 7),
        (b"{}\0", J::TrailingBytes, 2),
        (b"{} {}", J::TrailingBytes, 3),
        (b"{\"a\":1,}", J::UnexpectedByte, 7),
        (b"{,}", J::UnexpectedByte, 1),
        (b"{\"a\" 1}", J::UnexpectedByte, 5),
        (b"{\"a\":}", J::UnexpectedByte, 5),
        (b"{\"a\":[1,]}", J::UnexpectedByte, 8),
        (b"{\"a\":[1}", J::UnexpectedByte, 7),
        (b"{\"a\":{]", J::UnexpectedByte, 6),
        (b"{a:1}", J::UnexpectedByte, 1),
        (b"{'a':1}", J::UnexpectedByte, 1),
        (b"{\"a\":tru}", J::UnexpectedByte, 8),
        (b"{\"a\":nulL}", J::UnexpectedByte, 8),
        (b"{\"a\":NaN}", J::UnexpectedByte, 5),
        (b"{\"a\":01}", J::UnexpectedByte, 6),
        (b"{\"a\":+1}", J::UnexpectedByte, 5),
        (b"{\"a\":.5}", J::UnexpectedByte, 5),
        (b"{\"a\":-}", J::InvalidNumber, 6),
        (b"{\"a\":1.}", J::InvalidNumber, 7),
        (b"{\"a\":1e}", J::InvalidNumber, 7),
        (b"{\"a\":1e+}", J::InvalidNumber, 8),
        (b"{\"a\":\"\n\"}", J::ControlCharacter, 6),
        (b"{\"a\":\"\\x\"}", J::InvalidEscape, 7),
        (b"{\"a\":\"\\u12g4\"}", J::InvalidEscape, 10),
        (b"{\"a\":\"\\u12\"}", J::InvalidEscape, 10),
        (b"{\"a\":\"\xff\"}", J::InvalidUtf8, 6),
        (b"{\"a\":\"\xe4\xb8\"}", J::InvalidUtf8, 6),
        (b"{\"a\":\"x\xc0\xaf\"}", J::InvalidUtf8, 7),
        (b"{\"a\":\"\xed\xa0\x80\"}", J::InvalidUtf8, 6),
        (b"{\"a\":\"\xf4\x90\x80\x80\"}", J::InvalidUtf8, 6),
        (b"{\"a\":\"\xe4\\n\"}", J::InvalidUtf8, 6),
        (b"{\"a\":\"\xe4\n\"}", J::InvalidUtf8, 6),
        (b"{\"a\":1}\xa0", J::TrailingBytes, 7),
        (b"\xef\xbb\xbf{}", J::ByteOrderMark, 0),
        (b"{\"a\":/**/1}", J::UnexpectedByte, 5),
        (b"{\x0c}", J::UnexpectedByte, 1),
    ];
    for (body, kind, at) in cases {
        assert_eq!(
            refused(body),
            BodyError::Json { kind: *kind, at: *at },
            "{}",
            body.escape_ascii()
        );
    }
}

#[test]
fn a_top_level_key_twice_is_refused() {
    for (body, at) in [
        (r#"{"model":"a","model":"a"}"#, 13),
        (r#"{"x":1,"y":2,"x":1}"#, 13),
        (r#"{"model":"a","mod\u0065l":"b"}"#, 13),
        (r#"{"":1,"":1}"#, 6),
        (r#"{"é":1,"\u00e9":1}"#, 8),
        (
            r#"{"stream_options":{"include_usage":true,"include\u005fusage":true}}"#,
            40,
        ),
    ] {
        assert_eq!(refused(body), BodyError::DuplicateKey { at }, "{body}");
    }
    assert!(scan(r#"{"ab":1,"a":1,"b":1,"B":1,"stream_options":{"x":1,"x":2}}"#).is_ok());
}

#[test]
fn a_governed_key_in_other_letters_is_refused() {
    for (body, field, param) in [
        (r#"{"Model":"a"}"#, Governed::Model, "model"),
        (r#"{"\u004dodel":"a"}"#, Governed::Model, "model"),
        (r#"{"sTream":true}"#, Governed::Stream, "stream"),
        (r#"{"ſtream":true}"#, Governed::Stream, "stream"),
        (r#"{"max_toKens":1}"#, Governed::MaxTokens, "max_tokens"),
        ("{\"max_to\u{212A}ens\":1}", Governed::MaxTokens, "max_tokens"),
        (
            r#"{"MAX_COMPLETION_TOKENS":1}"#,
            Governed::MaxCompletionTokens,
            "max_completion_tokens",
        ),
        (r#"{"Stream_Options":{}}"#, Governed::StreamOptions, "stream_options"),
        (
            r#"{"stream_options":{"Include_Usage":true}}"#,
            Governed::IncludeUsage,
            "stream_options.include_usage",
        ),
    ] {
        let error = refused(body);
        assert!(
            matches!(error, BodyError::KeyCase { field: found, .. } if found == field),
            "{body}: {error:?}"
        );
        assert_eq!(error.param(), Some(param));
    }
    assert!(scan(r#"{"Temperature":1,"modell":2,"mode":3}"#).is_ok());
}

#[test]
fn a_governed_value_of_another_type_is_refused() {
    for (body, field) in [
        (r#"{"model":1}"#, Governed::Model),
        (r#"{"model":["a"]}"#, Governed::Model),
        (r#"{"model":{"a":1}}"#, Governed::Model),
        (r#"{"stream":"true"}"#, Governed::Stream),
        (r#"{"stream":1}"#, Governed::Stream),
        (r#"{"stream_options":[]}"#, Governed::StreamOptions),
        (r#"{"stream_options":true}"#, Governed::StreamOptions),
        (r#"{"stream_options":{"include_usage":"yes"}}"#, Governed::IncludeUsage),
        (r#"{"max_tokens":"-1"}"#, Governed::MaxTokens),
        (r#"{"max_output_tokens":[1]}"#, Governed::MaxOutputTokens),
        (r#"{"max_completion_tokens":"1"}"#, Governed::MaxCompletionTokens),
    ] {
        let error = refused(body);
        assert!(
            matches!(error, BodyError::WrongType { field: found, .. } if found == field),
            "{body}: {error:?}"
        );
    }
}

#[test]
fn a_limit_that_is_no_whole_number_is_unclear() {
    for (number, limit) in [
        ("-1", None),
        ("1.0", None),
        ("1e2", None),
        ("18446744073709551615", Some(u64::MAX)),
        ("18446744073709551616", None),
        ("1000000000000000000000000000000000", None),
    ] {
        for name in ["max_tokens", "max_completion_tokens", "max_output_tokens"] {
            let mut it = BodyScan::new(u64::MAX);
            it.feed(format!(r#"{{"{name}":{number}}}"#).as_bytes()).unwrap();
            let facts = it.finish().unwrap();
            let unclear = Unclear {
                max_tokens: limit.is_none(),
                ..Unclear::default()
            };
            assert_eq!(
                (facts.max_tokens(), facts.unclear()),
                (limit, unclear),
                "{name} {number}"
            );
        }
    }
    let mut it = BodyScan::new(u64::MAX);
    it.feed(br#"{"max_tokens":5,"max_completion_tokens":-1}"#).unwrap();
    assert!(it.finish().unwrap().unclear().max_tokens);
}

#[test]
fn a_model_must_be_text() {
    assert_eq!(refused(r#"{"model":""}"#), BodyError::EmptyModel { at: 9 });
    for (model, at) in [
        (r"\ud800", 10),
        (r"a\udc00", 11),
        (r"\ud800x", 10),
        (r"\ud800\n", 10),
        (r"\ud800\ud800", 10),
        (r"\ud800\u0041\ud83d\ude00", 10),
    ] {
        let expected = BodyError::Json {
            kind: J::LoneSurrogate,
            at,
        };
        assert_eq!(refused(format!("{{\"model\":\"{model}\"}}")), expected, "{model}");
    }
    assert!(matches!(
        refused(r#"{"\ud800":1}"#),
        BodyError::Json {
            kind: J::LoneSurrogate,
            at: 2
        }
    ));
    assert!(
        scan(r#"{"messages":"\ud800 \udc00"}"#).is_ok(),
        "text that is not read is the provider's to judge"
    );
}

#[test]
fn every_bound_holds_at_its_edge() {
    let model = |len: usize| format!("{{\"model\":\"{}\"}}", "m".repeat(len));
    assert_eq!(
        scan(model(MODEL_BYTES_MAX)).unwrap().model().map(str::len),
        Some(MODEL_BYTES_MAX)
    );
    assert_eq!(refused(model(MODEL_BYTES_MAX + 1)), BodyError::ModelTooLong { at: 9 });

    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
    assert!(scan(nested(JSON_DEPTH_MAX)).is_ok());
    assert_eq!(
        refused(nested(JSON_DEPTH_MAX + 1)),
        BodyError::TooDeep {
            at: 4 + JSON_DEPTH_MAX as u64
        }
    );

    let keys = |count: usize| {
        let keys: Vec<String> = (0..count).map(|i| format!("\"k{i}\":{i}")).collect();
        format!("{{{}}}", keys.join(","))
    };
    let full = scan(keys(JSON_TOP_LEVEL_KEYS_MAX)).unwrap();
    assert_eq!(full.member_count(), JSON_TOP_LEVEL_KEYS_MAX);
    assert!(full.member("k127").is_some());
    assert!(matches!(
        refused(keys(JSON_TOP_LEVEL_KEYS_MAX + 1)),
        BodyError::TooManyKeys { .. }
    ));

    let long = |len: usize| format!("{{\"a\":1,\"{}\":1}}", "k".repeat(len));
    assert!(scan(long(JSON_TOP_LEVEL_KEY_BYTES_MAX - 1)).is_ok());
    assert_eq!(
        refused(long(JSON_TOP_LEVEL_KEY_BYTES_MAX)),
        BodyError::KeysTooLong { at: 7 }
    );
}

#[test]
fn the_limit_counts_bytes_over_all_chunks() {
    let body = br#"{"a":1}"#;
    for (limit, expected) in [
        (7, Ok(())),
        (8, Ok(())),
        (6, Err(BodyError::TooLarge)),
        (0, Err(BodyError::TooLarge)),
    ] {
        for size in 1..=body.len() {
            let mut scan = BodyScan::new(limit);
            let result = body.chunks(size).try_for_each(|chunk| scan.feed(chunk));
            assert_eq!(
                result.and_then(|()| scan.finish().map(|_| ())),
                expected,
                "limit {limit}, chunks of {size}"
            );
        }
    }
    assert_eq!(BodyError::TooLarge.status(), 413);
}

#[test]
fn an_error_stays_until_the_reset() {
    let mut scan = BodyScan::new(100);
    let error = scan.feed(b"[").unwrap_err();
    assert_eq!(scan.feed(b"{}"), Err(error));
    assert_eq!(scan.finish().err(), Some(error));
    scan.reset();
    scan.feed(b"{}").unwrap();
    assert!(scan.finish().is_ok());
    assert!(scan.finish().is_ok(), "finishing twice lends the same facts");
}

#[test]
fn messages_name_member_and_place() {
    assert_eq!(
        refused(r#"{"stream":1}"#).to_string(),
        "'stream' must be true or false (byte 10)"
    );
    assert_eq!(
        refused("").to_string(),
        "the request body is empty; a JSON object is expected"
    );
    assert_eq!(refused("{}x").status(), 400);
}

/// The names of the tools of `{"tools": TOOLS}`; `None` when they are unclear.
fn tools(tools: &str) -> Option<Vec<String>> {
    tools_of(&format!(r#"{{"tools":{tools}}}"#))
}

fn tools_of(body: &str) -> Option<Vec<String>> {
    let facts = scan(body).unwrap();
    let names = facts.tools()?;
    Some(names.map(|name| String::from_utf8(name.to_vec()).unwrap()).collect())
}

#[test]
fn tools_are_named_as_each_api_names_them() {
    for (list, names) in [
        ("[]", &[][..]),
        ("null", &[]),
        (
            r#"[{"type":"function","function":{"name":"a","parameters":{"name":"no","properties":{"name":{}}}}}]"#,
            &["a"],
        ),
        (
            r#"[{"function":{"description":"x","name":"a"},"type":"function"},{"function":{"name":"b"}}]"#,
            &["a", "b"],
        ),
        (r#"[{"type":"function","name":"a","parameters":{}}]"#, &["a"]),
        (
            r#"[{"type":"custom","name":"a"},{"name":"b","input_schema":{"function":{"name":"no"}}}]"#,
            &["a", "b"],
        ),
        (
            r#"[{"type":"web_search_preview","filters":{"name":"no"}}]"#,
            &["web_search_preview"],
        ),
        (
            r#"[{"type":"web_search_20250305","name":"web_search","tags":["name",{"name":"no"}]}]"#,
            &["web_search", "web_search_20250305"],
        ),
        (
            r#"[{"type":"function","function":{"name":"a"},"name":"b"}]"#,
            &["a", "b"],
        ),
        (r#"[{"name":"\u0061"}]"#, &["a"]),
    ] {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        assert_eq!(tools(list), Some(names), "{list}");
    }
    assert_eq!(tools_of("{}"), Some(Vec::new()));
    assert_eq!(
        tools_of(
            r#"{"functions":[{"name":"a"}],"messages":[{"name":"no","content":[{"name":"no"}]}],"tools":[{"name":"b"}]}"#
        ),
        Some(["a".to_string(), "b".to_string()].into())
    );
}

#[test]
fn tools_that_two_readers_could_take_apart_differently_are_unclear() {
    for list in [
        "7",
        "{}",
        r#""a""#,
        "[7]",
        "[null]",
        "[[]]",
        "[{}]",
        r#"[{"type":"function"}]"#,
        r#"[{"type":"function","function":{}}]"#,
        r#"[{"name":""}]"#,
        r#"[{"name":7}]"#,
        r#"[{"name":null}]"#,
        r#"[{"type":7,"name":"a"}]"#,
        r#"[{"function":7,"name":"a"}]"#,
        r#"[{"name":"a","name":"b"}]"#,
        r#"[{"name":"a","n\u0061me":"b"}]"#,
        r#"[{"name":"a","Name":"b"}]"#,
        r#"[{"type":"web_search","type":"function","name":"a"}]"#,
        r#"[{"function":{"name":"a"},"function":{"name":"b"}}]"#,
        r#"[{"function":{"name":"a","name":"b"}}]"#,
        r#"[{"function":{"NAME":"a","name":"b"}}]"#,
        r#"[{"type":"namespace","name":"a","tools":[{"type":"function","name":"b"}]}]"#,
        r#"[{"type":"namespace","name":"a","Tools":[{"type":"function","name":"b"}]}]"#,
    ] {
        assert_eq!(tools(list), None, "{list}");
    }
    assert_eq!(tools_of(r#"{"tools":[{"name":"a"}],"Tools":[{"name":"b"}]}"#), None);
    for (input, is_clear) in [
        (
            r#"[{"type":"tool_search_output","tools":[{"type":"function","name":"b"}]}]"#,
            false,
        ),
        (r#"[{"role":"user","content":"x"},{"tool\u0073":[]}]"#, false),
        (
            r#"[{"role":"user","content":[{"type":"input_text","text":"tools"},{"tools":1}],"name":"tools"}]"#,
            true,
        ),
        (r#"["tools",["tools"],{"name":"b"},null]"#, true),
        (r#""tools""#, true),
        (r#"{"tools":[]}"#, true),
    ] {
        let body = format!(r#"{{"tools":[{{"name":"a"}}],"input":{input}}}"#);
        assert_eq!(
            tools_of(&body),
            is_clear.then(|| Vec::from(["a".to_string()])),
            "{body}"
        );
    }
    let many = |count: usize| format!("[{}]", [r#"{"name":"a"}"#].repeat(count).join(","));
    assert_eq!(
        tools(&many(TOOL_NAMES_MAX)).map(|names| names.len()),
        Some(TOOL_NAMES_MAX)
    );
    assert_eq!(tools(&many(TOOL_NAMES_MAX + 1)), None);
    let long = |len: usize| format!(r#"[{{"name":"{}"}}]"#, "a".repeat(len));
    assert!(tools(&long(TOOL_NAME_BYTES_MAX)).is_some());
    assert_eq!(tools(&long(TOOL_NAME_BYTES_MAX + 1)), None);
}

#[test]
fn tools_that_nobody_names_are_unclear() {
    for (name, clear, unclear) in [
        (
            "mcp_servers",
            &["null", "[]", "[ ]"][..],
            &[
                r#"[{"type":"url","url":"https://a.test"}]"#,
                "[null]",
                "[[]]",
                "{}",
                "false",
                "0",
                r#""""#,
            ][..],
        ),
        (
            "web_search_options",
            &["null"],
            &["{}", r#"{"search_context_size":"low"}"#, "[]", "[1]", "false", "true"],
        ),
        (
            "enable_search",
            &["null", "false"],
            &["true", "1", "0", r#""false""#, "[]", "[true]", "{}"],
        ),
    ] {
        let capitals = name.to_ascii_uppercase();
        for (values, is_clear) in [(clear, true), (unclear, false)] {
            for value in values {
                for name in [name, &capitals] {
                    let body = format!(r#"{{"tools":[{{"name":"a"}}],"{name}":{value},"functions":[{{"name":"b"}}]}}"#);
                    let names = is_clear.then(|| Vec::from(["a", "b"].map(String::from)));
                    assert_eq!(tools_of(&body), names, "{body}");
                }
            }
        }
        for near in [format!("x{name}"), format!("{name}s"), name.replacen('_', "-", 1)] {
            assert!(tools_of(&format!(r#"{{"{near}":[true]}}"#)).is_some(), "{near}");
        }
    }
}

#[test]
fn members_that_decide_what_others_are_read_for_make_it_unclear() {
    const NOTHING: &[&str] = &["null"];
    const NO_ITEM: &[&str] = &["null", "[]", "[ ]"];
    const NO_OBJECT: &[&str] = &["null", r#""text""#, r#"["a"]"#, "[[1,2]]"];
    let (model, max_tokens, tools) = (true, true, true);
    let only_model = (model, false, false);
    let only_limit = (false, max_tokens, false);
    let only_tools = (false, false, tools);
    for (name, clear, unclear, expected) in [
        ("models", NO_ITEM, r#"["a"]"#, only_model),
        ("fallbacks", NO_ITEM, "[{}]", only_model),
        ("context_window_fallbacks", NO_ITEM, "{}", only_model),
        ("content_policy_fallbacks", NO_ITEM, "[[]]", only_model),
        ("prompt", NO_OBJECT, r#"{"id":"pmpt_1"}"#, (model, max_tokens, tools)),
        ("n_predict", NOTHING, "-1", only_limit),
        ("max_new_tokens", NOTHING, "7", only_limit),
        ("max_tokens_to_sample", NOTHING, "7", only_limit),
        ("options", NOTHING, r#"{"num_predict":7}"#, only_limit),
        ("generationConfig", NOTHING, r#"{"maxOutputTokens":7}"#, only_limit),
        ("inferenceConfig", NOTHING, r#"{"maxTokens":7}"#, only_limit),
        ("parameters", NOTHING, r#"{"tools":[]}"#, (false, max_tokens, tools)),
        ("mcp_servers", NO_ITEM, "[0]", only_tools),
        ("plugins", NO_ITEM, r#"[{"id":"web"}]"#, only_tools),
        ("toolConfig", NOTHING, "{}", only_tools),
        ("web_search_options", NOTHING, "{}", only_tools),
        ("search_parameters", NOTHING, r#"{"mode":"on"}"#, only_tools),
        ("enable_search", &["null", "false"], "true", only_tools),
        ("container", NO_OBJECT, r#"{"skills":[]}"#, only_tools),
    ] {
        let found = |key: &str, value: &str| {
            let mut scan = BodyScan::new(u64::MAX);
            let body = format!(r#"{{"model":"m","{key}":{value},"max_tokens":5,"tools":[{{"name":"a"}}]}}"#);
            scan.feed(body.as_bytes()).unwrap();
            let facts = scan.finish().unwrap();
            assert_eq!((facts.model(), facts.max_tokens()), (Some("m"), Some(5)), "{body}");
            assert_eq!(facts.tools().is_none(), facts.unclear().tools);
            let Unclear {
                model,
                max_tokens,
                tools,
            } = facts.unclear();
            (model, max_tokens, tools)
        };
        for key in [name, &name.to_uppercase(), &name.replace('s', "\u{17f}")] {
            for value in clear {
                assert_eq!(found(key, value), (false, false, false), "{key} {value}");
            }
            assert_eq!(found(key, unclear), expected, "{key}");
        }
        for near in [format!("x{name}"), format!("{name}z"), format!("my.{name}")] {
            assert_eq!(found(&near, unclear), (false, false, false), "{near}");
        }
    }
}

#[test]
fn a_scan_forgets_the_tools_of_the_body_before() {
    let mut scan = BodyScan::new(u64::MAX);
    for (body, clear, count) in [
        (r#"{"tools":[7]}"#, false, 0),
        (r#"{"tools":[{"name":"a"}]}"#, true, 1),
        (r#"{"mcp_servers":[{}]}"#, false, 0),
        (r#"{"mcp_servers":[]}"#, true, 0),
        (r#"{"tools":[{"function":{"#, true, 0),
        (r#"{"messages":[{"name":"a","x":{"name":"b"}}]}"#, true, 0),
    ] {
        scan.reset();
        let _ = scan.feed(body.as_bytes());
        if let Ok(facts) = scan.finish() {
            assert_eq!(facts.tools().map(Iterator::count), clear.then_some(count), "{body}");
        }
    }
}
