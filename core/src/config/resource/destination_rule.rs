//! `networking.istio.io` DestinationRule: how an upstream is spoken to.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Credential, Labels, Meta, Spanned};
use crate::config::diagnostic::Location;

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
    /// What connections to most ports are like.
    pub usual: PortPolicy,
    /// `portLevelSettings`, of one number each: nothing of `usual` is inherited.
    pub ports: Vec<(u16, PortPolicy)>,
}

/// What connections to a port are like.
#[derive(Debug, Clone, Default)]
pub struct PortPolicy {
    /// `tls`.
    pub tls: Option<ClientTls>,
    /// `connectionPool`.
    pub connection_pool: Option<ConnectionPool>,
}

/// `connectionPool`.
#[derive(Debug, Clone, Default)]
pub struct ConnectionPool {
    /// `tcp.connectTimeout`, in milliseconds.
    pub connect_timeout_ms: Option<u32>,
    /// `http.h2UpgradePolicy` is `UPGRADE`.
    pub upgrades_to_h2: bool,
    /// `http.useClientProtocol`.
    pub uses_client_protocol: bool,
    /// `http.maxConcurrentStreams`.
    pub streams_max: Option<u32>,
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

/// `tls` of a `trafficPolicy`. `ISTIO_MUTUAL` is refused by name.
#[derive(Debug, Clone)]
pub enum ClientTls {
    /// `DISABLE`: plain text.
    Disable,
    /// `SIMPLE` and `MUTUAL`.
    Speak(Box<ClientTlsSettings>),
}

/// How TLS is spoken to an upstream.
#[derive(Debug, Clone)]
pub struct ClientTlsSettings {
    /// The mapping. No two have one.
    pub at: Location,
    /// Which field it is, such as `spec.trafficPolicy.tls`.
    pub field: Box<str>,
    /// `sni`: the name sent and checked; the host when absent.
    pub sni: Option<Spanned<String>>,
    /// `caCertificates`, `credentialName`.
    pub roots: ServerRoots,
    /// `caCrl`: path of a PEM file with the lists of revoked certificates.
    pub crl: Option<Spanned<Box<str>>>,
    /// `subjectAltNames`: names of which the certificate must carry one instead of the SNI.
    pub subject_alt_names: Vec<Spanned<Box<str>>>,
    /// `clientCertificate` and `privateKey`, or `credentialName`: what mode `MUTUAL` shows.
    pub credential: Option<Credential>,
}

/// Whom the server's certificate must come from.
#[derive(Debug, Clone)]
pub enum ServerRoots {
    /// Whom the system trusts.
    System,
    /// `caCertificates`: path of a PEM file.
    File(Spanned<Box<str>>),
    /// `credentialName`: in this Secret, or in `<name>-cacert`.
    Credential(Spanned<Box<str>>),
}
