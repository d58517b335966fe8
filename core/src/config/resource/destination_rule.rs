//! `networking.istio.io` DestinationRule: how an upstream is spoken to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};

/// A DestinationRule. <https://istio.io/latest/docs/reference/config/networking/destination-rule/>
#[derive(Debug, Clone)]
pub struct DestinationRule {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.host`: the upstream it shapes.
    pub host: Spanned<String>,
    /// `spec.trafficPolicy`.
    pub policy: TrafficPolicy,
    /// `spec.subsets`, of one name each.
    pub subsets: Vec<Subset>,
}

/// `trafficPolicy` of a host or of a subset.
#[derive(Debug, Clone, Default)]
pub struct TrafficPolicy {
    /// `tls`.
    pub tls: Option<ClientTls>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
}

/// `connectionPool`.
#[derive(Debug, Clone)]
pub struct ConnectionPool {
    /// `tcp.connectTimeout`, in milliseconds.
    pub connect_timeout_ms: Option<u32>,
}

/// One of `spec.subsets`.
#[derive(Debug, Clone)]
pub struct Subset {
    /// `name`.
    pub name: Spanned<String>,
    /// `labels` that its endpoints have.
    pub labels: Labels,
    /// `trafficPolicy`: each field that it has stands in place of the host's.
    pub policy: TrafficPolicy,
}

/// `trafficPolicy.tls`.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// `mode`.
    pub mode: Spanned<ClientTlsMode>,
    /// `sni`: the name sent and checked; the host when absent.
    pub sni: Option<Spanned<String>>,
    /// `caCertificates`: path of a PEM file that replaces the system's roots.
    pub ca_certificates: Option<Spanned<String>>,
    /// `subjectAltNames`: names the certificate may carry instead of the SNI.
    pub subject_alt_names: Vec<Spanned<Box<str>>>,
}

/// The modes supported here. `MUTUAL` and `ISTIO_MUTUAL` are refused by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientTlsMode {
    /// `DISABLE`: plain text.
    Disable,
    /// `SIMPLE`: TLS, the server is authenticated.
    Simple,
}
