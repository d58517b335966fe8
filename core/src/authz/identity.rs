//! The peer's identity: the SPIFFE id of its certificate, taken apart literally.
//!
//! Istio compares namespaces and accounts by regular expressions over the whole
//! id, which once let a dot stand for any character (CVE-2026-39350). Here an id
//! is `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT` and its parts are compared as they are.

use crate::request::Connection;

/// A SPIFFE id without `spiffe://`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PeerId<'r>(pub(super) &'r str);

impl<'r> PeerId<'r> {
    /// The id of the connection's certificate.
    pub(super) fn of(connection: &Connection<'r>) -> Option<Self> {
        connection.spiffe_id.map(Self)
    }

    pub(super) fn trust_domain(self) -> &'r str {
        self.0.split('/').next().unwrap_or_default()
    }

    /// `NAMESPACE/sa/ACCOUNT`, where the id is one of Istio's.
    pub(super) fn service_account(self) -> Option<&'r str> {
        let (_, path) = self.0.split_once('/')?;
        let account = path.strip_prefix("ns/")?;
        let mut parts = account.split('/');
        let (namespace, sa, name) = (parts.next()?, parts.next()?, parts.next()?);
        let is_istios = !namespace.is_empty() && sa == "sa" && !name.is_empty() && parts.next().is_none();
        is_istios.then_some(account)
    }

    pub(super) fn namespace(self) -> Option<&'r str> {
        self.service_account()?.split('/').next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_apart_only_if_it_is_istios() {
        let id = PeerId("cluster.local/ns/team/sa/bot");
        assert_eq!(id.trust_domain(), "cluster.local");
        assert_eq!(id.namespace(), Some("team"));
        assert_eq!(id.service_account(), Some("team/sa/bot"));
        for other in [
            "cluster.local",
            "cluster.local/ns/team",
            "cluster.local/ns//sa/bot",
            "cluster.local/ns/team/sa/",
            "cluster.local/ns/team/sa/bot/ns/admin/sa/x",
            "cluster.local/x/ns/team/sa/bot",
        ] {
            assert_eq!(PeerId(other).namespace(), None, "{other}");
        }
    }
}
