//! New certificates while clients are connected.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use rustls::HandshakeKind;
use rustls::client::Resumption;
use rustls::pki_types::CertificateDer;

use crate::case::{gateway, secret_of, setup, simple, start};
use crate::support::bed::Bed;
use crate::support::client::{Client, post};
use crate::support::gateway::edit;
use crate::support::https::{Tls, VERSIONS};
use crate::support::pki::{Authority, Issued};
use crate::support::upstream::{Answer, Gate};
use crate::support::wire::Part;
use crate::support::{QUESTION, eventually};

/// The certificate that a new client is shown.
async fn shown(tls: &Tls, bed: &Bed) -> CertificateDer<'static> {
    let stream = tls.connect(bed.gateway.https, "a.test").await.expect("a handshake");
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    chain[0].clone()
}

async fn becomes(tls: &Tls, bed: &Bed, issued: &Issued) {
    eventually("the new certificate is shown", || async {
        (shown(tls, bed).await == issued.chain[0]).then_some(())
    })
    .await;
}

/// Replaces a file as careful people do.
fn replace(path: &Path, text: &str) {
    let aside = path.with_extension("aside");
    fs::write(&aside, text).expect("writing a file");
    fs::rename(&aside, path).expect("replacing a file");
}

async fn refusals(bed: &Bed) -> usize {
    bed.gateway.read("stderr").matches("configuration refused").count()
}

#[tokio::test]
async fn changed_secret_is_for_new_handshakes_and_open_connections_go_on() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let tls = Tls::new(&ca);
    let bed = start(simple(&old)).await;
    let (gate, events) = (Gate::new(), ["data: 1\n\n", "data: 2\n\n"]);
    bed.upstream.answer(Answer::gated_stream(&events, &gate));
    let mut busy = tls.client(bed.gateway.https, "a.test").await;
    busy.send(post("a.test", &[], QUESTION)).await;
    assert_eq!(busy.head().await.status, 200);
    let mut idle = tls.client(bed.gateway.https, "a.test").await;
    assert_eq!(idle.ask("a.test", QUESTION).await.status, 200);
    assert_eq!(shown(&tls, &bed).await, old.chain[0]);

    replace(&bed.gateway.config().join("secret-a.yaml"), &secret_of("a", &new));
    becomes(&tls, &bed, &new).await;
    gate.open();
    gate.open();
    assert_eq!(busy.text(18).await, events.concat());
    assert_eq!(busy.part().await, Part::End);
    for client in [&mut busy, &mut idle] {
        assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
    }
}

#[tokio::test]
async fn replaced_files_are_noticed_and_broken_ones_change_nothing() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let tls = Tls::new(&ca);
    let setup = setup(&[]);
    let (chain, key) = (setup.aside("a.crt", &old.certificate), setup.aside("a.key", &old.key));
    let by_file = format!(
        "mode: SIMPLE, serverCertificate: {}, privateKey: {}",
        chain.display(),
        key.display()
    );
    let bed = start(setup.file("gateway.yaml", &gateway(&[("a.test", &by_file)]))).await;
    assert_eq!(shown(&tls, &bed).await, old.chain[0]);

    for (index, broken) in [Some(&*new.certificate), Some("garbage"), None].into_iter().enumerate() {
        match broken {
            Some(text) => replace(&chain, text),
            None => fs::remove_file(&chain).expect("removing a file"),
        }
        eventually("the broken certificate is refused", || async {
            (refusals(&bed).await > index).then_some(())
        })
        .await;
        assert_eq!(shown(&tls, &bed).await, old.chain[0]);
    }
    let said = bed.gateway.read("stderr");
    assert!(said.contains("HTTPS server `istio-system/gw servers[0]`"), "{said}");
    assert!(said.contains("a.crt"), "{said}");

    replace(&key, &new.key);
    replace(&chain, &new.certificate);
    becomes(&tls, &bed, &new).await;
    for issued in [&old, &new] {
        assert!(
            !bed.gateway.read("stderr").contains(issued.key_line()),
            "a key is logged"
        );
    }
}

#[tokio::test]
async fn sessions_outlive_a_reload_and_not_their_certificate() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let bed = start(simple(&old)).await;
    for version in VERSIONS {
        let tls = Tls::with(&ca, &[version], None).resuming(Resumption::in_memory_sessions(8));
        let kind = async || {
            let mut client = tls.client(bed.gateway.https, "a.test").await;
            assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
            client.stream().get_ref().1.handshake_kind()
        };
        let reloads = || bed.gateway.read("stderr").matches("configuration loaded").count();
        assert_eq!(kind().await, Some(HandshakeKind::Full));
        let before = reloads();
        let route = bed.gateway.config().join("route.yaml");
        let text = fs::read_to_string(&route).expect("a route");
        replace(&route, &text.replace("'*'", "'*.test'"));
        eventually("it is loaded again", || async { (reloads() > before).then_some(()) }).await;
        replace(&route, &text);
        eventually("and again", || async { (reloads() > before + 1).then_some(()) }).await;
        assert_eq!(kind().await, Some(HandshakeKind::Resumed), "{:?}", version.version);
        for issued in [&new, &old] {
            replace(&bed.gateway.config().join("secret-a.yaml"), &secret_of("a", issued));
            becomes(&Tls::new(&ca), &bed, issued).await;
            assert_eq!(kind().await, Some(HandshakeKind::Full), "{:?}", version.version);
        }
    }
}

#[tokio::test]
async fn directory_that_kubernetes_swaps_is_noticed() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let tls = Tls::new(&ca);
    let setup = setup(&[]);
    let mount = setup.aside("marker", "").with_file_name("mount");
    let fill = |version: &str, issued: &Issued| {
        let dir = mount.join(version);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("tls.crt"), &issued.certificate).expect("a file");
        fs::write(dir.join("tls.key"), &issued.key).expect("a file");
        symlink(version, mount.join("..data_tmp")).expect("a link");
        fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("a swap");
    };
    fill("..1", &old);
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), mount.join(name)).expect("a link");
    }
    let by_file = format!(
        "mode: SIMPLE, serverCertificate: {0}/tls.crt, privateKey: {0}/tls.key",
        mount.display()
    );
    let bed = start(setup.file("gateway.yaml", &gateway(&[("a.test", &by_file)]))).await;
    assert_eq!(shown(&tls, &bed).await, old.chain[0]);
    fill("..2", &new);
    becomes(&tls, &bed, &new).await;
}

#[tokio::test]
async fn files_of_a_configuration_that_was_refused_are_waited_for() {
    let ca = Authority::new();
    let (old, new) = (ca.issue("a.test", 1), ca.issue("a.test", 2));
    let tls = Tls::new(&ca);
    let bed = start(simple(&old)).await;
    let elsewhere = bed.gateway.config().with_file_name("elsewhere");
    fs::create_dir_all(&elsewhere).expect("a directory");
    let by_file = format!(
        "mode: SIMPLE, serverCertificate: {0}/a.crt, privateKey: {0}/a.key",
        elsewhere.display()
    );
    let config = bed.gateway.config().join("gateway.yaml");
    edit(&config, "mode: SIMPLE, credentialName: a", &by_file);
    eventually("what names missing files is refused", || async {
        (refusals(&bed).await > 0).then_some(())
    })
    .await;
    fs::write(elsewhere.join("a.key"), &new.key).expect("a file");
    fs::write(elsewhere.join("a.crt"), &new.certificate).expect("a file");
    becomes(&tls, &bed, &new).await;
}

#[tokio::test]
async fn connection_in_plain_text_does_not_get_into_a_port_that_now_speaks_tls() {
    let ca = Authority::new();
    let clients = Authority::new();
    let setup = setup(&[]);
    let roots = setup.aside("clients.pem", &clients.pem());
    let secured = gateway(&[(
        "'*'",
        &format!("mode: MUTUAL, credentialName: a, caCertificates: {}", roots.display()),
    )]);
    let plain = gateway(&[("'*'", "")]).replace("HTTPS}, tls: {}", "HTTP}");
    let bed = start(
        setup
            .file("gateway.yaml", &plain)
            .file("a.yaml", &secret_of("a", &ca.issue("a.test", 1))),
    )
    .await;
    let mut client = Client::connect(bed.gateway.https).await;
    assert_eq!(client.ask("a.test", QUESTION).await.status, 200);
    replace(&bed.gateway.config().join("gateway.yaml"), &secured);
    eventually("the port speaks TLS", || async {
        Tls::new(&ca).connect(bed.gateway.https, "a.test").await.ok()
    })
    .await;
    client.send(post("a.test", &[], QUESTION)).await;
    let answer = client.try_response().await;
    assert!(answer.as_ref().is_none_or(|answer| answer.status == 421), "{answer:?}");
}
