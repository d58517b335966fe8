//! Which server a client gets by the name it asks for, and what is agreed on.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::client::Resumption;
use rustls::{CipherSuite, HandshakeKind, version};

use crate::case::{gateway, secret_of, setup, simple, start, turned_away};
use crate::support::QUESTION;
use crate::support::client::{Client, post, request};
use crate::support::gateway::Setup;
use crate::support::https::{Tls, VERSIONS};
use crate::support::pki::Authority;
use crate::support::wire::values;

#[tokio::test]
async fn server_name_chooses_the_certificate() {
    let ca = Authority::new();
    let names = ["a.test", "*.wild.test", "deep.wild.test", "fallback.test"];
    let [a, wild, deep, any] = [1, 2, 3, 4].map(|serial: u64| {
        let index = usize::try_from(serial - 1).expect("small");
        ca.issue(names[index], serial)
    });
    let data = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: deep, namespace: istio-system}}\ntype: kubernetes.io/tls\n\
         data: {{tls.crt: {}, tls.key: {}}}\n",
        STANDARD.encode(&deep.certificate),
        STANDARD.encode(&deep.key)
    );
    let setup = setup(&[]);
    let files = [
        setup.aside("wild.crt", &wild.certificate),
        setup.aside("wild.key", &wild.key),
    ];
    let by_file = format!(
        "mode: SIMPLE, serverCertificate: {}, privateKey: {}",
        files[0].display(),
        files[1].display()
    );
    let servers = [
        ("a.test", "mode: SIMPLE, credentialName: a"),
        ("'*.wild.test'", &*by_file),
        ("deep.wild.test", "mode: SIMPLE, credentialName: deep"),
        ("'*'", "mode: SIMPLE, credentialName: any"),
    ];
    let bed = start(
        setup
            .file("gateway.yaml", &gateway(&servers))
            .file("a.yaml", &secret_of("a", &a))
            .file("deep.yaml", &data)
            .file("any.yaml", &secret_of("any", &any)),
    )
    .await;
    let tls = Tls::new(&ca);
    for (name, issued) in [
        ("a.test", &a),
        ("A.TEST", &a),
        ("x.wild.test", &wild),
        ("deep.wild.test", &deep),
        ("fallback.test", &any),
    ] {
        let mut client = tls.client(bed.gateway.https, name).await;
        let shown = client.stream().get_ref().1.peer_certificates();
        assert_eq!(shown, Some(&*issued.chain), "{name}");
        assert_eq!(client.ask(name, QUESTION).await.status, 200, "{name}");
    }
    let mut nameless = tls.without_name().client(bed.gateway.https, "fallback.test").await;
    assert_eq!(nameless.ask("fallback.test", QUESTION).await.status, 200);
    assert_eq!(nameless.ask("a.test", QUESTION).await.status, 421);
}

#[tokio::test]
async fn name_that_no_server_takes_gets_no_handshake() {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1))).await;
    let tls = Tls::new(&ca);
    for name in ["b.test", "x.a.test", "test"] {
        assert!(tls.connect(bed.gateway.https, name).await.is_err(), "{name}");
    }
    let nameless = tls.clone().without_name();
    assert!(nameless.connect(bed.gateway.https, "a.test").await.is_err());
    turned_away(&bed.gateway, "server_name", 4.0).await;
    assert!(
        tls.ask(bed.gateway.https, "a.test", &post("a.test", &[], QUESTION))
            .await
            .is_some()
    );
}

#[tokio::test]
async fn protocol_is_agreed_on() {
    let ca = Authority::new();
    let bed = start(simple(&ca.issue("a.test", 1))).await;
    let tls = Tls::new(&ca);
    for (offered, agreed) in [
        (&["h2", "http/1.1"][..], Some("h2")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["nonsense", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = tls.clone().alpn(offered).connect(bed.gateway.https, "a.test").await;
        let stream = stream.expect("a handshake");
        let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
        assert_eq!(protocol, agreed.map(|name| name.as_bytes().to_vec()), "{offered:?}");
        if agreed != Some("h2") {
            assert_eq!(Client::over(stream).ask("a.test", QUESTION).await.status, 200);
        }
    }
    let nonsense = tls.alpn(&["nonsense"]).connect(bed.gateway.https, "a.test").await;
    assert!(nonsense.is_err());
    turned_away(&bed.gateway, "protocol", 1.0).await;
}

#[tokio::test]
async fn versions_and_suites_are_those_of_the_server() {
    let ca = Authority::new();
    let issued = ca.issue("*.corp.test", 1);
    const OLD: &str = "mode: SIMPLE, credentialName: a, maxProtocolVersion: TLSV1_2, cipherSuites: \
                       [ECDHE-ECDSA-AES256-GCM-SHA384]";
    let servers = [
        (
            "new.corp.test",
            "mode: SIMPLE, credentialName: a, minProtocolVersion: TLSV1_3",
        ),
        ("old.corp.test", OLD),
        (
            "both.corp.test",
            "mode: SIMPLE, credentialName: a, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]",
        ),
    ];
    let bed = start(setup(&servers).file("a.yaml", &secret_of("a", &issued))).await;
    let https = bed.gateway.https;
    for (name, version, works) in [
        ("new.corp.test", &version::TLS12, false),
        ("new.corp.test", &version::TLS13, true),
        ("old.corp.test", &version::TLS12, true),
        ("old.corp.test", &version::TLS13, false),
        ("both.corp.test", &version::TLS12, true),
        ("both.corp.test", &version::TLS13, true),
    ] {
        let done = Tls::with(&ca, &[version], None).connect(https, name).await;
        assert_eq!(done.is_ok(), works, "{name} {:?}", version.version);
    }
    for (suite, works) in [
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, true),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, false),
        (CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, false),
    ] {
        for name in ["old.corp.test", "both.corp.test"] {
            let done = Tls::with_suite(&ca, suite, &version::TLS12).connect(https, name).await;
            assert_eq!(done.is_ok(), works, "{name} {suite:?}");
        }
    }
    turned_away(&bed.gateway, "protocol", 6.0).await;
}

#[tokio::test]
async fn host_of_another_server_is_misdirected() {
    let ca = Authority::new();
    let clients = ca.pem();
    let setup = setup(&[]);
    let roots = setup.aside("clients.pem", &clients);
    let mutual = format!("mode: MUTUAL, credentialName: a, caCertificates: {}", roots.display());
    let servers = [
        ("open.corp.test, also.corp.test", "mode: SIMPLE, credentialName: a"),
        ("closed.corp.test", &*mutual),
    ];
    let bed = start(
        setup
            .file("gateway.yaml", &gateway(&servers))
            .file("a.yaml", &secret_of("a", &ca.issue("*.corp.test", 1))),
    )
    .await;
    let (tls, https) = (Tls::new(&ca), bed.gateway.https);
    for (host, status) in [
        ("open.corp.test", 200),
        ("also.corp.test", 200),
        ("also.corp.test:443", 200),
        ("closed.corp.test", 421),
        ("CLOSED.corp.test:443", 421),
        ("closed.corp.test.", 421),
        ("elsewhere.test", 421),
    ] {
        let mut client = tls.client(https, "open.corp.test").await;
        assert_eq!(client.ask(host, QUESTION).await.status, status, "{host}");
        client = tls.client(https, "open.corp.test").await;
        let absolute = request("POST", &format!("https://{host}/"), host, &[], QUESTION);
        client.send(absolute).await;
        assert_eq!(client.response().await.status, status, "{host} as the target");
        let mut http2 = tls.http2(https, "open.corp.test").await;
        let answer = http2.post(host, QUESTION).await.expect("an answer");
        assert_eq!(answer.status(), status, "{host} over HTTP/2");
        let again = http2.post("open.corp.test", QUESTION).await.expect("an answer");
        assert_eq!(again.status(), 200, "the connection goes on");
    }
}

#[tokio::test]
async fn ticket_of_one_server_opens_no_other() {
    let ca = Authority::new();
    let setup = setup(&[]);
    let roots = setup.aside("clients.pem", &ca.pem());
    let mutual = format!("mode: MUTUAL, credentialName: a, caCertificates: {}", roots.display());
    let servers = [
        ("open.corp.test", "mode: SIMPLE, credentialName: a"),
        ("twin.corp.test", "mode: SIMPLE, credentialName: a"),
        ("closed.corp.test", &*mutual),
    ];
    let bed = start(
        setup
            .file("gateway.yaml", &gateway(&servers))
            .file("a.yaml", &secret_of("a", &ca.issue("*.corp.test", 1))),
    )
    .await;
    let https = bed.gateway.https;
    for version in VERSIONS {
        let store = stolen::Store::new();
        let tls = Tls::with(&ca, &[version], None).resuming(Resumption::store(store));
        let question = |host| post(host, &[], QUESTION);
        assert_eq!(
            tls.ask(https, "open.corp.test", &question("open.corp.test"))
                .await
                .expect("an answer")
                .status,
            200
        );
        let mut resumed = tls.client(https, "open.corp.test").await;
        assert_eq!(resumed.ask("open.corp.test", QUESTION).await.status, 200);
        let kind = resumed.stream().get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Resumed), "{:?}", version.version);
        let mut twin = tls.client(https, "twin.corp.test").await;
        assert_eq!(twin.ask("twin.corp.test", QUESTION).await.status, 200);
        let kind = twin.stream().get_ref().1.handshake_kind();
        assert_eq!(kind, Some(HandshakeKind::Full), "{:?}", version.version);
        assert!(
            tls.ask(https, "closed.corp.test", &question("closed.corp.test"))
                .await
                .is_none()
        );
    }
    turned_away(&bed.gateway, "client_certificate", 2.0).await;
}

mod stolen {
    use std::sync::{Arc, Mutex};

    use rustls::NamedGroup;
    use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
    use rustls::pki_types::ServerName;

    /// Shows every server the last session of any.
    #[derive(Debug, Default)]
    pub(super) struct Store {
        old: Mutex<Option<Tls12ClientSessionValue>>,
        new: Mutex<Vec<Tls13ClientSessionValue>>,
    }

    impl Store {
        pub(super) fn new() -> Arc<Self> {
            Arc::default()
        }
    }

    impl ClientSessionStore for Store {
        fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

        fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
            None
        }

        fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
            *self.old.lock().expect("a session") = Some(value);
        }

        fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
            self.old.lock().expect("a session").clone()
        }

        fn remove_tls12_session(&self, _: &ServerName<'static>) {}

        fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
            self.new.lock().expect("sessions").push(value);
        }

        fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
            self.new.lock().expect("sessions").pop()
        }
    }
}

#[tokio::test]
async fn listeners_of_gateway_api_are_served() {
    let ca = Authority::new();
    let (a, b) = (ca.issue("a.test", 1), ca.issue("*.b.test", 2));
    let gateway = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  gatewayClassName: istio
  listeners:
  - {name: a, port: 443, protocol: HTTPS, hostname: a.test, tls: {certificateRefs: [{name: a}]}}
  - {name: b, port: 443, protocol: HTTPS, hostname: '*.b.test', tls: {certificateRefs: [{name: b}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route, namespace: istio-system}
spec:
  parentRefs: [{name: gw}]
  rules: [{filters: [{type: RequestRedirect, requestRedirect: {hostname: to.test}}]}]
";
    let bed = start(
        Setup::empty()
            .file("gateway.yaml", gateway)
            .file("a.yaml", &secret_of("a", &a))
            .file("b.yaml", &secret_of("b", &b)),
    )
    .await;
    let tls = Tls::new(&ca);
    for (name, issued) in [("a.test", &a), ("x.b.test", &b)] {
        let mut client = tls.client(bed.gateway.https, name).await;
        let shown = client.stream().get_ref().1.peer_certificates();
        assert_eq!(shown, Some(&*issued.chain), "{name}");
        client.send(request("GET", "/p", name, &[], "")).await;
        let answer = client.response().await;
        assert_eq!(answer.status, 302, "{name}");
        assert_eq!(values(&answer.fields, "location"), ["https://to.test/p"]);
        let other = if name == "a.test" { "x.b.test" } else { "a.test" };
        assert_eq!(client.ask(other, QUESTION).await.status, 421, "{name}");
    }
    assert!(tls.connect(bed.gateway.https, "b.test").await.is_err());
}
