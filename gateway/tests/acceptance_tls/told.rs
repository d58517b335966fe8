//! `x-forwarded-client-cert`: what a plain host is told of the client's certificate, and what of a client's own words
//! gets there.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, DistinguishedName, DnType, SanType};

use crate::case::{ROUTE, gateway, secret, setup, turned_away};
use crate::support::QUESTION;
use crate::support::bed::{Bed, plain_host};
use crate::support::client::{Client, post};
use crate::support::gateway::Setup;
use crate::support::https::{Tls, VERSIONS};
use crate::support::pki::{Authority, Issued};
use crate::support::upstream::{Recorded, Upstream};

const FIELD: &str = "x-forwarded-client-cert";
const BOT: &str = "spiffe://cluster.local/ns/batch/sa/bot";

/// Two certificates: the server's, which has a URI, and the client's.
struct Pair {
    server: Authority,
    clients: Authority,
    own: Issued,
    bot: Issued,
}

fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().expect("a URI"))
}

fn pair() -> Pair {
    let (server, clients) = (Authority::new(), Authority::new());
    let mut own = CertificateParams::new(vec!["*.corp.test".to_owned()]).expect("parameters");
    own.subject_alt_names.push(uri("spiffe://corp.test/gateway"));
    let mut bot = CertificateParams::new(vec!["bot.corp.test".to_owned()]).expect("parameters");
    bot.subject_alt_names.push(uri(BOT));
    bot.distinguished_name = DistinguishedName::new();
    bot.distinguished_name.push(DnType::OrganizationName, "Acme, \"Inc\"");
    bot.distinguished_name.push(DnType::CommonName, "bot");
    Pair {
        own: server.issue_with(own),
        bot: clients.issue_with(bot),
        server,
        clients,
    }
}

/// What Envoy writes of the client's certificate.
fn told(pair: &Pair) -> String {
    let der = &pair.bot.chain[0];
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, der);
    let hash: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).expect("base64"))
        .collect();
    let body = lines
        .join("%0A")
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    format!(
        "By=spiffe://corp.test/gateway;Hash={hash};\
         Cert=\"-----BEGIN%20CERTIFICATE-----%0A{body}%0A-----END%20CERTIFICATE-----%0A\";\
         Subject=\"CN=bot,O=Acme\\, \\\"Inc\\\"\";URI={BOT};DNS=bot.corp.test"
    )
}

/// A plain host behind `may.corp.test` and in plain text, and a provider behind everything else.
async fn bed(pair: &Pair, forwarding: Option<&str>) -> Bed {
    let upstream = Upstream::plain().await;
    let values = [
        ("tls.crt", &*pair.own.certificate),
        ("tls.key", &pair.own.key),
        ("ca.crt", &pair.clients.pem()),
    ];
    let servers = [(
        "may.corp.test, llm.corp.test, dashscope.aliyuncs.com",
        "mode: OPTIONAL_MUTUAL, credentialName: a",
    )];
    let hosts = plain_host(upstream.addr.port(), "gw", "may.corp.test");
    let in_plain_text = "  - {hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}\n";
    let mut setup: Setup = setup(&servers)
        .file("gateway.yaml", &(gateway(&servers) + in_plain_text))
        .file("a.yaml", &secret("a", &values))
        .file("route.yaml", ROUTE)
        .file("hosts.yaml", &hosts)
        .provider_at(&upstream);
    if let Some(forwarding) = forwarding {
        let mesh = format!(
            "apiVersion: lockgate.dev/v1\nkind: MeshConfig\nmetadata: {{name: mesh, namespace: istio-system}}\n\
             spec: {{defaultConfig: {{gatewayTopology: {{forwardClientCertDetails: {forwarding}}}}}}}\n"
        );
        setup = setup.file("mesh.yaml", &mesh);
    }
    Bed::of(upstream, setup.start().await)
}

async fn sent(bed: &Bed, tls: Option<&Tls>, host: &str, fields: &[(&str, &str)]) -> Recorded {
    let request = post(host, fields, QUESTION);
    match tls {
        Some(tls) => {
            let mut client = tls.client(bed.gateway.https, host).await;
            client.send(request).await;
            assert_eq!(client.response().await.status, 200);
        }
        None => {
            let mut client = Client::connect(bed.http()).await;
            client.send(request).await;
            assert_eq!(client.response().await.status, 200);
        }
    }
    bed.upstream.request().await
}

#[tokio::test]
async fn a_host_is_told_of_certificates_as_the_topology_says() {
    let pair = pair();
    let told = told(&pair);
    let words = [(FIELD, "one"), ("x_forwarded_client_cert", "two"), (FIELD, "three")];
    let appended = format!("one,three,{told}");
    // Of a client with a certificate, of one without, and of one in plain text.
    for (forwarding, with, without) in [
        (None, Some(&*told), None),
        (Some("SANITIZE_SET"), Some(&*told), None),
        (Some("SANITIZE"), None, None),
        (Some("FORWARD_ONLY"), Some("one,three"), None),
        (Some("APPEND_FORWARD"), Some(&*appended), None),
        (Some("ALWAYS_FORWARD_ONLY"), Some("one,three"), Some("one,three")),
    ] {
        let bed = bed(&pair, forwarding).await;
        for version in VERSIONS {
            let mutual = Tls::with(&pair.server, &[version], Some(&pair.bot));
            let seen = sent(&bed, Some(&mutual), "may.corp.test", &words).await;
            assert_eq!(seen.header(FIELD), with, "{forwarding:?}");
            assert_eq!(seen.header("x_forwarded_client_cert"), None, "{forwarding:?}");
            // A provider has nothing to do with the gateway's clients.
            let seen = sent(&bed, Some(&mutual), "llm.corp.test", &words).await;
            assert_eq!(seen.header(FIELD), None, "{forwarding:?}");
        }
        let anonymous = Tls::new(&pair.server);
        for tls in [Some(&anonymous), None] {
            let seen = sent(&bed, tls, "may.corp.test", &words).await;
            assert_eq!(seen.header(FIELD), without, "{forwarding:?} {}", tls.is_some());
        }
    }
}

#[tokio::test]
async fn requests_of_one_http2_connection_tell_the_same() {
    let pair = pair();
    let bed = bed(&pair, None).await;
    let tls = Tls::with(&pair.server, &VERSIONS, Some(&pair.bot));
    let mut client = tls.http2(bed.gateway.https, "may.corp.test").await;
    for _ in 0..2 {
        assert_eq!(
            client
                .post("may.corp.test", QUESTION)
                .await
                .expect("an answer")
                .status(),
            200
        );
        assert_eq!(bed.upstream.request().await.header(FIELD), Some(&*told(&pair)));
    }
}

#[tokio::test]
async fn a_certificate_that_no_upstream_can_be_told_of_is_turned_away() {
    let pair = pair();
    let bed = bed(&pair, None).await;
    let mut large = CertificateParams::new(vec!["bot.corp.test".to_owned()]).expect("parameters");
    large
        .subject_alt_names
        .extend((0..400).map(|index| uri(&format!("https://a.test/{index:080}"))));
    let large = pair.clients.issue_with(large);
    for version in VERSIONS {
        let tls = Tls::with(&pair.server, &[version], Some(&large));
        let request = post("may.corp.test", &[], QUESTION);
        assert!(tls.ask(bed.gateway.https, "may.corp.test", &request).await.is_none());
    }
    turned_away(&bed.gateway, "client_certificate", 2.0).await;
}
