//! Where in a PEM text something is wrong: the line at which a section begins, and what is there instead of what is
//! wanted. Nothing of a section but the name of its kind is ever said, and that only of kinds that are known.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// What a text is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    Certificate,
    PrivateKey,
    RevocationList,
}

impl Wanted {
    fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Certificate => &["CERTIFICATE"],
            Self::PrivateKey => &["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"],
            Self::RevocationList => &["X509 CRL"],
        }
    }

    fn label(self) -> &'static str {
        self.labels().first().copied().unwrap_or_default()
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::PrivateKey => "private key without a password",
            Self::RevocationList => "list of revoked certificates",
        })
    }
}

/// Kinds of sections that are decoded, whether wanted or not.
const DECODED: [&str; 7] = [
    "CERTIFICATE",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "PUBLIC KEY",
    "X509 CRL",
    "CERTIFICATE REQUEST",
];

/// Others that people mistake for one of those.
const OTHERS: [&str; 7] = [
    "ENCRYPTED PRIVATE KEY",
    "OPENSSH PRIVATE KEY",
    "TRUSTED CERTIFICATE",
    "X509 CERTIFICATE",
    "NEW CERTIFICATE REQUEST",
    "EC PARAMETERS",
    "DH PARAMETERS",
];

/// What is wrong, and the line where that begins, unless it is all of the text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) line: Option<usize>,
    pub(super) what: String,
}

struct Section {
    line: usize,
    /// `None` is a kind that is not known.
    label: Option<&'static str>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    /// The line that begins it goes on.
    NoBegin,
    /// Another begins, or the text ends, before it does.
    NoEnd,
    NotBase64,
    /// It has a password, as OpenSSL wrote them once.
    Encrypted,
}

/// Why nothing of what is wanted could be read of `text`.
pub(super) fn fault(text: &[u8], wanted: Wanted) -> Fault {
    let sections = sections(text);
    if let Some(broken) = sections.iter().find(|section| section.state != State::Whole) {
        let name = broken.label.unwrap_or("section");
        return Fault {
            line: Some(broken.line),
            what: match broken.state {
                State::NoBegin => "the line that begins a section does not end with five hyphens".to_owned(),
                State::NoEnd => format!("the {name} that begins there does not end"),
                State::Encrypted => format!("the {name} that begins there has a password"),
                State::NotBase64 | State::Whole => format!("the {name} that begins there is no base64"),
            },
        };
    }
    match sections.first() {
        Some(first) => {
            let name = first.label.unwrap_or("section of another kind");
            let article = if name.starts_with(['A', 'E', 'O', 'X']) {
                "an"
            } else {
                "a"
            };
            let wanted = match wanted {
                Wanted::PrivateKey => "a PRIVATE KEY without a password".to_owned(),
                Wanted::Certificate => "a CERTIFICATE".to_owned(),
                Wanted::RevocationList => "an X509 CRL".to_owned(),
            };
            Fault {
                line: Some(first.line),
                what: format!("{article} {name} where {wanted} is wanted"),
            }
        }
        None => Fault {
            line: None,
            what: match text {
                [] => "it is empty".to_owned(),
                // A sequence of DER.
                [0x30, 0x80..=0xff, ..] => "it is DER, not PEM".to_owned(),
                _ => format!("no line begins `-----BEGIN {}-----`", wanted.label()),
            },
        },
    }
}

/// The line where the section of what is wanted begins that comes after so many others of it.
pub(super) fn line_of(text: &[u8], wanted: Wanted, before: usize) -> usize {
    let is_wanted = |section: &Section| section.label.is_some_and(|label| wanted.labels().contains(&label));
    let mut all = sections(text).into_iter().filter(is_wanted);
    all.nth(before).map_or(1, |section| section.line)
}

fn sections(text: &[u8]) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    // What of the last one was read so far, and how it ends; `None` outside of one.
    let mut open: Option<(Vec<u8>, Vec<u8>)> = None;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii_end();
        if let Some(rest) = line.strip_prefix(b"-----BEGIN ") {
            let label = rest.strip_suffix(b"-----").filter(|label| !label.ends_with(b"-"));
            sections.push(Section {
                line: number,
                label: label.and_then(known),
                state: if label.is_some() { State::NoEnd } else { State::NoBegin },
            });
            let end = |label: &[u8]| [&b"-----END "[..], label, b"-----"].concat();
            open = label.map(|label| (Vec::new(), end(label)));
            continue;
        }
        let (Some((body, end)), Some(section)) = (&mut open, sections.last_mut()) else {
            continue;
        };
        if line.starts_with(end) {
            let is_decoded = section.label.is_some_and(|label| DECODED.contains(&label));
            section.state = match section.state {
                State::Encrypted => State::Encrypted,
                _ if is_decoded && STANDARD.decode(&*body).is_err() => State::NotBase64,
                _ => State::Whole,
            };
            open = None;
        } else if line == b"Proc-Type: 4,ENCRYPTED" {
            section.state = State::Encrypted;
        } else {
            body.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
        }
    }
    sections
}

fn known(label: &[u8]) -> Option<&'static str> {
    let mut all = DECODED.into_iter().chain(OTHERS);
    all.find(|known| known.as_bytes() == label)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

    fn section(label: &str, body: &str) -> String {
        format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
    }

    #[test]
    fn the_first_that_is_wrong_is_named_by_the_line_where_it_begins() {
        let long = "comment\n\n".to_owned() + GOOD;
        let with = |rest: &str| format!("{long}{rest}");
        let crlf = with(&section("CERTIFICATE", "AA*A")).replace('\n', "\r\n");
        for (text, line, what) in [
            (String::new(), None, "it is empty"),
            (
                "garbage\n".to_owned(),
                None,
                "no line begins `-----BEGIN CERTIFICATE-----`",
            ),
            ("0\u{a0}".to_owned(), None, "it is DER, not PEM"),
            (
                section("PRIVATE KEY", "AAAA"),
                Some(1),
                "a PRIVATE KEY where a CERTIFICATE is wanted",
            ),
            (
                section("X509 CRL", "AAAA"),
                Some(1),
                "an X509 CRL where a CERTIFICATE is wanted",
            ),
            (
                section("s3cr3t", "AAAA"),
                Some(1),
                "a section of another kind where a CERTIFICATE is wanted",
            ),
            (
                with("-----BEGIN CERTIFICATE-----\nAAAA\n"),
                Some(6),
                "the CERTIFICATE that begins there does not end",
            ),
            (
                with(&format!("-----BEGIN PRIVATE KEY-----\nAAAA\n{GOOD}")),
                Some(6),
                "the PRIVATE KEY that begins there does not end",
            ),
            (
                with("-----BEGIN CERTIFICATE-----\nAAAA\n-----END PRIVATE KEY-----\n"),
                Some(6),
                "the CERTIFICATE that begins there does not end",
            ),
            (
                with(&section("CERTIFICATE", "AA*A")),
                Some(6),
                "the CERTIFICATE that begins there is no base64",
            ),
            (crlf, Some(6), "the CERTIFICATE that begins there is no base64"),
            (
                with("-----BEGIN CERTIFICATE----- s3cr3t\n"),
                Some(6),
                "the line that begins a section does not end with five hyphens",
            ),
            (
                with(&section(
                    "RSA PRIVATE KEY",
                    "Proc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA",
                )),
                Some(6),
                "the RSA PRIVATE KEY that begins there has a password",
            ),
        ] {
            let expected = Fault {
                line,
                what: what.to_owned(),
            };
            assert_eq!(fault(text.as_bytes(), Wanted::Certificate), expected, "{text}");
        }
        let encrypted = section("ENCRYPTED PRIVATE KEY", "AAAA");
        assert_eq!(
            fault(encrypted.as_bytes(), Wanted::PrivateKey).what,
            "an ENCRYPTED PRIVATE KEY where a PRIVATE KEY without a password is wanted"
        );
    }

    #[test]
    fn sections_of_a_kind_are_counted() {
        let text = section("PRIVATE KEY", "AAAA") + GOOD + &section("EC PARAMETERS", "AA") + GOOD;
        let line = |wanted, before| line_of(text.as_bytes(), wanted, before);
        assert_eq!((line(Wanted::PrivateKey, 0), line(Wanted::Certificate, 0)), (1, 4));
        assert_eq!(line(Wanted::Certificate, 1), 10);
        assert_eq!(line(Wanted::RevocationList, 0), 1);
    }
}
