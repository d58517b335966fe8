//! Streams that their provider does not end: the client is told in its API's own words, and then cut.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use core::time::Duration;

use support::bed::{BOTH, Bed, OPEN, Transport, open_with};
use support::client::{Client, Response, request};
use support::frames::{
    Connection, DATA, END_HEADERS, END_STREAM, HEADERS, INITIAL_WINDOW_SIZE, RST_STREAM, WINDOW_UPDATE, block, frame,
};
use support::gateway::Setup;
use support::https::Tls;
use support::outputs::field;
use support::pki::Authority;
use support::upstream::{Answer, COMPLETION, Gate, STREAM_HEAD, Step, Upstream};
use support::wire::{LAST_CHUNK, Part, chunk};
use tokio::io::{AsyncRead, AsyncWrite};

const EVENT: &str = "data: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"half\"}}]}\n\n";

const QUESTION: &str = r#"{"messages":[{"role":"user","content":"hi"}],"stream":true}"#;

async fn open(args: &[&str]) -> Bed {
    let setup = Setup::empty().file("open.yaml", OPEN).args(args);
    Bed::start(Transport::Plain, setup).await
}

fn ask(path: &str) -> Vec<u8> {
    request("POST", path, "test.com", &[], QUESTION)
}

async fn answer(bed: &Bed, path: &str, answer: Answer) -> Response {
    bed.upstream.answer(answer);
    let mut client = Client::connect(bed.http()).await;
    client.send(ask(path)).await;
    client.response().await
}

/// `bytes` in a chunk, and then the crash.
fn crash_after(bytes: &str) -> Answer {
    Answer(vec![
        Step::Send([STREAM_HEAD, &chunk(bytes.as_bytes())].concat()),
        Step::Cut,
    ])
}

/// What `text` has after `begin`: one event, and nothing else.
fn last_event(text: &str, begin: &str) -> (Option<String>, serde_json::Value) {
    let rest = text
        .strip_prefix(begin)
        .unwrap_or_else(|| panic!("{begin:?} is not all of the beginning of {text:?}"));
    let event = rest
        .strip_suffix("\n\n")
        .unwrap_or_else(|| panic!("no whole event: {text:?}"));
    let (name, data) = match event.split_once('\n') {
        Some((name, data)) => (name.strip_prefix("event: ").map(str::to_owned), data),
        None => (None, event),
    };
    let data = data.strip_prefix("data: ").expect("data");
    (
        name,
        serde_json::from_str(data).unwrap_or_else(|e| panic!("{e}: {data}")),
    )
}

#[tokio::test]
async fn a_stream_that_breaks_off_between_two_events_ends_with_an_error_of_its_api() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::empty().file("open.yaml", OPEN)).await;
        for (path, name) in [
            ("/v1/chat/completions", None),
            ("/v1/messages", Some("error")),
            ("/v1/responses", Some("error")),
        ] {
            let answer = answer(&bed, path, crash_after(EVENT)).await;
            assert_eq!((answer.status, &answer.end), (200, &Part::Cut), "{path}");
            let (named, error) = last_event(&answer.text(), EVENT);
            assert_eq!(named.as_deref(), name, "{path}");
            let message = error["error"]["message"].as_str().expect("a message");
            assert!(message.contains("not whole"), "{message}");
            match path {
                "/v1/messages" => {
                    assert_eq!(
                        (&error["type"], &error["error"]["type"]),
                        (&"error".into(), &"api_error".into())
                    );
                }
                _ => assert_eq!(
                    (&error["error"]["type"], &error["error"]["code"]),
                    (&"server_error".into(), &"upstream_reset".into())
                ),
            }
        }
        for line in bed.gateway.log_of(3).await {
            assert_eq!(field(&line, "response_flags"), "UC", "{line}");
            assert_eq!(
                field(&line, "response_code_details"),
                "upstream_reset_after_response_started"
            );
        }
    }
}

#[tokio::test]
async fn each_way_to_end_early_is_told() {
    let bed = open(&["--stream-idle-timeout", "700ms"]).await;
    let gate = Gate::new();
    let head_and = |bytes: &[u8]| [STREAM_HEAD, bytes].concat();
    let malformed = [&chunk(EVENT.as_bytes())[..], b"xyz\r\n"].concat();
    let in_chunk = [b"ffff\r\n", EVENT.as_bytes()].concat();
    for (what, steps, code) in [
        (
            "a crash",
            vec![Step::Send(head_and(&chunk(EVENT.as_bytes()))), Step::Cut],
            "upstream_reset",
        ),
        (
            "a close",
            vec![Step::Send(head_and(&chunk(EVENT.as_bytes()))), Step::Close],
            "upstream_reset",
        ),
        (
            "within a chunk",
            vec![Step::Send(head_and(&in_chunk)), Step::Close],
            "upstream_reset",
        ),
        (
            "a bad chunk",
            vec![Step::Send(head_and(&malformed)), Step::Wait(gate.clone())],
            "upstream_reset",
        ),
        (
            "silence",
            vec![Step::Send(head_and(&chunk(EVENT.as_bytes()))), Step::Wait(gate.clone())],
            "stream_idle_timeout",
        ),
    ] {
        let answer = answer(&bed, "/v1/chat/completions", Answer(steps)).await;
        assert_eq!(answer.end, Part::Cut, "{what}");
        let (_, error) = last_event(&answer.text(), EVENT);
        assert_eq!(error["error"]["code"], code, "{what}");
    }
    let flags: Vec<String> = bed
        .gateway
        .log_of(5)
        .await
        .iter()
        .map(|line| field(line, "response_flags"))
        .collect();
    assert_eq!(flags, ["UC", "UC", "UC", "UC", "SI"]);
}

#[tokio::test]
async fn a_stream_that_takes_longer_than_its_route_grants_says_so() {
    let late = Setup::empty().file("open.yaml", &open_with("timeout: 1s"));
    let bed = Bed::start(Transport::Plain, late).await;
    let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
    for _ in 0..400 {
        steps.push(Step::Send(chunk(EVENT.as_bytes())));
        steps.push(Step::Pause(Duration::from_millis(50)));
    }
    let answer = answer(&bed, "/v1/chat/completions", Answer(steps)).await;
    assert_eq!(answer.end, Part::Cut);
    let text = answer.text();
    let (events, _) = text.split_once("data: {\"error\"").expect("an error");
    let (_, error) = last_event(&text, events);
    assert_eq!(error["error"]["code"], "upstream_response_timeout");
    assert_eq!(events.replace(EVENT, ""), "");
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "UT");
    assert_eq!(field(&line, "bytes_sent"), text.len().to_string());
}

#[tokio::test]
async fn nothing_is_added_where_it_could_be_misread() {
    let bed = open(&[]).await;
    let with = |fields: &str, body: &str| {
        let head = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
        Answer(vec![Step::Send(head.into_bytes()), Step::Close])
    };
    let chunked = |fields: &str| {
        let body = String::from_utf8(chunk(EVENT.as_bytes())).expect("a chunk");
        with(&format!("{fields}\r\ntransfer-encoding: chunked"), &body)
    };
    for (what, answer_of, text) in [
        (
            "half a line",
            crash_after("data: {\"id\":\"c1\",\"cho"),
            "data: {\"id\":\"c1\",\"cho",
        ),
        ("a line", crash_after("data: {\"a\":1}\n"), "data: {\"a\":1}\n"),
        ("a name", crash_after("event: error\n"), "event: error\n"),
        ("half a comment", crash_after(": kee"), ": kee"),
        ("the end", crash_after("data: [DONE]\n"), "data: [DONE]\n"),
        (
            "a length",
            with("content-type: text/event-stream\r\ncontent-length: 9999", EVENT),
            EVENT,
        ),
        (
            "a coding",
            chunked("content-type: text/event-stream\r\ncontent-encoding: gzip"),
            EVENT,
        ),
        ("no events", chunked("content-type: application/json"), EVENT),
    ] {
        let answer = answer(&bed, "/v1/chat/completions", answer_of).await;
        assert_eq!((answer.text().as_str(), answer.end), (text, Part::Cut), "{what}");
    }
    // After a whole comment another event may follow; and what ends as it should is left alone.
    let kept = answer(&bed, "/v1/chat/completions", crash_after(": keep-alive\n\n")).await;
    assert_eq!(
        last_event(&kept.text(), ": keep-alive\n\n").1["error"]["code"],
        "upstream_reset"
    );
    let none = Answer(vec![Step::Send(STREAM_HEAD.to_vec()), Step::Cut]);
    let none = answer(&bed, "/v1/chat/completions", none).await;
    assert_eq!(last_event(&none.text(), "").1["error"]["code"], "upstream_reset");
    let whole = answer(
        &bed,
        "/v1/chat/completions",
        Answer::stream(&[EVENT, "data: [DONE]\n\n"]),
    )
    .await;
    assert_eq!(
        (whole.text(), whole.end),
        (format!("{EVENT}data: [DONE]\n\n"), Part::End)
    );
}

/// An answer that goes on until its connection is closed, which the gate does.
fn until_closed(media: &str, body: &str, gate: &Gate) -> Answer {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\n\r\n{body}");
    Answer(vec![
        Step::Send(head.into_bytes()),
        Step::Wait(gate.clone()),
        Step::Close,
    ])
}

const HALF_EVENT: &str = "data: {\"choices\":[{\"delta\":{\"cont";

#[tokio::test]
async fn an_answer_that_ends_with_its_connection_is_cut_where_it_ends_in_the_middle() {
    let bed = open(&[]).await;
    let half = format!("{EVENT}{HALF_EVENT}");
    let done = format!("{EVENT}data: [DONE]\n\n");
    let cases = [
        ("half an event", "text/event-stream", half.as_str(), Part::Cut),
        (
            "half a JSON text",
            "application/json",
            r#"{"choices":[{"mess"#,
            Part::Cut,
        ),
        ("a whole stream", "text/event-stream", &done, Part::End),
        ("what could be whole", "text/event-stream", EVENT, Part::End),
        ("a whole JSON text", "application/json", COMPLETION, Part::End),
        ("nothing", "application/json", "", Part::End),
        ("no JSON", "application/json", "oops", Part::End),
        ("another media type", "text/plain", HALF_EVENT, Part::End),
    ];
    for (what, media, body, end) in &cases {
        let gate = Gate::new();
        bed.upstream.answer(until_closed(media, body, &gate));
        let mut client = Client::connect(bed.http()).await;
        client.send(ask("/v1/chat/completions")).await;
        assert_eq!(client.head().await.status, 200, "{what}");
        assert_eq!(client.text(body.len()).await, *body, "{what}");
        gate.open();
        assert_eq!(client.part().await, *end, "{what}");
    }
    for (line, (what, _, _, end)) in bed.gateway.log_of(cases.len()).await.iter().zip(&cases) {
        let flag = if *end == Part::Cut { "UC" } else { "-" };
        assert_eq!(field(line, "response_flags"), flag, "{what}: {line}");
    }

    let mut connection = Connection::open(bed.http()).await;
    for (stream, (_, media, body, _)) in [1, 3].into_iter().zip(&cases) {
        let gate = Gate::new();
        gate.open();
        bed.upstream.answer(until_closed(media, body, &gate));
        connection.send(&ask2(stream)).await;
        let text = until_reset(&mut connection, stream).await;
        assert!(body.starts_with(&text), "{text}");
    }
}

#[tokio::test]
async fn a_stream_that_is_fetched_is_told_of_as_one_that_is_made() {
    let bed = open(&[]).await;
    bed.upstream.answer(crash_after(EVENT));
    let mut client = Client::connect(bed.http()).await;
    let fetch = request("GET", "/v1/responses/resp_1?stream=true", "test.com", &[], "");
    client.send(fetch).await;
    let answer = client.response().await;
    assert_eq!(last_event(&answer.text(), EVENT).1["error"]["code"], "upstream_reset");
}

#[tokio::test]
async fn a_plain_hosts_stream_is_cut_without_a_word_of_ours() {
    let upstream = Upstream::plain().await;
    let plain = format!(
        "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers: [{{hosts: ['*'], port: {{name: http, number: 80, protocol: HTTP}}}}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: plain, namespace: istio-system}}
spec:
  hosts: ['*']
  gateways: [gw]
  http: [{{route: [{{destination: {{host: plain.example, port: {{number: 80}}}}}}]}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: plain, namespace: istio-system}}
spec:
  hosts: [plain.example]
  ports: [{{number: 80, name: http, protocol: HTTP}}]
  location: MESH_EXTERNAL
  resolution: STATIC
  endpoints: [{{address: 127.0.0.1, ports: {{http: {}}}}}]
",
        upstream.addr.port()
    );
    let gateway = Setup::empty().file("plain.yaml", &plain).start().await;
    let bed = Bed::of(upstream, gateway);
    let answer = answer(&bed, "/v1/chat/completions", crash_after(EVENT)).await;
    assert_eq!((answer.text().as_str(), answer.end), (EVENT, Part::Cut));
}

/// The head of a question over HTTP/2, and its body.
fn ask2(stream: u32) -> Vec<u8> {
    let head = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"test.com"),
        (":path", b"/v1/chat/completions"),
    ]);
    [
        frame(HEADERS, END_HEADERS, stream, &head),
        frame(DATA, END_STREAM, stream, QUESTION.as_bytes()),
    ]
    .concat()
}

/// What comes on a stream until it is reset; panics when it looks whole.
async fn until_reset(connection: &mut Connection, stream: u32) -> String {
    let mut text = Vec::new();
    loop {
        let (kind, flags, on, payload) = connection.next().await.expect("a connection that goes on");
        match kind {
            DATA if on == stream => {
                assert_eq!(flags & END_STREAM, 0, "half an answer looks whole");
                text.extend(payload);
            }
            HEADERS if on == stream => assert_eq!(flags & END_STREAM, 0, "half an answer looks whole"),
            RST_STREAM if on == stream => return String::from_utf8(text).expect("text"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn over_http2_the_event_comes_before_the_reset() {
    let bed = open(&[]).await;
    let mut connection = Connection::open(bed.http()).await;
    for stream in [1, 3, 5] {
        bed.upstream.answer(crash_after(EVENT));
        connection.send(&ask2(stream)).await;
        let text = until_reset(&mut connection, stream).await;
        assert_eq!(last_event(&text, EVENT).1["error"]["code"], "upstream_reset");
    }
    bed.upstream.answer(crash_after("data: {\"id\":"));
    connection.send(&ask2(7)).await;
    assert_eq!(until_reset(&mut connection, 7).await, "data: {\"id\":");
}

#[tokio::test]
async fn over_http2_the_event_waits_for_a_window_but_not_for_ever() {
    let bed = open(&["--stream-idle-timeout", "1500ms"]).await;
    let first = u32::try_from(EVENT.len()).expect("a window");
    // Room for none of the last event, and for a part of it.
    for (more, grants) in [(0, true), (10, true), (0, false), (10, false)] {
        bed.upstream.answer(crash_after(EVENT));
        let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, first + more)]).await;
        connection.send(&ask2(1)).await;
        let asked = bed.upstream.request().await;
        if grants {
            bed.upstream.closed(asked.connection).await;
            connection
                .send(&frame(WINDOW_UPDATE, 0, 1, &4096_u32.to_be_bytes()))
                .await;
        }
        let text = until_reset(&mut connection, 1).await;
        assert_eq!(text.contains("upstream_reset"), grants, "{text}");
    }
    for line in bed.gateway.log_of(4).await {
        assert_eq!(field(&line, "response_flags"), "UC", "{line}");
    }
}

/// All that is left of an answer whose head was read, by a client that has let the gateway fill the socket first.
async fn read_late<S: AsyncRead + AsyncWrite + Unpin>(client: &mut Client<S>) -> String {
    // A pause, not a wait: the gateway stops reading the provider some time in it, or later.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut read = Vec::new();
    loop {
        match client.part().await {
            Part::Data(data) => read.extend(data),
            end => {
                assert_eq!(end, Part::Cut);
                return String::from_utf8(read).expect("text");
            }
        }
    }
}

/// As many events as no socket's buffers hold.
fn many_events() -> (Answer, String) {
    let event = format!("data: {{\"x\":\"{}\"}}\n\n", "x".repeat(64 * 1024));
    let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
    steps.extend((0..400).map(|_| Step::Send(chunk(event.as_bytes()))));
    steps.push(Step::Close);
    (Answer(steps), event.repeat(400))
}

#[tokio::test]
async fn a_client_that_reads_slowly_is_told_when_it_comes_to_the_end() {
    let bed = open(&[]).await;
    let (answer, text) = many_events();
    bed.upstream.answer(answer);
    let mut client = Client::connect(bed.http()).await;
    client.send(ask("/v1/chat/completions")).await;
    assert_eq!(client.head().await.status, 200);
    let read = read_late(&mut client).await;
    assert_eq!(last_event(&read, &text).1["error"]["code"], "upstream_reset");
}

#[tokio::test]
async fn a_client_behind_tls_is_told_too_and_sees_no_end() {
    let ca = Authority::new();
    let issued = ca.issue("test.com", 1);
    let dir = Setup::empty();
    let chain = dir.aside("cert.pem", &issued.certificate);
    let key = dir.aside("key.pem", &issued.key);
    let server = format!(
        "servers: [{{hosts: ['*'], port: {{name: https, number: 443, protocol: HTTPS}}, tls: {{mode: SIMPLE, serverCertificate: {}, privateKey: {}}}}}]",
        chain.display(),
        key.display()
    );
    let plain = "servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]";
    let bed = Bed::start(Transport::Plain, dir.file("open.yaml", &OPEN.replace(plain, &server))).await;
    let (answer, text) = many_events();
    bed.upstream.answer(answer);
    let mut client = Tls::new(&ca).client(bed.gateway.https, "test.com").await;
    client.send(ask("/v1/chat/completions")).await;
    assert_eq!(client.head().await.status, 200);
    let read = read_late(&mut client).await;
    assert_eq!(last_event(&read, &text).1["error"]["code"], "upstream_reset");
    assert!(client.ends().await.is_err(), "a cut that looks like an end");
}

#[tokio::test]
async fn a_client_that_left_is_not_waited_for() {
    let bed = open(&[]).await;
    let gate = Gate::new();
    bed.upstream.answer(Answer(vec![
        Step::Send([STREAM_HEAD, &chunk(EVENT.as_bytes())].concat()),
        Step::Wait(gate.clone()),
        Step::Send(LAST_CHUNK[..1].to_vec()),
        Step::Cut,
    ]));
    let mut client = Client::connect(bed.http()).await;
    client.send(ask("/v1/chat/completions")).await;
    assert_eq!(client.head().await.status, 200);
    client.text(EVENT.len()).await;
    client.reset();
    gate.open();
    let line = bed.gateway.log_of(1).await.remove(0);
    assert!(
        ["DC", "UC"].contains(&field(&line, "response_flags").as_str()),
        "{line}"
    );
}
