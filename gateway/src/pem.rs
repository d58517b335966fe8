//! What TLS is made of: certificates, keys, authorities and lists of what they have revoked, read from files and Secrets.
//!
//! Everything that can be wrong with them is found when a configuration is
//! loaded, never in a handshake. What goes wrong is said without a byte of what
//! was read, which may be a key.

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest;
use lockgate_core::snapshot::Secrets;
use lockgate_core::tls::{Certificate, Pem};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// Of all that was read: what is made of the same is the same.
pub(crate) type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// Reads what one server or upstream is made of.
pub(crate) struct Reader<'s> {
    secrets: &'s Secrets,
    digest: digest::Context,
}

impl<'s> Reader<'s> {
    pub(crate) fn new(secrets: &'s Secrets) -> Self {
        Self {
            secrets,
            digest: digest::Context::new(&digest::SHA256),
        }
    }

    /// The digest of all that was read and [`Reader::note`]d.
    pub(crate) fn finish(self) -> Digest {
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.copy_from_slice(self.digest.finish().as_ref());
        digest
    }

    /// Lets settings take part in the digest.
    pub(crate) fn note(&mut self, settings: &impl core::fmt::Debug) {
        self.digest.update(format!("{settings:?}").as_bytes());
    }

    pub(crate) fn certified_key(
        &mut self,
        certificate: &Certificate,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, String> {
        let Certificate { chain, key } = certificate;
        let (chain_text, key_text) = (self.read(chain)?, self.read(key)?);
        let certificates = CertificateDer::pem_slice_iter(&chain_text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| is_no_pem(chain, &error))?;
        if certificates.is_empty() {
            return Err(format!("{} holds no PEM certificate", named(chain)));
        }
        let private = PrivateKeyDer::from_pem_slice(&key_text)
            .map_err(|_| format!("{} holds no PEM private key without a password", named(key)))?;
        CertifiedKey::from_der(certificates, private, provider).map_err(|error| {
            format!(
                "{} is not the certificate of {}, or neither can be used: {error}",
                named(chain),
                named(key)
            )
        })
    }

    pub(crate) fn authorities(&mut self, pem: &Pem) -> Result<Arc<RootCertStore>, String> {
        let text = self.read(pem)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
        if roots.is_empty() {
            return Err(format!("{} holds no PEM certificate of an authority", named(pem)));
        }
        Ok(Arc::new(roots))
    }

    pub(crate) fn revoked(&mut self, pem: &Pem) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        let text = self.read(pem)?;
        let lists = CertificateRevocationListDer::pem_slice_iter(&text)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| is_no_pem(pem, &error))?;
        if lists.is_empty() {
            return Err(format!("{} holds no PEM list of revoked certificates", named(pem)));
        }
        Ok(lists)
    }

    fn read(&mut self, pem: &Pem) -> Result<Cow<'s, [u8]>, String> {
        let text: Cow<'s, [u8]> = match pem {
            Pem::File(path) => {
                let text = std::fs::read(&**path);
                text.map_err(|error| format!("cannot read `{path}`: {error}"))?.into()
            }
            Pem::Secret(id) => {
                let secret = self.secrets.get(*id).ok_or("a Secret is missing")?;
                secret.expose().as_bytes().into()
            }
        };
        self.digest.update(&text.len().to_le_bytes());
        self.digest.update(&text);
        Ok(text)
    }
}

/// The error's own words quote the line, which may be a key whose line breaks were lost.
fn is_no_pem(pem: &Pem, error: &pem::Error) -> String {
    let why = match error {
        pem::Error::MissingSectionEnd { .. } => "a section does not end",
        pem::Error::IllegalSectionStart { .. } => "the line that begins a section does not end with five hyphens",
        pem::Error::Base64Decode(_) => "a section is no base64",
        _ => "it cannot be read",
    };
    format!("{} is no PEM: {why}", named(pem))
}

fn named(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => format!("`{path}`"),
        Pem::Secret(_) => "the Secret".to_owned(),
    }
}
