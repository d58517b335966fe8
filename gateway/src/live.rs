//! A configuration in use: the compiled snapshot and what the shell made of it.

use std::collections::HashMap;
use std::sync::Arc;

use http::header::{HeaderName, HeaderValue};
use lockgate_core::compile::Compiled;
use lockgate_core::tables::{AuthorizerId, SecretId};

use crate::connection::tls::{ServerError, Servers};
use crate::dump::Dump;
use crate::jwt::{Tokens, TokensError};
use crate::upstream::Target;
use crate::upstream::tls::{self, TlsError};

/// A configuration in use. Immutable; a reload makes a new one.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) compiled: Compiled,
    /// HTTPS servers.
    pub(crate) servers: Servers,
    /// By `UpstreamId`.
    pub(crate) upstreams: Vec<Arc<Target>>,
    /// `Authorization` values, by [`SecretId`]; none for secrets that are no key of a provider.
    credentials: Vec<Option<HeaderValue>>,
    /// Fields that authorizers are sent besides the client's, by [`AuthorizerId`].
    check_fields: Vec<Vec<(HeaderName, HeaderValue)>>,
    /// Keys, and tokens verified under this configuration.
    pub(crate) tokens: Tokens,
    /// What was loaded, without secrets.
    pub(crate) dump: Dump,
}

/// Why a compiled configuration cannot be put to use.
#[derive(Debug)]
pub(crate) enum LiveError {
    /// A key that cannot stand in a header field.
    Credential(SecretId),
    /// TLS towards an upstream cannot be set up.
    Tls(Box<str>, TlsError),
    /// An HTTPS server cannot be served.
    Server(ServerError),
    /// Tokens cannot be verified.
    Tokens(TokensError),
}

impl core::fmt::Display for LiveError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Credential(id) => write!(
                f,
                "API key number {} of the configuration holds characters that no header field may hold",
                id.0.saturating_add(1)
            ),
            Self::Tls(host, error) => write!(f, "TLS towards `{host}`: {error}"),
            Self::Server(error) => error.fmt(f),
            Self::Tokens(error) => error.fmt(f),
        }
    }
}

impl Live {
    /// Whether a client of `port` that asks for `server_name`, lower-cased, must show a certificate.
    pub(crate) fn demands_certificate(&self, port: u16, server_name: Option<&str>) -> bool {
        let snapshot = &self.compiled.snapshot;
        let server = snapshot.tables().tls_server(port, server_name);
        let server = server.and_then(|id| snapshot.tls_servers().get(id.0 as usize));
        let clients = server.and_then(|server| server.clients.as_ref());
        clients.is_some_and(|clients| clients.required)
    }

    /// Makes what the data plane needs of a compiled configuration: reads certificates and keys, prepares credentials.
    pub(crate) fn new(compiled: Compiled, dump: Dump) -> Result<Self, LiveError> {
        let mut credentials: Vec<Option<HeaderValue>> = compiled.secrets.iter().map(|_| None).collect();
        for id in compiled.snapshot.tables().credentials() {
            let key = compiled.secrets.get(id).map_or("", |secret| secret.expose());
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).map_err(|_| LiveError::Credential(id))?;
            value.set_sensitive(true);
            if let Some(credential) = credentials.get_mut(id.0 as usize) {
                *credential = Some(value);
            }
        }
        let mut roots = tls::Roots::default();
        let upstreams = compiled
            .snapshot
            .upstreams()
            .iter()
            .map(|upstream| {
                let target = Target::new(upstream, &compiled.secrets, &mut roots);
                target
                    .map(Arc::new)
                    .map_err(|error| LiveError::Tls(upstream.host.clone(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            servers: Servers::new(&compiled).map_err(LiveError::Server)?,
            check_fields: check_fields(&compiled)?,
            tokens: Tokens::new(&compiled).map_err(LiveError::Tokens)?,
            compiled,
            upstreams,
            credentials,
            dump,
        })
    }

    /// Goes on with those upstreams of `before` that are the same, so that workers know by the pointer whose connections
    /// they keep: to compare them takes too long where requests wait.
    pub(crate) fn keep_upstreams(&mut self, before: &Self) {
        let known: HashMap<_, _> = before
            .upstreams
            .iter()
            .map(|target| (target.identity(), target))
            .collect();
        for target in &mut self.upstreams {
            if let Some(same) = known.get(&target.identity()) {
                *target = Arc::clone(same);
            }
        }
    }

    /// The fields that an authorizer is sent besides the client's.
    pub(crate) fn check_fields(&self, id: AuthorizerId) -> &[(HeaderName, HeaderValue)] {
        self.check_fields.get(id.0 as usize).map_or(&[], Vec::as_slice)
    }

    /// The `Authorization` value of a secret.
    pub(crate) fn credential(&self, id: SecretId) -> Option<&HeaderValue> {
        self.credentials.get(id.0 as usize)?.as_ref()
    }
}

fn check_fields(compiled: &Compiled) -> Result<Vec<Vec<(HeaderName, HeaderValue)>>, LiveError> {
    let field = |(name, id): &(Box<str>, SecretId)| {
        let text = compiled.secrets.get(*id).map_or("", |secret| secret.expose());
        let name = HeaderName::try_from(&**name).map_err(|_| LiveError::Credential(*id))?;
        let mut value = HeaderValue::try_from(text).map_err(|_| LiveError::Credential(*id))?;
        value.set_sensitive(true);
        Ok((name, value))
    };
    let authorizers = compiled.snapshot.authorizers().iter();
    authorizers
        .map(|authorizer| authorizer.adds.iter().map(field).collect())
        .collect()
}
