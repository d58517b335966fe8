//! Whether a body may be taken for JSON in UTF-8, judged by its head.

use super::body::BodyError;

/// Refuses what is certainly not plain JSON in UTF-8.
///
/// Clients label JSON as almost anything, so any single-part type will do. Multipart types, other charsets and
/// encodings would be read differently by a provider that obeys them, so they are 415.
///
/// # Errors
/// [`BodyError::UnsupportedMediaType`] or [`BodyError::UnsupportedEncoding`].
pub fn media(content_type: Option<&[u8]>, content_encoding: Option<&[u8]>) -> Result<(), BodyError> {
    if content_encoding.is_some_and(|value| !value.split(|&byte| byte == b',').all(is_identity)) {
        return Err(BodyError::UnsupportedEncoding);
    }
    let Some(value) = content_type else { return Ok(()) };
    // Quotes are not looked at: a `;` inside them only makes the reading stricter.
    let mut parts = value.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
    let multipart = parts.next().is_some_and(is_multipart);
    if multipart || !parts.all(is_utf8_or_no_charset) {
        return Err(BodyError::UnsupportedMediaType);
    }
    Ok(())
}

fn is_identity(encoding: &[u8]) -> bool {
    let encoding = encoding.trim_ascii();
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
    if !name.eq_ignore_ascii_case(b"charset") {
        return true;
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

    #[test]
    fn json_under_any_single_part_type_passes() {
        let cases = [
            None,
            Some(""),
            Some("application/json"),
            Some("text/plain"),
            Some("application/x-www-form-urlencoded"),
            Some("application/json; charset=utf-8"),
            Some("application/json;charset=\"UTF-8\""),
            Some("application/json ; Charset = US-ASCII ; version=1"),
        ];
        for case in cases {
            assert_eq!(media(case.map(str::as_bytes), None), Ok(()), "{case:?}");
        }
    }

    #[test]
    fn other_charsets_and_multipart_are_415() {
        let cases = [
            "multipart/form-data; boundary=x",
            "Multipart/Mixed",
            "application/json; charset=utf-16",
            "application/json; charset=utf-8; charset=latin1",
            "application/json; charset",
            "application/json; x=\"a; charset=utf-7\"",
        ];
        for case in cases {
            assert_eq!(
                media(Some(case.as_bytes()), None),
                Err(BodyError::UnsupportedMediaType),
                "{case}"
            );
        }
        assert_eq!(BodyError::UnsupportedMediaType.status(), 415);
    }

    #[test]
    fn any_encoding_but_identity_is_415() {
        for case in ["", "identity", "IDENTITY", " identity , identity"] {
            assert_eq!(media(None, Some(case.as_bytes())), Ok(()), "{case}");
        }
        for case in ["gzip", "zstd", "br", "identity, gzip", "x"] {
            assert_eq!(
                media(None, Some(case.as_bytes())),
                Err(BodyError::UnsupportedEncoding),
                "{case}"
            );
        }
    }
}
