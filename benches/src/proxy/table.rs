//! The figures as tables, each with what it must hold to.

use core::fmt::Write;

use super::contenders::Kind;
use super::cost::{self, Cost};
use super::load::CONNECTIONS;
use super::memory::{self, Memory};
use super::restart;
use super::stats::{Spread, quantile};
use super::stream::{self, Setting, Streams};

/// CPU time over the floor's, at most.
const FLOOR_RATIO_MAX: f64 = 1.15;
/// CPU time over nginx's, at most.
const NGINX_RATIO_MAX: f64 = 1.2;
/// Memory that all idle connections may take.
const IDLE_BYTES_MAX: u64 = 100 * MIB;
/// Memory that each of many streams may take.
const STREAM_BYTES_MAX: u64 = 16 * 1024;
/// Time from a kill to an answer.
const RESTART_MS_MAX: f64 = 100.0;
const MIB: u64 = 1024 * 1024;

/// All of it, under the headings of the page.
pub(super) fn report(
    cost: &[Cost<Kind>],
    few: &[Streams],
    many: &[Streams],
    memory: &Memory,
    restart: &[f64],
) -> String {
    [
        self::cost(cost),
        streams(&stream::FEW, few),
        streams(&stream::MANY, many),
        self::memory(memory),
        self::restart(restart),
    ]
    .join("\n")
}

/// CPU per request.
pub(super) fn cost(costs: &[Cost<Kind>]) -> String {
    let mut out = format!(
        "CPU time per request, {CONNECTIONS} connections, {} requests a turn, {} alternating rounds \
         (median, quartiles):\n\n| proxy | does | CPU µs/request | requests/s on one core |\n|---|---|--:|--:|\n",
        cost::TURN.requests,
        cost::ROUNDS
    );
    for cost in costs {
        let (cpu, rate) = (Spread::of(cost.cpu_us.clone()), Spread::of(cost.per_second.clone()));
        row(
            &mut out,
            format_args!(
                "{} | {} | {:.1} ({:.1} to {:.1}) | {:.0}",
                name(cost.label),
                does(cost.label),
                cpu.median,
                cpu.low,
                cpu.high,
                rate.median
            ),
        );
    }
    out.push_str("\n| ratio within a round | median | quartiles | at most | |\n|---|--:|--:|--:|---|\n");
    for (other, most) in [(Kind::Floor, FLOOR_RATIO_MAX), (Kind::Nginx, NGINX_RATIO_MAX)] {
        let ratio = cost::ratio(costs, Kind::Gateway, other);
        row(
            &mut out,
            format_args!(
                "gateway / {} | {:.3} | {:.3} to {:.3} | {most} | {}",
                name(other),
                ratio.median,
                ratio.low,
                ratio.high,
                judged(ratio.low, ratio.high, most)
            ),
        );
    }
    out
}

/// Delay and CPU per chunk.
pub(super) fn streams(setting: &Setting, all: &[Streams]) -> String {
    let mut out = format!(
        "{} streams at once, {} chunks each, {} ms apart, {} rounds. Delay from the upstream's write to the \
         client's read, less the direct one of the same round (median of the rounds, quartiles):\n\n\
         | path | CPU µs/chunk | added p50 µs | added p99 µs | added p99.9 µs | slowest of all µs |\n\
         |---|--:|--:|--:|--:|--:|\n",
        setting.streams,
        super::chat::STREAM_CHUNKS,
        setting.pace.every().as_millis(),
        setting.rounds
    );
    let Some((direct, proxies)) = all.split_first() else {
        return out;
    };
    chunks(&mut out, "direct (not less itself)", direct, |share| {
        direct.delay_us(share)
    });
    for proxy in proxies {
        let name = proxy.kind.map_or("direct", name);
        chunks(&mut out, name, proxy, |share| proxy.added_us(direct, share));
    }
    if let Some(ours) = proxies.iter().find(|proxy| proxy.kind == Some(Kind::Gateway)) {
        let (added, most) = (ours.added_us(direct, setting.share), setting.added_us_max);
        let _ = writeln!(
            out,
            "\nThe gateway's added p{} must stay below {most:.0} µs: {}.",
            setting.share * 100.0,
            judged(added.low, added.high, most)
        );
    }
    out
}

fn chunks(out: &mut String, name: &str, streams: &Streams, delay: impl Fn(f64) -> Spread) {
    let cpu = match streams.cpu_us.as_slice() {
        [] => "-".to_owned(),
        rounds => format!("{:.1}", Spread::of(rounds.to_vec()).median),
    };
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| {
        let delay = delay(share);
        format!("{:.0} ({:.0} to {:.0})", delay.median, delay.low, delay.high)
    });
    let slowest = streams.slowest_us();
    row(
        out,
        format_args!("{name} | {cpu} | {p50} | {p99} | {p999} | {slowest:.0}"),
    );
}

/// Resident memory.
pub(super) fn memory(memory: &Memory) -> String {
    let mut out = format!(
        "Resident memory of the gateway, one worker; {:.1} MiB at rest:\n\n\
         | what | growth | each | at most | |\n|---|--:|--:|--:|---|\n",
        mib(memory.at_rest)
    );
    let streams_max = STREAM_BYTES_MAX * memory::CONNECTIONS as u64;
    for (what, count, growth, most) in [
        (
            "connections idle after one request each",
            memory::CONNECTIONS,
            memory.used,
            IDLE_BYTES_MAX,
        ),
        (
            "connections idle, never used",
            memory::CONNECTIONS,
            memory.unused,
            IDLE_BYTES_MAX,
        ),
        (
            "connections of HTTP/2 idle after one request each",
            memory::HTTP2_CONNECTIONS,
            memory.http2,
            IDLE_BYTES_MAX,
        ),
        ("streams at once", memory::CONNECTIONS, memory.streams, streams_max),
    ] {
        row(
            &mut out,
            format_args!(
                "{count} {what} | {:.1} MiB | {} B | {:.0} MiB | {}",
                mib(growth),
                growth / count as u64,
                mib(most),
                holds(growth <= most)
            ),
        );
    }
    let body = memory::BODY_BYTES as u64;
    row(
        &mut out,
        format_args!(
            "one body of {:.1} MiB, at its peak | {:.1} MiB | | {:.1} MiB | {}",
            mib(body),
            mib(memory.body_peak),
            mib(body),
            holds(memory.body_peak <= body)
        ),
    );
    row(
        &mut out,
        format_args!("the same, seconds later | {:.1} MiB | | | ", mib(memory.body_kept)),
    );
    out
}

/// Time without an answer after a kill.
pub(super) fn restart(took_ms: &[f64]) -> String {
    let mut sorted = took_ms.to_vec();
    sorted.sort_by(f64::total_cmp);
    let [median, p95] = [0.5, 0.95].map(|share| quantile(&sorted, share));
    format!(
        "Killed with SIGKILL and started again at once, from the signal to the first right answer, {} rounds: median \
         {median:.1} ms, p95 {p95:.1} ms; at most {RESTART_MS_MAX:.0} ms: {}.\n",
        restart::ROUNDS,
        holds(p95 <= RESTART_MS_MAX)
    )
}

fn row(out: &mut String, cells: core::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "| {cells} |");
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "gateway",
        Kind::Floor => "bare hyper",
        Kind::Nginx => "nginx",
    }
}

fn does(kind: Kind) -> &'static str {
    match kind {
        Kind::Gateway => "host, path, key, model, policy, tokens, log, metrics",
        Kind::Floor => "host, path, key",
        Kind::Nginx => "host, path, key, log",
    }
}

/// The whole of the middle half must be on one side to be a verdict.
fn judged(low: f64, high: f64, most: f64) -> &'static str {
    match (low <= most, high <= most) {
        (_, true) => "holds",
        (true, false) => "undecided: the quartiles lie on both sides",
        (false, false) => "does not hold",
    }
}

fn holds(it: bool) -> &'static str {
    if it { "holds" } else { "does not hold" }
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdict_needs_the_whole_middle_half() {
        for (low, high, verdict) in [
            (1.0, 1.1, "holds"),
            (1.1, 1.2, "undecided: the quartiles lie on both sides"),
            (1.2, 1.3, "does not hold"),
        ] {
            assert_eq!(judged(low, high, 1.15), verdict);
        }
    }

    #[test]
    fn nothing_measured_holds_nothing() {
        let memory = Memory {
            at_rest: 0,
            used: IDLE_BYTES_MAX + 1,
            unused: IDLE_BYTES_MAX,
            http2: 0,
            streams: 0,
            body_peak: 0,
            body_kept: 0,
        };
        let table = super::memory(&memory);
        assert_eq!(table.matches("| does not hold |").count(), 1, "{table}");
    }
}
