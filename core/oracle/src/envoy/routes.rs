//! VirtualServices as Envoy's route table, as istiod would write it (`pilot/pkg/networking/core/route`).

use lockgate_core::config::resource::{
    CorsPolicy, HeaderChanges, HeaderKey, HttpAction, HttpFault, HttpMatch, HttpRedirect, HttpRewrite, HttpRoute,
    RedirectPort, Retries, RouteDestination, Spanned, StringMatch, UriRewrite, VirtualService,
};
use lockgate_core::request::Scheme;
use lockgate_core::tables::{AbortStatus, Chance};
use serde_json::{Map, Value, json};

/// The port of the Gateway server.
const PORT: u16 = 80;

/// The route table: a virtual host for each host, catch-alls last.
#[must_use]
pub fn route_config(services: &[VirtualService]) -> Value {
    let mut hosts: Vec<(&str, Vec<Value>, Vec<Value>)> = Vec::new();
    for service in services {
        for host in &service.hosts {
            let known = hosts.iter().position(|(known, ..)| *known == host.value);
            let at = known.unwrap_or_else(|| {
                hosts.push((&host.value, Vec::new(), Vec::new()));
                hosts.len() - 1
            });
            let (_, routes, catch_alls) = &mut hosts[at];
            for (route, takes_all) in routes_of(service) {
                if takes_all {
                    catch_alls.push(route);
                    break;
                }
                routes.push(route);
            }
        }
    }
    let hosts = hosts.into_iter().filter_map(|(host, mut routes, catch_alls)| {
        routes.extend(catch_alls);
        // istiod opens none for a host of which nothing counts.
        (!routes.is_empty()).then(|| json!({ "name": host, "domains": [host], "routes": routes }))
    });
    json!({ "ignore_port_in_host_matching": true, "virtual_hosts": hosts.collect::<Vec<_>>() })
}

fn routes_of(service: &VirtualService) -> Vec<(Value, bool)> {
    let mut routes = Vec::new();
    for rule in &service.http {
        if rule.matches.is_empty() {
            routes.push((route(rule, json!({ "prefix": "/" })), true));
        }
        for entry in &rule.matches {
            if entry.also.port.is_some_and(|port| port != PORT) {
                continue;
            }
            let matched = route_match(entry);
            let parts = matched.as_object().expect("it is one");
            let has_more = parts.keys().any(|key| key == "headers" || key == "query_parameters");
            let takes_all = matched["prefix"] == "/" && !has_more;
            routes.push((route(rule, matched), takes_all));
        }
    }
    routes
}

fn route_match(entry: &HttpMatch) -> Value {
    let mut matched = match entry.uri.as_ref().map(|uri| &uri.value) {
        None | Some(StringMatch::Present) => json!({ "prefix": "/" }),
        Some(StringMatch::Exact(path)) => json!({ "path": path }),
        Some(StringMatch::Prefix(prefix)) => json!({ "prefix": prefix }),
        Some(StringMatch::Regex(regex)) => json!({ "safe_regex": { "regex": regex } }),
    };
    let mut headers = Vec::new();
    for (key, wanted) in &entry.also.headers {
        headers.push(named(header_name(key), wanted));
    }
    for (key, wanted) in &entry.also.without_headers {
        let mut matcher = named(header_name(key), wanted);
        matcher["invert_match"] = json!(true);
        if matcher["present_match"].is_null() {
            matcher["treat_missing_header_as_empty"] = json!(true);
        }
        headers.push(matcher);
    }
    for (name, wanted) in [
        (":method", &entry.also.method),
        (":authority", &entry.also.authority),
        (":scheme", &entry.also.scheme),
    ] {
        headers.extend(wanted.as_ref().map(|wanted| named(name, wanted)));
    }
    let params: Vec<Value> = entry
        .also
        .query_params
        .iter()
        .map(|(name, wanted)| named(name, wanted))
        .collect();
    matched["case_sensitive"] = json!(!entry.ignore_uri_case);
    if !headers.is_empty() {
        matched["headers"] = headers.into();
    }
    if !params.is_empty() {
        matched["query_parameters"] = params.into();
    }
    matched
}

fn header_name(key: &HeaderKey) -> &str {
    match key {
        HeaderKey::Field(name) => name,
        HeaderKey::Authority => ":authority",
        HeaderKey::Method => ":method",
        HeaderKey::Scheme => ":scheme",
        HeaderKey::Claim(_) => unreachable!("sets for Envoy ask for no claims"),
    }
}

fn named(name: &str, wanted: &Spanned<StringMatch>) -> Value {
    match &wanted.value {
        StringMatch::Present => json!({ "name": name, "present_match": true }),
        StringMatch::Exact(text) => json!({ "name": name, "string_match": { "exact": text } }),
        StringMatch::Prefix(text) => json!({ "name": name, "string_match": { "prefix": text } }),
        StringMatch::Regex(text) => json!({ "name": name, "string_match": { "safe_regex": { "regex": text } } }),
    }
}

fn route(rule: &HttpRoute, matched: Value) -> Value {
    let mut route = json!({ "match": matched });
    let sends_on = matches!(rule.action, HttpAction::Route { .. });
    if let Some(policy) = rule.settings.cors.as_ref().filter(|_| sends_on) {
        route["typed_per_filter_config"] = json!({ "envoy.filters.http.cors": cors_policy(policy) });
    }
    if let Some(fault) = rule.settings.fault.as_ref().filter(|_| sends_on) {
        route["typed_per_filter_config"]["envoy.filters.http.fault"] = http_fault(fault);
    }
    change(
        &mut route,
        &[("request", &rule.headers.request), ("response", &rule.headers.response)],
    );
    match &rule.action {
        HttpAction::Delegate { .. } => unreachable!("none is made"),
        HttpAction::Redirect(redirect) => route["redirect"] = redirection(redirect),
        HttpAction::DirectResponse(response) => {
            use base64::Engine as _;
            route["direct_response"] = json!({ "status": response.status });
            if !response.body.is_empty() {
                let body = base64::engine::general_purpose::STANDARD.encode(&response.body);
                route["direct_response"]["body"] = json!({ "inline_bytes": body });
            }
        }
        HttpAction::Route { destinations, rewrite } => {
            let action = action(&mut route, rule, destinations, rewrite);
            route["route"] = action;
        }
    }
    route
}

fn action(route: &mut Value, rule: &HttpRoute, destinations: &[RouteDestination], rewrite: &HttpRewrite) -> Value {
    let timeout_ms = rule.settings.timeout_ms.unwrap_or(0);
    let mut action = json!({ "timeout": duration(timeout_ms) });
    if let Some(policy) = retry_policy(rule.settings.retries.as_deref()) {
        action["retry_policy"] = policy;
    }
    match &rewrite.uri {
        None => {}
        Some(UriRewrite::Matched(with)) => action["prefix_rewrite"] = json!(**with),
        Some(UriRewrite::Regex { pattern, substitution }) => {
            action["regex_rewrite"] = json!({ "pattern": { "regex": **pattern }, "substitution": **substitution });
        }
    }
    let of_rule = rewrite.authority.as_ref().or(rule.headers.request.authority.as_ref());
    if let Some(authority) = of_rule {
        action["host_rewrite_literal"] = json!(**authority);
    }
    if let [only] = destinations {
        action["cluster"] = json!(cluster(only));
        change(
            route,
            &[("request", &only.headers.request), ("response", &only.headers.response)],
        );
        if let (None, Some(authority)) = (of_rule, &only.headers.request.authority) {
            action["host_rewrite_literal"] = json!(**authority);
        }
        return action;
    }
    let weighted = destinations.iter().filter_map(|one| {
        let weight = one.weight.as_ref().map_or(0, |weight| **weight);
        let mut written = json!({ "name": cluster(one), "weight": weight });
        change(
            &mut written,
            &[("request", &one.headers.request), ("response", &one.headers.response)],
        );
        if let Some(authority) = &one.headers.request.authority {
            written["host_rewrite_literal"] = json!(**authority);
        }
        (weight > 0).then_some(written)
    });
    action["weighted_clusters"] = json!({ "clusters": weighted.collect::<Vec<_>>() });
    action
}

/// istiod's `TranslateCORSPolicy`.
fn cors_policy(policy: &CorsPolicy) -> Value {
    let origins = policy.origins.iter().map(|origin| match &origin.value {
        StringMatch::Exact(text) => json!({ "exact": text }),
        StringMatch::Prefix(text) => json!({ "prefix": text }),
        StringMatch::Regex(regex) => json!({ "safe_regex": { "regex": regex } }),
        StringMatch::Present => unreachable!("none is made"),
    });
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.cors.v3.CorsPolicy",
        "allow_origin_string_match": origins.collect::<Vec<_>>(),
        "allow_methods": policy.methods.join(","),
        "allow_headers": policy.headers.join(","),
        "expose_headers": policy.exposed.join(","),
        "max_age": policy.max_age_s.map_or(String::new(), |seconds| seconds.to_string()),
        "allow_credentials": policy.credentials,
        "forward_not_matching_preflights": policy.forwards_unmatched,
        "filter_enabled": { "default_value": { "numerator": 100, "denominator": "HUNDRED" } },
    })
}

/// istiod's `TranslateFault`.
fn http_fault(fault: &HttpFault) -> Value {
    let percentage = |chance: Chance| json!({ "numerator": chance.0, "denominator": "MILLION" });
    let mut written = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault" });
    if let Some((chance, delay_ms)) = fault.delay {
        written["delay"] = json!({ "fixed_delay": duration(delay_ms), "percentage": percentage(chance) });
    }
    if let Some((chance, status)) = fault.abort {
        let (name, status) = match status {
            AbortStatus::Http(status) => ("http_status", u32::from(status)),
            AbortStatus::Grpc(status) => ("grpc_status", u32::from(status)),
        };
        written["abort"] = json!({ name: status, "percentage": percentage(chance) });
    }
    written
}

fn duration(milliseconds: u32) -> String {
    format!("{}.{:03}s", milliseconds / 1000, milliseconds % 1000)
}

/// istiod's `retry.ConvertPolicy`.
fn retry_policy(retries: Option<&Retries>) -> Option<Value> {
    if retries.is_some_and(|retries| retries.attempts == 0) {
        return None;
    }
    let conditions = retries.and_then(|retries| retries.on.as_ref());
    let on = conditions.map_or_else(
        || "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes".to_owned(),
        |conditions| conditions.on.names().collect::<Vec<_>>().join(","),
    );
    let mut policy = json!({
        "retry_on": on,
        "num_retries": retries.map_or(2, |retries| retries.attempts),
        "retriable_status_codes": conditions.map_or(&[][..], |conditions| &conditions.statuses),
        "host_selection_retry_max_attempts": 5,
    });
    if let Some(limit) = retries.and_then(|retries| retries.per_try_timeout_ms) {
        policy["per_try_timeout"] = duration(limit).into();
    }
    if let Some(backoff) = retries.and_then(|retries| retries.backoff_ms) {
        policy["retry_back_off"] = json!({ "base_interval": duration(backoff) });
    }
    Some(policy)
}

/// The name of the cluster that a destination is.
#[must_use]
pub fn cluster(destination: &RouteDestination) -> String {
    destination.host.value.clone()
}

fn redirection(redirect: &HttpRedirect) -> Value {
    let mut written = Map::new();
    if let Some(uri) = &redirect.uri {
        written.insert("path_redirect".to_owned(), json!(uri));
    }
    if let Some(authority) = &redirect.authority {
        written.insert("host_redirect".to_owned(), json!(authority));
    }
    if let Some(scheme) = redirect.scheme {
        written.insert("scheme_redirect".to_owned(), json!(scheme.as_str()));
    }
    let port = match redirect.port {
        Some(RedirectPort::Number(port)) => Some(port),
        Some(RedirectPort::OfListener) => Some(PORT),
        Some(RedirectPort::OfProtocol) | None => None,
    };
    let default = if redirect.scheme == Some(Scheme::Https) {
        443
    } else {
        80
    };
    if let Some(port) = port.filter(|port| *port != default) {
        written.insert("port_redirect".to_owned(), json!(port));
    }
    let code = match redirect.code {
        302 => "FOUND",
        303 => "SEE_OTHER",
        307 => "TEMPORARY_REDIRECT",
        308 => "PERMANENT_REDIRECT",
        _ => "MOVED_PERMANENTLY",
    };
    written.insert("response_code".to_owned(), json!(code));
    written.into()
}

/// Adds changes to those that are there: names to remove, then `set`, then `add`.
fn change(to: &mut Value, changes: &[(&str, &HeaderChanges)]) {
    for (side, changes) in changes {
        let (remove, add) = (format!("{side}_headers_to_remove"), format!("{side}_headers_to_add"));
        let mut removed = to[&remove].as_array().cloned().unwrap_or_default();
        removed.extend(changes.remove.iter().map(|name| json!(name)));
        let mut added = to[&add].as_array().cloned().unwrap_or_default();
        for (list, how) in [
            (&changes.set, "OVERWRITE_IF_EXISTS_OR_ADD"),
            (&changes.add, "APPEND_IF_EXISTS_OR_ADD"),
        ] {
            added.extend(list.iter().map(
                |(name, value)| json!({ "header": { "key": name, "value": value.expose() }, "append_action": how }),
            ));
        }
        for (name, list) in [(remove, removed), (add, added)] {
            if !list.is_empty() {
                to[&name] = list.into();
            }
        }
    }
}
