//! Routes of VirtualServices: what a decision costs by their number, on one host and spread over many.
//!
//! One run is one request; runs take turns through a mix of them, so that a
//! figure is of the mix and the next request is not the one that the processor
//! has just seen. Beside it `matchit` looks up the same paths, where all
//! conditions are exact paths and prefixes: it finds a path and nothing else,
//! while ours is the whole decision about a request.

use core::fmt::Write;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::decide::{Known, Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::request::{Connection, Request};
use lockgate_core::snapshot::Snapshot;

use crate::Case;
use crate::compile::build;
use crate::configs::PORT;

/// Name and number of routes.
const SIZES: [(&str, usize); 3] = [("10", 10), ("1,000", 1_000), ("100,000", 100_000)];

/// Requests that take turns: a prime, so that they meet every kind of route.
const REQUESTS: usize = 1_021;

/// Rules of one VirtualService.
const RULES_OF_SERVICE: usize = 10;

/// What the routes of a configuration ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Everything that people write, by tenths.
    Mixed,
    /// Exact paths and prefixes.
    Paths,
}

/// The cases of the group `routes`.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, routes) in SIZES {
        cases.push(case(format!("{name} on one host"), routes, routes, Kind::Mixed));
    }
    for (name, routes) in SIZES {
        cases.push(case(
            format!("{name} on hosts of ten each"),
            routes,
            RULES_OF_SERVICE,
            Kind::Mixed,
        ));
    }
    for (name, routes) in SIZES {
        cases.push(case(
            format!("{name} paths on one host, lockgate"),
            routes,
            routes,
            Kind::Paths,
        ));
        cases.push(rival(format!("{name} paths on one host, matchit"), routes));
    }
    cases
}

fn case(name: String, routes: usize, per_host: usize, kind: Kind) -> Case {
    Case::new("routes", name, move || {
        let snapshot = build(&[yaml(routes, per_host, kind)]);
        let sent: Vec<Sent> = (0..REQUESTS).map(|turn| sent(turn, routes, per_host, kind)).collect();
        let mut scratch = Scratch::new();
        let mut turn = 0;
        move || {
            turn = (turn + 1) % REQUESTS;
            if let Some(sent) = sent.get(turn) {
                black_box(decided(&snapshot, sent, &mut scratch));
            }
        }
    })
}

fn rival(name: String, routes: usize) -> Case {
    Case::new("routes", name, move || {
        let mut router = matchit::Router::new();
        for route in 0..routes {
            let path = path(route);
            let inserted = if is_exact(route) {
                router.insert(path, route)
            } else {
                router.insert(format!("{path}{{*rest}}"), route)
            };
            #[expect(clippy::expect_used, reason = "without the route there is nothing to compare with")]
            inserted.expect("paths are distinct");
        }
        let sent: Vec<Sent> = (0..REQUESTS)
            .map(|turn| sent(turn, routes, routes, Kind::Paths))
            .collect();
        let mut turn = 0;
        move || {
            turn = (turn + 1) % REQUESTS;
            if let Some(sent) = sent.get(turn) {
                let _ = black_box(router.at(black_box(&sent.target)));
            }
        }
    })
}

/// One request of the mix.
struct Sent {
    method: &'static str,
    host: String,
    target: String,
    tenant: String,
}

/// The rule that takes it, or none.
fn decided<'d>(snapshot: &'d Snapshot, sent: &Sent, scratch: &'d mut Scratch) -> Option<&'d str> {
    let headers: &[(&str, &[u8])] = &[
        ("host", sent.host.as_bytes()),
        ("user-agent", b"curl/8.5.0"),
        ("accept", b"application/json"),
        ("x-tenant", sent.tenant.as_bytes()),
    ];
    let request = Request {
        method: sent.method,
        authority: None,
        target: &sent.target,
        headers: &headers,
        connection: Connection::plain(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), PORT),
    };
    let tables = snapshot.tables();
    match decide(black_box(tables), black_box(&request), Known::NOTHING, 0, scratch) {
        Decision::Forward(forward) => Some(tables.rule_label(forward.rule)),
        _ => None,
    }
}

/// The request of a turn: any route's, of each kind as many as there are routes, and some that none takes.
fn sent(turn: usize, routes: usize, per_host: usize, kind: Kind) -> Sent {
    // Any number that shares no factor with the number of routes.
    let route = turn * 7_919 % routes;
    let mut sent = Sent {
        method: "GET",
        host: host(route / per_host),
        target: path(route),
        tenant: "tenant-of-nobody".to_owned(),
    };
    match (kind, route % 10) {
        _ if turn % 20 == 19 => sent.target = format!("/nobody/{route}?page=2"),
        (Kind::Mixed, 7) => {
            sent.method = "POST";
            sent.target = format!("/team-{route}/upload/photo");
        }
        (Kind::Mixed, 8) => {
            sent.target = "/api/v2/orders?page=2".to_owned();
            sent.tenant = format!("tenant-{route}");
        }
        (Kind::Mixed, 9) => sent.target = format!("/users-{route}/4711/profile"),
        (Kind::Mixed, 6) => sent.target = format!("{}ORDERS/4711", sent.target.to_ascii_uppercase()),
        _ if is_exact(route) => {}
        _ => sent.target += "orders/4711?page=2",
    }
    sent
}

fn host(number: usize) -> String {
    format!("shop-{number}.example.com")
}

/// The path of a route by its path alone.
fn path(route: usize) -> String {
    match route % 10 {
        0 | 1 => format!("/api/v1/team-{route}/status"),
        2 => format!("/healthz-{route}"),
        3 => format!("/api/v1/team-{route}/orders/summary"),
        4 => format!("/svc-{route}/"),
        5 => format!("/api/v1/service-{route}/"),
        _ => format!("/internal/apps/app-{route}/"),
    }
}

fn is_exact(route: usize) -> bool {
    route % 10 < 4
}

/// `routes` rules of VirtualServices, `per_host` of them on each host.
#[must_use]
pub fn yaml(routes: usize, per_host: usize, kind: Kind) -> String {
    let mut text = HEAD.to_owned();
    for route in 0..routes {
        if route % RULES_OF_SERVICE == 0 {
            let _ = write!(
                text,
                "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: service-{route}, namespace: \
                 istio-system}}\nspec:\n  hosts: [{}]\n  gateways: [ingress-gw]\n  http:\n",
                host(route / per_host)
            );
        }
        let _ = write!(
            text,
            "  - name: rule-{route}\n    match: [{}]\n    route: [{{destination: {{host: app.example.net}}}}]\n",
            one_match(route, kind)
        );
    }
    text
}

fn one_match(route: usize, kind: Kind) -> String {
    let path = path(route);
    match (kind, route % 10) {
        (Kind::Mixed, 6) => format!("{{uri: {{prefix: {path}}}, ignoreUriCase: true}}"),
        (Kind::Mixed, 7) => format!("{{uri: {{prefix: /team-{route}/upload}}, method: {{exact: POST}}}}"),
        (Kind::Mixed, 8) => format!("{{uri: {{prefix: /api/}}, headers: {{x-tenant: {{exact: tenant-{route}}}}}}}"),
        (Kind::Mixed, 9) => format!("{{uri: {{regex: '/users-{route}/[0-9]+/profile'}}}}"),
        _ if is_exact(route) => format!("{{uri: {{exact: {path}}}}}"),
        _ => format!("{{uri: {{prefix: {path}}}}}"),
    }
}

const HEAD: &str = "\
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: ingress-gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - hosts: ['*']
    port: {name: http, number: 80, protocol: HTTP}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: app, namespace: istio-system}
spec: {hosts: [app.example.net], resolution: DNS, ports: [{number: 8080, name: http}]}
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measured_requests_are_taken_by_the_routes_they_are_made_for() {
        for (routes, per_host, kind) in [
            (100, 100, Kind::Mixed),
            (100, 10, Kind::Mixed),
            (100, 100, Kind::Paths),
            (10, 10, Kind::Mixed),
        ] {
            let snapshot = build(&[yaml(routes, per_host, kind)]);
            for turn in 0..REQUESTS {
                let sent = sent(turn, routes, per_host, kind);
                let route = turn * 7_919 % routes;
                let label = format!("istio-system/service-{}/rule-{route}", route / 10 * 10);
                let expected = (turn % 20 != 19).then_some(label.as_str());
                let mut scratch = Scratch::new();
                let taken = decided(&snapshot, &sent, &mut scratch);
                assert_eq!(taken, expected, "{} {} {}", sent.host, sent.target, sent.tenant);
            }
        }
    }
}
