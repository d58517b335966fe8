//! How often and how long requests are tried: `timeout` and `retries` of `docs/routing.md`, from YAML to the answer of
//! `retry`.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::decide::{Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::explain::Verdict;
use lockgate_core::retry::Outcome;
use lockgate_core::tables::Attempts;
use support::{GET, compiled};

const EDGE: &str = "
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: istio-system}
spec: {hosts: [a.test], resolution: DNS, ports: [{number: 8000, name: http}]}
---
";

/// A rule to `a.test` with these settings, and more resources.
fn rule_and(settings: &str, more: &str) -> Compiled {
    let service = format!(
        "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{route: [{{destination: {{host: a.test}}}}], {settings}}}]}}
---
"
    );
    compiled(&format!("{EDGE}{service}{more}"), &Settings::default())
}

fn rule(settings: &str) -> Compiled {
    rule_and(settings, "")
}

fn attempts(compiled: &Compiled) -> Attempts {
    GET.ask(
        |request, known| match decide(compiled.snapshot.tables(), request, known, 0, &mut Scratch::new()) {
            Decision::Forward(forward) => *compiled.snapshot.tables().attempts(forward.attempts),
            other => panic!("{other:?}"),
        },
    )
}

/// Whether the first attempt is tried again when this comes of it.
fn is_tried_again(compiled: &Compiled, outcome: Outcome) -> bool {
    let policy = attempts(compiled).retries;
    policy.is_some_and(|policy| policy.next(compiled.snapshot.tables(), outcome, 0, 7).is_some())
}

const fn status(status: u16) -> Outcome {
    Outcome::Answer {
        status,
        grpc_status: None,
        rate_limited: false,
    }
}

const fn grpc(grpc_status: u32) -> Outcome {
    Outcome::Answer {
        status: 200,
        grpc_status: Some(grpc_status),
        rate_limited: false,
    }
}

const RATE_LIMITED: Outcome = Outcome::Answer {
    status: 429,
    grpc_status: None,
    rate_limited: true,
};

#[test]
fn each_condition_is_met_as_envoy_meets_it() {
    use Outcome::{ConnectFailure, PerTryTimeout, Reset};
    let (unsent, sent) = (Reset { begun: false }, Reset { begun: true });
    let broken = [ConnectFailure, unsent, sent, PerTryTimeout];
    let all = [
        &broken[..],
        &[
            status(200),
            status(404),
            status(409),
            status(500),
            status(502),
            status(503),
            status(504),
        ],
        &[grpc(0), grpc(1), grpc(4), grpc(8), grpc(13), grpc(14), RATE_LIMITED],
    ]
    .concat();
    for (on, more) in [
        ("5xx", &[status(500), status(502), status(503), status(504)][..]),
        ("gateway-error", &[status(502), status(503), status(504)]),
        ("reset", &[]),
    ] {
        let met: Vec<Outcome> = broken.iter().chain(more).copied().collect();
        let compiled = rule(&format!("retries: {{attempts: 1, retryOn: '{on}'}}"));
        for outcome in &all {
            assert_eq!(
                is_tried_again(&compiled, *outcome),
                met.contains(outcome),
                "{on}: {outcome:?}"
            );
        }
    }
    for (on, met) in [
        ("reset-before-request", &[ConnectFailure, unsent][..]),
        ("connect-failure", &[ConnectFailure]),
        ("retriable-4xx", &[status(409)]),
        ("retriable-status-codes", &[]),
        ("retriable-status-codes, 404", &[status(404)]),
        ("503,404", &[status(404), status(503)]),
        ("envoy-ratelimited", &[RATE_LIMITED]),
        ("429", &[]),
        ("cancelled", &[grpc(1)]),
        ("deadline-exceeded", &[grpc(4)]),
        ("resource-exhausted", &[grpc(8)]),
        ("internal", &[grpc(13)]),
        ("unavailable", &[grpc(14)]),
        ("refused-stream,http3-post-connect-failure,retriable-headers", &[]),
        (
            "connect-failure,409,unavailable",
            &[ConnectFailure, status(409), grpc(14)],
        ),
    ] {
        let compiled = rule(&format!("retries: {{attempts: 1, retryOn: '{on}'}}"));
        for outcome in &all {
            assert_eq!(
                is_tried_again(&compiled, *outcome),
                met.contains(outcome),
                "{on}: {outcome:?}"
            );
        }
    }
}

#[test]
fn a_rule_without_retries_has_the_meshs_or_istios() {
    let mesh = |policy: &str| {
        format!(
            "apiVersion: lockgate.dev/v1
kind: MeshConfig
metadata: {{name: mesh, namespace: istio-system}}
spec: {{defaultHttpRetryPolicy: {policy}}}
"
        )
    };
    let of = |compiled: &Compiled| attempts(compiled).retries;
    let own = of(&rule("")).unwrap();
    assert_eq!((own.retries_max, own.backoff_ms, own.avoids_tried), (2, 25, true));
    assert!(is_tried_again(&rule(""), Outcome::ConnectFailure));
    assert!(is_tried_again(&rule(""), grpc(14)));
    assert!(!is_tried_again(&rule(""), status(503)), "since Istio 1.24");
    assert!(!is_tried_again(&rule(""), Outcome::Reset { begun: true }));

    let of_mesh = rule_and("", &mesh("{attempts: 5, retryOn: '503'}"));
    assert_eq!(of(&of_mesh).unwrap().retries_max, 5);
    assert!(is_tried_again(&of_mesh, status(503)) && !is_tried_again(&of_mesh, Outcome::ConnectFailure));
    assert!(of(&rule_and("", &mesh("{attempts: 0}"))).is_none());
    assert!(of(&rule_and("retries: {attempts: 0}", &mesh("{attempts: 5}"))).is_none());
    assert_eq!(
        of(&rule_and("retries: {attempts: 1}", &mesh("{attempts: 5}")))
            .unwrap()
            .retries_max,
        1
    );
}

#[test]
fn the_budget_ends_and_pauses_grow_to_ten_times_the_first() {
    let compiled = rule("retries: {attempts: 9, backoff: 100ms, retryOn: 5xx}");
    let tables = compiled.snapshot.tables();
    let policy = attempts(&compiled).retries.unwrap();
    for (retries, most) in [(0, 100), (1, 200), (2, 400), (3, 800), (4, 1000), (8, 1000)] {
        let pauses = (0..2000_u64).map(|entropy| policy.next(tables, status(500), retries, entropy).unwrap());
        let (mut longest, mut sum) = (0, 0_u64);
        for pause in pauses {
            longest = longest.max(pause);
            sum += u64::from(pause);
        }
        assert!(longest < most && longest > most * 9 / 10, "retry {retries}: {longest}");
        let mean = sum / 2000;
        assert!(
            mean.abs_diff(u64::from(most) / 2) < u64::from(most) / 10,
            "retry {retries}: {mean}"
        );
    }
    assert_eq!(policy.next(tables, status(500), 9, 0), None);
    assert_eq!(
        policy.next(tables, status(500), 3, 42),
        policy.next(tables, status(500), 3, 42)
    );
}

#[test]
fn only_what_may_be_sent_twice_has_to_be_kept() {
    for (settings, plain, grpc) in [
        ("", false, true),
        (
            "retries: {attempts: 1, retryOn: 'connect-failure,reset-before-request'}",
            false,
            false,
        ),
        ("retries: {attempts: 1, retryOn: reset}", true, true),
        ("retries: {attempts: 1, retryOn: '502'}", true, true),
        ("retries: {attempts: 1, retryOn: internal}", false, true),
    ] {
        let policy = attempts(&rule(settings)).retries.unwrap();
        assert_eq!(
            (policy.may_repeat(false), policy.may_repeat(true)),
            (plain, grpc),
            "{settings}"
        );
    }
}

#[test]
fn the_settings_are_explained() {
    let explained = |settings: &str| {
        let explanation = GET.explained_by(&rule(settings));
        let Verdict::Forward(upstream) = &explanation.verdict else {
            panic!("{explanation:?}");
        };
        (upstream.timeout_ms, upstream.retries.clone(), explanation.to_string())
    };
    let (timeout, retries, text) = explained("timeout: 0s, retries: {attempts: 0}");
    assert_eq!((timeout, retries), (None, None));
    assert!(!text.contains("timeout ") && !text.contains("retries "), "{text}");
    let (timeout, retries, text) =
        explained("timeout: 1m, retries: {attempts: 3, perTryTimeout: 2s, backoff: 50ms, retryOn: 'reset,503'}");
    assert_eq!(
        (timeout, retries.unwrap().on),
        (
            Some(60_000),
            vec!["reset".into(), "retriable-status-codes".into(), "503".into()]
        )
    );
    assert!(text.contains("  timeout    60000 ms in all\n"), "{text}");
    let line = "  retries    3 on reset, retriable-status-codes, 503, first within 50 ms, each of at most 2000 ms\n";
    assert!(text.contains(line), "{text}");
}
