//! A JSON Web Key Set (RFC 7517), ready to verify.
//!
//! What a key can verify is the key's to say, by its type, its curve and its
//! `alg`; a token only chooses among that. So a public RSA key never verifies an
//! HMAC, and `none` is not an algorithm.

use core::fmt;

use aws_lc_rs::digest::Digest;
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{self, ParsedPublicKey, RsaParameters, VerificationAlgorithm};
use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use lockgate_core::limits::KEYS_MAX;
use lockgate_core::token::{Algorithm, Signed, TokenError};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

/// Keys of one issuer.
pub(crate) struct KeySet {
    keys: Vec<Key>,
}

/// One key.
struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    /// What it can verify.
    verifiers: Vec<(Algorithm, Verifier)>,
}

enum Verifier {
    Public(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// Why there is no key set.
#[derive(Debug)]
pub(crate) enum KeySetError {
    /// Not the JSON of a key set.
    Json(serde_json::Error),
    /// More keys than any issuer has.
    TooMany,
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The error quotes what it found, and that may be a key.
            Self::Json(error) => write!(f, "no key set: line {}, column {}", error.line(), error.column()),
            Self::TooMany => write!(f, "more than {KEYS_MAX} keys"),
        }
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<Entry>,
}

/// RFC 7517 §5: what is not understood leaves the other keys as they are.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Key(Box<Jwk>),
    Other(IgnoredAny),
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    #[serde(default, deserialize_with = "text")]
    crv: Option<String>,
    #[serde(default, deserialize_with = "text")]
    n: Option<String>,
    #[serde(default, deserialize_with = "text")]
    e: Option<String>,
    #[serde(default, deserialize_with = "text")]
    x: Option<String>,
    #[serde(default, deserialize_with = "text")]
    y: Option<String>,
    #[serde(default, deserialize_with = "text")]
    k: Option<String>,
}

/// A member that only keys of some types have: what else it is in others is nobody's business.
fn text<'de, D: Deserializer<'de>>(member: D) -> Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Member {
        Text(String),
        Other(IgnoredAny),
    }
    Ok(match Member::deserialize(member)? {
        Member::Text(text) => Some(text),
        Member::Other(IgnoredAny) => None,
    })
}

impl KeySet {
    /// Reads a key set. Keys that cannot verify anything (for encryption, of an unknown type, broken) are left out.
    pub(crate) fn parse(json: &[u8]) -> Result<Self, KeySetError> {
        let set: Jwks = serde_json::from_slice(json).map_err(KeySetError::Json)?;
        if set.keys.len() > KEYS_MAX {
            return Err(KeySetError::TooMany);
        }
        Ok(Self {
            keys: set.keys.iter().filter_map(Entry::key).collect(),
        })
    }

    /// Keys that can verify something.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Verifies a token's signature, of what has the SHA-256 `digest`.
    ///
    /// As Envoy has it, a `kid` is compared where both have one, and an `alg` where the key has one.
    pub(crate) fn verify(&self, token: &Signed, digest: &Digest) -> Result<(), TokenError> {
        let named = |name: &&str| !name.is_empty();
        let id = token.key_id().filter(named);
        let fits = |key: &&Key| {
            let same_id = match (id, key.id.as_deref().filter(named)) {
                (Some(id), Some(own)) => id == own,
                _ => true,
            };
            same_id && key.algorithm.is_none_or(|own| own == token.algorithm())
        };
        let mut error = TokenError::NoKey;
        for key in self.keys.iter().filter(fits) {
            if key.verifies(token, digest) {
                return Ok(());
            }
            error = TokenError::BadSignature;
        }
        Err(error)
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish()
    }
}

impl Entry {
    fn key(&self) -> Option<Key> {
        match self {
            Self::Key(jwk) => Key::new(jwk),
            Self::Other(IgnoredAny) => None,
        }
    }
}

impl Key {
    fn new(jwk: &Jwk) -> Option<Self> {
        let is_used_otherwise = jwk.r#use.as_deref().is_some_and(|used| used != "sig");
        let is_kept_from = |operations: &Vec<String>| !operations.iter().any(|operation| operation == "verify");
        if is_used_otherwise || jwk.key_ops.as_ref().is_some_and(is_kept_from) {
            return None;
        }
        let algorithm = match jwk.alg.as_deref() {
            None | Some("") => None,
            Some(name) => Some(Algorithm::named(name)?),
        };
        let mut verifiers = match jwk.kty.as_str() {
            "RSA" => rsa_verifiers(jwk)?,
            "EC" => ec_verifier(jwk)?,
            "OKP" if jwk.crv.as_deref() == Some("Ed25519") => {
                let key = ParsedPublicKey::new(&signature::ED25519, bytes(jwk.x.as_ref())?).ok()?;
                vec![(Algorithm::EdDsa, Verifier::Public(key))]
            }
            "oct" => hmac_verifiers(&bytes(jwk.k.as_ref())?),
            _ => return None,
        };
        verifiers.retain(|(can, _)| algorithm.is_none_or(|own| own == *can));
        (!verifiers.is_empty()).then(|| Self {
            id: jwk.kid.clone(),
            algorithm,
            verifiers,
        })
    }

    fn verifies(&self, token: &Signed, digest: &Digest) -> bool {
        let mut verifiers = self.verifiers.iter();
        let verifier = verifiers.find(|(algorithm, _)| *algorithm == token.algorithm());
        let verified = match verifier {
            Some((Algorithm::Rs256 | Algorithm::Ps256 | Algorithm::Es256, Verifier::Public(key))) => {
                key.verify_digest_sig(digest, token.signature())
            }
            Some((_, Verifier::Public(key))) => key.verify_sig(token.message(), token.signature()),
            Some((_, Verifier::Secret(key))) => hmac::verify(key, token.message(), token.signature()),
            None => return false,
        };
        verified.is_ok()
    }
}

/// Keys of 2048 to 8192 bits.
fn rsa_verifiers(jwk: &Jwk) -> Option<Vec<(Algorithm, Verifier)>> {
    let algorithms: [(Algorithm, &'static RsaParameters); 6] = [
        (Algorithm::Rs256, &signature::RSA_PKCS1_2048_8192_SHA256),
        (Algorithm::Rs384, &signature::RSA_PKCS1_2048_8192_SHA384),
        (Algorithm::Rs512, &signature::RSA_PKCS1_2048_8192_SHA512),
        (Algorithm::Ps256, &signature::RSA_PSS_2048_8192_SHA256),
        (Algorithm::Ps384, &signature::RSA_PSS_2048_8192_SHA384),
        (Algorithm::Ps512, &signature::RSA_PSS_2048_8192_SHA512),
    ];
    let (n, e) = (number(jwk.n.as_ref())?, number(jwk.e.as_ref())?);
    let components: PublicKeyComponents<Vec<u8>> = PublicKeyComponents { n, e };
    let verifiers = algorithms.into_iter().filter_map(|(algorithm, parameters)| {
        let key = components.to_parsed_public_key(parameters).ok()?;
        Some((algorithm, Verifier::Public(key)))
    });
    Some(verifiers.collect())
}

fn ec_verifier(jwk: &Jwk) -> Option<Vec<(Algorithm, Verifier)>> {
    let (algorithm, verification, size): (_, &'static dyn VerificationAlgorithm, usize) = match jwk.crv.as_deref()? {
        "P-256" => (Algorithm::Es256, &signature::ECDSA_P256_SHA256_FIXED, 32),
        "P-384" => (Algorithm::Es384, &signature::ECDSA_P384_SHA384_FIXED, 48),
        "P-521" => (Algorithm::Es512, &signature::ECDSA_P521_SHA512_FIXED, 66),
        _ => return None,
    };
    let mut point = vec![4];
    for coordinate in [&jwk.x, &jwk.y] {
        let coordinate = number(coordinate.as_ref())?;
        point.extend(core::iter::repeat_n(0, size.checked_sub(coordinate.len())?));
        point.extend(coordinate);
    }
    let key = ParsedPublicKey::new(verification, point).ok()?;
    Some(vec![(algorithm, Verifier::Public(key))])
}

fn hmac_verifiers(secret: &[u8]) -> Vec<(Algorithm, Verifier)> {
    // RFC 7518 §3.2 asks for a key as long as the hash; an empty one would be no secret at all.
    if secret.is_empty() {
        return Vec::new();
    }
    [
        (Algorithm::Hs256, hmac::HMAC_SHA256),
        (Algorithm::Hs384, hmac::HMAC_SHA384),
        (Algorithm::Hs512, hmac::HMAC_SHA512),
    ]
    .into_iter()
    .map(|(algorithm, hash)| (algorithm, Verifier::Secret(Box::new(hmac::Key::new(hash, secret)))))
    .collect()
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    let text = text?;
    URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok()
}

/// A number without the zeros that some issuers write before it.
fn number(text: Option<&String>) -> Option<Vec<u8>> {
    let bytes = bytes(text)?;
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    bytes.get(zeros..).map(<[u8]>::to_vec)
}
