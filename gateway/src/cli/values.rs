//! Values of flags.

use core::net::SocketAddr;
use core::str::FromStr;
use core::time::Duration;
use std::ffi::OsString;

use lockgate_core::field_value::FieldValue;

use crate::capsule::Share;

/// `PORT=ADDR:PORT`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listen {
    pub(super) port: u16,
    pub(super) address: SocketAddr,
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (port, address) = text.split_once('=').ok_or("write it as 80=127.0.0.1:8080")?;
        Ok(Self {
            port: port.parse().map_err(|_| format!("`{port}` is no port number"))?,
            address: address
                .parse()
                .map_err(|_| format!("`{address}` is no IP address and port"))?,
        })
    }
}

/// `ADDR:PORT` or `off`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AdminAddress(pub(super) Option<SocketAddr>);

impl FromStr for AdminAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| "write it as 127.0.0.1:15000, or off".to_owned())
    }
}

/// `key=value`
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Label(pub(super) String, pub(super) String);

impl FromStr for Label {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
        Ok(Self(key.trim().to_owned(), value.trim().to_owned()))
    }
}

/// A number from 0 to 1.
pub(super) fn share(text: &str) -> Result<Share, String> {
    let share = text.parse().ok().filter(|share| (0.0..=1.0).contains(share));
    share
        .map(Share)
        .ok_or_else(|| "write a number from 0 to 1, such as 0.01".to_owned())
}

/// `Name: value`, of which the value may be any bytes. Whether they make a field is the engine's to say, and blanks are
/// part of a name that has some.
pub(super) fn header(field: OsString) -> Result<(String, FieldValue), &'static str> {
    let field = field.as_encoded_bytes();
    // `:authority` is no name, and is to be told by it.
    let colon = field.iter().skip(1).position(|byte| *byte == b':');
    let parts = colon.and_then(|colon| field.split_at_checked(colon + 1));
    let name = parts.and_then(|(name, _)| str::from_utf8(name).ok());
    let (Some(name), Some((_, [_, value @ ..]))) = (name, parts) else {
        return Err("write it as 'Name: value'");
    };
    Ok((name.to_owned(), value.into()))
}

/// `500ms`, `30s`, `5m`, `1h`, as Istio writes durations.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let number: u64 = number
        .parse()
        .map_err(|_| format!("`{text}` is no duration: write 500ms, 30s, 5m or 1h"))?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        "h" => Ok(Duration::from_secs(number.saturating_mul(3600))),
        _ => Err(format!("`{text}` is no duration: write 500ms, 30s, 5m or 1h")),
    }
}

/// The same, of a time in which something is waited for.
pub(super) fn wait(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("nothing would be waited for, and there is no waiting for ever: write 300s".to_owned()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(unix)]
    fn a_header_field_has_a_name_and_any_value() {
        use std::os::unix::ffi::OsStringExt;

        let read = |bytes: &[u8]| header(OsString::from_vec(bytes.to_vec()));
        for (field, name, value) in [
            (&b"Host: test.com"[..], "Host", &b" test.com"[..]),
            (b"x-a:", "x-a", b""),
            (b" x-time : 12:30 ", " x-time ", b" 12:30 "),
            (b":path: /a", ":path", b" /a"),
            (b"x-place: caf\xe9", "x-place", b" caf\xe9"),
            (b"x-q: a\r", "x-q", b" a\r"),
        ] {
            assert_eq!(read(field), Ok((name.to_owned(), value.into())), "{field:?}");
        }
        for field in [&b"x-a"[..], b"", b":", b": a", b"x-\xe9: a"] {
            assert!(read(field).is_err(), "{field:?}");
        }
    }

    #[test]
    fn durations_have_units() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)));
            assert_eq!(wait(text).is_ok(), millis > 0, "{text}");
        }
        for text in ["", "5", "s", "-5s", "5 s", "1.5s", "5d", "99999999999999999999s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
