//! What a DestinationRule makes of an upstream: the host's settings, a subset's, and a port's own.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use lockgate_core::compile::Settings;
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::snapshot::{Shown, Trust, Upstream, UpstreamProtocol};
use lockgate_core::tls::Pem;

const ROUTES: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{hosts: ['*'], port: {name: http, number: 80, protocol: HTTP}}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: host, namespace: istio-system}
spec:
  hosts: [host.test]
  resolution: DNS
  ports:
  - {name: one, number: 80, protocol: HTTP}
  - {name: two, number: 81, protocol: gRPC}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: host, namespace: istio-system}
spec:
  hosts: ['*']
  gateways: [gw]
  http:
  - match: [{uri: {exact: /0}}]
    route: [{destination: {host: host.test, port: {number: 80}}}]
  - match: [{uri: {exact: /1}}]
    route: [{destination: {host: host.test, port: {number: 81}}}]
  - match: [{uri: {exact: /2}}]
    route: [{destination: {host: host.test, port: {number: 80}, subset: v1}}]
  - match: [{uri: {exact: /3}}]
    route: [{destination: {host: host.test, port: {number: 81}, subset: v1}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: host, namespace: istio-system}
spec:
  host: host.test
";

/// The upstreams of both ports, and of both ports of the subset.
fn upstreams(rule: &str) -> Vec<Upstream> {
    let source = Source::new("test.yaml".to_owned(), format!("{ROUTES}{rule}"));
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = lockgate_core::build(core::slice::from_ref(&source), &options, &Settings::default());
    let compiled = built.compiled;
    assert!(compiled.is_some(), "{:?}", built.diagnostics.as_slice());
    compiled.unwrap().snapshot.upstreams().to_vec()
}

fn snis(upstreams: &[Upstream]) -> Vec<Option<&str>> {
    let tls = upstreams.iter().map(|upstream| upstream.tls.as_ref());
    tls.map(|tls| tls.map(|tls| &*tls.sni)).collect()
}

#[test]
fn a_port_has_its_own_settings_and_nothing_else() {
    let all = upstreams(
        "  trafficPolicy:
    tls: {mode: SIMPLE, sni: host}
    connectionPool: {tcp: {connectTimeout: 1s}, http: {maxConcurrentStreams: 7}}
    portLevelSettings:
    - {port: {number: 81}, connectionPool: {tcp: {connectTimeout: 2s}}}
  subsets:
  - name: v1
",
    );
    assert_eq!(snis(&all), [Some("host"), None, Some("host"), None]);
    let times: Vec<u32> = all.iter().map(|upstream| upstream.connect_timeout_ms).collect();
    assert_eq!(times, [1000, 2000, 1000, 2000]);
    let streams: Vec<Option<u32>> = all.iter().map(|upstream| upstream.streams_max).collect();
    assert_eq!(streams, [Some(7), None, Some(7), None]);
}

#[test]
fn a_subset_stands_in_place_of_its_host_and_its_port_of_both() {
    let all = upstreams(
        "  trafficPolicy:
    tls: {mode: SIMPLE, sni: host}
    connectionPool: {tcp: {connectTimeout: 1s}}
  subsets:
  - name: v1
    trafficPolicy:
      tls: {mode: SIMPLE, sni: subset}
      portLevelSettings:
      - {port: {number: 81}, tls: {mode: SIMPLE, sni: port}}
",
    );
    assert_eq!(snis(&all), [Some("host"), Some("host"), Some("subset"), Some("port")]);
    let times: Vec<u32> = all.iter().map(|upstream| upstream.connect_timeout_ms).collect();
    // Istio's default, where the port has no timeout of its own.
    assert_eq!(times, [1000, 1000, 1000, 10_000]);
}

#[test]
fn a_port_or_a_rule_says_what_is_spoken() {
    use UpstreamProtocol::{AsClient, Http1, Http2};
    for (http, wanted) in [
        ("maxConcurrentStreams: 1", [Http1, Http2]),
        ("h2UpgradePolicy: UPGRADE", [Http2, Http2]),
        ("h2UpgradePolicy: DO_NOT_UPGRADE", [Http1, Http2]),
        (
            "useClientProtocol: true, h2UpgradePolicy: UPGRADE",
            [AsClient, AsClient],
        ),
    ] {
        let rule = format!("  trafficPolicy: {{connectionPool: {{http: {{{http}}}}}}}\n  subsets: [{{name: v1}}]\n");
        let all = upstreams(&rule);
        let spoken: Vec<UpstreamProtocol> = all.iter().map(|upstream| upstream.protocol).collect();
        assert_eq!(spoken, [wanted, wanted].concat(), "{http}");
    }
    assert!(Http2.is_http2(false) && AsClient.is_http2(true));
    assert!(!Http1.is_http2(true) && !AsClient.is_http2(false));
}

#[test]
fn whom_to_trust_and_what_to_show_are_kept_by_name() {
    let all = upstreams(
        "  trafficPolicy:
    tls:
      mode: MUTUAL
      clientCertificate: own.crt
      privateKey: own.pem
      caCertificates: ca.pem
      caCrl: ca.crl
      subjectAltNames: [a.test, 'spiffe://td/ns/a/sa/b']
  subsets: [{name: v1, trafficPolicy: {tls: {mode: SIMPLE, caCrl: ca.crl}}}]
",
    );
    let file = |path: &str| Some(Pem::File(path.into()));
    let tls = all.first().unwrap().tls.as_ref().unwrap();
    let trust = Trust::Authorities {
        roots: file("ca.pem"),
        crl: file("ca.crl"),
    };
    assert_eq!(tls.trust, trust);
    assert!(matches!(&tls.credential, Shown::Certificate(own) if Some(&own.chain) == file("own.crt").as_ref()));
    assert_eq!(tls.subject_alt_names, ["a.test".into(), "spiffe://td/ns/a/sa/b".into()]);
    let tls = all.get(2).unwrap().tls.as_ref().unwrap();
    assert_eq!(
        (&tls.trust, &tls.credential),
        (&Trust::System { crl: file("ca.crl") }, &Shown::Nothing)
    );
}
