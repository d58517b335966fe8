//! What TLS is made of: certificates, keys, authorities and lists of what they have revoked, read from files and Secrets.
//!
//! Everything that can be wrong with them is found when a configuration is
//! loaded, never in a handshake. What goes wrong is said without a byte of what
//! was read, which may be a key.

mod place;

use std::borrow::Cow;
use std::sync::Arc;

use aws_lc_rs::digest;
use lockgate_core::snapshot::Secrets;
use lockgate_core::tls::{Certificate, Pem};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore};
use webpki::{BorrowedCertRevocationList, EndEntityCert};

use self::place::{Fault, Wanted, line_of};
use crate::config;

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
        finished(self.digest)
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
        let certificates = all::<CertificateDer<'static>>(chain, &chain_text, Wanted::Certificate)?;
        let private =
            PrivateKeyDer::from_pem_slice(&key_text).map_err(|_| not_read(key, &key_text, Wanted::PrivateKey))?;
        let chain_at = || at(chain, line_of(&chain_text, Wanted::Certificate, 0));
        let key_at = || at(key, line_of(&key_text, Wanted::PrivateKey, 0));
        let own = certificates.first().map(EndEntityCert::try_from);
        if let Some(Err(error)) = own {
            return Err(format!(
                "{}: the certificate that begins there cannot be used: {error}",
                chain_at()
            ));
        }
        let private = provider.key_provider.load_private_key(private);
        let private =
            private.map_err(|error| format!("{}: the key that begins there cannot be used: {error}", key_at()))?;
        let certified = CertifiedKey::new(certificates, private);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(error) => Err(format!(
                "{} is not the certificate of {}, or neither can be used: {error}",
                chain_at(),
                key_at()
            )),
        }
    }

    pub(crate) fn authorities(&mut self, pem: &Pem) -> Result<Arc<RootCertStore>, String> {
        let text = self.read(pem)?;
        let certificates = all::<CertificateDer<'static>>(pem, &text, Wanted::Certificate)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates);
        if roots.is_empty() {
            let first = at(pem, line_of(&text, Wanted::Certificate, 0));
            return Err(format!(
                "{first}: no certificate of an authority can be read there, nor behind it"
            ));
        }
        Ok(Arc::new(roots))
    }

    pub(crate) fn revoked(&mut self, pem: &Pem) -> Result<Vec<CertificateRevocationListDer<'static>>, String> {
        let text = self.read(pem)?;
        let lists = all::<CertificateRevocationListDer<'static>>(pem, &text, Wanted::RevocationList)?;
        for (index, list) in lists.iter().enumerate() {
            BorrowedCertRevocationList::from_der(list).map_err(|error| {
                let place = at(pem, line_of(&text, Wanted::RevocationList, index));
                format!("{place}: the list that begins there cannot be used: {error}")
            })?;
        }
        Ok(lists)
    }

    fn read(&mut self, pem: &Pem) -> Result<Cow<'s, [u8]>, String> {
        let text: Cow<'s, [u8]> = match pem {
            Pem::File(path) => {
                let text = config::read_named(path);
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

/// The digest of authorities that were read elsewhere.
pub(crate) fn digest_of(roots: &RootCertStore) -> Digest {
    let mut digest = digest::Context::new(&digest::SHA256);
    for root in &roots.roots {
        digest.update(&root.subject);
        digest.update(&root.subject_public_key_info);
        digest.update(root.name_constraints.as_deref().unwrap_or_default());
    }
    finished(digest)
}

fn finished(context: digest::Context) -> Digest {
    let mut digest = [0; digest::SHA256_OUTPUT_LEN];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

/// All sections of a kind, of which there is at least one.
fn all<T: PemObject>(pem: &Pem, text: &[u8], wanted: Wanted) -> Result<Vec<T>, String> {
    let sections = T::pem_slice_iter(text).collect::<Result<Vec<_>, _>>().ok();
    sections
        .filter(|sections| !sections.is_empty())
        .ok_or_else(|| not_read(pem, text, wanted))
}

/// Why what is wanted could not be read. An error of the reader's own quotes the line, which may be a key whose line
/// breaks were lost.
fn not_read(pem: &Pem, text: &[u8], wanted: Wanted) -> String {
    let Fault { line, what } = place::fault(text, wanted);
    match line {
        Some(line) => format!("{}: {what}", at(pem, line)),
        None => format!("{} holds no PEM {wanted}: {what}", named(pem)),
    }
}

fn at(pem: &Pem, line: usize) -> String {
    format!("{} line {line}", named(pem))
}

fn named(pem: &Pem) -> String {
    match pem {
        Pem::File(path) => format!("`{path}`"),
        Pem::Secret(_) => "the Secret".to_owned(),
    }
}
