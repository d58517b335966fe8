//! Small random VirtualServices, and the hosts that they send to.

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    Gateway, HeaderChanges, HeaderKey, HeaderOperations, HttpAction, HttpDirectResponse, HttpMatch, HttpRedirect,
    HttpRewrite, HttpRoute, RedirectPort, Resolution, RouteDestination, ServiceEntry, ServicePort, Spanned,
    StringMatch, UriRewrite, VirtualService,
};
use lockgate_core::config::secret::Secret;
use lockgate_core::request::Scheme;

use crate::attempts;
use crate::bytes::Bytes;
use crate::many_rules;
use crate::world::{gateway_ref, list, meta, selector, spanned, text, value_match};

/// Two hosts: one with one port, one with two.
#[must_use]
pub fn service_entries() -> Vec<ServiceEntry> {
    let entry = |name: &str, hosts: &[&str], ports: &[u16]| ServiceEntry {
        meta: meta(&mut Bytes::new(&[]), "ServiceEntry", name, 0),
        hosts: hosts.iter().map(|host| text(host)).collect(),
        ports: ports
            .iter()
            .map(|port| ServicePort {
                number: spanned(*port),
                name: format!("http-{port}").into(),
                is_http2: false,
                target_port: None,
            })
            .collect(),
        resolution: Resolution::Dns,
        endpoints: Vec::new(),
    };
    vec![
        entry("one", &["one.test", "also.test"], &[8080]),
        entry("two", &["two.test"], &[80, 9090]),
    ]
}

/// Makes one. What a token claims is asked only where no authorizer is.
pub fn virtual_service(bytes: &mut Bytes<'_>, index: usize, gateways: &[Gateway], has_claims: bool) -> VirtualService {
    const HOSTS: [&str; 10] = [
        "*.test", "*", "a.test", "*", "p.test", "*.b.test", "b.test", "*", "*.test", "x.b.test",
    ];
    let mut meta = meta(bytes, "VirtualService", "service", index);
    meta.created = bytes.pick(&[None, None, Some(1), Some(2), Some(3)]);
    let named = list(bytes, &[1, 1, 2, 2, 1, 2, 1, 2, 1, 0], |bytes| {
        gateway_ref(bytes, &meta.namespace, gateways)
    });
    let mut hosts: Vec<Spanned<String>> = Vec::new();
    for host in list(bytes, &[1, 1, 2, 3], |bytes| bytes.pick(&HOSTS)) {
        if hosts.iter().all(|taken| taken.value != host) {
            hosts.push(text(host));
        }
    }
    VirtualService {
        meta,
        hosts,
        export_to: list(bytes, &[0, 0, 0, 0, 0, 0, 1, 2], |bytes| {
            text(bytes.pick(&["*", ".", "istio-system", "team", "~"]))
        }),
        http: match bytes.one_in(7) {
            false => bytes.some(1, 4, |bytes, index| rule(bytes, index, &named, has_claims)),
            true => many_rules::rules(bytes),
        },
        gateways: named,
    }
}

/// One that stands behind a Gateway of its own and asks for no claims.
#[cfg(feature = "envoy")]
pub fn virtual_service_of(bytes: &mut Bytes<'_>, index: usize) -> VirtualService {
    let gateway = crate::world::gateway(&mut Bytes::new(&[]), 0);
    virtual_service(bytes, index, &[gateway], false)
}

/// Makes a rule.
pub fn rule(bytes: &mut Bytes<'_>, index: usize, gateways: &[Spanned<String>], has_claims: bool) -> HttpRoute {
    HttpRoute {
        at: Location::default(),
        name: bytes
            .one_in(2)
            .then(|| spanned(["first", "second", "third", "fourth"][index].into())),
        matches: list(bytes, &[1, 1, 2, 1, 3, 0], |bytes| {
            http_match(bytes, gateways, has_claims)
        }),
        action: action(bytes),
        headers: operations(bytes),
        settings: attempts::settings(bytes),
    }
}

fn http_match(bytes: &mut Bytes<'_>, gateways: &[Spanned<String>], has_claims: bool) -> HttpMatch {
    let mut entry = HttpMatch {
        uri: (!bytes.one_in(3)).then(|| spanned(path_match(bytes))),
        ignore_uri_case: bytes.one_in(4),
        ..HttpMatch::default()
    };
    for _ in 0..bytes.pick(&[0, 1, 0, 1, 2]) {
        match bytes.below(16) {
            0 => {
                let methods = ["POST", "GET", "OPTIONS", "PUT"];
                entry.also.method = Some(spanned(one_of(bytes, &methods, "P", "POST|PUT")));
            }
            1 => entry.also.scheme = Some(spanned(one_of(bytes, &["http", "https"], "http", "https?"))),
            2 => {
                let hosts = ["a.test", "A.Test", "a.test:80", "p.test", "not a host"];
                entry.also.authority = Some(spanned(one_of(bytes, &hosts, "a", "[a-z.]+")));
            }
            3 => entry.also.port = Some(bytes.pick(&[80, 80, 80, 8080])),
            4 | 5 | 12 | 13 => entry.also.headers = keyed(bytes, has_claims),
            6 | 7 => entry.also.without_headers = keyed(bytes, has_claims),
            8 | 9 | 14 | 15 => {
                let name = bytes.pick(&["x", "x", "a", "/../a"]);
                entry.also.query_params = vec![(text(name), spanned(one_of(bytes, &["1", "", "red"], "1", "[0-9]*")))];
            }
            10 => entry.also.source_labels = Some(selector(bytes)),
            _ if bytes.one_in(2) => {
                entry.also.source_namespace = Some(bytes.pick(&["istio-system", "istio-system", "team"]).into());
            }
            _ => {
                let own = gateways.get(bytes.below(gateways.len().max(1)));
                entry.also.gateways = vec![
                    own.filter(|_| bytes.byte() < 230)
                        .cloned()
                        .unwrap_or_else(|| text("team/gw-0")),
                ];
            }
        }
    }
    entry
}

fn path_match(bytes: &mut Bytes<'_>) -> StringMatch {
    let paths = ["/a", "/admin", "/", "/b", "/v1", "/a/b", "/A", "/v1/", "/aDmin"];
    match bytes.below(8) {
        0 | 1 => StringMatch::Exact(bytes.pick(&paths).into()),
        2..=5 => StringMatch::Prefix(bytes.pick(&paths).into()),
        6 => {
            let broken = bytes.byte() >= 253;
            let patterns = ["/a.*", "/[a-z]+", "/(a|b)(/.*)?", ".*"];
            StringMatch::Regex(if broken { "(" } else { bytes.pick(&patterns) }.into())
        }
        _ => StringMatch::Present,
    }
}

fn one_of(bytes: &mut Bytes<'_>, exact: &[&str], prefix: &str, regex: &str) -> StringMatch {
    match bytes.below(8) {
        0..=3 => StringMatch::Exact(bytes.pick(exact).into()),
        4 | 5 => StringMatch::Prefix(prefix.into()),
        6 => StringMatch::Regex(regex.into()),
        _ => StringMatch::Present,
    }
}

/// Fields that are not the client's to write, or about the connection.
const NOT_THE_CLIENTS: [&str; 6] = [
    "x-forwarded-proto",
    "x-forwarded-proto",
    "x-envoy-external-address",
    "x-envoy-internal",
    "te",
    "keep-alive",
];

fn keyed(bytes: &mut Bytes<'_>, has_claims: bool) -> Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)> {
    let mut keyed: Vec<(Spanned<HeaderKey>, Spanned<StringMatch>)> = Vec::new();
    for _ in 0..bytes.pick(&[1, 1, 2]) {
        let claim = |names: &[&str]| HeaderKey::Claim(names.iter().map(|name| (*name).to_owned()).collect());
        let key = match bytes.below(8) {
            0 => HeaderKey::Authority,
            1 => HeaderKey::Method,
            2 | 3 if has_claims => claim(&["groups"]),
            4 if has_claims => claim(&["nested", "team"]),
            5 => HeaderKey::Field(bytes.pick(&NOT_THE_CLIENTS).to_owned()),
            other => HeaderKey::Field(["x-a", "x-b", "user-type", "x-forwarded-client-cert"][other % 4].to_owned()),
        };
        if keyed.iter().any(|(taken, _)| taken.value == key) {
            continue;
        }
        let wanted = match key {
            HeaderKey::Authority => one_of(bytes, &["a.test", "p.test", "A.Test"], "a", ".*"),
            HeaderKey::Method => one_of(bytes, &["POST", "GET"], "P", "[A-Z]+"),
            HeaderKey::Field(ref name) if NOT_THE_CLIENTS.contains(&&**name) => one_of(
                bytes,
                &["http", "https", "trailers", "127.0.0.1"],
                "127.0.0.1",
                "https?|t.*|[0-9.]+",
            ),
            _ => value_match(bytes),
        };
        keyed.push((spanned(key), spanned(wanted)));
    }
    keyed
}

fn action(bytes: &mut Bytes<'_>) -> HttpAction {
    match bytes.below(8) {
        0..=4 => HttpAction::Route {
            destinations: destinations(bytes),
            rewrite: rewrite(bytes).into(),
        },
        5 => HttpAction::DirectResponse(Box::new(HttpDirectResponse {
            status: bytes.pick(&[200, 404, 503]),
            body: bytes.pick(&[&b"no"[..], b"", b"\xff\0"]).to_vec(),
        })),
        _ => HttpAction::Redirect(Box::new(HttpRedirect {
            uri: bytes.pick(&[None, Some("/to"), Some("/to?own")]).map(str::to_owned),
            authority: bytes
                .pick(&[None, Some("to.test"), Some("to.test:81"), None])
                .map(str::to_owned),
            port: bytes.pick(&[
                None,
                Some(RedirectPort::Number(80)),
                Some(RedirectPort::Number(443)),
                Some(RedirectPort::OfListener),
                Some(RedirectPort::OfProtocol),
                None,
            ]),
            scheme: bytes.pick(&[None, Some(Scheme::Https), Some(Scheme::Http), None]),
            code: bytes.pick(&[301, 302, 308]),
        })),
    }
}

fn destinations(bytes: &mut Bytes<'_>) -> Vec<RouteDestination> {
    list(bytes, &[1, 1, 2, 3], |bytes| {
        let (host, port) = bytes.pick(&[
            ("one.test", None),
            ("two.test", Some(80)),
            ("two.test", Some(9090)),
            ("also.test", Some(8080)),
        ]);
        let (host, port) = match bytes.byte() {
            255 => ("absent.test", None),
            254 => ("two.test", None),
            253 => ("one.test", Some(81)),
            _ => (host, port),
        };
        RouteDestination {
            at: Location::default(),
            host: text(host),
            port: port.map(spanned),
            subset: None,
            weight: match bytes.below(8) {
                0 => None,
                1 => Some(spanned(0)),
                2 => Some(spanned(0x7fff_ffff)),
                other => Some(spanned(u32::try_from(other).expect("small") * 10)),
            },
            headers: operations(bytes),
        }
    })
}

fn rewrite(bytes: &mut Bytes<'_>) -> HttpRewrite {
    let uri = match bytes.below(8) {
        0 | 1 => Some(UriRewrite::Matched(text(bytes.pick(&["/", "/v2", "/x/", "/?y", "/."])))),
        2 => {
            let (pattern, substitution) = bytes.pick(&[
                ("^/([a-z]+)(.*)$", "/\\1"),
                ("/a", "/b"),
                ("a", ""),
                ("^/", ""),
                ("", "x"),
                ("(/)|a", "\\0\\1"),
                ("/a", "/.."),
            ]);
            Some(UriRewrite::Regex {
                pattern: text(if bytes.byte() == 255 { "(" } else { pattern }),
                substitution: text(substitution),
            })
        }
        _ => None,
    };
    HttpRewrite {
        uri,
        authority: bytes.one_in(4).then(|| text("rewritten.test")),
    }
}

/// Makes the changes of header fields of a rule.
pub fn operations(bytes: &mut Bytes<'_>) -> HeaderOperations {
    if !bytes.one_in(3) {
        return HeaderOperations::default();
    }
    HeaderOperations {
        request: changes(bytes, true).into(),
        response: changes(bytes, false).into(),
    }
}

fn changes(bytes: &mut Bytes<'_>, is_request: bool) -> HeaderChanges {
    let mut changes = HeaderChanges {
        authority: (is_request && bytes.one_in(4)).then(|| text("by-header.test")),
        ..HeaderChanges::default()
    };
    let secret = |value: &str| Secret::new(value.to_owned());
    for _ in 0..bytes.pick(&[0, 1, 2]) {
        let name = bytes.pick(&["x-a", "x-b", "authorization"]).to_owned();
        match bytes.below(3) {
            0 => changes.set.push((name, secret("set"))),
            1 => changes.add.push((name, secret("added"))),
            _ => changes.remove.push(name),
        }
    }
    changes
}
