//! Whether a body may be taken for JSON in UTF-8, judged by its head.

use super::body::BodyError;
use crate::request::Headers;

/// Refuses what is certainly not plain JSON in UTF-8, by each line of `content-type` and `content-encoding`: which of
/// several counts, readers disagree about.
///
/// Clients label JSON as almost anything, so any single-part type will do. Multipart types, other charsets and
/// encodings would be read differently by a provider that obeys them, so they are 415.
///
/// # Errors
/// [`BodyError::UnsupportedMediaType`] or [`BodyError::UnsupportedEncoding`].
pub fn media(headers: &dyn Headers) -> Result<(), BodyError> {
    let all = |name, is_good: fn(&[u8]) -> bool| {
        let mut are_good = true;
        headers.each(name, &mut |line| {
            // Quotes are not looked at: what is inside them only makes the reading stricter.
            are_good = are_good
                && line
                    .split(|byte| b",;".contains(byte))
                    .map(<[u8]>::trim_ascii)
                    .all(is_good);
        });
        are_good
    };
    if !all("content-encoding", is_identity) {
        return Err(BodyError::UnsupportedEncoding);
    }
    if !all("content-type", is_of_plain_text) {
        return Err(BodyError::UnsupportedMediaType);
    }
    Ok(())
}

fn is_of_plain_text(part: &[u8]) -> bool {
    !is_multipart(part) && is_utf8_or_no_charset(part)
}

fn is_identity(encoding: &[u8]) -> bool {
    encoding.is_empty() || encoding.eq_ignore_ascii_case(b"identity")
}

fn is_multipart(media_type: &[u8]) -> bool {
    media_type
        .get(..10)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/"))
}

fn is_utf8_or_no_charset(parameter: &[u8]) -> bool {
    let mut parts = parameter.splitn(2, |&byte| byte == b'=');
    let name = parts.next().unwrap_or_default().trim_ascii();
    // `charset*` is another way to write one (RFC 8187), and some take `charset*0` for its beginning (RFC 2231).
    let mut name = name.splitn(2, |&byte| byte == b'*').map(<[u8]>::trim_ascii);
    if !name.next().is_some_and(|name| name.eq_ignore_ascii_case(b"charset")) {
        return true;
    }
    if name.next().is_some() {
        return false;
    }
    let value = parts.next().unwrap_or_default().trim_ascii();
    let bare = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .unwrap_or(value);
    [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii"]
        .iter()
        .any(|known| bare.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, lines: &[&str]) -> Result<(), BodyError> {
        let mut fields: heapless::Vec<(&str, &[u8]), 4> = heapless::Vec::new();
        for line in lines {
            fields.push((name, line.as_bytes())).unwrap();
        }
        media(&fields.as_slice())
    }

    #[test]
    fn json_under_any_single_part_type_passes() {
        let cases = [
            &[][..],
            &[""],
            &["application/json"],
            &["text/plain"],
            &["application/x-www-form-urlencoded"],
            &["application/json; charset=utf-8"],
            &["application/json;charset=\"UTF-8\""],
            &["application/json ; Charset = US-ASCII ; version=1"],
            &["application/json; charsets=x; charse=y"],
            &["application/json", "text/plain; charset=utf-8"],
        ];
        for case in cases {
            assert_eq!(of("content-type", case), Ok(()), "{case:?}");
        }
    }

    #[test]
    fn other_charsets_and_multipart_are_415() {
        let cases = [
            &["multipart/form-data; boundary=x"][..],
            &["Multipart/Mixed"],
            &["application/json; charset=utf-16"],
            &["application/json; charset=utf-8; charset=latin1"],
            &["application/json; charset"],
            &["application/json; x=\"a; charset=utf-7\""],
            &["application/json; charset*=utf-7''utf-7"],
            &["application/json; Charset* = UTF-8''utf-7"],
            &["application/json; charset *0=utf; charset*1=-7"],
            &["application/json", "application/json; charset=utf-7"],
            &["application/json; charset=utf-7", "application/json"],
            &["application/json", "multipart/mixed"],
            &["application/json, multipart/mixed"],
            &["application/json,application/json;charset=utf-7"],
            &["application/json, charset=utf-7"],
            &["", "", "a/b; charset=utf-16"],
        ];
        for case in cases {
            assert_eq!(
                of("content-type", case),
                Err(BodyError::UnsupportedMediaType),
                "{case:?}"
            );
        }
        assert_eq!(BodyError::UnsupportedMediaType.status(), 415);
    }

    #[test]
    fn any_encoding_but_identity_is_415() {
        let cases = [
            &[""][..],
            &["identity"],
            &["IDENTITY"],
            &[" identity , identity"],
            &["identity", ""],
        ];
        for case in cases {
            assert_eq!(of("content-encoding", case), Ok(()), "{case:?}");
        }
        let cases = [
            &["gzip"][..],
            &["zstd"],
            &["br"],
            &["identity, gzip"],
            &["x"],
            &["identity", "gzip"],
            &["", "gzip"],
        ];
        for case in cases {
            assert_eq!(
                of("content-encoding", case),
                Err(BodyError::UnsupportedEncoding),
                "{case:?}"
            );
        }
    }
}
