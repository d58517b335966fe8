//! What a shell needs to speak TLS with clients, and of TLS with upstreams what is the same: certificates by reference,
//! whom to ask for theirs, versions.
//!
//! Which server of a port a client gets is decided by the name it asks for
//! ([`crate::tables::Tables::tls_server`]); the handshake is the shell's.
//! <https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings>

use alloc::boxed::Box;
use alloc::vec::Vec;

use serde::Serialize;

pub use crate::config::resource::TlsVersion;
use crate::tables::SecretId;

/// One HTTPS server of a Gateway. What [`crate::tables::TlsServerId`] indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TlsServer {
    /// `namespace/gateway servers[0]`, for messages.
    pub label: Box<str>,
    /// What proves its names. None when a Secret is not there: then it cannot be served.
    pub certificates: Vec<Certificate>,
    /// Whether clients are asked for certificates.
    pub clients: Option<ClientVerification>,
    /// Lowest version that is spoken.
    pub min_version: TlsVersion,
    /// Highest version that is spoken.
    pub max_version: TlsVersion,
    /// Cipher suites of TLS 1.2; empty means all that are good.
    pub cipher_suites: Vec<CipherSuite>,
}

/// A certificate chain and its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Certificate {
    /// The chain, the certificate itself first.
    pub chain: Pem,
    /// The private key.
    pub key: Pem,
}

impl TlsServer {
    pub(crate) fn pems(&self) -> impl Iterator<Item = &Pem> {
        let own = self.certificates.iter().flat_map(Certificate::pems);
        let clients = self.clients.iter();
        own.chain(clients.flat_map(|clients| clients.roots.iter().chain(&clients.crl)))
    }
}

impl Certificate {
    pub(crate) fn pems(&self) -> [&Pem; 2] {
        [&self.chain, &self.key]
    }
}

/// How clients' certificates are verified.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClientVerification {
    /// Whether a client without one is turned away.
    pub required: bool,
    /// The authorities to trust; `None` when a Secret is not there: then it cannot be served.
    pub roots: Option<Pem>,
    /// Lists of revoked certificates.
    pub crl: Option<Pem>,
    /// Names of which the certificate must carry one; empty means that any is good.
    pub subject_alt_names: Vec<Box<str>>,
}

/// PEM text, which is not part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to read each")]
pub enum Pem {
    /// In a file of this path.
    File(Box<str>),
    /// In a Secret.
    Secret(#[serde(serialize_with = "by_number")] SecretId),
}

fn by_number<S: serde::Serializer>(id: &SecretId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u32(id.0)
}

/// A cipher suite of TLS 1.2 that keeps what was said before a key is lost, and authenticates what it encrypts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to speak each")]
#[expect(missing_docs, reason = "the names are IANA's")]
pub enum CipherSuite {
    EcdheEcdsaAes128Gcm,
    EcdheEcdsaAes256Gcm,
    EcdheEcdsaChacha20Poly1305,
    EcdheRsaAes128Gcm,
    EcdheRsaAes256Gcm,
    EcdheRsaChacha20Poly1305,
}

impl CipherSuite {
    /// Each by OpenSSL's name, as Istio has them.
    pub const NAMED: [(&'static str, Self); 6] = [
        ("ECDHE-ECDSA-AES128-GCM-SHA256", Self::EcdheEcdsaAes128Gcm),
        ("ECDHE-ECDSA-AES256-GCM-SHA384", Self::EcdheEcdsaAes256Gcm),
        ("ECDHE-ECDSA-CHACHA20-POLY1305", Self::EcdheEcdsaChacha20Poly1305),
        ("ECDHE-RSA-AES128-GCM-SHA256", Self::EcdheRsaAes128Gcm),
        ("ECDHE-RSA-AES256-GCM-SHA384", Self::EcdheRsaAes256Gcm),
        ("ECDHE-RSA-CHACHA20-POLY1305", Self::EcdheRsaChacha20Poly1305),
    ];
}
