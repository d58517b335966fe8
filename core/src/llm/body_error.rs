//! What can be wrong with a request body, and how it is said to the client.

#[cfg(feature = "alloc")]
use alloc::format;
#[cfg(feature = "alloc")]
use alloc::string::String;
use core::fmt;

use super::body::Governed;
use super::json::JsonErrorKind;
#[cfg(feature = "alloc")]
use crate::config::suggest::nearest;

/// Why a request body cannot be sent on. Offsets (`at`) count bytes from the start of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "every shell answers every one of them")]
pub enum BodyError {
    /// Nothing was sent.
    Empty,
    /// More bytes than the limit.
    TooLarge,
    /// The content type says that the body is no JSON in UTF-8.
    UnsupportedMediaType,
    /// The body is compressed or otherwise encoded.
    UnsupportedEncoding,
    /// The body is an array, a string, …
    NotAnObject {
        /// Where it begins.
        at: u64,
    },
    /// The body is no JSON.
    Json {
        /// What is wrong.
        kind: JsonErrorKind,
        /// Where it shows.
        at: u64,
    },
    /// More than [`crate::limits::JSON_DEPTH_MAX`] arrays and objects around each other.
    TooDeep {
        /// The one too many.
        at: u64,
    },
    /// A top-level key, or `include_usage` of `stream_options`, stands there twice.
    DuplicateKey {
        /// The second one.
        at: u64,
    },
    /// A key that some readers take for a governed one and others do not.
    KeyCase {
        /// The governed one.
        field: Governed,
        /// The key in other letters.
        at: u64,
    },
    /// A key that some readers take for a field which the configuration sets, and others do not.
    FieldCase {
        /// Its value.
        at: u64,
    },
    /// More than [`crate::limits::JSON_TOP_LEVEL_KEYS_MAX`] top-level keys.
    TooManyKeys {
        /// The one too many.
        at: u64,
    },
    /// Top-level keys of more than [`crate::limits::JSON_TOP_LEVEL_KEY_BYTES_MAX`] bytes together.
    KeysTooLong {
        /// The key that exceeds it.
        at: u64,
    },
    /// A governed member whose value has another type than the API's.
    WrongType {
        /// The member.
        field: Governed,
        /// Its value.
        at: u64,
    },
    /// `model` is the empty string.
    EmptyModel {
        /// Its value.
        at: u64,
    },
    /// `model` is longer than [`crate::limits::MODEL_BYTES_MAX`].
    ModelTooLong {
        /// Its value.
        at: u64,
    },
    /// A policy asks for the model, and another member may decide it.
    UnclearModel,
    /// A policy asks for the limit of tokens, and another member may decide it, or it is no whole number.
    UnclearMaxTokens,
    /// A policy asks for the tools, and two readers could disagree about them, or there are too many.
    UnclearTools,
}

impl BodyError {
    /// The HTTP status: 400, 413 or 415.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::TooLarge => 413,
            Self::UnsupportedMediaType | Self::UnsupportedEncoding => 415,
            _ => 400,
        }
    }

    /// One sentence for the client, without the offset (see [`BodyError::at`]; `Display` has both).
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::Empty => "the request body is empty; a JSON object is expected",
            Self::TooLarge => "the request body is too large",
            Self::UnsupportedMediaType => "the content type is not supported; send JSON in UTF-8",
            Self::UnsupportedEncoding => "the content encoding is not supported; send the body unencoded",
            Self::NotAnObject { .. } => "the request body must be a JSON object",
            Self::Json { kind, .. } => json_message(kind),
            Self::TooDeep { .. } => "the request body is nested too deeply",
            Self::DuplicateKey { .. } => "a key of the request body is given twice",
            Self::KeyCase { field, .. } => key_case_message(field),
            Self::FieldCase { .. } => "a key of the request body differs from a known one only by letter case",
            Self::TooManyKeys { .. } => "the request body has too many top-level keys",
            Self::KeysTooLong { .. } => "the top-level keys of the request body are too long",
            Self::WrongType { field, .. } => wrong_type_message(field),
            Self::EmptyModel { .. } => "'model' must not be empty",
            Self::ModelTooLong { .. } => "'model' is too long",
            Self::UnclearModel => {
                "'model' must be all that says which model answers: 'models', 'fallbacks' and stored prompts are not taken"
            }
            Self::UnclearMaxTokens => {
                "'max_tokens' must be a whole number and the only limit: others, as of 'n_predict', 'options' and \
                 'parameters', are not taken"
            }
            Self::UnclearTools => {
                "'tools' must be a list of objects that each have one name, and not be too long; tools without a name, as \
                 of 'mcp_servers', 'plugins', 'parameters' and 'enable_search', are not taken"
            }
        }
    }

    /// The error that `text` is, as `Display` writes it.
    ///
    /// # Errors
    /// That it is none, and which it nearly is.
    #[cfg(feature = "alloc")]
    pub fn in_words(text: &str) -> Result<Self, String> {
        let placed = text.strip_suffix(')').and_then(|text| text.rsplit_once(" (byte "));
        let placed = placed.and_then(|(message, at)| Some((message, at.parse().ok()?)));
        let (message, at) = placed.map_or((text, None), |(message, at)| (message, Some(at)));
        let all = || Self::all(at.unwrap_or_default());
        let found = all().find(|error| error.message() == message && error.at() == at);
        found.ok_or_else(|| {
            let nearest = nearest(message, all().map(Self::message));
            let meant = nearest.map_or("an example is", |_| "did you mean");
            let error = all().find(|error| Some(error.message()) == nearest);
            let example = error.unwrap_or(Self::NotAnObject { at: 0 });
            format!("no body is refused with `{text}`: {meant} `{example}`")
        })
    }

    /// Each error that there is, shown at `at`.
    #[cfg(feature = "alloc")]
    fn all(at: u64) -> impl Iterator<Item = Self> {
        let whole = [
            Self::Empty,
            Self::TooLarge,
            Self::UnsupportedMediaType,
            Self::UnsupportedEncoding,
            Self::UnclearModel,
            Self::UnclearMaxTokens,
            Self::UnclearTools,
            Self::NotAnObject { at },
            Self::TooDeep { at },
            Self::DuplicateKey { at },
            Self::FieldCase { at },
            Self::TooManyKeys { at },
            Self::KeysTooLong { at },
            Self::EmptyModel { at },
            Self::ModelTooLong { at },
        ];
        let fields = Governed::ALL.into_iter();
        whole
            .into_iter()
            .chain(JsonErrorKind::ALL.map(|kind| Self::Json { kind, at }))
            .chain(fields.flat_map(move |field| [Self::KeyCase { field, at }, Self::WrongType { field, at }]))
    }

    /// The `code` of the API's error object.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Empty => "empty_body",
            Self::TooLarge => "request_too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::UnsupportedEncoding => "unsupported_content_encoding",
            Self::NotAnObject { .. } | Self::Json { .. } | Self::TooDeep { .. } => "invalid_json",
            Self::DuplicateKey { .. } => "duplicate_key",
            Self::KeyCase { .. } | Self::FieldCase { .. } => "ambiguous_key",
            Self::TooManyKeys { .. } | Self::KeysTooLong { .. } => "too_many_keys",
            Self::WrongType { .. } => "invalid_type",
            Self::EmptyModel { .. }
            | Self::ModelTooLong { .. }
            | Self::UnclearModel
            | Self::UnclearMaxTokens
            | Self::UnclearTools => "invalid_value",
        }
    }

    /// The `param` of the API's error object: the member that is wrong, where it is a governed one.
    #[must_use]
    pub const fn param(self) -> Option<&'static str> {
        match self {
            Self::KeyCase { field, .. } | Self::WrongType { field, .. } => Some(match field {
                Governed::IncludeUsage => "stream_options.include_usage",
                field => field.key(),
            }),
            Self::EmptyModel { .. } | Self::ModelTooLong { .. } | Self::UnclearModel => Some(Governed::Model.key()),
            Self::UnclearMaxTokens => Some(Governed::MaxTokens.key()),
            Self::UnclearTools => Some("tools"),
            _ => None,
        }
    }

    /// The offset in the body where it shows, where there is one.
    #[must_use]
    pub const fn at(self) -> Option<u64> {
        match self {
            Self::Empty
            | Self::TooLarge
            | Self::UnsupportedMediaType
            | Self::UnsupportedEncoding
            | Self::UnclearModel
            | Self::UnclearMaxTokens
            | Self::UnclearTools => None,
            Self::NotAnObject { at }
            | Self::Json { at, .. }
            | Self::TooDeep { at }
            | Self::DuplicateKey { at }
            | Self::KeyCase { at, .. }
            | Self::FieldCase { at }
            | Self::TooManyKeys { at }
            | Self::KeysTooLong { at }
            | Self::WrongType { at, .. }
            | Self::EmptyModel { at }
            | Self::ModelTooLong { at } => Some(at),
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at() {
            Some(at) => write!(f, "{} (byte {at})", self.message()),
            None => f.write_str(self.message()),
        }
    }
}

impl core::error::Error for BodyError {}

const fn json_message(kind: JsonErrorKind) -> &'static str {
    match kind {
        JsonErrorKind::Empty => "the request body is empty; a JSON object is expected",
        JsonErrorKind::UnexpectedEnd => "the request body ends before its JSON does",
        JsonErrorKind::UnexpectedByte => "the request body is not valid JSON",
        JsonErrorKind::InvalidNumber => "the request body has a number that is not valid JSON",
        JsonErrorKind::ControlCharacter => "the request body has a raw control character in a string",
        JsonErrorKind::InvalidEscape => "the request body has an invalid escape in a string",
        JsonErrorKind::LoneSurrogate => "the request body has half a surrogate pair where text is read",
        JsonErrorKind::InvalidUtf8 => "the request body is not valid UTF-8",
        JsonErrorKind::ByteOrderMark => "the request body starts with a byte-order mark",
        JsonErrorKind::TrailingBytes => "the request body goes on after its JSON object",
        JsonErrorKind::TooDeep => "the request body is nested too deeply",
    }
}

const fn key_case_message(field: Governed) -> &'static str {
    match field {
        Governed::Model => "a key of the request body differs from 'model' only by letter case",
        Governed::Stream => "a key of the request body differs from 'stream' only by letter case",
        Governed::StreamOptions => "a key of the request body differs from 'stream_options' only by letter case",
        Governed::IncludeUsage => "a key of 'stream_options' differs from 'include_usage' only by letter case",
        Governed::MaxTokens => "a key of the request body differs from 'max_tokens' only by letter case",
        Governed::MaxCompletionTokens => {
            "a key of the request body differs from 'max_completion_tokens' only by letter case"
        }
        Governed::MaxOutputTokens => "a key of the request body differs from 'max_output_tokens' only by letter case",
    }
}

const fn wrong_type_message(field: Governed) -> &'static str {
    match field {
        Governed::Model => "'model' must be a string",
        Governed::Stream => "'stream' must be true or false",
        Governed::StreamOptions => "'stream_options' must be an object",
        Governed::IncludeUsage => "'stream_options.include_usage' must be true or false",
        Governed::MaxTokens => "'max_tokens' must be a whole number that is not negative",
        Governed::MaxCompletionTokens => "'max_completion_tokens' must be a whole number that is not negative",
        Governed::MaxOutputTokens => "'max_output_tokens' must be a whole number that is not negative",
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use std::collections::BTreeSet;
    use std::string::ToString;

    use super::*;

    #[test]
    fn each_error_is_known_by_its_words() {
        let mut words = BTreeSet::new();
        for error in BodyError::all(7) {
            let same = BodyError::in_words(&error.to_string()).unwrap();
            assert_eq!(same.to_string(), error.to_string());
            if same == error {
                words.insert(error.to_string());
            }
        }
        // `TooDeep` is said of the text too, in the same words.
        assert_eq!(words.len(), BodyError::all(7).count() - 1);
        let wrong = |text| BodyError::in_words(text).unwrap_err();
        for (text, help) in [
            (
                "the request body is too lage",
                "did you mean `the request body is too large`",
            ),
            (
                "the request body is not valid JSON",
                "did you mean `the request body is not valid JSON (byte 0)`",
            ),
            (
                "late",
                "an example is `the request body must be a JSON object (byte 0)`",
            ),
        ] {
            assert_eq!(wrong(text), format!("no body is refused with `{text}`: {help}"));
        }
    }
}
