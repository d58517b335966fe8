//! `mirror` and `mirrors`: who gets a copy.

#![cfg(feature = "yaml")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::decide::{Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::explain::Verdict;
use support::{EDGE, GET, compiled};

fn rule(fields: &str) -> Compiled {
    compiled(
        &format!(
            "{EDGE}apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {{name: a, namespace: istio-system}}
spec: {{hosts: [a.test, m.test, n.test], resolution: DNS, ports: [{{number: 8000, name: http}}]}}
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

fn mirrors(compiled: &Compiled, entropy: u64) -> Vec<String> {
    let upstreams = compiled.snapshot.upstreams();
    let host = |id: lockgate_core::tables::UpstreamId| upstreams.get(id.0 as usize).unwrap().host.to_string();
    GET.ask(
        |request, known| match decide(compiled.snapshot.tables(), request, known, entropy, &mut Scratch::new()) {
            Decision::Forward(forward) => forward.mirrors.upstreams().map(host).collect(),
            other => panic!("{other:?}"),
        },
    )
}

#[test]
fn without_a_percentage_every_request_is_copied() {
    for fields in [
        "mirror: {host: m.test}",
        "mirrors: [{destination: {host: m.test}}]",
        "mirror: {host: m.test, port: {number: 8000}}, mirrorPercentage: {value: 100}, mirrorPercent: 1",
        "mirrors: [{destination: {host: n.test}, percentage: {value: 0}}, {destination: {host: m.test}}]",
    ] {
        let compiled = rule(fields);
        assert!(
            (0..100).all(|entropy| mirrors(&compiled, entropy) == ["m.test"]),
            "{fields}"
        );
    }
    for fields in [
        "mirror: {host: m.test}, mirrorPercentage: {}",
        "mirror: {host: m.test}, mirrorPercent: 0",
        "mirrors: []",
    ] {
        let compiled = rule(fields);
        assert!(
            (0..100).all(|entropy| mirrors(&compiled, entropy).is_empty()),
            "{fields}"
        );
    }
}

#[test]
fn each_mirror_has_a_chance_of_its_own() {
    let half = "percentage: {value: 50}";
    let compiled = rule(&format!(
        "mirrors: [{{destination: {{host: m.test}}, {half}}}, {{destination: {{host: n.test}}, {half}}}]"
    ));
    let mut counts = [0_u32; 4];
    for entropy in 0..4000_u64 {
        let drawn = mirrors(&compiled, entropy.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let index =
            usize::from(drawn.contains(&"m.test".to_owned())) + 2 * usize::from(drawn.contains(&"n.test".to_owned()));
        *counts.get_mut(index).unwrap() += 1;
    }
    assert!(counts.iter().all(|count| (880..1120).contains(count)), "{counts:?}");
}

#[test]
fn mirrors_are_explained() {
    let explanation = GET.explained_by(&rule("mirror: {host: m.test}"));
    let Verdict::Forward(upstream) = &explanation.verdict else {
        panic!("{explanation:?}")
    };
    assert_eq!(upstream.mirrors, ["m.test"]);
    assert!(explanation.to_string().contains("  mirrors    m.test\n"));
}
