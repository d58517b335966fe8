//! Token counts, read off an answer while it passes.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use lockgate_core::llm::usage::{Framing, Usage as Reported, UsageMeter};

use crate::access::Usage;
use crate::worker::Worker;

/// Reads the usage of one answer, or nothing where there can be none.
#[derive(Debug)]
pub(crate) struct Meter(Option<Box<UsageMeter>>);

impl Meter {
    /// A meter for the answer with this head: only successful, uncompressed JSON and event streams report usage.
    pub(crate) fn new(worker: &Worker, status: StatusCode, headers: &HeaderMap) -> Self {
        let plain = headers
            .get(CONTENT_ENCODING)
            .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let framing = headers
            .get(CONTENT_TYPE)
            .and_then(framing)
            .filter(|_| plain && status.is_success());
        Self(framing.map(|framing| worker.take_meter(framing)))
    }

    /// A meter for an answer that no LLM gave.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    /// Reads the next bytes of the answer.
    pub(crate) fn feed(&mut self, chunk: &[u8]) {
        if let Some(meter) = &mut self.0 {
            meter.feed(chunk);
        }
    }

    /// Whether the answer is an event stream that ends, so far, between two events.
    pub(crate) fn is_between_events(&self) -> bool {
        self.0.as_ref().is_some_and(|meter| meter.is_between_events())
    }

    /// What was reported until now; once.
    pub(crate) fn finish(&mut self, worker: &Worker) -> Option<Usage> {
        let mut meter = self.0.take()?;
        let reported = meter.finish();
        worker.put_meter(meter);
        match reported {
            Reported::Known {
                prompt_tokens,
                completion_tokens,
                ..
            } => Some(Usage {
                prompt: prompt_tokens,
                completion: completion_tokens,
            }),
            Reported::Unknown(_) => None,
        }
    }
}

fn framing(content_type: &HeaderValue) -> Option<Framing> {
    let media = content_type.as_bytes().split(|byte| *byte == b';').next()?.trim_ascii();
    if media.eq_ignore_ascii_case(b"text/event-stream") {
        return Some(Framing::Sse);
    }
    media.eq_ignore_ascii_case(b"application/json").then_some(Framing::Json)
}
