//! An authority made for one run, what it signs, and TLS as clients and upstream of these measurements speak it.
//!
//! One version, one cipher suite and one key exchange, which all proxies have:
//! none is fast because it chose an easier one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, version};

use super::super::chat::{CLIENT_HOST, PROVIDER_HOST};
use super::super::folder::Folder;

/// The files that the proxies and the upstream read, in PEM.
#[derive(Debug)]
pub(super) struct Certificates {
    /// What everybody trusts.
    pub(super) authority: PathBuf,
    /// For what clients ask for: the proxy's.
    pub(super) proxy: Issued,
    /// For the provider: the upstream's.
    pub(super) provider: Issued,
    trusted: CertificateDer<'static>,
}

/// A certificate of the authority's and its key, ECDSA on P-256 both.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Certificates {
    /// Makes all of them, in a folder of their own: the gateway watches where they are, and there is no log there usually.
    pub(super) fn new(folder: &Folder) -> Result<Self, String> {
        let authority = authority().map_err(|error| format!("no authority: {error}"))?;
        Ok(Self {
            authority: folder.file("certificates/authority.pem", &authority.pem())?,
            proxy: issue(&authority, CLIENT_HOST, folder)?,
            provider: issue(&authority, PROVIDER_HOST, folder)?,
            trusted: authority.der().clone(),
        })
    }

    /// A client that speaks `protocol`; whether it also resumes sessions is up to its `resumption`.
    pub(super) fn client(&self, protocol: &str, resumption: Resumption) -> Result<ClientConfig, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).map_err(|error| error.to_string())?;
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider()))
            .with_protocol_versions(&[&version::TLS13])
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        config.resumption = resumption;
        Ok(config)
    }
}

/// The upstream's side, with a certificate and a key that were written before. It speaks HTTP/1.1 and offers nothing else.
pub(in super::super) fn server(certificate: &Path, key: &Path) -> Result<ServerConfig, String> {
    let chain = CertificateDer::pem_file_iter(certificate).and_then(Iterator::collect);
    let chain = chain.map_err(|error| format!("{}: {error}", certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|error| format!("{}: {error}", key.display()))?;
    ServerConfig::builder_with_provider(Arc::new(provider()))
        .with_protocol_versions(&[&version::TLS13])
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(|error| error.to_string())
}

fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![aws_lc_rs::kx_group::X25519],
        ..aws_lc_rs::default_provider()
    }
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(DnType::CommonName, "Authority of one run");
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn issue(authority: &CertifiedIssuer<'_, KeyPair>, name: &str, folder: &Folder) -> Result<Issued, String> {
    let made = || {
        let key = KeyPair::generate()?;
        let params = CertificateParams::new(vec![name.to_owned()])?;
        Ok::<_, rcgen::Error>((params.signed_by(&key, authority)?.pem(), key.serialize_pem()))
    };
    let (certificate, key) = made().map_err(|error| format!("no certificate for {name}: {error}"))?;
    Ok(Issued {
        certificate: folder.file(&format!("certificates/{name}.pem"), &certificate)?,
        key: folder.file(&format!("certificates/{name}.key"), &key)?,
    })
}
