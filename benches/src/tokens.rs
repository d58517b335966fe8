//! Tokens: what it costs the gateway to verify one, beside what the crypto library alone takes, and to know one again.
//!
//! `alone` is aws-lc-rs on the signed bytes, with the key parsed and the
//! signature decoded before. `verified` is everything: finding the token in the
//! head, hashing and looking it up, reading it, checking its claims, verifying
//! it with the same call, building the claims for policy and keeping them.
//! `known` is the same for a token that was verified before.
//!
//! The tokens were signed once, by keys that are gone.

use core::future::Future;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr};
use core::pin::pin;
use core::task::{Context, Poll, Waker};

use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockgate::jwt::{Begun, Tokens};
use lockgate_core::compile::Compiled;
use lockgate_core::decide::{Known, Scratch, decide};
use lockgate_core::decision::Decision;
use lockgate_core::request::{Connection, Request};

use crate::Case;
use crate::compile;
use crate::configs::{PORT, host, yaml};

const KEYS: &str = include_str!("tokens/keys.json");
const RS256: &str = include_str!("tokens/rs256.jwt");
const ES256: &str = include_str!("tokens/es256.jwt");

/// Two rules for the issuer, which look for its tokens in different fields: a token that one of them has verified is
/// not known to the other.
const RULES: &str = "---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: istio-system}
spec:
  jwtRules:
  - {issuer: https://issuer.example.com, audiences: [https://gateway.example.com], jwks: 'KEYS', fromHeaders: [{name: x-token}]}
  - {issuer: https://issuer.example.com, audiences: [https://gateway.example.com], jwks: 'KEYS', fromHeaders: [{name: authorization, prefix: 'Bearer '}]}
";

/// The cases of the group `token`.
#[must_use]
pub fn cases() -> Vec<Case> {
    [("RS256, 2048 bits", RS256), ("ES256", ES256)]
        .into_iter()
        .flat_map(|(name, token)| [alone(name, token), verified(name, token), known(name, token)])
        .collect()
}

fn verified(name: &str, token: &'static str) -> Case {
    Case::new("token", format!("{name}, verified"), move || {
        let (bed, mut scratch) = (Bed::new(token), Scratch::new());
        let mut places = ["authorization", "x-token"].into_iter().cycle();
        move || {
            let place = places.next().unwrap_or_default();
            assert_verified(bed.ask(place, &mut scratch) == Way::Verified);
        }
    })
    .counted_runs(100)
}

fn known(name: &str, token: &'static str) -> Case {
    Case::new("token", format!("{name}, known"), move || {
        let (bed, mut scratch) = (Bed::new(token), Scratch::new());
        bed.ask("authorization", &mut scratch);
        move || assert_verified(bed.ask("authorization", &mut scratch) == Way::Known)
    })
}

fn alone(name: &str, token: &'static str) -> Case {
    Case::new("token", format!("{name}, aws-lc-rs alone"), move || {
        let (key, signed, signature) = parts(token);
        move || assert_verified(black_box(&key).verify_sig(black_box(signed), &signature).is_ok())
    })
    .counted_runs(100)
}

#[expect(clippy::panic, reason = "a token that is refused would measure something else")]
fn assert_verified(verified: bool) {
    if !verified {
        panic!("the token is not verified in the way that is measured");
    }
}

/// How a token came to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Known,
    Verified,
}

/// A configuration and a client's token.
struct Bed {
    compiled: Compiled,
    tokens: Tokens,
    host: String,
    token: &'static str,
    bearer: String,
}

impl Bed {
    #[expect(clippy::expect_used, reason = "the keys stand beside this file")]
    fn new(token: &'static str) -> Self {
        let compiled = compile::compiled(&[yaml(1, 0), RULES.replace("KEYS", KEYS)]);
        Self {
            tokens: Tokens::new(&compiled).expect("keys that can be read"),
            compiled,
            host: host(0),
            token,
            bearer: format!("Bearer {token}"),
        }
    }

    /// Sends the token in the field `place`, as far as its claims are there for the next decision.
    #[expect(clippy::panic, reason = "a token that is refused would measure something else")]
    fn ask(&self, place: &str, scratch: &mut Scratch) -> Way {
        let value = if place == "authorization" {
            &*self.bearer
        } else {
            self.token
        };
        let headers: &[(&str, &[u8])] = &[
            ("host", self.host.as_bytes()),
            ("user-agent", b"OpenAI/Python 1.50.0"),
            (place, value.as_bytes()),
            ("content-type", b"application/json"),
        ];
        let request = Request {
            method: "POST",
            authority: None,
            target: "/v1/chat/completions",
            headers: &headers,
            connection: Connection::plain(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), PORT),
        };
        let tables = self.compiled.snapshot.tables();
        let decision = decide(black_box(tables), black_box(&request), Known::NOTHING, 0, scratch);
        let Decision::VerifyToken(sent) = decision else {
            panic!("{decision:?}, and not the token");
        };
        match self.tokens.begin(tables, &sent) {
            Begun::Known(claims) => {
                black_box(claims);
                Way::Known
            }
            Begun::Refused(error) => panic!("{error:?}"),
            Begun::Pending(pending) => match now_or_never(self.tokens.finish(tables, *pending)) {
                Some(Ok(claims)) => {
                    black_box(claims);
                    Way::Verified
                }
                other => panic!("{other:?}"),
            },
        }
    }
}

/// What a future says that has nothing to wait for.
fn now_or_never<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(said) => Some(said),
        Poll::Pending => None,
    }
}

/// The key, what it signed, and the signature.
#[expect(clippy::expect_used, reason = "the files stand beside this one")]
fn parts(token: &'static str) -> (ParsedPublicKey, &'static [u8], Vec<u8>) {
    let keys: serde_json::Value = serde_json::from_str(KEYS).expect("JSON");
    let number = |place: &str| -> Vec<u8> {
        let text = keys
            .pointer(place)
            .and_then(serde_json::Value::as_str)
            .expect("a number");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let key = if token == RS256 {
        let components = PublicKeyComponents {
            n: number("/keys/0/n"),
            e: number("/keys/0/e"),
        };
        components.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
    } else {
        let point = [vec![4], number("/keys/1/x"), number("/keys/1/y")].concat();
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point)
    };
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    (key.expect("a key"), signed.as_bytes(), signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_case_measures_what_it_says() {
        for token in [RS256, ES256] {
            let (key, signed, signature) = parts(token);
            assert!(key.verify_sig(signed, &signature).is_ok());
            assert!(key.verify_sig(&signed[1..], &signature).is_err());
            let (bed, mut scratch) = (Bed::new(token), Scratch::new());
            for (place, way) in [
                ("authorization", Way::Verified),
                ("authorization", Way::Known),
                ("x-token", Way::Verified),
                ("authorization", Way::Verified),
            ] {
                assert_eq!(bed.ask(place, &mut scratch), way, "{place}");
            }
        }
    }
}
