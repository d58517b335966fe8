//! The OpenAI Python SDK, unchanged from PyPI, talks through the gateway.
//!
//! It is installed into the build directory on the first run; a machine without
//! Python or PyPI fails this test with what to install.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use std::path::Path;
use std::process::Stdio;

use support::KEY;
use support::bed::{Bed, Transport};
use support::gateway::Setup;
use support::upstream::{Answer, STREAM_HEAD, Step};
use support::wire::chunk;
use tokio::process::Command;

const DENY: &str = "\
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata:
  name: denied
  namespace: istio-system
spec:
  action: DENY
  rules:
  - to:
    - operation:
        hosts: [denied.example.com, 'denied.example.com:*']
";

fn delta(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"qwen-plus\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

const USAGE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"qwen-plus\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";

async fn run(command: &mut Command, what: &str) {
    let output = command
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "{what}:\n{text}");
}

#[tokio::test]
async fn openai_sdk_gets_answers_streams_and_error_classes() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
    let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("openai-sdk");
    run(
        Command::new("sh").arg(here.join("install.sh")).arg(&venv),
        "installing the OpenAI SDK",
    )
    .await;

    let bed = Bed::start(Transport::Plain, Setup::seed().file("deny.yaml", DENY)).await;
    bed.upstream.answer(Answer::completion());
    bed.upstream.answer(Answer::stream(&[
        &delta("one "),
        &delta("two "),
        &delta("three"),
        USAGE,
        "data: [DONE]\n\n",
    ]));
    let half = [STREAM_HEAD, &chunk(delta("one").as_bytes())].concat();
    bed.upstream.answer(Answer(vec![Step::Send(half), Step::Cut]));
    let event = delta("one");
    let in_event = [STREAM_HEAD, &chunk(&event.as_bytes()[..event.len() / 2])].concat();
    bed.upstream.answer(Answer(vec![Step::Send(in_event), Step::Cut]));
    let limited = r#"{"error":{"message":"slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
    let fields = [("content-type", "application/json"), ("retry-after", "7")];
    bed.upstream
        .answer(Answer::whole("429 Too Many Requests", &fields, limited));

    let base = format!("http://{}/v1", bed.http());
    let mut sdk = Command::new(venv.join("bin/python"));
    // Proxies in the environment are not for loopback.
    sdk.arg(here.join("openai_sdk.py"))
        .arg(base)
        .env("NO_PROXY", "*")
        .kill_on_drop(true);
    run(&mut sdk, "the SDK's view").await;

    for request in 0..5 {
        let seen = bed.upstream.request().await;
        assert_eq!(
            seen.request_line, "POST /compatible-mode/v1/chat/completions HTTP/1.1",
            "request {request}"
        );
        assert_eq!(seen.header("authorization"), Some(format!("Bearer {KEY}").as_str()));
        assert!(!seen.raw_head.contains("sk-of-the-client"), "{}", seen.raw_head);
        assert_eq!(seen.json()["model"], "qwen-plus", "the client's own model");
    }
    bed.gateway.assert_keeps_the_key().await;
}
