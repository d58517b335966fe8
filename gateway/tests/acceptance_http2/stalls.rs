//! Clients that hold an answer up, in each way that HTTP/2 gives them, while they seem to be well.

use core::time::Duration;

use tokio::time::Instant;

use crate::case::open;
use crate::support::bed::Bed;
use crate::support::frames::{
    ACK, Connection, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, PING, RST_STREAM,
    WINDOW_UPDATE, block, frame, get,
};
use crate::support::outputs::field;
use crate::support::upstream::{Answer, Gate, STREAM_HEAD, Step};
use crate::support::wire::chunk;
use crate::support::within_patience;

const CANCEL: u32 = 8;

/// A gateway that gives a client a second and a half.
async fn impatient() -> Bed {
    open(&["--stream-idle-timeout", "1500ms"]).await
}

fn ask(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(&[]))
}

/// Answers pings until the gateway resets `stream`, and says with what; `None` when it ends the connection.
async fn reset_of(connection: &mut Connection, stream: u32) -> Option<u32> {
    loop {
        match connection.next().await? {
            (PING, 0, _, payload) => assert!(connection.send(&frame(PING, ACK, 0, &payload)).await),
            (RST_STREAM, _, on, code) if on == stream => {
                return Some(u32::from_be_bytes(code.try_into().expect("a code")));
            }
            (GOAWAY, ..) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn stream_without_a_window_is_reset_and_its_upstream_freed() {
    let bed = impatient().await;
    bed.upstream
        .answer(Answer::whole("200 OK", &[], &"x".repeat(1_000_000)));
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    connection.send(&ask(1)).await;
    let begun = Instant::now();
    assert_eq!(reset_of(&mut connection, 1).await, Some(CANCEL));
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    bed.upstream.closed(0).await;
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "SI");
    assert_eq!(field(&line, "response_code_details"), "stream_idle_timeout");
    // The connection serves on.
    connection.send(&frame(WINDOW_UPDATE, 0, 0, &[0, 1, 0, 0])).await;
    connection.send(&ask(3)).await;
    connection.send(&frame(WINDOW_UPDATE, 0, 3, &[0, 1, 0, 0])).await;
    assert_whole(&mut connection, 3).await;
}

async fn assert_whole(connection: &mut Connection, stream: u32) {
    loop {
        let (kind, flags, on, _) = connection.next().await.expect("a connection that goes on");
        assert!(kind != RST_STREAM || on != stream, "a reset");
        if kind == DATA && on == stream && flags & END_STREAM != 0 {
            return;
        }
    }
}

#[tokio::test]
async fn an_answer_of_ours_is_not_waited_for_either() {
    let bed = impatient().await;
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    // A path that is refused.
    let bad = block(&[
        (":method", b"GET"),
        (":scheme", b"http"),
        (":authority", b"test.com"),
        (":path", b"/%00"),
    ]);
    connection
        .send(&frame(HEADERS, END_HEADERS | END_STREAM, 1, &bad))
        .await;
    assert_eq!(reset_of(&mut connection, 1).await, Some(CANCEL));
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "SI");
    assert_eq!(field(&line, "response_code"), "400");
}

#[tokio::test]
async fn a_window_of_the_connection_counts_as_those_of_streams() {
    let bed = impatient().await;
    for _ in 0..2 {
        bed.upstream
            .answer(Answer::whole("200 OK", &[], &"x".repeat(1_000_000)));
    }
    // The streams' own windows are wide open.
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]).await;
    connection.send(&[ask(1), ask(3)].concat()).await;
    let mut reset = Vec::new();
    while reset.len() < 2 {
        match connection.next().await.expect("a connection that goes on") {
            (RST_STREAM, _, on, _) => reset.push(on),
            (PING, 0, _, payload) => assert!(connection.send(&frame(PING, ACK, 0, &payload)).await),
            _ => {}
        }
    }
    bed.upstream.closed(0).await;
    bed.upstream.closed(1).await;
}

#[tokio::test]
async fn who_reads_slowly_but_reads_gets_all_of_it() {
    let bed = impatient().await;
    let gate = Gate::new();
    let mut steps = vec![Step::Send(STREAM_HEAD.to_vec())];
    for _ in 0..8 {
        steps.push(Step::Send(chunk(&[b'x'; 1000])));
        steps.push(Step::Wait(gate.clone()));
    }
    steps.push(Step::Send(b"0\r\n\r\n".to_vec()));
    bed.upstream.answer(Answer(steps));
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 0)]).await;
    connection.send(&ask(1)).await;
    let mut bytes = 0;
    // Four seconds in all, of which none alone is too long.
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        connection
            .send(&frame(WINDOW_UPDATE, 0, 1, &1000_u32.to_be_bytes()))
            .await;
        gate.open();
        let piece = async {
            loop {
                match connection.next().await.expect("a connection that goes on") {
                    (DATA, _, 1, payload) => {
                        bytes += payload.len();
                        if payload.len() == 1000 {
                            return;
                        }
                    }
                    (RST_STREAM, ..) => panic!("a reset"),
                    _ => {}
                }
            }
        };
        within_patience("a piece", piece).await;
    }
    assert_eq!(bytes, 8000);
    assert_whole(&mut connection, 1).await;
}

/// A client that does not take the answer on stream 1, and reads a stream of events on stream 3.
async fn rest_beside_stream(bed: &Bed, events: &[&str], gate: &Gate) -> Connection {
    bed.upstream.answer(Answer::whole("200 OK", &[], &"x".repeat(5000)));
    bed.upstream.answer(Answer::gated_stream(events, gate));
    // Room for a byte, so that all of it is handed over at once; and then the record is written.
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 1)]).await;
    connection.send(&ask(1)).await;
    bed.gateway.log_of(1).await;
    connection.send(&ask(3)).await;
    connection
        .send(&frame(WINDOW_UPDATE, 0, 3, &1000_u32.to_be_bytes()))
        .await;
    connection
}

#[tokio::test]
async fn the_rest_of_an_answer_that_is_not_taken_ends_the_connection_and_no_other_stream() {
    let bed = impatient().await;
    let gate = Gate::new();
    let mut connection = rest_beside_stream(&bed, &["data: 1\n\n", "data: 2\n\n"], &gate).await;
    let opener = tokio::spawn(async move {
        for _ in 0..2 {
            tokio::time::sleep(Duration::from_millis(1200)).await;
            gate.open();
        }
    });
    let (mut has_goaway, mut is_whole) = (false, false);
    while let Some((kind, flags, on, payload)) = connection.next().await {
        match kind {
            PING if flags == 0 => assert!(connection.send(&frame(PING, ACK, 0, &payload)).await),
            GOAWAY => has_goaway = true,
            DATA if on == 3 && flags & END_STREAM != 0 => is_whole = true,
            RST_STREAM => assert_ne!(on, 3, "the neighbour was cut"),
            _ => {}
        }
    }
    assert!(has_goaway && is_whole, "{has_goaway} {is_whole}");
    opener.await.expect("the gate");
}

#[tokio::test]
async fn a_rest_that_is_still_there_a_period_later_ends_all_whatever_else_runs() {
    let bed = impatient().await;
    let gate = Gate::new();
    let mut connection = rest_beside_stream(&bed, &["data: 1\n\n"; 12], &gate).await;
    let opener = tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            gate.open();
        }
    });
    let begun = Instant::now();
    // No ping is answered, without which a stream that runs would keep all as it is.
    connection.closes().await;
    let took = begun.elapsed();
    assert!(connection.goaway.is_some());
    assert!((3..9).contains(&took.as_secs()), "{took:?}");
    let line = bed.gateway.log_of(2).await.remove(1);
    assert_eq!(field(&line, "response_flags"), "SI");
    opener.abort();
}

#[tokio::test]
async fn who_does_not_read_its_socket_is_let_go() {
    let bed = impatient().await;
    bed.upstream
        .answer(Answer::whole("200 OK", &[], &"x".repeat(30_000_000)));
    let mut connection = Connection::open_with(bed.http(), &[(INITIAL_WINDOW_SIZE, 0x7fff_ffff)]).await;
    connection.send(&frame(WINDOW_UPDATE, 0, 0, &[0x70, 0, 0, 0])).await;
    connection.send(&ask(1)).await;
    bed.upstream.closed(0).await;
    let line = bed.gateway.log_of(1).await.remove(0);
    assert_eq!(field(&line, "response_flags"), "SI");
    drop(connection);
}

#[tokio::test]
async fn a_head_that_is_not_ended_is_not_waited_for() {
    let bed = open(&[]).await;
    let head = frame(HEADERS, END_STREAM, 1, &get(&[]));
    let to = bed.http();
    let wait = |bytes: Vec<u8>| async move {
        let mut connection = Connection::open(to).await;
        connection.send(&bytes).await;
        let begun = Instant::now();
        connection.closes().await;
        begun.elapsed()
    };
    let (open, torn) = tokio::join!(wait(head.clone()), wait(head[..20].to_vec()));
    for (what, took) in [("no CONTINUATION", open), ("half a frame", torn)] {
        assert!(took >= Duration::from_secs(9), "{what}: {took:?}");
    }
}

#[tokio::test]
async fn connections_that_rest_cost_no_time_and_end_with_their_gateway() {
    let mut bed = open(&["--workers", "1"]).await;
    let mut connections = Vec::new();
    for _ in 0..400 {
        let mut connection = Connection::open(bed.http()).await;
        connection.send(&frame(PING, 0, 0, &[0; 8])).await;
        connections.push(connection);
    }
    connections[0].send(&ask(1)).await;
    assert_whole(&mut connections[0], 1).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = bed.gateway.cpu();
    tokio::time::sleep(Duration::from_secs(3)).await;
    let used = bed.gateway.cpu() - before;
    println!("{used:?} in three seconds");
    assert!(used < Duration::from_millis(40), "{used:?}");
    // What they say is heard.
    connections[1].send(&ask(1)).await;
    assert_whole(&mut connections[1], 1).await;
    bed.gateway.signal("TERM");
    let begun = Instant::now();
    for connection in &mut connections {
        loop {
            match connection.next().await {
                Some((GOAWAY, ..)) | None => break,
                Some((PING, 0, _, payload)) => {
                    connection.send(&frame(PING, ACK, 0, &payload)).await;
                }
                Some(_) => {}
            }
        }
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    drop(connections);
    assert_eq!(bed.gateway.ends().await.code(), Some(0));
}
