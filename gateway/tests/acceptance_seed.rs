//! The walk-through that the project starts from, as acceptance cases.
//!
//! A1–A14: provider, gateway and route as printed (steps 1 to 4). B1–B10: the
//! policy of step 5 on top. The files are the seed's own, byte for byte; a
//! ServiceEntry and a DestinationRule lead the provider's host to a recording
//! server on this machine, once in plain text and once through TLS.

#[cfg(test)]
mod support;

use support::bed::{BOTH, Bed, DENIED, DENIED_TEXT, OTHER, Transport, assert_none, assert_spliced, join};
use support::client::{Client, ask, ask_from, post, request, send_raw};
use support::findings::{findings, place, places};
use support::gateway::{Said, Setup, example};
use support::pki::Authority;
use support::upstream::{Answer, COMPLETION, Upstream};
use support::wire::{Part, values};
use support::{KEY, PROVIDER, QUESTION};

const PROVIDER_MATCH: &str = "    - headers:\n        host:\n          exact: dashscope.aliyuncs.com  # Routes requests for dashscope.aliyuncs.com. Otherwise, a 404 error is returned.\n";
const ALIAS_MATCH: &str = "    - headers:\n        host:\n          exact: test.com # Routes requests for test.com. After the request is processed by the ASM LLM plugin, it re-triggers route matching, causing the request to match the rule above.\n";

/// FNV-1a: enough to notice that an editor touched a file that is there because of its bytes.
fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn seed_files_are_as_printed() {
    for (file, bytes, hash) in [
        ("llm-provider.yaml", 443, 0x663c_05be_5c0f_d956),
        ("gateway.yaml", 264, 0x51b8_2304_9cd9_2624),
        ("llm-route.yaml", 627, 0x73a6_c0f4_1948_3c7b),
        ("authorization-policy.yaml", 405, 0xe9ef_a927_9d8c_cc7d),
    ] {
        let text = example(&format!("seed/{file}"));
        assert_eq!((text.len(), fingerprint(&text)), (bytes, hash), "{file}");
    }
}

#[tokio::test]
async fn a1_files_load_with_no_warning_but_the_inline_key() {
    let said = Setup::seed().run("check", &["-o", "json"]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    for finding in findings(&said.json()) {
        assert_eq!(finding["severity"], "warning", "{finding}");
        assert!(
            finding.to_string().contains("apiKey"),
            "a warning about something else: {finding}"
        );
    }
}

#[tokio::test]
async fn a2_a3_question_under_the_alias_is_answered_by_the_provider() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        let answer = bed.ask("test.com").await;
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.end.clone()),
            (200, COMPLETION, Part::End)
        );
        assert_eq!(answer.header("content-type"), Some("application/json"));
        bed.assert_forwarded(&bed.upstream.request().await);
        assert_eq!(bed.upstream.request_count(), 1);
    }
}

#[tokio::test]
async fn a4_question_under_the_providers_own_host_is_answered_alike() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        let answer = bed.ask(PROVIDER).await;
        assert_eq!((answer.status, answer.text().as_str()), (200, COMPLETION));
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

#[tokio::test]
async fn a5_other_hosts_are_not_found() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        for host in [
            "example.com",
            "a.test.com",
            "test.com.",
            "testXcom",
            "aliyuncs.com",
            "127.0.0.1",
        ] {
            bed.assert_no_route(&bed.ask(host).await);
        }
        assert_eq!(bed.upstream.connection_count(), 0, "not even a connection was made");
    }
}

#[tokio::test]
async fn host_of_a_route_is_compared_without_port_and_case() {
    let bed = Bed::seed().await;
    for host in ["test.com:80", "TEST.com", "Test.Com:8080", "DashScope.aliyuncs.com:443"] {
        assert_eq!(bed.ask(host).await.status, 200, "{host}");
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

#[tokio::test]
async fn a6_without_a_match_for_the_rewritten_host_the_alias_is_not_found() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed().edit("llm-route.yaml", PROVIDER_MATCH, "")).await;
        bed.assert_no_route(&bed.ask("test.com").await);
        bed.assert_no_route(&bed.ask(PROVIDER).await);
    }
}

#[tokio::test]
async fn a7_without_the_alias_match_only_the_providers_host_is_found() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed().edit("llm-route.yaml", ALIAS_MATCH, "")).await;
        bed.assert_no_route(&bed.ask("test.com").await);
        assert_eq!(bed.ask(PROVIDER).await.status, 200);
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

/// The provider's own match in a rule of its own, after the alias's.
const TWO_RULES: &str = "\
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata:
  name: dashscope-route
spec:
  host: '*'
  gateways:
  - istio-system/ingress-gw
  rules:
  - name: alias-rule
    matches:
    - headers:
        host:
          exact: test.com
    backendRefs:
    - providerHost: dashscope.aliyuncs.com
  - name: provider-rule
    matches:
    - headers:
        host:
          exact: dashscope.aliyuncs.com
    backendRefs:
    - providerHost: dashscope.aliyuncs.com
";

#[tokio::test]
async fn a8_second_rule_admits_and_the_first_chooses_the_model() {
    let by_rule = concat!(
        "    routeSpecificConfigs:\n",
        "      alias-rule:\n        openAIConfig:\n          model: model-of-the-alias\n",
        "      provider-rule:\n        openAIConfig:\n          model: model-of-the-provider\n",
        "          apiKey: sk-of-the-provider-rule\n",
    );
    let provider = format!("{}{by_rule}", example("seed/llm-provider.yaml"));
    for transport in BOTH {
        let setup = Setup::seed()
            .file("llm-route.yaml", TWO_RULES)
            .file("llm-provider.yaml", &provider);
        let bed = Bed::start(transport, setup).await;
        assert_eq!(bed.ask("test.com").await.status, 200);
        let seen = bed.upstream.request().await;
        assert_eq!(seen.json()["model"], "model-of-the-alias");
        assert_eq!(seen.json()["stream"], false, "inherited from the default");
        assert_eq!(
            seen.header("authorization"),
            Some(format!("Bearer {KEY}").as_str()),
            "inherited from the default"
        );
        assert_eq!(bed.ask(PROVIDER).await.status, 200);
        let seen = bed.upstream.request().await;
        assert_eq!(seen.json()["model"], "model-of-the-provider");
        assert_eq!(seen.header("authorization"), Some("Bearer sk-of-the-provider-rule"));
    }
}

#[tokio::test]
async fn a8_second_rule_that_does_not_list_the_provider_refuses() {
    let other_provider = example("seed/llm-provider.yaml")
        .replace("name: dashscope-qwen", "name: other")
        .replace("host: dashscope.aliyuncs.com", "host: other.example.com");
    let last = TWO_RULES.rfind("dashscope.aliyuncs.com").expect("the last backend");
    let (head, tail) = TWO_RULES.split_at(last);
    let route = format!("{head}{}", tail.replace("dashscope.aliyuncs.com", "other.example.com"));
    let setup = Setup::seed()
        .file("llm-route.yaml", &route)
        .file("other.yaml", &other_provider);
    let bed = Bed::start(Transport::Plain, setup).await;
    let answer = bed.ask("test.com").await;
    answer.openai_error(500);
    bed.assert_no_contact();
    let line = bed.gateway.log_of(1).await.remove(0).to_string();
    assert!(
        line.contains("alias-rule") && line.contains("provider-rule"),
        "both rules are logged: {line}"
    );
}

#[tokio::test]
async fn a9_clients_own_credentials_never_leave_the_gateway() {
    let secret = "sk-of-the-client-77aa";
    let basic = format!("Basic {secret}");
    let fields = [
        ("authorization", basic.as_str()),
        ("proxy-authorization", secret),
        ("x-api-key", secret),
        ("api-key", secret),
        ("x-goog-api-key", secret),
        ("cookie", secret),
    ];
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        assert_eq!(bed.ask_with(DENIED, "test.com", &fields).await.status, 200);
        let seen = bed.upstream.request().await;
        bed.assert_forwarded(&seen);
        assert!(!seen.raw_head.contains(secret), "{}", seen.raw_head);
        bed.gateway.log_of(1).await;
        for file in ["access.log", "stderr", "stdout"] {
            assert!(
                !bed.gateway.read(file).contains(secret),
                "the client's credential is in {file}"
            );
        }
        bed.gateway.assert_keeps_the_key().await;
    }
}

#[tokio::test]
async fn hop_by_hop_fields_end_at_the_gateway_both_ways() {
    let bed = Bed::seed().await;
    let named = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: x-upstream-hop\r\nx-upstream-hop: 1\r\n\
        keep-alive: timeout=5\r\nproxy-authenticate: Basic\r\nx-kept: yes\r\ncontent-length: 2\r\n\r\n{}";
    bed.upstream.answer(Answer::raw(named.as_bytes()));
    let fields = [
        ("connection", "x-hop, keep-alive"),
        ("x-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("te", "trailers"),
    ];
    let fields = [&fields[..], &[("proxy-connection", "keep-alive"), ("x-kept", "yes")]].concat();
    let answer = bed.ask_with(DENIED, "test.com", &fields).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-kept"), Some("yes"));
    for name in ["x-upstream-hop", "keep-alive", "proxy-authenticate"] {
        assert!(values(&answer.fields, name).is_empty(), "`{name}` reached the client");
    }
    let seen = bed.upstream.request().await;
    bed.assert_forwarded(&seen);
    assert_none(&seen, &["x-hop"]);
    assert_eq!(seen.header("x-kept"), Some("yes"));
}

#[tokio::test]
async fn client_address_and_forwarding_chain_stay_from_the_provider() {
    let bed = Bed::seed().await;
    let fields = [
        ("x-forwarded-for", "198.51.100.7"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=198.51.100.7"),
    ];
    assert_eq!(bed.ask_with(OTHER, "test.com", &fields).await.status, 200);
    let seen = bed.upstream.request().await;
    assert!(
        !seen.raw_head.to_lowercase().contains("x-forwarded"),
        "{}",
        seen.raw_head
    );
    assert!(
        !seen.raw_head.contains("127.0.0.2"),
        "the client's address: {}",
        seen.raw_head
    );
}

#[tokio::test]
async fn query_is_dropped_with_the_fixed_path() {
    let bed = Bed::seed().await;
    let mut client = Client::connect(bed.http()).await;
    let json = [("content-type", "application/json")];
    client
        .send(request(
            "POST",
            "/v1/chat/completions?api-version=1",
            "test.com",
            &json,
            QUESTION,
        ))
        .await;
    assert_eq!(client.response().await.status, 200);
    bed.assert_forwarded(&bed.upstream.request().await);
}

#[tokio::test]
async fn a10_clients_model_and_stream_win_over_the_defaults() {
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        for (body, model, stream) in [
            (r#"{"model":"x","messages":[]}"#, "x", false),
            (r#"{"messages":[],"stream":true}"#, "qwen1.5-72b-chat", true),
            (
                r#"{ "stream" : true , "messages":[], "model" : "qwen-max" }"#,
                "qwen-max",
                true,
            ),
            (
                r#"{"model":null,"stream":null,"messages":[]}"#,
                "qwen1.5-72b-chat",
                false,
            ),
        ] {
            assert_eq!(ask(bed.http(), "test.com", body).await.status, 200, "{body}");
            let seen = bed.upstream.request().await;
            assert_eq!(
                (&seen.json()["model"], &seen.json()["stream"]),
                (&model.into(), &stream.into()),
                "{body}"
            );
            assert_eq!(seen.text().matches("\"model\"").count(), 1, "{}", seen.text());
            assert_eq!(seen.text().matches("\"stream\"").count(), 1, "{}", seen.text());
        }
    }
}

#[tokio::test]
async fn bytes_of_the_body_that_are_not_ours_are_untouched() {
    let bed = Bed::seed().await;
    for body in [
        r#"{"messages":[{"role":"user","content":"\u00e4 \ud83d\ude00 \/ 中文"}],"seed":18446744073709551615,"x":1.0e2,"n":null}"#,
        "{\"messages\":[],\"metadata\":{\"model\":\"inner\",\"stream\":[true,{\"a\":-0.0}]}}",
        " \r\n\t{ \"messages\" : [ ] , \"temperature\" : 0.10 }\n",
        "{}",
    ] {
        assert_eq!(ask(bed.http(), "test.com", body).await.status, 200, "{body}");
        let seen = bed.upstream.request().await;
        assert_spliced(body, &seen.text());
        assert_eq!(seen.json()["model"], "qwen1.5-72b-chat");
    }
}

#[tokio::test]
async fn a11_provider_of_another_workload_is_never_used() {
    let setup = Setup::seed().edit("llm-provider.yaml", "istio: ingressgateway", "istio: egressgateway");
    let (upstream, setup) = join(Transport::Plain, setup).await;
    let check = setup.run("check", &[]).await;
    assert!(
        check.stderr.contains("llm-route.yaml:") && check.stderr.contains(PROVIDER),
        "{}",
        check.all()
    );
    // An error and a warning are both allowed; a request that is forwarded is not.
    match setup.try_start().await {
        Err(said) => assert_eq!(said.code, 2, "{}", said.all()),
        Ok(gateway) => {
            assert!(gateway.read("stderr").contains(PROVIDER), "{}", gateway.read("stderr"));
            for host in ["test.com", PROVIDER] {
                assert!(ask(gateway.http, host, QUESTION).await.status >= 400, "{host}");
            }
        }
    }
    assert_eq!(upstream.connection_count(), 0);
}

/// Asserts that a configuration serves nobody: it is refused, its port is closed, or every host is unknown.
async fn assert_serves_nobody(setup: Setup) {
    let (upstream, setup) = join(Transport::Plain, setup).await;
    if let Ok(gateway) = setup.try_start().await {
        for host in ["test.com", PROVIDER] {
            if let Ok(mut client) = Client::try_connect_from(DENIED, gateway.http).await {
                client.send(post(host, &[], QUESTION)).await;
                let answer = client.try_response().await;
                assert!(answer.is_none_or(|answer| answer.status == 404), "{host}");
            }
        }
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn a12_gateway_of_another_workload_opens_nothing() {
    assert_serves_nobody(Setup::seed().edit("gateway.yaml", "istio: ingressgateway", "istio: egressgateway")).await;
}

#[tokio::test]
async fn a12_route_of_another_gateway_is_not_found() {
    let other = example("seed/gateway.yaml")
        .replace("name: ingress-gw", "name: other-gw")
        .replace("istio: ingressgateway", "istio: other")
        .replace("number: 80", "number: 81");
    let setup = Setup::seed()
        .file("other.yaml", &other)
        .edit("llm-route.yaml", "/ingress-gw", "/other-gw");
    assert_serves_nobody(setup).await;
}

#[tokio::test]
async fn a13_bodies_and_methods_that_no_provider_could_read_are_refused() {
    let json = [("content-type", "application/json")];
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(200), "]".repeat(200));
    let many = format!(
        "{{{}}}",
        (0..200).map(|n| format!("\"k{n}\":1")).collect::<Vec<_>>().join(",")
    );
    let bodies: &[(&str, &[u8])] = &[
        ("empty", b""),
        ("invalid", b"{\"messages\": [}"),
        ("cut", b"{\"messages\": ["),
        ("array", b"[]"),
        ("scalar", b"\"hello\""),
        ("not JSON", b"hello"),
        ("two documents", b"{} {}"),
        ("byte-order mark", b"\xef\xbb\xbf{\"messages\":[]}"),
        ("invalid UTF-8", b"{\"messages\":\"\xff\"}"),
        ("UTF-16", b"{\x00\"\x00a\x00\"\x00:\x001\x00}\x00"),
        ("key twice", br#"{"messages":[],"messages":[]}"#),
        ("model twice", br#"{"model":"a","model":"b"}"#),
        ("model twice by escape", br#"{"model":"a","mod\u0065l":"b"}"#),
        ("model in another case", br#"{"Model":"a","messages":[]}"#),
        ("model a number", br#"{"model":1}"#),
        ("model empty", br#"{"model":""}"#),
        ("model a lone surrogate", br#"{"model":"\ud800"}"#),
        ("stream a string", br#"{"stream":"true"}"#),
        ("too deep", deep.as_bytes()),
        ("too many keys", many.as_bytes()),
    ];
    let bed = Bed::seed().await;
    for (what, body) in bodies {
        println!("{what}");
        let answer = ask(bed.http(), "test.com", body).await;
        assert_eq!(answer.openai_error(400)["type"], "invalid_request_error", "{what}");
    }
    for (name, value) in [
        ("content-type", "multipart/form-data; boundary=x"),
        ("content-type", "application/json; charset=utf-16"),
        ("content-encoding", "gzip"),
    ] {
        let answer = send_raw(bed.http(), request("POST", "/", "test.com", &[(name, value)], QUESTION)).await;
        println!("{name}: {value}");
        answer.expect("an answer").openai_error(415);
    }
    for method in ["GET", "PUT", "DELETE"] {
        let answer = send_raw(bed.http(), request(method, "/", "test.com", &json, QUESTION))
            .await
            .expect("an answer");
        answer.openai_error(405);
        assert_eq!(answer.header("allow"), Some("POST"), "{method}");
    }
    bed.assert_no_contact();
}

#[tokio::test]
async fn a14_provider_that_is_down_is_503() {
    let port = support::ports::Port::lease();
    let gateway = Setup::seed().provider_port(port.number).start().await;
    let answer = ask(gateway.http, "test.com", QUESTION).await;
    answer.openai_error(503);
}

#[tokio::test]
async fn a14_certificate_of_another_name_is_503() {
    let authority = Authority::new();
    let upstream = Upstream::tls(authority.acceptor("other.aliyuncs.com")).await;
    let gateway = Setup::seed().provider_behind_tls(&upstream, &authority).start().await;
    ask(gateway.http, "test.com", QUESTION).await.openai_error(503);
    assert_eq!(upstream.request_count(), 0, "the key must not be sent to somebody else");
}

#[tokio::test]
async fn a14_certificate_of_an_unknown_authority_is_503() {
    let upstream = Upstream::tls(Authority::new().acceptor(PROVIDER)).await;
    let gateway = Setup::seed()
        .provider_behind_tls(&upstream, &Authority::new())
        .start()
        .await;
    ask(gateway.http, "test.com", QUESTION).await.openai_error(503);
    assert_eq!(upstream.request_count(), 0, "the key must not be sent to somebody else");
}

#[tokio::test]
async fn a14_provider_that_never_accepts_times_out() {
    // A full backlog: the kernel drops what wants to connect, as a dead route would.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("a port");
    let listener = socket.listen(0).expect("a listener");
    let addr = listener.local_addr().expect("an address");
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        waiting.spawn(tokio::net::TcpStream::connect(addr));
    }
    tokio::time::sleep(core::time::Duration::from_millis(200)).await;
    let quick = "trafficPolicy:\n    connectionPool:\n      tcp:\n        connectTimeout: 300ms";
    let setup = Setup::seed()
        .provider_port(addr.port())
        .edit("local-provider.yaml", "trafficPolicy:", quick);
    let gateway = setup.start().await;
    let answer = ask(gateway.http, "test.com", QUESTION).await;
    assert!(matches!(answer.status, 503 | 504), "{}", answer.status);
    answer.openai_error(answer.status);
}

#[tokio::test]
async fn a14_providers_own_errors_pass_unchanged() {
    let error =
        r#"{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#;
    let fields = [
        ("content-type", "application/json"),
        ("retry-after", "7"),
        ("retry-after-ms", "7000"),
        ("x-should-retry", "true"),
        ("x-ratelimit-remaining-tokens", "0"),
    ];
    for transport in BOTH {
        let bed = Bed::start(transport, Setup::seed()).await;
        for (status, line) in [
            (429, "429 Too Many Requests"),
            (500, "500 Internal Server Error"),
            (400, "400 Bad Request"),
        ] {
            bed.upstream.answer(Answer::whole(line, &fields, error));
            let answer = bed.ask("test.com").await;
            assert_eq!((answer.status, answer.text().as_str()), (status, error));
            for (name, value) in fields {
                assert_eq!(answer.header(name), Some(value), "{name} of {status}");
            }
        }
        bed.upstream.answer(Answer::whole(
            "503 Service Unavailable",
            &[("content-type", "text/html")],
            "<h1>busy</h1>",
        ));
        let answer = bed.ask("test.com").await;
        assert_eq!((answer.status, answer.text().as_str()), (503, "<h1>busy</h1>"));
    }
}

#[tokio::test]
async fn provider_that_does_not_speak_http_is_502() {
    for bytes in [
        &b"SSH-2.0-OpenSSH_9.2p1\r\n"[..],
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad",
    ] {
        let bed = Bed::seed().await;
        // Every try gets the same: whether the gateway may try again is its own business.
        for _ in 0..4 {
            bed.upstream.answer(Answer::raw(bytes));
        }
        let answer = bed.ask("test.com").await;
        assert!(
            matches!(answer.status, 502 | 503),
            "{} for {:?}",
            answer.status,
            String::from_utf8_lossy(bytes)
        );
        answer.openai_error(answer.status);
    }
}

/// The seed's four files, with the policy on the address that tests connect from.
fn denying() -> Setup {
    Setup::seed().with_policy(DENIED_TEXT)
}

#[tokio::test]
async fn b1_b6_denied_address_is_refused_under_the_host_it_asked_for() {
    for transport in BOTH {
        let bed = Bed::start(transport, denying()).await;
        bed.assert_denied(&bed.ask("test.com").await);
        assert_eq!(bed.upstream.connection_count(), 0);
    }
}

#[tokio::test]
async fn b2_another_address_is_answered() {
    for transport in BOTH {
        let bed = Bed::start(transport, denying()).await;
        assert_eq!(ask_from(OTHER, bed.http(), "test.com", QUESTION).await.status, 200);
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

#[tokio::test]
async fn b3_policy_on_the_alias_leaves_the_providers_host_open() {
    for transport in BOTH {
        let bed = Bed::start(transport, denying()).await;
        assert_eq!(bed.ask(PROVIDER).await.status, 200);
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

#[tokio::test]
async fn b3_check_flags_that_bypass() {
    let said = denying().run("check", &["-o", "json"]).await;
    assert_eq!(said.code, 0, "{}", said.all());
    let flags = |finding: &&serde_json::Value| {
        let text = finding.to_string();
        text.contains(PROVIDER) && text.contains("authorization-policy.yaml")
    };
    let found = findings(&said.json());
    assert!(
        found.iter().any(|finding| flags(&finding)),
        "no finding about the bypass: {}",
        said.stdout
    );
    let text = denying().run("check", &[]).await;
    place(&text.stderr, "authorization-policy.yaml");
    assert_eq!(
        denying().run("check", &["--strict"]).await.code,
        1,
        "strict turns findings into status 1"
    );
}

#[tokio::test]
async fn b4_ip_blocks_see_the_peer_and_not_what_the_client_says() {
    let bed = Bed::start(Transport::Plain, denying()).await;
    for field in ["x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded"] {
        assert_eq!(
            bed.ask_with(OTHER, "test.com", &[(field, DENIED_TEXT)]).await.status,
            200,
            "{field}"
        );
    }
    let bed = Bed::start(Transport::Plain, denying()).await;
    for field in ["x-forwarded-for", "x-real-ip", "x-envoy-external-address", "forwarded"] {
        bed.assert_denied(&bed.ask_with(DENIED, "test.com", &[(field, "127.0.0.2")]).await);
    }
}

#[tokio::test]
async fn b5_hosts_of_a_policy_ignore_case_but_not_the_port() {
    let bed = Bed::start(Transport::Plain, denying()).await;
    for host in ["TEST.COM", "Test.com"] {
        bed.assert_denied(&bed.ask(host).await);
    }
    // As Istio has it: an exact host does not cover host:port. `check` is there to say so.
    assert_eq!(bed.ask("test.com:80").await.status, 200);
}

#[tokio::test]
async fn b5_host_and_any_port_are_covered_when_both_are_written() {
    let both = "- test.com\n              - test.com:*";
    let bed = Bed::start(
        Transport::Plain,
        denying().edit("authorization-policy.yaml", "- test.com", both),
    )
    .await;
    for host in ["test.com", "TEST.com:80", "test.com:8080"] {
        bed.assert_denied(&bed.ask(host).await);
    }
}

#[tokio::test]
async fn b7_denied_client_of_an_unknown_host_is_denied_rather_than_not_found() {
    for transport in BOTH {
        let setup = denying().edit("authorization-policy.yaml", "- test.com", "- unknown.example.com");
        let bed = Bed::start(transport, setup).await;
        bed.assert_denied(&bed.ask("unknown.example.com").await);
        bed.assert_no_route(&ask_from(OTHER, bed.http(), "unknown.example.com", QUESTION).await);
    }
}

/// A policy of the root namespace with these lines under `spec`.
fn policy(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata:\n  name: {name}\n  namespace: istio-system\nspec:\n{spec}"
    )
}

#[tokio::test]
async fn b8_deny_comes_before_allow_and_allow_closes_the_rest() {
    let allow = policy(
        "allow",
        "  action: ALLOW\n  rules:\n  - to:\n    - operation:\n        hosts: [test.com]\n",
    );
    for transport in BOTH {
        let bed = Bed::start(transport, denying().file("allow.yaml", &allow)).await;
        bed.assert_denied(&bed.ask("test.com").await);
        bed.assert_denied(&ask_from(OTHER, bed.http(), PROVIDER, QUESTION).await);
        assert_eq!(
            ask_from(OTHER, bed.http(), "test.com", QUESTION).await.status,
            200,
            "allowed and not denied"
        );
        bed.assert_forwarded(&bed.upstream.request().await);
    }
}

#[tokio::test]
async fn b8_missing_action_is_allow_and_no_rules_allow_nobody() {
    let nobody = policy("nobody", "  selector:\n    matchLabels:\n      istio: ingressgateway\n");
    let bed = Bed::start(Transport::Plain, Setup::seed().file("nobody.yaml", &nobody)).await;
    for host in ["test.com", PROVIDER, "unknown.example.com"] {
        bed.assert_denied(&bed.ask(host).await);
    }
    let everybody = policy("everybody", "  rules:\n  - {}\n");
    let bed = Bed::start(Transport::Plain, Setup::seed().file("everybody.yaml", &everybody)).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
}

#[tokio::test]
async fn b9_policy_applies_to_the_workloads_it_selects() {
    let everywhere = "  selector:\n    matchLabels:\n      istio: ingressgateway\n";
    for transport in BOTH {
        let setup = denying().edit("authorization-policy.yaml", everywhere, "");
        let bed = Bed::start(transport, setup).await;
        bed.assert_denied(&bed.ask("test.com").await);

        let other = everywhere.replace("ingressgateway", "egressgateway");
        let setup = denying().edit("authorization-policy.yaml", everywhere, &other);
        let bed = Bed::start(transport, setup).await;
        assert_eq!(bed.ask("test.com").await.status, 200, "the policy of another workload");

        let setup = denying().edit(
            "authorization-policy.yaml",
            "namespace: istio-system",
            "namespace: elsewhere",
        );
        let bed = Bed::start(transport, setup).await;
        assert_eq!(bed.ask("test.com").await.status, 200, "the policy of another namespace");
    }
}

#[tokio::test]
async fn b9_labels_of_a_policy_are_decoration() {
    let setup = denying().edit("authorization-policy.yaml", "gateway: ingressgateway", "gateway: other");
    let bed = Bed::start(Transport::Plain, setup).await;
    bed.assert_denied(&bed.ask("test.com").await);
}

/// Asserts that `check` and `serve` refuse a setup with status 2 at `line` of the policy's file.
async fn assert_policy_refused(setup: Setup, line: u32, mention: &str) {
    for said in [setup.run("check", &[]).await, setup.refused().await] {
        let Said { code, stderr, .. } = &said;
        assert_eq!(*code, 2, "{}", said.all());
        let lines: Vec<u32> = places(stderr, "authorization-policy.yaml")
            .iter()
            .map(|(line, _)| *line)
            .collect();
        assert!(lines.contains(&line), "no finding in line {line}:\n{stderr}");
        assert!(stderr.contains(mention), "no {mention:?} in {stderr}");
    }
}

#[tokio::test]
async fn b10_what_a_policy_cannot_mean_is_refused_at_load() {
    let file = "authorization-policy.yaml";
    for address in ["not-an-address", "127.0.0.1/33", "127.0.0", "::1/129"] {
        assert_policy_refused(Setup::seed().with_policy(address), 14, "YOUR_LOCAL_IP").await;
    }
    assert_policy_refused(denying().edit(file, "ipBlocks:", "ipBlock:"), 13, "ipBlocks").await;
    assert_policy_refused(denying().edit(file, "action: DENY", "action: REFUSE"), 9, "REFUSE").await;
    let text = example("seed/authorization-policy.yaml");
    let (before, after) = text.split_once("  rules:").expect("rules");
    let (_, selector) = after.split_once("  selector:").expect("a selector");
    let none = format!("{before}  rules: []\n  selector:{selector}");
    assert_policy_refused(denying().file(file, &none), 9, "DENY").await;
}
