//! TLS towards upstreams: whom to trust, which name the certificate must carry, and what is shown of the gateway.

use std::fmt;
use std::sync::Arc;

use lockgate_core::snapshot::{Secrets, Shown, Trust, UpstreamTls};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, WebPkiServerVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use webpki::{
    BorrowedCertRevocationList, CertRevocationList, EndEntityCert, ExpirationPolicy, KeyUsage, RevocationOptionsBuilder,
};

use crate::pem::{Digest, Reader, digest_of};

/// How one upstream is spoken to by TLS. Its sessions are resumed, whichever protocol is spoken in them.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    /// The server name that is sent.
    pub(crate) name: ServerName<'static>,
    /// Of all it was made of: a changed file makes another upstream, and one that was moved does not.
    digest: Digest,
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// What it is made of cannot be used.
    Pem(String),
    /// A Secret that it names is not loaded.
    Secret,
    /// The default trust anchors are none.
    Roots(String),
    /// Not a name that a certificate can carry.
    Name(String),
    /// rustls refuses.
    Rustls(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => write!(f, "`{name}` is neither a DNS name nor an IP address"),
            Self::Secret => f.write_str("the Secret that its DestinationRule names is not loaded"),
            Self::Pem(error) | Self::Roots(error) | Self::Rustls(error) => f.write_str(error),
        }
    }
}

/// The default trust anchors, loaded when first asked for: reading the system's takes some milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Roots {
    store: Option<Arc<RootCertStore>>,
    /// Of them, once they are loaded.
    digest: Digest,
}

/// What replaces the system's roots.
const REPLACE_ROOTS: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

impl Roots {
    /// The system's roots, or Mozilla's as bundled where the system has none. Who names others wants no more than those.
    fn default_store(&mut self) -> Result<Arc<RootCertStore>, TlsError> {
        if let Some(store) = &self.store {
            return Ok(Arc::clone(store));
        }
        let found = rustls_native_certs::load_native_certs();
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(found.certs);
        if store.is_empty() {
            let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
            let named: Vec<&str> = REPLACE_ROOTS.into_iter().filter(is_set).collect();
            if !named.is_empty() {
                let why = found
                    .errors
                    .first()
                    .map(|error| format!(": {error}"))
                    .unwrap_or_default();
                let named = named.join(" and ");
                return Err(TlsError::Roots(format!(
                    "no authority can be read where {named} leads{why}"
                )));
            }
            store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        }
        self.digest = digest_of(&store);
        Ok(Arc::clone(self.store.insert(Arc::new(store))))
    }
}

impl Tls {
    /// Prepares TLS as the configuration asks for it.
    pub(crate) fn new(spec: &UpstreamTls, secrets: &Secrets, roots: &mut Roots) -> Result<Self, TlsError> {
        let mut reader = Reader::new(secrets);
        let (provider, builder) = builder()?;
        reader.note(&(&spec.sni, &spec.subject_alt_names));
        let verifier = verifier(spec, &mut reader, roots, &provider)?;
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let config = match shown(&spec.credential, &mut reader, &provider)? {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder.with_client_cert_resolver(certificate),
        };
        let speaks = |protocol: &[u8]| {
            let mut config = config.clone();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        Ok(Self {
            http1: speaks(b"http/1.1"),
            http2: speaks(b"h2"),
            name: server_name(&spec.sni)?,
            digest: reader.finish(),
        })
    }

    /// For a handshake.
    pub(super) fn config(&self, speaks: Speaks) -> Arc<ClientConfig> {
        Arc::clone(match speaks {
            Speaks::Http1 => &self.http1,
            Speaks::Http2 => &self.http2,
        })
    }

    pub(super) const fn digest(&self) -> &Digest {
        &self.digest
    }
}

fn verifier(
    spec: &UpstreamTls,
    reader: &mut Reader<'_>,
    roots: &mut Roots,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let (store, crl) = match &spec.trust {
        Trust::System { crl } => {
            let store = roots.default_store()?;
            reader.note(&roots.digest);
            (store, crl)
        }
        Trust::Authorities { roots, crl } => {
            let roots = roots.as_ref().ok_or(TlsError::Secret)?;
            (reader.authorities(roots).map_err(TlsError::Pem)?, crl)
        }
    };
    reader.note(&(matches!(spec.trust, Trust::System { .. }), crl.is_some()));
    let crl = crl.as_ref().map(|pem| reader.revoked(pem)).transpose();
    let crls = crl.map_err(TlsError::Pem)?.unwrap_or_default();
    if spec.subject_alt_names.is_empty() {
        // As Envoy does: whoever keeps newer lists away must not keep a certificate alive by that.
        let webpki = WebPkiServerVerifier::builder_with_provider(store, Arc::clone(provider))
            .with_crls(crls)
            .enforce_revocation_expiration()
            .build();
        return Ok(webpki.map_err(|error| TlsError::Rustls(error.to_string()))?);
    }
    let revoked = crls.iter().map(revoked).collect::<Result<_, _>>()?;
    Ok(Arc::new(OneOfNames {
        names: spec.subject_alt_names.clone(),
        roots: store,
        revoked,
        algorithms: provider.signature_verification_algorithms,
    }))
}

fn revoked(list: &CertificateRevocationListDer<'_>) -> Result<CertRevocationList<'static>, TlsError> {
    let read = BorrowedCertRevocationList::from_der(list).and_then(|list| list.to_owned());
    read.map(CertRevocationList::Owned)
        .map_err(|error| TlsError::Rustls(format!("a list of revoked certificates: {error}")))
}

fn shown(
    shown: &Shown,
    reader: &mut Reader<'_>,
    provider: &CryptoProvider,
) -> Result<Option<Arc<dyn ResolvesClientCert>>, TlsError> {
    match shown {
        Shown::Nothing => Ok(None),
        Shown::Missing => Err(TlsError::Secret),
        Shown::Certificate(certificate) => {
            let key = reader.certified_key(certificate, provider).map_err(TlsError::Pem)?;
            Ok(Some(Arc::new(SingleCertAndKey::from(key))))
        }
    }
}

/// The configuration for servers that the default trust anchors vouch for.
pub(crate) fn client_config(roots: &mut Roots) -> Result<ClientConfig, TlsError> {
    let (_, builder) = builder()?;
    let mut config = builder
        .with_root_certificates(roots.default_store()?)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<(Arc<CryptoProvider>, Builder), TlsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| TlsError::Rustls(error.to_string()))?;
    Ok((provider, builder))
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::Name(name.to_owned()))
}

/// Takes certificates that carry one of some names (Istio's `subjectAltNames`): one that is the same, or, of a DNS name,
/// one with a wildcard that stands for it, as in Envoy.
#[derive(Debug)]
struct OneOfNames {
    names: Vec<Box<str>>,
    roots: Arc<RootCertStore>,
    revoked: Vec<CertRevocationList<'static>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl OneOfNames {
    fn is_vouched_for(
        &self,
        certificate: &EndEntityCert<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), webpki::Error> {
        let revoked: Vec<&CertRevocationList<'_>> = self.revoked.iter().collect();
        // Without lists there is nothing to look up.
        let revocation = RevocationOptionsBuilder::new(&revoked).ok();
        let revocation = revocation.map(|options| options.with_expiration_policy(ExpirationPolicy::Enforce).build());
        let usage = KeyUsage::server_auth();
        certificate
            .verify_for_usage(
                self.algorithms.all,
                &self.roots.roots,
                intermediates,
                now,
                usage,
                revocation,
                None,
            )
            .map(|_| ())
    }

    fn is_named(&self, certificate: &EndEntityCert<'_>) -> bool {
        let is_same = |name: &str| {
            let mut carried = certificate.valid_dns_names().chain(certificate.valid_uri_names());
            carried.any(|carried| carried == name)
        };
        let stands_for = |name: &str| {
            let name = ServerName::try_from(name);
            name.is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        self.names.iter().any(|name| is_same(name) || stands_for(name))
    }
}

impl ServerCertVerifier for OneOfNames {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        self.is_vouched_for(&certificate, intermediates, now)
            .map_err(|error| match error {
                webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
                webpki::Error::CertRevoked => CertificateError::Revoked,
                other => CertificateError::Other(OtherError(Arc::new(other))),
            })?;
        if self.is_named(&certificate) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::tls::Pem;

    #[test]
    fn what_cannot_be_set_up_says_why() {
        let spec = |sni: &str, trust| UpstreamTls {
            sni: sni.into(),
            subject_alt_names: Vec::new(),
            trust,
            credential: Shown::Nothing,
        };
        let file = |path: &str| Trust::Authorities {
            roots: Some(Pem::File(path.into())),
            crl: None,
        };
        let other = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let gone = Trust::Authorities { roots: None, crl: None };
        for (spec, wanted) in [
            (spec("ok.example", file("/no/such.pem")), "cannot read `/no/such.pem`"),
            (spec("ok.example", file("/dev/null")), "it is no regular file"),
            (spec("ok.example", file(other)), "holds no PEM certificate"),
            (spec("ok.example", gone), "is not loaded"),
            (
                spec("not a name", Trust::System { crl: None }),
                "neither a DNS name nor an IP address",
            ),
        ] {
            let error = Tls::new(&spec, &Secrets::default(), &mut Roots::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn there_are_always_roots() {
        assert!(!Roots::default().default_store().unwrap().is_empty());
    }
}
