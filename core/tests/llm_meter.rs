//! The properties that the fuzz targets of bodies and answers check, on inputs made to reach deep.
#![cfg(feature = "alloc")]

use lockgate_core::fuzzing;
use proptest::prelude::*;

/// Bits of event streams and of their JSON, good and bad.
fn answer() -> impl Strategy<Value = String> {
    let usage = r#""usage":{"prompt_tokens":7,"completion_tokens":3}"#;
    let piece = proptest::sample::select(vec![
        "data: ",
        "data:",
        "event: message_start\n",
        ": ping\n",
        "\n\n",
        "\r\n\r\n",
        "\r",
        "\n",
        "{",
        "}",
        ",",
        usage,
        r#"{"usage":null}"#,
        r#"{"usage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        r#"data: {"type":"message_start","message":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"data: {"type":"message_delta","usage":{"output_tokens":9}}"#,
        r#"data: {"response":{"usage":{"input_tokens":5,"output_tokens":1}}}"#,
        r#"data: {"choices":[{"delta":{"content":"\"usage\":{} é"}}]}"#,
        r#"{"\u0075sage":{"prompt_tokens":1,"completion_tokens":2}}"#,
        r#""message":"#,
        "data: [DONE]",
    ]);
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn an_answer_is_metered_the_same_however_it_is_cut(answer in answer(), lengths in any::<[u8; 4]>(), small in any::<bool>()) {
        let lengths = lengths.map(|length| if small { length % 5 } else { length });
        fuzzing::sse_usage(&[answer.as_bytes(), &lengths].concat());
    }

    #[test]
    fn a_body_of_any_bits_is_scanned_and_edited_soundly(
        pieces in proptest::collection::vec(
            proptest::sample::select(vec![
                "{", "}", "[", "]", ",", ":", " ", "1", "-0.5e3", "null", "true", "\"", "\\", "\\n", "\\u00e9", "\\ud83d",
                "\"model\"", "\"model\":\"m\"", "\"stream\":null", "\"max_tokens\":12", "\"user\":{\"a\":[1]}",
                "\"stream_options\":{\"include_usage\":true}", "\"x\":\"a long text that fills a block, é, and goes on past it\\n\"",
            ]),
            0..12,
        ),
        wrapped in any::<bool>(),
        lengths in any::<[u8; 4]>(),
    ) {
        let body = if wrapped { format!("{{{}}}", pieces.join(",")) } else { pieces.concat() };
        fuzzing::splice(body.as_bytes());
        fuzzing::body_scan(&[body.as_bytes(), &lengths].concat());
    }
}
