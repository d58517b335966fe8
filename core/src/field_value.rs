//! The value of a header field as questions and capsules have it.
//!
//! Values are bytes, and JSON has none: one that is UTF-8 is written as its text, any other as `{"base64": "…"}`.

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The bytes of a value.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct FieldValue(Vec<u8>);

#[derive(Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a text, or an object with its bytes in `base64`")]
enum Written {
    Text(String),
    Bytes(Bytes),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bytes {
    base64: String,
}

impl FieldValue {
    /// The bytes that a text stands for in base64 with its padding.
    ///
    /// # Errors
    /// That it is none, in words.
    pub fn from_base64(text: &str) -> Result<Self, &'static str> {
        STANDARD.decode(text).map(Self).map_err(|_| "`base64` is not base64")
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<String> for FieldValue {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl From<&str> for FieldValue {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl From<&[u8]> for FieldValue {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.to_owned())
    }
}

impl TryFrom<Written> for FieldValue {
    type Error = &'static str;

    fn try_from(written: Written) -> Result<Self, &'static str> {
        match written {
            Written::Text(text) => Ok(text.into()),
            Written::Bytes(Bytes { base64 }) => Self::from_base64(&base64),
        }
    }
}

impl From<FieldValue> for Written {
    fn from(value: FieldValue) -> Self {
        String::from_utf8(value.0).map_or_else(
            |error| {
                Self::Bytes(Bytes {
                    base64: STANDARD.encode(error.as_bytes()),
                })
            },
            Self::Text,
        )
    }
}

/// As it is, since questions are for showing.
impl fmt::Debug for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::*;

    #[test]
    fn a_text_is_written_as_it_is_and_other_bytes_in_base64() {
        for (bytes, json) in [
            (&b""[..], r#""""#),
            ("café".as_bytes(), r#""café""#),
            (b"caf\xe9", r#"{"base64":"Y2Fm6Q=="}"#),
            (b"\xff", r#"{"base64":"/w=="}"#),
        ] {
            let value = FieldValue::from(bytes);
            assert_eq!(serde_json::to_string(&value).unwrap(), json);
            assert_eq!(serde_json::from_str::<FieldValue>(json).unwrap(), value, "{json}");
        }
        assert_eq!(
            serde_json::from_str::<FieldValue>(r#"{"base64":"YQ=="}"#).unwrap(),
            "a".into()
        );
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for (json, why) in [
            (r#"{"base64":"Y2Fm6Q"}"#, "`base64` is not base64"),
            (r#"{"base64":"Y2Fm_w=="}"#, "`base64` is not base64"),
            (
                r#"{"base64":"","text":""}"#,
                "expected a text, or an object with its bytes in `base64`",
            ),
            ("7", "expected a text, or an object with its bytes in `base64`"),
        ] {
            let error = serde_json::from_str::<FieldValue>(json).unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    }
}
