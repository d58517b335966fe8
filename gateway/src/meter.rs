//! Token counts, read off an answer while it passes.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use lockgate_core::llm::usage::{Framing, Usage as Reported, UsageMeter};

use crate::access::Usage;
use crate::worker::Worker;

/// Reads the usage of one answer.
#[derive(Debug)]
pub(crate) enum Meter {
    /// Nothing, where there can be none.
    None,
    /// Nothing yet: most of the streams that run at a time do without the memory of a meter.
    Waiting(Framing),
    /// With a meter of the worker's.
    Reading(Box<UsageMeter>),
}

impl Meter {
    /// A meter for the answer with this head: only successful, uncompressed JSON and event streams report usage.
    pub(crate) fn new(status: StatusCode, headers: &HeaderMap) -> Self {
        let plain = headers
            .get(CONTENT_ENCODING)
            .is_none_or(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
        let framing = headers
            .get(CONTENT_TYPE)
            .and_then(framing)
            .filter(|_| plain && status.is_success());
        framing.map_or(Self::None, Self::Waiting)
    }

    /// Reads the next bytes of the answer.
    pub(crate) fn feed(&mut self, chunk: &[u8], worker: &Worker) {
        if let Self::Waiting(framing) = *self
            && !worker.usage.is_needless(framing, chunk)
        {
            *self = Self::Reading(worker.take_meter(framing));
        }
        if let Self::Reading(meter) = self {
            meter.feed(chunk);
        }
    }

    /// Whether the answer is an event stream that ends, so far, between two events.
    pub(crate) fn is_between_events(&self) -> bool {
        match self {
            Self::None => false,
            Self::Waiting(framing) => *framing == Framing::Sse,
            Self::Reading(meter) => meter.is_between_events(),
        }
    }

    /// Whether the answer, if it ends here, ends in the middle: of an event, or of a JSON text that has begun.
    pub(crate) fn is_unfinished(&self) -> bool {
        matches!(self, Self::Reading(meter) if meter.is_unfinished())
    }

    /// What was reported until now; once.
    pub(crate) fn finish(&mut self, worker: &Worker) -> Option<Usage> {
        let Self::Reading(mut meter) = core::mem::replace(self, Self::None) else {
            return None;
        };
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
