//! Who sends a request and what it says of itself, twice: as it is sent, and taken apart by hand.

/// A token's payload and what policy may see of it.
#[derive(Debug)]
pub struct Person {
    /// The payload.
    pub payload: &'static str,
    /// `iss`, if it is a string.
    pub issuer: Option<&'static str>,
    /// `sub`, if it is a string.
    pub subject: Option<&'static str>,
    /// The claims that can match, by their names, outermost first.
    pub strings: &'static [(&'static [&'static str], &'static [&'static str])],
}

/// Everyone who has a token.
pub const PEOPLE: [Person; 4] = [
    Person {
        payload: r#"{"iss":"https://i.test","sub":"ann","aud":["red","x"],"azp":"blue","groups":["red","blue"],"scope":"red reach","nested":{"team":"red"},"number":5}"#,
        issuer: Some("https://i.test"),
        subject: Some("ann"),
        strings: &[
            (&["aud"], &["red", "x"]),
            (&["azp"], &["blue"]),
            (&["groups"], &["red", "blue"]),
            (&["scope"], &["red", "reach"]),
            (&["nested", "team"], &["red"]),
        ],
    },
    Person {
        payload: r#"{"iss":"j","sub":"bob","aud":"blue","groups":"red,blue","nested":[{"team":"red"}],"number":["5",6,"red"]}"#,
        issuer: Some("j"),
        subject: Some("bob"),
        strings: &[
            (&["aud"], &["blue"]),
            (&["groups"], &["red,blue"]),
            (&["number"], &["5", "red"]),
        ],
    },
    Person {
        payload: r#"{"iss":"https://i.test","groups":"","scope":"Red","nested":{"team":["blue"]},"azp":7}"#,
        issuer: Some("https://i.test"),
        subject: None,
        strings: &[
            (&["groups"], &[""]),
            (&["scope"], &["Red"]),
            (&["nested", "team"], &["blue"]),
        ],
    },
    Person {
        payload: r#"{"iss":"j","sub":"a/nn","groups":[]}"#,
        issuer: Some("j"),
        subject: Some("a/nn"),
        strings: &[],
    },
];

/// A body and what policy may see of it.
#[derive(Debug)]
pub struct SentBody {
    /// The bytes.
    pub text: &'static [u8],
    /// `None` when it cannot be sent on.
    pub facts: Option<BodyFacts>,
}

/// What a body says.
#[derive(Debug, Clone, Copy)]
pub struct BodyFacts {
    /// `model`
    pub model: Option<&'static str>,
    /// `stream`
    pub stream: Option<bool>,
    /// The larger of `max_tokens` and its newer name.
    pub max_tokens: Option<u64>,
    /// The names of the tools; `None` when they are unclear.
    pub tools: Option<&'static [&'static str]>,
}

const NOTHING: BodyFacts = BodyFacts {
    model: None,
    stream: None,
    max_tokens: None,
    tools: Some(&[]),
};

/// Bodies, those that cannot be sent on last.
pub const BODIES: [SentBody; 10] = [
    SentBody {
        text: b"{}",
        facts: Some(NOTHING),
    },
    SentBody {
        text: br#"{"model":"mine","messages":[]}"#,
        facts: Some(BodyFacts {
            model: Some("mine"),
            ..NOTHING
        }),
    },
    SentBody {
        text: br#"{"model":"other","stream":true,"max_tokens":10,"tools":[{"type":"search"},{"function":{"name":"mine"}}]}"#,
        facts: Some(BodyFacts {
            model: Some("other"),
            stream: Some(true),
            max_tokens: Some(10),
            tools: Some(&["search", "mine"]),
        }),
    },
    SentBody {
        text: br#"{"model":null,"stream":false,"max_tokens":5,"max_completion_tokens":1000}"#,
        facts: Some(BodyFacts {
            model: None,
            stream: Some(false),
            max_tokens: Some(1000),
            ..NOTHING
        }),
    },
    SentBody {
        text: br#"{"tools":[{"type":"function","name":"mine"}]}"#,
        facts: Some(BodyFacts {
            tools: Some(&["mine"]),
            ..NOTHING
        }),
    },
    SentBody {
        text: br#"{"model":"mine","tools":[{"name":"mine","name":"search"}]}"#,
        facts: Some(BodyFacts {
            model: Some("mine"),
            tools: None,
            ..NOTHING
        }),
    },
    SentBody { text: b"", facts: None },
    SentBody {
        text: b"[]",
        facts: None,
    },
    SentBody {
        text: b"{",
        facts: None,
    },
    SentBody {
        text: br#"{"model":"mine","Model":"other"}"#,
        facts: None,
    },
];
