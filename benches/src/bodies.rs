//! Request bodies as real clients send them: long strings, an escape a line, non-ASCII text, the model first or last.

use core::fmt::Write;

/// Where a client puts the `model`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelAt {
    /// As the official SDKs do.
    First,
    /// After the messages, where it can only be found by reading everything.
    Last,
}

/// A chat completion request of about `bytes` bytes.
#[must_use]
pub fn chat(bytes: usize, model: ModelAt) -> String {
    let mut body = String::with_capacity(bytes + 512);
    body.push('{');
    if model == ModelAt::First {
        body.push_str(r#""model":"qwen-plus","#);
    }
    body.push_str(r#""messages":[{"role":"system","content":"You are a helpful assistant."}"#);
    let mut lines = LINES.iter().cycle();
    let mut roles = ["user", "assistant"].iter().cycle();
    while body.len() + 200 < bytes {
        let role = roles.next().copied().unwrap_or_default();
        let _ = write!(body, r#",{{"role":"{role}","content":""#);
        let end = (body.len() + 1200).min(bytes.saturating_sub(120));
        while body.len() < end {
            body.push_str(lines.next().copied().unwrap_or_default());
        }
        body.push_str("\"}");
    }
    body.push_str(r#"],"temperature":0.7,"stream":true,"stream_options":{"include_usage":true}"#);
    if model == ModelAt::Last {
        body.push_str(r#","model":"qwen-plus""#);
    }
    body.push('}');
    body
}

/// Lines of prompts: prose, code with quotes and tabs, other scripts raw and escaped.
const LINES: [&str; 6] = [
    r"Summarise the following report in three sentences and name the sources you relied on.\n",
    r#"fn main() {\n\tlet name = \"world\";\n\tprintln!(\"hello {name}\");\n}\n"#,
    "请把下面的段落翻译成英文,并保持语气正式。\\n",
    r"The quarterly figures were up 3.2% on the year, mostly because of one large order in March.\n",
    r"Caf\u00e9, na\u00efve, \ud83d\ude00: escaped the way json.dumps does it.\n",
    r"- item one\n- item two, with a path C:\\Users\\me\\notes.txt and a URL https://example.com/a/b?c=d\n",
];

/// One streamed chunk of an answer that carries no usage, as most providers send it.
#[must_use]
pub fn stream_chunk() -> &'static str {
    concat!(
        r#"data: {"id":"chatcmpl-9f2c","object":"chat.completion.chunk","created":1764000000,"model":"qwen-plus","#,
        r#""choices":[{"index":0,"delta":{"content":" figures"},"finish_reason":null}]}"#,
        "\n\n"
    )
}

/// The same where the client asked for usage: OpenAI then sends a `null` in every chunk but the last.
#[must_use]
pub fn stream_chunk_usage_null() -> &'static str {
    concat!(
        r#"data: {"id":"chatcmpl-9f2c","object":"chat.completion.chunk","created":1764000000,"model":"qwen-plus","#,
        r#""choices":[{"index":0,"delta":{"content":" figures"},"finish_reason":null}],"usage":null}"#,
        "\n\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_about_the_size_asked_for() {
        for bytes in [2_000, 100_000, 1_000_000] {
            for model in [ModelAt::First, ModelAt::Last] {
                let body = chat(bytes, model);
                let json: serde_json::Value = serde_json::from_str(&body).unwrap();
                assert_eq!(json["model"], "qwen-plus");
                assert!(body.len().abs_diff(bytes) < bytes / 5, "{} for {bytes}", body.len());
            }
        }
    }
}
