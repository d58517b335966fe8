//! Streams: at once, to the end, counted, and stopped as soon as nobody listens.

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use support::bed::{BOTH, Bed, OPEN, Transport};
use support::client::{Client, post, request};
use support::gateway::Setup;
use support::outputs::{field, total};
use support::upstream::{Answer, COMPLETION, Gate, STREAM_HEAD, Step};
use support::wire::{LAST_CHUNK, Part, chunk};
use support::{KEY, eventually};

const ASK_STREAM: &str =
    r#"{"messages":[{"role":"user","content":"hi"}],"stream":true,"stream_options":{"include_usage":true}}"#;

/// How soon the provider must see that the client went away.
const CANCEL: Duration = Duration::from_millis(100);

fn delta(text: &str) -> String {
    format!(
        "data: {{\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"qwen1.5-72b-chat\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}},\"finish_reason\":null}}]}}\n\n"
    )
}

const USAGE: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"qwen1.5-72b-chat\",\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

async fn stream_client(bed: &Bed) -> Client {
    let mut client = Client::connect(bed.http()).await;
    client.send(post("test.com", &[], ASK_STREAM)).await;
    client
}

#[tokio::test]
async fn each_event_reaches_the_client_before_the_next_is_sent() {
    for transport in BOTH {
        let (bed, gate) = (Bed::start(transport, Setup::seed()).await, Gate::new());
        let events: Vec<String> = (0..20).map(|n| delta(&format!("word {n} "))).collect();
        let mut all: Vec<&str> = events.iter().map(String::as_str).collect();
        all.extend([USAGE, DONE]);
        bed.upstream.answer(Answer::gated_stream(&all, &gate));
        let mut client = stream_client(&bed).await;
        let head = client.head().await;
        assert_eq!(
            (head.status, head.header("content-type")),
            (200, Some("text/event-stream"))
        );
        let mut waits = Vec::new();
        let mut since = Instant::now();
        for event in &all {
            assert_eq!(client.text(event.len()).await, **event);
            waits.push(since.elapsed());
            since = Instant::now();
            gate.open();
        }
        assert_eq!(client.part().await, Part::End);
        // The first wait holds the connection's making; the median forgives a busy machine but not a timer.
        waits.remove(0);
        waits.sort_unstable();
        let median = waits[waits.len() / 2];
        println!("{transport:?}: an event took {median:?}");
        assert!(
            median < Duration::from_millis(20),
            "{transport:?}: an event took {median:?}: {waits:?}"
        );
        assert_eq!(bed.upstream.request().await.json()["stream"], true);
    }
}

#[tokio::test]
async fn answers_head_reaches_the_client_before_any_of_its_body() {
    let (bed, gate) = (Bed::seed().await, Gate::new());
    let steps = vec![
        Step::Send(STREAM_HEAD.to_vec()),
        Step::Wait(gate.clone()),
        Step::Send(LAST_CHUNK.to_vec()),
    ];
    bed.upstream.answer(Answer(steps));
    let mut client = stream_client(&bed).await;
    assert_eq!(client.head().await.status, 200);
    gate.open();
    assert_eq!(client.part().await, Part::End);
}

#[tokio::test]
async fn events_pass_byte_for_byte_however_the_provider_cuts_them() {
    let whole = [
        ": keep-alive\r\n\r\n",
        "event: x\ndata: {\"a\":\"ä\"}\n\n",
        &delta("1"),
        USAGE,
        DONE,
    ]
    .concat();
    for size in [1, 3, 64, 4096] {
        let bed = Bed::seed().await;
        let mut bytes = STREAM_HEAD.to_vec();
        whole
            .as_bytes()
            .chunks(size)
            .for_each(|piece| bytes.extend_from_slice(&chunk(piece)));
        bytes.extend_from_slice(LAST_CHUNK);
        bed.upstream.answer(Answer(vec![Step::Send(bytes)]));
        let answer = stream_client(&bed).await.response().await;
        assert_eq!(
            (answer.text(), answer.end),
            (whole.clone(), Part::End),
            "in pieces of {size}"
        );
        assert_usage(&bed, "11", "7").await;
    }
}

/// Asserts that the only request so far is logged and counted with these tokens.
async fn assert_usage(bed: &Bed, prompt: &str, completion: &str) {
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "request_model"), "qwen1.5-72b-chat", "{line}");
    assert_eq!(field(&line, "request_prompt_tokens"), prompt, "{line}");
    assert_eq!(field(&line, "request_completion_tokens"), completion, "{line}");
    for (kind, count) in [("prompt", prompt), ("completion", completion)] {
        let expected: f64 = count.parse().unwrap_or(f64::NAN);
        eventually(&format!("{kind} tokens in /metrics"), || async {
            let samples = bed.gateway.metrics().await;
            let tokens = |s: &&support::outputs::Sample| {
                let text = format!("{} {:?}", s.name, s.labels);
                text.contains("token") && text.contains(kind) && text.contains("qwen1.5-72b-chat")
            };
            let counted: Vec<_> = samples.iter().filter(tokens).collect();
            let labelled = counted.iter().all(|s| {
                let labels = format!("{:?}", s.labels);
                labels.contains("dashscope") && labels.contains("route")
            });
            let sum: f64 = counted.iter().map(|s| s.value).sum();
            (labelled && (sum - expected).abs() < 0.5).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn usage_of_the_last_event_is_logged_and_counted() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        bed.upstream
            .answer(Answer::stream(&[&delta("a"), &delta("b"), USAGE, DONE]));
        assert_eq!(stream_client(&bed).await.response().await.end, Part::End);
        assert_usage(&bed, "11", "7").await;
    }
}

#[tokio::test]
async fn usage_of_a_whole_answer_is_logged_and_counted() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        assert_eq!(bed.ask("test.com").await.text(), COMPLETION);
        assert_usage(&bed, "3", "72").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_fetched_again_costs_nothing_again() {
    let bed = Bed::start(Transport::Plain, Setup::empty().file("open.yaml", OPEN)).await;
    let mut client = Client::connect(bed.http()).await;
    let made = request("POST", "/v1/responses", "test.com", &[], ASK_STREAM);
    let fetched = request("GET", "/v1/responses/resp_1", "test.com", &[], "");
    for bytes in [&made, &fetched, &fetched] {
        client.send(bytes).await;
        assert_eq!(client.response().await.text(), COMPLETION);
    }
    let lines = bed.gateway.log_of(3).await;
    for (line, tokens) in lines.iter().zip([("3", "72"), ("-", "-"), ("-", "-")]) {
        let logged = |name| field(line, name);
        let logged = (logged("request_prompt_tokens"), logged("request_completion_tokens"));
        assert_eq!((logged.0.as_str(), logged.1.as_str()), tokens, "{line}");
    }
    let metrics = bed.gateway.metrics().await;
    assert_eq!(total(&metrics, "lockgate_prompt_tokens_total", &[]), 3.0);
    assert_eq!(total(&metrics, "lockgate_completion_tokens_total", &[]), 72.0);
}

#[tokio::test]
async fn unknown_usage_is_a_dash() {
    let bed = Bed::seed().await;
    bed.upstream.answer(Answer::stream(&[&delta("a"), DONE]));
    assert_eq!(stream_client(&bed).await.response().await.status, 200);
    assert_eq!(bed.ask("unknown.example.com").await.status, 404);
    let lines = bed.gateway.log_of(2).await;
    for line in &lines {
        assert_eq!(field(line, "request_prompt_tokens"), "-", "{line}");
        assert_eq!(field(line, "request_completion_tokens"), "-", "{line}");
    }
    assert_eq!(field(&lines[1], "request_model"), "-");
}

#[tokio::test]
async fn request_is_logged_with_istios_names() {
    let bed = Bed::seed().await;
    let answer = bed.ask("test.com").await;
    let line = bed.gateway.log_of(1).await.remove(0);
    for (name, value) in [
        ("method", "POST"),
        ("path", "/"),
        ("protocol", "HTTP/1.1"),
        ("response_code", "200"),
        ("response_flags", "-"),
        ("authority", "test.com"),
        ("user_agent", "curl/8.5.0"),
        ("request_model", "qwen1.5-72b-chat"),
        ("bytes_sent", &COMPLETION.len().to_string()),
        ("bytes_received", &support::QUESTION.len().to_string()),
        ("upstream_host", &bed.upstream.addr.to_string()),
    ] {
        assert_eq!(field(&line, name), value, "{name} in {line}");
    }
    assert!(
        field(&line, "downstream_remote_address").starts_with("127.0.0.1:"),
        "{line}"
    );
    assert_eq!(answer.header("x-request-id"), Some(field(&line, "request_id").as_str()));
    for name in [
        "start_time",
        "duration",
        "route_name",
        "response_code_details",
        "upstream_service_time",
    ] {
        field(&line, name);
    }
    let text = line.to_string();
    assert!(text.contains("ingress-route"), "the rule: {text}");
    assert!(text.contains("dashscope"), "the provider: {text}");
    assert!(
        !text.contains("Tell me about yourself") && !text.contains(KEY),
        "{text}"
    );
}

/// What a line has of the heads is kept otherwise for an answer that is waited for.
#[tokio::test]
async fn a_stream_is_logged_as_a_whole_answer_is() {
    let bed = Bed::seed().await;
    let head = [
        ("user-agent", "agent/1"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-request-id", "asked-1"),
        ("content-type", "application/json"),
    ];
    let ask = request("POST", "/v1/chat/completions?key=secret", "test.com", &head, ASK_STREAM);
    let mut client = Client::connect(bed.http()).await;
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nx-request-id: answered-1\r\n";
    let whole = format!("{head}content-length: {}\r\n\r\n{USAGE}", USAGE.len());
    let begun = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let begun = [begun.as_bytes(), &chunk(delta("x").as_bytes())].concat();
    let rest = [&chunk(USAGE.as_bytes()), LAST_CHUNK].concat();
    for (steps, is_waited_for) in [
        (vec![Step::Send(whole.into_bytes())], false),
        (
            vec![Step::Send(begun), Step::Wait(gate.clone()), Step::Send(rest)],
            true,
        ),
    ] {
        bed.upstream.answer(Answer(steps));
        client.send(&ask).await;
        assert_eq!(client.head().await.header("x-request-id"), Some("answered-1"));
        assert!(matches!(client.part().await, Part::Data(_)));
        if is_waited_for {
            gate.open();
        }
        while client.part().await != Part::End {}
    }
    for line in bed.gateway.log_of(2).await {
        for (name, value) in [
            ("path", "/v1/chat/completions"),
            ("authority", "test.com"),
            ("user_agent", "agent/1"),
            ("x_forwarded_for", "192.0.2.7"),
            ("request_id", "asked-1"),
            ("upstream_request_id", "answered-1"),
            ("request_prompt_tokens", "11"),
            ("request_completion_tokens", "7"),
        ] {
            assert_eq!(field(&line, name), value, "{name} in {line}");
        }
    }
}

#[tokio::test]
async fn requests_are_counted_by_status() {
    let bed = Bed::seed().await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(bed.ask("unknown.example.com").await.status, 404);
    assert_eq!(bed.ask("unknown.example.com").await.status, 404);
    for (code, count) in [("200", 1.0), ("404", 2.0)] {
        eventually(&format!("{count} requests of {code} in /metrics"), || async {
            let samples = bed.gateway.metrics().await;
            let counted: f64 = total(&samples, "istio_requests_total", &[("response_code", code)]);
            ((counted - count).abs() < 0.5).then_some(())
        })
        .await;
    }
    let samples = bed.gateway.metrics().await;
    let durations = total(&samples, "istio_request_duration_milliseconds_count", &[]);
    assert!((durations - 3.0).abs() < 0.5, "{durations} durations of 3 requests");
}

/// How a client goes away.
#[derive(Debug, Clone, Copy)]
enum Leave {
    /// Closes its socket.
    Close,
    /// Is killed with data unread: the kernel sends a reset.
    Reset,
}

impl Leave {
    fn take(self, client: Client) {
        match self {
            Self::Close => drop(client),
            Self::Reset => client.reset(),
        }
    }
}

/// How long after the client left the provider's connection was closed, when it leaves after `events` events.
///
/// `events` 0 is while the gateway waits for the first byte of the answer.
async fn time_to_cancel(transport: Transport, events: usize, leave: Leave) -> Duration {
    let (bed, gate) = (Bed::start(transport, Setup::seed()).await, Gate::new());
    let mut steps = Vec::new();
    if events > 0 {
        steps.push(Step::Send(STREAM_HEAD.to_vec()));
        (0..events).for_each(|_| steps.push(Step::Send(chunk(delta("x").as_bytes()))));
    }
    steps.push(Step::Wait(gate));
    bed.upstream.answer(Answer(steps));
    let mut client = stream_client(&bed).await;
    let connection = bed.upstream.request().await.connection;
    if events > 0 {
        assert_eq!(client.head().await.status, 200);
        client.text(delta("x").len() * events).await;
    }
    // The gateway is quiet, waiting for the provider.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(
        bed.upstream.closed_at(connection),
        None,
        "closed before the client left"
    );
    let left = Instant::now();
    leave.take(client);
    bed.upstream.closed(connection).await.saturating_duration_since(left)
}

/// Asserts that the provider is left alone in time; one retry, since another process may hold the processor.
async fn assert_cancels(events: usize) {
    for transport in BOTH {
        for leave in [Leave::Close, Leave::Reset] {
            let first = time_to_cancel(transport, events, leave).await;
            println!("{transport:?} {leave:?} after {events} events: {first:?}");
            if first > CANCEL {
                let second = time_to_cancel(transport, events, leave).await;
                assert!(
                    second <= CANCEL,
                    "{transport:?} {leave:?} after {events}: {first:?}, then {second:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn client_that_leaves_before_the_first_byte_cancels_the_provider() {
    assert_cancels(0).await;
}

#[tokio::test]
async fn client_that_leaves_after_the_first_event_cancels_the_provider() {
    assert_cancels(1).await;
}

#[tokio::test]
async fn client_that_leaves_between_events_cancels_the_provider() {
    assert_cancels(5).await;
}

#[tokio::test]
async fn client_that_leaves_while_the_provider_talks_cancels_it() {
    let mut tries = Vec::new();
    for _ in 0..2 {
        let bed = Bed::seed().await;
        let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
        for _ in 0..2000 {
            steps.extend([
                Step::Send(chunk(delta("x").as_bytes())),
                Step::Pause(Duration::from_millis(5)),
            ]);
        }
        bed.upstream.answer(Answer(steps));
        let mut client = stream_client(&bed).await;
        assert_eq!(client.head().await.status, 200);
        client.text(delta("x").len() * 3).await;
        let left = Instant::now();
        client.reset();
        let connection = bed.upstream.request().await.connection;
        let took = bed.upstream.closed(connection).await.saturating_duration_since(left);
        if took <= CANCEL {
            return;
        }
        tries.push(took);
    }
    panic!("{tries:?}");
}

#[tokio::test]
async fn cancelled_request_is_logged_as_left_by_the_client() {
    let (bed, gate) = (Bed::seed().await, Gate::new());
    bed.upstream.answer(Answer(vec![Step::Wait(gate)]));
    let client = stream_client(&bed).await;
    bed.upstream.request().await;
    drop(client);
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(
        field(&line, "response_flags"),
        "DC",
        "Envoy's flag for a client that went away: {line}"
    );
    assert_eq!(field(&line, "request_completion_tokens"), "-");
}

#[tokio::test]
async fn provider_that_is_cut_mid_stream_never_looks_whole() {
    let event = delta("half");
    let chunked = [STREAM_HEAD, &chunk(event.as_bytes())].concat();
    let in_chunk = [STREAM_HEAD, b"ffff\r\n", event.as_bytes()].concat();
    let short = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n{event}");
    for transport in BOTH {
        for (what, bytes, is_told) in [
            ("chunked", &chunked, true),
            ("in a chunk", &in_chunk, true),
            ("length", &short.clone().into_bytes(), false),
        ] {
            for last in [Step::Cut, Step::Close] {
                let bed = Bed::start(transport, Setup::seed()).await;
                bed.upstream
                    .answer(Answer(vec![Step::Send(bytes.clone()), last.clone()]));
                let mut client = stream_client(&bed).await;
                let answer = client.response().await;
                let context = format!("{transport:?}, {what}, {last:?}");
                let text = answer.text();
                let rest = text.strip_prefix(&event);
                assert_eq!((answer.status, rest.is_some()), (200, true), "{context}: {text}");
                let error = rest.and_then(|rest| rest.strip_prefix("data: {\"error\":"));
                assert_eq!(
                    (error.is_some(), rest == Some("")),
                    (is_told, !is_told),
                    "{context}: {text}"
                );
                assert_eq!(answer.end, Part::Cut, "{context}: half an answer looks whole");
                let line = bed.gateway.log_of(1).await.remove(0);
                assert_ne!(field(&line, "response_flags"), "-", "{context}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn answer_without_any_framing_lasts_until_its_end() {
    let bed = Bed::seed().await;
    bed.upstream.answer(Answer::raw(
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{\"a\":1}",
    ));
    let answer = bed.ask("test.com").await;
    assert_eq!((answer.text().as_str(), answer.end), ("{\"a\":1}", Part::End));
}

#[tokio::test]
async fn connections_are_kept_for_the_next_request_on_both_sides() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed().args(&["--workers", "1"])).await;
        let mut client = Client::connect(bed.http()).await;
        for _ in 0..5 {
            assert_eq!(client.ask("test.com", support::QUESTION).await.text(), COMPLETION);
        }
        bed.upstream.answer(Answer::stream(&[&delta("a"), DONE]));
        client.send(post("test.com", &[], ASK_STREAM)).await;
        assert_eq!(client.response().await.end, Part::End);
        assert_eq!(client.ask("unknown.example.com", support::QUESTION).await.status, 404);
        assert_eq!(client.ask("test.com", support::QUESTION).await.status, 200);
        assert_eq!(
            bed.upstream.connection_count(),
            1,
            "{transport:?}: the provider's connection was not kept"
        );
    }
}

#[tokio::test]
async fn provider_that_closed_an_idle_connection_costs_no_request() {
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "1"])).await;
    for _ in 0..5 {
        let whole = Answer::completion().0.remove(0);
        bed.upstream.answer(Answer(vec![whole, Step::Close]));
        assert_eq!(bed.ask("test.com").await.status, 200);
        // The gateway gets to know that the connection is gone.
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(bed.upstream.connection_count(), 5);
}
