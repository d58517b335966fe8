//! Tokens of two issuers, good ones and bad ones, signed with keys made for the run.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::bytes::Bytes;
use crate::people::PEOPLE;

/// Who issues tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issuer {
    /// `https://i.test`, with a key named `1`.
    First,
    /// `j`, with a key named `2`.
    Second,
}

impl Issuer {
    /// `iss`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "https://i.test",
            Self::Second => "j",
        }
    }

    fn kid(self) -> &'static str {
        match self {
            Self::First => "1",
            Self::Second => "2",
        }
    }
}

/// The keys of the issuers.
#[derive(Debug)]
pub struct Keys {
    first: EcdsaKeyPair,
    second: EcdsaKeyPair,
}

impl Default for Keys {
    fn default() -> Self {
        let key = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        Self {
            first: key(),
            second: key(),
        }
    }
}

impl Keys {
    fn of(&self, issuer: Issuer) -> &EcdsaKeyPair {
        match issuer {
            Issuer::First => &self.first,
            Issuer::Second => &self.second,
        }
    }

    /// The key set that an issuer publishes.
    #[must_use]
    pub fn published(&self, issuer: Issuer) -> String {
        let point = self.of(issuer).public_key().as_ref();
        let (x, y) = point[1..].split_at(32);
        let key = json!({
            "kty": "EC", "crv": "P-256", "kid": issuer.kid(), "x": encode(x), "y": encode(y),
        });
        json!({ "keys": [key] }).to_string()
    }

    fn sign(&self, issuer: Issuer, kid: &str, payload: &str) -> String {
        let header = json!({ "alg": "ES256", "kid": kid }).to_string();
        let signed = format!("{}.{}", encode(header), encode(payload));
        let signature = self.of(issuer).sign(&SystemRandom::new(), signed.as_bytes());
        format!("{signed}.{}", encode(signature.expect("a signature")))
    }

    /// A token, good more often than not.
    pub fn token(&self, bytes: &mut Bytes<'_>) -> Token {
        let person = &PEOPLE[bytes.below(PEOPLE.len())];
        let issuer = match person.issuer {
            Some("j") => Issuer::Second,
            _ => Issuer::First,
        };
        let good = |payload: &str| self.sign(issuer, issuer.kid(), payload);
        let choice = bytes.below(32);
        let text = match choice {
            0 => good(&with(person.payload, "exp", json!(1))),
            1 => good(&with(person.payload, "nbf", json!(32_503_680_000_u64))),
            2 => good(&with(person.payload, "iss", json!("https://other.test"))),
            3 => good(&with(person.payload, "sub", json!(7))),
            4 => good(&with(person.payload, "aud", json!("https://red/"))),
            5 => self.sign(issuer, "3", person.payload),
            6 => self.sign(Issuer::First, "2", person.payload),
            7 => "nothing".to_owned(),
            8 => format!("{}.{}.", encode(r#"{"alg":"none"}"#), encode(person.payload)),
            9 => format!("{}.{}.AA", encode(r#"{"alg":"none"}"#), encode(person.payload)),
            10 => good("[]"),
            11 => "a.b.c".to_owned(),
            ODD_FIRST => good(person.payload) + "A",
            ODD_LAST => "not.a.token".to_owned(),
            _ => good(person.payload),
        };
        Token {
            text,
            is_odd: (ODD_FIRST..=ODD_LAST).contains(&choice),
        }
    }
}

/// A token as it is sent.
#[derive(Debug, Clone)]
pub struct Token {
    /// The text.
    pub text: String,
    /// Whether it is encoded as no issuer would.
    pub is_odd: bool,
}

const ODD_FIRST: usize = 12;
const ODD_LAST: usize = 13;

fn with(payload: &str, claim: &str, value: Value) -> String {
    let mut payload: Value = serde_json::from_str(payload).expect("a payload");
    payload[claim] = value;
    payload.to_string()
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
