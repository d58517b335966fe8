//! The key of WebSocket's handshake in HTTP/1.1 (RFC 6455 §4), which clients of HTTP/2 do without (RFC 8441 §5).

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::SEC_WEBSOCKET_ACCEPT;
use http::{HeaderMap, HeaderValue};

use crate::entropy::Entropy;

/// What the answer to a key is made with.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A new key: 16 bytes by chance, of which nothing secret hangs.
pub(crate) fn key(entropy: &Entropy) -> HeaderValue {
    let bits = (u128::from(entropy.next()) << 64) | u128::from(entropy.next());
    let text = STANDARD.encode(bits.to_be_bytes());
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("AAAAAAAAAAAAAAAAAAAAAA=="))
}

/// Whether the fields of an answer are of one who has read this key.
pub(crate) fn accepts(key: &HeaderValue, answer: &HeaderMap) -> bool {
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key.as_bytes(), GUID].concat());
    let wanted = STANDARD.encode(hash);
    let mut values = answer.get_all(SEC_WEBSOCKET_ACCEPT).iter();
    values.next().is_some_and(|value| value.as_bytes() == wanted.as_bytes()) && values.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_answer_is_accepted() {
        // RFC 6455 §1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        let answers = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static(value));
            }
            accepts(&key, &headers)
        };
        let right = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(answers(&[right]));
        assert!(!answers(&[]) && !answers(&[""]) && !answers(&[right, right]));
        assert!(!answers(&["s3pPLMBiTxaQ9kYGzzhZRbK+xOO="]));
    }

    #[test]
    fn keys_are_sixteen_bytes_and_differ() {
        let entropy = Entropy::new();
        let (one, two) = (key(&entropy), key(&entropy));
        assert_ne!(one, two);
        assert_eq!(STANDARD.decode(one.as_bytes()).unwrap().len(), 16);
    }
}
