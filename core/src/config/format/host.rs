//! Hosts and references: Istio's rules, without the wildcard forms that are not supported.

use alloc::format;
use core::net::{IpAddr, Ipv6Addr};

use super::name::{is_label, resource_name};
use super::{Check, Fault};
use crate::config::quote::quoted;

pub(super) fn gateway_host(text: &str) -> Check {
    let Some((namespace, host)) = text.split_once('/') else {
        return route_host(text);
    };
    if text.contains("://") {
        return route_host(text);
    }
    if !matches!(namespace, "*" | ".") && !is_label(namespace, true) {
        return Err(Fault::new(
            "invalid-host",
            format!("begins with {}, which is no namespace", quoted(namespace)),
        )
        .help("write `namespace/host`, `./host`, `*/host` or just the host"));
    }
    route_host(host)
}

/// Istio's `[namespace/]host` of a service.
pub(super) fn service_host(text: &str) -> Check {
    match text.split_once('/') {
        Some((namespace, host)) if is_label(namespace, true) => dns_name(host),
        Some(_) if !text.contains("://") => {
            Err(Fault::new("invalid-host", "is not a service").help("write `host` or `namespace/host`"))
        }
        _ => dns_name(text),
    }
}

pub(super) fn gateway_reference(text: &str) -> Check {
    let (namespace, name) = text
        .split_once('/')
        .map_or((None, text), |(namespace, name)| (Some(namespace), name));
    if resource_name(name).is_ok() && namespace.is_none_or(|namespace| is_label(namespace, true)) {
        return Ok(());
    }
    Err(Fault::new("invalid-reference", "is not a reference to a Gateway")
        .help("write `namespace/name`, `name` or `mesh`"))
}

pub(super) fn route_host(text: &str) -> Check {
    if text == "*" {
        return Ok(());
    }
    let Some(suffix) = text.strip_prefix('*') else {
        return dns_name(text);
    };
    match suffix.strip_prefix('.') {
        Some(rest) if !rest.contains('*') => dns_name(rest),
        _ => Err(Fault::new("invalid-host", "is not a wildcard host").help("a wildcard is `*` or `*.example.com`")),
    }
}

/// Gateway API's `Hostname`.
pub(super) fn hostname(text: &str) -> Check {
    if text == "*" {
        return Err(Fault::new("invalid-host", "is every host").help("leave it out to mean every host"));
    }
    route_host(text)
}

pub(super) fn dns_name(text: &str) -> Check {
    if text.len() <= 253 && text.split('.').all(|label| is_label(label, false)) {
        return Ok(());
    }
    let fault = |reason: &'static str| Fault::new("invalid-host", reason);
    if let Some((_, rest)) = text.split_once("://") {
        let host = rest.split(['/', ':', '?']).next().unwrap_or_default();
        return Err(fault("is a URL, not a host name").help(format!("write {}", quoted(host))));
    }
    if text.contains('*') {
        return Err(fault("has a wildcard where one host name is needed"));
    }
    let bare = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    if bare.map_or(text, |(bare, _)| bare).parse::<Ipv6Addr>().is_ok() {
        return Err(fault("is an IPv6 address, not a host name"));
    }
    if let Some((host, _)) = text.split_once(':') {
        return Err(fault("names a port").help(format!(
            "write {}; the upstream's port is set by a ServiceEntry",
            quoted(host)
        )));
    }
    if text.contains('/') {
        return Err(fault("has a path, not only a host name"));
    }
    if let Some(host) = text.strip_suffix('.') {
        return Err(fault("ends with a dot").help(format!("write {}", quoted(host))));
    }
    Err(fault("is not a host name").help(
        "a host name has labels of letters, digits and `-` with dots between them, 63 characters each and 253 in all",
    ))
}

pub(super) fn endpoint_address(text: &str) -> Check {
    if text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    if text.starts_with("unix:") {
        return Err(Fault::new(
            "invalid-host",
            "is a Unix socket, which is not supported yet",
        ));
    }
    dns_name(text)
}
