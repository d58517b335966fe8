//! Deciding allocates nothing, whatever the answer: counted by the allocator.
#![cfg(feature = "yaml")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test may panic"
)]

use lockgate_core::build;
use lockgate_core::compile::{Compiled, Settings};
use lockgate_core::config::LoadOptions;
use lockgate_core::config::diagnostic::Source;
use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request};

const CONFIG: &str = concat!(
    include_str!("../../examples/seed/llm-provider.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/gateway.yaml"),
    "\n---\n",
    include_str!("../../examples/seed/llm-route.yaml"),
    "  - name: by-regex\n    matches:\n    - headers: {host: {regex: '[a-z]+[.]test'}, user-type: {prefix: sub}}\n",
    "    backendRefs:\n    - providerHost: dashscope.aliyuncs.com\n",
    "\n---\n",
    include_str!("../../examples/seed/authorization-policy.yaml"),
);

fn compiled() -> Compiled {
    let sources = [Source {
        name: "all.yaml".into(),
        text: CONFIG.into(),
    }];
    let env = |name: &str| Some(if name == "API_KEY" { "key" } else { "203.0.113.9" }.to_owned());
    build(
        &sources,
        &LoadOptions {
            env: &env,
            ignore_kinds: &[],
            mesh_config: None,
        },
        &Settings::default(),
    )
    .compiled
    .unwrap()
}

#[test]
fn a_hundred_thousand_decisions_of_every_kind_allocate_nothing() {
    let compiled = compiled();
    let tables = compiled.snapshot.tables();
    let mut scan = BodyScan::new(1 << 20);
    scan.feed(br#"{"messages":[{"role":"user","content":"hi"}]}"#).unwrap();
    let facts = scan.finish().unwrap();
    let mut scratch = Scratch::new();
    let heads: [(&str, &str, &[u8], &str); 8] = [
        ("POST", "/", b"test.com", "198.51.100.1"),
        ("POST", "/", b"test.com", "203.0.113.9"),
        ("POST", "/", b"dashscope.aliyuncs.com:80", "198.51.100.1"),
        ("GET", "/", b"test.com", "198.51.100.1"),
        ("POST", "/x/../%61;y/./z?q=1", b"TEST.com", "::1"),
        ("POST", "/", b"a.test", "198.51.100.1"),
        ("POST", "/", b"unknown.example.com", "198.51.100.1"),
        ("POST", "/%00", b"two hosts", "198.51.100.1"),
    ];
    let (mut forwarded, mut refused, mut asked) = (0, 0, 0);
    let counted = allocation_counter::measure(|| {
        for round in 0..100_000_u64 {
            let (method, target, host, peer) = heads[usize::try_from(round % 8).unwrap()];
            let headers: &[(&str, &[u8])] = &[("host", host), ("user-type", b"subscriber")];
            let peer = peer.parse().unwrap();
            let request = Request {
                method,
                authority: None,
                target,
                headers: &headers,
                connection: Connection::plain(peer, 80),
            };
            let body = if round % 16 < 8 {
                Body::Unread
            } else {
                Body::Read(Ok(facts))
            };
            match decide(
                &tables,
                &request,
                Known::of_body(body),
                round.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                &mut scratch,
            ) {
                Decision::Forward(_) => forwarded += 1,
                Decision::Refuse(_) => refused += 1,
                Decision::ReadBody | Decision::VerifyToken(_) => asked += 1,
            }
        }
    });
    assert_eq!((counted.count_total, counted.bytes_total), (0, 0));
    assert!(
        forwarded >= 20_000 && refused >= 20_000 && asked >= 20_000,
        "{forwarded} {refused} {asked}"
    );
}
