//! What a client asks for in its handshake.

use crate::support::client::post;
use crate::support::gateway::Setup;
use crate::support::https::Tls;
use crate::support::pki::{Authority, Issued};
use crate::support::upstream::Upstream;
use crate::support::{PROVIDER, QUESTION};
use rustls::version;

/// A Gateway of two servers, and what they are made of.
fn setup(issued: &Issued, clients: &Authority, mode: &str) -> Setup {
    let setup = Setup::empty();
    let chain = setup.aside("a.crt", &issued.certificate);
    let key = setup.aside("a.key", &issued.key);
    let roots = setup.aside("clients.pem", &clients.pem());
    let files = format!("serverCertificate: {}, privateKey: {}", chain.display(), key.display());
    let roots = format!("caCertificates: {}", roots.display());
    let text = format!(
        "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: gw, namespace: istio-system}}
spec:
  selector: {{istio: ingressgateway}}
  servers:
  - {{hosts: ['*'], port: {{name: lax, number: 443, protocol: HTTPS}}, tls: {{mode: {mode}, {files}}}}}
  - hosts: [closed.corp.test]
    port: {{name: strict, number: 443, protocol: HTTPS}}
    tls: {{mode: MUTUAL, {files}, {roots}}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMProvider
metadata: {{name: provider, namespace: istio-system}}
spec: {{host: {PROVIDER}}}
---
apiVersion: istio.alibabacloud.com/v1beta1
kind: LLMRoute
metadata: {{name: route, namespace: istio-system}}
spec: {{host: open.corp.test, gateways: [gw], rules: [{{backendRefs: [{{providerHost: {PROVIDER}}}]}}]}}
"
    );
    setup.file("gateway.yaml", &text)
}

// 21
#[tokio::test]
async fn a_server_name_leads_to_no_upstream() {
    let ca = Authority::new();
    let names = [PROVIDER, "outbound_.443_._.dashscope.aliyuncs.com", "open.corp.test"];
    let params = rcgen::CertificateParams::new(names.map(str::to_owned)).expect("parameters");
    let issued = ca.issue_with(params);
    for mode in ["PASSTHROUGH", "AUTO_PASSTHROUGH"] {
        let said = setup(&issued, &ca, mode).refused().await;
        assert_eq!(said.code, 2, "{}", said.all());
        assert!(said.all().contains(mode), "{}", said.all());
    }
    let upstream = Upstream::plain().await;
    let gateway = setup(&issued, &ca, "SIMPLE").provider_at(&upstream).start().await;
    for name in &names[..2] {
        // What ends TLS here is the gateway itself, and what it then reads is HTTP for hosts that it has routes for.
        let request = post(name, &[], QUESTION);
        let answer = Tls::new(&ca).ask(gateway.https, name, &request).await;
        assert_eq!(answer.expect("an answer").status, 404, "{name}");
        let mut client = Tls::new(&ca).client(gateway.https, name).await;
        client.send(b"\x16\x03\x01 as if it were passed on\r\n\r\n").await;
        assert_eq!(client.response().await.status, 400, "{name}");
    }
    assert_eq!(upstream.connection_count(), 0);
}

// 23
#[tokio::test]
async fn a_client_of_only_one_version_gets_no_laxer_server() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let issued = ca.issue("*.corp.test", 1);
    let gateway = setup(&issued, &clients, "SIMPLE").start().await;
    let own = clients.issue("bot.test", 2);
    for version in [&version::TLS12, &version::TLS13] {
        for alpn in [&[][..], &["h2", "http/1.1"], &["http/1.1"]] {
            let nobody = Tls::with(&ca, &[version], None).alpn(alpn);
            for host in ["closed.corp.test", "open.corp.test", "elsewhere.test"] {
                let request = post(host, &[], QUESTION);
                let answer = nobody.ask(gateway.https, "closed.corp.test", &request).await;
                assert!(answer.is_none(), "{:?} {alpn:?}: {answer:?}", version.version);
            }
            // And by the other server it is not come to.
            let request = post("closed.corp.test", &[], QUESTION);
            let answer = nobody
                .clone()
                .alpn(&["http/1.1"])
                .ask(gateway.https, "open.corp.test", &request)
                .await;
            assert_eq!(answer.expect("an answer").status, 421, "{:?}", version.version);
            let known = Tls::with(&ca, &[version], Some(&own)).alpn(&["http/1.1"]);
            let answer = known.ask(gateway.https, "closed.corp.test", &request).await;
            assert_eq!(answer.expect("an answer").status, 404, "{:?}", version.version);
        }
    }
}
