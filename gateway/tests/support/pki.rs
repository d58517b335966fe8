//! A certificate authority made for one test.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, IsCa, KeyIdMethod, KeyPair,
    RevokedCertParams, SanType, SerialNumber, date_time_ymd,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

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

    /// The same as the authority's certificate itself.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// A certificate for a DNS name, of a serial number of its own.
    pub fn issue(&self, name: &str, serial: u64) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters of a certificate");
        params.serial_number = Some(SerialNumber::from(serial));
        self.issue_with(params)
    }

    /// A certificate with a URI name.
    pub fn issue_uri(&self, uri: &str, serial: u64) -> Issued {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters of a certificate");
        params
            .subject_alt_names
            .push(SanType::URI(uri.try_into().expect("a URI name")));
        params.serial_number = Some(SerialNumber::from(serial));
        self.issue_with(params)
    }

    /// Any certificate.
    pub fn issue_with(&self, params: CertificateParams) -> Issued {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Issued {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            chain: vec![certificate.der().clone()],
            key_der: key.serialize_der(),
        }
    }

    /// The list, until `year`, of the serial numbers that are revoked.
    pub fn revoke(&self, serials: &[u64], year: i32) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(year, 1, 1),
            crl_number: SerialNumber::from(1_u64),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.issuer).expect("a list of revoked certificates");
        list.pem().expect("a list in PEM")
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

    /// Serves TLS under `name` to clients with a certificate of `clients`, for one protocol only.
    pub fn acceptor_asking(&self, name: &str, protocol: &[u8], clients: &Self) -> TlsAcceptor {
        let mut roots = RootCertStore::empty();
        roots.add(clients.certificate()).expect("an authority");
        let clients = WebPkiClientVerifier::builder(Arc::new(roots)).build();
        let own = self.issue(name, 1);
        let mut config = ServerConfig::builder()
            .with_client_cert_verifier(clients.expect("a verifier"))
            .with_single_cert(own.chain.clone(), own.key_der())
            .expect("a TLS server");
        config.alpn_protocols = vec![protocol.to_vec()];
        TlsAcceptor::from(Arc::new(config))
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

/// A certificate and its key.
#[derive(Debug)]
pub struct Issued {
    /// In PEM.
    pub certificate: String,
    /// In PEM.
    pub key: String,
    /// As a handshake carries it.
    pub chain: Vec<CertificateDer<'static>>,
    key_der: Vec<u8>,
}

impl Issued {
    /// The key as TLS takes it.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key_der.clone()).expect("a private key")
    }

    /// A part of the key that no output may contain.
    pub fn key_line(&self) -> &str {
        self.key.lines().nth(1).expect("a line of base64")
    }
}
