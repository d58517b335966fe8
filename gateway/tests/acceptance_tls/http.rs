//! HTTP in TLS: streams, bodies, many requests on one connection, and the way there from plain text.

use core::time::Duration;

use http_body_util::BodyExt as _;

use crate::case::{all_gone, gateway, secret_of, simple, start};
use crate::support::bed::Bed;
use crate::support::client::{Client, post, request};
use crate::support::gateway::Setup;
use crate::support::https::{Tls, VERSIONS};
use crate::support::outputs::field;
use crate::support::pki::Authority;
use crate::support::upstream::{Answer, Gate, STREAM_HEAD, Step};
use crate::support::wire::{Part, chunk};
use crate::support::{QUESTION, within_patience};

const USAGE: &str =
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":11,\"completion_tokens\":7,\"total_tokens\":18}}\n\n";
const EVENTS: [&str; 4] = ["data: {\"choices\":[]}\n\n", "data: {}\n\n", USAGE, "data: [DONE]\n\n"];

async fn bed() -> (Authority, Bed) {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1))).await;
    (ca, bed)
}

#[tokio::test]
async fn each_event_arrives_while_the_provider_still_waits() {
    let (ca, bed) = bed().await;
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], None);
        let gate = Gate::new();
        bed.upstream.answer(Answer::gated_stream(&EVENTS, &gate));
        let mut client = tls.client(bed.gateway.https, "a.test").await;
        client.send(post("a.test", &[], QUESTION)).await;
        assert_eq!(client.head().await.status, 200);
        for event in EVENTS {
            assert_eq!(client.text(event.len()).await, event);
            gate.open();
        }
        assert_eq!(client.part().await, Part::End);

        bed.upstream.answer(Answer::gated_stream(&EVENTS, &gate));
        let mut http2 = tls.http2(bed.gateway.https, "a.test").await;
        let mut body = http2.post("a.test", QUESTION).await.expect("an answer").into_body();
        for event in EVENTS {
            let frame = within_patience("an event", body.frame()).await.expect("an event");
            assert_eq!(frame.expect("a frame").into_data().expect("data"), event);
            gate.open();
        }
        let rest = within_patience("the end", body.collect()).await.expect("an end");
        assert!(rest.to_bytes().is_empty());
    }
    for line in bed.gateway.log_of(4).await {
        assert_eq!(field(&line, "request_prompt_tokens"), "11", "{line}");
        assert_eq!(field(&line, "request_completion_tokens"), "7", "{line}");
    }
}

#[tokio::test]
async fn requests_of_one_connection_do_not_wait_for_each_other() {
    let (ca, bed) = bed().await;
    let mut http2 = Tls::new(&ca).http2(bed.gateway.https, "a.test").await;
    let gate = Gate::new();
    bed.upstream.answer(Answer::gated_stream(&EVENTS, &gate));
    let mut slow = http2.post("a.test", QUESTION).await.expect("an answer").into_body();
    within_patience("an event", slow.frame())
        .await
        .expect("an event")
        .expect("a frame");
    for _ in 0..20 {
        let answer = http2.post("a.test", QUESTION).await.expect("an answer");
        let body = within_patience("a body", answer.into_body().collect())
            .await
            .expect("a body");
        assert!(!body.to_bytes().is_empty());
    }
    (0..4).for_each(|_| gate.open());
    let rest = within_patience("the rest", slow.collect()).await.expect("the rest");
    assert_eq!(rest.to_bytes(), EVENTS[1..].concat());
}

#[tokio::test]
async fn large_bodies_are_intact_in_both_directions() {
    let (ca, bed) = bed().await;
    let text: String = (0..4 * 1024 * 1024_u32)
        .map(|n| char::from(b'a' + u8::try_from(n % 23).expect("small")))
        .collect();
    let question = format!("{{\"messages\": [{{\"role\": \"user\", \"content\": \"{text}\"}}]}}");
    let answer = format!("{{\"text\":\"{text}\"}}");
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], None);
        let whole = Answer::whole("200 OK", &[("content-type", "application/json")], &answer);
        bed.upstream.answer(whole.clone());
        let mut client = tls.client(bed.gateway.https, "a.test").await;
        let got = client.ask("a.test", &question).await;
        assert_eq!(got.end, Part::End);
        assert!(got.text() == answer, "a changed answer");
        assert!(
            bed.upstream.request().await.text().contains(&text),
            "a changed question"
        );

        bed.upstream.answer(whole);
        let mut http2 = tls.http2(bed.gateway.https, "a.test").await;
        let got = http2.post("a.test", question.clone()).await.expect("an answer");
        let got = within_patience("a body", got.into_body().collect())
            .await
            .expect("a body");
        assert!(got.to_bytes() == answer, "a changed answer");
        assert!(
            bed.upstream.request().await.text().contains(&text),
            "a changed question"
        );
    }
}

#[tokio::test]
async fn connection_that_rests_goes_on() {
    let (ca, bed) = bed().await;
    for version in VERSIONS {
        let mut client = Tls::with(&ca, &[version], None)
            .client(bed.gateway.https, "a.test")
            .await;
        for pause in [0, 350, 10, 250, 0, 120] {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
        }
        // Apart while it rests, and the next head in pieces.
        tokio::time::sleep(Duration::from_millis(250)).await;
        for piece in post("a.test", &[], QUESTION).chunks(40) {
            client.send(piece).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(client.response().await.status, 200);
        client.send(post("a.test", &[], QUESTION).repeat(5)).await;
        for _ in 0..5 {
            assert_eq!(client.response().await.status, 200);
        }
    }
    assert_eq!(bed.upstream.request_count(), 24);
}

#[tokio::test]
async fn last_answer_ends_with_goodbye() {
    let (ca, bed) = bed().await;
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], None);
        let closing = post("a.test", &[("connection", "close")], QUESTION);
        let too_large = b"GET / HTTP/1.1\r\nhost: a.test\r\nx: \0\r\n\r\n".to_vec();
        for (request, status) in [(closing, 200), (too_large, 400)] {
            let mut client = tls.client(bed.gateway.https, "a.test").await;
            client.send(request).await;
            assert_eq!(client.response().await.status, status);
            client.ends().await.expect("an end that is no cut");
        }
    }
    all_gone(&bed.gateway).await;
}

#[tokio::test]
async fn provider_that_is_cut_is_a_cut_for_the_client() {
    let (ca, bed) = bed().await;
    let tls = Tls::new(&ca);
    let half = || {
        Answer(vec![
            Step::Send([STREAM_HEAD, &chunk(b"data: half\n\n")].concat()),
            Step::Cut,
        ])
    };
    bed.upstream.answer(half());
    let mut client = tls.client(bed.gateway.https, "a.test").await;
    client.send(post("a.test", &[], QUESTION)).await;
    let answer = client.response().await;
    let told = answer.text();
    let error = told
        .strip_prefix("data: half\n\ndata: ")
        .expect("what came, and why no more did");
    assert!(error.contains("upstream_reset") && error.ends_with("\n\n"), "{told}");
    assert_eq!(answer.end, Part::Cut);

    // Without a framing of its own only the end of the connection tells.
    bed.upstream.answer(half());
    let mut client = tls.client(bed.gateway.https, "a.test").await;
    let old = String::from_utf8(post("a.test", &[], QUESTION))
        .expect("text")
        .replace("HTTP/1.1", "HTTP/1.0");
    client.send(old).await;
    if let Some(head) = client.try_head().await
        && head.status == 200
    {
        assert_eq!(client.text(12).await, "data: half\n\n");
        client.ends().await.expect_err("an end that looks whole");
    }

    bed.upstream.answer(half());
    let mut http2 = tls.http2(bed.gateway.https, "a.test").await;
    let body = http2.post("a.test", QUESTION).await.expect("an answer").into_body();
    within_patience("the end", body.collect())
        .await
        .expect_err("an end that looks whole");
}

#[tokio::test]
async fn client_that_leaves_cancels_the_provider() {
    let (ca, bed) = bed().await;
    for (index, politely) in [true, false].into_iter().enumerate() {
        bed.upstream.answer(Answer::gated_stream(&EVENTS, &Gate::new()));
        let mut client = Tls::new(&ca).client(bed.gateway.https, "a.test").await;
        client.send(post("a.test", &[], QUESTION)).await;
        client.head().await;
        if politely {
            client.stream().get_mut().1.send_close_notify();
            let _ = client.try_send(b"").await;
        } else {
            client.stream().get_ref().0.set_zero_linger().expect("linger");
        }
        drop(client);
        bed.upstream.closed(index).await;
    }
    all_gone(&bed.gateway).await;
}

#[tokio::test]
async fn plain_text_leads_to_tls() {
    let ca = Authority::new();
    let issued = ca.issue("a.test", 1);
    let mut text = gateway(&[("a.test, dashscope.aliyuncs.com", "mode: SIMPLE, credentialName: a")]);
    text.push_str("  - {hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}, tls: {httpsRedirect: true}}\n");
    let bed = start(
        Setup::empty()
            .file("route.yaml", crate::case::ROUTE)
            .file("gateway.yaml", &text)
            .file("a.yaml", &secret_of("a", &issued)),
    )
    .await;
    let mut plain = Client::connect(bed.http()).await;
    plain.send(request("GET", "/x?y=1", "a.test", &[], "")).await;
    let answer = plain.response().await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some("https://a.test/x?y=1"))
    );
    bed.assert_no_contact();
    let answer = Tls::new(&ca)
        .client(bed.gateway.https, "a.test")
        .await
        .ask("a.test", QUESTION)
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn servers_of_one_port_lead_to_one_provider() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let setup = simple(&ca.issue("*.corp.test", 1));
    let roots = setup.aside("clients.pem", &clients.pem());
    let mutual = format!("mode: MUTUAL, credentialName: a, caCertificates: {}", roots.display());
    let servers = [
        (
            "open.corp.test, dashscope.aliyuncs.com",
            "mode: SIMPLE, credentialName: a",
        ),
        ("closed.corp.test, '*.aliyuncs.com'", &*mutual),
        ("alone.corp.test", "mode: SIMPLE, credentialName: a"),
    ];
    let bed = start(setup.file("gateway.yaml", &gateway(&servers))).await;
    let own = clients.issue("bot.test", 2);
    for (host, own, status) in [
        ("open.corp.test", None, 200),
        ("closed.corp.test", Some(&own), 200),
        ("alone.corp.test", None, 404),
    ] {
        let tls = Tls::with(&ca, &VERSIONS, own);
        let answer = tls.ask(bed.gateway.https, host, &post(host, &[], QUESTION)).await;
        assert_eq!(answer.expect("an answer").status, status, "{host}");
    }
    assert_eq!(bed.upstream.request_count(), 2);
    let said = bed.gateway.read("stderr");
    assert!(said.contains("rewrite-without-route"), "{said}");
    assert!(
        said.contains("to the `hosts` of the Gateway's server on port 443"),
        "{said}"
    );
}

#[tokio::test]
async fn scheme_of_a_request_is_that_of_its_connection() {
    let (ca, bed) = bed().await;
    let mut client = Tls::new(&ca).client(bed.gateway.https, "a.test").await;
    client
        .send(request("POST", "http://a.test/", "a.test", &[], QUESTION))
        .await;
    assert_eq!(client.response().await.status, 400);
    bed.assert_no_contact();
}
