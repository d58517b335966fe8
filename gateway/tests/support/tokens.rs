//! An issuer of tokens: keys of every algorithm, made for the test, and tokens signed with them.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// A key and the algorithms it signs with.
pub enum SigningKey {
    /// RS and PS.
    Rsa(RsaKeyPair),
    /// ES: the key, its curve and its algorithm.
    Ec(EcdsaKeyPair, &'static str, &'static str),
    /// EdDSA.
    Ed25519(Ed25519KeyPair),
    /// HS.
    Secret(Vec<u8>),
}

/// Base64url without padding.
pub fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("a clock after 1970")
        .as_secs()
}

impl SigningKey {
    /// A new RSA key of 2048 bits.
    pub fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("an RSA key"))
    }

    /// A new key for `ES256`, `ES384` or `ES512`.
    pub fn ec(algorithm: &'static str) -> Self {
        let (signing, curve): (&'static EcdsaSigningAlgorithm, _) = match algorithm {
            "ES256" => (&signature::ECDSA_P256_SHA256_FIXED_SIGNING, "P-256"),
            "ES384" => (&signature::ECDSA_P384_SHA384_FIXED_SIGNING, "P-384"),
            _ => (&signature::ECDSA_P521_SHA512_FIXED_SIGNING, "P-521"),
        };
        Self::Ec(EcdsaKeyPair::generate(signing).expect("an EC key"), curve, algorithm)
    }

    /// A new Ed25519 key.
    pub fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().expect("an Ed25519 key"))
    }

    /// The public key as a JWK (of a secret, the secret).
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Self::Rsa(key) => {
                // RSAPublicKey (RFC 8017): 2048 bits of n after nine bytes of DER, then e, which is 65537.
                let der = key.public_key().as_ref();
                let (n, e) = der[9..].split_at(256);
                assert_eq!(e, [2, 3, 1, 0, 1]);
                json!({ "kty": "RSA", "kid": kid, "n": encode(n), "e": "AQAB" })
            }
            Self::Ec(key, curve, _) => {
                let point = key.public_key().as_ref();
                let (x, y) = point[1..].split_at(point.len() / 2);
                json!({ "kty": "EC", "kid": kid, "crv": curve, "x": encode(x), "y": encode(y) })
            }
            Self::Ed25519(key) => {
                json!({ "kty": "OKP", "kid": kid, "crv": "Ed25519", "x": encode(key.public_key().as_ref()) })
            }
            Self::Secret(secret) => json!({ "kty": "oct", "kid": kid, "k": encode(secret) }),
        }
    }

    /// Every `alg` it can sign with.
    pub fn algorithms(&self) -> &[&'static str] {
        match self {
            Self::Rsa(_) => &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"],
            Self::Ec(_, _, algorithm) => core::slice::from_ref(algorithm),
            Self::Ed25519(_) => &["EdDSA"],
            Self::Secret(_) => &["HS256", "HS384", "HS512"],
        }
    }

    /// A token with this header and payload.
    pub fn sign(&self, header: &Value, payload: &Value) -> String {
        let signed = format!("{}.{}", encode(header.to_string()), encode(payload.to_string()));
        let signature = self.signature(header["alg"].as_str().unwrap_or(""), signed.as_bytes());
        format!("{signed}.{}", encode(signature))
    }

    fn signature(&self, algorithm: &str, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Rsa(key) => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut out = vec![0; key.public_modulus_len()];
                key.sign(encoding, &random, message, &mut out)
                    .expect("an RSA signature");
                out
            }
            Self::Ec(key, ..) => key.sign(&random, message).expect("an EC signature").as_ref().to_vec(),
            Self::Ed25519(key) => key.sign(message).as_ref().to_vec(),
            Self::Secret(secret) => {
                let hash = match algorithm {
                    "HS384" => hmac::HMAC_SHA384,
                    "HS512" => hmac::HMAC_SHA512,
                    _ => hmac::HMAC_SHA256,
                };
                hmac::sign(&hmac::Key::new(hash, secret), message).as_ref().to_vec()
            }
        }
    }
}

/// A key set.
pub fn key_set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// A token of `https://issuer.test` for `ann` that expires in an hour.
pub fn good(key: &SigningKey, algorithm: &str, kid: &str) -> String {
    key.sign(&json!({ "alg": algorithm, "kid": kid }), &claims())
}

/// The claims of [`good`].
pub fn claims() -> Value {
    json!({ "iss": ISSUER, "sub": "ann", "exp": now() + 3600, "groups": ["dev"] })
}

/// The issuer of all tests.
pub const ISSUER: &str = "https://issuer.test";
