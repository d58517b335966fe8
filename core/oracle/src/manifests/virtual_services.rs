//! VirtualServices, and what LLMRoutes share with them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_core::config::resource::{
    CorsPolicy, HeaderChanges, HeaderKey, HeaderOperations, HttpAction, HttpFault, HttpMatch, HttpMirror, HttpRewrite,
    HttpRoute, RedirectPort, Retries, RouteDestination, RouteSettings, Spanned, StringMatch, UriRewrite,
    VirtualService,
};
use lockgate_core::config::secret::Secret;
use lockgate_core::request::Scheme;
use lockgate_core::tables::{AbortStatus, Chance};
use serde_json::{Map, Value, json};

use super::{NETWORKING, labels, resource, texts};

pub(super) fn virtual_service(service: &VirtualService) -> Value {
    resource(NETWORKING, "VirtualService", &service.meta, spec(service))
}

/// `spec` of a VirtualService.
#[must_use]
pub fn spec(service: &VirtualService) -> Value {
    let mut written = json!({ "http": service.http.iter().map(rule).collect::<Vec<_>>() });
    for (name, list) in [
        ("hosts", &service.hosts),
        ("gateways", &service.gateways),
        ("exportTo", &service.export_to),
    ] {
        if !list.is_empty() {
            written[name] = texts(list);
        }
    }
    written
}

pub(super) fn retry(retries: &Retries) -> Value {
    let mut written = json!({ "attempts": retries.attempts });
    if let Some(ignore) = retries.ignore_previous_hosts {
        written["retryIgnorePreviousHosts"] = json!(ignore);
    }
    if let Some(backoff) = retries.backoff_ms {
        written["backoff"] = json!(format!("{backoff}ms"));
    }
    // Without attempts the others are refused.
    if retries.attempts > 0 {
        if let Some(limit) = retries.per_try_timeout_ms {
            written["perTryTimeout"] = json!(format!("{limit}ms"));
        }
        if let Some(conditions) = &retries.on {
            let names = conditions.on.names().map(str::to_owned);
            let all: Vec<String> = names.chain(conditions.statuses.iter().map(u16::to_string)).collect();
            written["retryOn"] = json!(all.join(","));
        }
    }
    written
}

fn http_fault(fault: &HttpFault) -> Value {
    let mut written = json!({});
    if let Some((chance, delay_ms)) = fault.delay {
        written["delay"] = json!({ "fixedDelay": format!("{delay_ms}ms"), "percentage": percentage(chance) });
    }
    if let Some((chance, status)) = fault.abort {
        let status = match status {
            AbortStatus::Http(status) => json!({ "httpStatus": status }),
            AbortStatus::Grpc(_) => json!({ "grpcStatus": "UNAVAILABLE" }),
        };
        written["abort"] = status;
        written["abort"]["percentage"] = percentage(chance);
    }
    if written == json!({}) {
        written["delay"] = json!({ "fixedDelay": "1s" });
    }
    written
}

fn percentage(chance: Chance) -> Value {
    json!({ "value": chance.0 / 10_000 })
}

fn cors(policy: &CorsPolicy) -> Value {
    let origins: Vec<Value> = policy.origins.iter().map(string_match).collect();
    let mut written = json!({
        "allowOrigins": origins,
        "allowMethods": policy.methods,
        "allowHeaders": policy.headers,
        "exposeHeaders": policy.exposed,
        "allowCredentials": policy.credentials,
        "unmatchedPreflights": if policy.forwards_unmatched { "FORWARD" } else { "IGNORE" },
    });
    if let Some(seconds) = policy.max_age_s {
        written["maxAge"] = json!(format!("{seconds}s"));
    }
    written
}

fn rule(rule: &HttpRoute) -> Value {
    let mut written = json!({});
    if let Some(name) = &rule.name {
        written["name"] = json!(**name);
    }
    let mut settings = rule.settings.clone();
    // Both refuse it elsewhere.
    settings
        .fault
        .take_if(|_| !matches!(rule.action, HttpAction::Route { .. }));
    into_rule(&settings, &mut written);
    if !rule.matches.is_empty() {
        written["match"] = rule.matches.iter().map(http_match).collect();
    }
    if let Some(headers) = operations(&rule.headers) {
        written["headers"] = headers;
    }
    match &rule.action {
        HttpAction::Delegate { to, rewrite } => {
            written["delegate"] = json!({ "name": *to.name, "namespace": to.namespace });
            into_rewrite(rewrite, &mut written);
        }
        HttpAction::Redirect(redirect) => {
            let mut to = json!({ "redirectCode": redirect.code });
            for (name, value) in [
                ("uri", redirect.uri.as_deref()),
                ("authority", redirect.authority.as_deref()),
                ("scheme", redirect.scheme.map(Scheme::as_str)),
            ] {
                if let Some(value) = value {
                    to[name] = json!(value);
                }
            }
            match redirect.port {
                None => {}
                Some(RedirectPort::Number(port)) => to["port"] = json!(port),
                Some(RedirectPort::OfListener) => to["derivePort"] = json!("FROM_REQUEST_PORT"),
                Some(RedirectPort::OfProtocol) => to["derivePort"] = json!("FROM_PROTOCOL_DEFAULT"),
            }
            written["redirect"] = to;
        }
        HttpAction::DirectResponse(response) => {
            written["directResponse"] = json!({ "status": response.status });
            if !response.body.is_empty() {
                let body = STANDARD.encode(&response.body);
                written["directResponse"]["body"] = json!({ "bytes": body });
            }
        }
        HttpAction::Route { destinations, rewrite } => {
            written["route"] = destinations.iter().map(weighted).collect();
            into_rewrite(rewrite, &mut written);
        }
    }
    written
}

/// What a rule says beside where it sends.
pub(super) fn into_rule(settings: &RouteSettings, written: &mut Value) {
    if let Some(timeout) = settings.timeout_ms {
        written["timeout"] = json!(format!("{timeout}ms"));
    }
    if let Some(retries) = &settings.retries {
        written["retries"] = retry(retries);
    }
    if let Some(fault) = &settings.fault {
        written["fault"] = http_fault(fault);
    }
    if let Some(policy) = &settings.cors {
        written["corsPolicy"] = cors(policy);
    }
    if !settings.mirrors.is_empty() {
        written["mirrors"] = settings.mirrors.iter().map(mirror).collect();
    }
}

fn mirror(mirror: &HttpMirror) -> Value {
    json!({ "destination": destination(&mirror.destination), "percentage": percentage(mirror.chance) })
}

fn weighted(to: &RouteDestination) -> Value {
    let mut written = json!({ "destination": destination(to) });
    if let Some(weight) = &to.weight {
        written["weight"] = json!(**weight);
    }
    if let Some(headers) = operations(&to.headers) {
        written["headers"] = headers;
    }
    written
}

fn destination(to: &RouteDestination) -> Value {
    let mut written = json!({ "host": *to.host });
    if let Some(port) = &to.port {
        written["port"] = json!({ "number": **port });
    }
    written
}

fn into_rewrite(rewrite: &HttpRewrite, written: &mut Value) {
    let mut rewritten = Map::new();
    match &rewrite.uri {
        None => {}
        Some(UriRewrite::Matched(with)) => drop(rewritten.insert("uri".to_owned(), json!(**with))),
        Some(UriRewrite::Regex { pattern, substitution }) => {
            let regex = json!({ "match": **pattern, "rewrite": **substitution });
            rewritten.insert("uriRegexRewrite".to_owned(), regex);
        }
    }
    if let Some(authority) = &rewrite.authority {
        rewritten.insert("authority".to_owned(), json!(**authority));
    }
    if !rewritten.is_empty() {
        written["rewrite"] = rewritten.into();
    }
}

pub(super) fn http_match(entry: &HttpMatch) -> Value {
    let mut written = json!({});
    if entry.ignore_uri_case {
        written["ignoreUriCase"] = json!(true);
    }
    for (name, wanted) in [
        ("uri", &entry.uri),
        ("scheme", &entry.also.scheme),
        ("method", &entry.also.method),
        ("authority", &entry.also.authority),
    ] {
        if let Some(wanted) = wanted {
            written[name] = string_match(wanted);
        }
    }
    if let Some(port) = entry.also.port {
        written["port"] = json!(port);
    }
    for (name, list) in [
        ("headers", &entry.also.headers),
        ("withoutHeaders", &entry.also.without_headers),
    ] {
        for (key, wanted) in list {
            written[name][&*header_name(key)] = string_match(wanted);
        }
    }
    for (name, wanted) in &entry.also.query_params {
        written["queryParams"][name.as_str()] = string_match(wanted);
    }
    if !entry.also.gateways.is_empty() {
        written["gateways"] = texts(&entry.also.gateways);
    }
    if let Some(wanted) = &entry.also.source_labels {
        written["sourceLabels"] = labels(wanted);
    }
    if let Some(namespace) = &entry.also.source_namespace {
        written["sourceNamespace"] = json!(namespace);
    }
    written
}

fn header_name(key: &HeaderKey) -> Cow<'_, str> {
    match key {
        HeaderKey::Field(name) => name.into(),
        HeaderKey::Authority => "host".into(),
        HeaderKey::Method => ":method".into(),
        HeaderKey::Scheme => ":scheme".into(),
        HeaderKey::Claim(names) => format!("@request.auth.claims[{}]", names.join("][")).into(),
    }
}

pub(super) fn string_match(wanted: &Spanned<StringMatch>) -> Value {
    match &wanted.value {
        StringMatch::Exact(text) => json!({ "exact": text }),
        StringMatch::Prefix(text) => json!({ "prefix": text }),
        StringMatch::Regex(text) => json!({ "regex": text }),
        StringMatch::Present => json!({}),
    }
}

pub(super) fn operations(operations: &HeaderOperations) -> Option<Value> {
    let mut written = Map::new();
    for (side, changes) in [("request", &operations.request), ("response", &operations.response)] {
        let changes = side_of(changes);
        if !changes.is_empty() {
            written.insert(side.to_owned(), changes.into());
        }
    }
    (!written.is_empty()).then(|| written.into())
}

fn side_of(changes: &HeaderChanges) -> Map<String, Value> {
    let mut written = Map::new();
    let values = |list: &[(String, Secret)]| -> Map<String, Value> {
        list.iter()
            .map(|(name, value)| (name.clone(), json!(value.expose())))
            .collect()
    };
    let mut set = values(&changes.set);
    if let Some(authority) = &changes.authority {
        set.insert("Host".to_owned(), json!(**authority));
    }
    for (name, map) in [("set", set), ("add", values(&changes.add))] {
        if !map.is_empty() {
            written.insert(name.to_owned(), map.into());
        }
    }
    if !changes.remove.is_empty() {
        written.insert("remove".to_owned(), json!(changes.remove));
    }
    written
}
