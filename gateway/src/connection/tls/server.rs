//! HTTPS servers as rustls wants them: certificates and keys read, clients' authorities, versions, cipher suites.
//!
//! Everything that can be wrong is found when a configuration is loaded, never in
//! a handshake.

use std::fmt;
use std::sync::Arc;

use lockgate_core::compile::Compiled;
use lockgate_core::tables::TlsServerId;
use lockgate_core::tls::{CipherSuite, ClientVerification, TlsServer, TlsVersion};
use rustls::crypto::CryptoProvider;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ClientHello, NoClientAuth, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite as Suite, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, version};

use super::client::{self, OneOfNames};
use crate::log;
use crate::pem::{Digest, Reader};

/// All HTTPS servers of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Servers(Vec<Server>);

/// One of them.
#[derive(Debug)]
pub(super) struct Server {
    config: Arc<ServerConfig>,
    certificates: Arc<FirstThatFits>,
    /// Of all it was made of: an equal one after a reload goes on with this one's session tickets.
    digest: Digest,
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
        let servers = compiled.snapshot.tls_servers().iter().map(|one| {
            server(one, Reader::new(&compiled.secrets)).map_err(|why| ServerError {
                server: one.label.clone(),
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

    pub(super) fn get(&self, id: TlsServerId) -> Option<&Server> {
        self.0.get(id.0 as usize)
    }
}

impl Server {
    /// How it is spoken to.
    pub(super) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The certificate that a client gets.
    pub(super) fn certificate(&self, hello: &ClientHello<'_>) -> Option<&Own> {
        self.certificates.choose(hello)
    }
}

fn server(server: &TlsServer, mut reader: Reader<'_>) -> Result<Server, String> {
    let provider = Arc::new(provider(&server.cipher_suites));
    let mut own = Vec::new();
    for certificate in &server.certificates {
        let key = reader.certified_key(certificate, &provider)?;
        own.push(Own {
            uri_names: key.cert.first().map(client::uri_names).unwrap_or_default(),
            key: Arc::new(key),
        });
    }
    if own.is_empty() {
        return Err("there is no certificate: the Secret that it names is not loaded".to_owned());
    }
    if server.min_version == TlsVersion::V12 && !own.iter().any(|own| fits_a_suite(own, &provider)) {
        let what = "no cipher suite of TLS 1.2 fits the key of a certificate";
        if server.max_version == TlsVersion::V12 {
            return Err(format!("{what}, and TLS 1.3 is not spoken: nobody can connect"));
        }
        let who = "clients without TLS 1.3 cannot connect";
        log::warning(&format!("{what}: {who}"), &[("server", &server.label)]);
    }
    let clients = match &server.clients {
        None => Arc::new(NoClientAuth),
        Some(clients) => verifier(clients, &mut reader, &provider)?,
    };
    reader.note(&(server.min_version, server.max_version, &server.cipher_suites));
    let certificates = Arc::new(FirstThatFits(own));
    let resolver: Arc<FirstThatFits> = Arc::clone(&certificates);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(server))
        .map_err(|error| error.to_string())?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Tickets alone, so that sessions take no memory here.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Server {
        config: Arc::new(config),
        certificates,
        digest: reader.finish(),
    })
}

/// Whether a certificate's key can sign in a cipher suite of TLS 1.2.
fn fits_a_suite(own: &Own, provider: &CryptoProvider) -> bool {
    let signs = |suite: &SupportedCipherSuite| match suite {
        SupportedCipherSuite::Tls12(suite) => own.key.key.choose_scheme(suite.sign).is_some(),
        SupportedCipherSuite::Tls13(_) => false,
    };
    provider.cipher_suites.iter().any(signs)
}

fn verifier(
    clients: &ClientVerification,
    reader: &mut Reader<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let Some(pem) = &clients.roots else {
        return Err(
            "there are no authorities for clients' certificates: the Secret with them is not loaded".to_owned(),
        );
    };
    let roots = reader.authorities(pem)?;
    let mut builder = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(provider));
    if let Some(pem) = &clients.crl {
        // As Envoy does: whoever keeps newer lists away must not keep a certificate alive by that.
        builder = builder.with_crls(reader.revoked(pem)?).enforce_revocation_expiration();
    }
    if !clients.required {
        builder = builder.allow_unauthenticated();
    }
    reader.note(&(clients.required, &clients.subject_alt_names));
    let inner = builder.build().map_err(|error| error.to_string())?;
    if clients.subject_alt_names.is_empty() {
        return Ok(inner);
    }
    Ok(Arc::new(OneOfNames {
        names: clients.subject_alt_names.clone(),
        inner,
    }))
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
struct FirstThatFits(Vec<Own>);

/// One of a server's certificates.
#[derive(Debug)]
pub(super) struct Own {
    key: Arc<CertifiedKey>,
    pub(super) uri_names: Vec<Box<str>>,
}

impl FirstThatFits {
    fn choose(&self, hello: &ClientHello<'_>) -> Option<&Own> {
        let fits = |own: &&Own| own.key.key.choose_scheme(hello.signature_schemes()).is_some();
        self.0.iter().find(fits).or(self.0.first())
    }
}

impl ResolvesServerCert for FirstThatFits {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.choose(&hello).map(|own| Arc::clone(&own.key))
    }
}
