//! Part D: who may do what, and where nobody may.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::net::{TcpListener, UdpSocket};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SanType};

use serde_json::json;

use crate::case::Is::{Denied, Refused, Sent};
use crate::case::{check, deny, get, head, open};
use crate::support::bed::{Bed, Transport, join};
use crate::support::client::{Client, ask, send_raw};
use crate::support::gateway::Setup;
use crate::support::pki::Authority;
use crate::support::tokens::{ISSUER, SigningKey, claims, good, key_set};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{PROVIDER, QUESTION, eventually};

const PLAIN: &str = "GET / HTTP/1.1";

fn jwt(issuer: &str, keys: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: jwt, namespace: \
         istio-system}}\nspec:\n  jwtRules:\n  - issuer: {issuer}\n    {keys}\n"
    )
}

#[tokio::test]
async fn only_a_token_that_verifies_is_one() {
    let (ours, theirs) = (SigningKey::ed25519(), SigningKey::ed25519());
    let bed = open(&[&jwt(ISSUER, &format!("jwks: '{}'", key_set(&[ours.jwk("k")])))]).await;
    let mut other = claims();
    other["iss"] = "https://other.test".into();
    let foreign = ours.sign(&json!({"alg": "EdDSA", "kid": "k"}), &other);
    let good_token = good(&ours, "EdDSA", "k");
    for (row, token, is) in [
        ("44", foreign, Refused(401)),
        ("44", good(&theirs, "EdDSA", "k"), Refused(401)),
        ("49", "x".to_owned(), Refused(401)),
        ("49", "AAAA.AAAA.AAAA".to_owned(), Refused(401)),
        ("49", format!("{good_token}x"), Refused(401)),
        (
            "94",
            format!("{}.{}.x", "[".repeat(20_000), "[".repeat(20_000)),
            Refused(401),
        ),
        ("44", good_token, Sent(PLAIN)),
    ] {
        let line = format!("authorization: Bearer {token}");
        check(&bed, &format!("row {row}: {token:.40}"), get("/", &[&line]), is).await;
    }
}

#[tokio::test]
async fn without_keys_no_token_passes_and_nobody_waits_for_ever() {
    let issuer = Upstream::plain().await;
    for _ in 0..8 {
        issuer.answer(Answer::whole("500 Internal Server Error", &[], ""));
    }
    let (upstream, setup) = join(Transport::Plain, Setup::seed()).await;
    let keys = format!("jwksUri: http://{}/keys", issuer.addr);
    let setup = setup
        .file("jwt.yaml", &jwt(ISSUER, &keys))
        .args(&["--allow-private-jwks"]);
    let gateway = setup.start().await;
    let token = good(&SigningKey::Secret(b"secret".to_vec()), "HS256", "k");
    let line = format!("authorization: Bearer {token}");
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = Client::connect(gateway.http).await;
        client.send(get("/", &[&line])).await;
        clients.push(client);
    }
    // Rows 45 and 53: several at once while the fetch fails.
    for client in &mut clients {
        assert_eq!(client.response().await.status, 401);
    }
    assert_eq!(upstream.connection_count(), 0);
}

#[tokio::test]
async fn keys_are_never_fetched_from_where_only_this_machine_gets() {
    let issuer = Upstream::plain().await;
    for (host, port) in [
        ("127.0.0.1", issuer.addr.port()),
        ("169.254.169.254", 80),
        ("localhost", issuer.addr.port()),
    ] {
        let keys = format!("jwksUri: http://{host}:{port}/latest/meta-data");
        let bed = open(&[&jwt(ISSUER, &keys)]).await;
        let token = good(&SigningKey::ed25519(), "EdDSA", "k");
        let line = format!("authorization: Bearer {token}");
        check(&bed, &format!("row 62: {host}"), get("/", &[&line]), Refused(401)).await;
    }
    assert_eq!(issuer.connection_count(), 0, "row 62");
}

#[tokio::test]
async fn connect_opens_no_tunnel_under_any_policy() {
    let token_rule = jwt(
        ISSUER,
        &format!("jwks: '{}'", key_set(&[SigningKey::ed25519().jwk("k")])),
    );
    let template = deny("{to: [{operation: {paths: ['/a/{**}']}}], from: [{source: {notRequestPrincipals: ['*']}}]}");
    let bed = open(&[&token_rule, &template]).await;
    for (row, target) in [
        ("54", "test.com:443"),
        ("54", "/a/b"),
        ("54", "http://test.com/"),
        ("69", "169.254.169.254:80"),
    ] {
        let line = format!("CONNECT {target} HTTP/1.1");
        let mut bytes = head(&[&line, "host: test.com"]);
        bytes.extend_from_slice(b"\x16\x03\x01 bytes for the other end of a tunnel\r\n\r\n");
        check(&bed, &format!("row {row}: {target}"), bytes, Refused(400)).await;
    }
    // Nor is it read as a request when it looks like one.
    let mut bytes = head(&["CONNECT test.com:443 HTTP/1.1", "host: test.com:443"]);
    bytes.extend(head(&["GET / HTTP/1.1", "host: test.com"]));
    let mut client = Client::connect(bed.http()).await;
    client.send(bytes).await;
    assert_eq!(client.response().await.status, 400, "row 69");
    assert!(client.closes().await, "row 69");
    assert_eq!(bed.upstream.connection_count(), 0, "row 69");
}

#[tokio::test]
async fn what_is_not_supported_refuses_to_load() {
    let policy = |spec: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: p, namespace: \
             istio-system}}\nspec: {spec}\n"
        )
    };
    for (row, text) in [
        ("48", policy("{action: DENY, rules: [{to: [{operation: {tcp: x}}]}]}")),
        ("48", policy("{action: DENI, rules: [{}]}")),
        ("48", policy("{action: DENY, rules: [{when: [{key: destination.labels, values: [a]}]}]}")),
        ("48", "apiVersion: networking.istio.io/v1\nkind: EnvoyFilter\nmetadata: {name: e}\nspec: {}\n".to_owned()),
        (
            "98",
            "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: s, namespace: istio-system}\nspec: \
             {hosts: [a.test], resolution: STATIC, ports: [{name: h, number: 443, protocol: HTTPS}], endpoints: \
             [{address: 'unix:///var/run/a'}]}\n"
                .to_owned(),
        ),
        ("65", jwt(ISSUER, "jwks: ''")),
    ] {
        let said = Setup::seed().file("more.yaml", &text).refused().await;
        assert_eq!(said.code, 2, "row {row}: {text}\n{}", said.all());
        assert!(said.stderr.contains("more.yaml:"), "row {row}: {}", said.stderr);
    }
}

#[tokio::test]
async fn ports_of_a_policy_are_the_gateways_whatever_the_socket_is() {
    let bed = open(&[&deny("{to: [{operation: {ports: ['80'], paths: [/a]}}]}")]).await;
    assert_ne!(bed.http().port(), 80);
    check(&bed, "row 63", get("/a", &[]), Denied).await;
    let other = format!("{{to: [{{operation: {{ports: ['{}']}}}}]}}", bed.http().port());
    let said = Setup::seed().file("p.yaml", &deny(&other)).run("check", &[]).await;
    assert!(
        said.stderr.contains("warning[port-without-listener]"),
        "row 63: {}",
        said.stderr
    );
}

#[tokio::test]
async fn the_admin_port_is_on_loopback_and_speaks_json() {
    let named = crate::support::gateway::example("seed/llm-route.yaml").replace("ingress-route", "<script>");
    let bed = Bed::start(Transport::Plain, Setup::seed()).await;
    // Row 66: not on any other address of this machine.
    let elsewhere = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), bed.gateway.admin.port()));
    assert!(
        Client::try_connect_from([127, 0, 0, 2], elsewhere).await.is_err(),
        "row 66"
    );
    assert_eq!(
        send_raw(bed.http(), get("/config_dump", &[]))
            .await
            .expect("an answer")
            .status,
        405
    );
    // Row 67: a name with markup either is none, or is shown as JSON and as nothing else.
    let setup = Setup::seed().file("llm-route.yaml", &named);
    if let Ok(gateway) = setup.provider_port(9).try_start().await {
        let dump = crate::support::client::get(gateway.admin, "/config_dump").await;
        assert_eq!(dump.header("content-type"), Some("application/json"), "row 67");
        dump.json();
    }
}

#[tokio::test]
async fn the_admin_port_on_loopback_answers_to_no_name_of_a_web_page() {
    let status = async |at: SocketAddr, host: &str| {
        let request = format!("GET /config_dump HTTP/1.1\r\n{host}connection: close\r\n\r\n");
        send_raw(at, request).await.expect("an answer").status
    };
    let bed = Bed::start(Transport::Plain, Setup::seed()).await;
    for (host, expected) in [
        ("host: localhost\r\n", 200),
        ("host: LOCALHOST:15000\r\n", 200),
        ("host: 127.0.0.1:15000\r\n", 200),
        ("host: [::1]:15000\r\n", 200),
        ("host: 192.0.2.1\r\n", 200),
        ("", 200),
        ("host: rebound.example\r\n", 421),
        ("host: rebound.example:15000\r\n", 421),
        ("host: localhost.rebound.example\r\n", 421),
        ("host: 127.0.0.1.rebound.example\r\n", 421),
        ("host: \r\n", 421),
        ("host: localhost\r\nhost: rebound.example\r\n", 421),
    ] {
        assert_eq!(status(bed.gateway.admin, host).await, expected, "{host:?}");
    }
    // Where it is reached from elsewhere it is called by names, of a Service for example.
    let (http, admin) = (TcpListener::bind("127.0.0.1:0"), TcpListener::bind("0.0.0.0:0"));
    let sockets = vec![("80", http.expect("a port")), ("admin", admin.expect("a port"))];
    let gateway = Setup::seed().provider_port(9).given(sockets).start().await;
    let port = gateway.admin.port();
    let name = "host: lockgate.monitoring.svc:15000\r\n";
    assert_eq!(status((Ipv4Addr::LOCALHOST, port).into(), name).await, 421);
    if let Some(address) = other_address() {
        assert_eq!(status((address, port).into(), name).await, 200);
    }
}

/// An address of this machine that is not on loopback, if it has one.
fn other_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a socket");
    // Sends nothing.
    socket.connect("192.0.2.1:9").ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_loopback() && !address.is_unspecified()).then_some(address)
}

#[tokio::test]
async fn a_providers_certificate_is_for_its_dns_names_and_for_servers() {
    let names = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        CertificateParams::new(names).expect("parameters of a certificate")
    };
    let (mut mail, mut uri, mut client) = (names(&[]), names(&[]), names(&[PROVIDER]));
    mail.subject_alt_names = vec![SanType::Rfc822Name(PROVIDER.try_into().expect("ASCII"))];
    uri.subject_alt_names = vec![SanType::URI(
        format!("https://{PROVIDER}").as_str().try_into().expect("ASCII"),
    )];
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    for (row, params, status) in [
        ("58: one label", names(&["*.aliyuncs.com"]), 200),
        ("58: two labels", names(&["*.com"]), 503),
        ("59: a mail address", mail, 503),
        ("59: a URI", uri, 503),
        ("59: a client's", client, 503),
        ("60: a NUL", names(&["dashscope.aliyuncs.com\0.evil.com"]), 503),
    ] {
        let authority = Authority::new();
        let upstream = Upstream::tls(authority.acceptor_with(params, b"http/1.1")).await;
        let gateway = Setup::seed().provider_behind_tls(&upstream, &authority).start().await;
        assert_eq!(
            ask(gateway.http, "test.com", QUESTION).await.status,
            status,
            "row {row}"
        );
        assert_eq!(upstream.request_count(), usize::from(status == 200), "row {row}");
    }
}

#[tokio::test]
async fn a_reload_trusts_no_session_of_a_trust_that_is_gone() {
    let authority = Authority::new();
    let upstream = Upstream::tls(authority.acceptor(PROVIDER)).await;
    let gateway = Setup::seed().provider_behind_tls(&upstream, &authority).start().await;
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 200);
    let bundle = gateway.config().join("../ca.pem");
    std::fs::write(bundle, Authority::new().pem()).expect("another authority");
    gateway.signal("HUP");
    // Row 61: neither the idle connection nor its session serves any more.
    eventually("the old authority is forgotten", || async {
        (ask(gateway.http, "test.com", QUESTION).await.status == 503).then_some(())
    })
    .await;
    let before = upstream.request_count();
    assert_eq!(ask(gateway.http, "test.com", QUESTION).await.status, 503, "row 61");
    assert_eq!(upstream.request_count(), before, "row 61");
}
