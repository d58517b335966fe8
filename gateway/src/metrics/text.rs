//! Prometheus' text format, version 0.0.4.

use core::fmt::Write;
use core::sync::atomic::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Counted, DURATION_MS, Durations, HandshakeFailure, Metrics, RequestKey};
use crate::jwt::Status;
use crate::overload::Load;

/// What a scrape needs to know besides the counters.
pub(crate) struct Facts<'a> {
    /// The snapshot in use.
    pub(crate) snapshot: &'a str,
    /// Lines the access log had to drop.
    pub(crate) log_lines_dropped: u64,
    /// The same of capsules.
    pub(crate) capsules_dropped: u64,
    /// What is held for clients.
    pub(crate) load: &'a Load,
    /// The gateway's namespace.
    pub(crate) namespace: &'a str,
    /// How the fetching of keys goes, by source.
    pub(crate) keys: &'a [Status],
}

impl Metrics {
    /// The whole exposition.
    pub(crate) fn expose(&self, facts: &Facts<'_>) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let counted = self.counted();
        let mut requests: BTreeMap<String, Durations> = BTreeMap::new();
        for (key, durations) in &counted.requests {
            requests
                .entry(self.request_labels(key, facts.namespace))
                .or_default()
                .merge(durations);
        }
        head(&mut out, "istio_requests_total", "counter", "Requests answered.");
        for (labels, durations) in &requests {
            line(&mut out, "istio_requests_total", labels, durations.count);
        }
        head(
            &mut out,
            "istio_request_duration_milliseconds",
            "histogram",
            "Time from a request's head to the last byte of its answer.",
        );
        for (labels, durations) in &requests {
            histogram(&mut out, "istio_request_duration_milliseconds", labels, durations);
        }
        self.checks(&mut out, &counted);
        self.tokens(&mut out, &counted);
        self.process(&mut out, facts);
        keys(&mut out, facts.keys);
        out
    }

    /// Only where authorizers were asked.
    fn checks(&self, out: &mut String, counted: &Counted) {
        const NAME: &str = "lockgate_ext_authz_duration_milliseconds";
        if counted.checks.is_empty() {
            return;
        }
        head(
            out,
            NAME,
            "histogram",
            "Time that external authorizers took to answer, or not to.",
        );
        for (key, durations) in &counted.checks {
            let mut labels = String::new();
            label(&mut labels, "authorizer", &self.labels.text(key.authorizer));
            label(&mut labels, "result", key.result);
            histogram(out, NAME, &labels, durations);
        }
    }

    fn request_labels(&self, key: &RequestKey, namespace: &str) -> String {
        let provider = self.labels.text(key.provider);
        let mut out = String::new();
        label(&mut out, "reporter", "source");
        label(&mut out, "source_workload", "lockgate");
        label(&mut out, "source_workload_namespace", namespace);
        label(&mut out, "destination_service", &provider);
        label(&mut out, "destination_service_name", &provider);
        label(&mut out, "request_protocol", "http");
        label(&mut out, "response_code", &key.code.to_string());
        label(&mut out, "response_flags", key.flag.as_str());
        label(&mut out, "route", &self.labels.text(key.route));
        out
    }

    fn tokens(&self, out: &mut String, counted: &Counted) {
        type Read = fn(&super::Tokens) -> u64;
        let families: [(&str, &str, Read); 2] = [
            (
                "lockgate_prompt_tokens_total",
                "Tokens of prompts, as providers reported them.",
                |t| t.prompt,
            ),
            (
                "lockgate_completion_tokens_total",
                "Tokens of answers, as providers reported them.",
                |t| t.completion,
            ),
        ];
        for (name, help, read) in families {
            head(out, name, "counter", help);
            // Names that differ in what cannot be printed are one text.
            let mut sums: BTreeMap<String, u64> = BTreeMap::new();
            for (key, tokens) in &counted.tokens {
                let sum = sums.entry(self.token_labels(key)).or_default();
                *sum = sum.saturating_add(read(tokens));
            }
            for (labels, value) in &sums {
                line(out, name, labels, value);
            }
        }
    }

    fn token_labels(&self, key: &super::TokenKey) -> String {
        let text = |label| -> Arc<str> { self.labels.text(label) };
        let mut out = String::new();
        label(&mut out, "route", &text(key.route));
        label(&mut out, "provider", &text(key.provider));
        label(&mut out, "model", &text(key.model));
        out
    }

    fn process(&self, out: &mut String, facts: &Facts<'_>) {
        let reload = &self.reload;
        single(
            out,
            "lockgate_downstream_connections_total",
            "counter",
            "Client connections accepted.",
            self.sum(|s| &s.connections_total),
        );
        single(
            out,
            "lockgate_downstream_connections",
            "gauge",
            "Client connections now open.",
            self.connections(),
        );
        const REFUSED: &str = "lockgate_downstream_connections_refused_total";
        head(
            out,
            REFUSED,
            "counter",
            "Client connections closed at once, since there were as many as a limit lets be.",
        );
        for (limit, refused) in [
            ("max_connections", self.sum(|s| &s.connections_refused_total)),
            ("max_connections_per_source", self.sum(|s| &s.sources_refused_total)),
        ] {
            let mut labels = String::new();
            label(&mut labels, "limit", limit);
            line(out, REFUSED, &labels, refused);
        }
        const LIMIT: &str = "lockgate_limit";
        head(
            out,
            LIMIT,
            "gauge",
            "How much there may be of what clients hold at once.",
        );
        let bounds = facts.load.bounds();
        for (limit, most) in [
            ("max_connections", u64::from(bounds.connections)),
            ("max_connections_per_source", u64::from(bounds.connections_per_source)),
            ("max_requests", u64::from(bounds.requests)),
            ("max_buffered_bytes", bounds.buffered_bytes),
        ] {
            let mut labels = String::new();
            label(&mut labels, "limit", limit);
            line(out, LIMIT, &labels, most);
        }
        single(
            out,
            "lockgate_proxy_headers_refused_total",
            "counter",
            "Client connections closed for want of a good PROXY protocol header.",
            self.sum(|s| &s.proxy_headers_refused_total),
        );
        const HANDSHAKES: &str = "lockgate_downstream_tls_handshakes_failed_total";
        head(
            out,
            HANDSHAKES,
            "counter",
            "Client connections closed for want of a TLS handshake that came to its end.",
        );
        for ((_, reason), failed) in HandshakeFailure::ALL.iter().zip(self.handshakes_failed()) {
            let mut labels = String::new();
            label(&mut labels, "reason", reason);
            line(out, HANDSHAKES, &labels, failed);
        }
        single(
            out,
            "lockgate_requests_active",
            "gauge",
            "Requests in progress.",
            facts.load.requests(),
        );
        single(
            out,
            "lockgate_buffered_bytes",
            "gauge",
            "Bytes of request bodies in memory.",
            facts.load.body_bytes(),
        );
        single(
            out,
            "lockgate_upstream_connections_total",
            "counter",
            "Connections made to upstreams.",
            self.sum(|s| &s.upstream_connections_total),
        );
        single(
            out,
            "lockgate_upstream_connections",
            "gauge",
            "Connections to upstreams now open.",
            self.gauge(|s| &s.upstream_connections),
        );
        single(
            out,
            "lockgate_upstream_connect_failures_total",
            "counter",
            "Connections to upstreams that could not be made.",
            self.sum(|s| &s.upstream_connect_failures_total),
        );
        single(
            out,
            "lockgate_upstream_retries_total",
            "counter",
            "Requests that were sent upstream once more.",
            self.sum(|s| &s.upstream_retries_total),
        );
        single(
            out,
            "lockgate_mirrors_total",
            "counter",
            "Copies of requests that were begun for mirrors.",
            self.sum(|s| &s.mirrors_total),
        );
        single(
            out,
            "lockgate_mirrors_skipped_total",
            "counter",
            "Copies that were not made: too many were under way, or the body was too large or not whole.",
            self.sum(|s| &s.mirrors_skipped_total),
        );
        single(
            out,
            "lockgate_config_reloads_total",
            "counter",
            "Configurations that took effect.",
            reload.successes.load(Ordering::Relaxed),
        );
        single(
            out,
            "lockgate_config_reload_failures_total",
            "counter",
            "Configurations that were refused; the last good one stayed.",
            reload.failures.load(Ordering::Relaxed),
        );
        single(
            out,
            "lockgate_config_last_reload_success",
            "gauge",
            "Whether the newest configuration is the one in use.",
            reload.last_ok.load(Ordering::Relaxed),
        );
        single(
            out,
            "lockgate_config_last_reload_success_timestamp_seconds",
            "gauge",
            "When the configuration in use took effect.",
            reload.last_ok_at_s.load(Ordering::Relaxed),
        );
        single(
            out,
            "lockgate_access_log_dropped_total",
            "counter",
            "Access log lines dropped because the file was too slow.",
            facts.log_lines_dropped,
        );
        single(
            out,
            "lockgate_capsules_dropped_total",
            "counter",
            "Capsules dropped because their file was too slow.",
            facts.capsules_dropped,
        );
        head(
            out,
            "lockgate_build_info",
            "gauge",
            "The program and the configuration in use.",
        );
        let mut labels = String::new();
        label(&mut labels, "version", env!("CARGO_PKG_VERSION"));
        label(&mut labels, "snapshot", facts.snapshot);
        line(out, "lockgate_build_info", &labels, 1);
    }
}

fn histogram(out: &mut String, name: &str, labels: &str, durations: &Durations) {
    let mut cumulated = 0_u64;
    for (bound, count) in DURATION_MS.iter().zip(durations.buckets) {
        cumulated = cumulated.saturating_add(count);
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{bound}\"}} {cumulated}");
    }
    let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {}", durations.count);
    let _ = writeln!(out, "{name}_sum{{{labels}}} {}", durations.sum_ms);
    let _ = writeln!(out, "{name}_count{{{labels}}} {}", durations.count);
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(out: &mut String, name: &str, labels: &str, value: impl core::fmt::Display) {
    let _ = writeln!(out, "{name}{{{labels}}} {value}");
}

fn single(out: &mut String, name: &str, kind: &str, help: &str, value: impl core::fmt::Display) {
    head(out, name, kind, help);
    let _ = writeln!(out, "{name} {value}");
}

fn label(out: &mut String, name: &str, value: &str) {
    if !out.is_empty() {
        out.push(',');
    }
    let _ = write!(out, "{name}=\"");
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The keys of tokens, by where they are fetched from.
fn keys(out: &mut String, sources: &[Status]) {
    if sources.is_empty() {
        return;
    }
    let labels = |source: &Status, result: Option<&str>| {
        let mut out = String::new();
        label(&mut out, "source", &source.source);
        if let Some(result) = result {
            label(&mut out, "result", result);
        }
        out
    };
    let fetches = "lockgate_jwks_fetches_total";
    head(out, fetches, "counter", "Fetches of an issuer's keys.");
    for source in sources {
        line(out, fetches, &labels(source, Some("success")), source.successes);
        line(out, fetches, &labels(source, Some("failure")), source.failures);
    }
    let keys = "lockgate_jwks_keys";
    head(out, keys, "gauge", "Keys of an issuer that can be used now.");
    for source in sources {
        line(out, keys, &labels(source, None), source.keys);
    }
    let age = "lockgate_jwks_age_seconds";
    head(out, age, "gauge", "Time since an issuer's keys were last fetched.");
    for source in sources {
        if let Some(seconds) = source.age {
            line(out, age, &labels(source, None), seconds.as_secs());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Flag;
    use crate::metrics::labels::Label;
    use crate::metrics::{TokenKey, Tokens};
    use crate::shared::Bounds;
    use core::time::Duration;

    #[test]
    fn shards_are_summed_and_values_escaped() {
        let metrics = Metrics::new(2);
        let route = metrics.labels.of_configuration("ns/route/a\"b\\c\nd");
        let key = RequestKey {
            route,
            provider: Label::UNKNOWN,
            code: 404,
            flag: Flag::NoRoute,
        };
        let tokens = TokenKey {
            route,
            provider: Label::UNKNOWN,
            model: metrics.labels.of_model("qwen"),
        };
        for (shard, ms, prompt, completion) in [(0, 3, 3, 4), (1, 30, 10, 20)] {
            let used = Tokens { prompt, completion };
            let took = Duration::from_millis(ms);
            metrics.shard(shard).count_request(key, took, Some((tokens, used)));
        }
        let text = metrics.expose(&Facts {
            snapshot: "0123",
            log_lines_dropped: 7,
            capsules_dropped: 8,
            load: &Load::new(Bounds {
                requests: 4,
                ..Bounds::default()
            }),
            namespace: "istio-system",
            keys: &[],
        });
        let labels = r#"reporter="source",source_workload="lockgate",source_workload_namespace="istio-system",destination_service="unknown",destination_service_name="unknown",request_protocol="http",response_code="404",response_flags="NR",route="ns/route/a\"b\\c\nd""#;
        for line in [
            &*format!("istio_requests_total{{{labels}}} 2"),
            &format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"5\"}} 1"),
            &format!("istio_request_duration_milliseconds_bucket{{{labels},le=\"+Inf\"}} 2"),
            &format!("istio_request_duration_milliseconds_sum{{{labels}}} 33"),
            r#"lockgate_prompt_tokens_total{route="ns/route/a\"b\\c\nd",provider="unknown",model="qwen"} 13"#,
            "lockgate_access_log_dropped_total 7",
            "lockgate_capsules_dropped_total 8",
            r#"lockgate_limit{limit="max_requests"} 4"#,
        ] {
            assert!(text.lines().any(|l| l == line), "no {line} in\n{text}");
        }
    }

    #[test]
    fn models_of_the_same_text_are_one_series() {
        let metrics = Metrics::new(1);
        for model in ["m\u{1}", "m\u{2}", "m\u{85}", "m\u{fffd}"] {
            let key = RequestKey {
                route: Label::UNKNOWN,
                provider: Label::UNKNOWN,
                code: 200,
                flag: Flag::None,
            };
            let tokens = TokenKey {
                route: Label::UNKNOWN,
                provider: Label::UNKNOWN,
                model: metrics.labels.of_model(model),
            };
            let used = Tokens {
                prompt: 7,
                completion: 2,
            };
            metrics
                .shard(0)
                .count_request(key, Duration::ZERO, Some((tokens, used)));
        }
        let text = metrics.expose(&Facts {
            snapshot: "0123",
            log_lines_dropped: 0,
            capsules_dropped: 0,
            load: &Load::new(Bounds::default()),
            namespace: "istio-system",
            keys: &[],
        });
        let lines = text
            .lines()
            .filter(|line| line.starts_with("lockgate_prompt_tokens_total"));
        let labels = "route=\"unknown\",provider=\"unknown\",model=\"m\u{fffd}\"";
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [format!("lockgate_prompt_tokens_total{{{labels}}} 28")]
        );
    }
}
