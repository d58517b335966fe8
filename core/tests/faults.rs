//! `fault`: by chance, before CORS, as a real Envoy has it.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::decide::{Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::explain::Verdict;
use lockgate_core::fault::AbortAnswer;
use support::{EDGE, GET, Sent, compiled};

fn rule(fields: &str) -> Compiled {
    compiled(
        &format!(
            "{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec: {{hosts: [a.test], resolution: DNS, ports: [{{number: 8000, name: http}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: istio-system}}
spec: {{hosts: ['*'], gateways: [edge], http: [{{route: [{{destination: {{host: a.test}}}}], {fields}}}]}}
"
        ),
        &Settings::default(),
    )
}

/// The delay, and the answer in place of the upstream's.
fn came(compiled: &Compiled, sent: &Sent<'_>, entropy: u64) -> (u32, Option<AbortAnswer>) {
    sent.ask(
        |request, known| match decide(compiled.snapshot.tables(), request, known, entropy, &mut Scratch::new()) {
            Decision::Forward(forward) => (forward.delay_ms, None),
            Decision::Abort(abort) => (abort.delay_ms, Some(abort.answer)),
            Decision::Preflight(preflight) => (preflight.delay_ms, None),
            other => panic!("{other:?}"),
        },
    )
}

/// Entropies whose halves are all alike in every other respect.
fn entropies() -> impl Iterator<Item = u64> {
    (0..40_000_u64).map(|index| index.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

#[test]
fn chances_are_kept_and_independent() {
    for (percent, of_a_million) in [
        ("0.5", 5_000),
        ("25", 250_000),
        ("99.99", 999_900),
        ("100", 1_000_000),
        ("100.0", 1_000_000),
    ] {
        let compiled = rule(&format!(
            "fault: {{delay: {{fixedDelay: 3s, percentage: {{value: {percent}}}}}, abort: {{httpStatus: 503, percentage: {{value: 50}}}}}}"
        ));
        let (mut delayed, mut aborted, mut both, mut all) = (0_u64, 0_u64, 0_u64, 0_u64);
        for entropy in entropies() {
            let (delay, abort) = came(&compiled, &GET, entropy);
            assert!(delay == 0 || delay == 3_000);
            let (delay, abort) = (u64::from(delay > 0), u64::from(abort.is_some()));
            (delayed, aborted, both, all) = (delayed + delay, aborted + abort, both + delay * abort, all + 1);
        }
        let near = |count: u64, of_a_million: u64| (count * 1_000_000 / all).abs_diff(of_a_million) < 10_000;
        assert!(near(delayed, of_a_million), "{percent}: {delayed} of {all}");
        assert!(near(aborted, 500_000), "{percent}: {aborted} of {all}");
        assert!(near(both, of_a_million / 2), "{percent}: {both} of {all}");
    }
}

#[test]
fn without_a_percentage_nothing_happens() {
    for fault in [
        "{delay: {fixedDelay: 3s}}",
        "{abort: {httpStatus: 503}}",
        "{delay: {fixedDelay: 3s, percentage: {}}, abort: {httpStatus: 503, percentage: {value: 0}}}",
        "{delay: {fixedDelay: 3s, percent: 0}, abort: {grpcStatus: OK, percentage: {value: 0.00009}}}",
    ] {
        let compiled = rule(&format!("fault: {fault}"));
        assert!(
            entropies().all(|entropy| came(&compiled, &GET, entropy) == (0, None)),
            "{fault}"
        );
    }
    let old = rule("fault: {delay: {fixedDelay: 3s, percent: 100}}");
    assert!(entropies().all(|entropy| came(&old, &GET, entropy) == (3_000, None)));
}

#[test]
fn an_abort_speaks_the_clients_protocol() {
    let always = |status: &str| rule(&format!("fault: {{abort: {{{status}, percentage: {{value: 100}}}}}}"));
    let grpc = Sent {
        headers: &[("content-type", "application/grpc+proto")],
        ..GET
    };
    let web = Sent {
        headers: &[("content-type", "application/grpc-web")],
        ..GET
    };
    for (status, plain, spoken) in [
        ("httpStatus: 418", AbortAnswer::Text(418), AbortAnswer::Grpc(2)),
        ("httpStatus: 503", AbortAnswer::Text(503), AbortAnswer::Grpc(14)),
        ("httpStatus: 404", AbortAnswer::Text(404), AbortAnswer::Grpc(12)),
        ("grpcStatus: UNAVAILABLE", AbortAnswer::Text(200), AbortAnswer::Grpc(14)),
        (
            "grpcStatus: UNAUTHENTICATED",
            AbortAnswer::Text(200),
            AbortAnswer::Grpc(16),
        ),
    ] {
        let compiled = always(status);
        for (sent, expected) in [(&GET, plain), (&web, plain), (&grpc, spoken)] {
            assert_eq!(came(&compiled, sent, 1), (0, Some(expected)), "{status} {sent:?}");
        }
    }
}

#[test]
fn faults_come_before_cors() {
    let compiled =
        rule("corsPolicy: {allowOrigins: [{exact: '*'}]}, fault: {delay: {fixedDelay: 2s, percentage: {value: 100}}}");
    let preflight = Sent {
        method: "OPTIONS",
        headers: &[("origin", "https://a"), ("access-control-request-method", "GET")],
        ..GET
    };
    assert_eq!(came(&compiled, &preflight, 1), (2_000, None));
    let aborted = rule(
        "corsPolicy: {allowOrigins: [{exact: '*'}]}, headers: {response: {set: {x-a: b}}}, fault: {abort: {httpStatus: 503, percentage: {value: 100}}}",
    );
    let Verdict::Respond(answer) = preflight.explained_by(&aborted).verdict else {
        panic!("answered")
    };
    assert_eq!(
        (answer.status, answer.body.as_str(), answer.aborted),
        (503, "fault filter abort", true)
    );
    assert_eq!(
        answer.change_headers.len(),
        1,
        "the rule's own, and nothing about origins"
    );
}

#[test]
fn what_was_drawn_is_explained() {
    let text = |fault: &str| GET.explained_by(&rule(&format!("fault: {fault}"))).to_string();
    let both = text(
        "{delay: {fixedDelay: 2s, percentage: {value: 100}}, abort: {grpcStatus: ABORTED, percentage: {value: 100}}}",
    );
    assert!(both.contains("RESPOND with 200\n"), "{both}");
    assert!(
        both.contains("  fault      held up for 2000 ms by chance\n  fault      aborted by chance\n"),
        "{both}"
    );
    let delayed = text("{delay: {fixedDelay: 2s, percentage: {value: 100}}}");
    assert!(
        delayed.contains("FORWARD to a.test\n") && delayed.contains("  fault      held up for 2000 ms by chance\n")
    );
}
