//! A certificate's subject as text: RFC 2253 as BoringSSL writes it (`X509_NAME_print_ex` with `XN_FLAG_RFC2253`), which
//! is what Envoy shows.
//!
//! ASCII comes of it, whatever is in the certificate: other characters are
//! escaped by their bytes in UTF-8. The last name comes first.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Attributes of X.520 (`2.5.4.N`), from N = 3.
const X520: [&str; 52] = [
    "CN",
    "SN",
    "serialNumber",
    "C",
    "L",
    "ST",
    "street",
    "O",
    "OU",
    "title",
    "description",
    "searchGuide",
    "businessCategory",
    "postalAddress",
    "postalCode",
    "postOfficeBox",
    "physicalDeliveryOfficeName",
    "telephoneNumber",
    "telexNumber",
    "teletexTerminalIdentifier",
    "facsimileTelephoneNumber",
    "x121Address",
    "internationaliSDNNumber",
    "registeredAddress",
    "destinationIndicator",
    "preferredDeliveryMethod",
    "presentationAddress",
    "supportedApplicationContext",
    "member",
    "owner",
    "roleOccupant",
    "seeAlso",
    "userPassword",
    "userCertificate",
    "cACertificate",
    "authorityRevocationList",
    "certificateRevocationList",
    "crossCertificatePair",
    "name",
    "GN",
    "initials",
    "generationQualifier",
    "x500UniqueIdentifier",
    "dnQualifier",
    "enhancedSearchGuide",
    "protocolInformation",
    "distinguishedName",
    "uniqueMember",
    "houseIdentifier",
    "supportedAlgorithms",
    "deltaRevocationList",
    "dmdName",
];

/// Other attributes that names have.
const OTHERS: [(&[u8], &str); 10] = [
    (b"\x55\x04\x41", "pseudonym"),
    (b"\x55\x04\x48", "role"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01", "UID"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x03", "mail"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x05", "favouriteDrink"),
    (b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19", "DC"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x01", "emailAddress"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x02", "unstructuredName"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07", "challengePassword"),
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x08", "unstructuredAddress"),
];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const OID: u8 = 0x06;

/// Appends the text of the `Name` with these contents; `None` when they are none.
pub(super) fn write(text: &mut String, name: &[u8]) -> Option<()> {
    let mut is_first = true;
    for names in values(name)?.into_iter().rev() {
        let names = names.of(SET)?;
        // Several attributes of one name stand in it the other way round, too.
        for (index, attribute) in values(names)?.into_iter().rev().enumerate() {
            if !is_first {
                text.push(if index == 0 { ',' } else { '+' });
            }
            is_first = false;
            let parts = values(attribute.of(SEQUENCE)?)?;
            let [kind, value] = parts[..] else { return None };
            write_attribute(text, kind.of(OID)?, value)?;
        }
    }
    Some(())
}

fn write_attribute(text: &mut String, kind: &[u8], value: Value<'_>) -> Option<()> {
    let known = short_name(kind);
    match known {
        Some(name) => text.push_str(name),
        None => write_oid(text, kind)?,
    }
    text.push('=');
    match (known, value.characters()) {
        (Some(_), Characters::Text(characters)) => write_escaped(text, &characters),
        (_, Characters::Broken) => return None,
        (None, _) | (_, Characters::None) => {
            text.push('#');
            for byte in value.whole {
                // Writing into memory does not fail.
                let _: fmt::Result = write!(text, "{byte:02X}");
            }
        }
    }
    Some(())
}

fn short_name(oid: &[u8]) -> Option<&'static str> {
    if let [0x55, 0x04, number] = oid
        && let Some(name) = number.checked_sub(3).and_then(|index| X520.get(usize::from(index)))
    {
        return Some(name);
    }
    OTHERS.iter().find(|(known, _)| *known == oid).map(|(_, name)| *name)
}

fn write_oid(text: &mut String, oid: &[u8]) -> Option<()> {
    let mut arc: u64 = 0;
    let mut is_first = true;
    let mut is_whole = false;
    for byte in oid {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        is_whole = byte & 0x80 == 0;
        if !is_whole {
            continue;
        }
        let _: fmt::Result = if is_first {
            // The first two numbers are one.
            let root = (arc / 40).min(2);
            write!(text, "{root}.{}", arc.saturating_sub(root.saturating_mul(40)))
        } else {
            write!(text, ".{arc}")
        };
        (is_first, arc) = (false, 0);
    }
    is_whole.then_some(())
}

fn write_escaped(text: &mut String, characters: &str) {
    let last = characters.chars().count().saturating_sub(1);
    for (index, character) in characters.chars().enumerate() {
        let is_edge = character == ' ' && (index == 0 || index == last) || character == '#' && index == 0;
        match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => text.extend(['\\', character]),
            _ if is_edge => text.extend(['\\', character]),
            ' '..='~' => text.push(character),
            _ => {
                for byte in character.encode_utf8(&mut [0; 4]).bytes() {
                    let _: fmt::Result = write!(text, "\\{byte:02X}");
                }
            }
        }
    }
}

/// A value of DER.
#[derive(Clone, Copy)]
struct Value<'d> {
    tag: u8,
    contents: &'d [u8],
    /// With its tag and length.
    whole: &'d [u8],
}

/// What a value is as text.
enum Characters {
    Text(String),
    /// It is of no kind that has text.
    None,
    /// It is of such a kind, and not well-formed.
    Broken,
}

impl<'d> Value<'d> {
    fn of(self, tag: u8) -> Option<&'d [u8]> {
        (self.tag == tag).then_some(self.contents)
    }

    fn characters(self) -> Characters {
        let text = match self.tag {
            // UTF8String.
            0x0c => core::str::from_utf8(self.contents).ok().map(String::from),
            // Numeric, printable, teletex, IA5 and visible strings, and times: each byte a character.
            0x12..=0x14 | 0x16..=0x18 | 0x1a => Some(self.contents.iter().copied().map(char::from).collect()),
            // UniversalString: UTF-32.
            0x1c => wide::<4>(self.contents, |bytes| char::from_u32(u32::from_be_bytes(bytes))),
            // BMPString: characters of 16 bits.
            0x1e => wide::<2>(self.contents, |bytes| char::from_u32(u16::from_be_bytes(bytes).into())),
            _ => return Characters::None,
        };
        text.map_or(Characters::Broken, Characters::Text)
    }
}

fn wide<const N: usize>(bytes: &[u8], character: fn([u8; N]) -> Option<char>) -> Option<String> {
    let (characters, rest) = bytes.as_chunks::<N>();
    rest.is_empty().then_some(())?;
    characters.iter().map(|bytes| character(*bytes)).collect()
}

/// The values that stand one behind the other in `bytes`.
fn values(bytes: &[u8]) -> Option<Vec<Value<'_>>> {
    let mut values = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (value, after) = first(rest)?;
        values.push(value);
        rest = after;
    }
    Some(values)
}

/// The first value of `bytes`, and what is behind it.
fn first(bytes: &[u8]) -> Option<(Value<'_>, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0x00..=0x7f => (usize::from(*length), rest),
        // A certificate has no value of 16 MiB.
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = digits
                .iter()
                .fold(0_usize, |length, digit| (length << 8) | usize::from(*digit));
            (length, rest)
        }
        _ => return None,
    };
    let (contents, after) = rest.split_at_checked(length)?;
    let (whole, _) = bytes.split_at_checked(bytes.len().checked_sub(after.len())?)?;
    let value = Value {
        tag: *tag,
        contents,
        whole,
    };
    Some((value, after))
}
