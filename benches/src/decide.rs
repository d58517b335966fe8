//! Deciding: at any size of configuration, for hosts that are there and that are not.

use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};

use lockgate_core::decide::{Body, Known, Scratch, decide};
use lockgate_core::llm::body::BodyScan;
use lockgate_core::request::{Connection, Request};
use lockgate_core::snapshot::Snapshot;

use crate::Case;
use crate::compile::{build, seed};
use crate::configs::{PORT, host, yaml};

/// Exact hosts, and DENY rules with an address block each.
const SIZES: [(&str, usize, usize); 3] = [
    ("10 hosts", 10, 0),
    ("1,000 hosts", 1_000, 0),
    ("100,000 hosts", 100_000, 0),
];
const DENIALS: [(&str, usize, usize); 2] = [("10 hosts, 10 denials", 10, 10), ("10 hosts, 1,000 denials", 10, 1_000)];

/// The cases of the group `decide`.
#[must_use]
pub fn cases() -> Vec<Case> {
    let mut cases = vec![
        case("example, forwarded", || build(&seed()), || "test.com".to_owned(), false),
        case("example, 404", || build(&seed()), || "other.example".to_owned(), false),
        case("example, denied", || build(&seed()), || "test.com".to_owned(), true),
    ];
    for (label, hosts, denials) in SIZES.into_iter().chain(DENIALS) {
        let name = format!("{label}, forwarded by the last rule");
        cases.push(case(
            name,
            move || build(&[yaml(hosts, denials)]),
            move || host(hosts - 1),
            false,
        ));
    }
    cases.push(case(
        "100,000 hosts, 404",
        || build(&[yaml(100_000, 0)]),
        || host(100_000),
        false,
    ));
    cases
}

fn case(
    name: impl Into<String>,
    snapshot: impl FnOnce() -> Snapshot + 'static,
    host: impl FnOnce() -> String + 'static,
    from_denied_address: bool,
) -> Case {
    Case::new("decide", name, move || {
        let (snapshot, host) = (snapshot(), host());
        let last = if from_denied_address { 9 } else { 7 };
        let peer = IpAddr::V4(Ipv4Addr::new(203, 0, 113, last));
        let mut scan = BodyScan::new(u64::MAX);
        let _ = scan.feed(br#"{"messages":[]}"#);
        let mut scratch = Scratch::new();
        move || {
            let headers: &[(&str, &[u8])] = &[
                ("host", host.as_bytes()),
                ("user-agent", b"OpenAI/Python 1.50.0"),
                ("accept", b"application/json"),
                ("content-type", b"application/json"),
            ];
            let request = Request {
                method: "POST",
                authority: None,
                target: "/v1/chat/completions",
                headers: &headers,
                connection: Connection::plain(peer, PORT),
            };
            let tables = snapshot.tables();
            let body = Body::Read(scan.finish());
            let _ = black_box(decide(
                black_box(tables),
                black_box(&request),
                Known::of_body(body),
                0,
                &mut scratch,
            ));
        }
    })
}

#[cfg(test)]
mod tests {
    use lockgate_core::decision::{Decision, Refusal};

    use super::*;

    fn decided(snapshot: &Snapshot, host: &str) -> Result<u32, Refusal> {
        let mut scan = BodyScan::new(u64::MAX);
        scan.feed(b"{}").unwrap();
        let headers: &[(&str, &[u8])] = &[("host", host.as_bytes())];
        let request = Request {
            method: "POST",
            authority: None,
            target: "/",
            headers: &headers,
            connection: Connection::plain(Ipv4Addr::new(203, 0, 113, 7).into(), PORT),
        };
        match decide(
            snapshot.tables(),
            &request,
            Known::of_body(Body::Read(scan.finish())),
            0,
            &mut Scratch::new(),
        ) {
            Decision::Forward(forward) => Ok(forward.rule.0),
            Decision::Refuse(refusal) => Err(refusal),
            other => panic!("the body was read, and nothing else is asked for or answers: {other:?}"),
        }
    }

    #[test]
    fn measured_configurations_decide_as_their_names_say() {
        let snapshot = build(&[yaml(100, 20)]);
        assert_eq!(decided(&snapshot, &host(99)), Ok(99));
        assert_eq!(decided(&snapshot, &host(100)), Err(Refusal::NoRoute));
        let seed = build(&seed());
        assert!(decided(&seed, "test.com").is_ok());
        assert_eq!(decided(&seed, "other.example"), Err(Refusal::NoRoute));
    }
}
