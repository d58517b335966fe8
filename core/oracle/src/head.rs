//! Reading a head in one way only: `semantics/policy.md` §3, §5 and §6, and the authority rules of the design.

use std::net::{IpAddr, Ipv6Addr};

use lockgate_core::config::resource::MeshConfig;
use lockgate_core::decision::BadRequest;
use lockgate_core::limits::{AUTHORITY_BYTES_MAX, PATH_BYTES_MAX};
use lockgate_core::path::{Normalization, PathParameters};
use lockgate_core::request::Scheme;

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
    /// The client's address as trusted proxies name it.
    pub remote: IpAddr,
}

/// How MeshConfig has heads read.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// `pathNormalization.normalization`
    pub normalization: Normalization,
    /// `pathNormalization.pathParameters`
    pub parameters: PathParameters,
    /// `pathNormalization.escapedSlashes` is `REFUSE`.
    pub refuse_escaped_slashes: bool,
    /// `numTrustedProxies`
    pub trusted_proxies: usize,
}

impl Reading {
    /// What MeshConfig says, or what holds without one.
    #[must_use]
    pub fn of(mesh: Option<&MeshConfig>) -> Self {
        match mesh {
            None => Self {
                normalization: Normalization::Base,
                parameters: PathParameters::Keep,
                refuse_escaped_slashes: false,
                trusted_proxies: 0,
            },
            Some(mesh) => Self {
                normalization: mesh.normalization,
                parameters: mesh.path_parameters,
                refuse_escaped_slashes: mesh.refuse_escaped_slashes,
                trusted_proxies: usize::try_from(mesh.trusted_proxies).expect("a few"),
            },
        }
    }
}

/// Reads the head.
///
/// # Errors
/// Everything that is wrong with it.
pub fn read(sample: &Sample, reading: Reading) -> Result<Head, Vec<BadRequest>> {
    let mut faults = Vec::new();
    // Of the methods that requests are made with here, this is the one that HTTP does not have.
    if sample.method == "post" {
        faults.push(BadRequest::Method);
    }
    if sample.method == "TRACE" {
        faults.push(BadRequest::Trace);
    }
    // Absolute targets are `http://…` here.
    if sample.authority.is_some() && sample.scheme == Scheme::Https {
        faults.push(BadRequest::Scheme);
    }
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
        _ => normal_path(path, reading).unwrap_or_else(|fault| {
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
        remote: remote(sample, reading.trusted_proxies),
        authority,
        host,
        port,
        path,
        query,
    })
}

/// The one authority of the request: an absolute target or `:authority` makes a single `Host` irrelevant.
fn authority(sample: &Sample, faults: &mut Vec<BadRequest>) -> String {
    let hosts: Vec<String> = received(sample, "host")
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
    values_of(&sample.headers, name)
}

/// The values of a header field as it was sent, whatever is shown of it.
#[must_use]
pub fn received(sample: &Sample, name: &str) -> Vec<Vec<u8>> {
    values_of(&sample.received, name)
}

fn values_of(headers: &[(&'static str, Vec<u8>)], name: &str) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    for (key, value) in headers {
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

/// The normal form of a path without query and fragment, step by step.
///
/// # Errors
/// It has none.
pub fn normal_path(raw: &str, reading: Reading) -> Result<String, BadRequest> {
    let escaped_slash = ["%2f", "%2F", "%5c", "%5C"];
    if !raw.starts_with('/')
        || raw.bytes().any(is_illegal)
        || raw.contains(';') && reading.parameters == PathParameters::Refuse
        || escaped_slash.iter().any(|escape| raw.contains(escape)) && reading.refuse_escaped_slashes
    {
        return Err(BadRequest::Path);
    }
    let mut path = raw.to_owned();
    if reading.normalization == Normalization::DecodeAndMergeSlashes {
        for escape in escaped_slash {
            path = path.replace(escape, "/");
        }
    }
    if reading.normalization != Normalization::None {
        path = without_dots(&decode_unreserved(&path)?);
    }
    if reading.parameters == PathParameters::Strip {
        let segments: Vec<&str> = path
            .split('/')
            .map(|segment| segment.split(';').next().unwrap_or(""))
            .collect();
        path = segments.join("/");
    }
    if reading.normalization >= Normalization::MergeSlashes {
        while path.contains("//") {
            path = path.replace("//", "/");
        }
    }
    if raw.len().max(path.len()) > PATH_BYTES_MAX {
        return Err(BadRequest::PathTooLong);
    }
    Ok(path)
}

fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let segments: Vec<&str> = path[1..].split('/').collect();
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
    format!("/{}", kept.join("/"))
}

/// The entry that the outermost trusted proxy wrote, if it is an address.
#[must_use]
pub fn remote(sample: &Sample, trusted_proxies: usize) -> IpAddr {
    let own = sample.proxied.unwrap_or(sample.peer);
    let lines: Vec<String> = received(sample, "x-forwarded-for")
        .iter()
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .filter(|line| !line.is_empty())
        .collect();
    if trusted_proxies == 0 || lines.is_empty() {
        return own;
    }
    let joined = lines.join(",");
    let entries: Vec<&str> = joined.split(',').map(str::trim).collect();
    let Some(index) = entries.len().checked_sub(trusted_proxies) else {
        return own;
    };
    let entry = entries[index];
    let zoned = || entry.split_once('%').filter(|(_, zone)| !zone.is_empty());
    let told = match entry.parse() {
        Ok(address) => Some(address),
        Err(_) => zoned()
            .and_then(|(address, _)| address.parse::<Ipv6Addr>().ok())
            .map(IpAddr::V6),
    };
    match told {
        Some(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        told => told.unwrap_or(own),
    }
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
