//! Which header fields policies and routes are shown otherwise than sent: `semantics/policy.md` §3 and §6.

use lockgate_core::client_cert::{Forwarding, NAME as CLIENT_CERT};
use lockgate_core::config::resource::MeshConfig;
use lockgate_core::request::Scheme;
use lockgate_core::upgrade::Upgrade;

use crate::head::{self, Reading, received};
use crate::traffic::Sample;

/// What is about one connection, and never judged.
const OF_THE_CONNECTION: [&str; 3] = ["keep-alive", "proxy-connection", "transfer-encoding"];

/// The request as Envoy's connection manager leaves it.
#[must_use]
pub fn shown(sample: &Sample, mesh: Option<&MeshConfig>) -> Sample {
    let mut shown = sample.clone();
    let is_left = |name: &str| {
        let name = name.to_ascii_lowercase();
        let is_written = ["x-forwarded-for", "x-forwarded-proto", "te"].contains(&&*name);
        let asks = Upgrade::asked(sample.method, &Lines(sample)).is_some();
        let is_dropped = ["connection", "upgrade"].contains(&&*name) && !asks;
        let tells_of_client = ["forwarded", "x-real-ip"].contains(&&*name) || name.starts_with("x-forwarded-");
        let is_hearsay = Reading::of(mesh).trusted_proxies == 0 && tells_of_client && name != CLIENT_CERT;
        !is_written
            && !is_dropped
            && !is_hearsay
            && !name.starts_with("x-envoy-")
            && !OF_THE_CONNECTION.contains(&&*name)
    };
    shown.headers.retain(|(name, _)| is_left(name));
    shown.told = told(sample, mesh);
    let client = sample.proxied.unwrap_or(sample.peer).to_string().into_bytes();
    let lines = received(sample, "x-forwarded-for").into_iter().chain([client]);
    let lines: Vec<Vec<u8>> = lines.filter(|line| !line.is_empty()).collect();
    let remote = head::remote(sample, Reading::of(mesh).trusted_proxies);
    let trailers = received(sample, "te").iter().any(|line| {
        line.split(|byte| *byte == b',')
            .any(|one| one.trim_ascii() == b"trailers")
    });
    for (name, value) in [
        ("x-forwarded-for", lines.join(&b","[..])),
        ("x-forwarded-proto", shown.told.as_str().into()),
        ("x-envoy-external-address", remote.to_string().into_bytes()),
    ] {
        shown.headers.push((name, value));
    }
    let agents: Vec<Vec<u8>> = received(sample, "user-agent");
    if agents.len() > 1 {
        let agents: Vec<Vec<u8>> = agents.into_iter().filter(|line| !line.is_empty()).collect();
        shown
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("user-agent"));
        shown.headers.push(("user-agent", agents.join(&b","[..])));
    }
    if trailers {
        shown.headers.push(("te", b"trailers".to_vec()));
    }
    certificate(sample, mesh, &mut shown);
    shown
}

/// What the client spoke, as a trusted proxy tells.
fn told(sample: &Sample, mesh: Option<&MeshConfig>) -> Scheme {
    let trusted = mesh.is_some_and(|mesh| mesh.trusted_proxies > 0);
    let told = received(sample, "x-forwarded-proto");
    match &told[..] {
        [one] if trusted && one.eq_ignore_ascii_case(b"https") => Scheme::Https,
        [one] if trusted && one.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ => sample.scheme,
    }
}

/// In `x-forwarded-client-cert` stands what goes on.
fn certificate(sample: &Sample, mesh: Option<&MeshConfig>, shown: &mut Sample) {
    let forwarding = mesh.map_or(Forwarding::SanitizeSet, |mesh| mesh.client_cert);
    let is_mutual = !sample.uri_names.is_empty();
    let keeps = match forwarding {
        Forwarding::AlwaysForwardOnly => true,
        Forwarding::ForwardOnly | Forwarding::AppendForward => is_mutual,
        Forwarding::Sanitize | Forwarding::SanitizeSet => false,
    };
    if !keeps {
        let is_other = |name: &str| !name.eq_ignore_ascii_case(CLIENT_CERT);
        shown.headers.retain(|(name, _)| is_other(name));
    }
    if is_mutual && matches!(forwarding, Forwarding::AppendForward | Forwarding::SanitizeSet) {
        let names: Vec<String> = sample.uri_names.iter().map(|name| format!("URI={name}")).collect();
        shown.headers.push((CLIENT_CERT, names.join(";").into_bytes()));
    }
}

/// The fields as they came.
struct Lines<'s>(&'s Sample);

impl lockgate_core::request::Headers for Lines<'_> {
    fn each<'h>(&'h self, name: &str, visit: &mut dyn FnMut(&'h [u8])) {
        for (given, value) in &self.0.received {
            if given.eq_ignore_ascii_case(name) {
                visit(value.trim_ascii());
            }
        }
    }
}
