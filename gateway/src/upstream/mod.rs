//! Towards the providers and the external authorizers: where they are, connections kept per worker, one
//! request sent and its answer awaited.
//!
//! The address comes from the configuration alone; nothing a client sends can
//! name one. Redirects are answers like any other and are never followed.

mod awaited;
mod body;
mod connect;
mod http2;
mod pool;
mod send;
mod switched;
pub(crate) mod tls;
mod watched;
mod weighed;

pub(crate) use body::UpstreamBody;
pub(crate) use connect::{ConnectError, connect_http2};
pub(crate) use pool::{Connection, Pool};
pub(crate) use send::{Failed, SendError, Towards, send};
pub(crate) use switched::Switched;
pub(crate) use watched::{Watch, Watched};
pub(crate) use weighed::Signs;

use core::time::Duration;

use http::Version;
use lockgate_core::snapshot::{Endpoint, Secrets, Upstream};

use self::tls::{Roots, Tls, TlsError};
use crate::pem::Digest;

/// One upstream, ready to be connected to.
#[derive(Debug)]
pub(crate) struct Target {
    /// The host it serves.
    pub(crate) host: Box<str>,
    /// Without TLS, which names Secrets by numbers that are others in each configuration.
    spec: Upstream,
    tls: Option<Tls>,
}

impl Target {
    /// Prepares TLS and addresses.
    pub(crate) fn new(spec: &Upstream, secrets: &Secrets, roots: &mut Roots) -> Result<Self, TlsError> {
        let tls = spec.tls.as_ref().map(|tls| Tls::new(tls, secrets, roots)).transpose()?;
        Ok(Self {
            host: spec.host.clone(),
            spec: Upstream {
                tls: None,
                ..spec.clone()
            },
            tls,
        })
    }

    /// All that its connections are made of: those of one serve another of the same.
    pub(crate) fn identity(&self) -> (&Upstream, Option<&Digest>) {
        (&self.spec, self.tls.as_ref().map(Tls::digest))
    }

    fn connect_timeout(&self) -> Duration {
        Duration::from_millis(u64::from(self.spec.connect_timeout_ms))
    }

    /// What a request is sent in that came in `version`; one without a client comes in HTTP/1.1.
    pub(crate) fn version(&self, version: Version) -> Version {
        match self.spec.protocol.is_http2(version == Version::HTTP_2) {
            true => Version::HTTP_2,
            false => Version::HTTP_11,
        }
    }

    fn endpoints(&self) -> &[Endpoint] {
        &self.spec.endpoints
    }

    /// Chooses an endpoint by weight.
    pub(crate) fn choose(&self, entropy: u64) -> usize {
        self.choose_other(entropy, &[])
    }

    /// Chooses one by weight that was not tried, or, when all were, any.
    pub(crate) fn choose_other(&self, entropy: u64, tried: &[usize]) -> usize {
        let weights = || {
            let weights = self.endpoints().iter().map(|endpoint| u64::from(endpoint.weight));
            weights.enumerate().filter(|(index, _)| !tried.contains(index))
        };
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        // The lower half, since the upper one chose the provider.
        let ticket = (entropy & u64::from(u32::MAX)).checked_rem(total);
        let Some(mut ticket) = ticket else {
            return if tried.is_empty() { 0 } else { self.choose(entropy) };
        };
        for (index, weight) in weights() {
            match ticket.checked_sub(weight) {
                Some(rest) => ticket = rest,
                None => return index,
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockgate_core::snapshot::UpstreamProtocol;

    fn target(weights: &[u32]) -> Target {
        let endpoint = |weight: &u32| Endpoint {
            address: "127.0.0.1".into(),
            port: 80,
            weight: *weight,
        };
        of_endpoints(weights.iter().map(endpoint).collect(), UpstreamProtocol::Http1)
    }

    /// An upstream in plain text.
    pub(super) fn of_endpoints(endpoints: Vec<Endpoint>, protocol: UpstreamProtocol) -> Target {
        let spec = Upstream {
            host: "a.example".into(),
            subset: None,
            endpoints,
            tls: None,
            protocol,
            streams_max: None,
            connect_timeout_ms: 1000,
        };
        Target::new(&spec, &Secrets::default(), &mut Roots::default()).unwrap()
    }

    #[test]
    fn endpoints_are_chosen_by_weight() {
        let target = target(&[1, 3]);
        let entropy = crate::entropy::Entropy::new();
        let second = (0..10_000).filter(|_| target.choose(entropy.next()) == 1).count();
        assert!((7200..7800).contains(&second), "{second}");
    }

    #[test]
    fn endpoints_that_were_tried_are_passed_over_while_there_are_others() {
        let target = target(&[1, 3, 1]);
        for entropy in 0..1000 {
            assert_ne!(target.choose_other(entropy, &[1]), 1);
            assert_eq!(target.choose_other(entropy, &[1, 0]), 2);
        }
        let again: Vec<usize> = (0..1000)
            .map(|entropy| target.choose_other(entropy, &[0, 1, 2]))
            .collect();
        assert!([0, 1, 2].iter().all(|index| again.contains(index)));
    }

    #[test]
    fn a_change_makes_another_upstream() {
        assert_eq!(target(&[1, 2]).identity(), target(&[1, 2]).identity());
        assert_ne!(target(&[1, 2]).identity(), target(&[1, 3]).identity());
    }
}
