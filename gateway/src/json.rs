//! JSON strings of bytes that a stranger sent.

use crate::limits::LOG_VALUE_BYTES_MAX;

/// Appends `bytes` as a JSON string that is safe to print.
///
/// Invalid UTF-8 becomes U+FFFD; control characters, those of C1 and the line separators among them, are escaped so
/// that no terminal and no line-based reader acts on them. Longer values than [`LOG_VALUE_BYTES_MAX`] are cut.
pub(crate) fn write_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let bytes = bytes.get(..LOG_VALUE_BYTES_MAX).unwrap_or(bytes);
    out.push(b'"');
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            chunk.valid().chars().for_each(|c| write_char(out, c));
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{fffd}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

/// Bytes that are looked at together: a machine does so in a few instructions.
const LANE: usize = 16;

/// Whether no byte needs an escape. By lanes, the last of which may overlap: most values are one or two long.
fn is_plain(bytes: &[u8]) -> bool {
    let Some(last) = bytes.last_chunk() else {
        let mut only = [b' '; LANE];
        if let Some(start) = only.get_mut(..bytes.len()) {
            start.copy_from_slice(bytes);
        }
        return is_plain_lane(&only);
    };
    let (lanes, _) = bytes.as_chunks();
    lanes.iter().chain([last]).all(is_plain_lane)
}

#[inline]
fn is_plain_lane(lane: &[u8; LANE]) -> bool {
    // Not `all`, which would stop at each byte to decide.
    let unusual = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
    !lane.iter().fold(false, |any, byte| any | unusual(*byte))
}

fn write_char(out: &mut Vec<u8>, c: char) {
    match c {
        '"' => out.extend_from_slice(br#"\""#),
        '\\' => out.extend_from_slice(br"\\"),
        '\n' => out.extend_from_slice(br"\n"),
        '\r' => out.extend_from_slice(br"\r"),
        '\t' => out.extend_from_slice(br"\t"),
        c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
            out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
        }
        c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        write_string(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_byte_string_becomes_one_printable_json_string() {
        for bytes in [
            &b"plain"[..],
            b"",
            b"quote \" backslash \\",
            b"line\r\nbreak\tand \x1b[31m\x7f",
            b"bad \xff\xfe utf-8",
            "c1 \u{9b} and separators \u{2028}\u{2029}".as_bytes(),
            "emoji \u{1f600}".as_bytes(),
        ] {
            let text = written(bytes);
            let read: String = serde_json::from_str(&text).unwrap();
            assert_eq!(read, String::from_utf8_lossy(bytes));
            assert!(!text.chars().any(|c| c.is_control() || c == '\u{2028}'), "{text}");
        }
    }

    #[test]
    fn plain_is_what_needs_no_escape_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            let wanted = (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
            for (len, at) in (1..40).flat_map(|len| (0..len).map(move |at| (len, at))) {
                for other in [b'a', b' ', b'~', b'!', b'[', b']'] {
                    let mut bytes = vec![other; len];
                    bytes[at] = byte;
                    assert_eq!(is_plain(&bytes), wanted, "{byte:#x} at {at} of {len} among {other:#x}");
                }
            }
        }
        assert!(is_plain(b""));
    }

    #[test]
    fn long_values_are_cut() {
        assert_eq!(written(&[b'a'; LOG_VALUE_BYTES_MAX + 9]).len(), LOG_VALUE_BYTES_MAX + 2);
    }
}
