//! Random requests: the spellings that make two readers of one head disagree.

use std::net::IpAddr;

use lockgate_core::limits::PATH_BYTES_MAX;
use lockgate_core::request::Scheme;

use crate::bytes::Bytes;
use crate::checks::{Answer, answers};
use crate::cors;
use crate::people::{BODIES, PEOPLE, Person, SentBody};

/// A request that owns its parts.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The method.
    pub method: &'static str,
    /// `:authority`.
    pub authority: Option<String>,
    /// Path and query.
    pub target: String,
    /// The header fields, `host` among them.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The same as they were sent, when the others are what is shown of them.
    pub received: Vec<(&'static str, Vec<u8>)>,
    /// The TCP peer.
    pub peer: IpAddr,
    /// The client as a PROXY header names it.
    pub proxied: Option<IpAddr>,
    /// The address it came to.
    pub local: IpAddr,
    /// The listener's port.
    pub port: u16,
    /// The port that policies compare.
    pub destination_port: u16,
    /// Whether it came over TLS.
    pub scheme: Scheme,
    /// What it spoke, as far as trusted proxies tell.
    pub told: Scheme,
    /// The TLS server name.
    pub sni: Option<&'static str>,
    /// The URI names of the client's certificate.
    pub uri_names: &'static [&'static str],
    /// Who the token says it is.
    pub person: Option<&'static Person>,
    /// Chooses the backend.
    pub entropy: u64,
    /// The body.
    pub body: &'static SentBody,
    /// What the external authorizers would say.
    pub answers: [Answer; 2],
}

/// Makes a request.
pub fn sample(bytes: &mut Bytes<'_>) -> Sample {
    let mut headers = bytes.some(0, 3, field);
    for _ in 0..bytes.pick(&[0, 0, 1, 0, 1, 2]) {
        headers.push(("X-Forwarded-For", forwarded_for(bytes).into_bytes()));
    }
    if bytes.one_in(24) {
        headers.push(("Connection", connection(bytes).to_vec()));
    }
    if bytes.one_in(3) {
        headers.extend(bytes.some(1, 3, claimed));
    }
    if bytes.one_in(4) {
        headers.extend(cors::fields(bytes));
    }
    let asks = headers.iter().any(|(name, _)| *name == cors::REQUEST_METHOD);
    let authority = place_authority(bytes, &mut headers);
    let method = match asks && !bytes.one_in(4) {
        true => "OPTIONS",
        false => bytes.pick(&[
            "POST", "POST", "POST", "GET", "POST", "POST", "POST", "OPTIONS", "PUT", "POST", "post", "PATCH",
        ]),
    };
    let target = target(bytes);
    let scheme = bytes.pick(&[Scheme::Http, Scheme::Https, Scheme::Https]);
    Sample {
        method,
        authority,
        target,
        received: headers.clone(),
        headers,
        peer: address(bytes),
        proxied: bytes.one_in(8).then(|| address(bytes)),
        local: address(bytes),
        port: bytes.pick(&[80, 80, 80, 8080, 80, 80, 80, 443, 80, 80, 80, 443, 80, 80, 80, 9999]),
        destination_port: bytes.pick(&[80, 80, 80, 8080]),
        scheme,
        told: scheme,
        sni: bytes.pick(&[None, Some("a.test"), Some("b.test"), Some("x.b.test")]),
        uri_names: bytes.pick(&URI_NAMES),
        person: match bytes.below(2) {
            0 => None,
            _ => Some(&PEOPLE[bytes.below(PEOPLE.len())]),
        },
        entropy: bytes.number(),
        body: &BODIES[if bytes.one_in(8) {
            6 + bytes.below(4)
        } else {
            bytes.below(6)
        }],
        answers: answers(bytes),
    }
}

const URI_NAMES: [&[&str]; 9] = [
    &[],
    &["spiffe://cluster.local/ns/team/sa/bot"],
    &[],
    &["https://a.test/", "spiffe://other/ns/default/sa/app"],
    &["spiffe://cluster.local/ns/teax/sa/bot"],
    &["spiffe://cluster.local/ns/team/sa/bot/ns/default/sa/app"],
    &["spiffe://cluster.local/region/eu/ns/team/pod/x/sa/bot/v2"],
    &["https://a.test/"],
    &["spiffe://cluster.local"],
];

fn address(bytes: &mut Bytes<'_>) -> IpAddr {
    let addresses = [
        "10.0.0.1",
        "10.0.0.3",
        "192.168.200.1",
        "::1",
        "2001:db8::3",
        "::ffff:10.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
    ];
    bytes.pick(&addresses).parse().expect("an address")
}

fn forwarded_for(bytes: &mut Bytes<'_>) -> String {
    const ENTRIES: [&str; 16] = [
        "127.0.0.1",
        "127.0.0.3",
        "192.168.20.1",
        "2001:db8::3",
        "::ffff:127.0.0.1",
        "::1",
        "127.0.0.1:80",
        "[2001:db8::3]",
        "127.0.0.01",
        "unknown",
        "",
        "fe80::1%eth0",
        "127.1",
        "192.168.200.1",
        "127.0.0.2",
        "10.0.0.1",
    ];
    let entries = bytes.some(1, 3, |bytes, _| bytes.pick(&ENTRIES));
    entries.join(bytes.pick(&[", ", ",", " ,\t"]))
}

fn field(bytes: &mut Bytes<'_>, _: usize) -> (&'static str, Vec<u8>) {
    const VALUES: [&[u8]; 10] = [
        b"red",
        b"blue",
        b" red ",
        b"red",
        b"Red",
        b"",
        b"red,blue",
        b"r\xffd",
        b"\tblue",
        b"reddish",
    ];
    let name = bytes.pick(&[
        "x-a",
        "x-b",
        "user-type",
        "X-A",
        "User-Type",
        "x-c",
        "X-Forwarded-Client-Cert",
        "x-a",
    ]);
    (name, bytes.pick(&VALUES).to_vec())
}

/// A field that is not the client's to write, or about the connection.
fn claimed(bytes: &mut Bytes<'_>, _: usize) -> (&'static str, Vec<u8>) {
    let (name, values): (_, &[&str]) = match bytes.below(16) {
        0..=5 => ("X-Forwarded-Proto", &["https", "https", "http", "HTTPS", "gopher", ""]),
        6 | 7 => ("x-envoy-external-address", &["127.0.0.1", "10.0.0.1"]),
        8 => ("x-envoy-internal", &["true"]),
        9 => ("X-Envoy-Original-Path", &["/public"]),
        10 => ("x-envoy-retry-on", &["5xx"]),
        11 => ("Proxy-Connection", &["close"]),
        12 => ("keep-alive", &["timeout=5"]),
        13 => ("upgrade", &["websocket", "foo"]),
        14 => ("User-Agent", &["red", "blue", ""]),
        _ => ("TE", &["trailers", "gzip", "gzip, trailers", "trailers;q=0.5"]),
    };
    (name, bytes.pick(values).into())
}

/// Names of fields, asked about or not. None of them ends the connection.
fn connection(bytes: &mut Bytes<'_>) -> &'static [u8] {
    bytes.pick(&[
        b"x-a",
        b"x-unknown",
        b"keep-alive, X-B",
        b"user-type,x-c",
        b"X-Forwarded-For",
        b"",
        b"x-c ,, x-a",
        b"Host",
    ])
}

/// `Host`, `:authority`, both, several or none of them.
fn place_authority(bytes: &mut Bytes<'_>, headers: &mut Vec<(&'static str, Vec<u8>)>) -> Option<String> {
    let first = authority(bytes);
    let mut host = |name: &'static str, value: &str| headers.push((name, value.as_bytes().to_vec()));
    match bytes.byte() {
        0..=170 => host("host", &first),
        171..=190 => host("Host", &format!(" {first}\t")),
        191..=230 => return Some(first),
        231..=236 => {
            host("host", &first);
            return Some(first);
        }
        237..=242 => {
            host("host", &first.to_ascii_uppercase());
            return Some(first);
        }
        243..=247 => {
            let second = authority(bytes);
            host("host", &second);
            return Some(first);
        }
        248..=251 => {
            let second = authority(bytes);
            host("host", &first);
            host("HOST", &second);
        }
        _ => {}
    }
    None
}

fn authority(bytes: &mut Bytes<'_>) -> String {
    const HOSTS: [&str; 16] = [
        "a.test",
        "p.test",
        "a.test",
        "b.test",
        "x.b.test",
        "a.test",
        "A.Test",
        "y.test",
        "test",
        "x.y.b.TEST",
        "p.test",
        "other",
        "p.test",
        "a.test",
        "a.test.",
        ".test",
    ];
    const ODD: [&str; 16] = [
        "",
        "user@a.test",
        "a.test,b.test",
        "a test",
        "[::1]",
        "[::1",
        "[::g]",
        "*.test",
        "\u{e4}.test",
        "[::1]:80",
        "a%2etest",
        "a_b~c",
        "::1",
        "a.test/",
        "[v1.x]",
        "[::1]x",
    ];
    const PORTS: [&str; 8] = ["", "", "", "", "", "", ":80", ":8080"];
    const ODD_PORTS: [&str; 8] = [":", ":65535", ":65536", ":x", ":+80", ":00080", ":80:80", ":8\u{0660}"];
    let host = match bytes.byte() {
        255 => "a".repeat(256 + bytes.below(16)),
        253..255 => format!("a{}test", any_char(bytes)),
        246..253 => bytes.pick(&ODD).to_owned(),
        _ => bytes.pick(&HOSTS).to_owned(),
    };
    let ports = if bytes.one_in(32) { &ODD_PORTS } else { &PORTS };
    host + bytes.pick(ports)
}

fn target(bytes: &mut Bytes<'_>) -> String {
    const PIECES: [&str; 32] = [
        "/a",
        "/",
        "/admin",
        "/b",
        "/..",
        "/.",
        "/%2e%2E",
        "/..;x",
        "/.;",
        "\\a",
        "/%61",
        "%2f",
        "%5C",
        "%7c",
        "|",
        "[",
        "]",
        ";x",
        "%25",
        "%3b",
        "/v1",
        "{",
        "/a/b",
        "//",
        "/A",
        "/...",
        "%2561",
        "/%41dmin",
        "\\..",
        "^`\"<>}",
        "/.%2e;y",
        "~!$&'()*+,=:@",
    ];
    const BROKEN: [&str; 8] = ["%zz", "%", "%0", "%00", "\u{1}", "\u{7f}", "\u{e9}", "%+1"];
    const QUERIES: [&str; 16] = [
        "",
        "",
        "",
        "?",
        "?x=1",
        "?/../a",
        "?x#f",
        "#f",
        "#f?x",
        "?a?b",
        "?%zz",
        "?\"",
        "?a=1&x=red&x=1",
        "?x=&&a=1",
        "?X=1&x",
        "?a=b=1&x=1",
    ];
    match bytes.byte() {
        255 => return format!("/{}", "a".repeat(PATH_BYTES_MAX - 3 + bytes.below(6))),
        254 => return "*".to_owned(),
        253 => {
            return bytes
                .pick(&["", "a", "?x", "#", "%2fa", "http://a.test/a", "\\a", "*a"])
                .to_owned();
        }
        _ => {}
    }
    let mut target = bytes.pick(&["/a", "/", "/admin", "/b", "/v1", "//"]).to_owned();
    for _ in 0..bytes.pick(&[0, 1, 2, 0, 3, 4]) {
        match bytes.one_in(64) {
            true => target.push(any_char(bytes)),
            false => target += bytes.pick(&PIECES),
        }
    }
    if bytes.one_in(40) {
        target += bytes.pick(&BROKEN);
    }
    target += bytes.pick(&QUERIES);
    if bytes.one_in(128) {
        target.push(any_char(bytes));
    }
    target
}

/// Any byte, bare: what no pool thinks of.
fn any_char(bytes: &mut Bytes<'_>) -> char {
    char::from(bytes.byte())
}
