//! Certificates that cannot be used: no start, a reason that names server and file, and no part of a key anywhere.

use crate::case::{gateway, secret, secret_of, setup, simple, start};
use crate::support::client;
use crate::support::gateway::Setup;
use crate::support::pki::Authority;

/// Asserts that serving is refused for `reasons`, and that nothing of `key` is said.
async fn refused(setup: &Setup, key: &str, reasons: &[&str]) {
    let said = setup.refused().await;
    let text = said.all();
    assert_eq!(said.code, 2, "{text}");
    for reason in reasons.iter().chain(&["istio-system/gw servers[0]"]) {
        assert!(text.contains(reason), "no {reason:?} in: {text}");
    }
    assert!(!text.contains(key), "a key in: {text}");
}

#[tokio::test]
async fn nothing_is_served_with_what_cannot_be_used() {
    let ca = Authority::new();
    let (good, other) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let key = good.key_line();
    let by_secret = || setup(&[("a.test", "mode: SIMPLE, credentialName: a")]);
    refused(&by_secret(), key, &["Secret"]).await;

    let with =
        |chain: &str, key: &str| by_secret().file("a.yaml", &secret("a", &[("tls.crt", chain), ("tls.key", key)]));
    let encrypted = good.key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    for (chain, its_key, reason) in [
        (
            &*other.certificate,
            &*good.key,
            "the Secret line 1 is not the certificate of the Secret line 1",
        ),
        (
            &good.certificate,
            &encrypted,
            "the Secret line 1: an ENCRYPTED PRIVATE KEY where a PRIVATE KEY without a password is wanted",
        ),
        (&good.certificate, "garbage", "no PEM private key"),
        (
            &good.certificate,
            &good.certificate,
            "the Secret line 1: a CERTIFICATE where a PRIVATE KEY without a password is wanted",
        ),
        ("garbage", &good.key, "no PEM certificate"),
        (
            &good.key,
            &good.certificate,
            "the Secret line 1: a PRIVATE KEY where a CERTIFICATE is wanted",
        ),
    ] {
        refused(&with(chain, its_key), key, &[reason]).await;
    }
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let ca = Authority::new();
    let good = ca.issue("a.test", 1);
    for broken in ["a.crt", "a.key", "ca.pem", "ca.crl"] {
        for with in [
            None,
            Some("garbage"),
            Some(""),
            Some("-----BEGIN X-----\nAAAA\n-----END X-----\n"),
        ] {
            let setup = setup(&[]);
            let contents = [
                ("a.crt", &*good.certificate),
                ("a.key", &good.key),
                ("ca.pem", &ca.pem()),
                ("ca.crl", &ca.revoke(&[], 2100)),
            ];
            let mut paths = Vec::new();
            for (name, text) in contents {
                let path = setup.aside(name, if name == broken { with.unwrap_or_default() } else { text });
                if name == broken && with.is_none() {
                    std::fs::remove_file(&path).expect("removing a file");
                }
                paths.push(path.display().to_string());
            }
            let [chain, key, roots, crl] = &*paths else {
                panic!("four paths")
            };
            let tls = format!(
                "mode: MUTUAL, serverCertificate: {chain}, privateKey: {key}, caCertificates: {roots}, caCrl: {crl}"
            );
            let setup = setup.file("gateway.yaml", &gateway(&[("a.test", &tls)]));
            refused(&setup, good.key_line(), &[broken]).await;
        }
    }
}

#[tokio::test]
async fn the_line_is_named_where_the_wrong_begins() {
    let ca = Authority::new();
    let good = ca.issue("a.test", 1);
    let (chain, roots, crl) = (&*good.certificate, ca.pem(), ca.revoke(&[], 2100));
    let lines = |text: &str| text.lines().count();
    let section = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
    let cut: String = good.key.lines().take(2).map(|line| format!("{line}\n")).collect();
    for (name, text, line, what) in [
        (
            "a.crt",
            format!("{chain}{}", section("CERTIFICATE", "AA*A")),
            lines(chain) + 1,
            "the CERTIFICATE that begins there is no base64",
        ),
        (
            "a.crt",
            format!("# a comment\n{}", section("CERTIFICATE", "AAAA")),
            2,
            "the certificate that begins there cannot be used",
        ),
        (
            "a.key",
            format!("\n{cut}"),
            2,
            "the PRIVATE KEY that begins there does not end",
        ),
        (
            "a.key",
            section("PRIVATE KEY", "AAAA"),
            1,
            "the key that begins there cannot be used",
        ),
        (
            "ca.pem",
            format!("{roots}\n{cut}"),
            lines(&roots) + 2,
            "the PRIVATE KEY that begins there does not end",
        ),
        (
            "ca.pem",
            format!("\n\n{}", section("CERTIFICATE", "AAAA")),
            3,
            "no certificate of an authority can be read there",
        ),
        ("ca.crl", roots.clone(), 1, "a CERTIFICATE where an X509 CRL is wanted"),
        (
            "ca.crl",
            format!("{crl}{}", section("X509 CRL", "AAAA")),
            lines(&crl) + 1,
            "the list that begins there cannot be used",
        ),
    ] {
        let setup = setup(&[]);
        let contents = [
            ("a.crt", chain),
            ("a.key", &good.key),
            ("ca.pem", &roots),
            ("ca.crl", &crl),
        ];
        let path = |(own, good): (&str, &str)| {
            let text = if own == name { &text } else { good };
            setup.aside(own, text).display().to_string()
        };
        let [chain, key, roots, crl] = contents.map(path);
        let tls = format!(
            "mode: MUTUAL, serverCertificate: {chain}, privateKey: {key}, caCertificates: {roots}, caCrl: {crl}"
        );
        let setup = setup.file("gateway.yaml", &gateway(&[("a.test", &tls)]));
        let place = format!("{name}` line {line}: {what}");
        refused(&setup, good.key_line(), &[&place]).await;
    }
}

#[tokio::test]
async fn key_whose_line_breaks_were_lost_is_not_said() {
    let ca = Authority::new();
    let good = ca.issue("a.test", 1);
    let one_line = |pem: &str| pem.replace('\n', " ");
    let key = good.key_line();
    let bytes = format!("{:?}", key.as_bytes()).trim_matches(['[', ']']).to_owned();
    let roots = ca.pem();
    for values in [
        [
            ("tls.crt", &*one_line(&good.key)),
            ("tls.key", &good.key),
            ("ca.crl", ""),
        ],
        [
            ("tls.crt", &good.certificate),
            ("tls.key", &one_line(&good.key)),
            ("ca.crl", ""),
        ],
        [
            ("tls.crt", &good.certificate),
            ("tls.key", &good.key),
            ("ca.crl", &one_line(&good.key)),
        ],
    ] {
        let values = [&values[..], &[("ca.crt", &*roots)]].concat();
        let setup = setup(&[("a.test", "mode: MUTUAL, credentialName: a")]).file("a.yaml", &secret("a", &values));
        let said = setup.refused().await;
        assert_eq!(said.code, 2, "{}", said.all());
        assert!(!said.all().contains(key), "a key in: {}", said.all());
        assert!(!said.all().contains(&bytes), "a key in: {}", said.all());
    }
}

#[tokio::test]
async fn key_is_on_no_page_and_in_no_log() {
    let ca = Authority::new();
    let issued = ca.issue("a.test", 1);
    let bed = start(simple(&issued)).await;
    let key = issued.key_line();
    let pages = [
        "/metrics",
        "/config_dump",
        "/playground/live.json",
        "/snapshot",
        "/healthz/ready",
    ];
    for page in pages {
        let answer = client::get(bed.gateway.admin, page).await;
        assert_eq!(answer.status, 200, "{page}");
        assert!(!String::from_utf8_lossy(&answer.body).contains(key), "a key in {page}");
    }
    for file in ["stdout", "stderr", "access.log"] {
        assert!(!bed.gateway.read(file).contains(key), "a key in {file}");
    }
    for (command, args) in [("check", &[][..]), ("explain", &["https://a.test/"])] {
        let said = simple(&issued)
            .file("b.yaml", &secret_of("b", &issued))
            .run(command, args)
            .await;
        assert_eq!(said.code, 0, "{}", said.all());
        assert!(!said.all().contains(key), "a key in {}", said.all());
    }
}

#[tokio::test]
async fn certificate_that_no_cipher_suite_fits_is_told_and_refused_without_tls_1_3() {
    let ca = Authority::new();
    let good = ca.issue("a.test", 1);
    let with = |more: &str| {
        let tls = format!("mode: SIMPLE, credentialName: a, {more}");
        setup(&[("a.test", &tls)]).file("a.yaml", &secret_of("a", &good))
    };
    let rsa = "cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256]";
    let said = "no cipher suite of TLS 1.2 fits the key of a certificate";
    refused(
        &with(&format!("{rsa}, maxProtocolVersion: TLSV1_2")),
        good.key_line(),
        &[said],
    )
    .await;
    for (suites, is_told) in [
        (rsa, true),
        (&format!("{rsa}, minProtocolVersion: TLSV1_3"), false),
        (
            "cipherSuites: [ECDHE-RSA-AES128-GCM-SHA256, ECDHE-ECDSA-AES128-GCM-SHA256]",
            false,
        ),
    ] {
        let bed = start(with(suites)).await;
        let told = bed.gateway.read("stderr");
        assert_eq!(told.contains(said), is_told, "{suites}: {told}");
    }
}
