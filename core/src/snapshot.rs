//! The owner of a compiled configuration: lends [`Tables`] to decisions and
//! tells a shell which ports to listen on and how to reach each upstream.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use core::hash::{Hash, Hasher};
use core::net::IpAddr;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::check::Authorizer;
use crate::config::secret::Secret;
use crate::remote;
use crate::request::{Connection, Headers};
use crate::tables::{AdmissionRow, Attempts, AttemptsId, SecretId, Tables};
use crate::tls::{Certificate, Pem, TlsServer};

/// A configuration, compiled and immutable.
#[derive(Debug, Clone)]
pub struct Snapshot {
    id: String,
    tables: Tables,
    listeners: Vec<Listener>,
    tls_servers: Vec<TlsServer>,
    upstreams: Vec<Upstream>,
    key_sources: Vec<KeySource>,
    authorizers: Vec<Authorizer>,
}

impl Snapshot {
    pub(crate) fn new(
        tables: Tables,
        listeners: Vec<Listener>,
        tls_servers: Vec<TlsServer>,
        upstreams: Vec<Upstream>,
        key_sources: Vec<KeySource>,
        authorizers: Vec<Authorizer>,
    ) -> Self {
        let id = identify(&(
            FORMAT,
            &tables,
            &listeners,
            &tls_servers,
            &upstreams,
            &key_sources,
            &authorizers,
        ));
        Self {
            id,
            tables,
            listeners,
            tls_servers,
            upstreams,
            key_sources,
            authorizers,
        }
    }

    /// Keeps what follows from the other rows about the second pass of routes.
    pub(crate) fn admit(&mut self, admissions: Vec<AdmissionRow>) {
        self.tables.derived.admissions = admissions;
    }

    /// Sixteen hexadecimal digits that name what this configuration means: the same on every platform, whatever
    /// the files are called and whatever the secrets are.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What decisions read.
    #[must_use]
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The ports to listen on, ascending.
    #[must_use]
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// The HTTPS servers; [`crate::tables::TlsServerId`] is the index.
    #[must_use]
    pub fn tls_servers(&self) -> &[TlsServer] {
        &self.tls_servers
    }

    /// The files that a shell needs for TLS, whether or not they are there.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        let of_servers = self.tls_servers.iter().flat_map(TlsServer::pems);
        let tls = self.upstreams.iter().filter_map(|upstream| upstream.tls.as_ref());
        let pems = of_servers.chain(tls.flat_map(UpstreamTls::pems));
        pems.filter_map(|pem| match pem {
            Pem::File(path) => Some(&**path),
            Pem::Secret(_) => None,
        })
    }

    /// Whether clients speak TLS to `port`.
    #[must_use]
    pub fn is_tls(&self, port: u16) -> bool {
        self.listeners
            .iter()
            .any(|listener| listener.port == port && listener.is_tls)
    }

    /// Whether each connection begins with a PROXY protocol header ([`crate::proxy_header`]).
    #[must_use]
    pub fn expects_proxy_header(&self) -> bool {
        self.tables.edge.proxy_protocol
    }

    /// Whether proxies of one's own stand in front, which name their clients in `X-Forwarded-For`.
    #[must_use]
    pub fn trusts_proxies(&self) -> bool {
        self.tables.edge.trusted_proxies > 0
    }

    /// The client of a request, as `remoteIpBlocks` has it.
    #[must_use]
    pub fn client(&self, headers: &dyn Headers, connection: &Connection<'_>) -> IpAddr {
        remote::address(headers, self.tables.edge.trusted_proxies, connection)
    }

    /// Where the keys of tokens come from; [`crate::tables::KeySourceId`] is the index.
    #[must_use]
    pub fn key_sources(&self) -> &[KeySource] {
        &self.key_sources
    }

    /// How often and how long requests are tried.
    #[must_use]
    pub fn attempts(&self, id: AttemptsId) -> &Attempts {
        Attempts::of(&self.tables.attempts, id)
    }

    /// How external authorizers are asked; [`crate::tables::AuthorizerId`] is the index.
    #[must_use]
    pub fn authorizers(&self) -> &[Authorizer] {
        &self.authorizers
    }

    /// The upstreams; [`crate::tables::UpstreamId`] is the index.
    #[must_use]
    pub fn upstreams(&self) -> &[Upstream] {
        &self.upstreams
    }
}

/// The secrets of a configuration, kept apart from the snapshot so that no decision, trace or dump can hold one.
#[derive(Debug, Clone, Default)]
pub struct Secrets(pub(crate) Vec<Secret>);

impl Secrets {
    /// The secret a decision refers to.
    #[must_use]
    pub fn get(&self, id: SecretId) -> Option<&Secret> {
        self.0.get(id.0 as usize)
    }

    /// All of them, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (SecretId, &Secret)> {
        (0..).map(SecretId).zip(&self.0)
    }
}

/// Version of what the rows mean; part of every snapshot id.
pub const FORMAT: u32 = 5;

fn identify(meaning: &impl Hash) -> String {
    let mut hasher = Sha256Hasher(Sha256::new());
    meaning.hash(&mut hasher);
    let mut id = String::with_capacity(16);
    for byte in hasher.0.finalize().iter().take(8) {
        // Writing to a String cannot fail.
        let _ = write!(id, "{byte:02x}");
    }
    id
}

/// Feeds `Hash` into SHA-256, with every integer in little-endian and lengths in 64 bits, so that a 32-bit browser and
/// a 64-bit server name a snapshot alike.
struct Sha256Hasher(Sha256);

impl Hasher for Sha256Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn write_u16(&mut self, value: u16) {
        self.0.update(value.to_le_bytes());
    }

    fn write_u32(&mut self, value: u32) {
        self.0.update(value.to_le_bytes());
    }

    fn write_u64(&mut self, value: u64) {
        self.0.update(value.to_le_bytes());
    }

    fn write_u128(&mut self, value: u128) {
        self.0.update(value.to_le_bytes());
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn write_isize(&mut self, value: isize) {
        self.0.update((value as i64).to_le_bytes());
    }

    fn finish(&self) -> u64 {
        // Only the whole digest is used.
        0
    }
}

/// One port to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Listener {
    /// The logical port: the number of the Gateway servers that open it.
    pub port: u16,
    /// Whether clients speak TLS to it.
    pub is_tls: bool,
}

/// Where the keys that verify an issuer's tokens come from. What `KeySourceId` indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeySource {
    /// Where.
    pub from: KeysFrom,
    /// Time for one fetch, in milliseconds.
    pub timeout_ms: u32,
}

/// Where a key set comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to read each")]
pub enum KeysFrom {
    /// The configuration holds it: a JSON Web Key Set (RFC 7517), kept with the secrets.
    Inline(SecretId),
    /// It is fetched from this URL (`jwksUri`).
    Url(Box<str>),
    /// Its URL is in the issuer's OpenID configuration, `<issuer>/.well-known/openid-configuration`.
    Issuer(Box<str>),
}

/// How one provider, destination or authorizer is reached. What `UpstreamId` indexes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Upstream {
    /// The host it serves, e.g. `dashscope.aliyuncs.com`; names the cluster in logs and metrics.
    pub host: Box<str>,
    /// The subset of the host's endpoints that it is, if it is not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subset: Option<Box<str>>,
    /// Where to connect: at least one, weights at least 1.
    pub endpoints: Vec<Endpoint>,
    /// `None` is plain text.
    pub tls: Option<UpstreamTls>,
    /// What is spoken over its connections.
    pub protocol: UpstreamProtocol,
    /// Requests at once over one connection of HTTP/2, if the configuration bounds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub streams_max: Option<u32>,
    /// Time for one connection attempt, TLS handshake included, in milliseconds.
    pub connect_timeout_ms: u32,
}

/// One address of an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Endpoint {
    /// An IP address or a DNS name.
    pub address: Box<str>,
    /// The TCP port.
    pub port: u16,
    /// Share of the traffic, relative to the upstream's other endpoints.
    pub weight: u32,
}

/// What is spoken over an upstream's connections: over TLS as agreed on (ALPN), in plain text with prior knowledge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to speak each")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[serde(rename = "HTTP/1.1")]
    Http1,
    /// HTTP/2, and nothing else where it is refused.
    #[serde(rename = "HTTP/2")]
    Http2,
    /// HTTP/2 for clients that speak it, HTTP/1.1 for the others and for what has no client, such as a mirror's copy.
    #[serde(rename = "as the client")]
    AsClient,
}

impl UpstreamProtocol {
    /// Whether the request of a client that speaks HTTP/2, or not, is sent in HTTP/2.
    #[must_use]
    pub const fn is_http2(self, client_speaks_http2: bool) -> bool {
        match self {
            Self::Http1 => false,
            Self::Http2 => true,
            Self::AsClient => client_speaks_http2,
        }
    }
}

/// TLS towards an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct UpstreamTls {
    /// The server name that is sent and that the certificate must carry.
    pub sni: Box<str>,
    /// Names of which the certificate must carry one instead of `sni`; empty means `sni`.
    pub subject_alt_names: Vec<Box<str>>,
    /// Whom the certificate must come from.
    pub trust: Trust,
    /// What is shown of the gateway.
    pub credential: Shown,
}

impl UpstreamTls {
    fn pems(&self) -> impl Iterator<Item = &Pem> {
        let (roots, crl) = match &self.trust {
            Trust::System { crl } => (None, crl.as_ref()),
            Trust::Authorities { roots, crl } => (roots.as_ref(), crl.as_ref()),
        };
        let shown = match &self.credential {
            Shown::Certificate(certificate) => Some(certificate.pems()),
            Shown::Nothing | Shown::Missing => None,
        };
        roots.into_iter().chain(crl).chain(shown.into_iter().flatten())
    }
}

/// Whom a server's certificate must come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to verify each")]
pub enum Trust {
    /// One of the authorities that the system trusts.
    System {
        /// Lists of revoked certificates.
        crl: Option<Pem>,
    },
    /// One of these authorities.
    Authorities {
        /// Their certificates; `None` when a Secret is not there: then nothing can be sent.
        roots: Option<Pem>,
        /// Lists of revoked certificates.
        crl: Option<Pem>,
    },
}

/// The certificate that a server is shown of the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::exhaustive_enums, reason = "a shell must be able to show each")]
pub enum Shown {
    /// None.
    Nothing,
    /// This one.
    Certificate(Certificate),
    /// One of a Secret that is not there: then nothing can be sent.
    Missing,
}
