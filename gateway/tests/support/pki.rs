//! A certificate authority made for one test.

use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority that can sign server certificates.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// A new authority.
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters of a CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "Acceptance test CA");
        let key = KeyPair::generate().expect("a CA key");
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).expect("a CA certificate"),
        }
    }

    /// What a client must trust, in PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// Serves TLS under `name`, HTTP/1.1 only.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        self.acceptor_of(name, b"http/1.1")
    }

    /// Serves TLS under `name`, for one protocol only.
    pub fn acceptor_of(&self, name: &str, protocol: &[u8]) -> TlsAcceptor {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("parameters of a server");
        self.acceptor_with(params, protocol)
    }

    /// The same with any certificate.
    pub fn acceptor_with(&self, params: CertificateParams, protocol: &[u8]) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a server key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a server certificate");
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a private key");
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a TLS server");
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
    }
}
