//! Reading a head in one way only: `semantics/policy.md` §3 and §5 (BASE), and the authority rules of the design.

use std::net::Ipv6Addr;

use lockgate_core::decision::BadRequest;
use lockgate_core::limits::{AUTHORITY_BYTES_MAX, PATH_BYTES_MAX};

use crate::traffic::Sample;

/// A head that can be read.
#[derive(Debug, Clone)]
pub struct Head {
    /// `host[:port]` as sent.
    pub authority: String,
    /// The host, lower case, without port.
    pub host: String,
    /// The port, where the authority names one, as written.
    pub port: Option<String>,
    /// The path in its normal form.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
}

/// Reads the head.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(sample: &Sample) -> Result<Head, Vec<BadRequest>> {
    let mut faults = Vec::new();
    let authority = authority(sample, &mut faults);
    let (host, port) = split_authority(&authority).unwrap_or_else(|| {
        faults.push(BadRequest::Authority);
        (String::new(), None)
    });
    let target = sample.target.split('#').next().unwrap_or("");
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    let path = match path {
        "*" if sample.method == "OPTIONS" => path.to_owned(),
        _ => normal_path(path).unwrap_or_else(|fault| {
            faults.push(fault);
            String::new()
        }),
    };
    if query.as_ref().is_some_and(|query| query.bytes().any(is_illegal)) {
        faults.push(BadRequest::Path);
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Head {
        authority,
        host,
        port,
        path,
        query,
    })
}

/// The one authority of the request: an absolute target or `:authority` makes a single `Host` irrelevant.
fn authority(sample: &Sample, faults: &mut Vec<BadRequest>) -> String {
    let hosts: Vec<String> = values(sample, "host")
        .into_iter()
        .map(|host| String::from_utf8_lossy(&host).into_owned())
        .collect();
    if hosts.len() > 1 {
        faults.push(BadRequest::TwoHosts);
    }
    match sample.authority.as_ref().or(hosts.first()) {
        Some(authority) => authority.clone(),
        None => {
            faults.push(BadRequest::MissingHost);
            String::new()
        }
    }
}

/// The values of a header field, each without blanks around it.
#[must_use]
pub fn values(sample: &Sample, name: &str) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for (key, value) in &sample.headers {
        if key.to_ascii_lowercase() == name {
            values.push(value.trim_ascii().to_vec());
        }
    }
    values
}

/// Host, lower case, and port; `None` when it is no authority.
#[must_use]
pub fn split_authority(authority: &str) -> Option<(String, Option<String>)> {
    if authority.len() > AUTHORITY_BYTES_MAX {
        return None;
    }
    let (host, rest) = if authority.starts_with('[') {
        let end = authority.find(']')?;
        authority[1..end].parse::<Ipv6Addr>().ok()?;
        (&authority[..=end], &authority[end + 1..])
    } else {
        let end = authority.find(':').unwrap_or(authority.len());
        let name = &authority[..end];
        let legal = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        if name.is_empty() || !name.chars().all(legal) {
            return None;
        }
        (name, &authority[end..])
    };
    let port = match rest.strip_prefix(':') {
        None if rest.is_empty() => None,
        None => return None,
        Some(digits) if !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()) => {
            digits.parse::<u16>().ok()?;
            Some(digits.to_owned())
        }
        Some(_) => return None,
    };
    Some((host.to_ascii_lowercase(), port))
}

/// The normal form of a path without query and fragment.
fn normal_path(raw: &str) -> Result<String, BadRequest> {
    if !raw.starts_with('/') || raw.bytes().any(is_illegal) {
        return Err(BadRequest::Path);
    }
    let unescaped = decode_unreserved(raw)?;
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = unescaped[1..].split('/').collect();
    for (index, segment) in segments.iter().enumerate() {
        let last = index == segments.len() - 1;
        let name = segment.split(';').next().unwrap_or("");
        match name {
            "." => {}
            ".." => {
                kept.pop();
            }
            _ => {
                kept.push(segment);
                continue;
            }
        }
        // A dot segment at the end leaves the folder it stands for.
        if last {
            kept.push("");
        }
    }
    let path = format!("/{}", kept.join("/"));
    if path.len() > PATH_BYTES_MAX {
        return Err(BadRequest::PathTooLong);
    }
    Ok(path)
}

/// One round of decoding, backslashes turned and what a URI cannot hold written as an escape.
fn decode_unreserved(raw: &str) -> Result<String, BadRequest> {
    let mut out = String::new();
    let mut rest = raw;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        match c {
            '\\' => out.push('/'),
            '|' | '"' | '{' | '}' | '^' | '`' | '<' | '>' => out += &format!("%{:02X}", u32::from(c)),
            '%' => {
                let digits = rest.get(..2).ok_or(BadRequest::Path)?;
                if !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                    return Err(BadRequest::Path);
                }
                let byte = u8::from_str_radix(digits, 16).map_err(|_| BadRequest::Path)?;
                match char::from(byte) {
                    '\0' => return Err(BadRequest::Path),
                    c if c.is_ascii_alphanumeric() || "-._~".contains(c) => out.push(c),
                    _ => out += &format!("%{digits}"),
                }
                rest = &rest[2..];
            }
            c => out.push(c),
        }
    }
    Ok(out)
}

/// Blanks, control characters and bytes that are not ASCII: no request line can carry them.
fn is_illegal(byte: u8) -> bool {
    !byte.is_ascii_graphic()
}
