//! TLS with upstreams as DestinationRules have it: who is trusted, who is turned away, what the gateway shows, and what
//! changes without a restart. Figures of the handshake come from the server itself.
#![allow(clippy::expect_used, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, SanType};
use support::client::{Response, ask};
use support::eventually;
use support::gateway::{Gateway, Setup};
use support::pki::{Authority, Issued};
use support::upstream::{COMPLETION, Upstream};
use support::{PROVIDER, QUESTION};

const H1: &[u8] = b"http/1.1";

/// The seed with its provider at `upstream`, spoken to by this `tls`.
fn seed(upstream: &Upstream, tls: &str) -> Setup {
    let setup = Setup::seed().provider_at(upstream).args(&["--workers", "1"]);
    with_tls(setup, tls)
}

fn with_tls(setup: Setup, tls: &str) -> Setup {
    setup.edit(
        "local-provider.yaml",
        "    tls:\n      mode: DISABLE",
        &format!("    tls: {{{tls}}}"),
    )
}

async fn question(gateway: &Gateway) -> Response {
    ask(gateway.http, "test.com", QUESTION).await
}

/// A Secret of the gateway's namespace.
fn secret(name: &str, values: &[(&str, &str)]) -> String {
    let head = "apiVersion: v1\nkind: Secret\n";
    let mut text = format!("{head}metadata: {{name: {name}, namespace: istio-system}}\nstringData:\n");
    for (key, value) in values {
        text.push_str(&format!("  {key}: |\n"));
        for line in value.lines() {
            text.push_str(&format!("    {line}\n"));
        }
    }
    text
}

/// What every output of a gateway with this certificate must not hold.
async fn assert_keeps(gateway: &Gateway, issued: &Issued) {
    for file in ["stdout", "stderr", "access.log"] {
        assert!(!gateway.read(file).contains(issued.key_line()), "a key in {file}");
    }
    for page in ["/config_dump", "/snapshot", "/metrics", "/playground/live.json"] {
        let answer = support::client::get(gateway.admin, page).await;
        assert_eq!(answer.status, 200, "{page}");
        let text = answer.text();
        assert!(!text.contains(issued.key_line()), "a key in {page}");
    }
    gateway.assert_keeps_the_key().await;
}

/// The files of a client's certificate and its key, and TLS settings that name them and the upstream's authority.
fn mutual(setup: &Setup, own: &Issued, ca: &Authority) -> ([PathBuf; 2], String) {
    let chain = setup.aside("own.crt", &own.certificate);
    let key = setup.aside("own.key", &own.key);
    let roots = setup.aside("ca.pem", &ca.pem());
    let tls = format!(
        "mode: MUTUAL, clientCertificate: {}, privateKey: {}, caCertificates: {}",
        chain.display(),
        key.display(),
        roots.display()
    );
    ([chain, key], tls)
}

/// Replaces a file as careful people do.
fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("aside");
    fs::write(&aside, text).expect("writing a file");
    fs::rename(&aside, path).expect("replacing a file");
}

#[tokio::test]
async fn certificate_in_files_is_shown_and_nobody_is_let_in_without() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let own = clients.issue("gateway.test", 7);
    let upstream = Upstream::tls(ca.acceptor_asking(PROVIDER, H1, &clients)).await;
    let setup = Setup::seed().provider_at(&upstream).args(&["--workers", "1"]);
    let (_, tls) = mutual(&setup, &own, &ca);
    let gateway = with_tls(setup, &tls).start().await;
    assert_eq!(question(&gateway).await.text(), COMPLETION);
    let seen = upstream.request().await;
    assert_eq!(seen.certificate.as_deref(), Some(&*own.chain[0]));
    assert_eq!(seen.sni.as_deref(), Some(PROVIDER));
    assert_keeps(&gateway, &own).await;

    // Without one the handshake fails, and so it does with one of an authority that the server does not trust.
    let setup = Setup::seed().provider_at(&upstream);
    let roots = setup.aside("ca.pem", &ca.pem());
    let setup = with_tls(setup, &format!("mode: SIMPLE, caCertificates: {}", roots.display()));
    let answer = question(&setup.start().await).await;
    assert!([502, 503].contains(&answer.status), "{}", answer.status);
    let stranger = ca.issue("gateway.test", 7);
    let tls = "mode: MUTUAL, credentialName: own";
    let values = [
        ("tls.crt", &*stranger.certificate),
        ("tls.key", &stranger.key),
        ("ca.crt", &ca.pem()),
    ];
    let setup = seed(&upstream, tls).file("own.yaml", &secret("own", &values));
    let answer = question(&setup.start().await).await;
    assert!([502, 503].contains(&answer.status), "{}", answer.status);
    assert_eq!(upstream.request_count(), 1);
}

#[tokio::test]
async fn certificate_in_a_secret_is_shown_under_either_names_and_with_roots_apart() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let own = clients.issue("gateway.test", 7);
    let upstream = Upstream::tls(ca.acceptor_asking(PROVIDER, H1, &clients)).await;
    let roots = ca.pem();
    let (chain, key) = (&*own.certificate, &*own.key);
    for secrets in [
        secret("own", &[("tls.crt", chain), ("tls.key", key), ("ca.crt", &roots)]),
        secret("own", &[("cert", chain), ("key", key), ("cacert", &roots)]),
        [
            secret("own", &[("cert", chain), ("key", key)]),
            secret("own-cacert", &[("cacert", &roots)]),
        ]
        .join("---\n"),
    ] {
        let setup = seed(&upstream, "mode: MUTUAL, credentialName: own").file("own.yaml", &secrets);
        let gateway = setup.start().await;
        assert_eq!(question(&gateway).await.text(), COMPLETION);
        let seen = upstream.request().await;
        assert_eq!(seen.certificate.as_deref(), Some(&*own.chain[0]));
        assert_keeps(&gateway, &own).await;
    }
    // In mode SIMPLE it is the authorities alone.
    let upstream = Upstream::tls(ca.acceptor(PROVIDER)).await;
    let setup = seed(&upstream, "mode: SIMPLE, credentialName: own");
    let gateway = setup
        .file("own.yaml", &secret("own", &[("ca.crt", &roots)]))
        .start()
        .await;
    assert_eq!(question(&gateway).await.text(), COMPLETION);
    assert_eq!(upstream.request().await.certificate, None);
}

/// What a client gets when the server's certificate has these names, and `tls` follows `mode: SIMPLE` and its authority.
async fn with_names(names: &[SanType], tls: &str) -> u16 {
    let ca = Authority::new();
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.subject_alt_names = names.to_vec();
    let upstream = Upstream::tls(ca.acceptor_with(params, H1)).await;
    let setup = Setup::seed().provider_at(&upstream);
    let roots = setup.aside("ca.pem", &ca.pem());
    let setup = with_tls(
        setup,
        &format!("mode: SIMPLE, caCertificates: {}, {tls}", roots.display()),
    );
    question(&setup.start().await).await.status
}

#[tokio::test]
async fn certificate_must_carry_one_of_the_names() {
    let dns = |name: &str| SanType::DnsName(name.try_into().expect("a name"));
    let uri = |name: &str| SanType::URI(name.try_into().expect("a name"));
    let spiffe = "spiffe://cluster.local/ns/llm/sa/provider";
    let by_names = format!("subjectAltNames: [other.one.test, \"{spiffe}\", 127.0.0.9]");
    for (carried, tls, status) in [
        (vec![dns(PROVIDER)], "", 200),
        (vec![dns("other.one.test")], "", 503),
        (vec![dns("other.one.test")], "sni: other.one.test", 200),
        (vec![dns(PROVIDER)], "sni: other.one.test", 503),
        (vec![dns("other.one.test")], &*by_names, 200),
        (vec![uri(spiffe)], &by_names, 200),
        (vec![SanType::IpAddress([127, 0, 0, 9].into())], &by_names, 200),
        (vec![dns("*.one.test")], &by_names, 200),
        // The server name is no longer enough, and a URI is compared as it stands.
        (vec![dns(PROVIDER)], &by_names, 503),
        (vec![uri("spiffe://cluster.local/ns/llm/sa/provider2")], &by_names, 503),
        (vec![uri("spiffe://cluster.local/ns/llm/sa")], &by_names, 503),
        (vec![SanType::IpAddress([127, 0, 0, 8].into())], &by_names, 503),
    ] {
        assert_eq!(with_names(&carried, tls).await, status, "{carried:?} {tls}");
    }
}

#[tokio::test]
async fn another_authority_is_not_trusted_whatever_the_name() {
    let (ca, other) = (Authority::new(), Authority::new());
    let upstream = Upstream::tls(ca.acceptor(PROVIDER)).await;
    for names in ["", &format!(", subjectAltNames: [{PROVIDER}]")] {
        let setup = Setup::seed().provider_at(&upstream);
        let roots = setup.aside("ca.pem", &other.pem());
        let tls = format!("mode: SIMPLE, caCertificates: {}{names}", roots.display());
        let gateway = with_tls(setup, &tls).start().await;
        assert_eq!(question(&gateway).await.status, 503);
        let line = gateway.log_of(1).await.remove(0).to_string();
        assert!(line.contains("TLS handshake: invalid peer certificate"), "{line}");
    }
    // Nor does the system trust it.
    let gateway = seed(&upstream, "mode: SIMPLE").start().await;
    assert_eq!(question(&gateway).await.status, 503);
    assert_eq!(upstream.request_count(), 0);
    // There is no switch to turn that off.
    let said = seed(&upstream, "mode: SIMPLE, insecureSkipVerify: true")
        .refused()
        .await;
    assert!(said.code == 2 && said.stderr.contains("`insecureSkipVerify` is refused"));
}

#[tokio::test]
async fn revoked_certificate_is_refused_with_names_and_without() {
    let ca = Authority::new();
    let acceptor = || {
        let mut params = CertificateParams::new(vec![PROVIDER.to_owned()]).expect("parameters");
        params.serial_number = Some(9_u64.into());
        ca.acceptor_with(params, H1)
    };
    let upstream = Upstream::tls(acceptor()).await;
    for names in ["", &format!(", subjectAltNames: [{PROVIDER}]")] {
        for (revoked, year, status) in [(8, 2100, 200), (9, 2100, 503), (8, 2025, 503)] {
            let setup = Setup::seed().provider_at(&upstream);
            let roots = setup.aside("ca.pem", &ca.pem());
            let crl = setup.aside("ca.crl", &ca.revoke(&[revoked], year));
            let tls = format!(
                "mode: SIMPLE, caCertificates: {}, caCrl: {}{names}",
                roots.display(),
                crl.display()
            );
            let gateway = with_tls(setup, &tls).start().await;
            assert_eq!(question(&gateway).await.status, status, "{revoked} {year} {names}");
        }
    }
}

#[tokio::test]
async fn replaced_files_are_taken_over_and_broken_ones_change_nothing() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let (old, new) = (clients.issue("old.test", 1), clients.issue("new.test", 2));
    let upstream = Upstream::tls(ca.acceptor_asking(PROVIDER, H1, &clients)).await;
    let setup = Setup::seed().provider_at(&upstream).args(&["--workers", "1"]);
    let ([chain, key], tls) = mutual(&setup, &old, &ca);
    let gateway = with_tls(setup, &tls).start().await;
    assert_eq!(question(&gateway).await.status, 200);
    let shown = upstream.request().await.certificate;
    assert_eq!(shown.as_deref(), Some(&*old.chain[0]));

    // A certificate whose key is another's, then one that is none.
    for text in [&*new.certificate, "garbage"] {
        let before = gateway.read("stderr").matches("configuration refused").count();
        replace(&chain, text);
        eventually("it is refused", || async {
            let refused = gateway.read("stderr").matches("configuration refused").count();
            (refused > before).then_some(())
        })
        .await;
        assert_eq!(question(&gateway).await.status, 200);
        let shown = upstream.request().await.certificate;
        assert_eq!(shown.as_deref(), Some(&*old.chain[0]));
    }
    replace(&chain, &new.certificate);
    replace(&key, &new.key);
    eventually("the new certificate is shown", || async {
        assert_eq!(question(&gateway).await.status, 200);
        (upstream.request().await.certificate.as_deref() == Some(&*new.chain[0])).then_some(())
    })
    .await;
    for issued in [&old, &new] {
        assert_keeps(&gateway, issued).await;
    }
}

#[tokio::test]
async fn what_is_missing_is_a_warning_of_check_and_an_error_of_serve_with_its_place() {
    let upstream = Upstream::plain().await;
    let missing = "mode: SIMPLE, caCertificates: /no/such/ca.pem";
    let setup = seed(&upstream, missing);
    let place = "local-provider.yaml:31:41";
    let check = setup.run("check", &[]).await;
    assert_eq!(check.code, 0, "{}", check.all());
    let serve = setup.refused().await;
    assert_eq!(serve.code, 2, "{}", serve.all());
    for (said, severity) in [(check, "warning"), (serve, "error")] {
        for wanted in [
            &*format!("{severity}[unreadable-file]"),
            place,
            "/no/such/ca.pem",
            "DestinationRule `istio-system/local-provider`",
        ] {
            assert!(said.stderr.contains(wanted), "no {wanted:?} in {}", said.stderr);
        }
    }
    let setup = seed(&upstream, "mode: MUTUAL, credentialName: none");
    let (check, serve) = (setup.run("check", &[]).await, setup.refused().await);
    assert_eq!((check.code, serve.code), (0, 2));
    for said in [check, serve] {
        for wanted in ["unknown-secret", "local-provider.yaml:31:41"] {
            assert!(said.stderr.contains(wanted), "no {wanted:?} in {}", said.stderr);
        }
    }
}

#[tokio::test]
async fn port_has_settings_of_its_own() {
    let ca = Authority::new();
    let upstream = Upstream::tls(ca.acceptor(PROVIDER)).await;
    let setup = Setup::seed().provider_at(&upstream);
    let roots = setup.aside("ca.pem", &ca.pem());
    let of_port = format!(
        "{{port: {{number: 443}}, tls: {{mode: SIMPLE, caCertificates: {}}}}}",
        roots.display()
    );
    let setup = setup.edit(
        "local-provider.yaml",
        "    tls:\n",
        &format!("    portLevelSettings: [{of_port}]\n    tls:\n"),
    );
    assert_eq!(question(&setup.start().await).await.status, 200);
}

#[tokio::test]
async fn sessions_are_resumed_and_not_those_of_other_settings() {
    let ca = Authority::new();
    let upstream = Upstream::tls(ca.acceptor(PROVIDER)).await;
    let setup = Setup::seed().provider_at(&upstream).args(&["--workers", "1"]);
    let roots = setup.aside("ca.pem", &ca.pem());
    let setup = with_tls(setup, &format!("mode: SIMPLE, caCertificates: {}", roots.display()));
    let gateway = setup.start().await;
    let mut resumed = Vec::new();
    for _ in 0..3 {
        // Each answer ends its connection.
        upstream.answer(support::upstream::Answer(vec![
            support::upstream::Step::Send(
                b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}".to_vec(),
            ),
            support::upstream::Step::Close,
        ]));
        assert_eq!(question(&gateway).await.status, 200);
        resumed.push(upstream.request().await.is_resumed);
    }
    assert_eq!(resumed, [false, true, true]);
    assert_eq!(upstream.connection_count(), 3);
    // Another list of authorities begins anew.
    let more = [ca.pem(), Authority::new().pem()].concat();
    replace(&roots, &more);
    let again = eventually("another handshake", || async {
        assert_eq!(question(&gateway).await.status, 200);
        let seen = upstream.request().await;
        (seen.connection > 3).then_some(seen)
    })
    .await;
    assert!(!again.is_resumed);
}

#[tokio::test]
async fn secret_that_comes_elsewhere_leaves_connections_as_they_are() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let own = clients.issue("gateway.test", 7);
    let upstream = Upstream::tls(ca.acceptor_asking(PROVIDER, H1, &clients)).await;
    let values = [
        ("tls.crt", &*own.certificate),
        ("tls.key", &own.key),
        ("ca.crt", &ca.pem()),
    ];
    let gateway = seed(&upstream, "mode: MUTUAL, credentialName: own")
        .file("own.yaml", &secret("own", &values))
        .start()
        .await;
    assert_eq!(question(&gateway).await.status, 200);
    // A server whose Secret comes before the others.
    let server = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: a-first, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {hosts: [a.test], port: {name: https, number: 443, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: a}}
---
";
    let values = [("tls.crt", &*own.certificate), ("tls.key", &own.key)];
    let text = format!("{server}{}", secret("a", &values));
    fs::write(gateway.config().join("a.yaml"), text).expect("writing a file");
    eventually("the new port is open", || async {
        support::client::Client::try_connect_from([127, 0, 0, 1], gateway.https)
            .await
            .ok()
            .map(drop)
    })
    .await;
    assert_eq!(question(&gateway).await.status, 200);
    assert_eq!(upstream.connection_count(), 1);
}

#[tokio::test]
async fn authorities_in_place_of_the_systems_are_all_that_are_trusted_and_read_again() {
    let (ca, other) = (Authority::new(), Authority::new());
    let upstream = Upstream::tls(ca.acceptor_of(PROVIDER, H1)).await;
    for text in [None, Some(""), Some("garbage")] {
        let setup = seed(&upstream, "mode: SIMPLE").env("SSL_CERT_DIR", "");
        let path = setup.aside("roots.pem", text.unwrap_or_default());
        if text.is_none() {
            fs::remove_file(&path).expect("removing a file");
        }
        let said = setup.env("SSL_CERT_FILE", &path.display().to_string()).refused().await;
        assert_eq!(said.code, 2, "{text:?}: {}", said.all());
        assert!(said.stderr.contains("where SSL_CERT_FILE leads"), "{}", said.stderr);
    }
    let setup = seed(&upstream, "mode: SIMPLE").env("SSL_CERT_DIR", "");
    let path = setup.aside("roots.pem", &ca.pem());
    let gateway = setup.env("SSL_CERT_FILE", &path.display().to_string()).start().await;
    assert_eq!(question(&gateway).await.status, 200);
    replace(&path, &other.pem());
    gateway.signal("HUP");
    eventually("it is not trusted any more", || async {
        (question(&gateway).await.status == 503).then_some(())
    })
    .await;
}
