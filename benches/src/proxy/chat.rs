//! The exchange that everyone carries: what the client sends, what the upstream must see and what comes back.

use std::time::Duration;

/// What clients ask for.
pub(super) const CLIENT_HOST: &str = "test.com";
/// The path that clients ask for.
pub(super) const CLIENT_PATH: &str = "/v1/chat/completions";
/// The path of a proxy's that streams, where a proxy must be told to.
pub(super) const CLIENT_STREAM_PATH: &str = "/v1/stream";

/// What the upstream must be asked for.
pub(super) const PROVIDER_HOST: &str = "dashscope.aliyuncs.com";
/// The path that the upstream must be asked for.
pub(super) const PROVIDER_PATH: &str = "/compatible-mode/v1/chat/completions";
/// The provider's key.
pub(super) const KEY: &str = "bench-key";
/// What the upstream must find in the body when the proxy puts the model there.
pub(super) const MODEL: &str = "\"qwen1.5-72b-chat\"";

/// Bytes of a client's body.
pub(super) const REQUEST_BYTES: usize = 500;
/// Bytes of an answer's body.
pub(super) const ANSWER_BYTES: usize = 600;

/// Chunks of a stream.
pub(super) const STREAM_CHUNKS: usize = 20;
/// Stands before the time at which a chunk was sent, in nanoseconds of the monotonic clock.
pub(super) const SENT: &str = "\"sent\":";

/// How fast a stream comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// As a fast model makes it.
    Quick,
    /// So slow that many are open at once and there is little to do.
    Slow,
}

impl Pace {
    /// The members of a body that ask for it.
    pub(super) fn wish(self) -> &'static str {
        match self {
            Self::Quick => "\"stream\":true,",
            Self::Slow => "\"stream\":true,\"slow\":true,",
        }
    }

    /// Time between chunks.
    pub(super) fn every(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(20),
            Self::Slow => Duration::from_secs(1),
        }
    }
}

/// A whole request of a client: `bytes` of body, to `host` and `path`.
pub(super) fn request(host: &str, path: &str, bytes: usize, stream: Option<Pace>) -> Vec<u8> {
    let wish = stream.map_or("", Pace::wish);
    let body = filled(
        &format!("{{{wish}\"messages\":[{{\"role\":\"user\",\"content\":\""),
        "Tell me about yourself. ",
        "\"}]}",
        bytes,
    );
    // As official SDKs send it.
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         User-Agent: OpenAI/Python 1.99.1\r\nX-Stainless-Lang: python\r\nX-Stainless-Async: false\r\n\
         Authorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        if host == PROVIDER_HOST { KEY } else { "client-key" },
        body.len(),
    );
    [head.as_bytes(), body.as_bytes()].concat()
}

/// The upstream's answer; it says whether the request named the model.
pub(super) fn answer(named_model: bool) -> String {
    let model = if named_model { "was-named" } else { "not-named" };
    filled(
        &format!(
            "{{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1720682745,\"model\":\"{model}\",\
             \"choices\":[{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":\""
        ),
        "I am a large language model. ",
        "\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":72,\"total_tokens\":75}}",
        ANSWER_BYTES,
    )
}

/// `start`, then `filling` again and again, then `end`: `bytes` in all, or as few as it can be.
fn filled(start: &str, filling: &str, end: &str, bytes: usize) -> String {
    let room = bytes.saturating_sub(start.len() + end.len());
    let filling: String = filling.chars().cycle().take(room).collect();
    format!("{start}{filling}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exchange_has_the_sizes_it_claims() {
        assert_eq!(answer(true).len(), ANSWER_BYTES);
        assert_eq!(answer(false).len(), ANSWER_BYTES);
        for stream in [None, Some(Pace::Quick), Some(Pace::Slow)] {
            let request = request(CLIENT_HOST, CLIENT_PATH, REQUEST_BYTES, stream);
            let text = String::from_utf8(request).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert_eq!(body.len(), REQUEST_BYTES);
            assert!(head.ends_with("Content-Length: 500"));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body.get("stream").is_some(), stream.is_some());
            assert_eq!(body.get("slow").is_some(), stream == Some(Pace::Slow));
        }
        let answer: serde_json::Value = serde_json::from_str(&answer(true)).unwrap();
        assert_eq!(answer["usage"]["total_tokens"], 75);
    }
}
