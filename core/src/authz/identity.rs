//! The peer's identity: the SPIFFE id of its certificate, taken apart literally.
//!
//! Istio compares namespaces and accounts by regular expressions over the whole
//! id, which once let a dot stand for any character (CVE-2026-39350). Here the
//! segments of an id are compared as they are. Where they open a door, an id is
//! `TRUST_DOMAIN/ns/NAMESPACE/sa/ACCOUNT` and nothing else; where they close one,
//! they count wherever Istio finds them, with more before, between and behind.

use core::str::Split;

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

    /// Visits all that Istio's `.*/ns/NAMESPACE/.*` finds.
    pub(super) fn each_namespace(self, visit: &mut dyn FnMut(&'r str)) {
        let (mut rest, mut is_after_ns) = (self.0, false);
        while let Some((segment, behind)) = rest.split_once('/') {
            if is_after_ns {
                visit(segment);
            }
            is_after_ns = segment == "ns";
            rest = behind;
        }
    }

    /// Whether Istio's `.+/ns/NAMESPACE/(.+/|)sa/ACCOUNT(/.+)?` finds `NAMESPACE/sa/ACCOUNT`, or would but for an empty
    /// segment, which SPIFFE does not have.
    pub(super) fn holds_account(self, account: &str) -> bool {
        let Some((namespace, account)) = account.split_once("/sa/") else {
            return false;
        };
        let mut segments = self.0.split('/');
        skip_behind(&mut segments, "ns", namespace) && skip_behind(&mut segments, "sa", account)
    }
}

/// Whether two segments follow one another; what comes behind them is left.
fn skip_behind<'s>(segments: &mut Split<'s, char>, first: &str, second: &str) -> bool {
    let mut before = "";
    segments.any(|segment| core::mem::replace(&mut before, segment) == first && segment == second)
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
            "",
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

    #[test]
    fn what_closes_a_door_finds_an_account_wherever_istio_does() {
        for (id, namespaces, is_bot) in [
            ("td/ns/team/sa/bot", &["team"][..], true),
            ("td/ns/team/sa/bot/pod/x", &["team"], true),
            ("td/region/eu/ns/team/sa/bot", &["team"], true),
            ("td/ns/team/cluster/c1/sa/bot", &["team"], true),
            ("td/ns/team/sa/sa/sa/bot", &["team"], true),
            ("td/ns/ns/team/x/sa/bot", &["ns", "team"], true),
            ("td/ns/other/sa/x/ns/team/sa/bot", &["other", "team"], true),
            ("td/sa/bot/ns/team/x", &["team"], false),
            ("td/ns/team/sa/bot2", &["team"], false),
            ("td/ns/team/sa/x/bot", &["team"], false),
            ("td/ns/team/x/bot", &["team"], false),
            ("td/ns/team", &[], false),
            ("td/xns/team/sa/bot", &[], false),
            ("td/ns/teams/sa/bot", &["teams"], false),
            ("td", &[], false),
        ] {
            let mut found = heapless::Vec::<&str, 2>::new();
            PeerId(id).each_namespace(&mut |namespace| found.push(namespace).unwrap());
            assert_eq!(found, namespaces, "{id}");
            assert_eq!(PeerId(id).holds_account("team/sa/bot"), is_bot, "{id}");
        }
    }
}
