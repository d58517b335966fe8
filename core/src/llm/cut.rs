//! The last event of an event stream whose provider did not send it to its end.
//!
//! A cut connection is seen by whoever reads the connection, which is often not
//! the program that asked: libraries and proxies in between make a short answer
//! of it. So the stream's own reader is told, by an error in the shape in which
//! its API reports one, before the connection is cut. It is as OpenAI,
//! OpenRouter, LiteLLM, vLLM and Anthropic do it, and their SDKs raise it.
//!
//! It can only follow a whole event ([`UsageMeter::is_between_events`]). An event
//! that has begun cannot be taken back: whatever ends it hands its beginning to
//! the reader as if it were all of it, and SDKs fail on that half of JSON before
//! they come to the error. The standard has readers drop an event that the
//! stream's end cuts off, so there the cut alone tells. And never is there a
//! `[DONE]` that the provider did not send.
//!
//! [`UsageMeter::is_between_events`]: super::usage::UsageMeter::is_between_events

use crate::answer::{ANSWER_BYTES_MAX, ErrorDetail, ErrorShape};

/// Why a stream ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell says which it was")]
pub enum StreamCut {
    /// The provider closed, or sent what cannot be read.
    Broken,
    /// The provider was silent for too long.
    Idle,
    /// It took longer than the route grants it.
    Late,
}

/// Room for any such event.
pub const CUT_EVENT_BYTES_MAX: usize = ANSWER_BYTES_MAX + 64;

/// The event, as it is sent.
pub type CutEvent = heapless::Vec<u8, CUT_EVENT_BYTES_MAX>;

impl StreamCut {
    /// The event that tells who asked on `path`, in its API's shape.
    #[must_use]
    pub fn event(self, path: &str) -> CutEvent {
        let shape = ErrorShape::of_path(path);
        let error = self.detail().answer(shape).body;
        match shape {
            ErrorShape::Anthropic => joined(&[b"event: error\ndata: ", &error]),
            // Its events have names and types; this one has OpenAI's error object in it.
            _ if is_responses(path) => {
                let rest = error.get(1..).unwrap_or_default();
                joined(&[b"event: error\ndata: {\"type\":\"error\",", rest])
            }
            ErrorShape::OpenAi | ErrorShape::Text => joined(&[b"data: ", &error]),
        }
    }

    fn detail(self) -> ErrorDetail {
        let (status, code, message) = match self {
            Self::Broken => (
                502,
                "upstream_reset",
                "the model provider broke the answer off: it is not whole",
            ),
            Self::Idle => (
                504,
                "stream_idle_timeout",
                "the model provider fell silent in the middle of the answer: it is not whole",
            ),
            Self::Late => (
                504,
                "upstream_response_timeout",
                "the model provider took too long over the answer: it is not whole",
            ),
        };
        ErrorDetail {
            status,
            message,
            code,
            param: None,
        }
    }
}

/// Whether `path` is that of OpenAI's Responses API.
fn is_responses(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or("");
    path.ends_with("/v1/responses")
}

/// An event of these parts. An answer and what is around it fit, which a test shows of each.
fn joined(parts: &[&[u8]]) -> CutEvent {
    let parts = parts.iter().copied().chain([&b"\n\n"[..]]);
    parts.flatten().copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::sse::SseFraming;

    const ALL: [StreamCut; 3] = [StreamCut::Broken, StreamCut::Idle, StreamCut::Late];

    fn data(event: &str) -> serde_json::Value {
        serde_json::from_str(event.strip_prefix("data: ").unwrap().strip_suffix("\n\n").unwrap()).unwrap()
    }

    #[test]
    fn each_api_is_told_in_its_own_shape() {
        for cut in ALL {
            for path in ["/", "/v1/chat/completions", "/v1/completions?x=/v1/messages"] {
                let event = cut.event(path);
                let error = &data(core::str::from_utf8(&event).unwrap())["error"];
                assert_eq!(error["type"], "server_error");
                assert_eq!(error["code"], cut.detail().code);
                assert!(error["message"].is_string() && error["param"].is_null());
            }
            let event = cut.event("/v1/messages");
            let event = core::str::from_utf8(&event)
                .unwrap()
                .strip_prefix("event: error\n")
                .unwrap();
            assert_eq!(data(event)["type"], "error");
            let kind = if cut == StreamCut::Broken {
                "api_error"
            } else {
                "timeout_error"
            };
            assert_eq!(data(event)["error"]["type"], kind);
            let event = cut.event("/openai/v1/responses?a=b");
            let event = core::str::from_utf8(&event)
                .unwrap()
                .strip_prefix("event: error\n")
                .unwrap();
            assert_eq!(data(event)["type"], "error");
            assert_eq!(data(event)["error"]["code"], cut.detail().code);
        }
    }

    #[test]
    fn it_is_one_whole_event() {
        for cut in ALL {
            for path in ["/", "/v1/messages", "/v1/responses"] {
                let mut framing = SseFraming::new();
                let mut pieces = 0;
                framing.feed(&cut.event(path), |_| pieces += 1);
                assert_eq!((pieces, framing.is_between_events()), (1, true), "{path}");
            }
        }
    }
}
