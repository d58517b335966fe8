//! The life of the process: listeners that come and go, the end, the next binary, and what systemd hears of it.
//!
//! Nothing of it may cost anybody an answer.

#![allow(clippy::panic, reason = "a helper of tests fails by panicking")]

#[cfg(test)]
mod support;

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::time::Instant;

use support::bed::{Bed, Transport};
use support::client::{Client, get, post};
use support::findings::places;
use support::gateway::{Gateway, Setup, edit};
use support::load::{self, ASK_HELD, Load, Tally};
use support::outputs::total;
use support::ports::Port;
use support::upstream::Gate;
use support::wire::Part;
use support::{QUESTION, eventually, within_patience};

/// A server on port 81, whose requests are for the seed's route too.
const SECOND_SERVER: &str =
    "    - hosts: ['*']\n      port:\n        name: second\n        number: 81\n        protocol: HTTP\n";

async fn refuses(address: SocketAddr) {
    eventually("new connections are refused", || async {
        Client::try_connect_from([127, 0, 0, 1], address)
            .await
            .is_err()
            .then_some(())
    })
    .await;
}

async fn reloads(gateway: &Gateway) -> (f64, f64) {
    let samples = gateway.metrics().await;
    let of = |name| total(&samples, name, &[]);
    (
        of("lockgate_config_reloads_total"),
        of("lockgate_config_reload_failures_total"),
    )
}

/// Loads again and waits until that is done or refused.
async fn reload(gateway: &Gateway) {
    let before = reloads(gateway).await;
    gateway.signal("HUP");
    eventually("a reload", || async {
        (reloads(gateway).await != before).then_some(())
    })
    .await;
}

/// Waits until requests to `at` are answered so.
async fn answers(at: SocketAddr, status: u16) {
    eventually("an answer on the port", || async {
        let mut client = Client::try_connect_from([127, 0, 0, 1], at).await.ok()?;
        (client.ask("test.com", QUESTION).await.status == status).then_some(())
    })
    .await;
}

fn assert_nothing_lost(tally: &Tally, answers_min: u64) {
    println!("{} answers, {} streams", tally.answers, tally.streams);
    assert!(
        tally.failures.is_empty(),
        "{} failures: {:?}",
        tally.failures.len(),
        tally.failures.first()
    );
    assert!(tally.answers >= answers_min, "{tally:?}");
}

/// A provider whose streams wait at a gate when they are asked to.
fn held(bed: &Bed) -> Gate {
    let gate = Gate::new();
    load::answer(&bed.upstream, &gate);
    gate
}

/// A stream whose first event has come, and that waits at the gate.
async fn open_stream(to: SocketAddr) -> Client {
    let mut client = Client::connect(to).await;
    client.send(post("test.com", &[], ASK_HELD)).await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.text(9).await, "data: 1\n\n");
    client
}

async fn assert_whole(mut client: Client, gate: &Gate) {
    gate.open_for(2);
    assert_eq!(client.text(9).await, "data: 2\n\n");
    assert_eq!(client.part().await, Part::End);
}

#[tokio::test]
async fn reload_opens_a_port_beside_and_closes_it_again_while_its_streams_go_on() {
    let second = Port::lease();
    let at = SocketAddr::from(([127, 0, 0, 1], second.number));
    let setup = Setup::seed().args(&["--listen", &format!("81={at}")]);
    let bed = Bed::start(Transport::Plain, setup).await;
    let gateway = bed.gateway.config().join("gateway.yaml");
    let one = std::fs::read_to_string(&gateway).expect("the Gateway");
    refuses(at).await;

    std::fs::write(&gateway, format!("{one}{SECOND_SERVER}")).expect("a second server");
    reload(&bed.gateway).await;
    answers(at, 200).await;
    let gate = held(&bed);
    let stream = open_stream(at).await;
    let mut idle = Client::connect(at).await;
    assert_eq!(idle.ask("test.com", QUESTION).await.status, 200);
    let mut elsewhere = Client::connect(bed.http()).await;
    assert_eq!(elsewhere.ask("test.com", QUESTION).await.status, 200);

    std::fs::write(&gateway, one).expect("one server");
    reload(&bed.gateway).await;
    refuses(at).await;
    // Nobody is cut, and nobody is kept: who asks for nothing more is closed, who streams streams to the end.
    idle.ends().await.expect("an end that is no cut");
    assert_whole(stream, &gate).await;
    assert_eq!(
        elsewhere.ask("test.com", QUESTION).await.status,
        200,
        "the port that stays"
    );
}

#[tokio::test]
async fn client_of_a_port_that_is_gone_is_told_to_leave_with_its_next_answer() {
    let second = Port::lease();
    let at = SocketAddr::from(([127, 0, 0, 1], second.number));
    let setup = Setup::seed().args(&["--listen", &format!("81={at}")]);
    let bed = Bed::start(Transport::Plain, setup).await;
    let mut client = Client::connect(bed.http()).await;
    assert_eq!(client.ask("test.com", QUESTION).await.header("connection"), None);
    edit(&bed.gateway.config().join("gateway.yaml"), "number: 80", "number: 81");
    bed.gateway.signal("HUP");
    answers(at, 200).await;
    let answer = client.ask("test.com", QUESTION).await;
    assert_eq!((answer.status, answer.header("connection")), (404, Some("close")));
    client.ends().await.expect("an end that is no cut");
}

#[tokio::test]
async fn port_that_cannot_be_opened_keeps_the_last_good_configuration() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let at = taken.local_addr().expect("its address");
    let setup = Setup::seed().args(&["--listen", &format!("81={at}")]);
    let bed = Bed::start(Transport::Plain, setup).await;
    let gateway = bed.gateway.config().join("gateway.yaml");
    let one = std::fs::read_to_string(&gateway).expect("the Gateway");
    let snapshot = get(bed.gateway.admin, "/snapshot").await.text();
    std::fs::write(&gateway, format!("{one}{SECOND_SERVER}")).expect("a second server");
    bed.gateway.signal("HUP");
    let refused = format!("cannot listen on {at} for port 81");
    let said = eventually("the reload is refused", || async {
        Some(bed.gateway.read("stderr")).filter(|said| said.contains(&refused))
    })
    .await;
    assert!(said.contains("--listen 81=ADDR:PORT"), "{said}");
    assert_eq!(get(bed.gateway.admin, "/snapshot").await.text(), snapshot);
    assert_eq!(bed.ask("test.com").await.status, 200);
    drop(taken);
    bed.gateway.signal("HUP");
    answers(at, 200).await;
}

#[tokio::test]
async fn reloads_under_load_cost_nothing() {
    let bed = Bed::seed().await;
    held(&bed);
    let route = bed.gateway.config().join("llm-route.yaml");
    let text = std::fs::read_to_string(&route).expect("the route");
    let load = Load::start(bed.http(), 8, 8, 2);
    for round in 0..20 {
        let hosts = text.replace(
            "exact: test.com",
            &format!("prefix: test.com\n    - authority: {{exact: n{round}.example}}"),
        );
        // Every third is broken, which must not matter either.
        let broken = round % 3 == 2;
        std::fs::write(
            &route,
            if broken {
                hosts.replace("backendRefs", "backendRef")
            } else {
                text.clone()
            },
        )
        .expect("writing the route");
        reload(&bed.gateway).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tally = load.finish().await;
    assert_nothing_lost(&tally, 100);
    assert!(tally.streams >= 20, "{tally:?}");
}

#[tokio::test]
async fn thousand_streams_end_whole_after_termination() {
    const STREAMS: usize = 1000;
    let setup = Setup::seed().args(&["--drain-timeout", "60s"]);
    let mut bed = Bed::start(Transport::Plain, setup).await;
    let gate = held(&bed);
    let mut streams = tokio::task::JoinSet::new();
    for _ in 0..STREAMS {
        streams.spawn(open_stream(bed.http()));
    }
    let mut clients = streams.join_all().await;
    bed.gateway.signal("TERM");
    refuses(bed.http()).await;
    assert_eq!(get(bed.gateway.admin, "/healthz/ready").await.status, 503);
    gate.open_for(2 * STREAMS);
    for client in &mut clients {
        assert_eq!(client.text(9).await, "data: 2\n\n");
        assert_eq!(client.part().await, Part::End);
    }
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
    assert!(bed.gateway.read("stderr").contains("\"drained\""));
}

#[tokio::test]
async fn request_that_crosses_the_end_is_answered_and_its_connection_closed() {
    let mut bed = Bed::seed().await;
    let gate = held(&bed);
    let stream = open_stream(bed.http()).await;
    let mut used = Client::connect(bed.http()).await;
    assert_eq!(used.ask("test.com", QUESTION).await.status, 200);
    let mut unused = Client::connect(bed.http()).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    bed.gateway.signal("TERM");
    refuses(bed.http()).await;
    for client in [&mut used, &mut unused] {
        let answer = client.ask("test.com", QUESTION).await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
        client.ends().await.expect("an end that is no cut");
    }
    assert_whole(stream, &gate).await;
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

#[tokio::test]
async fn second_signal_ends_at_once() {
    for second in ["TERM", "INT"] {
        let mut bed = Bed::seed().await;
        let _gate = held(&bed);
        let mut stream = open_stream(bed.http()).await;
        bed.gateway.signal("TERM");
        refuses(bed.http()).await;
        let asked = Instant::now();
        bed.gateway.signal(second);
        assert_eq!(bed.gateway.ends().await.code(), Some(0), "{second}");
        assert!(
            asked.elapsed() < Duration::from_secs(5),
            "{second}: {:?}",
            asked.elapsed()
        );
        assert_eq!(
            stream.part().await,
            Part::Cut,
            "{second}: half an answer must not look whole"
        );
        assert!(bed.gateway.read("stderr").contains("ended at once"), "{second}");
    }
}

fn upgradable(setup: Setup) -> Setup {
    let path = setup.config().with_file_name("upgrade.sock");
    setup.args(&["--upgrade", &path.display().to_string()])
}

#[tokio::test]
async fn next_process_takes_over_under_load_and_nothing_is_lost() {
    let mut bed = Bed::start(Transport::Plain, upgradable(Setup::seed())).await;
    let gate = held(&bed);
    let load = Load::start(bed.http(), 8, 8, 2);
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let stream = open_stream(bed.http()).await;
        let before = bed.gateway.pid();
        let mut older = bed.gateway.follow(&[]);
        assert_ne!(bed.gateway.pid(), before);
        eventually("the newer process has the admin port", || async {
            let page = get(bed.gateway.admin, "/snapshot").await.json();
            (page["process"] == bed.gateway.pid()).then_some(())
        })
        .await;
        assert_eq!(get(bed.gateway.admin, "/healthz/ready").await.status, 200);
        assert_whole(stream, &gate).await;
        let status = within_patience("the older process ends", older.wait())
            .await
            .expect("a status");
        assert_eq!(status.code(), Some(0));
    }
    assert_nothing_lost(&load.finish().await, 100);
}

#[tokio::test]
async fn next_process_that_cannot_start_leaves_the_one_before() {
    let mut bed = Bed::start(Transport::Plain, upgradable(Setup::seed())).await;
    let route = bed.gateway.config().join("llm-route.yaml");
    let snapshot = get(bed.gateway.admin, "/snapshot").await.text();
    edit(&route, "    backendRefs:", "    backendRef:");
    let mut older = bed.gateway.follow(&[]);
    assert_eq!(bed.gateway.ends().await.code(), Some(2));
    let said = bed.gateway.read("stderr2");
    assert_eq!(
        places(&said, "llm-route.yaml").first().map(|place| place.0),
        Some(18),
        "{said}"
    );
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert_eq!(get(bed.gateway.admin, "/snapshot").await.text(), snapshot);
    // And the next good one takes over all the same.
    edit(&route, "    backendRef:", "    backendRefs:");
    drop(bed.gateway.follow(&[]));
    let status = within_patience("the older process ends", older.wait())
        .await
        .expect("a status");
    assert_eq!(status.code(), Some(0));
    assert_eq!(bed.ask("test.com").await.status, 200);
}
