//! Tokens (JSON Web Tokens, RFC 7519) as Istio's RequestAuthentication has them:
//! where they are, what is checked of them, and why one must not pass.
//!
//! Everything here is pure: the clock is an argument, and the one check that
//! needs a key, the signature, is the shell's. The words of [`TokenError`] are
//! Envoy's, byte for byte, where Envoy has words for it.

#[cfg(feature = "alloc")]
mod base64url;
pub(crate) mod identify;
pub(crate) mod overlay;
pub(crate) mod places;
#[cfg(feature = "alloc")]
mod read;
pub(crate) mod removed;

pub use places::SentToken;
#[cfg(feature = "alloc")]
pub use read::{Header, Signed, Token, assume};

#[cfg(feature = "alloc")]
use alloc::format;
#[cfg(feature = "alloc")]
use alloc::string::String;

#[cfg(feature = "alloc")]
use crate::config::suggest::nearest;

/// How a token is signed: `alg` of its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to verify each")]
pub enum Algorithm {
    /// HMAC with SHA-256; only with a key that the key set itself calls symmetric.
    Hs256,
    /// HMAC with SHA-384.
    Hs384,
    /// HMAC with SHA-512.
    Hs512,
    /// RSA, PKCS #1 v1.5, SHA-256.
    Rs256,
    /// RSA, PKCS #1 v1.5, SHA-384.
    Rs384,
    /// RSA, PKCS #1 v1.5, SHA-512.
    Rs512,
    /// RSA-PSS, SHA-256.
    Ps256,
    /// RSA-PSS, SHA-384.
    Ps384,
    /// RSA-PSS, SHA-512.
    Ps512,
    /// ECDSA, P-256 and SHA-256.
    Es256,
    /// ECDSA, P-384 and SHA-384.
    Es384,
    /// ECDSA, P-521 and SHA-512.
    Es512,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// The algorithm that `alg` names, as JWA (RFC 7518) writes it. `none` is not one.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "HS256" => Self::Hs256,
            "HS384" => Self::Hs384,
            "HS512" => Self::Hs512,
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }
}

/// What is wrong with a request's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "each has its own answer")]
pub enum TokenError {
    /// Not three parts with two dots.
    BadFormat,
    /// More than [`crate::limits::TOKEN_BYTES_MAX`] bytes.
    TooLong,
    /// The header is not base64url.
    HeaderBase64,
    /// The header is no JSON object, or names a member twice.
    HeaderJson,
    /// The header's `alg` is missing or no string.
    AlgMissing,
    /// `alg` is none of the algorithms that are verified; `none` is not one of them.
    AlgUnsupported,
    /// `kid` is no string.
    KidNotString,
    /// The header has extensions that must be understood (`crit`), and none is.
    Critical,
    /// The payload is not base64url.
    PayloadBase64,
    /// The payload is no JSON object, names a member twice, or is past a bound of [`crate::claims::ClaimsError`].
    PayloadJson,
    /// A registered claim is of a type that it cannot be.
    Claim(ClaimType),
    /// The signature is not base64url.
    SignatureBase64,
    /// No rule names the token's issuer.
    UnknownIssuer,
    /// `nbf` is more than the slack ahead.
    NotYetValid,
    /// `exp` is more than the slack ago.
    Expired,
    /// 403: none of its audiences is one of the rule's.
    Audience,
    /// The issuer's keys could not be had.
    KeysUnavailable,
    /// None of the issuer's keys is of this `kid` and `alg`.
    NoKey,
    /// The signature is not the issuer's.
    BadSignature,
    /// Tokens in more than one place: whose request it is, is not defined.
    SeveralTokens,
}

/// A registered claim of the wrong type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "each has its own words")]
pub enum ClaimType {
    /// `iss` is no string.
    Issuer,
    /// `sub` is no string.
    Subject,
    /// `jti` is no string.
    TokenId,
    /// `aud` is neither a string nor a list of strings.
    Audience,
    /// `iat` is no number that is an integer.
    IssuedAt,
    /// `iat` is negative or too large.
    IssuedAtRange,
    /// `nbf` is no number that is an integer.
    NotBefore,
    /// `nbf` is negative or too large.
    NotBeforeRange,
    /// `exp` is no number that is an integer.
    Expiry,
    /// `exp` is negative or too large.
    ExpiryRange,
}

impl TokenError {
    /// The status code: 401, but 403 for an audience.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::Audience => 403,
            _ => 401,
        }
    }

    /// The body of the answer.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::BadFormat => "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
            Self::TooLong => "Jwt is too long",
            Self::HeaderBase64 => "Jwt header is an invalid Base64url encoded",
            Self::HeaderJson => "Jwt header is an invalid JSON",
            Self::AlgMissing => "Jwt header [alg] field is required and must be a string",
            Self::AlgUnsupported => "Jwt header [alg] is not supported",
            Self::KidNotString => "Jwt header [kid] field is not a string",
            Self::Critical => "Jwt header [crit] is not supported",
            Self::PayloadBase64 => "Jwt payload is an invalid Base64url encoded",
            Self::PayloadJson => "Jwt payload is an invalid JSON",
            Self::Claim(claim) => claim.message(),
            Self::SignatureBase64 => "Jwt signature is an invalid Base64url encoded",
            Self::UnknownIssuer => "Jwt issuer is not configured",
            Self::NotYetValid => "Jwt not yet valid",
            Self::Expired => "Jwt is expired",
            Self::Audience => "Audiences in Jwt are not allowed",
            Self::KeysUnavailable => "Jwks remote fetch is failed",
            Self::NoKey => "Jwks doesn't have key to match kid or alg from Jwt",
            Self::BadSignature => "Jwt verification fails",
            Self::SeveralTokens => "Found multiple Jwt tokens",
        }
    }

    /// The error whose [`message`](Self::message) this is.
    ///
    /// # Errors
    /// That it is none's, and whose it nearly is.
    #[cfg(feature = "alloc")]
    pub fn in_words(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|error| error.message() == text);
        found.copied().ok_or_else(|| {
            let nearest = nearest(text, Self::ALL.iter().map(|error| error.message()));
            let meant = nearest.map_or("an example is", |_| "did you mean");
            let example = nearest.unwrap_or(Self::Expired.message());
            format!("no token is refused with `{text}`: {meant} `{example}`")
        })
    }

    /// Each error that there is.
    #[cfg(feature = "alloc")]
    const ALL: &[Self] = &[
        Self::BadFormat,
        Self::TooLong,
        Self::HeaderBase64,
        Self::HeaderJson,
        Self::AlgMissing,
        Self::AlgUnsupported,
        Self::KidNotString,
        Self::Critical,
        Self::PayloadBase64,
        Self::PayloadJson,
        Self::SignatureBase64,
        Self::UnknownIssuer,
        Self::NotYetValid,
        Self::Expired,
        Self::Audience,
        Self::KeysUnavailable,
        Self::NoKey,
        Self::BadSignature,
        Self::SeveralTokens,
        Self::Claim(ClaimType::Issuer),
        Self::Claim(ClaimType::Subject),
        Self::Claim(ClaimType::TokenId),
        Self::Claim(ClaimType::Audience),
        Self::Claim(ClaimType::IssuedAt),
        Self::Claim(ClaimType::IssuedAtRange),
        Self::Claim(ClaimType::NotBefore),
        Self::Claim(ClaimType::NotBeforeRange),
        Self::Claim(ClaimType::Expiry),
        Self::Claim(ClaimType::ExpiryRange),
    ];

    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::BadFormat
            | Self::TooLong
            | Self::HeaderBase64
            | Self::HeaderJson
            | Self::PayloadBase64
            | Self::PayloadJson
            | Self::SignatureBase64
            | Self::Claim(_) => "jwt_malformed",
            Self::AlgMissing | Self::AlgUnsupported | Self::KidNotString | Self::Critical => "jwt_header_unsupported",
            Self::UnknownIssuer => "jwt_unknown_issuer",
            Self::NotYetValid => "jwt_not_yet_valid",
            Self::Expired => "jwt_expired",
            Self::Audience => "jwt_audience_not_allowed",
            Self::KeysUnavailable => "jwks_unavailable",
            Self::NoKey => "jwks_no_key",
            Self::BadSignature => "jwt_bad_signature",
            Self::SeveralTokens => "jwt_several_tokens",
        }
    }
}

impl ClaimType {
    const fn message(self) -> &'static str {
        match self {
            Self::Issuer => "Jwt payload [iss] field is not a string",
            Self::Subject => "Jwt payload [sub] field is not a string",
            Self::TokenId => "Jwt payload [jti] field is not a string",
            Self::Audience => "Jwt payload [aud] field is not a string or string list",
            Self::IssuedAt => "Jwt payload [iat] field is not an integer",
            Self::IssuedAtRange => "Jwt payload [iat] field is not a positive 64 bit integer",
            Self::NotBefore => "Jwt payload [nbf] field is not an integer",
            Self::NotBeforeRange => "Jwt payload [nbf] field is not a positive 64 bit integer",
            Self::Expiry => "Jwt payload [exp] field is not an integer",
            Self::ExpiryRange => "Jwt payload [exp] field is not a positive 64 bit integer",
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::TokenError;

    #[test]
    fn each_error_is_known_by_its_words() {
        for error in TokenError::ALL {
            assert_eq!(TokenError::in_words(error.message()), Ok(*error));
        }
        let wrong = |text| TokenError::in_words(text).unwrap_err();
        assert_eq!(
            wrong("jwt is expird"),
            "no token is refused with `jwt is expird`: did you mean `Jwt is expired`"
        );
        assert_eq!(
            wrong("late"),
            "no token is refused with `late`: an example is `Jwt is expired`"
        );
    }
}
