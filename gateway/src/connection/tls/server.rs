//! HTTPS servers as rustls wants them: certificates and keys read, clients' authorities, versions, cipher suites.
//!
//! Everything that can be wrong is found when a configuration is loaded, never in
//! a handshake.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest;
use lockgate_core::compile::Compiled;
use lockgate_core::snapshot::Secrets;
use lockgate_core::tables::TlsServerId;
use lockgate_core::tls::{CipherSuite, ClientVerification, Pem, TlsServer, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite as Suite, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

use super::client::OneOfNames;

/// All HTTPS servers of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Servers(Vec<Server>);

/// One of them.
#[derive(Debug)]
struct Server {
    config: Arc<ServerConfig>,
    /// Of all it was made of: an equal one after a reload goes on with this one's session tickets.
    digest: [u8; digest::SHA256_OUTPUT_LEN],
}

/// Why a server cannot be served.
#[derive(Debug)]
pub(crate) struct ServerError {
    server: Box<str>,
    why: String,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HTTPS server `{}`: {}", self.server, self.why)
    }
}

impl Servers {
    /// Reads what the servers of a configuration are made of.
    ///
    /// # Errors
    /// A file or Secret that is not there, or holds no PEM of what it should; a key that is not the certificate's.
    pub(crate) fn new(compiled: &Compiled) -> Result<Self, ServerError> {
        let servers = compiled.snapshot.tls_servers().iter().map(|server| {
            Reader::new(&compiled.secrets)
                .server(server)
                .map_err(|why| ServerError {
                    server: server.label.clone(),
                    why,
                })
        });
        Ok(Self(servers.collect::<Result<_, _>>()?))
    }

    /// Goes on with the session tickets of those servers of `before` that are the same.
    pub(crate) fn resume(&mut self, before: &Self) {
        for server in &mut self.0 {
            if let Some(same) = before.0.iter().find(|before| before.digest == server.digest) {
                server.config = Arc::clone(&same.config);
            }
        }
    }

    /// How one of them is spoken to.
    pub(crate) fn config(&self, id: TlsServerId) -> Option<Arc<ServerConfig>> {
        self.0.get(id.0 as usize).map(|server| Arc::clone(&server.config))
    }
}

/// The files that the servers of a configuration are made of, whether or not they are there.
pub(crate) fn files(compiled: &Compiled) -> impl Iterator<Item = PathBuf> {
    let pems = compiled.snapshot.tls_servers().iter().flat_map(|server| {
        let own = server.certificates.iter().flat_map(|own| [&own.chain, &own.key]);
        let clients = server.clients.iter();
        own.chain(clients.flat_map(|clients| clients.roots.iter().chain(&clients.crl)))
    });
    pems.filter_map(|pem| match pem {
        Pem::File(path) => Some(PathBuf::from(&**path)),
        Pem::Secret(_) => None,
    })
}

/// Reads one server.
struct Reader<'s> {
    secrets: &'s Secrets,
    digest: digest::Context,
}

impl<'s> Reader<'s> {
    fn new(secrets: &'s Secrets) -> Self {
        Self {
            secrets,
            digest: digest::Context::new(&digest::SHA256),
        }
    }

    fn server(mut self, server: &TlsServer) -> Result<Server, String> {
        let provider = Arc::new(provider(&server.cipher_suites));
        let mut keys = Vec::new();
        for certificate in &server.certificates {
            keys.push(Arc::new(self.certified_key(
                &certificate.chain,
                &certificate.key,
                &provider,
            )?));
        }
        if keys.is_empty() {
            return Err("there is no certificate: the Secret that it names is not loaded".to_owned());
        }
        let clients = match &server.clients {
            None => Arc::new(NoClientAuth),
            Some(clients) => self.verifier(clients, &provider)?,
        };
        let settings = (server.min_version, server.max_version, &server.cipher_suites);
        self.digest.update(format!("{settings:?}").as_bytes());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(server))
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::new(FirstThatFits(keys)));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // Tickets alone, so that sessions take no memory here.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        let mut digest = [0; digest::SHA256_OUTPUT_LEN];
        digest.copy_from_slice(self.digest.finish().as_ref());
        Ok(Server {
            config: Arc::new(config),
            digest,
        })
    }

    fn certified_key(&mut self, chain: &Pem, key: &Pem, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
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

    fn verifier(
        &mut self,
        clients: &ClientVerification,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let Some(pem) = &clients.roots else {
            return Err(
                "there are no authorities for clients' certificates: the Secret with them is not loaded".to_owned(),
            );
        };
        let text = self.read(pem)?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&text).flatten());
        if roots.is_empty() {
            return Err(format!("{} holds no PEM certificate of an authority", named(pem)));
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
        if let Some(pem) = &clients.crl {
            let text = self.read(pem)?;
            let lists = CertificateRevocationListDer::pem_slice_iter(&text)
                .collect::<Result<Vec<_>, _>>()
                .map_err(|error| is_no_pem(pem, &error))?;
            if lists.is_empty() {
                return Err(format!("{} holds no PEM list of revoked certificates", named(pem)));
            }
            // As Envoy does: whoever keeps newer lists away must not keep a certificate alive by that.
            builder = builder.with_crls(lists).enforce_revocation_expiration();
        }
        if !clients.required {
            builder = builder.allow_unauthenticated();
        }
        let settings = (clients.required, &clients.subject_alt_names);
        self.digest.update(format!("{settings:?}").as_bytes());
        let inner = builder.build().map_err(|error| error.to_string())?;
        if clients.subject_alt_names.is_empty() {
            return Ok(inner);
        }
        Ok(Arc::new(OneOfNames {
            names: clients.subject_alt_names.clone(),
            inner,
        }))
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

fn versions(server: &TlsServer) -> Vec<&'static SupportedProtocolVersion> {
    let spoken = server.min_version..=server.max_version;
    let all = [(TlsVersion::V13, &version::TLS13), (TlsVersion::V12, &version::TLS12)];
    let wanted = all.into_iter().filter(|(version, _)| spoken.contains(version));
    wanted.map(|(_, version)| version).collect()
}

/// The default without the suites of TLS 1.2 that are not among `wanted`, if those are named.
fn provider(wanted: &[CipherSuite]) -> CryptoProvider {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    if !wanted.is_empty() {
        let wanted: Vec<Suite> = wanted.iter().map(|suite| suite_of(*suite)).collect();
        provider
            .cipher_suites
            .retain(|suite| suite.tls13().is_some() || wanted.contains(&suite.suite()));
    }
    provider
}

fn suite_of(suite: CipherSuite) -> Suite {
    match suite {
        CipherSuite::EcdheEcdsaAes128Gcm => Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheEcdsaAes256Gcm => Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheEcdsaChacha20Poly1305 => Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
        CipherSuite::EcdheRsaAes128Gcm => Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::EcdheRsaAes256Gcm => Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::EcdheRsaChacha20Poly1305 => Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    }
}

/// The first certificate whose key can sign as the client wants it.
#[derive(Debug)]
struct FirstThatFits(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for FirstThatFits {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &&Arc<CertifiedKey>| key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(fits).or(self.0.first()).cloned()
    }
}
