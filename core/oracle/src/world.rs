//! Small random configurations whose names, hosts and values meet often.
//!
//! What comes out is well-formed one by one, as after the loader; some of it is
//! wrong together (a dangling reference, half the weights), which
//! [`crate::validity`] has to say as well as the compiler.

use lockgate_core::client_cert::Forwarding;
use lockgate_core::compile::Settings;
use lockgate_core::config::diagnostic::Location;
use lockgate_core::config::resource::{
    BackendRef, ClientCertificates, Credential, FurtherConditions, Gateway, HttpMatch, Labels, LlmMatch, LlmProvider,
    LlmRoute, LlmRule, MeshConfig, Meta, ProviderConfig, Resources, RouteSettings, Seldom, Server, ServerProtocol,
    ServerTls, Spanned, StringMatch, TlsVersion,
};
use lockgate_core::config::secret::Secret;
use lockgate_core::path::{Normalization, PathParameters};

use crate::attempts;
use crate::bytes::Bytes;
use crate::checks;
use crate::delegates;
use crate::policies::{crowd, policy};
use crate::virtual_services::{operations, service_entries, virtual_service};

/// A configuration and the gateway that loads it.
#[derive(Debug, Clone)]
pub struct World {
    /// The resources.
    pub resources: Resources,
    /// The gateway.
    pub settings: Settings,
}

const NAMESPACES: [&str; 3] = ["istio-system", "default", "team"];
const PROVIDER_HOSTS: [&str; 4] = ["a.test", "p.test", "x.b.test", "b.test"];
const ROUTE_HOSTS: [&str; 16] = [
    "*", "*", "*", "*.test", "*", "*.b.test", "a.test", "*", "p.test", "B.test", "*", "*.Test", "*", "*", "*.test",
    "a.test",
];
const SERVER_HOSTS: [&str; 24] = [
    "*",
    "*",
    "*",
    "*.test",
    "*/*",
    "a.test",
    "p.test",
    "*.b.test",
    "default/*",
    "./*",
    "b.test",
    "*/*.test",
    "./p.test",
    "team/a.test",
    "A.Test",
    "x.b.test",
    "*",
    "*",
    "*",
    "*",
    "*",
    "*",
    "*",
    "*",
];
const MODELS: [&str; 4] = ["qwen", "large", "a\"b", "back\\slash"];

/// Makes a configuration.
pub fn world(bytes: &mut Bytes<'_>) -> World {
    let settings = Settings {
        namespace: bytes.pick(&["istio-system", "istio-system", "team"]).into(),
        labels: bytes
            .pick(&[&OWN_LABELS[..1], &OWN_LABELS[..]])
            .iter()
            .map(|(key, value)| ((*key).into(), (*value).into()))
            .collect(),
        ..Settings::default()
    };
    let mut gateways = bytes.some(1, 3, gateway);
    let llm_providers = bytes.some(1, 4, provider);
    let llm_routes = bytes.some(1, 4, |bytes, index| route(bytes, index, &gateways, &llm_providers));
    let mut mesh_configs = bytes.some(0, 1, |bytes, _| mesh_config(bytes));
    let mut authorization_policies = match bytes.below(4) {
        0 | 2 => Vec::new(),
        1 => bytes.some(1, 3, |bytes, index| policy(bytes, index, &gateways)),
        // Among many, rules are found in another way than among few.
        _ => {
            let mut policies = bytes.some(1, 3, |bytes, index| policy(bytes, index, &gateways));
            policies.extend(crowd(&policies));
            policies
        }
    };
    if let Some(mesh) = mesh_configs.first_mut().filter(|_| bytes.one_in(2)) {
        mesh.authorizers = checks::providers(bytes);
        for policy in &mut authorization_policies {
            if bytes.one_in(2) {
                checks::as_custom(policy, bytes.pick(&checks::NAMES));
            }
        }
        if let Some(policy) = authorization_policies.first_mut().filter(|_| bytes.one_in(32)) {
            checks::as_custom(policy, "gamma");
        }
    }
    let has_claims = mesh_configs.iter().all(|mesh| mesh.authorizers.is_empty());
    let mut virtual_services = bytes.some(0, 2, |bytes, index| {
        virtual_service(bytes, index, &gateways, has_claims)
    });
    if bytes.one_in(4) {
        delegates::delegate(&mut virtual_services, bytes, has_claims);
    }
    if bytes.one_in(8) {
        date(&mut gateways, bytes);
    }
    World {
        resources: Resources {
            mesh_configs,
            gateways,
            authorization_policies,
            llm_providers,
            llm_routes,
            virtual_services,
            service_entries: service_entries(),
            ..Resources::default()
        },
        settings,
    }
}

fn mesh_config(bytes: &mut Bytes<'_>) -> MeshConfig {
    use PathParameters::{Keep, Refuse, Strip};
    MeshConfig {
        at: Location::default(),
        normalization: bytes.pick(&[
            Normalization::None,
            Normalization::Base,
            Normalization::MergeSlashes,
            Normalization::DecodeAndMergeSlashes,
        ]),
        path_parameters: bytes.pick(&[Keep, Keep, Keep, Keep, Keep, Strip, Strip, Refuse]),
        refuse_escaped_slashes: bytes.one_in(8),
        trusted_proxies: bytes.pick(&[0, 1, 2, 3]),
        // Read before there is a request.
        proxy_protocol: false,
        trust_domains: Vec::new(),
        authorizers: Vec::new(),
        default_retries: bytes.one_in(4).then(|| attempts::retries(bytes)),
        root_namespace: None,
        client_cert: bytes.pick(&Forwarding::NAMED).1,
    }
}

const OWN_LABELS: [(&str, &str); 2] = [("istio", "ingressgateway"), ("app", "edge")];

pub(crate) fn gateway(bytes: &mut Bytes<'_>, index: usize) -> Gateway {
    Gateway {
        meta: meta(bytes, "Gateway", "gw", index),
        selector: selector(bytes),
        servers: bytes.some(1, 2, |bytes, server| Server {
            at: Location::default(),
            hosts: bytes.some(1, 3, |bytes, _| text(bytes.pick(&SERVER_HOSTS))),
            port: spanned(bytes.pick(&[80, 80, 80, 80, 80, 80, 8080, 443])),
            port_name: spanned(format!("http-{server}").into()),
            protocol: spanned(protocol(bytes)),
        }),
    }
}

/// Mostly of one age, and not loaded in the order of their names, which then decides.
fn date(gateways: &mut [Gateway], bytes: &mut Bytes<'_>) {
    gateways.reverse();
    for gateway in gateways {
        gateway.meta.created = bytes.pick(&[Some(1), Some(1), Some(1), Some(2), None]);
    }
}

fn protocol(bytes: &mut Bytes<'_>) -> ServerProtocol {
    let path = || spanned("server.pem".into());
    match bytes.pick(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 2, 2]) {
        0 => ServerProtocol::Http { https_redirect: false },
        1 => ServerProtocol::Http { https_redirect: true },
        _ => ServerProtocol::Https(Box::new(ServerTls {
            credentials: vec![Credential::Files {
                certificate: path(),
                key: path(),
            }],
            clients: ClientCertificates::NotAsked,
            min_version: TlsVersion::V12,
            max_version: TlsVersion::V13,
            cipher_suites: Vec::new(),
        })),
    }
}

fn provider(bytes: &mut Bytes<'_>, index: usize) -> LlmProvider {
    let host = match bytes.one_in(80) {
        false => PROVIDER_HOSTS[index % PROVIDER_HOSTS.len()],
        true => bytes.pick(&["a.test", "p.test", "A.test", "P.TEST"]),
    };
    let mut meta = meta(bytes, "LLMProvider", "provider", index);
    if !bytes.one_in(24) {
        meta.namespace = "istio-system".into();
    }
    let config = |bytes: &mut Bytes<'_>, key: &str| ProviderConfig {
        at: Location::default(),
        model: bytes.one_in(2).then(|| text(bytes.pick(&MODELS))),
        stream: bytes.pick(&[None, Some(false), Some(true)]),
        api_key: bytes
            .one_in(2)
            .then(|| spanned(Secret::new(format!("key-{index}-{key}")))),
    };
    let path = bytes
        .one_in(3)
        .then(|| text(bytes.pick(&["/v1/chat/completions", "/p"])));
    let default_config = bytes.one_in(2).then(|| config(bytes, "default"));
    let specific = bytes.pick(&[&[][..], &["one"][..], &["two"][..], &["one", "two"][..], &["none"][..]]);
    LlmProvider {
        meta,
        workload_selector: bytes.one_in(8).then(|| selector(bytes)),
        host: text(host),
        path,
        default_config,
        route_specific_configs: specific.iter().map(|name| (text(name), config(bytes, name))).collect(),
    }
}

fn route(bytes: &mut Bytes<'_>, index: usize, gateways: &[Gateway], providers: &[LlmProvider]) -> LlmRoute {
    let mut meta = meta(bytes, "LLMRoute", "route", index);
    meta.created = bytes.pick(&[None, None, Some(1), Some(2), Some(3)]);
    let named = list(bytes, &[1, 1, 2, 2, 1, 2, 1, 2, 1, 0], |bytes| {
        gateway_ref(bytes, &meta.namespace, gateways)
    });
    LlmRoute {
        meta,
        host: text(bytes.pick(&ROUTE_HOSTS)),
        rules: bytes.some(1, 3, |bytes, index| rule(bytes, index, &named, providers)),
        gateways: named,
    }
}

/// A list whose length is one of `lengths`.
pub(crate) fn list<T>(bytes: &mut Bytes<'_>, lengths: &[usize], mut thing: impl FnMut(&mut Bytes<'_>) -> T) -> Vec<T> {
    (0..bytes.pick(lengths)).map(|_| thing(bytes)).collect()
}

pub(crate) fn gateway_ref(bytes: &mut Bytes<'_>, namespace: &str, gateways: &[Gateway]) -> Spanned<String> {
    let meta = &gateways[bytes.below(gateways.len())].meta;
    text(&match bytes.byte() {
        252..=255 => "mesh".to_owned(),
        251 => "team/absent".to_owned(),
        249..=250 => meta.name.to_string(),
        _ if *meta.namespace == *namespace && bytes.one_in(2) => meta.name.to_string(),
        _ => format!("{}/{}", meta.namespace, *meta.name),
    })
}

fn rule(bytes: &mut Bytes<'_>, index: usize, gateways: &[Spanned<String>], providers: &[LlmProvider]) -> LlmRule {
    let name = match bytes.below(64) {
        63 => Some("one"),
        choice if choice % 4 == 0 => None,
        _ => Some(["one", "two", "three"][index]),
    };
    LlmRule {
        at: Location::default(),
        name: name.map(|name| spanned(name.into())),
        matches: list(bytes, &[1, 2, 1, 0, 2, 3, 1], |bytes| llm_match(bytes, gateways)),
        backend_refs: backends(bytes, providers),
        rewrite: Seldom::default(),
        headers: operations(bytes),
        settings: match bytes.one_in(3) {
            true => attempts::settings(bytes),
            false => RouteSettings::default(),
        },
    }
}

fn llm_match(bytes: &mut Bytes<'_>, gateways: &[Spanned<String>]) -> LlmMatch {
    let mut headers: Vec<(Spanned<String>, Spanned<StringMatch>)> = Vec::new();
    for _ in 0..bytes.pick(&[1, 1, 2, 1, 0]) {
        let name = bytes.pick(&["host", "host", "x-a", "x-b", "user-type"]);
        if headers.iter().all(|(taken, _)| **taken != name) {
            let condition = if name == "host" {
                host_match(bytes)
            } else {
                value_match(bytes)
            };
            headers.push((text(name), spanned(condition)));
        }
    }
    let own_gateways = list(bytes, &[0, 0, 0, 0, 0, 1], |bytes| {
        match gateways.get(bytes.below(gateways.len().max(1))) {
            Some(own) if bytes.byte() < 250 => own.clone(),
            _ => text("istio-system/gw-0"),
        }
    });
    let source_labels = bytes.one_in(8).then(|| selector(bytes));
    LlmMatch {
        at: Location::default(),
        headers,
        models: list(bytes, &[0, 0, 0, 0, 0, 0, 1, 2], |bytes| {
            spanned(match bytes.below(4) {
                0 => StringMatch::Prefix("qw".into()),
                1 => StringMatch::Regex("q.*|g.*".into()),
                _ => StringMatch::Exact(bytes.pick(&MODELS).into()),
            })
        }),
        stream: bytes.pick(&[None, None, None, None, None, None, Some(true), Some(false)]),
        more: HttpMatch {
            uri: bytes.one_in(8).then(|| {
                spanned(bytes.pick(&[StringMatch::Prefix, StringMatch::Exact])(
                    bytes.pick(&["/a", "/v1/chat", "/"]).into(),
                ))
            }),
            also: FurtherConditions {
                method: bytes
                    .one_in(8)
                    .then(|| spanned(StringMatch::Exact(bytes.pick(&["POST", "GET"]).into()))),
                port: bytes.one_in(12).then(|| bytes.pick(&[80, 443])),
                gateways: own_gateways,
                source_labels,
                ..FurtherConditions::default()
            }
            .into(),
            ..HttpMatch::default()
        },
    }
}

fn host_match(bytes: &mut Bytes<'_>) -> StringMatch {
    match bytes.below(8) {
        0..=3 => StringMatch::Exact(
            bytes
                .pick(&[
                    "a.test",
                    "p.test",
                    "b.test",
                    "x.b.test",
                    "a.test:80",
                    "A.TEST",
                    "P.test:8080",
                    "a.test",
                    "p.test",
                ])
                .into(),
        ),
        4 => StringMatch::Prefix(bytes.pick(&["a", "x.", "p.test", "", "A", "a.test:"]).into()),
        5 | 6 => StringMatch::Regex(
            bytes
                .pick(&[
                    "a\\.test",
                    ".*\\.test",
                    "a|a\\.test",
                    "[bp]\\.test",
                    "(?i)A\\.TEST",
                    "A\\.TEST",
                    ".*:80",
                    "x?",
                ])
                .into(),
        ),
        _ => StringMatch::Present,
    }
}

pub(crate) fn value_match(bytes: &mut Bytes<'_>) -> StringMatch {
    match bytes.below(8) {
        0..=2 => StringMatch::Exact(bytes.pick(&["red", "blue", "Red", "red,blue"]).into()),
        3 | 4 => StringMatch::Prefix(bytes.pick(&["r", "red", "b", ""]).into()),
        5 | 6 => {
            let broken = bytes.byte() >= 253;
            let patterns = [
                "red", "r.d", "re|red", "b.*", ".*", "\\w+", "red|blue", "[^r].*", "r.{2}",
            ];
            StringMatch::Regex(
                if broken {
                    bytes.pick(&["(", ")|(", "a\\"])
                } else {
                    bytes.pick(&patterns)
                }
                .into(),
            )
        }
        _ => StringMatch::Present,
    }
}

fn backends(bytes: &mut Bytes<'_>, providers: &[LlmProvider]) -> Vec<BackendRef> {
    let count = bytes.pick(&[1, 2, 1, 3]);
    let weighted = bytes.pick(&[false, true]);
    let first = bytes.below(providers.len());
    let mut refs: Vec<BackendRef> = Vec::new();
    for index in 0..count.min(providers.len()) {
        let host = match bytes.byte() {
            255 => "absent.test",
            251..255 => "p.test",
            _ => &providers[(first + index) % providers.len()].host,
        };
        let weight = match bytes.byte() {
            252..=255 => !weighted,
            _ => weighted,
        };
        let weight = weight.then(|| match bytes.below(16) {
            0..=2 => 0,
            3 => 0x7fff_ffff,
            choice => u32::try_from(choice).expect("small") * 10,
        });
        refs.push(BackendRef {
            at: Location::default(),
            provider_host: text(host),
            weight: weight.map(spanned),
            host_rewrite: bytes
                .one_in(8)
                .then(|| Box::new(text(bytes.pick(&["rewritten.test", "p.test"])))),
        });
    }
    refs
}

/// Those with a creation time first, oldest first, and those of one age by name; then as loaded.
pub(crate) fn oldest_first<T>(all: impl Iterator<Item = T>, meta: impl Fn(&T) -> &Meta) -> Vec<T> {
    let (mut dated, mut undated): (Vec<T>, Vec<T>) = all.partition(|one| meta(one).created.is_some());
    dated.sort_by_key(|one| {
        let meta = meta(one);
        (meta.created, meta.name.value.clone(), meta.namespace.clone())
    });
    dated.append(&mut undated);
    dated
}

pub(crate) fn meta(bytes: &mut Bytes<'_>, kind: &'static str, name: &str, index: usize) -> Meta {
    let number = if bytes.one_in(128) { 0 } else { index };
    Meta {
        kind,
        namespace: bytes.pick(&NAMESPACES).into(),
        name: spanned(format!("{name}-{number}").into()),
        created: None,
        at: Location::default(),
    }
}

/// Mostly one that selects this gateway.
pub(crate) fn selector(bytes: &mut Bytes<'_>) -> Labels {
    let options: [&[(&str, &str)]; 16] = [
        &OWN_LABELS[..1],
        &[],
        &OWN_LABELS[..1],
        &OWN_LABELS[1..],
        &OWN_LABELS,
        &OWN_LABELS[..1],
        &[("istio", "egressgateway")],
        &[("Istio", "ingressgateway")],
        &[],
        &[],
        &[],
        &[],
        &OWN_LABELS[..1],
        &OWN_LABELS[..1],
        &OWN_LABELS[..1],
        &OWN_LABELS[..1],
    ];
    bytes
        .pick(&options)
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

pub(crate) fn text(text: &str) -> Spanned<String> {
    spanned(text.to_owned())
}

pub(crate) fn spanned<T>(value: T) -> Spanned<T> {
    Spanned {
        value,
        at: Location::default(),
    }
}
