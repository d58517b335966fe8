//! What the field says of one certificate, as Envoy writes it with istiod's `set_current_client_cert_details`:
//! `By=…;Hash=…;Cert="…";Subject="…";URI=…;DNS=…`.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt::{self, Write as _};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::subject;
use crate::limits::CLIENT_CERT_BYTES_MAX;

/// A client's certificate that was verified, as far as the field tells of it.
#[derive(Debug, Clone, Copy)]
pub struct ClientCertificate<'c> {
    /// All of it, as DER.
    pub der: &'c [u8],
    /// Its subject: the contents of the `Name`, as DER.
    pub subject: &'c [u8],
    /// Its URI names, in its order.
    pub uri_names: &'c [Box<str>],
    /// Its DNS names, in its order.
    pub dns_names: &'c [Box<str>],
}

/// Why a certificate cannot be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there are these two")]
pub enum NotShown {
    /// Its subject is no name.
    Subject,
    /// It takes more than [`CLIENT_CERT_BYTES_MAX`] bytes.
    TooLong,
}

impl ClientCertificate<'_> {
    /// What the field says of it to those behind a server whose own certificate has the URI names `by`.
    ///
    /// # Errors
    /// It cannot be told of: then the client must not be served, as an upstream would take it for one without.
    pub fn element(&self, by: &[Box<str>]) -> Result<String, NotShown> {
        let mut element = String::new();
        for name in by.iter().filter(|name| is_uri(name)) {
            named(&mut element, "By", name);
        }
        begin(&mut element, "Hash");
        hex(&mut element, &Sha256::digest(self.der));
        begin(&mut element, "Cert");
        pem(&mut element, self.der);
        begin(&mut element, "Subject");
        element.push('"');
        subject::write(&mut element, self.subject).ok_or(NotShown::Subject)?;
        element.push('"');
        uris(&mut element, self.uri_names);
        for name in self.dns_names {
            named(&mut element, "DNS", name);
        }
        if element.len() > CLIENT_CERT_BYTES_MAX {
            return Err(NotShown::TooLong);
        }
        Ok(element)
    }
}

/// The same of a certificate of which nothing is known but its URI names: for requests that are asked about in words.
/// `None` without any.
#[must_use]
pub fn of_uri_names<N: AsRef<str>>(names: &[N]) -> Option<String> {
    let mut element = String::new();
    if !names.is_empty() {
        uris(&mut element, names);
    }
    Some(element).filter(|element| !element.is_empty())
}

/// As in Envoy, a certificate without a URI has an empty one.
fn uris<N: AsRef<str>>(element: &mut String, names: &[N]) {
    let mut has_none = true;
    for name in names.iter().map(AsRef::as_ref).filter(|name| is_uri(name)) {
        named(element, "URI", name);
        has_none = false;
    }
    if has_none {
        named(element, "URI", "");
    }
}

fn begin(element: &mut String, key: &str) {
    if !element.is_empty() {
        element.push(';');
    }
    element.push_str(key);
    element.push('=');
}

/// Envoy writes URIs as they are. One with what separates values would then say what its certificate does not, so it is
/// quoted here, as the field's description has it.
fn named(element: &mut String, key: &str, value: &str) {
    begin(element, key);
    if value.contains([',', ';']) {
        element.push('"');
        element.push_str(value);
        element.push('"');
    } else {
        element.push_str(value);
    }
}

/// Whether a name has only the characters of RFC 3986, among which are neither quotes nor blanks.
fn is_uri(name: &str) -> bool {
    let is_of_uri = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    !name.is_empty() && name.bytes().all(is_of_uri)
}

fn hex(element: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into memory does not fail.
        let _: fmt::Result = write!(element, "{byte:02x}");
    }
}

/// Characters of a line of PEM.
const PEM_LINE: usize = 64;

/// PEM in quotes, escaped as in URLs.
fn pem(element: &mut String, der: &[u8]) {
    let text = STANDARD.encode(der);
    element.push_str("\"-----BEGIN%20CERTIFICATE-----%0A");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index.is_multiple_of(PEM_LINE) {
            element.push_str("%0A");
        }
        match character {
            '+' => element.push_str("%2B"),
            '/' => element.push_str("%2F"),
            '=' => element.push_str("%3D"),
            other => element.push(other),
        }
    }
    element.push_str("%0A-----END%20CERTIFICATE-----%0A\"");
}
