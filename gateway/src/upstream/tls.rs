//! TLS towards upstreams: whom to trust, and which name the certificate must carry.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use lockgate_core::snapshot::UpstreamTls;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// How one upstream is spoken to by TLS.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    /// The server name that is sent.
    pub(crate) name: ServerName<'static>,
    /// The certificates it was made of: a changed file makes another upstream.
    ca_pem: Option<Vec<u8>>,
}

/// What is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speaks {
    Http1,
    Http2,
}

impl Speaks {
    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// Why TLS cannot be set up.
#[derive(Debug)]
pub(crate) enum TlsError {
    /// The CA file cannot be read.
    CaFile(String, std::io::Error),
    /// The CA file holds no usable certificate.
    NoCertificate(String),
    /// Not a name that a certificate can carry.
    Name(String),
    /// rustls refuses.
    Rustls(String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile(path, error) => write!(f, "cannot read the CA file `{path}`: {error}"),
            Self::NoCertificate(path) => write!(f, "the CA file `{path}` holds no PEM certificate"),
            Self::Name(name) => write!(f, "`{name}` is neither a DNS name nor an IP address"),
            Self::Rustls(error) => f.write_str(error),
        }
    }
}

/// The default trust anchors, loaded when first asked for: reading the system's takes some milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Roots(Option<Arc<RootCertStore>>);

impl Roots {
    /// The system's roots, or Mozilla's as bundled where the system has none.
    fn default_store(&mut self) -> Arc<RootCertStore> {
        let store = self.0.get_or_insert_with(|| {
            let mut store = RootCertStore::empty();
            store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if store.is_empty() {
                store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            Arc::new(store)
        });
        Arc::clone(store)
    }
}

impl Tls {
    /// Prepares TLS as the configuration asks for it.
    pub(crate) fn new(spec: &UpstreamTls, speaks: Speaks, roots: &mut Roots) -> Result<Self, TlsError> {
        let (store, ca_pem) = match &spec.ca_certificates {
            Some(path) => {
                let (store, pem) = read_ca(path)?;
                (Arc::new(store), Some(pem))
            }
            None => (roots.default_store(), None),
        };
        let (provider, builder) = builder()?;
        let mut config = if spec.subject_alt_names.is_empty() {
            builder.with_root_certificates(store).with_no_client_auth()
        } else {
            let verifier = AnyName::new(&spec.subject_alt_names, store, provider)?;
            builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(verifier))
                .with_no_client_auth()
        };
        config.alpn_protocols = vec![speaks.alpn().to_vec()];
        Ok(Self {
            config: Arc::new(config),
            name: server_name(&spec.sni)?,
            ca_pem,
        })
    }

    /// Whether the trust anchors are the same.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        self.ca_pem == other.ca_pem
    }
}

/// The configuration for servers that the default trust anchors vouch for.
pub(crate) fn client_config(roots: &mut Roots) -> Result<ClientConfig, TlsError> {
    let (_, builder) = builder()?;
    let mut config = builder
        .with_root_certificates(roots.default_store())
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

fn read_ca(path: &str) -> Result<(RootCertStore, Vec<u8>), TlsError> {
    let pem = std::fs::read(Path::new(path)).map_err(|error| TlsError::CaFile(path.to_owned(), error))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem).flatten().collect();
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(TlsError::NoCertificate(path.to_owned()));
    }
    Ok((store, pem))
}

/// Checks a certificate as webpki does, but against any of several names (Istio's `subjectAltNames`).
#[derive(Debug)]
struct AnyName {
    names: Vec<ServerName<'static>>,
    webpki: Arc<WebPkiServerVerifier>,
}

impl AnyName {
    fn new(names: &[Box<str>], store: Arc<RootCertStore>, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let webpki = WebPkiServerVerifier::builder_with_provider(store, provider)
            .build()
            .map_err(|error| TlsError::Rustls(error.to_string()))?;
        Ok(Self {
            names: names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?,
            webpki,
        })
    }
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut last = rustls::Error::General("no name to check".into());
        for name in &self.names {
            match self
                .webpki
                .verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
            {
                Ok(verified) => return Ok(verified),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.webpki.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_set_up_says_why() {
        let spec = |sni: &str, ca: Option<&str>| UpstreamTls {
            sni: sni.into(),
            subject_alt_names: Vec::new(),
            ca_certificates: ca.map(str::to_owned),
        };
        for (spec, wanted) in [
            (
                spec("ok.example", Some("/no/such.pem")),
                "cannot read the CA file `/no/such.pem`",
            ),
            (spec("ok.example", Some("/dev/null")), "holds no PEM certificate"),
            (spec("not a name", None), "neither a DNS name nor an IP address"),
        ] {
            let error = Tls::new(&spec, Speaks::Http1, &mut Roots::default())
                .unwrap_err()
                .to_string();
            assert!(error.contains(wanted), "{error}");
        }
    }

    #[test]
    fn there_are_always_roots() {
        assert!(!Roots::default().default_store().is_empty());
    }
}
