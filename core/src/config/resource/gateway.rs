//! `networking.istio.io` Gateway: which ports listen, and for which hosts.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::{Labels, Meta, Spanned};
use crate::config::diagnostic::Location;

/// The API group.
pub const NETWORKING_GROUP: &str = "networking.istio.io";

/// A Gateway. <https://istio.io/latest/docs/reference/config/networking/gateway/>
#[derive(Debug, Clone)]
pub struct Gateway {
    /// Where it came from.
    pub meta: Meta,
    /// `spec.selector`: labels of the proxies that load it; empty selects every proxy.
    pub selector: Labels,
    /// `spec.servers`, at least one.
    pub servers: Vec<Server>,
}

/// One entry of `spec.servers`.
#[derive(Debug, Clone)]
pub struct Server {
    /// The entry.
    pub at: Location,
    /// `hosts`: `[namespace/]name`, `*`, `*.suffix`; at least one.
    pub hosts: Vec<Spanned<String>>,
    /// `port.number`, 1 to 65535.
    pub port: Spanned<u16>,
    /// `port.name`.
    pub port_name: Spanned<Box<str>>,
    /// `port.protocol` and `tls`.
    pub protocol: Spanned<ServerProtocol>,
}

/// The protocols a server may speak here. Others are refused by name.
#[derive(Debug, Clone)]
pub enum ServerProtocol {
    /// `HTTP` and `HTTP2`: plain text, HTTP/1.1 and HTTP/2 with prior knowledge on one port.
    Http {
        /// `tls.httpsRedirect`: every request is sent away to `https`.
        https_redirect: bool,
    },
    /// `HTTPS`: the same two, after TLS.
    Https(Box<ServerTls>),
}

/// `tls` of an HTTPS server.
/// <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings>
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// What proves the server's names: at least one.
    pub credentials: Vec<Credential>,
    /// `mode`, and what goes with it.
    pub clients: ClientCertificates,
    /// `minProtocolVersion`.
    pub min_version: TlsVersion,
    /// `maxProtocolVersion`, not lower than `min_version`.
    pub max_version: TlsVersion,
    /// `cipherSuites` by OpenSSL's names; for TLS 1.2 alone. Without any, all that are good.
    pub cipher_suites: Vec<Spanned<Box<str>>>,
}

/// A certificate and its private key.
#[derive(Debug, Clone)]
pub enum Credential {
    /// `credentialName`, `credentialNames`: a Secret in the gateway's namespace.
    Secret(Spanned<Box<str>>),
    /// `serverCertificate` and `privateKey`, `tlsCertificates`: paths of PEM files.
    Files {
        /// The chain, the server's own certificate first.
        certificate: Spanned<Box<str>>,
        /// The key.
        key: Spanned<Box<str>>,
    },
}

/// Whether clients prove who they are.
#[derive(Debug, Clone)]
pub enum ClientCertificates {
    /// `SIMPLE`: they are not asked.
    NotAsked,
    /// `MUTUAL` and `OPTIONAL_MUTUAL`: they are asked, and what they show is verified.
    Asked {
        /// `MUTUAL`: without one they are not served.
        required: bool,
        /// The authorities to trust.
        roots: ClientRoots,
        /// `caCrl`: path of a PEM file with revoked certificates.
        crl: Option<Spanned<Box<str>>>,
        /// `subjectAltNames`: names of which the certificate must carry one; without any, each is good.
        subject_alt_names: Vec<Spanned<Box<str>>>,
    },
}

/// Where the authorities are that clients' certificates must come from.
#[derive(Debug, Clone)]
pub enum ClientRoots {
    /// `caCertificates`: path of a PEM file.
    File(Spanned<Box<str>>),
    /// `caCertCredentialName`: a Secret of their own.
    Secret(Spanned<Box<str>>),
    /// In the Secret of the server's certificate, or in `<name>-cacert`.
    Credential,
}

/// A version of TLS that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to speak each")]
pub enum TlsVersion {
    /// RFC 5246.
    V12,
    /// RFC 8446.
    V13,
}
