//! Reading a body, editing it and metering an answer allocate nothing: counted by the allocator.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lockgate_core::llm::body::BodyScan;
use lockgate_core::llm::splice::{Field, Splice};
use lockgate_core::llm::usage::{Framing, Usage, UsageMeter};
use lockgate_core::tables::FieldWhen;

const ROUNDS: usize = 100_000;

const BODIES: [&str; 5] = [
    r#"{"model":"qwen-max","stream":true,"messages":[{"role":"user","content":"a line\nand \u6211 \ud83d\ude00"}]}"#,
    r#"{"messages":[{"content":"我们需要一个网关"}],"stream_options":{"include_usage":true},"max_tokens":5}"#,
    r#"{"mod\u0065l":null}"#,
    r#"{"model":"a","model":"b"}"#,
    r#"{"model":"#,
];

const FIELDS: [Field<'static>; 2] = [
    Field {
        name: "model",
        member: r#""model":"set""#,
        value: r#""set""#,
        when: FieldWhen::Absent,
    },
    Field {
        name: "stream",
        member: r#""stream":false"#,
        value: "false",
        when: FieldWhen::Always,
    },
];

#[test]
fn a_hundred_thousand_scans_and_splices_allocate_nothing() {
    let mut scan = BodyScan::new(1 << 20);
    let (mut edited, mut refused) = (0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..ROUNDS {
            let body = BODIES[round % BODIES.len()].as_bytes();
            scan.reset();
            let chunk = round % 40 + 1;
            let fed = body.chunks(chunk).try_for_each(|chunk| scan.feed(chunk));
            match fed.and_then(|()| scan.finish()) {
                Ok(facts) => edited += Splice::plan(facts, FIELDS).unwrap().pieces().len(),
                Err(_) => refused += 1,
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(
        edited >= ROUNDS && refused == ROUNDS / 5 * 2,
        "{edited} pieces, {refused} refused"
    );
}

#[test]
fn a_hundred_thousand_metered_answers_allocate_nothing() {
    let json = r#"{"choices":[{"message":{"content":"hi\n"}}],"usage":{"prompt_tokens":7,"completion_tokens":2}}"#;
    let stream = "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n\
                  data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\n\
                  data: \"completion_tokens\":2}}\r\n\r\ndata: [DONE]\n\n";
    let mut known = 0;
    let counted = allocation_counter::measure(|| {
        for round in 0..ROUNDS {
            let (framing, answer) = if round % 2 == 0 {
                (Framing::Json, json)
            } else {
                (Framing::Sse, stream)
            };
            let mut meter = UsageMeter::new(framing);
            answer
                .as_bytes()
                .chunks(round % 150 + 1)
                .for_each(|chunk| meter.feed(chunk));
            known += usize::from(matches!(
                meter.finish(),
                Usage::Known {
                    prompt_tokens: 7,
                    completion_tokens: 2,
                    ..
                }
            ));
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert_eq!(known, ROUNDS);
}
