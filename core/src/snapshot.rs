//! The owner of a compiled configuration: lends [`Tables`] to decisions and
//! tells a shell which ports to listen on and how to reach each upstream.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

/// One port to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// The logical port: the number of the Gateway servers that open it.
    pub port: u16,
}

/// How one provider host is reached. What `UpstreamId` indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Upstream {
    /// The provider host it serves, e.g. `dashscope.aliyuncs.com`; names the cluster in logs and metrics.
    pub host: Box<str>,
    /// Where to connect: at least one, weights at least 1.
    pub endpoints: Vec<Endpoint>,
    /// `None` is plain text.
    pub tls: Option<UpstreamTls>,
    /// Time for one connection attempt, TLS handshake included, in milliseconds.
    pub connect_timeout_ms: u32,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Endpoint {
    /// An IP address or a DNS name.
    pub address: Box<str>,
    /// The TCP port.
    pub port: u16,
    /// Share of the traffic, relative to the upstream's other endpoints.
    pub weight: u32,
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// The server name that is sent and that the certificate must carry.
    pub sni: Box<str>,
    /// Names of which the certificate must carry one instead of `sni`; empty means `sni`.
    pub subject_alt_names: Vec<Box<str>>,
    /// PEM file of the certificate authorities to trust instead of the system's.
    pub ca_certificates: Option<String>,
}
