//! `networking.istio.io` DestinationRule: how an upstream is spoken to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Meta, Spanned};

/// A DestinationRule. <https://istio.io/latest/docs/reference/config/networking/destination-rule/>
#[derive(Debug, Clone)]
pub struct DestinationRule {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.host`: the upstream it shapes.
    pub host: Spanned<String>,
    /// `spec.trafficPolicy.tls`.
    pub tls: Option<ClientTls>,
    /// `spec.trafficPolicy.connectionPool.tcp.connectTimeout`, in milliseconds.
    pub connect_timeout_ms: Option<u32>,
}

/// `spec.trafficPolicy.tls`.
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
