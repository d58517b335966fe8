//! What the acceptance tests share: they run the real binary over real sockets.
//!
//! Written from the documents, not from the implementation: [`upstream`] is a
//! recording provider that speaks raw HTTP/1.1 (so that a mistake of an HTTP
//! library cannot hide one of the gateway), [`client`] sends arbitrary bytes and
//! reads answers piece by piece, [`frames`] does so in HTTP/2, [`gateway`] starts and stops the binary, and
//! [`outputs`] reads what it says about itself.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test binary uses its own part of what is shared"
)]

pub mod authorizer;
pub mod bed;
pub mod client;
pub mod findings;
pub mod frames;
pub mod gateway;
pub mod http2_upstream;
pub mod https;
pub mod load;
pub mod outputs;
pub mod pki;
pub mod ports;
pub mod tokens;
pub mod upstream;
pub mod wire;

use core::future::Future;
use core::time::Duration;
use std::time::Instant;

/// The key in the environment of every gateway under test; no output may ever contain it.
pub const KEY: &str = "sk-acceptance-4Zt9wQ1xLr7VbN3e";

/// The host of the seed's provider.
pub const PROVIDER: &str = "dashscope.aliyuncs.com";

/// The body of the seed's step 4, its line breaks and blanks included.
pub const QUESTION: &str =
    "{\n    \"messages\": [\n        {\"role\": \"user\", \"content\": \"Tell me about yourself\"}\n    ]\n}";

/// The `messages` of [`QUESTION`], exactly as they must reach the provider.
pub const MESSAGES: &str = "[\n        {\"role\": \"user\", \"content\": \"Tell me about yourself\"}\n    ]";

/// How long a test waits for what must happen but has no deadline of its own (a loaded machine is slow).
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` gives a value; panics with `what` when it never does.
pub async fn eventually<T, F, Fut>(what: &str, mut probe: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let start = Instant::now();
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "never happened: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Gives `future` [`PATIENCE`] to finish; panics with `what` when it does not.
pub async fn within_patience<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("timed out: {what}"),
    }
}

/// Makes a named pipe.
pub fn make_pipe(path: &std::path::Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status();
    assert!(made.expect("mkfifo").success(), "{}", path.display());
}
