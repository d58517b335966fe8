//! A configuration in use: the compiled snapshot and what the shell made of it.

use std::sync::Arc;

use http::HeaderValue;
use lockgate_core::compile::Compiled;
use lockgate_core::config::Document;
use lockgate_core::snapshot::KeysFrom;
use lockgate_core::tables::SecretId;

use crate::jwt::{Tokens, TokensError};
use crate::upstream::Target;
use crate::upstream::tls::{self, TlsError};

/// A configuration in use. Immutable; a reload makes a new one.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) compiled: Compiled,
    /// By `UpstreamId`.
    pub(crate) upstreams: Vec<Arc<Target>>,
    /// `Authorization` values, by [`SecretId`]; none for key sets.
    credentials: Vec<Option<HeaderValue>>,
    /// Keys, and tokens verified under this configuration.
    pub(crate) tokens: Tokens,
    /// What was loaded, without secrets.
    pub(crate) documents: Vec<Document>,
}

/// Why a compiled configuration cannot be put to use.
#[derive(Debug)]
pub(crate) enum LiveError {
    /// A key that cannot stand in a header field.
    Credential(SecretId),
    /// TLS towards an upstream cannot be set up.
    Tls(Box<str>, TlsError),
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
            Self::Tokens(error) => error.fmt(f),
        }
    }
}

impl Live {
    /// Makes what the data plane needs of a compiled configuration: reads CA files, prepares credentials.
    pub(crate) fn new(compiled: Compiled, documents: Vec<Document>) -> Result<Self, LiveError> {
        let is_key_set = |id| {
            let mut sources = compiled.snapshot.key_sources().iter();
            sources.any(|source| source.from == KeysFrom::Inline(id))
        };
        let credentials = compiled
            .secrets
            .iter()
            .map(|(id, secret)| {
                if is_key_set(id) {
                    return Ok(None);
                }
                let mut value = HeaderValue::try_from(format!("Bearer {}", secret.expose()))
                    .map_err(|_| LiveError::Credential(id))?;
                value.set_sensitive(true);
                Ok(Some(value))
            })
            .collect::<Result<_, _>>()?;
        let mut roots = tls::Roots::default();
        let upstreams = compiled
            .snapshot
            .upstreams()
            .iter()
            .map(|upstream| {
                let target = Target::new(upstream, &mut roots);
                target
                    .map(Arc::new)
                    .map_err(|error| LiveError::Tls(upstream.host.clone(), error))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            tokens: Tokens::new(&compiled).map_err(LiveError::Tokens)?,
            compiled,
            upstreams,
            credentials,
            documents,
        })
    }

    /// The `Authorization` value of a secret.
    pub(crate) fn credential(&self, id: SecretId) -> Option<&HeaderValue> {
        self.credentials.get(id.0 as usize)?.as_ref()
    }
}
