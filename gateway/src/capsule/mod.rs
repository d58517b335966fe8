//! Decisions of a running gateway as capsules: written while it serves, read back to be made again.
//!
//! What is in one is the engine's to say ([`Capsule`]); here one is a line of
//! JSON. Only requests that are drawn pay for it. As with the access log, lines
//! that the file is too slow for are dropped and counted, and nobody waits.

mod replay;

pub(crate) use replay::replay;

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_core::explain::{Capsule, Verdict};
use serde::{Deserialize, Serialize};

use crate::access::queue::Queue;
use crate::clock::write_rfc3339;
use crate::explain::Asked;

/// Version of the shape of a line.
const API_VERSION: &str = "lockgate.dev/capsule/v1";

/// Where capsules go, and of which requests.
#[derive(Debug)]
pub(crate) struct Capsules {
    queue: Arc<Queue>,
    /// Requests whose draw is below it; `None` is all of them.
    below: Option<u64>,
    /// Names, lower case, whose values are withheld.
    pub(crate) hidden: Vec<String>,
}

/// A part of all requests, from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Share(pub(crate) f64);

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'c> {
    api_version: &'static str,
    time: &'c str,
    request_id: &'c str,
    snapshot: &'c str,
    reproduces: bool,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    withheld: &'c [String],
    request: Asked,
    verdict: &'c Verdict,
}

/// A line as it is read back.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Read {
    api_version: String,
    request_id: String,
    snapshot: String,
    reproduces: bool,
    #[serde(default)]
    withheld: Vec<String>,
    request: Asked,
    verdict: serde_json::Value,
}

impl Capsules {
    pub(crate) fn new(queue: Arc<Queue>, share: Share, hidden: Vec<String>) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share below 1 of 2^64 is a u64, as nearly as a float can say it"
        )]
        let below = (share.0 < 1.0).then_some((share.0 * u64::MAX as f64) as u64);
        Self { queue, below, hidden }
    }

    /// Whether a request is drawn by `draw`, a random number.
    pub(crate) fn takes(&self, draw: impl FnOnce() -> u64) -> bool {
        self.below.is_none_or(|below| draw() < below)
    }

    /// Writes the capsule of the request with this id, which came at `time`.
    pub(crate) fn write(&self, capsule: Capsule, request_id: &str, time: SystemTime) {
        let mut stamp = Vec::new();
        write_rfc3339(&mut stamp, time);
        let line = Line {
            api_version: API_VERSION,
            time: &String::from_utf8_lossy(&stamp),
            request_id,
            snapshot: &capsule.snapshot,
            reproduces: capsule.reproduces,
            withheld: &capsule.withheld,
            request: Asked::from(capsule.question),
            verdict: &capsule.verdict,
        };
        // What serialises are texts and numbers.
        if let Ok(mut text) = serde_json::to_vec(&line) {
            text.push(b'\n');
            self.queue.append(&text);
        }
    }

    /// How many were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue.dropped()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_requests_is_drawn() {
        let (queue, writer) = Queue::start("capsules", || Ok(std::io::sink())).unwrap();
        let takes = |share, draw| Capsules::new(Arc::clone(&queue), Share(share), Vec::new()).takes(|| draw);
        assert!(takes(1.0, u64::MAX) && takes(0.5, 0) && takes(0.5, u64::MAX / 2 - 1));
        assert!(!takes(0.5, u64::MAX / 2 + 1) && !takes(0.0, 0) && !takes(0.01, u64::MAX / 50));
        writer.close();
    }
}
