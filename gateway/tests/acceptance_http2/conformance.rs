//! What RFC 9113 and RFC 7541 ask of a server, case by case, as frames.
//!
//! The cases and their numbers are those of h2spec's public list. As there, who
//! must end a stream may as well end the connection, and who must end the
//! connection with a code may as well just close it: the RFC allows both.
//! Where h2 does otherwise the case says so, and why that is right.

use core::net::SocketAddr;
use core::time::Duration;

use crate::case::open;
use crate::support::frames::{
    ACK, COMPRESSION_ERROR, CONTINUATION, Connection, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, PADDED, PING, PRIORITY, PROTOCOL_ERROR,
    PUSH_PROMISE, RST_STREAM, SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY, block, frame, get, settings,
};

const REFUSED_STREAM: u32 = 7;
const WHOLE: u8 = END_HEADERS | END_STREAM;
const PAYLOAD: [u8; 8] = *b"lockgate";

/// What the client does.
#[derive(Debug, Clone)]
enum Do {
    Send(Vec<u8>),
    /// Reads until stream 1 has ended.
    End,
}

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Is {
    /// The connection ends, with one of these codes if with any.
    Gone(&'static [u32]),
    /// Stream 1 ends with one of these codes, or the connection does.
    Reset(&'static [u32]),
    /// The request on stream 1 is refused, with a status or as in `Reset`.
    Refused,
    /// Stream 1 is answered.
    Answered,
    /// Nothing: a ping is answered afterwards.
    Ignored,
    /// Nothing, or the connection ends without an error: the client has said that it goes.
    Left,
}

use Do::{End, Send};

fn ask(stream: u32) -> Do {
    head(WHOLE, stream, &get(&[]))
}

fn head(flags: u8, stream: u32, block: &[u8]) -> Do {
    Send(frame(HEADERS, flags, stream, block))
}

fn send(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Do {
    Send(frame(kind, flags, stream, payload))
}

/// A POST whose body is still to come.
fn post(fields: &[(&str, &[u8])]) -> Do {
    let start: [(&str, &[u8]); 4] = [
        (":method", b"POST"),
        (":scheme", b"http"),
        (":authority", b"test.com"),
        (":path", b"/"),
    ];
    head(END_HEADERS, 1, &block(&[&start, fields].concat()))
}

/// A request with exactly these fields.
fn only(fields: &[(&str, &[u8])]) -> Do {
    head(WHOLE, 1, &block(fields))
}

fn window(stream: u32, by: u32) -> Do {
    send(WINDOW_UPDATE, 0, stream, &by.to_be_bytes())
}

fn set(values: &[(u16, u32)]) -> Do {
    Send(settings(values))
}

const BODY: &[u8] = b"{\"messages\":[]}";
const METHOD: (&str, &[u8]) = (":method", b"GET");
const SCHEME: (&str, &[u8]) = (":scheme", b"http");
const AUTHORITY: (&str, &[u8]) = (":authority", b"test.com");
const PATH: (&str, &[u8]) = (":path", b"/");

async fn connect(to: SocketAddr) -> Connection {
    let mut connection = Connection::open(to).await;
    // Its own settings, and the answer to ours.
    let first = connection.next().await.expect("a server's preface");
    assert_eq!((first.0, first.1, first.2), (SETTINGS, 0, 0), "3.5/1");
    assert!(connection.send(&frame(SETTINGS, ACK, 0, &[])).await);
    connection
}

/// Reads until stream 1 has ended; whether it has before the connection did.
async fn ended(connection: &mut Connection) -> bool {
    loop {
        match connection.next().await {
            Some((RST_STREAM, _, 1, _)) => return true,
            Some((_, flags, 1, _)) if flags & END_STREAM != 0 => return true,
            Some(_) => {}
            None => return false,
        }
    }
}

/// What came of a case, in words that are empty when it is right.
async fn check(to: SocketAddr, steps: &[Do], is: Is) -> String {
    let mut connection = connect(to).await;
    // What is sent between two readings goes out as one piece: a request whose body is still to come may be answered
    // before it has come, and the case is not about that.
    for steps in steps.split_inclusive(|step| matches!(step, End)) {
        let frames: Vec<u8> = steps
            .iter()
            .flat_map(|step| match step {
                Send(bytes) => bytes.as_slice(),
                End => &[],
            })
            .copied()
            .collect();
        // Who is gone already takes no more.
        connection.send(&frames).await;
        if matches!(steps.last(), Some(End)) && !ended(&mut connection).await {
            return "the connection ended too soon".to_owned();
        }
    }
    if matches!(is, Is::Ignored | Is::Left | Is::Answered) {
        connection.send(&frame(PING, 0, 0, &PAYLOAD)).await;
    }
    let (mut ponged, mut answered) = (false, false);
    loop {
        let allowed = |codes: &[u32], code: Option<u32>| code.is_none_or(|code| codes.contains(&code));
        match connection.next().await {
            None | Some((GOAWAY, ..)) => {
                let code = connection.goaway;
                return match is {
                    Is::Gone(codes) | Is::Reset(codes) if allowed(codes, code) => String::new(),
                    Is::Left if allowed(&[NO_ERROR], code) => String::new(),
                    Is::Refused => String::new(),
                    _ => format!("the connection ended with {code:?}"),
                };
            }
            Some((RST_STREAM, _, 1, code)) => {
                let code = u32::from_be_bytes(code.try_into().expect("a code"));
                return match is {
                    Is::Reset(codes) if codes.contains(&code) => String::new(),
                    Is::Refused => String::new(),
                    // Who has answered says so that it needs no more of the request (RFC 9113, 8.1): no verdict on it.
                    _ if code == NO_ERROR => continue,
                    _ => format!("the stream was reset with {code}"),
                };
            }
            Some((PING, flags, 0, payload)) if flags & ACK != 0 => {
                if payload != PAYLOAD {
                    return format!("a ping was answered with {payload:?}");
                }
                ponged = true;
            }
            Some((HEADERS, _, 1, payload)) => match is {
                Is::Refused if payload.first() == Some(&0x8c) => return String::new(),
                Is::Refused => return format!("it was answered: {payload:x?}"),
                _ => answered = true,
            },
            Some(_) => {}
        }
        match is {
            Is::Ignored | Is::Left if ponged => return String::new(),
            Is::Answered if ponged && answered => return String::new(),
            _ => {}
        }
    }
}

/// Runs cases one after the other and names those that are wrong.
async fn run(cases: Vec<(&str, Vec<Do>, Is)>) {
    let bed = open(&[]).await;
    let mut wrong = Vec::new();
    let count = cases.len();
    for (what, steps, is) in cases {
        let came = tokio::time::timeout(Duration::from_secs(5), check(bed.http(), &steps, is)).await;
        let problem = came.unwrap_or_else(|_| "nothing came of it".to_owned());
        if !problem.is_empty() {
            wrong.push(format!("{what}: {problem}, wanted {is:?}"));
        }
    }
    println!("{} of {count}", count - wrong.len());
    assert!(
        wrong.is_empty(),
        "{} of {count} are wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[tokio::test]
async fn a_preface_that_is_none_is_no_http2() {
    let bed = open(&[]).await;
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"[..],
        b"INVALID CONNECTION PREFACE\r\n\r\n",
    ] {
        let mut connection = Connection::begin(bed.http(), bytes).await;
        // What is said is HTTP/1.1, which is no frame that anybody sent.
        while let Some((kind, ..)) = connection.next().await {
            assert_ne!(kind, SETTINGS, "3.5/2");
        }
    }
}

#[tokio::test]
async fn frames_and_their_sizes() {
    let large = vec![0; 16_385];
    let full = vec![b' '; 16_384];
    let mut reserved = frame(PING, 0, 0, &PAYLOAD);
    reserved[5] |= 0x80;
    let long_head = get(&[("x-long", &vec![b'a'; 16_400])]);
    run(vec![
        ("4.1/1 an unknown type", vec![send(0x16, 0, 0, &PAYLOAD)], Is::Ignored),
        (
            "4.1/2 undefined flags",
            vec![send(PING, 0x16, 0, &PAYLOAD)],
            Is::Ignored,
        ),
        ("4.1/3 the reserved bit", vec![Send(reserved)], Is::Ignored),
        (
            "4.2/1 DATA of the largest size",
            vec![post(&[]), send(DATA, END_STREAM, 1, &full)],
            Is::Answered,
        ),
        (
            "4.2/2 DATA over it",
            vec![post(&[]), send(DATA, END_STREAM, 1, &large)],
            Is::Reset(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.2/3 HEADERS over it",
            vec![head(WHOLE, 1, &long_head)],
            Is::Gone(&[FRAME_SIZE_ERROR]),
        ),
        (
            "4.3/1 a block that cannot be read",
            vec![head(WHOLE, 1, b"\x40\x01\x80\x01")],
            Is::Gone(&[COMPRESSION_ERROR, PROTOCOL_ERROR]),
        ),
        (
            "4.3/2 PRIORITY within a head",
            vec![head(END_STREAM, 1, &get(&[])), send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])],
            Is::Gone(&[PROTOCOL_ERROR]),
        ),
        (
            "4.3/3 HEADERS of another stream within a head",
            vec![head(END_STREAM, 1, &get(&[])), ask(3)],
            Is::Gone(&[PROTOCOL_ERROR]),
        ),
        (
            "5.4.1/1 a bad PING ends the connection",
            vec![send(PING, 0, 0, &[0; 6])],
            Is::Gone(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        ),
        ("5.5/1 an extension", vec![send(0x16, 0, 1, &PAYLOAD)], Is::Ignored),
        (
            "5.5/2 an extension within a head",
            vec![head(END_STREAM, 1, &get(&[])), send(0x16, 0, 0, &PAYLOAD)],
            Is::Gone(&[PROTOCOL_ERROR]),
        ),
    ])
    .await;
}

#[tokio::test]
async fn states_of_streams() {
    let reset = || send(RST_STREAM, 0, 1, &8_u32.to_be_bytes());
    let gone = Is::Gone(&[PROTOCOL_ERROR]);
    let closed = Is::Reset(&[STREAM_CLOSED]);
    let closed_or_wrong = Is::Reset(&[STREAM_CLOSED, PROTOCOL_ERROR]);
    run(vec![
        ("5.1/1 idle: DATA", vec![send(DATA, END_STREAM, 1, b"x")], gone),
        ("5.1/2 idle: RST_STREAM", vec![reset()], gone),
        ("5.1/3 idle: WINDOW_UPDATE", vec![window(1, 100)], gone),
        (
            "5.1/4 idle: CONTINUATION",
            vec![send(CONTINUATION, END_HEADERS, 1, &get(&[]))],
            gone,
        ),
        // Of a client that goes on after its own end h2 ends the connection, and not only the stream, with the code for
        // whatever breaks the protocol (§5.4.1 leaves that to a server).
        (
            "5.1/5 half closed: DATA",
            vec![ask(1), send(DATA, END_STREAM, 1, b"x")],
            closed_or_wrong,
        ),
        ("5.1/6 half closed: HEADERS", vec![ask(1), ask(1)], closed_or_wrong),
        (
            "5.1/7 half closed: CONTINUATION",
            vec![ask(1), send(CONTINUATION, END_HEADERS, 1, &get(&[]))],
            closed_or_wrong,
        ),
        // A frame may have been under way when the other side reset the stream: h2 ignores those for a while, as §5.1
        // asks of who has sent a RST_STREAM; of who has got one it says that it may.
        (
            "5.1/8 after RST_STREAM: DATA",
            vec![
                head(END_HEADERS, 1, &get(&[])),
                reset(),
                send(DATA, END_STREAM, 1, b"x"),
            ],
            closed,
        ),
        (
            "5.1/9 after RST_STREAM: HEADERS",
            vec![head(END_HEADERS, 1, &get(&[])), reset(), ask(1)],
            closed_or_wrong,
        ),
        (
            "5.1/10 after RST_STREAM: CONTINUATION",
            vec![
                head(END_HEADERS, 1, &get(&[])),
                reset(),
                send(CONTINUATION, END_HEADERS, 1, &get(&[])),
            ],
            closed_or_wrong,
        ),
        (
            "5.1/11 closed: DATA",
            vec![ask(1), End, send(DATA, END_STREAM, 1, b"x")],
            closed,
        ),
        ("5.1/12 closed: HEADERS", vec![ask(1), End, ask(1)], closed_or_wrong),
        (
            "5.1/13 closed: CONTINUATION",
            vec![ask(1), End, send(CONTINUATION, END_HEADERS, 1, &get(&[]))],
            closed_or_wrong,
        ),
        ("5.1.1/1 an even stream", vec![ask(2)], gone),
        (
            "5.1.1/2 a stream below the last",
            vec![ask(5), ask(3)],
            Is::Gone(&[PROTOCOL_ERROR, STREAM_CLOSED]),
        ),
        (
            "5.3.1/1 HEADERS that depend on themselves",
            vec![head(
                WHOLE | WITH_PRIORITY,
                1,
                &[&[0, 0, 0, 1, 255][..], &get(&[])].concat(),
            )],
            Is::Reset(&[PROTOCOL_ERROR]),
        ),
        (
            "5.3.1/2 PRIORITY that depends on itself",
            vec![send(PRIORITY, 0, 1, &[0, 0, 0, 1, 255])],
            Is::Reset(&[PROTOCOL_ERROR]),
        ),
        (
            "generic/2/1 idle: PRIORITY",
            vec![send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255]), ask(1)],
            Is::Answered,
        ),
        (
            "generic/2/2 half closed: WINDOW_UPDATE",
            vec![ask(1), window(1, 1)],
            Is::Answered,
        ),
        (
            "generic/2/3 half closed: PRIORITY",
            vec![ask(1), send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])],
            Is::Answered,
        ),
        (
            "generic/2/4 half closed: RST_STREAM",
            vec![ask(1), reset()],
            Is::Ignored,
        ),
        (
            "generic/2/5 closed: PRIORITY",
            vec![ask(1), End, send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])],
            Is::Ignored,
        ),
        (
            "6.9 closed: WINDOW_UPDATE",
            vec![ask(1), End, window(1, 1)],
            Is::Ignored,
        ),
        ("6.4 closed: RST_STREAM", vec![ask(1), End, reset()], Is::Ignored),
    ])
    .await;
}

#[tokio::test]
async fn more_streams_than_there_may_be_are_refused() {
    let bed = open(&[]).await;
    let gate = crate::support::upstream::Gate::new();
    for _ in 0..100 {
        let waits = vec![crate::support::upstream::Step::Wait(gate.clone())];
        bed.upstream.answer(crate::support::upstream::Answer(waits));
    }
    let mut connection = connect(bed.http()).await;
    for n in 0..101 {
        let Send(bytes) = ask(1 + 2 * n) else { continue };
        connection.send(&bytes).await;
    }
    loop {
        match connection.next().await {
            Some((RST_STREAM, _, stream, code)) => {
                let code = u32::from_be_bytes(code.try_into().expect("a code"));
                assert_eq!((stream, code), (201, REFUSED_STREAM), "5.1.2/1");
                return;
            }
            Some((HEADERS, ..) | (GOAWAY, ..)) | None => panic!("5.1.2/1"),
            Some(_) => {}
        }
    }
}

#[tokio::test]
async fn each_type_of_frame() {
    let gone = Is::Gone(&[PROTOCOL_ERROR]);
    // h2 says PROTOCOL_ERROR of a frame of the wrong size where the RFC has a code of its own. Either ends it.
    let size = Is::Gone(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]);
    let begun = || head(END_STREAM, 1, &get(&[]));
    let padded = |pad: u8, rest: &[u8]| [&[pad][..], rest].concat();
    run(vec![
        ("6.1/1 DATA on stream 0", vec![send(DATA, END_STREAM, 0, b"x")], gone),
        (
            "6.1/2 DATA on a stream that is not open",
            vec![ask(1), End, send(DATA, END_STREAM, 1, b"x")],
            Is::Reset(&[STREAM_CLOSED]),
        ),
        (
            "6.1/3 DATA of more padding than it has",
            vec![post(&[]), send(DATA, END_STREAM | PADDED, 1, &padded(6, b"test"))],
            gone,
        ),
        (
            "6.2/1 HEADERS, then PRIORITY",
            vec![begun(), send(PRIORITY, 0, 1, &[0, 0, 0, 0, 255])],
            gone,
        ),
        (
            "6.2/2 HEADERS, then those of another stream",
            vec![begun(), ask(3)],
            gone,
        ),
        ("6.2/3 HEADERS on stream 0", vec![ask(0)], gone),
        (
            "6.2/4 HEADERS of more padding than they have",
            vec![head(WHOLE | PADDED, 1, &padded(255, &get(&[])))],
            gone,
        ),
        (
            "6.3/1 PRIORITY on stream 0",
            vec![send(PRIORITY, 0, 0, &[0, 0, 0, 0, 255])],
            gone,
        ),
        (
            "6.3/2 PRIORITY of four bytes",
            vec![send(PRIORITY, 0, 1, &[0, 0, 0, 1])],
            Is::Reset(&[FRAME_SIZE_ERROR, PROTOCOL_ERROR]),
        ),
        (
            "6.4/1 RST_STREAM on stream 0",
            vec![send(RST_STREAM, 0, 0, &[0, 0, 0, 8])],
            gone,
        ),
        (
            "6.4/2 RST_STREAM on an idle stream",
            vec![send(RST_STREAM, 0, 1, &[0, 0, 0, 8])],
            gone,
        ),
        (
            "6.4/3 RST_STREAM of three bytes",
            vec![head(END_HEADERS, 1, &get(&[])), send(RST_STREAM, 0, 1, &[0; 3])],
            size,
        ),
        (
            "6.5/1 SETTINGS that answer with something",
            vec![send(SETTINGS, ACK, 0, &[0])],
            size,
        ),
        (
            "6.5/2 SETTINGS on a stream",
            vec![send(SETTINGS, 0, 1, &[0, 3, 0, 0, 0, 100])],
            gone,
        ),
        (
            "6.5/3 SETTINGS of three bytes",
            vec![send(SETTINGS, 0, 0, &[0, 3, 0])],
            size,
        ),
        ("6.7/1 PING", vec![], Is::Ignored),
        (
            "6.7/2 PING that answers",
            vec![send(PING, ACK, 0, b"nobody's")],
            Is::Ignored,
        ),
        ("6.7/3 PING on a stream", vec![send(PING, 0, 1, &PAYLOAD)], gone),
        ("6.7/4 PING of six bytes", vec![send(PING, 0, 0, &[0; 6])], size),
        ("6.8/1 GOAWAY on a stream", vec![send(GOAWAY, 0, 1, &[0; 8])], gone),
        ("6.9/1 WINDOW_UPDATE of nothing", vec![window(0, 0)], gone),
        (
            "6.9/2 WINDOW_UPDATE of nothing for a stream",
            vec![head(END_HEADERS, 1, &get(&[])), window(1, 0)],
            Is::Reset(&[PROTOCOL_ERROR]),
        ),
        (
            "6.9/3 WINDOW_UPDATE of three bytes",
            vec![send(WINDOW_UPDATE, 0, 0, &[0, 0, 1])],
            size,
        ),
        (
            "6.10/1 several CONTINUATION",
            vec![
                head(END_STREAM, 1, &get(&[])),
                send(CONTINUATION, 0, 1, &block(&[("a", b"1")])),
                send(CONTINUATION, END_HEADERS, 1, &block(&[("b", b"2")])),
            ],
            Is::Answered,
        ),
        (
            "6.10/2 CONTINUATION, then another frame",
            vec![
                begun(),
                send(CONTINUATION, 0, 1, &block(&[("a", b"1")])),
                send(DATA, END_STREAM, 1, b"x"),
            ],
            gone,
        ),
        (
            "6.10/3 CONTINUATION on stream 0",
            vec![begun(), send(CONTINUATION, END_HEADERS, 0, &block(&[("a", b"1")]))],
            gone,
        ),
        (
            "6.10/4 CONTINUATION after a whole head",
            vec![ask(1), send(CONTINUATION, END_HEADERS, 1, &block(&[("a", b"1")]))],
            gone,
        ),
        (
            "6.10/5 CONTINUATION after the last one",
            vec![
                begun(),
                send(CONTINUATION, END_HEADERS, 1, &block(&[("a", b"1")])),
                send(CONTINUATION, END_HEADERS, 1, &block(&[("a", b"1")])),
            ],
            gone,
        ),
        (
            "6.10/6 CONTINUATION after DATA",
            vec![
                post(&[]),
                send(DATA, 0, 1, b"x"),
                send(CONTINUATION, END_HEADERS, 1, &block(&[("a", b"1")])),
            ],
            gone,
        ),
        (
            "7/1 GOAWAY with an unknown code",
            vec![send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])],
            Is::Left,
        ),
        (
            "7/2 RST_STREAM with an unknown code",
            vec![
                head(END_HEADERS, 1, &get(&[])),
                send(RST_STREAM, 0, 1, &[0, 0, 0, 0xff]),
            ],
            Is::Ignored,
        ),
        (
            "8.2/1 PUSH_PROMISE",
            vec![
                head(END_HEADERS, 1, &get(&[])),
                send(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2][..], &get(&[])].concat()),
            ],
            gone,
        ),
        (
            "generic/3.1/3 DATA with padding",
            vec![
                post(&[]),
                send(DATA, END_STREAM | PADDED, 1, &[&[4][..], BODY, &[0; 4]].concat()),
            ],
            Is::Answered,
        ),
        (
            "generic/3.2/2 HEADERS with padding",
            vec![head(WHOLE | PADDED, 1, &[&[4][..], &get(&[]), &[0; 4]].concat())],
            Is::Answered,
        ),
        (
            "generic/3.2/3 HEADERS with a priority",
            vec![head(
                WHOLE | WITH_PRIORITY,
                1,
                &[&[0x80, 0, 0, 0, 255][..], &get(&[])].concat(),
            )],
            Is::Answered,
        ),
        (
            "generic/3.3/5 PRIORITY of an idle stream",
            vec![send(PRIORITY, 0, 7, &[0x80, 0, 0, 9, 0]), ask(1)],
            Is::Answered,
        ),
        (
            "generic/3.8/1 GOAWAY, and the stream goes on",
            vec![ask(1), send(GOAWAY, 0, 0, &[0; 8])],
            Is::Answered,
        ),
        (
            "generic/3.9/1 WINDOW_UPDATE",
            vec![window(0, 1), ask(1), window(1, 1)],
            Is::Answered,
        ),
    ])
    .await;
}

#[tokio::test]
async fn settings_and_windows() {
    const MOST: u32 = 0x7fff_ffff;
    let gone = Is::Gone(&[PROTOCOL_ERROR]);
    // As for sizes: h2 has one code for all values that cannot be.
    let window_too_large = Is::Gone(&[FLOW_CONTROL_ERROR, PROTOCOL_ERROR]);
    run(vec![
        ("6.5.2/1 ENABLE_PUSH of 2", vec![set(&[(2, 2)])], gone),
        (
            "6.5.2/2 a window over the largest",
            vec![set(&[(INITIAL_WINDOW_SIZE, MOST + 1)])],
            window_too_large,
        ),
        (
            "6.5.2/3 a frame size below the smallest",
            vec![set(&[(5, 16_383)])],
            gone,
        ),
        (
            "6.5.2/4 a frame size over the largest",
            vec![set(&[(5, 16_777_216)])],
            gone,
        ),
        ("6.5.2/5 an unknown one", vec![set(&[(0xff, 1)])], Is::Ignored),
        ("6.5 none", vec![set(&[])], Is::Ignored),
        (
            "6.9.1/2 a window of the connection over the largest",
            vec![window(0, MOST), window(0, MOST)],
            Is::Gone(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.1/3 a window of a stream over the largest",
            vec![head(END_HEADERS, 1, &get(&[])), window(1, MOST), window(1, MOST)],
            Is::Reset(&[FLOW_CONTROL_ERROR]),
        ),
        (
            "6.9.2/3 a setting that takes a window over the largest",
            vec![
                head(END_HEADERS, 1, &get(&[])),
                window(1, MOST - 65_535),
                set(&[(INITIAL_WINDOW_SIZE, MOST)]),
            ],
            Is::Gone(&[FLOW_CONTROL_ERROR]),
        ),
    ])
    .await;

    let bed = open(&[]).await;
    // 6.5.3: each is answered, in order.
    let mut connection = connect(bed.http()).await;
    connection
        .send(&settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]))
        .await;
    let mut acks = 0;
    while acks < 2 {
        let (kind, flags, stream, payload) = connection.next().await.expect("an answer to SETTINGS");
        if kind == SETTINGS {
            assert_eq!((flags, stream, payload.len()), (ACK, 0, 0), "6.5.3/2");
            acks += 1;
        }
    }
    // 6.5.3/1, 6.9.1/1: of a value that comes twice the last counts, and no more is sent than it allows.
    let Send(bytes) = ask(1) else { return };
    connection.send(&bytes).await;
    assert_eq!(data(&mut connection).await, 1, "6.9.1/1");
    // 6.9.2/1 and 2: windows change with the setting, also below zero.
    connection.send(&settings(&[(INITIAL_WINDOW_SIZE, 0)])).await;
    connection.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
    connection.send(&frame(PING, 0, 0, &PAYLOAD)).await;
    loop {
        match connection.next().await.expect("a connection that goes on") {
            (PING, ACK, ..) => break,
            (DATA, ..) => panic!("6.9.2/2: DATA without a window"),
            _ => {}
        }
    }
    connection.send(&frame(WINDOW_UPDATE, 0, 1, &1_u32.to_be_bytes())).await;
    assert_eq!(data(&mut connection).await, 1, "6.9.2/2");
    connection.send(&settings(&[(INITIAL_WINDOW_SIZE, 3)])).await;
    assert_eq!(data(&mut connection).await, 3, "6.9.2/1");
}

/// The bytes of the next DATA.
async fn data(connection: &mut Connection) -> usize {
    loop {
        if let (DATA, _, 1, payload) = connection.next().await.expect("a connection that goes on") {
            return payload.len();
        }
    }
}

#[tokio::test]
async fn messages() {
    let wrong = Is::Reset(&[PROTOCOL_ERROR]);
    let trailers = |fields: &[(&str, &[u8])], flags: u8| head(flags, 1, &block(fields));
    let body = || send(DATA, 0, 1, BODY);
    let length = BODY.len().to_string();
    run(vec![
        (
            "8.1/1 HEADERS twice without an end",
            vec![
                post(&[]),
                body(),
                trailers(&[("x", b"1")], END_HEADERS),
                send(DATA, END_STREAM, 1, b"x"),
            ],
            wrong,
        ),
        (
            "8.1.2/1 a name in upper case",
            vec![head(WHOLE, 1, &get(&[("X-TEST", b"ok")]))],
            wrong,
        ),
        (
            "8.1.2.1/1 an unknown pseudo field",
            vec![only(&[METHOD, SCHEME, AUTHORITY, PATH, (":test", b"ok")])],
            wrong,
        ),
        (
            "8.1.2.1/2 a pseudo field of answers",
            vec![only(&[METHOD, SCHEME, AUTHORITY, PATH, (":status", b"200")])],
            wrong,
        ),
        // h2 drops pseudo fields of trailers, and what is dropped deceives nobody.
        (
            "8.1.2.1/3 a pseudo field in trailers",
            vec![post(&[]), body(), trailers(&[METHOD], WHOLE)],
            Is::Answered,
        ),
        (
            "8.1.2.1/4 a pseudo field after others",
            vec![only(&[METHOD, SCHEME, AUTHORITY, ("x-test", b"ok"), PATH])],
            wrong,
        ),
        (
            "8.1.2.2/1 a field of the connection",
            vec![head(WHOLE, 1, &get(&[("connection", b"keep-alive")]))],
            wrong,
        ),
        (
            "8.2.2 transfer-encoding",
            vec![head(WHOLE, 1, &get(&[("transfer-encoding", b"chunked")]))],
            wrong,
        ),
        (
            "8.2.2 keep-alive",
            vec![head(WHOLE, 1, &get(&[("keep-alive", b"1")]))],
            wrong,
        ),
        (
            "8.2.2 proxy-connection",
            vec![head(WHOLE, 1, &get(&[("proxy-connection", b"close")]))],
            wrong,
        ),
        (
            "8.2.2 upgrade",
            vec![head(WHOLE, 1, &get(&[("upgrade", b"websocket")]))],
            wrong,
        ),
        (
            "8.1.2.2/2 te",
            vec![head(WHOLE, 1, &get(&[("te", b"trailers, deflate")]))],
            wrong,
        ),
        (
            "8.2.2 te: trailers",
            vec![head(WHOLE, 1, &get(&[("te", b"trailers")]))],
            Is::Answered,
        ),
        (
            "8.1.2.3/1 an empty path",
            vec![only(&[METHOD, SCHEME, AUTHORITY, (":path", b"")])],
            Is::Refused,
        ),
        ("8.1.2.3/2 no method", vec![only(&[SCHEME, AUTHORITY, PATH])], wrong),
        (
            "8.1.2.3/3 no scheme",
            vec![only(&[METHOD, AUTHORITY, PATH])],
            Is::Refused,
        ),
        (
            "8.1.2.3/4 no path",
            vec![only(&[METHOD, SCHEME, AUTHORITY])],
            Is::Refused,
        ),
        (
            "8.1.2.3/5 two methods",
            vec![only(&[METHOD, METHOD, SCHEME, AUTHORITY, PATH])],
            wrong,
        ),
        (
            "8.1.2.3/6 two schemes",
            vec![only(&[METHOD, SCHEME, SCHEME, AUTHORITY, PATH])],
            wrong,
        ),
        (
            "8.1.2.3/7 two paths",
            vec![only(&[METHOD, SCHEME, AUTHORITY, PATH, PATH])],
            wrong,
        ),
        (
            "8.3.1 two authorities",
            vec![only(&[METHOD, SCHEME, AUTHORITY, AUTHORITY, PATH])],
            wrong,
        ),
        (
            "8.3.1 no authority and no host",
            vec![only(&[METHOD, SCHEME, PATH])],
            Is::Refused,
        ),
        (
            "8.1.2.6/1 DATA unlike content-length",
            vec![post(&[("content-length", b"1")]), send(DATA, END_STREAM, 1, b"test")],
            wrong,
        ),
        (
            "8.1.2.6/2 several DATA unlike it",
            vec![
                post(&[("content-length", b"1")]),
                send(DATA, 0, 1, b"te"),
                send(DATA, END_STREAM, 1, b"st"),
            ],
            wrong,
        ),
        (
            "8.1.1 less DATA than content-length",
            vec![post(&[("content-length", b"100")]), send(DATA, END_STREAM, 1, b"test")],
            wrong,
        ),
        (
            "8.1.1 a content-length and no DATA",
            vec![head(WHOLE, 1, &get(&[("content-length", b"5")]))],
            wrong,
        ),
        (
            "8.2.1 a blank in a name",
            vec![head(WHOLE, 1, &get(&[("x test", b"ok")]))],
            Is::Refused,
        ),
        (
            "8.2.1 a line end in a value",
            vec![head(WHOLE, 1, &get(&[("x-test", b"a\r\nb: c")]))],
            Is::Refused,
        ),
        (
            "8.2.1 NUL in a value",
            vec![head(WHOLE, 1, &get(&[("x-test", b"a\0b")]))],
            Is::Refused,
        ),
        ("generic/4/1 GET", vec![ask(1)], Is::Answered),
        (
            "generic/4/2 HEAD",
            vec![only(&[(":method", b"HEAD"), SCHEME, AUTHORITY, PATH])],
            Is::Answered,
        ),
        (
            "generic/4/3 POST",
            vec![
                post(&[("content-length", length.as_bytes())]),
                send(DATA, END_STREAM, 1, BODY),
            ],
            Is::Answered,
        ),
        (
            "generic/4/4 POST with trailers",
            vec![post(&[]), body(), trailers(&[("x-test", b"ok")], WHOLE)],
            Is::Answered,
        ),
        (
            "generic/4/5 OPTIONS",
            vec![only(&[(":method", b"OPTIONS"), SCHEME, AUTHORITY, (":path", b"*")])],
            Is::Answered,
        ),
        (
            "8.5 CONNECT",
            vec![only(&[(":method", b"CONNECT"), (":authority", b"test.com:443")])],
            Is::Answered,
        ),
    ])
    .await;
}

#[tokio::test]
async fn a_connect_with_a_length_ends_its_stream_and_no_other() {
    let bed = open(&[]).await;
    let mut connection = connect(bed.http()).await;
    let connects = |stream: u32, protocol: Option<(&str, &[u8])>| {
        let start = [(":method", &b"CONNECT"[..]), (":authority", b"test.com:443")];
        let rest: &[(&str, &[u8])] = match protocol {
            Some(_) => &[(":scheme", b"http"), (":path", b"/")],
            None => &[],
        };
        let fields = [&start[..], rest, protocol.as_slice(), &[("content-length", b"5")]].concat();
        frame(HEADERS, END_HEADERS, stream, &block(&fields))
    };
    let Send(begun) = post(&[("content-length", b"15")]) else {
        panic!("a head")
    };
    let several = [
        begun,
        connects(3, None),
        connects(5, Some((":protocol", b"websocket"))),
        connects(7, None),
    ];
    connection.send(&several.concat()).await;
    let mut reset = Vec::new();
    while reset.len() < 3 {
        let (kind, stream, _) = connection.frame().await.expect("a connection that goes on");
        assert_ne!(kind, GOAWAY);
        if kind == RST_STREAM {
            reset.push(stream);
        }
    }
    assert_eq!(reset, [3, 5, 7]);
    connection.send(&frame(DATA, END_STREAM, 1, BODY)).await;
    assert_eq!(connection.end(1).await, crate::support::frames::End::Answered(200));
    // Who does nothing else has no connection for it.
    let many: Vec<u8> = (5..500).flat_map(|n| connects(1 + 2 * n, None)).collect();
    connection.send(&many).await;
    connection.closes().await;
}

#[tokio::test]
async fn header_compression() {
    // h2 does not tell COMPRESSION_ERROR from PROTOCOL_ERROR in all cases. Either ends the connection.
    let gone = Is::Gone(&[COMPRESSION_ERROR, PROTOCOL_ERROR]);
    let with = |bytes: &[u8]| head(WHOLE, 1, &[&get(&[]), bytes].concat());
    let before = |bytes: &[u8]| head(WHOLE, 1, &[bytes, &get(&[])].concat());
    run(vec![
        (
            "2.3.3/1 an index beyond both tables, indexed",
            vec![with(&[0xc6])],
            gone,
        ),
        (
            "2.3.3/2 an index beyond both tables, literal",
            vec![with(b"\x7f\x07\x04test")],
            gone,
        ),
        ("4.2/1 a size of the table at the end", vec![with(&[0x21])], gone),
        (
            "5.2/1 more than seven bits of padding",
            vec![with(b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff")],
            gone,
        ),
        (
            "5.2/2 padding of zeros",
            vec![with(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90")],
            gone,
        ),
        (
            "5.2/3 EOS in a string",
            vec![with(b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x50\x9f\xff\xff\xff\xff")],
            gone,
        ),
        ("6.1/1 index 0", vec![with(&[0x80])], gone),
        (
            "6.3/1 a table larger than allowed",
            vec![before(&[0x3f, 0xe2, 0x1f])],
            gone,
        ),
        (
            "generic/5/1 indexed",
            vec![head(
                WHOLE,
                1,
                &[&[0x82, 0x86, 0x84][..], &block(&[AUTHORITY])].concat(),
            )],
            Is::Answered,
        ),
        (
            "generic/5/2 literal, to be indexed",
            vec![with(b"\x40\x06x-test\x02ok")],
            Is::Answered,
        ),
        (
            "generic/5/3 literal of a known name, to be indexed",
            vec![with(b"\x7a\x02ok")],
            Is::Answered,
        ),
        (
            "generic/5/4 literal, not to be indexed",
            vec![with(b"\x00\x06x-test\x02ok")],
            Is::Answered,
        ),
        (
            "generic/5/5 literal, never to be indexed",
            vec![with(b"\x10\x06x-test\x02ok")],
            Is::Answered,
        ),
        (
            "generic/5/6 Huffman",
            vec![with(b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x9f")],
            Is::Answered,
        ),
        ("generic/5/7 a size of the table", vec![before(&[0x20])], Is::Answered),
        (
            "generic/5/8 two sizes of the table",
            vec![before(&[0x20, 0x3f, 0xe1, 0x1f])],
            Is::Answered,
        ),
    ])
    .await;
}
