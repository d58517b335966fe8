//! Clients' certificates: who is let in, and what policy and logs know of them.

use core::time::Duration;

use rcgen::{CertificateParams, SanType, date_time_ymd};
use rustls::HandshakeKind;
use rustls::client::Resumption;

use crate::case::{gateway, secret, setup, start, turned_away};
use crate::support::bed::Bed;
use crate::support::client::post;
use crate::support::gateway::edit;
use crate::support::https::{Tls, VERSIONS};
use crate::support::outputs::field;
use crate::support::pki::{Authority, Issued};
use crate::support::{QUESTION, eventually};

const BOT: &str = "spiffe://cluster.local/ns/batch/sa/bot";

const POLICY: &str = "
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: questions, namespace: istio-system}
spec:
  action: DENY
  rules:
  - from: [{source: {principals: ['cluster.local/ns/batch/sa/bot']}}]
    when: [{key: 'request.headers[x-ask]', values: [bot]}]
  - from: [{source: {notPrincipals: ['*']}}]
    when: [{key: 'request.headers[x-ask]', values: [nobody]}]
  - from: [{source: {namespaces: [batch]}}]
    when: [{key: 'request.headers[x-ask]', values: [namespace]}]
  - when:
    - {key: 'request.headers[x-ask]', values: [principal]}
    - {key: source.principal, values: ['cluster.local/ns/batch/*']}
  - when:
    - {key: 'request.headers[x-ask]', values: [sni]}
    - {key: connection.sni, values: ['must.corp.test']}
";

/// A server that must see certificates, one that may, and one that wants a name of them.
async fn bed(server: &Authority, clients: &Authority) -> Bed {
    let issued = server.issue("*.corp.test", 1);
    let crl = clients.revoke(&[66], 2100);
    let values = [
        ("tls.crt", &*issued.certificate),
        ("tls.key", &issued.key),
        ("ca.crt", &clients.pem()),
        ("ca.crl", &crl),
    ];
    let named = "mode: MUTUAL, credentialName: a, subjectAltNames: ['spiffe://cluster.local/ns/batch/sa/bot', ok.test]";
    let servers = [
        ("must.corp.test", "mode: MUTUAL, credentialName: a"),
        ("may.corp.test", "mode: OPTIONAL_MUTUAL, credentialName: a"),
        ("named.corp.test", named),
    ];
    start(
        setup(&servers)
            .file("a.yaml", &secret("a", &values))
            .file("policy.yaml", POLICY),
    )
    .await
}

#[tokio::test]
async fn who_came_before_certificates_were_asked_for_does_not_stay_without_one() {
    let (server, clients) = (Authority::new(), Authority::new());
    let issued = server.issue("*.corp.test", 1);
    let values = [
        ("tls.crt", &*issued.certificate),
        ("tls.key", &issued.key),
        ("ca.crt", &clients.pem()),
    ];
    let servers = [
        ("a.corp.test", "mode: OPTIONAL_MUTUAL, credentialName: a"),
        ("b.corp.test", "mode: SIMPLE, credentialName: a"),
    ];
    let bed = start(setup(&servers).file("a.yaml", &secret("a", &values))).await;
    let bot = Tls::with(&server, &VERSIONS, Some(&clients.issue("bot.test", 7)));
    let nobody = Tls::new(&server);
    let mut without = nobody.client(bed.gateway.https, "a.corp.test").await;
    let mut other = nobody.client(bed.gateway.https, "b.corp.test").await;
    let mut with = bot.client(bed.gateway.https, "a.corp.test").await;
    assert_eq!(without.ask("a.corp.test", QUESTION).await.status, 200);
    assert_eq!(other.ask("b.corp.test", QUESTION).await.status, 200);
    assert_eq!(with.ask("a.corp.test", QUESTION).await.status, 200);
    edit(&bed.gateway.config().join("gateway.yaml"), "OPTIONAL_MUTUAL", "MUTUAL");
    let mut status = 200;
    for _ in 0..1000 {
        status = without.ask("a.corp.test", QUESTION).await.status;
        if status != 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status, 421);
    assert_eq!(other.ask("b.corp.test", QUESTION).await.status, 200);
    assert_eq!(with.ask("a.corp.test", QUESTION).await.status, 200);
}

fn expired(authority: &Authority) -> Issued {
    let mut params = CertificateParams::new(vec!["old.corp.test".to_owned()]).expect("parameters");
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    authority.issue_with(params)
}

/// Whose it is, is not defined: what denies one of them must not be passed as the other.
fn of_two_ids(authority: &Authority) -> Issued {
    let mut params = CertificateParams::new(vec!["ok.test".to_owned()]).expect("parameters");
    let uris = [BOT, "spiffe://corp.test/ns/team/sa/other"];
    let names = uris.map(|uri| SanType::URI(uri.try_into().expect("a URI")));
    params.subject_alt_names.extend(names);
    authority.issue_with(params)
}

#[tokio::test]
async fn only_good_certificates_are_let_in() {
    let (ca, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let bed = bed(&ca, &clients).await;
    let shown = [
        ("none", None),
        ("of another authority", Some(stranger.issue_uri(BOT, 2))),
        ("expired", Some(expired(&clients))),
        ("revoked", Some(clients.issue_uri(BOT, 66))),
        ("of another name", Some(clients.issue("other.test", 7))),
        ("of a similar name", Some(clients.issue_uri(&format!("{BOT}2"), 8))),
        ("of two ids", Some(of_two_ids(&clients))),
        ("by URI", Some(clients.issue_uri(BOT, 9))),
        ("by DNS", Some(clients.issue("ok.test", 10))),
    ];
    let mut refused = 0.0;
    for version in VERSIONS {
        for (what, own) in &shown {
            let tls = Tls::with(&ca, &[version], own.as_ref());
            for host in ["must.corp.test", "may.corp.test", "named.corp.test"] {
                let wanted = match *what {
                    "none" => host == "may.corp.test",
                    "of another authority" | "expired" | "revoked" | "of two ids" => false,
                    "of another name" | "of a similar name" => host != "named.corp.test",
                    _ => true,
                };
                let answer = tls.ask(bed.gateway.https, host, &post(host, &[], QUESTION)).await;
                let status = answer.map(|answer| answer.status);
                assert_eq!(status, wanted.then_some(200), "{what} at {host} {:?}", version.version);
                refused += if wanted { 0.0 } else { 1.0 };
            }
        }
    }
    turned_away(&bed.gateway, "client_certificate", refused).await;
}

#[tokio::test]
async fn policy_and_log_know_who_it_is() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let bed = bed(&ca, &clients).await;
    let bot = clients.issue_uri(BOT, 2);
    let other = clients.issue("ok.test", 3);
    for (version, name) in VERSIONS.into_iter().zip(["TLSv1.2", "TLSv1.3"]) {
        for (own, host, denied) in [
            (
                Some(&bot),
                "must.corp.test",
                &["bot", "namespace", "principal", "sni"][..],
            ),
            (Some(&other), "must.corp.test", &["nobody", "sni"]),
            (None, "may.corp.test", &["nobody"]),
        ] {
            let tls = Tls::with(&ca, &[version], own);
            for question in ["bot", "nobody", "namespace", "principal", "sni"] {
                let request = post(host, &[("x-ask", question)], QUESTION);
                let answer = tls.ask(bed.gateway.https, host, &request).await.expect("an answer");
                let status = if denied.contains(&question) { 403 } else { 200 };
                assert_eq!(answer.status, status, "{question} of {host} {name}");
            }
        }
    }
    let lines = bed.gateway.log_of(30).await;
    for (index, line) in lines.iter().enumerate() {
        let version = if index < 15 { "TLSv1.2" } else { "TLSv1.3" };
        let (host, principal) = match index % 15 {
            0..5 => ("must.corp.test", BOT.trim_start_matches("spiffe://")),
            5..10 => ("must.corp.test", "-"),
            _ => ("may.corp.test", "-"),
        };
        assert_eq!(field(line, "requested_server_name"), host, "{line}");
        assert_eq!(field(line, "downstream_tls_version"), version, "{line}");
        assert_eq!(field(line, "downstream_peer_principal"), principal, "{line}");
    }
}

#[tokio::test]
async fn resumed_session_is_the_same_client_until_it_is_revoked() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let bed = bed(&ca, &clients).await;
    let own = clients.issue_uri(BOT, 5);
    let question = post("must.corp.test", &[("x-ask", "bot")], QUESTION);
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], Some(&own)).resuming(Resumption::in_memory_sessions(8));
        for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
            let mut client = tls.client(bed.gateway.https, "must.corp.test").await;
            client.send(&question).await;
            assert_eq!(client.response().await.status, 403, "the bot is known");
            let done = client.stream().get_ref().1.handshake_kind();
            assert_eq!(done, Some(kind), "{:?}", version.version);
        }
        let config = bed.gateway.config().join("a.yaml");
        let text = std::fs::read_to_string(&config).expect("the Secret");
        let list = |serials: &[u64]| {
            let pem = clients.revoke(serials, 2100);
            pem.lines().map(|line| format!("    {line}\n")).collect::<String>()
        };
        let (before, _) = text.split_once("  ca.crl: |\n").expect("a list");
        let revoked = format!("{before}  ca.crl: |\n{}", list(&[5, 66]));
        std::fs::write(&config, revoked).expect("a new list");
        eventually("who is revoked is let in no more", || async {
            let answer = tls.ask(bed.gateway.https, "must.corp.test", &question).await;
            answer.is_none().then_some(())
        })
        .await;
        std::fs::write(&config, text).expect("the old list");
        eventually("who is not revoked is let in", || async {
            tls.ask(bed.gateway.https, "must.corp.test", &question).await
        })
        .await;
    }
}

#[tokio::test]
async fn list_of_revoked_certificates_that_is_out_of_date_lets_nobody_in() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let issued = ca.issue("a.test", 1);
    let values = [
        ("tls.crt", &*issued.certificate),
        ("tls.key", &issued.key),
        ("ca.crt", &clients.pem()),
        ("ca.crl", &clients.revoke(&[66], 2025)),
    ];
    let servers = [("a.test", "mode: MUTUAL, credentialName: a")];
    let bed = start(setup(&servers).file("a.yaml", &secret("a", &values))).await;
    let own = clients.issue_uri(BOT, 2);
    let request = post("a.test", &[], QUESTION);
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], Some(&own));
        assert!(tls.ask(bed.gateway.https, "a.test", &request).await.is_none());
    }
    turned_away(&bed.gateway, "client_certificate", 2.0).await;
}

#[tokio::test]
async fn clients_authorities_are_found_where_istio_has_them() {
    let (ca, clients) = (Authority::new(), Authority::new());
    let issued = ca.issue("*.corp.test", 1);
    let both = [("cert", &*issued.certificate), ("key", &issued.key)];
    let servers = [
        ("apart.corp.test", "mode: MUTUAL, credentialName: a"),
        (
            "named.corp.test",
            "mode: MUTUAL, credentialName: a, caCertCredentialName: roots",
        ),
    ];
    let bed = start(
        setup(&servers)
            .file("gateway.yaml", &gateway(&servers))
            .file("a.yaml", &secret("a", &both))
            .file("b.yaml", &secret("a-cacert", &[("cacert", &clients.pem())]))
            .file("c.yaml", &secret("roots", &[("ca.crt", &clients.pem())])),
    )
    .await;
    let own = clients.issue_uri(BOT, 2);
    for host in ["apart.corp.test", "named.corp.test"] {
        let request = post(host, &[], QUESTION);
        let answer = Tls::with(&ca, &VERSIONS, Some(&own))
            .ask(bed.gateway.https, host, &request)
            .await;
        assert_eq!(answer.expect("an answer").status, 200, "{host}");
        assert!(
            Tls::new(&ca).ask(bed.gateway.https, host, &request).await.is_none(),
            "{host}"
        );
    }
}
