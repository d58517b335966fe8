//! What is too much, too slow or too ambiguous is refused, in the API's own words; what is only large passes.

#![allow(clippy::panic, clippy::expect_used, reason = "a helper of tests fails by panicking")]
#![allow(clippy::indexing_slicing, reason = "a test may panic")]

#[cfg(test)]
mod support;

use core::time::Duration;
use std::time::Instant;

use serde_json::json;
use support::bed::{BOTH, Bed, Transport, assert_spliced};
use support::client::{Client, Response, post, request, send_raw};
use support::frames::{self, End};
use support::gateway::Setup;
use support::upstream::{Answer, Gate};
use support::wire::Framing;
use support::{KEY, QUESTION, within_patience};

/// What a running stream may take: a half more than is measured, and less than in huge pages.
const STREAM_BYTES_MAX: u64 = 64 * 1024;

/// The default limit of a request body.
const BODY_MAX: usize = 32 * 1024 * 1024;

#[tokio::test]
async fn body_announced_over_the_limit_is_413_before_it_is_sent() {
    let bed = Bed::seed().await;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: test.com\r\ncontent-length: {}\r\n\r\n",
        BODY_MAX + 1
    );
    send_raw(bed.http(), head).await.expect("an answer").openai_error(413);
    bed.assert_no_contact();
}

#[tokio::test]
async fn body_that_grows_over_the_limit_is_413() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    client
        .send("POST / HTTP/1.1\r\nhost: test.com\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let piece = support::wire::chunk(&[b' '; 64 * 1024]);
    for _ in 0..=BODY_MAX / (64 * 1024) {
        if client.try_send(&piece).await.is_err() {
            break;
        }
    }
    client.response().await.openai_error(413);
    bed.assert_no_contact();
}

/// A question with an image of `size` bytes in it, as a data URL.
fn large(size: usize) -> String {
    let image: String = "QUJD0129+/".chars().cycle().take(size).collect();
    format!("{{\"messages\":[{{\"role\":\"user\",\"content\":\"data:image/png;base64,{image}\"}}]}}")
}

#[tokio::test]
async fn twenty_megabytes_pass_unchanged_and_cost_little_more_than_themselves() {
    let body = large(20_000_000);
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        assert_eq!(bed.ask("test.com").await.status, 200);
        bed.upstream.request().await;
        let before = bed.gateway.resident();
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], &body)).await;
        assert_eq!(client.response().await.status, 200);
        let seen = bed.upstream.request().await;
        assert_eq!(seen.framing, Framing::Length(seen.body.len()));
        assert_spliced(&body, &seen.text());
        let added = seen.text().len() - body.len();
        assert!(added < 100, "{added} bytes were added");
        assert!(seen.text().contains("\"model\":\"qwen1.5-72b-chat\"") || seen.json()["model"] == "qwen1.5-72b-chat");
        let grown = bed.gateway.peak().saturating_sub(before);
        println!("{transport:?}: a body of {} bytes cost {grown}", body.len());
        let most = body.len() as u64 + 12 * 1024 * 1024;
        assert!(
            grown < most,
            "{transport:?}: the process grew by {grown} bytes for a body of {}",
            body.len()
        );
    }
}

#[tokio::test]
async fn large_body_in_chunks_passes_unchanged_with_its_length() {
    let body = large(300_000);
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    client
        .send("POST / HTTP/1.1\r\nhost: test.com\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    for piece in body.as_bytes().chunks(10_007) {
        client.send(support::wire::chunk(piece)).await;
    }
    client.send(support::wire::LAST_CHUNK).await;
    assert_eq!(client.response().await.status, 200);
    let seen = bed.upstream.request().await;
    assert_eq!(seen.framing, Framing::Length(seen.body.len()));
    assert_spliced(&body, &seen.text());
}

#[tokio::test]
async fn client_that_expects_100_continue_is_told_to() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    let head = format!(
        "POST / HTTP/1.1\r\nhost: test.com\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        QUESTION.len()
    );
    client.send(head).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    bed.assert_no_contact();
    client.send(QUESTION).await;
    assert_eq!(client.response().await.status, 200);
    assert_eq!(bed.upstream.request().await.header("expect"), None);
}

#[tokio::test]
async fn client_denied_or_lost_is_answered_without_its_body() {
    let bed = Bed::start(Transport::Plain, Setup::seed().with_policy("127.0.0.1")).await;
    for (host, status) in [("test.com", 403), ("unknown.example.com", 404)] {
        let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 1000000\r\n\r\n");
        assert_eq!(
            send_raw(bed.http(), head).await.expect("an answer").status,
            status,
            "{host}"
        );
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn flood_of_header_bytes_is_431() {
    let bed = Bed::seed().await;
    for bytes in [70_000, 1_000_000] {
        let flood = request("POST", "/", "test.com", &[("x-flood", &"a".repeat(bytes))], QUESTION);
        assert_eq!(
            send_raw(bed.http(), flood).await.expect("an answer").status,
            431,
            "{bytes} bytes"
        );
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn flood_of_header_fields_is_431() {
    let bed = Bed::seed().await;
    let names: Vec<String> = (0..150).map(|n| format!("x-flood-{n}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let flood = request("POST", "/", "test.com", &fields, QUESTION);
    assert_eq!(send_raw(bed.http(), flood).await.expect("an answer").status, 431);
    bed.assert_no_contact();
}

/// Answers without an upstream.
const ANSWERS: &str = "
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: answers, namespace: istio-system}
spec:
  hosts: [answers.test]
  gateways: [istio-system/ingress-gw]
  http: [{directResponse: {status: 200}}]
";

/// Method, target and fields.
type Head<'h> = (&'h str, &'h str, &'h [(&'h str, &'h str)]);

/// What is answered to a head: a status, or an error of HTTP/2.
async fn answered(bed: &Bed, is_http2: bool, method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    if !is_http2 {
        let lines = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let lines = lines.collect::<String>();
        let head = format!("{method} {target} HTTP/1.1\r\nhost: answers.test\r\n{lines}\r\n");
        return send_raw(bed.http(), head).await.expect("an answer").status.to_string();
    }
    let start = [
        (":method", method),
        (":scheme", "http"),
        (":authority", "answers.test"),
        (":path", target),
    ];
    let names: Vec<String> = fields.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    let fields = names
        .iter()
        .map(String::as_str)
        .zip(fields.iter().map(|(_, value)| *value));
    let block: Vec<(&str, &[u8])> = start
        .into_iter()
        .chain(fields)
        .map(|(name, value)| (name, value.as_bytes()))
        .collect();
    let mut connection = frames::Connection::open(bed.http()).await;
    let bytes = frames::frame(
        frames::HEADERS,
        frames::END_HEADERS | frames::END_STREAM,
        1,
        &frames::block(&block),
    );
    connection.send(&bytes).await;
    match connection.end(1).await {
        // HPACK's table does not have it.
        End::Answered(0) => "431".to_owned(),
        End::Answered(status) => status.to_string(),
        End::Reset(frames::PROTOCOL_ERROR) => "PROTOCOL_ERROR".to_owned(),
        End::GoneAway if connection.goaway == Some(frames::PROTOCOL_ERROR) => "PROTOCOL_ERROR".to_owned(),
        other => panic!("{other:?}"),
    }
}

/// What the same gateway explains of it.
async fn explained(bed: &Bed, is_http2: bool, method: &str, target: &str, fields: &[(&str, &str)]) -> String {
    let mut question = json!({"url": target, "method": method, "headers": fields});
    match is_http2 {
        true => question["authority"] = json!("answers.test"),
        false => question["headers"] = json!([&[("host", "answers.test")], fields].concat()),
    }
    let asked = request("POST", "/explain", "localhost", &[], question.to_string());
    let answer = send_raw(bed.gateway.admin, asked).await.expect("an explanation").json();
    let Some(why) = answer["error"].as_str() else {
        return answer["verdict"]["status"].to_string();
    };
    let (_, answer) = why.split_once("a gateway answers ").expect(why);
    answer.split(' ').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn explain_says_of_every_head_what_is_answered() {
    let setup = Setup::seed().file("answers.yaml", ANSWERS);
    let bed = Bed::start(Transport::Plain, setup).await;
    let long = "a".repeat(70_000);
    let more = [("x-a", "1"); 101];
    let length = ("content-length", "0");
    let chunked = ("transfer-encoding", "chunked");
    let heads: &[Head<'_>] = &[
        ("GET", "/", &[]),
        ("get", "/", &[]),
        ("GE T", "/", &[]),
        ("G\"T", "/", &[]),
        ("", "/", &[]),
        ("OPTIONS", "*", &[]),
        ("GET", "*", &[]),
        ("GET", "/a\"{|}^[\\]'", &[]),
        ("GET", "/?`{|}^[\\]'", &[]),
        ("GET", "/?a=\"b\"", &[]),
        ("GET", "/?a=<", &[]),
        ("GET", "/?a=>", &[]),
        ("GET", "/a<", &[]),
        ("GET", "/a>", &[]),
        ("GET", "/a`", &[]),
        ("GET", "/a b", &[]),
        ("GET", "/a\u{1}", &[]),
        ("GET", "/é", &[]),
        ("GET", "/a#\"<", &[]),
        ("GET", "/a#b c", &[]),
        ("GET", "/a#\t", &[]),
        ("GET", "/", &more[..99]),
        ("GET", "/", &more[..100]),
        ("GET", "/", &more),
        ("GET", "/", &[("x-a", "a\u{1}")]),
        ("GET", "/", &[("x a", "a")]),
        ("GET", "/", &[("Connection", "close")]),
        ("GET", "/", &[("keep-alive", "timeout=5")]),
        ("GET", "/", &[("proxy-connection", "close")]),
        ("GET", "/", &[("upgrade", "h2c")]),
        ("GET", "/", &[("te", "gzip")]),
        ("GET", "/", &[("te", "trailers")]),
        ("POST", "/", &[length]),
        ("POST", "/", &[length, chunked]),
        ("POST", "/", &[length, length]),
        ("POST", "/", &[("content-length", "+0")]),
        ("POST", "/", &[("transfer-encoding", "gzip")]),
        ("POST", "/", &[chunked, chunked]),
        ("GET", "/", &[("x-a", &long)]),
    ];
    for (method, target, fields) in heads {
        for is_http2 in [false, true] {
            let what = format!(
                "{method:?} {target:?} {:.60?} over HTTP/{}",
                fields,
                1 + u8::from(is_http2)
            );
            // A length is held against the body there, and a frame has 16 KiB.
            if is_http2 && (fields.contains(&("content-length", "+0")) || fields.contains(&("x-a", &long))) {
                continue;
            }
            let answered = answered(&bed, is_http2, method, target, fields).await;
            assert_eq!(
                explained(&bed, is_http2, method, target, fields).await,
                answered,
                "{what}"
            );
        }
    }
}

/// A request whose head is `lines` and whose body is the seed's question.
fn raw(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n{QUESTION}", lines.join("\r\n")).into_bytes()
}

#[tokio::test]
async fn heads_that_two_readers_could_read_differently_are_refused() {
    let length = format!("content-length: {}", QUESTION.len());
    let plus = format!("content-length: +{}", QUESTION.len());
    let bed = Bed::seed().await;
    let post = "POST / HTTP/1.1";
    let host = "host: test.com";
    for (status, what, lines) in [
        (
            400,
            "two hosts",
            vec![post, host, "host: dashscope.aliyuncs.com", &length],
        ),
        (400, "one host twice", vec![post, host, host, &length]),
        (400, "no host", vec![post, &length]),
        (400, "userinfo in the host", vec![post, "host: user@test.com", &length]),
        (
            400,
            "a list of hosts",
            vec![post, "host: test.com, dashscope.aliyuncs.com", &length],
        ),
        (400, "a path in the host", vec![post, "host: test.com/x", &length]),
        (400, "two lengths", vec![post, host, &length, "content-length: 5"]),
        (
            400,
            "length and chunked",
            vec![post, host, &length, "transfer-encoding: chunked"],
        ),
        (400, "a signed length", vec![post, host, &plus]),
        (400, "blank before the colon", vec![post, "host : test.com", &length]),
        (400, "folded header", vec![post, host, "x-a: 1", " 2", &length]),
        (400, "NUL in a value", vec![post, host, "x-a: \0", &length]),
        (400, "target without a slash", vec!["POST x HTTP/1.1", host, &length]),
        (400, "NUL in the path", vec!["POST /%00 HTTP/1.1", host, &length]),
        (426, "HTTP/1.0", vec!["POST / HTTP/1.0", host, &length]),
    ] {
        println!("{what}");
        let answer = send_raw(bed.http(), raw(&lines)).await.expect("an answer");
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn transfer_codings_other_than_chunked_are_refused() {
    let bed = Bed::seed().await;
    for coding in ["gzip, chunked", "identity", "chunked, chunked", "xchunked"] {
        let line = format!("transfer-encoding: {coding}");
        let head = raw(&["POST / HTTP/1.1", "host: test.com", &line]);
        let answer = send_raw(bed.http(), head).await.expect("an answer");
        assert!(matches!(answer.status, 400 | 501), "{coding}: {}", answer.status);
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn bytes_after_a_refused_body_are_no_second_request() {
    let bed = Bed::start(Transport::Plain, Setup::seed().with_policy("127.0.0.1")).await;
    let smuggled = post("dashscope.aliyuncs.com", &[], QUESTION);
    let mut client = Client::connect(bed.http()).await;
    let _ = client.try_send(request("POST", "/", "test.com", &[], &smuggled)).await;
    assert_eq!(client.response().await.status, 403);
    tokio::time::sleep(Duration::from_millis(200)).await;
    bed.assert_no_contact();
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    let hosts = ["test.com", "unknown.example.com", "test.com"];
    client.send(hosts.map(|host| post(host, &[], QUESTION)).concat()).await;
    for status in [200, 404, 200] {
        assert_eq!(client.response().await.status, status);
    }
}

#[tokio::test]
async fn absolute_target_counts_before_the_host_field() {
    let bed = Bed::seed().await;
    let length = format!("content-length: {}", QUESTION.len());
    let absolute = raw(&["POST http://test.com/ HTTP/1.1", "host: test.com", &length]);
    assert_eq!(send_raw(bed.http(), absolute).await.expect("an answer").status, 200);
    bed.upstream.request().await;
    let unknown = raw(&["POST http://unknown.example.com/ HTTP/1.1", "host: test.com", &length]);
    let answer = send_raw(bed.http(), unknown).await.expect("an answer");
    assert!(
        matches!(answer.status, 400 | 404),
        "the Host must not win over the target: {}",
        answer.status
    );
    assert_eq!(bed.upstream.request_count(), 1);
}

#[tokio::test]
async fn head_that_never_ends_is_given_up() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    client.send("POST / HTTP/1.1\r\nhost: test.com\r\n").await;
    let start = Instant::now();
    // One byte a second: a limit on the pause between two reads would never end this.
    let drip = async {
        while start.elapsed() < Duration::from_secs(25) {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if client.try_send("x").await.is_err() {
                return true;
            }
        }
        false
    };
    assert!(
        drip.await,
        "a head that drips in was still read after {:?}",
        start.elapsed()
    );
    assert!(start.elapsed() > Duration::from_secs(2), "given up too soon");
    if let Some(Response { status, .. }) = client.try_response().await {
        assert_eq!(status, 408);
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn errors_of_ours_are_in_the_apis_shape_and_say_what_is_wrong() {
    let bed = Bed::seed().await;
    let error = bed.ask_body("test.com", "[]").await.openai_error(400);
    assert_eq!(error["type"], "invalid_request_error");
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.len() > 10 && !message.contains(KEY), "{message}");
    let error = bed
        .ask_body("test.com", r#"{"model":"a","model":"b"}"#)
        .await
        .openai_error(400);
    assert!(
        error["code"].is_string(),
        "a code tells programs what is wrong: {error}"
    );
}

#[tokio::test]
async fn request_ids_are_unique() {
    let bed = Bed::seed().await;
    let mut ids = Vec::new();
    for host in ["test.com", "test.com", "unknown.example.com"] {
        let answer = bed.ask(host).await;
        ids.push(answer.header("x-request-id").expect("x-request-id").to_owned());
    }
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3, "{ids:?}");
}

/// Opens connections that have each been answered once and are silent since.
///
/// A few at a time: a connection is whole, with some 20 KiB, for a moment after its answer. Where hundreds are at once,
/// the allocator keeps what it likes of that for a while, which is up to as much as the bound for the idle ones. How
/// much, another test says.
async fn open_idle(bed: &Bed, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        if clients.len() % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        let mut client = Client::connect(bed.http()).await;
        assert_eq!(client.ask("unknown.example.com", "{}").await.status, 404);
        clients.push(client);
    }
    clients
}

/// The least memory of its own that a gateway at rest has for some seconds, in which it gives back what it does not need.
async fn settled(bed: &Bed) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..12 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        least = least.min(bed.gateway.anonymous());
    }
    least
}

#[tokio::test]
async fn idle_connections_cost_little() {
    const COUNT: usize = 400;
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "1"])).await;
    let first = open_idle(&bed, COUNT).await;
    let before = settled(&bed).await;
    let second = open_idle(&bed, COUNT).await;
    let grown = settled(&bed).await.saturating_sub(before);
    // 9,000 connections may cost 100 MiB. Twice as much is allowed for so few, since memory comes in pages.
    let most = 2 * COUNT * (100 * 1024 * 1024 / 9_000);
    let count = first.len() + second.len();
    println!("{} bytes per idle connection", grown / COUNT as u64);
    assert!(
        grown < most as u64,
        "{grown} bytes for the second half of {count} idle connections"
    );
}

#[tokio::test]
async fn streams_that_run_take_no_memory_that_nobody_wrote_to() {
    const COUNT: usize = 200;
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "1"])).await;
    let gate = Gate::new();
    let held = gate.clone();
    bed.upstream
        .usually(move |_| Answer::gated_stream(&["data: 1\n\n", "data: 2\n\n"], &held));
    let before = bed.gateway.anonymous();
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        let mut client = Client::connect(bed.http()).await;
        client.send(post("test.com", &[], QUESTION)).await;
        client.head().await;
        clients.push(client);
    }
    let each = bed.gateway.anonymous().saturating_sub(before) / COUNT as u64;
    println!("{each} bytes per stream");
    assert!(each < STREAM_BYTES_MAX, "{each} bytes per stream");
    let status = std::fs::read_to_string(format!("/proc/{}/status", bed.gateway.pid())).expect("a status");
    assert!(!status.contains("THP_enabled:\t1"), "{status}");
    gate.open();
}

#[tokio::test]
async fn what_a_burst_took_is_given_back_while_nobody_asks_for_anything() {
    const COUNT: usize = 800;
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "1"])).await;
    let before = bed.gateway.resident();
    let mut clients = Vec::new();
    for _ in 0..COUNT {
        clients.push(Client::connect(bed.http()).await);
    }
    // All of them at once, so that all are whole at once.
    let question = post("unknown.example.com", &[], "{}");
    for client in &mut clients {
        client.send(&question).await;
    }
    for client in &mut clients {
        assert_eq!(client.response().await.status, 404);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    let peak = bed.gateway.peak().saturating_sub(before);
    let kept = bed.gateway.resident().saturating_sub(before);
    println!("{COUNT} connections took {peak} bytes, and {kept} later");
    assert!(kept < peak / 2, "{kept} of {peak} bytes are still there");
}

#[tokio::test]
async fn connections_beyond_their_limit_are_closed_and_counted_and_others_go_on() {
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--max-connections", "3"])).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(bed.http()).await;
        assert_eq!(client.ask("unknown.example.com", "{}").await.status, 404);
        clients.push(client);
    }
    let mut surplus = Client::connect(bed.http()).await;
    assert!(surplus.closes().await);
    let metrics = bed.gateway.metrics().await;
    let count = |name| {
        let mut samples = metrics.iter().filter(|sample| sample.name == name);
        samples.next().map(|sample| sample.value)
    };
    assert_eq!(count("lockgate_downstream_connections_refused_total"), Some(1.0));
    assert_eq!(count("lockgate_downstream_connections"), Some(3.0));
    for client in &mut clients {
        assert_eq!(client.ask("unknown.example.com", "{}").await.status, 404);
    }
    // Room again, once the gateway has seen that one has left.
    clients.pop();
    let question = post("unknown.example.com", &[], "{}");
    let answered = within_patience("room for a connection", async {
        loop {
            let mut next = Client::connect(bed.http()).await;
            // A connection that is refused may already be closed.
            if next.try_send(&question).await.is_ok()
                && let Some(answer) = next.try_response().await
            {
                break answer.status;
            }
        }
    });
    assert_eq!(answered.await, 404);
}
