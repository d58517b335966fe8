//! The engine against the second reading of Gateway API, on random Gateways, HTTPRoutes and requests from a fixed seed.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

use core::net::{IpAddr, Ipv4Addr};
use std::collections::BTreeMap;

use lockgate_core::compile::{Compiled, Settings, compile};
use lockgate_core::config::diagnostic::Diagnostics;
use lockgate_core::decide::Known;
use lockgate_core::explain::{HeaderChanged, Verdict, explain};
use lockgate_core::request::{Connection, Request};
use lockgate_oracle::bytes::Bytes;
use lockgate_oracle::gateway_api::{Outcome, outcome};
use lockgate_oracle::http_routes::{Asked, asked, resources};
use lockgate_oracle::random::Random;

const CONFIGURATIONS: usize = 1_500;
const REQUESTS: usize = 20;

fn words(changes: &[HeaderChanged]) -> Vec<String> {
    let word = |change: &HeaderChanged| match change {
        HeaderChanged::Remove { name } => format!("-{name}"),
        HeaderChanged::Set { name, value } => format!("{name}={value}"),
        HeaderChanged::Add { name, value } => format!("{name}+{value}"),
    };
    changes.iter().map(word).collect()
}

fn engine(compiled: &Compiled, asked: &Asked) -> Outcome {
    let mut headers: Vec<(&str, &[u8])> = vec![("host", asked.host.as_bytes())];
    headers.extend(asked.headers.iter().map(|(name, value)| (*name, value.as_bytes())));
    let target = asked
        .query
        .map_or_else(|| asked.path.to_owned(), |query| format!("{}?{query}", asked.path));
    let request = Request {
        method: asked.method,
        authority: None,
        target: &target,
        headers: &headers.as_slice(),
        connection: Connection::plain(IpAddr::V4(Ipv4Addr::LOCALHOST), asked.port),
    };
    match explain(&compiled.snapshot, &request, Known::NOTHING, asked.entropy).verdict {
        Verdict::Forward(to) => {
            let host = to.set_headers.iter().find(|(name, _)| name == "host");
            Outcome::Forward(
                to.rule.clone(),
                to.upstream.clone(),
                host.map(|(_, value)| value.clone()).unwrap_or_default(),
                to.path.clone(),
                words(&to.change_headers),
                words(&to.change_response_headers),
                to.timeout_ms,
                to.mirrors.clone(),
            )
        }
        Verdict::Redirect(to) => Outcome::Redirect(
            to.rule.unwrap_or_default(),
            to.status,
            to.location,
            words(&to.change_headers),
        ),
        Verdict::Respond(answer) if answer.status == 500 => {
            Outcome::NoBackend(answer.rule, words(&answer.change_headers))
        }
        Verdict::Refuse(refused) if refused.status == 404 => Outcome::NoRoute,
        other => panic!("{other:?}"),
    }
}

#[test]
fn engine_and_second_reading_agree() {
    let mut random = Random::new(3);
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for _ in 0..CONFIGURATIONS {
        let input = random.bytes(1024);
        let resources = resources(&mut Bytes::new(&input));
        let mut diagnostics = Diagnostics::default();
        let compiled = compile(&resources, &[], &Settings::default(), &mut diagnostics);
        let compiled = compiled.unwrap_or_else(|| panic!("{diagnostics:?}\n{resources:#?}"));
        for _ in 0..REQUESTS {
            let input = random.bytes(32);
            let asked = asked(&mut Bytes::new(&input));
            let (engine, expected) = (engine(&compiled, &asked), outcome(&resources, &asked));
            assert_eq!(engine, expected, "{asked:#?}\n{:#?}", resources);
            let what = match &expected {
                Outcome::NoRoute => "no route",
                Outcome::NoBackend(..) => "no backend",
                Outcome::Redirect(..) => "redirect",
                Outcome::Forward(..) => "forward",
            };
            *seen.entry(what).or_default() += 1;
        }
    }
    println!("{seen:?}");
    for what in ["no route", "no backend", "redirect", "forward"] {
        assert!(seen.get(what).is_some_and(|count| *count > 1_000), "{what}: {seen:?}");
    }
}
