//! VirtualServices as platform teams write them.

use lockgate_core::config::resource::{
    CorsPolicy, HeaderChanges, HeaderKey, HeaderOperations, HttpAction, HttpFault, HttpMatch, HttpRoute, RedirectPort,
    Retries, Spanned, StringMatch, UriRewrite, VirtualService,
};
use lockgate_core::tables::{AbortStatus, Chance};
use serde_json::{Map, Value, json};

/// `spec` of a VirtualService.
#[must_use]
pub fn spec(service: &VirtualService) -> Value {
    json!({
        "hosts": service.hosts.iter().map(|host| host.value.as_str()).collect::<Vec<_>>(),
        "gateways": ["istio-system/gateway"],
        "http": service.http.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn retry(retries: &Retries) -> Value {
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
    let percentage = |chance: Chance| json!({ "value": chance.0 / 10_000 });
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
    let settings = &rule.settings;
    if let Some(timeout) = settings.timeout_ms {
        written["timeout"] = json!(format!("{timeout}ms"));
    }
    if let Some(retries) = &settings.retries {
        written["retries"] = retry(retries);
    }
    // Both refuse it elsewhere.
    if let (Some(fault), HttpAction::Route { .. }) = (&settings.fault, &rule.action) {
        written["fault"] = http_fault(fault);
    }
    if let Some(policy) = &settings.cors {
        written["corsPolicy"] = cors(policy);
    }
    if !rule.matches.is_empty() {
        written["match"] = rule.matches.iter().map(http_match).collect();
    }
    if let Some(headers) = operations(&rule.headers) {
        written["headers"] = headers;
    }
    match &rule.action {
        HttpAction::Delegate { .. } => unreachable!("none is made"),
        HttpAction::Redirect(redirect) => {
            let mut to = json!({ "redirectCode": redirect.code });
            for (name, value) in [
                ("uri", redirect.uri.as_deref()),
                ("authority", redirect.authority.as_deref()),
                ("scheme", redirect.scheme.map(lockgate_core::request::Scheme::as_str)),
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
            use base64::Engine as _;
            written["directResponse"] = json!({ "status": response.status });
            if !response.body.is_empty() {
                let body = base64::engine::general_purpose::STANDARD.encode(&response.body);
                written["directResponse"]["body"] = json!({ "bytes": body });
            }
        }
        HttpAction::Route { destinations, rewrite } => {
            let destination = |one: &lockgate_core::config::resource::RouteDestination| {
                let mut to = json!({ "destination": { "host": *one.host } });
                if let Some(weight) = &one.weight {
                    to["weight"] = json!(**weight);
                }
                if let Some(headers) = operations(&one.headers) {
                    to["headers"] = headers;
                }
                to
            };
            written["route"] = destinations.iter().map(destination).collect();
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
    }
    written
}

fn http_match(entry: &HttpMatch) -> Value {
    let mut written = json!({ "ignoreUriCase": entry.ignore_uri_case });
    for (name, wanted) in [
        ("uri", &entry.uri),
        ("scheme", &entry.scheme),
        ("method", &entry.method),
        ("authority", &entry.authority),
    ] {
        if let Some(wanted) = wanted {
            written[name] = string_match(wanted);
        }
    }
    if let Some(port) = entry.port {
        written["port"] = json!(port);
    }
    for (name, list) in [("headers", &entry.headers), ("withoutHeaders", &entry.without_headers)] {
        for (key, wanted) in list {
            written[name][header_name(key)] = string_match(wanted);
        }
    }
    for (name, wanted) in &entry.query_params {
        written["queryParams"][name.as_str()] = string_match(wanted);
    }
    written
}

fn header_name(key: &HeaderKey) -> &str {
    match key {
        HeaderKey::Field(name) => name,
        HeaderKey::Authority => "host",
        HeaderKey::Method => ":method",
        HeaderKey::Scheme => ":scheme",
        HeaderKey::Claim(_) => unreachable!("sets for Envoy ask for no claims"),
    }
}

fn string_match(wanted: &Spanned<StringMatch>) -> Value {
    match &wanted.value {
        StringMatch::Exact(text) => json!({ "exact": text }),
        StringMatch::Prefix(text) => json!({ "prefix": text }),
        StringMatch::Regex(text) => json!({ "regex": text }),
        StringMatch::Present => json!({}),
    }
}

fn operations(operations: &HeaderOperations) -> Option<Value> {
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
    let values = |list: &[(String, lockgate_core::config::secret::Secret)]| -> Map<String, Value> {
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
