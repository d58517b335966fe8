//! `x-forwarded-client-cert`: what is written of a certificate, and who is shown what.

#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::build;
use lockgate_core::client_cert::{ClientCertificate, NotShown, of_uri_names};
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::explain::{Client, Question, Target, Verdict};
use proptest::prelude::*;

/// What Envoy 1.40 wrote of six certificates, with istiod's `set_current_client_cert_details`.
const OF_ENVOY: &str = include_str!("client_cert/envoy.txt");

/// The URI and DNS names of each, as Envoy writes the former, where that is not what is written here, and as is.
const NAMES: [(&[&str], &[&str]); 6] = [
    (&["spiffe://td/ns/b/sa/c"], &["a.test", "b.test"]),
    (&[], &["only.dns"]),
    (&[], &[]),
    (
        &["spiffe://td/a;DNS=evil,By=x", "https://u/?a=b\"c", "urn:x"],
        &["d.test"],
    ),
    (&[], &[]),
    (&[], &[]),
];

const BY: [&str; 2] = ["spiffe://td/ns/a/sa/gw", "spiffe://td/second"];

fn boxed(names: &[&str]) -> Vec<Box<str>> {
    names.iter().map(|name| (*name).into()).collect()
}

/// The certificate in the value of the field.
fn der_in(element: &str) -> Vec<u8> {
    let pem = element.split("Cert=\"").nth(1).unwrap().split('"').next().unwrap();
    let mut text = pem.to_owned();
    for (escape, character) in [("%0A", ""), ("%2B", "+"), ("%2F", "/"), ("%3D", "="), ("%20", " ")] {
        text = text.replace(escape, character);
    }
    let body = text.trim_start_matches("-----BEGIN CERTIFICATE-----");
    STANDARD
        .decode(body.trim_end_matches("-----END CERTIFICATE-----"))
        .unwrap()
}

/// The contents of the first value of DER, and what is behind it.
fn first(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, head) = match der[1] {
        length @ ..=0x7f => (usize::from(length), 2),
        0x81 => (usize::from(der[2]), 3),
        0x82 => (usize::from(der[2]) << 8 | usize::from(der[3]), 4),
        other => panic!("a length of {other:x}"),
    };
    der[head..].split_at(length)
}

/// The subject is the sixth part of what is signed.
fn subject_of(certificate: &[u8]) -> &[u8] {
    let (mut rest, _) = first(first(certificate).0);
    for _ in 0..5 {
        (_, rest) = first(rest);
    }
    first(rest).0
}

#[test]
fn a_certificate_is_told_of_as_envoy_tells_of_it() {
    let lines: Vec<&str> = OF_ENVOY.lines().collect();
    assert_eq!(lines.len(), NAMES.len());
    for (line, (uris, dns)) in lines.into_iter().zip(NAMES) {
        let der = der_in(line);
        let certificate = ClientCertificate {
            der: &der,
            subject: subject_of(&der),
            uri_names: &boxed(uris),
            dns_names: &boxed(dns),
        };
        // Envoy writes names as they are: this one would be three.
        let expected = line.replace(
            "URI=spiffe://td/a;DNS=evil,By=x;URI=https://u/?a=b\"c",
            "URI=\"spiffe://td/a;DNS=evil,By=x\"",
        );
        assert_eq!(certificate.element(&boxed(&BY)).unwrap(), expected);
    }
}

#[test]
fn what_cannot_be_told_is_an_error() {
    let told = |der: &[u8], subject: &[u8]| {
        let certificate = ClientCertificate {
            der,
            subject,
            uri_names: &[],
            dns_names: &[],
        };
        certificate.element(&[]).map(|element| element.len())
    };
    let cn = |tag: u8, value: &[u8]| {
        let mut attribute = vec![0x06, 3, 0x55, 4, 3, tag, u8::try_from(value.len()).unwrap()];
        attribute.extend(value);
        let wrap = |tag: u8, inner: Vec<u8>| [vec![tag, u8::try_from(inner.len()).unwrap()], inner].concat();
        wrap(0x31, wrap(0x30, attribute))
    };
    assert!(told(b"x", b"").is_ok() && told(b"x", &cn(0x0c, b"a")).is_ok());
    assert_eq!(told(&[0; 24 * 1024], b""), Err(NotShown::TooLong));
    let good = cn(0x0c, "ab".as_bytes());
    for cut in 1..good.len() {
        assert_eq!(told(b"x", &good[..cut]), Err(NotShown::Subject), "{cut}");
    }
    for (tag, value) in [
        (0x0c, &b"\xff"[..]),
        (0x1e, b"\0"),
        (0x1e, b"\xd8\0"),
        (0x1c, b"\0\0a"),
        (0x1c, b"\0\x11\0\0"),
    ] {
        assert_eq!(told(b"x", &cn(tag, value)), Err(NotShown::Subject), "{tag:x} {value:?}");
    }
    // A name that is no set, a set of no attributes, an attribute without a value, an identifier that does not end.
    for broken in [
        &b"\x30\x00"[..],
        b"\x31\x02\x31\x00",
        b"\x31\x07\x30\x05\x06\x03\x55\x04\x03",
        b"\x31\x09\x30\x07\x06\x02\x2a\x83\x0c\x01a",
        b"\x31\x80\x00\x00",
        b"\x31\x84\x00\x00\x00\x00",
    ] {
        assert_eq!(told(b"x", broken), Err(NotShown::Subject), "{broken:x?}");
    }
    assert_eq!(of_uri_names(&["a:1", "b:2"]).as_deref(), Some("URI=a:1;URI=b:2"));
    assert_eq!(of_uri_names::<&str>(&[]), None);
}

proptest! {
    /// Whatever a certificate holds, no panic comes of it, and nothing that ends a header field or an element.
    #[test]
    fn any_subject_is_told_of_in_ascii_or_refused(
        subject in proptest::collection::vec(any::<u8>(), 0..200),
        value in proptest::collection::vec(any::<u8>(), 0..60),
        tag in any::<u8>(),
    ) {
        let length = |bytes: &[u8]| u8::try_from(bytes.len()).unwrap();
        let wrap = |tag: u8, inner: Vec<u8>| [vec![tag, length(&inner)], inner].concat();
        let name = wrap(0x31, wrap(0x30, [vec![0x06, 3, 0x55, 4, 3], wrap(tag, value)].concat()));
        for subject in [subject, name] {
            let certificate = ClientCertificate {
                der: &subject,
                subject: &subject,
                uri_names: &[],
                dns_names: &[],
            };
            if let Ok(element) = certificate.element(&[]) {
                prop_assert!(element.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", element);
                let (_, rest) = element.split_once("Subject=\"").unwrap();
                let text = rest.strip_suffix("\";URI=").unwrap();
                let mut characters = text.chars();
                while let Some(character) = characters.next() {
                    prop_assert!(character != '"', "{}", text);
                    if character == '\\' {
                        characters.next();
                    }
                }
            }
        }
    }
}

const HOST: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: istio-system }
spec:
  selector: { istio: ingressgateway }
  servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ['*'] }]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: plain, namespace: istio-system }
spec:
  hosts: [plain.test]
  ports: [{ number: 80, name: http, protocol: HTTP }]
  resolution: STATIC
  endpoints: [{ address: 127.0.0.1 }]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: plain, namespace: istio-system }
spec:
  hosts: ['*']
  gateways: [edge]
  http:
  - match: [{ headers: { x-forwarded-client-cert: { exact: one } } }]
    route: [{ destination: { host: plain.test } }]
    name: by-the-sent
  - match: [{ headers: { x-forwarded-client-cert: { prefix: 'Hash=' } } }]
    route: [{ destination: { host: plain.test } }]
    name: by-the-shown
  - route: [{ destination: { host: plain.test } }]
    name: by-neither
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny, namespace: istio-system }
spec:
  action: DENY
  rules: [{ when: [{ key: 'request.headers[x-forwarded-client-cert]', values: [bad] }] }]
";

fn compiled(forwarding: Option<&str>) -> Compiled {
    let mesh = forwarding.map_or_else(String::new, |forwarding| {
        format!(
            "---
apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{ name: mesh, namespace: istio-system }}
spec: {{ defaultConfig: {{ gatewayTopology: {{ forwardClientCertDetails: {forwarding} }} }} }}
"
        )
    });
    let source = Source::new("a.yaml".to_owned(), format!("{HOST}{mesh}"));
    let options = LoadOptions {
        env: &|_| None,
        ignore_kinds: &[],
    };
    let built = build(&[source], &options, &Settings::default());
    let diagnostics = built.diagnostics;
    built.compiled.unwrap_or_else(|| panic!("{diagnostics:#?}"))
}

/// The rule, and what the host reads in the field; `None` when the request is refused.
fn asked(compiled: &Compiled, peer_cert: Option<&str>, sent: &[&str]) -> Option<(String, Option<String>)> {
    let field = |value: &&str| ("X-Forwarded-Client-Cert".to_owned(), (*value).into());
    let question = Question {
        target: Target::parse("http://a.test/").unwrap(),
        headers: sent.iter().map(field).collect(),
        client: Client {
            peer_cert: peer_cert.map(str::to_owned),
            ..Client::default()
        },
        ..Question::default()
    };
    match question.verdict(&compiled.snapshot).unwrap() {
        Verdict::Forward(forward) => {
            let mut set = forward.set_headers.iter();
            let told = set.find(|(name, _)| name == "x-forwarded-client-cert");
            let rule = forward.rule.rsplit('/').next().unwrap().to_owned();
            let is_never_sent = forward
                .remove_headers
                .iter()
                .any(|name| name == "x-forwarded-client-cert");
            assert_eq!(is_never_sent, told.is_none());
            Some((rule, told.map(|(_, value)| value.clone())))
        }
        Verdict::Refuse(_) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hosts_policies_and_routes_are_shown_what_the_topology_says() {
    const SHOWN: Option<&str> = Some("Hash=1;Subject=\"\"");
    let set = Some(("by-the-shown", SHOWN));
    let nothing = Some(("by-neither", None));
    let sent = Some(("by-the-sent", Some("one,two")));
    let appended = Some(("by-the-sent", Some("one,two,Hash=1;Subject=\"\"")));
    // Of a client with a certificate and of one without: what comes of `one` and `two`, and of nothing; whether a
    // policy is shown `bad`.
    for (forwarding, with, with_none, without, without_none, shows) in [
        (None, set, set, nothing, nothing, [false, false]),
        (Some("UNDEFINED"), set, set, nothing, nothing, [false, false]),
        (Some("SANITIZE_SET"), set, set, nothing, nothing, [false, false]),
        (Some("SANITIZE"), nothing, nothing, nothing, nothing, [false, false]),
        (Some("FORWARD_ONLY"), sent, nothing, nothing, nothing, [true, false]),
        (Some("APPEND_FORWARD"), appended, set, nothing, nothing, [true, false]),
        (Some("ALWAYS_FORWARD_ONLY"), sent, nothing, sent, nothing, [true, true]),
    ] {
        let compiled = compiled(forwarding);
        let seen = |peer_cert, values: &[&str]| asked(&compiled, peer_cert, values);
        let owned = |expected: Option<(&str, Option<&str>)>| {
            expected.map(|(rule, told)| (rule.to_owned(), told.map(str::to_owned)))
        };
        assert_eq!(seen(SHOWN, &["one", "two"]), owned(with), "{forwarding:?}");
        assert_eq!(seen(SHOWN, &[]), owned(with_none), "{forwarding:?}");
        assert_eq!(seen(None, &["one", "two"]), owned(without), "{forwarding:?}");
        assert_eq!(seen(None, &[]), owned(without_none), "{forwarding:?}");
        for (peer_cert, is_shown) in [SHOWN, None].into_iter().zip(shows) {
            assert_eq!(
                seen(peer_cert, &["bad"]).is_none(),
                is_shown,
                "{forwarding:?} {peer_cert:?}"
            );
        }
    }
}

#[test]
fn a_certificate_of_two_ids_is_refused_before_anything_is_decided() {
    let client = |uris: &[&str]| Client {
        peer_uris: uris.iter().map(|uri| (*uri).to_owned()).collect(),
        ..Client::default()
    };
    let asked = |uris: &[&str]| {
        let question = Question {
            target: Target::parse("http://a.test/").unwrap(),
            client: client(uris),
            ..Question::default()
        };
        question.verdict(&compiled(None).snapshot).map(|_| ())
    };
    assert_eq!(asked(&["https://x", "spiffe://td/a"]), Ok(()));
    let error = asked(&["spiffe://td/a", "spiffe://td/b"]).unwrap_err();
    assert!(error.contains("more than one `spiffe://` name"), "{error}");
}

#[test]
fn of_uri_names_alone_something_is_told() {
    let question = Question {
        target: Target::parse("http://a.test/").unwrap(),
        client: Client {
            peer_uris: vec!["spiffe://cluster.local/ns/a/sa/b".to_owned()],
            ..Client::default()
        },
        ..Question::default()
    };
    let Verdict::Forward(forward) = question.verdict(&compiled(None).snapshot).unwrap() else {
        panic!("it is sent on");
    };
    let told = (
        "x-forwarded-client-cert".to_owned(),
        "URI=spiffe://cluster.local/ns/a/sa/b".to_owned(),
    );
    assert!(forward.set_headers.contains(&told), "{:?}", forward.set_headers);
}
