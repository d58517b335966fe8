//! Small random Gateways of Gateway API and HTTPRoutes, whose hosts and paths meet often, and requests for them.

use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::gateway_api::{Gateway, Listener, RouteNamespaces};
use lockgate_core::config::resource::http_route::{
    BackendKind, BackendRef, Filters, HttpRoute, Match, Mirror, ParentRef, PathMatch, PathModifier, Redirect, Rewrite,
    Rule, Timeouts,
};
use lockgate_core::config::resource::{
    HeaderChanges, Meta, Resolution, Resources, Seldom, ServiceEntry, ServicePort, Spanned, StringMatch,
};
use lockgate_core::config::secret::Secret;
use lockgate_core::request::Scheme;
use lockgate_core::tables::Chance;

use crate::bytes::Bytes;
use crate::world::{spanned, text};

const NAMESPACES: [&str; 2] = ["infra", "apps"];
const SERVICES: [&str; 3] = ["one", "two", "three"];
const HOSTNAMES: [&str; 6] = ["*.test", "a.test", "*.b.test", "x.b.test", "y.x.b.test", "*.x.b.test"];
const PATHS: [&str; 7] = ["/", "/a", "/a/b", "/ab", "/a/", "/a/b/c", "/b"];

/// A request for them.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The port it comes to.
    pub port: u16,
    /// Its Host, as sent.
    pub host: &'static str,
    /// Its method.
    pub method: &'static str,
    /// Its path, in normal form.
    pub path: &'static str,
    /// Its query.
    pub query: Option<&'static str>,
    /// Its header fields.
    pub headers: Vec<(&'static str, &'static str)>,
    /// What chooses a backend.
    pub entropy: u64,
}

/// Makes a configuration that loads.
pub fn resources(bytes: &mut Bytes<'_>) -> Resources {
    let kube_gateways = bytes.some(1, 2, gateway);
    let http_routes = bytes.some(2, 5, |bytes, index| route(bytes, index, &kube_gateways));
    Resources {
        kube_gateways,
        http_routes,
        service_entries: NAMESPACES.map(service_entry).into(),
        ..Resources::default()
    }
}

/// Makes a request.
pub fn asked(bytes: &mut Bytes<'_>) -> Asked {
    Asked {
        port: bytes.pick(&[80, 80, 80, 80, 80, 80, 8080, 8080, 8080, 81]),
        host: bytes.pick(&[
            "a.test",
            "x.b.test",
            "y.x.b.test",
            "b.test",
            "A.Test:80",
            "z.y.x.b.test",
            "c.test",
            "other",
            "test",
            "x.b.test:8080",
        ]),
        method: bytes.pick(&["GET", "GET", "POST", "PUT"]),
        path: bytes.pick(&["/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "/c", "/A", "/a/b/"]),
        query: bytes.pick(&[None, None, Some("q=1"), Some("q=2&r=1"), Some("r=1&q=1&q=2"), Some("")]),
        headers: list(bytes, &[0, 1, 1, 2], |bytes| {
            (bytes.pick(&["x-a", "x-b"]), bytes.pick(&["1", "2", "12"]))
        }),
        entropy: bytes.number(),
    }
}

fn list<T>(bytes: &mut Bytes<'_>, counts: &[usize], mut thing: impl FnMut(&mut Bytes<'_>) -> T) -> Vec<T> {
    let count = bytes.pick(counts);
    (0..count).map(|_| thing(bytes)).collect()
}

fn meta(kind: &'static str, namespace: &str, name: String) -> Meta {
    Meta {
        kind,
        namespace: namespace.into(),
        name: spanned(name.into()),
        created: None,
        at: Location::default(),
    }
}

fn service_entry(namespace: &str) -> ServiceEntry {
    let host = |service: &&str| text(&format!("{service}.{namespace}.svc.cluster.local"));
    ServiceEntry {
        meta: meta("ServiceEntry", namespace, "services".into()),
        hosts: SERVICES.iter().map(host).collect(),
        ports: vec![ServicePort {
            number: spanned(8080),
            name: "http".into(),
            is_http2: false,
            target_port: None,
        }],
        resolution: Resolution::Dns,
        endpoints: Vec::new(),
    }
}

fn gateway(bytes: &mut Bytes<'_>, index: usize) -> Gateway {
    let mut listeners: Vec<Listener> = Vec::new();
    for name in ["first", "second", "third"].iter().take(1 + bytes.below(3)) {
        let hostname = bytes.one_in(2).then(|| bytes.pick(&HOSTNAMES));
        let listener = Listener {
            at: Location::default(),
            name: spanned((*name).into()),
            hostname: hostname.map(text),
            port: spanned(bytes.pick(&[80, 80, 80, 8080])),
            namespaces: match bytes.below(16) {
                0..12 => RouteNamespaces::All,
                12 | 13 => RouteNamespaces::Same,
                14 => RouteNamespaces::Named("apps".into()),
                _ => RouteNamespaces::None,
            },
            takes_http_routes: !bytes.one_in(16),
            certificates: None,
        };
        listeners.push(listener);
    }
    let namespace = bytes.pick(&NAMESPACES);
    Gateway {
        meta: meta("Gateway", namespace, format!("gw-{index}")),
        class: spanned(
            bytes
                .pick(&[
                    "istio", "istio", "istio", "istio", "istio", "istio", "lockgate", "nginx",
                ])
                .into(),
        ),
        listeners,
    }
}

fn route(bytes: &mut Bytes<'_>, index: usize, gateways: &[Gateway]) -> HttpRoute {
    let namespace = bytes.pick(&NAMESPACES);
    let mut meta = meta(
        "HTTPRoute",
        namespace,
        format!("{}{index}", bytes.pick(&["r", "q", "s"])),
    );
    meta.created = bytes.pick(&[None, None, Some(1), Some(2)]);
    HttpRoute {
        parents: list(bytes, &[1, 1, 2], |bytes| parent(bytes, gateways)),
        hostnames: list(bytes, &[0, 0, 1, 2, 3], |bytes| text(bytes.pick(&HOSTNAMES))),
        rules: bytes.some(1, 3, |bytes, index| rule(bytes, index, namespace)),
        meta,
    }
}

fn parent(bytes: &mut Bytes<'_>, gateways: &[Gateway]) -> ParentRef {
    let gateway = &gateways[bytes.below(gateways.len())];
    let listener = &gateway.listeners[bytes.below(gateway.listeners.len())];
    ParentRef {
        at: Location::default(),
        group: "gateway.networking.k8s.io".into(),
        kind: "Gateway".into(),
        namespace: gateway.meta.namespace.clone(),
        name: gateway.meta.name.clone(),
        section: bytes.one_in(4).then(|| listener.name.clone()),
        port: bytes.one_in(8).then(|| listener.port.clone()),
    }
}

fn rule(bytes: &mut Bytes<'_>, index: usize, namespace: &str) -> Rule {
    let matches: Vec<Match> = list(bytes, &[1, 1, 2], one_match);
    let has_prefix = matches!(&matches[..], [Match { path, .. }] if matches!(path.value, PathMatch::Prefix(_)));
    let mut filters = filters(bytes, has_prefix);
    if bytes.one_in(4) {
        filters.rewrite = Rewrite::default();
        filters.redirect = Some(Redirect {
            scheme: bytes.pick(&[None, Some(Scheme::Http), Some(Scheme::Https)]),
            hostname: bytes.one_in(2).then(|| "to.test".into()),
            path: modifier(bytes, has_prefix),
            port: bytes.pick(&[None, None, Some(80), Some(443), Some(8443)]),
            status: bytes.pick(&[302, 301, 308]),
        });
    }
    let counts: &[usize] = if filters.redirect.is_some() {
        &[0]
    } else {
        &[1, 1, 2, 3, 0]
    };
    let mirrors = list(bytes, &[0, 0, 1, 2], |bytes| bytes.pick(&SERVICES));
    filters.mirrors.extend(mirrors.into_iter().map(|service| Mirror {
        backend: BackendRef {
            at: Location::default(),
            kind: BackendKind::Service,
            namespace: namespace.into(),
            name: text(service),
            port: Some(spanned(8080)),
            weight: 1,
            filters: Seldom::default(),
        },
        // How often chance has it is not for this reading.
        chance: Chance(bytes.pick(&[0, 1_000_000, 1_000_000])),
        field: "filters[0].requestMirror.backendRef".into(),
    }));
    let timeouts = Timeouts {
        request_ms: bytes.pick(&[None, None, Some(0), Some(2_000)]),
        backend_request_ms: bytes.pick(&[None, None, Some(0), Some(1_000)]),
    };
    Rule {
        at: Location::default(),
        timeouts,
        name: bytes
            .one_in(2)
            .then(|| spanned(["first", "second", "third"][index].into())),
        matches,
        filters: filters.into(),
        backends: list(bytes, counts, |bytes| BackendRef {
            at: Location::default(),
            kind: BackendKind::Service,
            namespace: namespace.into(),
            name: text(bytes.pick(&SERVICES)),
            port: Some(spanned(8080)),
            weight: bytes.pick(&[1, 1, 1, 0, 3]),
            filters: if bytes.one_in(3) {
                self::filters(bytes, has_prefix).into()
            } else {
                Seldom::default()
            },
        }),
    }
}

fn one_match(bytes: &mut Bytes<'_>) -> Match {
    let path = bytes.pick(&PATHS);
    let path = match bytes.below(8) {
        0..3 => PathMatch::Prefix(path.trim_end_matches('/').into()),
        3 | 4 => PathMatch::Exact(path.into()),
        5 => PathMatch::Regex(bytes.pick(&["/a.*", "/[ab]", "/.*", "/a/(b|c).*"]).into()),
        _ => PathMatch::Prefix(bytes.pick(&["", "", "/a"]).into()),
    };
    Match {
        at: Location::default(),
        path: spanned(path),
        headers: named(bytes, &["x-a", "x-b"]),
        query_params: named(bytes, &["q", "r"]),
        method: bytes
            .pick(&[None, None, None, Some("GET"), Some("POST")])
            .map(Into::into),
    }
}

/// At most one match for each name.
fn named(bytes: &mut Bytes<'_>, names: &[&str]) -> Vec<(Spanned<String>, Spanned<StringMatch>)> {
    let mut named = Vec::new();
    for name in names {
        if bytes.one_in(12) {
            let value = match bytes.below(3) {
                0 => StringMatch::Exact("1".into()),
                1 => StringMatch::Exact("2".into()),
                _ => StringMatch::Regex("1.?".into()),
            };
            named.push((text(name), spanned(value)));
        }
    }
    named
}

fn filters(bytes: &mut Bytes<'_>, has_prefix: bool) -> Filters {
    Filters {
        request: changes(bytes),
        response: changes(bytes),
        rewrite: Rewrite {
            hostname: bytes.one_in(4).then(|| bytes.pick(&["to.test", "other.test"]).into()),
            path: modifier(bytes, has_prefix),
        },
        redirect: None,
        mirrors: Vec::new(),
    }
}

fn modifier(bytes: &mut Bytes<'_>, has_prefix: bool) -> Option<PathModifier> {
    match bytes.below(6) {
        0 => Some(PathModifier::Full(bytes.pick(&["/", "/full", "/full/"]).into())),
        1 | 2 if has_prefix => Some(PathModifier::Prefix(bytes.pick(&["", "/new", "/new/er"]).into())),
        _ => None,
    }
}

fn changes(bytes: &mut Bytes<'_>) -> HeaderChanges {
    let pairs = |count: usize| {
        let names = ["x-one", "x-two"];
        let pair = |name: &&str| ((*name).to_owned(), Secret::new("value".into()));
        names[..count].iter().map(pair).collect()
    };
    HeaderChanges {
        set: pairs(bytes.pick(&[0, 0, 1])),
        add: pairs(bytes.pick(&[0, 0, 2])),
        remove: list(bytes, &[0, 0, 1], |bytes| bytes.pick(&["x-gone", "x-one"]).into()),
        authority: None,
    }
}
