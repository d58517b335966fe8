//! Random requests as the bytes that a client sends.

use std::net::{IpAddr, Ipv4Addr};

use crate::bytes::Bytes;
use crate::traffic::{Sample, sample};

use super::header::header;
use super::tokens::{Keys, Token};

/// One request and the connection it is sent over.
#[derive(Debug, Clone)]
pub struct RawRequest {
    /// The client's address.
    pub from: Ipv4Addr,
    /// The address it connects to.
    pub to: Ipv4Addr,
    /// The PROXY protocol header before it, where the gateway is configured to expect one.
    pub proxy_header: Option<Vec<u8>>,
    /// The method.
    pub method: &'static str,
    /// The request target.
    pub target: String,
    /// The header fields in their order, framing left out.
    pub fields: Vec<(String, Vec<u8>)>,
    /// Whether it has a token whose encoding is not the one that it should have.
    pub has_odd_token: bool,
}

impl RawRequest {
    /// What goes over the wire.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.proxy_header.clone().unwrap_or_default();
        bytes.extend_from_slice(format!("{} {} HTTP/1.1\r\n", self.method, self.target).as_bytes());
        for (name, value) in &self.fields {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if ["POST", "PUT", "PATCH"].contains(&self.method) {
            bytes.extend_from_slice(b"content-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
        } else {
            bytes.extend_from_slice(b"\r\n");
        }
        bytes
    }

    /// The values of a field.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter();
        fields
            .filter(move |(given, _)| given.eq_ignore_ascii_case(name))
            .map(|(_, value)| &value[..])
    }

    /// The target up to query and fragment.
    #[must_use]
    pub fn path(&self) -> &str {
        self.target.split(['?', '#']).next().unwrap_or("")
    }
}

/// Makes a request.
pub fn request(bytes: &mut Bytes<'_>, keys: &Keys, has_proxy_header: bool) -> RawRequest {
    let sample = sample(bytes);
    let mut fields: Vec<(String, Vec<u8>)> = sample
        .headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), value.clone()))
        .collect();
    let mut target = sample.target.clone();
    let mut has_odd_token = false;
    if bytes.one_in(2) {
        let Token { text: token, is_odd } = keys.token(bytes);
        has_odd_token = is_odd;
        match bytes.below(16) {
            0 => target += &format!("?access_token={token}"),
            1 => fields.push(("authorization".to_owned(), format!("bearer {token}").into_bytes())),
            2 => fields.push(("authorization".to_owned(), format!("Basic {token}").into_bytes())),
            3 => fields.push(("x-token".to_owned(), token.into_bytes())),
            _ => fields.push(("Authorization".to_owned(), format!("Bearer {token}").into_bytes())),
        }
    }
    RawRequest {
        from: on_loopback(sample.peer),
        to: on_loopback(sample.local),
        method: sample.method,
        proxy_header: has_proxy_header.then(|| header(bytes)),
        target: absolute_form(&sample, target),
        fields,
        has_odd_token,
    }
}

/// An `:authority` is the absolute form of HTTP/1.1.
fn absolute_form(sample: &Sample, target: String) -> String {
    match &sample.authority {
        Some(authority) => format!("http://{authority}{target}"),
        None => target,
    }
}

/// `10.…` is `127.…` in the policies too.
fn on_loopback(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) if address.octets()[0] == 10 => {
            let [_, rest @ ..] = address.octets();
            Ipv4Addr::new(127, rest[0], rest[1], rest[2])
        }
        IpAddr::V4(_) => Ipv4Addr::new(127, 0, 0, 7),
        IpAddr::V6(_) => Ipv4Addr::new(127, 8, 0, 1),
    }
}
