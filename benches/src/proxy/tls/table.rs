//! The figures as a table.

use core::fmt::Write;

use super::super::cost::{ROUNDS, ratio};
use super::super::load::CONNECTIONS;
use super::super::stats::Spread;
use super::contenders::Kind;
use super::{Figures, STREAMS, Way};

/// All ways, each with its proxies.
pub(super) fn table(all: &[Figures]) -> String {
    let mut out = format!(
        "CPU time per request, TLS 1.3 (AES-128-GCM, X25519, ECDSA on P-256) on both sides, {CONNECTIONS} requests at \
         once, {ROUNDS} alternating rounds (median, quartiles):\n\n\
         | clients | proxy | CPU µs/request | requests per CPU second | gateway / it, within a round |\n\
         |---|---|--:|--:|--:|\n"
    );
    for Figures { way, costs } in all {
        for cost in costs {
            let cpu = Spread::of(cost.cpu_us.clone());
            let over = match cost.label {
                Kind::Gateway => "-".to_owned(),
                other => {
                    let ratio = ratio(costs, Kind::Gateway, other);
                    format!("{:.3} ({:.3} to {:.3})", ratio.median, ratio.low, ratio.high)
                }
            };
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "| {} | {} | {:.1} ({:.1} to {:.1}) | {:.0} | {over} |",
                clients(*way),
                name(cost.label),
                cpu.median,
                cpu.low,
                cpu.high,
                1e6 / cpu.median
            );
        }
    }
    out
}

fn clients(way: Way) -> String {
    match way {
        Way::Http1 => "HTTP/1.1, connections kept".to_owned(),
        Way::Http2 => format!("HTTP/2, {STREAMS} streams on each connection, kept"),
        Way::Full => "HTTP/1.1, a full handshake for each request".to_owned(),
        Way::Resumed => "HTTP/1.1, a resumed session for each request".to_owned(),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "gateway",
        Kind::Nginx => "nginx",
        Kind::Envoy => "Envoy",
    }
}
