//! The life of the process: listeners that come and go, the end, the next binary, and what systemd hears of it.
//!
//! Nothing of it may cost anybody an answer.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a helper of tests fails by panicking"
)]

#[cfg(test)]
mod support;

use core::net::SocketAddr;
use core::time::Duration;
use std::net::TcpListener;
use std::time::Instant;

use support::bed::{Bed, Transport};
use support::client::{Client, get, post};
use support::findings::places;
use support::frames::{Connection, DATA, END_HEADERS, END_STREAM, HEADERS, block, frame};
use support::gateway::{Gateway, Setup, edit, example};
use support::load::{self, ASK_HELD, Load, Tally};
use support::outputs::total;
use support::ports::Port;
use support::upstream::Gate;
use support::wire::Part;
use support::{QUESTION, eventually, within_patience};
use tokio::net::UnixDatagram;

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

/// A stream over HTTP/2 whose first event has come, and that waits at the gate.
async fn open_stream_of_http2(to: SocketAddr) -> Connection {
    let mut client = Connection::open(to).await;
    let head = block(&[
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"test.com"),
        (":path", b"/"),
        ("content-type", b"application/json"),
    ]);
    let (head, body) = (
        frame(HEADERS, END_HEADERS, 1, &head),
        frame(DATA, END_STREAM, 1, ASK_HELD.as_bytes()),
    );
    client.send(&[head, body].concat()).await;
    loop {
        let (kind, _, event) = client.frame().await.expect("an event");
        if kind == DATA {
            assert_eq!(event, b"data: 1\n\n");
            return client;
        }
    }
}

#[tokio::test]
async fn what_runs_on_a_port_that_is_gone_is_cut_after_the_time_to_drain() {
    let second = Port::lease();
    let at = SocketAddr::from(([127, 0, 0, 1], second.number));
    let setup = Setup::seed().args(&["--listen", &format!("81={at}"), "--drain-timeout", "1s"]);
    let bed = Bed::start(Transport::Plain, setup).await;
    let gateway = bed.gateway.config().join("gateway.yaml");
    let one = std::fs::read_to_string(&gateway).expect("the Gateway");
    std::fs::write(&gateway, format!("{one}{SECOND_SERVER}")).expect("a second server");
    reload(&bed.gateway).await;
    answers(at, 200).await;
    let gate = held(&bed);
    let (mut stream, mut over_http2) = (open_stream(at).await, open_stream_of_http2(at).await);
    let stays = open_stream(bed.http()).await;

    std::fs::write(&gateway, one).expect("one server");
    assert_eq!(stream.part().await, Part::Cut, "half an answer must not look whole");
    while let Some((kind, flags, on, _)) = over_http2.next().await {
        let is_end = on == 1 && matches!(kind, HEADERS | DATA) && flags & END_STREAM != 0;
        assert!(!is_end, "half an answer must not look whole");
    }
    let lines = eventually("both are logged", || async {
        let is_of_stream = |line: &serde_json::Value| line["bytes_sent"] == 9;
        let lines: Vec<_> = bed.gateway.log().into_iter().filter(is_of_stream).collect();
        (lines.len() == 2).then_some(lines)
    })
    .await;
    for line in lines {
        let (flags, details) = (&line["response_flags"], &line["response_code_details"]);
        assert_eq!((flags, details), (&"LR".into(), &"drain_timeout".into()));
        assert_eq!(line["response_code"], 200);
    }
    let said = bed.gateway.read("stderr");
    assert!(said.contains("the time to drain is over"), "{said}");
    assert_whole(stays, &gate).await;
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

/// What a half-written, slipped or foreign file may look like. `core/tests/mutated_names.rs` has a thousand more.
fn broken(text: &str) -> Vec<String> {
    let lines = text.lines().count();
    // Labels are the user's own.
    let is_ours = |number: &usize| {
        text.lines()
            .nth(*number)
            .is_some_and(|line| !line.contains("ingressgateway"))
    };
    let mut all: Vec<String> = (0..lines)
        .filter(is_ours)
        .map(|number| {
            // One name is slipped in.
            let slipped = |(at, line): (usize, &str)| match (at == number, line.split_once(':')) {
                (true, Some((name, value))) => format!("{name}x:{value}\n"),
                (true, None) => format!("{line}: x\n"),
                (false, _) => format!("{line}\n"),
            };
            text.lines().enumerate().map(slipped).collect()
        })
        .collect();
    all.extend([
        "\u{0}".to_owned(),
        "{".to_owned(),
        format!("{text}---\nkind: Policy\n"),
        text.repeat(2),
    ]);
    all
}

#[tokio::test]
async fn broken_configurations_change_no_policy_and_are_told_by_place() {
    let bed = Bed::start(Transport::Plain, Setup::seed().with_policy("127.0.0.1")).await;
    let file = bed.gateway.config().join("authorization-policy.yaml");
    let snapshot = get(bed.gateway.admin, "/snapshot").await.text();
    let text = std::fs::read_to_string(&file).unwrap();
    for (index, broken) in broken(&text).into_iter().enumerate() {
        std::fs::write(&file, &broken).unwrap();
        let said = bed.gateway.read("stderr").len();
        let failures = reloads(&bed.gateway).await.1;
        bed.gateway.signal("HUP");
        eventually("a refusal", || async {
            (reloads(&bed.gateway).await.1 > failures).then_some(())
        })
        .await;
        let refused = bed.gateway.read("stderr").split_off(said);
        assert!(
            places(&refused, "authorization-policy.yaml")
                .iter()
                .all(|place| place.0 > 0 && place.1 > 0)
                && !places(&refused, "authorization-policy.yaml").is_empty(),
            "{index}: {broken}\n{refused}"
        );
        assert_eq!(
            get(bed.gateway.admin, "/snapshot").await.text(),
            snapshot,
            "{index}: {broken}"
        );
        assert_eq!(bed.ask("test.com").await.status, 403, "{index}: {broken}");
    }
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

#[tokio::test]
async fn next_process_that_is_slow_to_start_has_taken_nothing_yet() {
    let setup = upgradable(Setup::seed());
    let log = setup.config().with_file_name("slow.jsonl");
    let setup = setup.args(&["--capsule", &log.display().to_string()]);
    let mut bed = Bed::start(Transport::Plain, setup).await;
    std::fs::remove_file(&log).unwrap();
    // Nobody reads from it, so that to open it takes for ever.
    support::make_pipe(&log);
    let mut older = bed.gateway.follow(&[]);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let said = bed.gateway.read("stderr");
    assert!(!said.contains("takes over"), "{said}");
    std::fs::remove_file(&log).unwrap();
    drop(bed.gateway.follow(&[]));
    let status = within_patience("the older process ends", older.wait())
        .await
        .expect("a status");
    assert_eq!(status.code(), Some(0));
    assert_eq!(bed.ask("test.com").await.status, 200);
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_not_replaced_by_one() {
    let setup = upgradable(Setup::seed());
    let path = setup.aside("upgrade.sock", "precious");
    let said = setup.refused().await;
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(
        said.stderr
            .contains(&format!("`{}`, which is no socket", path.display())),
        "{}",
        said.stderr
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    // What a dead process left is one.
    std::fs::remove_file(&path).unwrap();
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(path.exists());
    let gateway = setup.start().await;
    assert_eq!(get(gateway.admin, "/healthz/ready").await.status, 200);
}

/// Where a service manager listens, and what it hears.
struct Manager(UnixDatagram);

impl Manager {
    /// Listens, and has the gateway told where.
    fn of(setup: Setup) -> (Self, Setup) {
        let path = setup.config().with_file_name("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        (Self(socket), setup.env("NOTIFY_SOCKET", &path.display().to_string()))
    }

    /// The next message.
    async fn hears(&self) -> String {
        let mut message = [0; 4096];
        let length = within_patience("a message", self.0.recv(&mut message)).await.unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    }
}

fn monotonic_us() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1000
}

#[tokio::test]
async fn systemd_hears_of_readiness_reloads_and_the_end() {
    let (manager, setup) = Manager::of(Setup::seed().args(&["--drain-timeout", "7s"]));
    let mut bed = Bed::start(Transport::Plain, setup).await;
    let first = manager.hears().await;
    let snapshot = get(bed.gateway.admin, "/snapshot").await.json();
    assert_eq!(
        first,
        format!(
            "READY=1\nSTATUS=serving snapshot {}",
            snapshot["snapshot"].as_str().unwrap()
        )
    );

    let asked = monotonic_us();
    bed.gateway.signal("HUP");
    let reloading = manager.hears().await;
    let time = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .expect(&reloading);
    assert!((asked..=monotonic_us()).contains(&time.parse().unwrap()), "{reloading}");
    assert_eq!(manager.hears().await, first);

    let route = bed.gateway.config().join("llm-route.yaml");
    edit(&route, "    backendRefs:", "    backendRef:");
    bed.gateway.signal("HUP");
    assert!(manager.hears().await.starts_with("RELOADING=1\n"));
    let kept = manager.hears().await;
    assert!(
        kept.starts_with("READY=1\nSTATUS=the new configuration is refused"),
        "{kept}"
    );

    bed.gateway.signal("TERM");
    // The file's change is loaded, too, if it was noticed before the end.
    let mut last = manager.hears().await;
    while last.starts_with("RELOADING=1") || last.starts_with("READY=1") {
        last = manager.hears().await;
    }
    assert_eq!(last, "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=12000000");
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

#[tokio::test]
async fn watchdog_is_fed_also_while_a_stream_holds_up_the_end() {
    let (manager, setup) = Manager::of(Setup::seed().env("WATCHDOG_USEC", "200000"));
    let mut bed = Bed::start(Transport::Plain, setup).await;
    let fed = |times: usize| {
        let manager = &manager;
        async move {
            let mut left = times;
            while left > 0 {
                left -= usize::from(manager.hears().await == "WATCHDOG=1");
            }
        }
    };
    fed(5).await;
    let gate = held(&bed);
    let stream = open_stream(bed.http()).await;
    bed.gateway.signal("TERM");
    while !manager.hears().await.starts_with("STOPPING=1") {}
    fed(5).await;
    assert_whole(stream, &gate).await;
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}

#[tokio::test]
async fn watchdog_of_another_process_is_left_alone() {
    let (manager, setup) = Manager::of(Setup::seed().env("WATCHDOG_USEC", "20000").env("WATCHDOG_PID", "1"));
    let mut bed = Bed::start(Transport::Plain, setup).await;
    assert!(manager.hears().await.starts_with("READY=1"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    bed.gateway.signal("TERM");
    assert!(manager.hears().await.starts_with("STOPPING=1"));
    bed.gateway.ends().await;
}

/// A socket as systemd opens it.
fn socket() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).unwrap()
}

#[tokio::test]
async fn sockets_of_systemd_are_served_by_their_names_and_outlive_the_process() {
    let (http, admin) = (socket(), socket());
    let copies = vec![
        ("80".to_owned(), http.try_clone().unwrap()),
        ("admin".to_owned(), admin.try_clone().unwrap()),
    ];
    let setup = Setup::seed().given(vec![("80", http), ("admin", admin)]);
    let mut bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    let said = bed.gateway.read("stderr");
    assert!(said.contains("\"from\":\"systemd\""), "{said}");

    // Who comes while no process is there waits for the next.
    bed.gateway.signal("KILL");
    bed.gateway.ends().await;
    let mut early = Client::connect(bed.http()).await;
    early.send(post("test.com", &[], QUESTION)).await;
    let killed = Instant::now();
    drop(bed.gateway.follow(&copies));
    assert_eq!(early.response().await.status, 200);
    println!(
        "from the start of the next process to the answer: {:?}",
        killed.elapsed()
    );
    assert_eq!(bed.ask("test.com").await.status, 200);
}

#[tokio::test]
async fn socket_of_systemd_without_a_name_is_for_the_port_it_listens_on() {
    let http = socket();
    let port = http.local_addr().unwrap().port().to_string();
    let setup = Setup::seed()
        .edit("gateway.yaml", "number: 80", &format!("number: {port}"))
        .given(vec![("lockgate.socket", http)]);
    let bed = Bed::start(Transport::Plain, setup).await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    assert!(bed.gateway.read("stderr").contains("\"from\":\"systemd\""));
}

#[tokio::test]
async fn socket_of_systemd_that_no_port_is_for_is_told() {
    let setup = Setup::seed().given(vec![("80", socket()), ("admin", socket())]);
    let setup = setup.edit("gateway.yaml", "number: 80", "number: 18080");
    let bed = Bed::start(Transport::Plain, setup).await;
    let said = bed.gateway.read("stderr");
    assert!(
        said.contains("a socket from systemd is for no port of a Gateway"),
        "{said}"
    );
    // A reload that brings the port finds it.
    edit(
        &bed.gateway.config().join("gateway.yaml"),
        "number: 18080",
        "number: 80",
    );
    bed.gateway.signal("HUP");
    answers(bed.http(), 200).await;
}

#[tokio::test]
async fn listen_that_no_port_is_for_is_told_at_start_and_at_each_reload() {
    let elsewhere = Port::lease();
    let listen = format!("8080=127.0.0.1:{}", elsewhere.number);
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--listen", &listen])).await;
    let told = || {
        let said = bed.gateway.read("stderr");
        let lines = said.lines().filter(|line| line.contains("\"port\":\"8080\""));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told().len(), 1, "{:?}", told());
    assert!(
        told()[0].contains("`--listen` is for a port that no Gateway has"),
        "{:?}",
        told()
    );
    assert!(told()[0].contains("\"ports\":\"80\""), "{:?}", told());
    reload(&bed.gateway).await;
    assert_eq!(told().len(), 2, "{:?}", told());
    edit(&bed.gateway.config().join("gateway.yaml"), "number: 80", "number: 8080");
    reload(&bed.gateway).await;
    answers(([127, 0, 0, 1], elsewhere.number).into(), 200).await;
    assert_eq!(told().iter().filter(|line| line.contains("--listen")).count(), 2);
}

#[tokio::test]
async fn configuration_that_opens_no_port_is_told_at_start_and_at_each_reload() {
    let warning = "no Gateway is for this gateway, so no port is open";
    let gateway = Setup::empty().start().await;
    let told = || gateway.read("stderr").matches(warning).count();
    assert_eq!(told(), 1, "{}", gateway.read("stderr"));
    reload(&gateway).await;
    assert_eq!(told(), 2, "{}", gateway.read("stderr"));
    std::fs::write(gateway.config().join("gateway.yaml"), example("seed/gateway.yaml")).unwrap();
    refused_no_longer(gateway.http).await;
    assert_eq!(told(), 2, "{}", gateway.read("stderr"));
}

async fn refused_no_longer(address: SocketAddr) {
    eventually("connections are accepted", || async {
        Client::try_connect_from([127, 0, 0, 1], address).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn given_socket_that_does_not_listen_is_refused_by_name() {
    let there = socket();
    let connected = std::net::TcpStream::connect(there.local_addr().unwrap()).unwrap();
    let given = TcpListener::from(std::os::fd::OwnedFd::from(connected));
    let said = Setup::seed().given(vec![("80", given)]).try_start().await;
    let said = said.expect_err("a refusal");
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(said.stderr.contains("socket 1 of systemd (`80`)"), "{}", said.stderr);
    assert!(said.stderr.contains("Accept=no"), "{}", said.stderr);
}

/// The lines of the kernel's table of sockets whose own address is this: state and timer of each.
fn sockets_at(address: SocketAddr) -> Vec<(String, String)> {
    let octets = match address.ip() {
        core::net::IpAddr::V4(ip) => u32::from_ne_bytes(ip.octets()),
        core::net::IpAddr::V6(_) => panic!("tests listen on IPv4"),
    };
    let own = format!("{octets:08X}:{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    fields
        .filter(|fields| fields.get(1) == Some(&own.as_str()))
        .map(|fields| (fields[3].to_owned(), fields[5].chars().take(2).collect()))
        .collect()
}

#[tokio::test]
async fn each_worker_listens_on_its_own_and_clients_are_asked_whether_they_live() {
    let bed = Bed::start(Transport::Plain, Setup::seed().args(&["--workers", "3"])).await;
    let mut client = Client::connect(bed.http()).await;
    assert_eq!(client.ask("test.com", QUESTION).await.status, 200);
    eventually("a keepalive timer on the connection", || async {
        let all = sockets_at(bed.http());
        let listening = all.iter().filter(|(state, _)| state == "0A").count();
        assert_eq!(listening, 3, "{all:?}");
        all.contains(&("01".to_owned(), "02".to_owned())).then_some(())
    })
    .await;
}

#[tokio::test]
async fn workers_are_as_many_as_the_process_may_use_cores() {
    // The gateway inherits what this thread may use.
    let all = rustix::thread::sched_getaffinity(None).unwrap();
    let mut one = rustix::thread::CpuSet::new();
    one.set(
        (0..rustix::thread::CpuSet::MAX_CPU)
            .find(|cpu| all.is_set(*cpu))
            .unwrap(),
    );
    rustix::thread::sched_setaffinity(None, &one).unwrap();
    let bed = Bed::seed().await;
    rustix::thread::sched_setaffinity(None, &all).unwrap();
    let said = bed.gateway.read("stderr");
    assert!(said.contains("\"workers\":\"1\""), "{said}");
    assert_eq!(
        sockets_at(bed.http()).iter().filter(|(state, _)| state == "0A").count(),
        1
    );
}

#[tokio::test]
async fn logs_that_are_moved_away_are_opened_again_at_a_hangup() {
    let setup = Setup::seed();
    let capsules = setup.aside("capsules.jsonl", "");
    let bed = Bed::start(Transport::Plain, setup.args(&["--capsule", capsules.to_str().unwrap()])).await;
    let lines = |file: &str| bed.gateway.read(file).lines().count();
    assert_eq!(bed.ask("test.com").await.status, 200);
    bed.gateway.log_of(1).await;
    for file in ["access.log", "capsules.jsonl"] {
        let path = capsules.with_file_name(file);
        std::fs::rename(&path, path.with_extension("1")).unwrap();
    }
    bed.gateway.signal("HUP");
    eventually("new files", || async {
        let is_there = |file| capsules.with_file_name(file).exists();
        (is_there("access.log") && is_there("capsules.jsonl")).then_some(())
    })
    .await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    eventually("lines in the new files", || async {
        (lines("access.log") == 1 && lines("capsules.jsonl") == 1).then_some(())
    })
    .await;
    assert_eq!((lines("access.1"), lines("capsules.1")), (1, 1));
    // What cannot be opened is written on.
    let path = capsules.with_file_name("access.log");
    std::fs::rename(&path, path.with_extension("2")).unwrap();
    std::fs::create_dir(&path).unwrap();
    bed.gateway.signal("HUP");
    eventually("that it cannot be opened is told", || async {
        let said = bed.gateway.read("stderr");
        said.contains("a log cannot be opened again, the file that was open is written on")
            .then_some(())
    })
    .await;
    assert_eq!(bed.ask("test.com").await.status, 200);
    eventually("a line in the old file", || async {
        (lines("access.2") == 2).then_some(())
    })
    .await;
}

/// A gateway that is in the middle of its start: it reads its configuration from a pipe, whose other end is given.
async fn starting(setup: &Setup, port: &Port) -> (tokio::process::Child, std::fs::File) {
    let pipe = setup.config().with_file_name("pipe");
    support::make_pipe(&pipe);
    let child = tokio::process::Command::new(env!("CARGO_BIN_EXE_lockgate"))
        .args(["serve", "--admin", "off", "--workers", "1", "--listen"])
        .arg(format!("80=127.0.0.1:{}", port.number))
        .arg("-f")
        .arg(&pipe)
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    // Opened as soon as it is opened there.
    let open = tokio::task::spawn_blocking(move || std::fs::OpenOptions::new().write(true).open(pipe));
    let open = within_patience("the configuration is read", open).await.unwrap();
    (child, open.unwrap())
}

fn send(child: &tokio::process::Child, signal: rustix::process::Signal) {
    let process = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    rustix::process::kill_process(process, signal).unwrap();
}

#[tokio::test]
async fn signals_are_heard_during_the_start() {
    let (setup, port) = (Setup::empty(), Port::lease());
    let (mut child, mut pipe) = starting(&setup, &port).await;
    send(&child, rustix::process::Signal::HUP);
    std::io::Write::write_all(&mut pipe, example("seed/gateway.yaml").as_bytes()).unwrap();
    drop(pipe);
    answers(([127, 0, 0, 1], port.number).into(), 404).await;
    assert!(child.try_wait().unwrap().is_none());

    let (setup, port) = (Setup::empty(), Port::lease());
    let (mut child, _pipe) = starting(&setup, &port).await;
    send(&child, rustix::process::Signal::TERM);
    let status = within_patience("the process ends", child.wait()).await.unwrap();
    assert_eq!(status.code(), Some(0), "{status}");
}

/// A Gateway with servers at these ports.
fn servers(ports: &[u16]) -> String {
    let text = example("seed/gateway.yaml");
    let (head, _) = text.split_once("    - hosts").unwrap();
    let server = |port: &u16| {
        SECOND_SERVER
            .replace("81", &port.to_string())
            .replace("second", &format!("s{port}"))
    };
    head.to_owned() + &ports.iter().map(server).collect::<String>()
}

fn listen(setup: Setup, ports: &[(u16, String)]) -> Setup {
    let listen = |setup: Setup, (port, at): &(u16, String)| setup.args(&["--listen", &format!("{port}={at}")]);
    ports.iter().fold(setup, listen)
}

#[tokio::test]
async fn two_ports_do_not_share_an_address() {
    let port = Port::lease();
    let at = |ip: &str| format!("{ip}:{}", port.number);
    for (one, other) in [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "0.0.0.0"),
        ("127.0.0.1", "[::]"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
    ] {
        let setup = listen(Setup::empty(), &[(81, at(one)), (82, at(other))]);
        let said = setup.file("gateway.yaml", &servers(&[81, 82])).refused().await;
        assert_eq!(said.code, 2, "{}", said.all());
        assert!(
            said.stderr.contains("port 81 and port 82"),
            "{one}, {other}: {}",
            said.stderr
        );
    }

    let setup = listen(Setup::seed(), &[(81, at("127.0.0.1")), (82, at("127.0.0.1"))]);
    let bed = Bed::start(Transport::Plain, setup.file("gateway.yaml", &servers(&[81]))).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port.number));
    answers(address, 200).await;
    let gateway = bed.gateway.config().join("gateway.yaml");
    std::fs::write(&gateway, servers(&[81, 82])).unwrap();
    reload(&bed.gateway).await;
    let said = bed.gateway.read("stderr");
    assert!(said.contains("port 81 and port 82"), "{said}");
    answers(address, 200).await;
    // One in place of the other is no such thing.
    std::fs::write(&gateway, servers(&[82])).unwrap();
    reload(&bed.gateway).await;
    eventually("the other port", || async {
        let said = bed.gateway.read("stderr");
        said.contains("no longer listening").then_some(())
    })
    .await;
    answers(address, 200).await;
}

#[tokio::test]
async fn port_of_another_process_is_not_shared() {
    let bed = Bed::start(Transport::Plain, Setup::seed()).await;
    let setup = listen(Setup::empty(), &[(81, bed.http().to_string())]);
    let said = setup.file("gateway.yaml", &servers(&[81])).refused().await;
    assert_eq!(said.code, 2, "{}", said.all());
    assert!(said.stderr.contains("something else listens there"), "{}", said.stderr);
    assert_eq!(bed.ask("test.com").await.status, 200);
}
