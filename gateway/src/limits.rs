//! Every bound and default time of the gateway in one place, each with its reason.
//!
//! The engine's own bounds (path, authority, JSON depth, …) are in
//! [`lockgate_core::limits`].

use core::time::Duration;

/// See [`lockgate_core::limits::HEAD_BYTES_MAX`].
pub(crate) const HEAD_BYTES_MAX: usize = lockgate_core::limits::HEAD_BYTES_MAX;

/// Bytes of an upstream's response head; as much as clients are granted.
pub(crate) const UPSTREAM_HEAD_BYTES_MAX: usize = 60 * 1024;

/// Bytes that an upstream may send before the head of its answer is whole: a few interim answers (1xx) and the head.
pub(crate) const UPSTREAM_INTERIM_BYTES_MAX: usize = 4 * UPSTREAM_HEAD_BYTES_MAX;

/// Concurrent streams of one HTTP/2 connection: Envoy's advice for untrusted clients.
pub(crate) const STREAMS_MAX: u32 = 100;

/// HTTP/2 windows: one stream may have 64 KiB on its way, a connection 1 MiB (Envoy's advice for untrusted clients).
pub(crate) const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
/// See [`STREAM_WINDOW_BYTES`].
pub(crate) const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// Streams that a client has reset and that are not yet forgotten, before its connection is closed (rapid reset).
pub(crate) const RESET_STREAMS_MAX: usize = 20;

/// Streams of a connection that end for a client's own mistakes, over its life (made-you-reset). One more closes it.
pub(crate) const FAULTY_STREAMS_MAX: usize = 100;

/// See [`lockgate_core::limits::HEADER_FIELDS_MAX`].
pub(crate) const HEADER_FIELDS_MAX: usize = lockgate_core::limits::HEADER_FIELDS_MAX;

/// HTTP/2 frames that carry nothing (PING, PRIORITY, WINDOW_UPDATE, empty ones, unknown ones) that a client may send at
/// once, and for each second. A client's own keeping alive and measuring takes a few; more of them only cost time.
pub(crate) const FRAMES_BURST: u32 = 1000;
/// See [`FRAMES_BURST`].
pub(crate) const FRAMES_PER_SECOND: u32 = 100;

/// And for each answer: browsers send priorities for each request.
pub(crate) const FRAMES_PER_REQUEST: u32 = 10;

/// And for each piece of an answer, and so many bytes of it: clients that read send windows for what they read, one
/// for the stream and one for the connection, for each frame of it at worst.
pub(crate) const FRAMES_PER_ANSWER_PIECE: u32 = 4;
/// See [`FRAMES_PER_ANSWER_PIECE`].
pub(crate) const ANSWER_BYTES_PER_FRAME: usize = 1024;

/// Bytes of SETTINGS that count as another frame: ten values.
pub(crate) const SETTINGS_BYTES_PER_FRAME: usize = 60;

/// Streams that a client may open and reset before they are answered, at once, and for each second; each answer earns
/// another. A proxy that many clients leave at once resets as many as it had running.
pub(crate) const RESETS_BURST: u32 = 200;
/// See [`RESETS_BURST`].
pub(crate) const RESETS_PER_SECOND: u32 = 50;

/// Bytes of one HTTP/2 stream's answer that wait for a slow client before the upstream is no longer read.
pub(crate) const STREAM_SEND_BYTES_MAX: usize = 64 * 1024;

/// Bytes for a client that the kernel may hold before they are on their way. Left to itself it takes megabytes of an
/// answer that is not read, and asks for more only when a third of them is gone, so that a slow client would look like
/// one that takes nothing.
pub(crate) const CLIENT_UNSENT_BYTES_MAX: u32 = 128 * 1024;

/// Time for a whole request head, from its first byte, and for a PROXY header, from when the connection is there. Slower clients are
/// holding a slot, not asking.
pub(crate) const HEADER_READ: Duration = Duration::from_secs(10);

/// Time for a whole request body that is kept until it is whole. 32 MiB in it is 1 Mbit/s.
pub(crate) const BODY_READ: Duration = Duration::from_secs(300);

/// Time for a body to begin to come, and bytes of it that are worth a second more: whoever is slower is holding a slot,
/// not sending. Kestrel's default is half as many bytes, Apache's the same; a modem of 1998 sends ten times as fast.
pub(crate) const BODY_BEGIN: Duration = Duration::from_secs(10);
/// See [`BODY_BEGIN`].
pub(crate) const BODY_BYTES_PER_SECOND_MIN: u64 = 500;

/// Time a connection may wait for its next request.
pub(crate) const IDLE: Duration = Duration::from_secs(600);

/// Time for the head of an upstream's answer. Clients of LLM APIs themselves wait 600 s.
pub(crate) const FIRST_BYTE: Duration = Duration::from_secs(600);

/// Silence within an upstream's answer. Reasoning models pause for minutes.
pub(crate) const STREAM_IDLE: Duration = Duration::from_secs(300);

/// Time for running requests to end after SIGTERM.
pub(crate) const DRAIN: Duration = Duration::from_secs(30);

/// Time for the next request on an idle connection whose listener ends, which is answered with `Connection: close`:
/// longer than any request is on its way.
pub(crate) const LEAVE: Duration = Duration::from_secs(1);

/// Time for a newer process, from when it asks for the listening sockets until it serves on them. It has loaded its
/// configuration before.
pub(crate) const UPGRADE: Duration = Duration::from_secs(30);

/// Time for it to say that it is one.
pub(crate) const UPGRADE_HELLO: Duration = Duration::from_secs(1);

/// Time for the older process to answer it.
pub(crate) const UPGRADE_ANSWER: Duration = Duration::from_secs(10);

/// Sockets that pass from one process to the next: some ports on more workers than there are.
pub(crate) const UPGRADE_SOCKETS_MAX: usize = 64 * 1024;

/// How often a busy connection looks at its own clocks; also how long it keeps its buffers once idle.
///
/// Taking a connection apart and together again costs about as much as a tenth of a proxied request, so it must not
/// happen to busy ones; and a burst of new ones should not all be whole at once.
pub(crate) const CONNECTION_TICK: Duration = Duration::from_millis(100);

/// How often a connection of HTTP/1.1 does so at least while one answer takes long: each look takes two microseconds, and
/// thousands of streams are open at once.
pub(crate) const CONNECTION_TICK_MAX: Duration = Duration::from_secs(1);

/// Time and bytes to read from a client after the last answer, so that closing does not destroy that answer.
pub(crate) const LINGER: Duration = Duration::from_secs(2);
/// See [`LINGER`].
pub(crate) const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// Bytes of a body of which a copy is kept while it is passed on, because it may have to be sent again, or to a
/// mirror; of a larger one
/// nothing is. Envoy's default for what it buffers.
pub(crate) const COPIED_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Copies for mirrors that one worker has under way. Beyond it requests are not copied, and counted.
pub(crate) const MIRRORS_UNDER_WAY_MAX: usize = 64;

/// Time for one of them, its answer included.
pub(crate) const MIRROR: Duration = Duration::from_secs(30);

/// Bytes of its answer that are read so that its connection can be used again.
pub(crate) const MIRROR_ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that a tunnel holds of each direction while the side that they go to does not read: what one read of a socket
/// usually gives.
pub(crate) const TUNNEL_BYTES: usize = 8 * 1024;

/// Idle connections that one worker keeps per upstream. More are closed rather than kept.
pub(crate) const POOL_IDLE_MAX: usize = 256;

/// Time an upstream connection may lie idle: below the 60 to 75 s after which servers commonly close theirs.
pub(crate) const POOL_IDLE: Duration = Duration::from_secs(50);

/// Time for the rest of a request body whose answer is whole already: an upstream that has said all it has to say may
/// never read it.
pub(crate) const UPLOAD_REST: Duration = Duration::from_secs(10);

/// Bytes of a request body of HTTP/2 whose end goes to an upstream with the last of them: what the window of any server
/// takes at once. The end of a larger one waits until all of it is sent, or what the server does not take could not be
/// taken back.
pub(crate) const UPLOAD_ENDS_BYTES_MAX: usize = 16 * 1024;

/// Requests at once over one connection of HTTP/2 to an upstream, if it takes so many: what RFC 9113 has servers take at
/// least. What is beyond goes over another one.
pub(crate) const UPSTREAM_STREAMS_MAX: u32 = 100;

/// The window of such a connection as a whole. [`STREAM_WINDOW_BYTES`] is what bounds the bytes that wait; h2 ends a
/// connection once its waiting frames of less than 256 bytes lack half of this in all, and the events of an LLM are that
/// small: a client that does not read a few streams of them would cut everybody else's. So there is room for all streams
/// full of events of eight bytes. Each frame that waits takes some 260 bytes of h2's own, so that half of this bounds the
/// memory of a connection as well.
pub(crate) const UPSTREAM_WINDOW_BYTES: u32 = 512 * 1024 * 1024;

/// Answers over one connection of HTTP/2 that clients leave, over its life; then it takes no new requests. h2 ends a
/// connection with all that is under way when twice as many streams have gone wrong.
pub(crate) const UPSTREAM_LEFT_MAX: usize = 500;

/// Streams of one connection that were reset here and are remembered for a second, so that what is still on its way on
/// them is no mistake of the upstream's.
pub(crate) const UPSTREAM_RESETS_KEPT: usize = UPSTREAM_LEFT_MAX;

/// New connections that a request waits for while others take all their places.
pub(crate) const UPSTREAM_ROUNDS_MAX: usize = 16;

/// How often an HTTP/2 connection to an upstream is asked whether it is still there.
pub(crate) const UPSTREAM_PING: Duration = Duration::from_secs(30);

/// Request bodies are kept as they were read, in pieces; smaller pieces are joined.
///
/// A piece keeps alive the whole read buffer that it came from, so that many tiny ones would cost a multiple of the
/// body.
pub(crate) const BODY_PIECE_BYTES_MIN: usize = 16 * 1024;

/// Size of the buffer that small pieces are joined in.
pub(crate) const BODY_JOIN_BYTES: usize = 64 * 1024;

/// Bytes up to which the pieces of a message are written as one: about where copying them costs as much as listing them.
pub(crate) const JOINED_BYTES_MAX: usize = 2 * 1024;

/// Bytes of access log that wait for the disk. Beyond it lines are dropped and counted.
pub(crate) const LOG_QUEUE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Bytes of one value in the access log; the rest of a longer one is cut off.
pub(crate) const LOG_VALUE_BYTES_MAX: usize = 4 * 1024;

/// Time the access log gathers lines before it writes them.
pub(crate) const LOG_GATHER: Duration = Duration::from_millis(20);

/// Distinct model names in metrics; further ones count as `other`.
pub(crate) const MODEL_LABELS_MAX: usize = 200;

/// Bytes of a request to the admin port.
pub(crate) const ADMIN_BODY_BYTES_MAX: usize = 1024 * 1024;

/// Quiet time after a file change before the configuration is loaded: editors and kubelets write in several steps.
pub(crate) const RELOAD_DEBOUNCE: Duration = Duration::from_millis(200);

/// Links that one path to a file leads through: as many as Linux follows.
pub(crate) const LINKS_MAX: u32 = 40;

/// Client connections at once, unless told otherwise: Envoy's advice for an edge. Each costs some 3 KiB while it waits,
/// and 25 KiB and its bodies while it is served.
pub(crate) const CONNECTIONS_MAX_DEFAULT: u32 = 50_000;

/// What part of them one source may have, unless told otherwise: it takes several to keep all others out, and yet a
/// quarter is more than a company or a city behind one address needs.
pub(crate) const SOURCES_MIN: u32 = 4;
/// And how many it may have in any case: fewer do no harm.
pub(crate) const CONNECTIONS_PER_SOURCE_MIN: u32 = 100;

/// Requests at once, unless told otherwise: as many as connections, so that HTTP/1.1 never meets it and the streams of
/// HTTP/2 do not multiply it.
pub(crate) const REQUESTS_MAX_DEFAULT: u32 = CONNECTIONS_MAX_DEFAULT;

/// Bytes of request bodies that are in memory at once, unless told otherwise: sixteen of the greatest size, or thirty
/// thousand of the usual 16 KiB.
pub(crate) const BUFFERED_BYTES_MAX_DEFAULT: u64 = 512 * 1024 * 1024;

/// When a client that was refused for want of room may ask again. Requests end all the time.
pub(crate) const RETRY_AFTER: &str = "1";

/// Silence on a client's connection after which the kernel asks whether it is still there, how often it asks then, and
/// how many times in vain before the connection is over. Middle boxes forget silent connections after some minutes, and
/// a stream whose client has gone without a word costs tokens.
pub(crate) const CLIENT_KEEPALIVE: Duration = Duration::from_secs(60);
/// See [`CLIENT_KEEPALIVE`].
pub(crate) const CLIENT_KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// See [`CLIENT_KEEPALIVE`].
pub(crate) const CLIENT_KEEPALIVE_TRIES: u32 = 4;

/// Pending connections per listening socket.
pub(crate) const LISTEN_BACKLOG: i32 = 4096;

/// How often a worker closes idle upstream connections and gives freed memory back to the system.
pub(crate) const SWEEP: Duration = Duration::from_secs(2);

/// How often a thread says that it cannot accept connections. Each attempt would be a line otherwise.
pub(crate) const ACCEPT_WARNING: Duration = Duration::from_secs(10);

/// Time for workers to give up what they were cut off from; one may hang.
pub(crate) const CUT: Duration = Duration::from_secs(1);

/// Time for the rest of the access log to be written when the process ends; its file may be stuck for good.
pub(crate) const LOG_CLOSE: Duration = Duration::from_secs(2);

/// Pause after a failed `accept`, which is nearly always for want of descriptors: trying at once would only burn CPU.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of the answer of an external authorizer. A login page is a tenth of it.
pub(crate) const CHECK_ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Fields in each list of an authorizer's answer over gRPC. Over HTTP hyper takes a hundred; `http` keeps 24,576 and
/// panics beyond.
pub(crate) const CHECK_FIELDS_MAX: usize = 1000;

/// Verified tokens that are remembered. Ten thousand clients at once is a large company.
pub(crate) const TOKEN_CACHE_ENTRIES_MAX: usize = 16 * 1024;

/// Bytes of them together: 2 KiB each, which is what the claims of a common token take.
pub(crate) const TOKEN_CACHE_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Headers of verified tokens that are remembered, of which each issuer has one for each key it signs with.
pub(crate) const TOKEN_HEADERS_MAX: usize = 8;

/// Bytes of such a header. With the hash of a certificate and a URL most have fewer than 300.
pub(crate) const TOKEN_HEADER_BYTES_MAX: usize = 1024;

/// Bytes of a key set that is fetched; as many as one in the configuration may have.
pub(crate) const KEY_SET_FETCH_BYTES_MAX: usize = lockgate_core::limits::KEY_SET_BYTES_MAX;

/// Bytes of the head of the answer with it.
pub(crate) const KEY_SET_HEAD_BYTES_MAX: usize = 16 * 1024;

/// Time after which keys are fetched again, ahead of need: Istio's cache of five minutes.
pub(crate) const KEYS_REFRESH: Duration = Duration::from_secs(300);

/// Time that keys are used while they cannot be fetched again. After it every token of theirs is refused.
pub(crate) const KEYS_LIFE: Duration = Duration::from_secs(3600);

/// Pause after the first fetch that failed; it doubles with each.
pub(crate) const KEYS_RETRY_MIN: Duration = Duration::from_secs(1);
/// See [`KEYS_RETRY_MIN`].
pub(crate) const KEYS_RETRY_MAX: Duration = Duration::from_secs(60);

/// Time between two fetches for tokens that name a key which is not there: anyone can send such.
pub(crate) const KEYS_UNKNOWN_KEY: Duration = Duration::from_secs(60);
